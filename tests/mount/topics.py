# SPDX-License-Identifier: MIT
"""topics/<name>, messages, and -o loopback."""

import base64
import errno
import json
import os
import re
import select
import shutil
import stat
import subprocess
import time

from harness import (KIB, MIB, SLOWNESS, Watch, case, check, equal, main, opened, put, raises,
                     read_exactly, set_flags, until, write_all)

NONBLOCK, WRONLY, RDWR = os.O_NONBLOCK, os.O_WRONLY, os.O_RDWR
TOPICS_MAX = 64


def topic(node, name):
    return node.path('topics', name)


def touch(lab, path):
    lab.run(['touch', path])


def chain(lab):
    """Three nodes; the first and the last one are no neighbours."""
    a = lab.node('a', options=['--min-peers', '1', '--max-peers', '1'])
    b = lab.node('b', [a], options=['--min-peers', '1', '--max-peers', '2'])
    a.wait_peers(1)
    c = lab.node('c', [b], options=['--min-peers', '1', '--max-peers', '1'])
    for node in (a, b, c):
        node.wait_status('members', 3, 10 * SLOWNESS)
    equal((a.peers(), c.peers()), ({b.id}, {b.id}), 'neighbours')
    return a, b, c


def messages(node):
    return [json.loads(line) for line in node.read('messages').splitlines()]


def member_line(node, other):
    return [line for line in node.read('members').splitlines() if line.startswith(other.id)][0]


@case
def joined_and_left(lab):
    a, b = lab.pair()
    equal(os.listdir(a.path('topics')), [], 'topics of a node that has joined none')
    equal(a.status()['topics'], 0, 'topics')
    with raises(errno.ENOENT, what='a topic that was not joined'):
        os.open(topic(a, 'ops'), os.O_RDONLY)
    touch(lab, topic(a, 'ops'))
    touch(lab, topic(a, 'ops'))
    lab.run('echo hello >"%s"' % topic(a, 'by-redirection'))
    equal(os.listdir(a.path('topics')), ['ops', 'by-redirection'], 'topics')
    st = os.stat(topic(a, 'ops'))
    equal((stat.S_IMODE(st.st_mode), st.st_size), (0o600, 0), 'mode and size')
    equal(a.status()['topics'], 2, 'topics')
    until(lambda: member_line(b, a).endswith(' peer topics=ops,by-redirection'), 5,
          lambda: 'b learns what a has joined: %s' % member_line(b, a))
    check(member_line(a, a).endswith(' self topics=ops,by-redirection'), 'own line')
    check(member_line(a, b).endswith(' peer'), 'a line of who has joined none')
    before = os.stat(a.path('topics')).st_mtime_ns
    lab.run(['rm', topic(a, 'ops'), topic(a, 'by-redirection')])
    check(os.stat(a.path('topics')).st_mtime_ns > before, 'mtime of topics/')
    equal(os.listdir(a.path('topics')), [], 'topics')
    with raises(errno.ENOENT, what='leaving twice'):
        os.unlink(topic(a, 'ops'))
    until(lambda: member_line(b, a).endswith(' peer'), 5, 'b learns that a has left')


@case
def refused(lab):
    a = lab.node()
    for name in ('-x', '.x', 'a b', 'a,b', 'ä', 'x' * 64):
        with raises(errno.EINVAL, what='touch %s' % name):
            os.mknod(topic(a, name))
    with raises(errno.ENAMETOOLONG, what='a long name'):
        os.mknod(topic(a, 'x' * 256))
    with raises(errno.EPERM, what='mkdir'):
        os.mkdir(topic(a, 'x'))
    with raises(errno.EPERM, what='mkfifo'):
        os.mkfifo(topic(a, 'x'))
    os.mknod(topic(a, 'x'))
    with raises(errno.EEXIST, what='mknod twice'):
        os.mknod(topic(a, 'x'))
    with raises(errno.EPERM, what='rename'):
        os.rename(topic(a, 'x'), topic(a, 'y'))
    with raises(errno.EPERM, what='a file in the root'):
        os.mknod(a.path('x'))
    with raises(errno.EACCES, what='messages for writing'):
        os.open(a.path('messages'), WRONLY)
    with opened(topic(a, 'x'), RDWR) as fd:
        with raises(errno.ESPIPE, what='lseek'):
            os.lseek(fd, 0, os.SEEK_SET)
    for i in range(1, TOPICS_MAX):
        os.mknod(topic(a, str(i)))
    with raises(errno.ENOSPC, what='one topic too many'):
        os.mknod(topic(a, 'y'))
    err = lab.run(['touch', topic(a, 'y')], code=1)
    check('No space left' in err, 'touch says: ' + err)
    for name in os.listdir(a.path('topics')):
        os.unlink(topic(a, name))
    for i in range(6):
        os.mknod(topic(a, str(i) * 63))
    with raises(errno.ENOSPC, what='names that are too long in all'):
        os.mknod(topic(a, 'y' * 63))


