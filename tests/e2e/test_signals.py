# SPDX-License-Identifier: Apache-2.0
"""Signals, timers and threads under stress: the same program natively and in the enclave, at the price of several kinds of hardware."""
import os
import subprocess

import pytest
from conftest import BUILD, World

PROGRAMS = os.path.join(BUILD, 'tests', 'e2e')
TRANSITIONS_NS = ['0', '300', '3000', '20000']


@pytest.fixture(scope='module')
def world():
    return World('busybox', {'/opt/sigstress': os.path.join(PROGRAMS, 'sigstress')})


def environment(transition_ns):
    return {**os.environ, 'CLOCHE_EMU_TRANSITION_NS': transition_ns}


def judge(result):
    text = result.out.decode(errors='replace') + result.err.decode(errors='replace')[-2000:]
    if result.status == 77:
        pytest.skip('the CPU has no AVX2, or there are no threads')
    assert result.status == 0, text
    assert 'failures 0' in text, text


def test_stress_natively():
    done = subprocess.run([os.path.join(PROGRAMS, 'sigstress'), '1', '4'], capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 77), done.stdout.decode()


@pytest.mark.parametrize('transition_ns', TRANSITIONS_NS)
def test_stress(world, transition_ns):
    judge(world.enclave(['/opt/sigstress', '3', '4', transition_ns + '1'], env=environment(transition_ns)))


def test_stress_with_more_threads_than_cpus(world):
    judge(world.enclave(['/opt/sigstress', '3', '16', '7'], env=environment('3000')))
