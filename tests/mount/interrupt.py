# SPDX-License-Identifier: MIT
"""Whoever waits can be ended at once, and holds up nobody else."""

import ctypes
import errno
import os
import select
import signal
import time

from harness import (KIB, MIB, SANITIZED, SLOWNESS, STREAM_WINDOW, case, check, descendants,
                     describe, equal, fail, main, opened, proc, put, raises, raw_call,
                     read_exactly, until, within)

KILLS = int(os.environ.get('SMOKEFS_KILLS', 1000 if SANITIZED else 10000))
BATCH = 200
UNSENT = 8 * MIB  # what a node alone takes before its writers wait

RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK


def read_forever(path):
    with opened(path) as fd:
        while True:
            os.read(fd, MIB)


def write_one(path, data, flags=0):
    with opened(path, WRONLY | flags) as fd:
        return os.write(fd, data)


def fill(path, size=64 * KIB, patience=0.3):
    """Writes until nothing goes any more."""
    total = 0
    with opened(path, WRONLY | NONBLOCK) as fd:
        quiet = time.monotonic() + patience
        while time.monotonic() < quiet:
            try:
                total += os.write(fd, b'f' * size)
                quiet = time.monotonic() + patience
            except BlockingIOError:
                size = max(1, size // 2)
                time.sleep(0.002)
    return total


def killed_within(task, seconds, what):
    check(task.sleeping() == 'S', what + ': in a sleep that cannot be interrupted')
    began = time.monotonic()
    task.kill()
    os.waitid(os.P_PID, task.pid, os.WEXITED | os.WNOWAIT)
    took = time.monotonic() - began
    check(took <= seconds, '%s: gone after %.0f ms' % (what, took * 1000))
    return took


@case
def killed_reader(lab):
    a, b = lab.pair()
    limit = 0.1 * SLOWNESS
    worst = 0
    for path in (a.path('broadcast'), a.stream(b)):
        for _ in range(20):
            task = lab.task(read_forever, path)
            a.wait_status('parked_reads', 1)
            worst = max(worst, killed_within(task, limit, 'a blocked reader of ' + path))
            a.wait_status('parked_reads', 0)
    fill(a.stream(b))
    for _ in range(20):
        task = lab.task(write_one, a.stream(b), b'x' * 1000)
        a.wait_status('parked_writes', 1)
        worst = max(worst, killed_within(task, limit, 'a parked writer'))
        a.wait_status('parked_writes', 0)
    print('     the slowest was gone after %.1f ms' % (worst * 1000))


def bystanders(lab, node, path):
    """One writer is parked at `path`: whatever else is done there is not its prisoner."""
    def at_once(what, function, *arguments):
        task = lab.task(function, *arguments)
        try:
            return task.result(2)
        except Exception as e:
            fail('%s beside a parked writer: %s' % (what, e))

    def refused(flags):
        with raises(errno.EAGAIN, what='O_NONBLOCK write'):
            write_one(path, b'x', flags)
        return True

    def opener(flags):
        os.close(os.open(path, flags))
    parked = node.status()['parked_writes']
    check(at_once('O_NONBLOCK', refused, NONBLOCK), 'refused')
    check(at_once('O_NONBLOCK|O_APPEND', refused, NONBLOCK | os.O_APPEND), 'refused')
    at_once('>', opener, WRONLY | os.O_TRUNC | os.O_CREAT)
    at_once('>>', opener, WRONLY | os.O_APPEND | os.O_CREAT)
    at_once('<', opener, RDONLY)
    at_once('<>', opener, RDWR)
    at_once('stat', os.stat, path)
    at_once('ls -l', lab.run, ['ls', '-l', os.path.dirname(path)])
    at_once('ls -lR', lab.run, ['ls', '-lR', node.mount])
    at_once('touch', lab.run, ['touch', path])
    at_once('utime', os.utime, path)
    at_once('truncate', os.truncate, path, 0)
    at_once('a read of status', node.status)
    # Those that have to wait, too, wait where they can be counted and ended: in the node.
    waiting = []
    for data, flags in ((b'plain', 0), (b'more', os.O_APPEND), (b'truncating', os.O_TRUNC)):
        waiting.append(lab.task(write_one, path, data, flags))
        node.wait_status('parked_writes', parked + len(waiting))
    for task in waiting:
        check(task.sleeping() == 'S', 'a second writer sleeps in state D')
    killed_within(waiting[1], 0.1 * SLOWNESS, 'the second of three waiting writers')
    node.wait_status('parked_writes', parked + 2)
    return [waiting[0], waiting[2]]


@case
def parked_on_stream(lab):
    a, b = lab.pair()
    size = fill(a.stream(b))
    equal(size, 2 * STREAM_WINDOW, 'what a stream takes')
    first = lab.task(write_one, a.stream(b), b'first')
    a.wait_status('parked_writes', 1)
    others = bystanders(lab, a, a.stream(b))
    # Reading in the other direction is not held up either.
    put(b.stream(a), 'back')
    with opened(a.stream(b), NONBLOCK) as fd:
        check(select.select([fd], [], [], 2)[0], 'nothing to read')
        equal(os.read(fd, 10), b'back', 'the other direction')
    with opened(b.stream(a)) as fd:
        equal(read_exactly(fd, size), b'f' * size, 'what stood before')
        equal(read_exactly(fd, 20), b'firstplaintruncating', 'the parked ones, in their order')
    equal([t.result() for t in [first] + others], [5, 5, 10], 'writes')


@case
def parked_on_broadcast(lab):
    a = lab.node()
    size = fill(a.path('broadcast'))
    check(UNSENT * 0.9 < size <= UNSENT, 'a node alone took %d bytes' % size)
    first = lab.task(write_one, a.path('broadcast'), b'x' * 100000)
    a.wait_status('parked_writes', 1)
    others = bystanders(lab, a, a.path('broadcast'))
    # A peer comes, and everything goes.
    b = lab.node(seeds=[a])
    equal([t.result() for t in [first] + others], [100000, 5, 10], 'writes')
    b.wait_peers(1)
    equal(a.status()['parked_writes'], 0, 'parked_writes')


@case
def parked_on_ctl(lab):
    """A dial that waits, waits alone."""
    import socket
    a = lab.node()
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(1)
        task = lab.task(write_one, a.path('ctl'),
                        b'connect 127.0.0.1:%d\n' % silent.getsockname()[1])
        a.wait_status('parked_writes', 1)
        with raises(errno.EINVAL, what='a second command'):
            put(a.path('ctl'), 'nonsense\n')
        lab.run(['ls', '-lR', a.mount])
        lab.run(['touch', a.path('ctl')])
        killed_within(task, 0.1 * SLOWNESS, 'a dial')
        a.wait_status('parked_writes', 0)


@case
def one_descriptor(lab):
    """A read that waits does not stop who writes by the same open file."""
    a, b = lab.pair()
    for path, other in ((a.stream(b), b.stream(a)), (a.path('broadcast'), b.path('broadcast'))):
        with opened(path, RDWR) as fd, opened(other, RDWR) as far:
            reader = lab.task(os.read, fd, 100)
            a.wait_status('parked_reads', 1)
            with within(1, 'a write beside a blocked read'):
                lab.task(os.write, fd, b'out').result()
            equal(os.read(far, 100), b'out', 'what was written')
            os.write(far, b'in')
            equal(reader.result(), b'in', 'what was read')


def fork_blocked(function, path, count):
    """Children without an interpreter's luxuries: each makes one call, in which it stays."""
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                function(path)
            finally:
                os._exit(1)
        pids.append(pid)
    return pids


def read_blocked(path):
    os.read(os.open(path, RDONLY), 4096)


def write_blocked(path):
    os.write(os.open(path, WRONLY), b'x' * 100)


def kill_all(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 5 * SLOWNESS
    for i, pid in enumerate(pids):
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                left = [describe(proc(p)) for p in pids[i:] if proc(p)]
                fail('%d of %d are left: %s' % (len(left), len(pids), left[:3]))
            time.sleep(0.001)


@case
def ten_thousand_kills(lab):
    a, b = lab.pair()
    alone = lab.node('alone')
    fill(a.stream(b))
    filled = time.monotonic()
    fill(alone.path('broadcast'))
    kinds = [(a, a.path('broadcast'), read_blocked, 'parked_reads'),
             (b, b.path('broadcast'), read_blocked, 'parked_reads'),
             (a, a.stream(b), read_blocked, 'parked_reads'),
             (a, a.stream(b), write_blocked, 'parked_writes'),
             (alone, alone.path('broadcast'), write_blocked, 'parked_writes')]
    began = time.monotonic()
    done = 0
    while done < KILLS:
        node, path, function, counter = kinds[done // BATCH % len(kinds)]
        if node is alone and time.monotonic() - filled > 20:
            # What is 30 s old makes room, all at once: another one.
            alone = node = lab.node('alone%d' % done)
            path = alone.path('broadcast')
            kinds[-1] = (alone, path, write_blocked, 'parked_writes')
            filled = time.monotonic()
            fill(path)
        pids = fork_blocked(function, path, BATCH)
        try:
            # Every other batch is killed on its way, wherever it is.
            if done // BATCH % 2 == 0:
                node.wait_status(counter, BATCH, 10 * SLOWNESS)
        finally:
            kill_all(pids)
        done += BATCH
    took = time.monotonic() - began
    print('     %d kills in %.1f s' % (done, took))
    for node in (a, b, alone):
        node.wait_status('parked_reads', 0)
        node.wait_status('parked_writes', 0)
        # The one handle is that of status itself.
        node.wait_status('handles', 0)
        equal(node.status()['parked_bytes'], 0, 'parked_bytes')
    left = [describe(p) for p in descendants(os.getpid()) if p.state == 'D']
    equal(left, [], 'processes in state D')
    check(took < 60 * SLOWNESS, '%d kills took %.1f s' % (done, took))
    # And everything works still.
    with opened(b.path('broadcast')) as fd:
        put(a.path('broadcast'), 'alive')
        equal(os.read(fd, 10), b'alive', 'broadcast')


def raw_read(path, size):
    """read(2) itself, in a process whose signal handler only returns: its result or -errno."""
    signal.signal(signal.SIGINT, lambda number, frame: None)
    buffer = ctypes.create_string_buffer(size)
    with opened(path) as fd:
        return raw_call('read', fd, buffer, size)


def raw_write(path, size):
    signal.signal(signal.SIGINT, lambda number, frame: None)
    with opened(path, WRONLY) as fd:
        return raw_call('write', fd, b'w' * size, size)


@case
def interrupted_calls(lab):
    a, b = lab.pair()
    for path in (a.path('broadcast'), a.stream(b)):
        task = lab.task(raw_read, path, 100)
        a.wait_status('parked_reads', 1)
        with within(0.5, 'EINTR'):
            task.kill(signal.SIGINT)
            equal(task.result(), -errno.EINTR, 'read(2) of ' + path)
    fill(a.stream(b))
    task = lab.task(raw_write, a.stream(b), 1000)
    a.wait_status('parked_writes', 1)
    task.kill(signal.SIGINT)
    equal(task.result(), -errno.EINTR, 'write(2) to a full stream')
    # One of which a part went through says how much.
    with opened(b.stream(a)) as fd:
        read_exactly(fd, 2 * STREAM_WINDOW)
        until(lambda: 'credits %d\n' % STREAM_WINDOW in a.read('peers', b.id, 'status'), 5,
              'the window')
        task = lab.task(raw_write, a.stream(b), MIB)
        a.wait_status('parked_writes', 1)
        until(lambda: 'credits 0\n' in a.read('peers', b.id, 'status') and
              'queued %d\n' % STREAM_WINDOW in a.read('peers', b.id, 'status'), 5, 'a full stream')
        task.kill(signal.SIGINT)
        wrote = task.result()
        equal(wrote, 2 * STREAM_WINDOW, 'bytes of an interrupted write(2)')
        check_tail(a, b, fd, wrote)
    # The program of a user who presses ^C.
    p = lab.popen(['cat', a.path('broadcast')])
    a.wait_status('parked_reads', 1)
    p.send_signal(signal.SIGINT)
    equal(p.wait(1), -signal.SIGINT, 'cat after ^C')
    a.wait_status('parked_reads', 0)


def check_tail(a, b, fd, wrote):
    equal(read_exactly(fd, wrote), b'w' * wrote, 'the part that was written')
    put(a.stream(b), 'tail')
    equal(read_exactly(fd, 4), b'tail', 'what follows it')


@case
def interrupted_dial(lab):
    """EINTR cancels a dial, and nothing of it is left."""
    import socket
    a = lab.node()
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(5)
        line = b'connect 127.0.0.1:%d\n' % silent.getsockname()[1]

        def dial(lines):
            signal.signal(signal.SIGINT, lambda number, frame: None)
            with opened(a.path('ctl'), WRONLY) as fd:
                return raw_call('write', fd, lines, len(lines))
        for before in (b'', b'# first\n', b'\n\n'):
            task = lab.task(dial, before + line)
            a.wait_status('parked_writes', 1)
            peer, _ = silent.accept()
            task.kill(signal.SIGINT)
            equal(task.result(), len(before) or -errno.EINTR, 'an interrupted dial')
            with peer:
                peer.settimeout(5)
                while peer.recv(4096):  # the connection ends
                    pass
    equal(a.status()['parked_writes'], 0, 'parked_writes')


@case
def stopped_reader(lab):
    a, b = lab.pair()
    path = lab.path('out')
    p = lab.popen(['cat', b.path('broadcast')], stdout=lab.popen_out('out'))
    stream = lab.popen(['cat', b.stream(a)], stdout=lab.popen_out('stream'))
    b.wait_status('parked_reads', 2)
    for round_ in range(3):
        for q in (p, stream):
            q.send_signal(signal.SIGSTOP)
            until(lambda: proc(q.pid).state in 'tT', 2, 'a stopped reader (%s)' % proc(q.pid).state)
        put(a.path('broadcast'), 'message %d\n' % round_)
        put(a.stream(b), 'bytes %d\n' % round_)
        for q in (p, stream):
            q.send_signal(signal.SIGCONT)
        until(lambda: open(path).read().count('\n') == round_ + 1, 5, 'the message after SIGCONT')
        until(lambda: open(lab.path('stream')).read().count('\n') == round_ + 1, 5, 'the bytes')
        check(p.poll() is None and stream.poll() is None, 'cat has ended')
    equal(open(path).read(), 'message 0\nmessage 1\nmessage 2\n', 'what cat printed')
    equal(open(lab.path('stream')).read(), 'bytes 0\nbytes 1\nbytes 2\n', 'what cat printed')


@case
def stopped_writer(lab):
    """A parked writer that is stopped and goes on loses nothing and doubles nothing."""
    a, b = lab.pair()
    data = os.urandom(3 * MIB)
    source = lab.file('source', data)
    p = lab.popen('exec cat %s > %s' % (source, a.stream(b)))
    a.wait_status('parked_writes', 1)
    got = bytearray()
    with opened(b.stream(a)) as fd:
        for _ in range(4):
            p.send_signal(signal.SIGSTOP)
            until(lambda: proc(p.pid).state in 'tT', 2, 'a stopped writer')
            got += read_exactly(fd, 100000)
            p.send_signal(signal.SIGCONT)
            until(lambda: a.status()['parked_writes'] == 1, 5, 'a parked writer')
        got += read_exactly(fd, len(data) - len(got))
    equal(p.wait(10), 0, 'exit code of cat')
    check(got == data, 'what arrived is not what was sent')


@case
def interrupted_writers_give_way(lab):
    """When a large parked message is given up, the small one behind it goes."""
    a = lab.node()
    path = a.path('broadcast')
    fill(path, MIB - 4 * KIB)
    # Room for little is left or none; a large one parks for certain.
    large = lab.task(write_one, path, b'L' * 1000 * 1000)
    a.wait_status('parked_writes', 1)
    small = lab.task(write_one, path, b'small')
    a.wait_status('parked_writes', 2)
    large.kill()
    b = lab.node(seeds=[a])
    equal(small.result(), 5, 'the small write')
    b.wait_peers(1)


if __name__ == '__main__':
    main(150)
