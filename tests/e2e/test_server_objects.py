# SPDX-License-Identifier: Apache-2.0
"""Apps, builds, approvals, the roster, policies, nodes, placement, rollouts: through the API of a real server, each answer held against openapi.yaml."""
import contextlib
import datetime
import hashlib
import json
import os
import sqlite3
import threading
import time

import pytest
from cloched import Cloched
from objects import Approver, Node, allowed_build, base64url, build_body, descriptor, user_client


@pytest.fixture
def server():
    with Cloched() as cloched:
        yield cloched


@pytest.fixture
def owner(server):
    return server.owner


def time_in(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%SZ')


def kinds_of_events(server):
    with sqlite3.connect(os.path.join(server.folder, 'cloche.db')) as db:
        return [row[0] for row in db.execute('SELECT kind FROM events ORDER BY number')]


def change_database(server, sql, *args):
    """As whoever owns the disk does it, while the server runs."""
    db = sqlite3.connect(os.path.join(server.folder, 'cloche.db'), timeout=30)
    try:
        count = db.execute(sql, args).rowcount
        db.commit()
        return count
    finally:
        db.close()


# ---- apps ----

def test_apps(server, owner):
    made = owner.post('/v1/apps', {'name': 'hotel', 'dns_names': ['hotel.example', 'www.hotel.example'], 'lease_s': 600}, key='k1')
    assert made.status == 201 and made.headers['Location'] == '/v1/apps/' + made.body['id']
    assert made.body['lease_s'] == 600 and made.body['certificate_s'] == 3600 and made.body['grace_s'] == 10
    again = owner.post('/v1/apps', {'name': 'hotel', 'dns_names': ['hotel.example', 'www.hotel.example'], 'lease_s': 600}, key='k1')
    assert again.body == made.body
    assert owner.post('/v1/apps', {'name': 'hotel'}).code == 'already-exists'
    by_name, by_id = owner.get('/v1/apps/hotel'), owner.get('/v1/apps/' + made.body['id'])
    assert by_name.body == by_id.body == made.body and by_name.etag == made.etag
    changed = owner.patch('/v1/apps/hotel', {'grace_s': 30, 'single': True}, if_match=made.etag)
    assert changed.body['grace_s'] == 30 and changed.body['single'] and changed.body['lease_s'] == 600
    assert changed.body['dns_names'] == made.body['dns_names']
    late = owner.patch('/v1/apps/hotel', {'grace_s': 31}, if_match=made.etag)
    assert late.status == 412 and late.code == 'changed-meanwhile'
    assert owner.get('/v1/apps/other').status == 404
    for name in ('bar', 'spa'):
        owner.post('/v1/apps', {'name': name})
    page = owner.get('/v1/apps', query={'limit': 2})
    assert len(page.body['items']) == 2 and page.body['next']
    assert [app['name'] for app in owner.list('/v1/apps', limit=2)] == ['hotel', 'bar', 'spa']
    assert kinds_of_events(server).count('app.created') == 3 and 'app.changed' in kinds_of_events(server)


@pytest.mark.parametrize('body', [
    {}, {'name': ''}, {'name': 'Hotel'}, {'name': '-x'}, {'name': 'x' * 64}, {'name': 'app_1'}, {'name': 'a', 'lease_s': 59},
    {'name': 'a', 'lease_s': 86401}, {'name': 'a', 'lease_s': '60'}, {'name': 'a', 'certificate_s': 599}, {'name': 'a', 'grace_s': -1},
    {'name': 'a', 'dns_names': ['*.example']}, {'name': 'a', 'dns_names': ['Example.com']}, {'name': 'a', 'dns_names': ['a..b']},
    {'name': 'a', 'dns_names': ['x.' * 130 + 'y']}, {'name': 'a', 'dns_names': [1]}, {'name': 'a', 'dns_names': ['a'] * 17},
    {'name': 'a', 'single': 1}, {'name': 'a', 'fence': 5}, {'name': 'a', 'dns_names': ['-a.example']}, {'name': 'a', 'dns_names': ['a-.b']},
])
def test_app_refused(shared, body):
    answer = shared.owner.post('/v1/apps', body)
    assert answer.status == 400, answer


@pytest.fixture(scope='module')
def shared():
    """For requests that change nothing."""
    with Cloched() as cloched:
        assert cloched.owner.post('/v1/apps', {'name': 'hotel'}).status == 201
        yield cloched


# ---- builds ----

def test_builds(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    made = owner.post('/v1/apps/hotel/builds', build_body('1.0'))
    assert made.status == 201 and made.body['state'] == 'proposed' and not made.body['debug']
    shown = owner.get('/v1/builds/' + made.body['id'])
    assert shown.body['descriptor'] == build_body('1.0')['descriptor'] and shown.body['usable'] is False
    assert 'proposed' in shown.body['reason']
    assert owner.post('/v1/apps/hotel/builds', build_body('1.0', 2)).code == 'already-exists'
    assert owner.post('/v1/apps/hotel/builds', build_body('1.1', 1)).code == 'already-exists'
    assert owner.post('/v1/apps/hotel/builds', build_body('1.1', 2)).status == 201
    assert [build['version'] for build in owner.list('/v1/apps/hotel/builds', limit=1)] == ['1.0', '1.1']
    early = owner.post(f'/v1/builds/{made.body["id"]}/deprecate', {})
    assert early.status == 409 and early.code == 'build-not-allowed'


def test_build_refused(shared):
    propose = lambda **changes: shared.owner.post('/v1/apps/hotel/builds', {k: v for k, v in {**build_body('9', 9), **changes}.items()
                                                                          if v is not None})
    text, digest = descriptor(name='other')
    wrong = propose(app_digest=digest)
    assert wrong.code == 'digest-mismatch' and wrong.body['expected'] == digest and wrong.body['step'] == 'descriptor-digest'
    spaced = text.replace(',', ', ', 1)
    canonical = propose(descriptor=spaced, app_digest=hashlib.sha384(spaced.encode()).hexdigest())
    assert canonical.status == 400 and canonical.code == 'descriptor-invalid'
    for changes in ({'mrenclave': None}, {'mrsigner': None}, {'mrenclave': None, 'mrsigner': None}, {'mrenclave': 'AB' * 32},
                    {'mrenclave': 'ab' * 31}, {'version': ''}, {'version': 'a b'}, {'version': '-1'}, {'version': 'x' * 64},
                    {'isv_svn': 65536}, {'isv_svn': -1}, {'snp_measurement': 'ab'}, {'state': 'allowed'}, {'version': None},
                    {'image': 'x' * 1025}, {'descriptor': 'x' * 262145}):
        assert propose(**changes).status == 400, changes
    assert shared.owner.post('/v1/apps/none/builds', build_body('1')).status == 404


def test_debug_comes_from_the_descriptor(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    text, digest = descriptor(debug=True)
    made = owner.post('/v1/apps/hotel/builds', build_body('1.0', descriptor=text, app_digest=digest))
    assert made.body['debug'] is True
    assert '"debug":true' in owner.get(f'/v1/builds/{made.body["id"]}/approvals').body['statement']


# ---- approvals ----

def two_approvers(server):
    """Two approvers, of whom both must sign."""
    alice = Approver(server.owner)
    assert alice.enrol().body['state'] == 'active'
    bob = Approver(user_client(server, 'bob', ['approver']))
    proposed = bob.enrol('phone')
    assert proposed.body['state'] == 'proposed' and proposed.body['change']
    assert bob.sign('/v1/roster/changes/' + proposed.body['change']).code == 'key-not-in-roster'
    assert alice.sign('/v1/roster/changes/' + proposed.body['change']).body['state'] == 'done'
    change = server.owner.post('/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 2})
    assert change.status == 201, change
    assert alice.sign('/v1/roster/changes/' + change.body['id']).body['state'] == 'done'
    roster = server.owner.get('/v1/roster').body
    assert roster['version'] == 3 and roster['needed'] == 2 and [key['state'] for key in roster['keys']] == ['active', 'active']
    return alice, bob


def test_two_of_two(server, owner):
    alice, bob = two_approvers(server)
    owner.post('/v1/apps', {'name': 'hotel'})
    build = '/v1/builds/' + owner.post('/v1/apps/hotel/builds', build_body('1.0')).body['id']
    first = alice.sign(build)
    assert first.body['state'] == 'proposed' and first.body['given'] == 1 and first.body['needed'] == 2
    again = alice.sign(build)
    assert again.body['given'] == 1 and len(again.body['approvals']) == 1
    assert owner.get(build).body['usable'] is False
    stolen = bob.client.post(build + '/approvals', {'key': bob.key, 'signature': base64url(alice.private.sign(first.body['statement'].encode()))})
    assert stolen.status == 403 and stolen.code == 'signature-wrong' and stolen.body['expected'] == first.body['statement']
    assert bob.sign(build, first.body['statement'] + ' ').code == 'signature-wrong'
    last = bob.sign(build)
    assert last.body['state'] == 'allowed' and last.body['given'] == 2 and all(a['counts'] for a in last.body['approvals'])
    assert owner.get(build).body['usable'] is True
    events = kinds_of_events(server)
    assert events.count('build.approved') == 3 and events.count('build.allowed') == 1


def test_one_user_with_two_keys_is_one_approver(server, owner):
    alice, bob = two_approvers(server)
    second = Approver(owner)
    change = second.enrol('second').body['change']
    alice.sign('/v1/roster/changes/' + change)
    assert bob.sign('/v1/roster/changes/' + change).body['state'] == 'done'
    owner.post('/v1/apps', {'name': 'hotel'})
    build = '/v1/builds/' + owner.post('/v1/apps/hotel/builds', build_body('1.0')).body['id']
    alice.sign(build)
    both = second.sign(build)
    assert both.body['given'] == 1 and both.body['state'] == 'proposed' and len(both.body['approvals']) == 2


def test_roster(server, owner):
    alice, bob = two_approvers(server)
    few = owner.post('/v1/roster/changes', {'action': 'retire-key', 'key': bob.key})
    assert few.status == 409 and few.code == 'roster-too-small'
    assert owner.post('/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 3}).code == 'roster-too-small'
    for body in ({'action': 'set-needed'}, {'action': 'retire-key'}, {'action': 'retire-key', 'key': bob.key, 'approvals_needed': 1},
                 {'action': 'none', 'key': bob.key}, {'action': 'add-key', 'approvals_needed': 1}):
        assert owner.post('/v1/roster/changes', body).status == 400, body
    owner.post('/v1/apps', {'name': 'hotel'})
    build = '/v1/builds/' + owner.post('/v1/apps/hotel/builds', build_body('1.0')).body['id']
    alice.sign(build)
    bob.sign(build)
    one = owner.post('/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 1}).body['id']
    other = owner.post('/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 1}).body['id']
    alice.sign('/v1/roster/changes/' + one)
    assert bob.sign('/v1/roster/changes/' + one).body['state'] == 'done'
    assert owner.get('/v1/roster/changes/' + other).body['state'] == 'stale'
    assert bob.sign('/v1/roster/changes/' + other).code == 'change-closed'
    # What a retired key signed holds, of a revoked one nothing.
    retire = owner.post('/v1/roster/changes', {'action': 'retire-key', 'key': bob.key}).body['id']
    assert alice.sign('/v1/roster/changes/' + retire).body['state'] == 'done'
    approvals = owner.get(build + '/approvals').body
    assert approvals['given'] == 2 and owner.get(build).body['usable'] is True
    assert bob.sign(build).code == 'key-not-in-roster'
    revoke = owner.post('/v1/roster/changes', {'action': 'revoke-key', 'key': bob.key}).body['id']
    assert alice.sign('/v1/roster/changes/' + revoke).body['state'] == 'done'
    approvals = owner.get(build + '/approvals').body
    assert approvals['given'] == 1
    assert [a['reason'] for a in approvals['approvals'] if not a['counts']] == ['its key was revoked']
    assert len(owner.list('/v1/roster/changes', limit=2)) == 6


def test_keys_are_their_users(server, owner):
    alice = Approver(owner)
    wrong = alice.enrol(proof=b'x' * 64)
    assert wrong.status == 403 and wrong.code == 'signature-wrong' and wrong.body['step'] == 'key-proof'
    assert alice.enrol().status == 201
    assert alice.enrol().code == 'already-exists'
    carol = user_client(server, 'carol', ['operator'])
    assert Approver(carol).enrol().status == 403
    assert carol.get('/v1/keys').status == 200


def test_refused_approvals_are_in_the_audit_log(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    build = owner.post('/v1/apps/hotel/builds', build_body('1.0')).body['id']
    alice = Approver(owner)
    alice.enrol()
    assert alice.sign('/v1/builds/' + build, 'something else').code == 'signature-wrong'
    alice.sign('/v1/builds/' + build)
    with sqlite3.connect(os.path.join(server.folder, 'cloche.db')) as db:
        entries = [json.loads(row[0]) for row in db.execute('SELECT entry FROM audit_entries ORDER BY number')]
    approvals = [entry for entry in entries if entry['action'] == 'build.approve']
    assert [entry['decision'] for entry in approvals] == ['refused', 'done']
    assert approvals[0]['object'] == approvals[1]['object'] == build
    assert json.loads(approvals[1]['detail']['statement'])['build'] == build


# ---- whose objects ----

def test_other_organisations(server, owner):
    """Nothing of another organisation is found, by id or by name; a DNS name belongs to one."""
    app = owner.post('/v1/apps', {'name': 'hotel', 'dns_names': ['hotel.example']}).body['id']
    build = allowed_build(server, 'hotel')
    node = Node(server, 'one')
    policy = owner.post('/v1/policies', {'name': 'production', 'policy': STRICT}).body['id']
    allowed_build(server, 'hotel', '1.1', 2)
    rollout = owner.post('/v1/rollouts', {'app': 'hotel', 'build': '1.1', 'old_build': '1.0', 'end': time_in(3600)}).body['id']
    server.init('beta', 'mallory')
    other = server.login('mallory', org='beta')
    for path in ('/v1/apps/' + app, '/v1/apps/hotel', f'/v1/apps/{app}/builds', '/v1/builds/' + build, f'/v1/builds/{build}/approvals',
                 '/v1/nodes/' + node.id, '/v1/nodes/one', '/v1/policies/' + policy, '/v1/policies/production',
                 f'/v1/policies/{policy}/versions', '/v1/rollouts/' + rollout):
        assert other.get(path).status == 404, path
    for path in ('/v1/apps', '/v1/nodes', '/v1/policies', '/v1/rollouts', '/v1/keys', '/v1/roster/changes'):
        assert other.list(path) == [], path
    for path, body in (('/v1/instances', {'app': app}), (f'/v1/builds/{build}/deprecate', {}), (f'/v1/nodes/{node.id}/drain', None),
                       (f'/v1/rollouts/{rollout}/force', None), (f'/v1/rollouts/{rollout}/cancel', None),
                       (f'/v1/apps/{app}/builds', build_body('9', 9)), (f'/v1/policies/{policy}/try', {}),
                       (f'/v1/policies/{policy}/versions', {'policy': LOOSE})):
        assert other.post(path, body).status == 404, path
    assert other.patch('/v1/apps/' + app, {'grace_s': 1}).status == 404
    assert other.patch('/v1/policies/' + policy, {'version': 1}).status == 404
    foreign = Approver(other)
    assert foreign.enrol().status == 201
    assert foreign.sign('/v1/builds/' + build, 'x').status == 404
    taken = other.post('/v1/apps', {'name': 'hotel', 'dns_names': ['hotel.example']})
    assert taken.status == 409 and taken.code == 'name-taken'
    assert other.post('/v1/apps', {'name': 'hotel', 'policy': policy}).status == 404
    assert other.post('/v1/apps', {'name': 'hotel'}).status == 201
    assert other.get('/v1/integrity').body['forged'] == []


def test_roles(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    build = allowed_build(server, 'hotel')
    reader = user_client(server, 'reader', ['reader'])
    auditor = user_client(server, 'auditor', ['auditor'])
    operator = user_client(server, 'operator', ['operator'])
    writes = [('POST', '/v1/apps', {'name': 'x'}), ('PATCH', '/v1/apps/hotel', {'grace_s': 1}), ('POST', '/v1/apps/hotel/builds', build_body('2', 2)),
              ('POST', f'/v1/builds/{build}/deprecate', {}), ('POST', f'/v1/builds/{build}/approvals', {'key': 'k', 'signature': 'x' * 86}),
              ('POST', '/v1/keys', {'name': 'x', 'public_key': 'x' * 43, 'proof': 'x' * 86}), ('POST', '/v1/policies', {'name': 'p', 'policy': STRICT}),
              ('POST', '/v1/nodes/tokens', {}), ('POST', '/v1/instances', {'app': 'hotel'}), ('POST', '/v1/rollouts', {}),
              ('POST', '/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 1})]
    for method, path, body in writes:
        for client in (reader, auditor):
            assert client.request(method, path, body).status == 403, path
    for path in ('/v1/apps', '/v1/builds/' + build, f'/v1/builds/{build}/approvals', '/v1/keys', '/v1/roster', '/v1/nodes', '/v1/policies'):
        assert reader.get(path).status == 200, path
    assert reader.get('/v1/integrity').status == 403 and auditor.get('/v1/integrity').status == 200
    for method, path, body in (writes[0], writes[1], writes[4], writes[5], writes[6], writes[10]):
        assert operator.request(method, path, body).status == 403, path
    assert operator.post('/v1/nodes/tokens', {}).status == 201


# ---- whoever owns the database ----

ATTACKS = [
    "UPDATE builds SET mrenclave = zeroblob(32)",
    "UPDATE builds SET app_digest = zeroblob(48)",
    "UPDATE orgs SET approvals_needed = 0",
    "UPDATE approver_keys SET public_key = zeroblob(32)",
    "UPDATE approvals SET signature = zeroblob(64)",
    "UPDATE approvals SET statement = replace(statement, 'hotel', 'motel')",
    "DELETE FROM approvals",
    "UPDATE apps SET lease_s = 86400",
]


def rows_of(server):
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, 'cloche.db'), timeout=30)) as db:
        return {table: db.execute(f'SELECT * FROM {table}').fetchall() for table in ('orgs', 'apps', 'builds', 'approver_keys', 'approvals')}


def put_back(server, tables):
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, 'cloche.db'), timeout=30)) as db:
        for table, rows in tables.items():
            db.execute(f'DELETE FROM {table}')
            db.executemany(f'INSERT INTO {table} VALUES ({", ".join("?" * len(rows[0]))})', rows)
        db.commit()


def test_changed_database(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    build = allowed_build(server, 'hotel')
    Node(server, 'one')
    right = rows_of(server)
    for sql in ATTACKS:
        assert owner.get('/v1/builds/' + build).body['usable'] is True, sql
        assert owner.get('/v1/integrity').body['forged'] == [], sql
        begin = len(server.log())
        assert change_database(server, sql) == 1
        shown = owner.get('/v1/builds/' + build)
        assert shown.status == 500 and shown.code == 'record-forged' or shown.body['usable'] is False, (sql, shown)
        refused = owner.post('/v1/instances', {'app': 'hotel', 'build': build})
        assert refused.status in (409, 500) and refused.code in ('build-not-allowed', 'record-forged'), (sql, refused)
        if 'DELETE' not in sql:
            assert owner.get('/v1/integrity').body['forged'], sql
            said = server.log()[begin:]
            assert 'was not written by this server' in said or 'does not count' in said or 'was changed by' in said, sql
        put_back(server, right)


def test_state_written_into_the_database(server, owner):
    """The very thing: a proposed build made allowed without approval."""
    owner.post('/v1/apps', {'name': 'hotel'})
    build = owner.post('/v1/apps/hotel/builds', build_body('1.0')).body['id']
    assert change_database(server, "UPDATE builds SET state = 'allowed'") == 1
    assert owner.get('/v1/builds/' + build).code == 'record-forged'
    forged = owner.get('/v1/integrity').body['forged']
    assert [(row['table'], row['id']) for row in forged] == [('builds', build)]


# ---- policies ----

STRICT = {'version': 1, 'name': 'strict', 'tee': ['sgx'], 'intel': {'tcb_status': ['UpToDate']}}
LOOSE = {'version': 1, 'name': 'loose', 'tee': ['sgx', 'snp'], 'intel': {'tcb_status': ['UpToDate', 'SWHardeningNeeded']}}


def test_revocations_taken_out_of_the_database(server, owner):
    platform = {'kind': 'platform', 'object': 'ab' * 16, 'reason': 'stolen'}
    node = Node(server, 'attic')
    for body in platform, {'kind': 'node', 'object': node.id, 'reason': 'sold'}:
        assert owner.post('/v1/revocations', body).status == 201
    assert node.client.get('/v1/node').status == 401
    assert owner.get('/v1/integrity').body['forged'] == []
    assert 'not written by this server' not in server.log()
    change_database(server, "DELETE FROM revocations WHERE kind = 'platform'")
    [forged] = owner.get('/v1/integrity').body['forged']
    assert forged['table'] == 'revocations' and 'changed by somebody else' in forged['what'], forged
    answer = owner.post('/v1/revocations', {**platform, 'object': 'cd' * 16})
    assert answer.status in (201, 500), answer
    assert len(owner.get('/v1/integrity').body['forged']) == 1


def test_policies(server, owner):
    made = owner.post('/v1/policies', {'name': 'production', 'policy': STRICT})
    assert made.status == 201 and made.body['version'] is None and made.body['newest'] == 1
    assert owner.post('/v1/policies', {'name': 'production', 'policy': STRICT}).code == 'already-exists'
    owner.post('/v1/apps', {'name': 'hotel'})
    assert owner.patch('/v1/apps/hotel', {'policy': 'production'}).code == 'policy-not-in-force'
    assert owner.patch('/v1/policies/production', {'default': True}).code == 'policy-not-in-force'
    assert owner.patch('/v1/policies/production', {'version': 2}).status == 404
    forced = owner.patch('/v1/policies/production', {'version': 1, 'default': True})
    assert forced.body['version'] == 1 and forced.body['default'] is True
    assert owner.patch('/v1/apps/hotel', {'policy': 'production'}).body['policy'] == made.body['id']
    assert owner.get('/v1/policies/production').body['apps'] == [owner.get('/v1/apps/hotel').body['id']]
    added = owner.post('/v1/policies/production/versions', {'policy': LOOSE})
    assert added.status == 201 and added.body['version'] == 2 and not added.body['in_force']
    changes = {change['member']: change['effect'] for change in added.body['changes']}
    assert changes == {'tee': 'accepts-more', 'intel.tcb_status': 'accepts-more'}, changes
    tried = owner.post('/v1/policies/production/try', {})
    assert tried.body['against'] == 1 and tried.body['changes'] == added.body['changes'] and tried.body['instances'] == []
    assert owner.get('/v1/policies/production').body['policy'] == STRICT
    assert owner.patch('/v1/policies/production', {'version': 2}).body['version'] == 2
    assert [v['version'] for v in owner.get('/v1/policies/production/versions').body['items']] == [2, 1]
    assert owner.patch('/v1/apps/hotel', {'policy': None}).body['policy'] is None
    assert owner.patch('/v1/policies/production', {'default': False}).body['default'] is False
    assert len(owner.list('/v1/policies')) == 1


def test_texts_of_many_bytes(server, owner):
    """As many characters as are allowed, of four bytes each: kept whole, or cut between two characters."""
    lock = '\U0001f512'
    owner.post('/v1/apps', {'name': 'hotel'})
    allowed_build(server, 'hotel')
    node = Node(server, 'attic', location=lock * 64, software=lock * 64)
    shown = owner.get('/v1/nodes/attic').body
    assert shown['location'] == shown['software'] == lock * 64
    instances = [owner.post('/v1/instances', {'app': 'hotel'}).body['id'] for _ in range(2)]
    node.report(instances[0], 'failed', reason=lock * 100)
    assert owner.post('/v1/revocations', {'kind': 'instance', 'object': instances[1], 'reason': 'x' + lock * 199}).status == 201
    for instance, begin in zip(instances, ('could not be started: ', 'instance revoked: x')):
        reason = owner.get('/v1/instances/' + instance).body['reason']
        assert reason.startswith(begin + lock) and set(reason[len(begin):]) == {lock}, reason
        assert owner.get(f'/v1/instances/{instance}/history').status == 200
    assert len(owner.get('/v1/instances').body['items']) == 2
    assert owner.post('/v1/revocations', {'kind': 'platform', 'object': lock * 60, 'reason': 'x'}).status == 400
    assert owner.post('/v1/revocations', {'kind': 'platform', 'object': 'ab' * 16, 'reason': lock * 200}).status == 201
    assert {item['object'] for item in owner.list('/v1/revocations')} == {'ab' * 16, instances[1]}
    assert owner.post('/v1/users', {'name': 'long', 'roles': ['reader'], 'password': 'a long enough password', 'email': 'a@' + lock * 200}).status in (201, 400)
    assert owner.get('/v1/users').status == 200


def test_large_objects_have_small_events(server, owner):
    names = [f'{i}.' + '.'.join(['a' * 60] * 4) for i in range(16)]
    app = owner.post('/v1/apps', {'name': 'hotel', 'dns_names': names})
    assert app.status == 201 and app.body['dns_names'] == names
    policy = {'version': 1, 'name': 'large', 'tee': ['sgx'], 'intel': {'tcb_status': ['UpToDate'], 'advisories_allowed': [f'INTEL-SA-{i:05}' for i in range(400)]}}
    made = owner.post('/v1/policies', {'name': 'large', 'policy': policy})
    if made.status == 400:
        policy['intel'] = {'tcb_status': ['UpToDate', 'SWHardeningNeeded'] * 400}
        made = owner.post('/v1/policies', {'name': 'large', 'policy': policy})
    assert made.status == 201, made
    with sqlite3.connect(os.path.join(server.folder, 'cloche.db')) as db:
        data = {kind: json.loads(text) for kind, text in db.execute("SELECT kind, data FROM events WHERE kind LIKE '%.created' AND data IS NOT NULL")}
    assert data['app.created']['name'] == 'hotel' and 'dns_names' not in data['app.created']
    assert data['policy.created'] == {'name': 'large'}
    [entry] = owner.get('/v1/audit', query={'action': 'policy.create'}).body['items']
    assert entry['entry']['detail']['policy'] == policy


def test_policy_errors_say_where(shared):
    text = '{"version": 1,\n "intel": {"tcb_state": []}}'
    wrong = shared.owner.post('/v1/policies', {'name': 'p', 'text': text})
    assert wrong.status == 400 and wrong.code == 'policy-invalid'
    assert 'line 2' in wrong.body['detail'] and 'column' in wrong.body['detail']
    for body in ({'name': 'p'}, {'name': 'p', 'policy': STRICT, 'text': '{}'}, {'name': 'p', 'policy': {}}, {'name': 'p', 'text': '['}):
        assert shared.owner.post('/v1/policies', body).status == 400, body


def test_policy_in_the_database(server, owner):
    owner.post('/v1/policies', {'name': 'production', 'policy': STRICT})
    owner.post('/v1/policies/production/versions', {'policy': LOOSE})
    owner.patch('/v1/policies/production', {'version': 1})
    for sql in ("UPDATE policies SET version = 2", "UPDATE policy_versions SET text = replace(text, 'UpToDate', 'OutOfDate')",):
        assert change_database(server, sql) >= 1
        assert owner.get('/v1/policies/production').code == 'record-forged', sql
        assert owner.get('/v1/integrity').body['forged'], sql
        change_database(server, "UPDATE policies SET version = 1")


# ---- nodes and placement ----

def test_join(server, owner):
    token = owner.post('/v1/nodes/tokens', {}).body['token']
    anonymous = server.client()
    assert anonymous.post('/v1/nodes/join', {'token': token}).status == 400
    joined = anonymous.post('/v1/nodes/join', {'token': token, 'name': 'one'})
    assert joined.status == 201 and joined.body['node']['state'] == 'joined'
    assert anonymous.post('/v1/nodes/join', {'token': token, 'name': 'two'}).code == 'join-token-invalid'
    node = server.client(joined.body['token'])
    assert anonymous.post('/v1/nodes/join', {'token': joined.body['token'], 'name': 'two'}).code == 'join-token-invalid'
    assert node.get('/v1/node').body['name'] == 'one'
    assert node.get('/v1/nodes').status == 403 and owner.get('/v1/node').status == 403
    bound = owner.post('/v1/nodes/tokens', {'name': 'three'}).body['token']
    assert anonymous.post('/v1/nodes/join', {'token': bound, 'name': 'four'}).code == 'join-token-invalid'
    assert anonymous.post('/v1/nodes/join', {'token': bound, 'name': 'three'}).status == 201
    again = owner.post('/v1/nodes/tokens', {}).body['token']
    assert anonymous.post('/v1/nodes/join', {'token': again, 'name': 'three'}).code == 'already-exists'
    assert token not in server.log() and joined.body['token'] not in server.log()


def test_heartbeat(server, owner):
    node = Node(server, 'one')
    assert owner.get('/v1/nodes/one').body['state'] == 'ready'
    before = len(kinds_of_events(server))
    node.beat()
    assert len(kinds_of_events(server)) == before
    node.beat(location='ch-zrh', software='cloche 0.1')
    assert owner.get('/v1/nodes/one').body['location'] == 'ch-zrh'
    assert len(kinds_of_events(server)) == before + 1
    for body in ({'tee': 'abc'}, {'capacity': {'instances': -1}}, {'capacity': {'disk': 1}}, {'capacity': {'cpus': 'two'}}, {'state': 'ready'}):
        assert node.client.post('/v1/node/heartbeat', body).status == 400, body


def test_work(server, owner):
    owner.post('/v1/apps', {'name': 'hotel', 'grace_s': 3})
    build = allowed_build(server, 'hotel')
    assert owner.post('/v1/instances', {'app': 'hotel'}).code == 'no-node'
    node = Node(server, 'one')
    idle = node.work()
    assert idle['instances'] == []
    got = []
    waiter = threading.Thread(target=lambda: got.append(Node.work(node, after=idle['tag'], wait_s=60)))
    waiter.start()
    made = owner.post('/v1/instances', {'app': 'hotel'})
    assert made.status == 201 and made.body['node'] == node.id and made.body['build'] == build
    waiter.join(50)
    work = got[0]['instances'][0]
    assert work['id'] == made.body['id'] and work['wanted'] == 'run' and work['state'] == 'requested' and work['grace_s'] == 3
    assert work['image'] == 'registry.example/hotel:1.0' and work['app_digest'] == build_body('1.0')['app_digest']
    assert node.report(work['id'], 'running') == {'taken': 1, 'unknown': []}
    assert node.work()['instances'][0]['state'] == 'starting'
    assert node.report('ins_none', 'running') == {'taken': 0, 'unknown': ['ins_none']}
    assert node.report(work['id'], 'exited', exit_status=7)['taken'] == 1
    assert node.work()['instances'] == []
    assert change_database(server, 'UPDATE instances SET reason = reason WHERE exit_status = 7 AND state = ?', 'stopped') == 1
    events = kinds_of_events(server)
    assert [kind for kind in events if kind.startswith('instance.')] == ['instance.requested', 'instance.starting', 'instance.stopped']
    for item in ({'id': work['id']}, {'id': 1, 'process': 'running'}, {'id': 'x', 'process': 'dead'},
                 {'id': 'x', 'process': 'exited', 'exit_status': 256}, {'id': 'x', 'process': 'exited', 'more': 1}):
        assert node.client.post('/v1/node/reports', {'instances': [item]}).status == 400, item


def test_a_node_speaks_of_its_own(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    allowed_build(server, 'hotel')
    one, two = Node(server, 'one'), Node(server, 'two')
    made = owner.post('/v1/instances', {'app': 'hotel', 'node': 'one'}).body['id']
    assert two.report(made, 'exited')['unknown'] == [made]
    assert two.work()['instances'] == [] and len(one.work()['instances']) == 1


def test_placement(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    allowed_build(server, 'hotel', '1.0', 1)
    newest = allowed_build(server, 'hotel', '1.1', 2)
    one, two = Node(server, 'one', capacity={'instances': 2}), Node(server, 'two', capacity={'instances': 2})
    Node(server, 'guest', tee='snp')
    Node(server, 'small', capacity={'memory_size': 1 << 20})
    made = [owner.post('/v1/instances', {'app': 'hotel'}).body for _ in range(4)]
    assert {m['build'] for m in made} == {newest}
    assert sorted(m['node'] for m in made) == sorted([one.id, one.id, two.id, two.id])
    full = owner.post('/v1/instances', {'app': 'hotel'})
    assert full.code == 'no-node' and full.body['actual']['one'] == 'full' and 'memory' in full.body['actual']['small']
    assert 'TEE' in full.body['actual']['guest']
    assert owner.post('/v1/instances', {'app': 'hotel', 'node': 'guest'}).code == 'no-node'
    assert owner.post('/v1/instances', {'app': 'hotel', 'node': 'none'}).status == 404
    assert owner.post('/v1/instances', {'app': 'hotel', 'build': '7'}).status == 404
    one.report(next(m['id'] for m in made if m['node'] == one.id), 'exited')
    assert owner.post('/v1/instances', {'app': 'hotel', 'build': '1.0'}).body['node'] == one.id


def test_single(server, owner):
    owner.post('/v1/apps', {'name': 'hotel', 'single': True})
    allowed_build(server, 'hotel')
    node = Node(server, 'one')
    first = owner.post('/v1/instances', {'app': 'hotel'}).body['id']
    second = owner.post('/v1/instances', {'app': 'hotel'})
    assert second.code == 'app-single' and first in second.body['detail']
    third = owner.post('/v1/instances', {'app': 'hotel', 'replace': True})
    assert third.status == 201
    assert {work['id']: work['wanted'] for work in node.work()['instances']} == {first: 'stop', third.body['id']: 'run'}


def test_drain(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    allowed_build(server, 'hotel')
    node = Node(server, 'one')
    instance = owner.post('/v1/instances', {'app': 'hotel'}).body['id']
    node.report(instance, 'running')
    assert owner.post('/v1/nodes/one/drain').body['state'] == 'draining'
    assert owner.post('/v1/instances', {'app': 'hotel'}).body['actual'] == {'one': 'draining'}
    work = node.work()
    assert work['state'] == 'draining' and work['instances'][0]['wanted'] == 'stop'
    node.report(instance, 'exited', exit_status=0)
    assert node.beat()['state'] == 'drained'
    assert owner.post('/v1/nodes/one/resume').body['state'] == 'ready'
    assert owner.post('/v1/instances', {'app': 'hotel'}).status == 201


# ---- rollouts ----

def test_rollout(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    old = allowed_build(server, 'hotel', '1.0', 1)
    node = Node(server, 'one')
    left = owner.post('/v1/instances', {'app': 'hotel'}).body['id']
    proposed = owner.post('/v1/apps/hotel/builds', build_body('1.1', 2)).body['id']
    body = {'app': 'hotel', 'build': '1.1', 'old_build': '1.0', 'end': time_in(3600)}
    assert owner.post('/v1/rollouts', body).code == 'build-not-allowed'
    server.approver.sign('/v1/builds/' + proposed)
    assert owner.post('/v1/rollouts', {**body, 'end': time_in(-5)}).status == 400
    assert owner.post('/v1/rollouts', {**body, 'build': '1.0'}).status == 400
    made = owner.post('/v1/rollouts', body)
    assert made.status == 201 and made.body['state'] == 'open' and made.body['old_count'] == 1 and made.body['new_count'] == 0
    assert owner.post('/v1/rollouts', body).code == 'already-exists'
    assert owner.get('/v1/builds/' + old).body['state'] == 'deprecated' and owner.get('/v1/builds/' + old).body['usable'] is True
    owner.post('/v1/instances', {'app': 'hotel'})
    path = '/v1/rollouts/' + made.body['id']
    shown = owner.get(path).body
    assert shown['new_count'] == 1 and len(shown['instances']) == 2
    forced = owner.post(path + '/force')
    assert forced.body['state'] == 'forced'
    assert {work['id']: work['wanted'] for work in node.work()['instances']}[left] == 'stop'
    assert owner.get('/v1/builds/' + old).body['usable'] is False
    assert owner.post('/v1/instances', {'app': 'hotel', 'build': '1.0'}).code == 'build-not-allowed'
    assert owner.post(path + '/cancel').code == 'rollout-ended'
    assert len(owner.list('/v1/rollouts')) == 1


def test_times_of_nobody(server, owner):
    """What rows take for "none" is no time."""
    owner.post('/v1/apps', {'name': 'hotel'})
    build = allowed_build(server, 'hotel')
    for time_text in ('1970-01-01T00:00:00Z', '1969-12-31T23:59:59Z', '0001-01-01T00:00:00Z'):
        answer = owner.post(f'/v1/builds/{build}/deprecate', {'until': time_text})
        assert answer.status == 400 and answer.body['member'] == '/until', answer
    assert owner.get('/v1/builds/' + build).body['state'] == 'allowed'


def test_rollout_cancelled(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    old = allowed_build(server, 'hotel', '1.0', 1)
    allowed_build(server, 'hotel', '1.1', 2)
    made = owner.post('/v1/rollouts', {'app': 'hotel', 'build': '1.1', 'old_build': '1.0', 'end': time_in(3600)}).body
    assert owner.post(f'/v1/rollouts/{made["id"]}/cancel').body['state'] == 'cancelled'
    assert owner.get('/v1/builds/' + old).body['state'] == 'allowed' and owner.get('/v1/builds/' + old).body['usable'] is True


def test_rollout_ends_at_its_date(server, owner):
    owner.post('/v1/apps', {'name': 'hotel'})
    old = allowed_build(server, 'hotel', '1.0', 1)
    node = Node(server, 'one')
    left = owner.post('/v1/instances', {'app': 'hotel'}).body['id']
    allowed_build(server, 'hotel', '1.1', 2)
    path = '/v1/rollouts/' + owner.post('/v1/rollouts', {'app': 'hotel', 'build': '1.1', 'old_build': '1.0', 'end': time_in(4)}).body['id']
    tag = node.work()['tag']
    while {work['id']: work['wanted'] for work in node.work(after=tag, wait_s=5)['instances']}[left] == 'run':
        pass
    assert owner.get(path).body['state'] == 'forced'
    node.report(left, 'exited', exit_status=0)
    with contextlib.closing(owner.events(after=0, kind='rollout.done')) as events:
        assert next(iter(events))[0] == 'rollout.done'
    assert owner.get(path).body['state'] == 'done' and owner.get(path).body['old_count'] == 0
    assert owner.get('/v1/builds/' + old).body['state'] == 'deprecated'


def test_rollout_in_the_database(server, owner):
    """Dates and states that somebody writes there stop nothing and allow nothing."""
    owner.post('/v1/apps', {'name': 'hotel'})
    old = allowed_build(server, 'hotel', '1.0', 1)
    node = Node(server, 'one')
    running = owner.post('/v1/instances', {'app': 'hotel'}).body['id']
    allowed_build(server, 'hotel', '1.1', 2)
    path = '/v1/rollouts/' + owner.post('/v1/rollouts', {'app': 'hotel', 'build': '1.1', 'old_build': '1.0', 'end': time_in(3600)}).body['id']
    assert owner.get(path).status == 200
    for change, back in (('UPDATE rollouts SET end_ms = end_ms - 7200000', 'UPDATE rollouts SET end_ms = end_ms + 7200000'),
                         ("UPDATE rollouts SET state = 'forced'", "UPDATE rollouts SET state = 'open'"),
                         ('UPDATE rollouts SET old_build_id = build_id, build_id = old_build_id',) * 2):
        assert change_database(server, change) == 1
        for answer in owner.get(path), owner.post(path + '/cancel'), owner.post(path + '/force'), owner.get('/v1/rollouts'):
            assert answer.status == 500 and answer.code == 'record-forged', answer
        assert [forged['table'] for forged in owner.get('/v1/integrity').body['forged']] == ['rollouts']
        begin = len(server.log())
        until = time.monotonic() + 60
        while 'forced' in change or 'end_ms' in change:  # the fleet has looked, and left it
            if 'not written by this server' in server.log(begin):
                break
            assert time.monotonic() < until
            time.sleep(0.05)
        assert change_database(server, back) == 1
        assert owner.get(path).body['state'] == 'open'
    assert {work['id']: work['wanted'] for work in node.work()['instances']}[running] == 'run'
    assert owner.get('/v1/builds/' + old).body['state'] == 'deprecated'
