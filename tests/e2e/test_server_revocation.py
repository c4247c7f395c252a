# SPDX-License-Identifier: Apache-2.0
"""Revocation of each kind, through the API and the command, at one of two servers on one PostgreSQL, of an instance that waits at the other: told at once, refused for good, its
certificates on the list that openssl reads, on record; and what cannot be revoked."""
import os
import subprocess
import sys
import threading
import time

import pytest
from cryptography import x509

import cloched
from cli_of import Cli
from exchange_agent import Agent, Approver, Platform, spki_sha256
from objects import Node
from test_server_exchange import new_app, roots, server_parked

sys.path.insert(0, os.path.join(cloched.ROOT, 'tests', 'unit', 'server'))
import postgresql  # noqa: E402

KINDS = ['instance', 'build', 'app', 'node', 'platform']


class Two:
    """first: where instances are; second: where people are."""

    def __init__(self, folder, url):
        self.platform = Platform(folder / 'pki')
        options = {'store': url, 'emulator_root': self.platform.root}
        self.first = cloched.Cloched(**options)
        self.second = None
        try:
            self.second = cloched.Cloched(folder=self.first.folder, init=False, **options)
            self.owner = self.second.owner
            self.approver = Approver(self.owner)
            self.pin = spki_sha256(roots(self.first)[0])
            home = folder / 'home'
            home.mkdir()
            self.cli = Cli(home, self.second)
        except BaseException:
            self.close()
            raise

    def close(self):
        for server in self.second, self.first:
            if server:
                server.close()
        self.platform.close()

    def agent(self, instance=None, app=None, build=None):
        if app is None:
            app, build = new_app(self.owner, self.approver)
        agent = Agent(self.first.client(), self.platform, build, self.pin)
        agent.app, agent.id = app, instance
        return agent

    def placed(self, beside=None):
        """An agent on a node; beside: another one's, of the same app."""
        app, build = (beside.app, beside.build) if beside else new_app(self.owner, self.approver)
        node = beside.node if beside else Node(self.second, 'node-of-' + app)
        answer = self.owner.post('/v1/instances', {'app': app, 'node': node.id})
        assert answer.status == 201, answer
        agent = self.agent(answer.body['id'], app, build)
        agent.node = node
        return agent

    def shown(self, agent):
        return self.owner.get('/v1/instances/' + agent.id).body

    def object_of(self, kind, agent):
        return {'instance': agent.id, 'build': agent.build.id, 'app': agent.app, 'node': agent.node.id,
                'platform': self.shown(agent)['platform']}[kind]

    def revoked_serials(self):
        """Of all lists of revoked certificates, as openssl reads and verifies them."""
        serials = set()
        for authority in self.owner.get('/v1/ca').body['authorities']:
            if authority['kind'] != 'intermediate':
                continue
            answer = subprocess.run(['openssl', 'crl', '-inform', 'DER', '-noout', '-text'], input=self.crl(authority['id']), capture_output=True,
                                    timeout=60)
            assert answer.returncode == 0, answer.stderr
            serials |= {int(line.split(':')[1], 16) for line in answer.stdout.decode().splitlines() if 'Serial Number:' in line}
        return serials

    def crl(self, authority):
        connection = self.first.connection(60)
        connection.request('GET', '/v1/ca/crl/' + authority)
        body = connection.getresponse().read()
        connection.close()
        return body


@pytest.fixture(scope='module')
def database():
    with postgresql.Postgresql() as running:
        yield running


@pytest.fixture(scope='module')
def two(tmp_path_factory, database):
    two = Two(tmp_path_factory.mktemp('two'), database.url())
    yield two
    two.close()


def serial(answer):
    return x509.load_pem_x509_certificate(answer['certificates'][0].encode()).serial_number


def wait_for_orders(agent, server):
    """A thread that waits at the first server, and what it got."""
    got = []
    thread = threading.Thread(target=lambda: got.append(agent.orders(wait_s=55)))
    thread.start()
    while thread.is_alive() and server_parked(server) == 0:
        time.sleep(0.02)
    return thread, got


@pytest.mark.parametrize('kind', KINDS[:4])
def test_a_revocation_of_each_kind(two, kind):
    revoke_one(two, kind)


