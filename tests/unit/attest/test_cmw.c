/* SPDX-License-Identifier: Apache-2.0 */
/* Conceptual message wrappers: both serialisations, what is refused, and the limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/base64url.h"
#include "attest/cbor.h"
#include "attest/cmw.h"

static struct cmw *parse_text(const char *text)
{
    struct cmw *cmw = NULL;
    struct err err = { 0 };
    int rc = cmw_parse((const uint8_t *)text, strlen(text), &cmw, &err);

    if (rc < 0)
        print_error("%s: %s\n", text, err.text);
    assert_int_equal(rc, 0);
    return cmw;
}

static void assert_text_refused(const char *text, int want)
{
    struct cmw *cmw = NULL;
    struct err err = { 0 };

    assert_int_equal(cmw_parse((const uint8_t *)text, strlen(text), &cmw, &err), want);
    assert_null(cmw);
    assert_true(err.text[0] != '\0');
}

/* The draft's own example of a record. */
static void record_in_json(void **state)
{
    struct cmw *cmw = parse_text("[\"application/vnd.example.rats-conceptual-msg\", \"I0faVQ\"]");
    const struct cmw_item *item = cmw_item_get(cmw, 0);
    char *text;
    size_t size;

    assert_int_equal(cmw_item_count(cmw), 1);
    assert_string_equal(item->type, "application/vnd.example.rats-conceptual-msg");
    assert_int_equal(item->size, 4);
    assert_memory_equal(item->data, "\x23\x47\xda\x55", 4);
    assert_int_equal(item->parent, CMW_TOP);
    assert_int_equal(cmw_encode_json(cmw, &text, &size), 0);
    assert_string_equal(text, "[\"application/vnd.example.rats-conceptual-msg\",\"I0faVQ\"]");
    assert_int_equal(size, strlen(text));
    free(text);
    cmw_free(cmw);
}

static void record_in_cbor(void **state)
{
    /* [30001, h'2347da55', 3], and the tag that stands for the content format 30001 */
    static const uint8_t array[] = { 0x83, 0x19, 0x75, 0x31, 0x44, 0x23, 0x47, 0xda, 0x55, 0x03 };
    static const uint8_t tag[] = { 0xda, 0x63, 0x74, 0x76, 0xa7, 0x44, 0x23, 0x47, 0xda, 0x55 };
    struct cmw *cmw;
    uint8_t *bytes;
    char *text;
    size_t size;

    assert_int_equal(cmw_parse(array, sizeof array, &cmw, NULL), 0);
    assert_int_equal(cmw_item_get(cmw, 0)->content_format, 30001);
    assert_int_equal(cmw_item_get(cmw, 0)->indicators, CMW_REFERENCE_VALUES | CMW_ENDORSEMENTS);
    assert_int_equal(cmw_encode_json(cmw, &text, &size), -ENOTSUP);
    assert_int_equal(cmw_encode_cbor(cmw, &bytes, &size), 0);
    assert_int_equal(size, sizeof array);
    assert_memory_equal(bytes, array, size);
    free(bytes);
    cmw_free(cmw);
    assert_int_equal(cmw_parse(tag, sizeof tag, &cmw, NULL), 0);
    assert_int_equal(cmw_item_get(cmw, 0)->content_format, 30001);
    assert_memory_equal(cmw_item_get(cmw, 0)->data, "\x23\x47\xda\x55", 4);
    cmw_free(cmw);
}

static struct cmw *evidence_new(void)
{
    struct cmw *cmw;
    int collateral;

