# SPDX-License-Identifier: MIT
"""Nodes on hosts of their own, over real interfaces: IPv4, IPv6, host names, cables that come off.

Needs root, for the namespaces in which all of it is.
"""

import errno
import hashlib
import os
import select
import socket
import time

from harness import (MIB, SLOWNESS, case, check, equal, main, new_key, opened, put, raises,
                     read_exactly, slurp, until, within, write_all)
from lan import PORT, Names, Network, apart

USAGE, SYSTEM = 1, 2
CREATED = 'created the key of a new network; copy this file to the other machines'


def linked(*nodes):
    return all(x is y or y.id in x.peers() for x in nodes for y in nodes)


def wait_linked(*nodes, seconds=10):
    until(lambda: linked(*nodes), seconds * SLOWNESS,
          ' and '.join(n.name for n in nodes) + ' linked')


def hears(target, source, text):
    """And it may be that something said before is only arriving."""
    heard = b''
    with opened(target.path('broadcast')) as fd:
        put(source.path('broadcast'), text)
        while text.encode() not in heard:
            check(select.select([fd], [], [], 5 * SLOWNESS)[0], '%s does not hear %s' % (
                target.name, source.name))
            heard += os.read(fd, 4096)


def digest_of(path, n):
    digest = hashlib.sha256()
    with opened(path) as fd:
        while n > 0:
            part = read_exactly(fd, min(n, MIB))
            digest.update(part)
            n -= len(part)
    return digest.hexdigest()


def streams(source, target, n=10 * MIB):
    """Bytes to a peer, as a checksum there."""
    data = os.urandom(n)
    reader = source.lab.task(digest_of, target.stream(source), n)
    with opened(source.stream(target), os.O_WRONLY) as fd:
        write_all(fd, data)
    equal(reader.result(20), hashlib.sha256(data).hexdigest(), 'SHA-256 of the stream')


def told(node, address):
    """It says of itself, and others have heard, where it is."""
    equal(node.status()['address'], address, node.name + ': status')
    equal(node.wait_event('listen').addr, address, node.name + ': listen')


def seen(node, by, address):
    equal(by.read('peers', node.id, 'address').strip(), address, '%s as %s knows it' % (
        node.name, by.name))


def exchange(a, b):
    hears(b, a, 'from %s\n' % a.name)
    hears(a, b, 'from %s\n' % b.name)
    streams(a, b)


def founder(host, **keys):
    return host.node(expected=[CREATED], **keys)


@case
def second_machine(lab):
    """The key file is copied, and nothing else."""
    network = Network(lab)
    one = network.host('one', '10.77.0.1/24')
    two = network.host('two', '10.77.0.2/24')
    a = founder(one)
    check('smokefs: /etc/smokefs/network.key: ' + CREATED in slurp(a.stderr), slurp(a.stderr))
    told(a, '10.77.0.1:8495')
    # Without the key.
    code, said = two.smokefs('10.77.0.1:8495')
    equal(code, USAGE, 'exit code without the key')
    check(said.startswith('smokefs: /etc/smokefs/network.key: there is no network key; copy this file '
                          'from a machine of the network, e.g. mkdir -p -m 700 /etc/smokefs && scp '
                          '-p 10.77.0.1:/etc/smokefs/network.key /etc/smokefs/network.key'), said)
    equal(os.listdir(two.var), [], 'left by that')
    equal(a.events('refused'), [], 'at the other end')
    # With it.
    two.copy_key(one)
    b = two.node(seeds=[a], options=['--wait=5'])
    wait_linked(a, b)
    check(not slurp(b.stderr), slurp(b.stderr))
    told(b, '10.77.0.2:8495')
    seen(a, b, '10.77.0.1:8495')
    seen(b, a, '10.77.0.2:8495')
    equal(a.wait_event('add').addr, '10.77.0.2:8495', 'add')
    equal(a.wait_event('join').addr, '10.77.0.2:8495', 'join')
    exchange(a, b)
    # With another one.
    three = network.host('three', '10.77.0.3/24')
    os.mkdir(three.etc + '/smokefs', 0o700)
    lab.make_key('three/etc/smokefs/network.key', new_key())
    c = three.node(seeds=[a])
    e = c.wait_event('refused')
    equal((e.addr, e.dir, e.reason), ('10.77.0.1:8495', 'out', 'network-key'), 'at the dialler')
    e = a.wait_event('refused')
    equal((e.addr.rpartition(':')[0], e.dir, e.reason), ('10.77.0.3', 'in', 'network-key'),
          'at the acceptor')
    with raises(errno.EACCES, what='connect'):
        c.ctl('connect 10.77.0.2\n')
    equal(b.wait_event('refused').addr.rpartition(':')[0], '10.77.0.3', 'at the other acceptor')
    equal((a.peers(), b.peers(), c.peers()), ({b.id}, {a.id}, set()), 'peers')


