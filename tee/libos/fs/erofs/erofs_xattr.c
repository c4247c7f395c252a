/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS extended attributes: a header with the numbers of shared entries behind the inode, then inline
 * entries; shared ones lie in an area of their own. Trusted; see erofs.h.
 */
#include "tee/libos/fs/erofs/erofs_internal.h"

#include "tee/enclave/string.h"

#include <linux/errno.h>

#define NAME_FULL_SIZE_MAX (EROFS_NAME_SIZE_MAX + 32u)

static const char *const g_prefixes[] = {
    "",        "user.",     "system.posix_acl_access", "system.posix_acl_default", "trusted.",
    "lustre.", "security.",
};

struct xattr {
    char name[NAME_FULL_SIZE_MAX]; /* NUL-ended */
    uint64_t value_off;            /* in the image */
    size_t value_size;
    uint64_t next_off;
};

/* The entry at off, which ends by limit. */
static int entry_read(struct erofs *fs, uint64_t off, uint64_t limit, struct xattr *ret)
{
    struct erofs_xattr_disk disk;
    size_t prefix_size, size;
    int rc;

    if (off + sizeof disk > limit)
        return -EUCLEAN;
    rc = erofs_meta_read(fs, off, &disk, sizeof disk);
    if (rc < 0)
        return rc;
    size = sizeof disk + disk.name_size + disk.value_size;
    if (size > limit - off || disk.name_index >= ARRAY_COUNT(g_prefixes))
        return -EUCLEAN;
    prefix_size = strlen(g_prefixes[disk.name_index]);
    memcpy(ret->name, g_prefixes[disk.name_index], prefix_size);
    rc = erofs_meta_read(fs, off + sizeof disk, ret->name + prefix_size, disk.name_size);
    if (rc < 0)
        return rc;
    ret->name[prefix_size + disk.name_size] = 0;
    ret->value_off = off + sizeof disk + disk.name_size;
    ret->value_size = disk.value_size;
    ret->next_off = off + ALIGN_UP(size, 4);
    return 0;
}

typedef int xattr_fn(struct erofs *fs, const struct xattr *x, void *arg);

static int each(struct erofs *fs, const struct erofs_inode *inode, xattr_fn *fn, void *arg)
{
    uint64_t end = inode->xattr_off + inode->xattr_size, off;
    uint8_t header[EROFS_XATTR_SHARED_OFF];
    struct xattr x;
    unsigned shared, count = 0;
    int rc;

    if (inode->xattr_size == 0)
        return 0;
    rc = erofs_meta_read(fs, inode->xattr_off, header, sizeof header);
    if (rc < 0)
        return rc;
    shared = header[4];
    off = inode->xattr_off + EROFS_XATTR_SHARED_OFF;
    if (shared * 4u > end - off)
        return -EUCLEAN;
    for (unsigned i = 0; i < shared; i++) {
        uint32_t id;

        rc = erofs_meta_read(fs, off + i * 4, &id, sizeof id);
        if (rc == 0)
            rc = entry_read(fs, fs->xattr_off + id * 4ull, fs->image_size, &x);
        if (rc == 0)
            rc = fn(fs, &x, arg);
        if (rc != 0)
            return rc;
    }
    for (off += shared * 4; off + sizeof(struct erofs_xattr_disk) <= end; off = x.next_off) {
        if (++count > EROFS_XATTR_COUNT_MAX)
            return -EUCLEAN;
        rc = entry_read(fs, off, end, &x);
        if (rc == 0)
            rc = fn(fs, &x, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

struct get_arg {
    const char *name;
    void *dst;
    size_t size;
    int64_t result;
};

static int get_entry(struct erofs *fs, const struct xattr *x, void *arg)
{
    struct get_arg *g = arg;

    if (strcmp(x->name, g->name) != 0)
        return 0;
    g->result = (int64_t)x->value_size;
    if (g->size == 0)
        return 1;
    if (g->size < x->value_size) {
        g->result = -ERANGE;
        return 1;
    }
    int rc = erofs_meta_read(fs, x->value_off, g->dst, x->value_size);

    return rc < 0 ? rc : 1;
}

int64_t erofs_xattr_get(struct erofs *fs, const struct erofs_inode *inode, const char *name,
                        void *dst, size_t size)
{
    struct get_arg g = { .name = name, .dst = dst, .size = size };
    int rc = each(fs, inode, get_entry, &g);

    if (rc < 0)
        return rc;
    return rc == 0 ? -ENODATA : g.result;
}

struct each_arg {
    erofs_xattr_fn *fn;
    void *arg;
};

static int each_entry(struct erofs *fs UNUSED, const struct xattr *x, void *arg)
{
    struct each_arg *e = arg;

    return e->fn(e->arg, x->name, x->value_size);
}

int erofs_xattr_each(struct erofs *fs, const struct erofs_inode *inode, erofs_xattr_fn *fn,
                     void *arg)
{
    struct each_arg e = { .fn = fn, .arg = arg };

    return each(fs, inode, each_entry, &e);
}