    assert_int_equal(cmw_new(&cmw), 0);
    assert_int_equal(cmw_add_collection(cmw, CMW_TOP, "", "tag:example.org,2026:x"), 0);
    assert_int_equal(
        cmw_add_record(cmw, 0, "evidence", CMW_TYPE_INTEL_QUOTE, CMW_EVIDENCE, "quote", 5), 1);
    collateral = cmw_add_collection(cmw, 0, "collateral", NULL);
    assert_int_equal(collateral, 2);
    assert_true(cmw_add_record(cmw, collateral, "tcb \"info\"\\", CMW_TYPE_JSON, CMW_ENDORSEMENTS,
                               "{}", 2) > 0);
    assert_true(cmw_add_record(cmw, collateral, "empty", CMW_TYPE_BYTES, 0, NULL, 0) > 0);
    assert_true(cmw_add_record(cmw, 0, "last", CMW_TYPE_BYTES, 0, "x", 1) > 0);
    return cmw;
}

static void assert_same(const struct cmw *a, const struct cmw *b)
{
    assert_int_equal(cmw_item_count(a), cmw_item_count(b));
    for (unsigned i = 0; i < cmw_item_count(a); i++) {
        const struct cmw_item *x = cmw_item_get(a, (int)i), *y = cmw_item_get(b, (int)i);

        assert_int_equal(x->is_collection, y->is_collection);
        assert_int_equal(x->parent, y->parent);
        assert_string_equal(x->label, y->label);
        assert_string_equal(x->type, y->type);
        assert_int_equal(x->indicators, y->indicators);
        assert_int_equal(x->size, y->size);
        if (x->size)
            assert_memory_equal(x->data, y->data, x->size);
    }
}

static void collections_in_both(void **state)
{
    struct cmw *cmw = evidence_new(), *copy;
    uint8_t *bytes;
    char *text;
    size_t size;

    assert_int_equal(cmw_encode_json(cmw, &text, &size), 0);
    assert_int_equal(cmw_parse((uint8_t *)text, size, &copy, NULL), 0);
    assert_same(cmw, copy);
    assert_int_equal(cmw_item_find(copy, 0, "evidence"), 1);
    assert_int_equal(cmw_item_find(copy, 0, "empty"), -ENOENT);
    assert_int_equal(cmw_item_find(copy, cmw_item_find(copy, 0, "collateral"), "empty"), 4);
    cmw_free(copy);
    assert_int_equal(cmw_encode_cbor(cmw, &bytes, &size), 0);
    assert_int_equal(cmw_parse(bytes, size, &copy, NULL), 0);
    assert_same(cmw, copy);
    /* Nothing shorter is a message, and nothing longer. */
    for (size_t cut = 0; cut < size; cut++) {
        struct cmw *none = NULL;

        assert_int_equal(cmw_parse(bytes, cut, &none, NULL), -EINVAL);
        assert_null(none);
    }
    free(bytes);
    free(text);
    cmw_free(copy);
    cmw_free(cmw);
}

static void json_refused(void **state)
{
    static const char *const texts[] = {
        "[]",
        "[\"a/b\"]",
        "[\"a/b\", \"eA==\"]",
        "[\"a/b\", \"e+\"]",
        "[\"a/b\", \"eB\"]",
        "[\"a/b\", \"e\"]",
        "[\"ab\", \"eA\"]",
        "[\"#cmw-c2j-tunnel\", \"eA\"]",
        "[\"a/\", \"eA\"]",
        "[\"a/b\", \"eA\", 0]",
        "[\"a/b\", \"eA\", 4294967296]",
        "[\"a/b\", \"eA\", -1]",
        "[\"a/b\", \"eA\", 4, 4]",
        "[30001, \"eA\"]",
        "[\"a/b\", \"eA\"] x",
        "{}",
        "{\"__cmwc_t\": \"1.2.3\"}",
        "{\"__cmwc_t\": \"plain\", \"a\": [\"a/b\", \"eA\"]}",
        "{\"__cmwc_t\": \"1..3\", \"a\": [\"a/b\", \"eA\"]}",
        "{\"a\": {}}",
        "{\"a\": 1}",
        "{\"\": [\"a/b\", \"eA\"]}",
        "{\"a\": [\"a/b\", \"eA\"], \"a\": [\"a/b\", \"eA\"]}",
        "{\"a\": [\"a/b\", \"eA\"]",
        "{\"a\": [\"a/b\", \"eA\"]}}",
        "[\"a\\u000ab/c\", \"eA\"]",
    };

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_text_refused(texts[i], -EINVAL);
    cmw_free(parse_text("{\"__cmwc_t\": \"1.2.3\", \"a\": [\"a/b\", \"eA\"]}"));
}

