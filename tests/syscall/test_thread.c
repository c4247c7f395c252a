/* SPDX-License-Identifier: Apache-2.0 */
/* Threads as pthreads uses them, futexes, thread-local memory, scheduling. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int g_count;
static _Thread_local int t_value = 42;

static long futex(void *at, int op, unsigned value, const struct timespec *timeout, void *other,
                  unsigned value3)
{
    return syscall(SYS_futex, at, op, value, timeout, other, value3);
}

static pthread_t start(void *(*function)(void *), void *arg)
{
    pthread_t thread;

    ZERO(pthread_create(&thread, NULL, function, arg));
    return thread;
}

static void *add_one(void *arg)
{
    g_count++;
    return arg;
}

static struct timespec ms_from_now(clockid_t clock, long ms)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

TEST(thread_create_and_join)
{
    void *result;

    g_count = 0;
    ZERO(pthread_join(start(add_one, &g_count), &result));
    CHECK(result == &g_count);
    CHECK_EQ(g_count, 1);
}

TEST(thread_many_in_turn)
{
    g_count = 0;
    for (int i = 0; i < 200; i++)
        ZERO(pthread_join(start(add_one, NULL), NULL));
    CHECK_EQ(g_count, 200);
}

TEST(thread_many_at_once)
{
    enum { COUNT = 24 };
    pthread_t threads[COUNT];

    g_count = 0;
    for (int i = 0; i < COUNT; i++)
        threads[i] = start(add_one, NULL);
    for (int i = 0; i < COUNT; i++)
        ZERO(pthread_join(threads[i], NULL));
    CHECK_EQ(g_count, COUNT);
}

static void *own_value(void *arg)
{
    CHECK_EQ(t_value, 42);
    t_value = 7;
    return (void *)(intptr_t)t_value;
}

TEST(thread_local_memory)
{
    void *result;

    t_value = 42;
    ZERO(pthread_join(start(own_value, NULL), &result));
    CHECK_EQ((intptr_t)result, 7);
    CHECK_EQ(t_value, 42);
}

static void *own_tid(void *arg)
{
    return (void *)(intptr_t)gettid();
}

TEST(thread_ids)
{
    void *other;

    CHECK_EQ(gettid(), getpid());
    ZERO(pthread_join(start(own_tid, NULL), &other));
    CHECK((intptr_t)other != getpid() && (intptr_t)other > 0);
}

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static long g_sum;
static int g_turn;

static void *add_many(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&g_mutex);
        g_sum++;
        pthread_mutex_unlock(&g_mutex);
    }
    return NULL;
}

TEST(thread_mutex)
{
    pthread_t threads[4];

    g_sum = 0;
    for (int i = 0; i < 4; i++)
        threads[i] = start(add_many, NULL);
    for (int i = 0; i < 4; i++)
        ZERO(pthread_join(threads[i], NULL));
    CHECK_EQ(g_sum, 80000);
}

static void *take_turns(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&g_mutex);
        while (g_turn % 2 != me)
            pthread_cond_wait(&g_cond, &g_mutex);
        g_turn++;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_mutex);
    }
    return NULL;
}

TEST(thread_condition)
{
    g_turn = 0;
    pthread_t a = start(take_turns, (void *)0), b = start(take_turns, (void *)1);
    ZERO(pthread_join(a, NULL));
    ZERO(pthread_join(b, NULL));
    CHECK_EQ(g_turn, 1000);
}

TEST(thread_timed_waits)
{
    pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
    struct timespec until = ms_from_now(CLOCK_REALTIME, 50);
    long long before = now_ms();
    sem_t sem;

    ZERO(pthread_mutex_lock(&g_mutex));
    CHECK_EQ(pthread_cond_timedwait(&g_cond, &g_mutex, &until), ETIMEDOUT);
    ZERO(pthread_mutex_unlock(&g_mutex));
    CHECK(now_ms() - before >= 49);
    until = ms_from_now(CLOCK_REALTIME, 20);
    ZERO(pthread_mutex_lock(&held));
    CHECK_EQ(pthread_mutex_timedlock(&held, &until), ETIMEDOUT);
    OK(sem_init(&sem, 0, 0));
    until = ms_from_now(CLOCK_REALTIME, 20);
    FAILS(sem_timedwait(&sem, &until), ETIMEDOUT);
}

static sem_t g_sem;

static void *post_three(void *arg)
{
    for (int i = 0; i < 3; i++)
        sem_post(&g_sem);
    return NULL;
}

TEST(thread_semaphore)
{
    OK(sem_init(&g_sem, 0, 0));
    pthread_t thread = start(post_three, NULL);
    for (int i = 0; i < 3; i++)
        OK(sem_wait(&g_sem));
    FAILS(sem_trywait(&g_sem), EAGAIN);
    ZERO(pthread_join(thread, NULL));
}

static pthread_barrier_t g_barrier;

static void *at_barrier(void *arg)
{
    int rc = pthread_barrier_wait(&g_barrier);

    if (rc == PTHREAD_BARRIER_SERIAL_THREAD)
        g_count++;
    return NULL;
}

TEST(thread_barrier)
{
    pthread_t threads[4];

    g_count = 0;
    ZERO(pthread_barrier_init(&g_barrier, NULL, 4));
    for (int i = 0; i < 4; i++)
        threads[i] = start(at_barrier, NULL);
    for (int i = 0; i < 4; i++)
        ZERO(pthread_join(threads[i], NULL));
    CHECK_EQ(g_count, 1);
    ZERO(pthread_barrier_destroy(&g_barrier));
}

static pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *read_write(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        if (i % 10 == 0) {
            pthread_rwlock_wrlock(&g_rwlock);
            g_sum++;
        } else {
            pthread_rwlock_rdlock(&g_rwlock);
        }
        pthread_rwlock_unlock(&g_rwlock);
    }
    return NULL;
}

TEST(thread_rwlock)
{
    pthread_t threads[3];

    g_sum = 0;
    for (int i = 0; i < 3; i++)
        threads[i] = start(read_write, NULL);
    for (int i = 0; i < 3; i++)
        ZERO(pthread_join(threads[i], NULL));
    CHECK_EQ(g_sum, 600);
}

static void count_destructor(void *value)
{
    g_count += (int)(intptr_t)value;
}

static pthread_key_t g_key;

static void *set_key(void *arg)
{
    pthread_setspecific(g_key, (void *)5);
    return NULL;
}

TEST(thread_key_destructor)
{
    g_count = 0;
    ZERO(pthread_key_create(&g_key, count_destructor));
    ZERO(pthread_join(start(set_key, NULL), NULL));
    CHECK_EQ(g_count, 5);
    ZERO(pthread_key_delete(g_key));
}

static void *detached(void *arg)
{
    sem_post(&g_sem);
    return NULL;
}

TEST(thread_detached)
{
    pthread_attr_t attr;
    pthread_t thread;

    OK(sem_init(&g_sem, 0, 0));
    ZERO(pthread_attr_init(&attr));
    ZERO(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    for (int i = 0; i < 50; i++) {
        ZERO(pthread_create(&thread, &attr, detached, NULL));
        OK(sem_wait(&g_sem));
    }
}

static void *sleep_long(void *arg)
{
    sem_post(&g_sem);
    sleep(60);
    return NULL;
}

TEST(thread_cancel)
{
    void *result;
    pthread_t thread;

    OK(sem_init(&g_sem, 0, 0));
    thread = start(sleep_long, NULL);
    OK(sem_wait(&g_sem));
    ZERO(pthread_cancel(thread));
    ZERO(pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
}

static void *die_with_lock(void *mutex)
{
    pthread_mutex_lock(mutex);
    return NULL;
}

TEST(thread_robust_mutex)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t mutex;

    ZERO(pthread_mutexattr_init(&attr));
    ZERO(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    ZERO(pthread_mutex_init(&mutex, &attr));
    ZERO(pthread_join(start(die_with_lock, &mutex), NULL));
    CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    ZERO(pthread_mutex_consistent(&mutex));
    ZERO(pthread_mutex_unlock(&mutex));
}

TEST(thread_recursive_and_errorcheck_mutex)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t mutex;

    ZERO(pthread_mutexattr_init(&attr));
    ZERO(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
    ZERO(pthread_mutex_init(&mutex, &attr));
    ZERO(pthread_mutex_lock(&mutex));
    CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    ZERO(pthread_mutex_unlock(&mutex));
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
}

TEST(thread_names)
{
    char name[16] = "";

    OK(prctl(PR_SET_NAME, "short"));
    OK(prctl(PR_GET_NAME, name));
    CHECK(strcmp(name, "short") == 0);
    OK(prctl(PR_SET_NAME, "a name longer than fifteen"));
    OK(prctl(PR_GET_NAME, name));
    CHECK(strcmp(name, "a name longer t") == 0);
}

static void *use_stack(void *arg)
{
    volatile char big[200 * 1024];

    for (size_t i = 0; i < sizeof big; i += 1024)
        big[i] = 1;
    return (void *)(intptr_t)big[1024];
}

TEST(thread_stack_size)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *result;

    ZERO(pthread_attr_init(&attr));
    ZERO(pthread_attr_setstacksize(&attr, 256 * 1024));
    ZERO(pthread_create(&thread, &attr, use_stack, NULL));
    ZERO(pthread_join(thread, &result));
    CHECK_EQ((intptr_t)result, 1);
}

TEST(futex_errors)
{
    int word = 1;
    struct timespec bad = { 0, 1000000000 };

    FAILS(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EAGAIN);
    FAILS(futex((char *)&word + 1, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EINVAL);
    FAILS(futex(&word, FUTEX_WAIT_PRIVATE, 1, &bad, NULL, 0), EINVAL);
    FAILS(futex(&word, 99, 1, NULL, NULL, 0), ENOSYS);
    FAILS(futex((void *)16, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EFAULT);
    FAILS(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL, NULL, 0), EINVAL);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
}

TEST(futex_timeout)
{
    int word = 0;
    struct timespec wait = { 0, 30000000 }, until = ms_from_now(CLOCK_MONOTONIC, 30);
    long long before = now_ms();

    FAILS(futex(&word, FUTEX_WAIT_PRIVATE, 0, &wait, NULL, 0), ETIMEDOUT);
    CHECK(now_ms() - before >= 29 && now_ms() - before < 2000);
    until = ms_from_now(CLOCK_MONOTONIC, 30);
    FAILS(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY),
          ETIMEDOUT);
    until = ms_from_now(CLOCK_REALTIME, 30);
    FAILS(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &until, NULL,
                FUTEX_BITSET_MATCH_ANY),
          ETIMEDOUT);
    until.tv_sec -= 100;
    FAILS(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &until, NULL, 1),
          ETIMEDOUT);
}

static int g_word, g_other_word;
static _Atomic int g_woken;

static void *wait_word(void *arg)
{
    unsigned bits = (unsigned)(uintptr_t)arg;

    g_count++;
    if (futex(&g_word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits) == 0)
        g_woken++;
    return NULL;
}

/* Starts `count` waiters on g_word and gives them time to sleep. */
static void start_waiters(pthread_t *threads, int count, uintptr_t bits)
{
    g_count = g_woken = 0;
    g_word = 0;
    for (int i = 0; i < count; i++)
        threads[i] = start(wait_word, (void *)bits);
    while (g_count < count)
        sched_yield();
    usleep(100000);
}

