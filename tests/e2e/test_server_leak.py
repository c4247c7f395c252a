# SPDX-License-Identifier: Apache-2.0
"""Nothing secret in any file, answer, log or core: every kind of secret that a control plane has is made and used, rightly and wrongly; then all that it wrote and
said is searched for each of them in every usual form, over SQLite and over PostgreSQL."""
import base64
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse

import pytest

import cloched
import test_server_store as store
from objects import Approver

sys.path.insert(0, os.path.join(cloched.ROOT, 'tests', 'unit', 'server'))
import postgresql  # noqa: E402

SMALL = 12  # bytes of a part that is searched for by itself

# Beginnings of private keys: PEM; PKCS #8 of Ed25519, P-256, RSA; SEC 1 of P-256.
KEYS = [b'PRIVATE KEY', bytes.fromhex('302e020100300506032b657004220420'), bytes.fromhex('308187020100301306072a8648ce3d020106082a8648ce3d030107'),
        bytes.fromhex('06092a864886f70d010101050004820'[:-1]), bytes.fromhex('30770201010420')]


def forms(data):
    """How bytes may stand in a file: as they are, in halves, and as JSON, URLs, hex and base64 write them, the latter wherever they begin."""
    half = len(data) // 2
    result = {'plain': data, 'hex': data.hex().encode(), 'HEX': data.hex().upper().encode()}
    if half >= SMALL:
        result.update({'first half': data[:half], 'second half': data[half:]})
    for shift in range(3):
        text = base64.b64encode(b'\0' * shift + data)
        whole = text[4 if shift else 0:len(text) // 4 * 4 - 4]  # without what neighbours decide
        result[f'base64 {shift}'] = whole
        result[f'base64url {shift}'] = whole.translate(bytes.maketrans(b'+/', b'-_'))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return result
    result['JSON'] = json.dumps(text)[1:-1].encode()
    result['URL'] = urllib.parse.quote(text, safe='').encode()
    result['UTF-16'] = text.encode('utf-16-le')
    return result


def found(words, place, data):
    """Who of them is in it."""
    return [f'{name} ({form}) in {place}' for name, word in words.items() for form, bytes_ in forms(word).items() if bytes_ in data]


@pytest.fixture(params=['sqlite', 'postgresql'], scope='module')
def server(request):
    folder = tempfile.mkdtemp(prefix='cloched-leak-')
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    vault = store.Vault()
    request.addfinalizer(vault.close)
    with open(os.path.join(folder, 'vault-token'), 'w', encoding='ascii') as f:
        f.write('vault-token-5512\n')
    with open(os.path.join(folder, 'sources.json'), 'w', encoding='ascii') as f:
        json.dump({'kv': {'kind': 'vault', 'url': vault.url, 'token_file': f'{folder}/vault-token'}}, f)
    options = {'secret_sources': os.path.join(folder, 'sources.json'), 'emulator_root': None}
    if request.param == 'postgresql':
        database = postgresql.Postgresql()
        database.__enter__()
        request.addfinalizer(lambda: database.__exit__(None, None, None))
        options['store'] = database.url()
    with cloched.Cloched(folder=folder, **options) as running:
        running.database_folder = database.folder if request.param == 'postgresql' else None
        yield running


class Watched(cloched.Client):
    """Keeps every answer."""
    answers = []

    def raw(self, *words, **more):
        answer = super().raw(*words, **more)
        self.answers.append((f'{words[0]} {words[1]}', (answer.text + repr(answer.headers.items())).encode()))
        return answer


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def use_secrets(owner, words):
    """Written, rotated, destroyed, sent twice, refused in each way, imported, as a template."""
    value = words['value']
    made = owner.post('/v1/secrets', {'name': 'one', 'deliver': {'env': 'DB'}, 'value': b64(value)}, key='k1')
    assert made.status == 201
    assert owner.post('/v1/secrets', {'name': 'one', 'deliver': {'env': 'DB'}, 'value': b64(value)}, key='k1').status == 201
    assert owner.post('/v1/secrets', {'name': 'one', 'deliver': {'env': 'DB'}, 'value': b64(words['refused'])}).status == 409
    assert owner.post('/v1/secrets/one/versions', {'value': b64(words['rotated'])}).status == 201
    assert owner.delete('/v1/secrets/one/versions/1').status == 204
    template = b'{{secret "one"}} ' + words['template']
    owner.post('/v1/secrets', {'name': 'shape', 'deliver': {'file': '/run/shape'}, 'template': True, 'value': b64(template)})
    assert owner.post('/v1/secrets', {'name': 'kv', 'deliver': {'socket': True}, 'import': {'source': 'kv', 'path': 'hotel/db', 'field': 'password'}}).status == 201
    for body in ({'name': 'Bad Name', 'deliver': {'env': 'A'}, 'value': b64(words['refused'])},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'value': '*' + words['refused'].decode()},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'value': words['refused'].decode() * 20000},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'value': {'a': words['refused'].decode()}},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'value': [b64(words['refused'])]},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'template': True, 'value': b64(b'{{' + words['refused'] + b'}}')},
                 {'name': 'two', 'deliver': {'env': 'A'}, 'template': True, 'value': b64(b'{{secret "' + words['refused'])}):
        assert owner.post('/v1/secrets', body).status >= 400
    for text in (words['refused'], b'{"name": "' + words['refused'], b'{"value": "' + words['refused'] + b'\x01"}', b'{"value": ' + words['refused'] + b'}'):
        assert owner.raw('POST', '/v1/secrets', text, {'Content-Type': 'application/json'}).status == 400


