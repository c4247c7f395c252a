/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gaps between functions, from an image's .eh_frame_hdr and .eh_frame as they lie in program memory (Linux Standard
 * Base, "Exception Frames"; the encodings that GNU ld and LLD write). Trusted; everything read may be hostile.
 */
#pragma once

#include "lib/defs.h"

struct mm;
struct file;

/* A range of code. */
struct code_gap {
    uintptr_t start, end;
};

/*
 * Fills ret with the gaps that begin in [first, last], of the image whose ELF header is at `header` and whose
 * file is `file`.
 * returns: how many, at most max; 0 also when there is no table or it makes no sense.
 */
size_t eh_frame_gaps_find(struct mm *mm, uintptr_t header, struct file *file, uintptr_t first,
                          uintptr_t last, struct code_gap *ret, size_t max);

/* The function that contains addr, by the same tables: its code is [start, end). */
bool eh_frame_function_find(struct mm *mm, uintptr_t header, struct file *file, uintptr_t addr,
                            struct code_gap *ret);
