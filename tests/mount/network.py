# SPDX-License-Identifier: MIT
"""Nodes that find each other, lose each other and come back, as their mounts show it."""

import errno
import os
import signal
import socket
import time

from harness import (SLOWNESS, case, check, equal, free_port, main, opened, put, raises, slurp,
                     until)


def reachable(nodes):
    """The nodes that the first one is connected with, over however many links."""
    ids = {n.id: n for n in nodes}
    links = {n.id: n.peers() for n in nodes}
    found, todo = set(), [nodes[0].id]
    while todo:
        i = todo.pop()
        if i in ids and i not in found:
            found.add(i)
            todo += links[i]
    return found


def connected(nodes):
    return len(reachable(nodes)) == len(nodes)


def symmetric(nodes):
    """Both ends of every link know of it."""
    links = {n.id: n.peers() for n in nodes}
    return all(a in links.get(b, ()) for a in links for b in links[a])


def in_bounds(nodes, low, high):
    return all(low <= len(n.peers()) <= high for n in nodes)


def hears(target, source, text, seconds=10):
    """A message goes from one to the other."""
    with opened(target.path('broadcast'), os.O_NONBLOCK) as fd:
        put(source.path('broadcast'), text)

        def came():
            try:
                return text.encode() in os.read(fd, 1 << 20)
            except BlockingIOError:
                return False
        until(came, seconds, 'a message from %s to %s' % (source.name, target.name))


@case
def gather_by_one_seed(lab):
    nodes = lab.network(5)
    ids = {n.id for n in nodes}
    until(lambda: in_bounds(nodes, 3, 5), 5 * SLOWNESS, 'min_peers <= peers <= max_peers')
    until(lambda: symmetric(nodes), 5, 'both ends to know each link')
    check(connected(nodes), 'not one network')
    for node in nodes:
        others = ids - {node.id}
        # Everyone has heard of everyone, though only one was named.
        equal({e.id for e in node.events('join')}, others, node.name + ': join')
        equal(node.status()['members'], 5, node.name + ': members')
        equal(len(node.events('connect')), 1, node.name + ': connect events')
        equal(node.events('disconnect'), [], node.name + ': disconnect')
        first = node.events('listen')[0]
        equal((first.seq, first.addr, first.id), (1, node.address, node.id), 'listen')
        added = [e for e in node.events('add')]
        connect = node.events('connect')[0]
        equal(connect.id, added[0].id, node.name + ': connect is of the first peer')
        check(connect.seq < added[0].seq, 'connect comes before add')
        for e in added:
            other = {n.id: n for n in nodes}[e.id]
            equal((e.fields['name'], e.addr), (other.name, other.address), 'add')
            check(e.dir in ('in', 'out'), 'dir=' + str(e.dir))
        for peer in node.peers():
            other = {n.id: n for n in nodes}[peer]
            equal(node.read('peers', peer, 'address'), other.address + '\n', 'address')
    for node in nodes:
        hears(node, nodes[0] if node is not nodes[0] else nodes[1], 'hello')


@case
def connect_and_disconnect(lab):
    """`connect` is the first peer, `disconnect` the last one gone; add and remove count."""
    a, b, c = (lab.node(n, options=['--min-peers', '0']) for n in 'abc')
    a.ctl('connect %s\n' % b.address)
    a.ctl('connect %s\n' % c.address)
    a.ctl('drop %s\n' % b.id)
    a.ctl('drop %s\n' % c.id)
    shown = [(e.name, e.id, e.peers) for e in a.events() if e.name not in ('listen', 'join', 'leave')]
    equal(shown, [('connect', b.id, None), ('add', b.id, '1'), ('add', c.id, '2'),
                  ('remove', b.id, '1'), ('remove', c.id, '0'), ('disconnect', c.id, None)],
          'events')
    equal(b.wait_event('remove', id=a.id).reason, 'dropped', 'what b was told')
    for node in (b, c):
        node.wait_event('disconnect', id=a.id)
    for node in (a, b, c):
        equal(node.peers(), set(), 'peers')


