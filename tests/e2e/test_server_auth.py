# SPDX-License-Identifier: Apache-2.0
"""People: logging in and out, one-time codes, held-up guessing, users, tokens."""
import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import sqlite3
import struct
import subprocess
import time

import pytest

import cloched


@pytest.fixture(scope='module')
def server():
    with cloched.Cloched() as server:
        yield server


def add(server, name, roles=('reader',), password=None):
    """A user with a password; their name is it twice."""
    password = password or f'{name} {name} {name}'
    answer = server.owner.post('/v1/users', {'name': name, 'roles': list(roles), 'password': password})
    assert answer.status == 201, answer
    return password


def try_login(server, name, password, **more):
    return server.client().post('/v1/login', {'org': 'acme', 'name': name, 'password': password, **more})


def code_at(secret, step):
    """RFC 6238 by Python's own hands."""
    mac = hmac.new(base64.b32decode(secret), struct.pack('>Q', step), hashlib.sha1).digest()
    off = mac[19] & 15
    return f'{(struct.unpack(">I", mac[off:off + 4])[0] & 0x7fffffff) % 1000000:06}'


def test_wrong_and_right(server):
    assert try_login(server, 'alice', cloched.PASSWORD).status == 200
    for name, password, org in (('alice', 'wrong', 'acme'), ('nobody', cloched.PASSWORD, 'acme'), ('alice', cloched.PASSWORD, 'emca')):
        answer = server.client().post('/v1/login', {'org': org, 'name': name, 'password': password})
        assert answer.status == 401 and answer.code == 'login-refused', answer
        assert answer.headers['WWW-Authenticate'].startswith('Bearer')


def test_the_name_of_the_only_organisation_may_be_left_out(server):
    assert server.client().post('/v1/login', {'name': 'alice', 'password': cloched.PASSWORD}).status == 200


def test_logout_ends_this_session_alone(server):
    password = add(server, 'leaver')
    first, second = server.login('leaver', password), server.login('leaver', password)
    assert first.post('/v1/logout').status == 204
    assert first.get('/v1/me').status == 401 and second.get('/v1/me').status == 200


def test_a_new_password_ends_other_sessions_and_tokens(server):
    password = add(server, 'changer')
    here, there = server.login('changer', password), server.login('changer', password)
    token = server.client(here.post('/v1/tokens', {'name': 't'}).body['token'])
    assert here.post('/v1/me/password', {'old': 'wrong', 'new': 'something else'}).code == 'wrong-password'
    assert here.post('/v1/me/password', {'old': password, 'new': 'short'}).status == 400
    assert there.get('/v1/me').status == token.get('/v1/me').status == 200
    assert here.post('/v1/me/password', {'old': password, 'new': 'something else'}).status == 204
    assert here.get('/v1/me').status == 200
    assert there.get('/v1/me').status == token.get('/v1/me').status == 401
    assert try_login(server, 'changer', password).status == 401
    assert try_login(server, 'changer', 'something else').status == 200


