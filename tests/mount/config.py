# SPDX-License-Identifier: MIT
"""config/: settings that are read, and written to change them while the node runs."""

import errno
import os
import signal
import stat
import time

from harness import SLOWNESS, case, check, equal, main, opened, put, raises, slurp, until, within

DEFAULTS = {'min_peers': '3', 'max_peers': '5', 'ping_timeout': '3000', 'stall_timeout': '3000',
            'min_rate': '65536', 'log_level': 'trace'}  # the lab's own


def values(node):
    return {key: node.read('config', key) for key in os.listdir(node.path('config'))}


def changes(node):
    return [(e.key, e.fields['from'], e.to) for e in node.events('config') if e.key]


@case
def files(lab):
    a = lab.node()
    equal(values(a), {k: v + '\n' for k, v in DEFAULTS.items()}, 'values')
    equal(stat.S_IMODE(os.stat(a.path('config')).st_mode), 0o500, 'mode of config')
    for key in DEFAULTS:
        st = os.stat(a.path('config', key))
        equal(stat.S_IMODE(st.st_mode), 0o600, 'mode of ' + key)
        check(stat.S_ISREG(st.st_mode), key + ': a regular file')
    with raises(errno.ENOENT):
        a.read('config', 'name')
    for call in (lambda: os.remove(a.path('config', 'min_peers')),
                 lambda: os.rename(a.path('config', 'min_peers'), a.path('config', 'x')),
                 lambda: os.mknod(a.path('config', 'new'))):
        with raises(errno.EPERM):
            call()
    equal(changes(a), [], 'events')


@case
def command_line(lab):
    a = lab.node(options=['--stall-timeout', '1500', '-o', 'min_rate=1000,max_peers=0'])
    equal(a.read('config', 'stall_timeout'), '1500\n', 'stall_timeout')
    equal(a.read('config', 'min_rate'), '1000\n', 'min_rate')
    equal(a.read('config', 'max_peers'), '0\n', 'max_peers')
    for words, part in ((['--stall-timeout', '999'], 'from 1000 to 600000 milliseconds'),
                        (['-o', 'min_rate=0'], 'from 1 to 268435456 bytes per second'),
                        (['--min-rate', 'fast'], 'is not a number')):
        code, out, err = lab.smokefs(*words, 'none', a.mount)
        equal((code, out), (1, ''), str(words))
        check(part in err, err)


@case
def ways_to_write(lab):
    a = lab.node()
    key = a.path('config', 'max_peers')
    lab.run(['bash', '-c', 'echo 4 >"$0"; cat "$0"', key])
    equal(lab.run(['cat', key]), '4\n', 'after >')
    lab.run(['bash', '-c', 'echo 6 >>"$0"', key])
    equal(slurp(key), '6\n', 'after >>')
    lab.run(['sh', '-c', 'printf 7 >"$0"', key])
    equal(slurp(key), '7\n', 'without a newline')
    lab.run(['sh', '-c', 'touch "$0"; : >"$0"', key])
    equal(slurp(key), '7\n', 'after touch and truncation')
    with open(key, 'w', encoding='ascii') as f:
        print(8, file=f)
    equal(slurp(key), '8\n', "after Python's print()")
    with opened(key, os.O_RDWR) as fd:
        equal(os.read(fd, 100), b'8\n', 'read')
        # Each write is a value, wherever it is in the file.
        os.write(fd, b'9\n')
        os.write(fd, b'10\n')
        equal(os.read(fd, 100), b'', 'past the value')
        equal(os.pread(fd, 100, 0), b'10\n', 'value of now')
    put(key, '10\n')
    equal([c[1:] for c in changes(a)], [('5', '4'), ('4', '6'), ('6', '7'), ('7', '8'), ('8', '9'),
                                        ('9', '10')], 'one event a change')
    equal({c[0] for c in changes(a)}, {'max_peers'}, 'keys')


