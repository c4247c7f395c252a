# SPDX-License-Identifier: Apache-2.0
"""An agent for tests of the control plane: keys, evidence from an emulated platform, answers opened and checked as docs/exchange.md says."""
import base64
import hashlib
import json
import os
import secrets
import subprocess
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from cloched import BUILD

CLOCHE = os.path.join(BUILD, 'bin', 'cloche')
QUOTE_STREAM = os.path.join(BUILD, 'tests', 'unit', 'server', 'exchange', 'quote_stream')


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


class Platform:
    """A folder of `cloche emu pki`, and quotes of enclaves that do not exist under it."""

    def __init__(self, folder, is_new=True):
        self.folder = str(folder)
        if is_new:
            self.pki('init')
            self.pki('qe', '--mrsigner', '5a' * 32, '--isv-prod-id', '1', '--isv-svn', '2')
        self.root = os.path.join(self.folder, 'certs', 'root.pem')
        self.child = subprocess.Popen([QUOTE_STREAM, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def pki(self, command, *words):
        done = subprocess.run([CLOCHE, 'emu', 'pki', command, *words, self.folder], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def quote(self, report_data, mrenclave=0x11, flags='s'):
        self.child.stdin.write(f'{mrenclave:02x} {flags} {report_data.hex()}\n'.encode())
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait(60)


def descriptor(name):
    done = subprocess.run([QUOTE_STREAM, '--descriptor', name], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


class Approver:
    """An Ed25519 key of a user, enrolled."""

    def __init__(self, client, name='key'):
        self.client = client
        self.key = ed25519.Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        me = client.get('/v1/me').body
        org, user = me['org']['id'] if isinstance(me.get('org'), dict) else me['org'], me['id']
        proof = self.key.sign(f'cloche-key-1\n{org}\n{user}\n'.encode() + public)
        answer = client.post('/v1/keys', {'name': name, 'public_key': b64(public), 'proof': b64(proof)})
        assert answer.status == 201, answer
        self.id = answer.body['id']

    def approve(self, build):
        path = f'/v1/builds/{build}/approvals'
        statement = self.client.get(path).body['statement']
        answer = self.client.post(path, {'key': self.id, 'signature': b64(self.key.sign(statement.encode()))})
        assert answer.status == 200 and answer.body['state'] == 'allowed', answer
        return answer


class Build:
    """An app's build whose MRENCLAVE is one byte, repeated."""

    def __init__(self, client, app, version, mrenclave=0x11, approver=None, name=None):
        text = descriptor(name or f'{app}-{version}'.replace('.', '-'))
        self.app_digest = hashlib.sha384(text.encode()).hexdigest()
        self.mrenclave = mrenclave
        answer = client.post(f'/v1/apps/{app}/builds', {
            'version': version, 'descriptor': text, 'app_digest': self.app_digest, 'mrenclave': f'{mrenclave:02x}' * 32,
            'mrsigner': '5a' * 32, 'isv_prod_id': 1, 'isv_svn': 2})
        assert answer.status == 201, answer
        self.id = answer.body['id']
        if approver:
            approver.approve(self.id)


def verify_jws(text, pin, typ='cloche-answer+jwt'):
    """The payload, if the signature and its chain up to the pinned root are right."""
    head, payload, signature = text.split('.')
    header = json.loads(unb64(head))
    assert header['alg'] == 'ES256' and header['typ'] == typ, header
    chain = [x509.load_der_x509_certificate(base64.b64decode(cert)) for cert in header['x5c']]
    raw = unb64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], 'big'), int.from_bytes(raw[32:], 'big'))
    chain[0].public_key().verify(der, f'{head}.{payload}'.encode(), ec.ECDSA(hashes.SHA256()))
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier)[0].endswith('/cloche/exchange')
    verify_chain(chain, pin)
    return json.loads(unb64(payload))


