/* SPDX-License-Identifier: Apache-2.0 */
/* The store: transactions, errors, values, writers that share commits, migrations; on each engine. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/store/backend.h"
#include "server/store/id.h"
#include "tests/unit/server/fixture.h"

static struct store *g_store;

static int set_up(void **state)
{
    g_store = fixture_store();
    return 0;
}

static int tear_down(void **state)
{
    store_close(g_store);
    return 0;
}

/* settings, revocations and orgs of the real schema serve as tables. */
static int put(struct store_tx *tx, const char *name, const void *data, size_t size,
               struct err *err)
{
    return store_exec(tx, "INSERT INTO settings (name, value) VALUES ($1, $2)",
                      STORE_ARGS(store_text(name), store_blob(data, size)), err);
}

static int64_t count_settings(void)
{
    return fixture_int(g_store, "SELECT count(*) FROM settings", STORE_NO_ARGS);
}

/* ---- values ---- */

static int values_in(struct store_tx *tx, void *arg, struct err *err)
{
    static const char sql[] = "INSERT INTO events (number, org_id, kind, object, data, time_ms) "
                              "VALUES ($1, $2, $3, $4, $5, $6)";
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    size_t size;

    assert_int_equal(store_exec(tx, sql,
                                STORE_ARGS(store_int(INT64_MIN), store_text("o"), store_text(""),
                                           store_text("\xc3\xa4'\"; DROP TABLE"), store_null(),
                                           store_int(INT64_MAX)),
                                err),
                     1);
    assert_int_equal(store_query(tx,
                                 "SELECT number, org_id, kind, object, data, time_ms FROM events "
                                 "WHERE number = $1",
                                 STORE_ARGS(store_int(INT64_MIN)), &rows, err),
                     0);
    assert_int_equal(store_rows_next(rows, err), 1);
    assert_true(store_column_int(rows, 0) == INT64_MIN);
    assert_string_equal(store_column_text(rows, 1), "o");
    assert_string_equal(store_column_text(rows, 2), "");
    assert_false(store_is_null(rows, 2));
    assert_string_equal(store_column_text(rows, 3), "\xc3\xa4'\"; DROP TABLE");
    assert_true(store_is_null(rows, 4));
    assert_null(store_column_text(rows, 4));
    assert_null(store_column_blob(rows, 4, &size));
    assert_int_equal(size, 0);
    assert_int_equal(store_column_int(rows, 4), 0);
    assert_true(store_column_int(rows, 5) == INT64_MAX);
    assert_int_equal(store_rows_next(rows, err), 0);
    assert_int_equal(store_rows_next(rows, err), 0);
    return 0;
}

static void test_values(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, values_in, NULL, &err), 0);
}

static int blobs_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    uint8_t data[3000];
    const void *got;
    size_t size;

    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(put(tx, "a", data, sizeof data, err), 1);
    assert_int_equal(put(tx, "b", "", 0, err), 1);
    assert_int_equal(
        store_query(tx, "SELECT value FROM settings ORDER BY name", STORE_NO_ARGS, &rows, err), 0);
    assert_int_equal(store_rows_next(rows, err), 1);
    got = store_column_blob(rows, 0, &size);
    assert_int_equal(size, sizeof data);
    assert_memory_equal(got, data, size);
    assert_int_equal(store_rows_next(rows, err), 1);
    got = store_column_blob(rows, 0, &size);
    assert_int_equal(size, 0);
    assert_non_null(got);
    assert_false(store_is_null(rows, 0));
    return 0;
}

static void test_blobs(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, blobs_in, NULL, &err), 0);
}

/* ---- errors ---- */

