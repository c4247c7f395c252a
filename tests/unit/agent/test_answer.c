/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent takes for the server's answer, and all that it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "answer_pki.h"
#include "tee/agent/server/answer.h"

#define TIME 1800000000ll
#define NONCE "bm9uY2U"
#define PLAIN                                                                                      \
    "{\"nonce\":\"" NONCE                                                                          \
    "\",\"secrets\":[{\"name\":\"a\",\"version\":3,\"deliver\":{\"env\":\"A\"},"                   \
    "\"value\":\"aHVudGVyMg==\"},{\"name\":\"b\",\"version\":\"x\",\"deliver\":{\"file\":\"d/"     \
    "b\",\"mode\":\"0440\",\"uid\":1,"                                                             \
    "\"gid\":2},\"value\":\"\"},{\"name\":\"c\",\"version\":\"1\",\"deliver\":{\"socket\":true},"  \
    "\"value\":\"AA==\"}]}"

static struct answer_pki g_pki, g_other;
static struct jose_key g_key, g_other_key;
static struct pins g_pins;
static struct err g_err;

static struct answer_question question(void)
{
    return (struct answer_question){
        .pins = &g_pins, .key = &g_key, .nonce = NONCE, .instance = "ins_1"
    };
}

/* A good payload; tests change it. */
static json_t *payload_make(void)
{
    X509 *leaf = answer_pki_issue(&g_pki, g_key.key, "spiffe://test.example/org/a/app/b", 0, TIME);
    char *leaf_pem = answer_pki_pem(leaf), *root_pem = answer_pki_pem(g_pki.root);
    char *jwe = answer_pki_encrypt(&g_key, PLAIN);
    json_t *payload = json_pack(
        "{s:s,s:s,s:I,s:s,s:[s],s:[s],s:s,s:{s:I,s:I},s:i,s:i,s:s,s:s,s:[s]}", "nonce", NONCE,
        "instance", "ins_1", "time", (json_int_t)TIME, "result", "a.b.c", "certificates", leaf_pem,
        "roots", root_pem, "spiffe_id", "spiffe://test.example/org/a/app/b", "lease", "until",
        (json_int_t)TIME + 600, "renew_after", (json_int_t)TIME + 300, "grace_s", 10, "fence", 2,
        "secrets", jwe, "secrets_version", "v1", "servers", "https://other.example:1");

    assert_non_null(payload);
    X509_free(leaf);
    free(leaf_pem);
    free(root_pem);
    free(jwe);
    return payload;
}

static int parse_body(const char *body, struct answer *ret)
{
    struct answer_question q = question();

    g_err.text[0] = 0;
    return answer_parse(&q, body, strlen(body), ret, &g_err);
}

/* Signs and parses; takes the payload. */
static int parse(json_t *payload, struct answer *ret)
{
    char *text = json_dumps(payload, JSON_COMPACT),
         *body = answer_pki_sign(&g_pki, text, NULL, NULL, NULL, 0);
    int rc = parse_body(body, ret);

    free(body);
    free(text);
    json_decref(payload);
    return rc;
}

static void test_good(void **state)
{
    json_t *payload = payload_make();
    struct answer a;

    assert_int_equal(parse(payload, &a), 0);
    assert_string_equal(a.instance, "ins_1");
    assert_int_equal(a.terms.until_s, TIME + 600);
    assert_int_equal(a.fence, 2);
    assert_true(a.has_secrets);
    assert_int_equal(a.secrets.count, 3);
    assert_string_equal((char *)a.secrets.items[0].value, "hunter2");
    assert_string_equal(a.secrets.items[0].version, "3");
    assert_string_equal(a.secrets.items[1].target, "/run/secrets/d/b");
    assert_int_equal(a.secrets.items[1].mode, 0440);
    assert_int_equal(a.secrets.items[1].size, 0);
    assert_int_equal(a.secrets.items[2].size, 1);
    assert_non_null(secret_list_find(&a.secrets, "c", SECRET_SOCKET));
    assert_null(secret_list_find(&a.secrets, "a", SECRET_SOCKET));
    assert_string_equal(a.servers[0], "https://other.example:1");
    answer_done(&a);
    payload = payload_make();
    json_object_set_new(payload, "secrets", json_null());
    assert_int_equal(parse(payload, &a), 0);
    assert_false(a.has_secrets);
    answer_done(&a);
}

