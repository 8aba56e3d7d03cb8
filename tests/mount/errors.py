# SPDX-License-Identifier: MIT
"""Every errno that a user can see, and the commands of ctl."""

import contextlib
import ctypes
import errno
import mmap
import os
import select
import shutil
import socket
import stat
import subprocess

from harness import (ID_LENGTH, KIB, MIB, SLOWNESS, STREAM_WINDOW, Skip, case, check, equal,
                     free_port, libc, main, opened, parse_event, put, raises, raw_call, slurp,
                     until, within)

RDONLY, WRONLY, RDWR, NONBLOCK = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_NONBLOCK
NOBODY = 'a' * ID_LENGTH
CLONE_NEWNET = 0x40000000


def command(node, text, flags=0):
    """One write(2) to ctl: its count."""
    with opened(node.path('ctl'), WRONLY | flags) as fd:
        return os.write(fd, text.encode() if isinstance(text, str) else text)


def refuses(node, text, *numbers):
    with raises(*numbers, what='ctl: %r' % text[:60]):
        command(node, text)


@contextlib.contextmanager
def silence():
    """A port whose connections are accepted and never answered."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen(16)
        yield '127.0.0.1:%d' % s.getsockname()[1]


@contextlib.contextmanager
def deaf():
    """A port whose queue is full: not even the connection is made."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen(0)
        clients = []
        for _ in range(4):
            c = socket.socket()
            c.setblocking(False)
            c.connect_ex(s.getsockname())
            clients.append(c)
        try:
            yield '127.0.0.1:%d' % s.getsockname()[1]
        finally:
            for c in clients:
                c.close()


@case
def bad_commands(lab):
    a, b = lab.pair()
    for text in ('nonsense\n', 'connect\n', 'drop\n', 'connect a b\n', 'connect \0\n', 'CONNECT x:1',
                 'connect 127.0.0.1:0\n', 'connect 127.0.0.1:65536\n', 'connect 127.0.0.1:x\n',
                 'connect :1\n', 'connect [::1\n', 'drop x\n', 'allow\n', 'deny\n', 'allow x\n',
                 'deny %s\n' % b.id[:8], 'deny %s\n' % b.id.upper(), 'deny %s\n' % a.id,
                 'allow %s\n' % a.id, 'deny %s x\n' % b.id,
                 'drop ../..\n', 'drop %s\n' % b.id.upper(), 'drop %sx\n' % b.id, '\0\n'):
        refuses(a, text, errno.EINVAL)
    for nowhere in ('0.0.0.0:8495', '[::]:8495', '224.0.0.1:1', '255.255.255.255:1', '[fe80::1]:1',
                    '[ff02::1]:1', '[::ffff:127.0.0.1]:1'):
        refuses(a, 'connect %s\n' % nowhere, errno.EINVAL)
    equal(a.peers(), {b.id}, 'peers')
    refuses(a, 'connect %s\n' % b.address, errno.EEXIST)
    refuses(a, 'connect %s\n' % b.id, errno.EEXIST)
    refuses(a, 'connect %s\n' % a.address, errno.EEXIST)
    refuses(a, 'connect %s\n' % a.id, errno.EEXIST)
    refuses(a, 'connect %s\n' % NOBODY, errno.ENOENT)
    refuses(a, 'drop %s\n' % NOBODY, errno.ENOENT)
    refuses(a, 'drop %s\n' % a.id, errno.ENOENT)
    refuses(a, 'drop %s\n' % a.id[:8], errno.ENOENT, errno.EINVAL)
    refuses(a, 'connect 127.0.0.1:%d\n' % free_port(), errno.ECONNREFUSED)
    port = free_port()
    refuses(a, 'connect localhost:%d\n' % port, errno.ECONNREFUSED)
    a.wait_event('refused', addr='localhost:%d' % port, by='connect', reason='ECONNREFUSED')


@case
def impossible_hosts(lab):
    """What can be neither an address nor a name is no address, as on the command line."""
    a = lab.node()
    for host in ('300.1.1.1', '1.2.3', '-x', 'a..b', 'a b', 'x/y'):
        refuses(a, 'connect %s:1\n' % host, errno.EINVAL)
    refuses(a, 'connect %s:1\n' % ('x' * 254), errno.EINVAL)


def alone():
    """To be in a network of its own that has nothing but loopback."""
    if libc.unshare(CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), 'unshare')
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)