static void cbor_refused(void **state)
{
#define REFUSED(...)                                                                               \
    do {                                                                                           \
        static const uint8_t bytes_[] = { __VA_ARGS__ };                                           \
        struct cmw *cmw_ = NULL;                                                                   \
        assert_int_equal(cmw_parse(bytes_, sizeof bytes_, &cmw_, NULL), -EINVAL);                  \
        assert_null(cmw_);                                                                         \
    } while (0)
    REFUSED(0x81, 0x00);                               /* one element */
    REFUSED(0x84, 0x00, 0x40, 0x01, 0x01);             /* four */
    REFUSED(0x82, 0x00, 0x60);                         /* a text as value */
    REFUSED(0x82, 0x1a, 0x00, 0x01, 0x00, 0x00, 0x40); /* no CoAP number */
    REFUSED(0x83, 0x00, 0x40, 0x00);                   /* no kind of message */
    REFUSED(0x82, 0x00, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff); /* 2^64-1 bytes */
    REFUSED(0x9f, 0x00, 0x40, 0xff);                                           /* indefinite */
    REFUSED(0xa0);                                                             /* empty */
    REFUSED(0xa1, 0x61, 'a', 0xa0);              /* an empty one inside */
    REFUSED(0xa1, 0x01, 0x82, 0x00, 0x40);       /* integer label */
    REFUSED(0xa1, 0x61, 0x00, 0x82, 0x00, 0x40); /* NUL */
    REFUSED(0xa1, 0x61, 0xff, 0x82, 0x00, 0x40); /* no UTF-8 */
    REFUSED(0xa2, 0x61, 'a', 0x82, 0x00, 0x40, 0x61, 'a', 0x82, 0x00, 0x40); /* twice */
    REFUSED(0xd9, 0xea, 0x60, 0x40);             /* not a content format's tag */
    REFUSED(0xda, 0x63, 0x74, 0x02, 0x00, 0x40); /* between two rows of them */
    REFUSED(0x82, 0x00, 0x40, 0x00);             /* something behind it */
#undef REFUSED
}

/* CMW_DEPTH_MAX collections inside each other, and one more. */
static void depth_limit(void **state)
{
    char text[256] = "";
    unsigned len = 0;

    for (unsigned depth = 1; depth < CMW_DEPTH_MAX; depth++)
        len += (unsigned)snprintf(text + len, sizeof text - len, "{\"a\":");
    snprintf(text + len, sizeof text - len, "[\"a/b\",\"eA\"]}}}");
    cmw_free(parse_text(text));
    snprintf(text + len, sizeof text - len, "{\"a\":[\"a/b\",\"eA\"]}}}}");
    assert_text_refused(text, -E2BIG);
}

static void count_limit(void **state)
{
    struct cmw *cmw;
    char label[16];

    assert_int_equal(cmw_new(&cmw), 0);
    assert_int_equal(cmw_add_collection(cmw, CMW_TOP, "", NULL), 0);
    for (unsigned i = 1; i < CMW_ITEM_COUNT_MAX; i++) {
        snprintf(label, sizeof label, "%u", i);
        assert_int_equal(cmw_add_record(cmw, 0, label, CMW_TYPE_BYTES, 0, "x", 1), (int)i);
    }
    assert_int_equal(cmw_add_record(cmw, 0, "more", CMW_TYPE_BYTES, 0, "x", 1), -E2BIG);
    cmw_free(cmw);
}

