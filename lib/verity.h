/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity hash trees, format 1, as veritysetup writes them (kernel
 * Documentation/admin-guide/device-mapper/verity.rst): SHA-256, 4 KiB data and hash blocks, salt in
 * front of the block. Shared; no I/O, no allocation.
 */
#pragma once

#include "lib/digest.h"

#define VERITY_BLOCK_SIZE 4096u
#define VERITY_HASHES_PER_BLOCK 128u
#define VERITY_LEVELS_MAX 8u
#define VERITY_SALT_SIZE_MAX 32u

/* Where each level lies in the tree file. Level 0 holds the hashes of data blocks. */
struct verity_layout {
    uint64_t data_blocks;
    unsigned levels;                            /* 1 or more; the last level is one block */
    uint64_t level_block[VERITY_LEVELS_MAX];    /* first block of the level, in the tree file */
    uint64_t level_blocks[VERITY_LEVELS_MAX];
    uint64_t tree_blocks;                       /* size of the tree file, superblock included */
};

/* returns: 0; -EINVAL no blocks, or more than VERITY_LEVELS_MAX levels can hold. */
MUST_CHECK int verity_layout_init(uint64_t data_blocks, struct verity_layout *ret);

/* Hash of one block: SHA-256(salt || block). */
void verity_block_hash(const uint8_t *salt, size_t salt_size, const void *block, uint8_t ret[32]);
