# SPDX-License-Identifier: MIT
"""Nodes that find each other on the local network, without a seed.

Those of the namespaces in lan.py are hosts of one switch. Needs root.
"""

import hashlib
import hmac
import os
import select
import socket
import struct
import subprocess
import time

from harness import SLOWNESS, SMOKEFS, case, check, check_idle, cpu_seconds, equal, main, new_key, \
    put, slurp, until
from lan import Network, apart

GROUP_FOUR, GROUP_SIX, PORT = '239.255.84.95', 'ff12::8495', 8495
TAG = b'smokefs/1 hail\0'
HAIL_BYTES = 107
CREATED = 'created the key of a new network; copy this file to the other machines'


def linked(*nodes):
    return all(x is y or y.id in x.peers() for x in nodes for y in nodes)


def wait_linked(*nodes, seconds=5):
    until(lambda: linked(*nodes), seconds * SLOWNESS,
          lambda: 'all linked, who have ' + ', '.join(
              '%s: %d' % (n.name, len(n.peers())) for n in nodes))


def hosts(lab, *addresses):
    """Hosts of one switch, all with the network's key; `addresses` of each one."""
    network = Network(lab)
    made = [network.host('h%d' % i, *a) for i, a in enumerate(addresses)]
    os.mkdir(os.path.dirname(made[0].key), 0o700)
    lab.make_key(made[0].key, new_key())
    for host in made[1:]:
        host.copy_key(made[0])
    return network, made


def found(lab, *addresses):
    _, made = hosts(lab, *addresses)
    nodes = [h.node(discovery=True) for h in made]
    wait_linked(*nodes)
    for node in nodes:
        node.wait_status('members', len(nodes))
        status = node.status()
        equal(status['discovery'], 'on', 'discovery')
        equal((status['hails_refused'], status['hails_foreign']), (0, 0), 'hails')
        equal(node.events('refused'), [], 'refused')
    # The others may have dialled the last one before it has heard them.
    check(nodes[0].status()['hails_heard'] >= len(nodes) - 1, 'hails heard by the first one')
    return nodes


@case
def by_four(lab):
    nodes = found(lab, ['10.77.0.1/24'], ['10.77.0.2/24'], ['10.77.0.3/24'])
    for i, node in enumerate(nodes):
        equal(node.status()['address'], '10.77.0.%d:8495' % (i + 1), 'address')
    check_idle(nodes[0])


@case
def by_six(lab):
    nodes = found(lab, ['fd77::1/64'], ['fd77::2/64'], ['fd77::3/64'])
    for i, node in enumerate(nodes):
        equal(node.status()['address'], '[fd77::%d]:8495' % (i + 1), 'address')


@case
def by_either(lab):
    """One host has both families, the others one each. The first ones' kinds are all they have."""
    _, (both, four, six) = hosts(lab, ['10.77.0.1/24', 'fd77::1/64'], ['10.77.0.2/24'],
                                 ['fd77::3/64'])
    a, b, c = (h.node(discovery=True) for h in (both, four, six))
    wait_linked(a, b)
    wait_linked(a, c)
    for node in (a, b, c):
        node.wait_status('members', 3)
    check(not linked(b, c), 'those who cannot reach each other')


@case
def link_local(lab):
    """A cable between two machines and nobody who gives addresses."""
    a, b = found(lab, ['169.254.7.1/16'], ['169.254.7.2/16'])
    equal(a.read('peers', b.id, 'address'), '169.254.7.2:8495\n', 'address')


@case
def on_one_machine(lab):
    """By loopback, whatever else there is: here, nothing."""
    network, (host,) = hosts(lab, [])
    lab.key = host.key
    nodes = [host.node(name, discovery=True) for name in ('one', 'two', 'three')]
    wait_linked(*nodes)


