/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching over a transport and a clock that the test plays: what is asked when, and how long it waits. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collateral/http.h"
#include "collateral/retry.h"

#define STEP_COUNT_MAX 64u
#define NOW_S 1751624191 /* 2025-07-04T10:16:31Z, when the vectors are valid */

static const char *g_vectors;

/* What the server does at each request, in order; and what was seen of the client. */
static struct {
    struct collateral_transport transport;
    struct {
        int rc, status;
        const char *retry_after, *cache_control;
        uint64_t takes_ms;
    } steps[STEP_COUNT_MAX];
    unsigned step_count, request_count;
    char etags[STEP_COUNT_MAX][32];
    uint32_t timeouts_ms[STEP_COUNT_MAX];
    /* The clock. */
    int64_t now_s;
    uint64_t monotonic_ms, slept_ms[STEP_COUNT_MAX];
    unsigned sleep_count;
    uint32_t random;
    /* The item. */
    uint8_t *body, *chain;
    size_t body_size, chain_size;
} g;

static uint8_t *read_file(const char *name, size_t *ret_size)
{
    char path[512];
    FILE *file;
    uint8_t *data = malloc(65536);

    snprintf(path, sizeof path, "%s/collateral/phala-tdx-b0c06f000000/%s", g_vectors, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    *ret_size = fread(data, 1, 65536, file);
    fclose(file);
    return data;
}

static uint8_t *copy(const uint8_t *data, size_t size)
{
    uint8_t *dst = malloc(size);

    memcpy(dst, data, size);
    return dst;
}

static int play(struct collateral_transport *transport, const struct collateral_request *request,
                struct collateral_response *ret, struct err *err)
{
    unsigned i = g.request_count++;

    assert_true(i < g.step_count);
    snprintf(g.etags[i], sizeof g.etags[i], "%s", request->etag ? request->etag : "");
    g.timeouts_ms[i] = request->timeout_ms;
    g.monotonic_ms += g.steps[i].takes_ms;
    if (g.steps[i].rc < 0)
        return err_set(err, g.steps[i].rc, "played");
    *ret = (struct collateral_response){ .status = g.steps[i].status };
    snprintf(ret->headers.etag, sizeof ret->headers.etag, "\"%u\"", i);
    if (g.steps[i].retry_after)
        snprintf(ret->headers.retry_after, sizeof ret->headers.retry_after, "%s",
                 g.steps[i].retry_after);
    if (g.steps[i].cache_control)
        assert_int_equal(
            headers_add(&ret->headers, g.steps[i].cache_control, strlen(g.steps[i].cache_control)),
            0);
    if (ret->status == 200) {
        ret->body = copy(g.body, g.body_size);
        ret->body_size = g.body_size;
        ret->headers.chain = copy(g.chain, g.chain_size);
        ret->headers.chain_size = g.chain_size;
    }
    return 0;
}

static int64_t now_s(void *context)
{
    return g.now_s;
}

static uint64_t monotonic_ms(void *context)
{
    return g.monotonic_ms;
}

static void sleep_ms(void *context, uint64_t ms)
{
    g.slept_ms[g.sleep_count++] = ms;
    g.monotonic_ms += ms;
}

static uint32_t next_random(void *context)
{
    return g.random;
}

static const struct collateral_clock g_clock = { now_s, monotonic_ms, sleep_ms, next_random, NULL };
static const struct collateral_item_id g_id = { .kind = COLLATERAL_TDX_TCB,
                                                .fmspc = { 0xb0, 0xc0, 0x6f, 0, 0, 0 } };
static char g_folder[64];
static struct collateral *g_store;

static int set_up(void **state)
{
    struct collateral_options options = { .folder = g_folder,
                                          .clock = &g_clock,
                                          .transport = &g.transport };

    memset(&g, 0, sizeof g);
    g.transport.get = play;
    g.now_s = NOW_S;
    g.random = UINT32_MAX;
    g.body = read_file("tcb_info.json", &g.body_size);
    g.chain = read_file("tcb_info_issuer_chain.pem", &g.chain_size);
    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-collateral-XXXXXX");
    assert_non_null(mkdtemp(g_folder));
    return collateral_open(&options, &g_store, NULL);
}

static int tear_down(void **state)
{
    char path[128];

    assert_true(collateral_remove(g_store, &g_id, NULL) <= 0);
    collateral_close(g_store);
    snprintf(path, sizeof path, "%s/lock", g_folder);
    unlink(path);
    rmdir(g_folder);
    free(g.body);
    free(g.chain);
    return 0;
}

static void step(int rc, int status, const char *retry_after)
{
    g.steps[g.step_count].rc = rc;
    g.steps[g.step_count].status = status;
    g.steps[g.step_count++].retry_after = retry_after;
}

/* returns: outcome, or the error. */
static int get(enum collateral_mode mode, struct err *err)
{
    struct collateral_got got = { 0 };
    int rc = collateral_get(g_store, &g_id, mode, &got, err);

    if (rc == 0) {
        assert_int_equal(got.entry.body_size, g.body_size);
        rc = got.outcome;
    }
    collateral_got_done(&got);
    return rc;
}

/* ---- waits ---- */

static void waits_double(void **state)
{
    static const uint32_t full[] = { 1000, 2000, 4000, 8000 };

    for (unsigned i = 0; i < 4; i++)
        step(-EIO, 0, NULL);
    step(0, 200, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    assert_int_equal(g.sleep_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t half = full[i] / 2;

        assert_int_equal(g.slept_ms[i], half + UINT32_MAX % (half + 1));
    }
}

static void waits_have_jitter_within_their_half(void **state)
{
    struct retry_rules rules = {
        .clock = &g_clock, .attempt_count = 99, .wait_ms = 1000, .end_ms = UINT64_MAX
    };
    struct headers headers = { 0 };

    for (unsigned attempt = 1; attempt < 90; attempt++) {
        uint64_t full = attempt < 7 ? 1000u << (attempt - 1) : RETRY_WAIT_MAX_MS;

        g.random = 0;
        assert_int_equal(retry_wait_find(&rules, attempt, 503, &headers), full / 2);
        g.random = (uint32_t)full / 2;
        assert_int_equal(retry_wait_find(&rules, attempt, 503, &headers), full);
        g.random = (uint32_t)full / 2 + 1;
        assert_int_equal(retry_wait_find(&rules, attempt, 503, &headers), full / 2);
    }
    assert_int_equal(retry_wait_find(&rules, 99, 503, &headers), -EIO);
}

static void servers_say_how_long(void **state)
{
    step(0, 429, "17");
    step(0, 503, "Fri, 04 Jul 2025 10:17:00 GMT");
    step(0, 429, NULL); /* the key server: one request in ten seconds */
    step(0, 503, "0");
    step(0, 200, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    assert_int_equal(g.slept_ms[0], 17000);
    assert_int_equal(g.slept_ms[1], 29000);
    assert_int_equal(g.slept_ms[2], 10000);
    assert_true(g.slept_ms[3] >= 4000 && g.slept_ms[3] <= 8000); /* not less than our own */
}

static void the_deadline_holds_for_all(void **state)
{
    struct err err = { 0 };

    step(0, 429, "100");
    step(0, 429, "100");
    assert_int_equal(get(COLLATERAL_FETCH, &err), -ETIMEDOUT);
    assert_int_equal(g.request_count, 2);
    assert_int_equal(g.sleep_count, 1);
    assert_non_null(strstr(err.text, "--deadline"));
    /* Nothing is asked past it, until the next begins. */
    g.monotonic_ms = 120000;
    assert_int_equal(get(COLLATERAL_FETCH, &err), -ETIMEDOUT);
    assert_int_equal(g.request_count, 2);
    collateral_begin(g_store);
    step(0, 200, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, &err), COLLATERAL_NEW);
}

static void requests_get_what_is_left(void **state)
{
    step(-EIO, 0, NULL);
    g.steps[0].takes_ms = 30000;
    step(-EIO, 0, NULL);
    g.steps[1].takes_ms = 75000;
    step(0, 200, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    assert_int_equal(g.timeouts_ms[0], 30000);
    assert_int_equal(g.timeouts_ms[1], 30000);
    assert_int_equal(g.timeouts_ms[2], 120000 - 105000 - g.slept_ms[0] - g.slept_ms[1]);
}

static void some_failures_are_final(void **state)
{
    static const struct {
        int rc, status, expected;
    } all[] = {
        { -EACCES, 0, -EACCES }, { -E2BIG, 0, -E2BIG }, { -EBADMSG, 0, -EBADMSG },
        { 0, 404, -ENOENT },     { 0, 403, -EACCES },   { 0, 501, -EIO },
        { 0, 204, -EIO },        { 0, 304, -EIO },      { 0, 302, -EACCES },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        step(all[i].rc, all[i].status, NULL);
        assert_int_equal(get(COLLATERAL_FETCH, NULL), all[i].expected);
        assert_int_equal(g.request_count, i + 1);
    }
    assert_int_equal(g.sleep_count, 0);
}

/* ---- when it is asked ---- */

static void what_is_held_is_asked_about_when_due(void **state)
{
    step(0, 200, NULL);
    g.steps[0].cache_control = "Cache-Control: max-age=600";
    assert_int_equal(get(COLLATERAL_OFFLINE, NULL), -ENOENT);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    g.now_s += 599;
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_HELD);
    g.now_s += 1;
    step(0, 304, NULL);
    assert_int_equal(get(COLLATERAL_OFFLINE, NULL), COLLATERAL_HELD);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_UNCHANGED);
    assert_string_equal(g.etags[1], "\"0\"");
    /* Without max-age: a day. */
    g.now_s += 86399;
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_HELD);
    step(0, 304, NULL);
    assert_int_equal(get(COLLATERAL_REFRESH, NULL), COLLATERAL_UNCHANGED);
    assert_int_equal(g.request_count, 3);
}