static void refuse_member(const char *name, json_t *value)
{
    json_t *payload = payload_make();
    struct answer a;

    if (value)
        json_object_set_new(payload, name, value);
    else
        json_object_del(payload, name);
    assert_true(parse(payload, &a) < 0);
    assert_true(g_err.text[0] != 0);
}

static void test_members(void **state)
{
    static const char *const needed[] = { "nonce",        "instance", "time",           "result",
                                          "certificates", "roots",    "spiffe_id",      "lease",
                                          "grace_s",      "secrets",  "secrets_version" };

    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        refuse_member(needed[i], NULL);
        refuse_member(needed[i], json_integer(-1));
        refuse_member(needed[i], json_pack("{s:s}", "x", "y"));
    }
    refuse_member("nonce", json_string("bm9uY2V"));
    refuse_member("instance", json_string("ins_2"));
    refuse_member("instance", json_string("../x"));
    refuse_member("fence", json_integer(-1));
    refuse_member("grace_s", json_integer(LEASE_GRACE_MAX_S + 1));
    refuse_member("servers", json_pack("[s]", "https://a/path"));
    refuse_member("certificates", json_array());
    refuse_member("certificates", json_pack("[s]", "no PEM"));
}

static void test_certificate_of_another_key(void **state)
{
    X509 *leaf = answer_pki_issue(&g_pki, g_other_key.key, "spiffe://x/org/a", 0, TIME);
    char *pem = answer_pki_pem(leaf);

    refuse_member("certificates", json_pack("[s]", pem));
    assert_non_null(strstr(g_err.text, "another key"));
    X509_free(leaf);
    free(pem);
    leaf = answer_pki_issue(&g_other, g_key.key, "spiffe://x/org/a", 0, TIME);
    pem = answer_pki_pem(leaf);
    refuse_member("certificates", json_pack("[s]", pem));
    X509_free(leaf);
    free(pem);
}

/* Milliseconds where the server gives them, and then of the same second. */
static void test_time_ms(void **state)
{
    json_t *payload = payload_make();
    struct answer a;

    assert_int_equal(parse(payload, &a), 0);
    assert_int_equal(a.time_ms, TIME * 1000ll);
    assert_int_equal(a.time_width_ms, 1000);
    answer_done(&a);
    payload = payload_make();
    json_object_set_new(payload, "time_ms", json_integer(TIME * 1000ll + 999));
    assert_int_equal(parse(payload, &a), 0);
    assert_int_equal(a.time_ms, TIME * 1000ll + 999);
    assert_int_equal(a.time_width_ms, 1);
    answer_done(&a);
    refuse_member("time_ms", json_integer(TIME * 1000ll + 1000));
    refuse_member("time_ms", json_integer(TIME * 1000ll - 1));
    refuse_member("time_ms", json_string("0"));
    refuse_member("time_ms", json_integer(INT64_MAX));
}

/* The certificate's validity is that of the signed time. */
static void test_time(void **state)
{
    refuse_member("time", json_integer(TIME - 3601));
    refuse_member("time", json_integer(TIME + 3601));
    assert_non_null(strstr(g_err.text, "pins"));
}

static void refuse_body(char *body)
{
    struct answer a;

    assert_true(parse_body(body, &a) < 0);
    free(body);
}

static void test_signatures(void **state)
{
    json_t *payload = payload_make();
    char *text = json_dumps(payload, JSON_COMPACT), *body;
    X509 *app =
        answer_pki_issue(&g_pki, g_pki.exchange_key, "spiffe://test.example/org/a/app/b", 0, TIME);
    X509 *two = answer_pki_issue(&g_pki, g_pki.exchange_key,
                                 "spiffe://test.example/cloche/exchange/x", 0, TIME);
    X509 *none = answer_pki_issue(&g_pki, g_pki.exchange_key, NULL, 0, TIME);
    X509 *chains[][2] = { { app, g_pki.root },        { two, g_pki.root },
                          { none, g_pki.root },       { g_pki.exchange, g_other.root },
                          { g_pki.root, g_pki.root }, { g_pki.exchange, g_pki.exchange } };

    for (size_t i = 0; i < ARRAY_COUNT(chains); i++)
        refuse_body(answer_pki_sign(&g_pki, text, NULL, NULL, chains[i], 2));
    refuse_body(answer_pki_sign(&g_pki, text, NULL, NULL, chains[0], 0));
    refuse_body(answer_pki_sign(&g_pki, text, NULL, g_other.exchange_key, NULL, 0));
    refuse_body(answer_pki_sign(&g_other, text, NULL, NULL, NULL, 0)); /* another CA */
    refuse_body(answer_pki_sign(&g_pki, text, "ear+jwt", NULL, NULL, 0));
    refuse_body(answer_pki_sign(&g_pki, "[]", NULL, NULL, NULL, 0));
    refuse_body(answer_pki_sign(&g_pki, "{\"time\":1", NULL, NULL, NULL, 0));
    /* Each byte that counts, changed. */
    body = answer_pki_sign(&g_pki, text, NULL, NULL, NULL, 0);
    for (size_t i = 0; i < strlen(body); i += 1 + strlen(body) / 97) {
        struct answer a;
        char kept = body[i];

        if (i ==
            strlen(body) - 3) /* the signature's last character: four of its bits say nothing */
            continue;
        body[i] = kept == 'A' ? 'B' : 'A';
        assert_true(parse_body(body, &a) < 0);
        body[i] = kept;
    }
    for (size_t i = 0; i < strlen(body); i += 1 + strlen(body) / 31) {
        struct answer_question q = question();
        struct answer a;

        assert_true(answer_parse(&q, body, i, &a, NULL) < 0);
    }
    free(body);
    free(text);
    json_decref(payload);
    X509_free(app);
    X509_free(two);
    X509_free(none);
}