def test_one_time_codes(server):
    password = add(server, 'coded')
    user = server.login('coded', password)
    assert user.post('/v1/me/totp', {'password': 'wrong'}).status == 403
    secret = user.post('/v1/me/totp', {'password': password}).body['secret']
    assert try_login(server, 'coded', password).status == 200  # not confirmed yet
    assert user.post('/v1/me/totp/confirm', {'code': '000000' if code_at(secret, int(time.time()) // 30) != '000000' else '111111'}).code == 'wrong-code'
    # Codes of the step before, of now and of the next are right, each once, in rising order.
    step = int(time.time()) // 30
    assert user.post('/v1/me/totp/confirm', {'code': code_at(secret, step)}).status == 204
    assert user.get('/v1/me').body['user']['has_totp']
    without = try_login(server, 'coded', password)
    assert without.status == 401 and without.code == 'code-needed'
    assert try_login(server, 'coded', 'wrong', code=code_at(secret, step + 1)).code == 'login-refused'
    assert try_login(server, 'coded', password, code=code_at(secret, step)).status == 401  # used
    assert try_login(server, 'coded', password, code=code_at(secret, step - 1)).status == 401  # older
    assert try_login(server, 'coded', password, code=code_at(secret, step + 40)).status == 401
    assert try_login(server, 'coded', password, code=code_at(secret, step + 1)).status == 200
    assert try_login(server, 'coded', password, code=code_at(secret, step + 1)).status == 401
    assert user.post('/v1/me/totp/remove', {'password': password}).status == 204
    assert try_login(server, 'coded', password).status == 200
    with open(server.options['store'][7:], 'rb') as f:
        assert base64.b32decode(secret) not in f.read()


def test_names_cannot_be_found_out(server):
    """Whoever guesses hears the same of a user, of a name that nobody has, and of an organisation that is not there; with the organisation's name and without."""
    assert server.owner.post('/v1/users', {'name': 'there', 'roles': ['reader'], 'password': 'a long enough password'}).status == 201
    for org, name in (('acme', 'there'), ('acme', 'absent'), ('none', 'absent')):
        codes, texts = [], set()
        while 'login-locked' not in codes:  # each lock is twice as long: one outlasts this
            answer = server.client().post('/v1/login', {'name': name, 'password': 'wrong password', **({'org': org} if len(codes) % 3 or org == 'none' else {})})
            codes.append(answer.code)
            texts.add((answer.status, re.sub(r'[0-9]+', 'N', answer.body['detail']), *sorted(set(answer.headers) - {'Retry-After'})))
            assert len(codes) < 14, codes
        assert codes[:5] == ['login-refused'] * 5 and set(codes[5:]) <= {'login-refused', 'login-locked'}, (name, codes)
        heard = texts if name == 'there' else heard
        assert texts == heard


def test_guessing_is_held_up_but_locks_nobody_out(server):
    password = add(server, 'target')
    known = server.login('target', password)
    answers = [try_login(server, 'target', f'guess {i}') for i in range(8)]
    locked = [answer for answer in answers if answer.code == 'login-locked']
    assert locked and 1 <= int(locked[0].headers['Retry-After']) <= 900
    assert [answer.code for answer in answers[:4]] == ['login-refused'] * 4
    # Who has logged in before is let in, with the right password alone.
    device = known.device
    assert try_login(server, 'target', 'wrong', device=device).code == 'login-refused'
    other = server.login().device
    assert try_login(server, 'target', password, device=device).status == 200
    for i in range(10):
        if try_login(server, 'target', f'guess {i}').code == 'login-locked':
            break
    assert try_login(server, 'target', 'guess', device=other).code == 'login-locked'  # another's device
    assert try_login(server, 'target', 'guess', device='A' * 64).code == 'login-locked'
    # The lock ends by itself.
    answer = try_login(server, 'target', 'guess')
    if answer.code == 'login-locked':
        time.sleep(int(answer.headers['Retry-After']) + 0.1)
    assert try_login(server, 'target', password).status == 200


def test_users(server):
    owner = server.owner
    password = add(server, 'worker', ['operator', 'reader'])
    again = owner.post('/v1/users', {'name': 'worker', 'roles': ['reader'], 'password': password})
    assert again.status == 409 and again.code == 'already-exists'
    for body in ({'name': 'x', 'roles': ['king'], 'password': password}, {'name': 'x', 'roles': ['reader']},
                 {'name': 'Upper', 'roles': ['reader'], 'password': password}, {'name': 'x', 'roles': ['reader'], 'oidc_issuer': 'https://i'}):
        assert owner.post('/v1/users', body).status == 400, body
    shown = owner.get('/v1/users/worker')
    assert shown.body['roles'] == ['reader', 'operator'] and owner.get('/v1/users/' + shown.body['id']).text == shown.text
    worker = server.login('worker', password)
    assert owner.patch('/v1/users/worker', {'roles': ['auditor']}, if_match=shown.etag).status == 200
    assert owner.patch('/v1/users/worker', {'roles': ['reader']}, if_match=shown.etag).status == 412
    assert worker.get('/v1/me').body['roles'] == ['auditor']  # at once
    assert owner.patch('/v1/users/worker', {'disabled': True}).status == 200
    assert worker.get('/v1/me').status == 401 and try_login(server, 'worker', password).status == 401
    assert owner.patch('/v1/users/worker', {'disabled': False}).status == 200
    assert worker.get('/v1/me').status == 401 and try_login(server, 'worker', password).status == 200
    assert owner.patch('/v1/users/worker', {'password': 'a reset password'}).status == 200
    assert try_login(server, 'worker', 'a reset password').status == 200
    for body in ({'roles': ['reader']}, {'disabled': True}):
        assert owner.patch('/v1/users/alice', body).code == 'last-owner'


def test_tokens(server):
    password = add(server, 'maker', ['operator', 'reader'])
    maker = server.login('maker', password)
    assert maker.post('/v1/tokens', {'name': 'more', 'roles': ['owner']}).status == 403
    made = maker.post('/v1/tokens', {'name': 'less', 'roles': ['reader'], 'lifetime_s': 3600}).body
    token = server.client(made['token'])
    assert token.get('/v1/me').body['roles'] == ['reader'] and token.get('/v1/me').body['kind'] == 'token'
    assert token.post('/v1/tokens', {'name': 'child'}).code == 'session-needed'
    assert token.post('/v1/me/password', {'old': password, 'new': 'another password'}).code == 'session-needed'
    assert token.post('/v1/logout').code == 'no-session'
    assert maker.get('/v1/tokens/' + made['id']).body['used'] is not None
    # A token's roles are never more than its user's.
    assert server.owner.patch('/v1/users/maker', {'roles': ['auditor']}).status == 200
    assert token.get('/v1/me').status == 403 and maker.get('/v1/me').body['roles'] == ['auditor']
    assert server.owner.patch('/v1/users/maker', {'roles': ['reader']}).status == 200
    other = server.login('alice')
    assert maker.get('/v1/tokens/' + other.post('/v1/tokens', {'name': 'hers'}).body['id']).status == 404
    assert {t['owner'] for t in maker.list('/v1/tokens')} == {made['owner']}
    assert maker.delete('/v1/tokens/' + made['id']).status == 204 and maker.delete('/v1/tokens/' + made['id']).status == 204
    assert token.get('/v1/me').status == 401
    # The owner of the organisation revokes anybody's.
    again = maker.post('/v1/tokens', {'name': 'again'}).body
    assert server.owner.delete('/v1/tokens/' + again['id']).status == 204
    assert server.client(again['token']).get('/v1/me').status == 401


def lasts_s(body):
    made, ends = (datetime.datetime.fromisoformat(body[name].replace('Z', '+00:00')) for name in ('created', 'expires'))
    return round((ends - made).total_seconds())


def test_settings_of_the_organisation():
    with cloched.Cloched() as server:
        owner = server.owner
        shown = owner.get('/v1/org')
        assert shown.body['title'] == '' and shown.body['session_s'] == 43200 and shown.body['token_s'] == 366 * 86400
        for wrong in ({'session_s': 299}, {'session_s': 604801}, {'token_s': 3599}, {'title': 'x' * 101}, {'title': '\u00e4' * 51},
                      {'name': 'other'}, {'approvals_needed': 0}, {'session_s': '300'}):
            assert owner.patch('/v1/org', wrong).status == 400, wrong
        changed = owner.patch('/v1/org', {'title': 'Acme Hotels', 'session_s': 300, 'token_s': 7200}, if_match=shown.etag)
        assert changed.status == 200 and changed.body == {**shown.body, 'title': 'Acme Hotels', 'session_s': 300, 'token_s': 7200}
        assert owner.patch('/v1/org', {'title': 'late'}, if_match=shown.etag).status == 412
        assert owner.get('/v1/org').text == changed.text and owner.get('/v1/org').etag == changed.etag
        later = server.login()
        made = {t['kind']: lasts_s(t) for t in owner.list('/v1/tokens')[-1:]}
        assert made == {'session': 300}
        assert later.post('/v1/tokens', {'name': 'long', 'lifetime_s': 7201}).code == 'invalid-member'
        assert lasts_s(later.post('/v1/tokens', {'name': 'usual'}).body) == 7200
        assert lasts_s(later.post('/v1/tokens', {'name': 'short', 'lifetime_s': 60}).body) == 60
        password = add(server, 'worker', ['operator', 'approver', 'auditor', 'reader'])
        assert server.login('worker', password).patch('/v1/org', {'title': ''}).status == 403
        told = [e['entry'] for e in owner.list('/v1/audit', action='org.change')]
        assert [e['detail'] for e in told] == [{'title': 'Acme Hotels', 'session_s': 300, 'token_s': 7200}]
        assert [e['object'] for e in owner.list('/v1/events', kind='org.changed')] == [shown.body['id']]
        # By the command line.
        env = {**os.environ, 'HOME': server.folder, 'XDG_CONFIG_HOME': server.folder + '/cli'}

        def cli(*words):
            return subprocess.run([os.path.join(cloched.BUILD, 'bin', 'cloche'), *words, '--json'], env=env, capture_output=True, timeout=60)

        assert cli('login', server.url, '--user', 'alice', '--password-file', server.folder + '/password').returncode == 0
        done = cli('org', 'set', '--title', '', '--session', '12h')
        assert done.returncode == 0, done.stderr
        assert json.loads(cli('org', 'show').stdout) == {**changed.body, 'title': '', 'session_s': 43200}
        assert cli('org', 'set').returncode == 2 and cli('org', 'set', '--session', '1m').returncode == 2
        server.stop()
        with sqlite3.connect(server.options['store'][7:]) as db:
            db.execute("UPDATE orgs SET settings = replace(settings, '43200', '604800')")
        server.start()
        assert owner.get('/v1/org').code == 'record-forged'


def test_texts_of_tokens_and_passwords_are_not_in_the_store(server):
    made = server.owner.post('/v1/tokens', {'name': 'searched for'}).body['token']
    for end in ('', '-wal'):
        try:
            with open(server.options['store'][7:] + end, 'rb') as f:
                data = f.read()
        except FileNotFoundError:
            continue
        for text in (made, server.owner.token, cloched.PASSWORD):
            assert text.encode() not in data


@pytest.mark.parametrize('change', ["UPDATE users SET roles = 31 WHERE name = 'forged'", "UPDATE users SET disabled_ms = NULL WHERE name = 'forged'",
                                    "UPDATE users SET password = (SELECT password FROM users WHERE name = 'alice') WHERE name = 'forged'",
                                    "UPDATE tokens SET roles = 31, expires_ms = 9999999999999 WHERE name = 'forged'",
                                    "UPDATE tokens SET revoked_ms = NULL WHERE name = 'forged'",
                                    "UPDATE tokens SET owner_id = (SELECT id FROM users WHERE name = 'alice') WHERE name = 'forged'"])
def test_rows_that_somebody_else_changed_are_nobody(change):
    with cloched.Cloched() as server:
        password = add(server, 'forged')
        user = server.login('forged', password)
        made = user.post('/v1/tokens', {'name': 'forged', 'lifetime_s': 100}).body
        token = server.client(made['token'])
        assert token.get('/v1/me').status == 200
        if 'disabled_ms' in change:
            server.owner.patch('/v1/users/forged', {'disabled': True})
        if 'revoked_ms' in change:
            user.delete('/v1/tokens/' + made['id'])
        server.stop()
        with sqlite3.connect(server.options['store'][7:]) as db:
            assert db.execute(change).rowcount == 1
        server.start()
        assert token.get('/v1/me').status == 401
        if change.startswith('UPDATE users'):
            for tried in (password, cloched.PASSWORD):
                assert try_login(server, 'forged', tried).status == 401
        assert server.owner.get('/v1/me').status == 200


@pytest.mark.parametrize('limit', [1, 2, 3, 50])
def test_lists_go_on_behind_rows_that_somebody_else_changed(limit):
    with cloched.Cloched() as server:
        for name in ('first', 'forged', 'forged-too', 'last'):
            add(server, name)
        with sqlite3.connect(server.options['store'][7:], timeout=30) as db:
            assert db.execute("UPDATE users SET roles = 31 WHERE name LIKE 'forged%'").rowcount == 2
        names = [user['name'] for user in server.owner.list('/v1/users', limit=limit)]
        assert names[1:] == ['first', 'last'] and len(names) == 3
