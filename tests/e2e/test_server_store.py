# SPDX-License-Identifier: Apache-2.0
"""Secrets, the audit log, backup, restore and root keys of a running control plane; nothing secret in any file that it writes."""
import base64
import hashlib
import http.client
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading

import pytest

import cloched

VALUE = 'the-Password-nobody-may-read-7391'
SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so'


def b64url(data):
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b'=').decode()


@pytest.fixture(scope='module')
def server(request):
    vault = Vault()
    request.addfinalizer(vault.close)
    folder = tempfile.mkdtemp(prefix='cloche-sources-')
    request.addfinalizer(lambda: subprocess.run(['rm', '-rf', folder], check=False))
    os.makedirs(f'{folder}/drop/sub')
    with open(f'{folder}/drop/sub/key', 'w', encoding='ascii') as f:
        f.write('from a file')
    os.symlink('/etc/passwd', f'{folder}/drop/out')
    with open(f'{folder}/token', 'w', encoding='ascii') as f:
        f.write('vault-token-5512\n')
    sources = {'drop': {'kind': 'file', 'folder': f'{folder}/drop'},
               'kv': {'kind': 'vault', 'url': vault.url, 'token_file': f'{folder}/token'},
               'badtoken': {'kind': 'vault', 'url': vault.url, 'token_file': f'{folder}/drop/sub/key'},
               'notours': {'kind': 'file', 'folder': f'{folder}/drop', 'orgs': ['org_of_others']},
               'remote': {'kind': 'vault', 'url': 'http://192.0.2.1:8200', 'token_file': f'{folder}/token'}}
    with open(f'{folder}/sources.json', 'w', encoding='ascii') as f:
        json.dump(sources, f)
    with cloched.Cloched(secret_sources=f'{folder}/sources.json') as running:
        yield running


