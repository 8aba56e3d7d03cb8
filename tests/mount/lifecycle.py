# SPDX-License-Identifier: MIT
"""Start and end: when the mount is ready, what the exit codes say, and what is left afterwards."""

import contextlib
import errno
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

from harness import (ID_LENGTH, Node, SLOWNESS, SMOKEFS, Skip, alive, case, check, descendants, equal,
                     free_port, main, mounts_below, opened, put, raises, slurp, until,
                     within)

CLEAN, USAGE, SYSTEM, MOUNT = 0, 1, 2, 32


def refused(lab, code, pattern, *arguments, seconds=20):
    """One sentence on stderr, nothing on stdout, the right exit code, and nothing left."""
    got, out, err = lab.smokefs(*arguments, seconds=seconds)
    line = 'smokefs %s: ' % ' '.join(arguments)
    check(got == code, '%sexit code %d, expected %d: %s' % (line, got, code, err))
    equal(out, '', line + 'stdout')
    check(err.startswith('smokefs: ') and err.endswith('\n') and err.count('\n') == 1,
          '%snot one sentence: %r' % (line, err))
    check(re.search(pattern, err), '%s%r does not say %r' % (line, err, pattern))
    equal(mounts_below(lab.directory), [], 'mounts after ' + line)
    return err


def helper_of(node):
    found = [p.pid for p in descendants(node.pid)]
    equal(len(found), 1, 'children of the daemon')
    return found[0]


@case
def ready_when_parent_exits(lab):
    for i in range(20):
        node = lab.node('n%d' % i, start=False)
        equal(subprocess.run(node.command(), stdin=subprocess.DEVNULL, check=False).returncode, 0,
              'exit code')
        # At once, without any waiting.
        listing = os.listdir(node.mount)
        node.pid = int(slurp(node.state + '/lock'))
        check({'broadcast', 'ctl', 'events', 'id', 'peers', 'status', 'version'} <= set(listing),
              'the mount does not answer: %s' % listing)
        node.id = node.read('id').strip()
        check(re.fullmatch('[a-z2-7]{%d}' % ID_LENGTH, node.id), 'id ' + node.id)
        equal(node.status()['address'], node.address, 'address')
        equal(node.status()['name'], node.name, 'name')
        if i % 5:
            node.stop()


@case
def command_substitution(lab):
    """$(smokefs ...) returns: nothing of the shell's stays open in the daemon."""
    node = lab.node(start=False)
    with within(10, '$(smokefs)'):
        equal(lab.run('x=$(%s 2>&1); echo "got <$x>"' % ' '.join(node.command())), 'got <>\n',
              'stdout')
        node.pid = int(slurp(node.state + '/lock'))
    # No lock, no pipe, no terminal: only its own.
    for fd in os.listdir('/proc/%d/fd' % node.pid):
        target = os.readlink('/proc/%d/fd/%s' % (node.pid, fd))
        check(int(fd) > 2 or target == '/dev/null', 'descriptor %s is %s' % (fd, target))
    equal(os.readlink('/proc/%d/cwd' % node.pid), '/', 'working directory')
    equal(os.getsid(node.pid), node.pid, 'session')


@case
def help_and_version(lab):
    code, out, err = lab.smokefs('--help')
    equal((code, err), (0, ''), '--help')
    for option in '''--address --port --seed --min-peers --max-peers --ping-timeout --name --key
            --new-key --state --log-level --log --wait --foreground --debug -o --help
            --version'''.split():
        check(option in out, '--help does not name ' + option)
    equal(lab.smokefs('-h')[1], out, '-h')
    code, out, err = lab.smokefs('--version')
    equal((code, err), (0, ''), '--version')
    check(re.fullmatch(r'smokefs \d+\.\d+\.\d+\n', out), 'version %r' % out)
    equal(lab.smokefs('-V')[1], out, '-V')


