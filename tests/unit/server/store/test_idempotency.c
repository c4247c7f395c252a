/* SPDX-License-Identifier: Apache-2.0 */
/* A write and the answer that is kept under an Idempotency-Key are one transaction: over servers, over deaths of them; on each engine. */
#include <errno.h>
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

#include "server/api/request.h"
#include "tests/unit/server/fixture.h"

#define ORG "org_01hzzzzzzzzzzzzzzzzzzzzzzz"

static struct server g_server;
static char g_url[256];

static int add_org_in(struct store_tx *tx, void *arg, struct err *err)
{
    return keys_org_add(g_server.keys, tx, ORG, err);
}

static int set_up(void **state)
{
    struct err err = { "" };

    snprintf(g_url, sizeof g_url, "%s", fixture_url());
    assert_int_equal(store_open(g_url, &g_server.store, &err), 0);
    g_server.keys = fixture_keys(g_server.store, "a passphrase");
    return store_write(g_server.store, add_org_in, NULL, &err) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    keys_close(g_server.keys);
    store_close(g_server.store);
    return 0;
}

/* ---- a request ---- */

enum fate { LIVES, FN_FAILS, ANSWER_FAILS, KILLED_BEFORE_COMMIT };

struct ask {
    struct server *server;
    const char *actor, *key;
    uint8_t what; /* stands for the hash of what is asked */
    enum fate fate;
    int64_t number; /* of the effect */
    int rc, problem;
    char text[1024];
};

/* An effect that can happen any number of times: a row more each time. */
static int effect_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct ask *ask = arg;
    int rc = store_get_int(tx, "SELECT count(*) FROM nonces", STORE_NO_ARGS, &ask->number, err);
    char nonce[16];

    if (rc < 0)
        return rc;
    snprintf(nonce, sizeof nonce, "%lld", (long long)ask->number);
    rc = store_exec(tx, "INSERT INTO nonces (nonce, expires_ms) VALUES ($1, 0)",
                    STORE_ARGS(store_blob(nonce, strlen(nonce))), err);
    return rc < 0 ? rc : ask->fate == FN_FAILS ? -ENOENT : 0;
}

static int answer(void *arg, struct api_response *ret)
{
    struct ask *ask = arg;

    assert_null(ret->body);
    if (ask->fate == KILLED_BEFORE_COMMIT)
        kill(getpid(), SIGKILL);
    ret->status = 201;
    ret->body = json_pack("{s:s, s:I}", "token", "shown once", "number", (json_int_t)ask->number);
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)ask->number);
    snprintf(ret->location, sizeof ret->location, "/v1/things/%lld", (long long)ask->number);
    return ask->fate == ANSWER_FAILS ? -ENOMEM : 0;
}

static void *run(void *arg)
{
    struct ask *ask = arg;
    struct request r = { .rq = { .server = ask->server, .http = &r }, .idempotency_key = ask->key };
    struct api_response response = { .status = 0 };
    struct err err = { "" };
    char *body;

    snprintf(r.who.id, sizeof r.who.id, "%s", ask->actor);
    snprintf(r.who.org_id, sizeof r.who.org_id, "%s", ORG);
    memset(r.idempotency_hash, ask->what, sizeof r.idempotency_hash);
    ask->rc = api_write(&r.rq, effect_in, answer, ask, &response, &err);
    ask->problem = r.problem_status;
    if (ask->rc == 0) {
        body = json_dumps(response.body, JSON_COMPACT);
        snprintf(ask->text, sizeof ask->text, "%d %s %s %s", response.status, response.etag,
                 response.location, body);
        free(body);
    }
    json_decref(response.body);
    json_decref(r.problem);
    return NULL;
}

static struct ask ask(const char *actor, const char *key, uint8_t what, enum fate fate)
{
    struct ask a = { .server = &g_server, .actor = actor, .key = key, .what = what, .fate = fate };

    run(&a);
    return a;
}

static int64_t effects(void)
{
    return fixture_int(g_server.store, "SELECT count(*) FROM nonces", STORE_NO_ARGS);
}

static int64_t kept(void)
{
    return fixture_int(g_server.store, "SELECT count(*) FROM idempotency", STORE_NO_ARGS);
}

/* ---- tests ---- */

static void test_first_answer_again(void **state)
{
    struct ask first = ask("usr_a", "k", 1, LIVES), again = ask("usr_a", "k", 1, LIVES);

    assert_int_equal(first.rc, 0);
    assert_string_equal(first.text, "201 0 /v1/things/0 {\"token\":\"shown once\",\"number\":0}");
    assert_int_equal(again.rc, 0);
    assert_string_equal(again.text, first.text);
    assert_int_equal(effects(), 1);
    again = ask("usr_a", "k", 2, LIVES);
    assert_int_equal(again.rc, -EPROTO);
    assert_int_equal(again.problem, 422);
    assert_int_equal(effects(), 1);
    assert_string_not_equal(ask("usr_b", "k", 1, LIVES).text, first.text);
    assert_string_not_equal(ask("usr_a", "l", 1, LIVES).text, first.text);
    assert_int_equal(effects(), 3);
    assert_int_equal(ask("usr_a", NULL, 1, LIVES).rc, 0);
    assert_int_equal(ask("usr_a", NULL, 1, LIVES).rc, 0);
    assert_int_equal(effects(), 5);
    assert_int_equal(kept(), 3);
}

static void test_failure_leaves_the_key(void **state)
{
    assert_int_equal(ask("usr_a", "k", 1, FN_FAILS).rc, -ENOENT);
    assert_int_equal(ask("usr_a", "k", 1, ANSWER_FAILS).rc, -ENOMEM);
    assert_int_equal(effects(), 0);
    assert_int_equal(kept(), 0);
    assert_int_equal(ask("usr_a", "k", 2, LIVES).rc, 0);
    assert_int_equal(effects(), 1);
}

