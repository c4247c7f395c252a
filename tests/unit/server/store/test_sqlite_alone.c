/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's WAL without shared memory: several connections of one process, and no other process. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/store/sqlite_alone.h"

#define ROUNDS 200
#define READERS 3

static char g_folder[64], g_path[80];

static int set_up(void **state)
{
    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-alone-XXXXXX");
    assert_non_null(mkdtemp(g_folder));
    snprintf(g_path, sizeof g_path, "%s/db", g_folder);
    return sqlite_alone_register();
}

static int tear_down(void **state)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", SQLITE_LOCK_SUFFIX };
    char name[96];

    for (unsigned i = 0; i < ARRAY_COUNT(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", g_path, suffixes[i]);
        unlink(name);
    }
    return rmdir(g_folder);
}

static sqlite3 *open_alone(void)
{
    sqlite3 *db;

    assert_int_equal(
        sqlite3_open_v2(g_path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, SQLITE_ALONE_VFS),
        SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL),
        SQLITE_OK);
    return db;
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int keep_number(void *arg, int count, char **values, char **names)
{
    *(long *)arg = strtol(values[0], NULL, 10);
    return 0;
}

static long number(sqlite3 *db, const char *sql)
{
    long ret = -1;

    assert_int_equal(sqlite3_exec(db, sql, keep_number, &ret, NULL), SQLITE_OK);
    return ret;
}

static bool is_there(const char *suffix)
{
    char name[96];

    snprintf(name, sizeof name, "%s%s", g_path, suffix);
    return access(name, F_OK) == 0;
}

/* A reader keeps its view, one writer at a time, and nothing is shared by a file. */
static void test_connections(void **state)
{
    sqlite3 *a = open_alone(), *b = open_alone(), *c = open_alone();

    assert_int_equal(run(a, "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)"), SQLITE_OK);
    assert_int_equal(run(b, "BEGIN"), SQLITE_OK);
    assert_int_equal(number(b, "SELECT count(*) FROM t"), 1);
    assert_int_equal(run(a, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)"), SQLITE_OK);
    assert_int_equal(run(c, "BEGIN IMMEDIATE"), SQLITE_BUSY);
    assert_int_equal(run(a, "COMMIT"), SQLITE_OK);
    assert_int_equal(number(b, "SELECT count(*) FROM t"), 1);
    assert_int_equal(number(c, "SELECT count(*) FROM t"), 2);
    assert_int_equal(run(b, "INSERT INTO t VALUES (3)") & 0xff, SQLITE_BUSY); /* its view is old */
    assert_int_equal(run(b, "ROLLBACK"), SQLITE_OK);
    assert_true(is_there("-wal"));
    assert_false(is_there("-shm"));
    sqlite3_close(a);
    sqlite3_close(b);
    sqlite3_close(c);
    assert_false(is_there("-wal")); /* the last one put all into the database */
    a = open_alone();
    assert_int_equal(number(a, "SELECT sum(n) FROM t"), 3);
    sqlite3_close(a);
}

static void *read_sums(void *arg)
{
    sqlite3 *db = open_alone();

    sqlite3_busy_timeout(db, 60000);
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_int_equal(number(db, "SELECT sum(n) FROM t"), 0);
    sqlite3_close(db);
    return NULL;
}

/* While one writes pairs that cancel out and the log is put into the database, no reader sees half of one. */
static void test_threads(void **state)
{
    pthread_t readers[READERS];
    sqlite3 *db = open_alone();

    sqlite3_busy_timeout(db, 60000);
    assert_int_equal(run(db, "PRAGMA wal_autocheckpoint=8; CREATE TABLE t (n INTEGER);"
                             "INSERT INTO t VALUES (1), (-1)"),
                     SQLITE_OK);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_sums, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++)
        assert_int_equal(run(db, "INSERT INTO t VALUES (7), (-7)"), SQLITE_OK);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 2 * ROUNDS + 2);
    assert_int_equal(run(db, "PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
    sqlite3_close(db);
}

/* In a child, which has nothing of the parent's locks. returns: what it returned. */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int ask(void)
{
    struct err err = { "" };
    bool is_alone;
    int fd = -1, rc = sqlite_alone_ask(g_path, &is_alone, &fd, &err);

    return rc < 0 ? -rc : is_alone ? 255 : 0;
}

static int open_code(void)
{
    sqlite3 *db;

    return sqlite3_open_v2(g_path, &db, SQLITE_OPEN_READWRITE, SQLITE_ALONE_VFS);
}

/* Who shares keeps out who wants it alone, and the reverse; a death ends either. */
static void test_processes(void **state)
{
    struct err err = { "" };
    bool is_alone = true;
    int fd = -1;
    sqlite3 *db = open_alone();

    assert_int_equal(run(db, "CREATE TABLE t (n INTEGER)"), SQLITE_OK);
    assert_int_equal(in_child(ask), EBUSY);
    sqlite3_close(db);
    assert_int_equal(in_child(ask), 0);
    assert_int_equal(sqlite_alone_ask(g_path, &is_alone, &fd, &err), 0);
    assert_false(is_alone);
    assert_int_equal(in_child(ask), 0);
    assert_int_equal(in_child(open_code), SQLITE_BUSY);
    close(fd);
    assert_int_equal(in_child(open_code), SQLITE_OK);
    db = open_alone();
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
    sqlite3_close(db);
}

/* What a process that died left in the log is found again. */
static int write_and_die(void)
{
    sqlite3 *db = open_alone();

    return run(db, "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (5)");
}

static void test_death(void **state)
{
    sqlite3 *db;

    assert_int_equal(in_child(write_and_die), SQLITE_OK);
    assert_true(is_there("-wal"));
    db = open_alone();
    assert_int_equal(number(db, "SELECT n FROM t"), 5);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_death, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
