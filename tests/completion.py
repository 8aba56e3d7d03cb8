# SPDX-License-Identifier: MIT
"""The completions for bash, zsh and fish: each knows every option, and works where its shell is."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

SMOKEFS = os.path.abspath(os.environ.get('SMOKEFS', 'build/smokefs'))
HERE = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', 'contrib', 'completion'))
BASH, ZSH, FISH = (os.path.join(HERE, name) for name in ('smokefs.bash', '_smokefs', 'smokefs.fish'))
MOUNT_WORDS = ['allow_other', 'allow_root', 'default_permissions', 'ro', 'rw', 'nodev', 'nosuid',
               'noexec', 'noatime', '_netdev', 'nofail', 'noauto', 'user', 'x-systemd.automount']
LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']
EMPTY = tempfile.TemporaryDirectory()  # whose files are no completion of anything
wrong = []


def equal(found, expected, what):
    if found != expected:
        wrong.append('%s: %s, expected %s' % (what, found, expected))


def run(*command):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=30, check=False, stdin=subprocess.DEVNULL, cwd=EMPTY.name,
                       env=dict(os.environ, HOME='/nonexistent', LC_ALL='C.UTF-8'))
    if p.returncode or p.stderr:
        wrong.append('%s: exit code %d: %s' % (command[:3], p.returncode, p.stderr.strip()))
    return p.stdout


def options():
    """Those of --help: (letter or '', name, takes a value)."""
    found = re.findall(r'(?m)^ +(?:-(\w), |  )? *--([a-z-]+)([= []?\S*)', run(SMOKEFS, '--help'))
    return [(letter, name, value.strip(' ') != '') for letter, name, value in found]


def mount_words(names):
    return ['run_as' if name == 'user' else name.replace('-', '_') for _, name, _ in names
            if name not in ('help', 'version')] + MOUNT_WORDS


def read(path):
    with open(path) as f:
        return f.read()


def has(text, pattern):
    return re.search(pattern, text) is not None


def every_option_is_named(names):
    bash, zsh, fish = read(BASH), read(ZSH), read(FISH)
    for letter, name, _ in names:
        equal(has(bash, r'(?<![\w-])--%s(?![\w-])' % name), True, 'bash: --' + name)
        equal(has(zsh, r'--%s(?![\w-])' % name), True, 'zsh: --' + name)
        equal(has(fish, r' -l %s(?![\w-])' % name), True, 'fish: --' + name)
        if letter:
            equal(has(bash, r'(?<!\S)-%s(?!\w)' % letter), True, 'bash: -' + letter)
            equal(has(zsh, r'[{ ]-%s[+,]' % letter), True, 'zsh: -' + letter)
            equal(has(fish, r' -s %s ' % letter), True, 'fish: -' + letter)
    for word in mount_words(names):
        for shell, text in (('bash', bash), ('zsh', zsh), ('fish', fish)):
            equal(has(text, r'(?<![\w-])%s(?![\w-])' % re.escape(word)), True,
                  '%s: -o %s' % (shell, word))


def bash_gives(line):
    script = '''. "$0"; COMP_LINE=$1 COMP_POINT=${#1}; _smokefs
        for reply in "${COMPREPLY[@]}"; do printf '%s\\n' "$reply"; done'''
    return run('bash', '-c', script, BASH, line).splitlines()


def bash(names):
    equal(has(run('bash', '-c', '. "$0"; complete -p smokefs', BASH), '-F _smokefs smokefs'), True,
          'bash: complete -p')
    equal(set(bash_gives('smokefs --')), {'--' + name for _, name, _ in names} | {'--wait='},
          'bash: all options')
    equal({w.rstrip('=') for w in bash_gives('smokefs -o ')}, set(mount_words(names)),
          'bash: all of -o')
    for line, expected in (
            ('smokefs --min', ['--min-peers', '--min-rate']),
            ('smokefs --log-level ', LEVELS),
            ('smokefs --log-level=', LEVELS),
            ('smokefs --log-level=d', ['debug']),
            ('smokefs --port ', []),
            ('smokefs --seccomp e', ['enforce']),
            ('smokefs -f --log s', ['stderr', 'syslog']),
            ('smokefs -o nodev,log_l', ['nodev,log_level=']),
            ('smokefs -o nodev,log_level=d', ['debug']),
            ('smokefs -o min_peers=1,max', ['1,max_peers=']),
            ('smokefs --state /us', ['/usr']),
            ('smokefs --wait /us', ['/usr']),
            ('smokefs non', ['none']),
            ('smokefs none /us', ['/usr'])):
        equal(bash_gives(line), expected, 'bash: ' + line)


def zsh(names):
    run('zsh', '-f', '-n', ZSH)
    script = 'fpath=("$1" $fpath); autoload -Uz compinit; compinit -u -D; print -r -- $_comps[smokefs]'
    equal(run('zsh', '-f', '-c', script, 'zsh', HERE), '_smokefs\n', 'zsh: compinit')


def fish(names):
    def gives(line):
        out = run('fish', '--no-config', '-c', 'source %s; complete -C "%s"' % (FISH, line))
        return [text.split('\t')[0] for text in out.splitlines()]
    equal(set(gives('smokefs --')), {'--' + name for _, name, _ in names}, 'fish: all options')
    equal({w.split('=')[0] for w in gives('smokefs -o ')}, set(mount_words(names)),
          'fish: all of -o')
    equal(sorted(gives('smokefs --log-level ')), sorted(LEVELS), 'fish: --log-level')
    equal(gives('smokefs -o nodev,log_level=d'), ['nodev,log_level=debug'], 'fish: -o')


def main():
    names = options()
    if len(names) < 20:
        wrong.append('--help: %d options found' % len(names))
    every_option_is_named(names)
    for test in (bash, zsh, fish):
        if shutil.which(test.__name__):
            test(names)
        else:
            print('skip %s: not there' % test.__name__)
    print('\n'.join(wrong) or 'ok')
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    main()
