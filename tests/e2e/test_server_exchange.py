# SPDX-License-Identifier: Apache-2.0
"""The exchange from outside: what is accepted, what is refused and why, who can read the secrets, orders, revocation, rotation."""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509

from cloched import Cloched
from exchange_agent import Agent, Approver, Build, Platform, b64, decrypt_jwe, spki_sha256, unb64, verify_chain, verify_jws


@pytest.fixture(scope='module')
def platform(tmp_path_factory):
    p = Platform(tmp_path_factory.mktemp('platform') / 'pki')
    yield p
    p.close()


@pytest.fixture(scope='module')
def server(platform):
    with Cloched(emulator_root=platform.root, trust_domain='example.org', urls=['https://cloche.example.org']) as s:
        yield s


@pytest.fixture(scope='module')
def owner(server):
    return server.owner


@pytest.fixture(scope='module')
def approver(owner):
    return Approver(owner)


@pytest.fixture(scope='module')
def pin(server):
    return spki_sha256(roots(server)[0])


def roots(server):
    answer = server.client().get('/v1/ca/roots')
    assert answer.status == 200, answer
    end = '-----END CERTIFICATE-----\n'
    return [x509.load_pem_x509_certificate((pem + end).encode()) for pem in answer.text.split(end)[:-1]]


_apps = []


def new_app(owner, approver, mrenclave=0x11, **settings):
    name = f'app-{len(_apps)}'
    _apps.append(name)
    answer = owner.post('/v1/apps', {'name': name, **settings})
    assert answer.status == 201, answer
    return name, Build(owner, name, '1.0', mrenclave, approver)


@pytest.fixture
def agent(server, owner, approver, platform, pin):
    """One that has not started, of an app of its own."""
    name, build = new_app(owner, approver, dns_names=['hotel.example.org'])
    a = Agent(server.client(), platform, build, pin)
    a.app = name
    return a


def add_secret(owner, app, name, value):
    app_id = owner.get('/v1/apps/' + app).body['id']
    answer = owner.post('/v1/secrets', {'name': name, 'deliver': {'env': name.upper().replace('-', '_')}, 'value': b64(value),
                                        'conditions': {'emulated': True}, 'bindings': [{'app': app_id}]})
    assert answer.status == 201, answer


def test_evidence_gives_certificate_lease_and_secrets(agent, owner):
    add_secret(owner, agent.app, 'password-of-start', b'the password of the database')
    answer = agent.attest()
    assert answer['opened'] == {'password-of-start': b'the password of the database'}
    assert answer['spiffe_id'] == f'spiffe://example.org/org/acme/app/{agent.app}'
    chain = [x509.load_pem_x509_certificate(pem.encode()) for pem in answer['certificates']]
    trusted = [x509.load_pem_x509_certificate(pem.encode()) for pem in answer['roots']]
    verify_chain(chain + trusted[:1], agent.pin)
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [answer['spiffe_id']]
    assert names.get_values_for_type(x509.DNSName) == ['hotel.example.org']
    assert chain[0].public_key().public_numbers() == agent.key.public_key().public_numbers()
    assert answer['time_ms'] // 1000 == answer['time'] and abs(answer['time_ms'] / 1000 - time.time()) < 60
    assert answer['time'] < answer['lease']['renew_after'] < answer['lease']['until'] <= answer['time'] + 3600
    ear = verify_jws(answer['result'], agent.pin, 'ear+jwt')
    assert ear['sub'] == answer['spiffe_id']
    shown = owner.get('/v1/instances/' + agent.id).body
    assert shown['state'] == 'running' and shown['emulated'] and shown['tcb_status'] == 'UpToDate'
    assert shown['appraisal'] and shown['certificate']
    report = owner.get('/v1/audit/report', query={'app': agent.app}).body
    release = report['releases'][-1]
    assert release['secret'] == 'password-of-start' and release['instance'] == agent.id and release['decision'] == 'allowed'
    assert agent.id in [instance['id'] for instance in report['instances']]
    assert release['evidence_sha256'] == [step for step in report['history'] if step['instance'] == agent.id][-1]['evidence_sha256']
    for part in ('builds', 'instances', 'history', 'releases'):
        assert owner.list(f'/v1/audit/report/{part}', app=agent.app, limit=1) == report[part], part