@case
def no_name_server(lab):
    """A name that nobody can look up is out of reach, which is not to say that there is none."""
    if os.geteuid() != 0 or not shutil.which('ip'):
        raise Skip('no network of its own can be made')
    a = lab.node(seeds=['name.example:8495'], start=False)
    a.enter = alone
    a.start()
    equal(a.wait_event('seed-retry', 15).fields['addr'], 'name.example:8495', 'addr')
    refuses(a, 'connect name.example:8496\n', errno.EHOSTUNREACH)
    a.wait_event('refused', addr='name.example:8496', by='connect', reason='EHOSTUNREACH')


@case
def long_lines(lab):
    a = lab.node()
    # 4 KiB with or without the newline; one more is too long.
    comment = '#' + 'x' * (4 * KIB - 1)
    equal(command(a, comment), 4 * KIB, 'a line of 4 KiB')
    equal(command(a, comment + '\n'), 4 * KIB + 1, 'a line of 4 KiB and its newline')
    refuses(a, comment + 'x', errno.EMSGSIZE)
    refuses(a, comment + 'x\n', errno.EMSGSIZE)
    equal(command(a, '# good\n' + comment + 'x\n'), len('# good\n'), 'bytes before the long line')
    many = '# comment\n' * 50000
    equal(command(a, many), len(many), 'many lines')


@case
def order_of_lines(lab):
    a = lab.node('a', options=['--min-peers', '0'])
    b, c = lab.node('b'), lab.node('c')
    connect_b, connect_c = ('connect %s\n' % n.address for n in (b, c))
    # In order, each to its end; the last line needs no newline.
    text = '# a comment\n\n  \t\n' + connect_b + connect_c.replace(' ', ' \t ') + 'drop ' + b.id
    equal(command(a, text), len(text), 'all lines')
    equal(a.peers(), {c.id}, 'peers')
    names = [(e.name, e.id) for e in a.events() if e.name in ('add', 'remove')]
    equal(names, [('add', b.id), ('add', c.id), ('remove', b.id)], 'events')
    until(lambda: a.id not in b.peers(), 5, 'drop')
    # The bytes before the first line that fails.
    text = '# fine\nconnect %s\ndrop %s\n' % (b.address, c.id)
    put(b.path('ctl'), '# nothing\n')
    equal(command(a, text + 'nonsense\ndrop %s\n' % b.id), len(text), 'the part that was done')
    until(lambda: b.id in a.peers(), 2, 'the line after the failed one was not run')
    equal(a.peers(), {b.id}, 'peers')
    equal(command(a, '\nnonsense'), 1, 'the blank line before it')
    refuses(a, 'nonsense\n' + connect_c, errno.EINVAL)
    refuses(a, 'drop %s\ndrop %s\n' % (NOBODY, b.id), errno.ENOENT)
    equal(a.peers(), {b.id}, 'peers')
    # A prefix is enough where it is unique; carriage returns do no harm.
    equal(command(a, 'drop %s\r\n' % b.id[:8]), 15, 'drop by prefix')
    equal(a.peers(), set(), 'peers')
    until(lambda: a.id not in c.peers(), 5, 'drop')
    # O_NONBLOCK waits, too: the next write could not take it up.
    equal(command(a, connect_c, NONBLOCK), len(connect_c), 'a dial with O_NONBLOCK')
    equal(a.peers(), {c.id}, 'peers')
    # By id: of a node that is known, though it is no peer.
    until(lambda: len(c.peers()) == 2, 5, 'b and c to meet')
    d = lab.node('d', seeds=[c], options=['--min-peers', '1', '--max-peers', '2'])
    a.wait_event('join', id=d.id)
    equal(command(a, 'connect %s\n' % d.id), 9 + ID_LENGTH, 'connect by id')
    check(d.id in a.peers(), 'no peer')


@case
def reading_ctl(lab):
    a = lab.node()
    with opened(a.path('ctl'), RDWR) as fd:
        text = os.read(fd, 4096).decode()
        equal([line.split()[0] for line in text.splitlines()], ['connect', 'drop', 'allow', 'deny'],
              'verbs')
        equal(os.read(fd, 4096), b'', 'the end')
        equal(os.write(fd, b'# the same descriptor\n'), 22, 'write')
    with opened(a.path('ctl')) as fd:
        equal(b''.join(iter(lambda: os.read(fd, 5), b'')).decode(), text, 'in small pieces')


