/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: what is filled in, filters, every form that is refused, bounds; delivery and conditions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/crypto/keys.h"
#include "server/secret/delivery.h"
#include "server/secret/template.h"

/* "name" or "name.field" is the value, but for some. */
static int find(void *arg, const struct template_element *element, uint8_t **ret, size_t *ret_size,
                struct err *err)
{
    char text[300];

    if (element->kind != TEMPLATE_SECRET)
        snprintf(text, sizeof text, "kind%d", element->kind);
    else if (strcmp(element->name, "none") == 0)
        return err_set(err, -ENOENT, "there is none");
    else if (strcmp(element->name, "odd") == 0)
        snprintf(text, sizeof text, " a/b\"\\\n\xc3\xa4 ");
    else
        snprintf(text, sizeof text, "%s%s%s", element->name, element->field[0] ? "." : "",
                 element->field);
    *ret = (uint8_t *)strdup(text);
    *ret_size = strlen(text);
    return 0;
}

static void expect(const char *text, const char *result)
{
    struct err err = { "" };
    uint8_t *data;
    size_t size;

    assert_int_equal(template_fill(text, strlen(text), find, NULL, &data, &size, &err), 0);
    assert_string_equal((const char *)data, result);
    assert_int_equal(size, strlen(result));
    secret_free(data, size);
    assert_int_equal(template_fill(text, strlen(text), NULL, NULL, NULL, NULL, &err), 0);
}

static void test_good(void **state)
{
    expect("", "");
    expect("plain { text } }}", "plain { text } }}");
    expect("a{{certificate}}b{{ app.id }}c{{build.id}}{{instance.id}}", "akind0bkind1ckind2kind3");
    expect("postgresql://hotel:{{secret.db-password|url}}@{{secret.db.host}}:5432/hotel",
           "postgresql://hotel:db-password@db.host:5432/hotel");
    expect("{{open}}x}}", "{{x}}");
    expect("{{secret.odd|trim}}", "a/b\"\\\n\xc3\xa4");
    expect("{{secret.odd|trim|url}}", "a%2Fb%22%5C%0A%C3%A4");
    expect("{{secret.odd | trim | json }}", "a/b\\u0022\\u005c\\u000a\xc3\xa4");
    expect("{{secret.a|base64}}{{secret.ab|base64}}{{secret.abc|base64}}", "YQ==YWI=YWJj");
}

static void expect_bad(const char *text, unsigned line)
{
    struct err err = { "" };
    char place[32];
    uint8_t *data;
    size_t size;

    snprintf(place, sizeof place, "line %u:", line);
    assert_int_equal(template_fill(text, strlen(text), find, NULL, &data, &size, &err), -EINVAL);
    assert_non_null(strstr(err.text, place));
    assert_int_equal(template_fill(text, strlen(text), NULL, NULL, NULL, NULL, &err), -EINVAL);
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "{{",
        "{{secret.a",
        "{{}}",
        "{{secret}}",
        "{{secret.}}",
        "{{secret..b}}",
        "{{secret.a.b.c}}",
        "{{secret.a b}}",
        "{{certificate.x}}",
        "{{env.PATH}}",
        "{{secret.a|}}",
        "{{secret.a|shell}}",
        "{{secret.a|url|url|url|url|url}}",
        "{{secret.{{secret.b}}}}",
        "{{secret.\xc3\xa4}}",
    };
    char name[300];

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        expect_bad(bad[i], 1);
    expect_bad("a\n\nb {{certificate}} {{x}}", 3);
    memset(name, 'a', sizeof name);
    memcpy(name, "{{secret.", 9);
    snprintf(name + 9 + TEMPLATE_NAME_MAX + 1, 3, "}}");
    expect_bad(name, 1);
    snprintf(name + 9 + TEMPLATE_NAME_MAX, 3, "}}");
    {
        struct err err = { "" };

        assert_int_equal(template_fill(name, strlen(name), NULL, NULL, NULL, NULL, &err), 0);
    }
}

static void test_bounds(void **state)
{
    static char text[TEMPLATE_SIZE_MAX + 1];
    struct err err = { "" };
    uint8_t *data;
    size_t size, at = 0;

    for (unsigned i = 0; i < TEMPLATE_ELEMENTS_MAX; i++)
        at += (size_t)snprintf(text + at, 16, "{{app.id}}");
    assert_int_equal(template_fill(text, at, NULL, NULL, NULL, NULL, &err), 0);
    at += (size_t)snprintf(text + at, 16, "{{app.id}}");
    assert_int_equal(template_fill(text, at, NULL, NULL, NULL, NULL, &err), -EINVAL);
    memset(text, 'x', sizeof text);
    assert_int_equal(template_fill(text, TEMPLATE_SIZE_MAX, find, NULL, &data, &size, &err), 0);
    assert_int_equal(size, TEMPLATE_SIZE_MAX);
    secret_free(data, size);
    assert_int_equal(template_fill(text, TEMPLATE_SIZE_MAX + 1, find, NULL, &data, &size, &err),
                     -EINVAL);
    assert_int_equal(template_fill("a\0b", 3, find, NULL, &data, &size, &err), -EINVAL);
    assert_int_equal(template_fill("{{secret.none}}", 15, find, NULL, &data, &size, &err), -ENOENT);
}

