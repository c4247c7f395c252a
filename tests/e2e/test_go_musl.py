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
# Cases of processes and their children.
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
    assert jump + padding + before >= 5 and trap <= 3
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


def run_cases(worlds, argv, names):
    """The results of the cases in both worlds, and the whole result in the enclave."""
    native = finish(worlds.command('native', [*NOT_PROCESS_1, *argv, *names]), timeout=120)
    enclave = finish(worlds.command('enclave', [*argv, *names], ['--explain']), timeout=120)
    return cases_of(native.out), cases_of(enclave.out), enclave


def ends_alike(worlds, argv, name):
    """The case alone ends in the enclave as it does natively."""
    native, enclave, _ = run_cases(worlds, argv, [name])
    return name in native and native[name] == enclave.get(name)


@pytest.mark.parametrize('kind', ['musl', 'musl_static'])
def test_system_calls_of_musl(worlds, kind):
    """The system-call test program, built with musl: each case ends as it does natively."""
    skip_without('tests/syscall/syscall_test_musl', 'musl-tools')
    argv = [f'/opt/syscall_test_{kind}']
    names = finish(worlds.command('native', [*argv, '--list'])).out.split()
    alone = [name for name in names if not FAMILY.match(name)]
    native, enclave, got = run_cases(worlds, argv, alone)
    assert len(native) == len(alone) > 200 and sum(word == b'ok' for word in native.values()) > 0.95 * len(native)
    assert {name for name, word in native.items() if enclave.get(name) != word} - BY_DESIGN == set(), got.out[-3000:]
    sites_trap_once(got, often=1000)  # threads that race meet at a site


@pytest.mark.parametrize('kind', ['musl', 'musl_static'])
def test_families_of_musl(worlds, kind):
    """The cases of processes. Where musl differs a case ends early, natively too, and the children that it leaves behind disturb those
    behind it: what differs then must end alike alone."""
    skip_without('tests/syscall/syscall_test_musl', 'musl-tools')
    argv = [f'/opt/syscall_test_{kind}']
    names = [name for name in finish(worlds.command('native', [*argv, '--list'])).out.split() if FAMILY.match(name)]
    native, enclave, got = run_cases(worlds, argv, names)
    differing = [name for name in names if name not in native or native[name] != enclave.get(name)]
    assert len(names) > 90 and len(differing) < 0.5 * len(names), got.out[-3000:]
    assert [name for name in differing if not ends_alike(worlds, argv, name)] == [], got.out[-3000:]


def test_musl_loader_by_itself(worlds):
    """musl's ld.so as a program: it maps and runs the program that it is given."""
    skip_without('tests/syscall/syscall_test_musl', 'musl-tools')
    argv = ['/lib/ld-musl-x86_64.so.1', '/opt/syscall_test_musl', 'misc_uname', 'file_seek', 'thread_many']
    want, got = finish(worlds.command('native', argv)), finish(worlds.command('enclave', argv))
    assert got.status == want.status and cases_of(got.out) == cases_of(want.out), got.err[-2000:]