@case
def six_only(lab):
    network = Network(lab)
    one = network.host('one', 'fd77::1/64')
    two = network.host('two', 'fd77::2/64')
    a = founder(one)
    two.copy_key(one)
    b = two.node(seeds=['[fd77::1]:8495'])
    wait_linked(a, b)
    told(a, '[fd77::1]:8495')
    told(b, '[fd77::2]:8495')
    seen(a, b, '[fd77::1]:8495')
    seen(b, a, '[fd77::2]:8495')
    exchange(a, b)
    # By hand, with the default port.
    b.ctl('drop %s\n' % a.id)
    until(lambda: not a.peers() and not b.peers(), 5, 'apart')
    b.ctl('connect [fd77::1]\n')
    wait_linked(a, b)


@case
def mixed(lab):
    """One that has both kinds of address joins those who have one kind each."""
    network = Network(lab)
    both = network.host('both', '10.77.0.1/24', 'fd77::1/64')
    four = network.host('four', '10.77.0.2/24')
    six = network.host('six', 'fd77::3/64')
    b = founder(four)
    both.copy_key(four)
    six.copy_key(four)
    a = both.node(seeds=[b])
    wait_linked(a, b)
    c = six.node(seeds=['[fd77::1]:8495'])
    wait_linked(a, c)
    told(a, '10.77.0.1:8495')
    seen(b, a, '10.77.0.2:8495')
    seen(c, a, '[fd77::3]:8495')
    seen(a, b, '10.77.0.1:8495')
    seen(a, c, '[fd77::1]:8495')
    for node in (a, b, c):
        node.wait_status('members', 3, 10)
    for source, target in ((b, c), (c, b), (a, b), (a, c)):
        hears(target, source, '%s to %s\n' % (source.name, target.name))
    equal((b.peers(), c.peers()), ({a.id}, {a.id}), 'peers of those who cannot reach each other')
    with raises(errno.ENETUNREACH, errno.EHOSTUNREACH, what='connect to the other kind'):
        b.ctl('connect [fd77::3]\n')
    # One that comes later and has both finds all three.
    late = network.host('late', '10.77.0.4/24', 'fd77::4/64')
    late.copy_key(four)
    d = late.node(seeds=['[fd77::1]:8495'])
    until(lambda: d.peers() == {a.id, b.id, c.id}, 15 * SLOWNESS, 'all three')
    told(d, '[fd77::4]:8495')
    seen(b, d, '10.77.0.2:8495')
    seen(c, d, '[fd77::3]:8495')


def by_one_name(network, one, number, seed):
    host = network.host('n%d' % number, '10.77.0.%d/24' % (20 + number), 'fd77::%d/64' % number)
    host.copy_key(one)
    host.ask()
    return host.node(seeds=[seed], start=False, options=['--max-peers', '0'])


