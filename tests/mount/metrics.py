# SPDX-License-Identifier: MIT
"""metrics: what is in it, that a scraper can read it, and that the dashboard asks for nothing else."""

import json
import os
import re
import stat
import subprocess

from harness import Skip, case, check, equal, main, put, until

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

# The text format 0.0.4, and no more of it than we use.
NAME = r'smokefs_[a-z_]+'
HELP = re.compile(r'# HELP (%s) (\S.*\.)' % NAME)
TYPE = re.compile(r'# TYPE (%s) (counter|gauge)' % NAME)
LABEL = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r'(%s)(\{%s(?:,%s)*\})? (\d+(?:\.\d+)?)' % (NAME, LABEL, LABEL))

# Lines of status that are no numbers, and those of another name and unit.
LABELS = {'id', 'name', 'address', 'version', 'component'}
RENAMED = {'uptime': 'uptime_seconds', 'log_held': 'log_held_bytes'}
COUNTED = {'parked_refused', 'events_lost', 'history_lost'}


def source(*parts):
    with open(os.path.join(TOP, *parts), encoding='utf-8') as f:
        return f.read()


def counters():
    block = re.search(r'#define NODE_COUNTERS\(X\)(.*?)\n\n', source('core', 'node.h'), re.S)
    found = re.findall(r'X\((\w+)\)', block.group(1))
    check(len(found) > 20, 'counters: %s' % found)
    return found


def metric_of(key):
    """How a line of status is called here."""
    if key in RENAMED:
        return 'smokefs_' + RENAMED[key]
    if key in counters() or key in COUNTED:
        # The unit comes last but for _total.
        words = re.sub(r'^(.*?)bytes_(\w+)$', r'\1\2_bytes', key)
        return 'smokefs_%s_total' % words
    return 'smokefs_' + key


def parse(text):
    """{metric: (type, {labels: value})}, or a failure at the first line that is not as it should be."""
    check(text.endswith('\n'), 'the last line has no end')
    metrics, lines = {}, iter(text.splitlines())
    name, described = None, None
    for line in lines:
        if line.startswith('# HELP'):
            described = HELP.fullmatch(line)
            check(described, 'not a HELP: ' + line)
            kind = TYPE.fullmatch(next(lines))
            check(kind and kind[1] == described[1], 'HELP without its TYPE: ' + line)
            name = kind[1]
            check(name not in metrics, 'twice: ' + name)
            equal(name.endswith('_total'), kind[2] == 'counter', name + ': is a counter')
            metrics[name] = (kind[2], {})
            continue
        sample = SAMPLE.fullmatch(line)
        check(sample, 'not a sample: ' + line)
        # Lines of one metric stand together, after its head.
        equal(sample[1], name, 'metric of ' + line)
        labels = sample[2] or ''
        check(labels not in metrics[name][1], 'twice: ' + line)
        metrics[name][1][labels] = float(sample[3])
    return metrics


def value(metrics, name, labels=''):
    check(name in metrics and labels in metrics[name][1], 'no %s%s' % (name, labels))
    return metrics[name][1][labels]


@case
def what_status_has(lab):
    a, b = lab.pair()
    for n in range(3):
        put(b.path('broadcast'), 'message %d' % n)
    a.wait_status('messages_received', 3)
    equal(stat.S_IMODE(os.stat(a.path('metrics')).st_mode), 0o400, 'mode')
    # Nothing of a quiet node moves between two looks but these.
    moving = {'uptime', 'handles', 'component_beacons'}

    def both():
        status, metrics = a.status(), parse(a.read('metrics'))
        return (status, metrics) if status == dict(a.status(), **{
            k: status[k] for k in moving}) else None
    status, metrics = until(both, 5, 'a quiet node')
    numbers = {k: v for k, v in status.items() if isinstance(v, int) and k not in LABELS}
    for key, number in numbers.items():
        found = value(metrics, metric_of(key))
        check(key in moving or found == number, '%s: %s, in status %d' % (key, found, number))
    equal(value(metrics, 'smokefs_messages_received_total'), 3, 'messages received')
    check(set(counters()) < set(numbers), 'counters that status has not')
    equal(value(metrics, 'smokefs_info', '{id="%s",name="a",version="%s",address="%s"}' % (
        a.id, a.read('version').strip(), a.address)), 1, 'info')
    equal(value(metrics, 'smokefs_component_info', '{component="%s"}' % status['component']), 1,
          'component')
    equal(value(metrics, 'smokefs_discovery'), 0, 'discovery')
    for labels, key in (('ping_timeout', 'seconds'), ('stall_timeout', 'seconds')):
        equal(value(metrics, 'smokefs_%s_%s' % (labels, key)), 3, labels)


