/* SPDX-License-Identifier: Apache-2.0 */
/* What a signed time says of the wall clock, and when it says nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tee/agent/server/wall.h"

#define TIME_MS 1800000000123
#define NS_PER_MS 1000000ull

static void test_bound(void **state UNUSED)
{
    struct wall_bound b;

    /* Signed at some moment of the 40 ms between question and answer. */
    assert_int_equal(wall_bound_make(TIME_MS, 1, 5000 * NS_PER_MS, 5040 * NS_PER_MS, &b), 0);
    assert_int_equal(b.at_ns, 5040 * NS_PER_MS);
    assert_int_equal(b.earliest_ns, TIME_MS * NS_PER_MS);
    assert_int_equal(b.latest_ns, (TIME_MS + 41) * NS_PER_MS);
    /* Whole seconds only. */
    assert_int_equal(wall_bound_make(1800000000000, 1000, 7, 7, &b), 0);
    assert_int_equal(b.latest_ns - b.earliest_ns, 1000 * NS_PER_MS);
}

static void test_nonsense(void **state UNUSED)
{
    struct wall_bound b;

    assert_int_equal(wall_bound_make(0, 1, 1, 2, &b), -EINVAL);
    assert_int_equal(wall_bound_make(-5, 1, 1, 2, &b), -EINVAL);
    assert_int_equal(wall_bound_make(INT64_MAX, 1000, 1, 2, &b), -EINVAL);
    assert_int_equal(wall_bound_make((1ll << 42) + 1, 1, 1, 2, &b), -EINVAL);
    assert_int_equal(wall_bound_make(1ll << 42, 1, 1, 2, &b), 0);
    assert_true(b.latest_ns < 1ull << 62);
    assert_int_equal(wall_bound_make(TIME_MS, 1, 3, 2, &b), -EINVAL);
    assert_int_equal(wall_bound_make(TIME_MS, 1, 0, (1ull << 40) + 1, &b), -EINVAL);
}

/* No such device, or one that knows nothing of time: an error, never silence. */
static void test_device(void **state UNUSED)
{
    struct wall_bound b = { 1, 2, 3 };

    assert_int_equal(wall_set("/dev/there-is-none", &b), -ENOENT);
    assert_int_equal(wall_set("/dev/null", &b), -ENOTTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
