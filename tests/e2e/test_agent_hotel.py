# SPDX-License-Identifier: Apache-2.0
"""The hotel with a control plane (examples/hotel/server.yaml): an unchanged web site in Python gets certificate, key and a password from a server
(fake_exchange.py), and new ones while it runs."""
import base64
import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
from conftest import BUILD, CLOCHE, ROOT, Server
from fake_exchange import FakeExchange, pem


def desk(password):
    return [{'name': 'desk', 'version': '1', 'deliver': {'file': 'desk-password', 'mode': '0400'}, 'value': base64.b64encode(password).decode()}]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('hotel'))
    quoting = Server([CLOCHE, 'emu', 'quoting', '--pki', os.path.join(folder, 'pki'), '--socket', os.path.join(folder, 'socket')], b'protects nothing')
    server = FakeExchange()
    yield folder, server
    server.stop()
    quoting.stop()


def test_the_hotel_lives_on_what_the_server_gives(world):
    folder, server = world
    server.set_secrets(desk(b'blue key'), 'v1')
    built = subprocess.run([os.path.join(ROOT, 'examples', 'hotel', 'build.sh'), 'server'], capture_output=True, text=True,
                           env={**os.environ, 'BUILD': BUILD, 'SERVER_URL': server.url, 'SERVER_CA': server.pki.pin})
    assert built.returncode == 0, built.stdout + built.stderr
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    hotel = Server([CLOCHE, 'run', '--quote-socket', os.path.join(folder, 'socket'), '--env', f'HOTEL_PORT={port}', built.stdout.split()[-1]],
                   b'hotel: https on port')
    try:
        context = ssl.create_default_context(cadata=pem(server.pki.root))
        context.check_hostname = False

        def certificate():
            with socket.create_connection(('127.0.0.1', port), timeout=20) as raw, context.wrap_socket(raw) as tls:
                return tls.getpeercert()

        def ask(path, password=None):
            headers = {'Authorization': f'Bearer {password}'} if password else {}
            request = urllib.request.Request(f'https://127.0.0.1:{port}{path}', headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as refused:
                return refused.code, None

        first = certificate()
        assert ('URI', 'spiffe://test.example/org/acme/app/hotel') in first['subjectAltName'] and ('DNS', 'hotel.example') in first['subjectAltName']
        assert ask('/api/reservations')[0] == 401
        assert ask('/api/reservations', 'blue key') == (200, [])
        server.set_secrets(desk(b'green key'), 'v2')
        server.order('renew')
        server.wait(lambda: ask('/api/reservations', 'green key')[0] == 200)
        assert ask('/api/reservations', 'blue key')[0] == 401
        server.wait(lambda: certificate()['serialNumber'] != first['serialNumber'])
        server.order('revoke', 'checked out')
        hotel.child.wait(30)
    finally:
        status = hotel.stop()
    assert status == 36 and b'revoked by the server: checked out' in hotel.err
