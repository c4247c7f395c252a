# SPDX-License-Identifier: Apache-2.0
"""A server that does docs/exchange.md as the document says, and on demand badly: what agents are tested against. Its answers go through `hooks`:
name of the stage -> function that changes what is sent. It checks report data and MRENCLAVE; the rest of appraisal is the verifier's own tests' business."""
import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import os
import socketserver
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DOMAIN = 'test.example'
QUOTE_BODY = 48


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def un_b64u(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Pki:
    """Root, intermediate, and what they issue."""

    def __init__(self):
        self.root_key, self.inter_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self.root = self.issue('root', self.root_key.public_key(), None, ca=True)
        self.inter = self.issue('intermediate', self.inter_key.public_key(), (self.root, self.root_key), ca=True)
        self.pin = hashlib.sha256(spki(self.root_key.public_key())).hexdigest()

    def issue(self, name, key, by=None, ca=False, names=(), days=1, until=None):
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        until = until or now + datetime.timedelta(days=days)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(by[0].subject if by else subject).public_key(key)
                   .serial_number(x509.random_serial_number()).not_valid_before(until - datetime.timedelta(days=days + 1))
                   .not_valid_after(until).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        if not ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        return builder.sign(by[1] if by else self.root_key, hashes.SHA256())

    def leaf(self, name, key, names, **more):
        return self.issue(name, key, (self.inter, self.inter_key), names=names, **more)


def sign(key, header, payload):
    """Compact JWS, ES256."""
    text = b64u(json.dumps(header).encode()) + '.' + b64u(json.dumps(payload).encode())
    r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return text + '.' + b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))


def encrypt(public_key, plain, header=None):
    """Compact JWE, ECDH-ES with A256GCM."""
    mine = ec.generate_private_key(ec.SECP256R1())
    numbers = mine.public_key().public_numbers()
    header = header or {'alg': 'ECDH-ES', 'enc': 'A256GCM',
                        'epk': {'kty': 'EC', 'crv': 'P-256', 'x': b64u(numbers.x.to_bytes(32, 'big')), 'y': b64u(numbers.y.to_bytes(32, 'big'))}}
    enc = b'A256GCM'
    info = len(enc).to_bytes(4, 'big') + enc + bytes(8) + (256).to_bytes(4, 'big')
    key = ConcatKDFHash(algorithm=hashes.SHA256(), length=32, otherinfo=info).derive(mine.exchange(ec.ECDH(), public_key))
    protected, iv = b64u(json.dumps(header).encode()), os.urandom(12)
    sealed = AESGCM(key).encrypt(iv, plain, protected.encode())
    return '.'.join([protected, '', b64u(iv), b64u(sealed[:-16]), b64u(sealed[-16:])])


def shifted(payload, seconds):
    """The answer as it would have been signed so much later."""
    return {**payload, 'time': payload['time'] + seconds, 'time_ms': payload['time_ms'] + seconds * 1000,
            'lease': {name: s + seconds for name, s in payload['lease'].items()}}


