/* SPDX-License-Identifier: Apache-2.0 */
/* Connections inside the enclave. Trusted. */
#include "tee/libos/net/stream.h"

#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/signal/signal.h"

/* A large write is published in pieces, so that the reader copies while the writer does. */
#define PIECE_SIZE 16384u

static uint32_t closed_now(const struct stream_way *w)
{
    return __atomic_load_n(&w->closed, __ATOMIC_ACQUIRE);
}

/* Room from which on a writer is woken and told POLLOUT. */
static size_t low_room(const struct stream_way *w)
{
    return w->ring.capacity / 4;
}

static size_t size_to_capacity(uint32_t size)
{
    size_t capacity = PAGE_SIZE;

    while (capacity < size && capacity < SOCK_BUFFER_MAX)
        capacity *= 2;
    return capacity;
}

int stream_new(uint32_t capacity, struct stream **ret)
{
    struct stream *st = mem_zalloc(sizeof *st);

    if (!st)
        return -ENOMEM;
    st->refs = 2;
    for (int i = 0; i < 2; i++)
        ring_init(&st->ways[i].ring, size_to_capacity(capacity));
    *ret = st;
    return 0;
}

static struct stream_control *take_controls(struct stream_way *w)
{
    struct stream_control *list;

    spin_lock(&w->control_lock);
    list = w->controls;
    w->controls = NULL;
    w->control_count = 0;
    spin_unlock(&w->control_lock);
    return list;
}

struct stream_control *stream_take_controls(struct stream *st, int side)
{
    return take_controls(&st->ways[side]);
}

static void drop_controls(struct stream_way *w)
{
    struct stream_control *c = take_controls(w);

    while (c) {
        struct stream_control *next = c->next;

        sock_control_done(&c->control);
        mem_free(c);
        c = next;
    }
}

void stream_unref(struct stream *st)
{
    if (__atomic_sub_fetch(&st->refs, 1, __ATOMIC_ACQ_REL))
        return;
    for (int i = 0; i < 2; i++) {
        drop_controls(&st->ways[i]);
        ring_done(&st->ways[i].ring);
    }
    mem_free(st);
}

static void mark(struct stream_way *w, uint32_t bits)
{
    __atomic_or_fetch(&w->closed, bits, __ATOMIC_ACQ_REL);
    wait_wake(&w->read_wait, WAKE_ALL, POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP);
    wait_wake(&w->write_wait, WAKE_ALL, POLLOUT | POLLWRNORM | POLLHUP | POLLERR);
}

void stream_close(struct stream *st, int side, bool reset)
{
    struct stream_way *in = &st->ways[side], *out = &st->ways[1 - side];

    if (ring_used(&in->ring) || in->controls)
        reset = true;
    drop_controls(in);
    mark(in, STREAM_NO_READER | STREAM_NO_WRITER);
    mark(out, STREAM_NO_WRITER | (reset ? STREAM_RESET | STREAM_WAS_RESET : 0));
    /* HUP needs both ways: tell those who watch the other one. */
    wait_wake(&in->write_wait, WAKE_ALL, POLLHUP);
}

void stream_shutdown(struct stream *st, int side, uint32_t shut, bool tell_writer)
{
    if (shut & SOCK_SHUT_READ && !tell_writer)
        mark(&st->ways[side], 0); /* only wakes: the socket's own flag ends its reads */
    else if (shut & SOCK_SHUT_READ)
        mark(&st->ways[side], STREAM_NO_READER | STREAM_NO_WRITER);
    if (shut & SOCK_SHUT_WRITE)
        mark(&st->ways[1 - side], STREAM_NO_WRITER);
}

/* ---- receiving ---- */

/* How many bytes may be read at once: up to the next control item. Takes the item at the tail into *m. */
static size_t control_limit(struct stream_way *w, struct sock_msg *m)
{
    struct stream_control *c, *taken = NULL;
    size_t limit = SIZE_MAX;

    if (LIKELY(!__atomic_load_n(&w->controls, __ATOMIC_ACQUIRE)))
        return limit;
    spin_lock(&w->control_lock);
    c = w->controls;
    if (c && c->at <= w->ring.tail) {
        limit = c->next ? (size_t)(c->next->at - w->ring.tail) : SIZE_MAX;
        if (m->flags & MSG_PEEK) {
            if (m->control && m->control->files && !m->control->file_count)
                sock_control_copy(m->control, &c->control);
        } else {
            taken = c;
            w->controls = c->next;
            w->control_count--;
        }
    } else if (c) {
        limit = (size_t)(c->at - w->ring.tail);
    }
    spin_unlock(&w->control_lock);
    if (taken) {
        if (m->control)
            *m->control = taken->control;
        else
            sock_control_done(&taken->control);
        mem_free(taken);
    }
    return limit;
}

static bool read_ended(const struct socket *s, const struct stream_way *w)
{
    return closed_now(w) & STREAM_NO_WRITER ||
           __atomic_load_n(&s->shut, __ATOMIC_RELAXED) & SOCK_SHUT_READ;
}

