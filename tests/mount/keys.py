# SPDX-License-Identifier: MIT
"""Who gets in: key files, their making and their rotation, the lists of peers, and where a node
listens."""

import errno
import os
import re
import shutil
import signal
import socket
import stat
import subprocess

from harness import (SLOWNESS, SMOKEFS, Skip, alive, case, check, equal, free_port, libc, main,
                     new_key, put, raises, slurp, until)

USAGE, SYSTEM = 1, 2
NOBODY = 65534
CREATED = r'network\.key: created the key of a new network; copy this file to the other machines'
MS_RDONLY, MS_REMOUNT = 1, 32


def refused(lab, code, pattern, *arguments):
    """The program must end at once, with this exit code and one line on stderr."""
    got, out, err = lab.smokefs(*arguments)
    equal(got, code, 'exit code of %s (%s)' % (arguments, err))
    equal(out, '', 'stdout')
    check(re.search(pattern, err), '%s: %r does not say %r' % (arguments, err, pattern))
    equal(len(err.splitlines()), 1, 'lines of %r' % err)
    return err


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def rewrite(path, *lines):
    """Replaces the content, the way an editor does."""
    with open(path + '.edited', 'w', opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.writelines(line + '\n' for line in lines)
    os.rename(path + '.edited', path)


def hang_up(node, word='config', **fields):
    """SIGHUP, and waits until the keys have been read."""
    after = node.last()
    node.send(signal.SIGHUP)
    return node.wait_event(word, after=after, **fields)


def linked(a, b):
    return b.id in a.peers() and a.id in b.peers()


def wait_linked(a, b):
    until(lambda: linked(a, b), 10 * SLOWNESS, '%s and %s linked' % (a.name, b.name))


def wait_unlinked(a, b):
    until(lambda: b.id not in a.peers() and a.id not in b.peers(), 5 * SLOWNESS,
          '%s and %s apart' % (a.name, b.name))


def connect_fails(node, address, *numbers):
    with raises(*numbers, what='%s: connect %s' % (node.name, address)):
        node.ctl('connect %s\n' % address)


# The network's key.

@case
def created_by_the_first(lab):
    """Without a seed and without a key there is a new network."""
    key = lab.path('config', 'deeper', 'network.key')
    a = lab.node('a', key=key, start=False)
    a.expected.append(CREATED)
    a.start()
    check(re.search('^smokefs: %s: created' % key, slurp(a.stderr)), slurp(a.stderr))
    check(re.search(CREATED, slurp(a.stderr)) and re.search(CREATED, slurp(a.log)), 'the message')
    equal(mode(key), 0o600, 'mode of the key')
    equal((mode(lab.path('config')), mode(os.path.dirname(key))), (0o700, 0o700), 'directories')
    equal(os.listdir(os.path.dirname(key)), ['network.key'], 'files beside it')
    text = slurp(key)
    check(re.fullmatch(r'#[^\n]*\n[0-9a-f]{64}\n', text), 'content of the key file')
    b = lab.node('b', seeds=[a], key=key)
    wait_linked(a, b)
    # The next start takes it as it is.
    a.stop()
    os.truncate(a.stderr, 0)
    a.start()
    equal((slurp(a.stderr), slurp(key)), ('', text), 'second start')
    # In the foreground the message is there as well.
    c = lab.node('c', key=lab.path('other', 'network.key'), foreground=True, start=False)
    c.expected.append(CREATED)
    c.start()
    check(re.search(CREATED, slurp(c.stderr)), slurp(c.stderr))
    check(slurp(c.key) != text, 'two networks with one key')
    for node in (a, b, c):
        for name in ('events', 'status'):
            for path in (key, c.key):
                check(slurp(path).split()[-1] not in node.read(name), 'a key is in ' + name)


@case
def created_on_demand(lab):
    os.mkdir(lab.path('m'))
    key = lab.path('network.new')
    a = lab.node('a')
    # With a seed, too: nobody is there yet who has it.
    b = lab.node('b', seeds=[a], key=key, options=['--new-key'], start=False)
    b.expected.append('created the key of a new network')
    b.start()
    text = slurp(key)
    equal(mode(key), 0o600, 'mode')
    a.wait_event('refused', dir='in', reason='network-key')
    equal((a.peers(), b.peers()), (set(), set()), 'peers')
    b.stop()
    # Never over one that is there.
    refused(lab, USAGE, r'--new-key: %s: there is a key already, and it is not overwritten; '
            r'leave --new-key out' % key, '--key', key, '--new-key', 'none', lab.path('m'))
    equal(slurp(key), text, 'the key')
    os.symlink(lab.path('nowhere'), lab.path('dangling'))
    refused(lab, USAGE, r'there is a key already', '--key', lab.path('dangling'), '-o', 'new_key',
            'none', lab.path('m'))
    check(not os.path.exists(lab.path('nowhere')), 'written through a link')


@case
def missing(lab):
    """With a seed a key has to come from there."""
    os.mkdir(lab.path('m'))
    key = lab.path('config', 'network.key')
    state = lab.path('state')
    for seed, host in (('127.0.0.1:1', '127.0.0.1'), ('web1.example:8495,b:2', 'web1.example'),
                       ('[::1]:8495', r'\[::1\]')):
        refused(lab, USAGE, r'%s: there is no network key; copy this file from a machine of the '
                r'network, e\.g\. mkdir -p -m 700 %s && scp -p %s:%s %s \(a node that root runs '
                r'has it in /etc/smokefs/network\.key, that of a user in '
                r'~/\.config/smokefs/network\.key\)\n' % (
                    key, lab.path('config'), host, key, key),
                '--key', key, '--state', state, seed, lab.path('m'))
    refused(lab, USAGE, 'there is no network key', '-f', '--key', key, '--state', state, '-s',
            '127.0.0.1:1', lab.path('m'))
    equal(sorted(os.listdir(lab.directory)), ['m', 'network.key'], 'files')


def as_nobody(lab, command, **variables):
    environment = {k: v for k, v in lab.environment.items()
                   if k not in ('HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME')}
    keys = {} if os.geteuid() else {'user': NOBODY, 'group': NOBODY, 'extra_groups': []}
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=20, check=False, cwd='/',
                          env=dict(environment, **variables), **keys)