class FakeExchange:
    def __init__(self, pki=None, mrenclaves=None):
        self.pki = pki or Pki()
        self.mrenclaves = mrenclaves  # hexadecimal, those that are allowed; None: any
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.exchange_cert = self.pki.leaf('exchange', self.key.public_key(), [x509.UniformResourceIdentifier(f'spiffe://{DOMAIN}/cloche/exchange')])
        self.secrets, self.version = [], 'v1'
        self.lease_s, self.renew_s, self.grace_s = 600, 300, 3
        self.servers, self.fence = [], 0
        self.hooks = {}
        self.refusal = None     # members of the problem document
        self.final = True
        self.nonces, self.keys, self.jtis = set(), {}, set()
        self.log, self.ends = [], []
        self.orders, self.changed = [], threading.Condition()
        self.instance_count = 0
        self.ahead_s = 0        # of this machine's clock
        self.start()

    def now(self):
        return int(time.time()) + self.ahead_s

    # ---- life ----

    def start(self, port=0):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            timeout = 30

            def log_message(self, *words):
                pass

            def do_GET(self):
                outer.serve(self)

            do_POST = do_GET

        class Tls(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, address):
                pass  # a client that hangs up is none of ours

        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.pki.leaf('server', key.public_key(), [x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        path = f'/tmp/fake-exchange-{os.getpid()}-{id(self)}.pem'
        with open(path, 'w', opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode())
            file.write(pem(cert) + pem(self.pki.inter) + pem(self.pki.root))
        context.load_cert_chain(path)
        os.unlink(path)
        self.httpd = Tls(('127.0.0.1', port), Handler)
        self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.httpd.server_address[1]
        self.url = f'https://127.0.0.1:{self.port}'
        self.is_up = True
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
        self.thread.start()

    def stop(self):
        """Gone, as if the machine were; start(port) brings it back."""
        if not self.is_up:
            return
        self.is_up = False
        with self.changed:
            self.changed.notify_all()
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()

    # ---- what tests say and see ----

    def set_secrets(self, secrets, version):
        self.secrets, self.version = secrets, version

    def order(self, kind, reason='a test'):
        with self.changed:
            self.orders.append({'number': len(self.orders) + 1, 'kind': kind, 'reason': reason})
            self.changed.notify_all()

    def purposes(self):
        return [body['purpose'] for path, body in self.log if path.endswith('/evidence')]

    def wait(self, question, seconds=30):
        """Until question() is true: polled."""
        until = time.monotonic() + seconds
        while not question():
            assert time.monotonic() < until, (self.log, self.ends)
            time.sleep(0.02)

    # ---- answers ----

    def hook(self, stage, value):
        return self.hooks[stage](value) if stage in self.hooks else value

    def sign(self, payload):
        header = {'alg': 'ES256', 'typ': 'cloche-answer+jwt',
                  'x5c': [base64.b64encode(der(c)).decode() for c in (self.exchange_cert, self.pki.inter, self.pki.root)]}
        return self.hook('jws', sign(self.key, self.hook('header', header), payload))

    def serve(self, handler):
        size = int(handler.headers.get('Content-Length') or 0)
        body = json.loads(handler.rfile.read(size)) if size else {}
        path = handler.path.split('?')[0]
        self.log.append((path, body))
        status, answer = getattr(self, 'do_' + path.rsplit('/', 1)[1])(handler, body)
        if not self.is_up:
            handler.close_connection = True
            return
        kind = 'application/json' if status < 400 else 'application/problem+json'
        data = json.dumps(answer).encode() if answer is not None else b''
        status, kind, data = self.hook('response', (status, kind, data))
        raw = self.hook('raw', None)
        if raw is not None:
            handler.wfile.write(raw)
            handler.close_connection = True
            return
        handler.send_response(status)
        handler.send_header('Content-Type', kind)
        if status != 204:
            handler.send_header('Content-Length', str(len(data)))
        handler.send_header('Connection', 'close')
        handler.end_headers()
        handler.wfile.write(data)

    def do_nonce(self, handler, body):
        nonce = self.hook('nonce', b64u(os.urandom(32)))
        self.nonces.add(nonce)
        return 200, {'nonce': nonce, 'expires': '2099-01-01T00:00:00Z'}

    def refuse(self, nonce, problem):
        refused = {name: problem.get(name, '') for name in ('code', 'step', 'detail')}
        answer = self.sign(self.hook('refused', {'nonce': nonce, 'time': self.now(), 'refused': refused, 'final': self.final}))
        return 403, {'type': 'about:blank', 'title': 'Refused', 'status': 403, **problem, 'answer': answer}

    def judge(self, body):
        """A problem, or None."""
        evidence = body['evidence']
        quote = un_b64u((evidence['evidence'] if isinstance(evidence, dict) else evidence)[1])
        nonce = un_b64u(body['nonce'])
        want = hashlib.sha512(b'cloche-exchange-1\0' + body['purpose'].encode() + b'\0' + nonce + un_b64u(body['public_key'])).digest()
        report = quote[QUOTE_BODY:QUOTE_BODY + 384]
        if body['nonce'] not in self.nonces or report[320:384] != want:
            return {'code': 'attestation-refused', 'step': 'binding', 'detail': 'the evidence is not over this nonce and key'}
        mrenclave = report[64:96].hex()
        if self.mrenclaves is not None and mrenclave not in self.mrenclaves:
            return {'code': 'build-not-allowed', 'step': 'identity', 'detail': 'this build is not allowed', 'expected': self.mrenclaves[0],
                    'actual': mrenclave, 'fix': 'propose and approve this build'}
        return self.refusal

    def do_evidence(self, handler, body):
        problem = self.judge(body)
        self.nonces.discard(body['nonce'])
        if problem:
            return self.refuse(body['nonce'], problem)
        key = serialization.load_der_public_key(un_b64u(body['public_key']))
        if body['purpose'] == 'start':
            self.instance_count += 1
        instance = body.get('instance') or f'ins_{self.instance_count}'
        self.keys[instance] = key
        now_ms = int(time.time() * 1000) + self.ahead_s * 1000
        now = now_ms // 1000
        name = f'spiffe://{DOMAIN}/org/acme/app/hotel'
        leaf = self.pki.leaf('hotel', key, [x509.UniformResourceIdentifier(name), x509.DNSName('hotel.example')])
        plain = json.dumps(self.hook('plain', {'nonce': body['nonce'], 'secrets': self.secrets})).encode()
        is_new = body['have']['secrets'] != self.version
        payload = {'nonce': body['nonce'], 'instance': instance, 'time': now, 'time_ms': now_ms, 'result': sign(self.key, {'alg': 'ES256', 'typ': 'ear+jwt'}, {'ear.status': 'affirming'}),
                   'certificates': [pem(leaf), pem(self.pki.inter)], 'roots': [pem(self.pki.root)], 'spiffe_id': name,
                   'lease': {'until': now + self.lease_s, 'renew_after': now + self.renew_s}, 'grace_s': self.grace_s, 'fence': self.fence,
                   'secrets': self.hook('jwe', encrypt(key, plain)) if is_new else None, 'secrets_version': self.version, 'servers': self.servers}
        return 200, {'answer': self.sign(self.hook('payload', payload))}

    def authorized(self, handler, audience):
        """(instance, jti) of the request's token; None where its time is not now."""
        scheme, token = handler.headers['Authorization'].split(' ')
        text, signature = token.rsplit('.', 1)
        header, claims = [json.loads(un_b64u(part)) for part in text.split('.')]
        raw = un_b64u(signature)
        self.keys[claims['iss']].verify(utils.encode_dss_signature(int.from_bytes(raw[:32], 'big'), int.from_bytes(raw[32:], 'big')), text.encode(),
                                        ec.ECDSA(hashes.SHA256()))
        assert scheme == 'Cloche-Instance' and header['alg'] == 'ES256' and claims['aud'] == audience, (header, claims)
        assert claims['jti'] not in self.jtis, claims
        if abs(claims['iat'] - self.now()) >= 60:
            return None, None
        self.jtis.add(claims['jti'])
        return claims['iss'], claims['jti']

    def unauthorized(self):
        return 401, {'type': 'about:blank', 'title': 'Not authenticated', 'status': 401, 'code': 'not-authenticated', 'detail': "the token's time is not the server's"}

    def do_orders(self, handler, body):
        instance, jti = self.authorized(handler, 'cloche-orders')
        if not instance:
            return self.unauthorized()
        query = dict(part.split('=') for part in handler.path.split('?')[1].split('&'))
        after, until = int(query['after']), time.monotonic() + min(int(query['wait_s']), 60)
        assert query['instance'] == instance
        with self.changed:
            while self.is_up and len(self.orders) <= after and time.monotonic() < until:
                self.changed.wait(until - time.monotonic())
            orders = self.orders[after:]
        payload = {'instance': instance, 'time': self.now(), 'after': after, 'number': len(self.orders), 'orders': orders,
                   'wait': jti}
        return 200, {'answer': self.sign(self.hook('orders', payload))}

    def do_end(self, handler, body):
        instance, _ = self.authorized(handler, 'cloche-end')
        if not instance:
            return self.unauthorized()
        assert body['instance'] == instance
        self.ends.append(body)
        return 204, None
