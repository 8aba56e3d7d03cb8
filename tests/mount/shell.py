# SPDX-License-Identifier: MIT
"""The programs people have, on these files, as they would use them."""

import hashlib
import os
import shutil
import signal
import sys

from harness import KIB, SLOWNESS, Skip, case, check, equal, main, slurp, until


def reader(lab, node, path, command, name='out', wait=1):
    """A program that reads in the background, and is there before anything is written."""
    before = node.status()['parked_reads']
    p = lab.popen(command, stdout=lab.popen_out(name), stderr=lab.popen_out(name + '.err'))
    node.wait_status('parked_reads', before + wait)
    return p


def wait_text(lab, expected, name='out', seconds=5):
    path = lab.path(name)
    until(lambda: slurp(path) == expected, seconds * SLOWNESS,
          lambda: '%r (is %r)' % (expected[:200], slurp(path)[:300]))


def end(p, name, lab):
    check(p.poll() is None, 'a reader has ended by itself: %s' % slurp(lab.path(name + '.err')))
    p.terminate()
    p.wait(5)
    equal(slurp(lab.path(name + '.err')), '', 'stderr of the reader')


@case
def cat_and_echo(lab):
    a, b = lab.pair()
    p = reader(lab, b, 'broadcast', ['cat', b.path('broadcast')])
    lab.run('echo hello > %s' % a.path('broadcast'))
    lab.run('echo again >> %s' % a.path('broadcast'))
    lab.run("printf '%%s\\n' one two three > %s" % a.path('broadcast'))
    wait_text(lab, 'hello\nagain\none\ntwo\nthree\n')
    lab.run('for i in 1 2 3; do echo $i; done > %s' % a.path('broadcast'))
    wait_text(lab, 'hello\nagain\none\ntwo\nthree\n1\n2\n3\n')
    end(p, 'out', lab)
    # A redirection of a whole script: a descriptor that stays open.
    p = reader(lab, b, 'broadcast', ['cat', b.path('broadcast')])
    lab.run('exec 4> %s; echo a >&4; echo b >&4; exec 4>&-' % a.path('broadcast'))
    wait_text(lab, 'a\nb\n')
    end(p, 'out', lab)


@case
def while_read(lab):
    a, b = lab.pair()
    script = 'while read -r line; do echo "got $line"; done < %s'
    p = reader(lab, b, 'broadcast', script % b.path('broadcast'))
    for word in ('first', 'second', 'third'):
        lab.run('echo %s > %s' % (word, a.path('broadcast')))
    # The shell reads byte by byte: each message continues until it is used up.
    wait_text(lab, 'got first\ngot second\ngot third\n')
    end(p, 'out', lab)
    p = reader(lab, b, 'stream', script % b.stream(a), 'stream')
    lab.run("printf 'x\\ny z\\n' > %s" % a.stream(b))
    wait_text(lab, 'got x\ngot y z\n', 'stream')
    end(p, 'stream', lab)
    equal(lab.run('n=0; while read -r l; do n=$((n+1)); done < %s; echo $n' % a.path('events')),
          '%d\n' % len(a.events()), 'lines of events')


@case
def pipelines(lab):
    a, b = lab.pair()
    p = reader(lab, b, 'broadcast', 'grep --line-buffered wanted %s' % b.path('broadcast'))
    q = reader(lab, b, 'broadcast', "sed -u 's/^/> /' %s" % b.path('broadcast'), 'sed')
    t = reader(lab, b, 'broadcast', 'tee %s < %s' % (lab.path('copy'), b.path('broadcast')), 'tee')
    h = reader(lab, b, 'broadcast', 'head -n 2 %s' % b.path('broadcast'), 'head')
    d = reader(lab, b, 'broadcast', 'dd if=%s bs=1M count=1 iflag=direct status=none' %
               b.path('broadcast'), 'dd')
    for line in ('wanted 1', 'other', 'wanted 2'):
        lab.run('echo %s > %s' % (line, a.path('broadcast')))
    wait_text(lab, 'wanted 1\nwanted 2\n')
    wait_text(lab, '> wanted 1\n> other\n> wanted 2\n', 'sed')
    wait_text(lab, 'wanted 1\nother\nwanted 2\n', 'tee')
    wait_text(lab, 'wanted 1\nother\nwanted 2\n', 'copy')
    wait_text(lab, 'wanted 1\nother\n', 'head')
    wait_text(lab, 'wanted 1\n', 'dd')
    equal((h.wait(5), d.wait(5)), (0, 0), 'head and dd')
    for process, name in ((p, 'out'), (q, 'sed'), (t, 'tee')):
        end(process, name, lab)
    # tee writes one message per read, to several places.
    p = reader(lab, a, 'broadcast', ['cat', a.path('broadcast')], 'back')
    equal(lab.run('echo both | tee %s' % b.path('broadcast')), 'both\n', 'tee')
    wait_text(lab, 'both\n', 'back')
    end(p, 'back', lab)