class Vault:
    """Answers as HashiCorp Vault's key-value engine, version 2, does."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = {'/v1/secret/data/hotel/db': b'{"data":{"data":{"password":"from the vault","port":5432}}}',
                        '/v1/secret/data/big': b'{"data":{"data":{"x":"' + b'x' * (1 << 20) + b'"}}}',
                        '/v1/secret/data/odd': b'[]'}.get(self.path)
                status = 403 if self.headers.get('X-Vault-Token') != 'vault-token-5512' else 200 if data else 404
                self.send_response(302 if self.path.endswith('/moved') else status)
                self.send_header('Location', '/v1/secret/data/hotel/db')
                self.end_headers()
                try:
                    self.wfile.write(data if data and status == 200 else b'{"errors":[]}')
                except OSError:
                    pass  # it had enough

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def make_app(client, name):
    answer = client.post('/v1/apps', {'name': name})
    assert answer.status == 201, answer
    return answer.body['id']


def make_secret(client, name, value=VALUE, **more):
    body = {'name': name, 'deliver': {'env': 'DB_PASSWORD'}, 'value': b64url(value), **more}
    return client.post('/v1/secrets', body)


# ---- secrets ----

def test_life(server):
    owner = server.owner
    app = make_app(owner, 'life')
    made = make_secret(owner, 'db-password', bindings=[{'app': 'life'}], conditions={'emulated': True})
    assert made.status == 201, made
    assert made.body['version'] == 1 and made.body['bindings'] == [{'app': app}]
    path = '/v1/secrets/' + made.body['id']
    assert owner.get('/v1/secrets/db-password').body == owner.get(path).body == made.body
    assert make_secret(owner, 'db-password').code == 'already-exists'
    rotated = owner.post(path + '/versions', {'value': b64url('another')}, if_match=made.etag)
    assert rotated.status == 201 and rotated.body['version'] == 2
    assert owner.post(path + '/versions', {'value': b64url('late')}, if_match=made.etag).status == 412
    versions = owner.get(path + '/versions').body['items']
    assert [v['version'] for v in versions] == [2, 1] and versions[0]['source'] == 'api'
    assert owner.delete(path + '/versions/1').status == 204
    assert owner.delete(path + '/versions/1').status == 404
    assert owner.get(path + '/versions').body['items'][1]['destroyed']
    changed = owner.patch(path, {'deliver': {'file': '/run/db', 'mode': '0400'}, 'conditions': {}})
    assert changed.body['deliver'] == {'file': '/run/db', 'mode': '0400'} and changed.body['conditions'] == {}
    bound = owner.request('PUT', path + '/bindings', {'bindings': []})
    assert bound.status == 200 and bound.body['bindings'] == []
    assert [s['name'] for s in owner.list('/v1/secrets', limit=1)].count('db-password') == 1
    assert owner.delete(path).status == 204
    assert owner.get(path).status == 404
    actions = [e['entry']['action'] for e in owner.list('/v1/audit', object=made.body['id'])]
    assert actions == ['secret.create', 'secret.rotate', 'secret.destroy', 'secret.change', 'secret.bind', 'secret.delete']


@pytest.mark.parametrize('change', [
    {'name': 'Bad Name'}, {'deliver': {'env': '1'}}, {'deliver': {'file': 'x'}}, {'deliver': {}}, {'value': 'a+b'},
    {'conditions': {'tee': ['x']}}, {'bindings': [{'app': 'life', 'more': 1}]}, {'template': True, 'value': b64url('{{x')},
    {'value': b64url('a\0b')}, {'import': {'source': 'drop', 'path': 'sub/key'}}, {'unknown': 1}])
def test_refused(server, change):
    body = {'name': 'bad', 'deliver': {'env': 'A'}, 'value': b64url('v'), **change}
    answer = server.owner.post('/v1/secrets', body)
    assert answer.status in (400, 404), answer
    assert server.owner.get('/v1/secrets/bad').status == 404


def test_binding_of_others(server):
    answer = make_secret(server.owner, 'lost', bindings=[{'app': 'app_01hzzzzzzzzzzzzzzzzzzzzzzz'}])
    assert answer.status == 404, answer


@pytest.mark.parametrize('source, status, value', [
    ({'source': 'drop', 'path': 'sub/key'}, 201, 'from a file'),
    ({'source': 'drop', 'path': 'sub/none'}, 404, None),
    ({'source': 'drop', 'path': '../token'}, 400, None),
    ({'source': 'drop', 'path': '/etc/passwd'}, 400, None),
    ({'source': 'drop', 'path': 'out'}, 403, None),
    ({'source': 'notours', 'path': 'sub/key'}, 403, None),
    ({'source': 'none', 'path': 'x'}, 404, None),
    ({'source': 'kv', 'path': 'hotel/db', 'field': 'password'}, 201, 'from the vault'),
    ({'source': 'kv', 'path': 'hotel/db'}, 201, '{"password":"from the vault","port":5432}'),
    ({'source': 'kv', 'path': 'hotel/db', 'field': 'port'}, 404, None),
    ({'source': 'kv', 'path': 'hotel/none'}, 404, None),
    ({'source': 'kv', 'path': 'odd'}, 502, None),
    ({'source': 'kv', 'path': 'big'}, 502, None),
    ({'source': 'kv', 'path': 'moved'}, 502, None),
    ({'source': 'badtoken', 'path': 'hotel/db'}, 403, None),
    ({'source': 'remote', 'path': 'hotel/db'}, 502, None)])
def test_import(server, source, status, value):
    name = 'i' + hashlib.sha256(json.dumps(source).encode()).hexdigest()[:16]
    answer = server.owner.post('/v1/secrets', {'name': name, 'deliver': {'socket': True}, 'import': source})
    assert answer.status == status, answer
    if value:
        origin = server.owner.get(f'/v1/secrets/{name}/versions').body['items'][0]['source']
        assert origin == source['source'] + ':' + source['path'] + ('#' + source['field'] if 'field' in source else '')
    assert 'vault-token' not in answer.text


# ---- nothing secret in any file ----

def files_of(folder):
    for base, _, names in os.walk(folder):
        for name in names:
            if not os.path.isfile(os.path.join(base, name)):
                continue  # a socket
            with open(os.path.join(base, name), 'rb') as f:
                yield os.path.join(base, name), f.read()


def forms(secret):
    data = secret.encode()
    return [data, base64.b64encode(data)[:-4], b64url(data).encode()[:-4], data.hex().encode(), data[:24],
            hashlib.sha256(data).hexdigest().encode(), hashlib.sha256(data).digest()]


def test_nothing_in_files(server):
    """Written, rotated, destroyed, refused, imported, sent twice: then every file of the store and the log is searched, and a core's limits."""
    owner = server.owner
    words = {'value': 'grep-me-First-4410', 'rotated': 'grep-me-Second-9917', 'refused': 'grep-me-Third-2231'}
    made = make_secret(owner, 'grep', words['value'])
    again = {'name': 'grep2', 'deliver': {'socket': True}, 'value': b64url(words['value'])}
    assert owner.post('/v1/secrets', again, key='k1').status == 201
    assert owner.post('/v1/secrets', again, key='k1').status == 201
    owner.post('/v1/secrets/grep/versions', {'value': b64url(words['rotated'])})
    assert owner.delete(f"/v1/secrets/{made.body['id']}/versions/1").status == 204
    assert make_secret(owner, 'Not A Name', words['refused']).status == 400
    assert owner.raw('POST', '/v1/secrets', words['refused'].encode(), {'Content-Type': 'application/json'}).status == 400
    backup = os.path.join(server.folder, 'grep.backup')
    assert server.command('backup', backup).returncode == 0
    words.update(passphrase=cloched.PASSPHRASE, password=cloched.PASSWORD, token=owner.token, vault='vault-token-5512',
                 imported='from the vault')
    given = {os.path.join(server.folder, 'passphrase'), os.path.join(server.folder, 'password')}
    count = 0
    for path, data in files_of(server.folder):
        if path in given:
            continue
        count += 1
        for name, word in words.items():
            known = forms(word)[:5 if name == 'token' else None]  # of a token, 256 random bits, the hash is kept
            assert not [form for form in known if form in data], f'{name} in {path}'
    assert count >= 3  # the store, the log, the backup
    with open(f'/proc/{server.child.pid}/limits', encoding='ascii') as f:
        assert [line.split()[4] for line in f if line.startswith('Max core file size')] == ['0']