static void adding_in_order(void **state)
{
    struct cmw *cmw;
    char label[CMW_LABEL_SIZE + 1];

    assert_int_equal(cmw_new(&cmw), 0);
    assert_int_equal(cmw_add_record(cmw, 0, "a", CMW_TYPE_BYTES, 0, "x", 1), -EINVAL);
    assert_int_equal(cmw_add_collection(cmw, CMW_TOP, "", NULL), 0);
    assert_int_equal(cmw_add_collection(cmw, CMW_TOP, "", NULL), -EEXIST);
    assert_int_equal(cmw_add_collection(cmw, 0, "a", NULL), 1);
    assert_int_equal(cmw_add_record(cmw, 0, "b", CMW_TYPE_BYTES, 0, "x", 1), 2);
    assert_int_equal(cmw_add_record(cmw, 1, "c", CMW_TYPE_BYTES, 0, "x", 1), -EINVAL); /* closed */
    assert_int_equal(cmw_add_record(cmw, 2, "c", CMW_TYPE_BYTES, 0, "x", 1),
                     -EINVAL); /* a record */
    assert_int_equal(cmw_add_record(cmw, 0, "b", CMW_TYPE_BYTES, 0, "x", 1), -EEXIST);
    memset(label, 'x', sizeof label);
    label[CMW_LABEL_SIZE] = '\0';
    assert_int_equal(cmw_add_record(cmw, 0, label, CMW_TYPE_BYTES, 0, "x", 1), -EINVAL);
    label[CMW_LABEL_SIZE - 1] = '\0';
    assert_int_equal(cmw_add_record(cmw, 0, label, CMW_TYPE_BYTES, 0, "x", 1), 3);
    cmw_free(cmw);
}

static void base64url_both_ways(void **state)
{
    static const char *const digits[] = {
        "", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"
    };
    uint8_t bytes[8], *text;
    struct buffer b;
    size_t size;

    for (size_t count = 0; count < ARRAY_COUNT(digits); count++) { /* RFC 4648, section 10 */
        buffer_init(&b, 100);
        base64url_add(&b, (const uint8_t *)"foobar", count);
        assert_int_equal(buffer_take(&b, &text, &size), 0);
        assert_string_equal((char *)text, digits[count]);
        assert_int_equal(base64url_decoded_size(size), count);
        assert_int_equal(base64url_decode((char *)text, size, bytes), 0);
        assert_memory_equal(bytes, "foobar", count);
        free(text);
    }
    buffer_init(&b, 3);
    base64url_add(&b, (const uint8_t *)"foo", 3);
    assert_int_equal(buffer_take(&b, &text, &size), -E2BIG);
    buffer_done(&b);
}

static void cbor_heads(void **state)
{
    static const uint64_t values[] = { 0,     23,    24,         255,        256,
                                       65535, 65536, UINT32_MAX, 1ull << 32, UINT64_MAX };
    static const size_t sizes[] = { 1, 1, 2, 2, 3, 3, 5, 5, 9, 9 };

    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        struct buffer b;
        struct cbor_pull c;
        uint64_t value;

        buffer_init(&b, 100);
        cbor_add_head(&b, CBOR_TAG, values[i]);
        assert_int_equal(b.size, sizes[i]);
        c = (struct cbor_pull){ b.data, b.size };
        assert_int_equal(cbor_pull_head(&c, CBOR_UINT, &value), -EINVAL);
        assert_int_equal(cbor_pull_head(&c, CBOR_TAG, &value), 0);
        assert_true(value == values[i] && c.size == 0);
        for (size_t cut = 0; cut < b.size; cut++) {
            c = (struct cbor_pull){ b.data, cut };
            assert_int_equal(cbor_pull_head(&c, CBOR_TAG, &value), -EINVAL);
        }
        buffer_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_in_json),      cmocka_unit_test(record_in_cbor),
        cmocka_unit_test(collections_in_both), cmocka_unit_test(json_refused),
        cmocka_unit_test(cbor_refused),        cmocka_unit_test(depth_limit),
        cmocka_unit_test(count_limit),         cmocka_unit_test(adding_in_order),
        cmocka_unit_test(base64url_both_ways), cmocka_unit_test(cbor_heads),
    };

    return cmocka_run_group_tests_name("attest-cmw", tests, NULL, NULL);
}
