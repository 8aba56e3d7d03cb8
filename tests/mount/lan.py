# SPDX-License-Identifier: MIT
"""A local network of hosts: namespaces that nobody outside sees, and that end with the processes in
them.

A host is a network and a mount namespace: an interface eth0 whose cable ends in a switch, and an
/etc and a /var/lib of its own, so that every node has the default key file and state directory.
The switch is a bridge in a namespace of its own.
"""

import contextlib
import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

from harness import SKIPPED, SMOKEFS, Node, equal, libc, slurp, until

PORT = 8495
# What programs look for in /etc, beside what is under test.
ETC_FILES = ('passwd', 'group', 'nsswitch.conf', 'ld.so.cache', 'fuse.conf')

NAMESPACES = {'net': 0x40000000, 'mnt': 0x00020000}  # CLONE_NEWNET, CLONE_NEWNS
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x4000, 0x40000, 0x100000
MNT_DETACH = 2

home = {}


def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, '%s: %s' % (name, os.strerror(number)))


def mount(source, target, flags):
    call('mount', source and source.encode(), target.encode(), None, flags, None)


class Spaces:
    """New namespaces, which last as long as this object; `with` is to be inside for a while."""

    def __init__(self, *names):
        call('unshare', sum(NAMESPACES[n] for n in names))
        self.files = {n: open('/proc/self/ns/' + n) for n in names}
        self.leave()

    def enter(self):
        for file in self.files.values():
            call('setns', file.fileno(), 0)

    def leave(self):
        for name in self.files:
            call('setns', home[name].fileno(), 0)

    def __enter__(self):
        self.enter()

    def __exit__(self, *_):
        self.leave()

    def path(self, name):
        return '/proc/%d/fd/%d' % (os.getpid(), self.files[name].fileno())

    def ip(self, *lines):
        p = subprocess.run(['ip', '-batch', '-'], input='\n'.join(lines) + '\n', text=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           preexec_fn=self.enter, timeout=10, check=False)
        equal((p.returncode, p.stderr), (0, ''), 'ip %s' % (lines,))


class Network:
    """A switch. It has an address, 10.77.0.53, for whoever is to be a host without a node."""

    def __init__(self, lab, number=53):
        self.lab = lab
        self.spaces = Spaces('net')
        # Without a hardware address of its own it takes that of a port, and another one later.
        self.spaces.ip('link set lo up',
                       'link add switch address 02:00:00:00:00:%02d type bridge' % number,
                       'link set switch up', 'addr add 10.77.0.%d/24 dev switch' % number)

    def host(self, name, *addresses):
        return Host(self, name, addresses)

    def pull(self, *hosts):
        """Takes the cables out of the switch."""
        self.spaces.ip(*['link set %s-eth0 down' % h.name for h in hosts])

    def plug(self, *hosts):
        self.spaces.ip(*['link set %s-eth0 up' % h.name for h in hosts])


class Host:
    def __init__(self, network, name, addresses):
        self.network, self.lab, self.name = network, network.lab, name
        self.spaces = Spaces('net', 'mnt')
        self.etc, self.var = (self.lab.path(name, n) for n in ('etc', 'var'))
        self.key = self.etc + '/smokefs/network.key'
        os.makedirs(self.etc)
        os.makedirs(self.var)
        for file in ETC_FILES:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy('/etc/' + file, self.etc)
        with self.spaces:
            for source, target in ((self.etc, '/etc'), (self.var, '/var/lib')):
                mount(source, target, MS_BIND)
                mount(None, target, MS_PRIVATE)
        self.spaces.ip('link set lo up')
        if addresses:
            self.cable('eth0', *addresses)

    def cable(self, interface, *addresses):
        end = '%s-%s' % (self.name, interface)
        self.network.spaces.ip(
            'link add %s type veth peer name %s netns %s' % (
                end, interface, self.spaces.path('net')),
            'link set %s master switch' % end, 'link set %s up' % end)
        self.spaces.ip(*['addr add %s dev %s%s' % (a, interface, ' nodad' if ':' in a else '')
                         for a in addresses], 'link set %s up' % interface)

    def copy_key(self, origin):
        """What is to be done at a new machine, and all that is."""
        os.mkdir(os.path.dirname(self.key), 0o700)
        shutil.copy(origin.key, self.key)

    def ask(self, resolv_conf='nameserver 10.77.0.53\n'):
        self.lab.file(os.path.join(self.name, 'etc', 'resolv.conf'), resolv_conf.encode())

    def node(self, name=None, seeds=(), start=True, expected=(), **keys):
        node = Resident(self, name or self.name, seeds, **keys)
        node.expected += expected
        self.lab.nodes.append(node)
        return node.start() if start else node

    def smokefs(self, *arguments):
        os.makedirs(self.lab.path('m'), exist_ok=True)
        p = subprocess.run([SMOKEFS, *arguments, self.lab.path('m')], stdin=subprocess.DEVNULL,
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20,
                           env=self.lab.environment, preexec_fn=self.spaces.enter, check=False)
        return p.returncode, p.stdout + p.stderr


