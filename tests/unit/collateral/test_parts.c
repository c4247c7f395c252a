/* SPDX-License-Identifier: Apache-2.0 */
/* Names, URLs, headers, base64 and entries of collateral. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collateral/base64.h"
#include "collateral/entry.h"
#include "collateral/headers.h"
#include "collateral/url.h"

/* ---- names ---- */

#define CHIP64                                                                                     \
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"                             \
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

static void names_and_items_are_one_to_one(void **state)
{
    static const char *const names[] = {
        "sgx-tcb-00606a000000",
        "tdx-tcb-00806f050000-early",
        "sgx-qe-identity",
        "tdx-qe-identity-early",
        "pck-crl-platform",
        "pck-crl-processor",
        "intel-root-crl",
        "amd-milan-vcek-chain",
        "amd-genoa-vlek-chain",
        "amd-turin-vcek-crl",
        "amd-milan-vcek-" CHIP64 "-030008ff",
        "amd-turin-vcek-0001020304050607-0102030405",
        "sgx-tcb-evaluations",
        "tdx-tcb-evaluations",
    };
    struct collateral_item_id id;
    char again[COLLATERAL_NAME_SIZE];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        assert_int_equal(collateral_item_parse(names[i], &id), 0);
        assert_string_equal(collateral_item_name(&id, again), names[i]);
        assert_non_null(collateral_item_what(&id));
    }
    assert_int_equal(collateral_item_parse(names[10], &id), 0);
    assert_int_equal(id.tcb.bootloader, 3);
    assert_int_equal(id.tcb.snp, 8);
    assert_int_equal(id.tcb.microcode, 255);
    assert_int_equal(collateral_item_parse(names[11], &id), 0);
    assert_int_equal(id.tcb.fmc, 1);
    assert_int_equal(id.tcb.microcode, 5);
    assert_int_equal(id.chip_id[7], 7);
}

static void other_names_are_none(void **state)
{
    static const char *const names[] = {
        "",
        "sgx-",
        "sgx-tcb-",
        "sgx-tcb-00606a00000",
        "sgx-tcb-00606a0000000",
        "sgx-tcb-00606A000000",
        "sgx-tcb-00606a000000-late",
        "sgx-qe-identity-",
        "pck-crl-",
        "pck-crl-root",
        "pck-crl-pl",
        "intel-root-crl-early",
        "amd-rome-vcek-chain",
        "amd--vcek-chain",
        "amd-milan-vcek-chain/../x",
        "amd-milan-milan-vcek-chain",
        "amd-milangenoa-vcek-chain",
        "amd-milan-vlek-" CHIP64 "-030008ff",
        "amd-milan-vcek-0001020304050607-03000800",
        "amd-turin-vcek-0001020304050607-03000800",
        "amd-turin-vcek-0001020304050607-010203040506",
    };
    struct collateral_item_id id;

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (collateral_item_parse(names[i], &id) != -EINVAL)
            fail_msg("\"%s\" names something", names[i]);
}

/* ---- URLs ---- */

static void urls_are_those_of_the_apis(void **state)
{
    static const struct {
        const char *name, *url;
    } all[] = {
        { "sgx-tcb-00606a000000", "https://api.trustedservices.intel.com/sgx/certification/v4/"
                                  "tcb?fmspc=00606A000000&update=standard" },
        { "tdx-tcb-00806f050000-early", "https://api.trustedservices.intel.com/tdx/certification/"
                                        "v4/tcb?fmspc=00806F050000&update=early" },
        { "sgx-qe-identity", "https://api.trustedservices.intel.com/sgx/certification/v4/qe/"
                             "identity?update=standard" },
        { "tdx-qe-identity", "https://api.trustedservices.intel.com/tdx/certification/v4/qe/"
                             "identity?update=standard" },
        { "tdx-tcb-evaluations", "https://api.trustedservices.intel.com/tdx/certification/v4/"
                                 "tcbevaluationdatanumbers" },
        { "pck-crl-processor", "https://api.trustedservices.intel.com/sgx/certification/v4/"
                               "pckcrl?ca=processor&encoding=der" },
        { "intel-root-crl", "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der" },
        { "amd-genoa-vlek-chain", "https://kdsintf.amd.com/vlek/v1/Genoa/cert_chain" },
        { "amd-turin-vcek-crl", "https://kdsintf.amd.com/vcek/v1/Turin/crl" },
        { "amd-milan-vcek-" CHIP64 "-030008ff", "https://kdsintf.amd.com/vcek/v1/Milan/" CHIP64
                                                "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=255" },
        { "amd-turin-vcek-0001020304050607-0102030405",
          "https://kdsintf.amd.com/vcek/v1/Turin/0001020304050607"
          "?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=05" },
    };
    struct collateral_options options = { 0 };
    struct url_config config;
    char url[COLLATERAL_SOURCE_SIZE];

    assert_int_equal(url_config_init(&config, &options, NULL), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        struct collateral_item_id id;

        assert_int_equal(collateral_item_parse(all[i].name, &id), 0);
        assert_string_equal(url_of_item(&config, &id, url), all[i].url);
    }
}

