/* SPDX-License-Identifier: Apache-2.0 */
/* Wait queues, locks, futexes, timers, sleeping: tee/libos/task over real threads. Unit test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/futex.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <string.h>
#include <unistd.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/syscall/report.h"
#include "tee/libos/task/clock_set.h"
#include "tee/libos/task/futex_private.h"
#include "tee/libos/task/timer.h"
#include "tests/unit/libos/fake_task.h"

#define MS 1000000ull
#define ROUNDS 2000
#define WORKERS 4

#define FUTEX(...) FUTEX_(__VA_ARGS__, 0, 0, 0, 0)
#define FUTEX_(word, op, value, timeout, word2, value3, ...)                                       \
    sys_futex((uint64_t)(word), (uint64_t)(op), (uint64_t)(value), (uint64_t)(timeout),            \
              (uint64_t)(word2), (uint64_t)(value3))

syscall_fn sys_futex, sys_nanosleep, sys_set_robust_list, sys_setitimer, sys_timer_create,
    sys_timer_settime, sys_timer_delete, sys_timer_gettime, sys_clock_gettime, sys_clock_nanosleep;

/* ---- locks ---- */

static struct mutex g_mutex;
static struct rwlock g_rwlock;
static volatile unsigned g_counter;
static volatile unsigned g_a, g_b;

static void count_up(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock(&g_mutex);
        unsigned seen = g_counter;

        if (i % 64 == 0)
            usleep(10); /* make others sleep on it */
        g_counter = seen + 1;
        mutex_unlock(&g_mutex);
    }
}

static void run_workers(void (*fn)(void *arg))
{
    struct fake_thread *f[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        f[i] = fake_thread_start(fn, (void *)(intptr_t)i);
    for (int i = 0; i < WORKERS; i++)
        fake_thread_join(f[i]);
}

static void test_mutex_excludes(void **state)
{
    run_workers(count_up);
    assert_int_equal(g_counter, ROUNDS * WORKERS);
    assert_true(mutex_try(&g_mutex));
    assert_false(mutex_try(&g_mutex));
    mutex_unlock(&g_mutex);
}

static void read_and_write(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        if ((intptr_t)arg == 0 || i % 16 == 0) {
            rwlock_write(&g_rwlock);
            g_a = g_a + 1;
            if (i % 128 == 0)
                usleep(10);
            g_b = g_b + 1;
            rwlock_write_end(&g_rwlock);
        } else {
            rwlock_read(&g_rwlock);
            if (g_a != g_b)
                g_counter = 1;
            rwlock_read_end(&g_rwlock);
        }
    }
}

static void test_rwlock_separates(void **state)
{
    g_counter = 0;
    run_workers(read_and_write);
    assert_int_equal(g_counter, 0);
    assert_int_equal(g_a, ROUNDS + (WORKERS - 1) * (ROUNDS / 16));
    assert_int_equal(g_a, g_b);
    assert_int_equal(g_rwlock.readers, 0);
}

/* ---- wait queues ---- */

static struct waitq g_queue;
static uint32_t g_ready;
static int g_rc[WORKERS];

static void wait_ready(void *arg)
{
    int rc;

    WAIT_UNTIL(rc, &g_queue, __atomic_load_n(&g_ready, __ATOMIC_SEQ_CST) != 0, WAIT_FOREVER);
    g_rc[(intptr_t)arg] = rc;
}

static void test_wake_all(void **state)
{
    struct fake_thread *f[WORKERS];

    for (intptr_t i = 0; i < WORKERS; i++)
        f[i] = fake_thread_start(wait_ready, (void *)i);
    for (int i = 0; i < WORKERS; i++)
        fake_wait_parked(fake_thread_of(f[i]));
    __atomic_store_n(&g_ready, 1, __ATOMIC_SEQ_CST);
    assert_int_equal(wait_wake(&g_queue, WAKE_ALL, 0), WORKERS);
    for (int i = 0; i < WORKERS; i++)
        fake_thread_join(f[i]);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(g_rc[i], 0);
    assert_true(waitq_is_empty(&g_queue));
    assert_int_equal(wait_wake(&g_queue, WAKE_ALL, 0), 0);
}

