# SPDX-License-Identifier: MIT
"""Who is there: members, and the links to peers in by-name/ and by-address/."""

import calendar
import errno
import os
import re
import stat
import time

from harness import SLOWNESS, case, check, equal, main, opened, put, raises, slurp, until


def names(node):
    return set(os.listdir(node.path('by-name')))


def wait_names(node, *expected):
    until(lambda: names(node) == set(expected), 5 * SLOWNESS,
          lambda: '%s: by-name %s (has %s)' % (node.name, set(expected), names(node)))


def leads_to(node, alias, other):
    path = node.path(*alias)
    equal(os.readlink(path), '../peers/' + other.id, 'what %s holds' % '/'.join(alias))
    equal(slurp(path + '/name'), other.name + '\n', 'the name behind ' + '/'.join(alias))
    equal(os.lstat(path).st_size, len('../peers/' + other.id), 'size')
    check(os.path.samefile(path, node.path('peers', other.id)), 'another directory')


def linked(lab, *called):
    """Nodes of these names; the first one is everybody's seed. Each has its own letter, too."""
    nodes = [lab.node(called[0])]
    for i, name in enumerate(called[1:]):
        path = lab.path('m%d' % i)
        node = lab.node(name, seeds=[nodes[0]], start=False, mount=path, state=path + '.state')
        node.log, node.stderr = path + '.log', path + '.stderr'
        node.start()
        until(lambda: node.id in nodes[0].peers(), 5 * SLOWNESS, 'a link to ' + name)
        nodes.append(node)
    return nodes


@case
def by_name(lab):
    a, b, c = linked(lab, 'one', 'two.example-1', 'three_3')
    for node in (a, b, c):
        wait_names(node, *[n.name for n in (a, b, c) if n is not node])
    leads_to(a, ('by-name', 'two.example-1'), b)
    leads_to(b, ('by-name', 'three_3'), c)
    st = os.stat(a.path('by-name'))
    equal((stat.S_ISDIR(st.st_mode), st.st_mode & 0o777), (True, 0o500), 'mode')
    for name in ('One', 'two', 'two.example-1~', '~', '~' + b.id[:8], 'three_3~' + b.id[:8], 'one'):
        with raises(errno.ENOENT, what=name):
            os.lstat(a.path('by-name', name))
    # A name with an id is understood also when the name alone would do.
    equal(os.readlink(a.path('by-name', 'three_3~' + c.id[:8])), '../peers/' + c.id, 'long form')
    with raises(errno.EPERM):
        os.symlink('x', a.path('by-name', 'four'))
    with raises(errno.EPERM):
        os.unlink(a.path('by-name', 'three_3'))
    # It is of use as a place to write to.
    with opened(b.path('by-name', 'one', 'stream')) as fd:
        put(a.path('by-name', 'two.example-1', 'stream'), 'hello')
        equal(os.read(fd, 100), b'hello', 'stream')
    c.stop()
    wait_names(a, 'two.example-1')
    with raises(errno.ENOENT):
        os.lstat(a.path('by-name', 'three_3'))


@case
def by_address(lab):
    a, b, c = linked(lab, 'one', 'two', 'three')
    until(lambda: len(a.peers()) == 2, 5, 'two peers')
    equal(set(os.listdir(a.path('by-address'))), {b.address, c.address}, 'by-address')
    leads_to(a, ('by-address', b.address), b)
    leads_to(b, ('by-address', a.address), a)
    equal(a.read('by-address', c.address, 'address'), c.address + '\n', 'address')
    for name in ('127.0.0.1', '127.0.0.1:1', b.address + '~aaaaaaaa'):
        with raises(errno.ENOENT, what=name):
            os.lstat(a.path('by-address', name))
    lab.run(['ls', '-lR', a.path('by-name'), a.path('by-address')])
    # Looking is all that this does.
    before = a.last()
    lab.run(['find', '-L', a.path('by-name'), a.path('by-address'), '-name', 'address'])
    equal(a.last(), before, 'events')


