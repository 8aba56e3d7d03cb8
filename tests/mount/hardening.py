# SPDX-License-Identifier: MIT
"""What the process keeps itself from: dumps, privileges, system calls; and --user."""

import contextlib
import os
import pwd
import resource
import signal
import stat
import subprocess

from harness import (SANITIZED, Node, Skip, case, check, equal, fail, libc, main, mounts_below,
                     opened, put, raises, slurp, until, write_all)

OFFEND = os.environ.get('OFFEND', 'build/tests/mount/offend')
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
FUSE_DEVICE = os.makedev(10, 229)
NO_CAPABILITIES = {'CapInh': 0, 'CapPrm': 0, 'CapEff': 0, 'CapAmb': 0}


def status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f)


def capabilities(pid, *names):
    return {n: int(status(pid)[n], 16) for n in names or NO_CAPABILITIES}


def need_root():
    if os.geteuid() != 0:
        raise Skip('only root can become another user')


def need_filter():
    if SANITIZED:
        raise Skip('a sanitizer needs what is kept out here')


def other_user():
    try:
        return pwd.getpwnam('nobody')
    except KeyError:
        raise Skip('there is no user nobody') from None


def let_pass(lab):
    """Others may reach what is theirs in the directory of the lab."""
    for path in (os.path.dirname(lab.directory), lab.directory):
        os.chmod(path, 0o711)


def give(path, user):
    os.chown(path, user.pw_uid, user.pw_gid)
    return path


def as_user(lab, user, function, *arguments, groups=()):
    """The function in a process of that user."""
    def run():
        os.setgroups(groups)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        return function(*arguments)
    return lab.task(run).result()


def expect_confined(pid, bounded):
    found = status(pid)
    equal(capabilities(pid), NO_CAPABILITIES, 'capabilities')
    if bounded:
        equal(capabilities(pid, 'CapBnd'), {'CapBnd': 0}, 'capabilities of what it runs')
    equal((found['NoNewPrivs'], found['Seccomp']), ('1', '2'), 'NoNewPrivs, Seccomp')
    with open('/proc/%d/limits' % pid) as f:
        core = next(line for line in f if line.startswith('Max core file size'))
    equal(core.split()[4:6], ['0', '0'], 'limit of a core')
    # A process that cannot be dumped leaves its descriptors to root.
    equal(os.stat('/proc/%d/fd' % pid).st_uid, 0, 'owner of /proc/PID/fd')


def expect_ends(node):
    """Unmounted in each of three ways, by a process that may not unmount."""
    node.stop()
    node.start()
    node.kill()
    until(lambda: not node.mounted(), 5, 'mount gone after kill -9')
    node.start()
    node.lab.run(['fusermount3', '-u', node.mount])
    equal(node.collect(), 0, 'exit code after fusermount3')


class Ordinary(Node):
    """A node that an ordinary user starts."""

    def __init__(self, lab, user, name, **keys):
        super().__init__(lab, name, **keys)
        self.user = user
        give(self.mount, user)

    def command(self):
        prefix = []
        if os.geteuid() == 0:
            prefix = ['setpriv', '--reuid', str(self.user.pw_uid), '--regid',
                      str(self.user.pw_gid), '--clear-groups']
        return prefix + super().command()


@case
def confined(lab):
    need_filter()
    node = lab.node()
    expect_confined(node.pid, bounded=os.geteuid() == 0)
    expect_ends(node)


@case
def no_core(lab):
    need_filter()
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        node = lab.node()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    node.send(signal.SIGQUIT)
    _, ended = os.waitpid(node.pid, 0)
    node.pid = None
    check(os.WIFSIGNALED(ended), 'status %#x, expected the signal' % ended)
    check(not os.WCOREDUMP(ended), 'a core was dumped')


@case
def filter_modes(lab):
    need_filter()
    for mode, expected in (('enforce', '2'), ('log', '2'), ('off', '0')):
        node = lab.node(options=['--seccomp', mode])
        equal(status(node.pid)['Seccomp'], expected, mode)
        equal(status(node.pid)['NoNewPrivs'], '1', mode)
    node = lab.node(options=['-o', 'seccomp=off'])
    equal(status(node.pid)['Seccomp'], '0', '-o seccomp=off')
    code, _, err = lab.smokefs('--seccomp', 'strict', lab.path('a'))
    check(code == 1 and 'enforce, log and off' in err, '%d: %s' % (code, err))


