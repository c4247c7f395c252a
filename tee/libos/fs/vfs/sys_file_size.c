/* SPDX-License-Identifier: Apache-2.0 */
/* System calls on the size and the storage of files: truncate, fallocate, fsync and their families, advice. Trusted. */
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/resource.h>

#define SYNC_RANGE_FLAGS 7u /* SYNC_FILE_RANGE_* */

/* -EFBIG with SIGXFSZ when a regular file would grow beyond RLIMIT_FSIZE. */
static int grow_check(struct inode *inode, uint64_t size)
{
    uint64_t limit = process_current()->limits[RLIMIT_FSIZE].current;
    struct inode_attr attr;

    if (LIKELY(size <= limit) || !inode || !S_ISREG(inode->mode) ||
        inode_get_attr(inode, &attr) < 0 || size <= attr.size)
        return 0;
    (void)signal_send_thread(thread_current(), SIGXFSZ, NULL);
    return -EFBIG;
}

SYSCALL_DEFINE(truncate)
{
    struct user_path path;
    struct dentry *dentry;
    int64_t rc;

    if ((int64_t)b < 0)
        return -EINVAL;
    user_path_init(&path);
    rc = user_path_get(&path, a);
    if (rc >= 0)
        rc = path_lookup(AT_FDCWD, path.str, LOOKUP_FOLLOW, &dentry);
    if (rc >= 0) {
        rc = grow_check(dentry->inode, b);
        if (rc == 0)
            rc = inode_check_text(dentry->inode);
        if (rc == 0)
            rc = vfs_truncate(dentry->inode, b);
        if (rc == 0) {
            mm_file_cut(mm_current(), dentry->inode, b);
            notify_dentry(dentry, IN_MODIFY);
        }
        dentry_unref(dentry);
    }
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(ftruncate)
{
    struct fd_ref r;
    int64_t rc;

    if ((int64_t)b < 0)
        return -EINVAL;
    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if ((r.file->flags & O_PATH) != 0)
        rc = -EBADF;
    else if (!file_can_write(r.file) || !r.file->ops->truncate)
        rc = -EINVAL;
    else
        rc = grow_check(r.file->inode, b);
    if (rc == 0)
        rc = r.file->ops->truncate(r.file, b);
    if (rc == 0 && r.file->inode) {
        mm_file_cut(mm_current(), r.file->inode, b);
        permission_drop_privileges(r.file->inode);
    }
    if (rc == 0)
        notify_file(r.file, IN_MODIFY);
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(fallocate)
{
    struct fd_ref r;
    int64_t rc;

    if ((int64_t)c < 0 || (int64_t)d <= 0)
        return -EINVAL;
    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if (!file_can_write(r.file))
        rc = -EBADF;
    else if (r.file->ops->allocate)
        rc = (b & FALLOC_FL_KEEP_SIZE) != 0 || c + d < c ? 0 : grow_check(r.file->inode, c + d);
    else
        rc = !r.file->ops->seek                               ? -ESPIPE
             : r.file->inode && S_ISDIR(r.file->inode->mode)  ? -EISDIR
             : r.file->inode && !S_ISREG(r.file->inode->mode) ? -ENODEV
                                                              : -EOPNOTSUPP;
    if (rc == 0)
        rc = r.file->ops->allocate(r.file, (int)b, c, d);
    if (rc == 0)
        notify_file(r.file, IN_MODIFY);
    fd_ref_done(&r);
    return rc;
}

static int64_t sync_file(int fd, bool data_only)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow(fd, &r))
        return -EBADF;
    if ((r.file->flags & O_PATH) != 0)
        rc = -EBADF;
    else
        rc = r.file->ops->sync ? r.file->ops->sync(r.file, data_only) : -EINVAL;
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(fsync)
{
    return sync_file((int)a, false);
}

SYSCALL_DEFINE(fdatasync)
{
    return sync_file((int)a, true);
}

SYSCALL_DEFINE(sync_file_range)
{
    struct fd_ref r;
    int64_t rc = 0;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if ((r.file->flags & O_PATH) != 0)
        rc = -EBADF;
    else if ((d & ~(uint64_t)SYNC_RANGE_FLAGS) != 0 || (int64_t)b < 0 || (int64_t)c < 0 ||
             (int64_t)(b + c) < 0)
        rc = -EINVAL;
    else if (!r.file->inode || S_ISCHR(r.file->inode->mode) || S_ISFIFO(r.file->inode->mode))
        rc = -ESPIPE;
    fd_ref_done(&r);
    return rc < 0 ? rc : sync_file((int)a, true);
}

SYSCALL_DEFINE(sync)
{
    return 0;
}

SYSCALL_DEFINE(syncfs)
{
    struct fd_ref r;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    fd_ref_done(&r);
    return 0;
}

/* Advice about a file's pages: files are in enclave memory or verified on first use; nothing to do but check. */
static int64_t advise(int fd, bool advice_known)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow(fd, &r))
        return -EBADF;
    rc = (r.file->flags & O_PATH) != 0 ? -EBADF : !r.file->ops->seek ? -ESPIPE : 0;
    if (rc == 0 && !advice_known)
        rc = -EINVAL;
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(fadvise64)
{
    return advise((int)a, (int64_t)c >= 0 && (uint32_t)d <= 5);
}

SYSCALL_DEFINE(readahead)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    rc = !file_can_read(r.file)                          ? -EBADF
         : r.file->inode && S_ISREG(r.file->inode->mode) ? 0
                                                         : -EINVAL;
    fd_ref_done(&r);
    return rc;
}
