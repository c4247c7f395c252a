/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex(2) but for its PI operations. Trusted. A waiter looks at its word and enters the list under the
 * bucket's lock, as on Linux, so that a wake is never spent on a thread that was not going to sleep.
 */
#include <asm/errno.h>
#include <linux/futex.h>
#include <linux/time_types.h>

#include "tee/enclave/clock.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/futex_private.h"

#define FAULT_TRIES_MAX 64u /* pages that vanish again and again between look and lock */

static struct futex_bucket g_buckets[FUTEX_BUCKETS];

struct futex_key futex_key_of(uintptr_t addr, bool is_private)
{
    struct futex_key key = { .at = addr };
    struct inode *inode;
    uint64_t off;

    if (UNLIKELY(!is_private && mm_shared_find(addr, &inode, &off)))
        key = (struct futex_key){ .inode = inode, .at = off };
    return key;
}

struct futex_bucket *futex_bucket_of(const struct futex_key *key)
{
    uint64_t hash = ((uintptr_t)key->inode + (key->at >> 2)) * 0x9e3779b97f4a7c15ull;

    return &g_buckets[hash >> 55];
}

struct futex_bucket *futex_bucket_at(unsigned i)
{
    return &g_buckets[i];
}

_Static_assert(FUTEX_BUCKETS == 1u << (64 - 55), "hash uses the upper 9 bits");

void futex_bucket_add(struct futex_bucket *b, struct futex_waiter *w)
{
    __atomic_store_n(&w->bucket, b, __ATOMIC_RELEASE);
    w->next = NULL;
    w->prev = b->last;
    if (b->last)
        b->last->next = w;
    else
        b->first = w;
    b->last = w;
}

void futex_bucket_remove(struct futex_bucket *b, struct futex_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        b->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        b->last = w->prev;
    __atomic_sub_fetch(&b->waiters, 1, __ATOMIC_RELAXED);
}

void futex_waiter_wake(struct futex_bucket *b, struct futex_waiter *w)
{
    futex_bucket_remove(b, w);
    __atomic_store_n(&w->woken, true, __ATOMIC_RELEASE);
    thread_wake(w->thread);
}

struct futex_bucket *futex_waiter_lock(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);

        spin_lock(&b->lock);
        if (b == __atomic_load_n(&w->bucket, __ATOMIC_RELAXED))
            return b;
        spin_unlock(&b->lock);
    }
}

int futex_waiter_sleep(struct futex_waiter *w, uint64_t deadline_ns)
{
    struct futex_bucket *b;
    int rc = 0;

    while (rc == 0 && !__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE))
        rc = wait_sleep(NULL, 0, deadline_ns, true);
    /* Also the end of the waker's use of w, which lies on this thread's stack. */
    b = futex_waiter_lock(w);
    if (w->woken)
        rc = 0;
    else
        futex_bucket_remove(b, w);
    spin_unlock(&b->lock);
    return rc;
}

int futex_peek(uint32_t *ret, uintptr_t addr)
{
    return user_raw_load32(ret, (const uint32_t *)addr);
}

int futex_check(uintptr_t addr)
{
    if (addr % sizeof(uint32_t))
        return -EINVAL;
    return user_range_ok(addr, sizeof(uint32_t)) ? 0 : -EFAULT;
}

/* ---- wait ---- */

int futex_waiter_enter(struct futex_waiter *w, uint32_t value)
{
    struct futex_bucket *b = futex_bucket_of(&w->key);
    uint32_t seen;

    for (unsigned i = 0; i < FAULT_TRIES_MAX; i++) {
        int rc;

        /* Pairs with the fence of futex_wake: it sees the count, or this sees the new value. */
        __atomic_add_fetch(&b->waiters, 1, __ATOMIC_SEQ_CST);
        spin_lock(&b->lock);
        rc = futex_peek(&seen, w->addr);
        if (rc == 0 && seen == value) {
            futex_bucket_add(b, w);
            spin_unlock(&b->lock);
            return 0;
        }
        spin_unlock(&b->lock);
        __atomic_sub_fetch(&b->waiters, 1, __ATOMIC_RELAXED);
        if (rc == 0)
            return -EAGAIN;
        if (user_load32(&seen, w->addr) < 0)
            return -EFAULT;
        if (seen != value)
            return -EAGAIN;
    }
    return -EFAULT;
}

