# SPDX-License-Identifier: MIT
"""Every way to get a start wrong: one sentence that says what to do, the exit code, nothing left.

What is asked of the command line alone is in lifecycle.py, what is wrong with a key in keys.py. The
machine is made wrong in a namespace of mounts that ends with the program.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess

from harness import (SANITIZED, SMOKEFS, Skip, alive, case, check, descendants, equal, free_port,
                     main, mounts_below, slurp, until)

CLEAN, USAGE, SYSTEM, MOUNT = 0, 1, 2, 32
USER = 'nobody'
# A /dev without this one.
NO_DEVICE = '''mount -t tmpfs tmpfs {0}; mknod {0}/null c 1 3; mknod {0}/urandom c 1 9
    mount --bind {0} /dev; '''
# One that everybody may use, as a desktop has it.
DEVICE = '''mount -t tmpfs tmpfs {0}; mknod -m 666 {0}/fuse c 10 229
    mount --bind {0}/fuse /dev/fuse; '''


class Wrong:
    """A start on a machine on which something is amiss."""

    def __init__(self, lab):
        if os.geteuid() != 0:
            raise Skip('only root can make this machine another one')
        self.lab = lab
        self.mount = lab.path('m')
        self.scratch = lab.path('scratch')
        self.state = lab.path('s')
        for path in (self.mount, self.scratch):
            os.mkdir(path)
        for path in (os.path.dirname(lab.directory), lab.directory):
            os.chmod(path, 0o711)
        self.port = free_port()

    def run(self, script, *options, prefix=(), seed='none', mount=None):
        """Exit code and stderr; `script` is what is done to the machine before."""
        command = [*prefix, SMOKEFS, '--key', self.lab.key, '-a', '127.0.0.1', '--no-discovery',
                   '-p', str(self.port), '--state', self.state, *options, seed, mount or self.mount]
        script = script.format(self.scratch)
        p = subprocess.run(
            ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script + '\nexec "$@"',
             'sh', *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE, timeout=30, env=self.lab.environment, check=False)
        equal(p.stdout, '', 'stdout')
        return p.returncode, p.stderr

    def expect(self, code, sentence, script, *options, before='', **keys):
        """`before` is a line that libfuse or fusermount3 says, ours comes last."""
        found, err = self.run(script, *options, **keys)
        equal((found, err), (code, before + 'smokefs: %s\n' % sentence), script + ' '.join(options))
        equal(mounts_below(self.lab.directory), [], 'mounts')

    def as_user(self):
        """From here on the key and the mount point are that user's."""
        user = pwd.getpwnam(USER)
        for path in (self.lab.key, self.mount):
            os.chown(path, user.pw_uid, user.pw_gid)
        self.state = self.lab.path('u', 's')
        os.makedirs(os.path.dirname(self.state), exist_ok=True)
        os.chown(os.path.dirname(self.state), user.pw_uid, user.pw_gid)
        return ['setpriv', '--reuid', str(user.pw_uid), '--regid', str(user.pw_gid), '--clear-groups']


@case
def no_device(lab):
    wrong = Wrong(lab)
    wrong.expect(MOUNT, "/dev/fuse: No such file or directory; load it with 'modprobe fuse', or start "
                 "the container with '--device /dev/fuse'", NO_DEVICE)


@case
def device_of_others(lab):
    wrong = Wrong(lab)
    user = wrong.as_user()
    wrong.expect(MOUNT, '/dev/fuse: Permission denied; mount as root, or have root give you access to '
                 'the device', DEVICE + 'chmod 600 {0}/fuse', prefix=user)


@case
def no_fusermount(lab):
    wrong = Wrong(lab)
    user = wrong.as_user()
    program = shutil.which('fusermount3')
    if not program:
        raise Skip('fusermount3 is missing')
    wrong.expect(MOUNT, 'fusermount3: is missing, without which only root can mount; install fuse3',
                 DEVICE + 'mount --bind {0}/fuse %s' % os.path.realpath(program), prefix=user)