def give(path):
    """A directory or file for an ordinary user."""
    if not os.geteuid():
        os.chown(path, NOBODY, NOBODY)
    return path


def open_lab(lab):
    """Others have to find the way to their files and to the program."""
    for path in (lab.directory, os.path.dirname(lab.directory)):
        os.chmod(path, 0o755)
    try:
        as_nobody(lab, [SMOKEFS, '--version'])
    except PermissionError:
        raise Skip('%s cannot be run by an ordinary user' % SMOKEFS) from None


@case
def default_place(lab):
    open_lab(lab)
    home, config, mount = (lab.path(n) for n in ('home', 'config', 'm'))
    for path in (home, config, mount):
        os.mkdir(path)
        give(path)
    arguments = [SMOKEFS, '--state', home + '/state', '127.0.0.1:1', mount]
    p = as_nobody(lab, arguments, HOME=home)
    equal(p.returncode, USAGE, 'exit code')
    check('%s/.config/smokefs/network.key: there is no' % home in p.stderr, p.stderr)
    check(re.search(r'scp -p 127\.0\.0\.1:\.config/smokefs/network\.key %s/\.config/smokefs/'
                    r'network\.key ' % home, p.stderr), p.stderr)
    p = as_nobody(lab, arguments, HOME=home, XDG_CONFIG_HOME=config)
    check('%s/smokefs/network.key: there is no' % config in p.stderr, p.stderr)
    p = as_nobody(lab, arguments)
    equal(p.returncode, SYSTEM, 'exit code without HOME')
    check('HOME is not set; name a file with --key' in p.stderr, p.stderr)
    equal(os.listdir(home), [], 'files')
    # A start that goes as far as the key: it needs no /dev/fuse.
    p = as_nobody(lab, [SMOKEFS, '--state', home + '/state', '--address', '192.0.2.77', 'none',
                        mount], HOME=home)
    equal(p.returncode, SYSTEM, 'exit code (%s)' % p.stderr)
    key = home + '/.config/smokefs/network.key'
    check('smokefs: %s: created' % key in p.stderr, p.stderr)
    check(re.search(CREATED, p.stderr), p.stderr)
    equal((mode(key), mode(home + '/.config'), mode(home + '/.config/smokefs')),
          (0o600, 0o700, 0o700), 'modes')
    equal(os.stat(key).st_uid, NOBODY if not os.geteuid() else os.geteuid(), 'owner')
    # One's own key is read again by the command that the sentence gives.
    os.chmod(key, 0)
    p = as_nobody(lab, arguments, HOME=home)
    equal(p.returncode, SYSTEM, 'exit code (%s)' % p.stderr)
    check(re.search(r'Permission denied \(mode 0000\); run: chmod 600 %s\n' % key, p.stderr),
          p.stderr)
    equal(as_nobody(lab, ['sh', '-c', p.stderr.split('run: ')[1]]).returncode, 0, 'the command')
    equal(mode(key), 0o600, 'mode after the command')