static void redirects_stay_at_home(void **state)
{
    static const struct {
        const char *location;
        int rc, rc_allowed;
    } all[] = {
        { "/b", 0, 0 },
        { "b?x=1", 0, 0 },
        { "https://a.example/b", 0, 0 },
        { "https://a.example:443/b", 0, 0 },
        { "https://A.EXAMPLE/b", 0, 0 },
        { "https://a.example:444/b", -EACCES, 0 },
        { "https://b.example/b", -EACCES, 0 },
        { "//b.example/b", -EACCES, 0 },
        { "https://a.example@b.example/", -EACCES, -EACCES },
        { "https://u:p@a.example/", -EACCES, -EACCES },
        { "http://a.example/b", -EACCES, -EACCES },
        { "file:///etc/passwd", -EACCES, -EACCES },
        { "gopher://a.example/", -EACCES, -EACCES },
        { "", -EINVAL, -EINVAL },
    };
    struct url_config config = { 0 };
    char url[COLLATERAL_SOURCE_SIZE];

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        config = (struct url_config){ .http_allowed = true };
        if (url_redirect(&config, "https://a.example/a", all[i].location, url) != all[i].rc)
            fail_msg("%s", all[i].location);
        config.redirects_allowed = true;
        if (url_redirect(&config, "https://a.example/a", all[i].location, url) != all[i].rc_allowed)
            fail_msg("%s, when allowed", all[i].location);
    }
}

/* ---- headers ---- */

static const char *const g_chain_names[] = { "A-Chain", "B-Chain", NULL };

static int add(struct headers *h, const char *line)
{
    return headers_add(h, line, strlen(line));
}

static void headers_are_read(void **state)
{
    struct headers h = { .chain_names = g_chain_names };

    assert_int_equal(add(&h, "HTTP/1.1 100 Continue\r\n"), 0);
    assert_int_equal(add(&h, "ETag: \"early\"\r\n"), 0);
    assert_int_equal(add(&h, "HTTP/1.1 200 OK\r\n"), 0);
    assert_string_equal(h.etag, ""); /* of the answer before */
    assert_int_equal(add(&h, "etag:\"a b\"  \r\n"), 0);
    assert_int_equal(add(&h, "LAST-Modified: \t Fri\r\n"), 0);
    assert_int_equal(add(&h, "b-chain: %2d%2D%0Ax+y\r\n"), 0);
    assert_int_equal(add(&h, "Cache-Control: public, max-age=600, MAX-AGE=700\r\n"), 0);
    assert_int_equal(add(&h, "Content-Type: text/plain\r\n"), 0);
    assert_int_equal(add(&h, "no colon\r\n"), 0);
    assert_int_equal(add(&h, "\r\n"), 0);
    assert_string_equal(h.etag, "\"a b\"");
    assert_string_equal(h.last_modified, "Fri");
    assert_string_equal(h.content_type, "text/plain");
    assert_string_equal((char *)h.chain, "--\nx+y");
    assert_int_equal(h.chain_size, 6);
    assert_true(h.has_max_age);
    assert_int_equal(h.max_age_s, 600); /* the shorter one */
    assert_int_equal(add(&h, "Cache-Control: no-cache\r\n"), 0);
    assert_int_equal(h.max_age_s, 0);
    headers_done(&h);
}

