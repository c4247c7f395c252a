/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that changes image and hash tree in any way: whatever the reader returns is the original, or an error. Input:
 * one byte for the number of blocks, one for the salt's size, then changes of 5 bytes (where: 4 bytes little-endian,
 * top bit: the tree; what: a byte to xor); every second one is made between reads.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tee/libos/fs/verity/image.h"
#include "tests/unit/libos/fake_fs.h"

#define BLOCKS_MAX 140u /* two levels and a bit */
#define CHANGES_MAX 16u

static uint8_t g_original[BLOCKS_MAX * VERITY_BLOCK_SIZE];
static uint8_t g_data[sizeof g_original];

struct change {
    uint32_t where;
    uint8_t what;
};

static void change_apply(const struct change *c, size_t data_size, uint8_t *tree, size_t tree_size)
{
    if ((c->where & 0x80000000u) != 0)
        tree[(c->where & 0x7fffffff) % tree_size] ^= c->what;
    else
        g_data[c->where % data_size] ^= c->what;
}

static void read_all(struct image *img, uint64_t blocks, uint64_t first)
{
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t block = (first + i) % blocks;
        struct cached_page *p;
        int rc = image_block_get(img, block, i & 1, &p);

        if (rc == -EIO)
            continue;
        if (rc < 0 ||
            memcmp(p->data, g_original + block * VERITY_BLOCK_SIZE, VERITY_BLOCK_SIZE) != 0)
            abort();
        page_cache_put(p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_source source = { .cache_pages = 1,
                                   .salt = (const uint8_t *)"0123456789abcdef0123456789abcdef" };
    struct change changes[CHANGES_MAX];
    size_t count = 0, tree_size;
    uint8_t *tree, root[32];
    struct image *img;
    uint64_t blocks;
    int rc;

    if (size < 2)
        return 0;
    blocks = 2 + data[0] * (BLOCKS_MAX - 2) / 255;
    source.salt_size = data[1] % 33;
    source.data_size = blocks * VERITY_BLOCK_SIZE;
    for (size_t i = 0; i < source.data_size; i++)
        g_original[i] = (uint8_t)(i * 2654435761u >> 13 ^ i >> 12);
    memcpy(g_data, g_original, source.data_size);
    tree = fake_fs_tree(g_data, source.data_size, source.salt, source.salt_size, &tree_size, root);
    for (data += 2, size -= 2; size >= 5 && count < CHANGES_MAX; data += 5, size -= 5) {
        memcpy(&changes[count].where, data, 4);
        changes[count++].what = data[4];
    }
    for (size_t i = 0; i < count; i += 2)
        change_apply(&changes[i], source.data_size, tree, tree_size);
    source.data.addr = (uintptr_t)g_data;
    source.tree.addr = (uintptr_t)tree;
    source.tree_size = tree_size;
    source.root = root;
    rc = image_new(&source, &img);
    if (rc < 0 && rc != -EIO)
        abort();
    if (rc == 0) {
        read_all(img, blocks, blocks / 2);
        for (size_t i = 1; i < count; i += 2)
            change_apply(&changes[i], source.data_size, tree, tree_size);
        read_all(img, blocks, 0);
        image_free(img);
    }
    free(tree);
    if (fake_fs_pages() != 0)
        abort();
    return 0;
}
