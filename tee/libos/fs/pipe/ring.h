/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte ring with one reader and one writer at a time, which need no lock against each other: the buffer of pipes and of
 * streams inside the enclave. The owner makes sure (a lock a side) that at most one thread reads and one writes.
 * Starts small, grows to its capacity as it fills. Trusted.
 */
#pragma once

#include "tee/libos/mm/user.h"

struct ring {
    uint8_t *data;   /* size bytes, whole pages */
    size_t size;     /* power of two */
    size_t capacity; /* power of two; size grows up to it */
    uint64_t head;   /* bytes ever written; moved by the writer */
    uint64_t tail;   /* bytes ever read; moved by the reader */
};

/* capacity: power of two, at least a page. Allocates nothing. */
void ring_init(struct ring *r, size_t capacity);
void ring_done(struct ring *r);
/* Bytes in it. The reader may see fewer than there are by now, the writer and others more; never negative, as tail is
 * loaded first. */
static inline size_t ring_used(const struct ring *r)
{
    uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);

    return (size_t)(__atomic_load_n(&r->head, __ATOMIC_ACQUIRE) - tail);
}
static inline size_t ring_free(const struct ring *r)
{
    size_t used = ring_used(r);

    return used < r->capacity ? r->capacity - used : 0;
}
/* True when `size` more bytes need a larger buffer; then ring_grow with both sides held. */
static inline bool ring_must_grow(const struct ring *r, size_t size)
{
    return r->size < r->capacity && size > r->size - ring_used(r);
}
/* Room for `size` more bytes, as far as capacity allows. returns: 0; -ENOMEM (only when there is no buffer). */
MUST_CHECK int ring_grow(struct ring *r, size_t size);
/* New capacity; both sides held. returns: 0; -EBUSY more is in it; -ENOMEM. */
MUST_CHECK int ring_set_capacity(struct ring *r, size_t capacity);
/* Moves up to `size` bytes between the ring and u; returns bytes moved (0: empty or full), -EFAULT. */
MUST_CHECK int64_t ring_write(struct ring *r, struct uio *u, size_t size);
MUST_CHECK int64_t ring_read(struct ring *r, struct uio *u, size_t size);
/* As ring_read from `off` bytes after the tail, without taking. */
MUST_CHECK int64_t ring_peek(struct ring *r, struct uio *u, size_t size, size_t off);
/* Drops up to size bytes. */
void ring_skip(struct ring *r, size_t size);
