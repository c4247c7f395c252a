/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps: every kind of value comes back, from each engine into each; what is not a dump is refused and leaves nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/store/backend.h"
#include "server/store/dump.h"
#include "tests/unit/server/fixture.h"

static const char g_odd[] = "tab\t\"quote\" \xc3\xa4 \\ line\n";
static const uint8_t g_bytes[] = { 0, 1, 2, 0xff, 0x5c, 0x78 };

static struct store *make(void)
{
    struct store *store = fixture_store();

    for (unsigned i = 0; i < 4; i++) {
        char name[8];

        snprintf(name, sizeof name, "b%u", i);
        assert_int_equal(fixture_exec(store, "INSERT INTO settings (name, value) VALUES ($1, $2)",
                                      STORE_ARGS(store_text(name), store_blob(g_bytes, i))),
                         1);
    }
    assert_int_equal(
        fixture_exec(store, "INSERT INTO settings (name, value) VALUES ($1, $2)",
                     STORE_ARGS(store_text(g_odd), store_blob(g_bytes, sizeof g_bytes))),
        1);
    assert_int_equal(
        fixture_exec(store,
                     "INSERT INTO events (number, org_id, kind, object, data, time_ms) "
                     "VALUES ($1, 'o', 'k', '', $2, $3)",
                     STORE_ARGS(store_int(INT64_MAX), store_null(), store_int(INT64_MIN))),
        1);
    return store;
}

static FILE *dump(struct store *store, uint8_t sha256[32])
{
    struct err err = { "" };
    FILE *file = tmpfile();
    int64_t rows;

    assert_int_equal(store_dump(store, file, &rows, sha256, &err), 0);
    assert_true(rows >= 6);
    return file;
}

static int load(struct store *store, FILE *file, uint8_t sha256[32])
{
    struct err err = { "" };
    int64_t rows;
    long end;
    int rc = store_load(store, file, &rows, sha256, &end, &err);

    if (rc == 0) {
        fseek(file, 0, SEEK_END);
        assert_int_equal(end, ftell(file));
    }
    return rc;
}

static void test_round_trip(void **state)
{
    struct store *from = make(), *to = fixture_store();
    uint8_t first[32], second[32], third[32];
    FILE *file = dump(from, first), *again;

    assert_int_equal(load(to, file, second), 0);
    assert_memory_equal(first, second, 32);
    again = dump(to, third);
    assert_memory_equal(first, third, 32);
    assert_int_equal(load(to, file, second), -EEXIST);
    assert_int_equal(fixture_int(to, "SELECT length(value) FROM settings WHERE name = $1",
                                 STORE_ARGS(store_text(g_odd))),
                     sizeof g_bytes);
    fclose(file);
    fclose(again);
    store_close(from);
    store_close(to);
}

/* Between the engines, when there are both. */
static void test_other_engine(void **state)
{
    struct store *from, *to;
    struct err err = { "" };
    uint8_t first[32], second[32], third[32];
    char url[256];
    FILE *file, *again;

    if (!fixture_is_postgresql())
        skip();
    from = make();
    snprintf(url, sizeof url, "sqlite:%s/other.db", fixture_folder());
    assert_int_equal(store_open(url, &to, &err), 0);
    file = dump(from, first);
    assert_int_equal(load(to, file, second), 0);
    again = dump(to, third);
    fclose(file);
    store_close(from);
    from = fixture_store();
    assert_int_equal(load(from, again, second), 0);
    fclose(again);
    assert_int_equal(fixture_int(from,
                                 "SELECT count(*) FROM events WHERE number = $1 AND data IS NULL",
                                 STORE_ARGS(store_int(INT64_MAX))),
                     1);
    store_close(from);
    store_close(to);
}

static void expect_refused(const char *text, int error)
{
    struct store *store = fixture_store();
    uint8_t sha256[32];
    FILE *file = tmpfile();
    struct err err = { "" };

    fputs(text, file);
    assert_int_equal(load(store, file, sha256), error);
    assert_int_equal(fixture_int(store, "SELECT count(*) FROM settings", STORE_NO_ARGS), 0);
    assert_int_equal(store_check(store, &err), 0);
    fclose(file);
    store_close(store);
}

static void test_refused(void **state)
{
#define HEAD "{\"format\":\"cloche-backup-1\",\"schema\":1}\n"
#define TABLE "{\"table\":\"settings\",\"columns\":[\"name\",\"value\"]}\n"
    expect_refused("", -EBADMSG);
    expect_refused("garbage\n", -EBADMSG);
    expect_refused("{\"format\":\"other\",\"schema\":1}\n", -EBADMSG);
    expect_refused("{\"format\":\"cloche-backup-1\",\"schema\":9}\n", -EPROTONOSUPPORT);
    expect_refused(HEAD, -EBADMSG);
    expect_refused(HEAD "[1]\n", -EBADMSG);
    expect_refused(HEAD "{\"end\":true,\"rows\":0}\n", -EBADMSG);
    expect_refused(HEAD "{\"table\":\"orgs\",\"columns\":[]}\n", -EBADMSG);
    expect_refused(HEAD "{\"table\":\"settings; DROP TABLE orgs\",\"columns\":[]}\n", -EBADMSG);
    expect_refused(HEAD "{\"table\":\"settings\",\"columns\":[\"name\"]}\n", -EBADMSG);
    expect_refused(HEAD TABLE "[\"a\"]\n", -EBADMSG);
    expect_refused(HEAD TABLE "[\"a\",{\"b\":\"*\"}]\n", -EBADMSG);
    expect_refused(HEAD TABLE "[\"a\",{\"b\":\"AA==\"}]\n[\"a\",{\"b\":\"AA==\"}]\n", -EBADMSG);
    expect_refused(HEAD TABLE "[\"a\",true]\n", -EBADMSG);
    expect_refused(HEAD TABLE "[\"a\",{\"b\":\"AA==\"}]\n", -EBADMSG);
}

/* The list of tables is the schema's. */
static void test_tables(void **state)
{
    struct store *store = fixture_store();
    unsigned count = 0;

    for (const struct store_table *table = store_tables; table->name; table++)
        count += store_table_is_in(table, store_migration_count);
    if (!fixture_is_postgresql())
        assert_int_equal(
            fixture_int(store,
                        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> "
                        "'schema_version' AND name NOT LIKE 'sqlite_%'",
                        STORE_NO_ARGS),
            count);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_other_engine),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tables),
    };
    int status = cmocka_run_group_tests_name("dump", tests, NULL, NULL);

    fixture_done();
    return status;
}
