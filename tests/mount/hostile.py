# SPDX-License-Identifier: MIT
"""Whoever can reach the port: nonsense, silence, floods and shortage. The node stays what it was."""

import contextlib
import os
import random
import resource
import select
import socket
import struct
import time

from harness import (KIB, MIB, SANITIZED, SLOWNESS, Watch, case, check, check_idle, cpu_seconds, descriptors,
                     equal, main, new_key, opened, proc, put, resident, until, within)
from member import (ACCEPT, ACCEPTOR, ANNOUNCE, BATCH, CHUNK, CREDIT, FRONTIER, GOODBYE, HELLO,
                    PEERS, PING, PONG, PROBE, PROOF, PULL, REWIRE, STREAM, STREAM_CREDIT, TLS_1_2,
                    TRIMMED, ZERO, Identity, Member, Raw, Session, address, first_key, frame,
                    hello, identity, key_name)


CLIENT_HELLO = b'\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03' + bytes(506)
NOTHING = frame(FRONTIER, b'\1\0\0')  # "I have nothing": now batches may come


def no_tls():
    """What is no TLS, or none that this speaks."""
    yield b'\0\0\0\0'
    yield b'\xff\xff\xff\xff\x01'                       # 4 GiB
    yield b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    yield b'SSH-2.0-OpenSSH_9.2p1\r\n'
    yield hello()                                       # frames in the clear
    yield frame(PING, bytes(8))
    yield CLIENT_HELLO                                  # of zeros
    yield CLIENT_HELLO[:6] + b'\x00\x20\x00' + CLIENT_HELLO[9:]     # one of 8 KiB
    yield CLIENT_HELLO[:6] + b'\xff\xff\xff' + CLIENT_HELLO[9:]     # one of 16 MiB
    yield CLIENT_HELLO[:5] + b'\x02' + CLIENT_HELLO[6:]             # no ClientHello
    yield b'\x17' + CLIENT_HELLO[1:]                    # application data
    yield b'\x15\x03\x03\0\x02\x02\x28'                 # an alert
    yield b'\x16\x02\0' + CLIENT_HELLO[3:]              # of SSL 2
    yield os.urandom(4000)


@case
def strangers(lab):
    """Without TLS of our kind nobody comes as far as a frame."""
    a, b = lab.pair()
    watch = Watch(a)
    raws = []
    for i, nonsense in enumerate(no_tls()):
        raws.append((Raw(a), 'case %d (%r)' % (i, nonsense[:20])))
        raws[-1][0].send(nonsense)
        check(raws[-1][0].drained(3 * SLOWNESS), raws[-1][1] + ': the connection stays')
        raws[-1][0].close()
    for what, keys in (('no certificate', {}), ('TLS 1.2', {'version': TLS_1_2, 'who': identity(1)}),
                       ('no ALPN', {'alpn': None, 'who': identity(1)}),
                       ('another ALPN', {'alpn': b'h2', 'who': identity(1)})):
        session = Session(a, **keys)
        # A client has done its part before the server has judged it.
        check(session.refused or session.closed(3 * SLOWNESS) == [], what + ': not refused')
        raws.append((session, what))
        session.close()
    watch.done()
    refused = watch.events('refused')
    for raw, what in raws:
        equal([e.reason for e in refused if e.addr == raw.local], ['tls'], what + ': events')
    equal(len(refused), len(raws), 'events')
    equal((watch.events('add'), a.peers()), ([], {b.id}), 'peers')
    hears(b, a)


def no_proof(lab, session, node):
    """What does not prove membership, with what it is called."""
    key, other = first_key(node.key), bytes.fromhex(new_key())
    proof = session.proof(key)
    yield frame(PROOF, session.proof(other)), 'network-key', 'another key'
    yield frame(PROOF, session.proof(other, name=key_name(key))), 'network-key', 'under a false name'
    yield frame(PROOF, session.proof(key, role=ACCEPTOR)), 'network-key', 'the role of the acceptor'
    yield frame(PROOF, session.proof(key, exporter=bytes(32))), 'network-key', 'another session'
    yield frame(PROOF, session.proof(key, own=bytes(32))), 'network-key', 'another identity'
    yield frame(PROOF, proof[:-1] + bytes([proof[-1] ^ 1])), 'network-key', 'a bit is wrong'
    yield frame(PROOF, key_name(key) + bytes(32)), 'network-key', 'zeros'
    yield frame(PROOF, proof[:-1]), 'protocol-error', 'cut'
    yield frame(PROOF, proof + b'\0'), 'protocol-error', 'too long'
    yield frame(PROOF), 'protocol-error', 'empty'
    yield hello(), 'protocol-error', 'HELLO instead'
    yield frame(STREAM, b'\0\0data'), 'protocol-error', 'STREAM instead'
    yield frame(200, b'unknown'), 'protocol-error', 'an unknown frame'
    yield b'\0\0\0\0', 'protocol-error', 'an empty frame'
    yield struct.pack('>IB', 2 * KIB + 1, PROOF), 'protocol-error', 'an oversize frame'
    yield frame(PROOF, proof) + frame(PROOF, proof), 'protocol-error', 'twice'


