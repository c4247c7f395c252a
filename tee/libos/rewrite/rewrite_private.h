/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tee/libos/rewrite share. Trusted. */
#pragma once

#include "tee/libos/mm/mm.h"
#include "tee/libos/rewrite/rewrite.h"

struct code_map;

/*
 * lea site+2(%rip), %rcx; jmp *%gs:TCB_SYSCALL_ENTRY. The rest of its page is int3.
 */
#define TRAMPOLINE_SIZE 15u
#define TRAMPOLINE_FILL 0xccu
#define SYSCALL_SIZE 2u   /* 0f 05 */
#define JUMP_SIZE 5u      /* e9 rel32 */
#define JUMP_PREFIX 0x48u /* REX.W, which changes nothing in a near jump */
#define JUMP_LONG_SIZE 6u /* with it */
#define LIFT_SIZE_MAX 48u /* of the code before a site that its trampoline does */

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

/* What a jump in program text was made for. */
enum patch {
    PATCH_NONE, /* the program's own */
    PATCH_SITE, /* a system-call site stood there */
    PATCH_LIFT, /* an instruction before a site did */
    PATCH_GAP,  /* padding */
};
enum patch patch_find(struct mm *mm, uintptr_t addr);
/* True when a jump of ours that begins before addr goes on there: the bytes behind a punned site are part of its jump. */
bool patch_covers(struct mm *mm, uintptr_t addr);

/* ---- site_set.c: addresses of sites that stay as they are ---- */

bool site_set_has(uintptr_t site);
void site_set_add(uintptr_t site); /* quietly does nothing when memory or SITE_SET_MAX is reached */
void site_set_remove(uintptr_t start, uintptr_t end);

/* ---- cave.c ---- */

/* Puts a jump to a trampoline for `site` into padding near it. returns: 0 and the address of that jump, within reach
 * of a `jmp rel8` at site; -ENOENT no padding; -ENOMEM. */
MUST_CHECK int cave_get(struct mm *mm, const struct code_map *m, uintptr_t site, uintptr_t *ret_at);

/* ---- lift.c ---- */

/* Serves the call from a trampoline that an instruction before the site jumps to. returns: 0; -ENOENT none is fit;
 * may_be_entered: also when a branch leads to what is between the two, and goes on trapping there. */
MUST_CHECK int lift(struct mm *mm, const struct code_map *m, uintptr_t site, bool may_be_entered);
/* True when an instruction that was lifted stands at `at`, in a trampoline page; *ret_from is where it came from. */
bool lift_decode(uintptr_t at, uintptr_t *ret_from);
