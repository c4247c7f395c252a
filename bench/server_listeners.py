# SPDX-License-Identifier: Apache-2.0
"""What an idle listener to events costs in the server's memory, over HTTP and over TLS."""
import resource
import selectors
import ssl
import time

from cloched import Cloched
from server_load import memory_kib

GOAL = 16384
BATCH = 100


def read_until(socks, text, timeout=120):
    """Reads from all until each has said it. returns: how many did."""
    waiting = selectors.DefaultSelector()
    said = {sock: b'' for sock in socks}
    for sock in socks:
        waiting.register(sock, selectors.EVENT_READ)
    until = time.monotonic() + timeout
    while waiting.get_map() and time.monotonic() < until:
        for key, _ in waiting.select(1):
            try:
                data = key.fileobj.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            said[key.fileobj] = (said[key.fileobj] + data)[-4096:]
            if text in said[key.fileobj] or not data:
                waiting.unregister(key.fileobj)
    waiting.close()
    return sum(text in data for data in said.values())


def connect(server, context):
    sock = server.socket()
    return context.wrap_socket(sock) if context else sock


def cost_of(server, count, context):
    """Bytes a listener."""
    owner = server.owner
    request = f'GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {owner.token}\r\n\r\n'.encode()
    for _ in range(50):
        owner.get('/v1/me')
    before, socks = memory_kib(server), []
    try:
        while len(socks) < count:
            batch = [connect(server, context) for _ in range(min(BATCH, count - len(socks)))]
            socks += batch
            for sock in batch:
                sock.sendall(request)
            assert read_until(batch, b'retry: 2000') == len(batch)
        return (memory_kib(server) - before) * 1024 / count
    finally:
        for sock in socks:
            sock.close()


def measure(table, count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for is_plain in (True, False):
        with Cloched(rate_per_minute=10000000, plain_http=is_plain) as server:
            cost = cost_of(server, count, None if is_plain else context)
        table.row(f'{count} idle listeners over {"HTTP" if is_plain else "TLS"}', f'{cost / 1024:.1f} KiB each', '16 KiB', cost < GOAL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