@case
def low_port(lab):
    """Ports that are root's."""
    with open('/proc/sys/net/ipv4/ip_unprivileged_port_start') as f:
        if int(f.read()) <= 80:
            raise Skip('anybody may listen at port 80 here')
    open_lab(lab)
    home, mount = lab.path('home'), lab.path('m')
    for path in (home, mount):
        os.mkdir(path)
        give(path)
    p = as_nobody(lab, [SMOKEFS, '-a', '127.0.0.1', '-p', '80', 'none', mount], HOME=home)
    equal(p.returncode, SYSTEM, 'exit code (%s)' % p.stderr)
    check('port 80: only root may listen below 1024; choose another with --port\n' in p.stderr,
          p.stderr)


@case
def bad_files(lab):
    """What is wrong, with which file, and what to do about it."""
    os.mkdir(lab.path('m'))
    key, state = lab.path('the key'), lab.path('state')
    digits = new_key()

    def bad(pattern):
        for seed in ('none', '127.0.0.1:1'):
            refused(lab, SYSTEM, r'^smokefs: %s: %s' % (key, pattern), '--key', key, '--state',
                    state, seed, lab.path('m'))

    rewrite(key, digits)
    for bits in (0o640, 0o604, 0o620, 0o666, 0o444):
        os.chmod(key, bits)
        bad(r"others may read it \(mode %04o\); run: chmod 600 '%s'\n" % (bits, key))
    rewrite(key)
    bad('holds no key; one line of 64 hexadecimal digits is expected')
    rewrite(key, '# mine', '', digits[:-1])
    bad('line 3: expected a key, which is 64 hexadecimal digits')
    rewrite(key, digits, digits + '0')
    bad('line 2: expected a key')
    rewrite(key, digits, digits.upper())
    bad('line 2: the same key again')
    rewrite(key, *(new_key() for _ in range(9)))
    bad('line 9: more than 8 keys')
    rewrite(key, '#' * 17000, digits)
    bad('is longer than 16384 bytes')
    os.rename(key, lab.path('target'))
    os.symlink(lab.path('target'), key)
    bad('is a symbolic link; name the file itself with --key, or put a copy there')
    os.unlink(key)
    os.mkfifo(key, 0o600)
    bad('is not a regular file')
    os.unlink(key)
    os.mkdir(key)
    bad('is not a regular file')
    os.rmdir(key)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(key)
        bad('is not a regular file')
    os.unlink(key)
    if os.geteuid() == 0:
        rewrite(key, digits)
        os.chown(key, NOBODY, NOBODY)
        err = refused(lab, SYSTEM, "belongs to user %d; run: chown 0 '" % NOBODY, '--key', key,
                      '--state', state, 'none', lab.path('m'))
        # Exactly this.
        subprocess.run(err.split('run: ')[1], shell=True, check=True)
    else:
        rewrite(key, digits)
    os.chmod(key, 0o644)
    err = refused(lab, SYSTEM, 'run: chmod', '--key', key, '--state', state, 'none', lab.path('m'))
    subprocess.run(err.split('run: ')[1], shell=True, check=True)
    check(not os.path.exists(state), 'a state directory beside a bad key')
    lab.node('a', key=key)
    refused(lab, USAGE, 'inside of the mount point', '--key', lab.path('m', 'key'), 'none',
            lab.path('m'))
    os.symlink('m', lab.path('way'))
    refused(lab, USAGE, 'inside of the mount point', '--key', lab.path('way', 'key'), 'none',
            lab.path('m'))


