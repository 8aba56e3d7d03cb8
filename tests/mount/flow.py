# SPDX-License-Identifier: MIT
"""Much of it: nothing is lost, nobody grows, and who does not keep up holds others up for seconds.

SMOKEFS_FLOW_MB and SMOKEFS_FLOW_HANDLES make it as much as one likes; what was measured is printed.
"""

import asyncio
import errno
import hashlib
import os
import resource
import select
import shutil
import signal
import subprocess
import time

from harness import (MIB, SANITIZED, SLOWNESS, Skip, case, check, equal, main, opened, put, raises,
                     read_exactly, resident, until)

MEGABYTES = int(os.environ.get('SMOKEFS_FLOW_MB', 64))
HANDLES = int(os.environ.get('SMOKEFS_FLOW_HANDLES', 1000))
# The writer makes its bytes at random and every end hashes them, on the same processors.
PATIENCE = 40 + MEGABYTES // 8
MEMORY = 64e6
MESSAGE = 32 * 1024
NUMBER = 16
COUNT = MEGABYTES * MIB // MESSAGE
# What a busy machine does to a reader without anybody being at fault.
PAUSE = 0.25 * SLOWNESS


def write_numbered(path, count):
    digest = hashlib.sha256()
    with opened(path, os.O_WRONLY) as fd:
        for i in range(count):
            data = b'%015d\n' % i + os.urandom(MESSAGE - NUMBER)
            digest.update(data)
            equal(os.write(fd, data), len(data), 'write')
    return digest.hexdigest()


class Readout:
    """What a reader got: the hash, which messages are missing, and how long it waited for more."""

    def __init__(self, count):
        self.count = count
        self.next = 0
        self.missing = set()
        self.digest = hashlib.sha256()
        self.longest = self.waited = 0.0
        self.last = None

    def take(self, data):
        now = time.monotonic()
        pause = now - (self.last or now)
        self.last = now
        self.longest = max(self.longest, pause)
        self.waited += pause if pause > PAUSE else 0
        equal(len(data) % MESSAGE, 0, 'bytes beyond whole messages')
        self.digest.update(data)
        for at in range(0, len(data), MESSAGE):
            number = int(data[at:at + NUMBER])
            check(number >= self.next, 'message %d after %d' % (number, self.next - 1))
            self.missing.update(range(self.next, number))
            self.next = number + 1

    def done(self):
        return self.next == self.count

    def result(self):
        self.digest = self.digest.hexdigest()
        return self


def read_numbered(path, count):
    readout = Readout(count)
    with opened(path) as fd:
        while not readout.done():
            readout.take(os.read(fd, MIB))
    return readout.result()


class Memory:
    """The most that each node has had resident."""

    def __init__(self, *nodes):
        self.most = dict.fromkeys(nodes, 0)

    def look(self):
        for node in self.most:
            self.most[node] = max(self.most[node], resident(node.pid))

    def watch(self, *processes):
        """Looks until all of them have ended."""
        def over():
            self.look()
            return all(p.poll() is not None for p in processes)
        until(over, PATIENCE * SLOWNESS, 'the end of all readers and writers')

    def watch_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.02)

    def check(self):
        print('     resident, MB: ' + ' '.join('%.1f' % (n / 1e6) for n in self.most.values()))
        for node, most in self.most.items():
            check(SANITIZED or most < MEMORY, '%s: %.1f MB resident' % (node.name, most / 1e6))


def undisturbed(*nodes):
    """Nothing was lost, and nobody was blamed."""
    for node in nodes:
        for name in ('gap', 'lost', 'overrun', 'slow', 'remove'):
            equal(node.events(name), [], node.name + ': events')


def start_readers(lab, nodes):
    readers = [lab.task(read_numbered, node.path('broadcast'), COUNT) for node in nodes]
    for node in nodes:
        node.wait_status('parked_reads', 1)
    return readers


