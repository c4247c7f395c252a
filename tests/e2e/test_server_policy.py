# SPDX-License-Identifier: Apache-2.0
"""Policies against a fleet that attested: the dry run says which instances would fall, why and when; what is put in force makes them fall."""
import contextlib
import datetime
import os
import sqlite3

import pytest
from cloched import Cloched
from exchange_agent import Agent, Approver, Build, Platform, spki_sha256
from cryptography import x509


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


@pytest.fixture
def server(platform):
    with Cloched(emulator_root=platform.root, trust_domain='example.org', urls=['https://cloche.example.org']) as s:
        yield s


@pytest.fixture
def fleet(server, platform):
    """Two apps, each with an instance that runs."""
    owner = server.owner
    approver = Approver(owner)
    root = x509.load_pem_x509_certificate(server.client().get('/v1/ca/roots').text.encode())
    agents = {}
    for number, name in enumerate(('hotel', 'spa')):
        assert owner.post('/v1/apps', {'name': name}).status == 201
        build = Build(owner, name, '1.0', 0x11 + number, approver)
        agents[name] = Agent(server.client(), platform, build, spki_sha256(root))
        agents[name].attest()
    return agents


def policy(platform, **members):
    """One that accepts this emulator."""
    with open(platform.root, encoding='ascii') as f:
        root = {'name': 'emulator', 'certificate': f.read()}
    return {'version': 1, 'name': 'emulated', 'roots': ['intel', root], 'tee': ['sgx'], **members}


def try_policy(owner, name, **body):
    answer = owner.post(f'/v1/policies/{name}/try', body)
    assert answer.status == 200, answer
    return answer.body


def test_dry_run(server, fleet, platform):
    owner = server.owner
    # Not attached to anything: tried on all.
    owner.post('/v1/policies', {'name': 'makers', 'policy': {'version': 1, 'roots': ['intel', 'amd']}})
    tried = try_policy(owner, 'makers')
    assert tried['against'] is None and tried['newly_refused'] == tried['refused'] == 2 and tried['accepted'] == 0
    for instance in tried['instances']:
        assert instance['now'] == 'accepted' and instance['then'] == 'refused'
        assert 'ROOT' in instance['step'] and instance['fix'] and instance['actual'], instance
    assert {change['member'] for change in tried['changes']} == {'roots'}
    # A text that is not kept.
    tried = try_policy(owner, 'makers', policy=policy(platform))
    assert tried['accepted'] == 2 and tried['newly_refused'] == 0
    untils = [instance['until'] for instance in tried['instances']]
    assert all(untils)
    late = datetime.datetime.fromisoformat(max(untils).replace('Z', '+00:00')) + datetime.timedelta(days=1)
    tried = try_policy(owner, 'makers', policy=policy(platform), at=late.strftime('%Y-%m-%dT%H:%M:%SZ'))
    assert tried['refused'] == 2 and tried['newly_refused'] == 0  # nothing that is in force holds then either
    # One build alone.
    one = policy(platform, identities=[{'name': 'hotel', 'sgx': {'mrenclave': '11' * 32}}])
    tried = try_policy(owner, 'makers', policy=one)
    assert (tried['accepted'], tried['newly_refused']) == (1, 1)
    fallen = [instance for instance in tried['instances'] if instance['then'] == 'refused']
    assert fallen[0]['id'] == fleet['spa'].id and fallen[0]['step']
    # Nothing of it had an effect.
    assert {i['state'] for i in owner.list('/v1/instances')} == {'running'}


def test_attached(server, fleet, platform):
    """A policy that is attached is tried on what it judges."""
    owner = server.owner
    owner.post('/v1/policies', {'name': 'emulated', 'policy': policy(platform)})
    owner.patch('/v1/policies/emulated', {'version': 1})
    assert owner.patch('/v1/apps/hotel', {'policy': 'emulated'}).status == 200
    tried = try_policy(owner, 'emulated')
    assert [instance['id'] for instance in tried['instances']] == [fleet['hotel'].id]
    assert owner.patch('/v1/policies/emulated', {'default': True}).status == 200
    assert {instance['id'] for instance in try_policy(owner, 'emulated')['instances']} == {fleet['hotel'].id, fleet['spa'].id}


def test_in_force(server, fleet, platform):
    """What the dry run said happens: the instance falls, the other does not, and its renewal is refused."""
    owner = server.owner
    owner.post('/v1/policies', {'name': 'emulated', 'policy': policy(platform)})
    assert owner.patch('/v1/policies/emulated', {'version': 1, 'default': True}).status == 200
    fleet['spa'].attest('renew')
    one = policy(platform, identities=[{'name': 'hotel', 'sgx': {'mrenclave': '11' * 32}}])
    added = owner.post('/v1/policies/emulated/versions', {'policy': one}).body
    assert [change['effect'] for change in added['changes']] == ['accepts-less']
    tried = try_policy(owner, 'emulated', version=2)
    assert tried['newly_refused'] == 1
    assert owner.patch('/v1/policies/emulated', {'version': 2}).status == 200
    with contextlib.closing(owner.events(after=0, kind='instance.fallen')) as events:
        assert next(iter(events))[1]['object'] == fleet['spa'].id
    fleet['hotel'].attest('renew')
    fleet['spa'].refused(fleet['spa'].send(fleet['spa'].body('renew')))
    assert set(objects_of(server, 'instance.fallen')) == {fleet['spa'].id}


def objects_of(server, kind):
    with sqlite3.connect(os.path.join(server.folder, 'cloche.db')) as db:
        return [row[0] for row in db.execute('SELECT object FROM events WHERE kind = ? ORDER BY number', (kind,))]