@case
def made_once(lab):
    """Of nodes that start at the same moment all get the same key."""
    key = lab.path('config', 'network.key')
    nodes = [lab.node(key=key, start=False, options=['--min-peers', '0']) for _ in range(6)]
    started = []
    for node in nodes:
        node.expected.append(CREATED)
        with open(node.stderr, 'ab') as err:
            started.append(subprocess.Popen(node.command(), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=err,
                                            env=lab.environment))
    for node, p in zip(nodes, started):
        equal(p.wait(20), 0, node.name + ': exit code')
        node.pid = int(slurp(node.state + '/lock'))
        node.id = node.read('id').strip()
    equal(len([n for n in nodes if 'created' in slurp(n.stderr)]), 1, 'nodes that made a key')
    equal(os.listdir(lab.path('config')), ['network.key'], 'files')
    for node in nodes[1:]:
        if node.id not in nodes[0].peers():
            nodes[0].ctl('connect %s\n' % node.address)


@case
def another_key(lab):
    """Both sides say so, and the user gets EACCES."""
    a = lab.node('a')
    b = lab.node('b', key=lab.make_key('second.key'))
    connect_fails(a, b.address, errno.EACCES)
    e = a.wait_event('refused', dir='out')
    equal((e.addr, e.reason), (b.address, 'network-key'), 'at the dialler')
    e = b.wait_event('refused', dir='in')
    check(e.addr.startswith('127.0.0.1:'), e.line)
    equal(e.reason, 'network-key', 'at the acceptor')
    equal((a.peers(), b.peers()), (set(), set()), 'peers')
    equal(len(b.events('refused')), 1, 'events for one attempt')


@case
def rotation(lab):
    """A key is changed while the network runs, and no link is lost."""
    old, new = new_key(), new_key()
    keys = [lab.make_key(n + '.key', old) for n in 'abc']
    a = lab.node('a', key=keys[0])
    b = lab.node('b', key=keys[1], seeds=[a])
    wait_linked(a, b)
    later = [(n, n.last()) for n in (a, b)]

    def relink(what):
        b.ctl('drop %s\n' % a.id)
        wait_unlinked(a, b)
        for one, other in ((a, b), (b, a)):
            one.ctl('connect %s\n' % other.address)
            wait_linked(a, b)
            one.ctl('drop %s\n' % other.id)
            wait_unlinked(a, b)
        a.ctl('connect %s\n' % b.address)
        wait_linked(a, b)

    def step(node, key, *lines):
        rewrite(key, '# step', *lines)
        hang_up(node, keys=str(len(lines)))
        check(linked(a, b), 'a link was lost by reading keys')
    # Everybody accepts the new one, then uses it, then forgets the old one.
    step(a, keys[0], old, new)
    relink('one knows the new key')
    step(b, keys[1], old, new)
    step(a, keys[0], new, old)
    relink('one uses the new key')
    step(b, keys[1], new, old)
    step(a, keys[0], new)
    relink('one has forgotten the old key')
    step(b, keys[1], new)
    relink('both have the new key alone')
    with a_reader(lab, b) as heard:
        put(a.path('broadcast'), 'after the change\n')
        until(lambda: slurp(heard) == 'after the change\n', 5, 'a message under the new key')
    c = lab.node('c', key=keys[2])
    connect_fails(c, a.address, errno.EACCES)
    c.stop()
    rewrite(keys[2], new)
    c.seeds = [a]
    c.start()
    wait_linked(a, c)
    for node, after in later:
        equal([e.line for e in node.events('gap') + node.events('lost')
               + node.events('netsplit') if e.seq > after], [], node.name + ': losses')