@case
def bad_options(lab):
    mount = lab.path('m')
    os.mkdir(mount)
    state = ['--state', lab.path('state')]
    for arguments, pattern in (
            (['--min-pears', '3', mount], r"--min-pears: unknown option; did you mean '--min-peers'"),
            (['--pingtimeout=3', mount], r"did you mean '--ping-timeout'"),
            (['--sede', 'x:1', mount], r"did you mean '--seed'"),
            (['--zzzzzzzzzz', mount], r'--zzzzzzzzzz: unknown option'),
            (['-x', mount], r'-x: unknown option'),
            (['-o', 'minPearNo=3', mount], r"did you mean '-o min"),
            (['-o', 'min_pears=3', mount], r"did you mean '-o min_peers'"),
            (['-o', 'allow_otter', mount], r"did you mean '-o allow_other'"),
            (['-o', 'zzzzzzzzzz', mount], r'zzzzzzzzzz: unknown option'),
            (['-o', 'min_peers', mount], r'needs a value'),
            (['-o', 'foreground=1', mount], r'takes no value'),
            (['--port'], r'--port: needs a value'),
            (['--port', '0', mount], r"--port: '0' is not a number from 1 to 65535"),
            (['--port', '65536', mount], r'from 1 to 65535'),
            (['--port', '80x', mount], r"'80x' is not a number"),
            (['--min-peers', '-1', mount], r"'-1' is not a number"),
            (['--min-peers', '9', '--max-peers', '3', mount], r'min-peers 9 is more than'),
            (['--ping-timeout', '1', mount], r'from 100 to 600000'),
            (['-o', 'pingTimeout=x', mount], r"'x' is not a number"),
            (['--name', 'a b', mount], r"'a b' is not a name"),
            (['--name', '-a', mount], r"'-a' is not a name"),
            (['--name', 'x' * 64, mount], r'is not a name'),
            (['--log-level', 'loud', mount], r"'loud' is not one of"),
            (['--wait=0', mount], r'from 1 to'),
            (['--wait=soon', mount], r"'soon' is not a number"),
            (['--wait', '5', 'a:1', mount], r'a number of seconds is written --wait=5'),
            (['192.168.77.5:8495'], r"'192\.168\.77\.5:8495' is a seed; the mount point is "
             r'missing'),
            (['web1:8495,web2:8495'], r"'web1:8495,web2:8495' is a seed; the mount point"),
            (['none'], r"'none' is a seed; the mount point is missing"),
            (['-f=1', mount], r'.'),
            (['--foreground=1', mount], r'takes no value'),
            (['--address', 'x', mount], r"'x' is not an IP address"),
            (['--address', '0.0.0.0', mount], r'to listen at all addresses leave the option out'),
            (['--address', '224.0.0.1', mount], r'is not the address of one host'),
            (['--address', 'fe80::1', mount], r'link-local'),
            (['--address', '203.0.113.0/24', mount], r'no interface'),
            (['--address', '127.0.0.1/99', mount], r'from 0 to 32'),
            (['0.0.0.0:8495', mount], r"'0.0.0.0:8495' is not the address of one host"),
            (['--seed', '255.255.255.255:8495', mount], r'is not the address of one host'),
            (['[ff02::1]:8495', mount], r'is not the address of one host'),
            (['127.0.0.1:1,[::]:53', mount], r"'\[::\]:53' is not the address of one host"),
            (['--key', '', mount], r'--key: needs the path of a file'),
            (['300.1.1.1:1', mount], r'neither an address nor a host name'),
            (['nonsense', mount], r"'nonsense' is not a seed"),
            (['127.0.0.1:0', mount], r'is not a seed'),
            ([], r'no mount point given'),
            (['a:1', 'b', 'c'], r"'c': one argument too many"),
            (['none', ''], r'the mount point is empty')):
        refused(lab, USAGE, pattern, *state, *arguments)
    equal(os.path.exists(lab.path('state')), False, 'a state directory after usage errors')


@case
def bad_mountpoints(lab):
    state = ['--state', lab.path('state')]
    refused(lab, MOUNT, r'/missing: No such file or directory; create the directory', *state,
            'none', lab.path('missing'))
    refused(lab, MOUNT, r'No such file', *state, 'none', lab.path('missing', 'deeper'))
    lab.file('file', b'')
    refused(lab, MOUNT, r'file: Not a directory', *state, 'none', lab.path('file'))
    refused(lab, MOUNT, r'Not a directory', *state, 'none', lab.path('file', 'x'))
    os.symlink('loop', lab.path('loop'))
    refused(lab, MOUNT, r'symbolic links', *state, 'none', lab.path('loop'))
    refused(lab, MOUNT, r'File name too long', *state, 'none', lab.path('x' * 256))
    equal(os.path.exists(lab.path('state')), False, 'a state directory after a missing mount point')


