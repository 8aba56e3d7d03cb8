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

from harness import (KIB, MIB, SLOWNESS, case, check, cpu_seconds, descriptors, equal, main,
                     opened, proc, put, resident, until, within)

HELLO, ACCEPT, GOODBYE, PING, PONG, PEERS, REWIRE, FRONTIER, PULL, TRIMMED, BATCH, CHUNK, CREDIT, \
    STREAM, STREAM_CREDIT, ANNOUNCE = range(1, 17)
JOIN, REPLACE, PROBE = 1, 2, 3
ZERO = bytes(16)


def frame(kind, payload=b''):
    return struct.pack('>IB', len(payload) + 1, kind) + payload


def address(port):
    return b'\x04\x7f\0\0\x01' + struct.pack('>H', port)


def hello(ident, low=1, high=1, intent=JOIN, name=b'hostile', port=9, instance=7, incarnation=1,
          addresses=None, tail=b''):
    return frame(HELLO, struct.pack('>HHIB', low, high, 0, intent) + ident + struct.pack(
        '>QQHH', incarnation, instance, 0, 5) + ZERO + ZERO + b'\0' + ZERO + struct.pack(
        '>QI', 0, 0) + bytes([len(name)]) + name + (
        bytes([1]) + address(port) if addresses is None else addresses) + tail)


class Raw:
    """A connection that may say anything."""

    def __init__(self, node, timeout=5):
        self.socket = socket.create_connection(('127.0.0.1', node.port), timeout)
        self.local = '127.0.0.1:%d' % self.socket.getsockname()[1]
        self.data = b''

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def frames(self):
        """Frames until the other end closes."""
        while True:
            while len(self.data) >= 5:
                n, kind = struct.unpack('>IB', self.data[:5])
                if len(self.data) < n + 4:
                    break
                yield kind, self.data[5:n + 4]
                self.data = self.data[n + 4:]
            try:
                part = self.socket.recv(65536)
            except ConnectionResetError:
                return
            if not part:
                return
            self.data += part

    def closed(self, seconds):
        """Waits for the other end to close; what it said before."""
        self.socket.settimeout(seconds)
        try:
            return list(self.frames())
        except TimeoutError:
            return None

    def join(self, ident, **keys):
        """The whole handshake of one who dials."""
        self.send(hello(ident, **keys))
        for kind, _ in self.frames():
            equal(kind, HELLO, 'the answer to HELLO')
            break
        self.send(frame(ACCEPT))
        return self

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()


class Watch:
    """What the node had before: descriptors, events, its peers."""

    def __init__(self, *nodes):
        self.nodes = nodes
        self.before = [(len(descriptors(n.pid)), n.last(), n.peers()) for n in nodes]

    def done(self, seconds=3):
        for node, (count, _, peers) in zip(self.nodes, self.before):
            until(lambda: len(descriptors(node.pid)) <= count, seconds * SLOWNESS,
                  lambda: '%s: %d descriptors as before (%d)' % (
                      node.name, count, len(descriptors(node.pid))))
            check(peers <= node.peers(), '%s: peers were lost' % node.name)
            node.status()

    def events(self, name, node=0):
        return [e for e in self.nodes[node].events(name) if e.seq > self.before[node][1]]


def idle(node, seconds=2.5):
    """The share of a CPU that it takes when nothing happens."""
    began, used = time.monotonic(), cpu_seconds(node.pid)
    time.sleep(seconds)
    return (cpu_seconds(node.pid) - used) / (time.monotonic() - began)


def check_idle(*nodes):
    for node in nodes:
        share = idle(node)
        check(share < 0.02 * SLOWNESS, '%s: %.1f %% CPU when idle' % (node.name, share * 100))


NEWCOMER = bytes(range(16))