static void test_sleep_times_out(void **state)
{
    uint64_t since = clock_monotonic_ns();

    current()->wake_token = 0;
    while (wait_sleep(NULL, 0, since + 20 * MS, true) == 0)
        ;
    assert_true(clock_monotonic_ns() - since >= 20 * MS);
    assert_int_equal(wait_sleep(NULL, 0, since, true), -ETIMEDOUT);
}

static void test_token_is_not_lost(void **state)
{
    thread_wake(current());
    assert_int_equal(wait_sleep(NULL, 0, WAIT_FOREVER, true), 0);
}

static struct waitq g_ping, g_pong;
static uint32_t g_turn;

static void pong(void *arg)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int rc;

        WAIT_UNTIL(rc, &g_ping, __atomic_load_n(&g_turn, __ATOMIC_SEQ_CST) == 2 * i + 1,
                   WAIT_FOREVER);
        __atomic_store_n(&g_turn, 2 * i + 2, __ATOMIC_SEQ_CST);
        wait_wake(&g_pong, WAKE_ALL, 0);
    }
}

static void test_ping_pong_loses_no_wake(void **state)
{
    struct fake_thread *f = fake_thread_start(pong, NULL);

    wait_set_cpu_count(2);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int rc;

        __atomic_store_n(&g_turn, 2 * i + 1, __ATOMIC_SEQ_CST);
        wait_wake(&g_ping, WAKE_ALL, 0);
        WAIT_UNTIL(rc, &g_pong, __atomic_load_n(&g_turn, __ATOMIC_SEQ_CST) == 2 * i + 2,
                   WAIT_FOREVER);
    }
    fake_thread_join(f);
    wait_set_cpu_count(1);
}

/* ---- futexes ---- */

static uint32_t g_word, g_word2;

static void wait_word(void *arg)
{
    g_rc[(intptr_t)arg] = (int)FUTEX(&g_word, FUTEX_WAIT, 0, 0);
}

static void start_waiters(struct fake_thread *f[], int count)
{
    g_word = 0;
    for (intptr_t i = 0; i < count; i++) {
        f[i] = fake_thread_start(wait_word, (void *)i);
        fake_wait_parked(fake_thread_of(f[i]));
    }
}

static void test_futex_value_and_arguments(void **state)
{
    struct __kernel_timespec past = { 0, 1 }, bad = { 0, 1000000000 };

    g_word = 7;
    assert_int_equal(FUTEX(&g_word, FUTEX_WAIT, 8, 0), -EAGAIN);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAIT, 7, &past), -ETIMEDOUT);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAIT, 7, &bad), -EINVAL);
    assert_int_equal(FUTEX((char *)&g_word + 1, FUTEX_WAIT, 7, 0), -EINVAL);
    assert_int_equal(FUTEX(16, FUTEX_WAKE, 1), -EFAULT);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAIT_BITSET, 7, 0, 0, 0), -EINVAL);
    assert_int_equal(FUTEX(&g_word, 100, 0), -ENOSYS);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0), -ENOSYS);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE, 100), 0);
}

static void test_futex_wakes_in_order(void **state)
{
    struct futex_key key;
    struct fake_thread *f[3];

    start_waiters(f, 3);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE, 1), 1);
    fake_thread_join(f[0]);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX), 2);
    fake_thread_join(f[1]);
    fake_thread_join(f[2]);
    key = futex_key_of((uintptr_t)&g_word, true);
    assert_int_equal(futex_bucket_of(&key)->waiters, 0);
}