@case
def mistakes_change_nothing(lab):
    a = lab.node()
    before = values(a)
    bad = {
        errno.EINVAL: [('max_peers', t) for t in (
            '\n', 'x', '4x', '4 ', ' 4', '4\n5', '4\n\n', '4\0', '4.0', '-', '0x4', '+4', '2\n',
            '4' * 40)] + [
                ('min_peers', '6'), ('ping_timeout', '3s'), ('log_level', 'loud'),
                ('log_level', ''.join(['x'] * 5000)), ('min_rate', '64k')],
        errno.ERANGE: [
            ('max_peers', '1001'), ('max_peers', '-1'), ('max_peers', '99999999999999'),
            ('min_peers', '1001'), ('ping_timeout', '99'), ('ping_timeout', '600001'),
            ('stall_timeout', '999'), ('stall_timeout', '600001'), ('min_rate', '0'),
            ('min_rate', '268435457')],
    }
    for number, writes in bad.items():
        for key, text in writes:
            with raises(number, what='%s to %s' % (repr(text[:20]), key)):
                put(a.path('config', key), text)
    equal(values(a), before, 'values')
    equal(changes(a), [], 'events')
    said = lab.run(['bash', '-c', 'echo 1001 >"$0"', a.path('config', 'min_peers')], code=1)
    check('Numerical result out of range' in said, said)
    # Without a limit there is none to be above.
    put(a.path('config', 'max_peers'), '0\n')
    put(a.path('config', 'min_peers'), '1000\n')
    with raises(errno.EINVAL):
        put(a.path('config', 'max_peers'), '999\n')
    equal(a.status()['min_peers'], 1000, 'min_peers')
    equal(a.status()['max_peers'], 0, 'max_peers')


@case
def log_level(lab):
    a = lab.node()
    put(a.path('config', 'log_level'), 'error\n')
    put(a.path('config', 'max_peers'), '6\n')
    put(a.path('config', 'log_level'), 'info\n')
    put(a.path('config', 'max_peers'), '7\n')
    equal(len(changes(a)), 4, 'events')
    lines = [line for line in slurp(a.log).splitlines() if ' config ' in line]
    equal([line.split(' ', 3)[3] for line in lines],
          ['key=log_level from=trace to=error', 'key=max_peers from=6 to=7'], 'in the log')


@case
def fewer_and_more_peers(lab):
    nodes = lab.network(6, options=['--max-peers', '5'])
    a = nodes[0]
    put(a.path('config', 'min_peers'), '5\n')
    a.wait_peers(5, 15 * SLOWNESS)
    equal(a.status()['peers'], 5, 'peers of a')
    put(a.path('config', 'min_peers'), '1\n')
    put(a.path('config', 'max_peers'), '2\n')
    a.wait_status('peers', 2, 8 * SLOWNESS)
    # They have gone elsewhere: everybody is reached, and nobody has too few for long.
    for node in nodes[1:]:
        node.wait_peers(3, 10 * SLOWNESS)
    equal(a.status()['peers'], 2, 'peers of a')
    for e in a.events('remove'):
        check(e.reason in ('surplus', 'replaced'), e.line)
    for node in nodes:
        equal(node.status()['members'], 6, 'members of ' + node.name)
        equal(node.events('netsplit'), [], 'netsplit')
    # There is room for more, and then a need.
    put(a.path('config', 'max_peers'), '4\n')
    put(a.path('config', 'min_peers'), '4\n')
    a.wait_peers(4, 15 * SLOWNESS)


@case
def ping_timeout(lab):
    a, b = lab.pair()
    put(a.path('config', 'ping_timeout'), '%d\n' % (400 * SLOWNESS))
    time.sleep(1)
    equal(a.events('remove'), [], 'while b answers')
    b.send(signal.SIGSTOP)
    with within(2.2 if SLOWNESS == 1 else 4, 'a peer that is silent'):
        a.wait_event('remove', 10, reason='timeout')
    b.send(signal.SIGCONT)
    b.wait_event('remove')


@case
def stall_timeout(lab):
    a, b = lab.pair()
    put(b.path('config', 'stall_timeout'), '1000\n')
    put(b.path('config', 'min_rate'), '1000000\n')
    with opened(b.path('broadcast')) as fd:
        put(a.path('broadcast'), 'first')
        equal(os.read(fd, 100), b'first', 'message')

        def flood():
            with opened(a.path('broadcast'), os.O_WRONLY) as out:
                for _ in range(16):
                    os.write(out, bytes(1000000))
            return time.monotonic()
        began = time.monotonic()
        task = lab.task(flood)
        e = b.wait_event('slow', 10)
        took = time.monotonic() - began
        check(e.reader == str(os.getpid()), e.line)
        # By default it were three seconds at the least.
        check(0.9 < took < 2.5 * SLOWNESS, 'slow after %.2f s' % took)
        until(lambda: task.poll() is not None, 10, 'end of the writer')
        task.result()


main(120)