@case
def already_mounted(lab):
    a = lab.node()
    os.symlink(a.mount, lab.path('link'))
    for path in (a.mount, a.mount + '/', lab.path('.', 'a'), lab.path('link')):
        code, _, err = lab.smokefs('--state', lab.path('other'), 'none', path)
        equal(code, MOUNT, 'exit code at ' + path)
        check(re.search('%s: already mounted; unmount it with' % a.mount, err), err)
    equal(len(a.read('id')), ID_LENGTH + 1, 'the first mount')
    # Nor does it hang when the daemon of that mount is stopped.
    a.send(signal.SIGSTOP)
    try:
        with within(8, 'a mount whose daemon is stopped'):
            code, _, err = lab.smokefs('--state', lab.path('other'), 'none', a.mount)
        equal(code, MOUNT, 'exit code')
        check('already mounted, and its daemon does not answer' in err, err)
    finally:
        a.send(signal.SIGCONT)


@case
def taken_port(lab):
    a = lab.node()
    os.mkdir(lab.path('m'))
    err = None
    code, _, err = lab.smokefs('-p', str(a.port), '--state', lab.path('s'), 'none', lab.path('m'))
    equal(code, SYSTEM, 'exit code')
    check('port %d: already in use at 127.0.0.1' % a.port in err, err)
    equal(lab.smokefs('-p', str(a.port), '--state', lab.path('s'), '-f', 'none', lab.path('m'))[0],
          SYSTEM, 'exit code in the foreground')
    # Without -p: the next that is free.
    first = lab.node('first', start=False)
    second = lab.node('second', start=False)
    for node in (first, second):
        command = node.command()
        del command[1:3]
        equal(subprocess.run(command, check=False).returncode, 0, 'exit code without a port')
        node.pid = int(slurp(node.state + '/lock'))
        port = int(node.read('status').split('address 127.0.0.1:')[1].split()[0])
        check(8495 <= port < 8600, 'port %d' % port)
        node.found = port
    check(first.found != second.found, 'both got port %d' % first.found)


@case
def locked_state(lab):
    a = lab.node()
    os.mkdir(lab.path('m'))
    code, _, err = lab.smokefs('--state', a.state, 'none', lab.path('m'))
    equal(code, SYSTEM, 'exit code')
    check('%s: in use by process %d;' % (a.state, a.pid) in err, err)
    a_id = a.id
    a.stop()
    a.start()
    equal(a.id, a_id, 'id after a restart')
    incarnation = int(slurp(a.state + '/incarnation'))
    a.stop()
    a.start()
    check(int(slurp(a.state + '/incarnation')) > incarnation, 'incarnation does not rise')
    # Damage is told apart from absence.
    a.stop()
    with open(a.state + '/node.key', 'w') as f:
        f.write('garbage\n')
    code, _, err = lab.smokefs('--state', a.state, 'none', lab.path('m'))
    equal(code, SYSTEM, 'exit code')
    check('/node.key: is damaged; restore it, or remove node.key and incarnation to become a new '
          'node' in err, err)
    # Without --state: below XDG_STATE_HOME, or /var/lib for root; two mounts do not share one.
    lab.file('plain', b'')
    code, _, err = lab.smokefs('--state', lab.path('plain'), 'none', lab.path('m'))
    equal(code, SYSTEM, 'exit code')
    check('Not a directory' in err, err)


@case
def clean_ends(lab):
    for number in (signal.SIGTERM, signal.SIGINT):
        a, b = lab.pair()
        helper = helper_of(a)
        feed = lab.task(read_all, a.path('broadcast'))
        stream = lab.task(read_all, a.stream(b))
        with opened(a.stream(b), os.O_WRONLY | os.O_NONBLOCK) as fd:
            until(lambda: filled(fd), 5, 'a full stream')
        writer = lab.task(write_all_or_errno, a.stream(b))
        a.wait_status('parked_reads', 2)
        a.wait_status('parked_writes', 1)
        began = time.monotonic()
        a.send(number)
        equal(feed.result(), b'', 'broadcast ends')
        equal(stream.result(), errno.EIO, 'a stream is EIO')
        equal(writer.result(), errno.EIO, 'a parked writer')
        equal(a.collect(), 0, 'exit code')
        check(time.monotonic() - began < 2 * SLOWNESS, 'the end took %.1f s' % (
            time.monotonic() - began))
        check(not a.mounted(), 'still mounted')
        until(lambda: not alive(helper), 2, 'end of the helper')
        event = b.wait_event('remove', seconds=2, id=a.id)
        equal(event.reason, 'shutdown', 'what the peer was told')
        b.wait_event('leave', id=a.id)
        b.stop()


