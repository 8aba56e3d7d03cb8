# SPDX-License-Identifier: MIT
"""Real nodes on loopback, each with a real mount, for the scripts of this directory.

A script decorates its tests with @case and ends with main(). Every test gets a Lab: it makes the
nodes, and when the test ends, however it ends, takes them down and fails the test if a process or
a mount is left, or if a node had anything suspicious to say. A guard process does the same when
this one hangs or is killed.

Only processes that the lab made are ever killed: those that it forked, and what these left behind,
which comes to us because we are their subreaper (prctl(2)).

All nodes of a lab hold the same network key, which is its own, and listen on 127.0.0.1 alone.
"""

import collections
import contextlib
import ctypes
import errno
import os
import pickle
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback

SMOKEFS = os.path.abspath(os.environ.get('SMOKEFS', 'build/smokefs'))
KIB = 1024
MIB = 1024 * KIB
MESSAGE_MAX = MIB - 4 * KIB
STREAM_WINDOW = 256 * KIB
ID_LENGTH = 26

SKIPPED = 77
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000

# Words that a node has no reason to say when nothing is wrong.
SUSPICIOUS = re.compile(
    r'error|sanitizer|assert|leak|warning|invalid|abort|broke|fuse:|fail|corrupt|segfault', re.I)
ID = re.compile(r'\b[a-z2-7]{26}\b')


def suspicious(line):
    """Does it say so in a word? In an id anything may be written, at random."""
    return SUSPICIOUS.search(ID.sub('', line))
# SEQ TIME NAME key=value...
EVENT = re.compile(r'^(\d+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([a-z-]+)((?: \S+=\S*)*)$')
EVENT_NAMES = set('''listen connect disconnect add remove refused netsplit healed gap lost overrun
    slow join leave seed-retry config clash stop'''.split())

libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What a test found wrong."""


class Skip(Exception):
    """A test, or a part of it, that cannot run here."""


def fail(text):
    raise Failure(text)


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(found, expected, what):
    if found != expected:
        raise Failure('%s: %s, expected %s' % (what, brief(found), brief(expected)))


def brief(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:280] + '... (%d characters)' % len(text)


def is_sanitized():
    with open(SMOKEFS, 'rb') as f:
        return b'__asan_init' in f.read()


SANITIZED = os.path.exists(SMOKEFS) and is_sanitized()
# A sanitized node is several times slower; so is everything on a machine that is busy.
SLOWNESS = 3 if SANITIZED else 1


def until(predicate, seconds, what):
    """Waits until the predicate gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            fail('%s: not within %.1f s' % (what() if callable(what) else what, seconds))
        time.sleep(0.004)


@contextlib.contextmanager
def raises(*numbers, what='call'):
    """The body must fail with one of these errno values."""
    names = '/'.join(errno.errorcode[n] for n in numbers)
    try:
        yield
    except OSError as e:
        if e.errno not in numbers:
            fail('%s: %s, expected %s' % (what, errno.errorcode.get(e.errno, e.errno), names))
    else:
        fail('%s: succeeded, expected %s' % (what, names))


@contextlib.contextmanager
def within(seconds, what):
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    check(took <= seconds, '%s: took %.3f s, allowed are %.3f s' % (what, took, seconds))


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def set_flags(fd, on=0, off=0):
    import fcntl
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, (flags | on) & ~off)


def read_exactly(fd, n):
    parts = []
    while n > 0:
        part = os.read(fd, min(n, MIB))
        if not part:
            fail('end of file with %d bytes missing' % n)
        parts.append(part)
        n -= len(part)
    return b''.join(parts)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def put(path, data):
    """One open, one write(2), one close, as `printf ... > path` does."""
    if isinstance(data, str):
        data = data.encode()
    with opened(path, os.O_WRONLY | os.O_TRUNC) as fd:
        n = os.write(fd, data)
    equal(n, len(data), 'write to ' + path)


def slurp(path):
    with open(path, 'rb', buffering=0) as f:
        return f.read().decode()


def raw_call(name, *arguments):
    """A system call without Python's retry after a signal: the result or -errno."""
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    return -ctypes.get_errno() if result < 0 else result


def new_key():
    return os.urandom(32).hex()


# Ports: below the range from which the kernel gives its own, and each only once a run.

_ports = None


