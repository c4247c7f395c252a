# SPDX-License-Identifier: Apache-2.0
"""Every endpoint against every kind of caller. What `cloched routes` says is what openapi.yaml describes, and what is enforced."""
import json
import re
import subprocess

import pytest

import cloched

ROLES = ['reader', 'auditor', 'operator', 'approver', 'owner']
# Whoever comes may ask these; all others need a token.
PUBLIC = {('GET', '/healthz'), ('GET', '/readyz'), ('POST', '/v1/login'), ('POST', '/v1/exchange/nonce'), ('POST', '/v1/exchange/evidence'),
          ('POST', '/v1/nodes/join'), ('GET', '/v1/ca'), ('GET', '/v1/ca/crl/{authority}'), ('GET', '/v1/ca/roots'), ('GET', '/v1/server')}
# What everybody may change: themselves.
OWN = {('POST', '/v1/logout'), ('POST', '/v1/me/password'), ('POST', '/v1/me/totp'), ('POST', '/v1/me/totp/confirm'),
       ('POST', '/v1/me/totp/remove'), ('POST', '/v1/tokens'), ('DELETE', '/v1/tokens/{}')}

# A question that is too long for a GET.
ASKS = {('POST', '/v1/policies/{}/try')}


def normal(path):
    return re.sub(r'\{[^}]*\}', '{}', path)


def routes():
    done = subprocess.run([cloched.CLOCHED, 'routes'], capture_output=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


ROUTES = routes()
IDS = [route['method'] + ' ' + route['path'] for route in ROUTES]


class World:
    """An organisation with a user of each role, and another organisation's owner."""

    def __init__(self, server):
        self.server = server
        owner = server.owner
        self.tokens = {}
        for role in ROLES:
            password = f'the password of {role}'
            assert owner.post('/v1/users', {'name': 'the-' + role, 'roles': [role], 'password': password}).status == 201
            self.tokens[role] = server.login('the-' + role, password).token
        server.init('other', 'olga')
        self.other = server.login('olga', org='other').token
        # Something of each kind that others must not reach.
        self.ids = {'user': owner.get('/v1/users/alice').body['id'],
                    'token': owner.post('/v1/tokens', {'name': 'mine'}).body['id'],
                    'app': owner.post('/v1/apps', {'name': 'mine'}).body['id']}

    def path(self, template):
        return re.sub(r'\{([^}]*)\}', lambda found: self.ids.get(found.group(1), 'absent'), template)

    def ask(self, method, template, token, headers=None):
        client = self.server.client(token)
        data = None if method in ('GET', 'DELETE') else '{}'
        headers = dict(headers or {})
        if data:
            headers['Content-Type'] = 'application/json'
        return client.raw(method, self.path(template), data, headers)


@pytest.fixture(scope='module')
def world():
    with cloched.Cloched() as server:
        yield World(server)


def test_what_is_described_is_what_is_served():
    described = {(method, normal(path)) for method, path, _ in cloched.contract().operations()}
    served = {(route['method'], normal(route['path'])) for route in ROUTES}
    assert described == served


def test_who_takes_an_idempotency_key_is_described():
    described = {(method, normal(path)) for method, path, operation in cloched.contract().operations()
                 if any(part.get('$ref', '').endswith('/idempotencyKey') for part in operation.get('parameters', []))}
    assert described == {(route['method'], normal(route['path'])) for route in ROUTES if route['idempotent']}


def test_public_routes_are_those_that_are_meant():
    assert {(route['method'], route['path']) for route in ROUTES if route['public']} <= PUBLIC


def test_those_who_only_read_change_nothing():
    for route in ROUTES:
        where = (route['method'], normal(route['path']))
        if route['method'] == 'GET' or where in OWN | ASKS or route['public']:
            continue
        assert not route['any_role'] and not set(route['roles']) & {'reader', 'auditor'}, where


@pytest.mark.parametrize('route', ROUTES, ids=IDS)
def test_nobody_comes_in_without_a_token(world, route):
    if route['public']:
        return
    for headers in ({}, {'Authorization': 'Bearer '}, {'Authorization': 'Bearer clo_s_' + 'A' * 43}, {'Authorization': 'Bearer x.y.z'},
                    {'Authorization': 'Basic YTpi'}, {'Authorization': 'Cloche-Instance x.y.z'}, {'Authorization': 'Bearer ' + 'a' * 5000}):
        answer = world.ask(route['method'], route['path'], None, headers)
        assert answer.status == 401 and answer.code == 'not-authenticated', answer


@pytest.mark.parametrize('route', [r for r in ROUTES if not r['public']], ids=[i for i, r in zip(IDS, ROUTES) if not r['public']])
def test_only_the_right_roles(world, route):
    if route['path'] in ('/v1/logout', '/v1/me/password') or (route['method'], route['path']) == ('DELETE', '/v1/tokens/{token}'):
        return  # test_server_auth.py
    for role in ROLES:
        may = route['any_role'] or role in route['roles']
        if may and role == 'owner' and route['method'] != 'GET':
            continue  # what an owner does to this world the others would miss
        answer = world.ask(route['method'], route['path'], world.tokens[role])
        refused = answer.status == 403 and answer.code == 'not-allowed'
        assert refused == (not may), (role, answer)
        assert answer.status < 500, answer


@pytest.mark.parametrize('route', [r for r in ROUTES if '{' in r['path']], ids=[i for i, r in zip(IDS, ROUTES) if '{' in r['path']])
def test_another_organisation_sees_and_changes_nothing(world, route):
    before = {kind: world.server.owner.get(f'/v1/{kind}s/{id}').text for kind, id in world.ids.items()}
    answer = world.ask(route['method'], route['path'], world.other)
    assert answer.status in (400, 401, 403, 404, 412, 428) or answer.body.get('items') == [], answer
    assert before == {kind: world.server.owner.get(f'/v1/{kind}s/{id}').text for kind, id in world.ids.items()}


def test_lists_of_another_organisation_are_its_own(world):
    other = world.server.client(world.other)
    for path in ('/v1/users', '/v1/tokens', '/v1/apps', '/v1/events'):
        text = json.dumps(other.list(path))
        for value in world.ids.values():
            assert value not in text, path
