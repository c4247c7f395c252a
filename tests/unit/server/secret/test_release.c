/* SPDX-License-Identifier: Apache-2.0 */
/* Release: who gets which secret with which value, what the audit log says of it, the tag, rows that somebody changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/secret/row.h"
#include "tests/unit/server/fixture.h"
#include "tests/unit/server/secret/fake.h"

#define ORG "org_01hzzzzzzzzzzzzzzzzzzzzzza"

static struct server g_server;
static char g_tag[SECRET_TAG_SIZE];

static const struct secret_receiver g_to = { .org_id = ORG,
                                             .app_id = "app_hotel",
                                             .build_id = "bld_1",
                                             .instance_id = "ins_1",
                                             .tee = "sgx",
                                             .tcb_status = "UpToDate",
                                             .certificate_pem = "PEM" };

static int add_org_in(struct store_tx *tx, void *arg, struct err *err)
{
    static const char *const apps[] = { "app_hotel", "app_other" };
    int rc = keys_org_add(g_server.keys, tx, ORG, err);

    if (rc == 0)
        rc = store_exec(tx,
                        "INSERT INTO orgs (id, name, created_ms, settings, approvals_needed, "
                        "roster_version, roster_sha256, mac) VALUES ($1, 'o', 1, '', 1, 1, $2, $2)",
                        STORE_ARGS(store_text(ORG), store_blob("", 0)), err);
    for (unsigned i = 0; i < 2 && rc >= 0; i++)
        rc = store_exec(tx,
                        "INSERT INTO apps (id, org_id, name, settings, is_single, lease_s, "
                        "certificate_s, created_ms, mac) VALUES ($1, $2, $1, '', 0, 1, 1, 1, $3)",
                        STORE_ARGS(store_text(apps[i]), store_text(ORG), store_blob("", 0)), err);
    return rc;
}

struct new_secret {
    const char *name, *value, *deliver, *conditions, *app, *build;
    bool is_template;
};

static int add_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct new_secret *s = arg;
    struct secret_row row = { .version = 1, .created_ms = 1, .changed_ms = 1, .binding_count = 1 };
    int rc;

    snprintf(row.id, sizeof row.id, "sec_%s", s->name);
    snprintf(row.org_id, sizeof row.org_id, "%s", ORG);
    snprintf(row.name, sizeof row.name, "%s", s->name);
    snprintf(row.bindings[0].app_id, 32, "%s", s->app ? s->app : "app_hotel");
    snprintf(row.bindings[0].build_id, 32, "%s", s->build ? s->build : "");
    row.delivery = json_pack("{s:o, s:b}", "deliver", json_loads(s->deliver, 0, NULL), "template",
                             s->is_template);
    row.conditions = json_loads(s->conditions ? s->conditions : "{}", 0, NULL);
    rc = secret_row_insert(&g_server, tx, &row, err);
    if (rc == 0)
        rc = secret_value_insert(&g_server, tx, &row, s->value, strlen(s->value), "test", "usr_x",
                                 err);
    secret_row_done(&row);
    return rc;
}

static void add(struct new_secret s)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_server.store, add_in, &s, &err), 0);
}

static int set_up(void **state)
{
    struct err err = { "" };

    g_server.store = fixture_store();
    g_server.keys = fixture_keys(g_server.store, "correct horse battery");
    assert_true(store_write(g_server.store, add_org_in, NULL, &err) >= 0);
    add((struct new_secret){ "password", "p@ss w", "{\"env\":\"DB_PASSWORD\"}" });
    return 0;
}

static int tear_down(void **state)
{
    keys_close(g_server.keys);
    store_close(g_server.store);
    return 0;
}

struct asked {
    const struct secret_receiver *to;
    json_t *list;
};

static int release_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct asked *asked = arg;

    return secret_release(&g_server, tx, asked->to, &asked->list, err);
}

static json_t *release(const struct secret_receiver *to)
{
    struct asked asked = { to, NULL };
    struct err err = { "" };
    int rc = store_write(g_server.store, release_in, &asked, &err);

    return rc == 0 ? asked.list : NULL;
}

static int tag_in(struct store_tx *tx, void *arg, struct err *err)
{
    return secret_tag(&g_server, tx, arg, g_tag, err);
}

static const char *tag(const struct secret_receiver *to)
{
    struct err err = { "" };

    assert_int_equal(store_read(g_server.store, tag_in, (void *)(uintptr_t)to, &err), 0);
    return g_tag;
}

/* The value in base64 of the secret with this name in the list, or NULL. */
static const char *value_of(const json_t *list, const char *name)
{
    const json_t *item;
    size_t index;

    json_array_foreach(list, index, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0)
            return json_string_value(json_object_get(item, "value"));
    }
    return NULL;
}

