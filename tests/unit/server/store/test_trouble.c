/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in trouble: a full disk, a file that is locked, that cannot be written, that is damaged, that is none. Errors say what it is, nothing acknowledged is lost, nothing refused remains,
 * and what can go on does. Small file systems are mounted in a namespace of the test's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/store/backend.h"
#include "tests/unit/server/fixture.h"

#define VALUE_SIZE 20000u
#define WRITERS 4u

static bool g_has_mounts;
static char g_small[128];

static struct store *open_store(const char *path)
{
    struct store *store;
    struct err err = { "" };
    char url[256];

    snprintf(url, sizeof url, "sqlite:%s", path);
    if (store_open(url, &store, &err) < 0)
        fail_msg("%s", err.text);
    return store;
}

static int open_refused(const char *path, struct err *err)
{
    struct store *store;
    char url[256];
    int rc;

    snprintf(url, sizeof url, "sqlite:%s", path);
    rc = store_open(url, &store, err);
    if (rc == 0)
        store_close(store);
    return rc;
}

struct value {
    char name[32];
    uint8_t bytes[VALUE_SIZE];
};

static int put_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct value *v = arg;

    int rc =
        store_exec(tx, "INSERT INTO settings (name, value) VALUES ($1, $2)",
                   STORE_ARGS(store_text(v->name), store_blob(v->bytes, sizeof v->bytes)), err);

    return MIN(rc, 0);
}

static int put(struct store *store, const char *name, struct err *err)
{
    struct value v = { "" };

    snprintf(v.name, sizeof v.name, "%s", name);
    memset(v.bytes, name[0], sizeof v.bytes);
    return store_write(store, put_in, &v, err);
}

static int64_t count_values(struct store *store, const char *name)
{
    return fixture_int(store,
                       "SELECT count(*) FROM settings WHERE name = $1 AND length(value) = $2",
                       STORE_ARGS(store_text(name), store_int(VALUE_SIZE)));
}

static int64_t count_all(struct store *store)
{
    return fixture_int(store, "SELECT count(*) FROM settings", STORE_NO_ARGS);
}

static int integrity_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "PRAGMA integrity_check", STORE_NO_ARGS, &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    assert_int_equal(rc, 1);
    assert_string_equal(store_column_text(rows, 0), "ok");
    return 0;
}

static void make_file(const char *path, size_t size)
{
    static const uint8_t zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    for (size_t done = 0; done < size; done += sizeof zeros)
        assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    close(fd);
}

/* ---- a full disk ---- */

struct filler {
    struct store *store;
    unsigned thread, acknowledged;
    int rc; /* that ended it */
    char text[sizeof((struct err *)0)->text];
};

/* Writes until the store refuses. */
static void *fill(void *arg)
{
    struct filler *f = arg;
    struct err err = { "" };
    char name[32];

    for (;;) {
        snprintf(name, sizeof name, "v%u-%u", f->thread, f->acknowledged);
        f->rc = put(f->store, name, &err);
        if (f->rc < 0)
            break;
        f->acknowledged++;
    }
    snprintf(f->text, sizeof f->text, "%s", err.text);
    return NULL;
}

static void check_filled(struct store *store, const struct filler *fillers)
{
    int64_t total = 0;
    char name[32];

    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned n = 0; n < fillers[i].acknowledged; n++) {
            snprintf(name, sizeof name, "v%u-%u", i, n);
            assert_int_equal(count_values(store, name), 1);
        }
        total += fillers[i].acknowledged;
    }
    assert_int_equal(count_all(store), total); /* and nothing that was refused */
}