def test_renewal_keeps_the_instance_and_sends_secrets_when_they_change(agent, owner):
    first = agent.attest()
    again = agent.attest('renew')
    assert again['instance'] == first['instance'] and again['secrets'] is None
    add_secret(owner, agent.app, 'password-of-renewal', b'rotated')
    later = agent.attest('renew')
    assert later['opened'] == {'password-of-renewal': b'rotated'}
    assert later['secrets_version'] != first['secrets_version']


def test_an_answer_that_was_lost_is_given_again_to_the_same_key(agent):
    first = agent.attest()
    agent.id = None
    assert agent.attest()['instance'] == first['instance']


def test_a_nonce_is_good_once(agent):
    body = agent.body()
    agent.open(agent.send(body), body['nonce'])
    refused = agent.refused(agent.send(body), body['nonce'])
    assert refused['refused']['code'] == 'nonce-used' and refused['final'] is False


def test_a_nonce_of_someone_else_is_refused(agent):
    made_up = b64(b'n' * 32)
    assert agent.refused(agent.send(agent.body(nonce=made_up)))['refused']['code'] == 'nonce-unknown'
    body = agent.body()
    body['nonce'] = agent.nonce()  # a good one, but not the one that the evidence is over
    refused = agent.refused(agent.send(body))
    assert refused['refused']['code'] == 'attestation-refused' and 'REPORT' in refused['refused']['step']


def test_evidence_about_another_key_is_refused(agent):
    body = agent.body(spki=b'x' * 91)
    assert agent.refused(agent.send(body))['refused']['code'] == 'attestation-refused'


@pytest.mark.parametrize('change, step', [({'mrenclave': 0x12}, 'MRENCLAVE'), ({'flags': 'sd'}, 'DEBUG'), ({'flags': '-'}, None)])
def test_another_program_debug_and_missing_collateral_are_refused(agent, owner, change, step):
    body = agent.body(**change)
    answer = agent.send(body)
    refused = agent.refused(answer, body['nonce'])
    assert step is None or step in refused['refused']['step'].upper(), refused
    assert answer.body.get('fix')
    if step == 'MRENCLAVE':  # authentic evidence that was refused is on record, with the reason
        instance = owner.list('/v1/instances', app=agent.app)[0]
        assert instance['state'] == 'refused' and 'measured' in instance['reason']


def test_an_unknown_and_an_unapproved_build_are_refused(agent, server, owner, platform, pin):
    body = agent.body(app_digest='00' * 48)
    assert agent.refused(agent.send(body))['refused']['step'] == 'APP_DIGEST'
    build = Build(owner, agent.app, '2.0', 0x13)
    other = Agent(server.client(), platform, build, pin)
    refused = other.refused(other.send(other.body()))
    assert refused['refused']['code'] == 'build-not-allowed' and refused['refused']['step'] == 'BUILD_STATE'


def test_malformed_requests_are_named(agent):
    body = agent.body()
    for member, value in (('nonce', 'x'), ('nonce', 7), ('purpose', 'other'), ('public_key', b64(b'k' * 91)), ('app_digest', 'zz'),
                          ('evidence', 'text'), ('evidence', []), ('evidence', {'evidence': ['a/b', '', 4]}), ('instance', '../etc')):
        answer = agent.client.raw('POST', '/v1/exchange/evidence', json.dumps({**body, member: value}),
                                  {'Content-Type': 'application/json'})
        assert answer.status == 400 and member in answer.body['detail'], (member, answer)


def test_another_instance_s_key_does_not_renew(agent, server, platform, pin):
    agent.attest()
    thief = Agent(server.client(), platform, agent.build, pin)
    thief.id = agent.id
    refused = thief.refused(thief.send(thief.body('renew')))
    assert refused['refused']['step'] == 'INSTANCE_KEY' and not refused['final']
    agent.attest('renew')


