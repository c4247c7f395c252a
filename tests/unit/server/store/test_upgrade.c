/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one version of the schema to the next: this program knows a second migration (migrations/002_later.sql), old_dump beside it the first alone. Stores and backups of
 * the old one come up to date, those of the new one are refused by the old; on each engine.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/store/backend.h"
#include "server/store/dump.h"
#include "tests/unit/server/fixture.h"

static char g_file[128];

/* What it printed goes to ret. returns: its exit status. */
static int old_dump(const char *verb, const char *url, char ret[512])
{
    char path[512];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 32);
    int out[2], status;
    size_t size = 0;
    pid_t pid;

    assert_true(len > 0);
    path[len] = 0;
    snprintf(strrchr(path, '/') + 1, 16, "server_old_dump");
    assert_int_equal(pipe(out), 0);
    pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        execl(path, path, verb, url, g_file, NULL);
        _exit(127);
    }
    close(out[1]);
    while (size < 511 && (len = read(out[0], ret + size, 511 - size)) > 0)
        size += (size_t)len;
    ret[size] = 0;
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A store of the old version, and its dump in g_file. */
static void make_old(char url[256])
{
    char out[512];

    snprintf(g_file, sizeof g_file, "%s/dump", fixture_folder());
    snprintf(url, 256, "%s", fixture_url());
    if (old_dump("make", url, out) != 0)
        fail_msg("%s", out);
}

static void check_new(struct store *store)
{
    assert_int_equal(
        fixture_int(store, "SELECT count(*) FROM orgs WHERE title = 'The acme'", STORE_NO_ARGS), 1);
    assert_int_equal(fixture_int(store,
                                 "SELECT count(*) FROM org_notes WHERE org_id = 'org_a' AND "
                                 "length(note) = 3",
                                 STORE_NO_ARGS),
                     1);
    assert_int_equal(fixture_int(store, "SELECT number FROM event_counter", STORE_NO_ARGS), 41);
    assert_int_equal(fixture_int(store, "SELECT max(version) FROM schema_version", STORE_NO_ARGS),
                     2);
    assert_int_equal(fixture_int(store, "SELECT count(*) FROM schema_version", STORE_NO_ARGS), 2);
    assert_true(fixture_exec(store, "DELETE FROM stapled", STORE_NO_ARGS) < 0);
}

static void test_store(void **state)
{
    char url[256], out[512];
    struct err err = { "" };
    struct store *store;

    make_old(url);
    assert_int_equal(store_open(url, &store, &err), 0);
    check_new(store);
    store_close(store);
    assert_int_equal(old_dump("load", url, out), 2);
    assert_non_null(strstr(out, "schema version 2, this program knows up to 1"));
}

static int load(struct store *store, const char *path, struct err *err)
{
    FILE *file = fopen(path, "r");
    uint8_t sha256[32];
    int64_t rows;
    long end;
    int rc = store_load(store, file, &rows, sha256, &end, err);

    fclose(file);
    return rc;
}

static void test_backup(void **state)
{
    struct store *store = fixture_store();
    struct err err = { "" };
    char url[256], out[512];
    uint8_t sha256[32];
    int64_t rows;
    FILE *file;

    make_old(url);
    assert_int_equal(load(store, g_file, &err), 0);
    check_new(store);
    assert_int_equal(load(store, g_file, &err), -EEXIST);
    check_new(store);
    file = fopen(g_file, "w+");
    assert_non_null(file);
    assert_int_equal(store_dump(store, file, &rows, sha256, &err), 0);
    fclose(file);
    store_close(store);
    store = fixture_store();
    assert_int_equal(load(store, g_file, &err), 0);
    check_new(store);
    store_close(store);
    assert_int_equal(old_dump("load", fixture_url(), out), 1);
    assert_non_null(
        strstr(out, "the backup has schema version 2, this program knows up to 1: restore with "
                    "the newer program"));
}

/* An old backup that breaks off leaves the store as it was, at its version, and usable. */
static void test_half(void **state)
{
    struct store *store = fixture_store();
    char url[256], line[4096], half[160];
    struct err err = { "" };
    FILE *from, *to;
    bool is_last = false;

    make_old(url);
    snprintf(half, sizeof half, "%s.half", g_file);
    from = fopen(g_file, "r");
    to = fopen(half, "w");
    assert_true(from && to);
    while (!is_last && fgets(line, sizeof line, from)) {
        is_last = strstr(line, "\"apps\"") != NULL;
        fputs(line, to);
    }
    assert_true(is_last);
    fclose(from);
    fclose(to);
    assert_int_equal(load(store, half, &err), -EBADMSG);
    assert_int_equal(fixture_int(store, "SELECT count(*) FROM org_notes", STORE_NO_ARGS), 0);
    assert_int_equal(fixture_int(store, "SELECT number FROM event_counter", STORE_NO_ARGS), 0);
    assert_int_equal(
        fixture_int(store, "SELECT count(*) FROM orgs WHERE title = 'x'", STORE_NO_ARGS), 0);
    assert_int_equal(load(store, g_file, &err), 0);
    check_new(store);
    assert_int_equal(store_clear(store, &err), 0);
    assert_int_equal(fixture_int(store, "SELECT count(*) FROM event_counter", STORE_NO_ARGS), 1);
    assert_int_equal(fixture_int(store, "SELECT count(*) FROM orgs", STORE_NO_ARGS), 0);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_half),
    };
    int status = cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);

    fixture_done();
    return status;
}
