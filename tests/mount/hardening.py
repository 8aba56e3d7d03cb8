# SPDX-License-Identifier: MIT
"""What the process keeps itself from: dumps, privileges, system calls; and --user."""

import contextlib
import os
import pwd
import resource
import select
import signal
import socket
import stat
import struct
import subprocess

from harness import (SANITIZED, Node, Skip, alive, case, check, descendants, equal, fail, libc,
                     main, mounts_below, opened, put, raises, slurp, unmount_lazily, until,
                     write_all)

OFFEND = os.environ.get('OFFEND', 'build/tests/mount/offend')
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
FUSE_DEVICE = os.makedev(10, 229)
UNREADABLE = 'network.key: will not be readable for '
CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 1 << 2, 1 << 21
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
    # A shell starts what it runs in the background with this one ignored.
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    try:
        node = lab.node()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        signal.signal(signal.SIGQUIT, before)
    node.send(signal.SIGQUIT)
    _, ended = os.waitpid(node.pid, 0)
    node.pid = None
    check(os.WIFSIGNALED(ended), 'status %#x, expected the signal' % ended)
    check(not os.WCOREDUMP(ended), 'a core was dumped')


def helper_of(node):
    """Its daemon is its parent."""
    found = [p.pid for p in descendants(node.pid)
             if status(p.pid)['Name'] == 'smokefs-umount']
    equal(len(found), 1, 'helper processes')
    return found[0]


def count_in_memory(pid, *words):
    """How often each is in what the process can read."""
    counts = [0] * len(words)
    with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb', 0) as memory:
        for line in maps:
            place, modes, *rest = line.split()
            if modes[0] != 'r' or rest[-1] in ('[vvar]', '[vvar_vclock]', '[vsyscall]'):
                continue
            start, end = (int(x, 16) for x in place.split('-'))
            memory.seek(start)
            content = memory.read(end - start)
            check(len(content) == end - start, 'not read as a whole: ' + line)
            counts = [n + content.count(w) for n, w in zip(counts, words)]
    return counts


@case
def keys_in_memory(lab):
    """The helper has none, and the daemon has the network's where it belongs and nowhere else."""
    need_root()
    need_filter()
    user = other_user()
    let_pass(lab)
    key = lab.path('fresh.key')
    first = lab.node(start=False, key=key, options=['--new-key'])
    first.expected = ['created the key']
    first.start()
    second = lab.node(start=False, key=key, options=['--user', user.pw_name], seeds=[first])
    second.expected = ['fresh.key: will not be readable for ']
    second.start()
    first.wait_peers(1)
    second.wait_peers(1)
    with opened(second.path('broadcast')) as fd:
        put(first.path('broadcast'), 'hello\n')
        equal(os.read(fd, 100), b'hello\n', 'broadcast')
    network = slurp(key).splitlines()[-1]
    for node in (first, second):
        own = slurp(os.path.join(node.state, 'node.key')).strip()
        texts = [f(k) for k in (network, own) for f in (str.encode, lambda k: k.upper().encode())]
        secrets = [bytes.fromhex(k) for k in (network, own)]
        equal(count_in_memory(helper_of(node), *secrets, *texts), [0] * 6, 'keys in the helper')
        equal(count_in_memory(node.pid, *texts), [0] * 4, 'keys as text in the daemon')
        equal(count_in_memory(node.pid, secrets[0]), [1], "the network's key in the daemon")


