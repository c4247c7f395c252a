/* SPDX-License-Identifier: Apache-2.0 */
/* The makers are asked within bounds: so many rounds a minute for each maker, and what is wanted for later is bounded and kept once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/exchange/held.h"
#include "tests/unit/server/fixture.h"

/* Nobody listens on port 1: each round fails at once. */
static struct server_config g_config = { .trust_domain = "example.org",
                                         .collateral_pcs_url = "http://127.0.0.1:1",
                                         .collateral_kds_url = "http://127.0.0.1:1" };
static struct server g_server = { .config = &g_config };
static struct verifier_policy *g_policy;
static char g_folder[300];

static int setup(void **state)
{
    struct err err = { "" };

    snprintf(g_folder, sizeof g_folder, "%s/collateral", fixture_folder());
    g_config.collateral_folder = g_folder;
    assert_int_equal(held_policy_new(&g_server, &g_policy, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    verifier_policy_free(g_policy);
    fixture_done();
    return 0;
}

static struct collateral_needs needs_of(uint8_t kind, unsigned number)
{
    struct collateral_needs needs = { .count = 1, .items = { { .kind = kind } } };

    needs.items[0].fmspc[0] = (uint8_t)number;
    needs.items[0].fmspc[1] = (uint8_t)(number >> 8);
    if (kind >= COLLATERAL_AMD_CHAIN)
        needs.items[0].product = VERIFIER_SNP_MILAN;
    return needs;
}

static int fetch(struct held *held, uint8_t kind, unsigned number)
{
    struct collateral_needs needs = needs_of(kind, number);
    struct verifier_collateral *collateral = NULL;
    struct err err = { "" };
    int rc = held_fetch(held, &needs, &collateral, &err);

    assert_null(collateral);
    assert_true(err.text[0]);
    return rc;
}

static void test_budget(void **state)
{
    struct held *held;
    struct err err = { "" };
    unsigned i = 0;

    assert_int_equal(held_new(&g_server, g_policy, &held, &err), 0);
    assert_int_equal(fetch(held, COLLATERAL_SGX_TCB, 0), -ENOENT);
    /* Each round gives back a part of the budget only after two seconds: it ends. */
    while (i < 10000 && fetch(held, COLLATERAL_SGX_TCB, i) == -ENOENT)
        i++;
    assert_true(i >= HELD_ASK_PER_MINUTE - 1 && i < 10000);
    assert_int_equal(fetch(held, COLLATERAL_AMD_CHAIN, 0), -ENOENT); /* of its own */
    held_free(held);
}

static void test_wanted(void **state)
{
    struct held *held;
    struct collateral_needs needs;
    struct err err = { "" };
    unsigned count = 0;

    assert_int_equal(held_new(&g_server, g_policy, &held, &err), 0);
    assert_false(held_wanted_take(held, &needs));
    for (unsigned i = 0; i < HELD_WANTED_MAX + 1; i++) {
        needs = needs_of(COLLATERAL_SGX_TCB, i);
        held_want(held, &needs);
        held_want(held, &needs);
    }
    while (held_wanted_take(held, &needs))
        count++;
    assert_int_equal(count, HELD_WANTED_MAX);
    held_free(held);
}

static void test_where_it_may_ask(void **state)
{
    struct collateral_needs intel = needs_of(COLLATERAL_SGX_TCB, 0),
                            amd = needs_of(COLLATERAL_AMD_CHAIN, 0);
    struct server_config config = { .collateral_folder = g_folder, .collateral_pcs_url = "" };

    assert_false(held_may_fetch(&config, &intel.items[0]));
    assert_true(held_may_fetch(&config, &amd.items[0]));
    config.collateral_pcs_url = NULL;
    config.collateral_kds_url = "";
    assert_true(held_may_fetch(&config, &intel.items[0]));
    assert_false(held_may_fetch(&config, &amd.items[0]));
    config.collateral_folder = NULL;
    assert_false(held_may_fetch(&config, &intel.items[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_where_it_may_ask),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
