# SPDX-License-Identifier: Apache-2.0
"""What `cloche run` promises about status, signals, arguments, environment, and what it says."""
import fcntl
import os
import re
import resource
import signal
import subprocess
import time

import pytest

import testimage
from conftest import BUILD, CLOCHE, Server, World, finish

FILES = {f'/opt/{name}': os.path.join(BUILD, 'tests', 'syscall', name)
         for name in ('syscall_test_dynamic', 'syscall_test_static', 'syscall_test_static_pie')}


@pytest.fixture(scope='module')
def programs():
    return World('python', FILES)


@pytest.mark.parametrize('status', [0, 1, 7, 126, 255])
def test_exit_status(busybox, status):
    assert busybox.enclave(['/bin/sh', '-c', f'exit {status}']).status == status


@pytest.mark.parametrize('name', ['TERM', 'INT', 'KILL', 'ABRT', 'SEGV', 'USR1'])
def test_death_by_signal(busybox, name):
    """A program that a signal ended: 128 + the signal's number, as a shell says it."""
    number = getattr(signal, 'SIG' + name)
    assert busybox.enclave(['/bin/sh', '-c', f'kill -{name} $$; sleep 5']).status in (128 + number, -number)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_host_signal_ends_the_program(busybox, number):
    server = Server(busybox.enclave_command(['/bin/tail', '-f', '/etc/passwd']), b'root')
    server.child.send_signal(number)
    try:
        server.child.wait(10)
    except subprocess.TimeoutExpired:
        server.stop()
        pytest.fail('the signal did not end it')
    assert server.child.returncode in (128 + number, -number)


def test_host_signal_reaches_a_handler(debian):
    server = Server(debian.enclave_command(['/usr/bin/python3', '-c', '''
import os, signal, sys, time
def done(*_): os.write(1, b"got it"); sys.exit(5)
signal.signal(signal.SIGTERM, done); print("ready", flush=True)
while True: time.sleep(0.1)''']), b'ready')
    assert server.stop() == 5
    assert b'got it' in server.out


@pytest.mark.parametrize('kind', ['dynamic', 'static', 'static_pie'])
def test_ways_of_linking(programs, kind):
    got = programs.enclave([f'/opt/syscall_test_{kind}', 'misc_uname', 'file_seek'])
    assert got.status == 0, got.err[-1000:]
    assert b'ok 2' in got.out


def test_environment_of_the_host_stays_outside(busybox):
    got = finish(busybox.enclave_command(['/bin/env']), env={**os.environ, 'LEAK': 'from-the-host', 'LD_PRELOAD': '/x.so'})
    assert b'LEAK' not in got.out and b'LD_PRELOAD' not in got.out


def test_env_option_needs_permission(busybox):
    got = busybox.enclave(['/bin/env'], options=['--env', 'NOT_ALLOWED=1'])
    assert got.status != 0 or b'NOT_ALLOWED' not in got.out


def test_stdin_end_of_file(busybox):
    got = busybox.enclave(['/bin/cat'], stdin=b'')
    assert (got.status, got.out) == (0, b'')


