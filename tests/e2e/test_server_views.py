# SPDX-License-Identifier: Apache-2.0
"""What people and monitoring look at: `cloche top` on terminals of several sizes, /metrics as Prometheus reads it, rollouts through the command to their end date."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from cli_of import Cli
from cloched import Cloched
from exchange_agent import CLOCHE, Agent, Approver, Build, Platform, spki_sha256
from test_server_exchange import roots
from test_server_fleet import rfc, until

CLEAR = b'\x1b[H\x1b[J'
INSTANCES = 30
LONG = 'a-name-as-long-as-they-come-' + 'x' * 35


class World:
    def __init__(self, folder):
        self.platform = Platform(folder / 'pki')
        self.server = Cloched(emulator_root=self.platform.root)
        self.owner = self.server.owner
        self.approver = Approver(self.owner)
        self.pin = spki_sha256(roots(self.server)[0])
        home = folder / 'home'
        home.mkdir()
        self.cli = Cli(home, self.server)

    def close(self):
        self.server.close()
        self.platform.close()

    def app(self, name, version='1.0', mrenclave=0x11):
        if self.owner.get('/v1/apps/' + name).status == 404:
            answer = self.owner.post('/v1/apps', {'name': name})
            assert answer.status == 201, answer
        return Build(self.owner, name, version, mrenclave, self.approver, name=f'{name[:20]}-{version}'.replace('.', '-'))

    def agent(self, build):
        return Agent(self.server.client(), self.platform, build, self.pin)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp('views'))
    build = world.app(LONG)
    for _ in range(INSTANCES):
        world.agent(build).attest()
    yield world
    world.close()


class Terminal:
    """`cloche top` on one of this size."""

    def __init__(self, world, rows, columns, **env):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.child = subprocess.Popen([CLOCHE, 'top', '--interval', '1s'], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      env={**world.cli.env, 'TERM': 'xterm', **env}, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = b''

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self, enough):
        """All that came, once enough(it) is true."""
        end = time.monotonic() + 60
        while not enough(self.seen):
            assert time.monotonic() < end and self.child.poll() is None, self.seen[-500:]
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536)
        return self.seen

    def frame(self, after=0):
        """Lines of the first whole view behind so many."""
        return self.read(lambda seen: seen.count(CLEAR) >= after + 2).split(CLEAR)[after + 1].decode().split('\r\n')

    def stop(self):
        os.write(self.master, b'\x03')  # Ctrl-C
        try:
            assert self.child.wait(60) == -signal.SIGINT
        finally:
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()
            os.close(self.master)


def fits(lines, rows, columns):
    assert len(lines) <= rows and all(len(line) <= columns for line in lines), (rows, columns, lines)
    assert not any('\x1b' in line for line in lines), lines  # no colours, with NO_COLOR or without


@pytest.mark.parametrize('rows, columns', [(24, 80), (50, 300), (6, 30), (2, 10), (1, 1)])
def test_top_fits_the_terminal(world, rows, columns):
    terminal = Terminal(world, rows, columns)
    try:
        lines = terminal.frame()
        fits(lines, rows, columns)
        if columns >= 80:
            assert lines[0].startswith(f'{INSTANCES} instances: {INSTANCES} running') and 'ID' in lines[2]
            assert len(lines) == min(rows, INSTANCES + 3) or (rows > INSTANCES and lines[-1] == ''), lines
        if columns == 300:
            assert LONG in lines[3] and sum('ins_' in line for line in lines) == INSTANCES
    finally:
        terminal.stop()


def test_top_follows_a_new_size(world):
    terminal = Terminal(world, 24, 80, NO_COLOR='1')
    try:
        assert len(terminal.frame()) == 24
        seen = terminal.seen.count(CLEAR)
        terminal.resize(8, 40)
        fits(terminal.frame(seen + 1), 8, 40)
    finally:
        terminal.stop()


@pytest.mark.parametrize('env', [{'TERM': 'dumb'}, {'TERM': ''}])
def test_top_on_a_terminal_that_only_prints(world, env):
    terminal = Terminal(world, 24, 80, **env)
    try:
        text = terminal.read(lambda seen: seen.count(b' instances: ') >= 2)
        assert b'\x1b' not in text and text.count(b'ins_') >= INSTANCES  # all of them
    finally:
        terminal.stop()


NAME = re.compile(r'cloche_[a-z_]+$')
SAMPLE = re.compile(r'([a-z_]+)(\{(.*)\})? (-?[0-9.e+-]+|\+Inf|NaN)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


def test_metrics_are_what_prometheus_reads(world):
    """Each family: help and type once, before its samples; names with their units; labels that hostile requests cannot multiply."""
    for path in '/v1/apps/' + 'x' * 50, '/no/such', '/v1/instances/%41', '/metrics/"\\':
        for method in 'GET', 'BREW':
            world.owner.raw(method, path.replace('"\\', 'q'))
    text = world.owner.raw('GET', '/metrics').text
    assert text.endswith('\n')
    families, series = {}, set()
    for line in text.splitlines():
        if line.startswith('# '):
            kind, name, rest = line[2:].split(' ', 2)
            family = families.setdefault(name, {})
            assert NAME.match(name) and kind in ('HELP', 'TYPE') and kind not in family and rest and 'samples' not in family, line
            family[kind] = rest
            continue
        name, _, labels, value = SAMPLE.match(line).groups()
        base = re.sub('_(bucket|sum|count)$', '', name) if families.get(re.sub('_(bucket|sum|count)$', '', name), {}).get('TYPE') == 'histogram' else name
        family = families[base]
        family['samples'] = family.get('samples', 0) + 1
        assert {'HELP', 'TYPE'} <= set(family) and family['TYPE'] in ('counter', 'gauge', 'histogram'), line
        assert (family['TYPE'] == 'counter') == base.endswith('_total'), line
        assert (name, labels) not in series, line
        series.add((name, labels))
        if labels:
            assert ''.join(m.group(0) for m in LABEL.finditer(labels)) == labels, line
            assert set(dict(LABEL.findall(labels))) <= {'method', 'path', 'class', 'state', 'le'}, line
        assert family['TYPE'] == 'gauge' or float(value) >= 0
    assert 'xxxxx' not in text and 'such' not in text and 'BREW' not in text  # what a client makes up is no label
    buckets = [float(line.rsplit(' ', 1)[1]) for line in text.splitlines() if line.startswith('cloche_http_request_seconds_bucket')]
    assert buckets == sorted(buckets) and f'cloche_http_request_seconds_count {buckets[-1]:.0f}' in text
    assert f'cloche_instances{{state="running"}} {INSTANCES}' in text


def test_a_rollout_to_its_end(world):
    """Started and forced through the command; another one ends at its date, by itself."""
    cli = world.cli
    old, new = world.app('hotel', '1.0', 0x21), world.app('hotel', '2.0', 0x22)
    was, comes = world.agent(old), world.agent(new)
    was.attest()
    rollout = cli.json('rollout', 'start', 'hotel', '--new', '2.0', '--old', '1.0', '--end', '+7d')['id']
    comes.attest()
    was.attest('renew')  # until then
    status = cli.json('rollout', 'status', rollout)
    assert status['state'] == 'open' and {i['id'] for i in status['instances']} >= {was.id}, status
    assert was.id in cli.run('rollout', 'status', rollout)
    cli.run('rollout', 'finish', rollout)
    assert [o['kind'] for o in was.orders(wait_s=50)] == ['stop']
    body = was.body('renew')
    was.refused(was.send(body), body['nonce'])
    assert was.end(0, 'stopped').status == 204
    late = world.agent(old)
    assert late.refused(late.send(late.body()))['refused']['code'] == 'build-not-allowed'
    until(lambda: cli.json('rollout', 'status', rollout)['state'] == 'done')
    assert cli.refused('rollout', 'cancel', rollout)
    comes.attest('renew')
    newest = world.app('hotel', '3.0', 0x23)
    second = cli.json('rollout', 'start', 'hotel', '--new', '3.0', '--old', '2.0', '--end', rfc(time.time() + 3) + 'Z')['id']
    assert [o['kind'] for o in comes.orders(wait_s=55)] == ['stop']
    assert cli.json('rollout', 'status', second)['state'] in ('forced', 'done')
    world.agent(newest).attest()