static void no_cache_does_not_mean_each_time(void **state)
{
    step(0, 200, NULL);
    g.steps[0].cache_control = "Cache-Control: no-store";
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    g.now_s += 299;
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_HELD);
    g.now_s += 1;
    step(0, 304, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_UNCHANGED);
}

static void a_failure_keeps_what_is_held_until_it_expires(void **state)
{
    struct collateral_got got;

    step(0, 200, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_NEW);
    g.now_s += 2 * 86400;
    step(0, 404, NULL);
    assert_int_equal(collateral_get(g_store, &g_id, COLLATERAL_FETCH, &got, NULL), 0);
    assert_int_equal(got.outcome, COLLATERAL_KEPT);
    assert_int_equal(got.why_rc, -ENOENT);
    assert_non_null(strstr(got.why.text, "status 404"));
    g.now_s = got.entry.expires_s;
    collateral_got_done(&got);
    step(0, 404, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), COLLATERAL_KEPT);
    g.now_s++;
    step(0, 404, NULL);
    assert_int_equal(get(COLLATERAL_FETCH, NULL), -ENOENT);
    assert_string_equal(g.etags[3], ""); /* that an expired one has not changed is no help */
    assert_int_equal(get(COLLATERAL_OFFLINE, NULL), -EBADMSG);
}

