/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets in flight: descriptors of them that lie in the queues of UNIX sockets. Sockets that hold only each other
 * are reached by nobody and would stay for ever; they are found when a socket is closed, and their queues emptied.
 * Trusted.
 *
 * A socket is a candidate when every reference to its file is in flight. Candidates that are in more queues than those
 * of candidates can be received by somebody, and so can what is in their queues; the rest is garbage.
 */
#include <asm/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/net/unix.h"

enum flight_mark {
    FLIGHT_REACHED,
    FLIGHT_CANDIDATE,
    FLIGHT_FOUND, /* reached; its queue was not looked at yet */
};

/* Guards the list and flight_* of all sockets. Whoever takes a message with sockets out of a queue must have it before
 * the files get another reference, so what is seen under it only errs towards life. Taken inside everything but
 * unix_sock.base.lock, stream_way.control_lock and packet_queue.lock, which are taken inside it. */
static struct mutex g_flights;
static struct unix_sock *g_flying;
static uint32_t g_flying_count;  /* atomic; written under g_flights */
static uint32_t g_is_collecting; /* atomic: 1 under way, 2 another round is wanted */

static struct unix_sock *unix_of(const struct file *f)
{
    struct socket *s = sock_of(f);

    return s && s->family == AF_UNIX ? CONTAINER_OF(s, struct unix_sock, base) : NULL;
}

static void change(struct unix_sock *s, int delta)
{
    if (s->flight_count == 0) {
        s->flight_prev = NULL;
        s->flight_next = g_flying;
        if (g_flying)
            g_flying->flight_prev = s;
        g_flying = s;
        __atomic_store_n(&g_flying_count, g_flying_count + 1, __ATOMIC_RELAXED);
    }
    s->flight_count += (unsigned)delta;
    if (s->flight_count == 0) {
        if (s->flight_prev)
            s->flight_prev->flight_next = s->flight_next;
        else
            g_flying = s->flight_next;
        if (s->flight_next)
            s->flight_next->flight_prev = s->flight_prev;
        __atomic_store_n(&g_flying_count, g_flying_count - 1, __ATOMIC_RELAXED);
    }
}

static void change_all(struct sock_control *c, int delta)
{
    bool has_lock = false;

    for (unsigned i = 0; i < c->file_count; i++) {
        struct unix_sock *s = unix_of(c->files[i]);

        if (!s)
            continue;
        if (!has_lock)
            mutex_lock(&g_flights);
        has_lock = true;
        change(s, delta);
    }
    if (has_lock)
        mutex_unlock(&g_flights);
}

void unix_flight_add(struct sock_control *c)
{
    c->in_flight = true;
    change_all(c, 1);
}

void unix_flight_remove(struct sock_control *c)
{
    if (!c->in_flight)
        return;
    c->in_flight = false;
    change_all(c, -1);
}

/* ---- looking through queues; all under g_flights ---- */

typedef void visit_fn(struct unix_sock *s);

static void visit_control(const struct sock_control *c, visit_fn *fn)
{
    for (unsigned i = 0; c->in_flight && i < c->file_count; i++) {
        struct unix_sock *s = unix_of(c->files[i]);

        if (s)
            fn(s);
    }
}

static void visit_stream(struct unix_sock *s, visit_fn *fn)
{
    struct stream_way *w;

    if (!s->stream)
        return;
    w = &s->stream->ways[s->side];
    spin_lock(&w->control_lock);
    for (struct stream_control *c = w->controls; c; c = c->next)
        visit_control(&c->control, fn);
    spin_unlock(&w->control_lock);
}

