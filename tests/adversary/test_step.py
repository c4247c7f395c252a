#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A host signal at every instruction of entry, exit, trampolines, copies and exceptions: the emulator steps through them.

usage: test_step.py BUILD [--whole]

steptest.c runs in the library OS; the emulator stops it in single steps and sends SIGUSR1 (docs/emulator.md,
CLOCHE_EMU_STEP). The program checks results and registers. Without --whole a part of the instructions has its turn.
Output is TAP.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

LIBOS_BASE = 0x800000000
TIMEOUT_S = 100
HIT_MIN = 100  # places of a signal in a run that is not whole
SHARE_WHOLE = 0.95  # of a whole one; and each place that was passed more often than this:
PATIENCE = 4  # as in host/sgx/emu/emu_step.c
# First symbol, and the one that ends the range (None: the next symbol of any kind).
RANGES = [('enclave_text_start', 'enclave_return_end'), ('enclave_return_end', None), ('exception_handle', None), ('handle_exception', None),
          ('handle_signal', None), ('redirect_program', None), ('regs_from_ssa', None), ('exception_program_fault', None),
          ('libos_host_signal', None), ('libos_trampoline_find', None), ('user_raw_copy', None), ('user_raw_copy_str', None),
          ('user_raw_load32', None), ('uptr_copy_words', None), ('tsc_read', None)]
WINDOWS_WHOLE = 120
# name -> stride (more than what a signal makes run), deep, windows, mode. Deep: the handler at CSSA 1 is stepped, too. A signal that
# comes there finds no SSA frame for another entry: the loader tells the enclave of it when that entry is over.
RUNS = {
    'noted': (200, False, 6, ['blocked']),
    'handled': (600, False, 6, []),
    'nested': (400, True, 3, ['blocked']),
}


def symbols(path):
    text = subprocess.run(['nm', '-n', path], check=True, capture_output=True, text=True).stdout
    return [(int(line.split()[0], 16), line.split()[2]) for line in text.splitlines() if len(line.split()) == 3]


def ranges_of(path):
    """The program's own code (all below the library OS), and the runtime's ranges: (start, end)."""
    table = symbols(path)
    by_name = {name: addr for addr, name in table}
    found = [(0, LIBOS_BASE)]
    for first, last in RANGES:
        start = by_name.get(first)
        if start is None:
            continue  # the compiler inlined it
        end = by_name[last] if last else next((addr for addr, _ in table if addr > start), start)
        found.append((start, end))
    return found


def places_of(path):
    """{address: (steps, signals)}"""
    with open(path, encoding='ascii') as log:
        rows = [line.split() for line in log]
    return {int(addr, 16): (int(stepped), int(hit)) for addr, stepped, hit in rows if addr != 'full'}


def count_hit(places, start, end):
    return sum(1 for addr, (_, hit) in places.items() if start <= addr < end and hit)


def missed(places):
    """Places that would have had their signal, had it come wherever the program leads."""
    return [addr for addr, (stepped, hit) in places.items() if not hit and stepped > PATIENCE]


def run(build, image, name, ranges, whole, folder):
    stride, is_deep, windows, mode = RUNS[name]
    log = os.path.join(folder, name)
    setting = ','.join([str(stride), *(['deep'] if is_deep else []), *(f'{start:x}-{end:x}' for start, end in ranges)])
    command = [os.path.join(build, 'bin', 'cloche'), 'run', image, '/opt/steptest', str(WINDOWS_WHOLE if whole else windows), *mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=None if whole else TIMEOUT_S,
                          env={**os.environ, 'CLOCHE_SGX': 'emulated', 'CLOCHE_EMU_STEP': setting, 'CLOCHE_EMU_STEP_LOG': log})
    if done.returncode == 77:
        return True, ' # SKIP the CPU has no AVX2'
    if done.returncode != 0 or 'failures 0' not in done.stdout:
        return False, f'\n# status {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}'.replace('\n', '\n# ')
    places = places_of(log)
    hit = count_hit(places, 0, 1 << 64)
    runtime = count_hit(places, *ranges[1])
    program = count_hit(places, *ranges[0])
    stubs = count_hit(places, LIBOS_BASE + (1 << 34), 1 << 64)
    note = f' # {hit} of {len(places)} instructions: runtime {runtime}, program and trampolines {program}, emulated leaves {stubs}'
    if whole:
        note += f', passed often and missed {len(missed(places))}'
        enough = hit >= SHARE_WHOLE * len(places) and not missed(places) and runtime > 0
    else:
        enough = hit >= HIT_MIN and runtime > 0
    return enough and (mode or 'handled 0,' not in done.stdout), note


def main():
    build, whole = os.path.realpath(sys.argv[1]), '--whole' in sys.argv
    ranges = ranges_of(os.path.join(build, 'bin', 'cloche-enclave'))
    image = testimage.sealed('busybox', build, {'/opt/steptest': os.path.join(build, 'tests', 'adversary', 'steptest')})
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(RUNS, 1):
            ok, note = run(build, image, name, ranges, whole, folder)
            failed += not ok
            print(f'{"ok" if ok else "not ok"} {number} - signals_{name}{note}', flush=True)
    print(f'1..{len(RUNS)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
