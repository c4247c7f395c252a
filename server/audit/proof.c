/* SPDX-License-Identifier: Apache-2.0 */
/* Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2). Relying party. */
#include <errno.h>
#include <stdlib.h>

#include "server/audit/audit.h"
#include "server/audit/tree.h"

struct path {
    struct tree_hash hashes[TREE_PATH_MAX]; /* from the root's side: reversed at the end */
    unsigned count;
};

static int add_range(struct store_tx *tx, uint64_t begin, uint64_t end, struct path *path,
                     struct err *err)
{
    if (path->count == TREE_PATH_MAX)
        return err_set(err, -EIO, "a path too long");
    return tree_range_hash(tx, begin, end, &path->hashes[path->count++], err);
}

static int give(const struct path *path, uint8_t (**ret)[32], unsigned *ret_count, struct err *err)
{
    uint8_t(*list)[32] = calloc(path->count ? path->count : 1, sizeof *list);

    if (!list)
        return err_set_errno(err, -ENOMEM, "proof");
    for (unsigned i = 0; i < path->count; i++)
        *(struct tree_hash *)list[i] = path->hashes[path->count - 1 - i];
    *ret = list;
    *ret_count = path->count;
    return 0;
}

static int check_size(struct store_tx *tx, uint64_t size, struct err *err)
{
    uint64_t present;
    int rc = tree_size(tx, &present, err);

    if (rc < 0)
        return rc;
    if (size > present)
        return err_set(err, -EINVAL, "the log has %llu entries, not %llu",
                       (unsigned long long)present, (unsigned long long)size);
    return 0;
}

int audit_inclusion(struct store_tx *tx, uint64_t index, uint64_t size, uint8_t (**ret)[32],
                    unsigned *ret_count, struct err *err)
{
    struct path path = { .count = 0 };
    uint64_t begin = 0, end = size;
    int rc;

    if (index >= size)
        return err_set(err, -EINVAL, "entry %llu is not among the first %llu",
                       (unsigned long long)index, (unsigned long long)size);
    rc = check_size(tx, size, err);
    while (rc == 0 && end - begin > 1) {
        uint64_t middle = begin + tree_split(end - begin);

        if (index < middle) {
            rc = add_range(tx, middle, end, &path, err);
            end = middle;
        } else {
            rc = add_range(tx, begin, middle, &path, err);
            begin = middle;
        }
    }
    return rc < 0 ? rc : give(&path, ret, ret_count, err);
}

int audit_consistency(struct store_tx *tx, uint64_t size_1, uint64_t size_2, uint8_t (**ret)[32],
                      unsigned *ret_count, struct err *err)
{
    struct path path = { .count = 0 };
    uint64_t begin = 0, end = size_2;
    bool is_whole = true; /* the old tree's own root, which the verifier has */
    int rc;

    if (size_1 == 0 || size_1 > size_2)
        return err_set(err, -EINVAL, "no proof from size %llu to %llu", (unsigned long long)size_1,
                       (unsigned long long)size_2);
    rc = check_size(tx, size_2, err);
    while (rc == 0 && size_1 != end) {
        uint64_t middle = begin + tree_split(end - begin);

        if (size_1 <= middle) {
            rc = add_range(tx, middle, end, &path, err);
            end = middle;
        } else {
            rc = add_range(tx, begin, middle, &path, err);
            begin = middle;
            is_whole = false;
        }
    }
    if (rc == 0 && !is_whole)
        rc = add_range(tx, begin, end, &path, err);
    return rc < 0 ? rc : give(&path, ret, ret_count, err);
}