@case
def helper_confined(lab):
    """It keeps what it takes to unmount, also in a place that root passes as root alone."""
    need_root()
    user = other_user()
    let_pass(lab)
    os.mkdir(lab.path('private'), 0o700)
    node = lab.node(start=False)
    node.mount = lab.path('private', 'mount')
    os.mkdir(node.mount)
    give(lab.path('private'), user)
    node.start()
    helper = helper_of(node)
    kept = CAP_DAC_READ_SEARCH | CAP_SYS_ADMIN
    equal(capabilities(helper, 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'),
          {'CapInh': 0, 'CapPrm': kept, 'CapEff': kept, 'CapBnd': 0, 'CapAmb': 0}, 'capabilities')
    equal(status(helper)['NoNewPrivs'], '1', 'NoNewPrivs')
    node.kill()
    until(lambda: not node.mounted(), 5, 'mount gone after kill -9')
    until(lambda: not alive(helper), 5, 'end of the helper')
    node.start()
    node.stop()


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
    node = lab.node(options=options, start=False, **keys)
    node.expected = [UNREADABLE]
    return node.start()


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


@contextlib.contextmanager
def mounted_by_hand(path):
    """A mount of ours at which nobody answers. Gives its device."""
    os.makedirs(path, exist_ok=True)
    device = os.open('/dev/fuse', os.O_RDWR)
    try:
        options = 'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % device
        equal(libc.mount(b'smokefs', path.encode(), b'fuse.smokefs', 0, options.encode()), 0,
              'mount(2)')
        yield device
    finally:
        os.close(device)
        unmount_lazily(path)


def answer(device, body):
    request = os.read(device, 1 << 20)
    os.write(device, struct.pack('=IiQ', 16 + len(body), 0, struct.unpack_from('=Q', request, 8)[0])
             + body)


def answer_stat(device):
    """What it takes for one stat(2) of the root of a mount: FUSE_INIT and FUSE_GETATTR."""
    answer(device, struct.pack('=IIIIHHI40x', 7, 31, 0, 0, 1, 1, 4096))
    answer(device, struct.pack('=QII6Q10I', 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 1, 0, 0,
                               0, 512, 0))


@case
def strangers_wait(lab):
    """Until the mount answers the node has its privileges, and meets nobody."""
    need_root()
    user = other_user()
    let_pass(lab)
    seed = socket.create_server(('127.0.0.1', 0))
    node = Node(lab, 'n', ['127.0.0.1:%d' % seed.getsockname()[1]],
                options=['--user', user.pw_name, '-f'])
    script = 'exec 3<&%d; exec env LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=smokefs "$@"'
    with mounted_by_hand(lab.path('own')) as own, mounted_by_hand(node.mount) as place, seed:
        process = lab.popen(['sh', '-c', script % own, 'sh', *node.command()], pass_fds=[own],
                            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: descendants(process.pid), 5, 'test of the mount')
        equal(status(process.pid)['Uid'].split()[0], '0', 'user before the mount answers')
        with socket.create_connection(('127.0.0.1', node.port), 5) as stranger:
            stranger.sendall(b'GET / HTTP/1.0\r\n\r\n')
            equal(select.select([stranger, seed], [], [], 0.5)[0], [], 'contacts')
            answer_stat(place)
            check(b'GET' not in stranger.recv(100), 'an echo')
            seed.settimeout(5)
            seed.accept()[0].close()
        found = status(process.pid)
        equal(found['Uid'].split(), [str(user.pw_uid)] * 4, 'user')
        process.terminate()
        equal(process.wait(10), 0, 'exit code')
    check(' listen addr=' in slurp(node.log), 'no listen event')


@case
def user_in_fstab(lab):
    """To mount(8), user is an option of its own."""
    need_root()
    user = other_user()
    let_pass(lab)
    node = lab.node(start=False, options=['-o', 'user,run_as=%s,nodev' % user.pw_name])
    node.expected = [UNREADABLE]
    node.start()
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
    lab.file(os.path.join(node.state, 'incarnation.new'), b'')  # as a crash leaves it
    node.stop()
    os.unlink(node.log)
    let_pass(lab)
    node.options = ['--user', user.pw_name]
    node.expected = [UNREADABLE]
    node.start()
    equal(node.id, first, 'id')
    equal(owners(node.state), {user.pw_uid}, 'owners of the state')


def expect_kept(lab, user, state):
    code, _, err = lab.smokefs('--user', user.pw_name, '--state', state, '--key', lab.key,
                               '--address', '127.0.0.1', lab.path('m'))
    check(code == 2 and 'holds more than the state' in err and '--state' in err,
          '%s: %d: %s' % (state, code, err))
    equal(owners(state), {0}, 'owners of ' + state)
    equal('node.key' in os.listdir(state), False, 'a key in ' + state)


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
        node.expected = ['cannot be written to', 'Permission denied', UNREADABLE,
                         'is not given to']
        lab.smokefs(*node.command()[1:])
        check(not os.path.exists(lab.path('fresh')), 'a directory was made by way of ' + state)
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.check_output(['fusermount3', '-u', node.mount], stderr=subprocess.DEVNULL)
        until(lambda path=node.mount: path not in mounts_below(path), 5, 'unmounted')
    for path in (secret, lab.path('other')):
        equal(owners(path), {0}, 'owners of ' + path)
    for name, entry in (('dpkg', 'status'), ('apt', 'lock.old'), ('more', 'node.key.new.new')):
        os.mkdir(lab.path(name))  # has a lock, but of something else
        for file in ('lock', entry):
            lab.file(os.path.join(name, file), b'x')
        expect_kept(lab, user, lab.path(name))
    os.makedirs(lab.path('holder', 'lock'))
    expect_kept(lab, user, lab.path('holder'))
    os.mkdir(lab.path('linked'))
    os.symlink(os.path.join(secret, 'shadow'), lab.path('linked', 'lock'))
    expect_kept(lab, user, lab.path('linked'))
    for path in (os.path.join(theirs, 'log'), os.path.join(theirs, 'way', 'fresh.log')):
        code, _, err = lab.smokefs(
            '--user', user.pw_name, '--state', lab.path('s'), '--key', lab.key,
            '--address', '127.0.0.1', '--log', path, lab.path('m'))
        check(code == 2 and 'for user ' + user.pw_name in err, '%d: %s' % (code, err))
        check(not os.path.exists(lab.path('fresh.log')), 'a file was made')
    equal(slurp(os.path.join(secret, 'shadow')), '0\n', 'what a link led to')


@case
def unreadable_key(lab):
    """Said at the start, not when a key is changed."""
    need_root()
    user = other_user()
    for key, said in ((lab.key, True), (give(lab.make_key('their.key'), user), False)):
        let_pass(lab)
        node = lab.node(start=False, options=['--user', user.pw_name], key=key)
        node.expected = [UNREADABLE] if said else []
        node.start()
        words = '%s: will not be readable for %s: after a change of the key restart this node ' \
                'instead of SIGHUP' % (key, user.pw_name)
        equal(words in slurp(node.log), said, 'a warning')


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