@case
def two_of_one_name(lab):
    """The first one has it; so it is after the second one has become the first to come back."""
    a, b, c = linked(lab, 'hub', 'web', 'web')
    wait_names(a, 'web', 'web~' + c.id[:8])
    leads_to(a, ('by-name', 'web'), b)
    leads_to(a, ('by-name', 'web~' + c.id[:8]), c)
    # What one is called oneself is nobody else's.
    wait_names(b, 'hub', 'web~' + c.id[:8])
    # Stored soon, not only at the end.
    kept = os.path.join(a.state, 'names')
    until(lambda: os.path.exists(kept), 12 * SLOWNESS, 'file of names')
    equal(sorted(slurp(kept).splitlines()), [b.id + ' web'], 'names')
    equal(os.stat(kept).st_mode & 0o777, 0o600, 'mode')
    a.kill()
    b.stop()
    c.stop()
    a.start()
    # Now the other one comes first.
    c.start()
    wait_names(a, 'web~' + c.id[:8])
    with raises(errno.ENOENT):
        os.lstat(a.path('by-name', 'web'))
    b.start()
    wait_names(a, 'web', 'web~' + c.id[:8])
    leads_to(a, ('by-name', 'web'), b)


MEMBER = re.compile(r'^([a-z2-7]{26}) (\S+) (\S+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) '
                    r'(self|peer|member)$')


def members(node):
    """What the file says of each id."""
    lines = node.read('members').splitlines()
    found = [MEMBER.match(line) for line in lines]
    check(all(found), 'members: %s' % lines)
    table = {m.group(1): m.groups()[1:] for m in found}
    equal(len(table), len(lines), 'one line for each id')
    return table


@case
def all_members(lab):
    """A chain: each end knows the other by announcements alone."""
    options = ['--min-peers', '1', '--max-peers', '2']
    a = lab.node(options=options)
    b = lab.node(options=options, seeds=[a])
    b.wait_peers(1)
    c = lab.node(options=options, seeds=[b])
    for node in (a, b, c):
        node.wait_status('members', 3)
    for node in (a, b, c):
        table = members(node)
        equal(set(table), {a.id, b.id, c.id}, 'ids')
        for other in (a, b, c):
            name, address, since, state = table[other.id]
            equal((name, address), (other.name, other.address), 'name, address')
            kind = 'self' if other is node else 'peer' if other.id in node.peers() else 'member'
            equal(state, kind, 'state of %s at %s' % (other.name, node.name))
            check(abs(time.time() - calendar.timegm(time.strptime(
                since[:19], '%Y-%m-%dT%H:%M:%S'))) < 60, since)
        check(node.read('members').startswith(node.id), 'this node comes first')
    equal(members(a)[c.id][3], 'member', 'no neighbour')
    equal(os.stat(a.path('members')).st_mode & 0o777, 0o400, 'mode')
    c.stop()
    until(lambda: set(members(a)) == {a.id, b.id}, 5 * SLOWNESS, 'one has left')


@case
def members_of_a_busy_network(lab):
    """While some come and go, a reader sees each of the others in every reading, and none twice."""
    steady = lab.network(4)
    ids = {n.id for n in steady}
    coming = [lab.node(seeds=[steady[0]], start=False) for _ in range(3)]
    seen = set()
    for _ in range(4):
        for node in coming:
            node.start()
        for _ in range(50):
            table = members(steady[1])
            check(ids <= set(table), 'missing: %s' % (ids - set(table)))
            seen |= set(table)
        for node in coming:
            node.wait_peers(1)
            node.stop()
    check(seen > ids, 'nobody was seen to come')
    until(lambda: set(members(steady[1])) == ids, 5 * SLOWNESS, 'they have left')
    # An open file stays as it was.
    with opened(steady[1].path('members')) as fd:
        half = os.read(fd, 100)
        steady[3].stop()
        until(lambda: len(members(steady[1])) == 3, 5 * SLOWNESS, 'one has left')
        rest = os.read(fd, 100000)
    equal(len((half + rest).splitlines()), 4, 'lines of what was opened before')


@case
def damaged_names(lab):
    a, b = linked(lab, 'one', 'two')
    wait_names(a, 'two')
    b.stop()
    a.stop()
    kept = os.path.join(a.state, 'names')
    equal(slurp(kept), b.id + ' two\n', 'stored at the end')
    with open(kept, 'w') as f:
        f.write('nonsense\n%s two\n%s' % (b.id, b.id))
    a.expected.append('names: 2 lines are damaged, and passed over')
    a.start()
    check(any('2 lines are damaged' in line for line in slurp(a.log).splitlines()), 'it is said')
    a.stop()
    # Nor does something else in its place keep the node from its work.
    os.unlink(kept)
    os.mkdir(kept)
    a.expected += ['names: Invalid argument: begins anew', 'names: Is a directory: only until']
    a.start()
    b.start()
    wait_names(a, 'two')
    b.stop()
    a.stop()
    os.rmdir(kept)
    # A node without a place to store is one without a memory.
    os.symlink('/nowhere', kept)
    a.start()
    a.stop()


main()