@case
def filter_list(lab):
    """Not a single call that is not on the list, and all that are needed."""
    need_filter()
    if not os.path.exists(OFFEND):
        fail(OFFEND + ': not there; set OFFEND')
    for name in ('execve', 'fork', 'ptrace', 'packet', 'netlink', 'map-code', 'make-code', 'mount',
                 'setuid', 'terminal', 'kill', 'limit', 'dumpable'):
        run = subprocess.run([OFFEND, name], timeout=10, check=False, stdin=subprocess.DEVNULL)
        equal(run.returncode, -signal.SIGSYS, name)
        run = subprocess.run([OFFEND, name, 'log'], timeout=10, check=False,
                             stdin=subprocess.DEVNULL)
        check(run.returncode in (0, 1), '%s, only logged: %d' % (name, run.returncode))
    for name in ('sockets', 'memory', 'abort'):
        run = subprocess.run([OFFEND, name], timeout=10, check=False)
        equal(run.returncode, 0, name)


@case
def rootless(lab):
    """What an ordinary user starts is unmounted by fusermount3, which gets its privileges by
    set-uid, as the daemon never could."""
    user = other_user() if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    let_pass(lab)
    place = lab.path('place')
    os.mkdir(place)
    give(place, user)
    key = give(lab.make_key('their.key'), user)
    node = Ordinary(lab, user, 'o', state=os.path.join(place, 'state'), key=key)
    node.log = os.path.join(place, 'log')
    lab.nodes.append(node)
    allowed = os.stat('/dev/fuse').st_mode & 0o006 == 0o006
    if not allowed or os.geteuid() != 0:
        raise Skip('/dev/fuse is not open to ordinary users')

    def read_mount():
        return slurp(node.path('id')).strip()

    def start():
        with open(node.stderr, 'ab') as err:
            code = subprocess.run(node.command(), stdin=subprocess.DEVNULL, stderr=err,
                                  stdout=subprocess.DEVNULL, timeout=20, env=lab.environment,
                                  check=False).returncode
        equal(code, 0, 'exit code: ' + slurp(node.stderr))
        node.pid = int(slurp(os.path.join(node.state, 'lock')))
        equal(len(as_user(lab, user, read_mount)), 26, 'id')

    start()
    if not SANITIZED:
        expect_confined(node.pid, bounded=False)
    equal(status(node.pid)['Uid'].split(), [str(user.pw_uid)] * 4, 'user')
    node.stop()
    start()
    node.kill()
    until(lambda: not node.mounted(), 5, 'mount gone after kill -9')
    start()
    as_user(lab, user, subprocess.check_call, ['fusermount3', '-u', node.mount])
    equal(node.collect(), 0, 'exit code after fusermount3')


# --user.

def user_node(lab, user, **keys):
    let_pass(lab)
    options = ['--user', user.pw_name, *keys.pop('options', [])]
    return lab.node(options=options, **keys)


def owners(directory):
    return {os.lstat(os.path.join(root, name)).st_uid
            for root, _, names in os.walk(directory) for name in [*names, '.']}


