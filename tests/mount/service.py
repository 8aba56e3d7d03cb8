# SPDX-License-Identifier: MIT
"""The units in contrib/: the sandbox, the mount that is handed into it, and the one for users.

The last case boots a service manager of its own, in namespaces of its own, and runs the units as
they are. In there this script runs again, with --inside.
"""

import array
import contextlib
import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

from harness import (SANITIZED, SLOWNESS, SMOKEFS, Failure, Skip, case, check, equal, fail,
                     free_port, main, mounts_below, new_key, opened, put, raises, slurp, until)

CONTRIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'contrib')
UNIT = os.path.join(CONTRIB, 'smokefs@.service.in')
USER_UNIT = os.path.join(CONTRIB, 'user', 'smokefs@.service.in')
EXPOSURE_MAX = 2.0
SYSTEMD = '/lib/systemd/systemd'
CONFINED = {'NoNewPrivs': '1', 'Seccomp': '2', 'CapEff': '0' * 16, 'CapPrm': '0' * 16,
            'CapInh': '0' * 16, 'CapAmb': '0' * 16, 'CapBnd': '0' * 16}


def status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f)


def expect_confined(pid):
    if not SANITIZED:
        found = status(pid)
        equal({key: found[key] for key in CONFINED}, CONFINED, 'status of the service')


def become(user, groups):
    os.setgroups(groups)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


@case
def exposure(lab):
    if not shutil.which('systemd-analyze'):
        raise Skip('systemd-analyze is missing')
    unit = lab.path('smokefs@mnt.service')
    with open(unit, 'w') as f:
        f.write(slurp(UNIT).replace('@bindir@', '/usr/bin'))
    run = subprocess.run(['systemd-analyze', 'security', '--offline=yes', '--no-pager', unit],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                         env=dict(os.environ, LC_ALL='C.UTF-8'), check=False)
    if 'nrecognized option' in run.stderr:
        raise Skip('this systemd-analyze knows nothing of --offline')
    found = re.search(r'exposure level for \S+: ([0-9.]+)', run.stdout)
    check(found, 'no verdict: %s%s' % (run.stdout[-300:], run.stderr[-300:]))
    check(float(found.group(1)) <= EXPOSURE_MAX, 'exposure %s, allowed are %s' % (
        found.group(1), EXPOSURE_MAX))


