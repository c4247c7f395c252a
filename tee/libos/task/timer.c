/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer service: one thread that sleeps until the next expiry. Trusted. Armed timers are in a
 * pairing heap, so arming allocates nothing. g_timers.lock guards the heap and is a leaf.
 */
#include "tee/libos/task/timer.h"

#include <asm/errno.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/task.h"

static struct {
    struct spin lock;
    struct timer *root;
    struct timer *running;  /* its callback runs now */
    struct thread *service; /* NULL: not started, or not there yet */
    struct mutex start_lock;
    bool is_started; /* under start_lock */
} g_timers;

void timer_init(struct timer *t, timer_fn *fn, void *arg)
{
    *t = (struct timer){ .fn = fn, .arg = arg };
}

/* ---- the heap ---- */

/* Both are roots without siblings. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->expires_ns < a->expires_ns) {
        struct timer *swap = a;

        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Two passes over a list of siblings: melds pairs, then the pairs from the last to the first. */
static struct timer *meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL, *result = NULL;

    while (first) {
        struct timer *a = first, *b = a->next, *pair;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        struct timer *pair = pairs;

        pairs = pair->next;
        pair->next = NULL;
        result = meld(result, pair);
    }
    return result;
}

static void heap_remove(struct timer *t)
{
    struct timer *rest = meld_siblings(t->child);

    if (t == g_timers.root) {
        g_timers.root = rest;
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next)
            t->next->prev = t->prev;
        g_timers.root = meld(g_timers.root, rest);
    }
    t->child = t->next = t->prev = NULL;
    t->is_armed = false;
}

/* ---- the service ---- */

/* Takes the next timer that has expired and marks it as running; NULL: none, *ret_next_ns is when. */
static struct timer *take_expired(uint64_t now_ns, uint64_t *ret_next_ns)
{
    struct timer *t;

    spin_lock(&g_timers.lock);
    t = g_timers.root;
    if (t && t->expires_ns > now_ns) {
        *ret_next_ns = t->expires_ns;
        t = NULL;
    } else {
        *ret_next_ns = WAIT_FOREVER;
    }
    if (t)
        heap_remove(t);
    __atomic_store_n(&g_timers.running, t, __ATOMIC_RELEASE);
    spin_unlock(&g_timers.lock);
    return t;
}

static void serve(void *arg UNUSED)
{
    __atomic_store_n(&g_timers.service, current(), __ATOMIC_SEQ_CST);
    for (;;) {
        uint64_t next_ns;
        struct timer *t = take_expired(clock_monotonic_ns(), &next_ns);

        if (t)
            t->fn(t, t->arg);
        else if (wait_sleep(NULL, 0, next_ns, false) == -ERESTARTSYS)
            return; /* nobody ends this thread; should it be, it goes */
    }
}

static int start_service(void)
{
    int rc = 0;

    if (LIKELY(__atomic_load_n(&g_timers.is_started, __ATOMIC_ACQUIRE)))
        return 0;
    mutex_lock(&g_timers.start_lock);
    if (!g_timers.is_started)
        rc = thread_start_kernel(serve, NULL, "timers");
    if (rc == 0)
        __atomic_store_n(&g_timers.is_started, true, __ATOMIC_RELEASE);
    mutex_unlock(&g_timers.start_lock);
    return rc;
}

int timer_add(struct timer *t, uint64_t expires_ns)
{
    struct thread *service;
    bool is_first;
    int rc = start_service();

    if (rc < 0)
        return rc;
    spin_lock(&g_timers.lock);
    if (t->is_armed)
        heap_remove(t);
    t->expires_ns = expires_ns;
    t->is_armed = true;
    g_timers.root = meld(g_timers.root, t);
    is_first = g_timers.root == t;
    spin_unlock(&g_timers.lock);
    /* A service that is not there yet looks at the heap when it comes. */
    service = __atomic_load_n(&g_timers.service, __ATOMIC_SEQ_CST);
    if (is_first && service && service != current())
        thread_wake(service);
    return 0;
}

bool timer_cancel(struct timer *t)
{
    bool was_armed;

    spin_lock(&g_timers.lock);
    was_armed = t->is_armed;
    if (was_armed)
        heap_remove(t);
    spin_unlock(&g_timers.lock);
    if (current() == __atomic_load_n(&g_timers.service, __ATOMIC_RELAXED))
        return was_armed;
    while (__atomic_load_n(&g_timers.running, __ATOMIC_ACQUIRE) == t)
        ocall_yield();
    return was_armed;
}
