/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System-call sites: after a `syscall` instruction has trapped once, its site is turned into a jump
 * to a trampoline (DESIGN section 5). Trusted.
 *
 * A trampoline is: lea site+2(%rip), %rcx; jmp *%gs:TCB_SYSCALL_ENTRY. A thread interrupted inside one is
 * put back to the site, which is harmless: RCX is the system call's to clobber.
 */
#pragma once

#include "lib/defs.h"

struct mm;

/* Tries to rewrite the site at `site` (address of the 0F 05), which trapped. Called on the
 * thread that trapped, before it serves the call; any thread; takes its own lock. A site that cannot be rewritten is
 * remembered. */
void rewrite_site(struct mm *mm, uintptr_t site);

struct rewrite_stats {
    uint64_t traps;                           /* system calls that came by a trap */
    uint64_t punned, caved, lifted, trapping; /* sites, by what became of them */
};
void rewrite_stats(struct rewrite_stats *ret);
/* Forgets sites and trampolines in the range (munmap, exec). */
void rewrite_forget(struct mm *mm, uintptr_t addr, size_t size);