@case
def verified(lab):
    """systemd-analyze finds nothing to say about either unit, with the program in its place."""
    if not shutil.which('systemd-analyze'):
        raise Skip('systemd-analyze is missing')
    for unit, scope in ((UNIT, '--system'), (USER_UNIT, '--user')):
        os.mkdir(lab.path(scope))
        path = lab.path(scope, 'smokefs@srv-net.service')
        with open(path, 'w') as f:
            f.write(slurp(unit).replace('@bindir@', os.path.dirname(SMOKEFS)))
        run = subprocess.run(
            ['systemd-analyze', scope, '--man=no', '--recursive-errors=no', 'verify', path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
            env=dict(os.environ, LC_ALL='C.UTF-8', XDG_RUNTIME_DIR=lab.directory))
        if 'nrecognized option' in run.stdout:
            raise Skip('this systemd-analyze knows nothing of --recursive-errors')
        equal((run.returncode, run.stdout), (0, ''), scope)


# The way of the mount without a service manager.

class Manager:
    """The part of a service manager that takes a descriptor and hands it on."""

    def __init__(self, lab, user):
        self.lab = lab
        self.user = user
        self.mount = lab.path('m')
        self.state = lab.path('s')
        os.mkdir(self.mount)
        os.mkdir(self.state, 0o700)
        for path in (os.path.dirname(lab.directory), lab.directory):
            os.chmod(path, 0o711)
        os.chown(self.state, user.pw_uid, user.pw_gid)
        os.chown(lab.key, user.pw_uid, user.pw_gid)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(lab.path('notify'))
        self.socket.settimeout(20 * SLOWNESS)
        os.chmod(lab.path('notify'), 0o777)
        self.environment = dict(lab.environment, NOTIFY_SOCKET=lab.path('notify'))
        self.process = None

    def messages(self, wanted):
        """Reads until this message: its descriptors."""
        while True:
            text, control, _, _ = self.socket.recvmsg(4096, 1024)
            if wanted not in text.decode().splitlines():
                continue
            fds = array.array('i')
            for _, kind, data in control:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
            return text.decode(), list(fds)

    def prepare(self, *options):
        return subprocess.run(
            [SMOKEFS, '--service-mount', '-o', 'allow_other,nodev,nosuid', *options, self.mount],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=20, check=False)

    def hand_over(self):
        run = self.prepare()
        equal(run.returncode, 0, '--service-mount: ' + run.stderr)
        text, fds = self.messages('FDSTORE=1')
        equal((text, len(fds)), ('FDSTORE=1\nFDNAME=smokefs', 1), 'what the manager is given')
        check(self.mounted(), 'there is no mount')
        return fds[0]

    def start(self, device):
        """The service, with descriptors 3 and 4, the second of which is the mount."""
        def enter():
            first = os.open('/dev/null', os.O_RDONLY)
            held = fcntl.fcntl(device, fcntl.F_DUPFD, 10)
            os.dup2(first, 3)
            os.dup2(held, 4)
            become(self.user, [])
        script = 'exec env LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=other:smokefs "$@"'
        self.err = self.lab.path('err')
        with open(self.err, 'wb') as err:
            self.process = self.lab.popen_as(
                ['sh', '-c', script, 'sh', SMOKEFS, '-f', '--state', self.state, '--key',
                 self.lab.key, '--address', '127.0.0.1', '--port', str(free_port()), '--log',
                 'stderr', self.mount], self.environment, enter, err)
        os.close(device)
        text, _ = self.messages('FDSTOREREMOVE=1')
        equal(text, 'FDSTOREREMOVE=1\nFDNAME=smokefs', 'what the manager is told')
        try:
            self.messages('READY=1')
        except TimeoutError:
            fail('not ready: ' + slurp(self.err))

    def mounted(self):
        return self.mount in mounts_below(self.mount)

    def clear(self):
        run = subprocess.run([SMOKEFS, '--service-unmount', self.mount], text=True, timeout=20,
                             stderr=subprocess.PIPE, env=self.lab.environment, check=False)
        equal(run.returncode, 0, '--service-unmount: ' + run.stderr)


def popen_as(lab, command, environment, enter, err):
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                         env=environment, close_fds=False, preexec_fn=enter)
    lab.processes.append(p)
    return p


def make_manager(lab):
    if os.geteuid() != 0:
        raise Skip('only root can mount for another user')
    try:
        user = pwd.getpwnam('nobody')
    except KeyError:
        raise Skip('there is no user nobody') from None
    lab.popen_as = lambda *arguments: popen_as(lab, *arguments)
    return Manager(lab, user)


@case
def handed_over(lab):
    manager = make_manager(lab)
    manager.start(manager.hand_over())
    pid = manager.process.pid
    found = status(pid)
    equal(found['Uid'].split(), [str(manager.user.pw_uid)] * 4, 'user')
    if not SANITIZED:
        equal((found['NoNewPrivs'], found['Seccomp'], int(found['CapEff'], 16)), ('1', '2', 0),
              'NoNewPrivs, Seccomp, CapEff')

    def use():
        become(manager.user, [])
        put(os.path.join(manager.mount, 'broadcast'), 'hello\n')
        return slurp(os.path.join(manager.mount, 'id')).strip()
    equal(len(lab.task(use).result()), 26, 'id')
    manager.clear()
    check(manager.mounted(), 'a mount that is alive was unmounted')
    manager.process.terminate()
    equal(manager.process.wait(10), 0, 'exit code')
    manager.clear()
    check(not manager.mounted(), 'still mounted')


