/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS directories: blocks of sorted entries, each block sorted after the one before. Lookup is a binary
 * search over blocks, then over entries. Trusted; see erofs.h.
 */
#include "tee/libos/fs/erofs/erofs_internal.h"

#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/mode.h"

#include <linux/errno.h>

/* A directory block whose header has been checked. */
struct dir_block {
    struct erofs_span span;
    unsigned count; /* entries, 1 or more */
};

static const uint8_t g_dirent_types[] = { 0, 8, 4, 2, 6, 1, 12, 10 }; /* EROFS FT_* to DT_* */

static int block_get(struct erofs *fs, const struct erofs_inode *dir, uint64_t index,
                     struct dir_block *ret)
{
    struct erofs_dirent_disk first;
    int rc = erofs_page_get(fs, dir, index, 0, &ret->span);

    if (rc < 0)
        return rc;
    if (ret->span.size >= sizeof first) {
        memcpy(&first, ret->span.data, sizeof first);
        ret->count = first.name_off / sizeof first;
        if (first.name_off % sizeof first == 0 && ret->count > 0 && first.name_off < ret->span.size)
            return 0;
    }
    page_cache_put(ret->span.page);
    return -EUCLEAN;
}

/* Entry i of a block with its name; the last name ends at a NUL or with the block. */
static int entry_get(const struct dir_block *b, unsigned i, struct erofs_dirent_disk *ret,
                     const char **ret_name, size_t *ret_size)
{
    struct erofs_dirent_disk next;
    size_t end = b->span.size;

    memcpy(ret, b->span.data + i * sizeof *ret, sizeof *ret);
    if (i + 1 < b->count) {
        memcpy(&next, b->span.data + (i + 1) * sizeof next, sizeof next);
        end = next.name_off;
    }
    if (ret->name_off < b->count * sizeof *ret || ret->name_off >= end || end > b->span.size)
        return -EUCLEAN;
    *ret_name = (const char *)b->span.data + ret->name_off;
    *ret_size = end - ret->name_off;
    if (i + 1 == b->count)
        *ret_size = strnlen(*ret_name, *ret_size);
    if (*ret_size == 0 || *ret_size > EROFS_NAME_SIZE_MAX || memchr(*ret_name, '/', *ret_size) ||
        memchr(*ret_name, 0, *ret_size))
        return -EUCLEAN;
    return 0;
}

static int name_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, MIN(a_size, b_size));

    if (order != 0)
        return order;
    return a_size < b_size ? -1 : a_size > b_size;
}

static int block_search(const struct dir_block *b, const char *name, size_t name_size,
                        struct erofs_dirent_disk *ret)
{
    unsigned low = 0, high = b->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const char *other;
        size_t other_size;
        int rc = entry_get(b, middle, ret, &other, &other_size), order;

        if (rc < 0)
            return rc;
        order = name_compare(name, name_size, other, other_size);
        if (order == 0)
            return 0;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -ENOENT;
}

static uint8_t dirent_type(uint8_t type)
{
    return type < ARRAY_COUNT(g_dirent_types) ? g_dirent_types[type] : 0;
}

int erofs_lookup(struct erofs *fs, const struct erofs_inode *dir, const char *name,
                 size_t name_size, uint64_t *ret_nid, uint8_t *ret_type)
{
    uint64_t low = 0, high = (dir->size + VERITY_BLOCK_SIZE - 1) >> EROFS_BLOCK_BITS;
    struct erofs_dirent_disk entry;

    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct dir_block b;
        const char *first;
        size_t first_size;
        int rc = block_get(fs, dir, middle, &b), order;

        if (rc < 0)
            return rc;
        rc = entry_get(&b, 0, &entry, &first, &first_size);
        order = rc < 0 ? 0 : name_compare(name, name_size, first, first_size);
        if (rc == 0 && order > 0)
            rc = block_search(&b, name, name_size, &entry);
        page_cache_put(b.span.page);
        if (rc == 0 && order >= 0) {
            *ret_nid = entry.nid;
            *ret_type = dirent_type(entry.type);
            return 0;
        }
        if (rc < 0 && rc != -ENOENT)
            return rc;
        /* Beyond the block's first name and not in it: it may be in a later block. */
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -ENOENT;
}

int erofs_readdir(struct erofs *fs, const struct erofs_inode *dir, uint64_t pos, erofs_entry_fn *fn,
                  void *arg)
{
    uint64_t blocks = (dir->size + VERITY_BLOCK_SIZE - 1) >> EROFS_BLOCK_BITS;
    unsigned i = (pos & (VERITY_BLOCK_SIZE - 1)) / sizeof(struct erofs_dirent_disk);

    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    for (uint64_t index = pos >> EROFS_BLOCK_BITS; index < blocks; index++, i = 0) {
        uint64_t base = index << EROFS_BLOCK_BITS;
        struct dir_block b;
        int rc = block_get(fs, dir, index, &b);

        if (rc < 0)
            return rc;
        for (; i < b.count; i++) {
            struct erofs_dirent_disk entry;
            const char *name;
            size_t size;

            rc = entry_get(&b, i, &entry, &name, &size);
            if (rc < 0)
                break;
            if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')))
                continue;
            if (!fn(arg, name, size, entry.nid, dirent_type(entry.type), base + i * sizeof entry,
                    i + 1 < b.count ? base + (i + 1) * sizeof entry : base + VERITY_BLOCK_SIZE)) {
                page_cache_put(b.span.page);
                return 0;
            }
        }
        page_cache_put(b.span.page);
        if (rc < 0)
            return rc;
    }
    return 0;
}
