# SPDX-License-Identifier: Apache-2.0
"""Requests to every endpoint, made of what openapi.yaml says and of all that it does not say. Whatever comes: the server does not fail, its answer is the
contract's, a refusal is a problem document, no header is the client's, and what was refused has written nothing.

CLOCHE_PROPERTY_SEED chooses other requests (each failure prints it), CLOCHE_PROPERTY_ROUNDS more of them."""
import hashlib
import json
import os
import random
import re
import sqlite3
import urllib.parse

import pytest

import cloched
import hostile_values
import objects

SEED = int(os.environ.get('CLOCHE_PROPERTY_SEED', '1'))
ROUNDS = int(os.environ.get('CLOCHE_PROPERTY_ROUNDS', '1'))
REQUESTS = 26  # of an operation with a body, each round; of others a third
HEADERS = {'content-type', 'content-length', 'cache-control', 'x-content-type-options', 'x-request-id', 'etag', 'location', 'allow', 'www-authenticate',
           'retry-after', 'date', 'connection', 'strict-transport-security'}
# What a refused request may write: who tried, how often, when a token was used.
PASSING = {'audit_entries', 'audit_nodes', 'audit_checkpoints', 'idempotency', 'nonces', 'sqlite_sequence'}
PASSING_COLUMNS = {'users': {'failures', 'locked_until_ms', 'totp_step'}, 'tokens': {'used_ms'}, 'nodes': {'seen_ms', 'state', 'refusal', 'version'},
                   'instances': {'state', 'wanted', 'reason', 'changed_ms', 'version', 'seen_ms'}}
# What the server does by itself while the test runs.
PASSING_TABLES_OF_THE_FLEET = {'instance_history', 'instance_orders', 'events', 'event_counter'}
# These need an instance's signature, or hold the connection.
OUTSIDE = {'/v1/events', '/v1/exchange/orders', '/v1/exchange/end'}


class World:
    def __init__(self, server):
        self.server, self.owner = server, server.owner
        made = {'app': self.make('/v1/apps', {'name': 'hotel', 'dns_names': ['hotel.example']})}
        made['build'] = objects.allowed_build(server, 'hotel')
        made['policy'] = self.make('/v1/policies', {'name': 'strict', 'policy': {'version': 1, 'name': 'strict', 'tee': ['sgx'],
                                                                                 'intel': {'tcb_status': ['UpToDate']}}})
        made['secret'] = self.make('/v1/secrets', {'name': 'db', 'value': 'c2VjcmV0', 'deliver': {'env': 'DB'}, 'bindings': [{'app': made['app']}]})
        self.node = objects.Node(server, 'attic')
        made['node'] = self.node.id
        made['instance'] = self.make('/v1/instances', {'app': 'hotel'})
        made['user'] = self.make('/v1/users', {'name': 'reader', 'roles': ['reader'], 'password': 'a long enough password'})
        made['token'] = self.make('/v1/tokens', {'name': 'ci', 'lifetime_s': 3600})
        made['change'] = self.make('/v1/roster/changes', {'action': 'set-needed', 'approvals_needed': 1})
        made['key'] = server.approver.key
        self.ids = {**made, 'old_build': made['build'], 'object': made['instance']}
        self.store = sqlite3.connect('file:' + server.options['store'][len('sqlite:'):] + '?mode=ro', uri=True)
        self.tables = [row[0] for row in self.store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                       if row[0] not in PASSING | PASSING_TABLES_OF_THE_FLEET]

    def make(self, path, body):
        answer = self.owner.post(path, body)
        assert answer.status == 201, answer
        return answer.body['id']

    def client(self, path):
        if path.startswith('/v1/node/') or path == '/v1/node':
            return self.node.client
        if path in ('/v1/login', '/v1/nodes/join') or path.startswith('/v1/exchange/'):
            return self.server.client()
        return self.owner

    def state(self):
        """Each table's rows without what passes."""
        result = {}
        for table in self.tables:
            cursor = self.store.execute(f'SELECT * FROM {table}')
            kept = [i for i, column in enumerate(cursor.description) if column[0] not in PASSING_COLUMNS.get(table, ())]
            digest = hashlib.sha256()
            for row in sorted(repr([row[i] for i in kept]) for row in cursor):
                digest.update(row.encode())
            result[table] = digest.hexdigest()
        return result


@pytest.fixture(scope='module')
def world():
    print('seed', SEED)
    with cloched.Cloched(rate_per_minute=10000000) as server:
        yield World(server)
        assert server.child.poll() is None


OPERATIONS = [(method, path) for method, path, _ in cloched.contract().operations() if path not in OUTSIDE]
# What would end the session of the test, or take so long that nothing else would be asked.
FEW = {('POST', '/v1/logout'): 0, ('POST', '/v1/login'): 8, ('POST', '/v1/me/password'): 6, ('POST', '/v1/users'): 12, ('PATCH', '/v1/users/{user}'): 12}


def quoted(text):
    return urllib.parse.quote(text.encode(errors='surrogatepass'), safe='')


