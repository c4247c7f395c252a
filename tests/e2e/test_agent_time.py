# SPDX-License-Identifier: Apache-2.0
"""The workload's clock under a host that lies about time (tests/adversary/clock_liar.c): after the exchange it is the server's signed time, carried on by the enclave's
own monotonic clock."""
import base64
import datetime
import os
import shutil
import signal
import struct
import time

import pytest
from cryptography import x509

from conftest import BUILD, CLOCHE, finish
from fake_exchange import FakeExchange, Pki, pem, shifted
from test_agent_exchange import CONFIG, LEASE, TLS, Workload, World

LIAR = os.path.join(BUILD, 'tests', 'adversary', 'clock-liar')
YEAR_S = 365 * 86400
EPERM, ECANCELED = 1, 125
# Between this machine's clock and the workload's: the line's way through two pipes on a busy machine.
SLACK_S = 20


class LyingWorld(World):
    """Runs images by a loader that adds to the host's clocks what the file of lies says. The workload is root."""
    config = CONFIG.replace('1000:1001', '0:0')

    def __init__(self, folder):
        self.lies = os.path.join(folder, 'lies')
        super().__init__(folder)
        shutil.copy(os.path.join(BUILD, 'tests', 'e2e', 'wall_clock'), os.path.join(self.root, 'secret_reader'))
        os.makedirs(os.path.join(self.root, 'tmp'), mode=0o1777)
        os.chmod(os.path.join(self.root, 'tmp'), 0o1777)

    def lie(self, wall_s=0, mono_s=0, boot_s=0):
        with open(self.lies, 'r+b' if os.path.exists(self.lies) else 'wb') as file:
            file.write(struct.pack('<3q', int(wall_s * 10**9), int(mono_s * 10**9), int(boot_s * 10**9)))

    def command(self, image, *options):
        return ['/usr/bin/env', 'CLOCHE_CLOCK_LIE=' + self.lies, LIAR, '--quote-socket', self.socket, *options, '--image', image]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    world = LyingWorld(str(tmp_path_factory.mktemp('time')))
    yield world
    world.quoting.stop()


@pytest.fixture(scope='module')
def pki():
    return Pki()


class Site:
    """A server, an image that names it, and the runs of a test."""

    def __init__(self, world, pki):
        self.world, self.pki = world, pki
        self.server = FakeExchange(pki)
        self.image, self.identity = world.build(self.server.url, pin=pki.pin)
        self.runs = []

    def start(self, **lies):
        self.world.lie(**lies)
        self.runs.append(Workload(self.world, self.image))
        return self.runs[-1]

    def renew(self, w):
        """A renewal; the agent sends SIGUSR1 when it has taken it."""
        w.ask('trap 10')
        self.server.order('renew')
        assert w.line() == 'signal 10', w.said


@pytest.fixture(scope='module')
def made(world, pki):
    site = Site(world, pki)
    yield site
    site.server.stop()


@pytest.fixture
def site(made):
    made.server.hooks.clear()
    made.server.orders.clear()
    made.server.lease_s, made.server.renew_s, made.server.grace_s, made.server.ahead_s = 600, 300, 3, 0
    yield made
    for w in made.runs:
        w.end(kill=True)
    made.runs.clear()


def clocks(w):
    return {name: int(ns) / 10**9 for name, ns in (pair.split('=') for pair in w.ask('clocks').split())}


def is_right(w, offset_s=0):
    """All that shows wall time in the workload shows this machine's time, and the same."""
    before = time.time() + offset_s
    shown = clocks(w)
    after = time.time() + offset_s
    for name, s in shown.items():
        assert before - 2 <= s <= after + 2, (name, s, before, after)
    return True


@pytest.mark.parametrize('years', [-30, 20])
def test_host_that_is_years_off(site, years):
    """`years` off before the exchange, and other years off after it."""
    w = site.start(wall_s=years * YEAR_S)
    assert is_right(w)
    state, error_us = map(int, w.ask('error').split())
    print(f'the workload knows the time to within {error_us / 1000:.0f} ms')
    assert state == 0
    for other in 0, -years, 2 * years:
        site.world.lie(wall_s=other * YEAR_S)
        time.sleep(1.1)  # the enclave looks at the host's clocks once a second
        assert is_right(w)
    w.child.stdin.close()
    assert w.end() == 0


def test_without_a_server_the_host_is_believed(world, tmp_path):
    """As ever; so that the tests above see the agent's work, not a lie that does not arrive."""
    image, config = str(tmp_path / 'image'), str(tmp_path / 'config.yaml')
    with open(config, 'w') as file:
        file.write('entrypoint: [/secret_reader]\n')
    built = finish([CLOCHE, 'build', '-q', '-f', config, world.root, '-o', image], env={**os.environ, 'HOME': str(tmp_path)})
    assert built.status == 0, built.err
    world.lie(wall_s=-10 * YEAR_S)
    got = finish(world.command(image), stdin=b'clocks\nerror\n')
    real = int(got.out.decode().split('real=')[1].split()[0]) / 10**9
    assert abs(real - (time.time() - 10 * YEAR_S)) < SLACK_S
    assert b'\n5 16000000\n' in got.out  # TIME_ERROR: nobody keeps the clock