static void test_futex_requeue(void **state)
{
    struct fake_thread *f[3];

    start_waiters(f, 3);
    assert_int_equal(FUTEX(&g_word, FUTEX_CMP_REQUEUE, 1, 10, &g_word2, 5), -EAGAIN);
    assert_int_equal(FUTEX(&g_word, FUTEX_CMP_REQUEUE, 1, 10, &g_word2, 0), 3);
    fake_thread_join(f[0]);
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE, 10), 0);
    assert_int_equal(FUTEX(&g_word2, FUTEX_WAKE, 10), 2);
    fake_thread_join(f[1]);
    fake_thread_join(f[2]);
}

static void test_futex_wake_op(void **state)
{
    struct fake_thread *f[1];
    uint32_t op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 4);

    start_waiters(f, 1);
    g_word2 = 4;
    assert_int_equal(FUTEX(&g_word2, FUTEX_WAKE_OP, 1, 1, &g_word2, op), 0);
    assert_int_equal(g_word2, 7);
    g_word = 0;
    assert_int_equal(FUTEX(&g_word, FUTEX_WAKE_OP, 1, 1, &g_word2, op), 1);
    assert_int_equal(g_word2, 10);
    fake_thread_join(f[0]);
}

static void own_pi(void *arg)
{
    if (FUTEX(&g_word, FUTEX_LOCK_PI, 0, 0) != 0)
        return;
    for (int i = 0; i < 20; i++) {
        g_counter++;
        FUTEX(&g_word, FUTEX_UNLOCK_PI);
        if (FUTEX(&g_word, FUTEX_LOCK_PI, 0, 0) != 0)
            return;
    }
    FUTEX(&g_word, FUTEX_UNLOCK_PI);
}

static void test_futex_pi(void **state)
{
    g_word = 0;
    g_counter = 0;
    assert_int_equal(FUTEX(&g_word, FUTEX_LOCK_PI, 0, 0), 0);
    assert_int_equal(g_word, current()->tid);
    assert_int_equal(FUTEX(&g_word, FUTEX_LOCK_PI, 0, 0), -EDEADLK);
    assert_int_equal(FUTEX(&g_word, FUTEX_UNLOCK_PI), 0);
    assert_int_equal(g_word, 0);
    assert_int_equal(FUTEX(&g_word, FUTEX_UNLOCK_PI), -EPERM);
    run_workers(own_pi);
    assert_int_equal(g_counter, 20 * WORKERS);
    assert_int_equal(g_word, 0);
    g_word = 999999; /* nobody */
    assert_int_equal(FUTEX(&g_word, FUTEX_LOCK_PI, 0, 0), -ESRCH);
}

static struct robust {
    struct robust_list list;
    uint32_t word;
} g_robust;

static void die_with_lock(void *arg)
{
    struct robust_list_head head = { .list = { &g_robust.list },
                                     .futex_offset = offsetof(struct robust, word) };

    g_robust.list.next = &head.list;
    g_robust.word = (uint32_t)current()->tid | FUTEX_WAITERS;
    SYS(set_robust_list, &head, sizeof head);
    current()->clear_child_tid = (uintptr_t)&g_word2;
    futex_thread_exit(current());
}

