/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json_pull: what it reads, and each thing that it refuses. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "lib/json_pull.h"

static int check_size(const char *text, size_t size)
{
    struct json_pull j;
    int rc;

    json_pull_init(&j, text, size);
    rc = json_pull_skip(&j);
    if (rc == 0)
        rc = json_pull_end(&j);
    assert_true((rc < 0) == (j.error != NULL));
    return rc;
}

static int check(const char *text)
{
    return check_size(text, strlen(text));
}

static void test_accepts(void **state)
{
    static const char *const texts[] = {
        "0",
        "-1",
        "1.5e+3",
        "true",
        " null ",
        "\"\"",
        "[]",
        "{}",
        "[[],{},[1,2]]",
        "{\"a\":{\"b\":[1,{\"c\":null}]},\"b\":\"\\u00e9\\ud83d\\ude00\"}",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "[{\"a\":1},{\"a\":2}]",
    };

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (check(texts[i]) != 0)
            fail_msg("refused: %s", texts[i]);
}

static void test_refuses(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "01",
        "-",
        "1.",
        "1e",
        ".5",
        "+1",
        "tru",
        "nul",
        "True",
        "'a'",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "[",
        "{",
        "{\"a\":1",
        "]",
        "[}",
        "{]",
        "1 2",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "\"\x80\"",
        "\"\xc0\xaf\"",
        "\"\xe0\x80\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\"",
        "\"\xe2\x82\"",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "[{\"x\":{\"b\":0,\"c\":0,\"b\":0}}]",
    };

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (check(texts[i]) != -EINVAL)
            fail_msg("accepted: %s", texts[i]);
    assert_int_equal(check_size("\"a\0b\"", 5), -EINVAL);
}

static void test_depth(void **state)
{
    char text[2 * (JSON_PULL_DEPTH_MAX + 1) + 1];

    for (unsigned depth = JSON_PULL_DEPTH_MAX; depth <= JSON_PULL_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(check_size(text, 2 * depth), depth <= JSON_PULL_DEPTH_MAX ? 0 : -EINVAL);
    }
}

static void test_members_max(void **state)
{
    for (unsigned count = JSON_PULL_MEMBERS_MAX; count <= JSON_PULL_MEMBERS_MAX + 1; count++) {
        char text[JSON_PULL_MEMBERS_MAX * 16] = "{";
        size_t len = 1;

        for (unsigned i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%u\":0", i ? "," : "", i);
        text[len++] = '}';
        assert_int_equal(check_size(text, len), count <= JSON_PULL_MEMBERS_MAX ? 0 : -EINVAL);
    }
}

static void test_values(void **state)
{
    static const char text[] = "{\"n\":18446744073709551615,\"s\":\"a\\n\\u20ac\","
                               "\"b\":[true,false],\"big\":18446744073709551616}";
    struct json_pull j;
    struct json_pull_text name, value;
    uint64_t number;
    bool flag;
    char decoded[16];

    json_pull_init(&j, text, sizeof text - 1);
    assert_int_equal(json_pull_object_begin(&j), 0);
    assert_int_equal(json_pull_object_next(&j, &name), 1);
    assert_true(json_pull_text_is(&name, "n"));
    assert_false(json_pull_text_is(&name, "nn"));
    assert_int_equal(json_pull_uint(&j, UINT64_MAX, &number), 0);
    assert_true(number == UINT64_MAX);
    assert_int_equal(json_pull_object_next(&j, &name), 1);
    assert_int_equal(json_pull_string(&j, &value), 0);
    assert_int_equal(json_pull_text_decode(&value, decoded, sizeof decoded), 5);
    assert_string_equal(decoded, "a\n\xe2\x82\xac");
    assert_int_equal(json_pull_text_decode(&value, decoded, 5), -ENOSPC);
    assert_true(json_pull_text_is(&value, "a\n\xe2\x82\xac"));
    assert_int_equal(json_pull_object_next(&j, &name), 1);
    assert_int_equal(json_pull_array_begin(&j), 0);
    assert_int_equal(json_pull_array_next(&j), 1);
    assert_int_equal(json_pull_bool(&j, &flag), 0);
    assert_true(flag);
    assert_int_equal(json_pull_array_next(&j), 1);
    assert_int_equal(json_pull_bool(&j, &flag), 0);
    assert_false(flag);
    assert_int_equal(json_pull_array_next(&j), 0);
    assert_int_equal(json_pull_object_next(&j, &name), 1);
    assert_int_equal(json_pull_uint(&j, UINT64_MAX, &number), -EINVAL);
    /* The error stays. */
    assert_int_equal(json_pull_object_next(&j, &name), -EINVAL);
    assert_int_equal(json_pull_end(&j), -EINVAL);
}

static void test_place(void **state)
{
    unsigned line, column;

    json_pull_place("ab\ncd", 5, 4, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_members_max),
        cmocka_unit_test(test_values),  cmocka_unit_test(test_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
