/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: known answers of RFC 6962 trees, every proof against a verifier that shares nothing with the log, rows that were changed, checkpoints.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/sha.h>

#include "server/audit/audit.h"
#include "server/audit/tree.h"
#include "tests/unit/server/fixture.h"

#define ENTRIES 21u

static struct store *g_store;
static struct keys *g_keys;

static int set_up(void **state)
{
    g_store = fixture_store();
    g_keys = fixture_keys(g_store, "correct horse battery");
    return 0;
}

static int tear_down(void **state)
{
    keys_close(g_keys);
    store_close(g_store);
    return 0;
}

/* ---- an independent tree: RFC 6962's recursive definitions, word for word ---- */

static uint8_t g_leaves[64][32];

static void node(const uint8_t *a, const uint8_t *b, uint8_t *ret)
{
    uint8_t data[65] = { 1 };

    memcpy(data + 1, a, 32);
    memcpy(data + 33, b, 32);
    SHA256(data, sizeof data, ret);
}

static void mth(unsigned begin, unsigned n, uint8_t *ret)
{
    uint8_t left[32], right[32];
    unsigned k = 1;

    if (n == 1) {
        memcpy(ret, g_leaves[begin], 32);
        return;
    }
    while (k * 2 < n)
        k *= 2;
    mth(begin, k, left);
    mth(begin + k, n - k, right);
    node(left, right, ret);
}

