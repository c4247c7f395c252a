# SPDX-License-Identifier: Apache-2.0
"""All stored evidence judged again: one thread or several find the same; what changes while a round runs, or while instances renew, counts in the end."""
import json
import os
import shutil
import sqlite3
import threading
import time

import pytest

from cloched import Cloched
from exchange_agent import Agent, Approver, Build, Platform, unb64

WAIT_S = 100


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


class Fast:
    """In place of a client: the contract is held elsewhere, here it is about many."""

    def __init__(self, server):
        self.raw = server.client()

    def post(self, path, body):
        return self.raw.raw('POST', path, json.dumps(body), {'Content-Type': 'application/json'})


def start(server, platform, builds, count):
    """Agents, in turn of each build."""
    agents = []
    for i in range(count):
        agent = Agent(Fast(server), platform, builds[i % len(builds)], None)
        answer = agent.send(agent.body())
        assert answer.status == 200, answer
        agent.id = json.loads(unb64(answer.body['answer'].split('.')[1]))['instance']
        agents.append(agent)
    return agents


def policy_for(platform, mrenclave):
    with open(os.path.join(platform.folder, 'policy.json'), encoding='utf-8') as f:
        return {**json.load(f), 'identities': [{'name': 'one', 'sgx': {'mrenclave': f'{mrenclave:02x}' * 32}}]}


def policy_make(owner, platform, name, mrenclave):
    assert owner.post('/v1/policies', {'name': name, 'policy': policy_for(platform, mrenclave)}).status == 201
    assert owner.patch('/v1/policies/' + name, {'version': 1}).status == 200


def settled(owner):
    """The fleet's progress when no round runs and none waits."""
    until = time.monotonic() + WAIT_S
    while True:
        fleet = owner.get('/v1/fleet').body
        if not fleet['reappraisal']['running']:
            return fleet['reappraisal']
        assert time.monotonic() < until, fleet
        time.sleep(0.02)


def outcome(path):
    """What a round left in the store, without what is of its time."""
    with sqlite3.connect(path) as db:
        rows = db.execute('SELECT id, state, tcb_status, valid_until_ms, reason, appraisal, version FROM instances ORDER BY id').fetchall()
        history = db.execute("SELECT instance_id, COUNT(*) FROM instance_history GROUP BY instance_id ORDER BY instance_id").fetchall()
        orders = db.execute('SELECT instance_id, kind, reason FROM instance_orders ORDER BY instance_id, number').fetchall()
        events = db.execute("SELECT object, COUNT(*) FROM events WHERE kind = 'instance.fallen' GROUP BY object ORDER BY object").fetchall()
    db.close()
    plain = []
    for row in rows:
        ear = json.loads(row[5])
        ear.pop('iat', None)
        plain.append(row[:5] + (json.dumps(ear, sort_keys=True), row[6]))
    return plain, history, orders, events


def test_several_threads_find_what_one_finds(platform, tmp_path):
    count = 120
    options = {'emulator_root': platform.root}
    seed = str(tmp_path / 'seed.db')
    with Cloched(store='sqlite:' + seed, **options) as server:
        owner = server.owner
        owner.post('/v1/apps', {'name': 'load'})
        approver = Approver(owner)
        start(server, platform, [Build(owner, 'load', f'{m}.0', m, approver) for m in (0x11, 0x22)], count)
    found = []
    for threads in (1, 4):
        path = str(tmp_path / f'{threads}.db')
        shutil.copy(seed, path)
        with Cloched(store='sqlite:' + path, init=False, reappraise_threads=threads, **options) as server:
            owner = server.owner
            policy_make(owner, platform, 'strict', 0x22)
            settled(owner)
            assert owner.patch('/v1/apps/load', {'policy': 'strict'}).status == 200
            until = time.monotonic() + WAIT_S
            while len([i for i in owner.list('/v1/instances', limit=200) if i['reason']]) < count // 2:
                assert time.monotonic() < until, settled(owner)
                time.sleep(0.05)
            progress = settled(owner)
            assert progress['judged'] == count, progress
        found.append(outcome(path))
    assert found[0] == found[1]
    rows, _, orders, events = found[0]
    assert len(rows) == count and len(orders) == len(events) == count // 2
    assert len([row for row in rows if row[4] and 'IDENTITY' in row[4]]) == count // 2


def test_the_last_change_counts_though_rounds_and_renewals_go_on(platform):
    """The policy goes to and fro while all renew: in the end nobody runs on what an older policy accepted."""
    with Cloched(emulator_root=platform.root) as server:
        owner = server.owner
        owner.post('/v1/apps', {'name': 'load'})
        build = Build(owner, 'load', '1.0', approver=Approver(owner))
        policy_make(owner, platform, 'lenient', 0x11)
        policy_make(owner, platform, 'strict', 0x22)
        agents = start(server, platform, [build], 60)
        stop, lock, seen = threading.Event(), threading.Lock(), set()

        def renew(mine):
            fast = Fast(server)
            while not stop.is_set():
                for agent in mine:
                    agent.client = fast
                    with lock:  # the platform answers one at a time
                        body = agent.body('renew')
                    seen.add(agent.send(body).status)

        workers = [threading.Thread(target=renew, args=(agents[i::3],)) for i in range(3)]
        for worker in workers:
            worker.start()
        try:
            for name in ('strict', 'lenient') * 4 + ('strict',):
                assert owner.patch('/v1/apps/load', {'policy': name}).status == 200
                time.sleep(0.1)
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        assert seen <= {200, 403, 503}, seen
        until = time.monotonic() + WAIT_S
        while True:
            settled(owner)
            good = [i['id'] for i in owner.list('/v1/instances', limit=200) if 'IDENTITY' not in (i['reason'] or '')]
            if not good:
                break
            assert time.monotonic() < until, (len(good), owner.get('/v1/instances/' + good[0]).body)
            time.sleep(0.1)
        # And back: nobody is said to have fallen any more, though nobody renews.
        assert owner.patch('/v1/apps/load', {'policy': 'lenient'}).status == 200
        until = time.monotonic() + WAIT_S
        while [i for i in owner.list('/v1/instances', limit=200) if i['reason']]:
            assert time.monotonic() < until, owner.list('/v1/instances', limit=200)[:2]
            time.sleep(0.1)