@case
def through_an_outsider(lab):
    a, b, c = chain(lab)
    touch(lab, topic(a, 'ops'))
    touch(lab, topic(c, 'ops'))
    with lab.popen_out('ops') as ops, lab.popen_out('all') as everything:
        lab.popen(['cat', topic(c, 'ops')], stdout=ops)
        lab.popen(['cat', c.path('broadcast')], stdout=everything)
    c.wait_status('parked_reads', 2)
    with opened(b.path('broadcast'), os.O_RDONLY) as outsider:
        for i in range(50):
            put(topic(a, 'ops'), '%d\n' % i)
            put(a.path('broadcast'), 'all %d\n' % i)
        wanted = ''.join('%d\n' % i for i in range(50))
        others = ''.join('all %d\n' % i for i in range(50))
        for name, text in (('ops', wanted), ('all', others)):
            until(lambda: os.path.getsize(lab.path(name)) >= len(text), 10, name)
            with open(lab.path(name), encoding='utf-8') as f:
                equal(f.read(), text, name)
        until(lambda: b.status()['messages_received'] == 100, 5, 'b has relayed all')
        equal(read_exactly(outsider, len(others)).decode(), others, 'what the outsider was delivered')
        set_flags(outsider, on=NONBLOCK)
        with raises(errno.EAGAIN, what='more for the outsider'):
            os.read(outsider, 100)
    equal(b.status()['messages_filtered'], 50, 'filtered at the outsider')
    equal(c.status()['messages_filtered'], 0, 'filtered at who has joined')
    equal([m['data'] for m in messages(b)], others.splitlines(True), 'messages of the outsider')
    equal([(m.get('topic'), m['sequence']) for m in messages(c)],
          [(None if i % 2 else 'ops', i + 1) for i in range(100)], 'messages of who has joined')
    check(not c.events('gap'), 'gaps')
    # Large ones, whole and in packets.
    large = os.urandom(300 * KIB)
    with opened(topic(c, 'ops'), os.O_RDONLY | os.O_DIRECT) as fd:
        with opened(topic(a, 'ops'), WRONLY) as out:
            write_all(out, large)
            write_all(out, b'second')
        equal(os.read(fd, MIB), large, 'a packet')
        equal(os.read(fd, 3), b'sec', 'a packet that was cut')
        put(topic(a, 'ops'), 'third')
        equal(os.read(fd, 100), b'third', 'the packet after it')


@case
def nonblocking_and_poll(lab):
    a, b = lab.pair()
    for node in (a, b):
        touch(lab, topic(node, 'ops'))
        touch(lab, topic(node, 'other'))
    with opened(topic(b, 'ops'), RDWR | NONBLOCK) as fd:
        with raises(errno.EAGAIN, what='nothing to read'):
            os.read(fd, 10)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        put(topic(a, 'other'), 'x')
        put(a.path('broadcast'), 'y')
        until(lambda: b.status()['messages_received'] == 2, 5, 'two messages')
        equal(poll.poll(100), [], 'of what is not of the topic')
        put(topic(a, 'ops'), 'news')
        equal(poll.poll(5000), [(fd, select.POLLIN)], 'poll')
        equal(os.read(fd, 10), b'news', 'read')
        equal(poll.poll(0), [], 'poll after it')
        poll.register(fd, select.POLLOUT)
        equal(poll.poll(0), [(fd, select.POLLOUT)], 'room')
        # Nobody reads at a: in the end there is no room, and no byte was half taken.
        with opened(topic(a, 'ops'), os.O_RDONLY) as reader:
            set_flags(reader, on=NONBLOCK)
            with raises(errno.EAGAIN, what='nothing yet'):
                os.read(reader, 1)
            count = 0
            with raises(errno.EAGAIN, what='a full window'):
                while count < 1000:
                    equal(os.write(fd, b'z' * 100000), 100000, 'write')
                    count += 1
            check(count < 200, 'it took %d MB' % (count / 10))
            set_flags(reader, off=NONBLOCK)
            equal(len(read_exactly(reader, count * 100000)), count * 100000, 'what was written')


