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
#define VERITY_DATA_BLOCKS_MAX (1ull << 40)

/* Where each level lies in the tree file. Level 0 holds the hashes of data blocks. */
struct verity_layout {
    uint64_t data_blocks;
    unsigned levels;                         /* 1 or more; the last level is one block */
    uint64_t level_block[VERITY_LEVELS_MAX]; /* first block of the level, in the tree file */
    uint64_t level_blocks[VERITY_LEVELS_MAX];
    uint64_t tree_blocks; /* size of the tree file, superblock included */
};

/* returns: 0; -EINVAL fewer than two blocks (a tree over one has no hash block), or more than
 * VERITY_DATA_BLOCKS_MAX. */
MUST_CHECK int verity_layout_init(uint64_t data_blocks, struct verity_layout *ret);

/* Hash of one block: SHA-256(salt || block). */
void verity_block_hash(const uint8_t *salt, size_t salt_size, const void *block, uint8_t ret[32]);

/* First 512 bytes of the tree file; the rest of its block is zero. Integers are little-endian. */
struct verity_super {
    uint8_t signature[8]; /* "verity", two zeros */
    uint32_t version;     /* 1 */
    uint32_t hash_type;   /* 1: salt in front */
    uint8_t uuid[16];
    uint8_t algorithm[32]; /* "sha256", zeros */
    uint32_t data_block_size;
    uint32_t hash_block_size;
    uint64_t data_blocks;
    uint16_t salt_size;
    uint8_t padding1[6];
    uint8_t salt[256];
    uint8_t padding2[168];
};
_Static_assert(sizeof(struct verity_super) == 512, "verity superblock");

void verity_super_init(uint64_t data_blocks, const uint8_t uuid[16], const uint8_t *salt,
                       size_t salt_size, struct verity_super *ret);