def filled(fd):
    try:
        while os.write(fd, b'x' * 65536):
            pass
    except BlockingIOError:
        return not select.select([], [fd], [], 0.2)[1]


def read_all(path):
    data = b''
    with opened(path) as fd:
        try:
            while part := os.read(fd, 65536):
                data += part
        except OSError as e:
            return e.errno
    return data


def write_all_or_errno(path):
    with opened(path, os.O_WRONLY) as fd:
        try:
            return os.write(fd, b'y' * 1000)
        except OSError as e:
            return e.errno


@case
def quick_end(lab):
    """With nothing to flush there is nothing to wait for."""
    for count in (1, 2, 5):
        nodes = lab.network(count) if count > 1 else [lab.node()]
        for node in nodes:
            began = time.monotonic()
            node.stop()
            took = time.monotonic() - began
            check(took < (0.25 if SLOWNESS == 1 else 0.45), '%d nodes: TERM took %.2f s' % (count, took))


@case
def killed_daemon(lab):
    """kill -9 leaves no dead mount, and the id stays."""
    a, b = lab.pair()
    for _ in range(3):
        a_id, helper = a.id, helper_of(a)
        reader = lab.task(read_all, a.path('broadcast'))
        a.wait_status('parked_reads', 1)
        a.kill()
        check(reader.result() in (errno.ECONNABORTED, errno.ENOTCONN, b''), 'a blocked reader')
        until(lambda: not a.mounted(), 3, 'the helper to unmount')
        equal(os.listdir(a.mount), [], 'the directory below')
        until(lambda: not alive(helper), 3, 'end of the helper')
        a.start()
        equal(a.id, a_id, 'id')
        a.wait_peers(1)
    # Also with somebody's working directory in there.
    p = lab.popen(['sleep', '60'], cwd=a.mount)
    a.kill()
    until(lambda: not a.mounted(), 3, 'the helper to unmount a busy mount')
    p.kill()
    a.start()


@case
def stale_mount(lab):
    """Daemon and helper killed: the next start cleans up what they left."""
    a = lab.node()
    a_id = a.id
    for depth in (1, 2):
        helper = helper_of(a)
        os.kill(helper, signal.SIGKILL)
        until(lambda: not alive(helper), 2, 'end of the helper')
        a.kill()
        check(a.mounted(), 'no dead mount to be cleaned')
        with raises(errno.ENOTCONN, what='stat of a dead mount'):
            os.stat(a.mount)
        a.start()
        equal(a.id, a_id, 'id')
        equal(mounts_below(a.mount), [a.mount], 'mounts at the place')
        check('broadcast' in os.listdir(a.mount), 'the mount does not answer')
    a.stop()


@case
def umount_from_outside(lab):
    if os.geteuid() == 0:
        ways = [['umount'], ['fusermount3', '-u'], ['umount', '-l'], ['fusermount3', '-u', '-z']]
    else:
        ways = [['fusermount3', '-u'], ['fusermount3', '-u', '-z']]
    a, b = lab.pair()
    for way in ways:
        if not shutil.which(way[0]):
            continue
        a_id = a.id
        lab.run(way + [a.mount])
        check(not a.mounted(), '%s: still mounted' % way)
        equal(a.collect(3), 0, 'exit code after %s' % way)
        equal(b.wait_event('remove', seconds=3, after=b.since, id=a.id).reason, 'shutdown',
              'what the peer was told')
        b.since = b.last()
        a.start()
        equal(a.id, a_id, 'id')
        a.wait_peers(1)