def test_revocation_reaches_who_waits(agent, owner, server):
    agent.attest()
    got = []
    waiter = threading.Thread(target=lambda: got.append((agent.orders(wait_s=50), time.monotonic())))
    waiter.start()
    while waiter.is_alive() and server_parked(server) == 0:
        time.sleep(0.02)
    begin = time.monotonic()
    answer = owner.post('/v1/revocations', {'kind': 'instance', 'object': agent.id, 'reason': 'a test'})
    assert answer.status == 201 and answer.body['instances'] == 1, answer
    waiter.join(60)
    orders, at = got[0]
    assert [o['kind'] for o in orders] == ['revoke']
    print(f'revocation to order: {(at - begin) * 1000:.0f} ms')
    body = agent.body('renew')
    refused = agent.refused(agent.send(body), body['nonce'])
    assert refused['refused']['code'] == 'revoked' and refused['final'] is True
    assert owner.get('/v1/instances/' + agent.id).body['state'] == 'revoked'
    # Its certificates are on the list of revoked ones.
    assert owner.list('/v1/revocations')


def server_parked(server):
    text = server.client().raw('GET', '/metrics', headers={'Authorization': 'Bearer ' + server.owner.token}).text
    for line in text.splitlines():
        if 'parked' in line and not line.startswith('#'):
            return float(line.split()[-1])
    return 1


@pytest.mark.parametrize('kind', ['build', 'app', 'platform'])
def test_what_an_instance_is_of_is_revoked(server, owner, approver, pin, tmp_path, kind, platform):
    name, build = new_app(owner, approver)
    agent = Agent(server.client(), platform, build, pin)
    agent.attest()
    shown = owner.get('/v1/instances/' + agent.id).body
    if kind == 'platform':  # the others go on with theirs: this is an id that nobody else has
        return check_platform_id(shown)
    answer = owner.post('/v1/revocations', {'kind': kind, 'object': {'build': build.id, 'app': name}[kind], 'reason': 'a test'})
    assert answer.status == 201 and answer.body['instances'] == 1, answer
    assert [o['kind'] for o in agent.orders()] == ['revoke']
    agent.refused(agent.send(agent.body('renew')))
    fresh = Agent(server.client(), platform, build, pin)
    assert fresh.refused(fresh.send(fresh.body()))['refused']['code'] in ('revoked', 'build-not-allowed')
    return None


def check_platform_id(shown):
    assert len(shown['platform']) == 32


def test_stop_and_end(agent, owner):
    agent.attest()
    answer = owner.post(f'/v1/instances/{agent.id}/stop', {'reason': 'enough'})
    assert answer.status == 200 and answer.body['state'] == 'stopping', answer
    orders = agent.orders()
    assert orders == [{'number': 1, 'kind': 'stop', 'reason': 'enough'}]
    assert agent.orders() == []
    assert agent.end(7, 'stopped').status == 204
    shown = owner.get('/v1/instances/' + agent.id).body
    assert shown['state'] == 'stopped' and shown['exit_status'] == 7
    states = [line['state'] for line in owner.list(f'/v1/instances/{agent.id}/history')]
    assert states == ['running', 'stopping', 'stopped']
    assert agent.refused(agent.send(agent.body('renew')))['final'] is True


def test_tokens_are_good_once_and_for_their_purpose(agent):
    agent.attest()
    token = agent.token('cloche-orders')
    assert agent.orders(token=token) == []
    assert agent.orders(token=token).status == 401
    assert agent.orders(token=agent.token('cloche-end')).status == 401
    assert agent.orders(token=agent.token('cloche-orders', iat=int(time.time()) - 120)).status == 401
    text, jti = agent.token('cloche-orders')
    assert agent.orders(token=(text[:-8] + 'AAAAAAAA', jti)).status == 401