class Resident(Node):
    """A node of a host: port, address, key and state are the defaults."""

    def __init__(self, host, name, seeds, **keys):
        path = host.lab.path(name + '.net')
        place = re.sub('[^A-Za-z0-9._/]', lambda m: '%%%02X' % ord(m.group()), path)
        super().__init__(host.lab, name, seeds, port=PORT, mount=path, state=os.path.join(
            host.var, 'smokefs', place.strip('/').replace('/', '-')), **keys)
        self.host = host
        self.enter = host.spaces.enter

    def command(self):
        seeds = [s.address if isinstance(s, Node) else s for s in self.seeds] or ['none']
        return [SMOKEFS, '--name', self.name, '--log', self.log, '--log-level', 'trace',
                *self.discovery, *self.options, ','.join(seeds), self.mount]

    def start(self):
        super().start()
        self.address = self.status()['address']
        return self


class Names:
    """A DNS server at 10.77.0.53. What it is asked and what it answers are files."""

    def __init__(self, network):
        lab = network.lab
        self.zone, self.asked = lab.file('zone', b''), lab.file('asked', b'')
        with network.spaces:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('10.77.0.53', 53))
        lab.task(self.serve)

    def set(self, *records):
        """'NAME ADDRESS' each; a name without one is there all the same. 'silence': no answers."""
        with open(self.zone + '.new', 'w') as f:
            f.write('\n'.join(records))
        os.rename(self.zone + '.new', self.zone)

    def wait_asked(self, name, after=0):
        until(lambda: slurp(self.asked).split().count(name) > after, 15, 'a question for ' + name)

    def count_asked(self, name):
        return slurp(self.asked).split().count(name)

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            answer = self.answer(query)
            if answer:
                self.socket.sendto(answer, client)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind, = struct.unpack('>H', query[at + 1:at + 3])
        name = '.'.join(labels).lower()
        with open(self.asked, 'a') as f:
            f.write(name + '\n')
        records = [line.split() for line in slurp(self.zone).splitlines()]
        if ['silence'] in records:
            return None
        known = any(r[0] == name for r in records)
        family, wanted = {1: (socket.AF_INET, '.'), 28: (socket.AF_INET6, ':')}.get(kind, (0, '?'))
        data = [socket.inet_pton(family, r[1]) for r in records
                if r[0] == name and len(r) > 1 and wanted in r[1]]
        # An answer with authority; 3 is NXDOMAIN. Names of records point at the question's.
        return query[:2] + struct.pack('>HHHHH', 0x8580 | (0 if known else 3), 1, len(data), 0, 0) \
            + query[12:at + 5] + b''.join(
                struct.pack('>HHHIH', 0xc00c, kind, 1, 0, len(d)) + d for d in data)


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(SKIPPED)


@contextlib.contextmanager
def apart():
    """Namespaces for this script: what is mounted in its directory is seen by all of its hosts."""
    if os.geteuid() != 0:
        skip('needs root, to make network namespaces')
    if not shutil.which('ip'):
        skip('ip(8) is missing: apt-get install iproute2')
    try:
        call('unshare', NAMESPACES['net'] | NAMESPACES['mnt'])
        mount(None, '/', MS_REC | MS_PRIVATE)
        directory = os.path.realpath(tempfile.mkdtemp(prefix='smokefs-hosts-'))
        mount(directory, directory, MS_BIND)
        mount(None, directory, MS_SHARED)
    except OSError as e:
        skip('no namespaces can be made: %s' % e)
    for name in NAMESPACES:
        home[name] = open('/proc/self/ns/' + name)
    tempfile.tempdir = directory
    try:
        yield
    finally:
        libc.umount2(directory.encode(), MNT_DETACH)
        os.rmdir(directory)