# ---- the audit log, checked by code that shares none with the server's ----

def leaf(text):
    return hashlib.sha256(b'\0' + text).digest()


def tree(hashes):
    if not hashes:
        return hashlib.sha256(b'').digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return hashlib.sha256(b'\1' + tree(hashes[:k]) + tree(hashes[k:])).digest()


def root_of_path(index, size, value, path):
    """RFC 9162, 2.1.3.2."""
    fn, sn = index, size - 1
    for p in path:
        assert sn > 0
        if fn & 1 or fn == sn:
            value = hashlib.sha256(b'\1' + p + value).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = hashlib.sha256(b'\1' + value + p).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return value


def check_signature(folder, checkpoint):
    text = f"cloche-checkpoint-1\n{checkpoint['size']}\n{checkpoint['root']}\n{checkpoint['time_ms']}\n"
    spki = bytes.fromhex('302a300506032b6570032100') + base64.b64decode(checkpoint['public_key'])
    for name, data in (('key', spki), ('text', text.encode()), ('sig', base64.b64decode(checkpoint['signature']))):
        with open(os.path.join(folder, 'cp-' + name), 'wb') as f:
            f.write(data)
    return subprocess.run(['openssl', 'pkeyutl', '-verify', '-rawin', '-pubin', '-keyform', 'DER', '-inkey', 'cp-key', '-in',
                           'cp-text', '-sigfile', 'cp-sig'], cwd=folder, capture_output=True, check=False).returncode == 0