@case
def leaving_while_open(lab):
    a, b = lab.pair()
    for node in (a, b):
        touch(lab, topic(node, 'ops'))
    watch = Watch(a, b)
    waiting = lab.task(read_all, topic(b, 'ops'))
    b.wait_status('parked_reads', 1)
    with opened(topic(b, 'ops'), RDWR) as fd, opened(topic(b, 'ops')) as unread:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        put(topic(a, 'ops'), 'last words')
        equal(poll.poll(5000), [(fd, select.POLLIN)], 'poll')
        os.unlink(topic(b, 'ops'))
        check(poll.poll(5000)[0][1] & select.POLLHUP, 'POLLHUP')
        equal(os.read(fd, 100), b'last words', 'what is there')
        equal(os.read(fd, 100), b'', 'the end')
        equal(waiting.result(), b'last words', 'of a reader that waited')
        with raises(errno.EPIPE, what='write'):
            os.write(fd, b'x')
        put(topic(a, 'ops'), 'after')
        touch(lab, topic(b, 'ops'))
        with opened(topic(b, 'ops')) as again:
            put(topic(a, 'ops'), 'anew')
            equal(os.read(again, 100), b'anew', 'joined anew')
        equal(os.read(fd, 100), b'', 'the end stays')
        equal(os.read(unread, 100), b'last words', 'of a handle that had not read')
        equal(os.read(unread, 100), b'', 'its end')
    watch.done()


def read_all(path):
    with opened(path) as fd:
        data = b''
        while True:
            part = os.read(fd, 100)
            if not part:
                return data
            data += part