@case
def no_members(lab):
    """TLS without the network's key: nothing is learnt, and nothing else looked at."""
    a, b = lab.pair()
    watch = Watch(a)
    count = len(list(no_proof(lab, Session(a, identity(0)), a)))
    until(lambda: len(watch.events('refused')) == 1, 5, 'the end of the first')
    for i in range(count):
        session = Session(a, identity(i))
        check(not session.refused, 'TLS')
        nonsense, reason, what = list(no_proof(lab, session, a))[i]
        session.send(nonsense)
        said = session.closed(3 * SLOWNESS)
        check(said is not None, what + ': the connection stays')
        kinds = [kind for kind, _ in said]
        check(what == 'twice' or PROOF not in kinds, what + ': was answered by a proof')
        check(set(kinds) <= {PROOF, GOODBYE}, '%s: %s' % (what, said))
        session.close()
        found = [e.reason for e in watch.events('refused') if e.addr == session.local]
        equal(found, [reason], what + ': events')
    watch.done()
    equal((watch.events('add'), a.peers()), ([], {b.id}), 'peers')
    hears(b, a)


def early_nonsense():
    """What no member may say before a link is up, each a connection of its own."""
    yield struct.pack('>IB', 2 * KIB + 1, HELLO)        # more than a HELLO may have
    yield frame(HELLO)
    yield frame(HELLO, hello()[5:15])
    yield hello()[:4] + b'\xc8' + hello()[5:]
    yield frame(ACCEPT)                                 # before HELLO
    yield frame(PING, bytes(8))
    yield frame(STREAM, b'\0\0data')
    yield frame(BATCH, bytes(50))
    yield hello(low=2, high=1)
    yield hello(intent=0)
    yield hello(intent=9)
    yield hello(name=b'x' * 64)
    yield hello(addresses=bytes([9]) + address(1) * 9)
    yield hello(addresses=bytes([1]) + b'\x05' + bytes(6))
    yield hello(addresses=bytes([1]) + address(0))
    yield hello(addresses=bytes([2]) + address(1))
    yield frame(HELLO, hello()[5:-3])                   # cut, with a length that fits
    yield hello() + hello()                             # twice
    yield hello() + frame(ACCEPT, b'x')
    yield hello() + frame(STREAM, b'\0\0data')          # before ACCEPT
    yield hello() + frame(GOODBYE, b'\x01\x09')
    yield frame(GOODBYE)


@case
def malformed_before_the_link(lab):
    a, b = lab.pair()
    watch = Watch(a)
    for i, nonsense in enumerate(early_nonsense()):
        what = 'case %d (%r)' % (i, nonsense[:20])
        member = Member(a, identity(i))
        member.send(nonsense)
        said = member.closed(3 * SLOWNESS)
        check(said is not None, what + ': the connection stays')
        check(all(kind in (HELLO, GOODBYE) for kind, _ in said), '%s: %s' % (what, said))
        member.close()
        equal([e.reason for e in watch.events('refused') if e.addr == member.local],
              ['protocol-error'], what + ': events')
    watch.done()
    equal((watch.events('add'), a.peers()), ([], {b.id}), 'peers')
    hears(b, a)


def hears(target, source):
    with opened(target.path('broadcast')) as fd:
        put(source.path('broadcast'), 'still here')
        check(select.select([fd], [], [], 5)[0], 'no message came')
        os.read(fd, 100)


def signed(who, node, tag, rest, incarnation=1, network=None):
    """Bytes of a BATCH or ANNOUNCE, with a good signature."""
    stamp = (network or key_name(first_key(node.key))) + who.public + struct.pack(
        '>Q', incarnation)
    return who.sign(tag, stamp + rest)