@case
def one_address_alone(lab):
    """A node that listens at one address is found at that one."""
    _, (one, two) = hosts(lab, ['10.77.0.1/24', '10.77.1.1/24'], ['10.77.0.2/24', '10.77.1.2/24'])
    a = one.node(discovery=True, options=['--address', '10.77.1.1'])
    b = two.node(discovery=True)
    wait_linked(a, b)
    equal(b.read('peers', a.id, 'address'), '10.77.1.1:8495\n', 'address')


def apart_for(nodes, seconds=2.5):
    """Nothing is linked, and what tells it is not silence: every hail of the start has been sent."""
    until(lambda: all(n.status()['hails_sent'] >= 3 or n.status()['discovery'] == 'off'
                      for n in nodes), 5 * SLOWNESS, 'hails')
    time.sleep(seconds)
    for node in nodes:
        equal(node.peers(), set(), 'peers of ' + node.name)


@case
def without_privileges(lab):
    """As a user, with the filter of system calls: what tells of the interfaces is still there."""
    _, (one, two) = hosts(lab, ['fd77::1/64'], ['fd77::2/64'])
    directory = lab.directory
    while directory != '/tmp':
        os.chmod(directory, 0o711)
        directory = os.path.dirname(directory)
    for host in (one, two):
        for path in (host.var, lab.path(host.name)):
            os.chmod(path, 0o755)
    a, b = (h.node(discovery=True, options=['--user', 'nobody', '--ping-timeout', '1000'],
                   expected=['will not be readable for nobody']) for h in (one, two))
    wait_linked(a, b)
    with open('/proc/%d/status' % a.pid) as f:
        uid, = [line.split()[1] for line in f if line.startswith('Uid:')]
    equal(uid, str(os.stat(a.mount).st_uid), 'the user')
    check(uid != '0', 'root')


@case
def another_key(lab):
    _, made = hosts(lab, ['10.77.0.1/24'], ['10.77.0.2/24'], ['10.77.0.3/24'])
    os.remove(made[2].key)
    lab.make_key(made[2].key, new_key())
    a, c = made[0].node(discovery=True), made[2].node(discovery=True)
    apart_for([a, c])
    for node in (a, c):
        check(node.status()['hails_foreign'] >= 2, 'what is foreign is counted')
        equal((node.status()['hails_heard'], node.events('refused')), (0, []), 'heard')
    # And it hinders nobody.
    b = made[1].node(discovery=True)
    wait_linked(a, b)
    equal(c.peers(), set(), 'peers of the one with the other key')


@case
def turned_off(lab):
    """By the option, by -o, and by a seed; a second key file says that it is no matter of keys."""
    _, made = hosts(lab, *[['10.77.0.%d/24' % i] for i in range(1, 5)])
    a = made[0].node(discovery=True)
    others = [made[1].node(), made[2].node(discovery=True, options=['-o', 'no_discovery']),
              made[3].node(discovery=True, seeds=['10.77.0.99:8495'])]
    equal([n.status()['discovery'] for n in (a, *others)], ['on', 'off', 'off', 'off'], 'status')
    apart_for([a, *others])
    for node in others:
        equal((node.status()['hails_sent'], node.status()['hails_heard']), (0, 0), 'hails')


@case
def no_seed_and_no_key(lab):
    """A network is only made by whoever says so."""
    network = Network(lab)
    one, two = (network.host(n, '10.77.0.%d/24' % i) for n, i in (('one', 1), ('two', 2)))
    code, said = one.smokefs()
    equal(code, 1, 'exit code')
    check('/etc/smokefs/network.key: there is no network key; copy this file from a machine of the '
          'network, or make this the first node of a new one: smokefs none ' in said, said)
    check(not os.path.exists(one.key), 'a key was made')
    a = one.node(discovery=True, expected=[CREATED])
    two.copy_key(one)
    # Without any word for a seed.
    b = two.node(start=False, discovery=True)
    with_seed = b.command()
    equal(with_seed[-2], 'none', 'seed')
    b.command = lambda: with_seed[:-2] + with_seed[-1:]
    b.start()
    wait_linked(a, b)


