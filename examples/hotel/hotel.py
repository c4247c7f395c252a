#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small hotel reservation site: Python's standard library, SQLite, TLS. It knows nothing of enclaves.

    GET    /                                    the page
    GET    /health                              {"status": "ok"}
    GET    /api/rooms?from=DATE&to=DATE         rooms that are free for these nights
    GET    /api/reservations                    all, for the front desk: Authorization: Bearer PASSWORD
    POST   /api/reservations                    {"room", "guest", "from", "to"}
    GET    /api/reservations/ID
    DELETE /api/reservations/ID

Environment: HOTEL_NAME, HOTEL_ADDRESS (0.0.0.0), HOTEL_PORT (8443), HOTEL_DATABASE (/data/hotel.db), HOTEL_TLS (a PEM file with
certificate and key; without it, plain HTTP), HOTEL_TLS_KEY (the key, where it has a file of its own), HOTEL_DESK_PASSWORD_FILE (read at each use,
so that it may change; without it, there is no front desk). SIGHUP reads certificate and key again.
"""
import contextlib
import datetime
import hmac
import html
import json
import os
import re
import secrets
import signal
import sqlite3
import ssl
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_SIZE_MAX = 16 * 1024
NIGHTS_MAX = 60
GUEST_LEN_MAX = 100
ROOMS = [(1, 'Single with a view of the yard', 1, 6200), (2, 'Double, street side', 2, 9400), (3, 'Double, garden side', 2, 10800),
         (4, 'Family room', 4, 14900), (5, 'Suite', 2, 21000)]
SCHEMA = '''
create table if not exists room (id integer primary key, name text not null, beds integer not null, cents integer not null);
create table if not exists reservation (
    id text primary key, room integer not null references room, guest text not null,
    first_night text not null, departure text not null, cents integer not null);
create index if not exists reservation_room on reservation (room, first_night);
'''


class Problem(Exception):
    """What went wrong with a request, for the client."""

    def __init__(self, status, title):
        super().__init__(title)
        self.status = status
        self.title = title


class Hotel:
    """Rooms and reservations. Each thread has its own connection; writes are transactions."""

    def __init__(self, path):
        self.path = path
        self.local = threading.local()
        with self.connection() as database:
            database.executescript(SCHEMA)
            database.executemany('insert or ignore into room values (?, ?, ?, ?)', ROOMS)

    def connection(self):
        if not hasattr(self.local, 'database'):
            self.local.database = sqlite3.connect(self.path, timeout=10)
            self.local.database.row_factory = sqlite3.Row
        return self.local.database

    def close(self):
        """Closes this thread's connection."""
        if hasattr(self.local, 'database'):
            self.local.database.close()
            del self.local.database

    def free_rooms(self, first_night, departure):
        nights = (departure - first_night).days
        rows = self.connection().execute(
            '''select id, name, beds, cents * ? as cents from room where not exists (
               select 1 from reservation where room = room.id and first_night < ? and departure > ?) order by id''',
            (nights, departure.isoformat(), first_night.isoformat()))
        return [dict(row) for row in rows]

    def reserve(self, room, guest, first_night, departure):
        identifier = secrets.token_urlsafe(12)
        with contextlib.closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as database:
            database.execute('begin immediate')    # two guests at once: the second sees the first
            price = database.execute('select cents from room where id = ?', (room,)).fetchone()
            if price is None:
                raise Problem(404, 'no such room')
            taken = database.execute('select 1 from reservation where room = ? and first_night < ? and departure > ?',
                                     (room, departure.isoformat(), first_night.isoformat())).fetchone()
            if taken:
                raise Problem(409, 'the room is taken on one of these nights')
            database.execute('insert into reservation values (?, ?, ?, ?, ?, ?)',
                             (identifier, room, guest, first_night.isoformat(), departure.isoformat(),
                              price[0] * (departure - first_night).days))
            database.execute('commit')
        return identifier

    def find(self, identifier):
        row = self.connection().execute('''select id, room, guest, first_night as "from", departure as "to", cents
                                           from reservation where id = ?''', (identifier,)).fetchone()
        if row is None:
            raise Problem(404, 'no such reservation')
        return dict(row)

    def all(self):
        rows = self.connection().execute('select id, room, guest, first_night as "from", departure as "to", cents from reservation order by first_night, room')
        return [dict(row) for row in rows]

    def cancel(self, identifier):
        with self.connection() as database:
            if database.execute('delete from reservation where id = ?', (identifier,)).rowcount == 0:
                raise Problem(404, 'no such reservation')


def parse_nights(fields):
    """(first night, departure) of the fields `from` and `to`."""
    try:
        first_night = datetime.date.fromisoformat(fields['from'])
        departure = datetime.date.fromisoformat(fields['to'])
    except (KeyError, TypeError, ValueError):
        raise Problem(400, 'from and to are dates such as 2030-05-01') from None
    if not 1 <= (departure - first_night).days <= NIGHTS_MAX:
        raise Problem(400, f'a stay has 1 to {NIGHTS_MAX} nights')
    return first_night, departure


