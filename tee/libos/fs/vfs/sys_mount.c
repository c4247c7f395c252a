/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls about mounts and file handles. What the tree looks like is the descriptor's business: programs have no
 * CAP_SYS_ADMIN, and are refused as Linux refuses them. Trusted.
 */
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#define UMOUNT_FLAGS 0xfu /* MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW */
#define HANDLE_FLAGS (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | 0x200u) /* AT_HANDLE_FID */

SYSCALL_DEFINE(mount)
{
    return -EPERM;
}

SYSCALL_DEFINE(umount2)
{
    return (b & ~(uint64_t)UMOUNT_FLAGS) != 0 ? -EINVAL : -EPERM;
}

SYSCALL_DEFINE(pivot_root)
{
    return -EPERM;
}

SYSCALL_DEFINE(fsopen)
{
    return -EPERM;
}

SYSCALL_DEFINE(fspick)
{
    return -EPERM;
}

SYSCALL_DEFINE(fsconfig)
{
    return -EBADF; /* there is no such descriptor */
}

SYSCALL_DEFINE(fsmount)
{
    return -EPERM;
}

SYSCALL_DEFINE(move_mount)
{
    return -EPERM;
}

SYSCALL_DEFINE(mount_setattr)
{
    return -EPERM;
}

SYSCALL_DEFINE(swapon)
{
    return -EPERM;
}

SYSCALL_DEFINE(swapoff)
{
    return -EPERM;
}

SYSCALL_DEFINE(acct)
{
    return -EPERM;
}

static int look_up(int dirfd, uintptr_t addr, uint32_t flags, struct dentry **ret)
{
    struct user_path path;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0)
        rc = path_lookup(dirfd, path.str, flags, ret);
    user_path_done(&path);
    return rc < 0 ? (int)rc : 0;
}

/* A copy of a mount is a new one; without that it is a name, as O_PATH opens it. */
SYSCALL_DEFINE(open_tree)
{
    uint32_t flags = (uint32_t)c, known = AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_RECURSIVE |
                                          AT_SYMLINK_NOFOLLOW | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    struct vfs_open how = { .flags = O_PATH };
    struct dentry *dentry;
    struct file *file;
    int64_t rc;

    if ((flags & ~known) != 0 || (flags & (AT_RECURSIVE | OPEN_TREE_CLONE)) == AT_RECURSIVE)
        return -EINVAL;
    if ((flags & OPEN_TREE_CLONE) != 0)
        return -EPERM;
    rc = look_up((int)a, b,
                 ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                     ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0),
                 &dentry);
    if (rc == 0)
        rc = vfs_open_dentry(dentry, &how, false, &file);
    if (rc < 0)
        return rc;
    rc = fd_install(file, (flags & OPEN_TREE_CLOEXEC) != 0, 0);
    if (rc < 0)
        file_unref(file);
    return rc;
}

/* Handles would outlive what they name. */
SYSCALL_DEFINE(name_to_handle_at)
{
    uint32_t flags = (uint32_t)e;
    struct dentry *dentry;
    int rc;

    if ((flags & ~(uint32_t)HANDLE_FLAGS) != 0)
        return -EINVAL;
    rc = look_up((int)a, b,
                 ((flags & AT_SYMLINK_FOLLOW) != 0 ? LOOKUP_FOLLOW : 0) |
                     ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0),
                 &dentry);
    if (rc < 0)
        return rc;
    dentry_unref(dentry);
    return -EOPNOTSUPP;
}

SYSCALL_DEFINE(open_by_handle_at)
{
    return -EPERM;
}
