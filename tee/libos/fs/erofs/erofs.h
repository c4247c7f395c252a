/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader of uncompressed EROFS images (kernel: Documentation/filesystems/erofs.rst, fs/erofs/erofs_fs.h):
 * 4 KiB blocks, compact and extended inodes, FLAT_PLAIN and FLAT_INLINE data, inline and shared xattrs.
 * Trusted. The blocks are verified, but their content is a publisher's and may be malformed: every offset
 * is checked and loops are bounded. No locks; any thread.
 *
 * Errors of all: -EUCLEAN malformed, -EIO verification failed, -ENOMEM.
 */
#pragma once

#include "tee/libos/fs/verity/image.h"

#define EROFS_NAME_SIZE_MAX 255u

struct erofs;

enum erofs_layout {
    EROFS_FLAT_PLAIN = 0,
    EROFS_FLAT_INLINE = 2,
};

struct erofs_inode {
    uint64_t nid;        /* where it lies; its identity */
    uint64_t size;       /* bytes */
    uint64_t data_block; /* first block of its data, but for an inline tail */
    uint64_t tail_off;   /* byte offset of the inline tail in the image */
    uint64_t xattr_off;  /* byte offset of its xattrs */
    uint32_t xattr_size; /* bytes; 0: none */
    uint32_t nlink, uid, gid, rdev;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint16_t mode; /* type and permissions */
    uint8_t layout;
};

/* Part of a file in a pinned page; give it back with page_cache_put(page). */
struct erofs_span {
    struct cached_page *page;
    const uint8_t *data;
    size_t size;
};

/* Takes over nothing: img must outlive it. returns: also -EINVAL no EROFS; -EOPNOTSUPP a feature that this
 * reader has not (compression, chunks, devices), named to the operator. */
MUST_CHECK int erofs_open(struct image *img, struct erofs **ret);
void erofs_free(struct erofs *fs); /* accepts NULL */
uint64_t erofs_root(const struct erofs *fs);
uint64_t erofs_block_count(const struct erofs *fs);
uint64_t erofs_inode_count(const struct erofs *fs);
size_t erofs_cached_pages(const struct erofs *fs);

MUST_CHECK int erofs_inode_get(struct erofs *fs, uint64_t nid, struct erofs_inode *ret);
/* Page `index` of the file, whole or up to the end of the file. -EINVAL beyond it. ahead: pages that will be
 * wanted next. */
MUST_CHECK int erofs_page_get(struct erofs *fs, const struct erofs_inode *inode, uint64_t index,
                              uint64_t ahead, struct erofs_span *ret);
/* How many bytes of [off, off + size) lie in one piece of the image, from *ret_at on; all of them verified. 0: none (beyond the end, or
 * in an inline tail). */
MUST_CHECK int64_t erofs_extent(struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
                                size_t size, uint64_t *ret_at);
/* Bytes copied, 0 at the end. */
MUST_CHECK int64_t erofs_read(struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
                              void *dst, size_t size);

/* -ENOENT; -ENOTDIR. ret_type: DT_* as getdents gives it, 0 unknown. */
MUST_CHECK int erofs_lookup(struct erofs *fs, const struct erofs_inode *dir, const char *name,
                            size_t name_size, uint64_t *ret_nid, uint8_t *ret_type);
/* Returns false to stop; the entry is then given again when next begins at its pos. */
typedef bool erofs_entry_fn(void *arg, const char *name, size_t name_size, uint64_t nid,
                            uint8_t type, uint64_t pos, uint64_t next_pos);
/* Entries from pos on (0: the first), "." and ".." left out. */
MUST_CHECK int erofs_readdir(struct erofs *fs, const struct erofs_inode *dir, uint64_t pos,
                             erofs_entry_fn *fn, void *arg);

/* name with its prefix ("user.mime"). returns: size of the value (copied when size allows); -ENODATA;
 * -ERANGE size is not 0 and too small. */
MUST_CHECK int64_t erofs_xattr_get(struct erofs *fs, const struct erofs_inode *inode,
                                   const char *name, void *dst, size_t size);
/* fn gets each full name (NUL-ended); its non-zero result stops and is returned. */
typedef int erofs_xattr_fn(void *arg, const char *name, size_t value_size);
MUST_CHECK int erofs_xattr_each(struct erofs *fs, const struct erofs_inode *inode,
                                erofs_xattr_fn *fn, void *arg);