def free_port():
    global _ports
    if _ports is None:
        _ports = iter(range(20000 + os.getpid() * 37 % 10000, 32000))
    for port in _ports:
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue
    fail('no free port')


# Processes.

Proc = collections.namedtuple('Proc', 'pid state ppid start ticks')


def proc(pid):
    """What /proc says about a process; None when there is none."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            words = f.read().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Proc(pid, words[0], int(words[1]), int(words[19]), int(words[11]) + int(words[12]))


def alive(pid):
    p = proc(pid)
    return p is not None and p.state not in 'ZX'


def descendants(pid):
    children = collections.defaultdict(list)
    for name in os.listdir('/proc'):
        if name.isdigit():
            p = proc(int(name))
            if p:
                children[p.ppid].append(p)
    found, todo = [], [pid]
    while todo:
        for p in children[todo.pop()]:
            found.append(p)
            todo.append(p.pid)
    return found


def describe(p):
    try:
        with open('/proc/%d/cmdline' % p.pid, 'rb') as f:
            command = f.read().replace(b'\0', b' ').decode(errors='replace').strip()
        with open('/proc/%d/wchan' % p.pid) as f:
            command += ' in ' + f.read()
    except OSError:
        command = '?'
    return '%d %s %s' % (p.pid, p.state, command)


def descriptors(pid):
    return sorted(os.listdir('/proc/%d/fd' % pid), key=int)


def cpu_seconds(pid):
    return proc(pid).ticks / os.sysconf('SC_CLK_TCK')


def resident(pid):
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) * KIB


def mounts_below(directory):
    found = []
    with open('/proc/self/mountinfo') as f:
        for line in f:
            path = re.sub(r'\\(\d{3})', lambda m: chr(int(m.group(1), 8)), line.split()[4])
            if path == directory or path.startswith(directory + '/'):
                found.append(path)
    return found


def unmount_lazily(path):
    if libc.umount2(path.encode(), 2) < 0:  # MNT_DETACH
        subprocess.run(['fusermount3', '-u', '-z', '-q', path], stdin=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)


class Guard:
    """Outlives us, should we be killed or hang, and then ends what we have made."""

    def __init__(self, directory, seconds):
        self.read_end, self.write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.write_end)
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            try:
                self.watch(os.getppid(), directory, seconds)
            finally:
                os._exit(0)
        os.close(self.read_end)

    def watch(self, parent, directory, seconds):
        # A child that the parent forks holds the pipe, too: a byte is the end, not its closing.
        pidfd = os.pidfd_open(parent)
        ready, _, _ = select.select([self.read_end, pidfd], [], [], seconds)
        if self.read_end in ready and os.read(self.read_end, 1) == b'.':
            return
        if not ready:
            sys.stderr.write('guard: out of time after %d s\n' % seconds)
            for p in descendants(parent):
                if p.pid != os.getpid():
                    sys.stderr.write('guard: left: %s\n' % describe(p))
            sys.stderr.flush()
        mine = descendants(parent) if not ready else []
        # After its death our subreaper's children are somebody else's: the state directories know
        # the daemons. Without them nobody can hang in a mount any more.
        pids = {p.pid for p in mine} | {n.pid for n in self.holders(directory)}
        for pid in pids - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in reversed(mounts_below(directory)):
            unmount_lazily(path)
        if ready:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            # The parent can go on now, and has the last word.
            select.select([self.read_end, pidfd], [], [], 10)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    @staticmethod
    def holders(directory):
        for root, _, files in os.walk(directory, onerror=lambda e: None):
            if 'lock' in files and 'incarnation' in files:
                with open(os.path.join(root, 'lock')) as f:
                    text = f.read().strip()
                p = proc(int(text)) if text.isdigit() else None
                if p and SMOKEFS in describe(p):
                    yield p

    def done(self):
        os.write(self.write_end, b'.')
        os.close(self.write_end)
        os.waitpid(self.pid, 0)


class Task:
    """A function running in a child process."""

    def __init__(self, lab, function, *arguments):
        self.lab = lab
        self.name = function.__name__
        self.read_end, write_end = os.pipe()
        self.status = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.child(write_end, function, arguments)
        os.close(write_end)
        lab.tasks.append(self)

    @staticmethod
    def child(write_end, function, arguments):
        try:
            signal.alarm(0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                answer = (True, function(*arguments))
            except BaseException as e:
                answer = (False, '%s: %s' % (type(e).__name__, e) if isinstance(
                    e, (Failure, OSError)) else traceback.format_exc())
            with os.fdopen(write_end, 'wb') as f:
                pickle.dump(answer, f)
        finally:
            os._exit(0)

    def poll(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
        return self.status

    def result(self, seconds=20):
        """What the function returned; its failure is ours."""
        data = b''
        end = time.monotonic() + seconds * SLOWNESS
        waiting = select.poll()  # select(2) knows no descriptor above 1023
        waiting.register(self.read_end, select.POLLIN)
        while True:
            left = end - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                fail('%s: not ended within %.0f s (%s)' % (
                    self.name, seconds * SLOWNESS, describe(proc(self.pid))))
            part = os.read(self.read_end, MIB)
            if not part:
                break
            data += part
        self.reap()
        if not data:
            fail('%s: killed, status %s' % (self.name, self.status))
        good, value = pickle.loads(data)
        check(good, '%s: %s' % (self.name, value))
        return value

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def reap(self, seconds=5):
        until(lambda: self.poll() is not None, seconds, lambda: 'end of process ' + describe(
            proc(self.pid) or Proc(self.pid, '?', 0, 0, 0)))
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def sleeping(self):
        """Waits until it sleeps in a call, and says in which state: S, or D."""
        return until(lambda: proc(self.pid).state in 'SD' and proc(self.pid).state, 5,
                     self.name + ' asleep')


class Event(collections.namedtuple('Event', 'seq time name fields line')):
    def __getattr__(self, key):
        return self.fields.get(key)


def parse_event(line):
    m = EVENT.match(line)
    check(m, 'not an event: ' + brief(line))
    check(m.group(3) in EVENT_NAMES, 'an unknown event: ' + line)
    fields = dict(word.split('=', 1) for word in m.group(4).split())
    return Event(int(m.group(1)), m.group(2), m.group(3), fields, line)


class Node:
    """One daemon and its mount."""

    def __init__(self, lab, name, seeds=(), port=None, options=(), foreground=False, state=None,
                 mount=None, key=None, listen='127.0.0.1', discovery=False):
        self.lab = lab
        self.name = name
        self.port = port or free_port()
        self.address = '127.0.0.1:%d' % self.port
        self.mount = mount or lab.path(name)
        self.state = state or lab.path(name + '.state')
        self.log = lab.path(name + '.log')
        self.stderr = lab.path(name + '.stderr')
        self.key = lab.key if key is None else key  # '': the default
        self.listen = listen  # None: as it chooses
        self.seeds = seeds
        # Nodes of a test meet as it says, and not because they are on one machine.
        self.discovery = [] if discovery else ['--no-discovery']
        self.options = list(options)
        self.foreground = foreground
        self.expected = []  # regular expressions for lines of stderr
        self.enter = None  # called in the new process before the program runs
        self.pid = None
        self.exit_code = None
        self.process = None
        os.makedirs(self.mount, exist_ok=True)

    def command(self):
        seeds = [s.address if isinstance(s, Node) else s for s in self.seeds] or ['none']
        return [SMOKEFS, '-p', str(self.port), '--state', self.state, '--name', self.name,
                '--log', self.log, '--log-level', 'trace',
                *(['--key', self.key] if self.key else []),
                *(['--address', self.listen] if self.listen else []), *self.discovery,
                *self.options,
                *(['-f'] if self.foreground else []), ','.join(seeds), self.mount]

    def start(self):
        self.exit_code = None
        with open(self.stderr, 'ab') as err:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                env=self.lab.environment, preexec_fn=self.enter)
        if self.foreground:
            until(lambda: self.process.poll() is not None or self.mounted(), 10, 'mount')
            self.pid = self.process.pid
        elif self.process.wait(20) == 0:
            self.pid = int(slurp(os.path.join(self.state, 'lock')))
        if self.process.poll() is not None and (self.foreground or self.process.returncode):
            fail('%s: did not start, exit code %d: %s' % (
                self.name, self.process.returncode, slurp(self.stderr).strip()))
        self.id = self.read('id').strip()
        self.since = 0
        return self

    def path(self, *parts):
        return os.path.join(self.mount, *parts)

    def read(self, *parts):
        return slurp(self.path(*parts))

    def mounted(self):
        return self.mount in mounts_below(self.mount)

    def stream(self, other):
        return self.path('peers', other.id, 'stream')

    def status(self):
        return {k: int(v) if v.isdigit() and k != 'name' else v for k, v in (
            line.split(' ', 1) for line in self.read('status').splitlines())}

    def peers(self):
        return set(os.listdir(self.path('peers')))

    def events(self, name=None, **fields):
        return [e for e in map(parse_event, self.read('events').splitlines()) if
                (name is None or e.name == name) and
                all(e.fields.get(k) == v for k, v in fields.items())]

    def wait_event(self, name, seconds=5, after=0, **fields):
        def found():
            return [e for e in self.events(name, **fields) if e.seq > after]
        return until(found, seconds, '%s: event %s %s' % (self.name, name, fields or ''))[0]

    def last(self):
        return self.events()[-1].seq

    def wait_peers(self, count, seconds=10):
        until(lambda: len(self.peers()) >= count, seconds,
              lambda: '%s: %d peers (has %d)' % (self.name, count, len(self.peers())))

    def wait_status(self, key, value, seconds=5):
        until(lambda: self.status()[key] == value, seconds,
              lambda: '%s: %s %s (is %s)' % (self.name, key, value, self.status()[key]))

    def ctl(self, text):
        put(self.path('ctl'), text)

    def send(self, number):
        os.kill(self.pid, number)

    def collect(self, seconds=10):
        """Waits for the daemon's end: its exit code, or minus the signal."""
        if self.process and self.process.pid == self.pid:
            try:
                self.exit_code = self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                fail('%s: still there after %d s' % (self.name, seconds))
        elif self.pid:
            def ended():
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                return (os.waitstatus_to_exitcode(status),) if pid else None
            self.exit_code, = until(ended, seconds, self.name + ': end of the daemon')
        self.pid = self.process = None
        return self.exit_code

    def stop(self, number=signal.SIGTERM):
        """A clean end."""
        self.send(signal.SIGCONT)
        self.send(number)
        equal(self.collect(), 0, self.name + ': exit code')
        check(not self.mounted(), self.name + ': still mounted after the end')

    def kill(self):
        """No clean end. The helper unmounts."""
        self.send(signal.SIGKILL)
        self.collect()

    def complaints(self):
        """Everything said that nobody expects."""
        for path, is_log in ((self.stderr, False), (self.log, True)):
            if not os.path.exists(path):
                continue
            for line in slurp(path).splitlines():
                if any(re.search(e, line) for e in self.expected):
                    continue
                if is_log and (EVENT.match(line) or (line.startswith('start id=') and
                                                     not suspicious(line))):
                    continue
                yield '%s: %s' % (os.path.basename(path), line)


