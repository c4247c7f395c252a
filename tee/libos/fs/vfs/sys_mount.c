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

/* struct file_handle with the identity that tmpfs of Linux gives: inode number and generation. */
struct handle {
    uint32_t size; /* of what follows type */
    int32_t type;
    uint32_t generation;
    uint32_t ino[2];
};
#define HANDLE_HEADER 8u
#define HANDLE_SIZE (sizeof(struct handle) - HANDLE_HEADER)
#define HANDLE_SIZE_MAX 128u /* MAX_HANDLE_SZ */
#define HANDLE_TYPE 1
#define HANDLE_TYPE_INVALID 255
#define HANDLE_MOUNT 1 /* as in /proc/self/fdinfo */

/* What fits of the handle, and the header in any case. */
static int handle_put(uintptr_t at, uintptr_t mount_id, const struct inode *inode)
{
    struct handle h = { 0 };
    int32_t mount = HANDLE_MOUNT;
    bool fits;
    int rc = user_copy_in(&h, at, HANDLE_HEADER);

    if (rc == 0 && h.size > HANDLE_SIZE_MAX)
        rc = -EINVAL;
    if (rc < 0)
        return rc;
    fits = h.size >= HANDLE_SIZE;
    h = (struct handle){ .size = HANDLE_SIZE,
                         .type = fits ? HANDLE_TYPE : HANDLE_TYPE_INVALID,
                         .ino = { (uint32_t)inode->ino, (uint32_t)(inode->ino >> 32) } };
    rc = user_copy_out(at, &h, fits ? sizeof h : HANDLE_HEADER);
    if (rc == 0)
        rc = user_copy_out(mount_id, &mount, sizeof mount);
    return rc < 0 ? rc : fits ? 0 : -EOVERFLOW;
}

/* Handles tell whether two names are one file. They would outlive what they name: none can be opened. */
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
    rc = handle_put(c, d, dentry->inode);
    dentry_unref(dentry);
    return rc;
}

SYSCALL_DEFINE(open_by_handle_at)
{
    return -EPERM;
}
