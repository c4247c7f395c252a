/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verified image: blocks of host memory, copied in, checked against the dm-verity hash tree up to
 * the measured root, and kept in a page cache. Trusted; the memory behind both mappings is hostile and
 * may change at any time. No exits.
 */
#pragma once

#include "lib/verity.h"
#include "tee/enclave/uptr.h"
#include "tee/libos/fs/verity/page_cache.h"

struct image;

struct image_source {
    struct uptr data;   /* the image */
    uint64_t data_size; /* bytes, a multiple of VERITY_BLOCK_SIZE */
    struct uptr tree;   /* hash tree file, superblock at 0 */
    uint64_t tree_size;
    const uint8_t *root; /* 32 bytes, measured */
    const uint8_t *salt;
    size_t salt_size;   /* 0 to VERITY_SALT_SIZE_MAX */
    size_t cache_pages; /* bound of the page cache */
};

/* returns: 0; -EINVAL sizes do not fit each other; -EIO the root of the tree does not match; -ENOMEM. */
MUST_CHECK int image_new(const struct image_source *source, struct image **ret);
void image_free(struct image *img); /* accepts NULL */
uint64_t image_block_count(const struct image *img);
size_t image_cached_pages(struct image *img);
/*
 * Block `block`, pinned; page_cache_put gives it back. ahead: how many blocks behind it the caller will
 * want as well; one of them may be verified along, which costs a third of what it would cost alone.
 * returns: 0; -EINVAL beyond the image; -EIO it does not match the tree (one line to the operator; from then
 * on every call is -EIO); -ENOMEM.
 */
MUST_CHECK int image_block_get(struct image *img, uint64_t block, uint64_t ahead,
                               struct cached_page **ret);
/* Copies a byte range. Errors as image_block_get. */
MUST_CHECK int image_read(struct image *img, uint64_t off, void *dst, size_t size);
