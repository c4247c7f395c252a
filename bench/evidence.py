# SPDX-License-Identifier: Apache-2.0
"""How long a quote takes, end to end: a program in an enclave writes inblob and reads outblob of configfs-tsm; the report goes through the loader to
the emulated quoting enclave, which runs in an enclave of its own, verifies it and signs; the quote comes back."""
import os
import shutil
import statistics
import subprocess
import tempfile

GOAL_MS = 10
QUOTES = 20  # a round
ENTRY = '/sys/kernel/config/tsm/report/bench'
CONFIG = '''
entrypoint: [/files]
args: {from_host: true}
limits: {memory: 96M, threads: 16}
'''


def build_image(runner, folder):
    root, config, image = (os.path.join(folder, name) for name in ('root', 'cloche.yaml', 'image'))
    os.makedirs(root)
    shutil.copy(os.path.join(runner.build, 'tests', 'e2e', 'files'), root)
    with open(config, 'w', encoding='ascii') as file:
        file.write(CONFIG)
    subprocess.run([runner.cloche, 'build', '-f', config, root, '-o', image], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, 'HOME': folder, 'XDG_CONFIG_HOME': folder})
    return image


def measure_round(runner, image, socket):
    """Milliseconds, one a quote; each is over a nonce of its own."""
    requests = ['mkdir', ENTRY]
    for _ in range(QUOTES):
        requests += ['write', ENTRY + '/inblob', os.urandom(64).hex(), 'time', ENTRY + '/outblob']
    done = subprocess.run([runner.cloche, 'run', '--quote-socket', socket, image, *requests], check=True, stdout=subprocess.PIPE, timeout=60,
                          env=runner.environment, text=True)
    return [int(line) / 1000 for line in done.stdout.splitlines()[2::2]]


def measure(runner, rounds):
    with tempfile.TemporaryDirectory() as folder:
        image, socket = build_image(runner, folder), os.path.join(folder, 'socket')
        service = subprocess.Popen([runner.cloche, 'emu', 'quoting', '--pki', os.path.join(folder, 'pki'), '--socket', socket],
                                   stdout=subprocess.PIPE, env=runner.environment, text=True)
        try:
            service.stdout.readline()  # it says when it listens
            times = [time for _ in range(rounds) for time in measure_round(runner, image, socket)]
        finally:
            service.terminate()
            service.wait()
    times.sort()
    median = statistics.median(times)
    print(f'\nQuote, end to end in the enclave: median {median:.2f} ms, slowest of {len(times)} {times[-1]:.2f} ms, goal {GOAL_MS} ms '
          f'{"met" if median <= GOAL_MS else "missed"}')
