/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Merkle tree of the audit log (RFC 6962, section 2.1), kept in audit_entries (leaves) and audit_nodes (complete subtrees: level 1 and up). Relying party. Internal to
 * server/audit.
 */
#pragma once

#include "server/store/store.h"

#define TREE_HASH_SIZE 32u
#define TREE_PATH_MAX 64u
#define TREE_SIZE_MAX (1ull << 62)

struct tree_hash {
    uint8_t bytes[TREE_HASH_SIZE];
};

/* SHA-256(0x00 || data). returns: 0; -EIO. */
MUST_CHECK int tree_leaf_hash(const void *data, size_t size, struct tree_hash *ret);
/* SHA-256(0x01 || left || right). */
MUST_CHECK int tree_node_hash(const struct tree_hash *left, const struct tree_hash *right,
                              struct tree_hash *ret);
/* Number of leaves. */
MUST_CHECK int tree_size(struct store_tx *tx, uint64_t *ret, struct err *err);
/* Writes the nodes that leaf `index`, already in audit_entries, completes. */
MUST_CHECK int tree_grow(struct store_tx *tx, uint64_t index, const struct tree_hash *leaf,
                         struct err *err);
/* The hash over leaves [begin, end), begin < end; begin is a multiple of the smallest power of two that is not below end - begin. returns: 0; -EIO. */
MUST_CHECK int tree_range_hash(struct store_tx *tx, uint64_t begin, uint64_t end,
                               struct tree_hash *ret, struct err *err);
/* The tree's hash over the first `size` leaves; of the empty tree: SHA-256 of nothing. */
MUST_CHECK int tree_root(struct store_tx *tx, uint64_t size, struct tree_hash *ret,
                         struct err *err);
/* The largest power of two below n, which is 2 or more. */
uint64_t tree_split(uint64_t n);
