/* SPDX-License-Identifier: Apache-2.0 */
/* Byte ring between one reader and one writer. Trusted. */
#include "tee/libos/fs/pipe/ring.h"

#include <asm/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"

void ring_init(struct ring *r, size_t capacity)
{
    *r = (struct ring){ .capacity = capacity };
}

void ring_done(struct ring *r)
{
    if (r->data)
        page_free(r->data, r->size / PAGE_SIZE);
    r->data = NULL;
    r->size = 0;
}

static int resize(struct ring *r, size_t size)
{
    size_t used = ring_used(r);
    uint8_t *data = page_alloc(size / PAGE_SIZE);

    if (!data)
        return -ENOMEM;
    for (size_t done = 0; done < used;) {
        size_t from = (size_t)(r->tail + done) & (r->size - 1);
        size_t to = (size_t)(r->tail + done) & (size - 1);
        size_t n = MIN(MIN(used - done, r->size - from), size - to);

        memcpy(data + to, r->data + from, n);
        done += n;
    }
    ring_done(r);
    r->data = data;
    r->size = size;
    return 0;
}

int ring_grow(struct ring *r, size_t size)
{
    size_t want = r->size ? r->size : PAGE_SIZE;

    while (want < r->capacity && want < ring_used(r) + size)
        want *= 2;
    if (want <= r->size)
        return 0;
    int rc = resize(r, want);
    return rc < 0 && r->size ? 0 : rc;
}

int ring_set_capacity(struct ring *r, size_t capacity)
{
    if (ring_used(r) > capacity)
        return -EBUSY;
    if (r->size > capacity) {
        int rc = resize(r, capacity);
        if (rc < 0)
            return rc;
    }
    r->capacity = capacity;
    return 0;
}

int64_t ring_write(struct ring *r, struct uio *u, size_t size)
{
    size_t tail = (size_t)__atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
    size_t room = r->size - (size_t)(r->head - tail);
    size_t at = (size_t)r->head & (r->size - 1);
    size_t n = MIN(size, room);
    size_t first = MIN(n, r->size - at);
    int64_t moved;

    if (n == 0)
        return 0;
    moved = uio_get(u, r->data + at, first);
    if (moved == (int64_t)first && n > first) {
        int64_t rest = uio_get(u, r->data, n - first);

        if (rest > 0)
            moved += rest;
    }
    if (moved > 0)
        __atomic_store_n(&r->head, r->head + (uint64_t)moved, __ATOMIC_RELEASE);
    return moved;
}

int64_t ring_peek(struct ring *r, struct uio *u, size_t size, size_t off)
{
    size_t used = (size_t)(__atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - r->tail);
    size_t n = off < used ? MIN(size, used - off) : 0;
    size_t at = (size_t)(r->tail + off) & (r->size - 1);
    size_t first = MIN(n, r->size - at);
    int64_t moved;

    if (n == 0)
        return 0;
    moved = uio_put(u, r->data + at, first);
    if (moved == (int64_t)first && n > first) {
        int64_t rest = uio_put(u, r->data, n - first);

        if (rest > 0)
            moved += rest;
    }
    return moved;
}

int64_t ring_read(struct ring *r, struct uio *u, size_t size)
{
    int64_t moved = ring_peek(r, u, size, 0);

    if (moved > 0)
        __atomic_store_n(&r->tail, r->tail + (uint64_t)moved, __ATOMIC_RELEASE);
    return moved;
}

void ring_skip(struct ring *r, size_t size)
{
    __atomic_store_n(&r->tail, r->tail + MIN(size, ring_used(r)), __ATOMIC_RELEASE);
}
