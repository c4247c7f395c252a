# SPDX-License-Identifier: Apache-2.0
"""Verifications a second on one core, beside what OpenSSL's own benchmark says of the signature that each is made of, in turn."""
import os
import re
import statistics
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
VECTORS = os.path.join(HERE, '..', 'tests', 'vectors', 'public')
SIGNATURE_ROUNDS_S = 1
# Where OpenSSL does this many ECDSA P-256 verifications a second, the goal is a number; otherwise a share of them.
FAST_P256, GOAL, SHARE_P256, SHARE_P384 = 10000, 4000, 0.35, 0.8
COLD_GOAL_MS = 5
TIMEOUT_S = 120


def pinned(command):
    return subprocess.run(['taskset', '-c', str(max(os.sched_getaffinity(0))), *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout


def signatures():
    """Verifications a second of OpenSSL: {curve: count}."""
    text = pinned(['openssl', 'speed', '-seconds', str(SIGNATURE_ROUNDS_S), 'ecdsap256', 'ecdsap384'])
    return {int(bits): float(rate) for bits, rate in re.findall(r'^\s*(\d+) bits ecdsa.*\s([\d.]+)\s*$', text, re.M)}


def verifications(build):
    """Microseconds of CPU of each: {name: us}."""
    lines = pinned([os.path.join(build, 'bench', 'verifierbench'), VECTORS]).splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines}


def goal_of(name, rate, us, curves):
    """(the goal in words, whether it is met)"""
    if name.endswith('_cold'):
        return f'at most {COLD_GOAL_MS} ms', us <= COLD_GOAL_MS * 1000
    if name.startswith('snp'):
        return f'{SHARE_P384} of ECDSA P-384', rate >= SHARE_P384 * curves[384]
    if curves[256] >= FAST_P256:
        return f'{GOAL} a second', rate >= GOAL
    return f'{SHARE_P256} of ECDSA P-256', rate >= SHARE_P256 * curves[256]


def measure(runner, rounds):
    found, rates = {}, {256: [], 384: []}
    for _ in range(rounds):
        for bits, rate in signatures().items():
            rates[bits].append(rate)
        for name, us in verifications(runner.build).items():
            found.setdefault(name, []).append(us)
    curves = {bits: statistics.median(values) for bits, values in rates.items()}
    print(f'\n`openssl speed`, one core: ECDSA P-256 {curves[256]:.0f} verifications a second, P-384 {curves[384]:.0f}.\n')
    print('| verification | ms | a second | of the signature\'s rate | goal |\n|---|---:|---:|---:|---|')
    for name, values in found.items():
        us = statistics.median(values)
        rate = 1e6 / us
        goal, met = goal_of(name, rate, us, curves)
        share = rate / curves[384 if name.startswith('snp') else 256]
        print(f'| {name} | {us / 1000:.3f} | {rate:.0f} | {share:.2f} | {goal}: {"met" if met else "missed"} |', flush=True)