static int find_big(void *arg, const struct template_element *element, uint8_t **ret,
                    size_t *ret_size, struct err *err)
{
    *ret_size = TEMPLATE_OUTPUT_SIZE_MAX / 2 + 1;
    *ret = calloc(1, *ret_size);
    return 0;
}

static void test_output_bound(void **state)
{
    static const char text[] = "{{app.id}}{{app.id}}";
    struct err err = { "" };
    uint8_t *data;
    size_t size;

    assert_int_equal(template_fill(text, strlen(text), find_big, NULL, &data, &size, &err), -E2BIG);
    assert_int_equal(template_fill(text, 10, find_big, NULL, &data, &size, &err), 0);
    secret_free(data, size);
    assert_int_equal(template_fill("{{app.id|url}}", 14, find_big, NULL, &data, &size, &err),
                     -E2BIG);
}

/* ---- delivery, conditions ---- */

static int check_delivery(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct err err = { "" };
    int rc = delivery_check(json, &err);

    json_decref(json);
    return rc;
}

static void test_delivery(void **state)
{
    static const char *const good[] = {
        "{\"env\":\"DB_PASSWORD\"}",
        "{\"env\":\"_\"}",
        "{\"file\":\"/run/secrets/db\"}",
        "{\"file\":\"/a\",\"mode\":\"0440\",\"uid\":0,\"gid\":4294967294}",
        "{\"socket\":true}",
        "{\"none\":true}"
    };
    static const char *const bad[] = { "{}",
                                       "{\"env\":\"\"}",
                                       "{\"env\":\"1A\"}",
                                       "{\"env\":\"A=B\"}",
                                       "{\"env\":\"A\",\"file\":\"/a\"}",
                                       "{\"env\":1}",
                                       "{\"file\":\"a\"}",
                                       "{\"file\":\"/\"}",
                                       "{\"file\":\"/a/\"}",
                                       "{\"file\":\"/a//b\"}",
                                       "{\"file\":\"/a/../b\"}",
                                       "{\"file\":\"/./b\"}",
                                       "{\"file\":\"/a/..\"}",
                                       "{\"file\":\"/a\",\"mode\":\"4755\"}",
                                       "{\"file\":\"/a\",\"mode\":\"0999\"}",
                                       "{\"file\":\"/a\",\"mode\":256}",
                                       "{\"file\":\"/a\",\"uid\":-1}",
                                       "{\"file\":\"/a\",\"uid\":4294967295}",
                                       "{\"socket\":false}",
                                       "{\"socket\":true,\"x\":1}",
                                       "[]" };

    for (unsigned i = 0; i < ARRAY_COUNT(good); i++)
        assert_int_equal(check_delivery(good[i]), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(check_delivery(bad[i]), -EINVAL);
}

/* returns: conditions_check's error, else what conditions_meet says. */
static int meet(const char *text, const struct secret_receiver *to)
{
    json_t *json = json_loads(text, 0, NULL);
    struct err err = { "" };
    int rc = conditions_check(json, &err);

    if (rc == 0)
        rc = conditions_meet(json, to, &err);
    json_decref(json);
    return rc;
}

static void test_conditions(void **state)
{
    struct secret_receiver sgx = { .tee = "sgx", .tcb_status = "UpToDate", .location = "eu/de" };
    struct secret_receiver emulated = { .tee = "sgx", .is_emulated = true };
    struct secret_receiver unknown = { .tee = "snp" };

    assert_int_equal(meet("{}", &sgx), 0);
    assert_int_equal(meet("{}", &emulated), -EACCES);
    assert_int_equal(meet("{\"emulated\":false}", &emulated), -EACCES);
    assert_int_equal(meet("{\"emulated\":true}", &emulated), 0);
    assert_int_equal(meet("{\"tee\":[\"tdx\",\"sgx\"]}", &sgx), 0);
    assert_int_equal(meet("{\"tee\":[\"tdx\"]}", &sgx), -EACCES);
    assert_int_equal(meet("{\"tcb\":[\"UpToDate\"]}", &sgx), 0);
    assert_int_equal(meet("{\"tcb\":[\"OutOfDate\"]}", &sgx), -EACCES);
    assert_int_equal(meet("{\"tcb\":[\"UpToDate\"]}", &unknown), -EACCES);
    assert_int_equal(meet("{\"locations\":[\"eu\"]}", &sgx), 0);
    assert_int_equal(meet("{\"locations\":[\"eu/de\"]}", &sgx), 0);
    assert_int_equal(meet("{\"locations\":[\"eu/d\"]}", &sgx), -EACCES);
    assert_int_equal(meet("{\"locations\":[\"eu\"]}", &unknown), -EACCES);
    assert_int_equal(meet("{\"locations\":[]}", &sgx), -EINVAL);
    assert_int_equal(meet("{\"tee\":[\"sev\"]}", &sgx), -EINVAL);
    assert_int_equal(meet("{\"tcb\":[\"Revoked\"]}", &sgx), -EINVAL);
    assert_int_equal(meet("{\"emulated\":1}", &sgx), -EINVAL);
    assert_int_equal(meet("{\"country\":[\"de\"]}", &sgx), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_output_bound),
        cmocka_unit_test(test_delivery), cmocka_unit_test(test_conditions),
    };

    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
