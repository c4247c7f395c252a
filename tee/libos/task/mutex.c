/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping locks. Trusted. The mutex parks on its own, without the wake token of wait.c: a wake that
 * a thread waits for stays pending while it takes locks. An unlock frees the mutex before it wakes the first
 * waiter, which then competes with others: no convoys.
 */
#include "tee/libos/task/wait.h"

#include "tee/enclave/ocall.h"
#include "tee/enclave/tcb.h"

#define MUTEX_SPIN 100u

enum mutex_waiter_state { MUTEX_WAITS, MUTEX_WOKEN, MUTEX_PARKED };

struct mutex_waiter {
    struct mutex_waiter *next;
    uint32_t slot;
    uint32_t state; /* enum mutex_waiter_state */
};

bool mutex_try(struct mutex *m)
{
    uint32_t expected = 0;

    return __atomic_compare_exchange_n(&m->state, &expected, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static bool lock_by_spinning(struct mutex *m)
{
    for (unsigned i = 0; i < MUTEX_SPIN; i++) {
        if (__atomic_load_n(&m->state, __ATOMIC_RELAXED) == 0 && mutex_try(m))
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static void wait_for_wake(struct mutex_waiter *w)
{
    uint32_t expected = MUTEX_WAITS;

    for (unsigned i = 0; i < MUTEX_SPIN; i++) {
        if (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == MUTEX_WOKEN)
            return;
        __builtin_ia32_pause();
    }
    if (!__atomic_compare_exchange_n(&w->state, &expected, MUTEX_PARKED, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_ACQUIRE))
        return;
    while (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) != MUTEX_WOKEN)
        (void)ocall_park(OCALL_FOREVER);
}

void mutex_lock(struct mutex *m)
{
    if (LIKELY(mutex_try(m)) || lock_by_spinning(m))
        return;
    for (;;) {
        struct mutex_waiter w = { .slot = tcb_self()->slot, .state = MUTEX_WAITS };
        struct mutex_waiter **end = &m->waiters;

        spin_lock(&m->lock);
        /* 2 makes the unlock come here for waiters; it takes m->lock first. */
        if (__atomic_exchange_n(&m->state, 2, __ATOMIC_ACQUIRE) == 0) {
            spin_unlock(&m->lock);
            return;
        }
        while (*end)
            end = &(*end)->next;
        *end = &w;
        spin_unlock(&m->lock);
        wait_for_wake(&w);
    }
}

void mutex_unlock(struct mutex *m)
{
    struct mutex_waiter *w;
    uint32_t expected = 1, slot = 0;
    bool is_parked = false;

    if (LIKELY(__atomic_compare_exchange_n(&m->state, &expected, 0, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED)))
        return;
    spin_lock(&m->lock);
    w = m->waiters;
    if (w) {
        m->waiters = w->next;
        slot = w->slot;
    }
    /* While others wait, whoever takes the mutex without waiting must still come here: the woken
     * thread sets 2 again, and until then it is itself the one that looks. */
    __atomic_store_n(&m->state, 0, __ATOMIC_RELEASE);
    if (w) /* the waiter's stack frame ends with this */
        is_parked = __atomic_exchange_n(&w->state, MUTEX_WOKEN, __ATOMIC_RELEASE) == MUTEX_PARKED;
    spin_unlock(&m->lock);
    if (is_parked)
        ocall_unpark(slot);
}

/* ---- readers and writer ---- */

#define RWLOCK_WRITER 0x80000000u /* in rwlock.readers: a writer holds or waits for the lock */

static bool try_read(void *arg)
{
    struct rwlock *l = arg;
    uint32_t readers = __atomic_load_n(&l->readers, __ATOMIC_RELAXED);

    while (!(readers & RWLOCK_WRITER))
        if (__atomic_compare_exchange_n(&l->readers, &readers, readers + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static bool readers_are_gone(void *arg)
{
    return __atomic_load_n(&((struct rwlock *)arg)->readers, __ATOMIC_ACQUIRE) == RWLOCK_WRITER;
}

void rwlock_read(struct rwlock *l)
{
    if (!try_read(l))
        wait_sleep_for_lock(&l->queue, try_read, l);
}

void rwlock_read_end(struct rwlock *l)
{
    if (__atomic_sub_fetch(&l->readers, 1, __ATOMIC_ACQ_REL) == RWLOCK_WRITER)
        wait_wake(&l->queue, WAKE_ALL, 0);
}

void rwlock_write(struct rwlock *l)
{
    mutex_lock(&l->writer);
    __atomic_or_fetch(&l->readers, RWLOCK_WRITER, __ATOMIC_ACQ_REL);
    if (!readers_are_gone(l))
        wait_sleep_for_lock(&l->queue, readers_are_gone, l);
}

void rwlock_write_end(struct rwlock *l)
{
    __atomic_and_fetch(&l->readers, ~RWLOCK_WRITER, __ATOMIC_RELEASE);
    wait_wake(&l->queue, WAKE_ALL, 0);
    mutex_unlock(&l->writer);
}
