# SPDX-License-Identifier: MIT
"""A reader that stops reading: what becomes of the sender, of another reader, and of that one.

    npm install smokesignal@0.2.2 nats@2                 # here, or where $NODE_PATH says
    apt-get install nodejs nats-server libnng1
    SMOKEFS=build/smokefs python3 tests/bench/overload/overload.py [NAME...]

One sends messages of 16 KiB, as fast as it is let, to two readers, of which one is stopped (SIGSTOP) before the
first message. When all is sent, or after 40 seconds, the stopped one goes on, and five seconds later is asked
what it has. Every case prints a line of the table in docs/performance.md; what is not installed is skipped.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'mount'))

from harness import MIB, Skip, case, check, free_port, main, opened, until

MEGABYTES = int(os.environ.get('OVERLOAD_MB', 256))
MESSAGE = 16 * 1024
COUNT = MEGABYTES * MIB // MESSAGE
SEND_TIME = 40
REST_TIME = 5


def most_resident(pid):
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(r'VmHWM:\s+(\d+)', f.read()).group(1)) * 1024


class Reader:
    """A program that counts bytes, and says how many when it is told to end."""

    def __init__(self, lab, command):
        self.process = lab.popen(command, stdout=subprocess.PIPE, text=True)
        check(self.process.stdout.readline() == 'ready\n', 'a reader does not begin')

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def megabytes(self):
        self.process.terminate()
        try:
            out = self.process.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            return 'hangs'
        words = out.split()
        return '%.0f' % (int(words[-1]) / MIB) if words else 'ended, %d' % self.process.returncode


def measure(name, sender, pids, healthy, stalled, stop, go_on):
    """`pids`: whose memory counts."""
    stop()
    began = time.monotonic()
    sender.stdin.write('go\n')
    sender.stdin.flush()
    done = None
    while time.monotonic() - began < SEND_TIME and sender.poll() is None and done is None:
        time.sleep(0.05)
        os.set_blocking(sender.stdout.fileno(), False)
        if b'sent' in (sender.stdout.buffer.read() or b''):
            done = time.monotonic() - began
    most = ' + '.join('%.0f' % (most_resident(pid) / MIB) for pid in pids(sender))
    go_on()
    time.sleep(REST_TIME)
    print('| %s | %s | %s | %s | %s |' % (
        name, 'in %.1f s' % done if done else 'not in %d s' % SEND_TIME, most, healthy.megabytes(),
        stalled.megabytes()), flush=True)


def start_sender(lab, command):
    return lab.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


# Programs that this one runs: `overload.py --role ...`. Each in a process of its own.

def count_until_told(read):
    total = 0

    def on_term(number, frame):
        print(total, flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, on_term)
    print('ready', flush=True)
    while True:
        total += read()


def send_when_told(write):
    sys.stdin.readline()
    data = b'x' * MESSAGE
    for _ in range(COUNT):
        write(data)
    print('sent', flush=True)
    time.sleep(600)  # until it is ended: what it holds counts


def role_file(role, path):
    if role == 'read':
        with opened(path) as fd:
            count_until_told(lambda: len(os.read(fd, MIB)))
    with opened(path, os.O_WRONLY) as fd:
        send_when_told(lambda data: os.write(fd, data))


def role_nng(role, url):
    nng = ctypes.CDLL('libnng.so.1')
    sock = ctypes.c_uint32()
    if role == 'read':
        nng.nng_sub0_open(ctypes.byref(sock))
        nng.nng_socket_set(sock, b'sub:subscribe', b'', ctypes.c_size_t(0))
        nng.nng_socket_set_ms(sock, b'recv-timeout', 100)  # signals wait for the end of a call
        check(nng.nng_dial(sock, url.encode(), None, 0) == 0, 'nng_dial')
        buffer, size = ctypes.create_string_buffer(MIB), ctypes.c_size_t()

        def read():
            size.value = MIB
            return 0 if nng.nng_recv(sock, buffer, ctypes.byref(size), 0) else size.value
        count_until_told(read)
    nng.nng_pub0_open(ctypes.byref(sock))
    check(nng.nng_listen(sock, url.encode(), None, 0) == 0, 'nng_listen')
    print('ready', flush=True)
    send_when_told(lambda data: nng.nng_send(sock, data, ctypes.c_size_t(len(data)), 0))


def role(*words):
    return [sys.executable, os.path.abspath(__file__), '--role', *words]


# The cases.

def smokefs(lab, name, stop_the_node):
    a, b, c = lab.network(3)
    sender = start_sender(lab, role('file', 'send', a.path('broadcast')))
    healthy, stalled = (Reader(lab, role('file', 'read', n.path('broadcast'))) for n in (b, c))
    for node in (b, c):
        node.wait_status('parked_reads', 1)
    until(lambda: a.status()['handles'] > 0, 5, 'the sender')

    def stop():
        c.send(signal.SIGSTOP) if stop_the_node else stalled.stop()

    def go_on():
        c.send(signal.SIGCONT) if stop_the_node else stalled.go_on()
    measure(name, sender, lambda _: [a.pid], healthy, stalled, stop, go_on)
    status = c.status()
    print('  its node has counted %.0f MiB in gaps, %.0f overrun' % tuple(
        status[key] * MESSAGE / MIB for key in ('messages_missed', 'messages_overrun')))


@case
def smokefs_reader(lab):
    smokefs(lab, 'smokefs, a program stops', False)


@case
def smokefs_node(lab):
    smokefs(lab, 'smokefs, a node stops', True)


def node_module(name):
    if not shutil.which('node'):
        raise Skip('node is not installed')
    if subprocess.run(['node', '-e', 'require(%r)' % name], cwd=HERE, check=False,
                      stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode:
        raise Skip('npm install ' + name)


def programs(lab, script, *arguments):
    def start(kind):
        return ['node', '--no-deprecation', os.path.join(HERE, script), kind,
                *map(str, arguments), str(COUNT), str(MESSAGE)]
    return start


def run_programs(lab, name, start, pids):
    sender = start_sender(lab, start('send'))
    check(sender.stdout.readline() == 'ready\n', 'the sender does not begin')
    healthy, stalled = Reader(lab, start('read1')), Reader(lab, start('read2'))
    time.sleep(3)  # what these know of each other they do not say
    measure(name, sender, pids, healthy, stalled, stalled.stop, stalled.go_on)


@case
def smokesignal(lab):
    node_module('smokesignal')
    run_programs(lab, 'smokesignal 0.2.2', programs(lab, 'smokesignal.js', free_port(), free_port(),
                                                    free_port()), lambda p: [p.pid])


@case
def nats(lab):
    node_module('nats')
    if not shutil.which('nats-server') and not os.path.exists('/usr/sbin/nats-server'):
        raise Skip('apt-get install nats-server')
    port = free_port()
    program = shutil.which('nats-server') or '/usr/sbin/nats-server'
    server = lab.popen([program, '-a', '127.0.0.1', '-p', str(port)], stderr=subprocess.DEVNULL)
    time.sleep(1)
    run_programs(lab, 'NATS, server + sender', programs(lab, 'nats.js', port),
                 lambda p: [server.pid, p.pid])


@case
def nng(lab):
    try:
        ctypes.CDLL('libnng.so.1')
    except OSError as e:
        raise Skip('apt-get install libnng1') from e
    url = 'tcp://127.0.0.1:%d' % free_port()
    run_programs(lab, 'nng, pub/sub', lambda kind: role('nng', kind.rstrip('12'), url),
                 lambda p: [p.pid])


if __name__ == '__main__':
    if sys.argv[1:2] == ['--role']:
        {'file': role_file, 'nng': role_nng}[sys.argv[2]](*sys.argv[3:])
    else:
        print('| sent %d MiB to two readers | all is sent | sender, MiB | healthy reader got, MiB '
              '| stopped one got, MiB |\n|---|---|---:|---:|---:|' % MEGABYTES)
        main(100 * 5)