def test_tokens_that_are_shown_to_a_second_server(server, owner, agent):
    """Orders: the signed answer to that same question of that same instance, and nothing has changed; an end is reported once."""
    def state():
        shown = owner.get('/v1/instances/' + agent.id).body
        return shown, owner.get('/v1/audit/checkpoint').body['size'], owner.list(f'/v1/instances/{agent.id}/history')

    agent.attest()
    assert owner.post(f'/v1/instances/{agent.id}/stop', {'reason': 'enough'}).status == 200
    with Cloched(folder=server.folder, init=False, **{n: v for n, v in server.options.items() if n != 'listen'}) as second:
        token, jti = agent.token('cloche-orders')
        header = {'Authorization': 'Cloche-Instance ' + token}
        orders = agent.orders(token=(token, jti))
        assert [o['kind'] for o in orders] == ['stop']
        before = state()
        answer = second.client().get('/v1/exchange/orders', query={'instance': agent.id, 'after': 0}, headers=header)
        payload = verify_jws(answer.body['answer'], agent.pin)
        assert (payload['instance'], payload['wait'], payload['after']) == (agent.id, jti, 0) and payload['orders'] == orders
        # Another question with the token: its answer says so, and the agent, which asked for those after 0, refuses it.
        answer = second.client().get('/v1/exchange/orders', query={'instance': agent.id, 'after': 1000}, headers=header)
        assert answer.status == 401, answer  # this server too takes it once
        token, jti = agent.token('cloche-orders')
        answer = second.client().get('/v1/exchange/orders', query={'instance': agent.id, 'after': 1000},
                                     headers={'Authorization': 'Cloche-Instance ' + token})
        assert verify_jws(answer.body['answer'], agent.pin)['after'] == 1000
        assert state() == before
        header = {'Authorization': 'Cloche-Instance ' + agent.token('cloche-end', exit_status=0, reason='stopped')[0]}
        body = {'instance': agent.id, 'exit_status': 0, 'reason': 'stopped'}
        for lie in ({'exit_status': 9}, {'reason': 'exited'}):  # what the instance has not signed
            assert agent.client.post('/v1/exchange/end', {**body, **lie}, headers=header).status in (401, 403)
        header = {'Authorization': 'Cloche-Instance ' + agent.token('cloche-end', exit_status=0, reason='stopped')[0]}
        assert state() == before
        assert agent.client.post('/v1/exchange/end', body, headers=header).status == 204
        before = state()
        for client in (second.client(), agent.client):
            assert client.post('/v1/exchange/end', body, headers=header).status == 401
        assert state() == before


def test_an_app_that_runs_once_at_a_time(server, owner, approver, platform, pin):
    _, build = new_app(owner, approver, single=True)
    first = Agent(server.client(), platform, build, pin)
    fence = first.attest()['fence']
    second = Agent(server.client(), platform, build, pin)
    refused = second.refused(second.send(second.body()))
    assert refused['refused']['code'] == 'instance-fenced'
    assert first.attest('renew')['fence'] == fence
    assert first.end().status == 204
    third = Agent(server.client(), platform, build, pin)
    assert third.attest()['fence'] > fence


def test_a_second_instance_fences_the_first_where_the_app_says_so(server, owner, approver, platform, pin):
    _, build = new_app(owner, approver, single=True, on_second='fence')
    first = Agent(server.client(), platform, build, pin)
    fence = first.attest()['fence']
    second = Agent(server.client(), platform, build, pin)
    assert second.attest()['fence'] > fence
    assert [o['kind'] for o in first.orders()] == ['revoke']
    refused = first.refused(first.send(first.body('renew')))
    assert refused['refused']['code'] == 'instance-fenced' and refused['final'] is True
    second.attest('renew')


def test_a_node_attests_its_platform(server, owner, agent):
    token = owner.post('/v1/nodes/tokens', {'name': 'n-' + agent.app}).body['token']
    joined = server.client().post('/v1/nodes/join', {'token': token, 'name': 'n-' + agent.app})
    assert joined.status == 201, joined
    node = joined.body['node']['id']
    body = agent.body('node', node=node)
    assert agent.send(body).status == 401  # anyone may know its id
    answer = agent.client.post('/v1/exchange/evidence', body, headers={'Authorization': 'Bearer ' + joined.body['token']})
    assert answer.status == 200, answer
    payload = verify_jws(answer.body['answer'], agent.pin)
    assert payload['node'] == node and 'secrets' not in payload and 'certificates' not in payload
    shown = owner.get('/v1/nodes/' + node).body
    assert shown['tee'] == 'sgx' and shown['platform_id'] and 'UpToDate' in json.dumps(shown)
    again = agent.client.post('/v1/exchange/evidence', body, headers={'Authorization': 'Bearer ' + joined.body['token']})
    assert agent.refused(again)['refused']['code'] == 'nonce-used'


