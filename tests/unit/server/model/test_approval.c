/* SPDX-License-Identifier: Apache-2.0 */
/* Approvals against whoever owns the database: each row is changed in each way, and the build is refused, and it is reported. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "tests/unit/server/fixture.h"
#include "tests/unit/server/model/fake.h"
#include "tests/unit/server/model/world.h"

static void sql(const char *statement)
{
    assert_true(fixture_exec(g_server.store, statement, STORE_NO_ARGS) >= 1);
}

static void approve_both(void)
{
    struct err err;

    world_approve(0, NULL);
    world_approve(1, NULL);
    assert_int_equal(world_check(&err), 0);
    assert_int_equal(g_fake_log_count, 0);
}

static void test_two_of_two(void **state)
{
    struct err err;

    assert_int_equal(world_check(&err), -EACCES);
    world_approve(0, NULL);
    assert_int_equal(world_check(&err), -EACCES);
    assert_non_null(strstr(err.text, "1 valid approvals"));
    world_approve(1, NULL);
    assert_int_equal(world_check(&err), 0);
    assert_int_equal(world_check(&err), 0); /* from the memory of verified signatures */
}

static int insert_in(struct store_tx *tx, void *arg, struct err *err)
{
    return build_full_insert(&g_server, tx, arg, err);
}

static void test_states(void **state)
{
    struct err err;
    struct {
        const char *state;
        int64_t until_ms;
        int expected;
    } cases[] = { { "proposed", 0, -EACCES },
                  { "allowed", 0, 0 },
                  { "deprecated", 0, 0 },
                  { "deprecated", g_fake_now_ms + 1, 0 },
                  { "deprecated", g_fake_now_ms, -EACCES },
                  { "revoked", 0, -EACCES } };

    approve_both();
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build_full build = { .row = { .id = WORLD_BUILD,
                                             .org_id = WORLD_ORG,
                                             .app_id = WORLD_APP,
                                             .version = "1.0",
                                             .has_sgx = true },
                                    .created_ms = 1,
                                    .version = i + 1,
                                    .descriptor = strdup("{}") };

        memset(build.row.app_digest, 0xd1, sizeof build.row.app_digest);
        memset(build.row.mrenclave, 0xe1, sizeof build.row.mrenclave);
        memset(build.row.mrsigner, 0x51, sizeof build.row.mrsigner);
        row_copy(build.row.state, sizeof build.row.state, cases[i].state);
        build.row.deprecated_until_ms = cases[i].until_ms;
        sql("DELETE FROM builds");
        assert_int_equal(store_write(g_server.store, insert_in, &build, &err), 0);
        assert_int_equal(world_check(&err), cases[i].expected);
        free(build.descriptor);
    }
}

/* What the owner of the database may do, and what the server says then. */
static const struct attack {
    const char *statement;
    int expected;
    bool is_reported; /* by a line of the log */
} g_attacks[] = {
    /* the build */
    { "UPDATE builds SET state = 'proposed'", -EBADMSG, true },
    { "UPDATE builds SET app_digest = mrenclave", -EBADMSG, true },
    { "UPDATE builds SET mrenclave = mrsigner", -EBADMSG, true },
    { "UPDATE builds SET mrenclave = NULL", -EBADMSG, true },
    { "UPDATE builds SET mrsigner = mrenclave", -EBADMSG, true },
    { "UPDATE builds SET isv_svn = 9", -EBADMSG, true },
    { "UPDATE builds SET is_debug = 1", -EBADMSG, true },
    { "UPDATE builds SET snp_measurement = app_digest", -EBADMSG, true },
    { "UPDATE builds SET tdx_mrtd = app_digest", -EBADMSG, true },
    { "UPDATE builds SET version = '2.0'", -EBADMSG, true },
    { "UPDATE builds SET deprecated_until_ms = 99", -EBADMSG, true },
    { "UPDATE builds SET row_version = 7", -EBADMSG, true },
    { "UPDATE builds SET mac = mrenclave", -EBADMSG, true },
    { "DELETE FROM builds", -EACCES, false },
    /* the app */
    { "UPDATE apps SET name = 'other'", -EBADMSG, true },
    { "UPDATE apps SET lease_s = 86400", -EBADMSG, true },
    { "UPDATE apps SET is_single = 1", -EBADMSG, true },
    { "UPDATE apps SET settings = '{\"dns_names\":[\"bank.example\"]}'", -EBADMSG, true },
    { "UPDATE apps SET policy_id = 'pol_x'", -EBADMSG, true },
    { "UPDATE apps SET revoked_ms = 1", -EBADMSG, true },
    /* the organisation */
    { "UPDATE orgs SET approvals_needed = 1", -EBADMSG, true },
    { "UPDATE orgs SET approvals_needed = 0", -EBADMSG, true },
    { "UPDATE orgs SET roster_version = 0", -EBADMSG, true },
    { "UPDATE orgs SET name = 'evil'", -EBADMSG, true },
    { "UPDATE orgs SET default_policy_id = 'pol_x'", -EBADMSG, true },
    { "UPDATE orgs SET roster_sha256 = mac", -EBADMSG, true },
    /* the roster */
    { "UPDATE approver_keys SET state = 'active'", -EBADMSG, true },
    { "UPDATE approver_keys SET state = 'revoked' WHERE id LIKE '%1'", -EBADMSG, true },
    { "UPDATE approver_keys SET state = 'proposed' WHERE id LIKE '%1'", -EBADMSG, true },
    { "UPDATE approver_keys SET user_id = 'usr_00000000000000000000000003' WHERE id LIKE '%1'",
      -EBADMSG, true },
    { "UPDATE approver_keys SET name = 'x' WHERE id LIKE '%1'", -EBADMSG, true },
    /* the approvals */
    { "UPDATE approvals SET statement = 'x' WHERE id LIKE '%1'", -EACCES, true },
    { "UPDATE approvals SET signature = mac WHERE id LIKE '%1'", -EACCES, true },
    { "UPDATE approvals SET created_ms = 1 WHERE id LIKE '%1'", -EACCES, true },
    { "UPDATE approvals SET mac = signature WHERE id LIKE '%1'", -EACCES, true },
    { "UPDATE approvals SET subject_id = 'bld_x' WHERE id LIKE '%1'", -EACCES, false },
    { "UPDATE approvals SET key_id = 'key_00000000000000000000000003' WHERE id LIKE '%1'", -EACCES,
      true },
    { "DELETE FROM approvals WHERE id LIKE '%1'", -EACCES, false },
    /* none of it, but the revocation is believed */
    { "INSERT INTO revocations (org_id, kind, object, created_by, created_ms) VALUES "
      "('" WORLD_ORG "', 'build', '" WORLD_BUILD "', 'x', 1)",
      -EACCES, false },
    { "INSERT INTO revocations (org_id, kind, object, created_by, created_ms) VALUES "
      "('" WORLD_ORG "', 'app', '" WORLD_APP "', 'x', 1)",
      -EACCES, false },
};