def test_pipeline_on_the_host_side(busybox):
    first = subprocess.Popen(busybox.enclave_command(['/bin/seq', '1', '1000000']), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    head = subprocess.run(['head', '-n', '3'], stdin=first.stdout, capture_output=True)
    first.stdout.close()
    assert head.stdout == b'1\n2\n3\n'
    assert first.wait(20) in (141, -13, 1)


def test_says_that_it_is_emulated(busybox):
    doctor = finish([CLOCHE, 'doctor'])
    if b'emulated' not in doctor.out:
        pytest.skip('this machine has SGX')
    inspected = finish([CLOCHE, 'inspect', busybox.image])
    assert inspected.status == 0, inspected.err


def test_explain_names_what_is_not_supported(programs):
    got = programs.enclave(['/opt/syscall_test_dynamic', 'misc_unknown_system_call'], options=['--explain'])
    assert got.status == 0
    assert b'not supported' in got.err and b'system-call sites' in got.err


SITES = re.compile(rb'(\d+) by jump, (\d+) by jump through padding, (\d+) by jump before, (\d+) by trap; (\d+) calls trapped')


def sites_of(got):
    """Sites that became jumps, sites that go on trapping, and calls that trapped."""
    found = SITES.search(got.err)
    assert got.status == 0 and found, got.err
    jump, padding, before, trap, trapped = (int(n) for n in found.groups())
    return jump + padding + before, trap, trapped


@pytest.mark.parametrize('kind', ['static', 'dynamic'])
def test_a_site_traps_once(busybox, programs, kind):
    """100,000 calls of two sites, among others: each that became a jump has trapped once."""
    command = ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=50000']
    got = busybox.enclave(['/bin/busybox', *command], options=['--explain']) if kind == 'static' else \
        programs.enclave(['/bin/' + command[0], *command[1:]], options=['--explain'])
    jumps, left, trapped = sites_of(got)
    assert jumps >= 5 and left <= 4
    assert jumps + left <= trapped < jumps + 200


def test_a_static_pie_program_becomes_jumps(programs):
    jumps, left, trapped = sites_of(programs.enclave(['/opt/syscall_test_static_pie', 'file_access'], options=['--explain']))
    assert jumps >= 5 and jumps >= 4 * left and trapped < 1000


def test_no_image(tmp_path):
    got = finish([CLOCHE, 'run', str(tmp_path / 'missing.tar')])
    assert got.status in (1, 2) and b'missing.tar' in got.err


@pytest.mark.skipif('CLOCHE_EMU_STRICT' in os.environ, reason='strict mode is slow by nature')
def test_starts_fast_enough(busybox):
    """The published bound for `cloche run IMAGE /bin/true`, with room for a busy machine."""
    best = min(_seconds(busybox) for _ in range(7))
    assert best <= 0.240


def _seconds(world):
    start = time.monotonic()
    assert world.enclave(['/bin/true']).status == 0
    return time.monotonic() - start


def test_leaves_nothing_behind(busybox, tmp_path):
    before = set(os.listdir('/tmp')) | set(os.listdir('/dev/shm'))
    busybox.enclave(['/bin/touch', '/tmp/inside'])
    after = set(os.listdir('/tmp')) | set(os.listdir('/dev/shm'))
    assert not [name for name in after - before if 'cloche' in name or name == 'inside']


# ---- locks of host folders ----

LOCK_FILES = {path: path for path in ('/usr/bin/flock', '/lib/x86_64-linux-gnu/libc.so.6', '/lib64/ld-linux-x86-64.so.2')}
LOCK_CONFIG = '''
entrypoint: []
args: {default: [/bin/sh], from_host: true}
mounts: [{type: host, path: /data}]
limits: {memory: 64M, threads: 16}
'''


def test_locks_of_a_host_folder_hold_outside(tmp_path):
    """flock(2) on a file of the host: whoever else has it, the enclave sees, and the reverse."""
    image = testimage.sealed('busybox', BUILD, LOCK_FILES, LOCK_CONFIG)

    def locked(kind, *words):
        return [CLOCHE, 'run', '-v', f'{tmp_path}:/data', image, '/usr/bin/flock', '-F', *kind, '/data/lock', *words]

    with open(tmp_path / 'lock', 'wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert finish(locked(['-n', '-x'], 'echo', 'got it')).status == 1
        assert finish(locked(['-n', '-s'], 'echo', 'got it')).status == 1
        fcntl.flock(file, fcntl.LOCK_SH)
        assert finish(locked(['-n', '-x'], 'echo', 'got it')).status == 1
        assert finish(locked(['-n', '-s'], 'echo', 'got it')).out == b'got it\n'
        waiting = Server([CLOCHE, 'run', '-v', f'{tmp_path}:/data', image, '/bin/sh', '-c',
                          'echo asking; exec flock -F -x /data/lock echo got it'], b'asking')
        fcntl.flock(file, fcntl.LOCK_UN)
        assert waiting.child.wait(30) == 0
        waiting.stop()
        assert b'got it' in waiting.out
        holding = Server(locked(['-x'], 'tail', '-f', '/etc/group'), b'root')
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert finish(locked(['-n', '-x'], 'echo', 'got it')).status == 1
        holding.stop()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_descriptors_up_to_the_hard_limit(tmp_path):
    """Files of the host take descriptors of the loader: its soft limit, which is low by custom, is not the enclave's."""
    image = testimage.sealed('busybox', BUILD, LOCK_FILES, LOCK_CONFIG)
    (tmp_path / 'file').write_bytes(b'here\n')
    script = ''.join(f'exec {fd}</data/file; ' for fd in range(3, 10)) + 'read line <&9; echo $line'
    child = subprocess.run([CLOCHE, 'run', '-v', f'{tmp_path}:/data', image, '/bin/sh', '-c', script], capture_output=True, timeout=60,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (14, 4096)))
    assert child.stdout == b'here\n' and child.returncode == 0, child