@case
def tail_events(lab):
    a = lab.node()
    follow = lab.popen(['tail', '-n', '+1', '-f', a.path('events')],
                       stdout=lab.popen_out('f'), stderr=lab.popen_out('f.err'))
    by_name = lab.popen(['tail', '-n', '+1', '-F', a.path('events')],
                        stdout=lab.popen_out('F'), stderr=lab.popen_out('F.err'))
    until(lambda: 'listen' in slurp(lab.path('f')) and 'listen' in slurp(lab.path('F')), 3,
          'the first event')
    b = lab.node(seeds=[a])
    for name in ('f', 'F'):
        until(lambda: ' add id=' + b.id in slurp(lab.path(name)), 5, 'tail -%s: add' % name)
    b.kill()
    for name in ('f', 'F'):
        until(lambda: ' remove id=' + b.id in slurp(lab.path(name)), 5, 'tail -%s: remove' % name)
    a.wait_event('leave')
    for name in ('f', 'F'):
        until(lambda: slurp(lab.path(name)) == a.read('events'), 5, 'tail -%s: all lines' % name)
    end(follow, 'f', lab)
    end(by_name, 'F', lab)
    # What ends at the end.
    text = a.read('events')
    equal(lab.run(['cat', a.path('events')]), text, 'cat')
    equal(lab.run(['tail', '-n', '1', a.path('events')]), text.splitlines()[-1] + '\n', 'tail -n')
    equal(lab.run(['tail', '-c', '10', a.path('events')]), text[-10:], 'tail -c')
    equal(lab.run(['wc', '-c', a.path('events')]).split()[0], str(len(text)), 'wc -c')
    equal(lab.run("wc -l < %s" % a.path('events')).strip(), str(text.count('\n')), 'wc -l')
    equal(lab.run("awk '{ print $3 }' %s | head -n 1" % a.path('events')), 'listen\n', 'awk')
    equal(lab.run(['grep', '-c', ' remove ', a.path('events')]), '1\n', 'grep -c')
    equal(lab.run(['dd', 'if=' + a.path('events'), 'bs=1', 'skip=2', 'count=5', 'status=none']),
          text[2:7], 'dd with skip')


@case
def copies(lab):
    a, b = lab.pair()
    data = os.urandom(700 * KIB)
    source = lab.file('source', data)
    digest = hashlib.sha256(data).hexdigest()
    ways = ('cp {0} {1}', 'cat {0} > {1}', 'dd if={0} of={1} bs=64k status=none',
            'dd if={0} of={1} bs=64k conv=notrunc status=none', 'tee {1} < {0} > /dev/null',
            'cat < {0} | cat >> {1}')
    for way in ways:
        p = lab.popen('head -c %d %s | sha256sum' % (len(data), b.stream(a)), stdout=-1)
        lab.run(way.format(source, a.stream(b)))
        out, _ = p.communicate(timeout=20 * SLOWNESS)
        equal(out.split()[0].decode(), digest, 'sha256 after ' + way)
    # Small files are copied in spite of their size of 0.
    for name in ('id', 'version', 'status', 'ctl'):
        lab.run(['cp', a.path(name), lab.path('copy')])
        check(slurp(lab.path('copy')), 'cp %s: the copy is empty' % name)
    equal(slurp(a.path('id')), lab.run(['cat', a.path('id')]), 'cat id')
    lab.run(['cp', a.path('events'), lab.path('copy')])
    equal(slurp(lab.path('copy')), slurp(a.path('events')), 'cp events')
    lab.run(['cmp', lab.path('copy'), a.path('events')])