static void refuse_secrets(char *jwe)
{
    refuse_member("secrets", json_string(jwe));
    free(jwe);
}

static void test_secrets(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"nonce\":\"bm9uY2V\",\"secrets\":[]}",
        "{\"nonce\":\"" NONCE "\",\"secrets\":{}}",
        "{\"nonce\":\"" NONCE "\",\"secrets\":[1]}",
#define ONE(deliver, value)                                                                        \
    "{\"nonce\":\"" NONCE "\",\"secrets\":[{\"name\":\"a\",\"version\":1,\"deliver\":" deliver     \
    ",\"value\":\"" value "\"}]}"
        ONE("{}", ""),
        ONE("{\"env\":\"\"}", ""),
        ONE("{\"env\":\"A=B\"}", ""),
        ONE("{\"env\":\"A\"}", "AA=="), /* a NUL */
        ONE("{\"env\":\"A\"}", "A"),
        ONE("{\"env\":\"A\"}", "AAA"),
        ONE("{\"env\":\"A\"}", "A==="),
        ONE("{\"env\":\"A\"}", "AA=A"),
        ONE("{\"env\":\"A\"}", "-_-_"),
        ONE("{\"file\":\"\"}", ""),
        ONE("{\"file\":\"../x\"}", ""),
        ONE("{\"file\":\"/a//b\"}", ""),
        ONE("{\"file\":\"/a/./b\"}", ""),
        ONE("{\"file\":\"/a/\"}", ""),
        ONE("{\"file\":\"x\",\"mode\":\"0999\"}", ""),
        ONE("{\"file\":\"x\",\"mode\":\"4755\"}", ""),
        ONE("{\"file\":\"x\",\"mode\":292}", ""),
        ONE("{\"file\":\"x\",\"uid\":-1}", ""),
        ONE("{\"file\":\"x\",\"gid\":4294967295}", ""),
        ONE("{\"socket\":false}", ""),
    };
    char *jwe = answer_pki_encrypt(&g_other_key, PLAIN);

    refuse_secrets(jwe);
    assert_non_null(strstr(g_err.text, "not encrypted to this instance's key"));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        refuse_secrets(answer_pki_encrypt(&g_key, bad[i]));
    jwe = answer_pki_encrypt(&g_key, PLAIN);
    jwe[strlen(jwe) - 3] ^= 1;
    refuse_secrets(jwe);
    jwe = answer_pki_encrypt(&g_key, PLAIN);
    jwe[strlen(jwe) - 20] = 0;
    refuse_secrets(jwe);
    refuse_member("secrets", json_string("a.b.c.d"));
    refuse_member("secrets", json_string("...."));
    refuse_member("secrets", json_string(""));
}