def spki_sha256(cert):
    return hashlib.sha256(cert.public_key().public_bytes(serialization.Encoding.DER,
                                                         serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def verify_chain(chain, pin):
    """Each is signed by the next, up to the pinned key."""
    for cert, issuer in zip(chain, chain[1:]):
        if spki_sha256(cert) == pin:
            return
        issuer.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
        assert cert.issuer == issuer.subject
    assert spki_sha256(chain[-1]) == pin, 'the chain does not end at the pin'


def decrypt_jwe(text, key):
    """ECDH-ES (direct), A256GCM: RFC 7518, 4.6."""
    head, encrypted_key, iv, ciphertext, tag = text.split('.')
    header = json.loads(unb64(head))
    assert header['alg'] == 'ECDH-ES' and header['enc'] == 'A256GCM' and encrypted_key == ''
    epk = header['epk']
    other = ec.EllipticCurvePublicNumbers(int.from_bytes(unb64(epk['x']), 'big'), int.from_bytes(unb64(epk['y']), 'big'),
                                          ec.SECP256R1()).public_key()
    info = b'\0\0\0\x07A256GCM' + b''.join(
        len(part).to_bytes(4, 'big') + part for part in (unb64(header.get('apu', '')), unb64(header.get('apv', ''))))
    secret = ConcatKDFHash(hashes.SHA256(), 32, info + (256).to_bytes(4, 'big')).derive(key.exchange(ec.ECDH(), other))
    return json.loads(AESGCM(secret).decrypt(unb64(iv), unb64(ciphertext) + unb64(tag), head.encode()))


class Agent:
    def __init__(self, client, platform, build, pin):
        self.client, self.platform, self.build, self.pin = client, platform, build, pin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER,
                                                       serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = None
        self.secrets_version = ''
        self.after = 0

    def nonce(self):
        answer = self.client.post('/v1/exchange/nonce', {})
        assert answer.status == 200, answer
        return answer.body['nonce']

    def body(self, purpose='start', nonce=None, spki=None, **more):
        nonce = nonce or self.nonce()
        spki = spki or self.spki
        binding = b'cloche-exchange-1\0' + purpose.encode() + b'\0' + unb64(nonce) + spki
        body = {'nonce': nonce, 'purpose': purpose, 'public_key': b64(self.spki),
                'app_digest': self.build.app_digest, 'have': {'secrets': self.secrets_version},
                'status': {'workload': 'running' if purpose == 'renew' else 'none'},
                'evidence': self.platform.quote(hashlib.sha512(binding).digest(), more.pop('mrenclave', self.build.mrenclave),
                                                more.pop('flags', 's'))}
        if self.id:
            body['instance'] = self.id
        body.update(more)
        return body

    def send(self, body):
        return self.client.post('/v1/exchange/evidence', body)

    def open(self, answer, nonce):
        assert answer.status == 200, answer
        payload = verify_jws(answer.body['answer'], self.pin)
        assert payload['nonce'] == nonce
        self.id = payload['instance']
        self.secrets_version = payload['secrets_version']
        payload['opened'] = None
        if payload['secrets']:
            opened = decrypt_jwe(payload['secrets'], self.key)
            assert opened['nonce'] == nonce
            payload['opened'] = {s['name']: base64.b64decode(s['value']) for s in opened['secrets']}
        return payload

    def attest(self, purpose='start', **more):
        body = self.body(purpose, **more)
        return self.open(self.send(body), body['nonce'])

    def refused(self, answer, nonce=None):
        """The signed refusal of a problem."""
        assert answer.status == 403, answer
        payload = verify_jws(answer.body['answer'], self.pin)
        assert nonce is None or payload['nonce'] == nonce
        assert payload['refused']['code'] == answer.code
        return payload

    def token(self, audience, **more):
        claims = {'iss': self.id, 'aud': audience, 'iat': int(time.time()), 'jti': secrets.token_hex(16), **more}
        text = b64(json.dumps({'alg': 'ES256', 'typ': 'JWT'}).encode()) + '.' + b64(json.dumps(claims).encode())
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return text + '.' + b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big')), claims['jti']

    def orders(self, wait_s=0, token=None):
        token, jti = token or self.token('cloche-orders')
        answer = self.client.get('/v1/exchange/orders', query={'instance': self.id, 'after': self.after, 'wait_s': wait_s},
                                 headers={'Authorization': 'Cloche-Instance ' + token})
        if answer.status != 200:
            return answer
        payload = verify_jws(answer.body['answer'], self.pin)
        assert payload['instance'] == self.id and payload['wait'] == jti and payload['after'] == self.after
        self.after = payload['number']
        return payload['orders']

    def end(self, status=0, reason='exited'):
        return self.client.post('/v1/exchange/end', {'instance': self.id, 'exit_status': status, 'reason': reason},
                                headers={'Authorization': 'Cloche-Instance ' + self.token('cloche-end', exit_status=status, reason=reason)[0]})