@case
def becomes_user(lab):
    need_root()
    user = other_user()
    node = user_node(lab, user)
    found = status(node.pid)
    equal(found['Uid'].split(), [str(user.pw_uid)] * 4, 'user ids')
    equal(found['Gid'].split(), [str(user.pw_gid)] * 4, 'group ids')
    check('0' not in found['Groups'].split(), "root's group is left: " + found['Groups'])
    if not SANITIZED:
        expect_confined(node.pid, bounded=True)
    equal(owners(node.state), {user.pw_uid}, 'owners of the state')
    equal(os.stat(node.state).st_mode & 0o777, 0o700, 'mode of the state')
    equal(os.stat(node.log).st_uid, user.pw_uid, 'owner of the log')
    for name in ('broadcast', 'id', 'peers'):
        equal(os.stat(node.path(name)).st_uid, user.pw_uid, 'owner of ' + name)
    equal(as_user(lab, user, slurp, node.path('id')).strip(), node.id, 'id')

    def intrude():
        with raises(13, what='another user'):
            slurp(node.path('id'))
    stranger = pwd.struct_passwd(('x', 'x', 12345, 12345, '', '/', ''))
    as_user(lab, stranger, intrude)
    other = lab.node(seeds=[node])
    other.wait_peers(1)
    with opened(other.path('broadcast')) as fd:
        as_user(lab, user, put, node.path('broadcast'), 'hello\n')
        equal(os.read(fd, 100), b'hello\n', 'broadcast')
    first = node.id
    expect_ends(node)
    node.start()
    equal(node.id, first, 'id after a restart')


@case
def user_in_fstab(lab):
    """To mount(8), user is an option of its own."""
    need_root()
    user = other_user()
    let_pass(lab)
    node = lab.node(options=['-o', 'user,run_as=%s,nodev' % user.pw_name])
    equal(status(node.pid)['Uid'].split(), [str(user.pw_uid)] * 4, 'user ids')


@case
def user_refused(lab):
    need_root()
    user = other_user()
    os.mkdir(lab.path('m'))
    let_pass(lab)
    give(lab.path('m'), user)
    common = ['--state', lab.path('s'), '--key', lab.key, '--address', '127.0.0.1']
    for name, words in (('no-such-user', 'no such user'), ('root', "root's number"),
                        ('', 'needs the name')):
        code, _, err = lab.smokefs(*common, '--user', name, lab.path('m'))
        check(code == 1 and words in err, '%s: %d: %s' % (name, code, err))

    def start():
        run = lab.smokefs(*common, '--user', user.pw_name, lab.path('m'))
        return run[0], run[2]
    code, err = as_user(lab, user, start)
    check(code == 1 and 'only root' in err, '%d: %s' % (code, err))
    equal(os.path.exists(lab.path('s')), False, 'a state directory')


@case
def user_takes_over(lab):
    """The state that root has made goes over to the user, with the id."""
    need_root()
    user = other_user()
    node = lab.node('a')
    first = node.id
    put_list = os.path.join(node.state, 'authorized_peers')
    with open(put_list, 'w') as f:
        f.write('# nobody\n')
    node.stop()
    os.unlink(node.log)
    let_pass(lab)
    node.options = ['--user', user.pw_name]
    node.start()
    equal(node.id, first, 'id')
    equal(owners(node.state), {user.pw_uid}, 'owners of the state')


@case
def user_gets_nothing_else(lab):
    """Links and directories of the user do not make root give anything away."""
    need_root()
    user = other_user()
    let_pass(lab)
    theirs = lab.path('theirs')
    os.mkdir(theirs)
    secret = lab.path('secret')
    os.mkdir(secret, 0o700)
    for name in ('lock', 'shadow'):
        with open(os.path.join(secret, name), 'w') as f:
            f.write('0\n')
    os.symlink(lab.directory, os.path.join(theirs, 'way'))
    os.symlink(secret, os.path.join(theirs, 'link'))
    os.symlink(os.path.join(secret, 'shadow'), os.path.join(theirs, 'log'))
    os.symlink(os.path.join(lab.directory, 'made'), os.path.join(theirs, 'new'))
    give(theirs, user)
    os.mkdir(lab.path('other'), 0o700)  # root's alone, but no state
    with open(lab.path('other', 'file'), 'w') as f:
        f.write('x\n')
    os.mkdir(lab.path('m'))
    log = give(lab.file('log', b''), user)
    for state in (os.path.join(theirs, 'way', 'secret'), os.path.join(theirs, 'link'),
                  os.path.join(theirs, 'way', 'fresh'), lab.path('other')):
        node = lab.node('n%d' % len(lab.nodes), start=False, state=state,
                        options=['--user', user.pw_name])
        node.log = log
        node.expected = ['cannot be written to', 'Permission denied']
        lab.smokefs(*node.command()[1:])
        check(not os.path.exists(lab.path('fresh')), 'a directory was made by way of ' + state)
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.check_output(['fusermount3', '-u', node.mount], stderr=subprocess.DEVNULL)
        until(lambda path=node.mount: path not in mounts_below(path), 5, 'unmounted')
    for path in (secret, lab.path('other')):
        equal(owners(path), {0}, 'owners of ' + path)
    for path in (os.path.join(theirs, 'log'), os.path.join(theirs, 'way', 'fresh.log')):
        code, _, err = lab.smokefs(
            '--user', user.pw_name, '--state', lab.path('s'), '--key', lab.key,
            '--address', '127.0.0.1', '--log', path, lab.path('m'))
        check(code == 2 and 'for user ' + user.pw_name in err, '%d: %s' % (code, err))
        check(not os.path.exists(lab.path('fresh.log')), 'a file was made')
    equal(slurp(os.path.join(secret, 'shadow')), '0\n', 'what a link led to')


