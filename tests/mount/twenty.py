# SPDX-License-Identifier: MIT
"""Twenty machines for two minutes, and what happens to networks: a trunk that is cut, a cable that
is pulled, packets that get lost, a machine that hangs, the first node dead for good.

        switch ═══════ trunk ═══════ switch          every host is a network and a mount
        ┌┬┬┬┴┬┬┬┬┐               ┌┬┬┬┴┬┬┬┬┬─┐        namespace with one node and its mount;
        n00  …  n09              n10  …  n19 (n20)   n20 comes when the seed, n00, is dead

Every node writes a numbered message twice a second, from the first to the last step, and every
node reads everything. At the end each reader must have each message of each source, in order and
once, or its node must have said `gap` of just the numbers that are missing.

Needs root, for the namespaces.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from harness import SLOWNESS, case, check, equal, main, put, slurp, until
from lan import Network, apart

HOSTS = 20
SEED, PULLED, STOPPED, OTHER = 0, 5, 7, 13
PACE = 0.5
PING_TIMEOUT = 3
CUT = 20
CREATED = 'created the key of a new network'


class Machine:
    """A host, its node, who writes there and who reads."""

    def __init__(self, lab, network, number, seeds, key_of=None):
        self.lab, self.network, self.number = lab, network, number
        self.name = 'n%02d' % number
        self.host = network.host(self.name, '10.77.0.%d/24' % (100 + number))
        if key_of:
            self.host.copy_key(key_of.host)
        self.node = self.host.node(seeds=seeds, expected=[] if key_of else [CREATED])
        self.heard_path = lab.path(self.name + '.heard')
        with lab.popen_out(self.name + '.heard') as out:
            self.reader = lab.popen(['cat', self.node.path('broadcast')], stdout=out,
                                    stderr=subprocess.DEVNULL)
        self.node.wait_status('parked_reads', 1, 10 * SLOWNESS)
        self.mark = 0

    def begin(self):
        self.writer = self.lab.task(write_on, self.node.path('broadcast'), self.name,
                                    self.lab.path('stop'))

    def note(self):
        """Events from here on are those of the next step."""
        self.mark = self.node.last()

    def events(self, name, **fields):
        return [e for e in self.node.events(name, **fields) if e.seq > self.mark]

    def lists(self, other):
        """Is the other one in `members`?"""
        return any(line.startswith(other.node.id) for line in self.node.read('members').splitlines())

    def heard(self):
        """The numbers of each source, as they came."""
        numbers = {}
        for line in slurp(self.heard_path).splitlines():
            name, number = line.split()
            numbers.setdefault(name, []).append(int(number))
        return numbers


def write_on(path, name, stop):
    """How many messages were taken, until there is a file `stop`, or the node is dead."""
    count = 0
    while not os.path.exists(stop):
        try:
            put(path, '%s %d\n' % (name, count + 1))
        except OSError:
            break
        count += 1
        time.sleep(PACE)
    return count


def every(machines, what, seconds, predicate):
    """Waits until it is true of each of the machines; says of which it is not."""
    left = list(machines)

    def done():
        left[:] = [m for m in left if not predicate(m)]
        return not left
    until(done, seconds * SLOWNESS, lambda: '%s: %s' % (what, ' '.join(m.name for m in left)))


def largest_part(machines, links):
    """Those of them that are linked without the help of others: the largest such part."""
    parts, left = [], set(links)
    while left:
        part, new = set(), {left.pop()}
        while new:
            part |= new
            new = {i for n in new for i in links[n] if i in links} - part
        left -= part
        parts.append(part)
    return [m for m in machines if m.node.id in max(parts, key=len)]


class Story:
    def __init__(self, lab):
        self.lab = lab
        self.began = time.monotonic()
        self.left, self.right = Network(lab), Network(lab, 54)
        self.left.spaces.ip('link add trunk type veth peer name trunk netns ' +
                            self.right.spaces.path('net'))
        for network in (self.left, self.right):
            network.spaces.ip('link set trunk master switch', 'link set trunk up')
        self.all = []

    def side(self, network):
        return [m for m in self.all if m.network is network]

    def step(self, name):
        print('     %5.1f s  %s' % (time.monotonic() - self.began, name), flush=True)
        for m in self.all:
            m.note()

    def members_are(self, count, seconds, of=None):
        # Without a netsplit nobody is told to announce itself anew: that comes with its lease.
        every(of or (self.all if self.told else []), '%d members' % count, seconds,
              lambda m: m.node.status()['members'] == count)

    # The steps.

    def join(self):
        self.step('twenty nodes join by the first one')
        for i in range(HOSTS):
            network = self.left if i < HOSTS // 2 else self.right
            first = self.all[0] if self.all else None
            self.all.append(Machine(self.lab, network, i, [first.node] if first else (), first))
        every(self.all, '3 peers', 20, lambda m: 3 <= len(m.node.peers()) <= 5)
        self.members_are(HOSTS, 20)
        for m in self.all:
            equal(len(m.events('connect')), 1, m.name + ': connect')
            check(len(m.events('add')) >= 3, m.name + ': add')
            equal({e.id for e in m.events('join')}, self.ids() - {m.node.id}, m.name + ': join')
        for m in self.all:
            m.begin()
        every(self.all, 'messages of all', 10, lambda m: len(m.heard()) == HOSTS - 1)

    def ids(self):
        return {m.node.id for m in self.all}

    def cut(self):
        self.step('the trunk is cut for %d s' % CUT)
        sides = [self.side(n) for n in (self.left, self.right)]
        across = {m: m.node.peers() & {o.node.id for o in sides[m in sides[0]]} for m in self.all}
        check(any(across.values()), 'no link crosses the trunk')
        peers = {m.node.id: m.node.peers() for m in self.all}
        began = time.monotonic()
        self.left.spaces.ip('link set trunk down')
        every(self.all, 'links over the trunk gone', PING_TIMEOUT + 2,
              lambda m: not across[m] & m.node.peers())
        for m in self.all:
            for other in across[m]:
                # The overlay may have been about to reorder itself.
                reasons = {e.reason for e in m.events('remove', id=other)}
                check(reasons and reasons <= {'timeout', 'surplus', 'replaced'},
                      '%s: remove: %s' % (m.name, reasons))
        check(any(m.events('remove', reason='timeout') for m in self.all), 'no timeout')
        # Who was linked to the other side is missed over there, by all who were still linked to
        # those that have seen it go.
        for m in self.all:
            # But for links that the overlay gave up at that very moment.
            peers[m.node.id] -= {e.id for e in m.events('remove') if e.reason != 'timeout'}
        for side in [largest_part(s, {m.node.id: peers[m.node.id] for m in s}) for s in sides]:
            gone = {e.id for m in side for e in m.events('remove', reason='timeout')}
            every(side, 'leave of those over there', 5,
                  lambda m: gone <= {e.id for e in m.events('leave')})
        # Each half goes on by itself. Of those whom a node could dial every other one is over there.
        every(self.all, 'a peer in the half', 10, lambda m: m.node.peers())
        before = {m: m.heard() for m in self.all}
        time.sleep(max(0, began + CUT - time.monotonic()))
        for side in sides:
            for m in side:
                heard = m.heard()
                for o in side:
                    check(o is m or len(heard[o.name]) > len(before[m][o.name]) + 5,
                          '%s hears nothing of %s in its half' % (m.name, o.name))

    def heal(self):
        """A netsplit is what finds itself so. Whoever lacks a peer at that moment may dial over the
        trunk before anybody has: then nobody has anything to say, but that some have joined."""
        self.step('and mended')
        across = [{o.node.id for o in self.side(n)} for n in (self.right, self.left)]

        def whole():
            return any(m.node.peers() & across[m.network is self.right] for m in self.all)
        self.left.spaces.ip('link set trunk up')
        until(whole, 40 * SLOWNESS, 'a link over the trunk')
        every([m for m in self.all if m.events('netsplit')], 'healed after netsplit', 70,
              lambda m: m.events('healed'))
        self.told = all(any(m.events('netsplit') for m in self.side(n))
                        for n in (self.left, self.right))
        print('               %s' % ('netsplit, healed' if self.told else
                                     'before it was a netsplit'), flush=True)
        self.members_are(HOSTS, 20)
        every(self.all, '3 peers', 10, lambda m: len(m.node.peers()) >= 3)
        self.caught_up('after the netsplit')

    def caught_up(self, what, seconds=15):
        """Everybody has what has been said by now, or has said what is missing."""
        said = self.said()
        every(self.all, what + ': all messages', seconds,
              lambda m: not self.missing(m, said))

    def said(self):
        """The highest number of each source that anybody has."""
        said = {}
        for m in self.all:
            for name, numbers in m.heard().items():
                said[name] = max(said.get(name, 0), numbers[-1])
        return said

    def missing(self, m, said):
        """What a machine has neither heard nor missed aloud."""
        heard = m.heard()
        gaps = self.gaps(m)
        lost = []
        for name, last in said.items():
            numbers = heard.get(name, [])
            if name == m.name or (m.number >= HOSTS and not numbers):
                continue
            first = numbers[0] if m.number >= HOSTS else 1
            have = set(numbers) | gaps.get(name, set())
            lost += ['%s %d' % (name, n) for n in range(first, last + 1) if n not in have]
        return lost

    def gaps(self, m):
        names = {o.node.id: o.name for o in self.all + self.dead}
        gaps = {}
        for e in m.node.events('gap'):
            numbers = range(int(e.fields['from']), int(e.fields['to']) + 1)
            gaps.setdefault(names[e.source], set()).update(numbers)
        return gaps

    dead = []
    told = True

    @staticmethod
    def leaves(machine, of):
        """Whoever had it in `members` says that it has left, and has it no more."""
        every(of, 'leave of ' + machine.name, 5,
              lambda m: m.events('leave', id=machine.node.id) and not m.lists(machine))

    def no_gaps(self):
        for m in self.all:
            equal([e.line for e in m.events('gap')], [], m.name + ': gap')

    def cable(self):
        m = self.all[PULLED]
        self.step('the cable of %s is pulled' % m.name)
        others = [o for o in self.all if o is not m]
        peers = [o for o in others if o.node.id in m.node.peers()]
        listing = [o for o in others if o.lists(m)]
        check(len(listing) > HOSTS // 2, 'hardly anybody knows ' + m.name)
        m.network.pull(m.host)
        every(peers, 'remove of ' + m.name, PING_TIMEOUT + 2,
              lambda o: o.events('remove', id=m.node.id))
        every([m], 'disconnect', PING_TIMEOUT + 2, lambda o: o.events('disconnect'))
        self.leaves(m, listing)
        self.step('and plugged in')
        m.network.plug(m.host)
        every([m], 'connect', 15, lambda o: o.events('connect'))
        every(others, 'join of ' + m.name, 15, lambda o: o.events('join', id=m.node.id))
        self.members_are(HOSTS, 15)
        self.caught_up('after the cable')
        self.no_gaps()

    def loss(self):
        how = lossy(self.all)
        if not how:
            print('     skipped: no way to drop packets here: neither netem, nor nft, nor iptables',
                  flush=True)
            return
        self.step('5 %% of all packets are lost (%s)' % how)
        time.sleep(10)
        lossless(self.all, how)
        # A segment that is lost four times in a row, which five in a million are, comes later than
        # ping_timeout: one link, seen from both ends.
        alarms = [m.name + ': ' + e.line for m in self.all for e in m.events('remove')
                  if e.reason == 'timeout']
        check(len(alarms) <= 2, 'false alarms: %s' % alarms)
        self.caught_up('after the loss')
        self.no_gaps()

    def hang(self):
        m = self.all[STOPPED]
        self.step('%s is stopped' % m.name)
        others = [o for o in self.all if o is not m]
        peers = [o for o in others if m.node.id in o.node.peers()]
        listing = [o for o in others if o.lists(m)]
        m.node.send(signal.SIGSTOP)
        every(peers, 'remove of ' + m.name, PING_TIMEOUT + 2,
              lambda o: o.events('remove', id=m.node.id))
        self.leaves(m, listing)
        m.node.send(signal.SIGCONT)
        print('               and continued', flush=True)
        every(others, 'join of ' + m.name, 15, lambda o: o.events('join', id=m.node.id))
        every([m], '3 peers', 15, lambda o: len(o.node.peers()) >= 3)
        self.members_are(HOSTS, 15)
        self.caught_up('after the stop')
        self.no_gaps()

    def loss_of_the_seed(self):
        m = self.all[SEED]
        self.step('the seed is killed, for good')
        peers = [o for o in self.all if m.node.id in o.node.peers()]
        self.all.remove(m)
        self.dead = [m]
        listing = [o for o in self.all if o.lists(m)]
        m.node.kill()
        every(peers, 'remove of the seed', 1, lambda o: o.events('remove', id=m.node.id))
        self.leaves(m, listing)
        every(self.all, '3 peers', 10, lambda o: len(o.node.peers()) >= 3)
        m.writer.result()

    def newcomer(self):
        by = next(m for m in self.all if m.number == OTHER)
        self.step('a new node joins by %s' % by.name)
        new = Machine(self.lab, self.right, HOSTS, [by.node], by)
        others = list(self.all)
        self.all.append(new)
        every(others, 'join of the new one', 10, lambda m: m.events('join', id=new.node.id))
        every([new], '3 peers', 10, lambda m: len(m.node.peers()) >= 3)
        self.members_are(HOSTS, 10)
        self.members_are(HOSTS, 10, [new])
        new.begin()
        every(others, 'messages of the new one', 10, lambda m: new.name in m.heard())
        every([new], 'messages of all', 10, lambda m: len(m.heard()) == HOSTS - 1)

    def end(self):
        self.step('everything is counted')
        self.lab.file('stop', b'')
        written = {m.name: m.writer.result(10) for m in self.all}
        written[self.dead[0].name] = self.said()[self.dead[0].name]
        every(self.all, 'all messages', 20, lambda m: not self.missing(m, written))
        self.no_gaps()
        count = 0
        for m in self.all:
            gaps = self.gaps(m)
            for name, numbers in m.heard().items():
                check(all(a < b for a, b in zip(numbers, numbers[1:])),
                      '%s: %s out of order or twice' % (m.name, name))
                check(numbers[-1] <= written[name], '%s: more than %s wrote' % (m.name, name))
                check(not gaps.get(name, set()) & set(numbers), '%s: a gap of what it has' % m.name)
                count += len(numbers)
            status = m.node.status()
            equal((status['frames_malformed'], status['signatures_bad']), (0, 0), m.name)
        lost = sum(len(s) for m in self.all for s in self.gaps(m).values())
        print('               %d messages written, %d read, %d in gaps' % (
            sum(written.values()), count, lost), flush=True)


NFT = '''table inet loss {
    chain input {
        type filter hook input priority 0;
        iif lo accept
        numgen random mod 100 < 5 drop
    }
}
'''
WAYS = {
    'netem': (['tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'netem', 'loss', '5%'], None,
              ['tc', 'qdisc', 'del', 'dev', 'eth0', 'root']),
    'nft': (['nft', '-f', '-'], NFT, ['nft', 'delete', 'table', 'inet', 'loss']),
    'iptables': (['iptables', '-A', 'INPUT', '-i', 'eth0', '-m', 'statistic', '--mode', 'random',
                  '--probability', '0.05', '-j', 'DROP'], None, ['iptables', '-F', 'INPUT']),
}


def command(machine, words, text=None):
    return subprocess.run(words, input=text, text=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, preexec_fn=machine.host.spaces.enter,
                          timeout=10, check=False).returncode == 0


def lossy(machines):
    """Which way there is, of those that this kernel and this machine have; None: there is none."""
    for way, (on, text, _) in WAYS.items():
        if shutil.which(on[0]) and command(machines[0], on, text):
            for m in machines[1:]:
                check(command(m, on, text), way + ' fails on the second machine')
            return way
    return None


def lossless(machines, way):
    for m in machines:
        check(command(m, WAYS[way][2]), way + ' cannot be turned off')


@case
def twenty(lab):
    story = Story(lab)
    for step in (story.join, story.cut, story.heal, story.cable, story.loss, story.hang,
                 story.loss_of_the_seed, story.newcomer, story.end):
        step()
    check(time.monotonic() - story.began < 180 * SLOWNESS, 'it took too long')


with apart(), contextlib.suppress(KeyboardInterrupt):
    main(180)