class Lab:
    def __init__(self, directory):
        self.directory = directory
        self.nodes = []
        self.tasks = []
        self.processes = []
        self.reports = os.path.join(directory, 'sanitizer')
        options = 'log_path=%s:abort_on_error=0:exitcode=99' % self.reports
        self.key = self.make_key('network.key')
        self.environment = dict(os.environ, ASAN_OPTIONS=options,
                                UBSAN_OPTIONS='print_stacktrace=1:halt_on_error=1:' + options)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def file(self, name, data):
        with open(self.path(name), 'wb') as f:
            f.write(data)
        return self.path(name)

    def make_key(self, name, *keys):
        """A key file; new keys where none are given."""
        with open(self.path(name), 'w', opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.writelines(key + '\n' for key in keys or [new_key()])
        return self.path(name)

    def node(self, name=None, seeds=(), start=True, **keys):
        node = Node(self, name or 'abcdefghijklmnopqrstuvwxyz'[len(self.nodes)], seeds, **keys)
        self.nodes.append(node)
        return node.start() if start else node

    def pair(self, **keys):
        """Two nodes that are peers."""
        a = self.node(**keys)
        b = self.node(seeds=[a], **keys)
        a.wait_peers(1)
        b.wait_peers(1)
        return a, b

    def network(self, count, **keys):
        """Nodes that know of each other through the first one."""
        nodes = [self.node(**keys)]
        for _ in range(count - 1):
            nodes.append(self.node(seeds=[nodes[0]], **keys))
        want = min(count - 1, 3)
        for node in nodes:
            node.wait_peers(want, 15 * SLOWNESS)
        for node in nodes:
            node.wait_status('members', count, 10 * SLOWNESS)
        return nodes

    def task(self, function, *arguments):
        return Task(self, function, *arguments)

    def popen(self, command, **keys):
        """A program in the background. A string is a script for sh."""
        command = ['sh', '-c', command] if isinstance(command, str) else command
        keys.setdefault('stdin', subprocess.DEVNULL)
        p = subprocess.Popen(command, env=dict(os.environ, LC_ALL='C.UTF-8'), **keys)
        self.processes.append(p)
        return p

    def popen_out(self, name):
        """A new file as the stdout of a program."""
        return open(self.path(name), 'wb', buffering=0)

    def run(self, command, seconds=20, code=0, **keys):
        """A program to its end: what it printed. Its stderr has to be empty."""
        p = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys)
        try:
            out, err = p.communicate(timeout=seconds * SLOWNESS)
        except subprocess.TimeoutExpired:
            fail('%s: not ended within %d s' % (brief(command), seconds * SLOWNESS))
        check(p.returncode == code and (code or not err),
              '%s: exit code %d, stderr: %s' % (brief(command), p.returncode, err.strip()))
        return out if not code else err

    def smokefs(self, *arguments, seconds=20, cwd=None):
        """Runs the program to its end: exit code and what it said."""
        p = subprocess.run([SMOKEFS, '--key', self.key, '--address', '127.0.0.1', *arguments], stdin=subprocess.DEVNULL, text=True, cwd=cwd,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
                           env=self.environment, check=False)
        return p.returncode, p.stdout, p.stderr

    # The end.

    def close(self, good):
        """Takes everything down. What was not as it should be, as sentences."""
        wrong = []
        for task in self.tasks:
            if task.status is None:
                with contextlib.suppress(ProcessLookupError):
                    task.kill(signal.SIGKILL)
        for p in self.processes:
            if p.poll() is None:
                p.kill()
        for node in self.nodes:
            self.end_node(node, wrong)
        for task in self.tasks:
            try:
                task.reap()
            except Failure as e:
                wrong.append(str(e))
        for p in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.communicate(timeout=5)
        self.end_strays(wrong)
        self.end_mounts(wrong)
        self.read_reports(wrong)
        if wrong or not good:
            for node in self.nodes:
                tail = slurp(node.log).splitlines()[-40:] if os.path.exists(node.log) else []
                wrong += ['  | %s: %s' % (node.name, line) for line in tail]
        return wrong

    @staticmethod
    def end_node(node, wrong):
        if node.pid is None:
            return
        try:
            node.stop()
        except (Failure, OSError) as e:
            wrong.append(str(e))
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(node.pid, signal.SIGKILL)

    def end_strays(self, wrong):
        me = os.getpid()

        def strays():
            while True:
                try:
                    pid, _ = os.waitpid(-1, os.WNOHANG) if guard is None else reap_except_guard()
                except ChildProcessError:
                    break
                if pid == 0:
                    break
            return [p for p in descendants(me) if p.pid != (guard and guard.pid)]
        # The helpers end a moment after their daemons.
        end = time.monotonic() + 3
        left = strays()
        while left and time.monotonic() < end:
            time.sleep(0.01)
            left = strays()
        for p in left:
            wrong.append('left running: ' + describe(p))
            with contextlib.suppress(ProcessLookupError):
                os.kill(p.pid, signal.SIGKILL)
        if left:
            time.sleep(0.2)
            strays()

    def end_mounts(self, wrong):
        for path in reversed(mounts_below(self.directory)):
            wrong.append('left mounted: ' + path)
            unmount_lazily(path)

    def read_reports(self, wrong):
        for node in self.nodes:
            for line in node.complaints():
                wrong.append('suspicious: ' + line)
        for name in sorted(os.listdir(self.directory)):
            if name.startswith('sanitizer.'):
                wrong.append('sanitizer:\n' + slurp(self.path(name))[:6000])