def use_people(server, owner, words):
    """Users, tokens, one-time codes: right, wrong, and in the wrong place."""
    password, other = words['password of a user'].decode(), words['wrong password'].decode()
    assert owner.post('/v1/users', {'name': 'bob', 'roles': ['operator'], 'password': password}).status == 201
    assert owner.post('/v1/users', {'name': 'bob', 'roles': ['operator'], 'password': password}).status == 409
    assert owner.post('/v1/users', {'name': 'carl', 'roles': ['no'], 'password': other}).status == 400
    anybody = Watched(server)
    bob = Watched(server)
    answer = bob.post('/v1/login', {'org': 'acme', 'name': 'bob', 'password': password})
    assert answer.status == 200
    bob.token = answer.body['token']
    words['session'], words['device'] = bob.token.encode(), answer.body['device'].encode()
    for body in ({'org': 'acme', 'name': 'bob', 'password': other}, {'org': 'acme', 'name': 'bob', 'password': {'a': other}}, {'org': 'none', 'name': 'bob', 'password': other},
                 {'org': 'acme', 'name': 'bob', 'password': other * 20}, {'org': 'acme', 'name': 'bob', 'passwort': other}):
        assert anybody.post('/v1/login', body).status in (400, 401, 429)
    assert bob.post('/v1/me/password', {'password': other, 'new': other + 'x'}).status in (400, 401, 403)
    seed = bob.post('/v1/me/totp', {'password': password})
    assert seed.status == 201, seed
    text = seed.body['secret']
    words['one-time seed'] = base64.b32decode(text + '=' * (-len(text) % 8))
    words['one-time seed in base32'] = text.encode()
    assert bob.post('/v1/me/totp/confirm', {'code': '000000'}).status in (400, 401, 403)
    made = owner.post('/v1/tokens', {'name': 'ci', 'lifetime_s': 3600})
    words['API token'] = made.body['token'].encode()
    join = owner.post('/v1/nodes/tokens', {'name': 'attic'}).body['token']
    words['join token'] = join.encode()
    node = anybody.post('/v1/nodes/join', {'token': join})
    assert node.status == 201
    words["node's token"] = node.body['token'].encode()
    assert anybody.post('/v1/nodes/join', {'token': join}).status in (401, 403, 409)
    assert anybody.post('/v1/nodes/join', {'token': join + 'x'}).status >= 400
    api = words['API token'].decode()
    for bad in (api + 'x', api[:-1] + '!', api.upper()):
        client = Watched(server)
        client.token = bad
        assert client.get('/v1/me').status == 401
    assert Watched(server).raw('GET', '/v1/me', headers={'Authorization': 'Basic ' + api}).status == 401
    assert owner.raw('GET', '/v1/me?token=' + api).status in (200, 400)
    assert owner.delete('/v1/tokens/' + made.body['id']).status == 204


def search(server, words):
    """What is found in all files, in the log and in what was answered to others than the first asker."""
    given = {os.path.join(server.folder, name) for name in ('passphrase', 'password', 'vault-token')}
    problems, count = [], 0
    for folder in filter(None, (server.folder, server.database_folder)):
        for path, data in store.files_of(folder):
            if path not in given:
                count += 1
                problems += found(words, path, data)
                problems += [f'a private key ({key[:12]}) in {path}' for key in KEYS if key in data and not path.startswith(server.database_folder or '\0')]
    return problems, count