class a_reader:
    """A cat(1) of a node's broadcast, and the file into which it goes."""

    def __init__(self, lab, node):
        self.lab, self.node = lab, node

    def __enter__(self):
        before = self.node.status()['parked_reads']
        name = self.node.name + '.heard'
        with self.lab.popen_out(name) as out:
            self.cat = self.lab.popen(['cat', self.node.path('broadcast')], stdout=out)
        self.node.wait_status('parked_reads', before + 1)
        return self.lab.path(name)

    def __exit__(self, *_):
        self.cat.kill()
        self.cat.wait()


@case
def bad_at_hangup(lab):
    """What cannot be read leaves everything as it was."""
    digits = new_key()
    key = lab.make_key('own.key', digits)
    a = lab.node('a', key=key)
    b = lab.node('b', key=key, seeds=[a])
    wait_linked(a, b)
    a.expected.append('stay as they were')

    def reads_badly(pattern, file, line, error):
        e = hang_up(a, file=file)
        equal((e.fields['line'], e.error), (line, error), e.line)
        until(lambda: re.search(pattern, slurp(a.log)), 5, 'line %r in the log' % pattern)
        check(linked(a, b), 'the link')
    os.chmod(key, 0o644)
    reads_badly(r'chmod 600 \S+; the keys stay as they were', key, '-', 'EPERM')
    os.chmod(key, 0o600)
    with open(key, 'a') as f:
        f.write('rubbish\n')
    reads_badly(r'line 2: expected a key.*; the keys stay as they were', key, '2', 'EINVAL')
    os.unlink(key)
    reads_badly(r'No such file or directory; the keys stay as they were', key, '-', 'ENOENT')
    equal(a.events('config', keys='1'), [], 'keys that were read')
    for name in ('authorized', 'denied'):
        with open('%s/%s_peers' % (a.state, name), 'w') as f:
            f.write('\n%s\n' % b.id.upper())
    # Of two that are bad, both are named.
    after = a.last()
    reads_badly(r'denied_peers: line 2: expected an id.*; the lists stay as they were',
                a.state + '/denied_peers', '2', 'EINVAL')
    a.wait_event('config', after=after, file=a.state + '/authorized_peers')
    os.unlink(a.state + '/authorized_peers')
    # And what is good beside them is taken.
    rewrite(key, digits)
    e = hang_up(a, keys='1')
    check(re.fullmatch('[0-9a-f]{16}', e.first), e.line)
    a.ctl('drop %s\n' % b.id)
    wait_unlinked(a, b)
    a.ctl('connect %s\n' % b.address)
    wait_linked(a, b)


# The node's key and its directory.