static void headers_have_limits(void **state)
{
    struct headers h = { .chain_names = g_chain_names };
    char line[400] = "ETag: ";

    /* What is too long, or no text, is as if it were not there. */
    memset(line + 6, 'x', COLLATERAL_TAG_SIZE - 1);
    line[6 + COLLATERAL_TAG_SIZE - 1] = 0;
    assert_int_equal(add(&h, line), 0);
    assert_int_equal(strlen(h.etag), COLLATERAL_TAG_SIZE - 1);
    line[6 + COLLATERAL_TAG_SIZE - 1] = 'x';
    line[6 + COLLATERAL_TAG_SIZE] = 0;
    assert_int_equal(add(&h, line), 0);
    assert_string_equal(h.etag, "");
    assert_int_equal(add(&h, "ETag: a\x01z"), 0);
    assert_string_equal(h.etag, "");
    assert_int_equal(add(&h, "Cache-Control: max-age=99999999999999999999"), 0);
    assert_int_equal(h.max_age_s, HEADERS_AGE_MAX_S);
    /* Two chains could be mistaken for one another. */
    assert_int_equal(add(&h, "A-Chain: a"), 0);
    assert_int_equal(add(&h, "B-Chain: b"), -EBADMSG);
    assert_non_null(h.error);
    headers_done(&h);
    h = (struct headers){ .chain_names = g_chain_names };
    for (unsigned i = 0; i < HEADERS_SIZE_MAX / 64; i++)
        assert_int_equal(
            add(&h, "X: 0123456789012345678901234567890123456789012345678901234567890"), 0);
    assert_int_equal(add(&h, "X"), -EBADMSG);
    headers_done(&h);
}

static void chains_are_percent_encoded(void **state)
{
    static const char *const bad[] = { "%", "%4", "%4g", "%00", "%7f", "a\x80", "%e4", "\x01" };
    uint8_t *chain;
    size_t size;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(headers_chain_decode(bad[i], strlen(bad[i]), &chain, &size), -EINVAL);
    assert_int_equal(headers_chain_decode("", 0, &chain, &size), 0);
    assert_int_equal(size, 0);
    free(chain);
    /* The two digits are looked for within the text. */
    assert_int_equal(headers_chain_decode("%41", 2, &chain, &size), -EINVAL);
}

static int64_t retry_after(const char *value, int64_t now_s)
{
    struct headers h = { 0 };

    snprintf(h.retry_after, sizeof h.retry_after, "%s", value);
    return headers_retry_after_ms(&h, now_s);
}

static void retry_after_is_a_number_or_a_date(void **state)
{
    int64_t time_s;

    assert_int_equal(headers_date_parse("Sun, 06 Nov 1994 08:49:37 GMT", &time_s), 0);
    assert_int_equal(time_s, 784111777);
    assert_int_equal(headers_date_parse("Sun, 06 Nov 1994 08:49:37 UTC", &time_s), -EINVAL);
    assert_int_equal(headers_date_parse("Sun, 06 Nor 1994 08:49:37 GMT", &time_s), -EINVAL);
    assert_int_equal(headers_date_parse("Sun, 06 anF 1994 08:49:37 GMT", &time_s), -EINVAL);
    assert_int_equal(headers_date_parse("Sun, 36 Nov 1994 08:49:37 GMT", &time_s), -EINVAL);
    assert_int_equal(headers_date_parse("Sunday, 06-Nov-94 08:49:37 GMT", &time_s), -EINVAL);
    assert_int_equal(headers_date_parse("", &time_s), -EINVAL);
    assert_int_equal(retry_after("7", 0), 7000);
    assert_int_equal(retry_after("0", 0), 0);
    assert_int_equal(retry_after("99999999999999999999", 0), 86400000);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111770), 7000);
    assert_int_equal(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111780), 0);
    assert_int_equal(retry_after("", 0), -ENOENT);
    assert_int_equal(retry_after("-1", 0), -ENOENT);
    assert_int_equal(retry_after("soon", 0), -ENOENT);
}