def early_nonsense(ident):
    """What nobody may say before a link is up, each a connection of its own."""
    yield b'\0\0\0\0'                                   # an empty frame
    yield b'\xff\xff\xff\xff\x01'                       # 4 GiB
    yield struct.pack('>IB', 2 * KIB + 1, HELLO)        # more than a HELLO may have
    yield b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    yield b'SSH-2.0-OpenSSH_9.2p1\r\n'
    yield b'\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03' + bytes(500)
    yield os.urandom(4000)
    yield frame(HELLO)
    yield frame(HELLO, hello(ident)[5:15])
    yield hello(ident)[:4] + b'\x07' + hello(ident)[5:]
    yield frame(ACCEPT)                                 # before HELLO
    yield frame(PING, bytes(8))
    yield frame(STREAM, b'\0\0data')
    yield frame(BATCH, bytes(50))
    yield frame(200, b'unknown')
    yield hello(ZERO)                                   # no id
    yield hello(ident, low=2, high=1)
    yield hello(ident, intent=0)
    yield hello(ident, intent=9)
    yield hello(ident, name=b'x' * 64)
    yield hello(ident, addresses=bytes([9]) + address(1) * 9)
    yield hello(ident, addresses=bytes([1]) + b'\x05' + bytes(6))
    yield hello(ident, addresses=bytes([1]) + address(0))
    yield hello(ident, addresses=bytes([2]) + address(1))
    yield frame(HELLO, hello(ident)[5:-3])              # cut, with a length that fits
    yield hello(ident) + hello(ident)                   # twice
    yield hello(ident) + frame(ACCEPT, b'x')
    yield hello(ident) + frame(STREAM, b'\0\0data')     # before ACCEPT
    yield hello(ident) + frame(GOODBYE, b'\x01\x09')
    yield frame(GOODBYE)


@case
def malformed_before_the_handshake(lab):
    a, b = lab.pair()
    watch = Watch(a)
    raws = []
    for i, nonsense in enumerate(early_nonsense(NEWCOMER)):
        raws.append((Raw(a), 'case %d (%r)' % (i, nonsense[:20])))
        raws[-1][0].send(nonsense)
    for raw, what in raws:
        said = raw.closed(3 * SLOWNESS)
        check(said is not None, what + ': the connection stays')
        check(all(kind in (HELLO, GOODBYE) for kind, _ in said), '%s: %s' % (what, said))
        raw.close()
    watch.done()
    refused = watch.events('refused')
    for raw, what in raws:
        equal([e.reason for e in refused if e.addr == raw.local], ['protocol-error'],
              what + ': events')
    equal(len(refused), len(raws), 'events')
    equal(watch.events('add'), [], 'add')
    equal(a.peers(), {b.id}, 'peers')
    hears(b, a)


def hears(target, source):
    with opened(target.path('broadcast')) as fd:
        put(source.path('broadcast'), 'still here')
        check(select.select([fd], [], [], 5)[0], 'no message came')
        os.read(fd, 100)


def late_nonsense():
    """What nobody may say on a link that is up."""
    source = bytes(range(50, 66)) + struct.pack('>Q', 1)
    yield frame(HELLO, b''), 'HELLO'
    yield frame(ACCEPT), 'ACCEPT'
    yield b'\0\0\0\0', 'an empty frame'
    yield struct.pack('>IB', 20 * KIB + 1, STREAM), 'an oversize frame'
    yield frame(PING, bytes(7)), 'a short PING'
    yield frame(PING, bytes(9)), 'a long PING'
    yield frame(PONG), 'an empty PONG'
    yield frame(PEERS, b'\x11'), 'too many PEERS'
    yield frame(PEERS, b'\x02' + bytes(17)), 'PEERS cut'
    yield frame(REWIRE, bytes(3)), 'REWIRE cut'
    yield frame(REWIRE, ZERO + address(1) + ZERO + b'\x02'), 'REWIRE with a flag of 2'
    yield frame(FRONTIER, b'\0\xff\xff'), 'FRONTIER of 65535'
    yield frame(FRONTIER, b'\0\0\x01' + bytes(32)), 'FRONTIER with a next of 0'
    yield frame(FRONTIER, b'\x07\0\0'), 'FRONTIER with a flag of 7'
    yield frame(PULL, source + bytes(8)), 'PULL from 0'
    yield frame(TRIMMED, source), 'TRIMMED cut'
    batch = struct.pack('>QIH', 1, 10, 1)
    yield frame(BATCH, source + batch), 'BATCH without lengths'
    yield frame(BATCH, source + batch + struct.pack('>I', 9)), 'BATCH with a wrong sum'
    yield frame(BATCH, source + struct.pack('>QIH', 0, 10, 1) + struct.pack('>I', 10)), 'BATCH 0'
    yield frame(BATCH, source + struct.pack('>QIHI', 1, 0, 1, 0)), 'an empty message'
    yield frame(BATCH, source + struct.pack('>QIH', 1, 0, 0)), 'BATCH of none'
    yield frame(BATCH, source + struct.pack('>QIHI', 1, 2 * MIB, 1, 2 * MIB)), 'BATCH of 2 MiB'
    yield frame(BATCH, source + struct.pack('>QIHII', 2 ** 64 - 1, 2, 2, 1, 1)), 'BATCH at the end'
    yield frame(CHUNK, source), 'an empty CHUNK'
    yield frame(CREDIT, source + bytes(4)), 'CREDIT of 0'
    yield frame(STREAM, b'\0\0'), 'an empty STREAM'
    yield frame(STREAM, b'\0\x01x'), 'STREAM of channel 1'
    yield frame(STREAM, b'\0\0' + bytes(16 * KIB + 1)), 'STREAM of too much'
    yield frame(STREAM, b'\0\0' + bytes(16 * KIB)) * 17, 'STREAM beyond the window'
    yield frame(STREAM_CREDIT, b'\0\0' + struct.pack('>Q', 2 ** 63)), 'absurd STREAM_CREDIT'
    yield frame(STREAM_CREDIT, b'\0\0' + bytes(8)), 'STREAM_CREDIT taken back'
    yield frame(STREAM_CREDIT, b'\0'), 'STREAM_CREDIT cut'
    yield frame(ANNOUNCE, bytes(35)), 'ANNOUNCE of nobody'
    yield frame(ANNOUNCE, source + struct.pack('>QBH', 1, 1, 600) + bytes(600)), 'a long ANNOUNCE'
    yield frame(ANNOUNCE, source + struct.pack('>QBH', 1, 0, 0)), 'ANNOUNCE of type 0'
    yield frame(GOODBYE, b''), 'an empty GOODBYE'


