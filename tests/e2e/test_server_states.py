# SPDX-License-Identifier: Apache-2.0
"""States of instances as time goes by, seen by their owner: silent, back, over; and exchanges that name what is others'. Time passes in the store: leases there are set back, so that nobody waits for them."""
import json
import os
import sqlite3
import time

import pytest

from cli_of import Cli
from cloched import Cloched
from exchange_agent import Agent, Approver, Build, Platform, spki_sha256
from objects import Node
from test_server_exchange import new_app, roots
from test_server_fleet import until


class World:
    def __init__(self, folder):
        self.platform = Platform(folder / 'pki')
        self.server = Cloched(emulator_root=self.platform.root)
        self.owner = self.server.owner
        self.approver = Approver(self.owner)
        self.pin = spki_sha256(roots(self.server)[0])
        home = folder / 'home'
        home.mkdir()
        self.cli = Cli(home, self.server)

    def close(self):
        self.server.close()
        self.platform.close()

    def agent(self, build=None, **settings):
        if build is None:
            _, build = new_app(self.owner, self.approver, **settings)
        return Agent(self.server.client(), self.platform, build, self.pin)

    def age(self, agent, seconds):
        """As if the instance had been seen so long ago."""
        with sqlite3.connect(os.path.join(self.server.folder, 'cloche.db'), timeout=60) as db:
            db.execute('UPDATE instances SET seen_ms = seen_ms - ?, lease_until_ms = lease_until_ms - ? WHERE id = ?', (seconds * 1000, seconds * 1000, agent.id))
        db.close()

    def state(self, agent):
        return self.owner.get('/v1/instances/' + agent.id).body['state']

    def history(self, agent):
        return [(line['state'], line['reason']) for line in self.owner.list(f'/v1/instances/{agent.id}/history')]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp('states'))
    yield world
    world.close()


def test_silent_and_back(world):
    agent, other = world.agent(lease_s=600), world.agent(lease_s=600)
    agent.attest()
    other.attest()
    events = world.owner.events(kind='instance.unreachable')
    world.age(agent, 500)  # of 600: it should have renewed after 300
    until(lambda: world.state(agent) == 'unreachable')
    assert next(iter(events))[1]['object'] == agent.id
    events.close()
    assert world.state(other) == 'running'
    assert world.owner.get('/v1/fleet').body['instances']['unreachable'] == 1
    agent.attest('renew')  # its lease has not ended: it goes on
    assert world.state(agent) == 'running'
    assert world.history(agent) == [('running', 'evidence accepted'), ('unreachable', 'it did not renew in time'), ('running', 'evidence accepted')]
    text = world.cli.run('instance', 'history', agent.id)
    assert 'unreachable' in text and 'it did not renew in time' in text and text.count('evidence accepted') == 2
    hashes = [line['evidence_sha256'] for line in world.cli.json('instance', 'history', agent.id)]
    assert hashes[0] and hashes[2] and hashes[0] != hashes[2] and not hashes[1]


@pytest.mark.parametrize('before', ['running', 'unreachable', 'stopping'])
def test_the_lease_ended(world, before):
    agent = world.agent(lease_s=600)
    agent.attest()
    if before == 'stopping':
        assert world.owner.post(f'/v1/instances/{agent.id}/stop', {'reason': 'enough'}).status == 200
    elif before == 'unreachable':
        world.age(agent, 500)
        until(lambda: world.state(agent) == 'unreachable')
    world.age(agent, 601)
    until(lambda: world.state(agent) == 'stopped')
    assert world.history(agent)[-1] == ('stopped', 'its lease ended')
    body = agent.body('renew')
    refused = agent.refused(agent.send(body), body['nonce'])
    assert refused['refused']['code'] == 'instance-stopped' and refused['final'] is True
    again = world.agent(agent.build)
    again.attest()  # the app itself goes on
    assert world.state(agent) == 'stopped'


def test_an_app_that_is_single_starts_anew_when_the_lease_ended(world):
    first = world.agent(single=True, lease_s=600)
    fence = first.attest()['fence']
    second = world.agent(first.build)
    assert second.refused(second.send(second.body()))['refused']['code'] == 'instance-fenced'
    world.age(first, 601)
    assert second.attest()['fence'] > fence


def test_collateral_that_ends_by_time_alone_is_foreseen_and_refused(world):
    agent = world.agent()
    agent.attest()
    items = world.owner.list('/v1/fleet/forecast', cause='evidence')
    mine = next(i for i in items if i['instance'] == agent.id)
    state = json.load(open(os.path.join(world.platform.folder, 'state.json'), encoding='utf-8'))
    assert mine['until'][:19] == min(d['next'] for d in state['dates'].values())[:19] and mine['recovery'] is None
    try:
        for what, step in ('tcb-info', 'COLLATERAL_EXPIRED'), ('qe-identity', 'COLLATERAL_EXPIRED'), ('pck-crl', 'COLLATERAL_EXPIRED'), ('root-crl', 'COLLATERAL_EXPIRED'):
            world.platform.pki('expire', what)
            body = agent.body('renew')
            assert agent.refused(agent.send(body), body['nonce'])['refused']['step'] == step, what
            world.platform.pki('renew', what)
    finally:
        world.platform.pki('renew', 'all')
    agent.attest('renew')


