# SPDX-License-Identifier: MIT
"""mount(8), umount(8) and fstab(5), with lines of our own.

All of it in a namespace of mounts that ends with this process: mount(8) looks for mount.smokefs in
/sbin and nowhere else, and an ordinary user's in /etc/fstab.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys

from harness import (SKIPPED, SMOKEFS, Skip, alive, case, check, equal, free_port, main, missing,
                     mounts_below, own_namespace, slurp, until)

GENERATOR = '/lib/systemd/system-generators/systemd-fstab-generator'
USAGE, SYSTEM, MOUNT = 1, 2, 32


@contextlib.contextmanager
def helpers(lab):
    """mount.smokefs in /sbin, and smokefs where mount.fuse3 finds it, for us alone."""
    over = lab.path('over')
    os.mkdir(over)
    subprocess.check_call(['mount', '-t', 'tmpfs', 'tmpfs', over])
    try:
        run = subprocess.run(
            ['sh', '-ec', 'mkdir "$1/upper" "$1/work"; mount -t overlay -o '
             '"lowerdir=/usr/sbin,upperdir=$1/upper,workdir=$1/work" overlay /usr/sbin',
             'sh', over], stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            raise Skip('no overlay can be mounted: ' + run.stderr.strip())
        try:
            for name in ('mount.smokefs', 'smokefs'):
                os.symlink(SMOKEFS, '/usr/sbin/' + name)
            yield over
        finally:
            subprocess.check_call(['umount', '/usr/sbin'])
    finally:
        subprocess.check_call(['umount', over])


def with_helpers(function):
    def wrapper(lab):
        with helpers(lab) as over:
            function(lab, over)
    wrapper.__name__ = function.__name__
    return wrapper


class Table:
    """Lines of fstab, and what is mounted by them."""

    def __init__(self, lab):
        self.lab = lab
        self.path = lab.path('fstab')
        self.lines = []
        lab.environment['XDG_STATE_HOME'] = lab.path('xdg')

    def add(self, kind, source, name, options, port=None):
        mount = self.lab.path(name)
        os.makedirs(mount, exist_ok=True)
        port = port or free_port()
        self.lines.append('%s %s %s key=%s,state=%s,log=%s,address=127.0.0.1,port=%d,%s 0 0\n' % (
            source, mount, kind, self.lab.key, self.lab.path(name + '.state'),
            self.lab.path(name + '.log'), port, options))
        with open(self.path, 'w') as f:
            f.writelines(self.lines)
        return mount, '127.0.0.1:%d' % port

    def run(self, *words, code=0):
        run = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             stdin=subprocess.DEVNULL, env=self.lab.environment, timeout=30,
                             check=False)
        equal(run.returncode, code, '%s: %s' % (' '.join(words), run.stderr))
        check(code or not run.stderr, '%s: %s' % (' '.join(words), run.stderr))
        return run.stderr

    def mount(self, *words, code=0):
        return self.run('mount', '--fstab', self.path, *words, code=code)

    def umount(self, *words, code=0):
        return self.run('umount', *words, code=code)


def state_of(mount):
    return dict(line.split(' ', 1) for line in slurp(mount + '/status').splitlines())


def findmnt(mount):
    return subprocess.check_output(['findmnt', '-n', '-o', 'SOURCE,FSTYPE,OPTIONS', mount],
                                   text=True).split()


def gone(mount, pid):
    until(lambda: not mounts_below(mount), 5, 'the end of the mount')
    until(lambda: not alive(int(pid)), 5, 'the end of the daemon')


@case
@with_helpers
def by_both_types(lab, over):
    """mount.smokefs, and mount.fuse3 that runs a program of the name behind the dot."""
    table = Table(lab)
    first, address = table.add('smokefs', 'none', 'first', 'rw,_netdev,nofail,name=f,X-mount.mkdir')
    second, _ = table.add('fuse.smokefs', 'none', 'second',
                          'defaults,noatime,comment=x,seed=%s,min_peers=1,max_peers=0' % address)
    third, _ = table.add('smokefs', address, 'third', 'nodev,nosuid,noexec,wait=5,log_level=warn')
    table.mount(first)
    table.mount(second)
    table.mount(third)
    equal(state_of(first)['name'], 'f', 'name')
    # For pkill -x, whatever the name of its program was.
    for path in (first, second):
        equal(slurp('/proc/%s/comm' % state_of(path)['pid']), 'smokefs\n', 'the process')
    status = state_of(second)
    equal((status['min_peers'], status['max_peers']), ('1', '0'), 'options')
    until(lambda: len(os.listdir(second + '/peers')) == 2, 10, 'peers')
    source, kind, options = findmnt(third)
    equal((source, kind), (address, 'fuse.smokefs'), 'what is mounted')
    check({'rw', 'nosuid', 'nodev', 'noexec'} <= set(options.split(',')), options)
    equal(findmnt(first)[0], 'none', 'source')
    check('noatime' in findmnt(second)[2], 'noatime')
    pids = {path: state_of(path)['pid'] for path in (first, second, third)}
    table.umount(third)
    table.umount(first, second)
    for path, pid in pids.items():
        gone(path, pid)


@case
@with_helpers
def all_of_it(lab, over):
    """mount -a mounts what is not mounted, and nothing twice; noauto is left out."""
    table = Table(lab)
    first, _ = table.add('smokefs', 'none', 'first', '_netdev,nofail,no_discovery')
    second, _ = table.add('fuse.smokefs', '127.0.0.1:1,127.0.0.1:2', 'second', 'nofail')
    third, _ = table.add('smokefs', 'none', 'third', 'noauto,user,x-systemd.automount')
    for _ in range(3):
        table.mount('-a')
        for path in (first, second):
            equal(mounts_below(path), [path], 'mounts')
        equal(mounts_below(third), [], 'noauto')
    pid = state_of(second)['pid']
    table.mount('-a', '-f')
    equal(findmnt(second)[0], '127.0.0.1:1,127.0.0.1:2', 'source')
    table.umount('-a', '-t', 'fuse.smokefs')
    gone(second, pid)
    # Of the network alone, as at boot.
    table.mount('-a', '-O', '_netdev')
    equal((mounts_below(first), mounts_below(second)), ([first], []), 'mounts of the network')
    table.umount(first)


@case
@with_helpers
def what_goes_wrong(lab, over):
    table = Table(lab)
    path, address = table.add('smokefs', 'none', 'first', 'no_discovery')
    for name, options, code, sentence in (
            ('a', 'min_pears=3', USAGE, "-o min_pears: unknown option; did you mean '-o min_peers'?"),
            ('b', 'min_peers=9,max_peers=3', USAGE,
             '--min-peers 9 is more than --max-peers 3; raise the one or lower the other '
             '(--max-peers 0: no limit)'),
            ('c', 'user,ping_timeout=1', USAGE,
             "-o ping_timeout: '1' is not a number from 100 to 600000 milliseconds")):
        for kind in ('smokefs', 'fuse.smokefs'):
            bad, _ = table.add(kind, 'none', name + kind, options)
            equal(table.mount(bad, code=code), 'smokefs: %s\n' % sentence, kind)
            equal(mounts_below(bad), [], 'mounts')
    # mount -s passes over what is unknown, -f makes nothing.
    bad, _ = table.add('smokefs', 'none', 'sloppy', 'min_pears=3,no_discovery')
    table.mount('-s', '-f', bad)
    equal(mounts_below(bad), [], 'mounts')
    table.mount('-s', bad)
    table.umount(bad)
    table.mount(path)
    equal(table.mount('nobody', path, '-t', 'smokefs', code=USAGE),
          "smokefs: SEED: 'nobody' is not a seed; write host:port, [IPv6]:port or none\n", 'source')
    equal(table.mount(path, '-o', 'remount,ro', code=USAGE),
          'smokefs: -o remount: a mount cannot be changed; unmount it and mount it again\n',
          'remount')
    equal(table.mount(path, code=MOUNT),
          'smokefs: %s: already mounted; unmount it with fusermount3 -u %s\n' % (path, path),
          'twice')
    equal(findmnt(path)[0], 'none', 'source')
    with open(path + '/broadcast', 'rb'):
        check('busy' in table.umount(path, code=MOUNT), 'a busy mount')
    table.umount(path)


@case
@with_helpers
def by_a_user(lab, over):
    """The options user and noauto: whoever may read the key mounts, and unmounts."""
    if not os.stat('/usr/bin/mount').st_mode & 0o4000 or not shutil.which('fusermount3'):
        raise Skip('mount(8) is not for users here')
    if not os.path.exists('/etc/fstab'):
        raise Skip('there is no /etc/fstab')
    user = pwd.getpwnam('nobody')
    table = Table(lab)
    mount, _ = table.add('smokefs', 'none', 'first', 'noauto,user,no_discovery')
    other, _ = table.add('fuse.smokefs', 'none', 'second', 'noauto,user,no_discovery')
    for path in (os.path.dirname(lab.directory), lab.directory):
        os.chmod(path, 0o777)
    for path in (lab.key, mount, other):
        os.chown(path, user.pw_uid, user.pw_gid)
    # The device as a desktop has it.
    subprocess.check_call(['sh', '-ec', 'mknod "$1/fuse" c 10 229; chmod 666 "$1/fuse"; '
                           'mount --bind "$1/fuse" /dev/fuse; mount --bind "$2" /etc/fstab',
                           'sh', over, table.path])
    try:
        lab.task(as_user, table, user, mount, other).result()
    finally:
        subprocess.check_call(['umount', '/dev/fuse', '/etc/fstab'])


def as_user(table, user, mount, other):
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    for path in (mount, other):
        table.run('mount', path)
        check(len(slurp(path + '/id')) == 27, 'id')
        options = findmnt(path)[2].split(',')
        check({'nodev', 'nosuid', 'noexec', 'user_id=%d' % user.pw_uid} <= set(options), str(options))
        pid = state_of(path)['pid']
        table.run('umount', path)
        gone(path, pid)


@case
def units_of_it(lab):
    """What systemd makes of the lines: a mount of this type, and an automount."""
    if not os.access(GENERATOR, os.X_OK):
        raise Skip('systemd is missing')
    table = Table(lab)
    mount, _ = table.add('smokefs', 'none', 'first', '_netdev,nofail,noauto,x-systemd.automount')
    os.mkdir(lab.path('units'))
    run = subprocess.run([GENERATOR] + [lab.path('units')] * 3, stderr=subprocess.PIPE, text=True,
                         env=dict(lab.environment, SYSTEMD_FSTAB=table.path), check=False)
    equal(run.returncode, 0, 'generator: ' + run.stderr)
    name = subprocess.check_output(['systemd-escape', '--path', mount], text=True).strip()
    unit = lab.path('units', name + '.mount')
    if not os.path.exists(unit):
        raise Skip('this generator makes nothing here: %s' % os.listdir(lab.path('units')))
    text = slurp(unit)
    for line in ('What=none', 'Where=' + mount, 'Type=smokefs'):
        check(line in text.splitlines(), text)
    check(os.path.exists(lab.path('units', name + '.automount')), 'there is no automount')


if __name__ == '__main__':
    reason = missing() or own_namespace()
    if reason:
        print('skipped: ' + reason)
        sys.exit(SKIPPED)
    main(100)