static int wait_data(struct socket *s, struct stream_way *w, uint64_t deadline_ns)
{
    int rc;

    WAIT_UNTIL(rc, &w->read_wait, ring_used(&w->ring) || read_ended(s, w), deadline_ns);
    return sock_wait_error(rc, s->receive_timeout_ns);
}

int stream_take_reset(struct stream *st, int side)
{
    struct stream_way *w = &st->ways[side];

    if (!(closed_now(w) & STREAM_RESET))
        return 0;
    __atomic_and_fetch(&w->closed, ~STREAM_RESET, __ATOMIC_ACQ_REL);
    return -ECONNRESET;
}

/* What is there now; 0: nothing. *ret_stop: a control item ends the message. */
static int64_t receive_now(struct stream_way *w, struct sock_msg *m, size_t peek_off,
                           bool *ret_stop)
{
    bool peek = (m->flags & MSG_PEEK) != 0;
    int64_t n = 0;

    if (peek && m->control && w->controls)
        n = sock_control_reserve(m->control);
    if (n < 0)
        return n;
    mutex_lock(&w->read_lock);
    if (!ring_used(&w->ring)) {
        mutex_unlock(&w->read_lock);
        return 0;
    }
    size_t limit = control_limit(w, m);
    size_t size = MIN(m->u->left, limit);
    *ret_stop =
        limit != SIZE_MAX || (m->control && (m->control->file_count || m->control->has_cred));
    if (m->flags & MSG_TRUNC && !peek) {
        n = (int64_t)MIN(size, ring_used(&w->ring));
        ring_skip(&w->ring, (size_t)n);
        m->u->left -= (size_t)n;
    } else if (peek) {
        n = ring_peek(&w->ring, m->u, size, peek_off);
    } else {
        n = ring_read(&w->ring, m->u, size);
    }
    mutex_unlock(&w->read_lock);
    if (n > 0 && !peek && ring_free(&w->ring) >= low_room(w))
        poll_wake_after_unlock(&w->write_wait, POLLOUT | POLLWRNORM);
    return n;
}

int64_t stream_receive(struct socket *s, struct stream *st, int side, struct sock_msg *m)
{
    struct stream_way *w = &st->ways[side];
    uint64_t deadline = 0;
    int64_t total = 0;
    bool stop = false;

    while (m->u->left) {
        bool ended = read_ended(s, w); /* before the look: what came before the end is read */
        int64_t n = receive_now(w, m, m->flags & MSG_PEEK ? (size_t)total : 0, &stop);
        int rc;

        if (n < 0)
            return total ? total : n;
        total += n;
        if (n > 0 && (stop || !(m->flags & MSG_WAITALL)))
            break;
        if (n > 0)
            continue;
        if (total && m->flags & MSG_PEEK)
            break;
        if (ended) {
            rc = total ? 0 : stream_take_reset(st, side);
            return rc < 0 ? rc : total;
        }
        if (m->flags & MSG_DONTWAIT)
            return total ? total : -EAGAIN;
        if (!deadline)
            deadline = sock_deadline(s->receive_timeout_ns);
        rc = wait_data(s, w, deadline);
        if (rc < 0)
            return total ? total : rc;
    }
    return total;
}

/* ---- sending ---- */

static int add_control(struct stream_way *w, struct sock_control *control)
{
    struct stream_control *c, **end = &w->controls;

    if (w->control_count >= STREAM_CONTROL_MAX)
        return -ETOOMANYREFS;
    c = mem_zalloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    c->at = w->ring.head;
    c->control = *control;
    *control = (struct sock_control){ 0 };
    spin_lock(&w->control_lock);
    while (*end)
        end = &(*end)->next;
    __atomic_store_n(end, c, __ATOMIC_RELEASE);
    w->control_count++;
    spin_unlock(&w->control_lock);
    return 0;
}

static int grow(struct stream_way *w, size_t size)
{
    if (LIKELY(!ring_must_grow(&w->ring, size)))
        return 0;
    mutex_lock(&w->read_lock);
    int rc = ring_grow(&w->ring, size);
    mutex_unlock(&w->read_lock);
    return rc;
}

/* Puts what fits now. returns: bytes; 0 no room; -EPIPE; -EFAULT; -ENOMEM. */
static int64_t send_now(struct stream_way *w, struct sock_msg *m)
{
    int64_t total = 0, n = 0;

    mutex_lock(&w->write_lock);
    while (m->u->left) {
        size_t room = ring_free(&w->ring);

        if (closed_now(w) & (STREAM_NO_READER | STREAM_NO_WRITER)) {
            n = -EPIPE;
            break;
        }
        if (!room)
            break;
        n = grow(w, MIN(m->u->left, room));
        if (n == 0 && m->control && (m->control->file_count || m->control->has_cred))
            n = add_control(w, m->control);
        if (n == 0)
            n = ring_write(&w->ring, m->u, MIN(MIN(m->u->left, room), PIECE_SIZE));
        if (n == 0)
            n = -ENOMEM; /* full below its capacity: could not grow */
        if (n < 0)
            break;
        total += n;
        if (m->u->left)
            wait_wake(&w->read_wait, WAKE_ALL,
                      POLLIN | POLLRDNORM); /* reads while the rest is copied */
    }
    mutex_unlock(&w->write_lock);
    if (total)
        poll_wake_after_unlock(&w->read_wait, POLLIN | POLLRDNORM);
    return total ? total : MIN(n, 0);
}

