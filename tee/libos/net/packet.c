/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of whole messages. Trusted. */
#include "tee/libos/net/packet.h"

#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"

int packet_new(struct sock_msg *m, size_t size_max, const struct sock_addr *from,
               struct packet **ret)
{
    size_t size = m->u->left;
    struct packet *p;

    if (size > size_max)
        return -EMSGSIZE;
    p = mem_alloc(sizeof *p + size);
    if (!p)
        return -ENOMEM;
    *p = (struct packet){ .size = size };
    p->from.size = from->size;
    memcpy(p->from.bytes, from->bytes, from->size);
    int64_t n = size ? uio_get(m->u, p->data, size) : 0;
    if (n != (int64_t)size) {
        mem_free(p);
        return n < 0 ? (int)n : -EFAULT;
    }
    if (m->control) {
        p->control = *m->control;
        *m->control = (struct sock_control){ 0 };
    }
    *ret = p;
    return 0;
}

void packet_free(struct packet *p)
{
    sock_control_done(&p->control);
    mem_free(p);
}

static bool fits(const struct packet_queue *q, size_t size, size_t bytes_max)
{
    return q->count == 0 || (q->count < PACKET_COUNT_MAX && q->bytes + size <= bytes_max);
}

int packet_put(struct packet_queue *q, struct packet *p, size_t bytes_max)
{
    int rc = 0;

    spin_lock(&q->lock);
    if (q->no_reader || q->no_writer) {
        rc = -EPIPE;
    } else if (!fits(q, p->size, bytes_max)) {
        rc = -EAGAIN;
    } else {
        p->next = NULL;
        if (q->last)
            q->last->next = p;
        else
            __atomic_store_n(&q->first, p, __ATOMIC_RELEASE);
        q->last = p;
        q->count++;
        q->bytes += p->size;
    }
    spin_unlock(&q->lock);
    if (rc == 0)
        wait_wake(&q->read_wait, WAKE_ALL, POLLIN | POLLRDNORM);
    return rc;
}

bool packet_has_room(struct packet_queue *q, size_t size, size_t bytes_max)
{
    bool room;

    spin_lock(&q->lock);
    room = q->no_reader || q->no_writer || fits(q, size, bytes_max);
    spin_unlock(&q->lock);
    return room;
}

static struct packet *take(struct packet_queue *q)
{
    struct packet *p;

    spin_lock(&q->lock);
    p = q->first;
    if (p) {
        __atomic_store_n(&q->first, p->next, __ATOMIC_RELEASE);
        if (!p->next)
            q->last = NULL;
        q->count--;
        q->bytes -= p->size;
    }
    spin_unlock(&q->lock);
    if (p)
        wait_wake(q->room, WAKE_ALL, POLLOUT | POLLWRNORM);
    return p;
}

/* A packet that was looked at goes back to the front. */
static void put_back(struct packet_queue *q, struct packet *p)
{
    spin_lock(&q->lock);
    p->next = q->first;
    if (!q->last)
        q->last = p;
    __atomic_store_n(&q->first, p, __ATOMIC_RELEASE);
    q->count++;
    q->bytes += p->size;
    spin_unlock(&q->lock);
    wait_wake(&q->read_wait, WAKE_ALL, POLLIN | POLLRDNORM);
}

int64_t packet_receive(struct packet_queue *q, struct sock_msg *m)
{
    bool ended = __atomic_load_n(&q->no_writer, __ATOMIC_ACQUIRE);
    bool peek = (m->flags & MSG_PEEK) != 0;
    int64_t n = peek && m->control ? sock_control_reserve(m->control) : 0;
    struct packet *p = n < 0 ? NULL : take(q);

    if (n < 0)
        return n;

    if (!p)
        return ended ? 0 : -EAGAIN;
    size_t size = MIN(p->size, m->u->left);
    if (size)
        n = uio_put(m->u, p->data, size);
    if (n >= 0) {
        if (p->size > size)
            m->ret_flags |= MSG_TRUNC;
        if (m->flags & MSG_TRUNC)
            n = (int64_t)p->size;
        if (m->addr) {
            m->addr->size = p->from.size;
            memcpy(m->addr->bytes, p->from.bytes, p->from.size);
        }
    }
    if (peek || n < 0) {
        if (peek && m->control)
            sock_control_copy(m->control, &p->control);
        put_back(q, p);
        return n;
    }
    if (m->control) {
        *m->control = p->control;
        p->control = (struct sock_control){ 0 };
    }
    packet_free(p);
    return n;
}

struct packet *packet_take_all(struct packet_queue *q)
{
    struct packet *list;

    spin_lock(&q->lock);
    list = q->first;
    __atomic_store_n(&q->first, NULL, __ATOMIC_RELEASE);
    q->last = NULL;
    q->count = 0;
    q->bytes = 0;
    spin_unlock(&q->lock);
    return list;
}

void packet_close(struct packet_queue *q)
{
    struct packet *list;

    spin_lock(&q->lock);
    __atomic_store_n(&q->no_reader, 1, __ATOMIC_RELEASE);
    spin_unlock(&q->lock);
    list = packet_take_all(q);
    while (list) {
        struct packet *next = list->next;

        packet_free(list);
        list = next;
    }
    packet_end(q);
}

void packet_end(struct packet_queue *q)
{
    __atomic_store_n(&q->no_writer, 1, __ATOMIC_RELEASE);
    wait_wake(&q->read_wait, WAKE_ALL, POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP);
    wait_wake(q->room, WAKE_ALL, POLLOUT | POLLWRNORM | POLLERR | POLLHUP);
}

uint32_t packet_queued(struct packet_queue *q)
{
    uint32_t size;

    spin_lock(&q->lock);
    size = q->first ? (uint32_t)q->first->size : 0;
    spin_unlock(&q->lock);
    return size;
}
