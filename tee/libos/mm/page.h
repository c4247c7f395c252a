/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of each page of program memory: one byte, in a table by address that only grows. Trusted.
 * A page belongs to the process that claimed its part of the address space (SPACE_CHUNK, which is what one
 * leaf of the table covers), so states are written under that process's mm->lock; page_state() reads without a lock and may be
 * used at any time, also at CSSA 1.
 */
#pragma once

#include "lib/defs.h"

#define PAGE_READ 0x1 /* PROT_READ, PROT_WRITE, PROT_EXEC: permissions of the enclave page */
#define PAGE_WRITE 0x2
#define PAGE_EXEC 0x4
#define PAGE_PROT 0x7
#define PAGE_PRESENT 0x8
#define PAGE_SHARED 0x10 /* the page is its file's storage */
#define PAGE_TRAMPOLINE 0x20
#define PAGE_STALE                                                                                 \
    0x40 /* its content is still to be read from the area's file; the process does not run yet */

/* 0 for a page that is not there. Any address. */
uint8_t page_state(uintptr_t addr);
/* returns: 0; -ENOMEM. The table covers [start, end) afterwards. */
MUST_CHECK int page_table_cover(uintptr_t start, uintptr_t end);
/* Only for addresses that page_table_cover() has seen. */
void page_state_set(uintptr_t addr, size_t count, uint8_t state);

/*
 * A run of pages with equal state in [start, end): its bounds through ret_*; false at the end. Skips what
 * is not present.
 */
bool page_run_next(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end,
                   uint8_t *ret_state);
/* Length of the run of absent pages from start, at most to end; in pages. */
size_t page_absent_count(uintptr_t start, uintptr_t end);