@case
def found_late(lab):
    """Those who were there first have enough peers, and would hail once in a minute."""
    _, made = hosts(lab, *[['10.77.0.%d/24' % i] for i in range(1, 7)])
    nodes = [h.node(discovery=True) for h in made[:4]]
    for node in nodes:
        node.wait_peers(3)
    # Each goes out to the switch and to loopback.
    until(lambda: all(n.status()['hails_sent'] >= 6 for n in nodes), 5 * SLOWNESS, 'hails')
    late = made[4].node(discovery=True)
    late.wait_peers(3, 10 * SLOWNESS)
    # It asks, and some answer; not all of them, and not for ever.
    time.sleep(2)
    for node in nodes:
        check(node.status()['hails_sent'] <= 6 + 2 * 3, '%s hails all the time' % node.name)


@case
def cable(lab):
    """A host that gets its address after the node has started; one that was away."""
    network, made = hosts(lab, ['10.77.0.1/24'], [])
    a = made[0].node(discovery=True)
    b = made[1].node(discovery=True)
    apart_for([a, b], 0.5)
    made[1].cable('eth0', '10.77.0.2/24')
    # Within the 10 s, and a quarter, after which who is alone hails again.
    wait_linked(a, b, seconds=16)
    equal(a.read('peers', b.id, 'address'), '10.77.0.2:8495\n', 'the address that it has now')
    equal(b.status()['address'], '10.77.0.2:8495', 'address')
    network.pull(made[1])
    until(lambda: not a.peers() and not b.peers(), 10 * SLOWNESS, 'apart')
    network.plug(made[1])
    wait_linked(a, b, seconds=16)


@case
def two_networks_become_one(lab):
    """Each has enough peers of its own: no seed has ever named anybody of the other half."""
    network, made = hosts(lab, *[['10.77.0.%d/24' % i] for i in range(1, 5)])
    options = ['--min-peers', '1', '--ping-timeout', '1000']
    network.pull(*made[2:])
    halves = [[h.node(discovery=True, options=options) for h in made[:2]], []]
    wait_linked(*halves[0])
    # Their cables are in a switch of their own.
    other = Network(lab)
    for host in made[2:]:
        network.spaces.ip('link set %s-eth0 netns %s' % (host.name, other.spaces.path('net')))
        other.spaces.ip('link set %s-eth0 master switch' % host.name,
                        'link set %s-eth0 up' % host.name)
    halves[1] = [h.node(discovery=True, options=options) for h in made[2:]]
    wait_linked(*halves[1])
    for host in made[2:]:
        other.spaces.ip('link set %s-eth0 netns %s' % (host.name, network.spaces.path('net')))
        network.spaces.ip('link set %s-eth0 master switch' % host.name,
                          'link set %s-eth0 up' % host.name)
    nodes = halves[0] + halves[1]
    # A hail within 75 s at the latest, and the overlay's own work after that.
    for node in nodes:
        node.wait_status('members', 4, 100 * SLOWNESS)


class Stranger:
    """A host of the switch that hails by hand."""

    def __init__(self, network, key):
        self.key = bytes.fromhex(slurp(key).strip())
        with network.spaces:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                                   socket.inet_aton('10.77.0.53'))
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            self.socket.bind((GROUP_FOUR, PORT))
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                   socket.inet_aton(GROUP_FOUR) + socket.inet_aton('10.77.0.53'))

    def name(self, key):
        return hashlib.sha256(b'smokefs/1 network key name\0' + key).digest()[:8]

    def hail(self, counter, key=None, node=b'\1' * 16, host='10.77.0.53', port=9, mac_key=None):
        """As docs/protocol.md has it."""
        key = key or self.key
        body = TAG + b'\1' + self.name(key) + node + struct.pack('>QQB', 1, counter, 4) + \
            socket.inet_aton(host) + bytes(12) + struct.pack('>H', port)
        return body + hmac.digest(mac_key or key, body, 'sha256')

    def say(self, datagram):
        self.socket.sendto(datagram, (GROUP_FOUR, PORT))

    def hear(self, seconds=15):
        check(select.select([self.socket], [], [], seconds)[0], 'no hail')
        return self.socket.recvfrom(2048)


