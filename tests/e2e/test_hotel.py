# SPDX-License-Identifier: Apache-2.0
"""The hotel of examples/hotel, natively and in the enclave: the same site, over TLS, with clients on the host."""
import json
import os
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from conftest import BUILD, CLOCHE, ROOT, Server

HOTEL = os.path.join(ROOT, 'examples', 'hotel')
WORK = os.path.join(BUILD, 'hotel')


class Client:
    def __init__(self, port):
        self.base = f'https://localhost:{port}'
        self.context = ssl.create_default_context(cafile=os.path.join(WORK, 'ca.pem'))

    def ask(self, method, path, body=None):
        """(status, answer)."""
        request = urllib.request.Request(self.base + path, method=method, data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.context) as answer:
                status, data = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, data = refused.code, refused.read()
        return status, json.loads(data) if data.startswith((b'{', b'[')) else data.decode()


@pytest.fixture(scope='module')
def image():
    done = subprocess.run([os.path.join(HOTEL, 'build.sh')], capture_output=True, text=True, env={**os.environ, 'BUILD': BUILD})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


@pytest.fixture(params=['native', 'enclave'], scope='module')
def client(request, image, tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    values = {'HOTEL_NAME': 'Grand & Hotel', 'HOTEL_PORT': str(port)}
    if request.param == 'native':
        command = ['/usr/bin/python3', os.path.join(HOTEL, 'hotel.py')]
        environment = {**os.environ, **values, 'HOTEL_TLS': os.path.join(WORK, 'tls/files/opt/hotel/tls.pem'),
                       'HOTEL_DATABASE': str(tmp_path_factory.mktemp('hotel') / 'hotel.db')}
    else:
        command = [CLOCHE, 'run', *(word for name, value in values.items() for word in ('--env', f'{name}={value}')), image]
        environment = None
    server = Server(command, b'hotel: https on port', env=environment)
    yield Client(port)
    assert server.stop() == 0, server.err[-1000:]
    assert b'hotel: closed' in server.out


def test_page_shows_the_name_that_the_host_may_set(client):
    status, page = client.ask('GET', '/')
    assert status == 200 and 'Grand &amp; Hotel' in page and 'Suite' in page


def test_reserve_find_cancel(client):
    stay = {'room': 3, 'guest': 'Grace', 'from': '2031-03-01', 'to': '2031-03-04'}
    status, made = client.ask('POST', '/api/reservations', stay)
    assert status == 201 and made['cents'] == 3 * 10800
    assert client.ask('GET', f'/api/reservations/{made["id"]}') == (200, made)
    _, rooms = client.ask('GET', '/api/rooms?from=2031-03-03&to=2031-03-05')
    assert [room['id'] for room in rooms] == [1, 2, 4, 5]
    _, rooms = client.ask('GET', '/api/rooms?from=2031-03-04&to=2031-03-05')
    assert [room['id'] for room in rooms] == [1, 2, 3, 4, 5]
    assert client.ask('POST', '/api/reservations', stay)[0] == 409
    assert client.ask('DELETE', f'/api/reservations/{made["id"]}')[0] == 200
    assert client.ask('GET', f'/api/reservations/{made["id"]}')[0] == 404
    assert client.ask('POST', '/api/reservations', stay)[0] == 201


@pytest.mark.parametrize('body', [{}, [], {'room': 'x', 'guest': 'a', 'from': '2031-01-01', 'to': '2031-01-02'},
                                  {'room': 1, 'guest': '', 'from': '2031-01-01', 'to': '2031-01-02'},
                                  {'room': 1, 'guest': 'a', 'from': '2031-01-02', 'to': '2031-01-02'},
                                  {'room': 1, 'guest': 'a', 'from': 'never', 'to': '2031-01-02'},
                                  {'room': 1, 'guest': 'a', 'from': '2031-01-01', 'to': '2032-01-02'}])
def test_bad_reservations(client, body):
    status, problem = client.ask('POST', '/api/reservations', body)
    assert status == 400 and problem['title']


def test_no_such_room_and_page(client):
    assert client.ask('POST', '/api/reservations', {'room': 99, 'guest': 'a', 'from': '2031-01-01', 'to': '2031-01-02'})[0] == 404
    assert client.ask('GET', '/admin')[0] == 404


def test_one_room_many_guests_at_once(client):
    """Twelve guests want the same night: one gets it."""
    answers = []

    def book(guest):
        answers.append(client.ask('POST', '/api/reservations', {'room': 5, 'guest': guest, 'from': '2032-12-31', 'to': '2033-01-01'})[0])
    guests = [threading.Thread(target=book, args=(f'guest {number}',)) for number in range(12)]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
    assert sorted(answers) == [201] + [409] * 11