@case
def busy_mount(lab):
    a, b = lab.pair()
    reader = lab.task(read_all, a.path('broadcast'))
    a.wait_status('parked_reads', 1)
    err = lab.run(['fusermount3', '-u', a.mount], code=1)
    check('busy' in err.lower(), err)
    # Lazily: the reader goes on until it ends, and then the daemon ends.
    lab.run(['fusermount3', '-u', '-z', a.mount])
    check(not a.mounted(), 'still mounted')
    check(alive(a.pid), 'the daemon ended under its reader')
    put(b.path('broadcast'), 'still there')
    reader.kill()
    reader.reap()
    equal(a.collect(3), 0, 'exit code')
    # The place can be used again.
    a.start()
    a.stop()


@case
def restart_over_lazy_unmount(lab):
    """The old daemon lives for its reader; a new one with a state of its own takes the place."""
    a = lab.node()
    reader = lab.task(read_all, a.path('broadcast'))
    a.wait_status('parked_reads', 1)
    lab.run(['fusermount3', '-u', '-z', a.mount])
    other = lab.node('other', mount=a.mount)
    check(other.id != a.id, 'two nodes of one id')
    # The helper of the old one must not unmount the new one.
    a.kill()
    reader.reap()
    time.sleep(0.3)  # nothing is to happen
    check(other.mounted(), 'the new mount was taken down')
    equal(other.read('id').strip(), other.id, 'id')


@case
def waits_for_a_peer(lab):
    a = lab.node()
    b = lab.node('b', seeds=[a], options=['--wait=5'])
    equal(b.peers(), {a.id}, 'peers at the moment of readiness')
    # Nobody there.
    os.mkdir(lab.path('m'))
    seed = '127.0.0.1:%d' % free_port()
    with within(4, '--wait=1'):
        refused_here(lab, SYSTEM, r'--wait: no peer after 1 s: %s: Connection refused; check that '
                     r'a node listens there' % seed, '--wait=1', '--state',
                     lab.path('s'), '-p', str(free_port()), seed, lab.path('m'))
    # Later: the seed comes while it waits.
    late = lab.node('late', start=False)
    early = lab.node('early', seeds=[late], start=False, options=['--wait'])
    p = lab.popen(early.command())
    until(early.mounted, 5, 'mount')
    check(p.poll() is None, 'ready without a peer')
    late.start()
    equal(p.wait(15), 0, 'exit code')
    early.pid = int(slurp(early.state + '/lock'))
    equal(early.peers(), {late.id}, 'peers')
    # ^C at one that waits.
    patient = lab.node('patient', start=False, options=['--wait'])
    p = lab.popen(patient.command())
    until(patient.mounted, 5, 'mount')
    os.listdir(patient.mount)
    p.send_signal(signal.SIGINT)
    equal(p.wait(5), -signal.SIGINT, 'exit after ^C')
    until(lambda: not patient.mounted(), 5, 'unmount')


@case
def waits_in_vain(lab):
    """Why there was no peer, and what to do about it."""
    a = lab.node()
    os.mkdir(lab.path('m'))
    port = str(free_port())

    def vain(pattern, seed, *options):
        refused_here(lab, SYSTEM, r'--wait: no peer after 1 s: ' + pattern, '--wait=1', '--state',
                     lab.path('s'), '-p', port, *options, seed, lab.path('m'))
    vain("nobody with this network's key was found on the local network; name a seed", 'none')
    vain('name a seed, or leave --no-discovery out', 'none', '--no-discovery')
    other = lab.make_key('other.key')
    vain(r'%s is in a network with another key; copy its network\.key to %s\n' % (
        a.address, other), a.address, '--key', other)
    vain(r'127\.0\.0\.1:%s is this node itself' % port, '127.0.0.1:' + port)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        answer = lab.task(greet, s)
        vain(r'%s:%d does not speak as a node does' % s.getsockname(),
             '%s:%d' % s.getsockname())
        answer.result()
    # Now they are members, whom the lists part.
    with open(lab.path('s', 'authorized_peers'), 'w') as f:
        f.write('# nobody\n')
    vain(r'%s is not let in by the lists in %s' % (a.address, lab.path('s')), a.address)
    os.unlink(lab.path('s', 'authorized_peers'))
    shutil.copytree(lab.path('s'), lab.path('me.state'))
    me = lab.node('me')
    me.stop()
    a.ctl('deny %s\n' % me.id)
    vain("%s does not let this node link; write 'allow %s' to ctl there" % (a.address, me.id),
         a.address)