@case
def the_log_of_messages(lab):
    a, b = lab.pair()
    touch(lab, topic(a, 'ops'))
    touch(lab, topic(b, 'ops'))
    equal(a.read('messages'), '', 'messages before there were any')
    path = b.path('messages')
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o400, 'mode')
    tail = lab.popen(['tail', '-f', '-n', '+1', path], stdout=subprocess.PIPE)
    with lab.popen_out('tailed') as out:
        if shutil.which('jq'):
            lab.popen(['jq', '--unbuffered', '-c', '[.topic, .data, .base64]'], stdin=tail.stdout,
                      stdout=out)
        else:
            lab.popen(['python3', '-u', '-c', 'import json, sys\nfor line in sys.stdin:\n'
                       '    m = json.loads(line)\n'
                       '    print(json.dumps([m.get(k) for k in ("topic", "data", "base64")]))'],
                      stdin=tail.stdout, stdout=out)
    tail.stdout.close()
    began = time.time()
    put(a.path('broadcast'), 'zwölf € 🔥\n')
    put(topic(a, 'ops'), b'\xff\x00\xfe')
    until(lambda: len(messages(b)) == 2, 5, 'two messages')
    put(b.path('broadcast'), 'mine "quoted"')

    def tailed():
        with open(lab.path('tailed'), encoding='utf-8') as f:
            return [json.loads(line) for line in f]
    until(lambda: len(tailed()) == 3, 10, lambda: 'tail -f shows %s' % tailed())
    equal(tailed(), [[None, 'zwölf € 🔥\n', None],
                     ['ops', None, base64.b64encode(b'\xff\x00\xfe').decode()],
                     [None, 'mine "quoted"', None]], 'tail -f')
    found = messages(b)
    equal([(m['source'], m['name'], m['sequence'], m['length']) for m in found],
          [(a.id, 'a', 1, len('zwölf € 🔥\n'.encode())), (a.id, 'a', 2, 3), (b.id, 'b', 1, 13)],
          'source, name, sequence, length')
    for m in found:
        check(re.match(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$', m['time']), m['time'])
    check(time.strftime('%Y-%m-%dT%H:%M', time.gmtime(began))[:13] <= found[0]['time'][:13], 'time')
    # At offsets, as of any file.
    text = b.read('messages')
    size = os.stat(path).st_size
    equal(size, len(text.encode()), 'size')
    line = text.index('\n') + 1
    offset = len(text[:line].encode())
    equal(lab.run(['tail', '-c', '+%d' % (offset + 1), path]), text[line:], 'tail -c +N')
    equal(lab.run(['head', '-n', '1', path]), text[:line], 'head -n 1')
    equal(lab.run(['tail', '-n', '1', path]), text.splitlines(True)[-1], 'tail -n 1')
    with opened(path) as fd:
        equal(os.pread(fd, 7, offset), text.encode()[offset:offset + 7], 'pread')
        equal(os.lseek(fd, 0, os.SEEK_END), size, 'SEEK_END')
        equal(os.read(fd, 100), b'', 'its end')
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        equal(poll.poll(0), [], 'poll at the end')
        put(a.path('broadcast'), 'more')
        equal(poll.poll(5000), [(fd, select.POLLIN)], 'poll')
        equal(json.loads(os.read(fd, 1000))['data'], 'more', 'what is new')
    check(os.stat(path).st_size > size, 'it grows')
    check(os.stat(path).st_mtime >= began - 1, 'mtime')


@case
def messages_are_bounded(lab):
    a, b = lab.pair()
    text = 'x' * (200 * KIB)
    with opened(b.path('messages')) as early:
        for i in range(60):
            put(a.path('broadcast'), '%03d %s\n' % (i, text))
            if i == 10:
                until(lambda: len(messages(b)) == 11, 10, 'ten messages')
        until(lambda: b.status()['messages_received'] == 60, 10 * SLOWNESS, 'all messages')
        check(b.status()['history_bytes'] <= 4 * MIB, 'bytes: %d' % b.status()['history_bytes'])
        found = messages(b)
        numbers = [int(m['data'][:3]) for m in found]
        check(10 < len(numbers) < 21, '%d messages' % len(numbers))
        equal(numbers, list(range(60 - len(numbers), 60)), 'the latest messages')
        # Who begins at 0 is taken to the first that is kept.
        first = os.read(early, MIB)
        equal(json.loads(first[:first.index(b'\n')])['sequence'], numbers[0] + 1, 'at offset 0')
    check(os.stat(b.path('messages')).st_size > sum(m['length'] for m in found), 'offsets go on')


@case
def loopback(lab):
    a, b = lab.pair(options=['-o', 'loopback'])
    for node in (a, b):
        touch(lab, topic(node, 'ops'))
    for path, far in ((a.path('broadcast'), b.path('broadcast')), (topic(a, 'ops'), topic(b, 'ops'))):
        with opened(path, RDWR | NONBLOCK) as one, opened(path, RDWR | NONBLOCK) as two, \
                opened(far) as other:
            for fd in (one, two):
                with raises(errno.EAGAIN, what='nothing yet'):
                    os.read(fd, 10)
            for i in range(20):
                os.write(one, b'a%02d ' % i)
                os.write(two, b'b%02d ' % i)
                os.write(two, b'c%02d ' % i)

            def read(fd, count):
                data = b''
                while len(data) < count:
                    check(select.select([fd], [], [], 5)[0], 'select')
                    data += os.read(fd, 1000)
                return data.decode()
            ours = ''.join('a%02d ' % i for i in range(20))
            theirs = ''.join('b%02d c%02d ' % (i, i) for i in range(20))
            equal(read(two, len(ours)), ours, 'what the other handle wrote')
            equal(read(one, len(theirs)), theirs, 'and the other way')
            both = ''.join('a%02d b%02d c%02d ' % (i, i, i) for i in range(20))
            equal(read_exactly(other, len(both)).decode(), both, 'at the other node')
            for fd in (one, two):
                with raises(errno.EAGAIN, what='no more'):
                    os.read(fd, 10)
    # Two programs.
    reader = lab.task(lambda path: os.read(os.open(path, os.O_RDONLY), 100), a.path('broadcast'))
    a.wait_status('parked_reads', 1)
    lab.run('echo hello >"%s"' % a.path('broadcast'))
    equal(reader.result(), b'hello\n', 'cat at the node itself')


@case
def without_loopback_nothing_comes_back(lab):
    a = lab.node()
    touch(lab, topic(a, 'ops'))
    for path in (a.path('broadcast'), topic(a, 'ops')):
        with opened(path, os.O_RDONLY | NONBLOCK) as fd:
            put(path, 'x')
            with raises(errno.EAGAIN, what='what the node wrote'):
                os.read(fd, 10)
    until(lambda: len(messages(a)) == 2, 5, 'but the log has it')


@case
def forgotten_at_the_end(lab):
    a = lab.node()
    touch(lab, topic(a, 'ops'))
    put(a.path('broadcast'), 'x')
    a.stop()
    a.start()
    equal((os.listdir(a.path('topics')), a.read('messages')), ([], ''), 'after a restart')


main(170)
