/* SPDX-License-Identifier: Apache-2.0 */
/* open(2): lookup, creation, permission, and what an inode's type makes of it. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/dev/dev.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/mm/mm.h"

#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

/* O_NOCTTY is for the open alone. */
#define FLAGS_KEPT (~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC))
#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

static uint32_t access_mask(uint32_t flags)
{
    static const uint8_t masks[] = { 4, 2, 6, 6 };

    return masks[flags & O_ACCMODE] | ((flags & O_TRUNC) != 0 ? 2u : 0);
}

/* May the caller open this inode so? */
static int open_check(struct inode *inode, const struct vfs_open *how, bool created)
{
    uint32_t flags = how->flags;
    int rc;

    if (S_ISLNK(inode->mode))
        return -ELOOP;
    if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (S_ISDIR(inode->mode) && ((access_mask(flags) & 2) != 0 || (flags & O_CREAT) != 0))
        return -EISDIR;
    if (!created) {
        rc = inode_permission(inode, access_mask(flags));
        if (rc < 0)
            return rc;
    }
    if ((flags & O_NOATIME) != 0 && !permission_is_owner(inode, process_cred()))
        return -EPERM;
    if ((S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) && inode->super &&
        (inode->super->flags & MS_NODEV) != 0)
        return -EACCES;
    return 0;
}

static int open_by_type(struct inode *inode, struct file *f)
{
    if (inode->ops->open)
        return inode->ops->open(inode, f);
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        f->ops = &dir_file_ops;
        return 0;
    case S_IFIFO:
        return fifo_open(inode, f);
    case S_IFCHR:
    case S_IFBLK:
        return dev_open_number(inode->rdev, S_ISBLK(inode->mode), f);
    default:
        return -ENXIO;
    }
}

static const struct file_ops g_path_ops; /* O_PATH: nothing but a name */

int vfs_open_dentry(struct dentry *d, const struct vfs_open *how, bool created, struct file **ret)
{
    struct inode *inode = d->inode;
    struct file *f;
    int rc;

    if ((how->flags & O_PATH) != 0) {
        if ((how->flags & O_DIRECTORY) != 0 && !S_ISDIR(inode->mode))
            rc = -ENOTDIR;
        else
            rc = file_new(&g_path_ops, how->flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), NULL, &f);
    } else if (inode->ops->open_file) {
        rc = inode->ops->open_file(inode, how->flags, ret);
        dentry_unref(d);
        return rc;
    } else {
        rc = open_check(inode, how, created);
        if (rc == 0)
            rc = file_new(&g_path_ops, (how->flags & FLAGS_KEPT) | O_LARGEFILE, NULL, &f);
    }
    if (rc < 0) {
        dentry_unref(d);
        return rc;
    }
    f->inode = inode;
    f->dentry = d;
    if ((how->flags & O_PATH) != 0) {
        *ret = f;
        return 0;
    }
    rc = S_ISREG(inode->mode) && (how->flags & O_ACCMODE) != O_RDONLY ? file_count_writer(f) : 0;
    if (rc == 0)
        rc = open_by_type(inode, f);
    f->flags &= ~(uint32_t)O_NOCTTY;
    if (rc < 0) {
        f->ops = &g_path_ops; /* nothing of the file system's to release */
        file_unref(f);
        return rc;
    }
    notify_file(f, IN_OPEN);
    if ((how->flags & O_TRUNC) != 0 && S_ISREG(inode->mode) && !created) {
        rc = f->ops->truncate ? f->ops->truncate(f, 0) : -EINVAL;
        if (rc == 0)
            mm_file_cut(mm_current(), inode, 0);
        permission_drop_privileges(inode);
        notify_file(f, IN_MODIFY);
    }
    if (rc < 0) {
        file_unref(f);
        return rc;
    }
    *ret = f;
    return 0;
}

/* Creates name in the folder l->dentry, whose lock is held; d is its negative dentry. */
static int create_locked(struct lookup *l, struct dentry *d, uint32_t mode)
{
    struct inode *dir = l->dentry->inode, *inode;
    int rc;

    if (!dir->ops->create)
        return dir->super->uncached ? -ENOENT : -EACCES;
    rc = vfs_may_create(l->dentry);
    if (rc < 0)
        return rc;
    mode = S_IFREG | (mode & MODE_PERMISSIONS & ~process_current()->umask);
    rc = dir->ops->create(dir, l->last, l->last_size, mode, 0, process_cred(), &inode);
    if (rc == 0) {
        dentry_instantiate(d, inode);
        notify_child(dir, l->last, l->last_size, IN_CREATE, 0);
    }
    return rc;
}