static int errors_in(struct store_tx *tx, void *arg, struct err *err)
{
    int64_t n;

    assert_int_equal(put(tx, "x", "1", 1, err), 1);
    assert_int_equal(put(tx, "x", "2", 1, err), -EEXIST);
    assert_int_equal(store_exec(tx,
                                "INSERT INTO instance_history (instance_id, number, time_ms, "
                                "state) VALUES ($1, 1, 1, 'running')",
                                STORE_ARGS(store_text("nothing")), err),
                     -ENOLINK);
    assert_int_equal(put(tx, "y", "1", 1, err), 1);
    assert_int_equal(
        store_exec(tx, "UPDATE settings SET value = $1", STORE_ARGS(store_blob("3", 1)), err), 2);
    assert_int_equal(store_exec(tx, "DELETE FROM settings WHERE name = $1",
                                STORE_ARGS(store_text("nothing")), err),
                     0);
    assert_int_equal(
        store_get_int(tx, "SELECT 1 FROM settings WHERE name = 'none'", STORE_NO_ARGS, &n, err),
        -ENOENT);
    return 7;
}

static void test_errors(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, errors_in, NULL, &err), 7);
    assert_int_equal(count_settings(), 2);
}

static int upsert_in(struct store_tx *tx, void *arg, struct err *err)
{
    static const char sql[] =
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) "
        "DO UPDATE SET value = excluded.value RETURNING length(value)";
    int64_t n;

    assert_int_equal(
        store_get_int(tx, sql, STORE_ARGS(store_text("u"), store_blob("ab", 2)), &n, err), 0);
    assert_int_equal(n, 2);
    assert_int_equal(
        store_get_int(tx, sql, STORE_ARGS(store_text("u"), store_blob("abc", 3)), &n, err), 0);
    assert_int_equal(n, 3);
    /* A unique constraint shows when the query begins, and the transaction goes on. */
    assert_int_equal(store_get_int(tx,
                                   "INSERT INTO settings (name, value) VALUES ($1, $2) RETURNING 1",
                                   STORE_ARGS(store_text("u"), store_blob("z", 1)), &n, err),
                     -EEXIST);
    return 0;
}

static void test_upsert(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, upsert_in, NULL, &err), 0);
    assert_int_equal(count_settings(), 1);
}

static int refuse_in(struct store_tx *tx, void *arg, struct err *err)
{
    assert_int_equal(put(tx, "gone", "1", 1, err), 1);
    return err_set(err, -EACCES, "no");
}

static int broken_in(struct store_tx *tx, void *arg, struct err *err)
{
    int rc = put(tx, "gone", "1", 1, err);

    assert_int_equal(rc, 1);
    rc = store_exec(tx, "UPDATE no_such_table SET x = 1", STORE_NO_ARGS, err);
    assert_int_equal(rc, -EIO);
    return 0; /* as if nothing had been wrong */
}

static int wrong_count_in(struct store_tx *tx, void *arg, struct err *err)
{
    return store_exec(tx, "DELETE FROM settings WHERE name = $1 AND value = $2",
                      STORE_ARGS(store_text("x")), err);
}

static void test_nothing_remains(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, refuse_in, NULL, &err), -EACCES);
    assert_string_equal(err.text, "no");
    assert_int_equal(store_write(g_store, broken_in, NULL, &err), -EIO);
    assert_int_equal(store_write(g_store, wrong_count_in, NULL, &err), -EIO);
    assert_int_equal(count_settings(), 0);
}

static int write_in_read(struct store_tx *tx, void *arg, struct err *err)
{
    return put(tx, "r", "1", 1, err);
}

static int write_in_write(struct store_tx *tx, void *arg, struct err *err)
{
    return store_write(g_store, refuse_in, NULL, err);
}

static void test_wrong_kind(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_read(g_store, write_in_read, NULL, &err), -EROFS);
    assert_int_equal(store_write(g_store, write_in_write, NULL, &err), -EDEADLK);
    assert_int_equal(store_write(g_store, write_in_read, NULL, &err), 1);
    assert_int_equal(count_settings(), 1);
    assert_int_equal(store_check(g_store, &err), 0);
}

/* ---- views ---- */

static int one_more_in(struct store_tx *tx, void *arg, struct err *err)
{
    char id[ID_SIZE];

    id_make("app", id);
    return put(tx, id, "1", 1, err);
}

