/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity tree geometry and block hash (kernel: Documentation/admin-guide/device-mapper/verity.rst).
 * Shared; builds freestanding.
 */
#include "lib/verity.h"

#include <errno.h>
#include <string.h>

int verity_layout_init(uint64_t data_blocks, struct verity_layout *ret)
{
    struct verity_layout l = { .data_blocks = data_blocks };
    uint64_t blocks = data_blocks;

    if (data_blocks < 2 || data_blocks > VERITY_DATA_BLOCKS_MAX)
        return -EINVAL;
    while (blocks > 1) {
        blocks = (blocks + VERITY_HASHES_PER_BLOCK - 1) / VERITY_HASHES_PER_BLOCK;
        l.level_blocks[l.levels++] = blocks;
    }
    /* The superblock, then the levels from the root down. */
    l.tree_blocks = 1;
    for (unsigned i = l.levels; i-- > 0;) {
        l.level_block[i] = l.tree_blocks;
        l.tree_blocks += l.level_blocks[i];
    }
    *ret = l;
    return 0;
}

void verity_block_hash(const uint8_t *salt, size_t salt_size, const void *block, uint8_t ret[32])
{
    struct sha256 sha;

    if (salt_size == 0) {
        sha256_digest(block, VERITY_BLOCK_SIZE, ret);
        return;
    }
    sha256_init(&sha);
    sha256_update(&sha, salt, salt_size);
    sha256_update(&sha, block, VERITY_BLOCK_SIZE);
    sha256_final(&sha, ret);
}

void verity_super_init(uint64_t data_blocks, const uint8_t uuid[16], const uint8_t *salt,
                       size_t salt_size, struct verity_super *ret)
{
    memset(ret, 0, sizeof *ret);
    memcpy(ret->signature, "verity", 6);
    ret->version = 1;
    ret->hash_type = 1;
    memcpy(ret->uuid, uuid, sizeof ret->uuid);
    memcpy(ret->algorithm, "sha256", 6);
    ret->data_block_size = VERITY_BLOCK_SIZE;
    ret->hash_block_size = VERITY_BLOCK_SIZE;
    ret->data_blocks = data_blocks;
    ret->salt_size = (uint16_t)salt_size;
    memcpy(ret->salt, salt, salt_size);
}
