/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that change attributes: chmod, chown, utime; and extended attributes. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/time_types.h>
#include <linux/xattr.h>

#ifndef UTIME_NOW
#define UTIME_NOW ((1l << 30) - 1)
#define UTIME_OMIT ((1l << 30) - 2)
#endif

/* ---- what a call names: a path or a descriptor ---- */

struct target {
    struct inode *inode; /* borrowed from one of the two */
    struct dentry *dentry;
    struct fd_ref fd;
};

static int64_t target_path(struct target *t, int dirfd, uintptr_t addr, uint32_t at_flags)
{
    struct user_path path;
    uint32_t flags = (at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW;
    int64_t rc;

    *t = (struct target){ 0 };
    if ((at_flags & AT_EMPTY_PATH) != 0)
        flags |= LOOKUP_EMPTY;
    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0)
        rc = path_lookup(dirfd, path.str, flags, &t->dentry);
    user_path_done(&path);
    if (rc == 0)
        t->inode = t->dentry->inode;
    return rc;
}

static int64_t target_fd(struct target *t, int fd, bool path_files)
{
    *t = (struct target){ 0 };
    if (!fd_borrow(fd, &t->fd))
        return -EBADF;
    if ((t->fd.file->flags & O_PATH) != 0 && !path_files)
        return -EBADF;
    t->inode = t->fd.file->inode;
    return t->inode ? 0 : -EINVAL;
}

static void target_done(struct target *t)
{
    dentry_unref(t->dentry);
    fd_ref_done(&t->fd);
}

static void target_notify(struct target *t, uint32_t mask)
{
    notify_dentry(t->dentry ? t->dentry : t->fd.file->dentry, mask);
}

static int change(struct target *t, const struct inode_attr *attr, uint32_t mask)
{
    struct inode *inode = t->inode;
    int rc = inode_check_writable(inode);

    if (rc == 0)
        rc = inode->ops->set_attr ? inode->ops->set_attr(inode, attr, mask) : -EPERM;
    if (rc < 0)
        return rc;
    /* A time alone is taken for the access or the change that it stands for. */
    if (mask == ATTR_ATIME || mask == ATTR_MTIME)
        target_notify(t, mask == ATTR_ATIME ? IN_ACCESS : IN_MODIFY);
    else
        target_notify(t, IN_ATTRIB);
    return 0;
}

/* ---- chmod ---- */

static int64_t set_mode(struct target *t, uint32_t mode)
{
    struct inode *inode = t->inode;
    const struct cred *cred = process_cred();
    struct inode_attr attr = { .mode = mode & MODE_PERMISSIONS };

    if (!permission_is_owner(inode, cred))
        return -EPERM;
    if (S_ISLNK(inode->mode))
        return -EOPNOTSUPP;
    if (cred->fsgid != inode->gid && !cred_has_group(cred, inode->gid) &&
        !cred_has_cap(cred, CAP_FSETID))
        attr.mode &= ~(uint32_t)S_ISGID;
    return change(t, &attr, ATTR_MODE);
}

static int64_t chmod_path(int dirfd, uintptr_t addr, uint32_t mode)
{
    struct target t;
    int64_t rc = target_path(&t, dirfd, addr, 0);

    if (rc == 0)
        rc = set_mode(&t, mode);
    target_done(&t);
    return rc;
}

SYSCALL_DEFINE(chmod)
{
    return chmod_path(AT_FDCWD, a, (uint32_t)b);
}

SYSCALL_DEFINE(fchmodat)
{
    return chmod_path((int)a, b, (uint32_t)c);
}

SYSCALL_DEFINE(fchmod)
{
    struct target t;
    int64_t rc = target_fd(&t, (int)a, false);

    if (rc == 0)
        rc = set_mode(&t, (uint32_t)b);
    target_done(&t);
    return rc;
}

/* ---- chown ---- */