def test_lists_filter(agent, owner):
    agent.attest()
    app_id = owner.get('/v1/apps/' + agent.app).body['id']
    assert [i['id'] for i in owner.list('/v1/instances', app=agent.app)] == [agent.id]
    assert [i['id'] for i in owner.list('/v1/instances', app=agent.app, state='running')] == [agent.id]
    assert owner.list('/v1/instances', app=agent.app, state='stopped') == []
    assert [i['id'] for i in owner.list('/v1/instances', build=agent.build.id)] == [agent.id]
    everything = owner.list('/v1/instances', limit=2)
    assert agent.id in [i['id'] for i in everything] and len({i['id'] for i in everything}) == len(everything)
    assert all(i['app'] == app_id for i in owner.list('/v1/instances', app=agent.app))
    evidence = owner.get(f'/v1/instances/{agent.id}/evidence').body
    assert evidence['evidence'][0] == 'application/vnd.cloche.intel-quote' and evidence['collateral']


def test_a_downgraded_platform_is_refused_and_the_fleet_judged_again(server, owner, approver, pin, tmp_path):
    """On a server of its own: its platform's TCB level changes."""
    platform = Platform(tmp_path / 'pki')
    try:
        with Cloched(emulator_root=platform.root) as own:
            owner = own.owner
            approver = Approver(owner)
            _, build = new_app(owner, approver)
            agent = Agent(own.client(), platform, build, spki_sha256(roots(own)[0]))
            agent.attest()
            forecast = owner.list('/v1/fleet/forecast')
            assert [f['instance'] for f in forecast] == [agent.id]
            assert owner.post('/v1/fleet/reappraise').status == 202
            until = time.monotonic() + 60
            while owner.get('/v1/fleet').body['reappraisal']['running'] and time.monotonic() < until:
                time.sleep(0.05)
            fleet = owner.get('/v1/fleet').body
            assert fleet['reappraisal']['judged'] == 1 and fleet['reappraisal']['fallen'] == 0, fleet
            platform.pki('tcb', '--status', 'OutOfDate')
            body = agent.body('renew')
            answer = agent.send(body)
            refused = agent.refused(answer, body['nonce'])
            assert 'TCB' in refused['refused']['step'] and 'OutOfDate' in answer.body.get('actual', ''), answer
            assert refused['final'] is False  # the lease that it has runs on
    finally:
        platform.close()


def test_a_changed_policy_makes_instances_fall(agent, owner, platform):
    """Judged again without being asked: the instance is told to renew, is refused then, and works again when the policy is what it was."""
    agent.attest()
    with open(os.path.join(platform.folder, 'policy.json'), encoding='utf-8') as f:
        policy = {**json.load(f), 'identities': [{'name': 'another', 'sgx': {'mrenclave': '22' * 32}}]}
    name = 'strict-' + agent.app
    created = owner.post('/v1/policies', {'name': name, 'policy': policy})
    assert created.status == 201, created
    assert owner.patch('/v1/policies/' + name, {'version': 1}).status == 200
    assert owner.patch('/v1/apps/' + agent.app, {'policy': name}).status == 200
    orders = agent.orders(wait_s=50)
    assert [o['kind'] for o in orders] == ['renew'], orders
    assert 'IDENTITY' in orders[0]['reason']
    body = agent.body('renew')
    refused = agent.refused(agent.send(body), body['nonce'])
    assert 'IDENTITY' in refused['refused']['step'] and refused['final'] is False
    assert owner.get('/v1/instances/' + agent.id).body['state'] == 'running'  # until its lease ends
    assert owner.patch('/v1/apps/' + agent.app, {'policy': None}).status == 200
    agent.attest('renew')