def revoke_one(two, kind):
    agent = two.placed()
    first = agent.attest()
    certificate = serial(first)
    renewed = serial(agent.attest('renew'))
    other = two.agent()  # of another app, on no node
    others = serial(other.attest()) if kind != 'platform' else 0
    ended = two.placed(agent)  # one that is over, as its node says; its certificate is not
    ended_serial = serial(ended.attest())
    assert agent.node.report(ended.id, 'exited')['taken'] == 1
    events = two.first.owner.events()
    thread, got = wait_for_orders(agent, two.first)
    named = two.object_of(kind, agent)
    if kind in ('node', 'build', 'instance'):  # through the command, by the names that people use
        word = {'node': agent.node.name, 'build': f'{agent.app}/1.0', 'instance': agent.id}[kind]
        shown = two.cli.json(kind, 'revoke', word, '--reason', 'a leak')
    else:
        answer = two.owner.post('/v1/revocations', {'kind': kind, 'object': named, 'reason': 'a leak'})
        assert answer.status == 201, answer
        shown = answer.body
    assert shown['kind'] == kind and shown['instances'] == 1, shown
    thread.join(60)
    assert [o['kind'] for o in got[0]] == ['revoke'] and 'a leak' in got[0][0]['reason'], got
    assert two.shown(agent)['state'] == 'revoked' and two.shown(agent)['wanted'] == 'stop'
    # Renewals and starts are refused for good.
    body = agent.body('renew')
    refused = agent.refused(agent.send(body), body['nonce'])
    assert refused['refused']['code'] == 'revoked' and refused['final'] is True
    if kind in ('build', 'app', 'platform'):
        late = two.agent(app=agent.app, build=agent.build)
        body = late.body()
        answer = late.send(body)
        refused = late.refused(answer, body['nonce'])
        assert refused['refused']['code'] == 'revoked' and refused['final'] is True and 'a leak' in answer.body['detail'], answer
    if kind == 'node':
        assert agent.node.client.get('/v1/node/work').status == 401
        assert two.owner.post('/v1/instances', {'app': agent.app, 'node': agent.node.id}).status == 409
        node = two.owner.get('/v1/nodes/' + agent.node.id).body
        assert node['state'] == 'revoked'
    # The list has its certificates, also those of instances that are over, and no other's.
    serials = two.revoked_serials()
    assert {certificate, renewed} <= serials and others not in serials
    assert (ended_serial in serials) == (kind != 'instance')
    # On record, once.
    id_ = shown['object']
    audit = [e['entry'] for e in two.owner.list('/v1/audit', action='revocation.add') if e['entry']['object'] == id_]
    assert [(e['object'], e['detail']['kind'], e['detail']['reason']) for e in audit] == [(id_, kind, 'a leak')]
    wanted = ('instance.revoked', agent.id) if kind == 'instance' else (kind + '.revoked', id_)
    assert next(e for e in events if (e[0], e[1]['object']) == wanted)
    events.close()
    assert [(r['kind'], r['reason']) for r in two.owner.list('/v1/revocations') if r['object'] == id_] == [(kind, 'a leak')]
    # Once more changes nothing.
    answer = two.owner.post('/v1/revocations', {'kind': kind, 'object': id_, 'reason': 'another'})
    assert answer.status == 201 and answer.body['instances'] == 0, answer
    assert [r['reason'] for r in two.owner.list('/v1/revocations') if r['object'] == id_] == ['a leak']
    assert agent.orders() == []
    history = [line['state'] for line in two.owner.list(f'/v1/instances/{agent.id}/history')]
    assert history.count('revoked') == 1, history
    if kind != 'platform':
        other.attest('renew')  # whom it does not meet goes on


def test_what_is_not_there_and_what_is_of_others(two):
    agent, before = two.placed(), two.owner.list('/v1/revocations')
    agent.attest()
    objects = {kind: two.object_of(kind, agent) for kind in KINDS}
    two.first.init('other', 'bob')
    bob = two.first.login('bob', org='other')
    for kind, named in objects.items():
        answer = bob.post('/v1/revocations', {'kind': kind, 'object': named, 'reason': 'mischief'})
        # A platform is not anybody's: it is refused to bob's organisation alone.
        assert answer.status == (404 if kind != 'platform' else 201), (kind, answer)
        if kind == 'platform':
            assert answer.body['instances'] == 0
    assert two.shown(agent)['state'] == 'running'
    agent.attest('renew')
    for kind in KINDS[:4]:
        unknown = {'instance': 'ins', 'build': 'bld', 'app': 'app', 'node': 'nod'}[kind] + '_' + '0' * 26
        for named in unknown, 'no-such', "' OR 1=1 --":
            assert two.owner.post('/v1/revocations', {'kind': kind, 'object': named, 'reason': 'x'}).status == 404, (kind, named)
    for named in 'x', 'zz' * 16, 'AB' * 16, 'ab' * 3:
        assert two.owner.post('/v1/revocations', {'kind': 'platform', 'object': named, 'reason': 'x'}).status == 400
    assert two.owner.post('/v1/revocations', {'kind': 'user', 'object': 'x', 'reason': 'x'}).status == 400
    assert two.owner.list('/v1/revocations') == before
    two.cli.refused('node', 'revoke', 'no-such')


def test_what_one_server_revoked_holds_when_it_is_killed(two):
    """What is committed at one server holds at the other, though nobody waits."""
    agent = two.placed()
    agent.attest()
    assert two.owner.post('/v1/revocations', {'kind': 'build', 'object': agent.build.id, 'reason': 'a leak'}).status == 201
    two.second.kill()
    body = agent.body('renew')
    assert agent.refused(agent.send(body), body['nonce'])['final'] is True
    assert [o['kind'] for o in agent.orders()] == ['revoke']
    two.second.start()
    two.owner.server = two.second


def test_a_platform(two):
    """The last: nothing of this platform is accepted any more."""
    for state in ('running', 'unreachable', 'stopping'):
        for instance in two.owner.list('/v1/instances', state=state):
            assert two.owner.post('/v1/revocations', {'kind': 'instance', 'object': instance['id'], 'reason': 'the end'}).status == 201
    revoke_one(two, 'platform')
