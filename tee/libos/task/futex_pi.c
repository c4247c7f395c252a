/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PI futexes and robust lists. Trusted. Ownership is handed over as the manual says (the word holds the
 * owner's tid); priorities are not inherited, since the library OS does not schedule.
 */
#include <asm/errno.h>
#include <linux/futex.h>

#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/futex_private.h"

#define PI_TRIES_MAX 1024u

uint32_t g_futex_pi_waits;

int futex_swap(uintptr_t addr, uint32_t *expected, uint32_t desired)
{
    uint32_t before = *expected;
    int rc = user_raw_cmpxchg32((uint32_t *)addr, expected, desired);

    return rc < 0 ? rc : *expected != before;
}

bool futex_owner_exists(uint32_t word)
{
    struct thread *owner = thread_find((int32_t)(word & FUTEX_TID_MASK));
    bool exists = owner && !owner->exiting;

    thread_unref(owner);
    return exists;
}

/* Under the bucket's lock. returns: 0 the caller owns it now; 1 it must wait (FUTEX_WAITERS is set);
 * 2 the word changed: again; else an error. */
static int try_own(uintptr_t addr, uint32_t word, bool try_only)
{
    uint32_t tid = (uint32_t)current()->tid;
    int rc;

    if ((word & FUTEX_TID_MASK) == tid)
        return -EDEADLK;
    if (!(word & FUTEX_TID_MASK)) {
        rc = futex_swap(addr, &word, tid | (word & (FUTEX_WAITERS | FUTEX_OWNER_DIED)));
        return rc > 0 ? 2 : rc;
    }
    if (try_only)
        return -EAGAIN;
    if (!(word & FUTEX_WAITERS)) {
        rc = futex_swap(addr, &word, word | FUTEX_WAITERS);
        if (rc)
            return rc > 0 ? 2 : rc;
    }
    return 1;
}

int64_t futex_lock_pi(uintptr_t addr, uint64_t deadline_ns, bool try_only, bool is_private)
{
    struct futex_waiter w = { .thread = current(),
                              .addr = addr,
                              .key = futex_key_of(addr, is_private),
                              .bitset = FUTEX_BITSET_MATCH_ANY,
                              .is_pi = true };
    struct futex_bucket *b = futex_bucket_of(&w.key);
    uint32_t word;
    int rc = futex_check(addr);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < PI_TRIES_MAX; i++) {
        if (user_load32(&word, addr) < 0)
            return -EFAULT;
        if ((word & FUTEX_TID_MASK) && !(word & FUTEX_OWNER_DIED) && !futex_owner_exists(word))
            return -ESRCH;
        spin_lock(&b->lock);
        rc = try_own(addr, word, try_only);
        if (rc == 1) {
            __atomic_add_fetch(&g_futex_pi_waits, 1, __ATOMIC_SEQ_CST);
            __atomic_add_fetch(&b->waiters, 1, __ATOMIC_SEQ_CST);
            futex_bucket_add(b, &w);
        }
        spin_unlock(&b->lock);
        if (rc == 1) {
            rc = futex_waiter_sleep(&w, deadline_ns);
            __atomic_sub_fetch(&g_futex_pi_waits, 1, __ATOMIC_RELAXED);
            return rc == -ERESTARTSYS ? -ERESTARTNOINTR : rc;
        }
        if (rc <= 0 && rc != -EFAULT)
            return rc;
    }
    return -EFAULT;
}

/* Hands the word to the first waiter. Under the bucket's lock, in a batch. */
static int hand_over(struct futex_bucket *b, const struct futex_key *key, uintptr_t addr,
                     uint32_t word)
{
    struct futex_waiter *w = b->first, *heir = NULL;
    uint32_t desired = 0;

    for (; w; w = w->next) {
        if (!futex_key_is_equal(&w->key, key) || !w->is_pi)
            continue;
        if (heir) {
            desired |= FUTEX_WAITERS;
            break;
        }
        heir = w;
        desired = (uint32_t)w->thread->tid;
    }
    int rc = futex_swap(addr, &word, desired);

    if (rc == 0 && heir)
        futex_waiter_wake(b, heir);
    return rc;
}

int64_t futex_unlock_pi(uintptr_t addr, bool is_private)
{
    struct futex_key key = futex_key_of(addr, is_private);
    struct futex_bucket *b = futex_bucket_of(&key);
    struct wake_batch batch;
    uint32_t word;
    int rc = futex_check(addr);

    for (unsigned i = 0; rc >= 0 && i < PI_TRIES_MAX; i++) {
        if (user_load32(&word, addr) < 0)
            return -EFAULT;
        if ((word & FUTEX_TID_MASK) != (uint32_t)current()->tid)
            return -EPERM;
        wake_batch_begin(&batch);
        spin_lock(&b->lock);
        rc = hand_over(b, &key, addr, word);
        spin_unlock(&b->lock);
        wake_batch_end(&batch);
        if (rc == 0)
            return 0;
        if (rc == -EFAULT)
            rc = 1; /* the page went away in between: the load above brings it back */
    }
    return rc < 0 ? rc : -EFAULT;
}

