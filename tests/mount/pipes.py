# SPDX-License-Identifier: MIT
"""peers/<id>/pipes/<name>: a FIFO between machines; and files of nodes that are no neighbours."""

import errno
import os
import select
import signal
import subprocess
import time

from harness import (KIB, MIB, SLOWNESS, case, check, equal, fail, main, opened, raises, read_exactly,
                     set_flags, until, within, write_all)

NONBLOCK, WRONLY, RDWR = os.O_NONBLOCK, os.O_WRONLY, os.O_RDWR
WINDOW = 256 * KIB
PIPES_MAX = 64


def pipe(node, other, name):
    return node.path('peers', other.id, 'pipes', name)


def touch(path):
    """As touch(1)."""
    with opened(path, WRONLY | os.O_CREAT | os.O_NOCTTY | NONBLOCK):
        os.utime(path)


def put(path, text):
    with opened(path, WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        write_all(fd, text.encode())


def read_all(path):
    """Until the end: the bytes, or the number of the error and the bytes before it."""
    data = b''
    with opened(path) as fd:
        while True:
            try:
                part = os.read(fd, 64 * KIB)
            except OSError as e:
                return e.errno, data
            if not part:
                return data
            data += part


def wait_listed(node, other, name):
    until(lambda: name in os.listdir(node.path('peers', other.id, 'pipes')), 5,
          '%s: pipe %s' % (node.name, name))


@case
def to_the_end(lab):
    a, b = lab.pair()
    with raises(errno.ENOENT, what='reading a pipe that nobody has made'):
        os.open(pipe(b, a, 'src'), os.O_RDONLY)
    touch(pipe(b, a, 'src'))
    equal(os.listdir(b.path('peers', a.id, 'pipes')), ['src'], 'pipes')
    reader = lab.task(read_all, pipe(b, a, 'src'))
    b.wait_status('parked_reads', 1)
    put(pipe(a, b, 'src'), 'one generation')
    equal(reader.result(), b'one generation', 'what a reader got up to the end')
    # The other direction has nothing to do with it, and another generation waits.
    put(pipe(b, a, 'src'), 'back')
    put(pipe(a, b, 'src'), 'second')
    put(pipe(a, b, 'src'), 'third')
    wait_listed(a, b, 'src')
    equal(read_all(pipe(a, b, 'src')), b'back', 'the other direction')
    equal(read_all(pipe(b, a, 'src')), b'second', 'the second generation')
    with opened(pipe(b, a, 'src')) as fd:
        equal(os.read(fd, 100), b'third', 'the third')
        equal(os.read(fd, 100), b'', 'its end')
        put(pipe(a, b, 'src'), 'fourth')
        time.sleep(0.1)
        equal(os.read(fd, 100), b'', 'an end that stays')
    equal(read_all(pipe(b, a, 'src')), b'fourth', 'the fourth')
    # exec 3<>: both directions through one descriptor.
    with opened(pipe(b, a, 'duplex'), RDWR | os.O_CREAT) as fd:
        wait_listed(a, b, 'duplex')
        put(pipe(a, b, 'duplex'), 'ping')
        equal(os.read(fd, 10), b'ping', 'read of a pipe open for both')
        os.write(fd, b'pong')
    equal(read_all(pipe(a, b, 'duplex')), b'pong', 'written by it')


def shell(lab, command, **variables):
    return subprocess.Popen(['bash', '-c', 'set -o pipefail; ' + command],
                            env=dict(os.environ, **variables), stderr=subprocess.PIPE)


def join(process, seconds, code=0):
    try:
        err = process.communicate(timeout=seconds)[1].decode()
    except subprocess.TimeoutExpired:
        process.kill()
        fail('not done after %d s' % seconds)
    if code is not None:
        equal(process.returncode, code, 'exit code (%s)' % err.strip())
    return err


@case
def tar_between_machines(lab):
    a, b = lab.pair()
    count = int(os.environ.get('SMOKEFS_PIPE_FILES', 500))
    size = int(os.environ.get('SMOKEFS_PIPE_MB', 64)) * MIB
    source, target = lab.path('source'), lab.path('target')
    os.makedirs(source)
    os.makedirs(target)
    for i in range(count):
        lab.file('source/%d' % i, b'%d\n' % i * (i % 300))
    with open(os.path.join(source, 'large'), 'wb') as f:
        for _ in range(size // MIB):
            f.write(os.urandom(MIB))
    touch(pipe(b, a, 'tar'))
    reader = shell(lab, 'tar xC "$TARGET" <"$PIPE"', TARGET=target, PIPE=pipe(b, a, 'tar'))
    writer = shell(lab, 'tar cC "$SOURCE" . >"$PIPE"', SOURCE=source, PIPE=pipe(a, b, 'tar'))
    join(writer, 60 * SLOWNESS + size // MIB)
    join(reader, 60 * SLOWNESS + size // MIB)
    lab.run(['diff', '-r', source, target], seconds=60)


def start_reader(lab, node, other, name):
    touch(pipe(node, other, name))
    reader = lab.task(read_all, pipe(node, other, name))
    node.wait_status('parked_reads', 1)
    return reader


@case
def a_death_is_an_end_or_eio(lab):
    a, b = lab.pair()
    endless = 'exec cat /dev/zero >"$PIPE"'
    # The kernel cannot tell a death from a close.
    reader = start_reader(lab, b, a, 'one')
    writer = shell(lab, endless, PIPE=pipe(a, b, 'one'))
    until(lambda: b.status()['parked_reads'] == 0 or b.status()['pipe_bytes_lost'] == 0, 5, 'flow')
    time.sleep(0.2)
    writer.kill()
    writer.communicate()
    data = reader.result(20 * SLOWNESS)
    check(isinstance(data, bytes) and len(data) > 0, 'no end after the writer was killed')
    # The link.
    reader = start_reader(lab, b, a, 'two')
    writer = shell(lab, endless, PIPE=pipe(a, b, 'two'))
    wait_listed(b, a, 'two')
    time.sleep(0.2)
    a.ctl('drop %s\n' % b.id)
    equal(reader.result(20 * SLOWNESS)[0], errno.EIO, 'read after the link was dropped')
    check('Input/output error' in join(writer, 10, None), 'the writer was not told EIO')
    # The node.
    b.wait_peers(0)
    a.ctl('connect %s\n' % b.address)
    b.wait_peers(1)
    reader = start_reader(lab, b, a, 'three')
    writer = shell(lab, endless, PIPE=pipe(a, b, 'three'))
    wait_listed(b, a, 'three')
    time.sleep(0.2)
    a.kill()
    equal(reader.result(20 * SLOWNESS)[0], errno.EIO, 'read after the node was killed')
    join(writer, 10, None)


@case
def what_was_whole_outlives_its_link(lab):
    a, b = lab.pair()
    put(pipe(a, b, 'mail'), 'read me later')
    wait_listed(b, a, 'mail')
    a.stop()
    b.wait_event('remove', id=a.id)
    equal(read_all(pipe(b, a, 'mail')), b'read me later', 'a generation whose writer is gone')


@case
def names_and_bounds(lab):
    a, b = lab.pair()
    directory = a.path('peers', b.id, 'pipes')
    for name in ('.hidden', 'a b', '-x', 'ä', 'x' * 64):
        with raises(errno.EINVAL, what='a pipe named ' + name):
            touch(os.path.join(directory, name))
    with raises(errno.ENAMETOOLONG, what='a name of 300'):
        touch(os.path.join(directory, 'x' * 300))
    with raises(errno.EPERM, what='mkfifo'):
        os.mkfifo(os.path.join(directory, 'fifo'))
    with raises(errno.EPERM, what='mkdir'):
        os.mkdir(os.path.join(directory, 'dir'))
    with raises(errno.EPERM, what='a file beside the pipes'):
        os.mknod(a.path('peers', b.id, 'file'))
    for i in range(PIPES_MAX):
        touch(os.path.join(directory, 'p%d' % i))
    touch(os.path.join(directory, 'p5'))
    with raises(errno.EUSERS, what='one pipe too many'):
        touch(os.path.join(directory, 'more'))
    with raises(errno.EPERM, what='rename'):
        os.rename(os.path.join(directory, 'p1'), os.path.join(directory, 'p99'))
    os.unlink(os.path.join(directory, 'p1'))
    with raises(errno.ENOENT, what='unlink of nothing'):
        os.unlink(os.path.join(directory, 'p1'))
    touch(os.path.join(directory, 'more'))
    equal(len(os.listdir(directory)), PIPES_MAX, 'pipes')
    equal(os.listdir(b.path('peers', a.id, 'pipes')), [], 'pipes over there, of none written to')


@case
def removed(lab):
    a, b = lab.pair()
    with opened(pipe(a, b, 'gone'), WRONLY | os.O_CREAT) as w:
        os.write(w, b'unread')
        wait_listed(b, a, 'gone')
        os.unlink(pipe(b, a, 'gone'))
        b.wait_event('lost', id=a.id, pipe='gone', unread='6', reason='removed')
        a.wait_event('lost', id=b.id, pipe='gone', reason='removed')
        with raises(errno.EPIPE, what='write to a pipe that was removed'):
            os.write(w, b'more')
        check(select.select([], [w], [], 0)[1], 'select does not tell of a broken pipe')
    # Somebody has it open: it lives on, nameless.
    with opened(pipe(a, b, 'kept'), WRONLY | os.O_CREAT) as w:
        wait_listed(b, a, 'kept')
        with opened(pipe(b, a, 'kept')) as r:
            os.unlink(pipe(b, a, 'kept'))
            os.write(w, b'still')
            equal(os.read(r, 10), b'still', 'read of a removed pipe')


@case
def full_polled_and_nonblocking(lab):
    a, b = lab.pair()
    touch(pipe(b, a, 'poll'))
    with opened(pipe(b, a, 'poll'), NONBLOCK) as r:
        with opened(pipe(a, b, 'poll'), WRONLY | NONBLOCK | os.O_CREAT) as w:
            with raises(errno.EAGAIN, what='read of an empty pipe'):
                os.read(r, 10)
            equal(select.select([r], [w], [], 0), ([], [w], []), 'select of an empty pipe')
            os.write(w, b'x')
            equal(select.select([r], [], [], 5), ([r], [], []), 'select when bytes come')
            equal(os.read(r, 10), b'x', 'the byte')
            total, quiet = 0, time.monotonic() + 0.3
            while time.monotonic() < quiet:
                try:
                    total += os.write(w, b'y' * 4096)
                    quiet = time.monotonic() + 0.3
                except BlockingIOError:
                    time.sleep(0.005)
            check(WINDOW < total <= 2 * WINDOW, 'a full pipe took %d bytes' % total)
            equal(select.select([], [w], [], 0), ([], [], []), 'select of a full pipe')
            got = 0
            while got < WINDOW:
                select.select([r], [], [], 5)
                got += len(os.read(r, 64 * KIB))
            equal(select.select([], [w], [], 5), ([], [w], []), 'select when there is room')
            os.write(w, b'y' * 4096)
            total += 4096
        while got < total:
            check(select.select([r], [], [], 5)[0], 'the rest does not come')
            got += len(os.read(r, 64 * KIB))
        p = select.poll()
        p.register(r, select.POLLIN)
        check(p.poll(5000)[0][1] & select.POLLIN, 'poll at the end')
        equal(os.read(r, 10), b'', 'the end')
        check(p.poll(0)[0][1] & select.POLLHUP, 'no POLLHUP after the end')
        set_flags(r, off=NONBLOCK)
        equal(os.read(r, 10), b'', 'the end, blocking')


@case
def writers_are_not_mixed(lab):
    a, b = lab.pair()
    reader = start_reader(lab, b, a, 'lines')
    with opened(pipe(a, b, 'lines'), WRONLY | os.O_CREAT):
        def write_lines(number):
            with opened(pipe(a, b, 'lines'), WRONLY) as fd:
                for i in range(200):
                    os.write(fd, (b'%d:%d:' % (number, i)).ljust(1 + 13 * i % 4090, b'.') + b'\n')
        writers = [lab.task(write_lines, n) for n in range(4)]
        for w in writers:
            w.result(30 * SLOWNESS)
    seen = {}
    for line in reader.result(20 * SLOWNESS).splitlines():
        number, i = map(int, line.split(b':')[:2])
        equal(len(line), max(len(b'%d:%d:' % (number, i)), 1 + 13 * i % 4090), 'length of a line')
        equal(i, seen.get(number, -1) + 1, 'the order of a writer')
        seen[number] = i
    equal(seen, {n: 199 for n in range(4)}, 'the last lines')


def ring(lab, count=6):
    """Nodes with two peers each, and two of them that are none of each other's."""
    options = ['--min-peers', '2', '--max-peers', '2']
    nodes = [lab.node(options=options)]
    for _ in range(count - 1):
        nodes.append(lab.node(seeds=[nodes[0]], options=options))
    for node in nodes:
        node.wait_status('members', count, 20 * SLOWNESS)
        node.wait_status('peers', 2, 20 * SLOWNESS)
    a = nodes[0]
    b = [n for n in nodes[1:] if n.id not in a.peers()][0]
    return nodes, a, b


@case
def anybody_in_the_network(lab):
    nodes, a, b = ring(lab)
    # Looking, listing, globbing and completing dial nobody.
    peers = a.peers()
    equal(set(os.listdir(a.path('by-name'))), {n.name for n in nodes[1:]}, 'by-name')
    lab.run(['bash', '-c', 'cd "$0" && ls -lR . >/dev/null && ls -l by-name/*/ peers/"$1"/* && '
             'find . -name "*" >/dev/null; compgen -f by-name/b/; stat peers/"$1"/stream',
             a.mount, b.id])
    equal(os.readlink(a.path('by-name', b.name)), '../peers/' + b.id, 'by-name/' + b.name)
    equal(os.readlink(a.path('by-address', b.address)), '../peers/' + b.id, 'by-address')
    equal(os.readlink(a.path('peers', b.id[:8])), b.id, 'a prefix')
    equal(a.read('peers', b.id, 'address'), b.address + '\n', 'address of a member')
    equal(a.read('peers', b.id, 'name'), b.name + '\n', 'name of a member')
    check('kind member\n' in a.read('peers', b.id, 'status'), 'status of a member')
    time.sleep(0.5)
    equal(a.peers(), peers, 'peers after everything was looked at')
    equal(a.status()['direct_links'], 0, 'direct links')
    # Making a pipe does not either, opening it does.
    touch(pipe(a, b, 'x'))
    equal(a.status()['direct_links'], 0, 'direct links')
    with opened(a.stream(b), RDWR) as fd:
        equal(a.status()['direct_links'], 1, 'direct links')
        check('kind direct\n' in a.read('peers', b.id, 'status'), 'status of a direct link')
        check(b.id in a.peers(), 'a direct link is not listed')
        put(b.stream(a), 'hello')
        equal(os.read(fd, 10), b'hello', 'over the direct link')
    put(pipe(a, b, 'x'), 'a pipe')
    wait_listed(b, a, 'x')
    equal(read_all(pipe(b, a, 'x')), b'a pipe', 'a pipe over a direct link')
    for node in nodes:
        equal(node.status()['peers'], 2, node.name + ': peers')
    a.wait_event('add', id=b.id, kind='direct')
    b.wait_event('add', id=a.id, kind='direct')
    # Several at once want the same one: one link.
    c = [n for n in nodes[1:] if n.id not in a.peers()][0]
    tasks = [lab.task(put, a.stream(c), 'x') for _ in range(8)]
    for task in tasks:
        task.result()
    equal(a.status()['direct_links'], 2, 'direct links')
    with opened(c.stream(a)) as fd:
        equal(read_exactly(fd, 8), b'x' * 8, 'what they wrote')


@case
def an_open_that_waits(lab):
    nodes, a, b = ring(lab)
    b.send(signal.SIGSTOP)
    reader = lab.task(os.open, a.stream(b), os.O_RDONLY)
    a.wait_status('parked_opens', 1)
    # It holds up nobody.
    with within(2, 'ls, stat and other opens'):
        os.listdir(a.path('peers', b.id))
        os.stat(a.stream(b))
        touch(pipe(a, b, 'x'))
        os.listdir(a.path('peers', b.id, 'pipes'))
    with raises(errno.EAGAIN, what='open with O_NONBLOCK'):
        os.open(a.stream(b), os.O_RDONLY | NONBLOCK)
    with within(2, 'the end of a killed opener'):
        reader.kill()
        reader.reap()
    a.wait_status('parked_opens', 0)
    # Nobody comes.
    opener = lab.task(attempt, pipe(a, b, 'x'))
    check(opener.result(30) in (errno.ETIMEDOUT, errno.EHOSTUNREACH), 'open of a silent host')
    b.send(signal.SIGCONT)
    # What is parked when the node stops ends.
    b.wait_peers(1, 20)
    c = [n for n in nodes[1:] if n.id not in a.peers() and n is not b][0]
    c.send(signal.SIGSTOP)
    opener = lab.task(attempt, a.stream(c))
    a.wait_status('parked_opens', 1)
    a.stop()
    equal(opener.result(), errno.EIO, 'an open when the node stops')
    c.send(signal.SIGCONT)


def attempt(path):
    try:
        os.close(os.open(path, WRONLY))
    except OSError as e:
        return e.errno
    return 0


@case
def other_languages(lab):
    a, b = lab.pair()
    touch(pipe(b, a, 'p'))
    for name, program in (
            ('perl', ['perl', '-e', 'open F, "<", $ARGV[0] or die $!; print while <F>']),
            ('awk', ['awk', '{ print }']),
            ('cp', ['cp', None, '/dev/stdout']),
            ('sh', ['sh', '-c', 'while read -r line; do echo "$line"; done <"$0"'])):
        command = [pipe(b, a, 'p') if word is None else word for word in program]
        if None not in program:
            command.append(pipe(b, a, 'p'))
        reader = subprocess.Popen(command, stdout=subprocess.PIPE)
        b.wait_status('parked_reads', 1)
        put(pipe(a, b, 'p'), 'line 1\nline 2\n')
        try:
            equal(reader.communicate(timeout=10)[0], b'line 1\nline 2\n', name)
        except subprocess.TimeoutExpired:
            reader.kill()
            fail(name + ' does not end')


main(170)
