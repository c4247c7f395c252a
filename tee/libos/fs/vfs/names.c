/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the tree: create, link, remove, rename, with Linux's checks. Trusted. */
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#define PATH_INLINE_MAX 1024u

static struct mutex g_rename_lock; /* before the locks of two folders */

int vfs_may_create(struct dentry *parent)
{
    if (parent->deleted)
        return -ENOENT;
    return inode_permission(parent->inode, 3);
}

/* May the caller remove victim from dir? */
static int may_delete(struct dentry *parent, struct inode *victim, bool directory)
{
    const struct cred *cred = process_cred();
    struct inode *dir = parent->inode;
    int rc = inode_permission(dir, 3);

    if (rc < 0)
        return rc;
    if ((dir->mode & S_ISVTX) != 0 && cred->fsuid != victim->uid && cred->fsuid != dir->uid &&
        !cred_has_cap(cred, CAP_FOWNER))
        return -EPERM;
    if (directory && !S_ISDIR(victim->mode))
        return -ENOTDIR;
    if (!directory && S_ISDIR(victim->mode))
        return -EISDIR;
    return 0;
}

/* The parent of a name to be made. */
static int lookup_new(struct lookup *l, bool directory)
{
    int rc = lookup_run(l);

    if (rc < 0)
        return rc;
    if (l->last_kind != LOOKUP_LAST_NAME)
        return -EEXIST;
    if (l->last_slash && !directory)
        return -ENOENT;
    return 0;
}

/* With the parent's lock held: the negative dentry of the new name. */
static int new_name_locked(struct lookup *l, struct dentry **ret)
{
    struct dentry *d;
    int rc = dentry_lookup_dir_locked(l->dentry, l->last, l->last_size, &d);

    if (rc < 0)
        return rc;
    if (d->inode)
        rc = -EEXIST;
    else if (l->dentry->inode->super->uncached && !l->dentry->inode->ops->create)
        rc = -ENOENT; /* as Linux's /proc, whoever asks */
    else
        rc = vfs_may_create(l->dentry);
    if (rc < 0) {
        dentry_unref(d);
        return rc;
    }
    *ret = d;
    return 0;
}

/* The name is there. */
static void new_name_done(struct lookup *l, struct dentry *d, struct inode *inode)
{
    dentry_instantiate(d, inode);
    notify_child(l->dentry->inode, l->last, l->last_size,
                 IN_CREATE | (S_ISDIR(inode->mode) ? IN_ISDIR : 0), 0);
}

int path_make_node(int dirfd, const char *path, uint32_t mode, uint64_t rdev, struct dentry **ret)
{
    struct lookup l = { .dirfd = dirfd, .path = path, .flags = LOOKUP_PARENT };
    int rc = lookup_new(&l, S_ISDIR(mode));
    struct inode *dir, *inode;
    struct dentry *d;

    if (rc == 0) {
        dir = l.dentry->inode;
        mutex_lock(&dir->lock);
        rc = new_name_locked(&l, &d);
        if (rc == 0) {
            mode = (mode & S_IFMT) | (mode & MODE_PERMISSIONS & ~process_current()->umask);
            rc = dir->ops->create ? dir->ops->create(dir, l.last, l.last_size, mode, rdev,
                                                     process_cred(), &inode)
                                  : -EPERM;
            if (rc == 0) {
                new_name_done(&l, d, inode);
                *ret = d;
            } else {
                dentry_unref(d);
            }
        }
        mutex_unlock(&dir->lock);
    }
    lookup_done(&l);
    return rc;
}

int vfs_create(int dirfd, const char *path, uint32_t mode, uint64_t rdev)
{
    struct dentry *d;
    int rc = path_make_node(dirfd, path, mode, rdev, &d);

    if (rc == 0)
        dentry_unref(d);
    return rc;
}

/* A missing folder, whoever the caller is. */
static int make_folder(const char *path)
{
    struct lookup l = { .dirfd = AT_FDCWD, .path = path, .flags = LOOKUP_PARENT };
    struct inode *dir, *inode;
    struct dentry *d;
    int rc = lookup_run(&l);

    if (rc == 0 && l.last_kind == LOOKUP_LAST_NAME) {
        dir = l.dentry->inode;
        mutex_lock(&dir->lock);
        rc = dentry_lookup_dir_locked(l.dentry, l.last, l.last_size, &d);
        if (rc == 0) {
            if (d->inode)
                rc = -ENOTDIR;
            else
                rc = dir->ops->create ? dir->ops->create(dir, l.last, l.last_size, S_IFDIR | 0755,
                                                         0, NULL, &inode)
                                      : -EPERM;
            if (rc == 0)
                new_name_done(&l, d, inode);
            dentry_unref(d);
        }
        mutex_unlock(&dir->lock);
    }
    lookup_done(&l);
    return rc;
}

