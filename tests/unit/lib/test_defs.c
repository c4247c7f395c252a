/* SPDX-License-Identifier: Apache-2.0 */
/* lib/defs.h: macros look at their arguments once. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/defs.h"

static unsigned g_looks;

/* As a count that another thread raises meanwhile. */
static size_t rising(void)
{
    return 10 + g_looks++;
}

static void test_min_and_max_look_once(void **state)
{
    g_looks = 0;
    assert_int_equal(MIN(10u, rising()), 10);
    assert_int_equal(g_looks, 1);
    assert_int_equal(MIN(12u, rising()), 11);
    assert_int_equal(MAX(rising(), 3u), 12);
    assert_int_equal(MIN(MAX(rising(), 3u), rising()), 13);
    assert_int_equal(g_looks, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_min_and_max_look_once) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
