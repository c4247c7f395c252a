/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lengths of x86-64 instructions, to tell where instructions of a compiled function begin. Pure. Spec: AMD64 Architecture
 * Programmer's Manual vol. 3, appendix A; Intel SDM vol. 2, appendix A. Trusted; the bytes may be anything.
 */
#pragma once

#include "lib/defs.h"

/* What runs after an instruction. */
enum insn_flow {
    INSN_PLAIN,  /* the next one, always (but for faults) */
    INSN_BRANCH, /* the next one or that at `distance` */
    INSN_CALL,   /* that at `distance`, and the next one when it returns */
    INSN_JUMP,   /* that at `distance` only */
    INSN_FINAL,  /* never the next one: ret, an indirect jump, ud2, hlt */
    INSN_OTHER,  /* syscall, an indirect call, traps */
};

struct insn {
    uint8_t size;
    uint8_t
        rip_off; /* of its displacement of 4 bytes from the end of the instruction; 0: it has none */
    bool has_lock; /* lock or repeat prefix: something may jump behind it */
    enum insn_flow flow;
    int32_t distance; /* bytes from the end of the instruction */
};

/* The 64-bit instruction at code, of which `left` bytes may be read. false: none that compilers emit. */
bool insn_decode(const uint8_t *code, size_t left, struct insn *ret);
/* Its length; 0: none that compilers emit. */
size_t insn_length(const uint8_t *code, size_t left);