@case
def dropped_stays_away(lab):
    """A peer dropped by hand does not come back by itself at once, but does by hand."""
    a, b = lab.pair()
    a.ctl('drop %s\n' % b.id)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        equal(a.peers() | b.peers(), set(), 'peers after drop')
        time.sleep(0.1)
    b.ctl('connect %s\n' % a.address)
    equal(b.peers(), {a.id}, 'peers after connect')
    a.wait_peers(1)


@case
def drop_then_connect(lab):
    """A command is done when it returns: the next one finds what it left."""
    a, b = (lab.node(n, options=['--min-peers', '0']) for n in 'ab')
    for i in range(50):
        a.ctl('connect %s\n' % b.address)
        equal(a.peers(), {b.id}, 'round %d: peers after connect' % i)
        a.ctl('drop %s\n' % b.id)
        equal(a.peers(), set(), 'round %d: peers after drop' % i)


@case
def killed_node(lab):
    nodes = lab.network(4)
    victim = nodes[-1]
    rest = nodes[:-1]
    for node in rest:
        node.wait_event('add', id=victim.id)
        node.since = node.last()
    victim.kill()
    began = time.monotonic()
    for node in rest:
        e = node.wait_event('remove', seconds=2, after=node.since, id=victim.id)
        equal(e.reason, 'connection-lost', 'reason')
    took = time.monotonic() - began
    check(took < 0.5 * SLOWNESS, 'a killed node was noticed after %.2f s' % took)
    for node in rest:
        node.wait_event('leave', seconds=3, after=node.since, id=victim.id)
        node.wait_status('members', 3)
        check(victim.id not in node.peers(), 'a dead peer is listed')
    victim.start()
    for node in rest:
        node.wait_event('join', seconds=5, after=node.since, id=victim.id)
        node.wait_status('members', 4)


@case
def killed_last_neighbour(lab):
    """With nobody else to say so, a node knows itself that a member is gone."""
    a, b = lab.pair()
    b.kill()
    a.wait_event('disconnect', seconds=2)
    a.wait_event('leave', seconds=3, id=b.id)
    equal(a.status()['members'], 1, 'members')


@case
def stopped_node(lab):
    timeout = 1.0
    nodes = lab.network(4, options=['--ping-timeout', '1000'])
    victim, rest = nodes[-1], nodes[:-1]
    for node in rest:
        until(lambda: victim.id in node.peers(), 5, 'a full mesh')
        node.since = node.last()
    victim.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        for node in rest:
            e = node.wait_event('remove', seconds=4, after=node.since, id=victim.id)
            equal(e.reason, 'timeout', 'reason')
        took = time.monotonic() - began
        check(timeout * 0.5 < took < timeout + 1, 'a silent node was noticed after %.2f s' % took)
        for node in rest:
            node.wait_event('leave', seconds=3, after=node.since, id=victim.id)
            node.since = node.last()
    finally:
        victim.send(signal.SIGCONT)
    # Back, it is a member for everyone again.
    victim.wait_peers(3, 15)
    for node in rest:
        node.wait_event('add', seconds=15, after=node.since, id=victim.id)
        node.wait_event('join', seconds=5, after=node.since, id=victim.id)
        node.wait_status('members', 4)
    hears(victim, rest[0], 'welcome back')
    hears(rest[0], victim, 'thank you')


@case
def stopped_node_with_default_timeout(lab):
    a, b = lab.pair()
    b.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        a.wait_event('remove', seconds=6, id=b.id)
        took = time.monotonic() - began
        check(took < 4, 'noticed after %.2f s' % took)
    finally:
        b.send(signal.SIGCONT)
    a.wait_peers(1, 15)


