# SPDX-License-Identifier: Apache-2.0
"""Process 1 of the enclave, the agent: how it starts the workload, forwards signals, and ends."""
import os
import signal
import time

import pytest

from conftest import BUILD, CLOCHE, Server, World, finish

PYTHON = '/usr/bin/python3'


PROGRAM = '/opt/syscall_test_static_pie'


@pytest.fixture(scope='module')
def python():
    return World('python', {PROGRAM: os.path.join(BUILD, 'tests', 'syscall', 'syscall_test_static_pie')})


def run(world, program):
    return world.enclave([PYTHON, '-c', program])


def test_family(python):
    """As under `docker run --init`: process 2, child of the agent, leader of a session of its own."""
    got = run(python, '''
import os
print(os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0), os.getpgid(1), os.getuid(), os.geteuid(), os.getcwd())
print(open("/proc/1/comm").read(), end="")''')
    assert got.out == b'2 1 2 2 1 0 0 /\nagent\n', got.err


@pytest.mark.parametrize('command,status,line', [
    (['no-such-program'], 127, b'cloche: cannot run no-such-program: no such file in the image\n'),
    (['/no/such/program'], 127, b'cloche: cannot run /no/such/program: no such file in the image\n'),
    (['/etc'], 126, b'cloche: cannot run /etc: permission denied (not an executable file for this user)\n'),
    (['/etc/passwd'], 126, b'cloche: cannot run /etc/passwd: permission denied (not an executable file for this user)\n'),
    (['/usr/lib/os-release/x'], 126, b'cloche: cannot run /usr/lib/os-release/x: error 20\n'),
])
def test_what_cannot_run(python, command, status, line):
    got = python.enclave(command)
    assert (got.status, got.out) == (status, b'')
    assert line in got.err


def test_orphans_are_reaped(python):
    """A grandchild whose parent ends becomes process 1's, and does not stay as a zombie."""
    got = python.enclave([PROGRAM, 'orphans_go_to_process_1'])
    assert b'ok 1 - orphans_go_to_process_1\n' in got.out, got.out


def test_rest_ends_with_the_workload(python):
    """The workload's end is the enclave's, whatever else still runs."""
    began = time.monotonic()
    got = run(python, '''
import subprocess
subprocess.Popen(["/bin/sleep", "100"])
raise SystemExit(9)''')
    assert got.status == 9
    assert time.monotonic() - began < 50


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGWINCH])
def test_signals_are_forwarded(python, number):
    server = Server(python.enclave_command([PYTHON, '-c', f'''
import os, signal, sys, time
def got(number, frame): os.write(1, b"got %d\\n" % number); sys.exit(11)
signal.signal({int(number)}, got); print("ready", flush=True)
while True: time.sleep(0.1)''']), b'ready')
    server.child.send_signal(number)
    try:
        assert server.child.wait(10) == 11
    finally:
        server.stop()
    assert b'got %d\n' % number in server.out


def test_process_1_cannot_be_ended(python):
    """Nothing inside ends the agent: what it gets it forwards, and SIGKILL does not reach it."""
    got = run(python, '''
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: print("forwarded"))
os.kill(1, signal.SIGKILL); os.kill(1, signal.SIGSTOP); os.kill(1, signal.SIGUSR1)
time.sleep(0.3)
print(open("/proc/1/comm").read(), end="")''')
    assert (got.status, got.out) == (0, b'forwarded\nagent\n'), got.err


def test_death_by_signal_is_told(python):
    got = run(python, 'import os; os.kill(os.getpid(), 15)')
    assert got.status == 128 + 15
    assert b'was ended by SIGTERM' in got.err


def folder_with(tmp_path, names):
    folder = tmp_path / 'root'
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('x')
    return folder


@pytest.mark.parametrize('name', ['.cloche', '.cloche/agent', '.cloche/other'])
def test_reserved_name(tmp_path, name):
    got = finish([CLOCHE, 'build', '-q', str(folder_with(tmp_path, [name])), '-o', str(tmp_path / 'image')], env={**os.environ, 'HOME': str(tmp_path)})
    assert got.status == 1
    assert b'/.cloche' in got.err and b'reserved' in got.err
