/* SPDX-License-Identifier: Apache-2.0 */
/* Time does not run backwards between threads, whatever the host says and wherever a thread is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include <cmocka.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/ocall.h"

#define GHZ 1000000000ull

static uint64_t g_tsc = 100 * GHZ;
static struct ocall_time g_host = { .monotonic = 50 * GHZ, .realtime = 1700 * GHZ };
static bool g_hold;     /* another thread looks at the clock while the host answers this one's */
static uint64_t g_seen; /* by the other thread */
static unsigned g_reads_to_hold;

bool tsc_read(uint64_t *ret)
{
    *ret = g_tsc++;
    /* The thread is held after its look at the TSC; meanwhile another one goes on. */
    if (g_reads_to_hold > 0 && --g_reads_to_hold == 0) {
        g_tsc += GHZ / 2;
        g_seen = clock_monotonic_ns();
    }
    return true;
}

void ocall_clock(struct ocall_time *ret)
{
    *ret = g_host;
    if (g_hold) {
        g_hold = false;
        g_seen = clock_monotonic_ns();
    }
}

static int setup(void **state UNUSED)
{
    g_reads_to_hold = 0;
    clock_init(GHZ, true);
    return 0;
}

/* Beyond the clock's validity, so that the next look asks the host; its clock goes on by so much. */
static void pass(uint64_t tsc, uint64_t host)
{
    g_tsc += tsc;
    g_host.monotonic += host;
    g_host.realtime += host;
}

static void test_runs(void **state UNUSED)
{
    uint64_t a = clock_monotonic_ns();

    pass(GHZ / 4, GHZ / 4);
    assert_in_range(clock_monotonic_ns() - a, GHZ / 4 - 1000, GHZ / 4 + 1000);
    pass(2 * GHZ, 2 * GHZ);
    assert_in_range(clock_monotonic_ns() - a, 2 * GHZ, 3 * GHZ);
}

/*
 * The host stands still, so the rate falls; the asking thread is held between its look at the TSC and the new
 * rate, while another one still reads by the old rate.
 */
static void test_slower_rate(void **state UNUSED)
{
    uint64_t a;

    pass(2 * GHZ, 2 * GHZ);
    (void)clock_monotonic_ns();
    pass(GHZ / 2, 0);
    (void)clock_monotonic_ns();
    clock_init(GHZ, true); /* asks now, with half a second to go */
    g_seen = 0;
    g_reads_to_hold = 2; /* the one after the host's answer */
    clock_init(GHZ, true);
    a = clock_monotonic_ns();
    assert_true(g_seen > 0);
    assert_true(a >= g_seen);
}

/* A thread that was held with an old answer of the host does not show the time of that answer. */
static void test_old_answer(void **state UNUSED)
{
    uint64_t a;

    pass(2 * GHZ, 2 * GHZ);
    g_hold = true;
    a = clock_monotonic_ns();
    assert_true(g_seen > 0 && a >= g_seen);
    assert_true(clock_monotonic_ns() >= a);
}

static void test_absurd_host(void **state UNUSED)
{
    struct ocall_time before = g_host;
    uint64_t a;

    g_host = (struct ocall_time){ .monotonic = UINT64_MAX - 5, .realtime = UINT64_MAX };
    g_tsc += 2 * GHZ;
    a = clock_monotonic_ns();
    g_tsc += GHZ / 4;
    assert_true(clock_monotonic_ns() >= a);
    g_host = before;
    g_tsc += 2 * GHZ;
    assert_true(clock_monotonic_ns() >= a);
}

/* A host that takes time of suspension back makes CLOCK_BOOTTIME wait, not turn back. */
static void test_boottime_keeps(void **state UNUSED)
{
    uint64_t a, b;

    pass(2 * GHZ, 2 * GHZ);
    g_host.boottime = g_host.monotonic + 1000 * GHZ;
    (void)clock_monotonic_ns();
    pass(2 * GHZ, 2 * GHZ);
    g_host.boottime = g_host.monotonic + 1000 * GHZ;
    a = clock_boottime_ns();
    assert_in_range(a - clock_monotonic_ns(), 999 * GHZ, 1001 * GHZ);
    g_host.boottime = 0;
    pass(2 * GHZ, 2 * GHZ);
    b = clock_boottime_ns();
    assert_true(b >= a);
    g_host.monotonic +=
        400 * GHZ; /* the monotonic clock jumps: the difference shrinks, the sum does not */
    pass(2 * GHZ, 2 * GHZ);
    assert_true(clock_boottime_ns() >= b);
    assert_true(clock_boottime_ns() - clock_monotonic_ns() < 700 * GHZ);
    g_host.monotonic += 2000 * GHZ;
    pass(2 * GHZ, 2 * GHZ);
    assert_in_range(clock_boottime_ns() - clock_monotonic_ns(), 0, 1000);
}

/* ---- the wall clock, bound; in this order, since it stays bound ---- */

