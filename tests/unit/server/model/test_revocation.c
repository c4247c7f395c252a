/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations whose rows somebody changes in the database: what was revoked is never found allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/revocation.h"
#include "tests/unit/server/fixture.h"
#include "tests/unit/server/model/fake.h"
#include "tests/unit/server/model/world.h"

static int add_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct revocation r = { .org_id = WORLD_ORG,
                                  .kind = "platform",
                                  .object = arg,
                                  .reason = "stolen",
                                  .by = "usr_00000000000000000000000001",
                                  .time_ms = 7 };

    return revocation_add(&g_server, tx, &r, err);
}

static int add(const char *platform)
{
    struct err err = { "" };

    return store_write(g_server.store, add_in, (void *)platform, &err);
}

static int ask_in(struct store_tx *tx, void *arg, struct err *err)
{
    return revocation_is_there(&g_server, tx, WORLD_ORG, "platform", arg, err);
}

static int ask(const char *platform)
{
    struct err err = { "" };
    int rc = store_read(g_server.store, ask_in, (void *)platform, &err);

    assert_true(rc >= 0 || err.text[0]);
    return rc;
}

static int check_in(struct store_tx *tx, void *arg, struct err *err)
{
    return revocation_check_all(&g_server, tx, WORLD_ORG, err);
}

static int check_all(void)
{
    struct err err = { "" };

    return store_read(g_server.store, check_in, NULL, &err);
}

static void change(const char *statement)
{
    assert_true(fixture_exec(g_server.store, statement, STORE_NO_ARGS) >= 0);
}

/* What a server that starts knows: nothing. */
static void forget(void)
{
    struct err err = { "" };

    model_close(g_server.model);
    assert_int_equal(model_open(&g_server, &g_server.model, &err), 0);
}

static void test_added(void **state)
{
    assert_int_equal(ask("a"), 0);
    assert_int_equal(add("a"), 1);
    assert_int_equal(add("b"), 1);
    assert_int_equal(add("a"), 0);
    assert_int_equal(ask("a"), 1);
    assert_int_equal(ask("c"), 0);
    assert_int_equal(revocation_seen(&g_server, WORLD_ORG), 2);
    forget();
    assert_int_equal(revocation_seen(&g_server, WORLD_ORG), 0);
    assert_int_equal(ask("b"), 1);
    assert_int_equal(ask("c"), 0);
    assert_int_equal(check_all(), 0);
}

/* Each is found by a server that has just started; the first two by one that runs, too. */
static const char *const attacks[] = {
    "DELETE FROM revocations WHERE object = 'b'",
    "UPDATE revocations SET object = 'x' WHERE object = 'b'",
    "DELETE FROM revocations",
    "DELETE FROM revocation_sets",
    "UPDATE revocation_sets SET count = 1",
    "UPDATE revocation_sets SET digest = mac",
    "UPDATE revocation_sets SET mac = digest",
    "UPDATE revocations SET number = number + 1 WHERE object = 'c'",
    "UPDATE revocations SET number = number - 5 WHERE object = 'b'",
    "UPDATE revocations SET reason = 'nothing' WHERE object = 'a'",
    "UPDATE revocations SET kind = 'node' WHERE object = 'b'",
    "DELETE FROM revocations WHERE object = 'b'; UPDATE revocations SET number = 2 WHERE object = "
    "'c'",
};

static void test_changed_rows(void **state)
{
    const char *statement = *state;
    char first[256];
    const char *second = strchr(statement, ';');

    assert_int_equal(add("a"), 1);
    assert_int_equal(add("b"), 1);
    assert_int_equal(add("c"), 1);
    assert_int_equal(ask("nobody"), 0);
    snprintf(first, sizeof first, "%.*s", second ? (int)(second - statement) : 255, statement);
    change(first);
    if (second)
        change(second + 2);
    g_fake_log_count = 0;
    assert_int_not_equal(ask("b"), 0);
    assert_int_equal(check_all(), -EBADMSG);
    assert_true(g_fake_log_count > 0);
    forget();
    assert_int_not_equal(ask("b"), 0);
    assert_int_equal(ask("nobody"), -EBADMSG);
    assert_int_equal(add("d") < 0 || check_all() == -EBADMSG, true);
}

/* All rows of before, with their right mac: who saw the others goes on refusing. */
static void test_old_rows(void **state)
{
    assert_int_equal(add("a"), 1);
    change("CREATE TABLE old_sets AS SELECT * FROM revocation_sets");
    assert_int_equal(add("b"), 1);
    assert_int_equal(ask("nobody"), 0);
    change("DELETE FROM revocations WHERE object = 'b'");
    change("DELETE FROM revocation_sets");
    change("INSERT INTO revocation_sets SELECT * FROM old_sets");
    assert_int_equal(ask("b"), -EBADMSG);
    assert_int_equal(ask("nobody"), 0);
    assert_int_equal(add("c"), 1); /* as many as before again */
    assert_int_equal(ask("b"), -EBADMSG);
    assert_int_equal(ask("c"), 1);
    assert_int_equal(ask("nobody"), 0);
    assert_int_equal(revocation_seen(&g_server, WORLD_ORG), 2);
    change("DROP TABLE old_sets");
}

static int given_up_in(struct store_tx *tx, void *arg, struct err *err)
{
    assert_int_equal(add_in(tx, arg, err), 1);
    assert_int_equal(ask_in(tx, arg, err), 1);
    assert_int_equal(ask_in(tx, (void *)"nobody", err), 0);
    return -ECANCELED;
}

/* What was never committed was never revoked. */
static void test_given_up(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_server.store, given_up_in, (void *)"a", &err), -ECANCELED);
    assert_int_equal(ask("a"), 0);
    assert_int_equal(revocation_seen(&g_server, WORLD_ORG), 0);
}

static void test_many(void **state)
{
    char name[32];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "p%u", i);
        assert_int_equal(add(name), 1);
        if (i % 50 == 0)
            assert_int_equal(ask("nobody"), 0);
    }
    change("DELETE FROM revocations WHERE number > 100");
    for (unsigned i = 101; i < 251; i++) { /* of those that were seen */
        snprintf(name, sizeof name, "p%u", i);
        assert_int_equal(ask(name), -EBADMSG);
    }
    assert_int_equal(ask("nobody"), -EBADMSG);
}

int main(void)
{
    struct CMUnitTest tests[4 + ARRAY_COUNT(attacks)] = {
        cmocka_unit_test_setup_teardown(test_added, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_old_rows, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_given_up, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_many, world_setup, world_teardown),
    };

    for (unsigned i = 0; i < ARRAY_COUNT(attacks); i++)
        tests[4 + i] = (struct CMUnitTest){ .name = attacks[i],
                                            .test_func = test_changed_rows,
                                            .setup_func = world_setup,
                                            .teardown_func = world_teardown,
                                            .initial_state = (void *)attacks[i] };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    fixture_done();
    return rc;
}