static int64_t count_audit(const char *decision)
{
    char like[64];

    snprintf(like, sizeof like, "%%\"decision\":\"%s\"%%", decision);
    return fixture_int(g_server.store,
                       "SELECT count(*) FROM audit_entries WHERE entry LIKE $1 AND org_id = $2",
                       STORE_ARGS(store_text(like), store_text(ORG)));
}

static void test_plain(void **state)
{
    json_t *list = release(&g_to);

    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(value_of(list, "password"), "cEBzcyB3");
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(json_array_get(list, 0), "deliver"), "env")),
                        "DB_PASSWORD");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "version")), 1);
    secret_list_free(list);
    assert_int_equal(count_audit("allowed"), 1);
    assert_int_equal(count_audit("refused"), 0);
}

static void test_others(void **state)
{
    struct secret_receiver to = g_to;
    json_t *list;

    add((struct new_secret){ "one-build", "v", "{\"socket\":true}", NULL, NULL, "bld_1" });
    add((struct new_secret){ "strict", "v", "{\"socket\":true}", "{\"tee\":[\"tdx\"]}" });
    to.app_id = "app_other";
    list = release(&to);
    assert_int_equal(json_array_size(list), 0);
    assert_string_equal(tag(&to), "");
    secret_list_free(list);
    to = g_to;
    to.build_id = "bld_2";
    list = release(&to);
    assert_int_equal(json_array_size(list), 1);
    secret_list_free(list);
    assert_int_equal(count_audit("refused"), 1); /* "strict", with its reason */
    list = release(&g_to);
    assert_non_null(value_of(list, "one-build"));
    assert_null(value_of(list, "strict"));
    secret_list_free(list);
    to.is_emulated = true;
    list = release(&to);
    assert_int_equal(json_array_size(list), 0);
    secret_list_free(list);
    to = g_to;
    to.org_id = "org_01hzzzzzzzzzzzzzzzzzzzzzzb";
    list = release(&to);
    assert_int_equal(json_array_size(list), 0);
    secret_list_free(list);
}

static void test_templates(void **state)
{
    json_t *list;

    add((struct new_secret){ "db", "{\"host\":\"db.lan\",\"port\":5432}", "{\"none\":true}" });
    add((struct new_secret){
        "url", "pg://u:{{secret.password|url}}@{{secret.db.host}}:{{secret.db.port}}/",
        "{\"env\":\"URL\"}", .is_template = true });
    add((struct new_secret){ "tls", "{{certificate}}", "{\"file\":\"/tls\"}",
                             .is_template = true });
    add((struct new_secret){ "nested", "{{secret.url}}", "{\"env\":\"N\"}", .is_template = true });
    add((struct new_secret){ "foreign", "x", "{\"none\":true}", NULL, "app_other" });
    add((struct new_secret){ "steals", "{{secret.foreign}}", "{\"env\":\"S\"}",
                             .is_template = true });
    add((struct new_secret){ "strict", "x", "{\"none\":true}", "{\"tee\":[\"tdx\"]}" });
    add((struct new_secret){ "evades", "{{secret.strict}}", "{\"env\":\"E\"}",
                             .is_template = true });
    list = release(&g_to);
    assert_int_equal(json_array_size(list), 3);
    assert_string_equal(value_of(list, "url"), "cGc6Ly91OnAlNDBzcyUyMHdAZGIubGFuOjU0MzIv");
    assert_string_equal(value_of(list, "tls"), "UEVN");
    assert_null(value_of(list, "nested"));
    assert_null(value_of(list, "steals"));
    assert_null(value_of(list, "evades"));
    secret_list_free(list);
    assert_int_equal(count_audit("refused"), 3);
}