@case
def malformed_on_a_link(lab):
    a, b = lab.pair(options=['--max-peers', '0'])
    watch = Watch(a)
    raws = []
    for i, (nonsense, what) in enumerate(late_nonsense()):
        raws.append((Raw(a).join(bytes([i + 1]) * 16, name=b'n%d' % i), nonsense, what))
    until(lambda: len(watch.events('add')) == len(raws), 5, 'all links')
    for raw, nonsense, _ in raws:
        raw.send(nonsense)
    for raw, _, what in raws:
        check(raw.closed(3 * SLOWNESS) is not None, what + ': the link stays')
        raw.close()
    watch.done()
    removed = watch.events('remove')
    for i, (_, _, what) in enumerate(raws):
        equal([e.reason for e in removed if e.fields['name'] == 'n%d' % i], ['protocol-error'],
              what + ': remove')
    equal(watch.events('refused'), [], 'refused')
    equal(a.peers(), {b.id}, 'peers')
    # Nothing of it went on to the neighbour.
    equal(b.events('remove'), [], 'remove at the neighbour')
    hears(b, a)


@case
def unknown_frames(lab):
    """A newer version's frames and announcements are skipped; the link stays."""
    a, b = lab.pair()
    raw = Raw(a).join(b'u' * 16)
    until(lambda: len(a.peers()) == 2, 3, 'the link')
    for kind in (17, 100, 255):
        raw.send(frame(kind, os.urandom(1000)))
    raw.send(frame(ANNOUNCE, b'u' * 16 + struct.pack('>QQBH', 1, 1, 200, 5) + b'later'))
    raw.send(frame(PING, b'echo me!'))
    for kind, payload in raw.frames():
        if kind == PONG and payload == b'echo me!':
            break
    else:
        check(False, 'the link has ended')
    equal(a.status()['frames_unknown'], 3, 'frames_unknown')
    equal(len(a.peers()), 2, 'peers')
    # HELLO may be longer than we know.
    other = Raw(a).join(b'v' * 16, tail=b'something new')
    until(lambda: len(a.peers()) == 3, 3, 'the link')
    raw.close()
    other.close()
    until(lambda: a.peers() == {b.id}, 3, 'the end')


@case
def versions(lab):
    a = lab.node()
    for low, high in ((2, 2), (2, 9), (0, 0)):
        watch = Watch(a)
        raw = Raw(a)
        raw.send(hello(NEWCOMER, low=low, high=high))
        said = raw.closed(3)
        equal([(kind, payload[:1]) for kind, payload in said], [(GOODBYE, b'\x06')],
              'the answer to version %d-%d' % (low, high))
        raw.close()
        watch.done()
        equal([e.reason for e in watch.events('refused')], ['version'], 'events')
    raw = Raw(a).join(NEWCOMER, low=1, high=9)
    until(lambda: a.peers(), 3, 'a link to a newer version that knows ours')
    raw.close()