def reap_except_guard():
    """waitpid(-1) that leaves the guard to Guard.done(): it is not in our process group."""
    for p in descendants(os.getpid()):
        if p.ppid == os.getpid() and p.state == 'Z' and p.pid != guard.pid:
            return os.waitpid(p.pid, os.WNOHANG)
    return 0, 0


class Watch:
    """What the node had before: descriptors, events, its peers."""

    def __init__(self, *nodes):
        self.nodes = nodes
        self.before = [(len(descriptors(n.pid)), n.last(), n.peers()) for n in nodes]

    def done(self, seconds=3):
        for node, (count, _, peers) in zip(self.nodes, self.before):
            until(lambda: len(descriptors(node.pid)) <= count, seconds * SLOWNESS,
                  lambda: '%s: %d descriptors as before (%d)' % (
                      node.name, count, len(descriptors(node.pid))))
            check(peers <= node.peers(), '%s: peers were lost' % node.name)
            node.status()

    def events(self, name_, node=0, **fields):
        return [e for e in self.nodes[node].events(name_) if e.seq > self.before[node][1] and
                all(e.fields.get(k) == v for k, v in fields.items())]


def idle(node, seconds=2.5):
    """The share of a CPU that it takes when nothing happens."""
    began, used = time.monotonic(), cpu_seconds(node.pid)
    time.sleep(seconds)
    return (cpu_seconds(node.pid) - used) / (time.monotonic() - began)