def test_certificates_are_judged_by_the_signed_time(site):
    """The host would have an old certificate live again, and a new one be none yet."""
    now = datetime.datetime.utcnow()
    old = site.pki.leaf('old', site.server.key.public_key(), [x509.DNSName('old.example')], until=now - datetime.timedelta(days=30))
    site.server.secrets = [{'name': 'old', 'version': '1', 'deliver': {'file': 'old.pem', 'mode': '0444', 'uid': 0, 'gid': 0},
                            'value': base64.b64encode(pem(old).encode()).decode()}]
    site.server.version = 'v-old'
    for years in -1, 0, 1:
        w = site.start(wall_s=years * YEAR_S - 31 * 86400)
        assert w.ask('cert /run/secrets/old.pem') == 'past'
        assert w.ask(f'cert {TLS}/cert.pem') == 'valid'


def test_nobody_else_sets_the_clock(site):
    w = site.start(wall_s=YEAR_S)
    assert (w.ask('settime'), w.ask('bind')) == (str(EPERM), str(EPERM))
    assert is_right(w)


def test_fast_clock_is_set_back_by_the_renewal(site):
    """The host lets 40 s pass in one."""
    w = site.start()
    assert w.ask('alarm 7200') == '0'
    site.world.lie(mono_s=40)
    time.sleep(1.1)
    assert is_right(w, offset_s=40)
    monotonic = int(w.ask('mono').split()[0])
    site.renew(w)
    assert is_right(w)
    assert int(w.ask('mono').split()[0]) >= monotonic
    assert w.ask('await') == f'error {ECANCELED}'  # TFD_TIMER_CANCEL_ON_SET


def test_clock_that_is_too_fast_for_a_renewal(site):
    """An hour in a second: no answer fits to that any more, and the lease ends all the sooner."""
    site.server.lease_s, site.server.renew_s, site.server.grace_s = 86400, 43200, 1
    w = site.start()
    w.ask('trap 12')
    site.world.lie(mono_s=90000)
    time.sleep(1.1)
    w.child.send_signal(signal.SIGUSR2)  # wakes the agent, which else looks at the clock once a minute
    assert w.end() == LEASE
    assert b'the lease has ended' in w.said


def test_machine_that_slept(site):
    """Two minutes passed that no clock of the machine counted. The server no longer takes the agent's tokens, so the agent renews, and the clock is right again."""
    w = site.start()
    w.ask('trap 10')
    site.server.ahead_s = 120
    port = site.server.port
    site.server.stop()
    site.server.start(port)
    site.server.wait(lambda: site.server.purposes()[-1] == 'renew')
    assert w.line() == 'signal 10', w.said
    assert is_right(w, offset_s=120)


def test_slow_clock_is_set_forward_by_the_renewal(site):
    """The host's clock stands still for 8 s, by turning back what it says; the renewal makes up for it. What the enclave showed before it saw that, a second or two, it then waits for."""
    w = site.start()
    for second in range(1, 9):
        time.sleep(1)
        site.world.lie(mono_s=-second)
    assert clocks(w)['real'] < time.time() - 4
    site.renew(w)
    before = time.time()
    assert before - 3 < clocks(w)['real'] < time.time() + 1


def test_boot_clock_never_turns_back(site):
    """Leases count on CLOCK_BOOTTIME: a host that takes back a suspension of a year does not make one longer."""
    w = site.start(boot_s=YEAR_S)
    first = int(w.ask('mono').split()[1])
    site.world.lie(boot_s=0)
    time.sleep(2.1)
    assert int(w.ask('mono').split()[1]) >= first
    assert is_right(w)


def test_server_that_signs_whole_seconds(site):
    site.server.hooks['payload'] = lambda p: {k: v for k, v in p.items() if k != 'time_ms'}
    w = site.start(wall_s=YEAR_S)
    assert is_right(w) and int(w.ask('error').split()[1]) >= 1000000


def test_older_time_is_refused(site):
    """A renewal with a time before the first one's (a server whose clock is 30 s behind: the lease allows 60) leaves the clock alone."""
    w = site.start()
    site.server.hooks['payload'] = lambda p: shifted(p, -30)
    site.renew(w)
    assert is_right(w)
    assert b'cannot be set' not in w.said


def test_time_within_the_round_trip(site):
    """Who holds the answer back for 3 s makes the clock no worse than by that."""
    def hold(response):
        if b'"answer"' in response[2] and not held:
            held.append(1)
            time.sleep(3)
        return response
    held = []
    site.server.hooks['response'] = hold
    w = site.start(wall_s=-YEAR_S)
    before = time.time()
    real = clocks(w)['real']
    state, error_us = map(int, w.ask('error').split())
    assert state == 0 and 3000000 <= error_us < 60000000  # the workload can tell, by adjtimex
    assert held and before - 4 <= real <= time.time() + 2
