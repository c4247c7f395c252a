/* SPDX-License-Identifier: Apache-2.0 */
/* PI futexes: owners that die, waits that are requeued. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static long futex(uint32_t *word, int op, uint32_t value, const void *timeout, uint32_t *word2,
                  uint32_t value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

/* An absolute time so many milliseconds from now. */
static struct timespec later(clockid_t clock, long ms)
{
    struct timespec t;

    OK(clock_gettime(clock, &t));
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&t, &t) < 0)
        ;
}

static void start(pthread_t *t, void *(*fn)(void *), void *arg)
{
    ZERO(pthread_create(t, NULL, fn, arg));
}

static void *join(pthread_t t)
{
    void *result;

    ZERO(pthread_join(t, &result));
    return result;
}

/* ---- an owner that dies: with the C library whose threads leave that to the kernel, and whose mutex begins with the word ---- */
#ifdef __GLIBC__

static void *lock_and_die(void *arg)
{
    pthread_mutex_lock(arg);
    for (int i = 0; i < 1000 && !(((uint32_t *)arg)[0] & FUTEX_WAITERS); i++)
        sleep_ms(5);
    return NULL;
}

static void *lock_it(void *arg)
{
    return (void *)(intptr_t)pthread_mutex_lock(arg);
}

static void dies_while_others_wait(pthread_mutex_t *m, int shared)
{
    pthread_mutexattr_t a;
    pthread_t owner, waiter;

    ZERO(pthread_mutexattr_init(&a));
    ZERO(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST));
    ZERO(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
    ZERO(pthread_mutexattr_setpshared(&a, shared));
    ZERO(pthread_mutex_init(m, &a));
    start(&owner, lock_and_die, m);
    while (!(((volatile uint32_t *)m)[0] & FUTEX_TID_MASK))
        sleep_ms(1);
    start(&waiter, lock_it, m);
    join(owner);
    CHECK_EQ((intptr_t)join(waiter), EOWNERDEAD);
}

TEST(futex_pi_owner_dies)
{
    pthread_mutex_t *m =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    static pthread_mutex_t own;

    CHECK(m != MAP_FAILED);
    dies_while_others_wait(&own, PTHREAD_PROCESS_PRIVATE);
    dies_while_others_wait(m, PTHREAD_PROCESS_SHARED);
    /* In memory that is shared, though the mutex says that it is not. */
    dies_while_others_wait(m + 1, PTHREAD_PROCESS_PRIVATE);
}
#endif

/* ---- waits that are requeued ---- */

#define WAITERS 4

struct requeued {
    uint32_t condition, lock;
    uint32_t waiting, done; /* atomic */
    int flags;
    long results[WAITERS];
};

struct requeued_waiter {
    struct requeued *r;
    int number;
};

static void *wait_requeue(void *arg)
{
    struct requeued_waiter *w = arg;
    struct requeued *r = w->r;

    __atomic_fetch_add(&r->waiting, 1, __ATOMIC_SEQ_CST);
    long rc = futex(&r->condition, FUTEX_WAIT_REQUEUE_PI | r->flags, 0, NULL, &r->lock, 0);
    r->results[w->number] = rc < 0 ? -errno : rc;
    if (rc == 0) {
        if ((__atomic_load_n(&r->lock, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) !=
            (uint32_t)syscall(SYS_gettid))
            r->results[w->number] = 77; /* it should own the lock */
        __atomic_fetch_add(&r->done, 1, __ATOMIC_SEQ_CST);
        if (futex(&r->lock, FUTEX_UNLOCK_PI | r->flags, 0, NULL, NULL, 0) < 0)
            r->results[w->number] = 78;
    }
    return NULL;
}

static void requeue_all(int flags)
{
    static struct requeued_waiter waiters[WAITERS];
    static struct requeued r;
    pthread_t threads[WAITERS];
    long moved = 0;

    memset(&r, 0, sizeof r);
    r.flags = flags;
    r.lock = (uint32_t)syscall(SYS_gettid); /* held here */
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct requeued_waiter){ &r, i };
        start(&threads[i], wait_requeue, &waiters[i]);
    }
    /* val: how many to wake, must be 1; val2, in the place of the timeout: how many to move. */
    for (int i = 0; i < 5000 && moved < WAITERS; i++) {
        long n = OK(futex(&r.condition, FUTEX_CMP_REQUEUE_PI | flags, 1, (void *)(uintptr_t)1000,
                          &r.lock, 0));
        moved += n;
        if (moved < WAITERS)
            sleep_ms(2);
    }
    CHECK_EQ(moved, WAITERS);
    CHECK_EQ(__atomic_load_n(&r.done, __ATOMIC_SEQ_CST), 0);
    CHECK(r.lock & FUTEX_WAITERS);
    OK(futex(&r.lock, FUTEX_UNLOCK_PI | flags, 0, NULL, NULL, 0));
    for (int i = 0; i < WAITERS; i++) {
        join(threads[i]);
        CHECK_EQ(r.results[i], 0);
    }
    CHECK_EQ(r.done, WAITERS);
    CHECK_EQ(r.lock & FUTEX_TID_MASK, 0);
}

TEST(futex_requeue_pi)
{
    requeue_all(FUTEX_PRIVATE_FLAG);
    requeue_all(0);
}

TEST(futex_requeue_pi_free_lock)
{
    static struct requeued_waiter w;
    static struct requeued r;
    pthread_t t;
    long n = 0;

    memset(&r, 0, sizeof r);
    r.flags = FUTEX_PRIVATE_FLAG;
    w = (struct requeued_waiter){ &r, 0 };
    start(&t, wait_requeue, &w);
    for (int i = 0; i < 5000 && n == 0; i++) {
        n = OK(futex(&r.condition, FUTEX_CMP_REQUEUE_PI | r.flags, 1, (void *)0, &r.lock, 0));
        if (!n)
            sleep_ms(2);
    }
    CHECK_EQ(n, 1);
    join(t); /* the lock was free: it got it at once */
    CHECK_EQ(r.results[0], 0);
}

