# SPDX-License-Identifier: Apache-2.0
"""Exchanges at the same moment: one identity starts once, an app that runs once has one that runs, nothing is given under a policy that is not in force any more."""
import json
import os
import threading

import pytest
from cloched import Cloched
from exchange_agent import Agent, Approver, Build, Platform, spki_sha256
from objects import Node
from test_server_exchange import roots


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


@pytest.fixture(scope='module')
def server(platform):
    with Cloched(emulator_root=platform.root) as s:
        s.approver = Approver(s.owner)
        s.pin = spki_sha256(roots(s)[0])
        yield s


def at_once(*calls):
    """What each gives; they are let go together."""
    gate, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(i):
        gate.wait(50)
        results[i] = calls[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    return results


def test_one_instance_starts_once(server, platform):
    """Several TEEs say that they are the instance which a node was told to start: one of them is."""
    server.owner.post('/v1/apps', {'name': 'once'})
    build = Build(server.owner, 'once', '1.0', 0x11, server.approver)
    Node(server, 'one', capacity={'instances': 100})
    for _ in range(5):
        instance = server.owner.post('/v1/instances', {'app': 'once'})
        assert instance.status == 201, instance
        agents = [Agent(server.client(), platform, build, server.pin) for _ in range(6)]
        bodies = []
        for agent in agents:
            agent.id = instance.body['id']
            bodies.append(agent.body())
        answers = at_once(*(lambda a=a, b=b: a.send(b) for a, b in zip(agents, bodies)))
        accepted = [i for i, answer in enumerate(answers) if answer.status == 200]
        assert len(accepted) == 1, answers
        for i, answer in enumerate(answers):
            if i not in accepted:
                refused = agents[i].refused(answer)
                assert refused['refused']['step'] == 'INSTANCE_KEY' and refused['final'] is True
        agents[accepted[0]].attest('renew')


def test_an_app_that_is_to_run_once_from_now_on(server, platform):
    """Those that run already: who renews first goes on, however long the others were cut off."""
    server.owner.post('/v1/apps', {'name': 'single'})
    build = Build(server.owner, 'single', '1.0', 0x12, server.approver)
    agents = [Agent(server.client(), platform, build, server.pin) for _ in range(4)]
    for agent in agents:
        assert agent.attest()['fence'] == 0
    assert server.owner.patch('/v1/apps/single', {'single': True, 'on_second': 'fence'}).status == 200
    fence = agents[1].attest('renew')['fence']
    assert fence > 0
    for i in (0, 2, 3):
        assert [order['kind'] for order in agents[i].orders()] == ['revoke']
        refused = agents[i].refused(agents[i].send(agents[i].body('renew')))
        assert refused['refused']['code'] == 'instance-fenced' and refused['final'] is True
    assert agents[1].attest('renew')['fence'] == fence


def test_nothing_is_given_under_a_policy_of_before(server, platform):
    """The audit log has the order of what was committed: while the strict policy is in force, no exchange is allowed."""
    server.owner.post('/v1/apps', {'name': 'policied'})
    build = Build(server.owner, 'policied', '1.0', 0x13, server.approver)
    with open(os.path.join(platform.folder, 'policy.json'), encoding='utf-8') as f:
        policy = {**json.load(f), 'identities': [{'name': 'another', 'sgx': {'mrenclave': '22' * 32}}]}
    assert server.owner.post('/v1/policies', {'name': 'strict', 'policy': policy}).status == 201
    assert server.owner.patch('/v1/policies/strict', {'version': 1}).status == 200
    agents = [Agent(server.client(), platform, build, server.pin) for _ in range(4)]
    for agent in agents:
        agent.attest()
    bodies = [[agent.body('renew') for _ in range(30)] for agent in agents]

    def renew(agent, mine):
        for body in mine:
            answer = agent.send(body)
            assert answer.status in (200, 403), answer

    threads = [threading.Thread(target=renew, args=pair) for pair in zip(agents, bodies)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for name in ('strict', None):
            assert server.owner.patch('/v1/apps/policied', {'policy': name}).status == 200
    entries = [e['entry'] for e in server.owner.list('/v1/audit')]
    app = server.owner.get('/v1/apps/policied').body['id']
    ids = {agent.id for agent in agents}
    strict, allowed, refused = False, 0, 0
    for entry in entries:
        if entry['action'] == 'app.change' and entry['object'] == app:
            strict = entry['detail'].get('policy') is not None
        elif entry['object'] in ids and entry['action'] in ('instance.renew', 'instance.start'):
            assert not strict, entry
            allowed += 1
        elif entry['object'] in ids and entry['action'] == 'instance.refuse':
            refused += 1
    assert allowed >= len(agents) and allowed + refused > len(agents)