static void test_a_day(void **state)
{
    assert_int_equal(ask("usr_a", "k", 1, LIVES).rc, 0);
    assert_int_equal(fixture_exec(g_server.store,
                                  "UPDATE idempotency SET created_ms = created_ms - $1",
                                  STORE_ARGS(store_int(25 * 3600 * 1000ll))),
                     1);
    assert_int_equal(ask("usr_a", "k", 2, LIVES).rc, 0);
    assert_int_equal(effects(), 2);
    assert_int_equal(ask("usr_a", "k", 1, LIVES).rc, -EPROTO);
}

/* What another caller, key or request was answered is opened for nobody else, and no answer is made up. */
static void test_changed_rows(void **state)
{
    static const char *const changes[] = {
        "UPDATE idempotency SET actor = 'usr_b', key = 'l', request_sha256 = $1",
        "UPDATE idempotency SET actor = 'usr_b', key = 'k', request_sha256 = $1",
        "UPDATE idempotency SET actor = 'usr_a', key = 'l', request_sha256 = $1",
        "UPDATE idempotency SET answer = $1",
    };
    uint8_t hash[32];

    memset(hash, 2, sizeof hash);
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        fixture_exec(g_server.store, "DELETE FROM idempotency", STORE_NO_ARGS);
        assert_int_equal(ask("usr_a", "k", i < 2 ? 1 : 2, LIVES).rc, 0);
        assert_int_equal(
            fixture_exec(g_server.store, changes[i], STORE_ARGS(store_blob(hash, sizeof hash))), 1);
        assert_int_equal(ask(i < 2 ? "usr_b" : "usr_a", i == 0 || i == 2 ? "l" : "k", 2, LIVES).rc,
                         -EBADMSG);
    }
    assert_int_equal(effects(), ARRAY_COUNT(changes));
}

/* Two servers, each with threads of its own, all with one key. */
static void test_two_servers_at_once(void **state)
{
    struct server second = { .store = NULL };
    struct err err = { "" };
    char key[16];

    assert_int_equal(store_open(g_url, &second.store, &err), 0);
    second.keys = fixture_keys(second.store, "a passphrase");
    for (unsigned round = 0; round < 8; round++) {
        struct ask asks[8];
        pthread_t threads[ARRAY_COUNT(asks)];

        snprintf(key, sizeof key, "race %u", round);
        for (unsigned i = 0; i < ARRAY_COUNT(asks); i++)
            asks[i] = (struct ask){
                .server = i % 2 ? &second : &g_server, .actor = "usr_a", .key = key, .what = 1
            };
        for (unsigned i = 0; i < ARRAY_COUNT(asks); i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run, &asks[i]), 0);
        for (unsigned i = 0; i < ARRAY_COUNT(asks); i++)
            pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < ARRAY_COUNT(asks); i++) {
            assert_int_equal(asks[i].rc, 0);
            assert_string_equal(asks[i].text, asks[0].text);
        }
        assert_int_equal(effects(), round + 1);
    }
    keys_close(second.keys);
    store_close(second.store);
}

/* A server of its own, which dies with its request done but for the commit, or just after that. */
static void die(enum fate fate)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct server own = { .store = NULL };
        struct ask a = { .server = &own, .actor = "usr_a", .key = "k", .what = 1, .fate = fate };
        struct err err = { "" };

        if (store_open(g_url, &own.store, &err) < 0)
            _exit(1);
        own.keys = fixture_keys(own.store, "a passphrase");
        run(&a);
        kill(getpid(), a.rc == 0 ? SIGKILL : SIGABRT);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_killed(void **state)
{
    struct ask again;

    die(KILLED_BEFORE_COMMIT);
    assert_int_equal(effects(), 0);
    assert_int_equal(kept(), 0);
    die(LIVES);
    assert_int_equal(effects(), 1);
    again = ask("usr_a", "k", 1, LIVES);
    assert_string_equal(again.text, "201 0 /v1/things/0 {\"token\":\"shown once\",\"number\":0}");
    die(LIVES);
    assert_int_equal(effects(), 1);
}

static void exec(const char *sql)
{
    assert_true(fixture_exec(g_server.store, sql, STORE_NO_ARGS) >= 0);
}

/* PostgreSQL's backend dies in the COMMIT that it was sent: with a key the request is asked again, without one nobody knows. */
static void test_lost_commit(void **state)
{
    if (!fixture_is_postgresql())
        skip();
    exec("CREATE SEQUENCE deaths"); /* no rollback takes its numbers back */
    exec(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF nextval(''deaths'') = "
        "1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); END IF; "
        "RETURN NULL; END'");
    exec("CREATE CONSTRAINT TRIGGER die AFTER INSERT ON nonces DEFERRABLE INITIALLY DEFERRED FOR "
         "EACH ROW EXECUTE FUNCTION die()");
    assert_int_equal(ask("usr_a", NULL, 1, LIVES).rc, -EIO);
    assert_int_equal(effects(), 0);
    exec("ALTER SEQUENCE deaths RESTART");
    assert_int_equal(ask("usr_a", "k", 1, LIVES).rc, 0);
    assert_int_equal(effects(), 1);
    assert_int_equal(ask("usr_a", "k", 1, LIVES).rc, 0);
    assert_int_equal(effects(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_answer_again), TEST(test_failure_leaves_the_key), TEST(test_a_day),
        TEST(test_changed_rows),       TEST(test_two_servers_at_once),    TEST(test_killed),
        TEST(test_lost_commit),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    fixture_done();
    return failed;
}
