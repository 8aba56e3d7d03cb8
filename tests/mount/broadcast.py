# SPDX-License-Identifier: MIT
"""Everyone's messages to everyone: whole, once, in the order of each writer."""

import errno
import hashlib
import os
import random
import select
import signal

from harness import (KIB, MESSAGE_MAX, MIB, SLOWNESS, case, check, equal, main, opened, put, raises,
                     until)

WRITERS, COUNT = 8, 100
HEADER = 64


def compose(writer, number, size):
    """A message that tells whether it is whole, and whose."""
    size = max(size, HEADER)
    body = random.Random(writer * 1000 + number).randbytes(size - HEADER)
    digest = hashlib.sha256(body).hexdigest()[:32]
    header = '%d %d %d %s' % (writer, number, size, digest)
    return header.ljust(HEADER - 1).encode() + b'\n' + body


def size_of(writer, number):
    """Tiny, middling and very big ones among each other."""
    rng = random.Random(writer * 7919 + number)
    kind = rng.randrange(20)
    if kind == 0:
        return MESSAGE_MAX if number % 2 else 1000 * 1000
    if kind < 6:
        return rng.randrange(4 * KIB, 128 * KIB)
    return rng.randrange(HEADER, 400)


def write_messages(path, writer, count, sizes):
    with opened(path, os.O_WRONLY) as fd:
        for number in range(count):
            data = compose(writer, number, sizes(writer, number))
            n = os.write(fd, data)
            check(n == len(data), 'a message of %d bytes was cut to %d' % (len(data), n))


def split(data):
    """The messages of one read, each checked."""
    while data:
        header = data[:HEADER]
        check(header[-1:] == b'\n', 'torn: begins with %r' % header)
        writer, number, size, digest = header.split()
        size = int(size)
        check(len(data) >= size, 'torn: %d of %d bytes' % (len(data), size))
        check(hashlib.sha256(data[HEADER:size]).hexdigest()[:32] == digest.decode(),
              'mixed: message %s of writer %s' % (number, writer))
        yield int(writer), int(number)
        data = data[size:]


def read_messages(path, counts, flags, packet):
    """Reads until all have come; every writer's in its order, none twice, none missing."""
    following = dict.fromkeys(counts, 0)
    with opened(path, os.O_RDONLY | flags) as fd:
        while following != counts:
            found = list(split(os.read(fd, MIB)))
            check(not packet or len(found) == 1, '%d messages in a packet' % len(found))
            for writer, number in found:
                check(writer in following, 'a message of writer %d of this very node' % writer)
                check(number == following[writer], 'writer %d: message %d, expected %d' % (
                    writer, number, following[writer]))
                following[writer] += 1
        # And nothing after that.
        if select.select([fd], [], [], 0.2)[0]:
            check(False, 'more than was written: %r' % os.read(fd, HEADER))
    return sum(following.values())


def exchange(lab, nodes, count, sizes, seconds):
    homes = {w: nodes[w % len(nodes)] for w in range(WRITERS)}
    readers = []
    for node in nodes:
        others = {w: count for w, home in homes.items() if home is not node}
        readers.append(lab.task(read_messages, node.path('broadcast'), others, 0, False))
        readers.append(lab.task(read_messages, node.path('broadcast'), others, os.O_DIRECT, True))
        node.wait_status('parked_reads', 2)
    writers = [lab.task(write_messages, home.path('broadcast'), w, count, sizes)
               for w, home in homes.items()]
    for task in writers + readers:
        task.result(seconds)
    for node in nodes:
        status = node.status()
        for counter in ('messages_lost', 'messages_missed', 'messages_overrun',
                        'frames_malformed'):
            equal(status[counter], 0, '%s: %s' % (node.name, counter))
        equal(status['messages_published'], count * sum(h is node for h in homes.values()),
              node.name + ': messages_published')
        for name in ('gap', 'lost', 'overrun', 'slow', 'remove'):
            equal(node.events(name), [], '%s: events' % node.name)


@case
def eight_writers_big_and_tiny(lab):
    exchange(lab, lab.network(5), COUNT, size_of, 60)


@case
def eight_writers_tiny(lab):
    exchange(lab, lab.network(5), 10 * COUNT, lambda w, n: HEADER + (w * n) % 50, 30)


@case
def reading_starts_at_open(lab):
    nodes = lab.network(3)
    put(nodes[0].path('broadcast'), 'too early')
    for node in nodes[1:]:
        until(lambda: node.status()['messages_received'] == 1, 5, 'the message')
    with opened(nodes[1].path('broadcast'), os.O_NONBLOCK) as fd:
        with raises(errno.EAGAIN, what='read'):
            os.read(fd, 100)
        # From the open on, not from the first read on.
        put(nodes[0].path('broadcast'), 'in time')
        put(nodes[2].path('broadcast'), 'in time too')
        until(lambda: nodes[1].status()['messages_received'] == 3, 5, 'the messages')
        got = os.read(fd, 100)
        check(got in (b'in timein time too', b'in time tooin time'), repr(got))


@case
def own_messages(lab):
    """No handle of a node reads what the node itself wrote."""
    a, b = lab.pair()
    with opened(a.path('broadcast'), os.O_RDWR | os.O_NONBLOCK) as one, \
            opened(a.path('broadcast'), os.O_NONBLOCK) as two:
        os.write(one, b'mine')
        put(a.path('broadcast'), 'mine, too')
        put(b.path('broadcast'), 'theirs')
        for fd in (one, two):
            check(select.select([fd], [], [], 5)[0], 'nothing came')
            equal(os.read(fd, 100), b'theirs', 'what a handle of the writing node reads')
            with raises(errno.EAGAIN, what='read'):
                os.read(fd, 100)


@case
def alone(lab):
    """What is written alone waits for the first peer, and a little of it parks nobody."""
    a = lab.node()
    for i in range(100):
        put(a.path('broadcast'), 'message %d\n' % i)
    a.wait_status('messages_published', 100)
    b = lab.node(seeds=[a])
    a.wait_peers(1)
    # It went before b's reader opened; but b has it.
    until(lambda: b.status()['messages_received'] == 100, 5 * SLOWNESS, 'what was written alone')
    equal(a.status()['messages_lost'], 0, 'messages_lost')


@case
def short_absence(lab):
    """A node that was cut off for a moment catches up without a gap."""
    a, b, c = lab.network(3)
    for node in (a, b, c):
        node.wait_peers(2)
    with opened(c.path('broadcast'), os.O_NONBLOCK) as fd:
        put(a.path('broadcast'), 'one\n')
        c.send(signal.SIGSTOP)
        try:
            for i in range(50):
                put(a.path('broadcast'), 'while away %d\n' % i)
            # Long enough to be cut off: both have dropped it.
            for node in (a, b):
                node.wait_event('remove', seconds=6, id=c.id)
        finally:
            c.send(signal.SIGCONT)
        c.wait_peers(2, 15)
        put(b.path('broadcast'), 'last\n')
        data = b''
        while b'last\n' not in data:
            check(select.select([fd], [], [], 10)[0], 'nothing more after %r' % data[-50:])
            data += os.read(fd, MIB)
        # `last` is of another writer: the order between the two is not promised.
        while data.count(b'\n') < 52:
            check(select.select([fd], [], [], 10)[0], 'only %d messages' % data.count(b'\n'))
            data += os.read(fd, MIB)
    mine = [line for line in data.decode().splitlines() if line != 'last']
    equal(mine, ['one'] + ['while away %d' % i for i in range(50)], 'what arrived')
    equal(c.events('gap'), [], 'gaps')


if __name__ == '__main__':
    main(100)
