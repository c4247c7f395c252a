/* SPDX-License-Identifier: Apache-2.0 */
/* EROFS reader: super block, inodes, file data. Trusted; see erofs.h. */
#include "tee/libos/fs/erofs/erofs_internal.h"

#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/mode.h"

#include <linux/errno.h>

int erofs_meta_read(struct erofs *fs, uint64_t off, void *dst, size_t size)
{
    if (!range_within(off, size, fs->image_size))
        return -EUCLEAN;
    return image_read(fs->image, off, dst, size);
}

static int super_check(const struct erofs_super_disk *s, uint64_t image_blocks)
{
    if (s->magic != EROFS_MAGIC) {
        log_line(
            "the root file system is no EROFS image; build the image again with `cloche build`");
        return -EINVAL;
    }
    if (s->block_bits != EROFS_BLOCK_BITS || s->dir_block_bits != 0) {
        log_line("the EROFS image has blocks of %lu bytes; 4096 are needed (mkfs.erofs -b4096)",
                 1ul << (s->block_bits & 31));
        return -EOPNOTSUPP;
    }
    if ((s->feature_incompat & ~EROFS_INCOMPAT_ZERO_PADDING) != 0 || s->extra_devices != 0) {
        log_line(
            "the EROFS image uses features 0x%x (compression, chunks or devices), which are not "
            "supported; build it uncompressed on one device",
            s->feature_incompat);
        return -EOPNOTSUPP;
    }
    if (s->block_count == 0 || s->block_count > image_blocks || s->meta_block >= s->block_count ||
        s->xattr_block >= s->block_count)
        return -EUCLEAN;
    return 0;
}

int erofs_open(struct image *img, struct erofs **ret)
{
    struct erofs_super_disk s;
    struct erofs_inode root;
    struct erofs *fs;
    int rc = image_read(img, EROFS_SUPER_OFF, &s, sizeof s);

    if (rc < 0)
        return rc;
    rc = super_check(&s, image_block_count(img));
    if (rc < 0)
        return rc;
    fs = mem_zalloc(sizeof *fs);
    if (!fs)
        return -ENOMEM;
    fs->image = img;
    fs->block_count = s.block_count;
    fs->inode_count = s.inode_count;
    fs->image_size = (uint64_t)s.block_count << EROFS_BLOCK_BITS;
    fs->root_nid = s.root_nid;
    fs->meta_off = (uint64_t)s.meta_block << EROFS_BLOCK_BITS;
    fs->xattr_off = (uint64_t)s.xattr_block << EROFS_BLOCK_BITS;
    fs->build_time_s = (int64_t)s.build_time_s;
    fs->build_time_ns = s.build_time_ns;
    rc = erofs_inode_get(fs, fs->root_nid, &root);
    if (rc == 0 && !S_ISDIR(root.mode))
        rc = -EUCLEAN;
    if (rc < 0) {
        erofs_free(fs);
        return rc;
    }
    *ret = fs;
    return 0;
}

void erofs_free(struct erofs *fs)
{
    mem_free(fs);
}

uint64_t erofs_root(const struct erofs *fs)
{
    return fs->root_nid;
}

uint64_t erofs_block_count(const struct erofs *fs)
{
    return fs->block_count;
}

uint64_t erofs_inode_count(const struct erofs *fs)
{
    return fs->inode_count;
}

size_t erofs_cached_pages(const struct erofs *fs)
{
    return image_cached_pages(fs->image);
}

static void compact_decode(const struct erofs *fs, const struct erofs_inode_compact *c,
                           struct erofs_inode *ret)
{
    ret->mode = c->mode;
    ret->nlink = c->nlink;
    ret->size = c->size;
    ret->uid = c->uid;
    ret->gid = c->gid;
    ret->rdev = ret->data_block = c->u;
    ret->mtime_s = fs->build_time_s;
    ret->mtime_ns = fs->build_time_ns;
}

static void extended_decode(const struct erofs_inode_extended *x, struct erofs_inode *ret)
{
    ret->mode = x->mode;
    ret->nlink = x->nlink;
    ret->size = x->size;
    ret->uid = x->uid;
    ret->gid = x->gid;
    ret->rdev = ret->data_block = x->u;
    ret->mtime_s = (int64_t)x->mtime_s;
    ret->mtime_ns = x->mtime_ns;
}

static uint64_t page_count(const struct erofs_inode *inode)
{
    return (inode->size >> EROFS_BLOCK_BITS) + ((inode->size & (VERITY_BLOCK_SIZE - 1)) != 0);
}

/* Data and xattrs lie within the file system; sizes are sane. */
static int inode_check(const struct erofs *fs, const struct erofs_inode *inode)
{
    uint64_t pages = page_count(inode), tail = inode->size & (VERITY_BLOCK_SIZE - 1);

    if (inode->size > INT64_MAX || inode->mtime_ns >= 1000000000)
        return -EUCLEAN;
    if (!range_within(inode->xattr_off, inode->xattr_size, fs->image_size))
        return -EUCLEAN;
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
        break;
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    default:
        return -EUCLEAN;
    }
    if (inode->layout == EROFS_FLAT_INLINE && tail != 0) {
        pages--;
        if (!range_within(inode->tail_off, tail, fs->image_size) ||
            (inode->tail_off & (VERITY_BLOCK_SIZE - 1)) + tail > VERITY_BLOCK_SIZE)
            return -EUCLEAN;
    }
    return pages == 0 || range_within(inode->data_block, pages, fs->block_count) ? 0 : -EUCLEAN;
}