static void test_full(void **state)
{
    struct filler fillers[WRITERS];
    pthread_t threads[WRITERS];
    struct err err = { "" };
    struct store *store;
    char path[160], ballast[160];

    if (!g_has_mounts)
        skip();
    assert_int_equal(mount("none", g_small, "tmpfs", 0, "size=10m"), 0);
    snprintf(path, sizeof path, "%s/full.db", g_small);
    snprintf(ballast, sizeof ballast, "%s/ballast", g_small);
    make_file(ballast, 6u << 20);
    store = open_store(path);
    for (unsigned i = 0; i < WRITERS; i++) {
        fillers[i] = (struct filler){ .store = store, .thread = i };
        assert_int_equal(pthread_create(&threads[i], NULL, fill, &fillers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(fillers[i].rc, -ENOSPC);
        assert_non_null(strstr(fillers[i].text, "full"));
    }
    check_filled(store, fillers); /* reads go on */
    assert_int_equal(store_check(store, &err), 0);
    assert_int_equal(put(store, "again", &err), -ENOSPC);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(put(store, "afterwards", &err), 0);
    assert_int_equal(count_values(store, "afterwards"), 1);
    assert_int_equal(
        fixture_exec(store, "DELETE FROM settings WHERE name = 'afterwards'", STORE_NO_ARGS), 1);
    assert_int_equal(store_read(store, integrity_in, NULL, &err), 0);
    store_close(store);
    store = open_store(path);
    check_filled(store, fillers);
    store_close(store);
    assert_int_equal(umount(g_small), 0);
}

/* Nothing can be made where there is no space at all. */
static void test_full_from_the_start(void **state)
{
    struct err err = { "" };
    char path[160];

    if (!g_has_mounts)
        skip();
    assert_int_equal(mount("none", g_small, "tmpfs", 0, "size=64k"), 0);
    snprintf(path, sizeof path, "%s/full.db", g_small);
    assert_int_equal(open_refused(path, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "full"));
    assert_int_equal(umount(g_small), 0);
}

/* ---- what cannot be written ---- */

static void test_read_only(void **state)
{
    struct err err = { "" };
    char path[160];

    if (!g_has_mounts)
        skip();
    assert_int_equal(mount("none", g_small, "tmpfs", 0, "size=6m"), 0);
    snprintf(path, sizeof path, "%s/fixed.db", g_small);
    store_close(open_store(path));
    assert_int_equal(mount("none", g_small, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_true(open_refused(path, &err) < 0);
    assert_non_null(strstr(err.text, "Read-only file system"));
    assert_non_null(strstr(err.text, path));
    assert_int_equal(umount(g_small), 0);
}

static void test_no_folder(void **state)
{
    struct err err = { "" };

    assert_int_equal(open_refused("/nowhere/at/all.db", &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/at/all.db"));
}

/* ---- others have it ---- */

static sqlite3 *lock_it(const char *path)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void *unlock_later(void *arg)
{
    usleep(300000);
    sqlite3_exec(arg, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

static void test_locked(void **state)
{
    struct err err = { "" };
    struct store *store;
    pthread_t thread;
    char path[160];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/locked.db", fixture_folder());
    store = open_store(path);
    assert_int_equal(put(store, "before", &err), 0);
    db = lock_it(path);
    assert_int_equal(pthread_create(&thread, NULL, unlock_later, db), 0);
    assert_int_equal(put(store, "waited", &err), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    store_write_wait_ms = 1;
    assert_int_equal(put(store, "refused", &err), -EAGAIN);
    assert_non_null(strstr(err.text, "locked"));
    assert_int_equal(count_values(store, "before"), 1); /* readers do not wait */
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(put(store, "afterwards", &err), 0);
    assert_int_equal(count_all(store), 3);
    store_close(store);
}

/* ---- damage ---- */

/* The page that a table begins at. */
static int64_t root_page(const char *path, const char *table)
{
    sqlite3_stmt *statement;
    int64_t page;
    sqlite3 *db;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = $1",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(statement, 1, table, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    page = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    return page;
}

static void overwrite(const char *path, int64_t off, size_t size)
{
    int fd = open(path, O_RDWR);
    uint8_t bytes[4096];

    assert_true(fd >= 0 && size <= sizeof bytes);
    memset(bytes, 0xa5, size);
    assert_int_equal(pwrite(fd, bytes, size, off), size);
    close(fd);
}

static int sum_in(struct store_tx *tx, void *arg, struct err *err)
{
    int64_t count;

    return store_get_int(tx, "SELECT sum(length(value)) FROM settings", STORE_NO_ARGS, &count, err);
}

static void test_damaged_page(void **state)
{
    struct err err = { "" };
    struct store *store;
    char path[160];

    snprintf(path, sizeof path, "%s/damaged.db", fixture_folder());
    store = open_store(path);
    assert_int_equal(put(store, "a", &err), 0);
    store_close(store);
    overwrite(path, (root_page(path, "settings") - 1) * 4096, 4096);
    store = open_store(path);
    assert_int_equal(store_read(store, sum_in, NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "malformed"));
    assert_int_equal(put(store, "b", &err), -EBADMSG);
    assert_non_null(strstr(err.text, "malformed"));
    /* The other tables serve. */
    assert_int_equal(fixture_exec(store, "UPDATE event_counter SET number = 7", STORE_NO_ARGS), 1);
    assert_int_equal(fixture_int(store, "SELECT number FROM event_counter", STORE_NO_ARGS), 7);
    store_close(store);
}

static void test_damaged_head(void **state)
{
    struct err err = { "" };
    char path[160];

    snprintf(path, sizeof path, "%s/headless.db", fixture_folder());
    store_close(open_store(path));
    overwrite(path, 0, 4096);
    assert_int_equal(open_refused(path, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "not a database"));
    make_file(path, 16384);
    assert_true(open_refused(path, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),         cmocka_unit_test(test_full_from_the_start),
        cmocka_unit_test(test_read_only),    cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_locked),       cmocka_unit_test(test_damaged_page),
        cmocka_unit_test(test_damaged_head),
    };
    int status;

    snprintf(g_small, sizeof g_small, "%s/small", fixture_folder());
    mkdir(g_small, 0700);
    g_has_mounts =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    status = cmocka_run_group_tests_name("trouble", tests, NULL, NULL);
    fixture_done();
    return status;
}