static int view_in(struct store_tx *tx, void *arg, struct err *err)
{
    int64_t before, after;

    assert_int_equal(
        store_get_int(tx, "SELECT count(*) FROM settings", STORE_NO_ARGS, &before, err), 0);
    assert_int_equal(store_write(g_store, one_more_in, NULL, err), 1);
    assert_int_equal(store_get_int(tx, "SELECT count(*) FROM settings", STORE_NO_ARGS, &after, err),
                     0);
    assert_int_equal(before, after);
    assert_int_equal(count_settings(), after + 1);
    return 0;
}

static void test_one_view(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_read(g_store, view_in, NULL, &err), 0);
}

/* A query inside the same query: each has its own rows. */
static int nested_in(struct store_tx *tx, void *arg, struct err *err)
{
    static const char sql[] = "SELECT name FROM settings ORDER BY name";
    CLEANUP(store_rows_freep)
    struct store_rows *outer = NULL;
    unsigned count = 0;

    assert_int_equal(store_query(tx, sql, STORE_NO_ARGS, &outer, err), 0);
    while (store_rows_next(outer, err) == 1) {
        CLEANUP(store_rows_freep)
        struct store_rows *inner = NULL;

        assert_int_equal(store_query(tx, sql, STORE_NO_ARGS, &inner, err), 0);
        while (store_rows_next(inner, err) == 1)
            count++;
    }
    assert_int_equal(count, 9);
    return 0;
}

/* The values of a query are borrowed for the call: the steps that come later see what it was asked with. */
static int borrowed_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    char name[8] = "b-", value[8] = "value";
    int count = 0;

    for (char c = 'a'; c <= 'e'; c++) {
        char each[4] = { 'b', '-', c, 0 };

        assert_int_equal(put(tx, each, "value", 5, err), 1);
    }
    assert_int_equal(store_query(tx,
                                 "SELECT name FROM settings WHERE name > $1 AND value = $2 "
                                 "ORDER BY name",
                                 STORE_ARGS(store_text(name), store_blob(value, 5)), &rows, err),
                     0);
    memset(name, 'x', sizeof name);
    memset(value, 'x', sizeof value);
    while (store_rows_next(rows, err) == 1)
        count++;
    assert_int_equal(count, 5);
    return 0;
}

static void test_borrowed(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, borrowed_in, NULL, &err), 0);
}

static void test_nested(void **state)
{
    struct err err = { "" };

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(store_write(g_store, one_more_in, NULL, &err), 1);
    assert_int_equal(store_read(g_store, nested_in, NULL, &err), 0);
}

/* ---- many writers ---- */

#define THREADS 8u
#define WRITES 40u

static int increment_in(struct store_tx *tx, void *arg, struct err *err)
{
    const unsigned *number = arg;
    int64_t n;
    int rc =
        store_get_int(tx, "SELECT version FROM test_counter WHERE 1 = 1", STORE_NO_ARGS, &n, err);

    if (rc < 0)
        return rc;
    rc = store_exec(tx, "UPDATE test_counter SET version = $1", STORE_ARGS(store_int(n + 1)), err);
    if (rc < 0)
        return rc;
    if (*number % 5 == 0) /* some are refused after they wrote */
        return -ECANCELED;
    rc = one_more_in(tx, NULL, err);
    return rc < 0 ? rc : 0;
}

static void *write_many(void *arg)
{
    unsigned *failures = arg;
    struct err err = { "" };

    for (unsigned i = 0; i < WRITES; i++) {
        int rc = store_write(g_store, increment_in, &i, &err);

        if (rc != (i % 5 == 0 ? -ECANCELED : 0))
            ++*failures;
    }
    return NULL;
}

static void test_writers(void **state)
{
    pthread_t threads[THREADS];
    unsigned failures[THREADS] = { 0 };

    assert_true(
        fixture_exec(g_store, "CREATE TABLE test_counter (version BIGINT)", STORE_NO_ARGS) >= 0);
    assert_int_equal(fixture_exec(g_store, "INSERT INTO test_counter VALUES (0)", STORE_NO_ARGS),
                     1);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &failures[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(failures[i], 0);
    }
    assert_int_equal(fixture_int(g_store, "SELECT version FROM test_counter", STORE_NO_ARGS),
                     THREADS * WRITES * 4 / 5);
    assert_int_equal(count_settings(), THREADS * WRITES * 4 / 5);
}

