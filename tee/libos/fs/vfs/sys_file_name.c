/* SPDX-License-Identifier: Apache-2.0 */
/* System calls on names: mkdir, unlink, rename, link, symlink, readlink, mknod, getcwd, chdir, chroot. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

static int64_t create_at(int dirfd, uintptr_t addr, uint32_t mode, uint64_t rdev)
{
    struct user_path path;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0)
        rc = vfs_create(dirfd, path.str, mode, rdev);
    user_path_done(&path);
    return rc;
}

static int64_t make_folder(int dirfd, uintptr_t addr, uint32_t mode)
{
    return create_at(dirfd, addr, S_IFDIR | (mode & (0777 | S_ISVTX)), 0);
}

SYSCALL_DEFINE(mkdir)
{
    return make_folder(AT_FDCWD, a, (uint32_t)b);
}

SYSCALL_DEFINE(mkdirat)
{
    return make_folder((int)a, b, (uint32_t)c);
}

static int64_t make_node(int dirfd, uintptr_t addr, uint32_t mode, uint64_t rdev)
{
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFCHR:
    case S_IFBLK:
        if (!cred_has_cap(process_cred(), CAP_MKNOD))
            return -EPERM;
        return create_at(dirfd, addr, mode, rdev);
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return create_at(dirfd, addr, mode, 0);
}

SYSCALL_DEFINE(mknod)
{
    return make_node(AT_FDCWD, a, (uint32_t)b, (uint32_t)c);
}

SYSCALL_DEFINE(mknodat)
{
    return make_node((int)a, b, (uint32_t)c, (uint32_t)d);
}

static int64_t remove_at(int dirfd, uintptr_t addr, bool directory)
{
    struct user_path path;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0)
        rc = vfs_unlink(dirfd, path.str, directory);
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(rmdir)
{
    return remove_at(AT_FDCWD, a, true);
}

SYSCALL_DEFINE(unlink)
{
    return remove_at(AT_FDCWD, a, false);
}

SYSCALL_DEFINE(unlinkat)
{
    if ((c & ~(uint64_t)AT_REMOVEDIR) != 0)
        return -EINVAL;
    return remove_at((int)a, b, (c & AT_REMOVEDIR) != 0);
}

/* Two paths of one call. */
struct path_pair {
    struct user_path first, second;
};

static int64_t pair_get(struct path_pair *p, uintptr_t first, uintptr_t second)
{
    int64_t rc;

    user_path_init(&p->first);
    user_path_init(&p->second);
    rc = user_path_get(&p->first, first);
    return rc < 0 ? rc : user_path_get(&p->second, second);
}

static void pair_done(struct path_pair *p)
{
    user_path_done(&p->first);
    user_path_done(&p->second);
}

static int64_t rename_at(int from_fd, uintptr_t from, int to_fd, uintptr_t to, uint32_t flags)
{
    struct path_pair p;
    int64_t rc = pair_get(&p, from, to);

    if (rc >= 0)
        rc = vfs_rename(from_fd, p.first.str, to_fd, p.second.str, flags);
    pair_done(&p);
    return rc;
}

SYSCALL_DEFINE(rename)
{
    return rename_at(AT_FDCWD, a, AT_FDCWD, b, 0);
}

SYSCALL_DEFINE(renameat)
{
    return rename_at((int)a, b, (int)c, d, 0);
}

SYSCALL_DEFINE(renameat2)
{
    return rename_at((int)a, b, (int)c, d, (uint32_t)e);
}

static int64_t link_at(int from_fd, uintptr_t from, int to_fd, uintptr_t to, int flags)
{
    struct path_pair p;
    int64_t rc = pair_get(&p, from, to);

    if (rc >= 0)
        rc = vfs_link(from_fd, p.first.str, to_fd, p.second.str, flags);
    pair_done(&p);
    return rc;
}

SYSCALL_DEFINE(link)
{
    return link_at(AT_FDCWD, a, AT_FDCWD, b, 0);
}

