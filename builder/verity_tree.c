/* SPDX-License-Identifier: Apache-2.0 */
/* Hash tree in memory; 1/127 of the data's size. Relying party. */
#include "builder/verity_tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int verity_tree_init(struct verity_tree *t, uint64_t data_blocks, const uint8_t uuid[16],
                     const uint8_t *salt, size_t salt_size)
{
    struct verity_super super;

    *t = (struct verity_tree){ 0 };
    if (salt_size > sizeof t->salt)
        return -EINVAL;
    int rc = verity_layout_init(data_blocks, &t->layout);

    if (rc < 0)
        return rc;
    t->bytes = calloc(t->layout.tree_blocks, VERITY_BLOCK_SIZE);
    if (!t->bytes)
        return -ENOMEM;
    verity_super_init(data_blocks, uuid, salt, salt_size, &super);
    memcpy(t->bytes, &super, sizeof super);
    t->salt_size = salt_size;
    memcpy(t->salt, salt, salt_size);
    return 0;
}

void verity_tree_done(struct verity_tree *t)
{
    free(t->bytes);
    *t = (struct verity_tree){ 0 };
}

static uint8_t *level_at(struct verity_tree *t, unsigned level)
{
    return t->bytes + t->layout.level_block[level] * VERITY_BLOCK_SIZE;
}

void verity_tree_add(struct verity_tree *t, const void *blocks, size_t count)
{
    const uint8_t *data = blocks;

    assert(count <= t->layout.data_blocks - t->next_block);
    for (size_t i = 0; i < count; i++, t->next_block++)
        verity_block_hash(t->salt, t->salt_size, data + i * VERITY_BLOCK_SIZE,
                          level_at(t, 0) + t->next_block * SHA256_SIZE);
}

void verity_tree_finish(struct verity_tree *t, uint8_t ret_root[32])
{
    const struct verity_layout *l = &t->layout;

    assert(t->next_block == l->data_blocks);
    for (unsigned level = 1; level < l->levels; level++)
        for (uint64_t i = 0; i < l->level_blocks[level - 1]; i++)
            verity_block_hash(t->salt, t->salt_size, level_at(t, level - 1) + i * VERITY_BLOCK_SIZE,
                              level_at(t, level) + i * SHA256_SIZE);
    verity_block_hash(t->salt, t->salt_size, level_at(t, l->levels - 1), ret_root);
}