@case
def own_id(lab):
    """Somebody with our id is no peer; a probe is answered and leaves nothing."""
    a, b = lab.pair()
    mine = decode_id(a.id)
    watch = Watch(a)
    raw = Raw(a)
    raw.send(hello(mine, instance=12345))
    said = raw.closed(3)
    equal([(kind, payload[:1]) for kind, payload in said][-1:], [(GOODBYE, b'\x0b')], 'a double')
    raw.close()
    watch.done()
    equal([e.reason for e in watch.events('refused')], ['duplicate-id'], 'events')
    # The id of a peer that we have, of an older life: refused. The peer stays.
    watch = Watch(a)
    raw = Raw(a)
    raw.send(hello(decode_id(b.id), incarnation=1))
    said = raw.closed(3)
    check(said and said[-1][0] == GOODBYE, 'a forged peer: %s' % said)
    raw.close()
    watch.done()
    equal(watch.events('remove'), [], 'remove')
    probes = [Raw(a) for _ in range(20)]
    for raw in probes:
        raw.send(hello(NEWCOMER, intent=PROBE))
    for raw in probes:
        said = raw.closed(3)
        equal([kind for kind, _ in said], [HELLO, GOODBYE], 'the answer to a probe')
        raw.close()
    watch.done()
    equal(watch.events('add'), [], 'add')
    equal(a.peers(), {b.id}, 'peers')


def decode_id(text):
    alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
    bits = ''.join(format(alphabet.index(c), '05b') for c in text)
    return int(bits[:128], 2).to_bytes(16, 'big')


@case
def silent_and_half_open(lab):
    """They get 10 s, and no more than 64 places; peers are not hindered."""
    a, b = lab.pair()
    watch = Watch(a, b)
    began = time.monotonic()
    silent = [Raw(a) for _ in range(20)]
    half = Raw(a)
    half.send(hello(NEWCOMER)[:20])
    shut = Raw(a)
    shut.socket.shutdown(socket.SHUT_WR)
    waiting = Raw(a)
    waiting.send(hello(b'w' * 16))  # and never an ACCEPT
    drip = Raw(a)
    for byte in hello(b'd' * 16)[:30]:
        drip.send(bytes([byte]))
    for _ in range(3):
        Raw(a).reset()
    check_idle(a, b)
    hears(b, a)
    for raw in silent + [half, waiting, drip]:
        check(raw.closed(12 * SLOWNESS) is not None, 'a silent connection stays')
        raw.close()
    took = time.monotonic() - began
    check(8 < took < 12 * SLOWNESS, 'they were closed after %.1f s' % took)
    check(shut.closed(1) is not None, 'a half-closed connection stays')
    shut.close()
    watch.done()
    refused = watch.events('refused')
    addresses = [e.addr for e in refused]
    equal(len(addresses), len(set(addresses)), 'more than one event for a connection')
    equal(sum(e.reason == 'timeout' for e in refused), 23, 'timeouts')
    equal(watch.events('remove'), [], 'remove')


@case
def silent_peer(lab):
    """A link whose other end never reads, never answers: gone by ping_timeout."""
    a, b = lab.pair(options=['--ping-timeout', '1000'])
    watch = Watch(a, b)
    raw = Raw(a).join(b's' * 16)
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
    raw = Raw(a).join(b'p' * 16)
    until(lambda: len(a.peers()) == 2, 3, 'the link')
    raw.send(frame(FRONTIER, b'\1\0\0'))  # "I have nothing": now it is sent everything
    reader = lab.task(read_much, b.path('broadcast'), 12 * MIB)
    b.wait_status('parked_reads', 1)
    task = lab.task(write_much, a.path('broadcast'), 12 * MIB)
    # Answers pings and grants nothing.
    end = time.monotonic() + 25
    raw.socket.settimeout(0.2)
    while time.monotonic() < end and not watch.events('remove'):
        try:
            for kind, payload in raw.frames():
                if kind == PING:
                    raw.send(frame(PONG, payload))
                if watch.events('remove'):
                    break
        except TimeoutError:
            pass
    check(watch.events('remove'), 'a peer that takes nothing stays for ever')
    e, = watch.events('remove')
    check(e.reason in ('slow', 'timeout'), 'reason=' + e.reason)
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
                raw.send(hello(NEWCOMER)[:rng.randrange(1, 60)])
            elif kind == 3:
                raw.send(hello(bytes([1 + i % 255]) * 16))
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
    check(grown < 4 * MIB * SLOWNESS, 'the node has grown by %d KiB' % (grown // KIB))
    hears(b, a)
    check_idle(a)


@case
def too_many_at_once(lab):
    """More than 64 that have not said who they are: the rest is turned away at once."""
    a, b = lab.pair()
    watch = Watch(a)
    crowd = [Raw(a) for _ in range(100)]
    until(lambda: a.status()['accepts_refused'] >= 36, 5, 'refusals')
    equal(len([e for e in watch.events('refused') if e.reason == 'busy']), 36, 'busy')
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
            check(raw.closed(5) is not None, 'a connection hangs')
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