def greet(listener):
    """As a server does that speaks first."""
    s, _ = listener.accept()
    with s:
        s.sendall(b'220 mail.example ESMTP\r\n')
        with contextlib.suppress(ConnectionResetError):
            while s.recv(4096):
                pass


def refused_here(lab, code, pattern, *arguments):
    got, _, err = lab.smokefs(*arguments)
    equal(got, code, 'exit code')
    check(re.search(pattern, err), err)


@case
def ended_while_starting(lab):
    """A signal at any moment of the start: no mount and no process is left."""
    for number in (signal.SIGTERM, signal.SIGINT):
        for i in range(40):
            node = Node(lab, 'n%d-%d' % (number, i))
            p = subprocess.Popen(node.command(), stdin=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, env=lab.environment)
            time.sleep(i * 0.0003)  # any moment
            p.send_signal(number)
            _, err = p.communicate(timeout=10)
            check(p.returncode in (0, -number), 'exit code %d: %s' % (p.returncode, err.decode()))
            check(not err or 'before it was ready' in err.decode(), 'stderr: ' + err.decode())
            if p.returncode == 0:  # it was ready before
                node.pid = int(slurp(node.state + '/lock'))
                node.send(number)
                equal(node.collect(), 0, 'exit code of the daemon')
            until(lambda: not node.mounted(), 3, 'unmount')


@case
def killed_while_starting(lab):
    """kill -9 at any moment of the start: no mount is left."""
    for i in range(40):
        node = Node(lab, 'k%d' % i)
        p = subprocess.Popen(node.command() + ['-f'], stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=lab.environment)
        time.sleep(i * 0.0003)  # any moment
        p.kill()
        p.wait(10)
        until(lambda: not node.mounted(), 3, 'unmount')


CONNECTIONS = '/sys/fs/fuse/connections'


@case
def connection_cut(lab):
    """Through fusectl, as an administrator would: the daemon ends and its mount goes."""
    node = lab.node('cut')
    with open('/proc/self/mountinfo') as f:
        number, = [line.split()[2] for line in f if line.split()[4] == node.mount]
    end = '%s/%s/abort' % (CONNECTIONS, number.split(':')[1])
    ours = not os.path.exists(end) and 0 == subprocess.call(
        ['mount', '-t', 'fusectl', 'none', CONNECTIONS], stderr=subprocess.DEVNULL)
    try:
        if not os.path.exists(end):
            raise Skip('fusectl cannot be mounted')
        with open(end, 'w') as f:
            f.write('1')
    finally:
        if ours:
            subprocess.call(['umount', CONNECTIONS])
    node.collect()
    until(lambda: not node.mounted(), 3, 'unmount')


@case
def mount_options(lab):
    a = lab.node('a', options=['-o', 'minPeerNo=2,maxPeerNo=4,pingTimeout=1000'])
    status = a.status()
    equal((status['min_peers'], status['max_peers']), (2, 4), 'the spelling of old')
    b = lab.node('b', options=['-o', 'min_peers=1', '-o', 'max_peers=0,nodev,nosuid,_netdev,x-a.b=c',
                               '-o', 'rw,noatime'])
    status = b.status()
    equal((status['min_peers'], status['max_peers']), (1, 0), 'our spelling')
    with open('/proc/self/mountinfo') as f:
        line, = [line for line in f if line.split()[4] == b.mount]
    fields = line.split()
    for word in ('nodev', 'nosuid', 'noatime'):
        check(word in fields[5].split(','), '%s is not in %s' % (word, fields[5]))
    check('fuse.smokefs' in fields, 'type: ' + line)
    # As mount(8) gives them: before and behind.
    c = lab.node('c', seeds=[a], options=['-o', 'seed=%s,name=other' % b.address])
    equal(c.read('status').split('\nname ')[1].split()[0], 'other', 'name')
    until(lambda: c.peers() == {a.id, b.id}, 5, 'both seeds')


@case
def allow_other(lab):
    if os.geteuid() != 0:
        raise Skip('only for root')
    os.chmod(lab.directory, 0o755)
    os.chmod(os.path.dirname(lab.directory), 0o755)
    a = lab.node('a')
    b = lab.node('b', options=['-o', 'allow_other'])

    def as_nobody(path):
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            return os.listdir(path)
        except OSError as e:
            return e.errno
    equal(lab.task(as_nobody, a.mount).result(), errno.EACCES, 'another user')
    # The modes are for the mounting user.
    equal(lab.task(as_nobody, b.mount).result(), errno.EACCES, 'another user with allow_other')