@case
def state_of_others(lab):
    a = lab.node()
    text = slurp(a.state + '/node.key')
    check(re.fullmatch(r'[0-9a-f]{64}\n', text), 'content of node.key')
    equal((mode(a.state + '/node.key'), mode(a.state)), (0o600, 0o700), 'modes')
    check(not os.path.exists(a.state + '/id'), 'a file id')
    a_id = a.id
    a.stop()
    os.mkdir(lab.path('m'))

    def bad(name, pattern):
        return refused(lab, SYSTEM, r'^smokefs: %s: %s' % (os.path.join(a.state, name), pattern),
                       '--state', a.state, 'none', lab.path('m'))
    os.chmod(a.state + '/node.key', 0o644)
    err = bad('node.key', r'others may read it \(mode 0644\); run: chmod 600 ')
    subprocess.run(err.split('run: ')[1], shell=True, check=True)
    os.chmod(a.state, 0o777)
    err = refused(lab, SYSTEM, r'%s: others may write to it \(mode 0777\); run: chmod 700 ' % a.state,
                  '--state', a.state, 'none', lab.path('m'))
    subprocess.run(err.split('run: ')[1], shell=True, check=True)
    for name in ('authorized_peers', 'denied_peers'):
        path = os.path.join(a.state, name)
        with open(path, 'w') as f:
            f.write('# fine\n%s\n%s\n' % (a_id, a_id.upper()))
        os.chmod(path, 0o644)
        bad(name, 'line 3: expected an id of 26 characters')
        os.chmod(path, 0o666)
        err = bad(name, r'others may write it \(mode 0666\); run: chmod go-w ')
        subprocess.run(err.split('run: ')[1], shell=True, check=True)
        equal(mode(path), 0o644, 'mode after the command')
        os.unlink(path)
        os.symlink('/etc/passwd', path)
        bad(name, 'is a symbolic link')
        os.unlink(path)
    a.start()
    equal(a.id, a_id, 'id')
    equal(slurp(a.state + '/node.key'), text, 'node.key')


@case
def read_only_state(lab):
    """The key is for this run; what the lists say holds all the same."""
    if os.geteuid() != 0:
        raise Skip('needs root')
    a = lab.node('a', start=False)
    os.mkdir(a.state)
    if libc.mount(b'tmpfs', a.state.encode(), b'tmpfs', 0, b'mode=700,size=64k') < 0:
        raise Skip('no tmpfs can be mounted')
    try:
        with open(a.state + '/authorized_peers', 'w') as f:
            f.write('# nobody\n')
        equal(libc.mount(b'tmpfs', a.state.encode(), b'tmpfs', MS_REMOUNT | MS_RDONLY, None), 0,
              'remount')
        a.expected += ["cannot be written to: this node's id will not outlive", 'only until']
        a.foreground = True
        a.start()
        first = a.id
        b = lab.node('b')
        connect_fails(b, a.address, errno.EACCES)
        equal(a.wait_event('refused').reason, 'denied', 'reason')
        with raises(errno.EROFS, what='allow'):
            a.ctl('allow %s\n' % b.id)
        b.ctl('connect %s\n' % a.address)
        wait_linked(a, b)
        with raises(errno.EROFS, what='deny'):
            a.ctl('deny %s\n' % b.id)
        wait_unlinked(a, b)
        until(lambda: len(re.findall('only until this node stops: ', slurp(a.log))) == 2, 5,
              'lines in the log')
        a.stop()
        a.start()
        check(a.id != first, 'the same id')
        a.stop()
    finally:
        libc.umount2(a.state.encode(), 2)


@case
def two_with_one_key(lab):
    """On copies of one state directory, in two corners of a network: one ends, and says what to do about it."""
    few = ['--min-peers', '1', '--max-peers', '1']
    c = lab.node('c')
    d = lab.node('d', seeds=[c])
    wait_linked(c, d)
    a = lab.node('a', seeds=[c], options=few)
    a.stop()
    shutil.copytree(a.state, lab.path('b.state'))
    a.start()
    a.wait_peers(1)
    b = lab.node('b', seeds=[d], options=few, start=False, foreground=True)
    shared = a.id
    said = "another node runs with this node's key (%s): remove node.key from the state " \
        'directory of one of them' % shared
    for node in (a, b):
        node.expected.append(re.escape(said))
    b.start()
    ended = until(lambda: [n for n in (a, b) if not alive(n.pid)], 30, 'the end of one of them')
    for node in ended:
        equal(node.collect(), SYSTEM, 'exit code of ' + node.name)
        text = slurp(node.log)
        check(said in text, 'the log of ' + node.name)
        check(re.search(' clash id=%s' % shared, text), 'the event')
        check(not node.mounted(), 'still mounted')
    # That is what helps.
    for node in ended:
        os.unlink(node.state + '/node.key')
        node.start()
        check(node.id != shared, 'the same id')
        node.wait_peers(1)
        node.stop()