@case
def not_permitted(lab):
    wrong = Wrong(lab)
    # As in a container.
    wrong.expect(MOUNT, "%s: cannot be mounted: Operation not permitted; a container needs '--cap-add "
                 "SYS_ADMIN --device /dev/fuse'" % wrong.mount, '',
                 prefix=['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin'],
                 before='fusermount3: mount failed: Operation not permitted\n')
    user = wrong.as_user()
    os.chown(wrong.mount, 0, 0)
    wrong.expect(MOUNT, '%s: cannot be mounted: Permission denied; choose a directory that you may '
                 'write to' % wrong.mount, DEVICE, prefix=user)
    os.chown(wrong.mount, pwd.getpwnam(USER).pw_uid, 0)
    for option in ('allow_other', 'allow_root'):
        wrong.expect(MOUNT, '-o allow_other: only root may, unless /etc/fuse.conf has the line '
                     'user_allow_other', DEVICE + 'mount --bind /dev/null /etc/fuse.conf',
                     '-o', option, prefix=user)
    wrong.expect(USAGE, '--user daemon: only root can become another user', DEVICE,
                 '--user', 'daemon', prefix=user)
    wrong.port = 80
    if slurp('/proc/sys/net/ipv4/ip_unprivileged_port_start').strip() == '1024':
        wrong.expect(SYSTEM, 'port 80: only root may listen below 1024; choose another with --port',
                     DEVICE, prefix=user)


@case
def keys_of_others(lab):
    wrong = Wrong(lab)
    user = wrong.as_user()
    uid = pwd.getpwnam(USER).pw_uid
    os.chown(lab.key, 0, 0)
    wrong.expect(SYSTEM, "%s: Permission denied; let user %d read it: chown %d %s" % (
        lab.key, uid, uid, lab.key), DEVICE, prefix=user)
    os.chown(lab.key, uid, 0)
    os.chmod(lab.key, 0)
    wrong.expect(SYSTEM, "%s: Permission denied (mode 0000); run: chmod 600 %s" % (
        lab.key, lab.key), DEVICE, prefix=user)


@case
def mounts_of_others(lab):
    """What another user has mounted there, alive and dead, is not ours to take away."""
    wrong = Wrong(lab)
    for options in ([], ['-o', 'allow_other']):
        node = lab.node('-'.join(['n'] + options[1:]), options=options)
        user = wrong.as_user()
        os.chown(lab.key, 0, 0)  # the mount point is looked at before the key
        sentence = 'smokefs: %s: already mounted; unmount it with fusermount3 -u %s\n' % (
            node.mount, node.mount)
        equal(wrong.run(DEVICE, prefix=user, mount=node.mount), (MOUNT, sentence), str(options))
        helper, = descendants(node.pid)
        os.kill(helper.pid, signal.SIGKILL)
        until(lambda: not alive(helper.pid), 5, 'end of the helper')
        node.kill()
        if options:
            sentence = 'smokefs: %s: a dead mount is in the way: Operation not permitted; try umount ' \
                '-l %s\n' % (node.mount, node.mount)
        equal(wrong.run(DEVICE, prefix=user, mount=node.mount), (MOUNT, sentence), 'a dead one')
        subprocess.check_call(['umount', '-l', node.mount])


@case
def no_home(lab):
    wrong = Wrong(lab)
    user = wrong.as_user()
    wrong.expect(SYSTEM, 'no place for the network key: HOME is not set; name a file with --key',
                 DEVICE, prefix=['env', '-u', 'HOME', '-u', 'XDG_CONFIG_HOME', *user, 'sh', '-c',
                                 'smokefs=$1; shift 3; exec "$smokefs" "$@"', 'sh'])


@case
def no_space(lab):
    """A full disk: no id is made that would not outlive the run."""
    wrong = Wrong(lab)
    wrong.state = wrong.scratch
    full = 'mount -t tmpfs -o size=4k,mode=700 tmpfs {0}; head -c 4096 /dev/zero >{0}/big; '
    wrong.expect(SYSTEM, '%s/lock: No space left on device' % wrong.scratch, full)
    # One that has its key, and fills up later: the incarnation cannot be stored.
    wrong.state = lab.path('kept')
    a = lab.node('a', state=wrong.state)
    a.stop()
    full = 'mount -t tmpfs -o size=16k,mode=700 tmpfs {0}; cp %s/* {0}/; head -c 65536 /dev/zero ' \
        '>{0}/big || true; ' % wrong.state
    wrong.state = wrong.scratch
    wrong.expect(SYSTEM, '%s/incarnation: No space left on device' % wrong.scratch,
                 full.replace('|| true', '2>/dev/null || true'))


