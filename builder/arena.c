/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back all at once. Relying party. */
#include "builder/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/checked.h"

#define CHUNK_SIZE (256u * 1024)

struct arena_chunk {
    struct arena_chunk *next;
    uint64_t padding;
    uint8_t data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded;

    if (checked_add(size, 15u, &rounded))
        return NULL;
    rounded = ALIGN_DOWN(rounded, (size_t)16);
    if (rounded > a->size - a->used) {
        size_t chunk_size = MAX(rounded, (size_t)CHUNK_SIZE), total;

        if (checked_add(chunk_size, sizeof(struct arena_chunk), &total))
            return NULL;
        struct arena_chunk *chunk = calloc(1, total);

        if (!chunk)
            return NULL;
        chunk->next = a->chunks;
        a->chunks = chunk;
        a->used = 0;
        a->size = chunk_size;
    }
    void *p = a->chunks->data + a->used;

    a->used += rounded;
    return p;
}

char *arena_copy(struct arena *a, const void *data, size_t size)
{
    char *copy = size < SIZE_MAX ? arena_alloc(a, size + 1) : NULL;

    if (copy)
        memcpy(copy, data, size);
    return copy;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);

    if (text)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void arena_done(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *a = (struct arena){ 0 };
}
