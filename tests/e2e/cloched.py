# SPDX-License-Identifier: Apache-2.0
"""A control plane of its own for a test: cloched in a temporary folder, an organisation with an owner, and a client that holds every request
and answer against openapi.yaml."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

import jsonschema
import yaml

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, '..', '..'))
BUILD = os.path.realpath(os.environ.get('CLOCHE_BUILD', os.path.join(ROOT, 'build')))
CLOCHED = os.path.join(BUILD, 'bin', 'cloched')
PASSPHRASE = 'a passphrase that nobody else has'
PASSWORD = 'the password of the owner'
START_S = 60
ANSWER_S = 60


# ---- the contract ----

def plain_schema(node):
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(node, list):
        return [plain_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: plain_schema(value) for name, value in node.items()}
    if node.pop('nullable', False):
        if isinstance(node.get('type'), str):
            node['type'] = [node['type'], 'null']
            if 'enum' in node:
                node['enum'] = node['enum'] + [None]
        else:
            node = {'anyOf': [node, {'type': 'null'}]}
    return node


class Contract:
    """openapi.yaml: which operation a request is, and whether bodies are as it says."""

    def __init__(self, path=os.path.join(ROOT, 'server', 'api', 'openapi.yaml')):
        with open(path, encoding='utf-8') as f:
            self.spec = plain_schema(yaml.safe_load(f))
        self.resolver = jsonschema.RefResolver('', self.spec)
        self.paths = []
        for template, item in self.spec['paths'].items():
            pattern = re.compile(re.sub(r'\\\{[^/]+?\\\}', '[^/]+', re.escape(template)) + '$')
            self.paths.append((template.count('{'), pattern, template, item))
        self.paths.sort(key=lambda path: path[0])

    def resolve(self, node):
        while '$ref' in node:
            node = self.resolver.resolve(node['$ref'])[1]
        return node

    def operation(self, method, path):
        for _, pattern, template, item in self.paths:
            if pattern.match(path) and method.lower() in item:
                return template, item[method.lower()]
        return None, None

    def operations(self):
        """(method, template, operation) of all."""
        for template, item in self.spec['paths'].items():
            for method in ('get', 'post', 'put', 'patch', 'delete'):
                if method in item:
                    yield method.upper(), template, item[method]

    def check_body(self, content, kind, body):
        media = content.get(kind)
        assert media is not None, f'{kind} is not among {list(content)}'
        if 'schema' in media:
            jsonschema.Draft7Validator(media['schema'], resolver=self.resolver).validate(body)

    def check(self, method, path, sent, answer):
        """That openapi.yaml describes this exchange; what the server refused may be anything."""
        _, operation = self.operation(method, path)
        assert operation is not None, f'{method} {path} is not in openapi.yaml'
        if answer.status < 300 and 'requestBody' in operation:
            request = self.resolve(operation['requestBody'])
            if sent is not None or request.get('required'):
                self.check_body(request['content'], 'application/json', sent)
        responses = operation['responses']
        response = responses.get(str(answer.status), responses.get('default'))
        assert response is not None, f'{method} {path}: an answer {answer.status} is not described'
        content = self.resolve(response).get('content', {})
        if answer.text and content:
            self.check_body(content, answer.kind, answer.body if answer.body is not None else answer.text)
        assert not (answer.text and not content), f'{method} {path}: a body where none is described'


_contract = []


def contract():
    if not _contract:
        _contract.append(Contract())
    return _contract[0]


# ---- the client ----

class Answer:
    def __init__(self, status, headers, text):
        self.status = status
        self.headers = headers
        self.text = text
        self.kind = (headers.get('Content-Type') or '').split(';')[0]
        self.body = json.loads(text) if text and self.kind.endswith('json') else None
        self.etag = (headers.get('ETag') or '').strip('"') or None

    @property
    def code(self):
        return (self.body or {}).get('code')

    def __repr__(self):
        return f'<{self.status} {self.text[:400]!r}>'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """Requests with one token. One thread at a time; a connection each request unless keep is set."""

    def __init__(self, server, token=None):
        self.server = server
        self.token = token
        self.device = None

    def raw(self, method, path, data=None, headers=None, timeout=ANSWER_S):
        """Sends bytes as they are; nothing is checked."""
        connection = self.server.connection(timeout)
        headers = dict(headers or {})
        if self.token and 'Authorization' not in headers:
            headers['Authorization'] = 'Bearer ' + self.token
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def request(self, method, path, body=None, query=None, headers=None, if_match=None, key=None):
        headers = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body)
            headers['Content-Type'] = 'application/json'
        if if_match is not None:
            headers['If-Match'] = f'"{if_match}"'
        if key is not None:
            headers['Idempotency-Key'] = key
        target = path + ('?' + urllib.parse.urlencode(query) if query else '')
        answer = self.raw(method, target, data, headers)
        contract().check(method, path, body, answer)
        return answer

    def get(self, path, **more):
        return self.request('GET', path, **more)

    def post(self, path, body=None, **more):
        return self.request('POST', path, body, **more)

    def patch(self, path, body=None, **more):
        return self.request('PATCH', path, body, **more)

    def delete(self, path, **more):
        return self.request('DELETE', path, **more)

    def list(self, path, **query):
        """All pages."""
        items = []
        while True:
            answer = self.get(path, query=query)
            assert answer.status == 200, answer
            items += answer.body['items']
            if answer.body['next'] is None:
                return items
            query['after'] = answer.body['next']

    def events(self, after=None, kind=None, timeout=ANSWER_S):
        """A stream of events; close() it."""
        return Events(self, after, kind, timeout)


class Events:
    """Iterates over (kind, data) of a stream."""

    def __init__(self, client, after=None, kind=None, timeout=ANSWER_S):
        self.connection = client.server.connection(timeout)
        headers = {'Accept': 'text/event-stream', 'Authorization': 'Bearer ' + client.token}
        if after is not None:
            headers['Last-Event-ID'] = str(after)
        self.connection.request('GET', '/v1/events' + (f'?kind={kind}' if kind else ''), headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.last = None

    def __iter__(self):
        kind, data = None, []
        for line in self.response:
            line = line.decode().rstrip('\n')
            if line.startswith('id: '):
                self.last = int(line[4:])
            elif line.startswith('event: '):
                kind = line[7:]
            elif line.startswith('data: '):
                data.append(line[6:])
            elif not line and data:
                yield kind, json.loads('\n'.join(data))
                kind, data = None, []

    def close(self):
        self.connection.close()


# ---- the server ----

class Cloched:
    """options: members of the configuration. folder: None makes one, removed at the end. More servers share one store: init=False."""

    def __init__(self, folder=None, init=True, org='acme', user='alice', **options):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix='cloched-')
        self.child = None
        self.org, self.user = org, user
        self.file('passphrase', PASSPHRASE)
        self.file('password', PASSWORD)
        self.options = {'store': 'sqlite:' + os.path.join(self.folder, 'cloche.db'),
                        'root_key_passphrase_file': os.path.join(self.folder, 'passphrase'),
                        'collateral_folder': os.path.join(self.folder, 'collateral'), 'collateral_pcs_url': '',
                        'collateral_kds_url': '', 'listen': '127.0.0.1:0', 'plain_http': True,
                        'node_evidence': 'optional', **options}
        self.config = os.path.join(self.folder, f'config-{os.getpid()}-{id(self)}.yaml')
        self.log_path = self.config + '.log'
        self.write_config()
        try:
            if init:
                self.init(org, user)
            self.start()
        except BaseException:
            self.close()
            raise

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='utf-8') as f:
            f.write(text + '\n')
        return path

    def write_config(self):
        options = {name: value for name, value in self.options.items() if value is not None and value is not False}
        with open(self.config, 'w', encoding='utf-8') as f:
            json.dump(options, f)  # JSON is YAML

    def words(self, *words):
        """The command line that runs cloched so."""
        return [CLOCHED, *words, '--config', self.config]

    def command(self, *words, stdin=b''):
        return subprocess.run(self.words(*words), input=stdin, capture_output=True, timeout=START_S)

    def init(self, org, user, password=PASSWORD):
        done = self.command('init', '--org', org, '--user', user, '--password-file', '-', stdin=password.encode() + b'\n')
        assert done.returncode == 0, done.stderr
        return done

    def start(self):
        with open(self.log_path, 'ab') as log:
            begin = log.tell()
            self.child = subprocess.Popen(self.words(), stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + START_S
        while True:
            lines = [json.loads(line) for line in self.log(begin).splitlines() if line.endswith('}')]
            address = [line['address'] for line in lines if line.get('message') == 'serving']
            if address:
                self.address = address[0]
                return
            if self.child.poll() is not None or time.monotonic() > until:
                raise AssertionError('cloched did not start: ' + self.log(begin)[-2000:])
            time.sleep(0.02)

    def log(self, begin=0):
        with open(self.log_path, 'rb') as f:
            f.seek(begin)
            return f.read().decode(errors='replace')

    def stop(self):
        """SIGTERM; the exit status."""
        if self.child is None:
            return None
        if self.child.poll() is None:
            self.child.terminate()
        try:
            return self.child.wait(START_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def close(self):
        try:
            self.stop()
        finally:
            if self.own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return ('http://' if self.options.get('plain_http') else 'https://') + self.address

    def connection(self, timeout=ANSWER_S):
        """Of http.client, not yet connected."""
        if self.address.startswith('unix:'):
            return UnixConnection(self.address[5:], timeout)
        host, port = self.address.rsplit(':', 1)
        if self.options.get('plain_http'):
            return http.client.HTTPConnection(host.strip('[]'), int(port), timeout=timeout)
        context = ssl.create_default_context()
        if self.options.get('tls_certificate'):
            context.load_verify_locations(self.options['tls_certificate'])
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host.strip('[]'), int(port), timeout=timeout, context=context)

    def socket(self, timeout=ANSWER_S):
        """A bare connection, for bytes that no client would send."""
        if self.address.startswith('unix:'):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.address[5:])
            return sock
        host, port = self.address.rsplit(':', 1)
        return socket.create_connection((host.strip('[]'), int(port)), timeout=timeout)

    def client(self, token=None):
        return Client(self, token)

    def login(self, user=None, password=PASSWORD, org=None, **more):
        """A client with a session."""
        client = self.client()
        answer = client.post('/v1/login', {'org': org or self.org, 'name': user or self.user, 'password': password, **more})
        assert answer.status == 200, answer
        client.token, client.device = answer.body['token'], answer.body['device']
        return client

    @property
    def owner(self):
        """A client with the owner's session, made at the first use."""
        if getattr(self, '_owner', None) is None:
            self._owner = self.login()
        return self._owner