int vfs_folder_make(const char *path)
{
    char prefix[PATH_INLINE_MAX];
    size_t size = strlen(path);
    struct dentry *d;
    int rc = 0;

    if (size >= sizeof prefix)
        return -ENAMETOOLONG;
    for (size_t end = 1; end <= size && rc == 0; end++) {
        if (path[end] != '/' && path[end] != 0)
            continue;
        memcpy(prefix, path, end);
        prefix[end] = 0;
        rc = path_lookup(AT_FDCWD, prefix, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &d);
        if (rc == 0)
            dentry_unref(d);
        else if (rc == -ENOENT)
            rc = make_folder(prefix);
    }
    return rc;
}

int vfs_symlink(const char *target, int dirfd, const char *path)
{
    struct lookup l = { .dirfd = dirfd, .path = path, .flags = LOOKUP_PARENT };
    int rc = target[0] == 0 ? -ENOENT : lookup_new(&l, false);
    struct inode *dir, *inode;
    struct dentry *d;

    if (rc == 0) {
        dir = l.dentry->inode;
        mutex_lock(&dir->lock);
        rc = new_name_locked(&l, &d);
        if (rc == 0) {
            rc = dir->ops->symlink
                     ? dir->ops->symlink(dir, l.last, l.last_size, target, process_cred(), &inode)
                     : -EPERM;
            if (rc == 0)
                new_name_done(&l, d, inode);
            dentry_unref(d);
        }
        mutex_unlock(&dir->lock);
    }
    lookup_done(&l);
    return rc;
}

int vfs_link(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    struct lookup l = { .dirfd = to_dirfd, .path = to, .flags = LOOKUP_PARENT };
    struct lookup old = { .dirfd = from_dirfd, .path = from };
    struct inode *dir, *inode = NULL;
    struct dentry *d;
    int rc;

    if ((flags & AT_SYMLINK_FOLLOW) != 0)
        old.flags |= LOOKUP_FOLLOW;
    if ((flags & AT_EMPTY_PATH) != 0)
        old.flags |= LOOKUP_EMPTY;
    rc = lookup_run(&old);
    if (rc == 0)
        rc = lookup_new(&l, false);
    if (rc == 0) {
        struct inode_attr attr;

        inode = old.dentry->inode;
        dir = l.dentry->inode;
        rc = inode_get_attr(inode, &attr);
        if (rc == 0 && attr.nlink == 0 && !inode->is_linkable)
            rc = -ENOENT; /* deleted for good */
        else if (rc == 0 && inode->super != dir->super)
            rc = -EXDEV;
        else if (rc == 0 && (S_ISDIR(inode->mode) || !dir->ops->link))
            rc = -EPERM;
    }
    if (rc == 0) {
        mutex_lock(&dir->lock);
        rc = new_name_locked(&l, &d);
        if (rc == 0) {
            rc = dir->ops->link(dir, l.last, l.last_size, inode);
            if (rc == 0) {
                inode_ref(inode);
                notify_inode(inode, IN_ATTRIB);
                new_name_done(&l, d, inode);
            }
            dentry_unref(d);
        }
        mutex_unlock(&dir->lock);
    }
    lookup_done(&old);
    lookup_done(&l);
    return rc;
}

/* With the parent's lock held. */
static int remove_locked(struct lookup *l, bool directory)
{
    struct inode *dir = l->dentry->inode, *inode;
    int (*op)(struct inode *, const char *, size_t, struct inode *);
    struct dentry *d;
    int rc = dentry_lookup_dir_locked(l->dentry, l->last, l->last_size, &d);

    if (rc < 0)
        return rc;
    inode = d->inode;
    op = directory ? dir->ops->rmdir : dir->ops->unlink;
    if (!inode)
        rc = -ENOENT;
    else if (l->last_slash && !S_ISDIR(inode->mode))
        rc = -ENOTDIR;
    else
        rc = may_delete(l->dentry, inode, directory);
    if (rc == 0 && d->mounted)
        rc = -EBUSY;
    if (rc == 0)
        rc = !op ? -EPERM : inode == dir ? -EUCLEAN : op(dir, l->last, l->last_size, inode);
    if (rc == 0 && !directory)
        notify_inode(inode, IN_ATTRIB); /* one link less */
    if (rc == 0)
        dentry_delete(d);
    dentry_unref(d);
    if (rc == 0)
        notify_child(dir, l->last, l->last_size, IN_DELETE | (directory ? IN_ISDIR : 0), 0);
    return rc;
}