static struct clock_bound bound_now(uint64_t earliest, uint64_t width)
{
    return (struct clock_bound){ clock_monotonic_ns(), earliest, earliest + width };
}

static void refuse(struct clock_bound b, int rc)
{
    struct clock_bound before, after;
    uint64_t off = clock_data()->real_off_ns;
    bool was = clock_realtime_bound(&before);
    int64_t step = 77;

    assert_int_equal(clock_realtime_bind(&b, &step), rc);
    assert_int_equal(step, 77);
    assert_int_equal(clock_realtime_bound(&after), was);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(clock_data()->real_off_ns, off);
}

static void test_bounds_that_make_no_sense(void **state UNUSED)
{
    struct clock_bound b;

    refuse((b = bound_now(0, GHZ)), -EINVAL);
    refuse((b = bound_now(1800 * GHZ, 0), b.latest_ns--, b), -EINVAL);
    refuse((b = bound_now(1800 * GHZ, CLOCK_BOUND_WIDTH_MAX_NS + 1)), -EINVAL);
    refuse((b = bound_now(1800 * GHZ, GHZ), b.monotonic_ns += 60 * GHZ, b), -EINVAL);
    refuse((b = bound_now(UINT64_MAX - GHZ, GHZ)), -EINVAL);
    refuse((b = bound_now((1ull << 62) - GHZ, GHZ + 1)), -EINVAL);
    assert_false(clock_realtime_bound(&b));
}

static void test_host_within_the_bound(void **state UNUSED)
{
    struct clock_bound b = bound_now(clock_realtime_ns() - GHZ, 2 * GHZ);
    uint64_t off = clock_data()->real_off_ns;
    int64_t step = 1;

    assert_int_equal(clock_realtime_bind(&b, &step), 0);
    assert_int_equal(step, 0);
    assert_int_equal(clock_data()->real_off_ns, off);
    assert_true(clock_realtime_bound(&b));
}

/* From now on its wall clock counts for nothing; the monotonic one carries time on. */
static void test_host_that_changes_its_wall_clock(void **state UNUSED)
{
    uint64_t real = clock_realtime_ns(), off = clock_data()->real_off_ns;

    for (int years = -40; years <= 80; years += 60) {
        g_host.realtime += (uint64_t)((int64_t)years * 31536000 * (int64_t)GHZ);
        pass(2 * GHZ, 2 * GHZ);
        (void)clock_realtime_ns();
        assert_int_equal(clock_data()->real_off_ns, off);
    }
    assert_true(clock_realtime_ns() - real < 20 * GHZ);
}

/* Out of the bound: set to its middle, forwards and backwards, and never to before a time that was signed. */
static void test_steps(void **state UNUSED)
{
    struct clock_bound b = bound_now(4000 * GHZ, 2 * GHZ);
    int64_t step;

    assert_int_equal(clock_realtime_bind(&b, &step), 0);
    assert_true(step > 0);
    assert_in_range(clock_realtime_ns(), 4001 * GHZ, 4001 * GHZ + 1000);
    /* The host's monotonic clock runs away by 900 s; the next signed time takes it back. */
    pass(10 * GHZ, 910 * GHZ);
    assert_true(clock_realtime_ns() > 4900 * GHZ);
    b = bound_now(4011 * GHZ, GHZ);
    assert_int_equal(clock_realtime_bind(&b, &step), 0);
    assert_true(step < -800 * (int64_t)GHZ);
    assert_in_range(clock_realtime_ns(), 4011 * GHZ, 4012 * GHZ + 1000);
    /* It stood still for 100 s. */
    pass(GHZ / 4, 0);
    b = bound_now(4111 * GHZ, GHZ);
    assert_int_equal(clock_realtime_bind(&b, &step), 0);
    assert_in_range(clock_realtime_ns(), 4111 * GHZ, 4112 * GHZ);
}

static void test_old_times(void **state UNUSED)
{
    struct clock_bound b, last;
    int64_t step;

    assert_true(clock_realtime_bound(&last));
    refuse((b = bound_now(last.earliest_ns - 1, 2 * GHZ)), -ESTALE);
    refuse((b = last, b.monotonic_ns--, b), -ESTALE);
    b = last;
    assert_int_equal(clock_realtime_bind(&b, &step), 0); /* the very same says nothing new */
    assert_int_equal(step, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_runs, setup),
        cmocka_unit_test_setup(test_slower_rate, setup),
        cmocka_unit_test_setup(test_old_answer, setup),
        cmocka_unit_test_setup(test_boottime_keeps, setup),
        cmocka_unit_test_setup(test_bounds_that_make_no_sense, setup),
        cmocka_unit_test_setup(test_host_within_the_bound, setup),
        cmocka_unit_test_setup(test_host_that_changes_its_wall_clock, setup),
        cmocka_unit_test_setup(test_steps, setup),
        cmocka_unit_test_setup(test_old_times, setup),
        cmocka_unit_test_setup(test_absurd_host, setup), /* its monotonic time stays: the last */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
