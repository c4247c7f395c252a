#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a file into a C array. Usage: embed.py FILE OUTPUT"""
import sys

data = open(sys.argv[1], 'rb').read()
with open(sys.argv[2], 'w', encoding='ascii') as out:
    out.write('/* Made by tee/libos/elf/vdso/embed.py. */\n#include "tee/libos/elf/vdso/vdso.h"\n\n')
    out.write(f'const size_t vdso_image_size = {len(data)};\n')
    out.write('__attribute__((aligned(4096))) const uint8_t vdso_image[] = {\n')
    for at in range(0, len(data), 16):
        out.write('    ' + ', '.join(f'0x{byte:02x}' for byte in data[at:at + 16]) + ',\n')
    out.write('};\n')