@case
def busy_is_not_dead(lab):
    """A peer that is stopped for less than ping_timeout stays a peer."""
    a, b = lab.pair()
    for _ in range(3):
        b.send(signal.SIGSTOP)
        time.sleep(1.5)  # is what is tested
        b.send(signal.SIGCONT)
        hears(b, a, 'after a nap')
    equal(a.events('remove'), [], 'remove')
    equal(b.events('remove'), [], 'remove')


@case
def late_seed(lab):
    """Tries start at 0.2 s and back off; the seed is joined within a second of the next one."""
    late = lab.node('late', start=False)
    a = lab.node('a', seeds=[late])
    tries = until(lambda: len(a.events('seed-retry')) >= 4 and a.events('seed-retry'), 10,
                  'four tries')
    waits = [int(e.next_ms) for e in tries]
    equal({e.fields['error'] for e in tries}, {'ECONNREFUSED'}, 'error')
    check(100 <= waits[0] <= 400, 'the first wait: %d ms' % waits[0])
    check(waits[-1] > waits[0], 'no back-off: %s' % waits)
    check(all(w <= 11000 for w in waits), 'longer than 10 s: %s' % waits)
    late.start()
    begun = time.monotonic()
    last = a.events('seed-retry')[-1]
    a.wait_peers(1, int(last.next_ms) / 1000 + 1)
    check(time.monotonic() - begun < 11, 'joined too late')
    equal(a.peers(), {late.id}, 'peers')


@case
def rejoin_after_last_peer(lab):
    a, b = lab.pair()
    for _ in range(2):
        b.kill()
        a.wait_event('disconnect', seconds=2)
        b.start()
        # The one that was a seed for nobody finds its way back by what it remembers.
        a.wait_peers(1, 5)
        b.wait_peers(1, 5)
    b.stop()
    c = lab.node('c', port=b.port, seeds=['none'])
    # Whoever listens where a peer was is as good.
    a.wait_peers(1, 12)
    equal(a.peers(), {c.id}, 'peers')


@case
def seed_restarts(lab):
    """Those who joined by a seed come back to it, whatever they were doing."""
    seed = lab.node('seed')
    nodes = [lab.node('n%d' % i, seeds=[seed]) for i in range(3)]
    for node in nodes:
        node.wait_peers(3)
    seed.kill()
    for node in nodes:
        node.wait_event('remove', id=seed.id)
    check(connected(nodes), 'the others have lost each other')
    seed.start()
    until(lambda: connected([seed] + nodes), 12, 'one network with the seed')


@case
def restart_without_a_seed(lab):
    """Who has been in the network before finds it again although its seed is gone for good."""
    seed = lab.node('seed')
    nodes = [lab.node('n%d' % i, seeds=[seed]) for i in range(3)]
    for node in nodes:
        node.wait_peers(3)
    late = nodes[2]
    kept = os.path.join(late.state, 'peers')
    until(lambda: os.path.exists(kept), 15, 'peers, stored')
    late.kill()
    seed.kill()
    late.start()
    until(lambda: connected(nodes), 12, 'one network without the seed')
    late.stop()
    for damage in (b'', b'network 0000000000000000\n127.0.0.1:1 -\n', os.urandom(4096)):
        with open(kept, 'wb') as f:
            f.write(damage)
        seeds, late.seeds = late.seeds, [nodes[0]]
        late.start()
        until(lambda: connected(nodes), 12, 'one network, by a seed')
        late.stop()
        late.seeds = seeds
        check('network ' in slurp(kept), 'peers, stored at the end')
    late.start()
    until(lambda: connected(nodes), 12, 'one network without the seed')


@case
def oneself(lab):
    """Its own address among the seeds is no peer, in any spelling, and no storm either."""
    port = free_port()
    a = lab.node('a', port=port, seeds=['127.0.0.1:%d' % port, 'localhost:%d' % port])
    b = lab.node('b', port=free_port(), seeds=[a])
    a.wait_peers(1)
    with raises(errno.EEXIST, what='connect to oneself'):
        a.ctl('connect localhost:%d\n' % port)
    time.sleep(1)  # nothing is to happen
    equal(a.peers(), {b.id}, 'peers')
    for node in (a, b):
        equal(len(node.events('add')), 1, node.name + ': add')
        equal(node.events('clash'), [], 'clash')