static int64_t set_owner(struct target *t, uint32_t uid, uint32_t gid)
{
    struct inode *inode = t->inode;
    const struct cred *cred = process_cred();
    struct inode_attr attr = { .uid = uid, .gid = gid, .mode = inode->mode };
    uint32_t mask = (uid != UINT32_MAX ? ATTR_UID : 0) | (gid != UINT32_MAX ? ATTR_GID : 0);

    if (!cred_has_cap(cred, CAP_CHOWN)) {
        if ((mask & ATTR_UID) != 0 && (cred->fsuid != inode->uid || uid != inode->uid))
            return -EPERM;
        if ((mask & ATTR_GID) != 0 &&
            (cred->fsuid != inode->uid ||
             (gid != inode->gid && gid != cred->fsgid && !cred_has_group(cred, gid))))
            return -EPERM;
    }
    if (!S_ISDIR(inode->mode) && (inode->mode & (S_ISUID | S_ISGID)) != 0) {
        attr.mode &= ~(uint32_t)S_ISUID;
        if ((inode->mode & MODE_GROUP_EXEC) != 0)
            attr.mode &= ~(uint32_t)S_ISGID;
        mask |= ATTR_MODE;
    }
    return change(t, &attr, mask);
}

static int64_t chown_path(int dirfd, uintptr_t addr, uint32_t uid, uint32_t gid, uint32_t flags)
{
    struct target t;
    int64_t rc = target_path(&t, dirfd, addr, flags);

    if (rc == 0)
        rc = set_owner(&t, uid, gid);
    target_done(&t);
    return rc;
}

SYSCALL_DEFINE(chown)
{
    return chown_path(AT_FDCWD, a, (uint32_t)b, (uint32_t)c, 0);
}

SYSCALL_DEFINE(lchown)
{
    return chown_path(AT_FDCWD, a, (uint32_t)b, (uint32_t)c, AT_SYMLINK_NOFOLLOW);
}