@case
def state_of_others(lab):
    wrong = Wrong(lab)
    os.mkdir(wrong.state)
    os.chmod(wrong.state, 0o777)
    wrong.expect(SYSTEM, "%s: others may write to it (mode 0777); run: chmod 700 %s" % (
        wrong.state, wrong.state), '')


@case
def state_read_only(lab):
    """No reason not to start: the id is of this run alone, and a warning says so."""
    wrong = Wrong(lab)
    wrong.state = wrong.scratch
    code, err = wrong.run('mount -t tmpfs -o ro,mode=700 tmpfs {0}; mount --make-shared / || true',
                          '--wait=1', seed='127.0.0.1:%d' % free_port())
    equal(code, SYSTEM, 'exit code, as there is no peer')
    check(err.startswith("smokefs: %s: cannot be written to: this node's id will not outlive this "
                         'run\n' % wrong.scratch), err)


@case
def name_server(lab):
    """One that knows no such host, and none at all."""
    wrong = Wrong(lab)
    server = lab.file('resolv.conf', b'nameserver 127.83.77.1\noptions timeout:1 attempts:1\n')
    script = 'mount --bind %s /etc/resolv.conf' % server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(('127.83.77.1', 53))
        task = lab.task(know_nothing, s)
        wrong.expect(SYSTEM, '--wait: no peer after 2 s: web1.example:8495: no such host; check the '
                     'name', script, '--wait=2', seed='web1.example:8495')
        task.kill()
        task.reap()
    wrong.expect(SYSTEM, '--wait: no peer after 3 s: web1.example:8495: No route to host; check the '
                 'name server in /etc/resolv.conf, and that a node listens there', script,
                 '--wait=3', seed='web1.example:8495')


def know_nothing(s):
    while True:
        question, sender = s.recvfrom(512)
        s.sendto(question[:2] + b'\x81\x83' + question[4:6] + bytes(6) + question[12:], sender)


@case
def not_empty(lab):
    """As with mount(8) it is no error, but a warning, as it may be a mistake."""
    node = lab.node('a', start=False)
    node.expected = ['is not empty']
    with open(node.path('precious'), 'w') as f:
        f.write('x')
    node.start()
    equal(slurp(node.stderr), 'smokefs: %s: is not empty: what it holds is hidden until it is '
          'unmounted\n' % node.mount, 'stderr')
    check('precious' not in os.listdir(node.mount), 'not hidden')
    node.stop()
    equal(slurp(node.path('precious')), 'x', 'what it held')
    # Nothing to say of one that is.
    quiet = lab.node('b')
    equal(slurp(quiet.stderr), '', 'stderr')


@case
def wrong_clock(lab):
    """A machine that has lost its time is a member as any other, and says what is wrong."""
    if SANITIZED:
        raise Skip('a sanitizer has to be loaded first')
    a = lab.node('a')
    b = lab.node('b', seeds=[a], start=False)
    b.expected = ['the clock of this machine']
    lab.environment = dict(lab.environment, LD_PRELOAD=os.environ['CLOCK'])
    b.start()
    del lab.environment['LD_PRELOAD']
    equal(slurp(b.stderr), 'smokefs: the clock of this machine is at 1970-01-01: set it; until then '
          'the times in events are wrong\n', 'stderr')
    b.wait_peers(1)
    check(b.events()[0].time.startswith('1970-01-01T'), b.events()[0].line)
    with open(a.path('broadcast'), 'rb', buffering=0) as f:
        with open(b.path('broadcast'), 'wb', buffering=0) as g:
            g.write(b'hello')
        equal(f.read(100), b'hello', 'broadcast')
    identity = b.id
    b.stop()
    # The clock is set: the same node.
    b.start()
    equal(b.id, identity, 'id')
    b.wait_peers(1)
    b.stop()
    # And lost again: it goes on counting where it was.
    kept = int(slurp(b.state + '/incarnation'))
    lab.environment['LD_PRELOAD'] = os.environ['CLOCK']
    b.start()
    b.wait_peers(1)
    b.stop()
    check(int(slurp(b.state + '/incarnation')) > kept, 'the incarnation went back')


if __name__ == '__main__':
    main(100)
