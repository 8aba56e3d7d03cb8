# SPDX-License-Identifier: MIT
"""The log: its levels, its targets, its rotation, and what must never be in it.

All of it in a namespace of mounts that ends with this process: syslog is a socket in /dev.
"""

import base64
import binascii
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

from harness import (EVENT, SKIPPED, SLOWNESS, SMOKEFS, Skip, case, check, equal, main, missing,
                     new_key, opened, own_namespace, parse_event, put, slurp, until)


@case
def start_line(lab):
    """Who, where, with what: all that a report of a mistake has to have."""
    a = lab.node()
    found = re.search(r'(?m)^start (.*)$', slurp(a.log))
    check(found, slurp(a.log))
    fields = dict(word.split('=', 1) for word in found.group(1).split())
    equal(fields, {'id': a.id, 'name': a.name, 'address': a.address, 'mountpoint': a.mount,
                   'version': a.read('version').split()[-1], 'key': a.key, 'state': a.state}, 'start')


@case
def levels(lab):
    """Each level shows what is as important or more so, and nothing else."""
    a = lab.node('a')
    seen = {}
    for level in ('trace', 'debug', 'info', 'warn', 'error', 'fatal'):
        node = lab.node(level, seeds=[a], options=['--log-level', level])
        node.wait_peers(1)
        # An event of the level warn.
        with opened(node.path('ctl'), os.O_WRONLY) as fd:
            with contextlib.suppress(OSError):
                os.write(fd, b'connect 127.0.0.1:1\n')
        node.wait_event('refused')
        node.stop()
        lines = slurp(node.log).splitlines()
        seen[level] = {parse_event(line).name for line in lines if EVENT.match(line)} | {
            'start' for line in lines if line.startswith('start ')}
    check({'join', 'listen', 'start', 'refused', 'stop'} <= seen['trace'], str(seen))
    equal(seen['debug'], seen['trace'], 'debug')
    equal(seen['info'], seen['debug'] - {'join', 'leave'}, 'info')
    equal((seen['warn'], seen['error'], seen['fatal']), ({'refused'}, set(), set()), 'the others')


@case
def rotation(lab):
    """logrotate(8) moves the file away and sends HUP; no line is lost, and the mode stays."""
    a = lab.node('a')
    for i in range(3):
        old = lab.path('old%d' % i)
        os.rename(a.log, old)
        size = os.path.getsize(old)
        a.send(signal.SIGHUP)
        until(lambda: os.path.exists(a.log), 5, 'the new file')
        until(lambda: ' config keys=1 ' in slurp(a.log), 5, 'a line in the new file')
        equal(os.path.getsize(old), size, 'the old file')
        equal(os.stat(a.log).st_mode & 0o777, 0o600, 'mode')
    # A directory that is gone: the old one is kept, and told so.
    a.expected = ['the old file is kept']
    os.mkdir(lab.path('d'))
    b = lab.node('b', options=['--log', lab.path('d', 'log')])
    b.expected = a.expected
    os.rename(lab.path('d'), lab.path('moved'))
    b.send(signal.SIGHUP)
    until(lambda: slurp(lab.path('moved', 'log')).count(
        '%s: No such file or directory; the old file is kept\n' % lab.path('d', 'log')) == 1, 5,
        'a line in the old file')
    b.stop()
    check(' stop ' in slurp(lab.path('moved', 'log')), 'the last line')


@contextlib.contextmanager
def syslog(lab):
    """The socket of syslog in a /dev of our own."""
    place = lab.path('dev')
    os.mkdir(place)
    subprocess.check_call(['sh', '-ec', '''mount -t tmpfs -o mode=755 tmpfs "$1"
        mknod -m 666 "$1/null" c 1 3; mknod -m 666 "$1/fuse" c 10 229; mknod -m 666 "$1/urandom" c 1 9
        ln -s /proc/self/fd "$1/fd"''', 'sh', place])
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(os.path.join(place, 'log'))
            s.settimeout(5 * SLOWNESS)
            subprocess.check_call(['mount', '--bind', place, '/dev'])
            try:
                yield s
            finally:
                subprocess.check_call(['umount', '/dev'])
    finally:
        subprocess.check_call(['umount', '-l', place])