SYSCALL_DEFINE(fchownat)
{
    if ((e & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    return chown_path((int)a, b, (uint32_t)c, (uint32_t)d, (uint32_t)e);
}

SYSCALL_DEFINE(fchown)
{
    struct target t;
    int64_t rc = target_fd(&t, (int)a, false);

    if (rc == 0)
        rc = set_owner(&t, (uint32_t)b, (uint32_t)c);
    target_done(&t);
    return rc;
}

/* ---- times ---- */

static int time_decode(const struct __kernel_timespec *t, struct timespec64 now,
                       struct timespec64 *ret, bool *ret_omit)
{
    *ret_omit = t->tv_nsec == UTIME_OMIT;
    if (t->tv_nsec == UTIME_NOW || *ret_omit) {
        *ret = now;
        return 0;
    }
    if (t->tv_nsec < 0 || t->tv_nsec >= 1000000000)
        return -EINVAL;
    *ret = (struct timespec64){ t->tv_sec, (uint32_t)t->tv_nsec };
    return 0;
}

/* times NULL: both now, which whoever may write may do. */
static int64_t set_times(struct target *t, const struct __kernel_timespec *times)
{
    struct inode *inode = t->inode;
    uint64_t ns = clock_realtime_ns();
    struct timespec64 now = { (int64_t)(ns / 1000000000), (uint32_t)(ns % 1000000000) };
    struct inode_attr attr = { .atime = now, .mtime = now };
    bool omit_atime = false, omit_mtime = false;
    bool both_now = !times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);
    int rc = 0;

    if (times) {
        rc = time_decode(&times[0], now, &attr.atime, &omit_atime);
        if (rc == 0)
            rc = time_decode(&times[1], now, &attr.mtime, &omit_mtime);
        if (rc < 0)
            return rc;
        if (omit_atime && omit_mtime)
            return 0;
    }
    if (!permission_is_owner(inode, process_cred())) {
        if (!both_now)
            return -EPERM;
        rc = inode_permission(inode, 2);
        if (rc < 0)
            return rc;
    }
    return change(t, &attr, (omit_atime ? 0 : ATTR_ATIME) | (omit_mtime ? 0 : ATTR_MTIME));
}

static int64_t utimes_path(int dirfd, uintptr_t addr, const struct __kernel_timespec *times,
                           uint32_t flags)
{
    struct target t;
    int64_t rc = target_path(&t, dirfd, addr, flags);

    if (rc == 0)
        rc = set_times(&t, times);
    target_done(&t);
    return rc;
}

SYSCALL_DEFINE(utimensat)
{
    struct __kernel_timespec times[2];
    struct target t;
    int64_t rc;

    if (c != 0 && USER_GET(&times, c) < 0)
        return -EFAULT;
    if ((d & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    if (b != 0)
        return utimes_path((int)a, b, c ? times : NULL, (uint32_t)d);
    if (d != 0)
        return -EINVAL;
    rc = target_fd(&t, (int)a, false);
    if (rc == 0)
        rc = set_times(&t, c ? times : NULL);
    target_done(&t);
    return rc;
}

/* Pairs of (seconds, microseconds). */
static int64_t utimes_us(int dirfd, uintptr_t path, uintptr_t addr)
{
    struct __kernel_timespec times[2];
    int64_t us[4];

    if (addr == 0)
        return utimes_path(dirfd, path, NULL, 0);
    if (USER_GET(&us, addr) < 0)
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        if (us[2 * i + 1] < 0 || us[2 * i + 1] >= 1000000)
            return -EINVAL;
        times[i].tv_sec = us[2 * i];
        times[i].tv_nsec = us[2 * i + 1] * 1000;
    }
    return utimes_path(dirfd, path, times, 0);
}

SYSCALL_DEFINE(utimes)
{
    return utimes_us(AT_FDCWD, a, b);
}

SYSCALL_DEFINE(futimesat)
{
    return utimes_us((int)a, b, c);
}

SYSCALL_DEFINE(utime)
{
    struct __kernel_timespec times[2] = { { 0 } };
    int64_t seconds[2];

    if (b == 0)
        return utimes_path(AT_FDCWD, a, NULL, 0);
    if (USER_GET(&seconds, b) < 0)
        return -EFAULT;
    times[0].tv_sec = seconds[0];
    times[1].tv_sec = seconds[1];
    return utimes_path(AT_FDCWD, a, times, 0);
}

/* ---- extended attributes ---- */

/* Name and a buffer for value or list. */
struct xattr_call {
    char name[XATTR_NAME_MAX + 1];
    void *buffer;
    size_t size;
};

static int64_t xattr_name(struct xattr_call *x, uintptr_t addr)
{
    int64_t rc = user_str_in(x->name, addr, sizeof x->name);

    if (rc == -ENAMETOOLONG || rc == 0)
        return -ERANGE;
    return rc;
}

static int xattr_buffer(struct xattr_call *x, size_t size, size_t size_max)
{
    x->size = MIN(size, size_max);
    x->buffer = x->size ? mem_alloc(x->size) : NULL;
    return x->size && !x->buffer ? -ENOMEM : 0;
}

/* user.* needs the file's own permission, trusted.* CAP_SYS_ADMIN. */
static int xattr_permission(struct inode *inode, const char *name, uint32_t mask)
{
    const struct cred *cred = process_cred();
    int rc = (mask & 2) != 0 ? inode_check_writable(inode) : 0;

    if (rc < 0)
        return rc;
    if (strcmp(name, XATTR_USER_PREFIX) == 0 || strcmp(name, XATTR_TRUSTED_PREFIX) == 0 ||
        strcmp(name, XATTR_SECURITY_PREFIX) == 0)
        return -EINVAL;
    if (strncmp(name, XATTR_TRUSTED_PREFIX, XATTR_TRUSTED_PREFIX_LEN) == 0)
        return cred_has_cap(cred, CAP_SYS_ADMIN) ? 0 : (mask & 2) != 0 ? -EPERM : -ENODATA;
    if (strncmp(name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) == 0)
        return (mask & 2) == 0 || cred_has_cap(cred, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0 && !S_ISREG(inode->mode) &&
        !S_ISDIR(inode->mode))
        return (mask & 2) != 0 ? -EPERM : -ENODATA;
    return inode_permission(inode, mask);
}

static int64_t xattr_set(struct target *t, uintptr_t name, uintptr_t value, size_t size, int flags)
{
    struct xattr_call x;
    int64_t rc;

    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0)
        return -EINVAL;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    rc = xattr_name(&x, name);
    if (rc < 0)
        return rc;
    rc = xattr_permission(t->inode, x.name, 2);
    if (rc == 0 && !t->inode->ops->set_xattr)
        rc = -EOPNOTSUPP;
    if (rc == 0)
        rc = xattr_buffer(&x, size, XATTR_SIZE_MAX);
    if (rc < 0)
        return rc;
    if (size > 0 && user_copy_in(x.buffer, value, size) < 0)
        rc = -EFAULT;
    else
        rc = t->inode->ops->set_xattr(t->inode, x.name, x.buffer, size, flags);
    mem_free(x.buffer);
    if (rc == 0)
        target_notify(t, IN_ATTRIB);
    return rc;
}

static int64_t xattr_get(struct target *t, uintptr_t name, uintptr_t value, size_t size)
{
    struct xattr_call x;
    int64_t rc = xattr_name(&x, name);

    if (rc < 0)
        return rc;
    rc = xattr_permission(t->inode, x.name, 4);
    if (rc == 0 && !t->inode->ops->get_xattr)
        rc = -EOPNOTSUPP;
    if (rc == 0)
        rc = xattr_buffer(&x, size, XATTR_SIZE_MAX);
    if (rc < 0)
        return rc;
    rc = t->inode->ops->get_xattr(t->inode, x.name, x.buffer, x.size);
    if (rc > 0 && x.size > 0 && user_copy_out(value, x.buffer, (size_t)rc) < 0)
        rc = -EFAULT;
    mem_free(x.buffer);
    return rc;
}

static int64_t xattr_list(struct target *t, uintptr_t addr, size_t size)
{
    struct xattr_call x;
    int64_t rc;

    if (!t->inode->ops->list_xattr)
        return 0;
    rc = xattr_buffer(&x, size, XATTR_LIST_MAX);
    if (rc < 0)
        return rc;
    rc = t->inode->ops->list_xattr(t->inode, x.buffer, x.size);
    if (rc > 0 && x.size > 0 && user_copy_out(addr, x.buffer, (size_t)rc) < 0)
        rc = -EFAULT;
    mem_free(x.buffer);
    return rc;
}

static int64_t xattr_remove(struct target *t, uintptr_t name)
{
    struct xattr_call x;
    int64_t rc = xattr_name(&x, name);

    if (rc < 0)
        return rc;
    rc = xattr_permission(t->inode, x.name, 2);
    if (rc == 0)
        rc = t->inode->ops->remove_xattr ? t->inode->ops->remove_xattr(t->inode, x.name)
                                         : -EOPNOTSUPP;
    if (rc == 0)
        target_notify(t, IN_ATTRIB);
    return rc;
}

/* The three spellings of each call: path, path without following, descriptor. */
#define XATTR_CALLS(verb, ...)                                                                     \
    SYSCALL_DEFINE(verb##xattr)                                                                    \
    {                                                                                              \
        struct target t;                                                                           \
        int64_t rc = target_path(&t, AT_FDCWD, a, 0);                                              \
                                                                                                   \
        if (rc == 0)                                                                               \
            rc = xattr_##verb(&t, __VA_ARGS__);                                                    \
        target_done(&t);                                                                           \
        return rc;                                                                                 \
    }                                                                                              \
    SYSCALL_DEFINE(l##verb##xattr)                                                                 \
    {                                                                                              \
        struct target t;                                                                           \
        int64_t rc = target_path(&t, AT_FDCWD, a, AT_SYMLINK_NOFOLLOW);                            \
                                                                                                   \
        if (rc == 0)                                                                               \
            rc = xattr_##verb(&t, __VA_ARGS__);                                                    \
        target_done(&t);                                                                           \
        return rc;                                                                                 \
    }                                                                                              \
    SYSCALL_DEFINE(f##verb##xattr)                                                                 \
    {                                                                                              \
        struct target t;                                                                           \
        int64_t rc = target_fd(&t, (int)a, false);                                                 \
                                                                                                   \
        if (rc == 0)                                                                               \
            rc = xattr_##verb(&t, __VA_ARGS__);                                                    \
        target_done(&t);                                                                           \
        return rc;                                                                                 \
    }

XATTR_CALLS(set, b, c, d, (int)e)
XATTR_CALLS(get, b, c, d)
XATTR_CALLS(list, b, c)
XATTR_CALLS(remove, b)
