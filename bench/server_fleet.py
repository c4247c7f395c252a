# SPDX-License-Identifier: Apache-2.0
"""A fleet of many instances: made by real exchanges; lists; all evidence judged again while exchanges go on; memory and disk."""
import datetime
import json
import os
import sys
import time
import urllib.parse

from server_load import Background, cpu_s, make_agents, memory_kib, percentile, renew_bodies, run

BATCH = 1000
LIST_GOAL_MS, REAPPRAISE_GOAL_S, MEMORY_GOAL_MIB, P99_GOAL_MS = 50, 120, 512, 200
TIMES = 20  # each list is asked for


def stored(owner):
    return owner.get('/v1/fleet').body['instances'].get('running', 0)


def fill(site, count, threads):
    """Up to `count` instances that run; seconds."""
    begin, have = time.perf_counter(), stored(site.owner)
    while have < count:
        agents = make_agents(site, min(BATCH, count - have))
        _, _, nonces = run(site.server, threads, ['{}'] * len(agents), '/v1/exchange/nonce')
        run(site.server, threads, renew_bodies(agents, nonces, 'start'), '/v1/exchange/evidence')
        have += len(agents)
        if sys.stderr.isatty():
            print(f'\r{have} of {count} instances', end='', file=sys.stderr, flush=True)
    return time.perf_counter() - begin


def lists(site, count):
    owner, app, build = site.owner, site.app, site.build.id
    page = owner.get('/v1/instances', query={'limit': 200}).body
    return [('page', '/v1/instances', {'limit': 50}), ('page further on', '/v1/instances', {'limit': 50, 'after': page['next'] or page['items'][-1]['id']}),
            ('largest page', '/v1/instances', {'limit': 200}), ('by app', '/v1/instances', {'limit': 50, 'app': app}),
            ('by state that none has', '/v1/instances', {'limit': 50, 'state': 'unreachable'}),
            ('by app and state that none has', '/v1/instances', {'limit': 50, 'app': app, 'state': 'stopped'}),
            ('by build', '/v1/instances', {'limit': 50, 'build': build}), ('counts', '/v1/fleet', {}),
            ('forecast', '/v1/fleet/forecast', {'limit': 50})]


def ask(owner, path, query):
    begin = time.perf_counter()
    answer = owner.raw('GET', path + ('?' + urllib.parse.urlencode(query) if query else ''))
    assert answer.status == 200, answer
    return time.perf_counter() - begin


def measure_lists(site, table, count, when):
    slowest = 0
    for what, path, query in lists(site, count):
        times = sorted(ask(site.owner, path, query) for _ in range(TIMES))
        median = percentile(times, .5)
        slowest = max(slowest, median)
        table.note(f'  {what}: {median:.1f} ms')
    table.row(f'lists and filters with {count} instances{when}: the slowest of {len(lists(site, count))}', f'{slowest:.1f} ms', f'{LIST_GOAL_MS} ms', slowest < LIST_GOAL_MS)


def wait_for_round(owner, started_after):
    """The progress of a round that began later than that and has ended; asks for a list all the while: their latencies."""
    parse = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp()  # noqa: E731
    pages = []
    while True:
        progress = owner.get('/v1/fleet').body['reappraisal']
        if not progress['running'] and progress['started'] and parse(progress['started']) >= started_after - 1 and progress['finished']:
            return progress, parse(progress['finished']) - parse(progress['started']), sorted(pages)
        pages.append(ask(owner, '/v1/instances', {'limit': 50}))
        time.sleep(0.25)


def measure_round(site, table, what, count, threads, rate, change):
    """One round with exchanges going on; `change` makes it begin."""
    owner, server = site.owner, site.server
    with Background(site, rate, threads) as background:
        time.sleep(2)
        background.take()
        before, begin, taken = cpu_s(server), time.time(), time.perf_counter()
        change()
        progress, seconds, pages = wait_for_round(owner, begin)
        latencies, cpu, taken = background.take(), cpu_s(server) - before, time.perf_counter() - taken
    if background.failures:
        sys.exit(f'{len(background.failures)} exchanges failed: {background.failures[0]}')
    table.row(f'{what}', f'{progress["judged"]} in {seconds:.1f} s, {progress["fallen"]} fell; {cpu:.0f} s of CPU with the exchanges', f'{REAPPRAISE_GOAL_S} s', seconds < REAPPRAISE_GOAL_S)
    if latencies:
        p99, reached = percentile(latencies, .99), len(latencies) / taken
        table.row(f'meanwhile {len(latencies)} exchanges and renewals, {reached:.0f}/s', f'p50 {percentile(latencies, .5):.0f} ms, p99 {p99:.0f} ms', f'p99 {P99_GOAL_MS} ms at {rate:.0f}/s',
                  p99 < P99_GOAL_MS and reached > 0.9 * rate)
    if pages:
        table.row('meanwhile a page of instances', f'p50 {percentile(pages, .5):.1f} ms, slowest of {len(pages)} {pages[-1] * 1000:.0f} ms')


def policy_make(site, name, mrenclave):
    with open(os.path.join(site.platform.folder, 'policy.json'), encoding='utf-8') as f:
        policy = {**json.load(f), 'identities': [{'name': 'one', 'sgx': {'mrenclave': f'{mrenclave:02x}' * 32}}]}
    assert site.owner.post('/v1/policies', {'name': name, 'policy': policy}).status in (201, 409)
    site.owner.patch('/v1/policies/' + name, {'version': 1})


def settle(owner):
    while owner.get('/v1/fleet').body['reappraisal']['running']:
        time.sleep(0.25)


def measure(site, table, count, threads, rate):
    owner, server = site.owner, site.server
    have, seconds = stored(owner), fill(site, count, threads)
    table.note(f'{count - have} instances attested in {seconds:.0f} s')
    path = server.options['store'].split(':', 1)[1]
    table.row('the store', f'{os.path.getsize(path) / stored(owner) / 1024:.1f} KiB an instance, with history and audit log')
    measure_lists(site, table, count, '')
    settle(owner)
    measure_round(site, table, 'all judged again, nothing changed', count, threads, rate, lambda: owner.post('/v1/fleet/reappraise'))
    policy_make(site, 'strict', 0x22)
    policy_make(site, 'lenient', 0x11)
    settle(owner)
    # Without exchanges: under this policy they would be refused.
    measure_round(site, table, 'all judged again, all fall: each gets an order, an event, a line of history', count, 0, rate,
                  lambda: owner.patch('/v1/apps/load', {'policy': 'strict'}))
    owner.patch('/v1/apps/load', {'policy': 'lenient'})
    settle(owner)
    peak = memory_kib(server, 'VmHWM') / 1024
    table.row(f'server memory at most, {count} instances', f'{peak:.0f} MiB', f'{MEMORY_GOAL_MIB} MiB', peak < MEMORY_GOAL_MIB)