@case
def to_syslog(lab):
    with syslog(lab) as s:
        node = lab.node('a', options=['--log', 'syslog'])
        lines = [s.recv(4096).decode(), s.recv(4096).decode()]
        for line in lines:
            check(re.match(r'<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d smokefs\[%d\]: ' % node.pid,
                           line), line)  # daemon.info
        check(']: 1 ' in lines[0] and ' listen ' in lines[0], lines[0])
        check(']: start id=%s ' % node.id in lines[1], lines[1])
        with opened(node.path('ctl'), os.O_WRONLY) as fd:
            with contextlib.suppress(OSError):
                os.write(fd, b'connect 127.0.0.1:1\n')
        line = s.recv(4096).decode()
        check(line.startswith('<28>') and ' refused ' in line, line)  # daemon.warning
        # A logger that does not read holds nobody up, and learns how much it has missed.
        for _ in range(2000):
            with opened(node.path('ctl'), os.O_WRONLY) as fd:
                with contextlib.suppress(OSError):
                    os.write(fd, b'connect 127.0.0.1:1\n')
        s.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                s.recv(4096)
        s.settimeout(5 * SLOWNESS)
        with contextlib.suppress(OSError), opened(node.path('ctl'), os.O_WRONLY) as fd:
            os.write(fd, b'connect 127.0.0.1:1\n')
        line = s.recv(4096).decode()
        check(re.search(r']: \d+ lines of this log were lost$', line), line)
        node.stop()


def spellings(key):
    """How a secret could be written down."""
    raw = bytes.fromhex(key)
    for part in (raw, raw[:16], raw[16:]):
        yield part
        yield binascii.hexlify(part)
        yield binascii.hexlify(part).upper()
        yield ' '.join('%02x' % b for b in part).encode()
        yield ':'.join('%02x' % b for b in part).encode()
        yield base64.b64encode(part).rstrip(b'=')
        yield base64.urlsafe_b64encode(part).rstrip(b'=')
        yield base64.b32encode(part).rstrip(b'=').lower()
        yield repr(list(part)).encode()


@case
def no_secrets(lab):
    """Neither keys nor messages, at the level that says the most, also when a key file is bad."""
    keys = [new_key(), new_key(), new_key()]
    lab.key = lab.make_key('network.key', keys[0])
    a = lab.node('a', options=['-d'], foreground=True)
    b = lab.node('b', seeds=[a])
    b.wait_peers(1)
    secrets = keys + [slurp(n.state + '/node.key').strip().split()[-1] for n in (a, b)]
    equal([len(s) for s in secrets], [64] * 5, 'keys')
    message = os.urandom(32).hex()
    with opened(b.path('broadcast')) as fd:
        put(a.path('broadcast'), message)
        equal(os.read(fd, 100).decode(), message, 'broadcast')
    put(a.stream(b), message)
    for text in (keys[0] + '\n' + keys[1] + '\n', keys[1] + '\n', keys[1] + keys[2] + '\n',
                 keys[2][:40] + '\n', keys[2] + 'x\n', '# ' + keys[2] + '\n'):
        with open(lab.key, 'w') as f:
            f.write(text)
        for node in (a, b):
            before = len(node.events('config'))
            node.send(signal.SIGHUP)
            until(lambda: len(node.events('config')) >= before + 2, 5, 'the file to be read')
            node.expected = ['the keys stay as they were', '.']
    events = a.read('events') + b.read('events')
    a.stop()
    b.stop()
    said = {'events': events.encode()}
    for node in (a, b):
        for path in (node.log, node.stderr):
            with open(path, 'rb') as f:
                said[os.path.basename(path)] = f.read()
    check(b'OPEN' in said['a.stderr'] and b'stay as they were' in said['b.log'], 'nothing was said')
    for name, text in said.items():
        for secret in secrets + [message]:
            for spelling in spellings(secret):
                check(spelling not in text, '%s has a secret' % name)


if __name__ == '__main__':
    reason = missing() or own_namespace()
    if reason:
        print('skipped: ' + reason)
        sys.exit(SKIPPED)
    main(100)