def export(client, size):
    lines = []
    while len(lines) < size:
        got = client.get('/v1/audit/export', query={'from': len(lines), 'lines': 7}).text.splitlines()
        lines += [json.loads(line) for line in got][:size - len(lines)]
    return lines


def leaves_of(lines):
    return [leaf(line['entry'].encode()) if 'entry' in line else base64.b64decode(line['leaf_hash']) for line in lines]


def test_audit(server):
    owner = server.owner
    make_secret(owner, 'audited')
    first = owner.get('/v1/audit/checkpoint').body
    for value in 'abc':
        owner.post('/v1/secrets/audited/versions', {'value': b64url(value)})
    second = owner.get('/v1/audit/checkpoint').body
    assert second['size'] >= first['size'] + 3
    for checkpoint in (first, second):
        assert check_signature(server.folder, checkpoint)
        assert not check_signature(server.folder, checkpoint | {'size': checkpoint['size'] + 1})
    lines = export(owner, second['size'])
    leaves = leaves_of(lines)
    assert [line['number'] for line in lines] == list(range(second['size']))
    assert base64.b64encode(tree(leaves)).decode() == second['root']
    assert base64.b64encode(tree(leaves[:first['size']])).decode() == first['root']
    numbers = [line['number'] for line in lines if 'entry' in line]
    for number in numbers[:3] + numbers[-3:]:
        proof = owner.get('/v1/audit/inclusion', query={'entry': number, 'size': second['size']}).body
        path = [base64.b64decode(p) for p in proof['path']]
        assert base64.b64encode(root_of_path(number, second['size'], leaves[number], path)).decode() == second['root']
    proof = owner.get('/v1/audit/consistency', query={'first': first['size'], 'second': second['size']})
    assert proof.status == 200 and proof.body['path']
    rotated = owner.list('/v1/audit', action='secret.rotate', limit=2)
    assert len(rotated) >= 3 and {e['entry']['action'] for e in rotated} == {'secret.rotate'}
    assert all(json.loads(e['text']) == e['entry'] for e in rotated)
    for query in ({'entry': 10 ** 6, 'size': 1}, {'entry': 0, 'size': 10 ** 9}, {'entry': 'x', 'size': 1}, {'size': 1},
                  {'entry': -1, 'size': 1}, {'entry': 10 ** 20, 'size': 1}):
        assert owner.get('/v1/audit/inclusion', query=query).status in (400, 404)
    assert owner.get('/v1/audit/consistency', query={'first': 0, 'second': 1}).status == 400


def test_report(server):
    owner = server.owner
    app = make_app(owner, 'reported')
    report = owner.get('/v1/audit/report', query={'app': 'reported'})
    parts = ('builds', 'instances', 'history', 'releases')
    assert report.status == 200 and report.body['app'] == app
    assert all(report.body[part] == [] and report.body['next'][part] is None for part in parts)
    for part in ('', *(f'/{part}' for part in parts)):
        assert owner.get(f'/v1/audit/report{part}', query={'app': 'none'}).status == 404
        assert owner.get(f'/v1/audit/report{part}').status == 400
    assert owner.get('/v1/audit/report/secrets', query={'app': 'reported'}).status == 404
    for part, after in (('history', 'ins_1'), ('history', 'ins_1:'), ('history', 'ins_1:1x'), ('releases', 'x'), ('releases', '-1')):
        assert owner.get(f'/v1/audit/report/{part}', query={'app': 'reported', 'after': after}).code == 'invalid-query', after


