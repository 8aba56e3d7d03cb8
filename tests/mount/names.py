# SPDX-License-Identifier: MIT
"""by-name/ and by-address/: links to peers."""

import errno
import os
import stat

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