@case
def handed_over_and_killed(lab):
    manager = make_manager(lab)
    manager.start(manager.hand_over())
    manager.process.kill()
    equal(manager.process.wait(10), -signal.SIGKILL, 'exit code')
    manager.clear()
    check(not manager.mounted(), 'still mounted')
    # And again, as the manager does it.
    manager.start(manager.hand_over())
    subprocess.check_call(['umount', manager.mount])
    equal(manager.process.wait(10), 0, 'exit code after umount')
    manager.clear()


@case
def handed_over_and_left(lab):
    """The service never came to take it: nobody answers, and it goes all the same."""
    manager = make_manager(lab)
    device = manager.hand_over()
    manager.clear()
    check(not manager.mounted(), 'still mounted')
    os.close(device)


@case
def handed_over_to_nobody(lab):
    manager = make_manager(lab)
    del manager.environment['NOTIFY_SOCKET']
    run = manager.prepare()
    check(run.returncode == 2 and 'NOTIFY_SOCKET' in run.stderr,
          '%d: %s' % (run.returncode, run.stderr))
    manager.environment['NOTIFY_SOCKET'] = lab.path('nobody')
    run = manager.prepare()
    check(run.returncode == 2 and 'no service manager' in run.stderr,
          '%d: %s' % (run.returncode, run.stderr))
    check(not manager.mounted(), 'still mounted')


# The unit itself.

OUTSIDE = r'''
set -e
mount --make-rprivate /
mkdir "$1/cgroup"
mount -t cgroup2 cgroup2 "$1/cgroup"
cgroup=$1/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/smokefs-test.$$
mkdir "$cgroup"
clean() { # what was killed takes a moment to go
    for i in 1 2 3 4 5 6 7 8 9; do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
    done
    umount "$1/cgroup"
}
trap 'clean "$1"' EXIT
sh -ec 'echo $$ >"$1/cgroup.procs"; shift
    exec unshare --mount --uts --ipc --net --cgroup --pid --fork --kill-child --mount-proc "$@"
' sh "$cgroup" sh -ec "$2" sh "$1" || true
'''
# All that the manager and the services could write to is made anew.
BOOT = r'''
mount --make-rprivate /
copy() {
    mkdir "$1.copy"; mount -t tmpfs -o mode=755 tmpfs "$1.copy"; cp -a "$2/." "$1.copy"
    mount --move "$1.copy" "$2"
}
copy "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/test/out
mount --bind "$1" /run/test/out
cp -r "$1/files" /run/test
for place in /var/lib /var/tmp /mnt /tmp; do mount -t tmpfs tmpfs $place; done
# As a desktop has it.
mknod -m 666 /tmp/fuse c 10 229
mount --bind /tmp/fuse /dev/fuse
mkdir -p /tmp/over/upper /tmp/over/work
mount -t overlay -o lowerdir=/usr/sbin,upperdir=/tmp/over/upper,workdir=/tmp/over/work overlay \
    /usr/sbin && ln -s /run/test/files/smokefs /usr/sbin/mount.smokefs || true
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /dev/null /dev/console
mount --bind /dev/null /dev/kmsg
cp -r /run/test/files/units/. /run/systemd/system
systemd-sysusers /run/test/files/sysusers.conf
mount --make-rshared /
exec env -i container=smokefs-test SYSTEMD_UNIT_PATH=/run/systemd/system PATH="$PATH" \
    LC_ALL=C.UTF-8 /lib/systemd/systemd --system --unit=test.service --log-target=null \
    --show-status=no
'''
DRIVER = '''[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
TimeoutStartSec=100
Environment=SMOKEFS=/run/test/files/smokefs
ExecStart=%s /run/test/files/service.py --inside
StandardOutput=append:/run/test/out/report
StandardError=inherit
'''

