/* SPDX-License-Identifier: Apache-2.0 */
/* The small readers of the verifier: DER, PEM, times, raw ECDSA. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/der_pull.h"
#include "verifier/ecdsa.h"
#include "verifier/json_read.h"
#include "verifier/x509/pem.h"

#define BYTES(...)                                                                                 \
    (struct der_pull)                                                                              \
    {                                                                                              \
        (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })                 \
    }

static void der_reads_what_is_der(void **state)
{
    struct der_pull d = BYTES(0x30, 0x06, 0x02, 0x01, 0x7f, 0x01, 0x01, 0xff), list;
    uint64_t number;
    bool flag;

    assert_int_equal(der_pull_element(&d, DER_SEQUENCE, &list), 0);
    assert_true(der_pull_is_end(&d));
    assert_int_equal(der_pull_uint(&list, DER_INTEGER, 127, &number), 0);
    assert_int_equal(number, 127);
    assert_int_equal(der_pull_bool(&list, &flag), 0);
    assert_true(flag && der_pull_is_end(&list));
}

static void der_refuses_the_rest(void **state)
{
    struct der_pull content;
    uint64_t number;
    bool flag;
    uint8_t tag;

#define REFUSED_UINT(max, ...)                                                                     \
    assert_int_equal(der_pull_uint(&BYTES(__VA_ARGS__), DER_INTEGER, max, &number), -EINVAL)
    REFUSED_UINT(126, 0x02, 0x01, 0x7f);                    /* too large */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x02, 0x00, 0x7f);       /* not the shortest */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x01, 0x80);             /* negative */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x00);                   /* empty */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x81, 0x01, 0x01);       /* long form of a short length */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x80, 0x01, 0x00, 0x00); /* indefinite */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x02, 0x01);             /* cut */
    REFUSED_UINT(UINT64_MAX, 0x02, 0x0a, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(der_pull_bool(&BYTES(0x01, 0x01, 0x01), &flag), -EINVAL);
    assert_int_equal(der_pull_any(&BYTES(0x1f, 0x20, 0x00), &tag, &content), -EINVAL);
    assert_int_equal(der_pull_any(&(struct der_pull){ NULL, 0 }, &tag, &content), -EINVAL);
}

static int next(const char *text, uint8_t dst[8], size_t *ret_size)
{
    struct verifier_bytes bytes = { (const uint8_t *)text, strlen(text) };

    return pem_next(&bytes, "X", dst, 8, ret_size);
}

static void pem_is_strict_within_blocks(void **state)
{
    uint8_t dst[8];
    size_t size;

    assert_int_equal(next("text -----BEGIN X-----\nQUJD\nRA==\n-----END X-----\n", dst, &size), 1);
    assert_int_equal(size, 4);
    assert_memory_equal(dst, "ABCD", 4);
    assert_int_equal(next("no block", dst, &size), 0);
    assert_int_equal(next("-----BEGIN X-----QUJD", dst, &size), -EINVAL);
    assert_int_equal(next("-----BEGIN X-----QUJ-----END X-----", dst, &size), -EINVAL);
    assert_int_equal(next("-----BEGIN X-----QUJDRB==-----END X-----", dst, &size), -EINVAL);
    assert_int_equal(next("-----BEGIN X-----QU=D-----END X-----", dst, &size), -EINVAL);
    assert_int_equal(next("-----BEGIN X-----QUJDRUZHSElK-----END X-----", dst, &size), -EINVAL);
}

static void check_time(const char *text, int64_t time_s)
{
    char printed[TIME_TEXT_SIZE];
    int64_t parsed;

    assert_int_equal(time_parse(text, strlen(text), &parsed), 0);
    assert_int_equal(parsed, time_s);
    time_print(time_s, printed);
    assert_string_equal(printed, text);
}

static void times_go_both_ways(void **state)
{
    static const char *const wrong[] = { "2025-02-29T00:00:00Z", "2025-13-01T00:00:00Z",
                                         "2025-01-01 00:00:00Z", "2025-01-01T24:00:00Z",
                                         "2025-01-01T00:00:00",  "2025-00-01T00:00:00Z" };
    int64_t parsed;

    check_time("1970-01-01T00:00:00Z", 0);
    check_time("2025-07-04T10:28:44Z", 1751624924);
    check_time("2024-02-29T23:59:59Z", 1709251199);
    check_time("2000-12-31T00:00:00Z", 978220800);
    check_time("9999-12-31T23:59:59Z", 253402300799);
    check_time("1969-12-31T23:59:59Z", -1);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(time_parse(wrong[i], strlen(wrong[i]), &parsed), -EINVAL);
}

static void keys_are_points(void **state)
{
    uint8_t xy[64] = { 1, 2, 3 };
    EVP_PKEY *key;

    assert_int_equal(ecdsa_p256_key_new(xy, &key), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(der_reads_what_is_der),
        cmocka_unit_test(der_refuses_the_rest),
        cmocka_unit_test(pem_is_strict_within_blocks),
        cmocka_unit_test(times_go_both_ways),
        cmocka_unit_test(keys_are_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
