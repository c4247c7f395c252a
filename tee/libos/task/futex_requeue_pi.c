/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: who waits for a condition is moved to a PI futex, and returns as its
 * owner. Trusted.
 */
#include <asm/errno.h>
#include <linux/futex.h>

#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/futex_private.h"

#define TRIES_MAX 64u /* words that change or pages that vanish between look and lock */

int64_t futex_wait_requeue_pi(uintptr_t addr, uint32_t value, uint64_t deadline_ns,
                              uintptr_t lock_addr, uint32_t bitset, bool is_private)
{
    struct futex_waiter w = {
        .thread = current(), .addr = addr, .bitset = bitset, .is_requeue_pi = true
    };
    int rc = bitset ? futex_check(addr) : -EINVAL;

    if (rc == 0)
        rc = futex_check(lock_addr);
    if (rc < 0)
        return rc;
    w.key = futex_key_of(addr, is_private);
    w.lock_key = futex_key_of(lock_addr, is_private);
    if (futex_key_is_equal(&w.key, &w.lock_key))
        return -EINVAL;
    __atomic_add_fetch(&g_futex_pi_waits, 1, __ATOMIC_SEQ_CST);
    rc = futex_waiter_enter(&w, value);
    if (rc == 0)
        rc = futex_waiter_sleep(&w, deadline_ns);
    __atomic_sub_fetch(&g_futex_pi_waits, 1, __ATOMIC_RELAXED);
    if (rc != -ERESTARTSYS)
        return rc;
    /* What was moved cannot wait for its condition again. */
    return w.is_pi ? -EAGAIN : -ERESTARTNOINTR;
}

/* The lock to one waiter of the condition: it owns it now, or waits for it. Under both locks.
 * returns: 0; 1 the word changed; else an error. */
static int give_or_move(const struct futex_end *from, const struct futex_end *to,
                        struct futex_waiter *w)
{
    uint32_t word, tid = (uint32_t)w->thread->tid;
    int rc = futex_peek(&word, to->addr);

    if (rc < 0)
        return rc;
    if (!w->is_requeue_pi || !futex_key_is_equal(&w->lock_key, &to->key))
        return -EINVAL;
    if ((word & FUTEX_TID_MASK) == tid)
        return -EDEADLK;
    if (!(word & FUTEX_TID_MASK)) {
        rc = futex_swap(to->addr, &word, tid | (word & (FUTEX_WAITERS | FUTEX_OWNER_DIED)));
        if (rc == 0)
            futex_waiter_wake(from->bucket, w);
        return rc;
    }
    if (!(word & FUTEX_WAITERS)) {
        rc = futex_swap(to->addr, &word, word | FUTEX_WAITERS);
        if (rc)
            return rc;
    }
    w->is_requeue_pi = false;
    w->is_pi = true;
    futex_waiter_move(from, to, w);
    return 0;
}

/* Handles at most count waiters. Under both locks. returns: their number; -EAGAIN again from the start when none was
 * handled yet; -EFAULT the same, after the words were faulted in; else an error. */
static int64_t handle(const struct futex_end *from, const struct futex_end *to, uint64_t count)
{
    int64_t done = 0;
    int rc = 0;

    for (struct futex_waiter *w = from->bucket->first, *next; w && (uint64_t)done < count;
         w = next) {
        next = w->next;
        if (!futex_key_is_equal(&w->key, &from->key) || w->is_pi)
            continue;
        for (unsigned i = 0; i < TRIES_MAX; i++) {
            rc = give_or_move(from, to, w);
            if (rc <= 0)
                break;
        }
        if (rc)
            break;
        done++;
    }
    return done ? done : rc > 0 ? -EFAULT : rc;
}

int64_t futex_requeue_pi(const struct futex_end *from, uint32_t wake_count, uint32_t move_count,
                         const struct futex_end *to, uint32_t expected)
{
    uint32_t seen;

    if (wake_count != 1 || futex_key_is_equal(&from->key, &to->key))
        return -EINVAL;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        struct wake_batch batch;
        int64_t n;

        if (user_load32(&seen, from->addr) < 0 || user_load32(&seen, to->addr) < 0)
            return -EFAULT;
        if ((seen & FUTEX_TID_MASK) && !(seen & FUTEX_OWNER_DIED) && !futex_owner_exists(seen))
            return -ESRCH;
        wake_batch_begin(&batch);
        futex_lock_two(from->bucket, to->bucket);
        n = futex_peek(&seen, from->addr);
        if (n == 0 && seen != expected)
            n = -EAGAIN;
        if (n == 0)
            n = handle(from, to, (uint64_t)move_count + 1);
        futex_unlock_two(from->bucket, to->bucket);
        wake_batch_end(&batch);
        if (n != -EFAULT)
            return n;
    }
    return -EFAULT;
}