TEST(futex_requeue_pi_errors)
{
    static uint32_t condition, lock;
    struct timespec t = later(CLOCK_MONOTONIC, 20);
    int private = FUTEX_PRIVATE_FLAG;

    FAILS(futex(&condition, FUTEX_WAIT_REQUEUE_PI | private, 1, NULL, &lock, 0), EAGAIN);
    FAILS(futex(&condition, FUTEX_WAIT_REQUEUE_PI | private, 0, NULL, &condition, 0), EINVAL);
    FAILS(futex(&condition, FUTEX_WAIT_REQUEUE_PI | private, 0, &t, &lock, 0), ETIMEDOUT);
    FAILS(futex(&condition, FUTEX_CMP_REQUEUE_PI | private, 2, NULL, &lock, 0), EINVAL);
    FAILS(futex(&condition, FUTEX_CMP_REQUEUE_PI | private, 1, NULL, &condition, 0), EINVAL);
    FAILS(futex(&condition, FUTEX_CMP_REQUEUE_PI | private, 1, NULL, &lock, 5), EAGAIN);
    CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI | private, 1, (void *)1, &lock, 0), 0);
    t = later(CLOCK_REALTIME, 20);
    FAILS(
        futex(&condition, FUTEX_WAIT_REQUEUE_PI | private | FUTEX_CLOCK_REALTIME, 0, &t, &lock, 0),
        ETIMEDOUT);
    CHECK_EQ(lock, 0);
}

/* Another lock than the one that the waiter named. */
TEST(futex_requeue_pi_other_lock)
{
    static struct requeued_waiter w;
    static struct requeued r;
    static uint32_t other;
    pthread_t t;
    long n = 0;

    memset(&r, 0, sizeof r);
    r.flags = FUTEX_PRIVATE_FLAG;
    w = (struct requeued_waiter){ &r, 0 };
    start(&t, wait_requeue, &w);
    while (!__atomic_load_n(&r.waiting, __ATOMIC_SEQ_CST))
        sleep_ms(1);
    for (int i = 0; i < 5000; i++) {
        errno = 0;
        n = futex(&r.condition, FUTEX_CMP_REQUEUE_PI | r.flags, 1, (void *)1, &other, 0);
        if (n != 0)
            break;
        sleep_ms(2);
    }
    CHECK_EQ(n, -1);
    CHECK_EQ(errno, EINVAL);
    n = futex(&r.condition, FUTEX_WAKE | r.flags, 1, NULL, NULL, 0);
    if (n < 0)
        CHECK_EQ(errno, EINVAL);
    CHECK_EQ(OK(futex(&r.condition, FUTEX_CMP_REQUEUE_PI | r.flags, 1, (void *)1, &r.lock, 0)), 1);
    join(t);
    CHECK_EQ(r.results[0], 0);
}

/* No robust list says that it holds the lock: whoever waits gets it all the same. */
static uint32_t held;

static void *hold_and_die(void *arg)
{
    if (futex(&held, FUTEX_LOCK_PI | *(int *)arg, 0, NULL, NULL, 0) < 0)
        return (void *)1;
    for (int i = 0; i < 1000 && !(__atomic_load_n(&held, __ATOMIC_SEQ_CST) & FUTEX_WAITERS); i++)
        sleep_ms(5);
    return NULL;
}

TEST(futex_pi_owner_dies_unlisted)
{
    int flags[2] = { FUTEX_PRIVATE_FLAG, 0 };

    for (int i = 0; i < 2; i++) {
        pthread_t t;

        held = 0;
        start(&t, hold_and_die, &flags[i]);
        while (!(__atomic_load_n(&held, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK))
            sleep_ms(1);
        OK(futex(&held, FUTEX_LOCK_PI | flags[i], 0, NULL, NULL, 0));
        CHECK(held & FUTEX_OWNER_DIED);
        CHECK_EQ(held & FUTEX_TID_MASK, (uint32_t)syscall(SYS_gettid));
        join(t);
        OK(futex(&held, FUTEX_UNLOCK_PI | flags[i], 0, NULL, NULL, 0));
    }
}

/* In a robust list, in memory that is shared, and waited for as private. */
struct listed {
    struct robust_list_head head;
    struct robust_list item;
    uint32_t word;
};

static void *list_and_die(void *arg)
{
    struct listed *l = arg;

    l->head = (struct robust_list_head){
        { &l->item }, offsetof(struct listed, word) - offsetof(struct listed, item), NULL
    };
    l->item.next = (struct robust_list *)((uintptr_t)&l->head.list);
    l->head.list.next = (struct robust_list *)((uintptr_t)&l->item | 1); /* PI */
    if (syscall(SYS_set_robust_list, &l->head, sizeof l->head) < 0 ||
        futex(&l->word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0) < 0)
        return (void *)1;
    for (int i = 0; i < 1000 && !(__atomic_load_n(&l->word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS); i++)
        sleep_ms(5);
    return NULL;
}

TEST(futex_pi_owner_dies_private_in_shared)
{
    struct listed *l = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t t;

    CHECK(l != MAP_FAILED);
    start(&t, list_and_die, l);
    while (!(__atomic_load_n(&l->word, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK))
        sleep_ms(1);
    OK(futex(&l->word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
    CHECK(l->word & FUTEX_OWNER_DIED);
    CHECK(!join(t));
    OK(futex(&l->word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
}