/* ---- robust lists ---- */

/* A lock whose owner died to the first who waits under this key, if nobody was faster. */
static void bequeath(const struct futex_key *key, uintptr_t addr, uint32_t word)
{
    struct futex_bucket *b = futex_bucket_of(key);
    struct wake_batch batch;

    wake_batch_begin(&batch);
    spin_lock(&b->lock);
    for (struct futex_waiter *w = b->first; w; w = w->next)
        if (futex_key_is_equal(&w->key, key) && w->is_pi) {
            uint32_t dead = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;

            if (futex_swap(addr, &dead, (uint32_t)w->thread->tid | dead) == 0)
                futex_waiter_wake(b, w);
            break;
        }
    spin_unlock(&b->lock);
    wake_batch_end(&batch);
}

/* One lock that its dying owner still holds. */
static void abandon(struct thread *t, uintptr_t addr, bool is_pi, bool is_pending)
{
    struct futex_key key = futex_key_of(addr, false), own = { .at = addr };
    uint32_t word;
    int rc = 1;

    if (futex_check(addr) < 0 || user_load32(&word, addr) < 0)
        return;
    while (rc > 0) {
        /* The owner was about to unlock, the word is free already: the wake may be missing. */
        if (is_pending && !is_pi && word == 0) {
            futex_wake(addr, 1);
            return;
        }
        if ((word & FUTEX_TID_MASK) != (uint32_t)t->tid)
            return;
        rc = user_cmpxchg32(addr, &word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
    }
    if (rc < 0 || !(word & FUTEX_WAITERS))
        return;
    if (!is_pi) {
        futex_wake(addr, 1);
        return;
    }
    /* Who waits said itself whether the futex is private. */
    bequeath(&key, addr, word);
    if (key.inode)
        bequeath(&own, addr, word);
}

void futex_robust_exit(struct thread *t)
{
    struct robust_list_head head;
    uintptr_t head_addr = t->robust_list, entry, pending;

    t->robust_list = 0;
    if (!head_addr || USER_GET(&head, head_addr) < 0)
        return;
    entry = (uintptr_t)head.list.next;
    pending = (uintptr_t)head.list_op_pending;
    for (unsigned i = 0; i < ROBUST_LIST_LIMIT && (entry & ~1ul) != head_addr; i++) {
        uintptr_t next;
        /* Read before the wake: its new owner may free the lock. */
        bool has_next = USER_GET(&next, entry & ~1ul) == 0;

        if ((entry & ~1ul) != (pending & ~1ul))
            abandon(t, (entry & ~1ul) + (uintptr_t)head.futex_offset, entry & 1, false);
        if (!has_next)
            break;
        entry = next;
    }
    if (pending & ~1ul)
        abandon(t, (pending & ~1ul) + (uintptr_t)head.futex_offset, pending & 1, true);
}

/* PI locks that t holds and others of its process wait for, in a robust list or not. */
static void bequeath_all(struct thread *t)
{
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        struct futex_bucket *b = futex_bucket_at(i);
        struct wake_batch batch;
        uint32_t word;

        if (LIKELY(!__atomic_load_n(&b->waiters, __ATOMIC_RELAXED)))
            continue;
        wake_batch_begin(&batch);
        spin_lock(&b->lock);
        for (struct futex_waiter *w = b->first, *next; w; w = next) {
            next = w->next;
            if (!w->is_pi || w->thread->process != t->process || futex_peek(&word, w->addr) < 0 ||
                (word & FUTEX_TID_MASK) != (uint32_t)t->tid)
                continue;
            uint32_t heir = (uint32_t)w->thread->tid | FUTEX_OWNER_DIED | FUTEX_WAITERS;

            if (futex_swap(w->addr, &word, heir) == 0)
                futex_waiter_wake(b, w);
        }
        spin_unlock(&b->lock);
        wake_batch_end(&batch);
    }
}

void futex_thread_exit(struct thread *t)
{
    uint32_t zero = 0;

    futex_robust_exit(t);
    if (__atomic_load_n(&g_futex_pi_waits, __ATOMIC_SEQ_CST))
        bequeath_all(t);
    if (!t->clear_child_tid)
        return;
    if (USER_PUT(t->clear_child_tid, &zero) == 0)
        futex_wake(t->clear_child_tid, 1);
    t->clear_child_tid = 0;
}

SYSCALL_DEFINE(set_robust_list)
{
    if (b != sizeof(struct robust_list_head))
        return -EINVAL;
    current()->robust_list = a;
    current()->robust_list_size = b;
    return 0;
}

SYSCALL_DEFINE(get_robust_list)
{
    struct thread *t = a ? thread_find((int32_t)a) : NULL;
    uintptr_t head = t ? t->robust_list : current()->robust_list;
    size_t size = sizeof(struct robust_list_head);

    if (a && !t)
        return -ESRCH;
    thread_unref(t);
    return USER_PUT(b, &head) < 0 || USER_PUT(c, &size) < 0 ? -EFAULT : 0;
}