static void each_bit_of_the_answer_counts(void **state)
{
    /* Some bits of some bytes, all over body and chain: an answer with any of them flipped never enters. */
    for (size_t i = 0; i < g.body_size + g.chain_size; i += 97) {
        uint8_t *byte = i < g.body_size ? &g.body[i] : &g.chain[i - g.body_size];
        uint8_t was = *byte;
        int rc;

        g.step_count = g.request_count = 0;
        step(0, 200, NULL);
        *byte ^= 0x01;
        rc = get(COLLATERAL_FETCH, NULL);
        *byte = was;
        if (rc == COLLATERAL_NEW) {
            /* White space, or the case of a signature's digit, means the same: then the next must still be the true one. */
            assert_int_equal(collateral_remove(g_store, &g_id, NULL), 0);
            fail_msg("byte %zu (%c) does not count", i, was);
        }
        assert_int_equal(rc, -EBADMSG);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(waits_double, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waits_have_jitter_within_their_half, set_up, tear_down),
        cmocka_unit_test_setup_teardown(servers_say_how_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_deadline_holds_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_get_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_failures_are_final, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_held_is_asked_about_when_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_cache_does_not_mean_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_keeps_what_is_held_until_it_expires, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_bit_of_the_answer_counts, set_up, tear_down),
    };

    if (argc != 2)
        return 2;
    g_vectors = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
