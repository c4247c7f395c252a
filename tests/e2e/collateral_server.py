# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for Intel's PCS, a PCCS and AMD's key server: serve files of the vectors, and fail in the ways that tests ask for."""
import os
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHAINS = {'tcb_info.json': 'TCB-Info-Issuer-Chain', 'qe_identity.json': 'SGX-Enclave-Identity-Issuer-Chain',
          'pck_crl.der': 'SGX-PCK-CRL-Issuer-Chain'}


class Answer:
    """What is served under one path, whatever the query's order."""

    def __init__(self, body, content_type='application/octet-stream', **headers):
        self.body, self.status, self.length = body, 200, len(body)
        self.delay = self.arrived = None  # events: answer after the first, tell by the second that it was asked for
        self.headers = {'Content-Type': content_type, **{name.replace('_', '-'): value for name, value in headers.items()}}


def key_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.path, frozenset(urllib.parse.parse_qsl(parts.query))


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_GET(self):
        service = self.server.service
        service.seen.append((self.path, dict(self.headers.items())))
        key = key_of(self.path)
        plan = service.plans.get(key)
        answer = plan.pop(0) if plan else service.answers.get(key) or not_found()
        etag = answer.headers.get('ETag')
        if answer.status == 200 and etag and self.headers.get('If-None-Match') == etag:
            answer = status(304, **{name: value for name, value in answer.headers.items() if name in ('ETag', 'Cache-Control')})
        if answer.arrived:
            answer.arrived.set()
        if answer.delay:
            answer.delay.wait(20)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header('Content-Length', str(answer.length))
        if answer.length != len(answer.body):
            self.send_header('Connection', 'close')
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            pass
        self.close_connection = answer.length != len(answer.body)


def status(code, body=b'', **headers):
    answer = Answer(body, 'text/plain', **headers)
    answer.status = code
    return answer


def not_found():
    return status(404, b'no such thing')


class Service(ThreadingHTTPServer):
    """answers: what a path serves; plans: answers that a path gives first, once each; seen: (path, headers) of requests."""
    daemon_threads = True

    def __init__(self, certificate=None, tls=None):
        super().__init__(('127.0.0.1', 0), Handler)
        self.answers, self.plans, self.seen, self.service = {}, {}, [], self
        if certificate:
            context = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f'http{"s" if certificate else ""}://localhost:{self.server_port}'
        self.thread = threading.Thread(target=self.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # a client that does not trust the certificate hangs up

    def stop(self):
        self.shutdown()
        self.server_close()

    def serve(self, path, answer):
        self.answers[key_of(path)] = answer

    def plan(self, path, *answers):
        self.plans[key_of(path)] = list(answers)

    def paths(self):
        return [path for path, _ in self.seen]


def intel_answer(folder, name, **headers):
    """The item as PCS serves it, with the issuer chain in its header."""
    with open(os.path.join(folder, name), 'rb') as f:
        body = f.read()
    if name in CHAINS:
        with open(os.path.join(folder, name.rsplit('.', 1)[0] + '_issuer_chain.pem'), encoding='ascii') as f:
            headers[CHAINS[name]] = urllib.parse.quote(f.read().rstrip('\0'))
    return Answer(body, 'application/json' if name.endswith('.json') else 'application/pkix-crl', **headers)


def serve_intel(service, folder, fmspc, tee, ca, update='standard'):
    """A whole set of the vectors at the paths of PCS v4; the root's list at /IntelSGXRootCA.der and at that of a PCCS."""
    root_crl = intel_answer(folder, 'root_ca_crl.der', ETag='"root"')
    service.serve(f'/{tee}/certification/v4/tcb?fmspc={fmspc.upper()}&update={update}',
                  intel_answer(folder, 'tcb_info.json', ETag='"tcb"', Cache_Control='max-age=3600'))
    service.serve(f'/{tee}/certification/v4/qe/identity?update={update}', intel_answer(folder, 'qe_identity.json', ETag='"qe"'))
    service.serve(f'/sgx/certification/v4/pckcrl?ca={ca}&encoding=der', intel_answer(folder, 'pck_crl.der', ETag='"crl"'))
    service.serve('/IntelSGXRootCA.der', root_crl)
    service.serve('/sgx/certification/v4/rootcacrl', Answer(root_crl.body.hex().encode(), 'application/pkix-crl'))