# The lists.

def relink(one, other):
    """It may have done so by itself: it knows where it has been."""
    try:
        one.ctl('connect %s\n' % other.address)
    except FileExistsError:
        pass
    wait_linked(one, other)


@case
def deny_and_allow(lab):
    a, b = lab.pair()
    c = lab.node('c')
    denied = a.state + '/denied_peers'
    a.ctl('deny %s\n' % b.id)
    wait_unlinked(a, b)
    equal((slurp(denied), mode(denied)), (b.id + '\n', 0o600), 'denied_peers')
    check(not os.path.exists(a.state + '/authorized_peers'), 'a list nobody asked for')
    # Neither side gets anywhere.
    connect_fails(b, a.address, errno.EACCES)
    equal(b.wait_event('refused', dir='out', by='peer').reason, 'denied', 'what b is told')
    equal(a.wait_event('refused', dir='in').reason, 'denied', "a's reason")
    connect_fails(a, b.address, errno.EACCES)
    c.ctl('connect %s\n' % a.address)
    wait_linked(a, c)
    # Also after a restart.
    with open(denied, 'a') as f:
        f.write('# my own words\n')
    a.stop()
    a.start()
    connect_fails(b, a.address, errno.EACCES)
    # And it can be taken back.
    a.ctl('allow %s\n' % b.id)
    equal(slurp(denied), '# my own words\n', 'denied_peers')
    relink(b, a)
    a.stop()
    a.start()
    relink(b, a)
    with raises(errno.EINVAL, what='deny of itself'):
        a.ctl('deny %s\n' % a.id)


@case
def denied_is_not_heard(lab):
    """What the denied say does not come over others either."""
    a, b, c = lab.network(3)
    a.ctl('deny %s\n' % b.id)
    wait_unlinked(a, b)
    with a_reader(lab, a) as heard, a_reader(lab, c) as witness:
        put(b.path('broadcast'), 'from the denied\n')
        until(lambda: slurp(witness) == 'from the denied\n', 5, 'c hears it')
        put(c.path('broadcast'), 'from another\n')
        until(lambda: slurp(heard), 5, 'a message')
        equal(slurp(heard), 'from another\n', 'what a hears')


@case
def authorized(lab):
    b, c = lab.node('b'), lab.node('c')
    a = lab.node('a', start=False)
    os.mkdir(a.state, 0o700)
    path = a.state + '/authorized_peers'
    rewrite(path)
    a.start()
    for node in (b, c):
        connect_fails(node, a.address, errno.EACCES)
        connect_fails(a, node.address, errno.EACCES)
    equal({e.reason for e in a.events('refused', dir='in')}, {'denied'}, 'reasons')
    rewrite(path, '# friends', b.id + '  # web1')
    hang_up(a, authorized='1', denied='0')
    b.ctl('connect %s\n' % a.address)
    wait_linked(a, b)
    connect_fails(c, a.address, errno.EACCES)
    # ctl adds to the list that there is.
    a.ctl('allow %s\n' % c.id)
    equal(slurp(path), '# friends\n%s  # web1\n%s\n' % (b.id, c.id), 'authorized_peers')
    c.ctl('connect %s\n' % a.address)
    wait_linked(a, c)
    # Who is off the list is dropped.
    rewrite(path, c.id)
    a.send(signal.SIGHUP)
    wait_unlinked(a, b)
    check(linked(a, c), 'the other one')
    connect_fails(b, a.address, errno.EACCES)
    # Without the list all members may.
    os.unlink(path)
    hang_up(a, authorized='-', denied='0')
    b.ctl('connect %s\n' % a.address)
    wait_linked(a, b)


