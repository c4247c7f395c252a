/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle tree in the store. Relying party. */
#include "server/audit/tree.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static void digest_freep(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static int hash(uint8_t prefix, const void *a, size_t a_size, const void *b, size_t b_size,
                struct tree_hash *ret)
{
    CLEANUP(digest_freep)
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, &prefix, 1) != 1 || EVP_DigestUpdate(ctx, a, a_size) != 1 ||
        EVP_DigestUpdate(ctx, b, b_size) != 1 || EVP_DigestFinal_ex(ctx, ret->bytes, NULL) != 1)
        return -EIO;
    return 0;
}

int tree_leaf_hash(const void *data, size_t size, struct tree_hash *ret)
{
    return hash(0, data, size, "", 0, ret);
}

int tree_node_hash(const struct tree_hash *left, const struct tree_hash *right,
                   struct tree_hash *ret)
{
    return hash(1, left->bytes, TREE_HASH_SIZE, right->bytes, TREE_HASH_SIZE, ret);
}

int tree_size(struct store_tx *tx, uint64_t *ret, struct err *err)
{
    int64_t size;
    int rc = store_get_int(tx, "SELECT coalesce(max(number), -1) + 1 FROM audit_entries",
                           STORE_NO_ARGS, &size, err);

    if (rc < 0)
        return rc;
    if (size < 0 || (uint64_t)size >= TREE_SIZE_MAX)
        return err_set(err, -EIO, "the audit log's numbers were changed");
    *ret = (uint64_t)size;
    return 0;
}

static int read_node(struct store_tx *tx, unsigned level, uint64_t number, struct tree_hash *ret,
                     struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const void *data;
    size_t size;
    int rc =
        level == 0
            ? store_query(tx, "SELECT leaf_hash FROM audit_entries WHERE number = $1",
                          STORE_ARGS(store_int((int64_t)number)), &rows, err)
            : store_query(tx, "SELECT hash FROM audit_nodes WHERE level = $1 AND number = $2",
                          STORE_ARGS(store_int(level), store_int((int64_t)number)), &rows, err);

    if (rc < 0)
        return rc;
    rc = store_rows_next(rows, err);
    if (rc < 0)
        return rc;
    data = rc > 0 ? store_column_blob(rows, 0, &size) : NULL;
    if (!data || size != TREE_HASH_SIZE)
        return err_set(err, -EIO, "the audit log's tree lacks node %u/%llu", level,
                       (unsigned long long)number);
    memcpy(ret->bytes, data, TREE_HASH_SIZE);
    return 0;
}

int tree_grow(struct store_tx *tx, uint64_t index, const struct tree_hash *leaf, struct err *err)
{
    struct tree_hash node = *leaf, left;

    for (unsigned level = 0; index & 1; level++, index >>= 1) {
        int rc = read_node(tx, level, index - 1, &left, err);

        if (rc == 0)
            rc = tree_node_hash(&left, &node, &node);
        if (rc < 0)
            return rc;
        rc = store_exec(tx, "INSERT INTO audit_nodes (level, number, hash) VALUES ($1, $2, $3)",
                        STORE_ARGS(store_int(level + 1), store_int((int64_t)(index >> 1)),
                                   store_blob(node.bytes, TREE_HASH_SIZE)),
                        err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

uint64_t tree_split(uint64_t n)
{
    return 1ull << (63 - __builtin_clzll(n - 1));
}

/*
 * From the right: the last leaves that are a complete subtree, then with each complete subtree to its left. That is MTH's recursion, unrolled, because all but the
 * rightmost subtree of each split are complete.
 */
int tree_range_hash(struct store_tx *tx, uint64_t begin, uint64_t end, struct tree_hash *ret,
                    struct err *err)
{
    struct tree_hash hash, left;
    bool has_hash = false;

    while (end > begin) {
        unsigned level = (unsigned)__builtin_ctzll(end - begin);
        int rc = read_node(tx, level, (end - (1ull << level)) >> level, &left, err);

        if (rc == 0 && has_hash)
            rc = tree_node_hash(&left, &hash, &hash);
        else if (rc == 0)
            hash = left;
        if (rc < 0)
            return rc;
        has_hash = true;
        end -= 1ull << level;
    }
    *ret = hash;
    return 0;
}

int tree_root(struct store_tx *tx, uint64_t size, struct tree_hash *ret, struct err *err)
{
    if (size > 0)
        return tree_range_hash(tx, 0, size, ret, err);
    return EVP_Digest("", 0, ret->bytes, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}
