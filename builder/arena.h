/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is given back all at once: for the many small objects of one build. Relying party. Not
 * for use by several threads.
 */
#pragma once

#include "lib/defs.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used; /* of the first chunk */
    size_t size;
};

/* Zeroed memory, aligned to 16 bytes, valid until arena_done; NULL: out of memory. */
void *arena_alloc(struct arena *a, size_t size);
/* A copy with a NUL behind it. */
char *arena_copy(struct arena *a, const void *data, size_t size);
char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
void arena_done(struct arena *a);