int vfs_unlink(int dirfd, const char *path, bool directory)
{
    struct lookup l = { .dirfd = dirfd, .path = path, .flags = LOOKUP_PARENT };
    int rc = lookup_run(&l);

    if (rc == 0 && l.last_kind != LOOKUP_LAST_NAME) {
        if (!directory)
            rc = -EISDIR;
        else if (l.last_kind == LOOKUP_LAST_DOTDOT)
            rc = -ENOTEMPTY;
        else
            rc = l.last[0] == '.' && path[0] != '/' ? -EINVAL : -EBUSY;
    }
    if (rc == 0) {
        struct inode *dir = l.dentry->inode;

        mutex_lock(&dir->lock);
        rc = remove_locked(&l, directory);
        mutex_unlock(&dir->lock);
    }
    lookup_done(&l);
    return rc;
}

/* ---- rename ---- */

struct rename {
    struct lookup from, to;
    struct dentry *moved, *target; /* target may be negative */
    uint32_t flags;
};

static void folders_lock(struct rename *r)
{
    struct inode *a = r->from.dentry->inode, *b = r->to.dentry->inode;

    if (a == b) {
        mutex_lock(&a->lock);
        return;
    }
    mutex_lock(&g_rename_lock);
    if (dentry_is_above(r->to.dentry, r->from.dentry) ||
        (!dentry_is_above(r->from.dentry, r->to.dentry) && b < a)) {
        mutex_lock(&b->lock);
        mutex_lock(&a->lock);
    } else {
        mutex_lock(&a->lock);
        mutex_lock(&b->lock);
    }
}

static void folders_unlock(struct rename *r)
{
    struct inode *a = r->from.dentry->inode, *b = r->to.dentry->inode;

    mutex_unlock(&a->lock);
    if (a != b) {
        mutex_unlock(&b->lock);
        mutex_unlock(&g_rename_lock);
    }
}

static int rename_check_target(struct rename *r)
{
    struct inode *moved = r->moved->inode, *target = r->target->inode;
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;

    if (!target)
        return exchange ? -ENOENT : vfs_may_create(r->to.dentry);
    if ((r->flags & RENAME_NOREPLACE) != 0)
        return -EEXIST;
    if (exchange)
        return may_delete(r->to.dentry, target, S_ISDIR(target->mode));
    if (dentry_is_above(r->target, r->from.dentry))
        return -ENOTEMPTY;
    if (r->target->mounted)
        return -EBUSY;
    return may_delete(r->to.dentry, target, S_ISDIR(moved->mode));
}

/* With both folders locked. */
static int rename_check(struct rename *r)
{
    struct inode *moved = r->moved->inode;
    int rc;

    if (!moved)
        return -ENOENT;
    if (!S_ISDIR(moved->mode) &&
        (r->from.last_slash || (r->to.last_slash && (r->flags & RENAME_EXCHANGE) == 0)))
        return -ENOTDIR;
    if (dentry_is_above(r->moved, r->to.dentry))
        return -EINVAL;
    if ((r->flags & RENAME_EXCHANGE) != 0 && r->target->inode &&
        dentry_is_above(r->target, r->from.dentry))
        return -EINVAL;
    rc = may_delete(r->from.dentry, moved, S_ISDIR(moved->mode));
    if (rc == 0)
        rc = rename_check_target(r);
    if (rc == 0 && r->moved->mounted)
        rc = -EBUSY;
    /* Moving a folder elsewhere changes its "..". */
    if (rc == 0 && S_ISDIR(moved->mode) && r->from.dentry != r->to.dentry)
        rc = inode_permission(moved, 2);
    return rc;
}

/* `moved` went from one name to the other. */
static void rename_notify(struct lookup *from, struct lookup *to, struct inode *moved,
                          struct inode *replaced)
{
    uint32_t cookie = notify_new_cookie(), kind = S_ISDIR(moved->mode) ? IN_ISDIR : 0;

