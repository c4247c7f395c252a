/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wait queues, waking, and sleeping outside the enclave. Trusted. A thread that has nothing to do
 * first spins for a short while, when a CPU is free for it: leaving the enclave and coming back costs more
 * than most waits between two threads that talk to each other.
 */
#include "tee/libos/task/wait.h"

#include <asm/errno.h>
#include <asm/poll.h>

#include "abi/image.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/tcb.h"
#include "tee/libos/signal/sigio.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/task.h"

#define SPIN_BUDGET_MIN 32u
#define SPIN_BUDGET_MAX 2048u
#define SPIN_PROBE_MIN 16u
#define SPIN_PROBE_MAX 1024u

_Static_assert(LIBOS_SLOT_COUNT_MAX <= 64 * 64, "wake_batch.more holds a bit for each slot");
_Static_assert(sizeof(struct wait_host) == sizeof(struct ocall_pollfd) &&
                   offsetof(struct wait_host, events) == offsetof(struct ocall_pollfd, events) &&
                   offsetof(struct wait_host, revents) == offsetof(struct ocall_pollfd, revents),
               "wait_host has the layout of ocall_pollfd");

static uint32_t g_cpu_count = 1;
static uint32_t g_asleep; /* threads inside ocall_park or ocall_poll */

void wait_set_cpu_count(unsigned count)
{
    g_cpu_count = count ? count : 1;
}

/* ---- queues ---- */

void waiter_init(struct waiter *w)
{
    *w = (struct waiter){ .thread = current() };
}