static int wait_once(uintptr_t addr, uint32_t value, uint32_t bitset, uint64_t deadline_ns,
                     bool is_private)
{
    struct futex_waiter w = { .thread = current(), .addr = addr, .bitset = bitset };
    int rc = bitset ? futex_check(addr) : -EINVAL;

    if (rc == 0) {
        w.key = futex_key_of(addr, is_private);
        rc = futex_waiter_enter(&w, value);
    }
    return rc < 0 ? rc : futex_waiter_sleep(&w, deadline_ns);
}

static int64_t restart_wait(struct thread *t)
{
    int rc =
        wait_once(t->restart_args[0], (uint32_t)t->restart_args[1], (uint32_t)t->restart_args[2],
                  t->restart_args[3], t->restart_args[1] >> 32 != 0);

    return rc == -ERESTARTSYS ? -ERESTART_RESTARTBLOCK : rc;
}

static int64_t wait(uintptr_t addr, uint32_t value, uint32_t bitset, uint64_t deadline_ns,
                    bool is_private)
{
    struct thread *t = current();
    int rc = wait_once(addr, value, bitset, deadline_ns, is_private);

    if (rc != -ERESTARTSYS || deadline_ns == WAIT_FOREVER)
        return rc;
    t->restart = restart_wait;
    t->restart_args[0] = addr;
    t->restart_args[1] = value | (uint64_t)is_private << 32;
    t->restart_args[2] = bitset;
    t->restart_args[3] = deadline_ns;
    return -ERESTART_RESTARTBLOCK;
}

/* ---- wake and requeue ---- */

static unsigned wake_in(struct futex_bucket *b, const struct futex_key *key, unsigned count,
                        uint32_t bitset)
{
    unsigned woken = 0;

    for (struct futex_waiter *w = b->first, *next; w && woken < count; w = next) {
        next = w->next;
        if (futex_key_is_equal(&w->key, key) && (w->bitset & bitset) && !w->is_pi &&
            !w->is_requeue_pi) {
            futex_waiter_wake(b, w);
            woken++;
        }
    }
    return woken;
}

static unsigned wake(uintptr_t addr, unsigned count, uint32_t bitset, bool is_private)
{
    struct futex_key key = futex_key_of(addr, is_private);
    struct futex_bucket *b = futex_bucket_of(&key);
    struct wake_batch batch;
    unsigned woken;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (LIKELY(!__atomic_load_n(&b->waiters, __ATOMIC_RELAXED)))
        return 0;
    wake_batch_begin(&batch);
    spin_lock(&b->lock);
    woken = wake_in(b, &key, count, bitset);
    spin_unlock(&b->lock);
    wake_batch_end(&batch);
    return woken;
}

unsigned futex_wake(uintptr_t addr, unsigned count)
{
    return wake(addr, count, FUTEX_BITSET_MATCH_ANY, false);
}

void futex_lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    spin_lock(a < b ? &a->lock : &b->lock);
    if (a != b)
        spin_lock(a < b ? &b->lock : &a->lock);
}

void futex_unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    spin_unlock(&a->lock);
    if (a != b)
        spin_unlock(&b->lock);
}

static struct futex_end requeue_end_of(uintptr_t addr, bool is_private)
{
    struct futex_end e = { .addr = addr, .key = futex_key_of(addr, is_private) };

    e.bucket = futex_bucket_of(&e.key);
    return e;
}

void futex_waiter_move(const struct futex_end *from, const struct futex_end *to,
                       struct futex_waiter *w)
{
    w->addr = to->addr;
    w->key = to->key;
    if (from->bucket == to->bucket)
        return;
    futex_bucket_remove(from->bucket, w);
    __atomic_add_fetch(&to->bucket->waiters, 1, __ATOMIC_SEQ_CST);
    futex_bucket_add(to->bucket, w);
}

/* Moves at most count waiters. Under both locks. */
static unsigned move_waiters(const struct futex_end *from, const struct futex_end *to,
                             unsigned count)
{
    unsigned moved = 0;

    for (struct futex_waiter *w = from->bucket->first, *next; w && moved < count; w = next) {
        next = w->next;
        if (!futex_key_is_equal(&w->key, &from->key) || w->is_pi || w->is_requeue_pi)
            continue;
        futex_waiter_move(from, to, w);
        moved++;
    }
    return moved;
}