@case
def hangup_after_the_drop(lab):
    need_root()
    user = other_user()
    let_pass(lab)
    os.mkdir(lab.path('logs'))
    give(lab.path('logs'), user)
    node = lab.node('a', start=False, options=['--user', user.pw_name],
                    key=give(lab.make_key('their.key'), user))
    node.log = lab.path('logs', 'log')
    node.start()
    os.rename(node.log, node.log + '.1')
    node.send(signal.SIGHUP)
    until(lambda: os.path.exists(node.log), 5, 'the log is opened again')
    equal(os.stat(node.log).st_uid, user.pw_uid, 'owner of the log')
    check('start id=' in slurp(node.log + '.1'), 'the first log has no start')
    equal(node.read('id').strip(), node.id, 'id')


@case
def group_of_the_files(lab):
    """--gid and --umask let a group in, and nobody else."""
    need_root()
    user = other_user()
    let_pass(lab)
    member, stranger = [54321], [54322]
    node = lab.node(options=['--gid', '54321', '--umask', '007', '-o', 'allow_other'])

    def modes():
        return {name: stat.filemode(os.stat(node.path(name)).st_mode)
                for name in ('', 'broadcast', 'ctl', 'id', 'events', 'peers')}
    equal(modes(), {'': 'dr-xr-x---', 'broadcast': '-rw-rw----', 'ctl': '-rw-rw----',
                    'id': '-r--r-----', 'events': '-r--r-----', 'peers': 'dr-xr-x---'}, 'modes')
    equal(os.stat(node.path('id')).st_gid, 54321, 'group')

    def use():
        equal(slurp(node.path('id')).strip(), node.id, 'id')
        with opened(node.path('broadcast'), os.O_WRONLY) as fd:
            write_all(fd, b'hello\n')
        with raises(13, what='writing to id'):
            os.close(os.open(node.path('id'), os.O_WRONLY))

    def intrude():
        with raises(13, what='a stranger'):
            os.listdir(node.mount)
    as_user(lab, user, use, groups=member)
    as_user(lab, user, intrude, groups=stranger)
    for words, expected in ((['--umask', '8'], 'not an octal mode'),
                            (['--umask', '777'], 'shuts the owner out'),
                            (['--gid', 'no-such-group'], 'no such group'),
                            (['--gid', '9999999999'], 'nor the name')):
        code, _, err = lab.smokefs(*words, lab.path('a'))
        check(code == 1 and expected in err, '%s: %d: %s' % (words, code, err))


def open_device():
    """For this process and its children /dev/fuse is open to everyone, as on most systems."""
    if os.geteuid() != 0 or os.stat('/dev/fuse').st_mode & 0o006 == 0o006:
        return
    if libc.unshare(CLONE_NEWNS) < 0 or libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None):
        return
    device = '/run/smokefs-test-fuse-%d' % os.getpid()
    os.mknod(device, stat.S_IFCHR | 0o666, FUSE_DEVICE)
    os.chmod(device, 0o666)
    libc.mount(device.encode(), b'/dev/fuse', None, MS_BIND, None)
    os.unlink(device)


if __name__ == '__main__':
    with contextlib.suppress(OSError):
        open_device()
    main(170)
