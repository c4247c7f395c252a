/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP part's pieces without HTTP: rates, routes, JSON's bounds, one-time codes, passwords. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/api/json.h"
#include "server/api/rate.h"
#include "server/api/router.h"
#include "server/auth/password.h"

/* ---- JSON ---- */

static int parse_nested(unsigned depth)
{
    char text[256];
    struct err err;
    json_t *value = NULL;
    size_t len = 0;
    int rc;

    for (unsigned i = 0; i < depth; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "{\"a\":");
    text[len++] = '1';
    memset(text + len, '}', depth);
    rc = json_object_parse(text, len + depth, 8, &value, &err);
    json_decref(value);
    return rc;
}

static void test_json_depth(void **state)
{
    assert_int_equal(parse_nested(8), 0);
    assert_int_equal(parse_nested(9), -E2BIG);
}

static int parse_many(unsigned count)
{
    char *text = malloc(2 * count + 16);
    json_t *value = NULL;
    struct err err;
    size_t len = strlen(memcpy(text, "{\"a\":[1", 8));
    int rc;

    for (unsigned i = 1; i < count; i++) {
        memcpy(text + len, ",1", 2);
        len += 2;
    }
    memcpy(text + len, "]}", 2);
    rc = json_object_parse(text, len + 2, 8, &value, &err);
    json_decref(value);
    free(text);
    return rc;
}

static void test_json_values(void **state)
{
    /* The object, its name's colon, the array, and a comma for each element but the first. */
    assert_int_equal(parse_many(JSON_VALUES_MAX - 2), 0);
    assert_int_equal(parse_many(JSON_VALUES_MAX - 1), -E2BIG);
}

/* ---- rates ---- */

static void test_rate(void **state)
{
    struct rate *rate;

    assert_int_equal(rate_new(&rate), 0);
    for (unsigned i = 0; i < 16; i++) /* 60 / 4 + 1 at once */
        assert_int_equal(rate_take(rate, "a", 60, 1000), 0);
    assert_int_equal(rate_take(rate, "a", 60, 1000), 2);
    assert_int_equal(rate_take(rate, "b", 60, 1000), 0);
    assert_int_equal(rate_take(rate, "a", 60, 1999), 1);
    assert_int_equal(rate_take(rate, "a", 60, 2000), 0);
    assert_int_not_equal(rate_take(rate, "a", 60, 2000), 0);
    /* However long it was quiet, it holds no more than at the start; and time never runs back. */
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rate_take(rate, "a", 60, 90000000), 0);
    assert_int_not_equal(rate_take(rate, "a", 60, 90000000), 0);
    assert_int_not_equal(rate_take(rate, "a", 60, 1000), 0);
    rate_free(rate);
}

static void test_rate_is_bounded(void **state)
{
    struct rate *rate;
    char key[32];

    assert_int_equal(rate_new(&rate), 0);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "key %u", i);
        assert_int_equal(rate_take(rate, key, 60, 1000 + i), 0);
    }
    rate_free(rate);
}

/* ---- routes ---- */

static int nothing(struct api_request *rq, struct api_response *ret)
{
    return 0;
}

static const struct api_route routes_1[] = { { "GET", "/a", nothing, 0, 0, 0 },
                                             { "GET", "/a/{x}", nothing, 0, 0, 0 } };
static const struct api_route routes_2[] = { { "POST", "/a/{x}", nothing, 0, 0, 0 },
                                             { "GET", "/a/{x}/b/{y}", nothing, 0, 0, 0 } };
static const unsigned count_1 = ARRAY_COUNT(routes_1), count_2 = ARRAY_COUNT(routes_2);
static const struct router_table tables[] = { { routes_1, &count_1 },
                                              { routes_2, &count_2 },
                                              { NULL, NULL } };

static struct router_match find(const char *method, const char *target)
{
    static char text[128];
    struct router_match match;
    const char *problem;
    struct uri uri;

    snprintf(text, sizeof text, "%s", target);
    assert_int_equal(uri_parse(text, &uri, &problem), 0);
    router_find(tables, method, &uri, &match);
    return match;
}

static void test_router(void **state)
{
    struct router_match match = find("GET", "/a/1%2f2/b/z?q=1");

    assert_ptr_equal(match.route, &routes_2[1]);
    assert_int_equal(match.number, 3);
    assert_ptr_equal(router_at(tables, 3), match.route);
    assert_null(router_at(tables, 4));
    assert_string_equal(match.params[0], "1/2");
    assert_string_equal(match.params[1], "z");
    assert_ptr_equal(find("HEAD", "/a").route, &routes_1[0]);
    match = find("PUT", "/a/x");
    assert_null(match.route);
    assert_string_equal(match.allow, "GET, POST");
    match = find("GET", "/a/x/b");
    assert_null(match.route);
    assert_string_equal(match.allow, "");
    assert_null(find("GET", "/").route);
}

/* ---- one-time codes: the vectors of RFC 6238, appendix B (SHA-1), their last six digits ---- */

static void test_totp(void **state)
{
    static const struct {
        int64_t time_s;
        const char *code;
    } vectors[] = { { 59, "287082" },         { 1111111109, "081804" }, { 1111111111, "050471" },
                    { 1234567890, "005924" }, { 2000000000, "279037" }, { 20000000000, "353130" } };
    const uint8_t *secret = (const uint8_t *)"12345678901234567890";
    int64_t step = 0;
    char code[7];

    for (unsigned i = 0; i < ARRAY_COUNT(vectors); i++) {
        totp_code(secret, vectors[i].time_s / TOTP_STEP_S, code);
        assert_string_equal(code, vectors[i].code);
    }
    assert_true(totp_verify(secret, "081804", 1111111109, &step));
    assert_int_equal(step, 1111111109 / 30);
    assert_false(totp_verify(secret, "081804", 1111111109, &step)); /* once */
    assert_true(totp_verify(secret, "050471", 1111111109, &step));  /* the next step's */
    assert_false(totp_verify(secret, "05047", 1111111109, &step));
    step = 0;
    assert_false(totp_verify(secret, "081804", 1111111109 + 60, &step));
}

static void test_password(void **state)
{
    char one[USER_PASSWORD_SIZE], two[USER_PASSWORD_SIZE];

    assert_int_equal(password_hash("correct horse", one), 0);
    assert_int_equal(password_hash("correct horse", two), 0);
    assert_string_not_equal(one, two);
    assert_memory_equal(one, "$argon2id$", 10);
    assert_int_equal(password_verify(one, "correct horse"), 0);
    assert_int_equal(password_verify(one, "correct horsf"), -EACCES);
    assert_int_equal(password_verify("", "correct horse"), -EACCES);
    assert_int_equal(password_verify("$argon2id$broken", "correct horse"), -EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_depth), cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_rate),       cmocka_unit_test(test_rate_is_bounded),
        cmocka_unit_test(test_router),     cmocka_unit_test(test_totp),
        cmocka_unit_test(test_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