struct attempt {
    const struct attack *attack;
    int rc;
    struct err why;
};

/* In a transaction that is given up, so that the next attack finds the store as it was. */
static int attack_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct attempt *attempt = arg;
    struct build_row build = { .id = WORLD_BUILD, .org_id = WORLD_ORG, .app_id = WORLD_APP };

    memset(build.app_digest, 0xd1, sizeof build.app_digest);
    assert_true(store_exec(tx, attempt->attack->statement, STORE_NO_ARGS, err) >= 1);
    attempt->rc = build_check(&g_server, tx, &build, g_fake_now_ms, &attempt->why);
    return -ECANCELED;
}

static void test_attack(void **state)
{
    struct attempt attempt = { .attack = *state };
    struct err err = { "" };

    g_fake_log_count = 0;
    assert_int_equal(store_write(g_server.store, attack_in, &attempt, &err), -ECANCELED);
    if (attempt.rc != attempt.attack->expected)
        fail_msg("%s: %d, %s", attempt.attack->statement, attempt.rc, attempt.why.text);
    assert_true(attempt.why.text[0] != '\0');
    assert_int_equal(g_fake_log_count > 0, attempt.attack->is_reported);
    assert_int_equal(world_check(&err), 0);
}

static int attacks_setup(void **state)
{
    world_setup(state);
    approve_both();
    return 0;
}

/* A public key of the attacker's own in the place of an approver's, with approvals by it. */
static void test_own_key(void **state)
{
    struct err err;
    uint8_t own[32];
    size_t size = sizeof own;

    world_approve(0, NULL);
    EVP_PKEY_get_raw_public_key(g_world_keys[2], own, &size);
    sql("DELETE FROM approver_keys WHERE id LIKE '%3'");
    assert_int_equal(fixture_exec(g_server.store,
                                  "UPDATE approver_keys SET public_key = $1 WHERE id LIKE '%2'",
                                  STORE_ARGS(store_blob(own, size))),
                     1);
    assert_int_equal(world_check(&err), -EBADMSG);
    assert_non_null(strstr(err.text, "roster"));
}

/* A right signature of a key that is not in the roster, even with a right mac. */
static void test_key_outside(void **state)
{
    struct err err;

    world_approve(0, NULL);
    world_approve(2, NULL);
    assert_int_equal(world_check(&err), -EACCES);
    assert_true(g_fake_log_count > 0);
}

/* An approval of another build, moved. */
static void test_other_statement(void **state)
{
    struct err err;
    char *statement = world_statement();
    char *digest = strstr(statement, "e1e1");

    assert_non_null(digest);
    world_approve(0, NULL);
    memcpy(digest, "ffff", 4);
    world_approve(1, statement);
    assert_int_equal(world_check(&err), -EACCES);
    free(statement);
}