static void test_tag(void **state)
{
    struct secret_receiver to = g_to;
    char before[SECRET_TAG_SIZE];

    snprintf(before, sizeof before, "%s", tag(&g_to));
    assert_int_equal(strlen(before), 64);
    to.instance_id = "ins_2";
    to.certificate_pem = "other";
    assert_string_equal(tag(&to), before); /* nothing that it gets has changed */
    add((struct new_secret){ "tls", "{{certificate}}", "{\"file\":\"/tls\"}",
                             .is_template = true });
    assert_string_not_equal(tag(&to), before);
    snprintf(before, sizeof before, "%s", tag(&to));
    assert_string_not_equal(tag(&g_to), before);
    assert_int_equal(count_audit("allowed"), 0);
}

static int rotate_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct secret_row row;
    int rc = secret_row_read(&g_server, tx, ORG, "password", &row, err);

    assert_int_equal(rc, 0);
    row.version++;
    rc = secret_row_update(&g_server, tx, &row, err);
    if (rc == 0)
        rc = secret_value_insert(&g_server, tx, &row, "second", 6, "test", "usr_x", err);
    secret_row_done(&row);
    return rc;
}

static void test_rotation(void **state)
{
    struct err err = { "" };
    char before[SECRET_TAG_SIZE];
    json_t *list;

    snprintf(before, sizeof before, "%s", tag(&g_to));
    assert_int_equal(store_write(g_server.store, rotate_in, NULL, &err), 0);
    assert_string_not_equal(tag(&g_to), before);
    list = release(&g_to);
    assert_string_equal(value_of(list, "password"), "c2Vjb25k");
    secret_list_free(list);
    /* Destroyed: refused, told, and the others go on. */
    assert_int_equal(fixture_exec(g_server.store,
                                  "UPDATE secret_versions SET sealed = $1, destroyed_ms = 1 WHERE "
                                  "version = 2",
                                  STORE_ARGS(store_blob("", 0))),
                     1);
    list = release(&g_to);
    assert_int_equal(json_array_size(list), 0);
    secret_list_free(list);
    assert_int_equal(count_audit("refused"), 1);
}

/* Whoever owns the database tries to get the password to another app, to be kept from emulated platforms, an old version back. */
static void expect_refused(const char *sql)
{
    json_t *list = release(&g_to);

    assert_int_equal(json_array_size(list), 1);
    secret_list_free(list);
    assert_int_equal(fixture_exec(g_server.store, sql, STORE_NO_ARGS), 1);
    assert_null(release(&g_to));
    assert_int_equal(count_audit("allowed"), 1);
}

static void test_forged_binding(void **state)
{
    expect_refused(
        "INSERT INTO secret_bindings (secret_id, app_id) VALUES ('sec_password', 'app_other')");
}

static void test_forged_conditions(void **state)
{
    expect_refused("UPDATE secrets SET conditions = '{\"emulated\":true}'");
}

static void test_forged_version(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_server.store, rotate_in, NULL, &err), 0);
    expect_refused("UPDATE secrets SET version = 1");
}

static void test_moved_value(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_server.store, rotate_in, NULL, &err), 0);
    expect_refused("UPDATE secret_versions SET sealed = (SELECT sealed FROM secret_versions WHERE "
                   "version = 1) WHERE version = 2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain),
        TEST(test_others),
        TEST(test_templates),
        TEST(test_tag),
        TEST(test_rotation),
        TEST(test_forged_binding),
        TEST(test_forged_conditions),
        TEST(test_forged_version),
        TEST(test_moved_value),
    };
    int status = cmocka_run_group_tests_name("release", tests, NULL, NULL);

    fixture_done();
    return status;
}