/* The last component of an open with O_CREAT: what is there, or a new file. */
static int lookup_or_create(struct lookup *l, const struct vfs_open *how, struct dentry **ret,
                            bool *ret_created)
{
    struct inode *dir = l->dentry->inode;
    struct dentry *d;
    int rc;

    *ret_created = false;
    mutex_lock(&dir->lock);
    rc = dentry_lookup_dir_locked(l->dentry, l->last, l->last_size, &d);
    if (rc == 0 && !d->inode) {
        rc = create_locked(l, d, how->mode);
        *ret_created = rc == 0;
    } else if (rc == 0 && (how->flags & O_EXCL) != 0) {
        rc = -EEXIST;
    }
    mutex_unlock(&dir->lock);
    if (rc < 0)
        return rc;
    while (d->mounted) {
        struct dentry *top = d->mounted;

        dentry_ref(top);
        dentry_unref(d);
        d = top;
    }
    *ret = d;
    return 0;
}

static int open_create(struct lookup *l, const struct vfs_open *how, struct file **ret)
{
    bool created = false;
    struct dentry *d;
    int rc = lookup_run(l);

    while (rc == 0) {
        if (l->last_kind != LOOKUP_LAST_NAME) {
            d = TAKE_PTR(l->dentry);
            if (l->last_kind == LOOKUP_LAST_DOTDOT ||
                ((how->flags & O_EXCL) != 0 && l->last_kind == LOOKUP_LAST_DOT)) {
                dentry_unref(d);
                return (how->flags & O_EXCL) != 0 ? -EEXIST : -EISDIR;
            }
            return vfs_open_dentry(d, how, false, ret);
        }
        if (l->last_slash)
            return -EISDIR;
        rc = lookup_or_create(l, how, &d, &created);
        if (rc < 0)
            return rc;
        if (created || !S_ISLNK(d->inode->mode))
            return vfs_open_dentry(d, how, created, ret);
        rc = (how->flags & O_NOFOLLOW) != 0 ? -ELOOP : lookup_follow_last(l, d);
        dentry_unref(d);
    }
    return rc;
}

/* O_TMPFILE: path names the folder. */
static int open_tmpfile(struct lookup *l, const struct vfs_open *how, struct file **ret)
{
    struct vfs_open file_how = *how;
    struct inode *dir, *inode;
    struct dentry *d;
    uint32_t mode;
    int rc;

    if ((how->flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    l->flags |= LOOKUP_DIRECTORY;
    rc = lookup_run(l);
    if (rc < 0)
        return rc;
    dir = l->dentry->inode;
    rc = inode_permission(dir, 3);
    if (rc < 0)
        return rc;
    if (!dir->ops->tmpfile)
        return -EOPNOTSUPP;
    mode = S_IFREG | (how->mode & MODE_PERMISSIONS & ~process_current()->umask);
    rc = dir->ops->tmpfile(dir, mode, process_cred(), &inode);
    if (rc < 0)
        return rc;
    inode->is_linkable = (how->flags & O_EXCL) == 0;
    rc = dentry_new_anon(inode, "/#tmpfile (deleted)", &d);
    if (rc < 0) {
        inode_unref(inode);
        return rc;
    }
    file_how.flags &= ~(uint32_t)(O_TMPFILE | O_CREAT | O_EXCL | O_TRUNC);
    return vfs_open_dentry(d, &file_how, true, ret);
}

int vfs_open(int dirfd, const char *path, const struct vfs_open *how, struct file **ret)
{
    struct lookup l = { .dirfd = dirfd, .path = path, .flags = how->lookup_flags };
    struct dentry *d;
    int rc;

    if ((how->flags & O_PATH) == 0 && (how->flags & TMPFILE_BIT) != 0) {
        l.flags |= LOOKUP_FOLLOW;
        rc = open_tmpfile(&l, how, ret);
    } else if ((how->flags & O_PATH) == 0 && (how->flags & O_CREAT) != 0) {
        if ((how->flags & O_DIRECTORY) != 0)
            return -EINVAL;
        l.flags |= LOOKUP_PARENT;
        rc = open_create(&l, how, ret);
    } else {
        if ((how->flags & O_NOFOLLOW) == 0)
            l.flags |= LOOKUP_FOLLOW;
        rc = lookup_run(&l);
        if (rc == 0) {
            d = TAKE_PTR(l.dentry);
            rc = vfs_open_dentry(d, how, false, ret);
        }
    }
    lookup_done(&l);
    return rc;
}

int file_open(const char *path, uint32_t flags, uint32_t mode, struct file **ret)
{
    struct vfs_open how = { .flags = flags, .mode = mode };

    return vfs_open(AT_FDCWD, path, &how, ret);
}