@case
def listings(lab):
    a, b, c = lab.network(3)
    a.wait_peers(2)
    text = lab.run(['ls', '-lR', a.mount])
    for word in ('broadcast', 'ctl', 'events', 'id', 'peers', 'status', 'version', 'stream',
                 'address', 'name', b.id, c.id):
        check(word in text, 'ls -lR: no %s' % word)
    found = lab.run(['find', a.mount]).splitlines()
    equal(len(found), len(set(found)), 'find: %s' % found)
    for path in ('broadcast', 'peers/%s/stream' % b.id, 'by-name/b', 'by-address/' + c.address):
        check(a.path(path) in found, 'find: no %s: %s' % (path, found))
    equal(lab.run(['find', a.mount, '-name', 'stream', '-type', 'f']).count('\n'), 2, 'streams')
    equal(set(lab.run(['find', a.path('peers'), '-type', 'd']).splitlines()),
          {a.path('peers')} | {a.path('peers', x.id, *rest) for x in (b, c) for rest in ((), ('pipes',))},
          'directories')
    equal(sorted(lab.run('cd %s && echo peers/*' % a.mount).split()),
          sorted('peers/' + x.id for x in (b, c)), 'a glob')
    equal(lab.run(['stat', '-c', '%a %F %s', a.path('broadcast')]), '600 regular empty file 0\n',
          'stat broadcast')
    equal(lab.run(['stat', '-c', '%a %F', a.path('peers', b.id)]), '500 directory\n', 'stat peer')
    equal(lab.run(['stat', '-c', '%a', a.path('events')]), '400\n', 'stat events')
    lab.run(['touch', a.path('broadcast'), a.path('ctl'), a.stream(b)])
    lab.run(': > %s; : >> %s' % (a.path('broadcast'), a.stream(b)))
    lab.run('truncate -s 0 %s' % a.path('broadcast'))
    lab.run(['df', a.mount])
    lab.run(['du', '-s', a.mount])
    lab.run(['grep', '-r', '127.0.0.1', a.path('peers', b.id, 'address')])
    lab.run(['test', '-w', a.path('broadcast')])
    lab.run(['test', '-r', a.path('events')])
    # A peer by the beginning of its id.
    short = a.path('peers', b.id[:8])
    equal(lab.run(['readlink', short]), b.id + '\n', 'readlink')
    equal(lab.run(['cat', short + '/name']), 'b\n', 'name')
    equal(lab.run(['cat', short + '/address']), b.address + '\n', 'address')
    equal(a.read('peers', b.id[:12], 'status'), a.read('peers', b.id, 'status'), 'status')
    keys = [line.split()[0] for line in a.read('peers', b.id, 'status').splitlines()]
    for key in 'kind direction since rtt queued credits'.split():
        check(key in keys, 'status of a peer: no ' + key)
    # st_ino is constant though every lookup makes a nodeid.
    equal(os.stat(a.path('broadcast')).st_ino, os.stat(a.path('broadcast')).st_ino, 'st_ino')
    # mtime of peers/ follows the set of peers.
    before = os.stat(a.path('peers')).st_mtime
    c.stop()
    until(lambda: os.stat(a.path('peers')).st_mtime > before, 5, 'a newer mtime of peers/')
    check(c.id not in os.listdir(a.path('peers')), 'a peer that left is listed')


@case
def ctl_by_shell(lab):
    a, b = lab.node('a'), lab.node('b')
    lab.run('echo connect %s > %s' % (b.address, a.path('ctl')))
    a.wait_peers(1)
    text = lab.run(['cat', a.path('ctl')])
    check('connect' in text and 'drop' in text, 'ctl lists its verbs: %r' % text)
    lab.run('echo drop %s > %s' % (b.id, a.path('ctl')))
    equal(os.listdir(a.path('peers')), [], 'peers')
    for shell in ('sh', 'bash'):
        if shutil.which(shell):
            err = lab.run([shell, '-c', 'echo drop %s > %s' % (b.id, a.path('ctl'))], code=1)
            check('write error: No such file or directory' in err or 'I/O error' in err,
                  '%s says: %s' % (shell, err))