USER_MANAGER = '''[Service]
Type=notify
User=nobody
Delegate=yes
ExecStartPre=+chmod 666 /run/test/out/log
Environment=HOME=/mnt/user XDG_RUNTIME_DIR=/run/user/test SYSTEMD_UNIT_PATH=/run/test/files/user:
ExecStart=/lib/systemd/systemd --user --log-target=null
StandardError=append:/run/test/out/log
'''
# Times that a test can wait for.
QUICK = '''[Service]
StandardError=append:/run/test/out/log
WatchdogSec=3
TimeoutAbortSec=1
RestartSec=100ms
'''


@case
def booted(lab):
    """The unit as it is, under a manager that is process 1 of its own namespaces."""
    if os.geteuid() != 0 or not os.access(SYSTEMD, os.X_OK):
        raise Skip('no systemd, or not root')
    if SANITIZED:
        raise Skip('the sandbox has no place for a sanitizer')
    here = os.path.dirname(os.path.abspath(__file__))
    units = lab.path('files', 'units')
    os.makedirs(units)
    for name in ('service.py', 'harness.py'):
        shutil.copy(os.path.join(here, name), lab.path('files', name))
    shutil.copy(SMOKEFS, lab.path('files', 'smokefs'))
    shutil.copy(os.path.join(CONTRIB, 'sysusers.conf'), lab.path('files', 'sysusers.conf'))
    with open(os.path.join(units, 'smokefs@.service'), 'w') as f:
        f.write(slurp(UNIT).replace('@bindir@', '/run/test/files'))
    for name in ('sysinit', 'basic', 'shutdown', 'network-online', 'multi-user'):
        with open(os.path.join(units, name + '.target'), 'w') as f:
            f.write('[Unit]\nDefaultDependencies=no\n')
    with open(os.path.join(units, 'test.service'), 'w') as f:
        f.write(DRIVER % sys.executable)
    for place in (units, lab.path('files', 'user')):
        os.makedirs(os.path.join(place, 'smokefs@.service.d'))
        with open(os.path.join(place, 'smokefs@.service.d', 'quick.conf'), 'w') as f:
            f.write(QUICK)
    with open(lab.path('files', 'user', 'smokefs@.service'), 'w') as f:
        f.write(slurp(USER_UNIT).replace('@bindir@', '/run/test/files'))
    with open(os.path.join(units, 'user-manager.service'), 'w') as f:
        f.write(USER_MANAGER)
    p = lab.popen(['unshare', '--mount', 'sh', '-c', OUTSIDE, 'sh', lab.directory, BOOT],
                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = p.communicate(timeout=110)
    except subprocess.TimeoutExpired:
        said = 'not ended'
    report = lab.path('report')
    if not os.path.exists(report):
        check(said != 'not ended', 'the manager hangs')
        raise Skip('no service manager can be booted here: ' + said.strip()[-200:])
    text = slurp(report)
    check(text.endswith('done\n'), '%s\n%s' % (
        text, slurp(lab.path('log')) if os.path.exists(lab.path('log')) else said))


def systemctl(*words, code=0):
    run = subprocess.run(['systemctl', *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=60, check=False)
    equal(run.returncode, code, 'systemctl %s: %s' % (' '.join(words), run.stdout))
    return run.stdout.strip()


def as_user(function, groups):
    """In a child that is an ordinary user of these groups."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = ''
        try:
            become(pwd.getpwnam('nobody'), groups)
            function()
        except BaseException as e:
            text = '%s: %s' % (type(e).__name__, e)
        os.write(write_end, text.encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, 'rb') as f:
        text = f.read().decode()
    os.waitpid(pid, 0)
    if text:
        raise Failure(text)


def bring_loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack('16sH14x', b'lo', 0x41)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(s, 0x8914, request)                # SIOCSIFFLAGS


def make_instance(mount, port, seed):
    os.mkdir(mount)
    os.makedirs('/etc/smokefs/mnt', exist_ok=True)
    with open('/etc/smokefs%s.conf' % mount, 'w') as f:
        f.write('OPTIONS=--address 127.0.0.1 --port %d --name n%d\n%s' % (
            port, port, 'SEED=%s\n' % seed if seed else ''))
    return 'smokefs@%s.service' % escape(mount)


def escape(path):
    return subprocess.check_output(['systemd-escape', '--path', path], text=True).strip()


def mounted(path):
    return path in mounts_below(path)


def main_pid(unit):
    return int(systemctl('show', '-p', 'MainPID', '--value', unit))


def inside():
    """All that has to be true of the service, seen by those who use it."""
    check(os.path.ismount('/etc') and os.getpid() < 1000, 'this is not the test of a manager')
    shutil.rmtree('/etc/smokefs', ignore_errors=True)
    bring_loopback_up()
    member = [pwd.getpwnam('smokefs').pw_gid]
    a, b = '/mnt/on-e', '/mnt/two'
    first = make_instance(a, 9001, None)
    second = make_instance(b, 9002, '127.0.0.1:9001')
    # Without the key there is no service and no mount.
    systemctl('start', first, code=1)
    check(not mounted(a), 'mounted without a key')
    systemctl('stop', first)
    with open('/etc/smokefs/network.key', 'w', opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(new_key() + '\n')
    systemctl('start', first, second)
    for unit in (first, second):
        expect_confined(main_pid(unit))
        equal(status(main_pid(unit))['Uid'].split(), [str(pwd.getpwnam('smokefs').pw_uid)] * 4,
              'user')
        equal(systemctl('show', '-p', 'NFileDescriptorStore', '--value', unit), '0', 'stored')

    def use():
        with opened(os.path.join(b, 'broadcast')) as fd:
            put(os.path.join(a, 'broadcast'), 'hello\n')
            equal(os.read(fd, 100), b'hello\n', 'broadcast')

    def intrude():
        with raises(13, what='a stranger'):
            slurp(os.path.join(a, 'id'))
    until(lambda: os.listdir(os.path.join(a, 'peers')), 20, 'a peer')
    as_user(use, member)
    as_user(intrude, [])
    systemctl('reload', first)
    equal(systemctl('show', '-p', 'ActiveState', '--value', first), 'active', 'after a reload')
    check('\nauthorized=' in slurp(os.path.join(a, 'events')).replace(' config ', '\n'),
          'the lists were not read again')
    identity = slurp(os.path.join(a, 'id'))
    # A service that is killed, or hangs, or is restarted, comes back with its id, and leaves no mount.
    for end in (lambda: os.kill(main_pid(first), signal.SIGKILL),
                lambda: os.kill(main_pid(first), signal.SIGSTOP),
                lambda: systemctl('restart', first)):
        before = main_pid(first)
        end()
        until(lambda: main_pid(first) not in (0, before) and
              systemctl('show', '-p', 'ActiveState', '--value', first) == 'active', 20, 'restart')
        equal(mounts_below(a), [a], 'mounts after a restart')
        equal(slurp(os.path.join(a, 'id')), identity, 'id after a restart')
    until(lambda: os.listdir(os.path.join(a, 'peers')), 20, 'a peer again')
    as_user(use, member)
    # Who unmounts ends it, and that is no failure.
    subprocess.check_call(['umount', b])
    until(lambda: systemctl('show', '-p', 'ActiveState', '--value', second) == 'inactive', 20,
          'end after umount')
    systemctl('stop', first)
    equal(systemctl('show', '-p', 'Result', '--value', first), 'success', 'result')
    for path in (a, b):
        check(not mounted(path), path + ': still mounted')
    of_fstab()
    of_a_user()


def of_fstab():
    """A line that is mounted when somebody looks, once and again."""
    generator = '/lib/systemd/system-generators/systemd-fstab-generator'
    if not os.path.islink('/usr/sbin/mount.smokefs') or not os.access(generator, os.X_OK):
        print('fstab: skipped')
        return
    with open('/run/test/fstab', 'w') as f:
        f.write('none /mnt/auto smokefs noauto,nofail,_netdev,x-systemd.automount,address=127.0.0.1,'
                'no_discovery,name=auto,log_level=trace,log=/run/test/out/log 0 0\n')
    subprocess.check_call([generator] + ['/run/systemd/system'] * 3,
                          env=dict(os.environ, SYSTEMD_FSTAB='/run/test/fstab'))
    systemctl('daemon-reload')
    systemctl('start', 'mnt-auto.automount')
    before = ''
    for _ in range(2):
        check(mounts_below('/mnt/auto') == ['/mnt/auto'], 'mounted before anybody looks')
        text = slurp('/mnt/auto/status')
        check(re.search('(?m)^name auto$', text), text)
        check(before in ('', text.split('\n', 1)[0]), 'another id')
        before = text.split('\n', 1)[0]
        pid = int(re.search('(?m)^pid ([0-9]+)$', text).group(1))
        equal(mounts_below('/mnt/auto'), ['/mnt/auto'] * 2, 'the automount and the mount')
        subprocess.check_call(['umount', '/mnt/auto'])
        until(lambda: not os.path.exists('/proc/%d' % pid), 5, 'the end of the daemon')
        until(lambda: systemctl('show', '-p', 'ActiveState', '--value', 'mnt-auto.mount') ==
              'inactive', 5, 'the end of the unit')
    slurp('/mnt/auto/id')
    systemctl('stop', 'mnt-auto.automount', 'mnt-auto.mount')
    equal(mounts_below('/mnt/auto'), [], 'mounts')


def of_a_user():
    """A node of an ordinary user's, under a manager of that user's."""
    home, mount = '/mnt/user', '/mnt/user/my net'
    settings = home + '/.config/smokefs'
    for path in (mount, '/run/user/test', settings + mount.rpartition('/')[0]):
        os.makedirs(path)
    with open(settings + mount + '.conf', 'w') as f:
        f.write('SEED=none\nOPTIONS=--no-discovery --address 127.0.0.1 --name mine\n')
    subprocess.check_call(['chown', '-R', 'nobody:', home, '/run/user/test'])
    os.chmod(settings, 0o700)
    systemctl('start', 'user-manager.service')
    unit = 'smokefs@%s.service' % escape(mount)

    def use():
        os.environ.update(HOME=home, XDG_RUNTIME_DIR='/run/user/test')
        systemctl('--user', 'start', unit)
        check(re.search('(?m)^name mine$', slurp(mount + '/status')), 'status')
        identity = slurp(mount + '/id')
        systemctl('--user', 'reload', unit)
        check(' config keys=1 ' in slurp(mount + '/events'), 'the key was not read again')
        systemctl('--user', 'restart', unit)
        equal(slurp(mount + '/id'), identity, 'id after a restart')
        os.kill(int(systemctl('--user', 'show', '-p', 'MainPID', '--value', unit)), signal.SIGKILL)
        until(lambda: systemctl('--user', 'show', '-p', 'NRestarts', '--value', unit) == '1' and
              systemctl('--user', 'show', '-p', 'ActiveState', '--value', unit) == 'active', 20,
              'restart')
        equal(mounts_below(mount), [mount], 'mounts after a restart')
        equal(slurp(mount + '/id'), identity, 'id after it was killed')
        systemctl('--user', 'stop', unit)
        check(not mounted(mount), 'still mounted')
    as_user(use, [])
    check(os.path.isfile(settings + '/network.key'), 'there is no key')
    systemctl('stop', 'user-manager.service')


if __name__ == '__main__':
    if sys.argv[1:] == ['--inside']:
        inside()
        print('done')
    else:
        main(170)