static void test_robust_list(void **state)
{
    struct fake_thread *f;

    g_word2 = 5;
    f = fake_thread_start(die_with_lock, NULL);
    fake_thread_join(f);
    assert_int_equal(g_robust.word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    assert_int_equal(g_word2, 0);
}

/* Threads that hand a token around by futex: a lost wake hangs the test. */
static uint32_t g_ring[WORKERS];

static void pass_on(void *arg)
{
    intptr_t me = (intptr_t)arg;

    for (uint32_t i = 1; i <= ROUNDS; i++) {
        while (__atomic_load_n(&g_ring[me], __ATOMIC_SEQ_CST) != i)
            FUTEX(&g_ring[me], FUTEX_WAIT, i - 1, 0);
        intptr_t next = (me + 1) % WORKERS;

        __atomic_add_fetch(&g_ring[next], 1, __ATOMIC_SEQ_CST);
        FUTEX(&g_ring[next], FUTEX_WAKE, 1);
    }
}

static void test_futex_stress(void **state)
{
    g_ring[0] = 1;
    run_workers(pass_on);
    assert_int_equal(g_ring[0], ROUNDS + 1);
}

/* ---- timers ---- */

static uint32_t g_fired;
static uint64_t g_order[8];

static void fired(struct timer *t, void *arg)
{
    uint32_t n = __atomic_fetch_add(&g_fired, 1, __ATOMIC_SEQ_CST);

    g_order[n % 8] = (uint64_t)arg;
    FUTEX(&g_fired, FUTEX_WAKE, 10);
}

static void test_timers_fire_in_order(void **state)
{
    static const int delays_ms[] = { 30, 10, 50, 20, 40 };
    struct timer timers[5];
    uint64_t now = clock_monotonic_ns();

    for (uint64_t i = 0; i < 5; i++) {
        timer_init(&timers[i], fired, (void *)i);
        assert_int_equal(timer_add(&timers[i], now + (uint64_t)delays_ms[i] * MS), 0);
    }
    assert_true(timer_cancel(&timers[3]));
    assert_false(timer_cancel(&timers[3]));
    while (__atomic_load_n(&g_fired, __ATOMIC_SEQ_CST) < 4)
        usleep(1000);
    assert_true(clock_monotonic_ns() - now >= 50 * MS);
    assert_int_equal(g_order[0], 1);
    assert_int_equal(g_order[1], 0);
    assert_int_equal(g_order[2], 4);
    assert_int_equal(g_order[3], 2);
    usleep(5000);
    assert_int_equal(g_fired, 4);
}

static void test_posix_timer_sends_signals(void **state)
{
    struct {
        struct __kernel_timespec interval, value;
    } spec = { { 0, 2 * MS }, { 0, 2 * MS } };
    struct {
        uint64_t value;
        int32_t signo, notify, pad[12];
    } event = { 77, 40, 0, { 0 } };
    struct siginfo_linux info = { 0 };
    int32_t id = -1;

    current()->sig_mask = SIGNAL_BIT(40);
    assert_int_equal(SYS(timer_create, 1, &event, &id), 0);
    assert_int_equal(SYS(timer_settime, id, 0, &spec, 0), 0);
    while (signal_take(SIGNAL_BIT(40), &info) == 0)
        usleep(1000);
    assert_int_equal(info.signo, 40);
    assert_int_equal(info.code, -2); /* SI_TIMER */
    assert_int_equal(((uint64_t *)info.fields)[1], 77);
    assert_int_equal(SYS(timer_gettime, id, &spec), 0);
    assert_int_equal(spec.interval.tv_nsec, 2 * MS);
    assert_int_equal(SYS(timer_delete, id), 0);
    assert_int_equal(SYS(timer_delete, id), -EINVAL);
    while (signal_take(SIGNAL_BIT(40), &info))
        ;
    current()->sig_mask = 0;
}

static void clock_step(int64_t by_ns)
{
    struct clock_bound b = { .earliest_ns = clock_realtime_ns() + (uint64_t)by_ns };
    int64_t step;

    assert_int_equal(clock_set_bind(&b, &step), 0);
}

/* A timer on a time of the wall clock comes when the clock is set to after that; a relative one keeps its way. */
static void test_posix_timers_and_the_wall_clock(void **state)
{
    struct {
        struct __kernel_timespec interval, value;
    } at = { 0 }, in = { { 0, 0 }, { 1000, 0 } };
    struct {
        uint64_t value;
        int32_t signo, notify, pad[12];
    } event = { 78, 41, 0, { 0 } }, none = { 0, 0, 1 /* SIGEV_NONE */, { 0 } };
    struct siginfo_linux info = { 0 };
    int32_t wall, relative;

    current()->sig_mask = SIGNAL_BIT(41);
    at.value.tv_sec = (int64_t)(clock_realtime_ns() / 1000000000) + 1000;
    assert_int_equal(SYS(timer_create, CLOCK_REALTIME, &event, &wall), 0);
    assert_int_equal(SYS(timer_create, CLOCK_REALTIME, &none, &relative), 0);
    assert_int_equal(SYS(timer_settime, wall, 1 /* TIMER_ABSTIME */, &at, 0), 0);
    assert_int_equal(SYS(timer_settime, relative, 0, &in, 0), 0);
    clock_step(-2000000000000);
    assert_int_equal(SYS(timer_gettime, wall, &at), 0);
    assert_in_range(at.value.tv_sec, 2900, 3000);
    clock_step(4000000000000);
    while (signal_take(SIGNAL_BIT(41), &info) == 0)
        usleep(1000);
    assert_int_equal(((uint64_t *)info.fields)[1], 78);
    assert_int_equal(SYS(timer_gettime, relative, &in), 0);
    assert_in_range(in.value.tv_sec, 900, 1000);
    clock_step(-2000000000000);
    assert_int_equal(SYS(timer_delete, wall), 0);
    assert_int_equal(SYS(timer_delete, relative), 0);
    current()->sig_mask = 0;
}

static void sleep_until_the_wall_clock_shows(void *arg)
{
    struct __kernel_timespec at = { *(int64_t *)arg, 0 };

    assert_int_equal(SYS(clock_nanosleep, CLOCK_REALTIME, 1 /* TIMER_ABSTIME */, &at, 0), 0);
    assert_true(clock_realtime_ns() / 1000000000 >= (uint64_t)at.tv_sec);
}

static void test_sleep_until_the_wall_clock_shows(void **state)
{
    int64_t at_s = (int64_t)(clock_realtime_ns() / 1000000000) + 1000;
    struct fake_thread *f = fake_thread_start(sleep_until_the_wall_clock_shows, &at_s);

    fake_wait_parked(fake_thread_of(f));
    clock_step(-500000000000);
    fake_wait_parked(fake_thread_of(f));
    clock_step(2000000000000);
    fake_thread_join(f);
    clock_step(-1500000000000);
}

static void test_timers_are_bounded(void **state)
{
    struct {
        uint64_t value;
        int32_t signo, notify, pad[12];
    } none = { 0, 0, 1 /* SIGEV_NONE */, { 0 } };
    int32_t ids[256], one_more;

    for (int i = 0; i < 256; i++)
        assert_int_equal(SYS(timer_create, 1, &none, &ids[i]), 0);
    assert_int_equal(SYS(timer_create, 1, &none, &one_more), -EAGAIN);
    for (int i = 0; i < 256; i++)
        assert_int_equal(SYS(timer_delete, ids[i]), 0);
    assert_int_equal(SYS(timer_create, 99, &none, &one_more), -EINVAL);
}

static void test_reports_are_bounded(void **state)
{
    struct regs *regs = current_regs();

    syscall_report_init(true);
    for (unsigned i = 1; i < 256; i++) { /* test_futex_value_and_arguments left a row */
        regs->rip = 0x1000 + i;
        assert_int_equal(syscall_unknown(134), -ENOSYS); /* uselib: a row a site */
    }
    assert_non_null(strstr(fake_last_line(), "uselib"));
    syscall_explain();
    assert_null(strstr(fake_last_line(), "no room"));
    regs->rip = 1;
    assert_int_equal(syscall_unknown(134), -ENOSYS);
    syscall_explain();
    assert_string_equal(fake_last_line(), "1 more, for which the table has no room");
    assert_string_equal(syscall_name(0), "read");
    assert_null(syscall_name(100000));
    assert_null(syscall_name(UINT64_MAX));
}

static void sleep_a_while(void *arg)
{
    struct __kernel_timespec ts = { 0, 200 * MS };

    SYS(nanosleep, &ts, 0);
}

static void test_sleeping_threads_use_no_cpu(void **state)
{
    struct fake_thread *f = fake_thread_start(sleep_a_while, NULL);

    fake_wait_parked(fake_thread_of(f));
    usleep(100000);
    assert_true(thread_cpu_ns(fake_thread_of(f)) < 60 * MS);
    fake_thread_join(f);
}

static void test_nanosleep(void **state)
{
    struct __kernel_timespec ts = { 0, 3 * MS }, bad = { -1, 0 };
    uint64_t since = clock_monotonic_ns();

    assert_int_equal(SYS(nanosleep, &ts, 0), 0);
    assert_true(clock_monotonic_ns() - since >= 3 * MS);
    assert_int_equal(SYS(nanosleep, &bad, 0), -EINVAL);
    assert_int_equal(SYS(nanosleep, 8, 0), -EFAULT);
}

/* ---- the end ---- */

#define LEAVING_COUNT 8u

static unsigned g_leaving;

static void leave_together(void *arg)
{
    (void)arg;
    __atomic_add_fetch(&g_leaving, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&g_leaving, __ATOMIC_SEQ_CST) < LEAVING_COUNT)
        ocall_yield();
    thread_exit(0);
}

