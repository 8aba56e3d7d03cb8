# SPDX-License-Identifier: MIT
"""Whoever is on the wire without being a member: who listens, who knocks with the TLS of others,
who stands in between. Strangers' TLS is Python's and openssl(1)'s, not ours.

As root all of it happens in a network namespace of its own.
"""

import base64
import collections
import contextlib
import errno
import os
import random
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import time

from harness import (KIB, MIB, SANITIZED, SLOWNESS, Skip, Watch, case, check, check_idle, equal,
                     libc, main, opened, put, raises, read_exactly, resident, slurp, until, within,
                     write_all)

ALPN = 'smokefs/1'
PACKET_STATISTICS, SOL_PACKET, ETH_P_ALL, SO_RCVBUFFORCE = 6, 263, 3, 33
CLONE_NEWNET, CLONE_NEWUTS = 0x40000000, 0x04000000
HANDSHAKE, APPLICATION_DATA = 22, 23

is_apart = False  # in namespaces of our own


# Certificates and connections of strangers.

KINDS = {'ed25519': ['ed25519'], 'rsa': ['rsa:3072'],
         'ec': ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']}


def certificate(lab, kind='ed25519', name=None):
    path = lab.path((name or kind) + '.pem')
    if not shutil.which('openssl'):
        raise Skip('openssl(1) is missing')
    if not os.path.exists(path):
        lab.popen(['openssl', 'req', '-x509', '-newkey', *KINDS[kind], '-nodes', '-days', '2',
                   '-subj', '/CN=stranger', '-keyout', path + '.key', '-out', path],
                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(20)
        with open(path, 'a') as f:
            f.write(slurp(path + '.key'))
    return path


def settings(certificate=None, alpn=ALPN, server=False, highest=ssl.TLSVersion.TLSv1_3, trust=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if trust else ssl.CERT_NONE
    context.maximum_version = highest
    if server:
        context.num_tickets = 0  # a node takes offence
    if trust:
        context.load_verify_locations(cadata=trust)
    if alpn:
        context.set_alpn_protocols([alpn])
    if certificate:
        context.load_cert_chain(certificate)
    return context


class Knock:
    """One connection to a node, with TLS or without."""

    def __init__(self, node, context=None):
        self.socket = socket.create_connection(('127.0.0.1', node.port), 5)
        self.local = '127.0.0.1:%d' % self.socket.getsockname()[1]
        if context:
            # In TLS 1.3 a client is done before the server has judged it.
            with contextlib.suppress(OSError):
                self.socket = context.wrap_socket(self.socket)

    def say(self, data):
        with contextlib.suppress(OSError):
            self.socket.sendall(data)
        return self

    def ended(self, seconds=5):
        """Waits for the node to close or to say goodbye; what it said."""
        said = b''
        try:
            self.socket.settimeout(seconds * SLOWNESS)
            while said[4:5] != b'\3' and (part := self.socket.recv(65536)):
                said += part
        except TimeoutError:
            check(False, 'the connection from %s stays' % self.local)
        except OSError:
            pass
        self.socket.close()
        return said

    def close(self):
        self.socket.close()
        return self


def hears(target, source):
    with opened(target.path('broadcast')) as fd:
        put(source.path('broadcast'), 'still here')
        check(select.select([fd], [], [], 5)[0], 'no message came')
        equal(os.read(fd, 100), b'still here', 'the message')


class Door:
    """Outside of a node: every attempt must leave one event, and everything as it was."""

    def __init__(self, lab):
        self.a, self.b = lab.pair()
        self.watch = Watch(self.a, self.b)
        self.attempts = {}  # by the stranger's address: what it was, and the reasons allowed

    def attempt(self, what, knock, *reasons):
        self.attempts[knock.local] = (what, reasons)
        return knock

    def check(self, seconds=5):
        def refused():
            return collections.Counter(e.addr for e in self.watch.events('refused'))
        until(lambda: set(self.attempts) <= set(refused()), seconds * SLOWNESS,
              lambda: 'an event for %s' % [self.attempts[x][0] for x in set(self.attempts) - set(
                  refused())])
        self.watch.done()
        for e in self.watch.events('refused'):
            check(e.addr in self.attempts, 'an event for nobody: ' + e.line)
            what, reasons = self.attempts[e.addr]
            check(e.reason in reasons, '%s: %s' % (what, e.line))
            equal(e.dir, 'in', what + ': dir')
        equal(dict(refused()), {addr: 1 for addr in self.attempts}, 'events')
        for name in ('add', 'remove', 'join', 'leave', 'netsplit', 'gap', 'lost'):
            equal(self.watch.events(name) + self.watch.events(name, node=1), [], name)
        equal((self.a.peers(), self.b.peers()), ({self.b.id}, {self.a.id}), 'peers')
        equal(self.a.status()['members'], 2, 'members')
        hears(self.a, self.b)
        hears(self.b, self.a)


# What they are told apart by is in docs/protocol.md: 4 bytes of length, type 3, a reason, contacts.
def goodbye(reason, contacts=b'\0'):
    return struct.pack('>IBB', 2 + len(contacts), 3, reason) + contacts


CONTACT = b'\1' + bytes(range(16)) + b'\4\x7f\0\0\1\0\x09'


@case
def strangers(lab):
    """No TLS, other TLS, TLS of the right kind by somebody who is no member."""
    door = Door(lab)
    a = door.a
    right = settings(certificate(lab))
    # These sit there until their time is over; meanwhile come the others.
    silent = [
        door.attempt('silence', Knock(a), 'timeout'),
        door.attempt('one byte', Knock(a).say(b'\x16'), 'timeout'),
        door.attempt('half of a hello', Knock(a).say(b'\x16\x03\x01\x02\0\x01\0\x01\xfc'),
                     'timeout'),
        door.attempt('TLS and silence', Knock(a, right), 'timeout'),
        door.attempt('TLS and half of a frame', Knock(a, right).say(b'\0\0\0\x2a\x11'), 'timeout'),
    ]
    hears(door.b, a)
    for what, data in (('HTTP', b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'), ('zeros', bytes(3000)),
                       ('random bytes', b'\x99' + os.urandom(5000)), ('a newline', b'\n')):
        door.attempt(what, Knock(a).say(data), 'tls').ended()
    door.attempt('early close', Knock(a).close(), 'connection-lost')
    door.attempt('close after a byte', Knock(a).say(b'\x16').close(), 'connection-lost')
    for what, context in (
            ('no certificate', settings()),
            ('RSA', settings(certificate(lab, 'rsa'))),
            ('EC', settings(certificate(lab, 'ec'))),
            ('TLS 1.2', settings(certificate(lab), highest=ssl.TLSVersion.TLSv1_2)),
            ('another protocol', settings(certificate(lab), alpn='h2')),
            ('no protocol', settings(certificate(lab), alpn=None))):
        said = door.attempt(what, Knock(a, context).say(bytes(100)), 'tls').ended()
        equal(said, b'', what + ': what the node says')
    for what, data, reasons in (
            ('random frames', b'\xfe' + os.urandom(2000), ['protocol-error']),
            ('HTTP in TLS', b'GET / HTTP/1.1\r\n\r\n', ['protocol-error']),
            ('a made-up proof', struct.pack('>IB', 41, 17) + os.urandom(40), ['network-key']),
            ('a cut GOODBYE', goodbye(1)[:-1] + b'\5', ['protocol-error']),
            ('GOODBYE shutdown', goodbye(1), ['shutdown']),
            ('GOODBYE full with a contact', goodbye(4, CONTACT), ['full']),
            ('GOODBYE duplicate-id', goodbye(11), ['duplicate-id']),
            ('GOODBYE network-key', goodbye(18), ['network-key']),
            ('GOODBYE unknown', goodbye(200), ['unknown'])):
        said = door.attempt(what, Knock(a, right).say(data), *reasons).ended()
        check(len(said) <= 7, '%s: the node says %r' % (what, said))
    door.attempt('TLS and a close', Knock(a, right).close(), 'connection-lost', 'tls')
    for knock in silent:
        equal(knock.ended(12), b'', 'what the node says to the silent')
    door.check()


@case
def thousand(lab):
    """Many of them, one after the other: nothing grows, nobody is hindered, and no CPU is used."""
    door = Door(lab)
    a, b = door.a, door.b
    none, right = settings(), settings(certificate(lab))
    reader = lab.task(messages, b.path('broadcast'), 10)
    b.wait_status('parked_reads', 1)
    memory = None
    with within(40 * SLOWNESS, '1,000 strangers'):
        for i in range(1000):
            what = i % 4
            knock = Knock(a, (None, None, none, right)[what])
            if what == 0:
                knock.close()
            else:
                knock.say(os.urandom(200) if what == 1 else b'\xfe' * 200).ended()
            door.attempts[knock.local] = ('number %d' % i, ('tls', 'protocol-error',
                                                          'connection-lost', 'busy'))
            if i % 100 == 50:
                put(a.path('broadcast'), '%d\n' % i)
            if i == 99:
                memory = resident(a.pid)
    equal(reader.result(5), ''.join('%d\n' % i for i in range(50, 1000, 100)),
          'messages meanwhile')
    until(lambda: len(door.watch.events('refused')) == 1000, 5 * SLOWNESS, '1,000 events')
    events = door.watch.events('refused')
    counts = collections.Counter(e.addr for e in events)
    # The kernel gives a port a second time now and then.
    equal(set(counts), set(door.attempts), 'addresses')
    door.watch.done()
    equal((a.peers(), b.peers()), ({b.id}, {a.id}), 'peers')
    grown = resident(a.pid) - memory
    # A sanitizer keeps what is freed.
    check(SANITIZED or grown < 2 * MIB, 'the node has grown by %d KiB' % (grown // KIB))
    check_idle(a, b)


def messages(path, count):
    text = ''
    with opened(path) as fd:
        while text.count('\n') < count:
            text += os.read(fd, 4096).decode()
    return text


# Those in between.

class Relay:
    """Listens, and passes on what it hears to a node; with TLS of its own on both sides, or as it
    comes. All of it is written to files."""

    def __init__(self, lab, node, server=None, client=None):
        self.server, self.client, self.target = server, client, node.port
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.listener.getsockname()[1]
        self.to, self.back = (lab.file('relay.%s.%s' % (x, self.address), b'') for x in 'ab')
        self.task = lab.task(self.work)

    def heard(self):
        with open(self.to, 'rb') as to, open(self.back, 'rb') as back:
            return to.read(), back.read()

    def work(self):
        while True:
            x, _ = self.listener.accept()
            with contextlib.suppress(OSError), socket.create_connection(
                    ('127.0.0.1', self.target)) as y, x:
                if self.server:
                    x = self.server.wrap_socket(x, server_side=True)
                    y = self.client.wrap_socket(y)
                self.relay(x, y)
            x.close()
            y.close()

    def relay(self, x, y):
        ways = {x: (y, self.to), y: (x, self.back)}
        while True:
            ready = [s for s in ways if getattr(s, 'pending', lambda: 0)()]
            for s in ready or select.select(list(ways), [], [])[0]:
                other, path = ways[s]
                part = s.recv(65536)
                if not part:
                    return
                with open(path, 'ab') as f:
                    f.write(part)
                other.sendall(part)

    def end(self):
        self.task.kill()
        self.task.reap()
        self.listener.close()


def certificate_of(node):
    """As a node shows it to everybody, DER."""
    with socket.create_connection(('127.0.0.1', node.port), 5) as s, settings().wrap_socket(s) as t:
        return t.getpeercert(True)


@case
def man_in_the_middle(lab):
    """With TLS of his own on both sides he is found out, by both."""
    a, b = lab.pair()
    c = lab.node()
    trust = certificate_of(c)
    c.wait_event('refused')
    for what, keys in (('asks for a certificate', {'trust': trust}), ('asks for none', {})):
        relay = Relay(lab, a, settings(certificate(lab), server=True, **keys),
                      settings(certificate(lab)))
        watch = Watch(a, c)
        with raises(errno.EACCES, what='connect through him who ' + what):
            c.ctl('connect %s\n' % relay.address)
        until(lambda: watch.events('refused'), 5 * SLOWNESS, 'an event at the acceptor')
        watch.done()
        out, = watch.events('refused', node=1)
        equal((out.addr, out.dir), (relay.address, 'out'), out.line)
        in_, = watch.events('refused')
        equal((in_.addr.partition(':')[0], in_.dir), ('127.0.0.1', 'in'), in_.line)
        if keys:
            # He has come as far as he can: the proof was said to him, and is worth nothing.
            equal((out.reason, in_.reason), ('network-key', 'network-key'), 'reasons')
            to, back = relay.heard()
            equal((len(to), to[4]), (45, 17), 'what the dialler has said')
            equal(back, goodbye(18), 'what the acceptor has said')
        equal((a.peers(), c.peers()), ({b.id}, set()), 'peers')
        relay.end()
    hears(a, b)


@case
def relay_and_replay(lab):
    """One who passes on what he cannot read is welcome, and what he has heard opens nothing."""
    door = Door(lab)
    a = door.a
    c = lab.node('clandestine')
    relay = Relay(lab, a)
    c.ctl('connect %s\n' % relay.address)
    until(lambda: c.id in a.peers() and a.id in c.peers(), 5, 'a link through a relay')
    hello_and_proof, answer = relay.heard()
    text = 'unreadable text %s\n' % os.urandom(8).hex()
    with opened(a.path('broadcast')) as fd:
        put(c.path('broadcast'), text)
        check(select.select([fd], [], [], 5)[0], 'no message came')
        equal(os.read(fd, 100).decode(), text, 'the message')
    with opened(a.stream(c), os.O_WRONLY) as w, opened(c.stream(a)) as r:
        write_all(w, text.encode() * 1000)
        equal(read_exactly(r, 1000 * len(text)), text.encode() * 1000, 'the stream')
    to, back = relay.heard()
    check(len(back) > 1000 * len(text), 'the stream took another way')
    for secret in secrets_of(a, c) + [text.strip().encode()]:
        check(secret not in to + back, '%r can be read' % secret)
    c.stop()
    relay.end()
    until(lambda: a.peers() == {door.b.id}, 5, 'the end of the link')
    until(lambda: door.b.peers() == {a.id}, 5, 'the end of the link')
    # The same bytes once more: of the dialler to the acceptor, and the other way round.
    check(hello_and_proof[:1] == b'\x16' and answer[:1] == b'\x16', 'a recording')
    door.watch = Watch(a, door.b)
    for what, data in (('a replay', hello_and_proof), ('a replay of all', to),
                       ('the ClientHello alone', record(hello_and_proof)),
                       ('the other side', back)):
        knock = door.attempt(what, Knock(a).say(data), 'tls', 'connection-lost')
        if what == 'the ClientHello alone':
            knock.socket.recv(1)  # a ServerHello
            knock.close()
        else:
            knock.ended()
    door.check()


def record(data):
    return data[:5 + struct.unpack('>H', data[3:5])[0]]


def secrets_of(*nodes):
    """What nobody on the wire is to read, as bytes."""
    key = slurp(nodes[0].key).split()[-1]
    found = [bytes.fromhex(key), key.encode()]
    for node in nodes:
        secret = slurp(node.state + '/node.key').strip()
        found += [node.id.encode(), base64.b32decode(node.id.upper() + '======'),
                  bytes.fromhex(secret), secret.encode(), node.mount.encode()]
        if len(node.name) > 3:  # a letter is anywhere
            found.append(node.name.encode())
    return found


# Those who listen.

class Capture:
    """Everything on the loopback interface of this namespace."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 * MIB)
        self.socket.bind(('lo', 0))
        self.socket.setblocking(False)
        self.packets = []

    def take(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.packets.append(self.socket.recv(256 * KIB))

    def dropped(self):
        return struct.unpack('II', self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def flows(self):
        """Of every direction of every connection, by its ports: the bytes."""
        segments, starts = collections.defaultdict(dict), {}
        for packet in self.packets:
            ip = packet[14:]
            check(packet[12:14] == b'\x08\0' and ip[0] >> 4 == 4 and ip[9] == 6,
                  'not TCP over IPv4: %r' % packet[:60])
            tcp = ip[(ip[0] & 15) * 4:struct.unpack('>H', ip[2:4])[0] or len(ip)]
            source, target, number = struct.unpack('>HHI', tcp[:8])
            # A port may be used again: a connection is known by its SYN.
            if tcp[13] & 2:
                starts[source, target] = (number + 1) % 2 ** 32
            data = tcp[(tcp[12] >> 4) * 4:]
            if not data:
                continue
            check((source, target) in starts, 'a connection from before the capture')
            start = starts[source, target]
            at = (number - start) % 2 ** 32
            old = segments[source, target, start].get(at, b'')
            segments[source, target, start][at] = max(old, data, key=len)
        return {key: self.join(parts) for key, parts in segments.items()}

    @staticmethod
    def join(parts):
        whole = b''
        for at, data in sorted(parts.items()):
            if at > 2 ** 31:
                continue  # a probe of a keepalive, before the first byte
            check(at <= len(whole), 'a hole in the capture')
            whole += data[len(whole) - at:]
        return whole


def records(data):
    """(type, first byte) of the TLS records of a flow; the last one may be cut."""
    at = 0
    while at + 5 < len(data):
        kind, version, length = struct.unpack('>BHH', data[at:at + 5])
        check(version in (0x301, 0x303) and 0 < length <= 16 * KIB + 256,
              'no TLS record: %r' % data[at:at + 40])
        yield kind, data[at + 5]
        at += 5 + length


def without_name(node):
    """It takes the host's."""
    command = node.command

    def stripped():
        words = command()
        at = words.index('--name')
        return words[:at] + words[at + 2:]
    node.command = stripped
    return node


@case
def capture(lab):
    """Of a whole session nothing can be read."""
    if not is_apart:
        raise Skip('needs root, for a network namespace and a packet socket')
    marks = ['marked-%s-%s' % (x, os.urandom(6).hex()) for x in ('broadcast', 'stream', 'host')]
    socket.sethostname(marks[2])
    wire = Capture()
    # That it sees what can be seen.
    control = 'marked-control-%s' % os.urandom(6).hex()
    with socket.create_server(('127.0.0.1', 0)) as s:
        control_port = s.getsockname()[1]
        with socket.create_connection(('127.0.0.1', control_port)) as x:
            x.sendall(control.encode())
            y, _ = s.accept()
            equal(y.recv(100), control.encode(), 'control')
            y.close()
    a = lab.node('marked-name-of-a')
    b = lab.node('marked-name-of-b', seeds=[a])
    a.wait_peers(1)
    b.wait_peers(1)
    c = without_name(lab.node('c', seeds=[a], start=False)).start()
    equal(c.status()['name'], marks[2], 'the name of the host')
    for node in (a, b, c):
        node.wait_peers(2)
        node.wait_status('members', 3)
    for source, target in ((a, b), (b, c), (c, a)):
        with opened(target.path('broadcast')) as fd:
            put(source.path('broadcast'), marks[0] * 20 + '\n')
            check(select.select([fd], [], [], 5)[0], 'no message came')
            equal(os.read(fd, 4096).decode(), marks[0] * 20 + '\n', 'the message')
        with opened(source.stream(target), os.O_WRONLY) as w, opened(target.stream(source)) as r:
            data = (marks[1] * 4000).encode()
            task = lab.task(write_all, w, data)
            equal(read_exactly(r, len(data)), data, 'the stream')
            task.result()
        wire.take()
    # The other way round, a command that fails, one who is shut out.
    a.ctl('drop %s\n' % b.id)
    until(lambda: b.id not in a.peers() and a.id not in b.peers(), 5, 'apart')
    a.ctl('connect %s\n' % b.address)
    until(lambda: b.id in a.peers() and a.id in b.peers(), 5, 'a link')
    b.ctl('deny %s\n' % c.id)
    until(lambda: c.id not in b.peers(), 5, 'apart')
    hidden = secrets_of(a, b, c) + [m.encode() for m in marks]
    ports = {n.port for n in (a, b, c)}
    dialled = (a.port, b.port)
    for node in (c, b, a):
        node.stop()
    wire.take()
    equal(wire.dropped(), 0, 'packets dropped')
    flows = wire.flows()
    check(any(control.encode() in data for data in flows.values()), 'the capture does not see')
    hellos = collections.Counter()
    for (source, target, _), data in flows.items():
        if control_port in (source, target):
            continue
        check(source in ports or target in ports, 'a flow between %d and %d' % (source, target))
        kinds = list(records(data))
        equal(kinds[0], (HANDSHAKE, 1 if target in ports else 2), 'the first record')
        equal({kind for kind, _ in kinds[1:]} - {APPLICATION_DATA}, set(), 'later records')
        hellos[target] += kinds[0] == (HANDSHAKE, 1)
        for secret in hidden:
            check(secret not in data, '%r is on the wire' % secret)
    check(all(hellos[port] for port in dialled), 'ClientHellos: %s' % hellos)
    for packet in wire.packets:
        for secret in hidden:
            check(secret not in packet, '%r is in a packet' % secret)
    total = sum(len(data) for data in flows.values())
    check(total > 3 * len(marks[1]) * 4000, 'only %d bytes' % total)


@case
def what_openssl_sees(lab):
    a, b = lab.pair()
    pem = certificate(lab)
    watch = Watch(a)
    command = ['openssl', 's_client', '-connect', a.address, '-alpn', ALPN, '-cert', pem, '-key',
               pem, '-ign_eof', '-showcerts']

    def s_client(*options):
        p = subprocess.run(command + list(options), input=bytes(64), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=20, check=False)
        return p.stdout.decode(errors='replace')
    said = s_client()
    for pattern in (r'New, TLSv1\.3, Cipher is TLS_(AES|CHACHA20)_',
                    r'(Server|Peer) Temp Key: X25519', r'Peer signature type: (Ed25519|ed25519)',
                    r'ALPN protocol: smokefs/1', r'No client certificate CA names sent',
                    r'Server public key is 25[36] bit'):
        check(re.search(pattern, said), '%s is not in: %s' % (pattern, said))
    check('Session Ticket' not in said and 'Reused' not in said, 'a ticket: ' + said)
    equal(said.count('BEGIN CERTIFICATE'), 1, 'certificates')
    equal(s_names(said), ['', ''], 'names in the certificate')
    until(lambda: len(watch.events('refused')) == 1, 5, 'the event')
    # What is not offered.
    for options in (['-tls1_2'], ['-tls1_1'], ['-groups', 'P-256'], ['-groups', 'X448'],
                    ['-ciphersuites', 'TLS_AES_128_CCM_SHA256'], ['-sigalgs', 'RSA-PSS+SHA256'],
                    ['-alpn', 'http/1.1']):
        said = s_client(*options)
        check('Cipher is (NONE)' in said, '%s: %s' % (options, said))
    watch.done()
    refused = watch.events('refused')
    # What is left out by this build of openssl(1) has not come as far as the node.
    check(5 <= len(refused) <= 8, [e.line for e in refused])
    equal({e.reason for e in refused[1:]} - {'connection-lost'}, {'tls'}, 'reasons')
    hears(a, b)


def s_names(said):
    return [m.strip() for m in re.findall(r'^(?:subject|issuer)=(.*)$', said, re.M)]


def move_out():
    """A network namespace with nothing but loopback, and a host name of its own."""
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET | CLONE_NEWUTS) < 0:
        return False
    with socket.socket() as s:
        # SIOCSIFFLAGS of struct ifreq: IFF_UP
        import fcntl
        fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 1))
    return True


if __name__ == '__main__':
    is_apart = move_out()
    main(120)