def test_a_report_has_all_of_a_quiet_app_beside_a_busy_one():
    with cloched.Cloched() as server:
        owner = server.owner
        quiet, busy = make_app(owner, 'quiet'), make_app(owner, 'busy')
        org = owner.get('/v1/org').body['id']
        server.stop()
        with sqlite3.connect(server.options['store'][7:]) as db:
            first = db.execute('SELECT max(number) FROM audit_entries').fetchone()[0] + 1
            of = {first: quiet, first + 10000: quiet, first + 20002: quiet}
            rows = []
            for number in range(first, first + 20003):
                app = of.get(number, busy)
                entry = {'action': 'secret.release', 'decision': 'allowed', 'detail': {'app': app, 'secret': 's', 'version': 1}, 'number': number, 'org': org, 'time_ms': 1}
                rows.append((number, org, json.dumps(entry, sort_keys=True, separators=(',', ':')), bytes(32), 1, 'secret.release', app))
            db.executemany('INSERT INTO audit_entries (number, org_id, entry, leaf_hash, time_ms, action, app_id) VALUES (?, ?, ?, ?, ?, ?, ?)', rows)
        server.start()
        report = owner.get('/v1/audit/report', query={'app': 'quiet'}).body
        assert [release['number'] for release in report['releases']] == list(of) and report['next']['releases'] is None
        assert [release['number'] for release in owner.list('/v1/audit/report/releases', app='quiet', limit=1)] == list(of)
        report = owner.get('/v1/audit/report', query={'app': 'busy'}).body
        assert len(report['releases']) == 500 and report['next']['releases'] == str(report['releases'][-1]['number'])
        whole = owner.list('/v1/audit/report/releases', app='busy', limit=500)
        assert [release['number'] for release in whole] == [number for number in range(first, first + 20003) if number not in of]
        server.stop()
        with sqlite3.connect(server.options['store'][7:]) as db:  # an entry that is another app's does not come into this one's report
            db.execute('UPDATE audit_entries SET app_id = ? WHERE number = ?', (quiet, first + 5))
        server.start()
        assert owner.get('/v1/audit/report', query={'app': 'quiet'}).code == 'record-forged'


# ---- backup, restore, root keys ----

def other_server(server, name, **options):
    """A server over a store of its own in the same folder; not started."""
    other = object.__new__(cloched.Cloched)
    other.own_folder, other.folder, other.child, other.org, other.user = False, server.folder, None, server.org, server.user
    other.options = {**server.options, 'store': f'sqlite:{server.folder}/{name}.db', **options}
    other.config = os.path.join(server.folder, f'{name}.yaml')
    other.log_path = other.config + '.log'
    other.write_config()
    return other


def test_backup_restore(server):
    owner = server.owner
    made = make_secret(owner, 'kept')
    backup = os.path.join(server.folder, 'kept.backup')
    done = server.command('backup', backup)
    assert done.returncode == 0, done.stderr
    assert os.stat(backup).st_mode & 0o777 == 0o600
    assert server.command('backup', backup).returncode == 1  # never over an old one
    make_secret(owner, 'after-the-backup')
    with other_server(server, 'restored') as other:
        done = other.command('restore', backup)
        assert done.returncode == 0, done.stderr
        other.start()
        client = other.login()
        assert client.get('/v1/secrets/kept').body == made.body
        assert client.get('/v1/secrets/after-the-backup').status == 404
        head = client.get('/v1/audit/checkpoint').body
        assert base64.b64encode(tree(leaves_of(export(client, head['size'])))).decode() == head['root']
        assert other.command('restore', backup).returncode == 1  # not empty


@pytest.mark.parametrize('change', ['byte', 'line', 'end', 'mac', 'passphrase', 'garbage'])
def test_restore_refused(server, change):
    backup = os.path.join(server.folder, f'bad-{change}.backup')
    assert server.command('backup', backup).returncode == 0
    with open(backup, 'rb') as f:
        lines = f.read().splitlines(keepends=True)
    options = {}
    if change == 'byte':
        lines = [line.replace(b'"alice"', b'"mally"') for line in lines]
    elif change == 'line':
        del lines[next(i for i, line in enumerate(lines) if line.startswith(b'[') and b'audit' not in line)]
    elif change == 'end':
        lines = lines[:-2]
    elif change == 'mac':
        lines[-1] = lines[-1].replace(lines[-1][8:10], b'00' if lines[-1][8:10] != b'00' else b'11', 1)
    elif change == 'passphrase':
        options = {'root_key_passphrase_file': server.file('wrong', 'not the right passphrase')}
    else:
        lines = [b'\x00\xff garbage\n'] * 3
    with open(backup, 'wb') as f:
        f.writelines(lines)
    other = other_server(server, f'bad-{change}', **options)
    done = other.command('restore', backup)
    assert done.returncode == 1, done.stdout
    with sqlite3.connect(f'{server.folder}/bad-{change}.db') as db:
        assert db.execute('SELECT count(*) FROM orgs').fetchone() == (0,)
        assert db.execute('SELECT count(*) FROM settings').fetchone() == (0,)
    other.init('afterwards', 'alice')  # a new store, as any other