/* ---- base64 and entries ---- */

static void base64_is_strict(void **state)
{
    static const char *const bad[] = { "A",    "AA",   "AAA",  "A===",   "=AAA", "AA=A",
                                       "AB==", "AAB=", "A A=", "AAAA\n", "A-_=", "AA==AAAA" };
    static const uint8_t bytes[] = { 0x00, 0xff, 0x10, 0x83 };
    uint8_t *data;
    size_t size;

    for (size_t n = 0; n <= sizeof bytes; n++) {
        char *text = base64_encode(bytes, n);

        assert_int_equal(base64_decode(text, strlen(text), n, &data, &size), 0);
        assert_int_equal(size, n);
        assert_memory_equal(data, bytes, n);
        free(data);
        if (n)
            assert_int_equal(base64_decode(text, strlen(text), n - 1, &data, &size), -E2BIG);
        free(text);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), 99, &data, &size), -EINVAL);
}

static void entries_come_back(void **state)
{
    struct collateral_entry entry = {
        .id = { .kind = COLLATERAL_PCK_CRL, .is_platform_ca = true },
        .body = (uint8_t *)"\0body",
        .body_size = 5,
        .chain = (uint8_t *)"chain",
        .chain_size = 5,
        .source = "https://a/\"b\\",
        .etag = "\"e\"",
        .fetched_s = 1751624191,
        .due_s = 1751710591,
    };
    struct collateral_entry back;
    json_t *json = entry_encode(&entry);
    char *text = json_dumps(json, 0);
    struct err err = { 0 };

    assert_int_equal(entry_parse(text, strlen(text), &back, &err), 0);
    assert_memory_equal(&back.id, &entry.id, sizeof entry.id);
    assert_memory_equal(back.body, entry.body, 5);
    assert_int_equal(back.body_size, 5);
    assert_string_equal(back.source, entry.source);
    assert_string_equal(back.etag, entry.etag);
    assert_int_equal(back.fetched_s, entry.fetched_s);
    assert_int_equal(back.due_s, entry.due_s);
    collateral_entry_done(&back);
    /* Cut anywhere, it is none. */
    for (size_t size = 0; size < strlen(text); size++)
        assert_int_equal(entry_parse(text, size, &back, &err), -EBADMSG);
    assert_true(strstr(err.text, "line 1") != NULL);
    free(text);
    json_decref(json);
}

static void bundles_have_a_limit(void **state)
{
    static const char one[] =
        "{\"version\":1,\"name\":\"intel-root-crl\",\"source\":\"\",\"etag\":\"\","
        "\"last_modified\":\"\",\"fetched\":\"2025-07-04T10:16:31Z\","
        "\"due\":\"2025-07-04T10:16:31Z\",\"body\":\"AAAA\",\"chain\":\"\"}";
    static const char start[] = "{\"version\":1,\"type\":\"cloche-collateral\",\"entries\":[";
    size_t capacity = sizeof start + (COLLATERAL_ENTRY_COUNT_MAX + 1) * sizeof one + 2;

    for (unsigned more = 0; more <= 1; more++) {
        char *text = malloc(capacity), *p = text;
        struct entry_list list;

        p += snprintf(p, capacity, "%s", start);
        for (unsigned i = 0; i < COLLATERAL_ENTRY_COUNT_MAX + more; i++)
            p += snprintf(p, capacity - (size_t)(p - text), "%s%s", i ? "," : "", one);
        p += snprintf(p, capacity - (size_t)(p - text), "]}");
        assert_int_equal(entry_list_parse(text, (size_t)(p - text), &list, NULL),
                         more ? -E2BIG : 0);
        if (!more) {
            assert_int_equal(list.count, COLLATERAL_ENTRY_COUNT_MAX);
            entry_list_done(&list);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_items_are_one_to_one),
        cmocka_unit_test(other_names_are_none),
        cmocka_unit_test(urls_are_those_of_the_apis),
        cmocka_unit_test(redirects_stay_at_home),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(headers_have_limits),
        cmocka_unit_test(chains_are_percent_encoded),
        cmocka_unit_test(retry_after_is_a_number_or_a_date),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(bundles_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
