# SPDX-License-Identifier: Apache-2.0
"""Daemons and tools that run as one process, unmodified from Debian, with clients on the host."""
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest

from conftest import Server, World

HAPROXY = """
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend front
    bind 127.0.0.1:%(front)d
    http-response set-header x-proxy inside
    default_backend back
backend back
    server one 127.0.0.1:%(back)d
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='module')
def daemons(tmp_path_factory):
    ports = {'front': free_port(), 'back': free_port(), 'mqtt': free_port()}
    more = tmp_path_factory.mktemp('daemons')
    more.chmod(0o755)
    (more / 'opt').mkdir()
    (more / 'opt/haproxy.cfg').write_text(HAPROXY % ports)
    (more / 'opt/mosquitto.conf').write_text(f'listener {ports["mqtt"]} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stdout\n')
    world = World('daemons', more=str(more))
    world.ports = ports
    return world


def merged(command):
    """stdout and stderr in one stream, for a daemon that says on stderr that it is ready."""
    return ['sh', '-c', 'exec "$@" 2>&1', 'sh', *command]


def test_imagemagick(daemons):
    daemons.same(['/usr/bin/convert', '-size', '120x80', 'gradient:red-blue', '-rotate', '30', '-resize', '40x40', '-depth', '8', 'txt:-'])
    daemons.same(['/usr/bin/convert', 'rose:', '-negate', '-blur', '0x2', 'ppm:-'])


def test_node_exporter(daemons):
    port = free_port()
    server = Server(merged(daemons.enclave_command(['/usr/bin/prometheus-node-exporter', f'--web.listen-address=127.0.0.1:{port}'])), b'Listening on')
    try:
        for _ in range(3):
            with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=20) as answer:
                text = answer.read().decode()
    finally:
        server.stop()
    memory = float(re.search(r'^node_memory_MemTotal_bytes (\S+)$', text, re.M).group(1))
    assert memory == int(daemons.enclave(['/bin/cat', '/sys/fs/cgroup/memory.max']).out)
    for name in ('cpu', 'meminfo', 'loadavg', 'filesystem', 'netdev', 'stat', 'uname', 'diskstats', 'vmstat'):
        assert f'node_scrape_collector_success{{collector="{name}"}} 1' in text, name


def test_haproxy_before_a_server_on_the_host(daemons):
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + '/file', 'wb') as file:
            file.write(bytes(range(256)) * 2000)
        back = Server([sys.executable, '-u', '-m', 'http.server', str(daemons.ports['back']), '--bind', '127.0.0.1', '--directory', folder], b'Serving HTTP')
        front = subprocess.Popen(daemons.enclave_command(['/usr/sbin/haproxy', '-db', '-f', '/opt/haproxy.cfg']), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_for_port(daemons.ports['front'], front)
            for _ in range(20):
                with urllib.request.urlopen(f'http://127.0.0.1:{daemons.ports["front"]}/file', timeout=20) as answer:
                    assert answer.headers['x-proxy'] == 'inside'
                    assert answer.read() == bytes(range(256)) * 2000
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f'http://127.0.0.1:{daemons.ports["front"]}/none', timeout=20)
        finally:
            front.terminate()
            front.communicate(timeout=20)
            back.stop()


def wait_for_port(port, child):
    until = time.monotonic() + 30
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f'nobody listens: {child.poll()}')


def mqtt_packet(kind, body):
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def mqtt_text(text):
    return struct.pack('>H', len(text)) + text


def mqtt_client(port, name):
    client = socket.create_connection(('127.0.0.1', port), timeout=20)
    client.sendall(mqtt_packet(0x10, mqtt_text(b'MQTT') + b'\x04\x02\x00\x3c' + mqtt_text(name)))
    assert client.recv(4) == b'\x20\x02\x00\x00'
    return client


def test_mosquitto(daemons):
    port = daemons.ports['mqtt']
    server = subprocess.Popen(daemons.enclave_command(['/usr/sbin/mosquitto', '-c', '/opt/mosquitto.conf']), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for_port(port, server)
        listeners = [mqtt_client(port, b'listener%d' % n) for n in range(5)]
        for listener in listeners:
            listener.sendall(mqtt_packet(0x82, b'\x00\x01' + mqtt_text(b'room/+') + b'\x00'))
            assert listener.recv(5) == b'\x90\x03\x00\x01\x00'
        with mqtt_client(port, b'speaker') as speaker:
            for n in range(50):
                speaker.sendall(mqtt_packet(0x30, mqtt_text(b'room/1') + b'word%02d' % n))
            want = b''.join(mqtt_packet(0x30, mqtt_text(b'room/1') + b'word%02d' % n) for n in range(50))
            for listener in listeners:
                got = b''
                while len(got) < len(want):
                    part = listener.recv(4096)
                    assert part
                    got += part
                assert got == want
                listener.close()
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=20)
    assert server.returncode == 0, out[-1000:]
    assert b'terminating' in out
