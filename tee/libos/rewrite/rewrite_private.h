/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tee/libos/rewrite share. Trusted. */
#pragma once

#include "tee/libos/mm/mm.h"
#include "tee/libos/rewrite/rewrite.h"

/*
 * lea site+2(%rip), %rcx; jmp *%gs:TCB_SYSCALL_ENTRY. The rest of its page is int3.
 */
#define TRAMPOLINE_SIZE 15u
#define TRAMPOLINE_FILL 0xccu
#define SYSCALL_SIZE 2u /* 0f 05 */
#define JUMP_SIZE 5u    /* e9 rel32 */
#define LIFT_SIZE 5u    /* b8 imm32: mov imm32, %eax */

/* ---- trampoline.c ---- */

/* Writes the code for `site` as it would stand at `at`. false: out of reach. */
bool trampoline_encode(uintptr_t at, uintptr_t site, uint8_t *dst);
/* The site of a trampoline's code that stands at `at`; false when it is none. */
bool trampoline_decode(uintptr_t at, const uint8_t *code, uintptr_t *ret_site);
/*
 * Finds or makes a trampoline for `site` that starts in [first, last]. returns: 0; -ENOMEM nothing is
 * free there.
 */
MUST_CHECK int trampoline_get(struct mm *mm, uintptr_t site, uintptr_t first, uintptr_t last,
                              uintptr_t *ret_at);

/* ---- site_set.c: addresses of sites that stay as they are ---- */

bool site_set_has(uintptr_t site);
void site_set_add(uintptr_t site); /* quietly does nothing when memory or SITE_SET_MAX is reached */
void site_set_remove(uintptr_t start, uintptr_t end);

/* ---- boundary.c ---- */

enum boundary {
    BOUNDARY_NO,
    BOUNDARY_YES,     /* certain: an instruction of `size` bytes begins there */
    BOUNDARY_UNKNOWN, /* the image has no table of functions, or odd code */
};
enum boundary boundary_check(struct mm *mm, uintptr_t at, size_t size);

/* ---- cave.c ---- */

/* Puts a jump to a trampoline for `site` into padding near it. returns: 0 and the address of that jump, within reach
 * of a `jmp rel8` at site; -ENOENT no padding; -ENOMEM. */
MUST_CHECK int cave_get(struct mm *mm, uintptr_t site, uintptr_t *ret_at);

/* ---- lift.c ---- */

/* Serves the call from a trampoline that the `mov number, %eax` right before the site jumps to. returns: 0;
 * -ENOENT that instruction is not there; -EFAULT, -ENOMEM. number: the call that trapped at site. */
MUST_CHECK int lift(struct mm *mm, uintptr_t site, uint64_t number);
/* True when a lifted trampoline's first instruction stands at `at`; *ret_site is the system call. */
bool lift_decode(uintptr_t at, uintptr_t *ret_site);
