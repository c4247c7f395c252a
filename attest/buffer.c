/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer that grows. Relying party and agent. */
#include "attest/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/checked.h"

#define FIRST_CAPACITY 256u

void buffer_init(struct buffer *b, size_t max)
{
    *b = (struct buffer){ .max = max };
}

void buffer_done(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){ .max = b->max };
}

/* Room for size more bytes and a NUL. */
static int reserve(struct buffer *b, size_t size)
{
    size_t need, capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
    uint8_t *data;

    if (checked_add(b->size, size, &need) || need > b->max || checked_add(need, 1, &need))
        return -E2BIG;
    if (need <= b->capacity)
        return 0;
    while (capacity < need)
        if (checked_mul(capacity, 2, &capacity))
            return -E2BIG;
    data = realloc(b->data, capacity);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
    if (b->rc == 0)
        b->rc = reserve(b, size);
    if (b->rc < 0 || size == 0)
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_add_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

int buffer_take(struct buffer *b, uint8_t **ret, size_t *ret_size)
{
    buffer_add(b, NULL, 0); /* there is a byte for the NUL, also in an empty one */
    if (b->rc < 0)
        return b->rc;
    b->data[b->size] = 0;
    *ret = b->data;
    *ret_size = b->size;
    *b = (struct buffer){ .max = b->max };
    return 0;
}