    notify_child(from->dentry->inode, from->last, from->last_size, IN_MOVED_FROM | kind, cookie);
    notify_child(to->dentry->inode, to->last, to->last_size, IN_MOVED_TO | kind, cookie);
    if (replaced)
        notify_inode(replaced, IN_ATTRIB);
    notify_inode(moved, IN_MOVE_SELF);
}

/* The name that was left says that nothing is there, to who puts file systems over each other: a device 0:0. */
static int whiteout_make(struct rename *r)
{
    struct inode *dir = r->from.dentry->inode, *inode;
    struct dentry *d;
    int rc = dentry_lookup_dir_locked(r->from.dentry, r->from.last, r->from.last_size, &d);

    if (rc < 0)
        return rc;
    rc = dir->ops->create(dir, r->from.last, r->from.last_size, S_IFCHR, 0, process_cred(), &inode);
    if (rc == 0)
        dentry_instantiate(d, inode);
    dentry_unref(d);
    return rc;
}

static int rename_perform(struct rename *r)
{
    struct inode *from_dir = r->from.dentry->inode, *to_dir = r->to.dentry->inode;
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    struct dentry_move move;
    int rc;

    if (r->moved->inode == r->target->inode)
        return 0; /* two links to one file: nothing happens */
    if (!from_dir->ops->rename)
        return from_dir->super->uncached ? -ENOENT : -EPERM;
    if ((r->flags & RENAME_WHITEOUT) != 0 && !from_dir->ops->create)
        return -EINVAL;
    rc = dentry_move_prepare(&move, r->moved, r->target);
    if (rc == 0)
        rc = from_dir->ops->rename(from_dir, r->from.last, r->from.last_size, to_dir, r->to.last,
                                   r->to.last_size, r->moved->inode, r->target->inode,
                                   r->flags & ~(uint32_t)RENAME_WHITEOUT);
    if (rc == 0)
        dentry_move(&move, r->moved, r->target, exchange);
    dentry_move_done(&move);
    if (rc == 0 && (r->flags & RENAME_WHITEOUT) != 0)
        rc = whiteout_make(r);
    if (rc == 0 && notify_is_on()) {
        rename_notify(&r->from, &r->to, r->moved->inode, exchange ? NULL : r->target->inode);
        if (exchange)
            rename_notify(&r->to, &r->from, r->target->inode, NULL);
    }
    return rc;
}

static int rename_locked(struct rename *r)
{
    int rc = dentry_lookup_dir_locked(r->from.dentry, r->from.last, r->from.last_size, &r->moved);

    if (rc == 0)
        rc = dentry_lookup_dir_locked(r->to.dentry, r->to.last, r->to.last_size, &r->target);
    if (rc == 0)
        rc = rename_check(r);
    if (rc == 0)
        rc = rename_perform(r);
    return rc;
}

int vfs_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, uint32_t flags)
{
    struct rename r = { .from = { .dirfd = from_dirfd, .path = from, .flags = LOOKUP_PARENT },
                        .to = { .dirfd = to_dirfd, .path = to, .flags = LOOKUP_PARENT },
                        .flags = flags };
    int rc;

    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0 ||
        ((flags & RENAME_EXCHANGE) != 0 && flags != RENAME_EXCHANGE))
        return -EINVAL;
    rc = lookup_run(&r.from);
    if (rc == 0)
        rc = lookup_run(&r.to);
    if (rc == 0 && r.from.dentry->mount != r.to.dentry->mount)
        rc = -EXDEV;
    if (rc == 0 && (r.from.last_kind != LOOKUP_LAST_NAME || r.to.last_kind != LOOKUP_LAST_NAME))
        rc = (flags & RENAME_NOREPLACE) != 0 && r.from.last_kind == LOOKUP_LAST_NAME ? -EEXIST
                                                                                     : -EBUSY;
    if (rc == 0) {
        folders_lock(&r);
        rc = rename_locked(&r);
        folders_unlock(&r);
    }
    dentry_unref(r.moved);
    dentry_unref(r.target);
    lookup_done(&r.from);
    lookup_done(&r.to);
    return rc;
}

int vfs_truncate(struct inode *inode, uint64_t size)
{
    struct inode_attr attr = { .size = size };
    int rc;

    if (S_ISDIR(inode->mode))
        return -EISDIR;
    if (!S_ISREG(inode->mode) || !inode->ops->set_attr)
        return -EINVAL;
    rc = inode_permission(inode, 2);
    if (rc == 0)
        rc = inode->ops->set_attr(inode, &attr, ATTR_SIZE);
    if (rc == 0)
        permission_drop_privileges(inode);
    return rc;
}
