# SPDX-License-Identifier: Apache-2.0
"""The control plane on PostgreSQL: the same tests as on SQLite, and several servers on one database behind nginx while one of them is killed."""
import base64
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

import cloched
import test_server_store as store

sys.path.insert(0, os.path.join(cloched.ROOT, 'tests', 'unit', 'server'))
import postgresql  # noqa: E402

from test_server_store import test_audit, test_life, test_report  # noqa: E402,F401


@pytest.fixture(scope='module')
def database():
    with postgresql.Postgresql() as running:
        yield running


@pytest.fixture(scope='module')
def server(database):
    with cloched.Cloched(store=database.url()) as running:
        yield running


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Nginx:
    """One address for several servers; a request that one of them did not take goes to the next."""

    def __init__(self, servers):
        self.folder = tempfile.mkdtemp(prefix='cloche-nginx-')
        self.port = free_port()
        upstream = ' '.join(f'server {s.address} max_fails=1 fail_timeout=1s;' for s in servers)
        with open(f'{self.folder}/nginx.conf', 'w', encoding='ascii') as f:
            f.write(f'''daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  upstream cloched {{ {upstream} }}
  server {{ listen 127.0.0.1:{self.port}; location / {{ proxy_pass http://cloched; proxy_next_upstream error timeout; }} }} }}
''')
        self.child = subprocess.Popen(['nginx', '-c', f'{self.folder}/nginx.conf', '-p', self.folder],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                assert self.child.poll() is None, open(f'{self.folder}/error.log', encoding='utf-8').read()
                threading.Event().wait(0.05)
        raise TimeoutError('nginx')

    def close(self):
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        subprocess.run(['rm', '-rf', self.folder], check=False)


class Behind:
    """Looks like a server to the client, at the proxy's address."""

    def __init__(self, port):
        self.port = port

    def connection(self, timeout):
        return http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)


def test_one_of_two_is_killed(server):
    """Writers behind the proxy try again with their Idempotency-Key when an answer is lost: each secret is there once, and the log is whole."""
    options = {name: value for name, value in server.options.items() if name != 'listen'}
    with cloched.Cloched(folder=server.folder, init=False, **options) as second:
        proxy = Nginx([server, second])
        try:
            token = server.login().token
            done, halfway = [], threading.Event()

            def write(thread):
                client = cloched.Client(Behind(proxy.port), token)
                for number in range(15):
                    name = f'two-{thread}-{number}'
                    body = {'name': name, 'deliver': {'socket': True}, 'value': store.b64url('v')}
                    for _ in range(200):
                        try:
                            answer = client.raw('POST', '/v1/secrets', cloched.json.dumps(body).encode(),
                                                {'Content-Type': 'application/json', 'Idempotency-Key': name})
                        except (OSError, http.client.HTTPException):
                            continue
                        if answer.status == 201:
                            done.append(name)
                            break
                        assert answer.status in (409, 429, 502, 503, 504), answer
                        threading.Event().wait(0.05)
                    if len(done) > 20:
                        halfway.set()

            threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
            for thread in threads:
                thread.start()
            assert halfway.wait(100)
            second.kill()
            for thread in threads:
                thread.join()
            assert len(done) == 45
            owner = server.owner
            names = [s['name'] for s in owner.list('/v1/secrets', limit=500)]
            told = [e['entry']['detail']['secret'] for e in owner.list('/v1/audit', action='secret.create', limit=500)]
            for name in done:
                assert names.count(name) == 1 and told.count(name) == 1, name
            head = owner.get('/v1/audit/checkpoint').body
            leaves = store.leaves_of(store.export(owner, head['size']))
            assert base64.b64encode(store.tree(leaves)).decode() == head['root']
        finally:
            proxy.close()


def test_one_key_at_two_servers_at_once(server):
    """The same request reaches two servers at the same moment: one does it, both give its answer."""
    options = {name: value for name, value in server.options.items() if name != 'listen'}
    token = server.login().token
    with cloched.Cloched(folder=server.folder, init=False, **options) as second:
        at_once = threading.Barrier(4)
        answers = [[] for _ in range(4)]

        def ask(thread):
            client = (server, second)[thread % 2].client(token)
            for number in range(10):
                at_once.wait(60)
                answers[thread].append(client.post('/v1/tokens', {'name': f'both-{number}'}, key=f'both-{number}'))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, same in enumerate(zip(*answers, strict=True)):
        assert {answer.status for answer in same} == {201} and len({answer.text for answer in same}) == 1, same
    made = [t['name'] for t in server.client(token).list('/v1/tokens', limit=500)]
    assert all(made.count(f'both-{number}') == 1 for number in range(10))


def test_to_sqlite(server):
    """A backup of PostgreSQL read into SQLite."""
    backup = os.path.join(server.folder, 'pg.backup')
    done = server.command('backup', backup)
    assert done.returncode == 0, done.stderr
    with store.other_server(server, 'moved') as other:
        done = other.command('restore', backup)
        assert done.returncode == 0, done.stderr
        other.start()
        kept = [s['id'] for s in server.owner.list('/v1/secrets', limit=500)]
        assert [s['id'] for s in other.login().list('/v1/secrets', limit=500)] == kept


def test_database_restarted(server, database):
    """The database is stopped and started: what is asked meanwhile fails cleanly, afterwards everything goes on."""
    owner = server.owner
    assert owner.get('/v1/secrets').status == 200
    database.restart()
    for _ in range(100):
        answer = owner.get('/v1/secrets')
        if answer.status == 200:
            break
        assert answer.status in (500, 503), answer
        threading.Event().wait(0.1)
    assert answer.status == 200
    assert store.make_secret(owner, 'after-restart').status == 201
