/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's arithmetic of leases, with clocks that the tests set. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tee/agent/server/lease.h"

static const struct lease_terms g_terms = {
    .time_s = 1000000, .until_s = 1000600, .renew_after_s = 1000300, .grace_s = 10
};

static void test_counts_from_the_question(void **state)
{
    struct lease l = { 0 };

    assert_int_equal(lease_time_s(&l, 5), 0);
    assert_int_equal(lease_take(&l, &g_terms, 50000, 80000), 0); /* held back for 30 s */
    assert_int_equal(l.end_ms, 50000 + 600000);
    assert_int_equal(l.renew_ms, 50000 + 300000);
    assert_int_equal(l.grace_ms, 10000);
    assert_int_equal(lease_time_s(&l, 80000), 1000000);
    assert_int_equal(lease_time_s(&l, 80000 + 5999), 1000005);
}

static void test_old_answers(void **state)
{
    struct lease l = { 0 }, before;
    struct lease_terms t = g_terms;

    assert_int_equal(lease_take(&l, &g_terms, 1000, 1000), 0);
    before = l;
    /* The same answer again, 61 s later and at the edge of what clocks may differ by. */
    assert_int_equal(lease_take(&l, &g_terms, 62000, 62000), -ESTALE);
    assert_memory_equal(&l, &before, sizeof l);
    assert_int_equal(lease_take(&l, &g_terms, 61000, 61000), 0);
    /* Time went on as it should, and by more. */
    t.time_s += 400, t.until_s += 400, t.renew_after_s += 400;
    assert_int_equal(lease_take(&l, &t, 400000, 401000), 0);
    assert_int_equal(lease_time_check(&l, t.time_s - 61, 401000), -ESTALE);
    assert_int_equal(lease_time_check(&l, t.time_s - 60, 401000), 0);
}

static void refuse(struct lease_terms t)
{
    struct lease l = { 0 };

    assert_int_equal(lease_take(&l, &t, 1, 2), -EINVAL);
    assert_false(l.is_set);
}

static void test_nonsense(void **state)
{
    struct lease_terms t = g_terms;
    struct lease l = { 0 };

    refuse((t = g_terms, t.time_s = 0, t));
    refuse((t = g_terms, t.time_s = INT64_MAX, t));
    refuse((t = g_terms, t.time_s = INT64_MIN, t));
    refuse((t = g_terms, t.until_s = t.time_s, t));
    refuse((t = g_terms, t.until_s = INT64_MAX, t));
    refuse((t = g_terms, t.until_s = t.time_s + LEASE_MAX_S + 1, t));
    refuse((t = g_terms, t.renew_after_s = t.time_s, t));
    refuse((t = g_terms, t.renew_after_s = t.until_s, t));
    refuse((t = g_terms, t.grace_s = LEASE_GRACE_MAX_S + 1, t));
    t = g_terms;
    t.until_s = t.time_s + LEASE_MAX_S;
    assert_int_equal(lease_take(&l, &t, 1, 2), 0);
    assert_int_equal(lease_take(&l, &t, 2, 1), -EINVAL);
}

/* Never past a quarter of what is left: whoever is back before the lease's end is found. */
static void test_pauses_before_the_end(void **state)
{
    struct lease l = { .end_ms = 1000000 };

    assert_int_equal(lease_renew_pause_ms(&l, 0, 1, 500), lease_pause_ms(1, 500));
    assert_int_equal(lease_renew_pause_ms(&l, 0, 20, 7), lease_pause_ms(20, 7));
    assert_int_equal(lease_renew_pause_ms(&l, 1000000 - 20000, 20, 30000), 5000);
    assert_int_equal(lease_renew_pause_ms(&l, 1000000 - 100, 20, 30000), LEASE_PAUSE_MIN_MS / 2);
    assert_int_equal(lease_renew_pause_ms(&l, 2000000, 20, 30000), LEASE_PAUSE_MIN_MS / 2);
}

static void test_pauses(void **state)
{
    for (unsigned count = 1; count < 200; count++) {
        uint32_t whole = count < 7 ? 1000u << (count - 1) : LEASE_PAUSE_MAX_MS;

        assert_in_range(lease_pause_ms(count, 0), whole / 2, whole / 2);
        assert_in_range(lease_pause_ms(count, whole / 2), whole, whole);
        assert_in_range(lease_pause_ms(count, UINT32_MAX), whole / 2, whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_from_the_question),
        cmocka_unit_test(test_old_answers),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_pauses_before_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