@case
def foreground(lab):
    a = lab.node('a', foreground=True)
    until(lambda: os.path.exists(a.path('id')), 5, 'the mount')
    check(a.process.poll() is None, 'ended')
    a.send(signal.SIGINT)
    equal(a.collect(), 0, 'exit code')
    check(not a.mounted(), 'still mounted')
    # Its log is stderr.
    os.mkdir(lab.path('m'))
    p = lab.popen([SMOKEFS, '-f', '--key', lab.key, '-a', '127.0.0.1', '-p', str(free_port()),
                   '--state', lab.path('s'), 'none', lab.path('m')], stderr=subprocess.PIPE)
    until(lambda: mounts_below(lab.path('m')), 5, 'mount')
    p.terminate()
    _, err = p.communicate(timeout=5)
    equal(p.returncode, 0, 'exit code')
    check(re.search(r'(?m)^smokefs: 1 \S+ listen ', err.decode()), err.decode())
    check(re.search(r'(?m)^smokefs: \d+ \S+ stop ', err.decode()), err.decode())


@case
def debug_trace(lab):
    os.mkdir(lab.path('m'))
    with open(lab.path('trace'), 'wb') as trace:
        p = lab.popen([SMOKEFS, '-d', '--key', lab.key, '-a', '127.0.0.1', '-p', str(free_port()),
                       '--state', lab.path('s'), 'none', lab.path('m')], stderr=trace)
    until(lambda: mounts_below(lab.path('m')), 5, 'mount')
    slurp(lab.path('m', 'id'))
    check('OPEN' in slurp(lab.path('trace')), 'no trace of requests')
    p.terminate()
    equal(p.wait(5), 0, 'exit code')


