# SPDX-License-Identifier: MIT
"""peers/<id>/stream and broadcast as files: blocking, polled, duplex, shared, full and gone."""

import asyncio
import errno
import hashlib
import mmap
import os
import select
import signal
import time

from harness import (KIB, MESSAGE_MAX, MIB, SLOWNESS, STREAM_WINDOW, case, check, equal, fail, main,
                     opened, put, raises, read_exactly, set_flags, until, within, write_all)

RDONLY, WRONLY, RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
NONBLOCK, DIRECT = os.O_NONBLOCK, os.O_DIRECT


def read_once(path, size, flags=RDONLY):
    with opened(path, flags) as fd:
        return os.read(fd, size)


def fill(fd, size=64 * KIB, patience=0.3):
    """Writes without waiting until nothing goes any more: how much went."""
    total, quiet = 0, time.monotonic() + patience
    while time.monotonic() < quiet:
        try:
            total += os.write(fd, b'x' * size)
            quiet = time.monotonic() + patience
        except BlockingIOError:
            time.sleep(0.005)
    return total


@case
def blocking(lab):
    a, b = lab.pair()
    reader = lab.task(read_once, b.stream(a), 100)
    b.wait_status('parked_reads', 1)
    put(a.stream(b), 'hello')
    equal(reader.result(), b'hello', 'a blocked reader')
    # What comes while nobody reads is kept, also over a close.
    put(a.stream(b), 'one ')
    put(a.stream(b), 'two')
    with opened(b.stream(a)) as fd:
        equal(read_exactly(fd, 2), b'on', 'the first bytes')
    with opened(b.stream(a)) as fd:
        equal(read_exactly(fd, 5), b'e two', 'the rest, by the next reader')
    # And messages.
    reader = lab.task(read_once, b.path('broadcast'), 100)
    b.wait_status('parked_reads', 1)
    put(a.path('broadcast'), 'to all')
    equal(reader.result(), b'to all', 'a blocked reader of broadcast')


@case
def nonblocking(lab):
    a, b = lab.pair()
    with opened(b.stream(a), RDWR | NONBLOCK) as r, opened(a.stream(b), WRONLY | NONBLOCK) as w:
        with raises(errno.EAGAIN, what='read of an empty stream'):
            os.read(r, 10)
        equal(fill(w), 2 * STREAM_WINDOW, 'bytes that a stream without a reader takes')
        with raises(errno.EAGAIN, what='write to a full stream'):
            os.write(w, b'x')
        # A write larger than the room is a short one.
        equal(len(read_exactly_nonblocking(r, STREAM_WINDOW)), STREAM_WINDOW, 'first half')
        until(lambda: a.status() and select.select([], [w], [], 0)[1], 5, 'room')
        equal(read_exactly_nonblocking(r, STREAM_WINDOW), b'x' * STREAM_WINDOW, 'second half')
        # The flag counts at each call.
        set_flags(r, off=NONBLOCK)
        put(a.stream(b), 'late')
        equal(os.read(r, 10), b'late', 'read after F_SETFL cleared O_NONBLOCK')
        set_flags(r, on=NONBLOCK)
        with raises(errno.EAGAIN, what='read after F_SETFL set O_NONBLOCK'):
            os.read(r, 10)
    with opened(b.path('broadcast'), NONBLOCK) as r:
        with raises(errno.EAGAIN, what='read of a quiet broadcast'):
            os.read(r, 10)


def read_exactly_nonblocking(fd, n):
    data, end = b'', time.monotonic() + 10
    while len(data) < n:
        check(time.monotonic() < end, 'only %d of %d bytes came' % (len(data), n))
        select.select([fd], [], [], 1)
        try:
            data += os.read(fd, n - len(data))
        except BlockingIOError:
            pass
    return data