void waiter_init_fn(struct waiter *w, waiter_fn *fn, void *arg)
{
    *w = (struct waiter){ .fn = fn, .arg = arg };
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    spin_lock(&q->lock);
    w->queue = q;
    w->next = NULL;
    w->prev = q->last;
    if (q->last)
        q->last->next = w;
    else
        __atomic_store_n(&q->first, w, __ATOMIC_RELAXED);
    q->last = w;
    spin_unlock(&q->lock);
    /* Pairs with the fence of wait_wake: either it sees the waiter, or the caller sees the change. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void waitq_remove(struct waiter *w)
{
    struct waitq *q = w->queue;

    if (!q)
        return;
    spin_lock(&q->lock);
    if (w->prev)
        w->prev->next = w->next;
    else
        __atomic_store_n(&q->first, w->next, __ATOMIC_RELAXED);
    if (w->next)
        w->next->prev = w->prev;
    else
        q->last = w->prev;
    w->queue = NULL;
    spin_unlock(&q->lock);
}

bool waitq_is_empty(const struct waitq *q)
{
    return !__atomic_load_n(&q->first, __ATOMIC_RELAXED);
}

unsigned wait_wake(struct waitq *q, unsigned count, uint32_t key)
{
    struct wake_batch batch;
    unsigned woken = 0, exclusive = 0;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (waitq_is_empty(q))
        return 0;
    wake_batch_begin(&batch);
    spin_lock(&q->lock);
    for (struct waiter *w = q->first, *next; w; w = next) {
        next = w->next;
        if (w->exclusive && exclusive >= count)
            continue;
        if (w->fn)
            w->fn(w, key);
        else
            thread_wake(w->thread);
        woken++;
        exclusive += w->exclusive;
    }
    spin_unlock(&q->lock);
    wake_batch_end(&batch);
    return woken;
}

/* ---- waking ---- */

void wake_batch_begin(struct wake_batch *b)
{
    struct thread *t = current();

    b->count = 0;
    b->has_overflow = false;
    b->is_outermost = t && !t->wake_batch;
    if (b->is_outermost)
        t->wake_batch = b;
}

static void batch_add(struct wake_batch *b, uint32_t slot)
{
    if (b->count < WAKE_BATCH_INLINE) {
        b->slots[b->count++] = slot;
        return;
    }
    if (!b->has_overflow) {
        b->has_overflow = true;
        for (unsigned i = 0; i < ARRAY_COUNT(b->more); i++)
            b->more[i] = 0;
    }
    b->more[slot / 64 % ARRAY_COUNT(b->more)] |= 1ull << (slot % 64);
}

void wake_batch_end(struct wake_batch *b)
{
    if (!b->is_outermost)
        return;
    current()->wake_batch = NULL;
    for (unsigned i = 0; i < b->count; i++)
        ocall_unpark(b->slots[i]);
    if (!b->has_overflow)
        return;
    for (uint32_t i = 0; i < ARRAY_COUNT(b->more); i++)
        for (uint64_t bits = b->more[i]; bits; bits &= bits - 1)
            ocall_unpark(i * 64 + (uint32_t)__builtin_ctzll(bits));
}

void thread_wake(struct thread *t)
{
    struct thread *self = current();

    /* Pairs with sleep_begin: the token is set before `parked` is read, there the other way round. */
    if (__atomic_exchange_n(&t->wake_token, 1, __ATOMIC_SEQ_CST))
        return;
    if (t == self || !__atomic_load_n(&t->parked, __ATOMIC_SEQ_CST))
        return;
    if (self && self->wake_batch)
        batch_add(self->wake_batch, t->slot);
    else
        ocall_unpark(t->slot);
}

/* ---- sleeping ---- */

static bool take_token(struct thread *t)
{
    return __atomic_load_n(&t->wake_token, __ATOMIC_RELAXED) &&
           __atomic_exchange_n(&t->wake_token, 0, __ATOMIC_SEQ_CST);
}

/* A CPU is there for this thread to spin on: not more threads are awake than CPUs. */
static bool spin_pays(void)
{
    uint32_t threads = task_thread_count();
    uint32_t asleep = __atomic_load_n(&g_asleep, __ATOMIC_RELAXED);

    return g_cpu_count > 1 && threads - MIN(asleep, threads) <= g_cpu_count;
}

/*
 * Spins for a token. The budget grows while that succeeds and shrinks, down to nothing, while it does not. Two
 * threads that both park answer each other too late for a small budget for ever, so now and then a large one
 * is tried; the more rarely, the more often that was in vain: the other's CPU is then taken by somebody else, or is this one.
 */
static bool spin_for_token(struct thread *t)
{
    uint32_t budget = t->spin_budget;
    bool is_probe;

    if (!spin_pays())
        return false;
    is_probe = t->spin_count-- == 0;
    if (is_probe)
        budget = MAX(budget, SPIN_BUDGET_MAX / 2);
    for (uint32_t i = 0; i < budget; i++) {
        if (take_token(t)) {
            t->spin_budget = MIN(MAX(budget, SPIN_BUDGET_MIN) * 2, SPIN_BUDGET_MAX);
            t->spin_interval = t->spin_count = SPIN_PROBE_MIN;
            return true;
        }
        __builtin_ia32_pause();
    }
    t->spin_budget = t->spin_budget / 2 < SPIN_BUDGET_MIN ? 0 : t->spin_budget / 2;
    if (is_probe) {
        t->spin_interval = MIN(MAX(t->spin_interval * 2, SPIN_PROBE_MIN), SPIN_PROBE_MAX);
        t->spin_count = t->spin_interval;
    }
    return false;
}

/* Announces sleep. returns: false when a token came before; then sleep_end is not to be called. */
static bool sleep_begin(struct thread *t, uint32_t how, uint64_t *ret_since_ns)
{
    __atomic_store_n(&t->parked, how, __ATOMIC_SEQ_CST);
    if (take_token(t)) {
        __atomic_store_n(&t->parked, 0, __ATOMIC_SEQ_CST);
        return false;
    }
    *ret_since_ns = clock_monotonic_ns();
    __atomic_store_n(&t->asleep_since_ns, *ret_since_ns, __ATOMIC_RELAXED);
    __atomic_add_fetch(&g_asleep, 1, __ATOMIC_RELAXED);
    tcb_self()->timer_slack_ns = t->timer_slack_ns;
    return true;
}

static uint64_t sleep_end(struct thread *t, uint64_t since_ns)
{
    uint64_t now_ns = clock_monotonic_ns();

    __atomic_sub_fetch(&g_asleep, 1, __ATOMIC_RELAXED);
    /* Pairs with thread_attention: who still sees `parked` does not kick, so what it noted is seen here. */
    __atomic_store_n(&t->parked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->asleep_since_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->slept_ns, t->slept_ns + now_ns - since_ns, __ATOMIC_RELAXED);
    (void)take_token(t);
    return now_ns;
}

/* Sleeps for a token until the deadline, whatever is pending. returns: 0 or -ETIMEDOUT. */
static int sleep_plain(struct thread *t, uint64_t deadline_ns)
{
    uint64_t since_ns;
    int rc;

    if (deadline_ns != WAIT_FOREVER && clock_monotonic_ns() >= deadline_ns)
        return -ETIMEDOUT;
    if (spin_for_token(t) || !sleep_begin(t, 1, &since_ns))
        return 0;
    rc = ocall_park(deadline_ns);
    if (sleep_end(t, since_ns) < deadline_ns)
        rc = 0;
    return rc == -ETIMEDOUT ? rc : 0;
}

static int sleep_hosts(struct thread *t, struct wait_host *hosts, unsigned count,
                       uint64_t deadline_ns)
{
    uint64_t since_ns;
    bool asleep = sleep_begin(t, 2, &since_ns);
    int ready;

    /* A token came: only look. */
    ready = ocall_poll((struct ocall_pollfd *)hosts, count, asleep ? deadline_ns : 0);
    if (ready < 0)
        for (unsigned i = 0; i < count; i++)
            hosts[i].revents = POLLNVAL;
    if (!asleep)
        return 0;
    return sleep_end(t, since_ns) >= deadline_ns && ready == 0 ? -ETIMEDOUT : 0;
}

void wait_hold_begin(struct thread *t)
{
    __atomic_store_n(&t->asleep_since_ns, clock_monotonic_ns(), __ATOMIC_RELAXED);
    __atomic_add_fetch(&g_asleep, 1, __ATOMIC_RELAXED);
}

void wait_hold_end(struct thread *t)
{
    uint64_t since_ns = t->asleep_since_ns;

    __atomic_sub_fetch(&g_asleep, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&t->asleep_since_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->slept_ns, t->slept_ns + clock_monotonic_ns() - since_ns, __ATOMIC_RELAXED);
}

static int sleep_events(struct thread *t, struct wait_events *e, uint64_t deadline_ns)
{
    uint64_t since_ns;
    bool asleep = sleep_begin(t, 2, &since_ns);

    e->count = ocall_events_wait(e->set, e->events, e->space, asleep ? deadline_ns : 0,
                                 (enum ocall_event_wake)e->wake);
    if (!asleep)
        return 0;
    return sleep_end(t, since_ns) >= deadline_ns && e->count == 0 ? -ETIMEDOUT : 0;
}

int wait_sleep_events(struct wait_events *e, uint64_t deadline_ns)
{
    struct thread *t = current();
    bool came;

    came = signal_host_drain();
    if (UNLIKELY(__atomic_load_n(&t->attention, __ATOMIC_RELAXED) & TASK_ATTENTION_SIGIO))
        sigio_flush();
    if (__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) && (thread_must_die() || signal_pending()))
        return -ERESTARTSYS;
    if (UNLIKELY(came)) {
        e->count = 0;
        return 0;
    }
    return sleep_events(t, e, deadline_ns);
}

