/* SPDX-License-Identifier: Apache-2.0 */
/* Within futex*.c: buckets and waiters. Trusted. */
#pragma once

#include "tee/libos/task/futex.h"
#include "tee/libos/task/task.h"

#define FUTEX_BUCKETS 512u

/*
 * A bucket of the hash over keys. lock guards the list; order between two buckets is that of
 * their addresses. `waiters` counts those that are in the list or about to look at their word: it is what
 * a wake of nobody reads.
 */
struct futex_bucket {
    struct spin lock;
    uint32_t waiters;
    struct futex_waiter *first, *last;
} ALIGNED(64);

/* What tells one futex from another: the address, or, for memory that is mapped shared from a file, the place in
 * the file, since processes see it at different addresses. */
struct futex_key {
    const void *inode; /* NULL: at is an address */
    uint64_t at;
};

struct futex_waiter {
    struct futex_waiter *prev, *next;
    struct futex_bucket *bucket; /* changes only by requeue, under both locks */
    struct thread *thread;
    uintptr_t addr; /* in its process */
    struct futex_key key;
    uint32_t bitset;
    bool is_pi;         /* waits for ownership */
    bool is_requeue_pi; /* waits to be moved to the PI futex of lock_key */
    struct futex_key lock_key;
    bool woken; /* set under the lock of the bucket it was last in */
};

/* is_private: FUTEX_PRIVATE_FLAG. */
struct futex_key futex_key_of(uintptr_t addr, bool is_private);
static inline bool futex_key_is_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->at == b->at && a->inode == b->inode;
}
struct futex_bucket *futex_bucket_of(const struct futex_key *key);
struct futex_bucket *futex_bucket_at(unsigned i); /* i < FUTEX_BUCKETS */
void futex_bucket_add(struct futex_bucket *b, struct futex_waiter *w);
void futex_bucket_remove(struct futex_bucket *b, struct futex_waiter *w);
/* Takes w out and wakes it. Under the bucket's lock, inside a wake batch. */
void futex_waiter_wake(struct futex_bucket *b, struct futex_waiter *w);
/* Locks the bucket that w is in now. */
struct futex_bucket *futex_waiter_lock(struct futex_waiter *w);
/* Puts w into its bucket if the word has the value. returns: 0; -EAGAIN; -EFAULT. */
MUST_CHECK int futex_waiter_enter(struct futex_waiter *w, uint32_t value);
/* Sleeps until w is woken. Afterwards w is in no list. returns: 0 woken; -ETIMEDOUT; -ERESTARTSYS. */
int futex_waiter_sleep(struct futex_waiter *w, uint64_t deadline_ns);
/* Under the bucket's lock: reads the word without faulting pages in. returns: 0; -EFAULT: fault it in
 * with user_load32() outside the lock, and try again. */
int futex_peek(uint32_t *ret, uintptr_t addr);
/* Checks alignment and range. returns: 0; -EINVAL; -EFAULT. */
int futex_check(uintptr_t addr);

/* One end of a requeue. */
struct futex_end {
    uintptr_t addr;
    struct futex_key key;
    struct futex_bucket *bucket;
};
void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b);
void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b);
/* Under both locks. */
void futex_waiter_move(const struct futex_end *from, const struct futex_end *to,
                       struct futex_waiter *w);

/* futex_pi.c */

/* One compare-and-swap on the word under a bucket's lock. returns: 0, 1 differs, -EFAULT. */
int futex_swap(uintptr_t addr, uint32_t *expected, uint32_t desired);
/* Threads that wait, or may come to wait, for a PI futex: what a dying thread looks at. Atomic. */
extern uint32_t g_futex_pi_waits;
/* The thread that the word names lives. */
bool futex_owner_exists(uint32_t word);
int64_t futex_lock_pi(uintptr_t addr, uint64_t deadline_ns, bool try_only, bool is_private);
int64_t futex_unlock_pi(uintptr_t addr, bool is_private);

/* futex_requeue_pi.c */
int64_t futex_wait_requeue_pi(uintptr_t addr, uint32_t value, uint64_t deadline_ns,
                              uintptr_t lock_addr, uint32_t bitset, bool is_private);
/* Moves or wakes at most move_count + 1. returns: how many; -EAGAIN the word is not `expected`; -EINVAL, -EDEADLK,
 * -ESRCH, -EFAULT. */
int64_t futex_requeue_pi(const struct futex_end *from, uint32_t wake_count, uint32_t move_count,
                         const struct futex_end *to, uint32_t expected);