def exchange(lab, program, send, receive):
    """The same in each language: read one message, one stream; write one message, one stream."""
    a, b = lab.pair()
    p = reader(lab, b, 'broadcast', receive(b.path('broadcast')), 'feed')
    q = reader(lab, b, 'stream', receive(b.stream(a)), 'bytes')
    for target in (a.path('broadcast'), a.stream(b)):
        lab.run(send(target, 'hello from ' + program))
    for process, name in ((p, 'feed'), (q, 'bytes')):
        wait_text(lab, 'hello from %s\n' % program, name)
        equal(process.wait(5), 0, program + ': exit code')
        equal(slurp(lab.path(name + '.err')), '', program + ': stderr')
    equal(lab.run(receive(a.path('id'))), a.id + '\n', program + ' reads id')
    check('listen' in lab.run(receive(a.path('events'))), program + ' reads events')


def need(program):
    path = shutil.which(program)
    if not path:
        raise Skip(program + ' is not installed')
    return path


@case
def python(lab):
    exchange(lab, 'python',
             lambda path, text: [sys.executable, '-c', '''
import sys
with open(sys.argv[1], "w") as f:
    print(sys.argv[2], file=f)
''', path, text],
             lambda path: [sys.executable, '-c', '''
import sys
with open(sys.argv[1]) as f:
    print(f.readline(), end="")
''', path])


@case
def perl(lab):
    program = need('perl')
    exchange(lab, 'perl',
             lambda path, text: [program, '-we', '''
use strict;
open(my $f, ">", $ARGV[0]) or die $!;
print $f "$ARGV[1]\\n";
close($f) or die $!;
''', path, text],
             lambda path: [program, '-we', '''
use strict;
open(my $f, "<", $ARGV[0]) or die $!;
my $line = <$f>;
print $line;
''', path])


@case
def node_js(lab):
    program = need('node')
    exchange(lab, 'node',
             lambda path, text: [program, '-e', '''
const [path, text] = process.argv.slice(1);
require("fs").writeFileSync(path, text + "\\n");
''', path, text],
             lambda path: [program, '-e', '''
const stream = require("fs").createReadStream(process.argv[1]);
let text = "";
stream.on("data", chunk => {
	text += chunk;
	const end = text.indexOf("\\n") + 1;
	if (end) {
		process.stdout.write(text.slice(0, end), () => process.exit(0));
	}
});
''', path])


@case
def node_js_appends_and_promises(lab):
    program = need('node')
    a, b = lab.pair()
    p = reader(lab, b, 'broadcast', ['cat', b.path('broadcast')])
    lab.run([program, '-e', '''
const fs = require("fs/promises");
(async () => {
	const path = process.argv[1];
	await fs.appendFile(path, "appended\\n");
	const file = await fs.open(path, "r+");
	await file.write("written\\n");
	await file.close();
	await fs.writeFile(path, Buffer.alloc(300000, "x"));
})();
''', a.path('broadcast')])
    wait_text(lab, 'appended\nwritten\n' + 'x' * 300000)
    end(p, 'out', lab)


@case
def many_open_and_close(lab):
    """Nothing is left of a thousand short visits."""
    a, b = lab.pair()
    lab.run('i=0; while [ $i -lt 300 ]; do echo $i > %s; cat %s %s > /dev/null; ls %s > /dev/null;'
            ' i=$((i+1)); done' % (a.path('broadcast'), a.path('status'), a.path('events'),
                                   a.path('peers')), 60)
    a.wait_status('handles', 0)
    until(lambda: b.status()['messages_received'] == 300, 5, 'messages')


@case
def reader_at_ctrl_z(lab):
    """^Z and fg, in the shells' own way."""
    a, b = lab.pair()
    p = reader(lab, b, 'broadcast', 'while read -r line; do echo "got $line"; done < %s' %
               b.path('broadcast'))
    p.send_signal(signal.SIGTSTP)
    p.send_signal(signal.SIGCONT)
    lab.run('echo after > %s' % a.path('broadcast'))
    wait_text(lab, 'got after\n')
    end(p, 'out', lab)


if __name__ == '__main__':
    main(100)
