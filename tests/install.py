# SPDX-License-Identifier: MIT
"""meson install: everything in its place below DESTDIR, and nothing outside of the prefix."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD, MESON = sys.argv[1:3]
MISSING = '%s: is missing'
# By their places below the prefix; what an option has moved is not known here.
FILES = '''bin/smokefs share/man/man1/smokefs.1 share/man/man8/mount.smokefs.8
    lib/systemd/system/smokefs@.service lib/systemd/user/smokefs@.service
    lib/sysusers.d/smokefs.conf share/bash-completion/completions/smokefs
    share/zsh/site-functions/_smokefs share/fish/vendor_completions.d/smokefs.fish
    share/doc/smokefs/README.md share/doc/smokefs/CHANGELOG.md share/doc/smokefs/LICENSE
    share/doc/smokefs/docs/design.md share/doc/smokefs/docs/protocol.md
    share/doc/smokefs/docs/performance.md share/doc/smokefs/docs/simulation.md
    share/doc/smokefs/contrib/README.md share/doc/smokefs/examples/fstab
    share/doc/smokefs/examples/node.conf'''.split()
wrong = []


def check(condition, text):
    if not condition:
        wrong.append(text)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def prefix():
    out = subprocess.check_output([MESON, 'introspect', '--buildoptions', BUILD], text=True)
    return next(o['value'] for o in json.loads(out) if o['name'] == 'prefix')


def look(top, at):
    """`top` is DESTDIR, `at` the prefix in it."""
    for name in FILES:
        path = os.path.join(top + at, name)
        check(os.path.isfile(path) and os.path.getsize(path), MISSING % path)
    link = os.path.join(top + at, 'sbin/mount.smokefs')
    check(os.path.islink(link) and os.readlink(link) == at + '/bin/smokefs', MISSING % link)
    found = {os.path.relpath(os.path.join(directory, name), top + at)
             for directory, _, names in os.walk(top) for name in names}
    check(found == set(FILES) | {'sbin/mount.smokefs'},
          'beside these: %s' % sorted(found - set(FILES)))
    for unit in ('system', 'user'):
        text = read(top + at + '/lib/systemd/%s/smokefs@.service' % unit)
        check('@bindir@' not in text and re.search(r'(?m)^ExecStart=%s/bin/smokefs ' % at, text),
              'the unit of the %s does not name the program' % unit)
    out = subprocess.check_output([top + at + '/bin/smokefs', '--version'], text=True)
    check(out.startswith('smokefs '), 'version: ' + out)
    # By the other name it goes by the rules of mount(8).
    helper = os.path.join(top, 'mount.smokefs')
    os.symlink(top + at + '/bin/smokefs', helper)
    run = subprocess.run([helper, 'none', top, '-f', '-n', '-v'], stderr=subprocess.PIPE, text=True,
                         check=False)
    check((run.returncode, run.stderr) == (0, ''), 'mount -f: %d: %s' % (run.returncode, run.stderr))


def main():
    top = tempfile.mkdtemp(prefix='smokefs-')
    try:
        run = subprocess.run([MESON, 'install', '--no-rebuild', '-C', BUILD, '--destdir', top],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
        check(run.returncode == 0, 'meson install: ' + run.stdout[-2000:])
        if not wrong:
            look(top, prefix())
    finally:
        shutil.rmtree(top)
    print('\n'.join(wrong) or 'ok')
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    main()