@case
def two_of_one_id(lab):
    """A second node with a copied state is turned away, and the first one stays."""
    import shutil
    a, b = lab.pair()
    a.stop()
    shutil.copytree(a.state, lab.path('copy'))
    a.start()
    b.wait_peers(1)
    double = lab.node('double', state=lab.path('copy'), seeds=[b])
    equal(double.id, a.id, 'the same id')
    time.sleep(2)
    # Who was started last has the higher incarnation; there is one link, not a flapping pair.
    equal(b.peers(), {a.id}, 'peers')
    flaps = len(b.events('add'))
    time.sleep(2)
    check(len(b.events('add')) - flaps <= 3, 'links come and go: %d' % (
        len(b.events('add')) - flaps))


@case
def simultaneous_dials(lab):
    for round_ in range(5):
        ports = free_port(), free_port()
        x = lab.node('x%d' % round_, port=ports[0], seeds=['127.0.0.1:%d' % ports[1]], start=False)
        y = lab.node('y%d' % round_, port=ports[1], seeds=['127.0.0.1:%d' % ports[0]], start=False)
        started = [lab.popen(n.command()) for n in (x, y)]
        for p in started:
            equal(p.wait(10), 0, 'exit code')
        for n in (x, y):
            with open(n.state + '/lock') as f:
                n.pid = int(f.read())
            n.id = n.read('id').strip()
        until(lambda: x.peers() == {y.id} and y.peers() == {x.id}, 5, 'one link')
        one_link(x, y)
    # By hand, at the same moment.
    for _ in range(10):
        x.ctl('drop %s\n' % y.id)
        until(lambda: not y.peers(), 5, 'drop')
        tasks = [lab.task(connect, n, m.address) for n, m in ((x, y), (y, x))]
        results = [t.result() for t in tasks]
        check(set(results) <= {0, errno.EEXIST}, 'connect: %s' % results)
        until(lambda: x.peers() == {y.id} and y.peers() == {x.id}, 5, 'one link')
        one_link(x, y)


def connect(node, address):
    try:
        node.ctl('connect %s\n' % address)
        return 0
    except OSError as e:
        return e.errno


def one_link(x, y):
    """Exactly one connection is left, and it holds."""
    def sockets(node):
        count = 0
        for fd in os.listdir('/proc/%d/fd' % node.pid):
            try:
                count += os.readlink('/proc/%d/fd/%s' % (node.pid, fd)).startswith('socket:')
            except FileNotFoundError:
                pass
        return count
    # The listener, the link, and whatever the resolver and the log have.
    until(lambda: sockets(x) <= 2 and sockets(y) <= 2, 3,
          lambda: 'one connection each (%d and %d sockets)' % (sockets(x), sockets(y)))
    hears(y, x, 'over one link')


@case
def bounds(lab):
    """More nodes than max_peers: nobody exceeds it, nobody is refused, and it is one network."""
    options = ['--min-peers', '2', '--max-peers', '3']
    nodes = [lab.node('n0', options=options)]
    for i in range(1, 10):
        nodes.append(lab.node('n%d' % i, seeds=[nodes[0]], options=options))
    until(lambda: in_bounds(nodes, 2, 3) and symmetric(nodes) and connected(nodes), 25 * SLOWNESS,
          lambda: '2 to 3 peers each: %s' % [len(n.peers()) for n in nodes])
    for node in nodes:
        node.wait_status('members', 10, 10 * SLOWNESS)
    # It stays so: one more for a moment is allowed.
    end = time.monotonic() + 2
    while time.monotonic() < end:
        check(in_bounds(nodes, 1, 4), 'peers: %s' % [len(n.peers()) for n in nodes])
        time.sleep(0.05)
    until(lambda: in_bounds(nodes, 2, 3) and connected(nodes), 10, 'bounds again')
    hears(nodes[9], nodes[4], 'through the whole network')
    with raises(errno.EUSERS, errno.EEXIST, what='connect beyond max_peers'):
        full = next(n for n in nodes if len(n.peers()) == 3)
        far = next(n for n in nodes if n.id not in full.peers() and n is not full)
        full.ctl('connect %s\n' % far.address)