/* RFC 9162, section 2.1.3.2. */
static bool check_inclusion(const uint8_t *leaf, unsigned index, unsigned size, uint8_t (*path)[32],
                            unsigned count, const uint8_t *root)
{
    unsigned fn = index, sn = size - 1;
    uint8_t r[32];

    memcpy(r, leaf, 32);
    for (unsigned i = 0; i < count; i++) {
        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            node(path[i], r, r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            node(r, path[i], r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r, root, 32) == 0;
}

/* RFC 9162, section 2.1.4.2. */
static bool check_consistency(unsigned first, unsigned second, uint8_t (*path)[32], unsigned count,
                              const uint8_t *first_root, const uint8_t *second_root)
{
    uint8_t list[65][32], fr[32], sr[32];
    unsigned fn = first - 1, sn = second - 1, used = 1;

    if (first == second)
        return count == 0 && memcmp(first_root, second_root, 32) == 0;
    if ((first & (first - 1)) == 0) {
        memcpy(list[0], first_root, 32);
        memcpy(list[1], path, count * 32);
        count++;
    } else {
        memcpy(list[0], path, count * 32);
    }
    for (; fn & 1; fn >>= 1)
        sn >>= 1;
    memcpy(fr, list[0], 32);
    memcpy(sr, list[0], 32);
    for (; used < count; used++) {
        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            node(list[used], fr, fr);
            node(list[used], sr, sr);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            node(sr, list[used], sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return memcmp(fr, first_root, 32) == 0 && memcmp(sr, second_root, 32) == 0 && sn == 0;
}

/* ---- known answers ---- */

static void unhex(const char *text, uint8_t *ret)
{
    for (; *text; text += 2, ret++)
        assert_int_equal(sscanf(text, "%2hhx", ret), 1);
}

/* Inputs and tree hashes that implementations of RFC 6962 share. */
static const char *const g_known_inputs[] = {
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
};
static const char *const g_known_roots[] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static int known_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct tree_hash leaf, root;
    uint8_t input[16], right[32];

    assert_int_equal(tree_root(tx, 0, &root, err), 0);
    unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", right);
    assert_memory_equal(root.bytes, right, 32);
    for (unsigned i = 0; i < 8; i++) {
        unhex(g_known_inputs[i], input);
        assert_int_equal(tree_leaf_hash(input, strlen(g_known_inputs[i]) / 2, &leaf), 0);
        assert_int_equal(
            store_exec(tx,
                       "INSERT INTO audit_entries (number, entry, leaf_hash, time_ms) VALUES ($1, "
                       "'', $2, 0)",
                       STORE_ARGS(store_int(i), store_blob(leaf.bytes, 32)), err),
            1);
        assert_int_equal(tree_grow(tx, i, &leaf, err), 0);
        assert_int_equal(tree_root(tx, i + 1, &root, err), 0);
        unhex(g_known_roots[i], right);
        assert_memory_equal(root.bytes, right, 32);
    }
    return 0;
}

static void test_known(void **state)
{
    struct err err = { "" };

    assert_int_equal(store_write(g_store, known_in, NULL, &err), 0);
}

/* ---- proofs ---- */

static int append_in(struct store_tx *tx, void *arg, struct err *err)
{
    static const uint8_t evidence[32] = { 0xab, 0xcd };
    CLEANUP(json_decrefp)
    json_t *detail = json_pack("{s:s, s:i}", "z", "last", "a", 1);
    struct audit_entry entry = { .org_id = arg,
                                 .actor = "server",
                                 .action = "app.create",
                                 .object = "app_x",
                                 .decision = "done",
                                 .evidence_sha256 = evidence,
                                 .detail = detail,
                                 .request_id = "r1" };

    return audit_append(tx, &entry, err);
}

static void append(unsigned count)
{
    struct err err = { "" };

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(store_write(g_store, append_in, i % 2 ? "org_x" : NULL, &err), 0);
}

static int read_leaves_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    unsigned *count = arg;

    *count = 0;
    assert_int_equal(store_query(tx, "SELECT entry FROM audit_entries ORDER BY number",
                                 STORE_NO_ARGS, &rows, err),
                     0);
    while (store_rows_next(rows, err) == 1) {
        const char *text = store_column_text(rows, 0);
        uint8_t data[1024] = { 0 };

        memcpy(data + 1, text, strlen(text));
        SHA256(data, 1 + strlen(text), g_leaves[(*count)++]);
    }
    return 0;
}

static int inclusions_in(struct store_tx *tx, void *arg, struct err *err)
{
    uint8_t root[32], (*path)[32];
    unsigned count;

    for (unsigned size = 1; size <= ENTRIES; size++) {
        mth(0, size, root);
        for (unsigned i = 0; i < size; i++) {
            assert_int_equal(audit_inclusion(tx, i, size, &path, &count, err), 0);
            assert_true(check_inclusion(g_leaves[i], i, size, path, count, root));
            if (size > 1)
                assert_false(check_inclusion(g_leaves[(i + 1) % size], i, size, path, count, root));
            free(path);
        }
        assert_int_equal(audit_inclusion(tx, size, size, &path, &count, err), -EINVAL);
    }
    assert_int_equal(audit_inclusion(tx, 0, ENTRIES + 1, &path, &count, err), -EINVAL);
    assert_int_equal(audit_inclusion(tx, 0, UINT64_MAX, &path, &count, err), -EINVAL);
    return 0;
}

static int consistencies_in(struct store_tx *tx, void *arg, struct err *err)
{
    uint8_t first[32], second[32], (*path)[32];
    unsigned count;

    for (unsigned m = 1; m <= ENTRIES; m++)
        for (unsigned n = m; n <= ENTRIES; n++) {
            mth(0, m, first);
            mth(0, n, second);
            assert_int_equal(audit_consistency(tx, m, n, &path, &count, err), 0);
            assert_true(check_consistency(m, n, path, count, first, second));
            if (count > 0) {
                path[count - 1][0] ^= 1;
                assert_false(check_consistency(m, n, path, count, first, second));
            }
            free(path);
        }
    assert_int_equal(audit_consistency(tx, 0, 3, &path, &count, err), -EINVAL);
    assert_int_equal(audit_consistency(tx, 4, 3, &path, &count, err), -EINVAL);
    assert_int_equal(audit_consistency(tx, 3, ENTRIES + 1, &path, &count, err), -EINVAL);
    return 0;
}

static void test_proofs(void **state)
{
    struct err err = { "" };
    unsigned count;

    append(ENTRIES);
    assert_int_equal(store_read(g_store, read_leaves_in, &count, &err), 0);
    assert_int_equal(count, ENTRIES);
    assert_int_equal(store_read(g_store, inclusions_in, NULL, &err), 0);
    assert_int_equal(store_read(g_store, consistencies_in, NULL, &err), 0);
}

/* ---- checkpoints, changed rows ---- */

static int checkpoint_in(struct store_tx *tx, void *arg, struct err *err)
{
    return audit_checkpoint(tx, g_keys, arg, err);
}

static int verify_in(struct store_tx *tx, void *arg, struct err *err)
{
    uint64_t size;
    int rc = audit_verify(tx, g_keys, &size, err);

    return rc < 0 ? rc : (int)size;
}

static int verify(void)
{
    struct err err = { "" };

    return store_read(g_store, verify_in, NULL, &err);
}

static void test_checkpoint(void **state)
{
    struct audit_checkpoint c, again;
    struct err err = { "" };
    uint8_t key[32], root[32];
    unsigned count;

    assert_int_equal(verify(), 0);
    append(13);
    assert_int_equal(store_write(g_store, checkpoint_in, &c, &err), 0);
    assert_int_equal(c.size, 13);
    assert_int_equal(store_read(g_store, read_leaves_in, &count, &err), 0);
    mth(0, 13, root);
    assert_memory_equal(c.root, root, 32);
    assert_int_equal(keys_audit_public_key(g_keys, key, &err), 0);
    assert_int_equal(audit_checkpoint_verify(&c, key), 0);
    assert_int_equal(store_write(g_store, checkpoint_in, &again, &err), 0);
    assert_memory_equal(&c, &again, sizeof c); /* one per size */
    c.size++;
    assert_int_equal(audit_checkpoint_verify(&c, key), -EBADMSG);
    append(4);
    assert_int_equal(store_write(g_store, checkpoint_in, &again, &err), 0);
    assert_int_equal(again.size, 17);
    append(1);
    assert_int_equal(verify(), 18);
}

static void expect_bad(const char *sql)
{
    struct audit_checkpoint c;
    struct err err = { "" };

    append(9);
    assert_int_equal(store_write(g_store, checkpoint_in, &c, &err), 0);
    append(3);
    assert_int_equal(verify(), 12);
    assert_true(fixture_exec(g_store, sql, STORE_NO_ARGS) >= 1);
    assert_int_equal(verify(), -EBADMSG);
}

static void test_changed_entry(void **state)
{
    expect_bad(
        "UPDATE audit_entries SET entry = replace(entry, 'app_x', 'app_y') WHERE number = 4");
}

static void test_changed_last_entry(void **state)
{
    expect_bad("UPDATE audit_entries SET entry = replace(entry, 'done', 'gone') WHERE number = 11");
}

static void test_removed_entry(void **state)
{
    expect_bad("DELETE FROM audit_entries WHERE number = 10");
}

static void test_shortened(void **state)
{
    expect_bad("DELETE FROM audit_entries WHERE number >= 8");
}

static void test_changed_checkpoint(void **state)
{
    expect_bad("UPDATE audit_checkpoints SET time_ms = time_ms + 1");
}

static void test_changed_node(void **state)
{
    expect_bad(
        "UPDATE audit_nodes SET hash = (SELECT leaf_hash FROM audit_entries WHERE number = 0)");
}

static int entry_in(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const char *text;

    assert_int_equal(store_query(tx, "SELECT entry, org_id FROM audit_entries WHERE number = 1",
                                 STORE_NO_ARGS, &rows, err),
                     0);
    assert_int_equal(store_rows_next(rows, err), 1);
    text = store_column_text(rows, 0);
    assert_string_equal(store_column_text(rows, 1), "org_x");
    assert_non_null(strstr(text,
                           "{\"action\":\"app.create\",\"actor\":\"server\",\"decision\":\"done\","
                           "\"detail\":{\"a\":1,\"z\":\"last\"},\"evidence_sha256\":\"abcd00"));
    assert_non_null(strstr(text, "\"number\":1,\"object\":\"app_x\",\"org\":\"org_x\","
                                 "\"request_id\":\"r1\",\"time_ms\":1"));
    return 0;
}

static void test_canonical(void **state)
{
    struct err err = { "" };

    append(2);
    assert_int_equal(store_read(g_store, entry_in, NULL, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_known),
        TEST(test_proofs),
        TEST(test_checkpoint),
        TEST(test_changed_entry),
        TEST(test_changed_last_entry),
        TEST(test_removed_entry),
        TEST(test_shortened),
        TEST(test_changed_checkpoint),
        TEST(test_changed_node),
        TEST(test_canonical),
    };
    int status = cmocka_run_group_tests_name("audit", tests, NULL, NULL);

    fixture_done();
    return status;
}