# Where it listens.

def listeners(port):
    """The local addresses, as /proc/net has them, of sockets that listen at a port."""
    found = []
    for name in ('tcp', 'tcp6'):
        if not os.path.exists('/proc/net/' + name):
            continue
        for line in slurp('/proc/net/' + name).splitlines()[1:]:
            words = line.split()
            if words[3] == '0A' and int(words[1].rpartition(':')[2], 16) == port:
                found.append(words[1].partition(':')[0])
    return found


@case
def listens_everywhere(lab):
    a = lab.node('a', listen=None)
    told = a.status()['address']
    equal(a.wait_event('listen').addr, told, 'listen')
    equal(int(told.rpartition(':')[2]), a.port, 'port')
    equal([set(x) for x in listeners(a.port)], [{'0'}], 'listens at')
    b = lab.node('b', seeds=[told])
    wait_linked(a, b)
    equal(b.read('peers', a.id, 'address').strip(), told, 'what the peer was told')
    equal(len(listeners(b.port)), 1, 'b')
    equal(listeners(b.port)[0], '0100007F', 'b listens at 127.0.0.1')
    for host in ('127.0.0.1', '[::1]'):
        if host == '[::1]' and (not os.path.exists('/proc/net/if_inet6')
                                or not re.search('^0{31}1 ', slurp('/proc/net/if_inet6'), re.M)):
            continue
        b.ctl('drop %s\n' % a.id)
        wait_unlinked(a, b)
        b.ctl('connect %s:%d\n' % (host, a.port))
        wait_linked(a, b)
    # An IPv4 address is shown as such, whatever the socket makes of it.
    stranger = lab.node('stranger', key=lab.make_key('second.key'))
    connect_fails(stranger, '127.0.0.1:%d' % a.port, errno.EACCES)
    check(a.wait_event('refused', dir='in').addr.startswith('127.0.0.1:'), 'address')
    # A port that somebody has at one address alone is taken.
    os.mkdir(lab.path('m'))
    p = subprocess.run([SMOKEFS, '--key', lab.key, '-p', str(b.port), '--state', lab.path('s'),
                        'none', lab.path('m')], stdin=subprocess.DEVNULL, text=True,
                       stderr=subprocess.PIPE, env=lab.environment, timeout=20, check=False)
    equal(p.returncode, SYSTEM, 'exit code')
    check('port %d: already in use at this machine' % b.port in p.stderr, p.stderr)


@case
def free_ports_everywhere(lab):
    """Without -p: the next that is free at every address."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(('127.0.0.1', 8495))
            s.listen()
        except OSError:
            pass  # somebody else has it
        node = lab.node('a', start=False, listen=None)
        command = node.command()
        equal(command[1], '-p', 'the command')
        del command[1:3]
        equal(subprocess.run(command, check=False, env=lab.environment).returncode, 0, 'exit code')
        node.pid = int(slurp(node.state + '/lock'))
        port = int(node.status()['address'].rpartition(':')[2])
        check(8495 < port < 8600, 'port %d' % port)


@case
def foreign_address(lab):
    os.mkdir(lab.path('m'))
    for address in ('192.0.2.77', '2001:db8::77'):
        refused(lab, SYSTEM, r'--address %s: no interface of this machine has this address; see '
                r"'ip address'" % address, '--address', address, '-p', str(free_port()), '--state',
                lab.path('s'), 'none', lab.path('m'))
    a = lab.node('a', listen='127.0.0.0/8')
    equal(a.status()['address'], a.address, 'address')


if __name__ == '__main__':
    main(170)