@case
def by_name(lab):
    """A, AAAA, both, several, none: all addresses of a name are tried, at every attempt."""
    network = Network(lab)
    names = Names(network)
    one = network.host('one', '10.77.0.1/24', 'fd77::1:1/64')
    a = founder(one, options=['--max-peers', '0'])
    records = {
        'four.lan': ('10.77.0.1',), 'six.lan': ('fd77::1:1',),
        'both.lan': ('10.77.0.1', 'fd77::1:1'),
        'dead.lan': ('10.77.0.99', 'fd77::99', '10.77.0.1'),
        # Nobody listens there: refused at once.
        'mute.lan': ('10.77.0.53', '10.77.0.1')}
    names.set(*['%s %s' % (name, x) for name, list_ in records.items() for x in list_],
              'empty.lan')
    nodes = {}
    for number, name in enumerate([*records, 'empty.lan', 'later.lan']):
        nodes[name] = by_one_name(network, one, number + 1, name + ':8495')
        nodes[name].start()
    began = time.monotonic()
    for name in records:
        wait_linked(a, nodes[name], seconds=3 if name in ('four.lan', 'six.lan') else 12)
        shown = nodes[name].read('peers', a.id, 'address').strip()
        check(shown in ('10.77.0.1:8495', '[fd77::1:1]:8495'), shown)
        check(shown.strip('[').startswith(records[name][-1]) or len(records[name]) > 1, shown)
        check(names.count_asked(name) <= 20, 'questions for ' + name)
    check(time.monotonic() - began < 15 * SLOWNESS, 'it took too long')
    # No such name, a name without an address: said, tried again, and good as soon as there is one.
    for name in ('empty.lan', 'later.lan'):
        node = nodes[name]
        e = node.wait_event('seed-retry')
        equal((e.addr, e.error), (name + ':8495', 'ENOENT'), 'seed-retry')
        with raises(errno.ENOENT, what='connect to %s' % name):
            node.ctl('connect %s\n' % name)
    names.set('empty.lan 10.77.0.1', 'later.lan fd77::1:1')
    for name in ('empty.lan', 'later.lan'):
        wait_linked(a, nodes[name], seconds=12)
    # The command, too; the name leads to one that is a peer by now.
    with raises(errno.EEXIST, what='connect to a peer by its name'):
        nodes['empty.lan'].ctl('connect empty.lan\n')


