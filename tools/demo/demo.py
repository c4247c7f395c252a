#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: an ordinary Debian image with Python becomes a sealed image and runs, unmodified, in an enclave over a
public data set; the output is compared with the native run's. Then one byte of the image is changed."""
import difflib
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.join(HERE, '..', '..')
sys.path.insert(0, os.path.join(HERE, '..'))
import testimage  # noqa: E402

BUILD = os.environ.get('BUILD', 'build')
CLOCHE = os.path.join(BUILD, 'bin', 'cloche')
WORK = os.path.join(BUILD, 'demo')
SCRIPT = os.path.join(HERE, 'analysis.py')
SCRIPT_IN_IMAGE = 'opt/demo/analysis.py'
PROGRAM = ['/usr/bin/python3', '/' + SCRIPT_IN_IMAGE]


def step(text):
    print(f'\n\033[1m== {text}\033[0m' if sys.stdout.isatty() else f'\n== {text}', flush=True)


def run(command, **options):
    """Prints and runs; stdout comes back as bytes when asked for (and is shown), the rest goes to the terminal."""
    print('$ ' + ' '.join(command), flush=True)
    start = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, **options)
    sys.stdout.write((done.stdout or b'').decode(errors='replace'))
    print(f'  ({time.monotonic() - start:.1f} s, exit status {done.returncode})', flush=True)
    return done


def make_rootfs():
    """The Debian image with the script in it, as a tar."""
    tar = os.path.join(WORK, 'rootfs.tar')
    files = os.path.join(WORK, 'files')
    shutil.copy(testimage.debian_tar('demo'), tar)
    os.makedirs(os.path.join(files, os.path.dirname(SCRIPT_IN_IMAGE)), exist_ok=True)
    shutil.copy(SCRIPT, os.path.join(files, SCRIPT_IN_IMAGE))
    subprocess.run([*testimage.TAR_APPEND, '-f', tar, '-C', files, './opt'], check=True)
    return tar


def run_natively():
    folder = testimage.debian_folder('demo')
    subprocess.run(['install', '-D', '-m', '644', SCRIPT, os.path.join(folder, SCRIPT_IN_IMAGE)], check=True)
    done = subprocess.run(testimage.native_command(folder, PROGRAM), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit('demo: the native run failed')
    return done.stdout


def change_one_byte(image, out):
    """A copy of the image in which one byte of the script, where it lies in the root file system, is different."""
    mark = b"print('Mean temperature by month"
    shutil.copy(image, out)
    with open(out, 'r+b') as file:
        content = file.read()
        at = content.find(mark)
        if at < 0:
            sys.exit('demo: the script is not in the image')
        at += len(b"print('")
        file.seek(at)
        file.write(b'L')
    print(f'byte {at} of {len(content)}: "Mean temperature" became "Lean temperature"')


def main():
    os.makedirs(WORK, exist_ok=True)
    image, changed = os.path.join(WORK, 'image.tar'), os.path.join(WORK, 'changed.tar')

    step('An ordinary Debian image with Python, from Debian packages (the first time takes a minute)')
    rootfs = make_rootfs()
    print(f'{rootfs}: {os.path.getsize(rootfs) >> 20} MiB')

    step('Seal it')
    if run([CLOCHE, 'build', '-f', os.path.join(HERE, 'cloche.yaml'), rootfs, '-o', image]).returncode != 0:
        sys.exit('demo: cloche build failed')

    step('What is measured, and what the host may set')
    if run([CLOCHE, 'inspect', image]).returncode != 0:
        sys.exit('demo: cloche inspect failed')

    step('Run it in an enclave, unmodified')
    inside = run([CLOCHE, 'run', image], stdout=subprocess.PIPE)
    if inside.returncode != 0:
        sys.exit('demo: the run in the enclave failed')

    step('Compare with the native run of the same image')
    natively = run_natively()
    if natively != inside.stdout:
        sys.stdout.writelines(difflib.unified_diff(natively.decode().splitlines(True), inside.stdout.decode(errors='replace').splitlines(True),
                                                   'native', 'enclave'))
        sys.exit('demo: the outputs differ')
    print(f'equal, byte for byte: {len(natively)} bytes')

    step('Change one byte of the image, as an operator could, and run it again')
    change_one_byte(image, changed)
    refused = run([CLOCHE, 'run', changed], stdout=subprocess.PIPE)
    os.unlink(changed)
    if refused.returncode == 0 or b'Lean' in refused.stdout:
        sys.exit('demo: the changed image ran')
    print('refused.')

    print('\nDemo done: unmodified image, equal output, change refused.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