int erofs_inode_get(struct erofs *fs, uint64_t nid, struct erofs_inode *ret)
{
    struct erofs_inode inode = { .nid = nid };
    union {
        struct erofs_inode_compact compact;
        struct erofs_inode_extended extended;
    } disk;
    uint64_t off = fs->meta_off + (nid << EROFS_NID_SHIFT);
    size_t size = sizeof disk.compact;
    int rc;

    if (nid > fs->image_size >> EROFS_NID_SHIFT)
        return -EUCLEAN;
    rc = erofs_meta_read(fs, off, &disk.compact, sizeof disk.compact);
    if (rc < 0)
        return rc;
    if ((disk.compact.format & 1) != 0) {
        size = sizeof disk.extended;
        rc = erofs_meta_read(fs, off, &disk.extended, sizeof disk.extended);
        if (rc < 0)
            return rc;
        extended_decode(&disk.extended, &inode);
    } else {
        compact_decode(fs, &disk.compact, &inode);
    }
    inode.layout = disk.compact.format >> 1 & 7;
    if (inode.layout != EROFS_FLAT_PLAIN && inode.layout != EROFS_FLAT_INLINE)
        return -EOPNOTSUPP;
    inode.xattr_off = off + size;
    if (disk.compact.xattr_count > 0)
        inode.xattr_size = EROFS_XATTR_SHARED_OFF + (disk.compact.xattr_count - 1u) * 4;
    inode.tail_off = inode.xattr_off + inode.xattr_size;
    rc = inode_check(fs, &inode);
    if (rc < 0)
        return rc;
    *ret = inode;
    return 0;
}

int erofs_page_get(struct erofs *fs, const struct erofs_inode *inode, uint64_t index,
                   uint64_t ahead, struct erofs_span *ret)
{
    uint64_t pages = page_count(inode), tail = inode->size & (VERITY_BLOCK_SIZE - 1);
    uint64_t block = inode->data_block + index;
    struct cached_page *page;
    size_t in = 0;
    int rc;

    if (index >= pages)
        return -EINVAL;
    ahead = MIN(ahead, pages - 1 - index);
    if (inode->layout == EROFS_FLAT_INLINE && tail != 0) {
        if (index == pages - 1) {
            block = inode->tail_off >> EROFS_BLOCK_BITS;
            in = inode->tail_off & (VERITY_BLOCK_SIZE - 1);
        } else {
            ahead = MIN(ahead, pages - 2 - index);
        }
    }
    rc = image_block_get(fs->image, block, ahead, &page);
    if (rc < 0)
        return rc == -EINVAL ? -EUCLEAN : rc;
    ret->page = page;
    ret->data = page->data + in;
    ret->size = index == pages - 1 && tail != 0 ? tail : VERITY_BLOCK_SIZE;
    return 0;
}

int64_t erofs_extent(struct erofs *fs, const struct erofs_inode *inode, uint64_t off, size_t size,
                     uint64_t *ret_at)
{
    uint64_t whole = inode->layout == EROFS_FLAT_INLINE ? ALIGN_DOWN(inode->size, VERITY_BLOCK_SIZE)
                                                        : inode->size;
    uint64_t end = off < whole ? off + MIN(size, whole - off) : off;

    for (uint64_t at = off; at < end; at = ALIGN_DOWN(at, VERITY_BLOCK_SIZE) + VERITY_BLOCK_SIZE) {
        struct erofs_span span;
        int rc = erofs_page_get(fs, inode, at >> EROFS_BLOCK_BITS,
                                (end - at - 1) >> EROFS_BLOCK_BITS, &span);

        if (rc < 0)
            return rc;
        page_cache_put(span.page);
    }
    *ret_at = (inode->data_block << EROFS_BLOCK_BITS) + off;
    return (int64_t)(end - off);
}

int64_t erofs_read(struct erofs *fs, const struct erofs_inode *inode, uint64_t off, void *dst,
                   size_t size)
{
    uint8_t *to = dst;
    size_t left;

    if (off >= inode->size)
        return 0;
    size = MIN(size, inode->size - off);
    for (left = size; left > 0;) {
        size_t in = off & (VERITY_BLOCK_SIZE - 1), part;
        struct erofs_span span;
        int rc = erofs_page_get(fs, inode, off >> EROFS_BLOCK_BITS,
                                (in + left - 1) >> EROFS_BLOCK_BITS, &span);

        if (rc < 0)
            return rc;
        part = MIN(left, span.size - in);
        memcpy(to, span.data + in, part);
        page_cache_put(span.page);
        to += part;
        off += part;
        left -= part;
    }
    return (int64_t)size;
}
