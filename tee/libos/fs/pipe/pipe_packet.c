/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets in pipes (pipe2 with O_DIRECT): a queue of sizes beside the ring of bytes. It comes with the first packet and
 * stays; what is written without O_DIRECT then is an entry too, of which reads may take a part. One reader and one writer at a
 * time use it without a lock against each other, as they use the ring. Trusted.
 */
#include <asm/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/pipe/pipe_private.h"

#define IS_PACKET 0x80000000u

static uint32_t *entry_at(struct pipe_packets *k, uint32_t at)
{
    return &k->sizes[at % PIPE_PACKETS_MAX];
}

static uint32_t entry_count(const struct pipe_packets *k)
{
    uint32_t tail = __atomic_load_n(&k->tail, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&k->head, __ATOMIC_ACQUIRE) - tail;
}

bool pipe_packets_full(const struct pipe *p, const struct pipe_packets *k)
{
    return entry_count(k) >= MIN(p->ring.capacity / PAGE_SIZE, (size_t)PIPE_PACKETS_MAX);
}

void pipe_packet_put(struct pipe *p, size_t size, bool is_packet)
{
    struct pipe_packets *k = p->packets;

    if (!k)
        return;
    *entry_at(k, k->head) = (uint32_t)size | (is_packet ? IS_PACKET : 0);
    __atomic_store_n(&k->head, k->head + 1, __ATOMIC_RELEASE);
}

/* write_lock held. returns: 0; -ENOMEM. */
static int begin_packets(struct pipe *p)
{
    struct pipe_packets *k;
    size_t used;

    if (p->packets)
        return 0;
    k = mem_zalloc(sizeof *k);
    if (!k)
        return -ENOMEM;
    mutex_lock(&p->read_lock);
    used = ring_used(&p->ring);
    if (used)
        k->sizes[k->head++] = (uint32_t)used;
    __atomic_store_n(&p->packets, k, __ATOMIC_RELEASE);
    mutex_unlock(&p->read_lock);
    return 0;
}

int64_t pipe_packet_write(struct pipe *p, struct uio *u, bool is_packet)
{
    int64_t total = 0, n = is_packet ? begin_packets(p) : 0;

    while (n == 0 && u->left) {
        size_t room = pipe_room(p), size = MIN(u->left, PIPE_ATOMIC);

        if (room < size)
            break;
        n = pipe_grow(p, size);
        if (n == 0)
            n = ring_write(&p->ring, u, size);
        if (n <= 0) {
            n = n ? n : -ENOMEM; /* full below its capacity: could not grow */
            break;
        }
        pipe_packet_put(p, (size_t)n, is_packet);
        total += n;
        n = 0;
    }
    return total ? total : n;
}

size_t pipe_packet_limit(const struct pipe *p, size_t size)
{
    struct pipe_packets *k = p->packets;

    if (!k || entry_count(k) == 0)
        return size;
    return MIN(size, (size_t)(*entry_at(k, k->tail) & ~IS_PACKET));
}

void pipe_skip(struct pipe *p, size_t size)
{
    struct pipe_packets *k = p->packets;
    uint32_t *entry;

    if (!k || entry_count(k) == 0) {
        ring_skip(&p->ring, size);
        return;
    }
    entry = entry_at(k, k->tail);
    if (*entry & IS_PACKET || *entry == size) {
        ring_skip(&p->ring, *entry & ~IS_PACKET);
        __atomic_store_n(&k->tail, k->tail + 1, __ATOMIC_RELEASE);
    } else {
        ring_skip(&p->ring, size);
        *entry -= (uint32_t)size;
    }
}

int64_t pipe_packet_read(struct pipe *p, struct uio *u)
{
    struct pipe_packets *k = p->packets;
    int64_t total = 0;

    while (u->left && entry_count(k)) {
        bool is_packet = (*entry_at(k, k->tail) & IS_PACKET) != 0;
        int64_t n;

        if (is_packet && total)
            break;
        n = ring_peek(&p->ring, u, pipe_packet_limit(p, u->left), 0);
        if (n <= 0)
            return total ? total : n;
        pipe_skip(p, (size_t)n);
        total += n;
        if (is_packet)
            break;
    }
    return total;
}