/* ---- opening ---- */

static void test_open_again(void **state)
{
    char url[256];
    struct store *store;
    struct err err = { "" };

    snprintf(url, sizeof url, "%s", fixture_url());
    assert_int_equal(store_open(url, &store, &err), 0);
    assert_int_equal(fixture_exec(store, "INSERT INTO settings (name, value) VALUES ('k', $1)",
                                  STORE_ARGS(store_blob("v", 1))),
                     1);
    store_close(store);
    assert_int_equal(store_open(url, &store, &err), 0);
    assert_int_equal(
        fixture_int(store, "SELECT length(value) FROM settings WHERE name = 'k'", STORE_NO_ARGS),
        1);
    assert_int_equal(fixture_exec(store,
                                  "INSERT INTO schema_version (version, name) VALUES (99, 'x')",
                                  STORE_NO_ARGS),
                     1);
    store_close(store);
    assert_int_equal(store_open(url, &store, &err), -EPROTONOSUPPORT);
}

static void test_open_wrong(void **state)
{
    struct store *store;
    struct err err = { "" };
    char url[256];
    FILE *file;

    assert_int_equal(store_open("mysql://x", &store, &err), -EINVAL);
    assert_int_equal(store_open("sqlite:", &store, &err), -EINVAL);
    snprintf(url, sizeof url, "sqlite:%s/not-there/x.db", fixture_folder());
    assert_int_equal(store_open(url, &store, &err), -ENOENT);
    snprintf(url, sizeof url, "sqlite:%s/garbage.db", fixture_folder());
    file = fopen(url + strlen("sqlite:"), "w");
    for (unsigned i = 0; i < 5000; i++)
        fputs("no database ", file);
    fclose(file);
    assert_int_equal(store_open(url, &store, &err), -EBADMSG);
}

/* ---- ids ---- */

static void test_ids(void **state)
{
    char a[ID_SIZE], b[ID_SIZE];

    id_make("app", a);
    assert_true(id_is_valid("app", a));
    assert_false(id_is_valid("org", a));
    id_make("app", b);
    assert_string_not_equal(a, b);
    assert_true(strncmp(a, b, 12) <= 0); /* the time's digits */
    assert_false(id_is_valid("app", NULL));
    assert_false(id_is_valid("app", ""));
    assert_false(id_is_valid("app", "app_01hzzzzzzzzzzzzzzzzzzzzzz"));
    assert_true(id_is_valid("app", "app_01hzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(id_is_valid("app", "app_81hzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(id_is_valid("app", "app_01hzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(id_is_valid("app", "app_01Hzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(id_is_valid("app", "app_01uzzzzzzzzzzzzzzzzzzzzzzz"));
}

static int put_one_in(struct store_tx *tx, void *arg, struct err *err)
{
    return MIN(put(tx, "one", "v", 1, err), 0);
}

/* Another server, or a person, holds the writers' lock of PostgreSQL; SQLite's: test_trouble.c. */
static int hold_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct store *other = arg;
    struct err why = { "" };

    assert_int_equal(store_write(other, put_one_in, NULL, &why), -EAGAIN);
    assert_non_null(strstr(why.text, "lock timeout"));
    return 0;
}

static void test_held(void **state)
{
    struct store *other;
    struct err err = { "" };
    char url[256];

    if (!fixture_is_postgresql())
        skip();
    store_write_wait_ms = 1;
    snprintf(url, sizeof url, "%s", fixture_url());
    assert_int_equal(store_open(url, &other, &err), 0);
    assert_int_equal(store_write(g_store, hold_in, other, &err), 0);
    store_write_wait_ms = 20000;
    assert_int_equal(store_write(other, put_one_in, NULL, &err), 0);
    store_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blobs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_upsert, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_remains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_borrowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nested, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writers, set_up, tear_down),
        cmocka_unit_test(test_open_again),
        cmocka_unit_test(test_open_wrong),
        cmocka_unit_test(test_ids),
    };
    int status = cmocka_run_group_tests_name("store", tests, NULL, NULL);

    fixture_done();
    return status;
}