def test_rekey_pkcs11(server):
    """From the passphrase to a key in a token, and back under another passphrase."""
    folder = os.path.join(server.folder, 'hsm')
    os.makedirs(folder + '/tokens')
    with open(folder + '/softhsm2.conf', 'w', encoding='ascii') as f:
        f.write(f'directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n')
    env = os.environ | {'SOFTHSM2_CONF': folder + '/softhsm2.conf'}
    with open(folder + '/aes', 'wb') as f:
        f.write(os.urandom(32).replace(b'\0', b'\1'))  # softhsm2-util reads up to the first 0 byte
    for words in (['--init-token', '--free', '--label', 'cloche', '--so-pin', '12345678', '--pin', '87654321'],
                  ['--import', folder + '/aes', '--aes', '--token', 'cloche', '--label', 'root', '--id', '01', '--pin',
                   '87654321']):
        subprocess.run(['softhsm2-util', *words], env=env, check=True, capture_output=True, timeout=60)
    pin = server.file('hsm/pin', '87654321')
    uri = f'pkcs11:token=cloche;object=root?module-path={SOFTHSM}&pin-source=file:{pin}'
    backup = os.path.join(server.folder, 'rekey.backup')
    assert server.command('backup', backup).returncode == 0
    old = other_server(server, 'rekeyed')

    def run(which, *words):
        return subprocess.run([cloched.CLOCHED, *words, '--config', which.config], env=env, capture_output=True, timeout=60)

    assert run(old, 'restore', backup).returncode == 0
    assert run(old, 'rekey', '--to', uri.replace('object=root', 'object=none')).returncode == 1
    assert run(old, 'rekey', '--to', 'sealed').returncode == 1  # not in an enclave
    done = run(old, 'rekey', '--to', uri)
    assert done.returncode == 0, done.stderr
    assert run(old, 'backup', backup + '2').returncode == 1  # the passphrase opens nothing any more
    hsm = other_server(server, 'hsm', store=old.options['store'], root_key_passphrase_file=None, root_key_pkcs11=uri)
    done = run(hsm, 'backup', backup + '3')
    assert done.returncode == 0, done.stderr
    server.file('hsm/pin', '00000000')
    assert b'PIN' in run(hsm, 'backup', backup + '4').stderr
    server.file('hsm/pin', '87654321')
    new = server.file('new-passphrase', 'quite another passphrase')
    assert run(hsm, 'rekey', '--to', 'passphrase:' + new).returncode == 0
    assert run(hsm, 'backup', backup + '5').returncode == 1
    old.options['root_key_passphrase_file'] = new
    old.write_config()
    with old:
        old.start()
        assert old.login().get('/v1/me').status == 200