static int64_t requeue(const struct futex_end *from, unsigned wake_count, unsigned move_count,
                       const struct futex_end *to, const uint32_t *expected)
{
    struct futex_bucket *a = from->bucket, *b = to->bucket;
    uint32_t seen;

    for (unsigned i = 0; i < FAULT_TRIES_MAX; i++) {
        struct wake_batch batch;
        unsigned woken = 0, moved = 0;
        int rc = 0;

        wake_batch_begin(&batch);
        futex_lock_two(a, b);
        if (expected)
            rc = futex_peek(&seen, from->addr);
        if (rc == 0 && expected && seen != *expected)
            rc = -EAGAIN;
        if (rc == 0) {
            woken = wake_in(a, &from->key, wake_count, FUTEX_BITSET_MATCH_ANY);
            moved = move_waiters(from, to, move_count);
        }
        futex_unlock_two(a, b);
        wake_batch_end(&batch);
        if (rc != -EFAULT)
            return rc < 0 ? rc : (int64_t)woken + moved;
        if (user_load32(&seen, from->addr) < 0)
            return -EFAULT;
    }
    return -EFAULT;
}

static bool compare(uint32_t how, int32_t old, int32_t argument)
{
    switch (how) {
    case FUTEX_OP_CMP_EQ:
        return old == argument;
    case FUTEX_OP_CMP_NE:
        return old != argument;
    case FUTEX_OP_CMP_LT:
        return old < argument;
    case FUTEX_OP_CMP_LE:
        return old <= argument;
    case FUTEX_OP_CMP_GT:
        return old > argument;
    default:
        return old >= argument;
    }
}

static uint32_t calculate(uint32_t how, uint32_t old, uint32_t argument)
{
    switch (how) {
    case FUTEX_OP_SET:
        return argument;
    case FUTEX_OP_ADD:
        return old + argument;
    case FUTEX_OP_OR:
        return old | argument;
    case FUTEX_OP_ANDN:
        return old & ~argument;
    default:
        return old ^ argument;
    }
}

static int32_t sign_extend_12(uint32_t value)
{
    return (int32_t)(value << 20) >> 20;
}

/* The atomic change comes first, then both wakes: a waiter between them sees the changed word. */
static int64_t wake_op(uintptr_t addr, unsigned count, uintptr_t addr2, unsigned count2,
                       uint32_t encoded, bool is_private)
{
    uint32_t how = (encoded >> 28) & 7, test = (encoded >> 24) & 0xf;
    uint32_t argument = (uint32_t)sign_extend_12((encoded >> 12) & 0xfff), old;
    int rc;

    if (encoded >> 28 & FUTEX_OP_OPARG_SHIFT)
        argument = 1u << (argument & 31);
    if (how > FUTEX_OP_XOR || test > FUTEX_OP_CMP_GE)
        return -ENOSYS;
    if (user_load32(&old, addr2) < 0)
        return -EFAULT;
    do
        rc = user_cmpxchg32(addr2, &old, calculate(how, old, argument));
    while (rc > 0);
    if (rc < 0)
        return -EFAULT;
    unsigned woken = wake(addr, count, FUTEX_BITSET_MATCH_ANY, is_private);
    if (compare(test, (int32_t)old, sign_extend_12(encoded & 0xfff)))
        woken += wake(addr2, count2, FUTEX_BITSET_MATCH_ANY, is_private);
    return woken;
}

/* ---- the call ---- */

/* Deadline of the operation: relative for FUTEX_WAIT, else absolute. */
static int read_deadline(uint32_t command, uint32_t op, uintptr_t address, uint64_t *ret)
{
    struct __kernel_timespec ts;
    bool is_realtime = op & FUTEX_CLOCK_REALTIME || command == FUTEX_LOCK_PI;

    *ret = WAIT_FOREVER;
    if (!address)
        return 0;
    if (USER_GET(&ts, address) < 0)
        return -EFAULT;
    if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= NS_PER_S)
        return -EINVAL;
    *ret = timespec_to_ns(&ts);
    if (command == FUTEX_WAIT)
        *ret = deadline_after_ns(*ret);
    else if (is_realtime)
        *ret = deadline_of_realtime_ns(*ret);
    return 0;
}

