/* SPDX-License-Identifier: Apache-2.0 */
/* lib/ustar and lib/err: headers there and back, records, and what is refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "lib/err.h"
#include "lib/ustar.h"

static void round_trip(const char *path, uint64_t size)
{
    struct ustar_entry e = { .type = USTAR_TYPE_FILE, .mode = 0755, .size = size }, back;
    uint8_t block[USTAR_BLOCK_SIZE];

    memcpy(e.path, path, strlen(path) + 1);
    assert_int_equal(ustar_encode(&e, block), 0);
    assert_int_equal(ustar_parse(block, &back), 1);
    assert_string_equal(back.path, path);
    assert_true(back.size == size);
    assert_int_equal(back.mode, 0755);
    assert_int_equal(back.type, USTAR_TYPE_FILE);
}

static void test_round_trip(void **state)
{
    char longest[101] = { 0 };

    memset(longest, 'p', 100);
    round_trip("cloche/loader", 0);
    round_trip(longest, 077777777777);
    round_trip("x", 0100000000000); /* beyond 8 GiB */
    round_trip("x", INT64_MAX);
}

static void test_refuses(void **state)
{
    struct ustar_entry e = { .path = "x", .type = USTAR_TYPE_FILE };
    uint8_t block[USTAR_BLOCK_SIZE] = { 0 };

    assert_int_equal(ustar_parse(block, &e), 0);
    assert_int_equal(ustar_encode(&e, block), 0);
    /* Every bit of the header is under the checksum. */
    for (size_t i = 0; i < USTAR_BLOCK_SIZE; i++) {
        struct ustar_entry back;

        block[i] ^= 1;
        if (i < 148 || i >= 156)
            assert_int_equal(ustar_parse(block, &back), -EINVAL);
        block[i] ^= 1;
    }
    memset(e.path, 'p', 101);
    e.path[101] = '\0';
    assert_int_equal(ustar_encode(&e, block), -EINVAL);
    e.path[0] = '\0';
    assert_int_equal(ustar_encode(&e, block), -EINVAL);
}

static int pax(const char *text, struct ustar_pax *ret)
{
    size_t pos = 0;
    int rc = ustar_pax_next(text, strlen(text), &pos, ret);

    return rc > 0 ? (int)pos : rc;
}

static void test_pax(void **state)
{
    struct ustar_pax r;

    assert_int_equal(pax("9 size=1\n", &r), 9);
    assert_int_equal(r.key_len, 4);
    assert_int_equal(r.value_size, 1);
    assert_int_equal(pax("8 path=\nrest", &r), 8);
    assert_int_equal(r.value_size, 0);
    assert_int_equal(pax("9 a=\n\n\n\n\n", &r), 9);
    static const char *const bad[] = {
        "x",          "9",         "9 size=1", "11 size=1\n", "8 size=1\n",
        "0 a=b\n",    "7 sizes\n", "4 =\n",    "6 a=\n",      "999999999999999999999 a=b\n",
        " 9 size=1\n"
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (pax(bad[i], &r) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(pax("", &r), 0);
}

static void test_err(void **state)
{
    struct err err = { 0 };
    char longer[3000];

    assert_int_equal(err_wrap(&err, -ENOENT, "opening %s", "x"), -ENOENT);
    assert_string_equal(err.text, "opening x: No such file or directory");
    assert_int_equal(err_set(&err, -EINVAL, "a\nb\x1b[31m"), -EINVAL);
    assert_string_equal(err.text, "a?b?[31m");
    assert_int_equal(err_wrap(&err, -EINVAL, "layer %d", 3), -EINVAL);
    assert_string_equal(err.text, "layer 3: a?b?[31m");
    memset(longer, 'l', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(err_set_errno(&err, -EIO, "%s", longer), -EIO);
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_pax),
        cmocka_unit_test(test_err),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