def test_nothing_secret_anywhere(server):
    Watched.answers = []
    owner = Watched(server)
    owner.token = server.login().token
    words = {'value': 'grep-me-"Fünf"\\First 4410/+'.encode(), 'rotated': b'grep-me-Second-9917-and-more', 'refused': b'grep-me-Third-2231-and-more',
             'template': b'grep-me-Fourth-7719-and-more', 'password of a user': b'grep-me-Fifth-6120 and more', 'wrong password': b'grep-me-Sixth-3358 and more',
             'passphrase': cloched.PASSPHRASE.encode(), 'password': cloched.PASSWORD.encode(), 'token of the vault': b'vault-token-5512',
             "owner's session": owner.token.encode()}
    use_secrets(owner, words)
    use_people(server, owner, words)
    words['imported'] = b'from the vault'
    approver = Approver(owner)
    approver.enrol()
    words["approver's key"] = approver.private.private_bytes_raw() if hasattr(approver.private, 'private_bytes_raw') else b'no key that is known'
    assert owner.post('/v1/ca/intermediates').status == 201
    for path in ('/v1/secrets', '/v1/secrets/one', '/v1/secrets/one/versions', '/v1/tokens', '/v1/users', '/v1/me', '/v1/ca', '/v1/org', '/v1/keys', '/v1/nodes',
                 '/v1/audit', '/v1/audit/export', '/v1/integrity', '/metrics'):
        assert owner.raw('GET', path).status == 200, path
    server.reload()
    backup = os.path.join(server.folder, 'leak.backup')
    done = server.command('backup', backup)
    assert done.returncode == 0, done.stderr
    if server.database_folder:
        subprocess.run(['psql', '-q', '-d', server.options['store'], '-c', 'CHECKPOINT'], check=True, timeout=60)
    problems, count = search(server, words)
    assert count >= 3 and problems == [], problems
    # An answer has a secret only where it hands out the token or seed that was asked for.
    once = {name for name in words if 'token' in name or 'seed' in name or name in ('session', 'device')}
    asked = re.compile(r'POST /v1/(login|tokens|nodes/tokens|nodes/join|me/totp)$')
    for request, text in Watched.answers:
        shown = {name: word for name, word in words.items() if not (asked.match(request) and name in once)}
        problems += found(shown, 'the answer to ' + request[:60], text)
    assert problems == [], problems
    assert found(words, 'the log', server.log().encode()) == []
    with open(f'/proc/{server.child.pid}/cmdline', 'rb') as f, open(f'/proc/{server.child.pid}/environ', 'rb') as g:
        assert found(words, 'its command line', f.read() + g.read()) == []


def test_the_search_finds():
    word = {'w': 'grep-me-"Fünf"\\First 4410/+'.encode()}
    data = word['w']
    for text in (b'x' + data, json.dumps(data.decode()).encode(), b'q=' + urllib.parse.quote(data.decode()).replace('/', '%2F').encode(), data.hex().encode(), base64.b64encode(data),
                 base64.b64encode(b'ab' + data + b'c'), base64.urlsafe_b64encode(b'a' + data), data[:len(data) // 2], data[len(data) // 2:]):
        assert found(word, 'x', text), text
    assert found(word, 'x', b'grep-me-' + hashlib.sha256(data).hexdigest().encode()) == []


def crash(command, folder, number):
    """Whether it left a core."""
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    for line in child.stderr:
        if 'serving' in line or 'ready' in line:
            break
    child.send_signal(number)
    child.stderr.close()
    assert child.wait(60) == -number
    return [name for name in os.listdir(folder) if name.startswith('core')] != []


@pytest.mark.parametrize('number', [signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT])
def test_a_crash_leaves_no_core(tmp_path, number):
    with open('/proc/sys/kernel/core_pattern', encoding='ascii') as f:
        pattern = f.read().strip()
    if not re.match(r'core[^/|]*$', pattern) or resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip('cores of this machine do not go to the working folder: ' + pattern)
    (tmp_path / 'other').mkdir()
    assert crash(['sh', '-c', 'echo ready >&2; exec sleep 600'], tmp_path / 'other', number), 'no core of anybody: the test sees nothing'
    with cloched.Cloched() as server:
        server.stop()
        (tmp_path / 'own').mkdir()
        assert not crash([cloched.CLOCHED, '--config', server.config], tmp_path / 'own', number)