static void visit_queue(struct unix_sock *s, visit_fn *fn)
{
    visit_stream(s, fn);
    spin_lock(&s->queue.lock);
    for (struct packet *p = s->queue.first; p; p = p->next)
        visit_control(&p->control, fn);
    spin_unlock(&s->queue.lock);
    if (!s->base.is_listening)
        return;
    /* What was sent over connections that nobody accepted. */
    mutex_lock(&s->base.lock);
    for (struct unix_sock *p = s->pending; p; p = p->pending_next) {
        visit_stream(p, fn);
        spin_lock(&p->queue.lock);
        for (struct packet *q = p->queue.first; q; q = q->next)
            visit_control(&q->control, fn);
        spin_unlock(&p->queue.lock);
    }
    mutex_unlock(&s->base.lock);
}

static void count_inner(struct unix_sock *s)
{
    s->flight_inner++;
}

static void reach(struct unix_sock *s)
{
    if (s->flight_mark == FLIGHT_CANDIDATE)
        s->flight_mark = FLIGHT_FOUND;
}

static void mark_all(void)
{
    bool again = true;

    for (struct unix_sock *s = g_flying; s; s = s->flight_next) {
        uint32_t refs = __atomic_load_n(&s->base.file->refs, __ATOMIC_ACQUIRE);

        s->flight_mark = refs == s->flight_count ? FLIGHT_CANDIDATE : FLIGHT_REACHED;
        s->flight_inner = 0;
    }
    for (struct unix_sock *s = g_flying; s; s = s->flight_next)
        if (s->flight_mark == FLIGHT_CANDIDATE)
            visit_queue(s, count_inner);
    for (struct unix_sock *s = g_flying; s; s = s->flight_next)
        if (s->flight_inner < s->flight_count)
            reach(s);
    while (again) {
        again = false;
        for (struct unix_sock *s = g_flying; s; s = s->flight_next)
            if (s->flight_mark == FLIGHT_FOUND) {
                s->flight_mark = FLIGHT_REACHED;
                visit_queue(s, reach);
                again = true;
            }
    }
}

/* ---- emptying the queues of garbage ---- */

struct garbage {
    struct stream_control *controls;
    struct packet *packets;
};

static void take_queue(struct unix_sock *s, struct garbage *g)
{
    struct stream_control *c = s->stream ? stream_take_controls(s->stream, s->side) : NULL;
    struct packet *p = packet_take_all(&s->queue);

    while (c) {
        struct stream_control *next = c->next;

        c->next = g->controls;
        g->controls = c;
        c = next;
    }
    while (p) {
        struct packet *next = p->next;

        p->next = g->packets;
        g->packets = p;
        p = next;
    }
}

static void take_garbage(struct garbage *g)
{
    for (struct unix_sock *s = g_flying; s; s = s->flight_next) {
        if (s->flight_mark != FLIGHT_CANDIDATE)
            continue;
        take_queue(s, g);
        if (!s->base.is_listening)
            continue;
        mutex_lock(&s->base.lock);
        for (struct unix_sock *p = s->pending; p; p = p->pending_next)
            take_queue(p, g);
        mutex_unlock(&s->base.lock);
    }
}

static void collect(void)
{
    struct garbage g = { 0 };

    mutex_lock(&g_flights);
    mark_all();
    take_garbage(&g);
    mutex_unlock(&g_flights);
    while (g.controls) {
        struct stream_control *c = g.controls;

        g.controls = c->next;
        sock_control_done(&c->control);
        mem_free(c);
    }
    while (g.packets) {
        struct packet *p = g.packets;

        g.packets = p->next;
        packet_free(p);
    }
}

void unix_flight_collect(void)
{
    uint32_t idle = 0;

    if (!__atomic_load_n(&g_flying_count, __ATOMIC_RELAXED))
        return;
    /* Sockets that a round closes come here again, by the same thread: the round goes on for them. */
    if (!__atomic_compare_exchange_n(&g_is_collecting, &idle, 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        __atomic_store_n(&g_is_collecting, 2, __ATOMIC_RELEASE);
        return;
    }
    for (;;) {
        uint32_t under_way = 1;

        collect();
        if (__atomic_compare_exchange_n(&g_is_collecting, &under_way, 0, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return;
        __atomic_store_n(&g_is_collecting, 1, __ATOMIC_RELEASE);
    }
}