static void test_refusals(void **state)
{
    struct answer_question q = question();
    struct answer_refusal r;
    char line[1024];
    char *body =
        answer_pki_sign(&g_pki,
                        "{\"nonce\":\"" NONCE "\",\"time\":1800000000,\"final\":true,\"refused\":{"
                        "\"code\":\"revoked\",\"step\":\"build\"}}",
                        NULL, NULL, NULL, 0);
    json_t *problem = json_loads(body, 0, NULL);
    char *text;

    json_object_set_new(problem, "detail", json_string("no\nmore\x1b[1m"));
    json_object_set_new(problem, "expected", json_pack("[i,i]", 1, 2));
    text = json_dumps(problem, 0);
    answer_refusal_parse(&q, text, strlen(text), &r);
    assert_true(r.is_signed && r.is_final);
    answer_refusal_print(&r, line, sizeof line);
    assert_string_equal(line, "revoked: no more [1m; step: build; expected: [1,2]");
    q.nonce = "another";
    answer_refusal_parse(&q, text, strlen(text), &r);
    assert_false(r.is_signed || r.is_final);
    answer_refusal_parse(&q, "garbage", 7, &r);
    answer_refusal_print(&r, line, sizeof line);
    assert_string_equal(line, "no reason given");
    assert_false(r.is_signed);
    free(text);
    free(body);
    json_decref(problem);
}

static int orders_parse(const char *payload, struct answer_orders *ret)
{
    struct answer_question q = question();
    char *body = answer_pki_sign(&g_pki, payload, NULL, NULL, NULL, 0);
    q.after = 3;
    int rc = answer_orders_parse(&q, "jti", body, strlen(body), ret, &g_err);

    free(body);
    return rc;
}

static void test_orders(void **state)
{
    static struct answer_orders o;

    assert_int_equal(
        orders_parse(
            "{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,\"after\":3,\"number\":7,"
            "\"orders\":[{\"number\":7,\"kind\":\"revoke\",\"reason\":\"a\\u0000\"}]}",
            &o),
        -EINVAL);
    assert_int_equal(
        orders_parse(
            "{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,\"after\":3,\"number\":7,"
            "\"orders\":[{\"number\":7,\"kind\":\"revoke\",\"reason\":\"a\\nb\"}]}",
            &o),
        0);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.items[0].kind, ANSWER_REVOKE);
    assert_string_equal(o.items[0].reason, "a b");
    assert_int_equal(
        orders_parse("{\"instance\":\"ins_2\",\"wait\":\"jti\",\"time\":1800000000,\"after\":3,"
                     "\"number\":7,\"orders\":[]}",
                     &o),
        -EBADMSG);
    assert_int_equal(
        orders_parse("{\"instance\":\"ins_1\",\"wait\":\"old\",\"time\":1800000000,\"after\":3,"
                     "\"number\":7,\"orders\":[]}",
                     &o),
        -EBADMSG);
    assert_int_equal(
        orders_parse("{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,\"after\":3,"
                     "\"number\":-7,\"orders\":[]}",
                     &o),
        -EINVAL);
    assert_int_equal(
        orders_parse("{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,\"after\":3,"
                     "\"number\":7,\"orders\":[{\"number\":7,\"kind\":\"dance\"}]}",
                     &o),
        -EINVAL);
    /* Who changed the question on the way would have the instance deaf to what comes. */
    assert_int_equal(orders_parse("{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,"
                                  "\"after\":900,\"number\":900,\"orders\":[]}",
                                  &o),
                     -EBADMSG);
    assert_int_equal(orders_parse("{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,"
                                  "\"number\":7,\"orders\":[]}",
                                  &o),
                     -EBADMSG);
    assert_int_equal(orders_parse("{\"instance\":\"ins_1\",\"wait\":\"jti\",\"time\":1800000000,"
                                  "\"after\":3,\"number\":2,\"orders\":[]}",
                                  &o),
                     -EINVAL);
}

/* Roots of a signed answer are trusted from then on; the descriptor's always. */
static void test_roots(void **state)
{
    char *pem = answer_pki_pem(g_other.root);
    struct answer a;

    assert_int_equal(pin_replace_roots(&g_pins, pem), 0);
    assert_int_equal(g_pins.count, 2);
    assert_int_equal(parse(payload_make(), &a), 0);
    answer_done(&a);
    assert_int_equal(pin_replace_roots(&g_pins, "nothing"), -EINVAL);
    assert_int_equal(g_pins.count, 2);
    pin_init(&g_pins, g_pki.pin);
    free(pem);
}

static int setup(void **state)
{
    answer_pki_init(&g_pki);
    answer_pki_init(&g_other);
    pin_init(&g_pins, g_pki.pin);
    return jose_key_new(&g_key) < 0 || jose_key_new(&g_other_key) < 0;
}

static int teardown(void **state)
{
    answer_pki_done(&g_pki);
    answer_pki_done(&g_other);
    jose_key_done(&g_key);
    jose_key_done(&g_other_key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_certificate_of_another_key),
        cmocka_unit_test(test_time_ms),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_roots),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