int wait_sleep(struct wait_host *hosts, unsigned count, uint64_t deadline_ns, bool interruptible)
{
    struct thread *t = current();
    bool came;

    for (unsigned i = 0; i < count; i++)
        hosts[i].revents = 0;
    came = signal_host_drain();
    if (UNLIKELY(__atomic_load_n(&t->attention, __ATOMIC_RELAXED) & TASK_ATTENTION_SIGIO))
        sigio_flush();
    if (__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) &&
        (thread_must_die() || (interruptible && signal_pending())))
        return -ERESTARTSYS;
    if (came) /* maybe what this thread waits for: nobody wakes it for what it did itself */
        return 0;
    if (count)
        return sleep_hosts(t, hosts, MIN(count, OCALL_POLL_COUNT_MAX), deadline_ns);
    if (take_token(t))
        return 0;
    return sleep_plain(t, deadline_ns);
}

/* For locks: sleeps for a token and leaves one behind, so that no wake of an outer wait is lost. */
void wait_sleep_for_lock(struct waitq *q, bool (*condition)(void *arg), void *arg)
{
    struct waiter w;

    waiter_init(&w);
    waitq_add(q, &w);
    while (!condition(arg))
        (void)sleep_plain(w.thread, WAIT_FOREVER);
    waitq_remove(&w);
    __atomic_store_n(&w.thread->wake_token, 1, __ATOMIC_SEQ_CST);
}
