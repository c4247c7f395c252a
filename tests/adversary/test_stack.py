#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How deep the library OS's stacks (64 KiB a thread, abi/image.h) get while the system-call cases run: TAP.

usage: test_stack.py BUILD

Stack pages are zero when they are made, so the lowest word that is not zero is the mark of the deepest call so far. They are
read through /proc/PID/mem, which the emulator cannot keep anybody from.
"""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
import testimage  # noqa: E402

SLOTS, SLOT_SIZE, STACK_OFF, STACK_SIZE = 0x810000000, 0x20000, 0x1000, 0x10000
SLOT_COUNT = 64
LIMIT = 48 * 1024


def loader_of(pid):
    """The process that holds the enclave: pid itself, or one below it."""
    for child in [pid] + [int(p) for p in open(f'/proc/{pid}/task/{pid}/children').read().split()]:
        if 'cloche-loader' in os.readlink(f'/proc/{child}/exe'):
            return child
    return None


def deepest(memory):
    depth = 0
    for slot in range(SLOT_COUNT):
        try:
            stack = os.pread(memory, STACK_SIZE, SLOTS + slot * SLOT_SIZE + STACK_OFF)
        except OSError:
            continue
        used = len(stack.lstrip(b'\0'))
        if len(stack) == STACK_SIZE:
            depth = max(depth, used)
    return depth


def watch(command):
    """Deepest stack in bytes, number of looks."""
    depth = looks = 0
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        try:
            pid = loader_of(child.pid)
            if pid:
                memory = os.open(f'/proc/{pid}/mem', os.O_RDONLY)
                depth = max(depth, deepest(memory))
                looks += depth > 0
                os.close(memory)
        except OSError:
            pass
        time.sleep(0.02)
    return depth, looks


def main():
    build = sys.argv[1]
    program = '/opt/syscall_test_static_pie'
    image = testimage.sealed('python', build, {f'/opt/syscall_test_{kind}': os.path.join(build, 'tests', 'syscall', f'syscall_test_{kind}')
                                               for kind in ('dynamic', 'static', 'static_pie')})
    depth, looks = watch([os.path.join(build, 'bin', 'cloche'), 'run', image, program])
    print('1..1')
    print(f'# deepest stack: {depth} of {STACK_SIZE} bytes, {looks} looks')
    print(f'{"ok" if looks > 10 and 0 < depth <= LIMIT else "not ok"} 1 - at most {LIMIT} bytes of a stack are used')


if __name__ == '__main__':
    main()