static int64_t timed(uint32_t command, uint64_t a, uint64_t op, uint64_t value, uint64_t timeout,
                     uint64_t bitset)
{
    uint64_t deadline_ns;
    int rc = read_deadline(command, (uint32_t)op, timeout, &deadline_ns);
    bool is_private = op & FUTEX_PRIVATE_FLAG;

    if (rc < 0)
        return rc;
    if (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET)
        return wait(a, (uint32_t)value, (uint32_t)bitset, deadline_ns, is_private);
    return futex_lock_pi(a, deadline_ns, false, is_private);
}

static int64_t pi_requeue(uint32_t command, uintptr_t addr, uint64_t op, uint64_t value,
                          uint64_t timeout, uintptr_t lock_addr, uint32_t expected)
{
    bool is_private = op & FUTEX_PRIVATE_FLAG;
    uint64_t deadline_ns;
    int rc;

    if (command == FUTEX_WAIT_REQUEUE_PI) {
        rc = read_deadline(command, (uint32_t)op, timeout, &deadline_ns);
        return rc < 0 ? rc
                      : futex_wait_requeue_pi(addr, (uint32_t)value, deadline_ns, lock_addr,
                                              FUTEX_BITSET_MATCH_ANY, is_private);
    }
    if ((int32_t)value < 0 || (int32_t)timeout < 0) /* the second is a count here */
        return -EINVAL;
    rc = futex_check(addr);
    if (rc == 0)
        rc = futex_check(lock_addr);
    if (rc < 0)
        return rc;
    struct futex_end from = requeue_end_of(addr, is_private);
    struct futex_end to = requeue_end_of(lock_addr, is_private);
    return futex_requeue_pi(&from, (uint32_t)value, (uint32_t)timeout, &to, expected);
}

SYSCALL_DEFINE(futex)
{
    uint32_t command = (uint32_t)b & (uint32_t)FUTEX_CMD_MASK, expected = (uint32_t)f;
    bool is_private = b & FUTEX_PRIVATE_FLAG;
    struct futex_end from, to;
    int rc;

    if (LIKELY((b & ~(uint64_t)FUTEX_PRIVATE_FLAG) == FUTEX_WAKE)) {
        rc = futex_check(a);
        return rc < 0 ? rc : (int64_t)wake(a, (uint32_t)c, FUTEX_BITSET_MATCH_ANY, is_private);
    }
    if ((b & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2 &&
        command != FUTEX_WAIT_REQUEUE_PI)
        return -ENOSYS;
    switch (command) {
    case FUTEX_WAIT:
        return timed(command, a, b, c, d, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return timed(command, a, b, c, d, f);
    case FUTEX_WAKE_BITSET:
        rc = (uint32_t)f ? futex_check(a) : -EINVAL;
        return rc < 0 ? rc : (int64_t)wake(a, (uint32_t)c, (uint32_t)f, is_private);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if ((int32_t)c < 0 || (int32_t)d < 0)
            return -EINVAL;
        rc = futex_check(a);
        if (rc == 0)
            rc = futex_check(e);
        if (rc < 0)
            return rc;
        from = requeue_end_of(a, is_private);
        to = requeue_end_of(e, is_private);
        return requeue(&from, (uint32_t)c, (uint32_t)d, &to,
                       command == FUTEX_CMP_REQUEUE ? &expected : NULL);
    case FUTEX_WAKE_OP:
        rc = futex_check(a);
        if (rc == 0)
            rc = futex_check(e);
        return rc < 0 ? rc : wake_op(a, (uint32_t)c, e, (uint32_t)d, (uint32_t)f, is_private);
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_CMP_REQUEUE_PI:
        return pi_requeue(command, a, b, c, d, e, expected);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return timed(command, a, b, c, d, 0);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(a, WAIT_FOREVER, true, is_private);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(a, is_private);
    default:
        syscall_unsupported("futex: operation", "the C library falls back; nothing to do if the "
                                                "program goes on");
        return -ENOSYS;
    }
}