def parse_reservation(body):
    try:
        fields = json.loads(body)
        room, guest = fields['room'], fields['guest']
    except (ValueError, KeyError, TypeError):
        raise Problem(400, 'the body is a JSON object with room, guest, from and to') from None
    if not isinstance(room, int) or not isinstance(guest, str) or not 1 <= len(guest.strip()) <= GUEST_LEN_MAX:
        raise Problem(400, f'room is a number, guest a name of at most {GUEST_LEN_MAX} letters')
    return (room, guest.strip(), *parse_nights(fields))


def page(hotel, name):
    rows = ''.join(f'<tr><td>{html.escape(room["name"])}<td>{room["beds"]}<td>{room["cents"] / 100:.2f}'
                   for room in hotel.free_rooms(datetime.date(2030, 1, 1), datetime.date(2030, 1, 2)))
    return (f'<!doctype html><meta charset="utf-8"><title>{html.escape(name)}</title><h1>{html.escape(name)}</h1>'
            f'<table><tr><th>Room<th>Beds<th>A night{rows}</table>')


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server_version = 'hotel'
    sys_version = ''
    timeout = 30

    def answer(self, status, body, kind='application/json'):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header('Content-Type', kind + '; charset=utf-8')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        try:
            size = int(self.headers.get('Content-Length', ''))
        except ValueError:
            raise Problem(411, 'Content-Length is missing') from None
        if not 0 <= size <= BODY_SIZE_MAX:
            self.close_connection = True
            raise Problem(413, f'a body has at most {BODY_SIZE_MAX} bytes')
        return self.rfile.read(size)

    def check_desk(self):
        """The front desk's password, as it is now."""
        if not self.server.desk_password_file:
            raise Problem(404, 'no such page')
        with open(self.server.desk_password_file, 'rb') as file:
            password = file.read().strip()
        given = self.headers.get('Authorization', '').removeprefix('Bearer ').encode()
        if not password or not hmac.compare_digest(given, password):
            raise Problem(401, 'the front desk has a password')

    def serve(self, method):
        hotel = self.server.hotel
        path, _, query = self.path.partition('?')
        one = re.fullmatch(r'/api/reservations/([\w-]{1,40})', path)
        if method == 'GET' and path == '/':
            self.answer(200, page(hotel, self.server.hotel_name), 'text/html')
        elif method == 'GET' and path == '/health':
            self.answer(200, {'status': 'ok'})
        elif method == 'GET' and path == '/api/rooms':
            self.answer(200, hotel.free_rooms(*parse_nights(dict(urllib.parse.parse_qsl(query)))))
        elif method == 'GET' and path == '/api/reservations':
            self.check_desk()
            self.answer(200, hotel.all())
        elif method == 'POST' and path == '/api/reservations':
            self.answer(201, hotel.find(hotel.reserve(*parse_reservation(self.body()))))
        elif method == 'GET' and one:
            self.answer(200, hotel.find(one.group(1)))
        elif method == 'DELETE' and one:
            hotel.cancel(one.group(1))
            self.answer(200, {'cancelled': one.group(1)})
        else:
            raise Problem(404, 'no such page')

    def handle_one(self, method):
        try:
            self.serve(method)
        except Problem as problem:
            self.answer(problem.status, {'title': problem.title, 'status': problem.status})

    def do_GET(self):
        self.handle_one('GET')

    def do_POST(self):
        self.handle_one('POST')

    def do_DELETE(self):
        self.handle_one('DELETE')

    def log_message(self, format, *args):
        # Guests' data stays out of the log: what leaves the enclave is the operator's to read.
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address, hotel, name, tls, tls_key=None, desk_password_file=None):
        super().__init__(address, Handler)
        self.hotel = hotel
        self.hotel_name = name
        self.desk_password_file = desk_password_file
        self.tls_files = (tls, tls_key)
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.read_certificate()

    def read_certificate(self):
        """Also while it serves: connections that are open keep the one they have."""
        if self.tls:
            self.tls.load_cert_chain(*self.tls_files)

    def process_request_thread(self, request, client_address):
        # The handshake belongs to the connection's own thread: a slow client holds up nobody else.
        try:
            request.settimeout(Handler.timeout)
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().process_request_thread(request, client_address)
        except OSError:
            request.close()
        finally:
            self.hotel.close()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    port = int(os.environ.get('HOTEL_PORT', '8443'))
    database = os.environ.get('HOTEL_DATABASE', '/data/hotel.db')
    tls = os.environ.get('HOTEL_TLS')
    address = os.environ.get('HOTEL_ADDRESS', '0.0.0.0')
    server = Server((address, port), Hotel(database), os.environ.get('HOTEL_NAME', 'Hotel'), tls,
                    os.environ.get('HOTEL_TLS_KEY'), os.environ.get('HOTEL_DESK_PASSWORD_FILE'))
    # shutdown() waits for the loop to end, so it must not run on the loop's own thread.
    signal.signal(signal.SIGHUP, lambda *_: server.read_certificate())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f'hotel: {"https" if tls else "http"} on port {server.server_address[1]}', flush=True)
    server.serve_forever(poll_interval=0.2)
    print('hotel: closed', flush=True)


if __name__ == '__main__':
    main()
