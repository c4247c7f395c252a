# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens of OpenID Connect issuers, signed here with keys of each kind."""
import base64
import http.server
import json
import os
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import cloched

ISSUER = 'https://login.example'


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def number(value, size):
    return b64(value.to_bytes(size, 'big'))


class Key:
    def __init__(self, alg, kid):
        self.alg, self.kid = alg, kid
        if alg in ('RS256', 'PS256'):
            self.key = rsa.generate_private_key(65537, 2048)
            numbers = self.key.public_key().public_numbers()
            self.jwk = {'kty': 'RSA', 'n': number(numbers.n, 256), 'e': number(numbers.e, 3)}
        elif alg == 'ES256':
            self.key = ec.generate_private_key(ec.SECP256R1())
            numbers = self.key.public_key().public_numbers()
            self.jwk = {'kty': 'EC', 'crv': 'P-256', 'x': number(numbers.x, 32), 'y': number(numbers.y, 32)}
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()
            self.jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'x': b64(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))}
        self.jwk.update(kid=kid, use='sig')

    def sign(self, data):
        if self.alg == 'RS256':
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if self.alg == 'PS256':
            return self.key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        if self.alg == 'ES256':
            r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, 'big') + s.to_bytes(32, 'big')
        return self.key.sign(data)

    def token(self, header=None, **claims):
        claims = {'iss': ISSUER, 'aud': 'cloche', 'sub': 'subject-1', 'exp': int(time.time()) + 600, 'groups': ['ops'],
                  'preferred_username': 'Wanda.Lee@example', **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        head = {'alg': self.alg, 'kid': self.kid, 'typ': 'JWT', **(header or {})}
        signed = b64(json.dumps(head).encode()) + '.' + b64(json.dumps(claims).encode())
        return signed + '.' + b64(self.sign(signed.encode()))


KEYS = {alg: Key(alg, 'key-' + alg) for alg in ('RS256', 'PS256', 'ES256', 'EdDSA')}


def issuers(folder, keys, **more):
    path, keys_path = os.path.join(folder, 'issuers.json'), os.path.join(folder, 'keys.json')
    with open(keys_path, 'w', encoding='utf-8') as f:
        json.dump({'keys': [key.jwk for key in keys]}, f)
    entry = {'issuer': ISSUER, 'audience': 'cloche', 'org': 'acme', 'roles': {'ops': ['operator', 'reader'], 'boss': ['owner']}, **more}
    if 'jwks_url' not in more:
        entry['jwks_file'] = keys_path
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({'issuers': [entry]}, f)
    return path


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    with cloched.Cloched(oidc_issuers=issuers(str(tmp_path_factory.mktemp('oidc')), KEYS.values())) as server:
        yield server


@pytest.mark.parametrize('alg', KEYS)
def test_each_kind_of_signature(server, alg):
    me = server.client(KEYS[alg].token()).get('/v1/me')
    assert me.status == 200 and me.body['roles'] == ['reader', 'operator'], me
    assert me.body['user']['name'].startswith('wanda-lee-') and me.body['user']['oidc_issuer'] == ISSUER
    assert not me.body['user']['has_password']


def test_roles_follow_the_claims(server):
    assert server.client(KEYS['ES256'].token(sub='s2', groups=['ops', 'boss'])).get('/v1/me').body['roles'] == ['reader', 'operator', 'owner']
    assert server.client(KEYS['ES256'].token(sub='s2', groups='ops')).get('/v1/me').body['roles'] == ['reader', 'operator']
    assert server.client(KEYS['ES256'].token(sub='s2', groups=['others'])).get('/v1/me').status == 401
    users = [user for user in server.owner.list('/v1/users') if user['oidc_issuer']]
    assert len({user['id'] for user in users}) == len(users)


def flipped(token):
    at = token.rindex('.') + 10
    return token[:at] + ('A' if token[at] != 'A' else 'B') + token[at + 1:]


KEY = KEYS['ES256']
NOW = int(time.time())
WRONG = {
    'expired': lambda: KEY.token(exp=NOW - 100), 'without end': lambda: KEY.token(exp=None), 'end is a text': lambda: KEY.token(exp='later'),
    'not yet': lambda: KEY.token(nbf=NOW + 1000), 'audience': lambda: KEY.token(aud='others'), 'audiences': lambda: KEY.token(aud=['x', 'y']),
    'no audience': lambda: KEY.token(aud=None), 'issuer': lambda: KEY.token(iss='https://evil.example'), 'no issuer': lambda: KEY.token(iss=None),
    'subject': lambda: KEY.token(sub=None), 'empty subject': lambda: KEY.token(sub=''), 'long subject': lambda: KEY.token(sub='x' * 300),
    'signature': lambda: flipped(KEY.token()), 'no signature': lambda: KEY.token().rsplit('.', 1)[0] + '.', 'alg none': lambda: KEY.token({'alg': 'none'}),
    'alg HS256': lambda: KEY.token({'alg': 'HS256'}), 'other alg': lambda: KEY.token({'alg': 'RS256', 'kid': 'key-RS256'}),
    'other key': lambda: KEY.token({'kid': 'key-RS256'}), 'unknown key': lambda: KEY.token({'kid': 'nothing'}), 'no key': lambda: KEY.token({'kid': None}),
    'crit': lambda: KEY.token({'crit': ['exp']}), 'another signer': lambda: Key('ES256', 'key-ES256').token(),
    'four parts': lambda: KEY.token() + '.x', 'not base64': lambda: 'eyJ!.eyJ!.x', 'deep': lambda: 'eyJ.' + b64(b'{"a":' * 50 + b'1' + b'}' * 50) + '.x',
    'too long': lambda: KEY.token(x='y' * 8000),
}


@pytest.mark.parametrize('name', WRONG)
def test_tokens_that_are_refused(server, name):
    answer = server.client(WRONG[name]()).raw('GET', '/v1/me')
    assert answer.status in (401, 413, 431), answer
    assert server.client().get('/readyz').status == 200


def test_a_disabled_user_stays_out(server):
    client = server.client(KEY.token(sub='leaver'))
    user = client.get('/v1/me').body['user']
    assert server.owner.patch('/v1/users/' + user['id'], {'disabled': True}).status == 200
    assert client.get('/v1/me').status == 401


def test_a_user_of_an_issuer_changes_no_password_but_makes_tokens(server):
    client = server.client(KEY.token(sub='maker'))
    assert client.post('/v1/me/password', {'old': 'x', 'new': 'something long'}).code == 'session-needed'
    token = client.post('/v1/tokens', {'name': 'ci'})
    assert server.client(token.body['token']).get('/v1/me').body['roles'] == ['reader', 'operator']


class KeyServer(http.server.BaseHTTPRequestHandler):
    keys = []
    asked = 0

    def do_GET(self):
        KeyServer.asked += 1
        data = json.dumps({'keys': [key.jwk for key in KeyServer.keys]}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_keys_from_a_url(tmp_path):
    listener = http.server.ThreadingHTTPServer(('127.0.0.1', 0), KeyServer)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        KeyServer.keys = [KEY]
        path = issuers(str(tmp_path), [], jwks_url=f'http://127.0.0.1:{listener.server_port}/keys')
        with cloched.Cloched(oidc_issuers=path) as server:
            for _ in range(5):
                assert server.client(KEY.token()).get('/v1/me').status == 200
            assert KeyServer.asked == 1
            # Unknown keys make it ask again, but not each time.
            for i in range(5):
                assert server.client(KEY.token({'kid': f'unknown-{i}'})).get('/v1/me').status == 401
            assert KeyServer.asked <= 2
    finally:
        listener.shutdown()
        listener.server_close()


@pytest.mark.parametrize('change', [{'jwks_url': 'http://far.example/keys'}, {'roles': {'x': ['king']}}, {'frobnicate': 1}, {'audience': 3}])
def test_files_of_issuers_that_are_refused(tmp_path, change):
    with pytest.raises(AssertionError, match='did not start'):
        cloched.Cloched(oidc_issuers=issuers(str(tmp_path), KEYS.values(), **change))
