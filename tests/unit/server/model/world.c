/* SPDX-License-Identifier: Apache-2.0 */
/* A small organisation in a real store, for the model's tests. */
#include "tests/unit/server/model/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "server/model/row.h"
#include "tests/unit/server/fixture.h"
#include "tests/unit/server/model/fake.h"

struct server g_server;
EVP_PKEY *g_world_keys[WORLD_KEY_COUNT];

const char *world_key_id(unsigned number)
{
    static const char *const ids[] = { "key_00000000000000000000000001",
                                       "key_00000000000000000000000002",
                                       "key_00000000000000000000000003" };

    return ids[number];
}

static int add_keys(struct store_tx *tx, struct err *err)
{
    for (unsigned i = 0; i < WORLD_KEY_COUNT; i++) {
        char user[32];
        uint8_t public_key[32];
        size_t size = sizeof public_key;

        snprintf(user, sizeof user, "usr_0000000000000000000000000%u", i + 1);
        assert_int_equal(EVP_PKEY_get_raw_public_key(g_world_keys[i], public_key, &size), 1);
        assert_int_equal(
            store_exec(tx,
                       "INSERT INTO users (id, org_id, name, roles, created_ms, mac) "
                       "VALUES ($1, $2, $1, 8, 1, $3)",
                       STORE_ARGS(store_text(user), store_text(WORLD_ORG), store_blob("x", 1)),
                       err),
            1);
        assert_int_equal(
            store_exec(tx,
                       "INSERT INTO approver_keys (id, org_id, user_id, name, public_key, state, "
                       "created_ms, changed_ms) VALUES ($1, $2, $3, 'key', $4, $5, 1, 1)",
                       STORE_ARGS(store_text(world_key_id(i)), store_text(WORLD_ORG),
                                  store_text(user), store_blob(public_key, 32),
                                  store_text(i == 2 ? "proposed" : "active")),
                       err),
            1);
    }
    return 0;
}

/* The digest that the organisation's row has is made of the keys as they are now. */
static int enter_roster(struct store_tx *tx, struct err *err)
{
    struct roster roster = { 0 };
    struct roster_key keys[2];

    assert_int_equal(org_read(&g_server, tx, WORLD_ORG, &roster.org, err), 0);
    memset(keys, 0, sizeof keys);
    for (unsigned i = 0; i < 2; i++) {
        size_t size = sizeof keys[i].public_key;

        snprintf(keys[i].id, sizeof keys[i].id, "%s", world_key_id(i));
        snprintf(keys[i].user_id, sizeof keys[i].user_id, "usr_0000000000000000000000000%u", i + 1);
        snprintf(keys[i].name, sizeof keys[i].name, "key");
        snprintf(keys[i].state, sizeof keys[i].state, "active");
        EVP_PKEY_get_raw_public_key(g_world_keys[i], keys[i].public_key, &size);
    }
    roster.keys = keys;
    roster.count = 2;
    roster.org.approvals_needed = 2;
    roster.org.roster_version = 1;
    assert_int_equal(roster_digest(&roster, roster.org.roster_sha256), 0);
    return org_write(&g_server, tx, &roster.org, err);
}

static int fill_in(struct store_tx *tx, void *arg, struct err *err)
{
    char settings[] = "{\"dns_names\":[],\"grace_s\":10}", descriptor[] = "{}";
    struct app_full app = { .row = { .id = WORLD_APP,
                                     .org_id = WORLD_ORG,
                                     .name = "hotel",
                                     .lease_s = 600,
                                     .certificate_s = 3600,
                                     .settings = settings },
                            .created_ms = 1,
                            .version = 1 };
    struct build_full build = { .row = { .id = WORLD_BUILD,
                                         .org_id = WORLD_ORG,
                                         .app_id = WORLD_APP,
                                         .version = "1.0",
                                         .state = "allowed",
                                         .has_sgx = true },
                                .descriptor = descriptor,
                                .created_ms = 1,
                                .changed_ms = 1,
                                .version = 1 };

    memset(build.row.app_digest, 0xd1, sizeof build.row.app_digest);
    memset(build.row.mrenclave, 0xe1, sizeof build.row.mrenclave);
    memset(build.row.mrsigner, 0x51, sizeof build.row.mrsigner);
    assert_int_equal(org_add(&g_server, tx, WORLD_ORG, "acme", 1, err), 0);
    add_keys(tx, err);
    assert_int_equal(enter_roster(tx, err), 0);
    assert_int_equal(app_full_insert(&g_server, tx, &app, err), 0);
    assert_int_equal(build_full_insert(&g_server, tx, &build, err), 0);
    return 0;
}