/* The last threads of a process leave at the same moment: one of them ends the process. */
static void test_last_threads_leave_together(void **state)
{
    for (unsigned round = 0; round < 60; round++) {
        struct process *p;

        assert_int_equal(process_new(process_current(), &p), 0);
        g_leaving = 0;
        for (unsigned i = 0; i < LEAVING_COUNT; i++) {
            struct thread *t;

            assert_int_equal(thread_new(p, i == 0, &t), 0);
            t->kernel_fn = leave_together;
            if (i == LEAVING_COUNT - 1)
                mutex_lock(&p->lock); /* all of them wait here */
            assert_int_equal(thread_slot_start(t), 0);
        }
        usleep(5000);
        mutex_unlock(&p->lock);
        for (int i = 0; i < 100000 && !__atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE); i++)
            usleep(10);
        assert_true(__atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE));
        /* The one that ended the process takes itself off its list last. */
        for (int i = 0; i < 100000 && __atomic_load_n(&p->thread_count, __ATOMIC_ACQUIRE) != 0; i++)
            usleep(10);
        assert_int_equal(p->thread_count, 0);
        process_unref(p);
    }
}

static int init(void **state)
{
    fake_task_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutex_excludes),
        cmocka_unit_test(test_rwlock_separates),
        cmocka_unit_test(test_wake_all),
        cmocka_unit_test(test_sleep_times_out),
        cmocka_unit_test(test_token_is_not_lost),
        cmocka_unit_test(test_ping_pong_loses_no_wake),
        cmocka_unit_test(test_futex_value_and_arguments),
        cmocka_unit_test(test_futex_wakes_in_order),
        cmocka_unit_test(test_futex_requeue),
        cmocka_unit_test(test_futex_wake_op),
        cmocka_unit_test(test_futex_pi),
        cmocka_unit_test(test_robust_list),
        cmocka_unit_test(test_futex_stress),
        cmocka_unit_test(test_timers_fire_in_order),
        cmocka_unit_test(test_posix_timer_sends_signals),
        cmocka_unit_test(test_timers_are_bounded),
        cmocka_unit_test(test_sleeping_threads_use_no_cpu),
        cmocka_unit_test(test_reports_are_bounded),
        cmocka_unit_test(test_nanosleep),
        cmocka_unit_test(test_posix_timers_and_the_wall_clock),
        cmocka_unit_test(test_sleep_until_the_wall_clock_shows),
        cmocka_unit_test(test_last_threads_leave_together),
    };

    return cmocka_run_group_tests(tests, init, NULL);
}