SYSCALL_DEFINE(linkat)
{
    if ((e & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    return link_at((int)a, b, (int)c, d, (int)e);
}

static int64_t symlink_at(uintptr_t target, int dirfd, uintptr_t addr)
{
    struct path_pair p;
    int64_t rc = pair_get(&p, target, addr);

    if (rc >= 0)
        rc = vfs_symlink(p.first.str, dirfd, p.second.str);
    pair_done(&p);
    return rc;
}

SYSCALL_DEFINE(symlink)
{
    return symlink_at(a, AT_FDCWD, b);
}

SYSCALL_DEFINE(symlinkat)
{
    return symlink_at(a, (int)b, c);
}

static int64_t readlink_put(struct inode *inode, uintptr_t addr, size_t size, bool empty_path)
{
    char *target;
    int64_t rc;

    if (!S_ISLNK(inode->mode) || !inode->ops->readlink)
        return empty_path ? -ENOENT : -EINVAL;
    target = mem_alloc(PATH_SIZE_MAX);
    if (!target)
        return -ENOMEM;
    rc = inode->ops->readlink(inode, target, MIN(size, PATH_SIZE_MAX));
    if (rc > 0 && user_copy_out(addr, target, (size_t)rc) < 0)
        rc = -EFAULT;
    mem_free(target);
    return rc;
}

static int64_t readlink_at(int dirfd, uintptr_t path_addr, uintptr_t addr, int64_t size)
{
    struct user_path path;
    struct dentry *dentry;
    int64_t rc;

    if (size <= 0)
        return -EINVAL;
    user_path_init(&path);
    rc = user_path_get(&path, path_addr);
    if (rc >= 0) {
        int found = path_lookup(dirfd, path.str, LOOKUP_EMPTY, &dentry);

        if (found == 0) {
            found = (int)readlink_put(dentry->inode, addr, (size_t)size, rc == 0);
            dentry_unref(dentry);
        }
        rc = found;
    }
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(readlink)
{
    return readlink_at(AT_FDCWD, a, b, (int)c);
}

SYSCALL_DEFINE(readlinkat)
{
    return readlink_at((int)a, b, c, (int)d);
}

/* ---- folders of the process ---- */

SYSCALL_DEFINE(getcwd)
{
    struct dentry *cwd = fs_context_cwd(process_current()->fs);
    char *path = mem_alloc(PATH_SIZE_MAX);
    int64_t rc = -ENOMEM;

    if (path) {
        rc = cwd->deleted ? -ENOENT : dentry_path(cwd, path, PATH_SIZE_MAX);
        if (rc >= 0 && (uint64_t)rc + 1 > b)
            rc = -ERANGE;
        if (rc >= 0)
            rc = user_copy_out(a, path, (size_t)rc + 1) < 0 ? -EFAULT : rc + 1;
        mem_free(path);
    }
    dentry_unref(cwd);
    return rc;
}

static int64_t change_folder(struct dentry *d)
{
    int rc = !S_ISDIR(d->inode->mode) ? -ENOTDIR : inode_permission(d->inode, 1);

    if (rc < 0) {
        dentry_unref(d);
        return rc;
    }
    fs_context_set_cwd(process_current()->fs, d);
    return 0;
}

static int64_t lookup_user(uintptr_t addr, uint32_t flags, struct dentry **ret)
{
    struct user_path path;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0)
        rc = path_lookup(AT_FDCWD, path.str, flags, ret);
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(chdir)
{
    struct dentry *dentry;
    int64_t rc = lookup_user(a, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dentry);

    return rc < 0 ? rc : change_folder(dentry);
}

SYSCALL_DEFINE(fchdir)
{
    struct fd_ref r;
    struct dentry *dentry;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    dentry = r.file->dentry;
    if (dentry)
        dentry_ref(dentry);
    fd_ref_done(&r);
    return dentry ? change_folder(dentry) : -ENOTDIR;
}

SYSCALL_DEFINE(chroot)
{
    struct dentry *dentry;
    int64_t rc = lookup_user(a, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &dentry);

    if (rc < 0)
        return rc;
    rc = inode_permission(dentry->inode, 1);
    if (rc == 0 && !cred_has_cap(process_cred(), CAP_SYS_CHROOT))
        rc = -EPERM;
    if (rc < 0) {
        dentry_unref(dentry);
        return rc;
    }
    fs_context_set_root(process_current()->fs, dentry);
    return 0;
}