/* Rows of the same kind do not take each other's macs: a context is bound to table and id. */
static void test_other_mac(void **state)
{
    struct err err;

    approve_both();
    assert_true(fixture_exec(g_server.store,
                             "UPDATE apps SET mac = (SELECT mac FROM builds LIMIT 1)",
                             STORE_NO_ARGS) == 1);
    assert_int_equal(world_check(&err), -EBADMSG);
}

static void tell(const char *kind, const char *object, const char *data)
{
    const struct event event = {
        .number = 1, .org_id = WORLD_ORG, .kind = kind, .object = object, .data = data, .time_ms = 1
    };

    g_fake_listener(g_fake_listener_arg, &event);
}

/* Rows of before, with their right macs, while the server runs that wrote newer ones. */
static void test_old_rows(void **state)
{
    struct err err;

    approve_both();
    tell("build.allowed", WORLD_BUILD, "{}");
    tell("roster.changed", WORLD_ORG, "{\"version\":1,\"needed\":2}");
    assert_int_equal(world_check(&err), 0);
    tell("roster.changed", WORLD_ORG, "{\"version\":2,\"needed\":3}");
    assert_int_equal(world_check(&err), -EBADMSG);
    tell("roster.changed", "org_00000000000000000000000002", "{\"version\":9}");
    world_teardown(NULL);
    world_setup(NULL);
    approve_both();
    tell("build.revoked", "bld_00000000000000000000000002", NULL);
    assert_int_equal(world_check(&err), 0);
    tell("build.revoked", WORLD_BUILD, NULL);
    assert_int_equal(world_check(&err), -EBADMSG);
    world_teardown(NULL);
    world_setup(NULL);
    approve_both();
    tell("app.revoked", WORLD_APP, NULL);
    assert_int_equal(world_check(&err), -EBADMSG);
}

/* A signature that was verified is remembered by its content alone: the same place with another statement or key is verified anew. */
static void test_memory(void **state)
{
    struct err err;

    approve_both();
    assert_int_equal(fixture_exec(g_server.store,
                                  "UPDATE approvals SET key_id = $1 WHERE key_id = $2",
                                  STORE_ARGS(store_text("key_00000000000000000000000003"),
                                             store_text(world_key_id(1)))),
                     1);
    assert_int_equal(world_check(&err), -EACCES);
    model_close(g_server.model); /* and without any memory the answer is the same */
    g_server.model = NULL;
    assert_int_equal(world_check(&err), -EACCES);
    sql("UPDATE approvals SET key_id = 'key_00000000000000000000000002' WHERE id LIKE '%2'");
    assert_int_equal(world_check(&err), 0);
}

static void test_statement(void **state)
{
    char *statement = world_statement();
    json_t *j = json_loads(statement, JSON_REJECT_DUPLICATES, NULL);
    char *again = row_canonical(j);

    assert_string_equal(again, statement);
    assert_string_equal(json_string_value(json_object_get(j, "type")), "cloche-approval-1");
    assert_string_equal(json_string_value(json_object_get(j, "action")), "allow");
    assert_string_equal(json_string_value(json_object_get(j, "org_name")), "acme");
    assert_string_equal(json_string_value(json_object_get(j, "app_name")), "hotel");
    assert_int_equal(json_string_length(json_object_get(j, "app_digest")), 96);
    assert_int_equal(json_string_length(json_object_get(j, "mrenclave")), 64);
    assert_null(json_object_get(j, "snp_measurement"));
    free(again);
    free(statement);
    json_decref(j);
}

static void test_base64(void **state)
{
    uint8_t bytes[64], back[64];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 250);
    for (size_t size = 1; size <= sizeof bytes; size++) {
        char *text = approval_base64(bytes, size);

        assert_int_equal(approval_unbase64(text, back, size), 0);
        assert_memory_equal(back, bytes, size);
        assert_int_equal(approval_unbase64(text, back, size + 1), -EINVAL);
        free(text);
    }
    assert_int_equal(approval_unbase64("AA", back, 1), 0);
    assert_int_equal(approval_unbase64("AB", back, 1), -EINVAL); /* bits left over */
    assert_int_equal(approval_unbase64("A=", back, 1), -EINVAL);
    assert_int_equal(approval_unbase64("A+", back, 1), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_of_two, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_states, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_own_key, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_key_outside, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_other_statement, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_other_mac, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_old_rows, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_memory, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_statement, world_setup, world_teardown),
        cmocka_unit_test(test_base64),
    };
    struct CMUnitTest attacks[ARRAY_COUNT(g_attacks)];

    for (unsigned i = 0; i < ARRAY_COUNT(g_attacks); i++)
        attacks[i] = (struct CMUnitTest){ .name = g_attacks[i].statement,
                                          .test_func = test_attack,
                                          .initial_state = (void *)&g_attacks[i] };
    int failed = cmocka_run_group_tests_name("approval", tests, NULL, NULL);

    failed += cmocka_run_group_tests_name("attacks", attacks, attacks_setup, world_teardown);
    fixture_done();
    return failed;
}
