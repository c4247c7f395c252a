/* SPDX-License-Identifier: Apache-2.0 */
/* Time does not run backwards between threads, whatever the host says and wherever a thread is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_runs, setup),
        cmocka_unit_test_setup(test_slower_rate, setup),
        cmocka_unit_test_setup(test_old_answer, setup),
        cmocka_unit_test_setup(test_absurd_host, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