int64_t stream_send(struct socket *s, struct stream *st, int side, struct sock_msg *m)
{
    struct stream_way *w = &st->ways[1 - side];
    uint64_t deadline = 0;
    int64_t total = 0;

    do {
        int64_t n = send_now(w, m);
        int rc;

        if (n < 0)
            return total ? total : n;
        total += n;
        if (!m->u->left)
            break;
        if (n > 0)
            continue;
        if (m->flags & MSG_DONTWAIT)
            return total ? total : -EAGAIN;
        if (!deadline)
            deadline = sock_deadline(s->send_timeout_ns);
        WAIT_UNTIL(rc, &w->write_wait,
                   ring_free(&w->ring) >= MIN(m->u->left, low_room(w)) ||
                       closed_now(w) & (STREAM_NO_READER | STREAM_NO_WRITER),
                   deadline);
        rc = sock_wait_error(rc, s->send_timeout_ns);
        if (rc < 0)
            return total ? total : rc;
    } while (m->u->left);
    return total;
}

/* ---- urgent data ---- */

int64_t stream_send_urgent(struct socket *s, struct stream *st, int side, struct sock_msg *m)
{
    struct stream_way *w = &st->ways[1 - side];
    size_t size = m->u->left;
    int64_t n = 0;
    uint8_t byte;

    if (w->urgent_inline || size == 0)
        return stream_send(s, st, side, m);
    m->u->left = size - 1;
    if (size > 1)
        n = stream_send(s, st, side, m);
    else if (closed_now(w) & (STREAM_NO_READER | STREAM_NO_WRITER))
        return -EPIPE;
    if (n < (int64_t)size - 1)
        return n;
    m->u->left = 1;
    if (uio_get(m->u, &byte, 1) != 1)
        return n ? n : -EFAULT;
    __atomic_store_n(&w->urgent, STREAM_URGENT | byte, __ATOMIC_RELEASE);
    wait_wake(&w->read_wait, WAKE_ALL, POLLPRI);
    return n + 1;
}

int64_t stream_receive_urgent(struct stream *st, int side, struct sock_msg *m)
{
    struct stream_way *w = &st->ways[side];
    uint32_t urgent = m->flags & MSG_PEEK ? __atomic_load_n(&w->urgent, __ATOMIC_ACQUIRE)
                                          : __atomic_exchange_n(&w->urgent, 0, __ATOMIC_ACQ_REL);
    uint8_t byte = (uint8_t)urgent;

    if (!(urgent & STREAM_URGENT))
        return -EINVAL;
    m->ret_flags |= MSG_OOB;
    return m->u->left ? uio_put(m->u, &byte, 1) : 0;
}

/* ---- readiness ---- */

uint32_t stream_poll(const struct socket *s, struct stream *st, int side, struct poll_table *pt)
{
    struct stream_way *in = &st->ways[side], *out = &st->ways[1 - side];
    uint32_t bits = 0, in_closed, out_closed;

    if (pt && pt->add) {
        poll_add(pt, &in->read_wait);
        poll_add(pt, &out->write_wait);
        __atomic_thread_fence(
            __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    }
    in_closed = closed_now(in);
    out_closed = closed_now(out);
    if (ring_used(&in->ring) || read_ended(s, in))
        bits |= POLLIN | POLLRDNORM;
    if (read_ended(s, in))
        bits |= POLLRDHUP;
    if (in_closed & STREAM_NO_WRITER && out_closed & (STREAM_NO_READER | STREAM_NO_WRITER))
        bits |= POLLHUP;
    if (in_closed & STREAM_RESET)
        bits |= POLLERR;
    if (__atomic_load_n(&in->urgent, __ATOMIC_ACQUIRE))
        bits |= POLLPRI;
    if (ring_free(&out->ring) >= low_room(out) ||
        out_closed & (STREAM_NO_READER | STREAM_NO_WRITER))
        bits |= POLLOUT | POLLWRNORM;
    return bits;
}

uint32_t stream_queued(struct stream *st, int side, bool output)
{
    return (uint32_t)ring_used(&st->ways[output ? 1 - side : side].ring);
}

void stream_set_size(struct stream *st, int side, bool output, uint32_t size)
{
    struct stream_way *w = &st->ways[output ? 1 - side : side];

    mutex_lock(&w->write_lock);
    mutex_lock(&w->read_lock);
    int rc UNUSED =
        ring_set_capacity(&w->ring, size_to_capacity(size)); /* a hint: more stays when full */
    mutex_unlock(&w->read_lock);
    mutex_unlock(&w->write_lock);
}
