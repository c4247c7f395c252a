/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where instructions begin around a system-call site, from the code alone: for images whose .eh_frame is silent. Trusted; text
 * and tables may be anything.
 *
 * Nobody says where to begin decoding, so all 15 places at the window's start are tried at once: an instruction has at most
 * 15 bytes, one of these places is right. What is marked is a superset of the true beginnings, and within a few
 * instructions nearly always equal to it. Where no marked instruction reaches across a marked address, an instruction
 * begins there for certain, as long as the window begins in code.
 */
#pragma once

#include "tee/libos/rewrite/eh_frame.h"
#include "tee/libos/rewrite/insn.h"

struct code_map {
    struct mm *mm;
    uintptr_t start;
    size_t size;
    uint8_t *code;  /* size bytes; NULL: nothing is known */
    uint8_t *flags; /* one for each of them */
};

/* Decodes around addr, which lies in executable memory of mm. A map that could not be made knows nothing. */
void code_map_init(struct code_map *m, struct mm *mm, uintptr_t addr);
void code_map_done(struct code_map *m);

/* An instruction begins at addr, for certain. */
bool code_map_is_boundary(const struct code_map *m, uintptr_t addr);
/* A branch in the map may lead to addr. */
bool code_map_is_target(const struct code_map *m, uintptr_t addr);
/* The instruction at addr, which is a boundary. A rewritten site is the two bytes of its `syscall`, INSN_OTHER. */
bool code_map_get(const struct code_map *m, uintptr_t addr, struct insn *ret);
/* The instruction that ends at addr, for certain. */
bool code_map_before(const struct code_map *m, uintptr_t addr, uintptr_t *ret_at, struct insn *ret);

/*
 * Padding behind an instruction that never goes on, up to an address that is a multiple of 8: no-operations as assemblers
 * fill with, which nothing in the map leads to; or int3.
 * returns: how many begin in [first, last], at most max.
 */
size_t code_map_gaps_find(const struct code_map *m, uintptr_t first, uintptr_t last,
                          struct code_gap *ret, size_t max);

/* Bytes of the no-operation at code (forms that assemblers pad with) or int3; 0: something else. */
size_t code_nop_size(const uint8_t *code, size_t left);