def check_idle(*nodes):
    for node in nodes:
        share = idle(node)
        check(share < 0.02 * SLOWNESS, '%s: %.1f %% CPU when idle' % (node.name, share * 100))


guard = None
cases = []


def case(function):
    cases.append(function)
    return function


def missing():
    """Why no mount can be made here; None: it can."""
    if not os.path.exists('/dev/fuse'):
        return '/dev/fuse is missing'
    try:
        os.close(os.open('/dev/fuse', os.O_RDWR))
    except OSError as e:
        return '/dev/fuse: ' + e.strerror
    if os.geteuid() != 0 and not shutil.which('fusermount3'):
        return 'fusermount3 is missing'
    return None


def own_namespace():
    """This process in a namespace of mounts that ends with it. Why there is none; None: there is."""
    if os.geteuid() != 0:
        return 'not root'
    if libc.unshare(CLONE_NEWNS) < 0:
        return 'unshare: ' + os.strerror(ctypes.get_errno())
    if libc.mount(None, b'/', None, MS_REC | MS_PRIVATE, None) < 0:
        return 'mount: ' + os.strerror(ctypes.get_errno())
    return None


class OutOfTime(BaseException):
    pass


def run_case(function, top):
    directory = os.path.join(top, function.__name__)
    os.mkdir(directory)
    lab = Lab(directory)
    problems, skipped = [], None
    began = time.monotonic()
    try:
        function(lab)
    except Skip as e:
        skipped = str(e)
    except Failure as e:
        where = [f for f in traceback.extract_tb(e.__traceback__)
                 if f.filename != os.path.abspath(__file__)]
        problems.append('%s (line %s)' % (e, ', '.join(str(f.lineno) for f in where)))
    except OutOfTime:
        problems.append('out of time')
    except Exception:
        problems.append(traceback.format_exc())
    try:
        problems += lab.close(not problems)
    except OutOfTime:
        problems.append('out of time while cleaning up')
    took = time.monotonic() - began
    word = 'FAIL' if problems else 'skip' if skipped else 'ok'
    print('%-4s %s (%.1f s)%s' % (word, function.__name__, took,
                                  ': ' + skipped if skipped else ''), flush=True)
    for line in problems:
        print('     ' + line, flush=True)
    return word


def main(seconds=120):
    """Runs the cases, all or those named on the command line, within this time."""
    global guard
    reason = missing()
    if reason:
        print('skipped: ' + reason)
        sys.exit(SKIPPED)
    check(os.access(SMOKEFS, os.X_OK), SMOKEFS + ': not there; set SMOKEFS')
    seconds *= SLOWNESS
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    top = os.path.realpath(tempfile.mkdtemp(prefix='smokefs-'))
    guard = Guard(top, seconds + 20)

    def on_time(number, frame):
        raise OutOfTime()
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_time)
    signal.alarm(seconds)
    wanted = [c for c in cases if not sys.argv[1:] or any(w in c.__name__ for w in sys.argv[1:])]
    counts = collections.Counter()
    for function in wanted:
        counts[run_case(function, top)] += 1
    signal.alarm(0)
    guard.done()
    shutil.rmtree(top, ignore_errors=True)
    skipped = ', %d skipped' % counts['skip'] if counts['skip'] else ''
    print('%d passed, %d failed%s' % (counts['ok'], counts['FAIL'], skipped))
    sys.exit(1 if counts['FAIL'] else 0)