@case
def dial_times_out(lab):
    a = lab.node()
    with silence() as silent, deaf() as full:
        tasks = [lab.task(timed, a, silent), lab.task(timed, a, full)]
        # Meanwhile others are served.
        b = lab.node()
        with within(1, 'a command beside one that waits'):
            command(a, 'connect %s\n' % b.address)
        for task, limit in zip(tasks, (11, 4)):
            took = task.result(20)
            check(took < limit, 'ETIMEDOUT after %.1f s' % took)
    equal(a.status()['parked_writes'], 0, 'parked_writes')


def timed(node, address):
    import time
    began = time.monotonic()
    with raises(errno.ETIMEDOUT, what='connect to ' + address):
        command(node, 'connect %s\n' % address)
    return time.monotonic() - began


@case
def no_room(lab):
    options = ['--min-peers', '1', '--max-peers', '1']
    a, b = lab.node('a', options=options), lab.node('b')
    command(a, 'connect %s\n' % b.address)
    c = lab.node('c')
    refuses(a, 'connect %s\n' % c.address, errno.EUSERS)
    equal(a.peers(), {b.id}, 'peers')
    equal(c.peers(), set(), 'peers')
    # No limit: no EUSERS.
    wide = lab.node('wide', options=['--max-peers', '0'])
    for other in (a, b, c):
        if other is not a:
            command(wide, 'connect %s\n' % other.address)
    until(lambda: {b.id, c.id} <= wide.peers(), 5, 'peers without a limit')


@case
def missing_files(lab):
    a, b = lab.pair()
    for path in (('nothing',), ('peers', NOBODY), ('peers', 'short'), ('peers', b.id + 'x'),
                 ('peers', b.id, 'nothing'), ('peers', b.id[:7]), ('peers', b.id.upper()),
                 ('peers', 'É' * 8), ('peers', b.id, '.hidden'), ('broadcast ',), ('peers', a.id)):
        for call in (os.stat, os.lstat, lambda p: os.open(p, RDONLY)):
            with raises(errno.ENOENT, what='/'.join(path)):
                call(a.path(*path))
    with raises(errno.ENOTDIR, what='a file as a directory'):
        os.stat(a.path('id', 'x'))
    long = 'x' * 256
    for path in ((long,), ('peers', long), ('peers', b.id, long)):
        with raises(errno.ENAMETOOLONG, what='a name of 256 bytes'):
            os.stat(a.path(*path))
        with raises(errno.ENOENT, what='a name of 255 bytes'):
            os.stat(a.path(*path)[:-1])
    with raises(errno.EISDIR, what='write to a directory'):
        os.open(a.path('peers'), WRONLY)
    with raises(errno.EINVAL, what='readlink of a file'):
        os.readlink(a.path('id'))


@case
def forbidden_changes(lab):
    a, b = lab.pair()
    outside = lab.file('outside', b'x')
    peer = a.path('peers', b.id)

    def creates(path):
        os.close(os.open(path, WRONLY | os.O_CREAT, 0o600))
    calls = [
        ('create', creates, a.path('new')), ('create', creates, a.path('peers', 'new')),
        ('create', creates, os.path.join(peer, 'new')),
        ('O_EXCL', lambda p: os.open(p, RDWR | os.O_CREAT | os.O_EXCL), a.path('new')),
        ('mknod', lambda p: os.mknod(p, stat.S_IFREG | 0o600), a.path('new')),
        ('mkfifo', os.mkfifo, a.path('new')),
        ('mkdir', os.mkdir, a.path('new')), ('mkdir', os.mkdir, a.path('peers', 'new')),
        ('symlink', lambda p: os.symlink('x', p), a.path('new')),
        ('link', lambda p: os.link(a.path('id'), p), a.path('new')),
        ('unlink', os.unlink, a.path('broadcast')), ('unlink', os.unlink, a.stream(b)),
        ('rmdir', os.rmdir, a.path('peers')), ('rmdir', os.rmdir, peer),
        ('rename', lambda p: os.rename(p, a.path('new')), a.path('broadcast')),
        ('rename onto', lambda p: os.rename(p, a.path('events')), a.path('broadcast')),
        ('rename', lambda p: os.rename(p, a.path('peers', 'x')), peer),
        ('chmod', lambda p: os.chmod(p, 0o666), a.path('broadcast')),
        ('chmod', lambda p: os.chmod(p, 0o777), a.path('peers')),
        ('chown', lambda p: os.chown(p, 1, 1), a.path('broadcast')),
    ]
    for name, call, path in calls:
        with raises(errno.EPERM, what='%s of %s' % (name, path)):
            call(path)
    with raises(errno.EXDEV, what='rename over file systems'):
        os.rename(outside, a.path('new'))
    with raises(errno.EEXIST, what='mkdir of what is there'):
        os.mkdir(a.path('peers'))
    for path in (a.path('events'), a.path('id'), a.path('status'), os.path.join(peer, 'address'),
                 os.path.join(peer, 'name')):
        for flags in (WRONLY, RDWR, WRONLY | os.O_TRUNC, WRONLY | os.O_APPEND):
            with raises(errno.EACCES, errno.EPERM, what='open for writing: ' + path):
                os.open(path, flags)
    with raises(errno.EACCES, errno.EPERM, what='truncate of events'):
        os.truncate(a.path('events'), 0)
    check(a.read('events'), 'events')
    # touch(1) and `>` where writing is allowed change nothing, and are no errors.
    os.utime(a.path('broadcast'))
    os.truncate(a.path('broadcast'), 0)
    os.truncate(a.path('ctl'), 0)