def targets(world, maker, template, operation, is_wild):
    """A path, and a query of the operation's parameters."""
    choice = maker.random
    path = re.sub(r'\{([^}]*)\}', lambda found: quoted(choice.choice(hostile_values.TEXTS)[:3000]) if is_wild and choice.random() < 0.5
                  else world.ids.get(found.group(1), '1'), template)
    query = []
    for parameter in operation.get('parameters', []):
        parameter = maker.contract.resolve(parameter)
        if parameter['in'] != 'query' or not (parameter.get('required') or choice.random() < 0.6):
            continue
        value = maker.wrong(parameter['schema']) if is_wild else maker.value(parameter['schema'], parameter['name'])
        if parameter['name'] == 'wait_s' and isinstance(value, int):
            value = min(value, 1)  # nobody waits here
        text = value if isinstance(value, str) else hostile_values.dumps(value)
        query.append(parameter['name'] + '=' + quoted(str(text)[:1000]))
    if is_wild and choice.random() < 0.2:
        query.append(choice.choice(['a', '=', 'limit=1&limit=2', 'x=%zz', 'x=%00', 'x=%c0%af', 'x=%0d%0aX-Injected:%20yes', '&&', '%26=1', 'limit=-1', 'after=%ff']))
    return path + ('?' + '&'.join(query) if query else '')


def check_answer(method, path, sent, answer):
    assert answer.status < 500, f'{answer}'
    assert not {name.lower() for name in answer.headers} - HEADERS, answer.headers.items()
    assert answer.headers['X-Content-Type-Options'] == 'nosniff'
    assert not any(name.lower().startswith('access-control') or name.lower() == 'set-cookie' for name in answer.headers)
    if answer.status >= 400:
        assert answer.kind == 'application/problem+json' and answer.code and answer.body['request'] == answer.headers['X-Request-Id'], answer
    assert not re.search('[\x00-\x08\x0e-\x1f]', answer.text)
    if '?' in path or answer.status >= 400:
        path = path.split('?')[0]
    template, _ = cloched.contract().operation(method, path)
    if template:
        cloched.contract().check(method, path, sent, answer)


def read_sent(data):
    """What a body says to a reader who is as strict as the server."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@pytest.mark.parametrize('method,template', OPERATIONS, ids=[' '.join(operation) for operation in OPERATIONS])
def test_any_request(world, method, template):
    contract = cloched.contract()
    _, operation = contract.operation(method, template.replace('{', '').replace('}', ''))
    choice = random.Random(f'{SEED} {method} {template}')
    maker = hostile_values.Maker(contract, choice, world.ids)
    client = world.client(template)
    content = contract.resolve(operation.get('requestBody', {})).get('content', {}).get('application/json')
    count = FEW.get((method, template), REQUESTS if content else REQUESTS // 3) * ROUNDS
    state = None
    for number in range(count):
        target = targets(world, maker, template, operation, number % 3 == 2)
        data, headers = None, {}
        if content:
            text, _ = maker.body(content['schema'], number % REQUESTS)
            data = text.encode('utf-8', 'surrogateescape')
            headers['Content-Type'] = 'application/json' if number % 13 else choice.choice(['', 'text/plain', 'application/xml', 'application/jsonx', 'multipart/form-data'])
        state = state or world.state()
        what = f'seed {SEED}, request {number}: {method} {target[:300]} {data[:600] if data else None}'
        try:
            answer = client.raw(method, target, data, headers)
            check_answer(method, target, read_sent(data) if data else None, answer)
        except Exception as error:
            raise AssertionError(what) from error
        if answer.status < 400:
            state = None
            continue
        changed = [table for table, digest in world.state().items() if state[table] != digest]
        assert not changed, f'{changed} changed, although {answer.status}: {what}'


TARGETS = ['//v1/apps', '/v1//apps', '/v1/./apps', '/v1/../v1/apps', '/v1/apps/..', '/v1/%2e%2e/apps', '/v1/apps%2fhotel', '/v1/apps/%2e', '/v1/apps/%00', '/v1/apps/a%00b',
           '/v1/apps/%c0%ae%c0%ae', '/v1/apps/%e0%80%af', '/v1/apps/%ed%a0%80', '/v1/apps/%ff', '/v1/apps/%', '/v1/apps/%4', '/v1/apps/%zz', '/v1/apps/%0d%0aX-Injected:%20yes',
           '/v1/apps/%1b%5b31m', '/v1/apps/' + 'a' * 257, '/v1/' + 'a/' * 20, '/v1/apps?' + '&'.join(f'a{i}=1' for i in range(40)), '/v1/apps?limit=%31&limit=1', '/V1/apps',
           '/v1/apps;x=1', '/v1/apps/?', '/v1/apps/', '*', 'v1/apps', '/v1/apps#x', '/v1/apps?after=%0d%0aX-Injected:%20yes', '/v1/apps/..%5c..%5cetc', '/v1/apps\\..']


@pytest.mark.parametrize('target', TARGETS, ids=range(len(TARGETS)))
def test_any_target(world, target):
    sock = world.server.socket()
    try:
        sock.sendall(f'GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.owner.token}\r\nConnection: close\r\n\r\n'.encode())
        data = b''
        while True:
            part = sock.recv(65536)
            if not part:
                break
            data += part
    finally:
        sock.close()
    head, _, body = data.partition(b'\r\n\r\n')
    assert b'injected' not in head.lower()
    status = int(head.split()[1])
    assert 200 <= status < 500, data
    if status >= 400 and body.startswith(b'{'):
        assert json.loads(body)['code']
