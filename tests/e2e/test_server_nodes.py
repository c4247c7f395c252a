# SPDX-License-Identifier: Apache-2.0
"""Nodes show what their platform is, and what a node that lies gets: nothing, and a reason that everybody sees."""
import contextlib
import json
import secrets
import shutil
import sqlite3
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloched import Cloched
from exchange_agent import QUOTE_STREAM, Agent, Approver, Build, Platform, b64, spki_sha256, verify_jws
from test_server_exchange import roots

NO_CLAIMS = {'tee': None, 'platform_id': None, 'tcb': None, 'attested': False}


class OtherPlatform(Platform):
    """Another machine of the same maker: its own platform id and keys under the same root."""

    def __init__(self, folder, of):  # pylint: disable=super-init-not-called
        self.folder = str(folder)
        shutil.copytree(of.folder, self.folder)
        path = self.folder + '/state.json'
        with open(path, encoding='ascii') as f:
            state = json.load(f)
        state['platform']['ppid'] = secrets.token_hex(16).upper()
        with open(path, 'w', encoding='ascii') as f:
            json.dump(state, f)
        self.pki('issue-pck')
        self.child = subprocess.Popen([QUOTE_STREAM, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


@pytest.fixture(scope='module')
def elsewhere(tmp_path_factory, platform):
    p = OtherPlatform(tmp_path_factory.mktemp('elsewhere') / 'pki', platform)
    yield p
    p.close()


@pytest.fixture(scope='module')
def server(platform):
    with Cloched(emulator_root=platform.root, node_evidence=None) as s:
        s.pin = spki_sha256(roots(s)[0])
        yield s


_names = []


class Node:
    """A node as an honest one would be, until a test tells it to lie."""

    def __init__(self, server, platform, key=None, client=None):
        self.server, self.platform = server, platform
        self.name = f'n{len(_names)}'
        _names.append(self.name)
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.owner = client or server.owner
        self.joined = self.join(self.owner.post('/v1/nodes/tokens', {'name': self.name}).body['token'])
        if self.joined.status == 201:
            self.id = self.joined.body['node']['id']
            self.client = server.client(self.joined.body['token'])

    def join(self, token, **more):
        return self.server.client().post('/v1/nodes/join', {'token': token, 'public_key': b64(self.spki), **more})

    def beat(self, **members):
        answer = self.client.post('/v1/node/heartbeat', {'tee': 'sgx', 'emulated': True, 'capacity': {'instances': 4}, **members})
        assert answer.status == 200, answer
        return answer.body

    def nonce(self):
        return self.client.post('/v1/exchange/nonce', {}).body['nonce']

    def body(self, platform=None, key_owner=None, **more):
        agent = Agent(self.client, platform or self.platform, None, None)
        agent.spki = (key_owner or self).spki
        agent.build = type('Build', (), {'app_digest': '00' * 48, 'mrenclave': more.pop('mrenclave', 0x77)})
        body = agent.body('node', node=self.id, **more)
        del body['app_digest']
        return body

    def send(self, body):
        return self.client.post('/v1/exchange/evidence', body)

    def attest(self, **more):
        body = self.body(**more)
        answer = self.send(body)
        assert answer.status == 200, answer
        payload = verify_jws(answer.body['answer'], self.server.pin)
        assert payload['node'] == self.id and payload['nonce'] == body['nonce'] and payload['time'] < payload['until']
        return payload

    def refused(self, body, step=None, code='attestation-refused'):
        answer = self.send(body)
        assert answer.status == 403 and answer.code == code, answer
        assert step is None or answer.body['step'] == step, answer
        assert verify_jws(answer.body['answer'], self.server.pin)['refused']['code'] == code
        return answer.body

    def work(self):
        return self.client.get('/v1/node/work').body

    @property
    def shown(self):
        return self.owner.get('/v1/nodes/' + self.id).body


def claims(node):
    return {name: node.shown[name] for name in NO_CLAIMS}


@pytest.fixture(scope='module')
def app(server):
    approver = Approver(server.owner)
    assert server.owner.post('/v1/apps', {'name': 'hotel'}).status == 201
    return Build(server.owner, 'hotel', '1.0', 0x11, approver)


def place(server, node):
    return server.owner.post('/v1/instances', {'app': 'hotel', 'node': node.id})


@pytest.fixture
def node(server, platform):
    n = Node(server, platform)
    n.beat()
    return n


def test_no_evidence_no_instances(server, node, app):
    assert node.shown['state'] == 'joined' and claims(node) == {**NO_CLAIMS, 'tee': 'sgx'} and node.work()['attest']
    assert 'no evidence' in place(server, node).body['detail']
    payload = node.attest()
    ear = verify_jws(payload['result'], server.pin, 'ear+jwt')
    assert ear['submods']
    shown = node.shown
    assert (shown['state'], shown['tee'], shown['emulated'], shown['tcb'], shown['attested']) == ('ready', 'sgx', True, 'UpToDate', True)
    assert shown['platform_id'] and shown['attested_at'] < shown['evidence_until'] and shown['refusal'] is None
    assert not node.work()['attest']
    assert place(server, node).status == 201
    kept = server.owner.get(f'/v1/nodes/{node.id}/evidence').body
    assert kept['evidence'][0] == 'application/vnd.cloche.intel-quote' and kept['collateral'] and kept['appraisal']['submods'] == ear['submods']
    assert event_of(server, 'node.attested', node.id)['tcb_status'] == 'UpToDate'


def test_it_is_asked_for_fresh_evidence(node):
    node.attest()
    assert node.owner.post(f'/v1/nodes/{node.id}/attest').status == 200 and node.work()['attest']
    before = node.shown['attested_at']
    node.attest()
    assert not node.work()['attest'] and node.shown['attested_at'] > before


def test_another_platform_is_another_node(server, node, app, elsewhere):
    node.attest()
    before = claims(node)
    wrong = node.refused(node.body(elsewhere), 'NODE_PLATFORM')
    assert wrong['expected'] == before['platform_id'] != wrong['actual'] and 'as a node of its own' in wrong['fix']
    shown = node.shown
    assert shown['state'] == 'refused' and shown['refusal'].startswith('NODE_PLATFORM: ') and claims(node) == before
    assert 'another platform' in place(server, node).body['detail']
    node.beat()  # it goes on as if nothing were: still refused
    assert node.shown['state'] == 'refused'
    node.attest()
    assert node.shown['state'] == 'ready' and node.shown['refusal'] is None and claims(node) == before


def test_nodes_of_one_platform_are_counted(server, elsewhere):
    one, two = Node(server, elsewhere), Node(server, elsewhere)
    one.attest()
    same = one.shown['same_platform']
    two.attest()
    assert one.shown['same_platform'] == same + 1 == two.shown['same_platform']


def test_evidence_of_another_node_shows_nothing(server, node, elsewhere):
    other = Node(server, elsewhere)
    assert server.owner.get(f'/v1/nodes/{node.id}/evidence').status == 404
    replayed = other.body()
    assert other.client.post('/v1/exchange/evidence', {**replayed, 'node': node.id}).code == 'forbidden'  # with its own token
    assert node.client.post('/v1/exchange/evidence', replayed).code == 'forbidden'  # with this one's
    node.refused({**replayed, 'node': node.id}, 'NODE_KEY')  # about the other's key
    assert claims(node) == {**NO_CLAIMS, 'tee': 'sgx'} and node.shown['state'] == 'refused'
    fresh = {**other.body(), 'node': node.id, 'public_key': b64(node.spki)}  # as if it were about this one's
    node.refused(fresh, 'POLICY_REPORT_DATA')
    assert claims(node) == {**NO_CLAIMS, 'tee': 'sgx'}
    node.attest()
    other.attest()
    assert claims(node)['platform_id'] != claims(other)['platform_id']
    node.refused({**other.body(), 'node': node.id, 'public_key': b64(node.spki)}, 'POLICY_REPORT_DATA')
    assert claims(node)['platform_id'] != claims(other)['platform_id'] and node.shown['attested']


def test_evidence_about_another_key(node, server):
    node.attest()
    stranger = type('Stranger', (), {'spki': ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)})
    node.refused(node.body(key_owner=stranger), 'NODE_KEY')
    taken = Node(server, node.platform, key=node.key)
    assert taken.joined.status == 409 and taken.joined.code == 'already-exists'


def test_the_first_key_stays(server, platform):
    """A node that named no key when it joined has the one of its first evidence."""
    node = Node(server, platform)
    keyless = server.client().post('/v1/nodes/join', {'token': node.owner.post('/v1/nodes/tokens', {'name': 'keyless'}).body['token']})
    assert keyless.status == 201
    node.id, node.client = keyless.body['node']['id'], server.client(keyless.body['token'])
    node.spki = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    node.attest()
    node.spki = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    node.refused(node.body(), 'NODE_KEY')


def test_nonces(node):
    body = node.body()
    assert node.send(body).status == 200
    node.refused(body, code='nonce-used')
    kept = node.owner.get(f'/v1/nodes/{node.id}/evidence').body
    assert kept['evidence'] == body['evidence']['evidence']
    node.refused({**node.body(), 'nonce': node.nonce()}, 'POLICY_REPORT_DATA')
    node.refused(node.body(nonce=b64(b'n' * 32)), code='nonce-unknown')
    assert node.owner.get(f'/v1/nodes/{node.id}/evidence').body == kept  # what was refused for another nonce is not kept
    assert node.shown['state'] == 'refused'  # by the evidence that was about another nonce


def test_debug_enclaves_and_missing_collateral(node):
    node.refused(node.body(flags='sd'))
    assert node.shown['state'] == 'refused'
    node.refused(node.body(flags='-'))


def test_only_named_enclaves(platform):
    with Cloched(emulator_root=platform.root, node_evidence=None, node_mrenclaves=['77' * 32]) as server:
        server.pin = spki_sha256(roots(server)[0])
        node = Node(server, platform)
        node.refused(node.body(mrenclave=0x78), 'NODE_MRENCLAVE')
        node.attest(mrenclave=0x77)
        node.beat()
        assert node.shown['state'] == 'ready'


def test_what_it_says_of_its_tee_counts_no_more(server, platform, app):
    liar = Node(server, platform)
    assert liar.beat(tee='snp', emulated=False)['state'] == 'joined'  # its word alone: no instances
    assert place(server, liar).code == 'no-node'
    liar.attest()
    for lie in ({'tee': 'snp', 'emulated': False}, {'tee': 'tdx', 'emulated': False}, {'emulated': False}):
        shown = liar.beat(**lie)
        assert shown['tee'] == 'sgx' and shown['emulated'] and shown['attested'], lie


def test_emulated_evidence_is_nothing_without_an_emulator_root(platform):
    with Cloched(node_evidence=None) as server:
        server.pin = spki_sha256(roots(server)[0])
        node = Node(server, platform)
        node.beat(emulated=False)
        node.refused(node.body())
        assert node.shown['state'] == 'refused' and not node.shown['attested'] and node.shown['platform_id'] is None


def test_an_instance_runs_on_its_nodes_platform(server, node, app, platform, elsewhere):
    """The node shows a good machine, and runs what it is given on another one."""
    node.attest()
    made = place(server, node)
    assert made.status == 201, made
    for where, accepted in ((elsewhere, False), (platform, True)):
        agent = Agent(server.client(), where, app, server.pin)
        agent.id = made.body['id']
        answer = agent.send(agent.body())
        assert answer.status == (200 if accepted else 403), answer
        if not accepted:
            assert answer.body['step'] == 'NODE_PLATFORM' and answer.body['expected'] == node.shown['platform_id']


def test_a_replayed_quote_harms_no_instance(server, node, app, platform):
    """Who knows an instance's id and has a quote of its build, but not for this nonce, cannot have it refused; nor make one."""
    node.attest()
    made = place(server, node).body['id']
    count = len(server.owner.list('/v1/instances'))
    for named in (made, None):
        agent = Agent(server.client(), platform, app, server.pin)
        agent.id = named
        answer = agent.send({**agent.body(), 'nonce': agent.nonce()})
        assert answer.status == 403 and answer.body['step'] == 'POLICY_REPORT_DATA', answer
    assert server.owner.get('/v1/instances/' + made).body['state'] == 'requested'
    assert [i['wanted'] for i in node.work()['instances'] if i['id'] == made] == ['run']
    assert len(server.owner.list('/v1/instances')) == count


@pytest.mark.parametrize('capacity', [
    {'instances': -1}, {'instances': True}, {'instances': 1.5}, {'instances': '4'}, {'instances': 2 ** 63}, {'memory_size': 2 ** 53 + 1},
    {'cpus': None}, {'cpus': [1]}, {'disks': 1}, {'instances': {'instances': 1}}, {f'x{i}': 1 for i in range(1000)}, [], 'all of it'])
def test_capacity_that_makes_no_sense(node, capacity):
    answer = node.client.raw('POST', '/v1/node/heartbeat', json.dumps({'capacity': capacity}), {'Content-Type': 'application/json'})
    assert answer.status == 400, answer
    assert node.shown['capacity'] == {'instances': 4}


@pytest.mark.parametrize('change', [
    {'node': 'nod_../../etc'}, {'node': 'x' * 65}, {'node': None}, {'node': 7}, {'public_key': 'AAAA'}, {'public_key': ''},
    {'public_key': b64(b'x' * 91)}, {'nonce': 'AAAA'}, {'nonce': []}, {'evidence': {}}, {'evidence': []}, {'evidence': 'quote'},
    {'evidence': ['application/vnd.cloche.intel-quote', '!', 4]}, {'evidence': ['text/plain', 'AAAA', 4]},
    {'evidence': ['application/vnd.cloche.intel-quote', b64(b'\xff' * 40000), 4]}, {'purpose': 'nodes'}, {'purpose': {}}])
def test_malformed_evidence(node, change):
    answer = node.client.raw('POST', '/v1/exchange/evidence', json.dumps({**node.body(), **change}), {'Content-Type': 'application/json'})
    assert answer.status in (400, 403) and answer.code != 'internal', answer
    assert claims(node) == {**NO_CLAIMS, 'tee': 'sgx'}


def test_rubbish_for_a_quote(node):
    body = node.body()
    kind, quote, indicator = body['evidence']['evidence'] if isinstance(body['evidence'], dict) else body['evidence']
    for wrong in (b64(b'\0' * 500), quote[:200], quote[:-8] + 'AAAAAAAA', b64(secrets.token_bytes(5000))):
        node.refused({**node.body(), 'evidence': [kind, wrong, indicator]})
        assert claims(node) == {**NO_CLAIMS, 'tee': 'sgx'} and node.shown['state'] == 'refused'
    huge = json.dumps({**node.body(), 'evidence': [kind, 'A' * 600000, indicator]})
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not hear all of it
        assert node.client.raw('POST', '/v1/exchange/evidence', huge, {'Content-Type': 'application/json'}).status == 413
    assert claims(node) == {**NO_CLAIMS, 'tee': 'sgx'}


def test_reports_are_about_its_own(server, node, app, platform):
    node.attest()
    liar = Node(server, platform)
    liar.beat()
    liar.attest()
    made = place(server, node).body['id']
    lie = [{'id': made, 'process': 'exited', 'exit_status': 0, 'reason': 'all is well'}, {'id': 'ins_none', 'process': 'running'},
           {'id': node.id, 'process': 'exited'}, {'id': "' OR 1=1 --", 'process': 'failed'}]
    answer = liar.client.post('/v1/node/reports', {'instances': lie})
    assert answer.status == 200 and answer.body == {'taken': 0, 'unknown': [item['id'] for item in lie]}
    shown = server.owner.get('/v1/instances/' + made).body
    assert shown['state'] == 'requested' and shown['exit_status'] is None
    for wrong in ([{'id': made, 'process': 'exited', 'exit_status': 256}], [{'id': made, 'process': 'exited', 'exit_status': -1}],
                  [{'id': made, 'process': 'gone'}], [{'id': made, 'process': 'exited', 'reason': 'x' * 513}], [7], [[]],
                  [{'id': made}], [{'process': 'running'}], [{'id': made, 'process': 'running'}] * 1001):
        answer = node.client.raw('POST', '/v1/node/reports', json.dumps({'instances': wrong}), {'Content-Type': 'application/json'})
        assert answer.status == 400, (str(wrong)[:80], answer)
    assert server.owner.get('/v1/instances/' + made).body['state'] == 'requested'


def test_tokens(server, platform):
    """A join token is good once, in its time, for its organisation; a node's token until it is revoked."""
    owner = server.owner
    token = owner.post('/v1/nodes/tokens', {}).body['token']
    node = Node(server, platform)
    node.key = ec.generate_private_key(ec.SECP256R1())
    first = server.client().post('/v1/nodes/join', {'token': token, 'name': 'once'})
    assert first.status == 201
    assert server.client().post('/v1/nodes/join', {'token': token, 'name': 'twice'}).code == 'join-token-invalid'
    late = owner.post('/v1/nodes/tokens', {'lifetime_s': 60}).body
    withdrawn = owner.post('/v1/nodes/tokens', {}).body
    assert owner.delete('/v1/tokens/' + withdrawn['id']).status == 204
    assert server.client().post('/v1/nodes/join', {'token': withdrawn['token'], 'name': 'late'}).code == 'join-token-invalid'
    for wrong in ('', 'x', late['token'] + 'x', late['token'][:-1], joined_token(node), owner.token):
        answer = server.client().raw('POST', '/v1/nodes/join', json.dumps({'token': wrong, 'name': 'late'}), {'Content-Type': 'application/json'})
        assert answer.status in (400, 403), (wrong, answer)
    assert not any(shown['name'] in ('twice', 'late') for shown in owner.list('/v1/nodes'))
    assert owner.post('/v1/revocations', {'kind': 'node', 'object': node.id, 'reason': 'it lies'}).status == 201
    for method, path, body in (('GET', '/v1/node', None), ('GET', '/v1/node/work', None), ('POST', '/v1/node/heartbeat', {}),
                               ('POST', '/v1/node/reports', {'instances': []})):
        assert node.client.request(method, path, body).status == 401, path
    assert node.send(node.body()).status == 401
    assert node.shown['state'] == 'revoked' and claims(node) == NO_CLAIMS
    for verb in ('drain', 'resume', 'attest'):
        assert owner.post(f'/v1/nodes/{node.id}/{verb}').code == 'revoked'


def joined_token(node):
    return node.joined.body['token']


def test_another_organisations_token(server, platform, node):
    server.init('beta', 'mallory')
    mallory = server.login('mallory', org='beta')
    theirs = Node(server, platform, client=mallory)
    assert theirs.shown['state'] == 'joined' and not any(n['id'] == theirs.id for n in server.owner.list('/v1/nodes'))
    assert theirs.client.post('/v1/exchange/evidence', node.body()).code == 'forbidden'
    assert node.client.post('/v1/exchange/evidence', {**theirs.body(), 'node': theirs.id}).code == 'forbidden'
    for verb in ('drain', 'resume', 'attest'):
        assert mallory.post(f'/v1/nodes/{node.id}/{verb}').status == 404
    theirs.attest()  # the same key or platform elsewhere is nobody's business here
    assert node.shown['same_platform'] == len([n for n in server.owner.list('/v1/nodes') if n['platform_id']
                                               and n['platform_id'] == node.shown['platform_id'] and n['id'] != node.id
                                               and n['state'] != 'revoked'])


def test_a_revoked_platform_shows_evidence_in_vain(platform):
    with Cloched(emulator_root=platform.root, node_evidence=None) as server:
        server.pin = spki_sha256(roots(server)[0])
        node = Node(server, platform)
        node.attest()
        server.owner.post('/v1/revocations', {'kind': 'platform', 'object': node.shown['platform_id'], 'reason': 'its fuses are known'})
        assert 'fuses' in node.refused(node.body(), 'REVOCATION', 'revoked')['detail']
        assert node.shown['state'] == 'refused' and 'fuses' in node.shown['refusal']


def age(server, node, change):
    """What time would do to its row."""
    sql, store = f"UPDATE nodes SET {change} WHERE id = '{node.id}'", server.options['store']
    if store.startswith('sqlite:'):
        with contextlib.closing(sqlite3.connect(store[7:], timeout=60)) as db, db:
            assert db.execute(sql).rowcount == 1
    else:
        done = subprocess.run(['psql', '-d', store, '-c', sql], capture_output=True, check=True, timeout=60)
        assert done.stdout.strip() == b'UPDATE 1'


def event_of(server, kind, object_id, wanted=lambda data: True):
    """The event about the object; it may come in some seconds."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for event in server.owner.list('/v1/events', kind=kind):
            if event['object'] == object_id and wanted(event['data']):
                return event['data']
        time.sleep(0.2)
    raise AssertionError(f'no {kind} of {object_id}')


def test_evidence_ends(server, node, app):
    node.attest()
    age(server, node, 'attested_ms = 1000, judged_ms = 1000, evidence_until_ms = 2000')
    assert node.work()['attest']
    assert 'evidence has ended' in place(server, node).body['detail']
    event_of(server, 'node.refused', node.id, lambda data: 'has ended' in data['reason'])
    shown = node.shown
    assert shown['state'] == 'refused' and shown['refusal'].startswith('EVIDENCE_AGE') and shown['tcb'] == 'UpToDate'
    node.attest()
    assert node.shown['state'] == 'ready' and place(server, node).status == 201


def test_half_of_its_time(server, node):
    node.attest()
    until = server.owner.get('/v1/nodes/' + node.id).body['evidence_until']
    assert not node.work()['attest']
    age(server, node, 'attested_ms = attested_ms - 3500000, judged_ms = judged_ms - 3500000')
    assert not node.work()['attest'] and node.shown['evidence_until'] == until
    age(server, node, 'attested_ms = attested_ms - 4000000, judged_ms = judged_ms - 4000000')
    assert node.work()['attest'] and node.shown['state'] == 'ready'


def test_silence(server, node, app):
    node.attest()
    age(server, node, 'seen_ms = seen_ms - 91000')
    assert 'silent' in place(server, node).body['detail']
    event_of(server, 'node.silent', node.id)
    assert node.shown['state'] == 'silent'
    assert node.beat()['state'] == 'ready'


def policy(platform, **members):
    with open(platform.root, encoding='ascii') as f:
        root = {'name': 'emulator', 'certificate': f.read()}
    return {'version': 1, 'name': 'nodes', 'roots': [root], 'tee': ['sgx'], **members}


def test_stored_evidence_is_judged_again(platform):
    """A policy that a node's evidence does not satisfy takes it out, and the next one that it does, in again."""
    with Cloched(emulator_root=platform.root, node_evidence=None) as server:
        server.pin, owner = spki_sha256(roots(server)[0]), server.owner
        node = Node(server, platform)
        node.beat()
        node.attest()
        assert owner.post('/v1/policies', {'name': 'nodes', 'policy': policy(platform)}).status == 201
        other = policy(platform, identities=[{'name': 'hotel', 'sgx': {'mrenclave': '11' * 32}}])
        assert owner.post('/v1/policies/nodes/versions', {'policy': other}).status == 201
        assert owner.patch('/v1/policies/nodes', {'version': 2, 'default': True}).status == 200
        event_of(server, 'node.refused', node.id)
        assert node.shown['state'] == 'refused' and node.work()['attest']
        node.refused(node.body())
        assert owner.patch('/v1/policies/nodes', {'version': 1}).status == 200
        tag = node.work()['tag']
        while not node.work()['attest']:
            tag = node.client.get('/v1/node/work', query={'after': tag, 'wait_s': 10}).body['tag']
        node.attest()
        assert node.shown['state'] == 'ready'


def test_drain(server, node, app):
    node.attest()
    made = place(server, node).body['id']
    node.client.post('/v1/node/reports', {'instances': [{'id': made, 'process': 'running'}]})
    drained = server.owner.post(f'/v1/nodes/{node.id}/drain').body
    assert drained['state'] == 'draining' and drained['instances'] == 1
    assert 'draining' in place(server, node).body['detail']
    node.attest()  # it shows evidence while it drains
    node.refused({**node.body(), 'nonce': node.nonce()}, 'POLICY_REPORT_DATA')
    assert node.shown['state'] == 'draining'
    node.client.post('/v1/node/reports', {'instances': [{'id': made, 'process': 'exited', 'exit_status': 0}]})
    assert node.shown['state'] == 'drained'
    event_of(server, 'node.drained', node.id)
    assert server.owner.post(f'/v1/nodes/{node.id}/resume').body['state'] == 'refused'  # what it showed last was not good
    node.attest()
    assert node.shown['state'] == 'ready'