def shared_map(fd):
    # Python's own looks at the size first.
    libc.mmap.restype = ctypes.c_ssize_t
    return raw_call('mmap', None, ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_WRITE,
                    mmap.MAP_SHARED, fd, ctypes.c_long(0))


@case
def seeks_and_maps(lab):
    a, b = lab.pair()
    for path in (a.path('broadcast'), a.stream(b), a.path('ctl')):
        with opened(path, RDWR) as fd:
            for whence in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
                with raises(errno.ESPIPE, what='lseek of ' + path):
                    os.lseek(fd, 0, whence)
            with raises(errno.ESPIPE, what='pread of ' + path):
                os.pread(fd, 1, 0)
            with raises(errno.ESPIPE, what='pwrite of ' + path):
                os.pwrite(fd, b'x', 0)
            equal(shared_map(fd), -errno.ENODEV, 'shared mmap of ' + path)
    with opened(a.path('events')) as fd:
        text = slurp(a.path('events')).encode()
        equal(os.lseek(fd, 3, os.SEEK_SET), 3, 'lseek of events')
        equal(os.read(fd, 5), text[3:8], 'read after lseek')
        equal(os.pread(fd, 5, 1), text[1:6], 'pread')
        equal(os.lseek(fd, 0, os.SEEK_END), len(text), 'the end of events')
        equal(os.read(fd, 5), b'', 'read at the end')
        os.lseek(fd, 1 << 40, os.SEEK_SET)
        equal(os.read(fd, 5), b'', 'read far beyond the end')


@case
def unsupported(lab):
    a, b = lab.pair()
    for path in (a.path('broadcast'), a.path('events'), a.path('peers')):
        with raises(errno.EOPNOTSUPP, what='setxattr'):
            os.setxattr(path, 'user.x', b'1')
        with raises(errno.EOPNOTSUPP, what='getxattr'):
            os.getxattr(path, 'user.x')
        with raises(errno.EOPNOTSUPP, what='listxattr'):
            os.listxattr(path)
    for path in (a.path('broadcast'), a.stream(b)):
        with opened(path, RDWR) as fd:
            r = raw_call('fallocate', fd, 0, ctypes.c_long(0), ctypes.c_long(4096))
            equal(r, -errno.EOPNOTSUPP, 'fallocate')
            os.fsync(fd)
            os.fdatasync(fd)
            equal(raw_call('ioctl', fd, ctypes.c_ulong(0x5401), None), -errno.ENOTTY, 'ioctl')
            check(not os.isatty(fd), 'a terminal')


@case
def stale_directory(lab):
    a, b = lab.pair()
    directory = os.open(a.path('peers', b.id), RDONLY | os.O_DIRECTORY)
    address = os.open(a.path('peers', b.id, 'address'), RDONLY)
    path = a.path('peers', b.id)
    b.kill()
    a.wait_event('remove')
    with raises(errno.ESTALE, what='stat of a directory whose peer is gone'):
        os.stat(directory)
    with raises(errno.ESTALE, what='open in it'):
        os.open('stream', RDWR, dir_fd=directory)
    with raises(errno.ESTALE, what='lookup in it'):
        os.stat('name', dir_fd=directory)
    with raises(errno.ESTALE, what='listing of it'):
        os.listdir(directory)
    with raises(errno.ENOENT, what='the path itself'):
        os.stat(path)
    # A file that was open shows what it showed.
    equal(os.read(address, 100).decode(), b.address + '\n', 'an open file')
    os.close(directory)
    os.close(address)
    # The same node, back again, is another directory.
    b.start()
    a.wait_peers(1)
    equal(os.listdir(path) != [], True, 'the new directory')


