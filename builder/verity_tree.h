/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a dm-verity hash tree (lib/verity.h) while the data goes by. Relying party.
 */
#pragma once

#include "lib/verity.h"

struct verity_tree {
    struct verity_layout layout;
    uint8_t *bytes;      /* the tree file: layout.tree_blocks blocks */
    uint64_t next_block; /* of the data */
    uint8_t salt[VERITY_SALT_SIZE_MAX];
    size_t salt_size;
};

/* salt_size: at most VERITY_SALT_SIZE_MAX. returns: 0; -EINVAL as verity_layout_init; -ENOMEM.
 * Give back with verity_tree_done. */
MUST_CHECK int verity_tree_init(struct verity_tree *t, uint64_t data_blocks, const uint8_t uuid[16],
                                const uint8_t *salt, size_t salt_size);
void verity_tree_done(struct verity_tree *t);
/* The next whole blocks of data. Not more than data_blocks in all. */
void verity_tree_add(struct verity_tree *t, const void *blocks, size_t count);
/* After the last block: fills the upper levels. */
void verity_tree_finish(struct verity_tree *t, uint8_t ret_root[32]);