def start_writer(lab, node):
    """It is in the middle of its work."""
    writer = lab.task(write_numbered, node.path('broadcast'), COUNT)
    until(lambda: node.status()['messages_published'] >= COUNT // 2, PATIENCE * SLOWNESS, 'half')
    check(writer.poll() is None, 'the writer is through before anybody was stopped')
    return writer


def has_all(readers, digest):
    for reader in readers:
        equal(reader.missing, set(), 'messages that a healthy reader misses')
        equal(reader.digest, digest, 'hash of what a healthy reader got')


def held_up(readers, patience):
    """They waited for the one that was stopped, but not for long."""
    longest, waited = max(r.longest for r in readers), max(r.waited for r in readers)
    print('     healthy readers: longest pause %.2f s, in all %.2f s' % (longest, waited))
    check(waited <= patience + 1 * SLOWNESS, 'healthy readers waited for %.2f s' % waited)


@case
def five_nodes(lab):
    nodes = lab.network(5)
    memory = Memory(*nodes)
    size = COUNT * MESSAGE
    dd = 'dd bs=%s count=%d iflag=count_bytes,fullblock status=none'
    programs = ['head -c %d' % size] + [dd % (block, size) for block in ('8K', '64K', '1M')]
    readers = [lab.popen(['sh', '-c', 'exec <"$0"; %s | sha256sum' % program,
                          node.path('broadcast')], stdout=subprocess.PIPE, text=True)
               for node, program in zip(nodes[1:], programs)]
    for node in nodes[1:]:
        node.wait_status('parked_reads', 1)
    began = time.monotonic()
    writer = lab.task(write_numbered, nodes[0].path('broadcast'), COUNT)
    memory.watch(writer, *readers)
    print('     %d MB/s' % (size / 1e6 / (time.monotonic() - began)))
    digest = writer.result()
    for reader in readers:
        equal(reader.stdout.read().split()[0], digest, 'hash of what a reader got')
    memory.check()
    undisturbed(*nodes)


def stop_a_node(lab, nodes, stopped_for, patience):
    """One of them does nothing for so long, in the middle; it gets, or counts, what it missed."""
    a, *healthy, victim = nodes
    memory = Memory(*nodes)
    *readers, late = start_readers(lab, healthy + [victim])
    writer = start_writer(lab, a)
    victim.send(signal.SIGSTOP)
    try:
        memory.watch_for(stopped_for)
    finally:
        victim.send(signal.SIGCONT)
    memory.watch(writer, late, *readers)
    digest = writer.result()
    readers = [r.result() for r in readers]
    late = late.result()
    has_all(readers, digest)
    held_up(readers, patience)
    # A source's messages are numbered from 1 on.
    gaps = {n - 1 for e in victim.events('gap') for n in range(int(e.fields['from']), int(e.to) + 1)}
    overrun = sum(int(e.messages) for e in victim.events('overrun'))
    print('     the stopped one: %d of %d messages, %d in gaps, %d overrun' % (
        COUNT - len(late.missing), COUNT, len(gaps), overrun))
    equal(len(late.missing), len(gaps) + overrun, 'missing messages')
    check(gaps <= late.missing, 'messages that are in a gap and were read')
    equal(victim.status()['messages_missed'], len(gaps), 'messages_missed')
    check(late.missing or late.digest == digest, 'another hash of all messages')
    memory.check()
    for node in healthy + [a]:
        for name in ('gap', 'lost', 'overrun'):
            equal(node.events(name), [], node.name + ': events')
        for e in node.events('slow') + node.events('remove'):
            equal(e.id, victim.id, node.name + ': who was blamed')


@case
def a_node_stops_and_is_dropped(lab):
    stop_a_node(lab, lab.network(5), 8, 3)


@case
def a_node_stops_and_stays_linked(lab):
    """Its link gives no credit and no reason, for twice stall_timeout; its neighbours keep for it,
    once the log is full, what it lacks, for stall_timeout."""
    options = ['--stall-timeout', '1000', '--ping-timeout', '60000']
    nodes = lab.network(5, options=options)
    stop_a_node(lab, nodes, 5, 2 + 1)
    check(any(n.events('slow') for n in nodes[:-1]), 'nobody has cut the stopped node loose')
    equal([e for n in nodes for e in n.events('remove')], [], 'links that have gone')


@case
def a_reader_stops(lab):
    nodes = lab.network(5, options=['--stall-timeout', '1000'])
    a, *healthy, home = nodes
    memory = Memory(*nodes)
    *readers, late = start_readers(lab, healthy + [home])
    beside = lab.task(read_numbered, home.path('broadcast'), COUNT)
    home.wait_status('parked_reads', 2)
    writer = start_writer(lab, a)
    late.kill(signal.SIGSTOP)
    memory.watch(writer, beside, *readers)
    e = home.wait_event('slow', reader=str(late.pid))
    equal(home.events('slow'), [e], 'slow')
    digest = writer.result()
    readers = [r.result() for r in readers + [beside]]
    has_all(readers, digest)
    held_up(readers, 1)
    late.kill(signal.SIGCONT)
    late = late.result(PATIENCE)
    overrun = home.events('overrun')
    check(overrun and all(e.reader == str(home.events('slow')[0].reader) for e in overrun),
          'overrun events: %s' % overrun)
    equal(len(late.missing), sum(int(e.messages) for e in overrun), 'missing messages')
    print('     the stopped one: %d of %d messages' % (COUNT - len(late.missing), COUNT))
    memory.check()
    undisturbed(a, *healthy)
    for name in ('gap', 'lost', 'remove'):
        equal(home.events(name), [], 'events of the node of the stopped reader')


# Programs that read in their own ways. All of them get everything.

def read_slowly(path, count):
    """A tenth of what the others could do, and far above min_rate."""
    readout = Readout(count)
    with opened(path) as fd:
        while not readout.done():
            readout.take(os.read(fd, 4 * MESSAGE))
            time.sleep(0.01)  # is what is tested
    return readout.result()


def read_in_a_loop(path, count):
    async def work():
        loop, readout, done = asyncio.get_running_loop(), Readout(count), asyncio.Event()
        ticks = 0

        def on_ready():
            try:
                readout.take(os.read(fd, MIB))
            except BlockingIOError:
                return
            if readout.done():
                done.set()
        with opened(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
            loop.add_reader(fd, on_ready)
            waiter = asyncio.ensure_future(done.wait())
            # The loop has other things to do, and does them.
            while not waiter.done():
                await asyncio.wait([waiter], timeout=0.02)
                ticks += 1
            loop.remove_reader(fd)
        check(ticks > 1, 'a loop that did nothing but read')
        return readout.result()
    return asyncio.run(work())


NODE = r'''
const hash = require('crypto').createHash('sha256');
const want = Number(process.argv[2]);
let got = 0;
require('fs').createReadStream(process.argv[1]).on('data', (data) => {
    hash.update(data);
    got += data.length;
    if (got >= want) {
        console.log(hash.digest('hex'), got);
        process.exit(0);
    }
});
'''


@case
def readers_of_all_kinds(lab):
    a, b = lab.pair()
    count = 16 * MIB // MESSAGE
    path = b.path('broadcast')
    readers = [lab.task(read_slowly, path, count)]
    b.wait_status('parked_reads', 1)
    readers.append(lab.task(read_in_a_loop, path, count))
    node = None
    if shutil.which('node'):
        node = lab.popen(['node', '-e', NODE, path, str(count * MESSAGE)], stdout=subprocess.PIPE,
                         text=True)
        b.wait_status('parked_reads', 2, 20)
    readers[1].sleeping()
    memory = Memory(a, b)
    writer = lab.task(write_numbered, a.path('broadcast'), count)
    memory.watch(writer, *readers, *([node] if node else []))
    digest = writer.result()
    has_all([r.result() for r in readers], digest)
    if node:
        equal(node.stdout.read().split(), [digest, str(count * MESSAGE)], 'what node.js has read')
    memory.check()
    undisturbed(a, b)


@case
def read_with_a_timeout(lab):
    """bash has no timeout for regular files, which these are to it; with cat(1) between it has."""
    a, b = lab.pair()
    script = 'exec 3< <(exec cat "$0"); while read -r seconds; do read -r -t "$seconds" -u 3 line; ' \
             'echo "$? $line"; done'
    p = lab.popen(['bash', '-c', script, b.path('broadcast')], stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
    b.wait_status('parked_reads', 1)

    def read(seconds):
        p.stdin.write('%g\n' % seconds)
        p.stdin.flush()
        check(select.select([p.stdout], [], [], 20)[0], 'read -t %g does not end' % seconds)
        return p.stdout.readline()
    equal(read(0.2), '142 \n', 'code and line of read -t when nothing comes')
    put(a.path('broadcast'), 'one two\nthree\n')
    equal(read(10), '0 one two\n', 'code and line of read -t')
    equal(read(10), '0 three\n', 'the rest of the message')
    equal(read(0.2), '142 \n', 'code and line when nothing more comes')
    equal(p.communicate(timeout=5)[0], '', 'what bash says at the end of its input')


@case
def many_handles(lab):
    """Each has begun to read, and none goes on: they cost little, and give it back."""
    a, b = lab.pair(options=['--stall-timeout', '1000'])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if HANDLES + 100 > limit[1]:
        raise Skip('%d open files are allowed' % limit[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    memory = Memory(a, b)

    def traffic():
        count = 24 * MIB // MESSAGE
        reader = lab.task(read_numbered, b.path('broadcast'), count)
        b.wait_status('parked_reads', 1)
        writer = lab.task(write_numbered, a.path('broadcast'), count)
        memory.watch(writer, reader)
        has_all([reader.result()], writer.result())
    def use(first):
        fds = [os.open(b.path('broadcast'), os.O_RDONLY | os.O_NONBLOCK) for _ in range(HANDLES)]
        for fd in fds:
            with raises(errno.EAGAIN, what='read'):
                os.read(fd, MIB)
        put(a.path('broadcast'), 'to all')
        for fd in fds:
            waiting = select.poll()
            waiting.register(fd, select.POLLIN)
            check(waiting.poll(5000), 'the message does not come')
            equal(os.read(fd, MIB), b'to all', 'the message')
        traffic()
        if first:  # of later ones the log of events has forgotten some
            equal(len(b.events('slow')), HANDLES, 'handles that were cut loose')
        for fd in fds[::2]:
            number = int(read_exactly(fd, MESSAGE)[:NUMBER])
            check(number > 0, 'a handle that was cut loose has missed nothing')
        if first:
            equal(len(b.events('overrun')), len(fds[::2]), 'overrun events')
        full = resident(b.pid)
        for fd in fds:
            os.close(fd)
        b.wait_status('handles', handles, 10)
        return full
    traffic()
    before, handles = resident(b.pid), b.status()['handles']
    full, after = [], []
    for i in range(3):
        full.append(use(i == 0))
        after.append(resident(b.pid))
    print('     %d handles: %.1f MB before; open %s; closed %s' % (
        HANDLES, before / 1e6, *(' '.join('%.1f' % (n / 1e6) for n in list)
                                 for list in (full, after))))
    memory.check()
    # What malloc(3) keeps of it is used the next time; batches come and go by the megabyte, and how
    # many there are at the end of a round is chance.
    check(SANITIZED or after[0] < before + 8e6 + 600 * HANDLES, 'not given back')
    check(SANITIZED or after[2] < after[0] + 4e6, 'a leak')


if __name__ == '__main__':
    main(120 + 6 * PATIENCE)