@case
def poll_and_select(lab):
    a, b = lab.pair()
    with opened(b.stream(a), NONBLOCK) as r, opened(a.stream(b), WRONLY | NONBLOCK) as w:
        p = select.poll()
        p.register(r, select.POLLIN)
        equal(p.poll(50), [], 'poll of an empty stream')
        writer = lab.task(put_later, b, a.stream(b), 'x')
        with within(5, 'poll'):
            equal(p.poll(5000), [(r, select.POLLIN)], 'poll when bytes come')
        writer.result()
        os.read(r, 10)
        equal(p.poll(50), [], 'poll after all was read')

        equal(select.select([r], [w], [], 0), ([], [w], []), 'select')
        fill(w)
        equal(select.select([r], [w], [], 0), ([r], [], []), 'select of a full stream')
        read_exactly_nonblocking(r, STREAM_WINDOW + STREAM_WINDOW // 2)
        equal(select.select([], [w], [], 5), ([], [w], []), 'select when there is room again')
        check(os.write(w, b'y') == 1, 'a write that poll promised')
    with opened(b.path('broadcast'), NONBLOCK) as r, opened(a.path('broadcast'), WRONLY) as w:
        equal(select.select([r], [w], [], 0), ([], [w], []), 'select of broadcast')
        os.write(w, b'message')
        equal(select.select([r], [], [], 5), ([r], [], []), 'select when a message comes')
        equal(os.read(r, 100), b'message', 'the message')
        equal(select.select([r], [], [], 0), ([], [], []), 'select after it')
    with opened(b.path('events')) as r:
        p = select.poll()
        p.register(r, select.POLLIN)
        while os.read(r, MIB):
            pass
        equal(p.poll(50), [], 'poll of events at the end')
        a.ctl('drop %s\n' % b.id)
        equal(p.poll(5000), [(r, select.POLLIN)], 'poll of events that have grown')
        check(b' remove ' in os.read(r, MIB), 'the event itself')


def put_later(node, path, text):
    # A quarter of a second is for the poll to begin; nobody can see it from outside.
    time.sleep(0.25)
    put(path, text)


@case
def epoll(lab):
    a, b = lab.pair()
    with opened(b.stream(a), NONBLOCK) as r, opened(a.stream(b), WRONLY | NONBLOCK) as w:
        with select.epoll() as level, select.epoll() as edge:
            level.register(r, select.EPOLLIN)
            edge.register(r, select.EPOLLIN | select.EPOLLET)
            equal(level.poll(0.05), [], 'level: nothing yet')
            equal(edge.poll(0.05), [], 'edge: nothing yet')
            os.write(w, b'one')
            equal(edge.poll(5), [(r, select.EPOLLIN)], 'edge: the first bytes')
            equal(level.poll(5), [(r, select.EPOLLIN)], 'level: the first bytes')
            equal(level.poll(0), [(r, select.EPOLLIN)], 'level: as long as they are there')
            equal(edge.poll(0.05), [], 'edge: told only once')
            os.write(w, b'two')
            equal(edge.poll(5), [(r, select.EPOLLIN)], 'edge: more of the same is news')
            equal(os.read(r, 100), b'onetwo', 'what came')
            equal(level.poll(0.05), [], 'level: all read')
        with select.epoll() as e:
            fill(w)
            e.register(w, select.EPOLLOUT | select.EPOLLET)
            equal(e.poll(0.05), [], 'edge: no room')
            read_exactly_nonblocking(r, STREAM_WINDOW)
            equal(e.poll(5), [(w, select.EPOLLOUT)], 'edge: room')


def read_some(path, n):
    with opened(path) as fd:
        return len(read_exactly(fd, n))


@case
def asyncio_loop(lab):
    a, b = lab.pair()
    data = os.urandom(3 * STREAM_WINDOW)

    async def both(r, w):
        loop, got, left = asyncio.get_running_loop(), bytearray(), [memoryview(data)]
        done = loop.create_future()

        def readable():
            got.extend(os.read(r, 64 * KIB))
            if len(got) >= len(data) and not done.done():
                done.set_result(None)

        def writable():
            left[0] = left[0][os.write(w, left[0][:100000]):]
            if not left[0]:
                loop.remove_writer(w)
        loop.add_reader(r, readable)
        loop.add_writer(w, writable)
        await asyncio.wait_for(done, 20 * SLOWNESS)
        loop.remove_reader(r)
        return bytes(got)
    with opened(b.stream(a), NONBLOCK) as r, opened(a.stream(b), WRONLY | NONBLOCK) as w:
        got = asyncio.run(both(r, w))
    check(got == data, 'asyncio: what arrived is not what was sent')


@case
def packets(lab):
    a, b = lab.pair()
    with opened(a.path('broadcast'), WRONLY) as w, \
            opened(b.path('broadcast'), DIRECT) as r, opened(b.path('broadcast')) as plain:
        for text in (b'0123456789', b'abc', b'x' * 5000, b'end'):
            os.write(w, text)
        equal(os.read(r, 4), b'0123', 'a cut message')
        equal(b.status()['bytes_discarded'], 6, 'bytes_discarded')
        equal(os.read(r, 100), b'abc', 'the next message')
        equal(len(os.read(r, 4096)), 4096, 'a cut large message')
        equal(b.status()['bytes_discarded'], 6 + 904, 'bytes_discarded')
        equal(os.read(r, 100), b'end', 'the last message')
        # The same by fcntl(2), from one read to the next.
        set_flags(plain, on=DIRECT)
        equal(os.read(plain, 100), b'0123456789', 'one message after F_SETFL')
        equal(os.read(plain, 2), b'ab', 'a cut message after F_SETFL')
        equal(b.status()['bytes_discarded'], 6 + 904 + 1, 'bytes_discarded')
        set_flags(plain, off=DIRECT)
        rest = b''
        while not rest.endswith(b'end'):
            rest += os.read(plain, MIB)
        equal(rest, b'x' * 5000 + b'end', 'whole messages after F_SETFL took it back')
        # A blocked one, too.
        reader = lab.task(read_once, b.path('broadcast'), 3, DIRECT)
        b.wait_status('parked_reads', 1)
        os.write(w, b'12345')
        equal(reader.result(), b'123', 'a blocked packet reader')


@case
def duplex(lab):
    a, b = lab.pair()
    # The shell's own way, in which a blocked read and a write share one open file.
    p = lab.popen('exec 3<>%s; head -c 6 <&3 & echo ping >&3; wait' % a.stream(b), stdout=-1)
    with opened(b.stream(a), RDWR) as fd:
        equal(read_exactly(fd, 5), b'ping\n', 'the question')
        write_all(fd, b'pong!\n')
    out, _ = p.communicate(timeout=10)
    equal((p.returncode, out), (0, b'pong!\n'), 'the answer')
    # Both directions at once, each more than the windows hold.
    data = os.urandom(2 * MIB)
    with opened(a.stream(b), RDWR) as x:
        echo = lab.task(echo_back, b.stream(a), len(data))
        writer = lab.task(write_all, x, data)
        check(read_exactly(x, len(data)) == data, 'what came back is not what was sent')
        writer.result()
        echo.result()


def echo_back(path, n):
    with opened(path, RDWR) as fd:
        while n:
            part = os.read(fd, 64 * KIB)
            write_all(fd, part)
            n -= len(part)


@case
def several_readers(lab):
    a, b = lab.pair()
    put(a.stream(b), 'waiting ')
    until(lambda: select_in(b.stream(a)), 5, 'bytes at the other end')
    with opened(b.stream(a), NONBLOCK) as first, opened(b.stream(a), NONBLOCK) as second, \
            opened(b.stream(a), NONBLOCK) as third:
        # The first to read, not to open.
        equal(os.read(second, 100), b'waiting ', 'the first reader')
        with raises(errno.EAGAIN, what='the second reader, at the head'):
            os.read(first, 100)
        put(a.stream(b), 'both ')
        for fd in (first, second):
            equal(read_exactly_nonblocking(fd, 5), b'both ', 'each reader gets all that comes')
        with raises(errno.EAGAIN, what='a third reader, that begins now'):
            os.read(third, 100)
        put(a.stream(b), 'all')
        for fd in (first, second, third):
            equal(read_exactly_nonblocking(fd, 3), b'all', 'each of three')
        # The slowest governs the credit: `third` reads no more.
        with opened(a.stream(b), WRONLY | NONBLOCK) as w:
            total, end = 0, time.monotonic() + 1
            while time.monotonic() < end:
                for fd in (first, second):
                    try:
                        os.read(fd, MIB)
                    except BlockingIOError:
                        pass
                try:
                    total += os.write(w, b'z' * 4096)
                    end = max(end, time.monotonic() + 0.3)
                except BlockingIOError:
                    time.sleep(0.002)
                check(total <= 3 * STREAM_WINDOW, 'the slowest reader does not govern')
            equal(total, 2 * STREAM_WINDOW, 'bytes that go by the slowest reader')
        # Three at one byte each: every reader gets every byte.
        equal(read_exactly_nonblocking(third, total), b'z' * total, 'the slowest reader')


def select_in(path):
    with opened(path, NONBLOCK) as fd:
        return select.select([fd], [], [], 0)[0]


@case
def peer_gone(lab):
    a, b = lab.pair()
    put(b.stream(a), 'last words')
    until(lambda: select_in(a.stream(b)), 5, 'bytes at the other end')
    reader = lab.task(read_to_end, a.stream(b))
    a.wait_status('parked_reads', 1)
    r, w = os.open(a.stream(b), RDONLY), os.open(a.stream(b), RDWR)
    fill_from = os.open(a.stream(b), WRONLY | NONBLOCK)
    fill(fill_from)
    writer = lab.task(write_and_see, a.stream(b))
    a.wait_status('parked_writes', 1)
    p = select.poll()
    p.register(w, select.POLLIN)
    b_id, stream = b.id, a.stream(b)
    with within(1, 'noticing a killed peer'):
        b.kill()
        equal(reader.result(), b'last words', 'a reader drains, then sees the end')
        equal(writer.result(), errno.EPIPE, 'a parked writer')
        events = dict(p.poll(5000))[w]
    check(events & select.POLLHUP, 'no POLLHUP: %#x' % events)
    equal(os.read(r, 10), b'', 'an idle reader')
    equal(os.read(r, 10), b'', 'an end of file stays')
    with raises(errno.EPIPE, what='write'):
        os.write(w, b'x')
    with raises(errno.ENOENT, errno.ESTALE, what='open of a stream whose peer is gone'):
        os.open(stream, RDONLY)
    # A descriptor does not come to life again with the peer.
    b.start()
    equal(b.id, b_id, 'id after a restart')
    a.wait_peers(1)
    with raises(errno.EPIPE, what='write to the old stream'):
        os.write(w, b'x')
    equal(os.read(w, 10), b'', 'read of the old stream')
    with opened(a.stream(b), WRONLY) as fresh:
        os.write(fresh, b'again')
    equal(read_once(b.stream(a), 100), b'again', 'the new stream')
    for fd in (r, w, fill_from):
        os.close(fd)


def read_to_end(path):
    data = b''
    with opened(path) as fd:
        while part := os.read(fd, 4096):
            data += part
    return data


def write_and_see(path):
    with opened(path, WRONLY) as fd:
        try:
            os.write(fd, b'x' * 1000)
        except OSError as e:
            return e.errno


@case
def unread_survives(lab):
    """What arrived before the peer went can be read by whoever has the file open."""
    a, b = lab.pair()
    with opened(b.stream(a)) as r:
        put(a.stream(b), 'z' * 100000)
        until(lambda: select_in(b.stream(a)), 5, 'bytes')
        a.stop()
        b.wait_event('remove')
        equal(read_exactly(r, 100000), b'z' * 100000, 'bytes of a peer that left')
        equal(os.read(r, 1), b'', 'the end')


@case
def large_file(lab):
    a, b = lab.pair()
    data = os.urandom(10 * MIB)
    source = lab.file('source', data)
    receiver = lab.popen('head -c %d %s | sha256sum' % (len(data), b.stream(a)), stdout=-1)
    lab.run('cat %s > %s' % (source, a.stream(b)))
    out, _ = receiver.communicate(timeout=30 * SLOWNESS)
    equal(out.split()[0].decode(), hashlib.sha256(data).hexdigest(), 'sha256')


@case
def slow_reader(lab):
    """It stops its own writer and nobody else."""
    a, b, c = lab.network(3)
    for node in (a, b, c):
        node.wait_peers(2)
    writer = lab.task(write_size, a.stream(b), 4 * STREAM_WINDOW)
    a.wait_status('parked_writes', 1)
    until(lambda: 'credits 0\n' in a.read('peers', b.id, 'status'), 5, 'the window to be used up')
    with opened(b.path('broadcast'), NONBLOCK) as feed:
        # Another stream over another link, the other direction, and broadcast over the same.
        transfer(lab, a, c, 2 * MIB)
        transfer(lab, b, a, 2 * MIB)
        data = b''
        for i in range(200):
            put(a.path('broadcast'), 'message %4d\n' % i)
        while data.count(b'\n') < 200:
            check(select.select([feed], [], [], 5)[0], 'broadcast has stopped, too')
            data += os.read(feed, MIB)
    equal(data.decode(), ''.join('message %4d\n' % i for i in range(200)), 'broadcast')
    equal(a.status()['parked_writes'], 1, 'the writer still waits')
    with opened(b.stream(a)) as r:
        read_exactly(r, 4 * STREAM_WINDOW)
    equal(writer.result(), 4 * STREAM_WINDOW, 'bytes written')


def write_size(path, n):
    with opened(path, WRONLY) as fd:
        write_all(fd, b'w' * n)
    return n


def transfer(lab, source, target, n):
    reader = lab.task(read_some, target.stream(source), n)
    with within(10 * SLOWNESS, 'a stream beside one that is stuck'):
        lab.task(write_size, source.stream(target), n).result()
        equal(reader.result(), n, 'bytes read')


@case
def large_messages(lab):
    """The largest message is atomic, whatever the alignment, also among several writers."""
    a, b = lab.pair()
    readers = [lab.task(read_uniform, b.path('broadcast'), 4 * 8, flags) for flags in (0, DIRECT)]
    b.wait_status('parked_reads', 2)
    writers = [lab.task(write_uniform, a.path('broadcast'), bytes([65 + i]), 8, i) for i in range(4)]
    for w in writers:
        w.result(30)
    for r in readers:
        equal(r.result(30), {letter: 8 for letter in 'ABCD'}, 'whole messages of each writer')
    equal(b.status()['messages_overrun'], 0, 'messages_overrun')


def write_uniform(path, letter, count, shift):
    # An aligned buffer, and three that are not.
    memory = mmap.mmap(-1, MESSAGE_MAX + 4096)
    memory.write(letter * (MESSAGE_MAX + 4096))
    view = memoryview(memory)[shift * 13:shift * 13 + MESSAGE_MAX]
    with opened(path, WRONLY) as fd:
        for _ in range(count):
            n = os.write(fd, view)
            check(n == MESSAGE_MAX, 'write(2) took %d bytes' % n)


def read_uniform(path, messages, flags):
    """Reads whole messages, each of one letter: how many of each."""
    counts = {}
    with opened(path, flags) as fd:
        while sum(counts.values()) < messages:
            data = os.read(fd, MIB)
            letters = set(data)
            check(len(data) == MESSAGE_MAX, 'a read of %d bytes' % len(data))
            check(len(letters) == 1, 'mixed: %s' % sorted(map(chr, letters)))
            letter = chr(letters.pop())
            counts[letter] = counts.get(letter, 0) + 1
    return counts


@case
def large_writes(lab):
    """A write of more than a message becomes several, in order; nothing is lost in between."""
    a, b = lab.pair()
    for size in (MIB, 3 * MIB + 17):
        data = os.urandom(size)
        memory = mmap.mmap(-1, (size + 4095) // 4096 * 4096)
        memory.write(data)
        reader = lab.task(read_digest, b.path('broadcast'), size)
        b.wait_status('parked_reads', 1)
        with opened(a.path('broadcast'), WRONLY) as fd:
            write_all(fd, memoryview(memory)[:size])
        equal(reader.result(), hashlib.sha256(data).hexdigest(), 'a write of %d bytes' % size)


def read_digest(path, n):
    with opened(path) as fd:
        return hashlib.sha256(read_exactly(fd, n)).hexdigest()


@case
def large_reads(lab):
    """A read of more than 1 MiB gives what there is, and never blocks with data in hand."""
    a, b = lab.pair()
    buffer = bytearray(8 * MIB)
    sums = ([MESSAGE_MAX], [MESSAGE_MAX, 1], [MESSAGE_MAX, 4095], [MESSAGE_MAX, 4096],
            [MESSAGE_MAX, 4097], [512 * KIB, 512 * KIB], [512 * KIB] * 3, [256 * KIB] * 4,
            [MESSAGE_MAX, MESSAGE_MAX], [1] * 1000)
    for sizes in sums:
        task = lab.task(read_sum, b.path('broadcast'), sum(sizes))
        with opened(a.path('broadcast'), WRONLY) as w:
            until(lambda: b.status()['handles'] >= 1, 5, 'open')
            for n in sizes:
                equal(os.write(w, buffer[:n]), n, 'write')
        try:
            task.result(5)
        except Exception as e:
            fail('messages of %s bytes: %s' % (sizes[:5], e))


def read_sum(path, expected):
    buffer = bytearray(8 * MIB)
    with opened(path) as fd:
        # For the messages to gather, so that the first read finds more than it can take.
        time.sleep(0.15)
        total = 0
        while total < expected:
            total += os.readv(fd, [buffer])
    return total


@case
def message_continues(lab):
    """A message larger than the buffer goes on in the next read."""
    a, b = lab.pair()
    with opened(b.path('broadcast')) as r, opened(a.path('broadcast'), WRONLY) as w:
        os.write(w, b'0123456789')
        os.write(w, b'abcdef')
        equal(os.read(r, 4), b'0123', 'the beginning')
        # The rest of a message, and then only what fits whole.
        equal(os.read(r, 8), b'456789', 'the rest')
        equal(os.read(r, 100), b'abcdef', 'the next message')
        data = os.urandom(MESSAGE_MAX)
        os.write(w, data)
        got = bytearray()
        while len(got) < len(data):
            got += os.read(r, 70001)
        check(got == data, 'a message in pieces is not what was sent')


@case
def own_and_earlier_messages(lab):
    a, b = lab.pair()
    put(a.path('broadcast'), 'before')
    until(lambda: b.status()['messages_received'] == 1, 5, 'the message')
    with opened(b.path('broadcast'), RDWR | NONBLOCK) as r:
        with raises(errno.EAGAIN, what='a message older than the open'):
            os.read(r, 100)
        os.write(r, b'mine')
        put(a.path('broadcast'), 'after')
        select.select([r], [], [], 5)
        equal(os.read(r, 100), b'after', 'what others wrote after the open')
    # An open without a read holds nobody up, and costs no message.
    with opened(b.path('broadcast'), NONBLOCK):
        big = lab.task(write_uniform, a.path('broadcast'), b'x', 40, 0)
        big.result(20)


@case
def stopped_daemon_ends_readers(lab):
    a, b = lab.pair()
    reader = lab.task(read_to_end, b.path('broadcast'))
    stream = lab.task(read_error, b.stream(a))
    b.wait_status('parked_reads', 2)
    b.send(signal.SIGTERM)
    equal(reader.result(), b'', 'broadcast ends')
    equal(stream.result(), errno.EIO, 'a stream is EIO, never a false end')
    equal(b.collect(), 0, 'exit code')


def read_error(path):
    with opened(path) as fd:
        try:
            return os.read(fd, 10)
        except OSError as e:
            return e.errno


if __name__ == '__main__':
    main(90)
