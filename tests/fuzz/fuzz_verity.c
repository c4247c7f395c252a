/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry of hash trees over any number of blocks: levels follow each other without gap or overlap. */
#include <assert.h>
#include <string.h>

#include "lib/verity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verity_layout l;
    uint64_t blocks = 0;

    memcpy(&blocks, data, size < sizeof blocks ? size : sizeof blocks);
    if (verity_layout_init(blocks, &l) < 0) {
        assert(blocks < 2 || blocks > VERITY_DATA_BLOCKS_MAX);
        return 0;
    }
    assert(l.levels >= 1 && l.levels <= VERITY_LEVELS_MAX && l.level_blocks[l.levels - 1] == 1);
    uint64_t next = 1, below = blocks;

    for (unsigned i = l.levels; i-- > 0; next += l.level_blocks[i])
        assert(l.level_block[i] == next);
    assert(next == l.tree_blocks);
    for (unsigned i = 0; i < l.levels; below = l.level_blocks[i++]) {
        assert(l.level_blocks[i] * VERITY_HASHES_PER_BLOCK >= below);
        assert((l.level_blocks[i] - 1) * VERITY_HASHES_PER_BLOCK < below);
    }
    return 0;
}