def late_nonsense(who, node):
    """What nobody may say on a link that is up."""
    source = bytes(range(50, 66)) + struct.pack('>Q', 1)

    def batch(first, total, *lengths):
        return NOTHING + frame(BATCH, signed(who, node, b'smokefs/1 batch', struct.pack(
            '>QQIH', first, 0, total, len(lengths)) + b''.join(struct.pack('>I', n) for n in lengths)
            + bytes(32) * -(-total // (16 * KIB))))

    def announce(kind, claimed, payload):
        return frame(ANNOUNCE, signed(who, node, b'smokefs/1 announce', struct.pack(
            '>QBH', 1, kind, claimed) + payload))
    yield frame(HELLO, b''), 'HELLO'
    yield frame(ACCEPT), 'ACCEPT'
    yield frame(PROOF, bytes(40)), 'PROOF'
    yield b'\0\0\0\0', 'an empty frame'
    yield struct.pack('>IB', 20 * KIB + 1, STREAM), 'an oversize frame'
    yield frame(PING, bytes(7)), 'a short PING'
    yield frame(PING, bytes(9)), 'a long PING'
    yield frame(PONG), 'an empty PONG'
    yield frame(PEERS, b'\x11'), 'too many PEERS'
    yield frame(PEERS, b'\x02' + bytes(17)), 'PEERS cut'
    yield frame(REWIRE, bytes(3)), 'REWIRE cut'
    yield frame(REWIRE, ZERO + address(1) + ZERO + bytes(32) + b'\x02'), 'REWIRE with a flag of 2'
    yield frame(FRONTIER, b'\0\xff\xff'), 'FRONTIER of 65535'
    yield frame(FRONTIER, b'\0\0\x01' + bytes(32)), 'FRONTIER with a next of 0'
    yield frame(FRONTIER, b'\x07\0\0'), 'FRONTIER with a flag of 7'
    yield frame(PULL, source + bytes(8)), 'PULL from 0'
    yield frame(TRIMMED, source), 'TRIMMED cut'
    yield batch(1, 10), 'BATCH without lengths'
    yield batch(1, 10, 9), 'BATCH with a wrong sum'
    yield batch(0, 10, 10), 'BATCH 0'
    yield batch(1, 0, 0), 'an empty message'
    yield batch(1, 2 * MIB, 2 * MIB), 'BATCH of 2 MiB'
    yield batch(2 ** 64 - 1, 2, 1, 1), 'BATCH at the end'
    yield NOTHING + frame(BATCH, bytes(100)), 'BATCH without a signature'
    yield frame(CHUNK, source), 'an empty CHUNK'
    yield frame(CREDIT, source + bytes(4)), 'CREDIT of 0'
    yield frame(STREAM, b'\0\0'), 'an empty STREAM'
    yield frame(STREAM, b'\0\x01x'), 'STREAM of channel 1'
    yield frame(STREAM, b'\0\0' + bytes(16 * KIB + 1)), 'STREAM of too much'
    yield frame(STREAM, b'\0\0' + bytes(16 * KIB)) * 17, 'STREAM beyond the window'
    yield frame(STREAM_CREDIT, b'\0\0' + struct.pack('>Q', 2 ** 63)), 'absurd STREAM_CREDIT'
    yield frame(STREAM_CREDIT, b'\0\0' + bytes(8)), 'STREAM_CREDIT taken back'
    yield frame(STREAM_CREDIT, b'\0'), 'STREAM_CREDIT cut'
    yield frame(ANNOUNCE, bytes(35)), 'ANNOUNCE cut'
    yield announce(1, 600, bytes(600)), 'a long ANNOUNCE'
    yield announce(0, 0, b''), 'ANNOUNCE of type 0'
    yield frame(GOODBYE, b''), 'an empty GOODBYE'


@case
def malformed_on_a_link(lab):
    a, b = lab.pair(options=['--max-peers', '0'])
    watch = Watch(a)
    count = len(list(late_nonsense(identity(0), a)))
    for i in range(count):
        who = identity(i)
        member = Member(a, who).join(name=b'n%d' % i)
        until(lambda: watch.events('add', name='n%d' % i), 5, 'the link')
        nonsense, what = list(late_nonsense(who, a))[i]
        member.send(nonsense)
        check(member.closed(3 * SLOWNESS) is not None, what + ': the link stays')
        member.close()
        equal([e.reason for e in watch.events('remove', name='n%d' % i)], ['protocol-error'],
              what + ': remove')
    watch.done()
    equal(watch.events('refused'), [], 'refused')
    equal(a.peers(), {b.id}, 'peers')
    # Nothing of it went on to the neighbour.
    equal(b.events('remove'), [], 'remove at the neighbour')
    hears(b, a)


@case
def false_signatures(lab):
    """What is not signed as it says closes the link that it came over, and goes nowhere."""
    a, b = lab.pair(options=['--max-peers', '0'])
    watch = Watch(a, b)
    size = struct.pack('>QQIHI', 1, 0, 5, 1, 5) + bytes(32)
    beacon = struct.pack('>QBHQ', 1, 1, 8, 1)
    for i in range(4):
        who, other = identity(i), identity(100 + i)
        good = signed(who, a, b'smokefs/1 batch', size)
        nonsense, what = (
            (frame(BATCH, good[:-1] + bytes([good[-1] ^ 1])), 'a bit of the signature'),
            (frame(BATCH, good[:8] + other.public + good[40:]), 'the key of another'),
            (frame(BATCH, signed(who, a, b'smokefs/1 announce', size)), 'signed as something else'),
            (frame(ANNOUNCE, signed(who, a, b'smokefs/1 batch', beacon)), 'ANNOUNCE as something else'),
        )[i]
        member = Member(a, who).join(name=b'n%d' % i)
        until(lambda: watch.events('add', name='n%d' % i), 5, 'the link')
        member.send(NOTHING + nonsense)
        check(member.closed(3 * SLOWNESS) is not None, what + ': the link stays')
        member.close()
        equal([e.reason for e in watch.events('remove', name='n%d' % i)], ['bad-signature'],
              what + ': remove')
    watch.done()
    equal(a.status()['signatures_bad'], 4, 'signatures_bad')
    equal((a.peers(), watch.events('remove', node=1)), ({b.id}, []), 'the neighbour')
    hears(b, a)


@case
def unknown_frames(lab):
    """A newer version's frames and announcements are skipped; the link stays."""
    a, b = lab.pair()
    who = identity(1)
    member = Member(a, who).join()
    until(lambda: len(a.peers()) == 2, 3, 'the link')
    for kind in (99, 100, 255):
        member.send(frame(kind, os.urandom(1000)))
    member.send(frame(ANNOUNCE, signed(who, a, b'smokefs/1 announce', struct.pack(
        '>QBH', 1, 200, 5) + b'later')))
    member.send(frame(PING, b'echo me!'))
    for kind, payload in member.frames():
        if kind == PONG and payload == b'echo me!':
            break
    else:
        check(False, 'the link has ended')
    equal(a.status()['frames_unknown'], 3, 'frames_unknown')
    equal(len(a.peers()), 2, 'peers')
    # HELLO may be longer than we know.
    other = Member(a, identity(2)).join(tail=b'something new')
    until(lambda: len(a.peers()) == 3, 3, 'the link')
    member.close()
    other.close()
    until(lambda: a.peers() == {b.id}, 3, 'the end')


@case
def versions(lab):
    a = lab.node()
    for low, high in ((2, 2), (2, 9), (0, 0)):
        watch = Watch(a)
        member = Member(a, identity(1))
        member.send(hello(low=low, high=high))
        said = member.closed(3)
        equal([(kind, payload[:1]) for kind, payload in said], [(GOODBYE, b'\x06')],
              'the answer to version %d-%d' % (low, high))
        member.close()
        watch.done()
        equal([e.reason for e in watch.events('refused')], ['version'], 'events')
    member = Member(a, identity(1)).join(low=1, high=9)
    until(lambda: a.peers(), 3, 'a link to a newer version that knows ours')
    member.close()


@case
def stolen_identity(lab):
    """With a copy of a node's key one is that node twice, and neither peer nor heir of it."""
    a, b = lab.pair()
    watch = Watch(a)
    member = Member(a, Identity.of(a))
    member.send(hello(instance=12345))
    said = member.closed(3)
    equal([(kind, payload[:1]) for kind, payload in said][-1:], [(GOODBYE, b'\x0b')], 'a double')
    member.close()
    watch.done()
    equal([e.reason for e in watch.events('refused')], ['duplicate-id'], 'events')
    # A peer that we have, in an older life: refused. The peer stays.
    watch = Watch(a)
    member = Member(a, Identity.of(b))
    member.send(hello(incarnation=1))
    said = member.closed(3)
    check(said and said[-1][0] == GOODBYE, 'an older life of a peer: %s' % said)
    member.close()
    watch.done()
    equal(watch.events('remove'), [], 'remove')
    equal(a.peers(), {b.id}, 'peers')


@case
def probes(lab):
    """A probe is answered and leaves nothing."""
    a, b = lab.pair()
    watch = Watch(a)
    for i in range(20):
        member = Member(a, identity(i))
        member.send(hello(intent=PROBE))
        said = member.closed(3)
        equal([kind for kind, _ in said], [HELLO, GOODBYE], 'the answer to a probe')
        member.close()
    watch.done()
    equal(watch.events('add'), [], 'add')
    equal(a.peers(), {b.id}, 'peers')


@case
def silent_and_half_open(lab):
    """They get 10 s, and no more than 16 places a host; peers are not hindered."""
    a, b = lab.pair()
    watch = Watch(a, b)
    began = time.monotonic()
    waiting = Member(a, identity(1))
    waiting.send(hello())  # and never an ACCEPT
    mute = Member(a, identity(2))  # never a HELLO
    silent = [Raw(a) for _ in range(8)]
    half = Raw(a)
    half.send(CLIENT_HELLO[:200])
    shut = Raw(a)
    shut.socket.shutdown(socket.SHUT_WR)
    unproven = Session(a, identity(3))
    drip = Raw(a)
    for byte in CLIENT_HELLO[:30]:
        drip.send(bytes([byte]))
    for _ in range(3):
        Raw(a).reset()
    check_idle(a, b)
    hears(b, a)
    for raw in silent + [half, waiting, mute, unproven, drip]:
        check(raw.drained(12 * SLOWNESS), 'a silent connection stays')
        raw.close()
    took = time.monotonic() - began
    check(8 < took < 12 * SLOWNESS, 'they were closed after %.1f s' % took)
    check(shut.drained(1), 'a half-closed connection stays')
    shut.close()
    watch.done()
    refused = watch.events('refused')
    addresses = [e.addr for e in refused]
    equal(len(addresses), len(set(addresses)), 'more than one event for a connection')
    equal(sum(e.reason == 'timeout' for e in refused), 13, 'timeouts')
    equal(watch.events('remove'), [], 'remove')


@case
def silent_peer(lab):
    """A link whose other end never reads, never answers: gone by ping_timeout."""
    a, b = lab.pair(options=['--ping-timeout', '1000'])
    watch = Watch(a, b)
    raw = Member(a, identity(1)).join()
    until(lambda: len(a.peers()) == 2, 3, 'the link')
    until(lambda: watch.events('remove'), 3, 'the end of a silent link')
    equal(watch.events('remove')[0].reason, 'timeout', 'reason')
    raw.close()
    watch.done()


@case
def deaf_peer(lab):
    """A link whose other end answers pings, but takes no data: it holds nobody up for long."""
    a, b = lab.pair()
    watch = Watch(a)
    raw = Member(a, identity(1)).join()
    until(lambda: len(a.peers()) == 2, 3, 'the link')
    raw.send(NOTHING)
    reader = lab.task(read_much, b.path('broadcast'), 12 * MIB)
    b.wait_status('parked_reads', 1)
    task = lab.task(write_much, a.path('broadcast'), 12 * MIB)
    # Answers pings and grants nothing: cut loose after twice stall_timeout.
    end = time.monotonic() + 12 * SLOWNESS
    raw.timeout(0.2)
    while time.monotonic() < end and not watch.events('slow'):
        try:
            for kind, payload in raw.frames():
                if kind == PING:
                    raw.send(frame(PONG, payload))
                if watch.events('slow'):
                    break
        except TimeoutError:
            pass
    check(watch.events('slow'), 'a peer that takes nothing holds up the others')
    equal(watch.events('remove'), [], 'it may catch up')
    task.result(30)
    equal(reader.result(30), 12 * MIB, 'bytes at the other peer')
    raw.close()
    watch.done()


def write_much(path, n):
    with opened(path, os.O_WRONLY) as fd:
        while n > 0:
            n -= os.write(fd, b'm' * min(n, 64 * KIB))


def read_much(path, n):
    got = 0
    with opened(path) as fd:
        while got < n:
            got += len(os.read(fd, MIB))
    return got


@case
def thousand_connects(lab):
    a, b = lab.pair()
    watch = Watch(a, b)
    memory = resident(a.pid)
    rng = random.Random(1)
    with within(30 * SLOWNESS, '1,000 connects'):
        for i in range(1000):
            raw = Raw(a)
            kind = i % 5
            if kind == 1:
                raw.send(os.urandom(rng.randrange(1, 300)))
            elif kind == 2:
                raw.send(CLIENT_HELLO[:rng.randrange(1, 60)])
            elif kind == 3:
                raw.send(CLIENT_HELLO)
            (raw.reset if i % 2 else raw.close)()
    watch.done(5)
    refused = watch.events('refused')
    counts = {}
    for e in refused:
        counts[e.addr] = counts.get(e.addr, 0) + 1
    check(len(refused) <= 1000, '%d events for 1,000 connections' % len(refused))
    check(max(counts.values()) <= 2, 'several events for one connection')  # ports are used again
    equal([watch.events(name) for name in ('add', 'remove')], [[], []], 'add and remove')
    equal(a.peers(), {b.id}, 'peers')
    grown = resident(a.pid) - memory
    # A sanitizer keeps what is freed.
    check(SANITIZED or grown < 4 * MIB, 'the node has grown by %d KiB' % (grown // KIB))
    hears(b, a)
    check_idle(a)


@case
def too_many_at_once(lab):
    """More than 16 of one host that have not proven who they are: the rest is turned away."""
    a, b = lab.pair()
    watch = Watch(a)
    crowd = [Raw(a) for _ in range(100)]
    until(lambda: a.status()['accepts_refused'] >= 84, 5, 'refusals')
    equal(len([e for e in watch.events('refused') if e.reason == 'busy']), 84, 'busy')
    put(a.path('broadcast'), 'x')
    for raw in crowd:
        raw.close()
    watch.done()
    c = lab.node(seeds=[a])
    c.wait_peers(1)


@case
def no_descriptors(lab):
    """EMFILE in accept: no busy loop, and everything as before when there are some again."""
    a, b = lab.pair()
    watch = Watch(a)
    soft, hard = resource.prlimit(a.pid, resource.RLIMIT_NOFILE)
    used = max(map(int, descriptors(a.pid))) + 1
    resource.prlimit(a.pid, resource.RLIMIT_NOFILE, (used, hard))
    try:
        crowd = []
        for _ in range(5):
            with contextlib.suppress(OSError):
                crowd.append(Raw(a))
        until(lambda: a.status()['accepts_failed'] >= 1, 5, 'accepts_failed')
        check_idle(a)
        # The mount and the peers do not suffer.
        os.listdir(a.mount)
        hears(b, a)
        hears(a, b)
        # Nobody is left to wait for an answer that does not come.
        for raw in crowd:
            check(raw.drained(5), 'a connection hangs')
            raw.close()
    finally:
        resource.prlimit(a.pid, resource.RLIMIT_NOFILE, (soft, hard))
    failed = watch.events('refused')
    check(len(failed) <= len(crowd), '%d events for %d connections' % (len(failed), len(crowd)))
    equal({e.reason for e in failed}, {'EMFILE'}, 'reasons')
    watch.done()
    c = lab.node(seeds=[a])
    c.wait_peers(1)
    check(c.id in a.peers() or a.id in c.peers(), 'no new peer after EMFILE')


@case
def idle_nodes(lab):
    """A network in which nothing happens costs next to nothing."""
    nodes = lab.network(5)
    with opened(nodes[0].path('broadcast')) as fd:
        task = lab.task(os.read, fd, 1)  # and a reader that waits
        nodes[0].wait_status('parked_reads', 1)
        before = [cpu_seconds(n.pid) for n in nodes]
        time.sleep(4)
        used = [cpu_seconds(n.pid) - x for n, x in zip(nodes, before)]
        check(max(used) / 4 < 0.02 * SLOWNESS, 'CPU of idle nodes: %s' % used)
        task.kill()
    memory = max(resident(n.pid) for n in nodes)
    check(memory < 8 * MIB * 10 ** (SLOWNESS > 1), 'resident: %d KiB' % (memory // KIB))
    for node in nodes:
        check(proc(node.pid).state in 'SR', 'state')


@case
def noise_on_a_stream(lab):
    """A stream's bytes are nobody's business: all 256 values, and what looks like frames."""
    a, b = lab.pair()
    data = bytes(range(256)) * 100 + frame(GOODBYE, b'\x01\0') * 50 + b'\0' * 5000 + b'\xff' * 5000
    with opened(a.stream(b), os.O_WRONLY) as w, opened(b.stream(a)) as r:
        os.write(w, data)
        got = b''
        while len(got) < len(data):
            got += os.read(r, MIB)
    check(got == data, 'bytes were changed')
    equal(len(a.peers()), 1, 'peers')


if __name__ == '__main__':
    main(150)