def test_rekey_while_a_server_runs():
    """It goes on with what it has, says what is to be done, and takes the new root key from its configuration at SIGHUP."""
    def wait_for_log(text):
        for _ in range(600):
            if text in own.log(begin):
                return
            threading.Event().wait(0.1)
        raise TimeoutError(own.log(begin))

    with cloched.Cloched() as own:
        owner, begin = own.owner, len(own.log())
        new = own.file('new-passphrase', 'quite another passphrase')
        done = own.command('rekey', '--to', 'passphrase:' + new)
        assert done.returncode == 0 and b'SIGHUP' in done.stdout and new.encode() in done.stdout, done
        wait_for_log('"message":"not reloaded","part":"root key"')
        assert 'send SIGHUP' in own.log(begin)
        made = make_secret(owner, 'meanwhile')
        assert made.status == 201 and owner.get('/v1/secrets/meanwhile').body == made.body
        own.options['root_key_passphrase_file'] = new
        own.write_config()
        own.init('later', 'olga')  # by the new root key
        refused = own.client().post('/v1/login', {'org': 'later', 'name': 'olga', 'password': cloched.PASSWORD})
        assert refused.status == 500 and 'root key was changed' in own.log(begin), refused
        begin = len(own.log())
        own.reload()
        wait_for_log('"message":"reloaded","part":"root key"')
        assert own.login('olga', org='later').get('/v1/me').status == 200
        assert own.stop() == 0
        own.start()
        assert owner.get('/v1/secrets/meanwhile').body == made.body


def test_wrong_root_key(server):
    other = other_server(server, 'wrong', store=server.options['store'],
                         root_key_passphrase_file=server.file('wrong2', 'not the right passphrase'))
    done = other.command('backup', os.path.join(server.folder, 'never'))
    assert done.returncode == 1 and b'does not open this store' in done.stderr


def test_killed_server_keeps_what_it_acknowledged():
    """SIGKILL under load; then everything that was answered 201 is there, with its audit entry, and the log is whole."""
    with cloched.Cloched() as own:
        for turn in range(3):
            owner = own.login()
            acknowledged = []
            stop = threading.Event()

            def write(thread, owner=owner, acknowledged=acknowledged, turn=turn):
                client = own.client(owner.token)
                for number in range(1000):
                    name = f's{turn}-{thread}-{number}'
                    try:
                        if make_secret(client, name).status == 201:
                            acknowledged.append(name)
                    except (OSError, http.client.HTTPException):
                        return
                    if len(acknowledged) >= 12:
                        stop.set()

            threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
            for thread in threads:
                thread.start()
            assert stop.wait(60)
            own.child.send_signal(signal.SIGKILL)
            own.child.wait()
            for thread in threads:
                thread.join()
            own.start()
            owner = own.login()
            assert set(acknowledged) <= {s['name'] for s in owner.list('/v1/secrets', limit=500)}
            told = {e['entry']['detail']['secret'] for e in owner.list('/v1/audit', action='secret.create', limit=500)}
            assert set(acknowledged) <= told
            head = owner.get('/v1/audit/checkpoint').body
            assert base64.b64encode(tree(leaves_of(export(owner, head['size'])))).decode() == head['root']


def test_killed_server_does_nothing_twice():
    """SIGKILL under load with keys; all are asked again: each has had one effect, and what was answered is answered as it was."""
    with cloched.Cloched() as own:
        token = own.login().token  # of a session, which outlives the server
        answers, asked = {}, set()
        for turn in range(4):
            stop = threading.Event()

            def write(thread, turn=turn, stop=stop):
                client = own.client(token)
                for number in range(1000):
                    name = f'k{turn}-{thread}-{number}'
                    asked.add(name)
                    try:
                        answer = client.post('/v1/tokens', {'name': name}, key=name)
                    except (OSError, http.client.HTTPException):
                        return
                    assert answer.status == 201, answer
                    answers[name] = answer.text
                    if len(answers) >= 10 * (turn + 1):
                        stop.set()

            threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            assert stop.wait(60)
            own.kill()
            for thread in threads:
                thread.join()
            own.start()
        assert len(asked) > len(answers) >= 40  # each death has left some without an answer
        client = own.client(token)
        for name in asked:
            answer = client.post('/v1/tokens', {'name': name}, key=name)
            assert answer.status == 201 and answers.get(name, answer.text) == answer.text, answer
            assert own.client(answer.body['token']).get('/v1/me').status == 200
        made = [t['name'] for t in client.list('/v1/tokens', limit=500)]
        told = [e['entry']['detail']['name'] for e in client.list('/v1/audit', action='token.create', limit=500)]
        for name in asked:
            assert made.count(name) == told.count(name) == 1, name