@case
def host_names(lab):
    a = lab.node('a')
    b = lab.node('b', seeds=['localhost:%d' % a.port])
    b.wait_peers(1)
    c = lab.node('c')
    c.ctl('connect localhost:%d\n' % a.port)
    check(a.id in c.peers(), 'no peer')
    with raises(errno.ENOENT, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNREFUSED,
                what='a name that does not exist'):
        c.ctl('connect no-such-host.invalid:1\n')


@case
def ipv6(lab):
    with socket.socket(socket.AF_INET6) as s:
        try:
            s.bind(('::1', 0))
        except OSError:
            from harness import Skip
            raise Skip('no ::1 here')
    a = lab.node('a', options=['-a', '::1'])
    equal(a.status()['address'], '[::1]:%d' % a.port, 'address')
    b = lab.node('b', seeds=['[::1]:%d' % a.port])
    b.wait_peers(1)
    equal(b.read('peers', a.id, 'address'), '[::1]:%d\n' % a.port, 'address of the peer')
    hears(a, b, 'over IPv6')


@case
def leaving_in_turn(lab):
    """The network holds together while its nodes leave one by one, cleanly or not."""
    nodes = lab.network(7)
    while len(nodes) > 2:
        victim = nodes.pop(0 if len(nodes) % 2 else -1)
        if len(nodes) % 2:
            victim.stop()
        else:
            victim.kill()
        until(lambda: all(victim.id not in n.peers() for n in nodes), 3, 'removal')
        until(lambda: connected(nodes) and in_bounds(nodes, min(3, len(nodes) - 1), 5),
              15 * SLOWNESS, lambda: '%d nodes as one network, 3 peers each: %s' % (
                  len(nodes), [len(n.peers()) for n in nodes]))
        for node in nodes:
            node.wait_status('members', len(nodes), 5)
        hears(nodes[0], nodes[-1], 'still here')


@case
def netsplit(lab):
    """Two networks that have lived apart are made one by one command, and say so."""
    groups = []
    for letter in 'pq':
        group = [lab.node(letter + '0')]
        group += [lab.node('%s%d' % (letter, i), seeds=[group[0]]) for i in range(1, 4)]
        groups.append(group)
    p, q = groups
    everyone = p + q
    for group in groups:
        until(lambda: connected(group) and in_bounds(group, 3, 5), 15, 'a network of four')
    check(not connected(everyone), 'one network before the command')
    # A component speaks for itself after three beacons of 5 s.
    time.sleep(17)
    for node in everyone:
        equal(node.events('netsplit'), [], node.name + ': netsplit before the command')
        node.since = node.last()
    p[1].ctl('connect %s\n' % q[2].address)
    until(lambda: connected(everyone), 20, 'one network')
    for node in everyone:
        split = node.wait_event('netsplit', seconds=20, after=node.since)
        node.wait_event('healed', seconds=40, after=split.seq)
    for node in everyone:
        node.wait_status('members', 8, 20)
        equal(len(node.events('netsplit')), 1, node.name + ': netsplit events')
        equal(len(node.events('healed')), 1, node.name + ': healed events')
    check(connected(everyone) and in_bounds(everyone, 3, 5), 'peers: %s' % [
        len(n.peers()) for n in everyone])
    hears(q[0], p[3], 'from one half to the other')
    hears(p[0], q[3], 'and back')


if __name__ == '__main__':
    main(150)
