/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder/verity_tree: byte for byte what `veritysetup format` (cryptsetup 2.6.1) writes for the same blocks,
 * salt and UUID. The expected values are its own output.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "builder/verity_tree.h"

static void block_fill(uint64_t index, uint8_t block[4096])
{
    for (size_t i = 0; i < 4096; i += 2) {
        block[i] = (uint8_t)index;
        block[i + 1] = (uint8_t)(index >> 8);
    }
}

static void check_hex(const uint8_t digest[32], const char *expected)
{
    char text[65];

    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, expected);
}

static void check_tree(uint64_t blocks, const uint8_t *salt, size_t salt_size, uint64_t tree_blocks,
                       const char *root, const char *file)
{
    static const uint8_t uuid[16] = { [15] = 1 };
    struct verity_tree t;
    uint8_t block[4096], digest[32];

    assert_int_equal(verity_tree_init(&t, blocks, uuid, salt, salt_size), 0);
    assert_int_equal(t.layout.tree_blocks, tree_blocks);
    for (uint64_t i = 0; i < blocks; i++) {
        block_fill(i, block);
        verity_tree_add(&t, block, 1);
    }
    verity_tree_finish(&t, digest);
    check_hex(digest, root);
    sha256_digest(t.bytes, tree_blocks * 4096, digest);
    check_hex(digest, file);
    verity_tree_done(&t);
}

static void test_as_veritysetup(void **state)
{
    static const uint8_t salt[] = { 1, 2, 3, 4, 5 };

    check_tree(300, salt, 0, 5, "2d0301c3fcdea30c48e3e60c11fcbb807ef91bda1c08062e70b4eac45cd74ec8",
               "8d4ff30d67752c331ce240c4a3e2d62ede4f193c3eaa8c10ca9750c608989a43");
    check_tree(300, salt, 5, 5, "135285f86b9d86362f280840901bad29374c75c028b64cdaeb81d27f7034a940",
               "0f0fe5dfddd88c951e91c6a6d4116716f9ca4212d486243b6737d0065d8a5582");
    check_tree(2, salt, 0, 2, "6ae237e20b9fbcf5aa1235b39ed189591ac0700adb57af7aa66373d56817311f",
               "8355fc8ed8ae058aaf28c32cba44cedc4fb5bb6c92239abafcac50a6529650ed");
}

static void test_limits(void **state)
{
    static const uint8_t uuid[16], salt[VERITY_SALT_SIZE_MAX + 1];
    struct verity_layout l;
    struct verity_tree t;

    assert_int_equal(verity_layout_init(0, &l), -EINVAL);
    assert_int_equal(verity_layout_init(1, &l), -EINVAL);
    assert_int_equal(verity_layout_init(VERITY_DATA_BLOCKS_MAX, &l), 0);
    assert_true(l.levels <= VERITY_LEVELS_MAX);
    assert_int_equal(verity_layout_init(VERITY_DATA_BLOCKS_MAX + 1, &l), -EINVAL);
    assert_int_equal(verity_layout_init(128, &l), 0);
    assert_int_equal(l.levels, 1);
    assert_int_equal(verity_layout_init(129, &l), 0);
    assert_int_equal(l.levels, 2);
    assert_int_equal(verity_tree_init(&t, 2, uuid, salt, sizeof salt), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_veritysetup),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
