/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of tokens: the last moment at which each kind is good, and that who changes the end in the store has no token. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/auth/auth.h"
#include "server/auth/token.h"
#include "tests/unit/server/fixture.h"
#include "tests/unit/server/model/world.h"

#define NODE "nod_00000000000000000000000001"

struct made {
    struct token_row row;
    char text[TOKEN_TEXT_SIZE];
};

static int add_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct made *m = arg;

    return token_add(&g_server, tx, &m->row, m->text, err);
}

static struct made make(const char *kind, int64_t expires_ms)
{
    struct made m = { .row = { .expires_ms = expires_ms } };
    struct err err = { "" };

    snprintf(m.row.kind, sizeof m.row.kind, "%s", kind);
    snprintf(m.row.org_id, sizeof m.row.org_id, "%s", WORLD_ORG);
    snprintf(m.row.owner_id, sizeof m.row.owner_id, "%s", NODE);
    snprintf(m.row.name, sizeof m.row.name, "test");
    assert_int_equal(store_write(g_server.store, add_in, &m, &err), 0);
    return m;
}

static int bearer(const struct made *m, struct err *err)
{
    struct auth_who who;

    err->text[0] = 0;
    return auth_bearer(&g_server, m->text, &who, err);
}

static void test_last_moment(void **state)
{
    const struct token_row row = { .expires_ms = 1000 }, forever = { .expires_ms = 0 };
    const struct token_row revoked = { .expires_ms = 1000, .revoked_ms = 5 };

    assert_true(token_is_good(&row, 999));
    assert_false(token_is_good(&row, 1000));
    assert_true(token_is_good(&forever, INT64_MAX));
    assert_false(token_is_good(&revoked, 4));
}

static void test_expired(void **state)
{
    int64_t now_ms = server_now_ms(&g_server);
    struct made good = make("node", now_ms + 3600000), over = make("node", now_ms - 1);
    struct err err;

    assert_int_equal(bearer(&good, &err), 0);
    assert_int_equal(bearer(&over, &err), -EACCES);
    assert_string_equal(err.text, "the token has expired");
}

/* One to join with opens no other door, be it in time or not. */
static void test_join(void **state)
{
    struct made join = make("join", server_now_ms(&g_server) + 3600000);
    struct err err;

    assert_int_equal(bearer(&join, &err), -EACCES);
}

static void test_longer_in_the_store(void **state)
{
    int64_t now_ms = server_now_ms(&g_server);
    struct made over = make("node", now_ms - 1);
    struct err err;

    assert_int_equal(fixture_exec(g_server.store, "UPDATE tokens SET expires_ms = $1 WHERE id = $2",
                                  STORE_ARGS(store_int(now_ms + 3600000), store_text(over.row.id))),
                     1);
    assert_int_equal(bearer(&over, &err), -EACCES);
    assert_string_equal(err.text, "the token is not known");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_moment),
        cmocka_unit_test_setup_teardown(test_expired, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_join, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_longer_in_the_store, world_setup, world_teardown),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    fixture_done();
    return failed;
}
