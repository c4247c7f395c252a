# SPDX-License-Identifier: Apache-2.0
"""5,000 listeners to events on one server: all hear, and each costs less than 16 KiB of memory."""
import re
import resource
import selectors
import time

import pytest

import cloched

LISTENERS = 5000
COST_MAX = 16384


def resident(server):
    with open(f'/proc/{server.child.pid}/status', encoding='utf-8') as f:
        return int(re.search(r'VmRSS:\s+(\d+) kB', f.read()).group(1)) * 1024


@pytest.fixture(autouse=True)
def descriptors(monkeypatch):
    monkeypatch.delenv('MALLOC_PERTURB_', raising=False)  # it writes into all memory that is only set aside
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < LISTENERS + 500:
        pytest.skip(f'at most {hard} descriptors')
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_until(socks, text, timeout=120):
    """Reads from all until each has said it."""
    waiting = selectors.DefaultSelector()
    said = {sock: b'' for sock in socks}
    for sock in socks:
        waiting.register(sock, selectors.EVENT_READ)
    until = time.monotonic() + timeout
    while waiting.get_map() and time.monotonic() < until:
        for key, _ in waiting.select(1):
            data = key.fileobj.recv(65536)
            said[key.fileobj] = (said[key.fileobj] + data)[-4096:]
            if text in said[key.fileobj] or not data:
                waiting.unregister(key.fileobj)
    waiting.close()
    return sum(text in data for data in said.values())


def test_idle_listeners_are_cheap_and_all_hear():
    with cloched.Cloched(rate_per_minute=1000000) as server:
        owner = server.owner
        for _ in range(50):
            owner.get('/v1/me')
        request = f'GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {owner.token}\r\n\r\n'.encode()
        before = resident(server)
        socks = []
        try:
            for _ in range(LISTENERS // 250):
                batch = [server.socket() for _ in range(250)]
                socks += batch
                for sock in batch:
                    sock.sendall(request)
                assert read_until(batch, b'retry: 2000') == 250
            cost = (resident(server) - before) / LISTENERS
            print(f'{cost:.0f} bytes a listener')
            assert cost < COST_MAX
            made = owner.post('/v1/tokens', {'name': 'heard by all'}).body['id']
            begin = time.monotonic()
            assert read_until(socks, made.encode()) == LISTENERS
            print(f'all had heard after {time.monotonic() - begin:.2f} s')
            assert f'cloche_event_listeners {LISTENERS}' in owner.get('/metrics').text
        finally:
            for sock in socks:
                sock.close()
        assert server.stop() == 0
