/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL under load, 200 times (25 with PostgreSQL, whose clients can lose less): a child writes from several threads and tells each write that the store has acknowledged over a pipe; it is killed at an arbitrary write.
 * Nothing that was told may be missing, nothing may be there by half, the audit log stays whole, and the store opens again at once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/audit/audit.h"
#include "tests/unit/server/fixture.h"

#define KILLS 200u
#define THREADS 4u
#define TOLD_MAX (KILLS * 64u)

struct write {
    int64_t number;
};
static struct store *g_store;
static int g_pipe[2];
static int64_t g_first; /* of this child */

/* Two rows and an audit entry: all or none. */
static int write_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct write *w = arg;
    struct audit_entry entry = { .actor = "server", .action = "test", .decision = "done" };
    char name[32];
    int rc;

    snprintf(name, sizeof name, "%lld", (long long)w->number);
    rc = store_exec(tx, "INSERT INTO nonces (nonce, expires_ms) VALUES ($1, $2)",
                    STORE_ARGS(store_blob(name, strlen(name)), store_int(w->number)), err);
    if (rc >= 0)
        rc = store_exec(tx, "INSERT INTO settings (name, value) VALUES ($1, $2)",
                        STORE_ARGS(store_text(name), store_blob("v", 1)), err);
    return rc < 0 ? rc : audit_append(tx, &entry, err);
}

static void *write_always(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    struct err err = { "" };

    for (int64_t i = 0;; i++) {
        struct write w = { g_first + i * THREADS + thread };

        if (store_write(g_store, write_in, &w, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(1);
        }
        if (write(g_pipe[1], &w.number, sizeof w.number) != sizeof w.number)
            _exit(1);
    }
    return NULL;
}

static void child(const char *url)
{
    struct err err = { "" };
    pthread_t thread;

    if (store_open(url, &g_store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, write_always, (void *)(uintptr_t)i) != 0)
            _exit(1);
    for (;;)
        pause();
}

/* Reads what the child tells until `count` writes, kills it, reads the rest. returns: all numbers that were told. */
static unsigned run_and_kill(const char *url, unsigned count, int64_t *told)
{
    unsigned got = 0;
    int status;
    pid_t pid;

    assert_int_equal(pipe(g_pipe), 0);
    pid = fork();
    if (pid == 0) {
        close(g_pipe[0]);
        child(url);
    }
    close(g_pipe[1]);
    while (got < TOLD_MAX && read(g_pipe[0], &told[got], sizeof *told) == sizeof *told)
        if (++got == count)
            kill(pid, SIGKILL);
    close(g_pipe[0]);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* not ended by an error of its own */
    return got;
}

static int check_in(struct store_tx *tx, void *arg, struct err *err)
{
    const int64_t *told = arg; /* ends with -1 */
    int64_t count, other, entries;

    for (; *told >= 0; told++) {
        assert_int_equal(store_get_int(tx, "SELECT count(*) FROM nonces WHERE expires_ms = $1",
                                       STORE_ARGS(store_int(*told)), &count, err),
                         0);
        assert_int_equal(count, 1);
    }
    assert_int_equal(store_get_int(tx, "SELECT count(*) FROM nonces", STORE_NO_ARGS, &count, err),
                     0);
    assert_int_equal(store_get_int(tx, "SELECT count(*) FROM settings WHERE value = $1",
                                   STORE_ARGS(store_blob("v", 1)), &other, err),
                     0);
    assert_int_equal(
        store_get_int(tx, "SELECT count(*) FROM audit_entries", STORE_NO_ARGS, &entries, err), 0);
    assert_int_equal(count, other);
    assert_int_equal(count, entries);
    return 0;
}

static int audit_in(struct store_tx *tx, void *arg, struct err *err)
{
    uint64_t size;

    return audit_verify(tx, arg, &size, err);
}

static void test_kill(void **state)
{
    static int64_t told[TOLD_MAX + 1];
    struct err err = { "" };
    struct store *store;
    struct keys *keys;
    char url[256];

    snprintf(url, sizeof url, "%s", fixture_url());
    assert_int_equal(store_open(url, &store, &err), 0);
    store_close(store);
    for (unsigned i = 0; i < (fixture_is_postgresql() ? KILLS / 8 : KILLS); i++) {
        unsigned got = run_and_kill(url, 1 + i * 7 % 23, told);

        told[got] = -1;
        g_first += 1000000;
        assert_int_equal(store_open(url, &store, &err), 0);
        assert_int_equal(store_read(store, check_in, told, &err), 0);
        store_close(store);
    }
    assert_int_equal(store_open(url, &store, &err), 0);
    keys = fixture_keys(store, "correct horse battery");
    assert_int_equal(store_read(store, audit_in, keys, &err), 0);
    keys_close(keys);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
    };
    int status;

    signal(SIGPIPE, SIG_IGN);
    status = cmocka_run_group_tests_name("kill", tests, NULL, NULL);
    fixture_done();
    return status;
}