@case
def strangers(lab):
    """What a node says to all, and what it makes of what it hears."""
    network, (host,) = hosts(lab, ['10.77.0.1/24'])
    stranger = Stranger(network, host.key)
    a = host.node(discovery=True)
    datagram, (source, _) = stranger.hear()
    equal((len(datagram), source), (HAIL_BYTES, '10.77.0.1'), 'the hail')
    check(hmac.digest(stranger.key, datagram[:-32], 'sha256') == datagram[-32:], 'authenticated')
    check(b'h0' not in datagram and a.name.encode() not in datagram, 'no name in clear')
    check(stranger.key not in datagram, 'nor the key')
    # Another's port, in a datagram of the right form: a member would be dialled.
    with network.spaces:
        listener = socket.create_server(('10.77.0.53', 0))
    port = listener.getsockname()[1]
    listener.setblocking(False)
    good = stranger.hail(1, port=port)
    other = os.urandom(32)
    for bad in (good[:-1], good + b'x', b'', b'smokefs', good[:-1] + bytes([good[-1] ^ 1]),
                stranger.hail(1, port=port, mac_key=other),
                stranger.hail(1, port=port, host='10.77.0.99')):
        stranger.say(bad)
    stranger.say(stranger.hail(1, key=other, port=port))
    until(lambda: a.status()['hails_refused'] == 7, 5, lambda: 'refusals (%s)' % a.status())
    equal((a.status()['hails_foreign'], a.status()['hails_heard']), (1, 0), 'foreign, heard')
    equal(len(a.events('refused')), 1, 'events of damage')
    check(not select.select([listener], [], [], 0.5)[0], 'a forged hail was followed')
    # The right one is followed, again and again played it is not heard again.
    for _ in range(50):
        stranger.say(good)
    check(select.select([listener], [], [], 5)[0], 'a good hail was not followed')
    until(lambda: a.status()['hails_dropped'] == 49, 5, 'copies dropped')
    equal(a.status()['hails_heard'], 1, 'heard')


@case
def flood(lab):
    """A million datagrams, as fast as they go: the node works, and takes little time for it."""
    network, (host,) = hosts(lab, ['10.77.0.1/24'])
    stranger = Stranger(network, host.key)
    a = host.node(discovery=True)
    forged = stranger.hail(1, mac_key=os.urandom(32))

    def shout(seconds):
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(100):
                try:
                    stranger.say(forged)
                except BlockingIOError:
                    pass
            count += 100
        return count
    used = cpu_seconds(a.pid)
    task = lab.task(shout, 4)
    worst = 0
    while task.poll() is None:
        began = time.monotonic()
        a.read('status')
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.01)
    sent = task.result()
    used = cpu_seconds(a.pid) - used
    check(sent > 20000, 'only %d were sent' % sent)
    check(used < 0.6 * SLOWNESS, '%.2f s of CPU for %d hails in 4 s' % (used, sent))
    check(worst < 0.5 * SLOWNESS, 'a file took %.3f s' % worst)

    def counted():
        s = a.status()
        return s['hails_refused'] + s['hails_dropped'] > 0.5 * sent
    # Those that the kernel has dropped are told of with the next one that it has not.
    time.sleep(0.2)
    stranger.say(forged)
    until(counted, 5, lambda: 'counted (%d sent, %s)' % (sent, a.status()))
    equal(len(a.events('refused')), 1, 'events')
    check(a.status()['hails_refused'] < 2000 * 5, 'it looked at %d' % a.status()['hails_refused'])
    # And what is true is heard after that.
    with network.spaces:
        listener = socket.create_server(('10.77.0.53', 0))
    listener.setblocking(False)
    stranger.say(stranger.hail(1, port=listener.getsockname()[1]))
    check(select.select([listener], [], [], 5)[0], 'a good hail was not followed')


with apart():
    main(170)