@case
def peers(lab):
    a, b = lab.pair()
    c = lab.node(seeds=[a])
    c.wait_peers(2)
    mine = '{peer="%s",name="b"}' % b.id

    def measured():
        metrics = parse(a.read('metrics'))
        return mine in metrics['smokefs_peer_rtt_seconds'][1] and metrics
    metrics = until(measured, 5, 'a round trip')
    check(0 < value(metrics, 'smokefs_peer_rtt_seconds', mine) < 1, 'rtt')
    for name in ('received_bytes_total', 'sent_bytes_total', 'queued_bytes'):
        equal(set(metrics['smokefs_peer_' + name][1]), {
            '{peer="%s",name="%s"}' % (x.id, x.name) for x in (b, c)}, name)
    check(value(metrics, 'smokefs_peer_sent_bytes_total', mine) > 1000, 'sent')
    before = value(metrics, 'smokefs_peer_received_bytes_total', mine)
    put(b.path('broadcast'), 'x' * 100000)
    until(lambda: value(parse(a.read('metrics')), 'smokefs_peer_received_bytes_total', mine) >
          before + 100000, 5, 'bytes received')
    b.stop()
    until(lambda: mine not in a.read('metrics'), 5, 'a peer that is gone')


@case
def collected_from_a_file(lab):
    a = lab.node()
    put(a.path('config', 'max_peers'), '7\n')
    # As for node_exporter's textfile collector, which takes *.prom.
    lab.run('cat %s >%s && mv %s %s' % (a.path('metrics'), lab.path('x.prom.new'),
                                        lab.path('x.prom.new'), lab.path('x.prom')))
    with open(lab.path('x.prom'), encoding='utf-8') as f:
        equal(value(parse(f.read()), 'smokefs_max_peers'), 7, 'max_peers')


@case
def read_by_the_client_library(lab):
    a, b = lab.pair()
    python = '/usr/bin/python3'  # Debian's, which has the package python3-prometheus-client
    program = '''
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ('counter', 'gauge'), family
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), sample.value)
'''
    if subprocess.run([python, '-c', 'import prometheus_client'], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip('python3-prometheus-client is missing')
    text = a.read('metrics')
    out = lab.run([python, '-c', program], stdin=open(lab.file('x', text.encode()), 'rb'))
    equal(out.count('\n'), sum(len(m[1]) for m in parse(text).values()), 'samples')
    check("smokefs_peer_queued_bytes [('name', 'b'), ('peer', '%s')]" % b.id in out, out)


@case
def documented(lab):
    a = lab.node()
    manual = source('docs', 'smokefs.1')
    for key in counters():
        check(re.search(r'^\.It Cm .*\b%s\b' % key, manual, re.M), key + ': not in the man page')
    text = ' '.join(manual.split())
    for name in parse(a.read('metrics')):
        plain = name[len('smokefs_'):]
        known = plain[:-len('_total')] if plain.endswith('_total') else plain
        check(known in {metric_of(k)[len('smokefs_'):].replace('_total', '') for k in a.status()}
              or re.search(r'\b%s\b' % plain, text), name + ': not in the man page')


@case
def dashboard(lab):
    a = lab.node()
    known = parse(a.read('metrics'))
    board = json.loads(source('contrib', 'smokefs-dashboard.json'))
    queries = [t['expr'] for panel in board['panels'] for t in panel['targets']]
    queries += [v['query'] for v in board['templating']['list']]
    check(len(queries) >= 10, 'queries: %d' % len(queries))
    for query in queries:
        names = re.findall(r'smokefs_\w+', query)
        check(names, 'no metric: ' + query)
        for name in names:
            check(name in known, '%s: no such metric: %s' % (name, query))
        for name in re.findall(r'rate\((\w+)', query):
            equal(known[name][0], 'counter', 'type of %s, of which there is a rate' % name)
    ids = [p['id'] for p in board['panels']]
    equal(len(ids), len(set(ids)), 'ids of panels')


main(60)