@case
def would_block(lab):
    a, b = lab.pair()
    with opened(a.stream(b), RDWR | NONBLOCK) as fd, opened(a.path('broadcast'), NONBLOCK) as feed:
        with raises(errno.EAGAIN, what='read'):
            os.read(fd, 1)
        with raises(errno.EAGAIN, what='read'):
            os.read(feed, 1)
        with raises(errno.EAGAIN, what='write'):
            while True:
                os.write(fd, b'x' * STREAM_WINDOW)
    for flags, call in ((RDONLY, lambda fd: os.write(fd, b'x')), (WRONLY, lambda fd: os.read(fd, 1))):
        with opened(a.path('broadcast'), flags) as fd:
            with raises(errno.EBADF, what='the other direction'):
                call(fd)


def wait_here(path):
    with opened(path, WRONLY) as fd:
        try:
            return os.write(fd, b'p' * MIB)
        except OSError as e:
            return -e.errno


@case
def too_much_parked(lab):
    """64 MiB of writes may wait in all; the next one is told ENOBUFS."""
    a, b = lab.pair()
    with opened(a.stream(b), WRONLY | NONBLOCK) as fd:
        end = until(lambda: fill_once(fd), 5, 'a full stream')
        check(end, 'full')
    tasks = [lab.task(wait_here, a.stream(b)) for _ in range(64)]
    until(lambda: a.status()['parked_writes'] == 64, 10 * SLOWNESS,
          lambda: 'parked writers (%d)' % a.status()['parked_writes'])
    size = a.status()['parked_bytes']
    check(63 * MIB - MIB < size <= 64 * MIB, '%d bytes are parked' % size)
    with opened(a.stream(b), WRONLY) as fd:
        with raises(errno.ENOBUFS, what='a write beyond the bound'):
            for _ in range(3):
                os.write(fd, b'p' * MIB)
    check(a.status()['parked_refused'] >= 1, 'parked_refused')
    # Reads and everything else go on.
    put(b.path('broadcast'), 'x')
    equal(len(a.peers()), 1, 'peers')
    for task in tasks:
        task.kill()
    for task in tasks:
        task.reap()
    a.wait_status('parked_bytes', 0)


def fill_once(fd):
    try:
        while True:
            os.write(fd, b'x' * 65536)
    except BlockingIOError:
        return not select.select([], [fd], [], 0.2)[1]


@case
def one_event_per_line(lab):
    """Every line of events is one event, and SEQ counts up by one."""
    a, b = lab.pair()
    for _ in range(3):
        command(a, 'drop %s\n' % b.id)
        until(lambda: not b.peers(), 5, 'drop')
        command(a, 'connect %s\n' % b.address)
    lines = a.read('events').splitlines()
    events = [parse_event(line) for line in lines]
    equal([e.seq for e in events], list(range(1, len(events) + 1)), 'SEQ')
    check(all(x.time <= y.time for x, y in zip(events, events[1:])), 'TIME goes back')


@case
def no_notconn(lab):
    """Users read ENOTCONN as a crashed mount: nobody gets it, also while a node stops."""
    a, b = lab.pair()
    fd = os.open(a.path('broadcast'), RDWR)
    stream = os.open(a.stream(b), RDWR)
    reader = lab.task(os.read, fd, 10)
    a.wait_status('parked_reads', 1)
    a.send(15)
    equal(reader.result(), b'', 'a blocked reader of a stopping node')
    for f in (fd, stream):
        for call in (lambda f: os.read(f, 1), lambda f: os.write(f, b'x')):
            try:
                call(f)
            except OSError as e:
                check(e.errno in (errno.EIO, errno.EPIPE, errno.ECONNABORTED, errno.ENODEV,
                                  errno.ENOTCONN), errno.errorcode[e.errno])
        os.close(f)
    equal(a.collect(), 0, 'exit code')


if __name__ == '__main__':
    main(100)
