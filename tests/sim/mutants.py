# SPDX-License-Identifier: MIT
"""Each bug that can be switched on makes some experiment fail, which without it passes; and one seed
gives one run.

    mutants.py PATH-OF-SMOKEFS-SIM
"""

import subprocess
import sys

CAUGHT_BY = {
    'twice': 'steady --nodes 30',
    'skip': 'steady --nodes 30',
    'crowd': 'join --nodes 30',
    'miser': 'flow --nodes 20',
    'shared': 'busy --nodes 20 --messages 200',
    'deaf': 'steady --nodes 30',
    'stranger': 'chaos --nodes 40',
    'forgetful': 'chaos --nodes 40',
    'ghost': 'chaos --nodes 40',
    'gossip': 'steady --nodes 30',
    'hermit': 'crash --nodes 40',
    'hasty': 'false-drops --nodes 60 --time 600',
    'patient': 'death --nodes 40',
}


def run(simulator, args):
    """Did it pass? And its lines, by their keys."""
    done = subprocess.run([simulator] + args.split(), capture_output=True, text=True, timeout=300)
    lines = dict(line.split(' ', 1) for line in done.stdout.splitlines() if ' ' in line)
    passed = lines.get('result') == 'pass'
    if passed != (done.returncode == 0) or 'result' not in lines:
        sys.exit('%s: status %d\n%s%s' % (args, done.returncode, done.stdout, done.stderr))
    return passed, lines


def main(simulator):
    listed = subprocess.run([simulator, '--list-mutants'], capture_output=True, text=True, check=True)
    names = {line.split()[0] for line in listed.stdout.splitlines()}
    if names != set(CAUGHT_BY):
        sys.exit('mutants without an experiment, or the other way round: %s'
                 % sorted(names ^ set(CAUGHT_BY)))
    hashes = {}
    for name, args in CAUGHT_BY.items():
        for _ in range(1 if args in hashes else 2):
            passed, lines = run(simulator, args)
            if not passed:
                sys.exit('%s fails without a mutant: %s' % (args, lines))
            if hashes.setdefault(args, lines['trace_hash']) != lines['trace_hash']:
                sys.exit('%s: two runs of one seed differ' % args)
        passed, lines = run(simulator, args + ' --mutant ' + name)
        if passed:
            sys.exit('%s is not caught by: %s' % (name, args))
        repeated, again = run(simulator, lines['repeat'].split(' ', 1)[1])
        if repeated or again['trace_hash'] != lines['trace_hash']:
            sys.exit('%s: "repeat %s" is another run' % (name, lines['repeat']))
        print('%-10s %s: %s' % (name, args, lines.get('wrong', 'beyond a target')))


main(sys.argv[1])
