/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs attributes and extended attributes. Trusted. */
#include "tee/libos/fs/tmpfs/tmpfs_internal.h"

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"

#include <linux/errno.h>
#include <linux/xattr.h>

static uint64_t blocks_of(const struct node *n)
{
    uint64_t pages;

    if (!S_ISREG(n->inode.mode))
        return 0;
    pages = (n->file.lower_size + PAGE_SIZE - 1) / PAGE_SIZE;
    return MAX(pages, n->file.page_count) * (PAGE_SIZE / 512);
}

int node_get_attr(struct inode *inode, struct inode_attr *ret)
{
    struct node *n = node_of(inode);
    uint32_t seq;

    do {
        seq = __atomic_load_n(&n->seq, __ATOMIC_ACQUIRE);
        ret->ino = inode->ino;
        ret->dev = inode->super->dev;
        ret->rdev = inode->rdev;
        ret->mode = inode->mode;
        ret->uid = inode->uid;
        ret->gid = inode->gid;
        ret->nlink = n->nlink;
        ret->size = n->size;
        ret->blksize = PAGE_SIZE;
        ret->blocks = blocks_of(n);
        ret->atime = n->atime;
        ret->mtime = n->mtime;
        ret->ctime = n->ctime;
        ret->btime = n->btime;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (UNLIKELY((seq & 1) != 0 || seq != __atomic_load_n(&n->seq, __ATOMIC_RELAXED)));
    return 0;
}

int node_set_attr(struct inode *inode, const struct inode_attr *attr, uint32_t mask)
{
    struct node *n = node_of(inode);
    bool resize = (mask & ATTR_SIZE) != 0;
    int rc = 0;

    if (resize && !S_ISREG(inode->mode))
        return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
    if (resize)
        mutex_lock(&n->write_lock);
    mutex_lock(&inode->lock);
    if ((mask & ATTR_MODE) != 0 && S_ISREG(inode->mode) && (n->file.seals & F_SEAL_EXEC) != 0 &&
        ((inode->mode ^ attr->mode) & 0111) != 0)
        rc = -EPERM;
    else if (resize)
        rc = file_data_resize(n, attr->size);
    if (rc == 0) {
        node_attr_begin(n);
        if ((mask & ATTR_MODE) != 0)
            inode->mode = (inode->mode & S_IFMT) | (attr->mode & MODE_PERMISSIONS);
        if ((mask & ATTR_UID) != 0)
            inode->uid = attr->uid;
        if ((mask & ATTR_GID) != 0)
            inode->gid = attr->gid;
        if ((mask & ATTR_ATIME) != 0)
            n->atime = attr->atime;
        if ((mask & ATTR_MTIME) != 0)
            n->mtime = attr->mtime;
        n->ctime = tmpfs_now();
        node_attr_end(n);
        node_changed(n);
    }
    mutex_unlock(&inode->lock);
    if (resize)
        mutex_unlock(&n->write_lock);
    return rc;
}

/* ---- extended attributes: a list; names user.*, trusted.*, security.* ---- */

static struct xattr *xattr_find(struct node *n, const char *name)
{
    struct xattr *x = n->xattrs;

    while (x && strcmp(x->name, name) != 0)
        x = x->next;
    return x;
}

static int xattr_new(const char *name, size_t value_size, struct xattr **ret)
{
    size_t name_size = strlen(name) + 1;
    struct xattr *x = mem_alloc(sizeof *x + name_size + value_size);

    if (!x)
        return -ENOSPC;
    memcpy(x->name, name, name_size);
    x->value = (uint8_t *)x->name + name_size;
    x->value_size = value_size;
    *ret = x;
    return 0;
}

static size_t xattr_cost(const struct xattr *x)
{
    return sizeof *x + strlen(x->name) + 1 + x->value_size;
}

static void xattr_link(struct node *n, struct xattr *x)
{
    x->next = n->xattrs;
    n->xattrs = x;
    n->xattr_total += xattr_cost(x);
}

static void xattr_unlink(struct node *n, const char *name)
{
    for (struct xattr **at = &n->xattrs; *at; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) {
            struct xattr *x = *at;

            *at = x->next;
            n->xattr_total -= xattr_cost(x);
            mem_free(x);
            return;
        }
}

void node_xattr_free(struct node *n)
{
    while (n->xattrs) {
        struct xattr *x = n->xattrs;

        n->xattrs = x->next;
        mem_free(x);
    }
}

static int copy_up_one(void *arg, const char *name, size_t value_size)
{
    struct node *n = arg;
    struct xattr *x;
    int64_t size;
    int rc;

    if (xattr_find(n, name))
        return 0;
    rc = xattr_new(name, value_size, &x);
    if (rc < 0)
        return rc;
    size = value_size ? erofs_xattr_get(n->fs->lower, &n->lower, name, x->value, value_size) : 0;
    if (size < 0) {
        mem_free(x);
        return (int)size;
    }
    xattr_link(n, x);
    return 0;
}

/* The lower file's xattrs become our own. inode.lock is held. */
static int copy_up(struct node *n)
{
    int rc;

    if (n->xattrs_own)
        return 0;
    rc = erofs_xattr_each(n->fs->lower, &n->lower, copy_up_one, n);
    if (rc < 0) {
        node_xattr_free(n);
        n->xattr_total = 0;
        return rc;
    }
    n->xattrs_own = true;
    return 0;
}

static bool name_supported(const char *name)
{
    return strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0 ||
           strncmp(name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0 ||
           strncmp(name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) == 0;
}

int64_t node_xattr_get(struct inode *inode, const char *name, void *dst, size_t size)
{
    struct node *n = node_of(inode);
    struct xattr *x;
    int64_t rc = -ENODATA;

    if (!name_supported(name))
        return -EOPNOTSUPP;
    if (n->xattrs_own && !n->xattrs)
        return -ENODATA;
    mutex_lock(&inode->lock);
    if (!n->xattrs_own) {
        rc = erofs_xattr_get(n->fs->lower, &n->lower, name, dst, size);
    } else {
        x = xattr_find(n, name);
        if (x && size != 0 && size < x->value_size) {
            rc = -ERANGE;
        } else if (x) {
            if (size != 0)
                memcpy(dst, x->value, x->value_size);
            rc = (int64_t)x->value_size;
        }
    }
    mutex_unlock(&inode->lock);
    return rc;
}

int node_xattr_set(struct inode *inode, const char *name, const void *src, size_t size, int flags)
{
    struct node *n = node_of(inode);
    struct xattr *x = NULL, *old;
    int rc;

    if (!name_supported(name))
        return -EOPNOTSUPP;
    if (size > TMPFS_XATTR_SIZE_MAX)
        return -E2BIG;
    rc = xattr_new(name, size, &x);
    if (rc < 0)
        return rc;
    if (size != 0)
        memcpy(x->value, src, size);
    mutex_lock(&inode->lock);
    rc = copy_up(n);
    old = rc == 0 ? xattr_find(n, name) : NULL;
    if (rc == 0 && old && (flags & XATTR_CREATE) != 0)
        rc = -EEXIST;
    if (rc == 0 && !old && (flags & XATTR_REPLACE) != 0)
        rc = -ENODATA;
    if (rc == 0 && n->xattr_total + xattr_cost(x) > TMPFS_XATTR_TOTAL_MAX)
        rc = -ENOSPC;
    if (rc == 0) {
        if (old)
            xattr_unlink(n, name);
        xattr_link(n, TAKE_PTR(x));
        node_attr_begin(n);
        n->ctime = tmpfs_now();
        node_attr_end(n);
        node_changed(n);
    }
    mutex_unlock(&inode->lock);
    mem_free(x);
    return rc;
}

int node_xattr_remove(struct inode *inode, const char *name)
{
    struct node *n = node_of(inode);
    int rc;

    if (!name_supported(name))
        return -EOPNOTSUPP;
    mutex_lock(&inode->lock);
    rc = copy_up(n);
    if (rc == 0 && !xattr_find(n, name))
        rc = -ENODATA;
    if (rc == 0) {
        xattr_unlink(n, name);
        node_attr_begin(n);
        n->ctime = tmpfs_now();
        node_attr_end(n);
        node_changed(n);
    }
    mutex_unlock(&inode->lock);
    return rc;
}

struct list_arg {
    char *dst;
    size_t size, used;
};

static int list_one(void *arg, const char *name, size_t value_size UNUSED)
{
    struct list_arg *l = arg;
    size_t size = strlen(name) + 1;

    if (l->size != 0) {
        if (size > l->size - l->used)
            return -ERANGE;
        memcpy(l->dst + l->used, name, size);
    }
    l->used += size;
    return 0;
}

int64_t node_xattr_list(struct inode *inode, char *dst, size_t size)
{
    struct node *n = node_of(inode);
    struct list_arg l = { .dst = dst, .size = size };
    int rc = 0;

    mutex_lock(&inode->lock);
    if (!n->xattrs_own)
        rc = erofs_xattr_each(n->fs->lower, &n->lower, list_one, &l);
    else
        for (struct xattr *x = n->xattrs; x && rc == 0; x = x->next)
            rc = list_one(&l, x->name, x->value_size);
    mutex_unlock(&inode->lock);
    return rc < 0 ? rc : (int64_t)l.used;
}
