/* SPDX-License-Identifier: Apache-2.0 */
/* The whole audit log checked against itself: every entry's hash, the tree, every checkpoint's root and signature. Relying party. */
#include <errno.h>
#include <string.h>

#include "server/audit/audit.h"
#include "server/audit/tree.h"

/* The tree so far, from the entries alone: the roots of its complete subtrees, one per bit of the size. */
struct frontier {
    struct tree_hash peaks[64];
    uint64_t size;
};

static int frontier_add(struct frontier *f, const struct tree_hash *leaf)
{
    struct tree_hash node = *leaf;
    unsigned level = 0;
    int rc = 0;

    for (uint64_t n = f->size; n & 1 && rc == 0; n >>= 1, level++)
        rc = tree_node_hash(&f->peaks[level], &node, &node);
    f->peaks[level] = node;
    f->size++;
    return rc;
}

static int frontier_root(const struct frontier *f, struct tree_hash *ret)
{
    bool has_hash = false;
    int rc = 0;

    for (unsigned level = 0; level < 64 && rc == 0; level++) {
        if (!(f->size >> level & 1))
            continue;
        if (has_hash)
            rc = tree_node_hash(&f->peaks[level], ret, ret);
        else
            *ret = f->peaks[level];
        has_hash = true;
    }
    return rc;
}

/* Adds the current row's entry, when its hash and number are right. */
static int add_row(struct frontier *f, const struct store_rows *rows, struct err *err)
{
    const char *entry = store_column_text(rows, 1);
    struct tree_hash leaf;
    const void *stored;
    size_t size;
    int rc = entry ? tree_leaf_hash(entry, strlen(entry), &leaf) : -EBADMSG;

    stored = store_column_blob(rows, 2, &size);
    if (rc == 0 && ((uint64_t)store_column_int(rows, 0) != f->size || !stored ||
                    size != TREE_HASH_SIZE || memcmp(stored, leaf.bytes, size) != 0))
        rc = -EBADMSG;
    if (rc < 0)
        return err_set(err, rc, "entry %llu was changed or removed", (unsigned long long)f->size);
    return frontier_add(f, &leaf);
}

/* Adds entries up to `size`. */
static int add_until(struct store_rows *rows, struct frontier *f, uint64_t size, struct err *err)
{
    int rc = 1;

    while (f->size < size) {
        rc = store_rows_next(rows, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return err_set(err, -EBADMSG, "the log ends at entry %llu; a checkpoint says %llu",
                           (unsigned long long)f->size, (unsigned long long)size);
        rc = add_row(f, rows, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_checkpoint(const struct store_rows *rows, struct audit_checkpoint *ret)
{
    size_t root_size, signature_size;
    const void *root = store_column_blob(rows, 1, &root_size);
    const void *signature = store_column_blob(rows, 3, &signature_size);

    ret->size = (uint64_t)store_column_int(rows, 0);
    ret->time_ms = store_column_int(rows, 2);
    if (root_size != sizeof ret->root || signature_size != sizeof ret->signature ||
        ret->size >= TREE_SIZE_MAX)
        return -EBADMSG;
    memcpy(ret->root, root, root_size);
    memcpy(ret->signature, signature, signature_size);
    return 0;
}

static int check_checkpoints(struct store_tx *tx, const uint8_t public_key[32],
                             struct store_rows *entries, struct frontier *f, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct audit_checkpoint c;
    struct tree_hash root;
    int rc = store_query(tx,
                         "SELECT size, root, time_ms, signature FROM audit_checkpoints WHERE "
                         "size > 0 ORDER BY size",
                         STORE_NO_ARGS, &rows, err);

    if (rc < 0)
        return rc;
    while ((rc = store_rows_next(rows, err)) > 0) {
        if (read_checkpoint(rows, &c) < 0 || audit_checkpoint_verify(&c, public_key) < 0)
            return err_set(err, -EBADMSG, "the checkpoint at %lld is not signed by this server",
                           (long long)store_column_int(rows, 0));
        rc = add_until(entries, f, c.size, err);
        if (rc == 0)
            rc = frontier_root(f, &root);
        if (rc == 0 && memcmp(root.bytes, c.root, sizeof c.root) != 0)
            rc = err_set(err, -EBADMSG, "the first %llu entries are not those of the checkpoint",
                         (unsigned long long)c.size);
        if (rc < 0)
            return rc;
    }
    return rc;
}

/* The stored tree gives the same root as the entries. */
static int check_tree(struct store_tx *tx, const struct frontier *f, struct err *err)
{
    struct tree_hash root, stored;
    int rc = f->size ? frontier_root(f, &root) : 0;

    if (rc < 0 || f->size == 0)
        return rc;
    rc = tree_root(tx, f->size, &stored, err);
    if (rc == 0 && memcmp(root.bytes, stored.bytes, TREE_HASH_SIZE) != 0)
        rc = err_set(err, -EBADMSG, "the stored tree does not fit the entries");
    return rc;
}

int audit_verify(struct store_tx *tx, struct keys *keys, uint64_t *ret_size, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    struct frontier f = { .size = 0 };
    uint8_t public_key[32];
    int rc = keys_audit_public_key(keys, public_key, err);

    if (rc == 0)
        rc = store_query(tx, "SELECT number, entry, leaf_hash FROM audit_entries ORDER BY number",
                         STORE_NO_ARGS, &rows, err);
    if (rc == 0)
        rc = check_checkpoints(tx, public_key, rows, &f, err);
    while (rc == 0) {
        rc = store_rows_next(rows, err);
        if (rc <= 0)
            break;
        rc = add_row(&f, rows, err);
    }
    if (rc == 0)
        rc = check_tree(tx, &f, err);
    if (rc < 0)
        return err_wrap(err, rc, "audit log");
    *ret_size = f.size;
    return 0;
}