def test_emulated_evidence_is_refused_unless_told_otherwise(platform):
    with Cloched() as own:
        owner = own.owner
        approver = Approver(owner)
        _, build = new_app(owner, approver)
        agent = Agent(own.client(), platform, build, spki_sha256(roots(own)[0]))
        refused = agent.refused(agent.send(agent.body()))
        assert refused['refused']['step'] in ('UNTRUSTED_ROOT', 'EMULATED'), refused
        assert owner.list('/v1/instances') == []


def test_rotation_without_outage(platform):
    with Cloched(emulator_root=platform.root) as own:
        owner = own.owner
        approver = Approver(owner)
        _, build = new_app(owner, approver)
        old = spki_sha256(roots(own)[0])
        agent = Agent(own.client(), platform, build, old)
        agent.attest()
        assert owner.post('/v1/ca/rotation', {'step': 'switch'}).status == 404
        assert owner.post('/v1/ca/rotation', {'step': 'prepare'}).status == 200
        assert len(agent.attest('renew')['roots']) == 2
        assert owner.post('/v1/ca/rotation', {'step': 'switch'}).status == 200
        agent.attest('renew')  # pinned to the old root alone
        new = spki_sha256(roots(own)[0])
        assert new != old
        late = Agent(own.client(), platform, build, new)
        late.attest()
        assert owner.post('/v1/ca/rotation', {'step': 'retire'}).status == 200
        late.attest('renew')
        assert [spki_sha256(root) for root in roots(own)] == [new]


def test_nginx_that_ends_tls_reads_no_secret(server, agent, owner, tmp_path):
    """An ingress in front: it sees every byte of requests and answers, and none of the secret."""
    nginx = shutil.which('nginx') or '/usr/sbin/nginx'
    if not os.path.exists(nginx):
        pytest.skip('no nginx')
    value = b'what the ingress must not read'
    add_secret(owner, agent.app, 'behind-nginx', value)
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost',
                    '-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2'], cwd=tmp_path, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    (tmp_path / 'nginx.conf').write_text(f"""
daemon off; user root; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; client_max_body_size 2m;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {tmp_path}/cert.pem; ssl_certificate_key {tmp_path}/key.pem;
    location / {{ proxy_pass http://{server.address}; }} }}
}}
""")
    child = subprocess.Popen([nginx, '-c', str(tmp_path / 'nginx.conf'), '-e', str(tmp_path / 'error.log')], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                assert child.poll() is None and time.monotonic() < until
                time.sleep(0.05)
        context = ssl.create_default_context(cafile=str(tmp_path / 'cert.pem'))
        context.check_hostname = False
        nonce = agent.nonce()
        connection = http.client.HTTPSConnection('127.0.0.1', port, timeout=60, context=context)
        connection.request('POST', '/v1/exchange/evidence', json.dumps(agent.body(nonce=nonce)), {'Content-Type': 'application/json'})
        text = connection.getresponse().read()  # what nginx had in its hands
        connection.close()
        parts = [unb64(part) for part in json.loads(text)['answer'].split('.')]
        jwe = json.loads(parts[1])['secrets']
        for seen in [text, *parts, *[unb64(part) for part in jwe.split('.')]]:
            assert value not in seen and b64(value).encode() not in seen
        assert decrypt_jwe(jwe, agent.key)['secrets'][0]['name'] == 'behind-nginx'
    finally:
        child.terminate()
        child.wait(30)


def test_nothing_of_a_secret_is_in_the_answer_but_for_the_key(agent, owner):
    value = b'a value that must be nowhere else'
    add_secret(owner, agent.app, 'nowhere-else', value)
    body = agent.body()
    answer = agent.send(body)
    payload = verify_jws(answer.body['answer'], agent.pin)
    for text in (answer.text, str(payload), str([unb64(part) for part in payload['secrets'].split('.')])):
        assert value.decode() not in text and b64(value) not in text
    other = Agent(agent.client, agent.platform, agent.build, agent.pin)
    with pytest.raises(Exception):
        other.open(answer, body['nonce'])
    assert agent.open(answer, body['nonce'])['opened'] == {'nowhere-else': value}