int world_setup(void **state)
{
    struct err err = { "" };

    for (unsigned i = 0; i < WORLD_KEY_COUNT; i++)
        g_world_keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    g_server.store = fixture_store();
    g_server.keys = fixture_keys(g_server.store, "correct horse");
    g_server.events = (struct events *)&g_fake_listener; /* the fake asks for no more */
    assert_int_equal(model_open(&g_server, &g_server.model, &err), 0);
    assert_int_equal(store_write(g_server.store, fill_in, NULL, &err), 0);
    g_fake_log_count = 0;
    return 0;
}

int world_teardown(void **state)
{
    model_close(g_server.model);
    keys_close(g_server.keys);
    store_close(g_server.store);
    for (unsigned i = 0; i < WORLD_KEY_COUNT; i++)
        EVP_PKEY_free(g_world_keys[i]);
    return 0;
}

static int statement_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct roster roster = { 0 };
    struct app_row app = { 0 };
    struct build_row build;

    assert_int_equal(roster_read(&g_server, tx, WORLD_ORG, &roster, err), 0);
    assert_int_equal(app_read(&g_server, tx, WORLD_APP, &app, err), 0);
    assert_int_equal(build_read(&g_server, tx, WORLD_ORG, WORLD_BUILD, &build, err), 0);
    assert_int_equal(approval_statement_build(&roster.org, &app, &build, arg), 0);
    roster_done(&roster);
    app_row_done(&app);
    return 0;
}

char *world_statement(void)
{
    char *statement = NULL;
    struct err err = { "" };

    assert_int_equal(store_read(g_server.store, statement_in, &statement, &err), 0);
    return statement;
}

void world_approve(unsigned key, const char *statement)
{
    char *right = statement ? NULL : world_statement(), id[32];
    uint8_t signature[64], mac[32];
    size_t size = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct err err = { "" };

    if (right)
        statement = right;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, g_world_keys[key]), 1);
    assert_int_equal(
        EVP_DigestSign(ctx, signature, &size, (const uint8_t *)statement, strlen(statement)), 1);
    EVP_MD_CTX_free(ctx);
    snprintf(id, sizeof id, "apr_0000000000000000000000000%u", key + 1);
    assert_int_equal(
        row_mac(&g_server, WORLD_ORG, "approvals", id,
                STORE_ARGS(store_text(id), store_text(WORLD_BUILD), store_text(world_key_id(key)),
                           store_text(statement), store_blob(signature, size), store_int(7)),
                mac, &err),
        0);
    assert_int_equal(
        fixture_exec(g_server.store,
                     "INSERT INTO approvals (id, org_id, subject_id, key_id, statement, signature, "
                     "created_ms, mac) VALUES ($1, $2, $3, $4, $5, $6, 7, $7)",
                     STORE_ARGS(store_text(id), store_text(WORLD_ORG), store_text(WORLD_BUILD),
                                store_text(world_key_id(key)), store_text(statement),
                                store_blob(signature, size), store_blob(mac, sizeof mac))),
        1);
    free(right);
}

static int check_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct build_row build = { .id = WORLD_BUILD, .org_id = WORLD_ORG, .app_id = WORLD_APP };

    memset(build.app_digest, 0xd1, sizeof build.app_digest);
    return build_check(&g_server, tx, &build, g_fake_now_ms, err);
}

int world_check(struct err *ret)
{
    *ret = (struct err){ "" };
    return store_read(g_server.store, check_in, NULL, ret);
}
