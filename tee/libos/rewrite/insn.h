/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lengths of x86-64 instructions, to tell where instructions of a compiled function begin. Pure. Spec: AMD64 Architecture
 * Programmer's Manual vol. 3, appendix A; Intel SDM vol. 2, appendix A. Trusted; the bytes may be anything.
 */
#pragma once

#include "lib/defs.h"

/* Length of the 64-bit instruction at code, of which `left` bytes may be read; 0: none that compilers emit. */
size_t insn_length(const uint8_t *code, size_t left);
