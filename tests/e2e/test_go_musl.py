# SPDX-License-Identifier: Apache-2.0
"""Programs that do not use glibc: static and position-independent Go, static and dynamic musl."""
import os
import re
import sys

import pytest

from conftest import BUILD, ROOT, finish

sys.path.insert(0, os.path.join(ROOT, 'tools'))
import servers  # noqa: E402

SITES = re.compile(rb'(\d+) by jump, (\d+) by jump through padding, (\d+) by jump before, (\d+) by trap; (\d+) calls trapped')
CASE = re.compile(rb'^(ok|not ok) \d+ - (\w+)', re.M)
# GS belongs to the library OS (tests/syscall/differences.txt).
BY_DESIGN = {b'misc_gs_base'}
# Cases of processes and their children: tests/syscall runs them, with glibc.
FAMILY = re.compile(rb'(wait|spawn|vfork|group|session|orphan|sigchld|stop|tty|pidfd|race|exec|clone|child|call_pidfds|call_ids)')
# Natively too, orphans are not the program's own.
NOT_PROCESS_1 = ['/bin/sh', '-c', '"$@"; exit $?', 'sh']


@pytest.fixture(scope='module')
def worlds():
    return servers.Worlds(BUILD)


def skip_without(path, package):
    if not os.path.exists(os.path.join(BUILD, path)):
        pytest.skip(f'{package} is not installed')


def sites_trap_once(got, often=100):
    """Each site that became a jump trapped once (two threads may meet there); none was left trapping often."""
    found = SITES.search(got.err)
    assert found, got.err[-2000:]
    jump, padding, before, trap, trapped = (int(n) for n in found.groups())
    assert jump + padding + before >= 5 and trap <= 3 + often // 100
    assert trapped <= jump + padding + before + often, got.err


@pytest.mark.parametrize('kind', ['', '_pie'])
@pytest.mark.parametrize('name', ['gohello', 'gocheck'])
def test_go_program(worlds, name, kind):
    skip_without('bench/gohello', 'golang-go')
    argv = [f'/opt/{name}{kind}']
    want, got = finish(worlds.command('native', argv)), finish(worlds.command('enclave', argv, ['--explain']))
    assert (got.status, got.out) == (want.status, want.out) and want.status == 0, got.err[-2000:] + got.out
    assert b'every system call and flag that was used is supported' in got.err
    sites_trap_once(got, often=10)


def cases_of(out):
    return {name: word for word, name in CASE.findall(out)}


def ends_alike(worlds, argv, case):
    """The case alone ends in the enclave as it does natively."""
    native = finish(worlds.command('native', [*NOT_PROCESS_1, *argv, case.decode()]), timeout=60)
    enclave = finish(worlds.command('enclave', [*argv, case.decode()]), timeout=60)
    word = cases_of(native.out).get(case)
    return word is not None and word == cases_of(enclave.out).get(case)


@pytest.mark.parametrize('kind', ['musl', 'musl_static'])
def test_system_calls_of_musl(worlds, kind):
    """The system-call test program, built with musl: each case ends as it does natively."""
    skip_without('tests/syscall/syscall_test_musl', 'musl-tools')
    argv = [f'/opt/syscall_test_{kind}']
    # What musl does otherwise ends cases early; children that those leave behind would disturb all later ones.
    names = [name.decode() for name in finish(worlds.command('native', [*argv, '--list'])).out.split() if not FAMILY.match(name)]
    want = finish(worlds.command('native', [*NOT_PROCESS_1, *argv, *names]), timeout=120)
    got = finish(worlds.command('enclave', [*argv, *names], ['--explain']), timeout=120)
    native, enclave = cases_of(want.out), cases_of(got.out)
    assert len(native) > 200 and sum(word == b'ok' for word in native.values()) > 0.95 * len(native)
    differing = [name for name in map(str.encode, names) if name not in native or native[name] != enclave.get(name)]
    assert len(differing) < 0.1 * len(names), differing
    assert {name for name in differing if not ends_alike(worlds, argv, name)} - BY_DESIGN == set(), got.out[-3000:]
    if kind == 'musl':
        sites_trap_once(got, often=1000)  # threads that race meet at a site


def test_musl_loader_by_itself(worlds):
    """musl's ld.so as a program: it maps and runs the program that it is given."""
    skip_without('tests/syscall/syscall_test_musl', 'musl-tools')
    argv = ['/lib/ld-musl-x86_64.so.1', '/opt/syscall_test_musl', 'misc_uname', 'file_seek', 'thread_many']
    want, got = finish(worlds.command('native', argv)), finish(worlds.command('enclave', argv))
    assert got.status == want.status and cases_of(got.out) == cases_of(want.out), got.err[-2000:]