def test_a_platform_that_is_older_than_the_policy_allows(world):
    """Intel calls it up to date; the owner asks for more. And one whose firmware was taken back after it was accepted."""
    agent = world.agent()
    agent.attest()
    with open(world.platform.folder + '/policy.json', encoding='utf-8') as f:
        policy = json.load(f)
    state = json.load(open(os.path.join(world.platform.folder, 'state.json'), encoding='utf-8'))
    number = state['tcbInfo']['tcbEvaluationDataNumber']
    assert world.owner.post('/v1/policies', {'name': 'minimum', 'policy': {**policy, 'intel': {'tcb_evaluation_min': number + 1}}}).status == 201
    assert world.owner.patch('/v1/policies/minimum', {'version': 1}).status == 200
    app = world.owner.get('/v1/instances/' + agent.id).body['app']
    assert world.owner.patch('/v1/apps/' + app, {'policy': 'minimum'}).status == 200
    body = agent.body('renew')
    answer = agent.send(body)
    assert agent.refused(answer, body['nonce'])['refused']['step'] == 'POLICY_TCB_EVALUATION', answer
    assert str(number + 1) in answer.body['expected'] and str(number) in answer.body['actual']


class Others:
    """A second organisation of the same server, with an app of its own."""

    def __init__(self, world):
        world.server.init('other', 'bob')
        self.client = world.server.login('bob', org='other')
        self.client.server = world.server
        answer = self.client.post('/v1/apps', {'name': 'theirs'})
        assert answer.status == 201, answer
        self.build = Build(self.client, 'theirs', '1.0', 0x66, Approver(self.client))


def test_exchanges_that_name_what_is_of_another_organisation(world):
    others = Others(world)
    mine = world.agent()
    mine.attest()
    theirs = world.agent(others.build)
    theirs.attest()
    # Their build for an instance that is mine, placed and not yet started.
    node = Node(world.server, 'mine')
    app = world.owner.get('/v1/instances/' + mine.id).body['app']
    placed = world.owner.post('/v1/instances', {'app': app, 'node': node.id}).body['id']
    thief = world.agent(others.build)
    thief.id = placed
    body = thief.body()
    refused = thief.refused(thief.send(body), body['nonce'])
    assert refused['refused']['step'] == 'APP_DIGEST', refused
    assert world.owner.get('/v1/instances/' + placed).body['state'] == 'requested'
    # A renewal in my name with their key; orders and ends of mine with their token.
    thief.id, thief.key, thief.spki = mine.id, theirs.key, theirs.spki
    body = thief.body('renew')
    assert thief.refused(thief.send(body), body['nonce'])['refused']['step'] in ('INSTANCE_KEY', 'APP_DIGEST')
    wrong = theirs.token('cloche-orders')
    answer = mine.client.get('/v1/exchange/orders', query={'instance': mine.id, 'after': 0, 'wait_s': 0}, headers={'Authorization': 'Cloche-Instance ' + wrong[0]})
    assert answer.status in (401, 403, 404), answer
    answer = mine.client.post('/v1/exchange/end', {'instance': mine.id, 'exit_status': 0, 'reason': 'exited'},
                              headers={'Authorization': 'Cloche-Instance ' + theirs.token('cloche-end')[0]})
    assert answer.status in (401, 403, 404), answer
    # A user's token is none of an instance's, and none of another organisation's sees it.
    for path in f'/v1/instances/{mine.id}', f'/v1/instances/{mine.id}/history', f'/v1/instances/{mine.id}/evidence':
        assert others.client.get(path).status == 404
    assert others.client.post(f'/v1/instances/{mine.id}/stop', {}).status == 404
    assert others.client.get('/v1/exchange/orders', query={'instance': mine.id, 'after': 0, 'wait_s': 0}).status in (401, 403)
    assert mine.id not in {i['instance'] for i in others.client.list('/v1/fleet/forecast')}
    assert others.client.get('/v1/fleet').body['instances'] == {'running': 1}
    assert world.state(mine) == 'running'
    mine.attest('renew')


def test_nonces_of_others(world):
    """Swapped between two agents, each nonce is good, and neither evidence is; a nonce of another control plane is none."""
    one, two = world.agent(), world.agent()
    a, b = one.body(), two.body()
    a['nonce'], b['nonce'] = b['nonce'], a['nonce']
    for agent, body in (one, a), (two, b):
        assert agent.refused(agent.send(body))['refused']['step'] == 'POLICY_REPORT_DATA'
    a['public_key'] = b['public_key']  # nor for the other's key
    assert one.refused(one.send(a))['refused']['step'] in ('POLICY_REPORT_DATA', 'NONCE')
    assert world.owner.list('/v1/instances', build=one.build.id) == []
    with Cloched(emulator_root=world.platform.root) as elsewhere:
        nonce = elsewhere.client().post('/v1/exchange/nonce', {}).body['nonce']
    assert one.refused(one.send(one.body(nonce=nonce)))['refused']['code'] == 'nonce-unknown'
    one.attest()


def test_tokens_of_instances_that_ended(world):
    """An instance's token lives for a minute, and not before its time."""
    agent = world.agent()
    agent.attest()
    for iat in time.time() - 61, time.time() + 120:
        assert agent.orders(token=agent.token('cloche-orders', iat=int(iat))).status == 401
    assert agent.orders() == []