TEST(futex_wake_counts)
{
    pthread_t threads[4];

    start_waiters(threads, 4, 0xffffffff);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0), 2);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 1);
    for (int i = 0; i < 4; i++)
        ZERO(pthread_join(threads[i], NULL));
    CHECK_EQ(g_woken, 4);
}

TEST(futex_bitset)
{
    pthread_t threads[2];

    start_waiters(threads, 2, 0x4);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 0x3), 0);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 0x6), 2);
    for (int i = 0; i < 2; i++)
        ZERO(pthread_join(threads[i], NULL));
}

TEST(futex_requeue)
{
    pthread_t threads[3];

    start_waiters(threads, 3, 0xffffffff);
    FAILS(futex(&g_word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &g_other_word, 99), EAGAIN);
    CHECK_EQ(futex(&g_word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &g_other_word, 0), 3);
    CHECK_EQ(futex(&g_word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&g_other_word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
    for (int i = 0; i < 3; i++)
        ZERO(pthread_join(threads[i], NULL));
}

TEST(futex_shared_flag_on_private_memory)
{
    int word = 0;
    struct timespec wait = { 0, 10000000 };

    FAILS(futex(&word, FUTEX_WAIT, 0, &wait, NULL, 0), ETIMEDOUT);
    CHECK_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(sched_affinity_and_priority)
{
    cpu_set_t set;
    struct sched_param param = { 0 };

    OK(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN) >= 1, 1);
    OK(sched_setaffinity(0, sizeof set, &set));
    OK(sched_yield());
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    OK(sched_getparam(0, &param));
    CHECK_EQ(param.sched_priority, 0);
    CHECK_EQ(sched_get_priority_min(SCHED_OTHER), 0);
    errno = 0;
    CHECK(getpriority(PRIO_PROCESS, 0) >= -20 && errno == 0);
}