def slowest(node, going):
    """How long its files take to answer while this goes on: all but one in 20, and the worst."""
    times = []
    while going():
        began = time.monotonic()
        node.read('status')
        node.peers()
        times.append(time.monotonic() - began)
        time.sleep(0.005)
    times.sort()
    check(len(times) > 20, 'only %d times' % len(times))
    return times[-1 - len(times) // 20], times[-1]


@case
def silent_resolver(lab):
    """A resolver that never answers holds nothing up."""
    network = Network(lab)
    names = Names(network)
    names.set('silence')
    one = network.host('one', '10.77.0.1/24')
    a = founder(one)
    two, three = (network.host(n, '10.77.0.%d/24' % i) for n, i in (('two', 2), ('three', 3)))
    for host in (two, three):
        host.copy_key(one)
        host.ask()
    # There are other seeds.
    with within(3 * SLOWNESS, 'start and join beside a silent resolver'):
        b = two.node(seeds=['lost.lan:8495', '10.77.0.1:8495', 'gone.lan:8495'])
        wait_linked(a, b, seconds=2)
    # There are none.
    with within(2 * SLOWNESS, 'start with a silent resolver'):
        c = three.node(seeds=['one.lan:8495'])
    names.wait_asked('one.lan')
    end = time.monotonic() + 3
    usual, worst = slowest(c, lambda: time.monotonic() < end)
    check(usual < 0.1 * SLOWNESS and worst < SLOWNESS, 'a file took %.3f s, one %.3f s' % (
        usual, worst))
    # A command that waits for it ends at once on a signal, and holds nobody up.
    waits = lab.task(put, b.path('ctl'), 'connect two.lan\n')
    names.wait_asked('two.lan')
    hears(b, a, 'meanwhile\n')
    with within(1 * SLOWNESS, 'the end of a command that waits for a name'):
        waits.kill()
        waits.reap()
    equal(c.wait_event('seed-retry', 15).error, 'ETIMEDOUT', 'seed-retry')
    # It answers again.
    names.set('one.lan 10.77.0.1')
    wait_linked(a, c, seconds=20)
    # Nor does it hold up the end.
    names.set('silence')
    four = network.host('four', '10.77.0.4/24')
    four.copy_key(one)
    four.ask()
    d = four.node(seeds=['one.lan:8495'])
    with within(2 * SLOWNESS, 'the end of a node that waits for a name'):
        d.stop()


class Hearing:
    """A cat(1) of a node's broadcast into a file."""

    def __init__(self, node):
        before = node.status()['parked_reads']
        self.path = node.lab.path(node.name + '.heard')
        with node.lab.popen_out(node.name + '.heard') as out:
            node.lab.popen(['cat', node.path('broadcast')], stdout=out)
        node.wait_status('parked_reads', before + 1)

    def lines(self):
        return slurp(self.path).splitlines()


@case
def cable(lab):
    """A cable that is pulled is noticed in time, and what is said meanwhile arrives later."""
    network = Network(lab)
    one = network.host('one', '10.77.0.1/24', 'fd77::1/64')
    two = network.host('two', '10.77.0.2/24', 'fd77::2/64')
    options = ['--ping-timeout', '2000']
    a = founder(one, options=options)
    two.copy_key(one)
    b = two.node(seeds=[a], options=options)
    wait_linked(a, b)
    heard = {n: Hearing(n) for n in (a, b)}
    # For less than ping_timeout: nothing has happened.
    network.pull(two)
    put(a.path('broadcast'), 'a short\n')
    time.sleep(0.6)
    network.plug(two)
    until(lambda: heard[b].lines() == ['a short'], 5 * SLOWNESS, 'a message after a short break')
    equal(a.events('remove') + b.events('remove'), [], 'remove after a short break')
    # For longer. Some of it is said before anybody has noticed.
    began = time.monotonic()
    network.pull(two)
    for n in (a, b):
        put(n.path('broadcast'), n.name + ' unnoticed\n')
    for n in (a, b):
        equal(n.wait_event('remove', 4 * SLOWNESS).reason, 'timeout', 'reason')
        n.wait_event('disconnect', 1)
    took = time.monotonic() - began
    check(took < 2 + 1 + (SLOWNESS - 1), 'noticed after %.1f s' % took)
    for n in (a, b):
        put(n.path('broadcast'), n.name + ' alone\n')
    e = b.wait_event('seed-retry')
    check(e.error in ('EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'), e.line)
    network.plug(two)
    wait_linked(a, b, seconds=15)
    want = {a: ['two unnoticed', 'two alone'], b: ['a short', 'one unnoticed', 'one alone']}
    for n in (a, b):
        until(lambda: len(heard[n].lines()) >= len(want[n]), 5 * SLOWNESS,
              lambda: 'what was said meanwhile at %s: %s' % (n.name, heard[n].lines()))
        equal(heard[n].lines(), want[n], 'what %s hears' % n.name)
        equal(n.events('gap') + n.events('lost'), [], 'losses')
        check(len(n.events('connect')) == 2, 'connect')


def four_nodes(lab, *options):
    """Two machines with two nodes each."""
    network = Network(lab)
    one = network.host('one', '10.77.0.1/24')
    two = network.host('two', '10.77.0.2/24')
    options = ['--ping-timeout', '1000', *options]
    nodes = [founder(one, options=options)]
    two.copy_key(one)
    for host, name, seed in ((one, 'one2', 0), (two, 'two1', 0), (two, 'two2', 2)):
        nodes.append(host.node(name, seeds=[nodes[seed]], options=options))
    equal([n.address for n in nodes], ['10.77.0.1:8495', '10.77.0.1:8496', '10.77.0.2:8495',
                                       '10.77.0.2:8496'], 'addresses')
    for n in nodes:
        n.wait_status('members', 4, 10)
    return network, two, nodes


def split(network, host, *halves):
    network.pull(host)
    for half in halves:
        for n in half:
            until(lambda: n.peers() == {x.id for x in half if x is not n}, 3 * SLOWNESS,
                  'the split')
        hears(half[1], half[0], 'within a half\n')


@case
def halves(lab):
    """Each half lives on; after the break everybody hears what the others have said meanwhile."""
    network, two, nodes = four_nodes(lab)
    wait_linked(*nodes)
    heard = [Hearing(n) for n in nodes]
    split(network, two, nodes[:2], nodes[2:])
    put(nodes[0].path('broadcast'), 'said by one\n')
    put(nodes[3].path('broadcast'), 'said by two\n')
    network.plug(two)
    wait_linked(*nodes, seconds=20)
    for i, n in enumerate(nodes):
        want = {'said by one'} - ({'said by one'} if i == 0 else set())
        want |= {'said by two'} - ({'said by two'} if i == 3 else set())
        # The first of each half has said one to the second, which is for the other half, too.
        count = len(want) + (1 if i in (0, 2) else 2)
        until(lambda: len(heard[i].lines()) >= count, 10 * SLOWNESS,
              lambda: '%s hears %s' % (n.name, heard[i].lines()))
        lines = heard[i].lines()
        equal((len(lines), want <= set(lines)), (count, True),
              'what %s hears: %s' % (n.name, lines))
        equal(n.events('gap') + n.events('lost'), [], 'losses')
        n.wait_status('members', 4, 10)


@case
def netsplit(lab):
    """Halves that lack nothing notice each other all the same, say so, and are one again."""
    network, two, nodes = four_nodes(lab, '--min-peers', '1')
    split(network, two, nodes[:2], nodes[2:])
    # Until both halves know for what they are: before that, they are one again in no time.
    for half in nodes[:2], nodes[2:]:
        for n in half:
            until(lambda: n.status()['component'] in {x.id for x in half} and
                  n.status()['component_beacons'] >= 3, 40 * SLOWNESS, 'a component of its own')
    network.plug(two)
    for n in nodes:
        e = n.wait_event('netsplit', 60)
        n.wait_event('healed', 30, after=e.seq)
    for n in nodes:
        n.wait_status('members', 4, 10)
        equal((len(n.events('netsplit')), len(n.events('healed'))), (1, 1), n.name + ': events')
    hears(nodes[3], nodes[0], 'after it\n')
    hears(nodes[0], nodes[3], 'after it\n')


@case
def which_address(lab):
    """The one towards the seed, the one that is asked for, none but loopback."""
    network = Network(lab)
    one, two = (network.host(n, '10.77.0.%d/24' % i) for n, i in (('one', 1), ('two', 2)))
    one.cable('eth1', '10.88.0.1/24')
    two.cable('eth1', '10.88.0.2/24')
    a = founder(one, options=['--address', '10.88.0.0/24'])
    told(a, '10.88.0.1:8495')
    two.copy_key(one)
    b = two.node(seeds=[a])
    wait_linked(a, b)
    told(b, '10.88.0.2:8495')
    seen(b, a, '10.88.0.2:8495')
    # It listens there alone; the other one everywhere.
    with raises(errno.ECONNREFUSED, what='connect to the other interface'):
        b.ctl('connect 10.77.0.1\n')
    with one.spaces:
        s = socket.socket()
    s.connect(('10.77.0.2', PORT))
    s.close()
    # The same port is free at the other address, and the next one everywhere.
    c = one.node('c', options=['--address', '10.77.0.1'], seeds=['10.77.0.2:8495'])
    wait_linked(b, c)
    told(c, '10.77.0.1:8495')
    seen(c, b, '10.77.0.1:8495')
    d = one.node('d', seeds=['10.77.0.2:8495'])
    told(d, '10.77.0.1:8496')
    for arguments, code, pattern in (
            (['--address', '10.77.0.99'], SYSTEM, 'no interface of this machine has this address'),
            (['--address', 'fd77::99'], SYSTEM, 'no interface of this machine has this address'),
            (['--address', '10.99.0.0/24'], USAGE, 'no interface of this machine has an address in '
             '10.99.0.0/24'),
            (['--port', '8495'], SYSTEM, 'port 8495: already in use at this machine')):
        found, said = two.smokefs(*arguments, 'none')
        equal(found, code, 'exit code of %s (%s)' % (arguments, said))
        check(pattern in said and len(said.splitlines()) == 1, '%s: %r' % (arguments, said))


@case
def no_network(lab):
    """A machine with nothing but loopback is a network of its own."""
    host = Network(lab).host('island')
    a = founder(host)
    told(a, '127.0.0.1:8495')
    b = host.node('second', seeds=['127.0.0.1:8495'])
    told(b, '127.0.0.1:8496')
    wait_linked(a, b)
    exchange(a, b)
    c = host.node('third', seeds=['10.77.0.1:8495'])
    equal(c.wait_event('seed-retry').error, 'ENETUNREACH', 'a seed out of reach')
    # The cable is put in later.
    host.cable('eth0', '10.77.0.9/24')
    b.ctl('connect 10.77.0.9:8497\n')
    wait_linked(b, c)


if __name__ == '__main__':
    with apart():
        main(120)