@contextlib.contextmanager
def manager(lab):
    """The socket of a service manager, and those of our nodes tell it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(lab.path('notify'))
        s.settimeout(5 * SLOWNESS)
        lab.environment = dict(lab.environment, NOTIFY_SOCKET=lab.path('notify'))
        yield s


@case
def tells_the_service_manager(lab):
    with manager(lab) as s:
        a = lab.node()
        message = s.recv(1000).decode()
        check('READY=1' in message and 'MAINPID=%d' % a.pid in message, message)
        before = time.monotonic()
        a.send(signal.SIGHUP)
        message = s.recv(1000).decode()
        found = re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=(\d+)', message)
        check(found and before <= int(found.group(1)) / 1e6 <= time.monotonic(), message)
        equal(s.recv(1000), b'READY=1', 'at the end of a reload')
        a.send(signal.SIGTERM)
        equal(s.recv(1000), b'STOPPING=1', 'at the end')
        equal(a.collect(), 0, 'exit code')


@case
def watched_by_the_service_manager(lab):
    with manager(lab) as s:
        script = 'WATCHDOG_USEC=400000 WATCHDOG_PID=%s exec "$@"'

        def start(pid):
            node = lab.node(start=False)
            p = subprocess.Popen(['sh', '-c', script % pid, 'sh', *node.command(), '-f'],
                                 stdin=subprocess.DEVNULL, env=lab.environment)
            while 'READY=1' not in s.recv(1000).decode():
                pass
            return p

        p = start('$$')
        began = time.monotonic()
        for _ in range(5):
            equal(s.recv(1000), b'WATCHDOG=1', 'a sign of life')
        took = time.monotonic() - began
        check(0.7 < took < 1.8 * SLOWNESS, '5 signs of life in %.2f s' % took)
        # One that hangs gives none.
        p.send_signal(signal.SIGSTOP)
        s.settimeout(0.6)
        with contextlib.suppress(TimeoutError):
            while True:
                equal(s.recv(1000), b'WATCHDOG=1', 'a sign of life')
        p.send_signal(signal.SIGCONT)
        s.settimeout(5 * SLOWNESS)
        equal(s.recv(1000), b'WATCHDOG=1', 'a sign of life after SIGCONT')
        p.terminate()
        while s.recv(1000) != b'STOPPING=1':
            pass
        equal(p.wait(10), 0, 'exit code')
        # The wish is for another process.
        p = start('1')
        s.settimeout(0.6)
        with raises_timeout():
            s.recv(1000)
        p.terminate()
        equal(p.wait(10), 0, 'exit code')


@contextlib.contextmanager
def raises_timeout():
    try:
        yield
    except TimeoutError:
        return
    check(False, 'a message that nobody asked for')


@case
def journal_priorities(lab):
    """To the journal every line has its level, as sd-daemon(3) has it, and no name of ours."""
    def run(match, *options, ready=False):
        read_end, write_end = os.pipe()
        st = os.fstat(write_end)
        place = '%d:%d' % (st.st_dev, st.st_ino + (not match))
        p = subprocess.Popen(
            [SMOKEFS, '-f', '--key', lab.key, '-a', '127.0.0.1', '-p', str(free_port()),
             '--state', lab.path('s'), *options], stdin=subprocess.DEVNULL, stderr=write_end,
            env=dict(lab.environment, JOURNAL_STREAM=place))
        os.close(write_end)
        with open(read_end) as f:
            if ready:
                while 'READY=1' not in s.recv(1000).decode():
                    pass
                p.terminate()
            p.wait(10)
            return f.read().splitlines()

    os.mkdir(lab.path('m'))
    with manager(lab) as s:
        lines = run(True, '--seed', '127.0.0.1:%d' % free_port(), lab.path('m'), ready=True)
        others = run(False, 'none', lab.path('m'), ready=True)
    check(all(re.match(r'<[2-7]>(?!smokefs: )', line) for line in lines), lines)
    check(any(re.match(r'<6>start id=', line) for line in lines), lines)
    check(any(re.match(r'<6>1 \S+ listen ', line) for line in lines), lines)
    check(others and all(line.startswith('smokefs: ') for line in others), others)
    # Before there is a log, and of the command line itself.
    equal(run(True, 'none', lab.path('no')), ['<2>%s: No such file or directory; create the directory '
                                              'first' % lab.path('no')], 'a mount point')
    equal(run(True, '--min-peers', 'x', 'none', lab.path('no')),
          ["<2>--min-peers: 'x' is not a number from 0 to 1000"], 'an option')
    lab.make_key('shared.key')
    os.chmod(lab.path('shared.key'), 0o644)
    lines = run(True, '--key', lab.path('shared.key'), 'none', lab.path('m'))
    check(len(lines) == 1 and lines[0].startswith('<2>' + lab.path('shared.key')), lines)


@case
def log_targets(lab):
    a = lab.node()
    # log(1) rotation: HUP opens the file again.
    os.rename(a.log, lab.path('old'))
    a.send(signal.SIGHUP)
    until(lambda: os.path.exists(a.log), 5, 'the new file')
    a.stop()
    check(' stop ' in slurp(a.log) and ' listen ' in slurp(lab.path('old')), 'events in the logs')
    os.mkdir(lab.path('m'))
    code, _, err = lab.smokefs('--log', lab.path('no', 'such'), '--state', lab.path('s'), 'none',
                               lab.path('m'))
    equal(code, SYSTEM, 'exit code')
    check('--log: ' in err and 'No such file' in err, err)
    code, _, err = lab.smokefs('--log', lab.path('m', 'log'), '--state', lab.path('s'), 'none',
                               lab.path('m'))
    equal(code, USAGE, 'exit code')
    check('inside of the mount point' in err, err)


@case
def starts_at_once_in_a_crowd(lab):
    """Many starts for one mount point, one state: exactly one wins, and it works."""
    node = lab.node(start=False)
    node.expected = ['in use by process', 'already mounted']  # what the others log
    starts = [lab.popen(node.command(), stderr=subprocess.PIPE) for _ in range(8)]
    codes = sorted(p.wait(30) for p in starts)
    equal(codes.count(0), 1, 'exit codes %s: winners' % codes)
    check(set(codes) <= {0, SYSTEM, MOUNT}, 'exit codes %s' % codes)
    node.pid = int(slurp(node.state + '/lock'))
    equal(len(node.read('id')), ID_LENGTH + 1, 'the id')
    equal(mounts_below(node.mount), [node.mount], 'mounts')
    for p in starts:
        p.stderr.close()


if __name__ == '__main__':
    main(120)
