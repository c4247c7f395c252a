# SPDX-License-Identifier: Apache-2.0
"""Programs that start programs: many at once, from several threads, crashing ones, and what is left behind."""
import os
import statistics

import pytest
from conftest import BUILD, World

PARKED_KIB = 64 << 10  # what ended programs may leave for the next of their kind (tee/libos/mm/park.c), and then some


@pytest.fixture(scope='module')
def world():
    return World('python', {'/opt/spawn_stress': os.path.join(BUILD, 'tests', 'e2e', 'spawn_stress')})


def test_many_at_once_leave_nothing(world):
    """4 threads with 50 children each, eleven times over: all end as they should, and memory is as before. How much ended programs
    leave parked depends on how many ran at once, by some MiB each way, and the table of page states (tee/libos/mm/page.h) grows with
    the addresses that were ever used; 1000 children lie between the two medians."""
    done = world.enclave(['/opt/spawn_stress', '11', '4', '50', '/bin/cat'], timeout=200)
    assert done.status == 0, (done.out, done.err[-2000:])
    free = [int(word) for word in done.out.split()]
    assert len(free) == 11
    assert min(free[1:]) > free[0] - PARKED_KIB, free
    assert statistics.median(free[6:]) > statistics.median(free[1:6]) - (8 << 10), free


def test_crashing_children(world):
    """Children that die by a signal take nobody with them."""
    done = world.enclave(['/usr/bin/python3', '-c', """
import subprocess
shells = [subprocess.Popen(['/bin/sh', '-c', f'kill -{signal} $$']) for signal in (11, 9, 6, 8, 4, 7)]
print([shell.wait() for shell in shells])
print(subprocess.run(['/bin/echo', 'still here'], capture_output=True).stdout)
"""])
    assert done.status == 0, done.err[-2000:]
    assert done.out == b"[-11, -9, -6, -8, -4, -7]\nb'still here\\n'\n"


def test_python_subprocess(world):
    """Pipes both ways, environment, folder, errors, time-outs, closing of descriptors, sessions."""
    world.same(['/usr/bin/python3', '-c', r"""
import os, signal, subprocess, tempfile
run = lambda *a, **k: print(subprocess.run(*a, capture_output=True, **k))
run(['/bin/cat'], input=b'x' * 100000 + b'end')
run(['/bin/sh', '-c', 'echo $A; pwd; umask; exit 3'], env={'A': 'b'}, cwd='/usr', umask=0o27)
run('echo $0 $1', shell=True)
for command in (['/none'], ['/etc/passwd'], ['/']):
    try:
        subprocess.run(command)
    except OSError as error:
        print(error)
try:
    subprocess.run(['/bin/sleep', '10'], timeout=0.2)
except subprocess.TimeoutExpired as error:
    print(error.cmd)
first = subprocess.Popen(['/bin/cat', '/etc/passwd'], stdout=subprocess.PIPE)
second = subprocess.Popen(['/usr/bin/sort'], stdin=first.stdout, stdout=subprocess.PIPE)
first.stdout.close()
print(second.communicate()[0], first.wait(), second.returncode)
fd = os.open('/dev/null', os.O_RDONLY)
for options in ({'pass_fds': [fd]}, {'close_fds': True}):
    print(subprocess.run(['/bin/sh', '-c', f'[ -e /proc/self/fd/{fd} ]; echo $?'], capture_output=True, **options).stdout)
child = subprocess.Popen(['/bin/sleep', '10'], start_new_session=True)
print(os.getsid(child.pid) == child.pid)
os.killpg(child.pid, signal.SIGTERM)
print(child.wait())
"""])


def test_two_programs_of_fixed_addresses(world):
    """python3 of Debian 12 is not PIE: a second one at the same time is refused with a reason."""
    done = world.enclave(['/usr/bin/python3', '-c', """
import subprocess
try:
    subprocess.run(['/usr/bin/python3', '-c', 'pass'])
except OSError as error:
    print(error.errno)
"""])
    assert done.out == b'12\n'
    assert b'linked to fixed addresses (non-PIE) that another process uses' in done.err
