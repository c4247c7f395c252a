/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl, flock and the part of ioctl that every file has. Trusted. */
#include "tee/enclave/clock.h"
#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/tmpfs/tmpfs.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#define SIGNALS 64u
#define LOCK_OUTSIDE_PERIOD_NS 20000000u
#define SETFL_FLAGS ((uint32_t)(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME))

#ifndef LOCK_SH
#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8
#endif

/* ---- locks ---- */

static int lock_range(struct file *f, const struct flock *user, struct flock_request *ret)
{
    struct inode_attr attr;
    int64_t base = 0, start, last;

    if (user->l_type != F_RDLCK && user->l_type != F_WRLCK && user->l_type != F_UNLCK)
        return -EINVAL;
    if (user->l_whence == SEEK_CUR) {
        base = (int64_t)f->pos;
    } else if (user->l_whence == SEEK_END) {
        int rc = file_get_attr(f, &attr);

        if (rc < 0)
            return rc;
        base = (int64_t)attr.size;
    } else if (user->l_whence != SEEK_SET) {
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, user->l_start, &start))
        return -EOVERFLOW;
    last = INT64_MAX;
    if (user->l_len > 0 && __builtin_add_overflow(start, user->l_len - 1, &last))
        return -EOVERFLOW;
    if (user->l_len < 0) {
        last = start - 1;
        start += user->l_len;
    }
    if (start < 0)
        return -EINVAL;
    ret->type = user->l_type;
    ret->start = (uint64_t)start;
    ret->end = (uint64_t)last;
    return 0;
}

static int64_t lock_get(struct file *f, uintptr_t addr, struct flock *user, struct flock_request *r)
{
    struct flock_request found;

    if (r->type == F_UNLCK)
        return -EINVAL;
    lock_test(f->inode, r, &found);
    user->l_type = (short)found.type;
    if (found.type != F_UNLCK) {
        user->l_whence = SEEK_SET;
        user->l_start = (int64_t)found.start;
        user->l_len = found.end == INT64_MAX ? 0 : (int64_t)(found.end - found.start + 1);
        user->l_pid = found.pid;
    }
    return USER_PUT(addr, user);
}

static int64_t lock_control(struct file *f, int command, uintptr_t addr)
{
    bool ofd = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    struct flock_request r = { .owner = ofd ? (const void *)f : fd_table_current(),
                               .pid = ofd ? -1 : process_current()->pid };
    struct flock user;
    int rc;

    if (USER_GET(&user, addr) < 0)
        return -EFAULT;
    if (!f->inode)
        return -EBADF;
    if (ofd && user.l_pid != 0)
        return -EINVAL;
    rc = lock_range(f, &user, &r);
    if (rc < 0)
        return rc;
    if (command == F_GETLK || command == F_OFD_GETLK)
        return lock_get(f, addr, &user, &r);
    if ((r.type == F_RDLCK && !file_can_read(f)) || (r.type == F_WRLCK && !file_can_write(f)))
        return -EBADF;
    if (ofd)
        f->has_locks = true;
    return lock_set(f->inode, &r, command == F_SETLKW || command == F_OFD_SETLKW);
}

/* Outside nobody tells when a lock is free: it is asked for again. */
static int lock_outside(struct file *f, const struct flock_request *r, bool wait)
{
    int rc = f->ops->lock_outside(f, r->type);

    while (rc == -EAGAIN && wait) {
        rc = wait_sleep(NULL, 0, clock_monotonic_ns() + LOCK_OUTSIDE_PERIOD_NS, true);
        if (rc == 0 || rc == -ETIMEDOUT)
            rc = f->ops->lock_outside(f, r->type);
    }
    return rc;
}

static int lock_whole(struct file *f, struct flock_request *r, bool wait)
{
    bool is_outside = f->ops->lock_outside != NULL;
    int rc, undone;

    if (is_outside && r->type == F_UNLCK) {
        rc = lock_outside(f, r, false);
        if (rc < 0)
            return rc;
    }
    rc = lock_set(f->inode, r, wait);
    if (rc < 0 || !is_outside || r->type == F_UNLCK)
        return rc;
    rc = lock_outside(f, r, wait);
    if (rc < 0) { /* as Linux when it changes a lock: the old one may be lost */
        r->type = F_UNLCK;
        undone = lock_set(f->inode, r, false);
        if (undone < 0)
            rc = undone;
    }
    return rc;
}

SYSCALL_DEFINE(flock)
{
    struct flock_request r = { .end = INT64_MAX, .is_flock = true };
    struct fd_ref ref;
    int64_t rc;

    switch ((int)b & ~LOCK_NB) {
    case LOCK_SH:
        r.type = F_RDLCK;
        break;
    case LOCK_EX:
        r.type = F_WRLCK;
        break;
    case LOCK_UN:
        r.type = F_UNLCK;
        break;
    default:
        return -EINVAL;
    }
    if (!fd_borrow((int)a, &ref))
        return -EBADF;
    r.owner = ref.file;
    if ((ref.file->flags & O_PATH) != 0 || !ref.file->inode) {
        rc = -EBADF;
    } else {
        ref.file->has_locks = true;
        rc = lock_whole(ref.file, &r, ((int)b & LOCK_NB) == 0);
    }
    fd_ref_done(&ref);
    return rc;
}

/* ---- fcntl ---- */

static int64_t dup_from(int fd, uint64_t from, bool cloexec)
{
    struct file *f = fd_get(fd);
    int64_t rc;

    if (!f)
        return -EBADF;
    rc = from > INT32_MAX ? -EINVAL : fd_install(f, cloexec, (int)from);
    if (rc < 0)
        file_unref(f);
    return rc;
}

static int set_async(int fd, struct file *f, bool on)
{
    int32_t kind, group = 0;
    int rc = 0;

    if (on && f->ops->sigio_group && !file_owner_get(f, &kind)) {
        group = f->ops->sigio_group(f);
        rc = group ? file_owner_set(f, F_OWNER_PGRP, group)
                   : file_owner_set(f, F_OWNER_PID, process_current()->pid);
    }
    return rc < 0 ? rc : file_async_set(f, fd, on);
}

static int64_t set_flags(int fd, struct file *f, uint32_t flags)
{
    if ((flags & O_NOATIME & ~f->flags) != 0 && f->inode &&
        !permission_is_owner(f->inode, process_cred()))
        return -EPERM;
    if (((flags ^ f->flags) & FASYNC) && f->ops->sends_sigio) {
        int rc = set_async(fd, f, (flags & FASYNC) != 0);

        if (rc < 0)
            return rc;
    }
    __atomic_store_n(&f->flags, (f->flags & ~SETFL_FLAGS) | (flags & SETFL_FLAGS),
                     __ATOMIC_RELAXED);
    return 0;
}

static int64_t control(int fd, struct file *f, int command, uint64_t arg)
{
    struct f_owner_ex owner;

    switch (command) {
    case F_GETFD:
        return fd_get_cloexec(fd);
    case F_SETFD:
        return fd_set_cloexec(fd, (arg & FD_CLOEXEC) != 0);
    case F_GETFL:
        return f->flags;
    case F_SETFL:
        return set_flags(fd, f, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return lock_control(f, command, arg);
    case F_GETOWN:
        return file_plain_owner_get(f);
    case F_SETOWN:
        return file_plain_owner_set(f, (int32_t)arg);
    case F_GETOWN_EX:
        owner.pid = file_owner_get(f, &owner.type);
        return USER_PUT(arg, &owner);
    case F_SETOWN_EX:
        if (USER_GET(&owner, arg) < 0)
            return -EFAULT;
        if (owner.type < F_OWNER_TID || owner.type > F_OWNER_PGRP || owner.pid < 0)
            return -EINVAL;
        return file_owner_set(f, owner.type, owner.pid);
    case F_GETSIG:
        return file_signal_get(f);
    case F_SETSIG:
        return arg <= SIGNALS ? file_signal_set(f, (int)arg) : -EINVAL;
    case F_GETPIPE_SZ:
        return pipe_get_size(f);
    case F_SETPIPE_SZ:
        return pipe_set_size(f, arg);
    case F_GET_SEALS:
        return f->inode ? tmpfs_seals_get(f->inode) : -EINVAL;
    case F_ADD_SEALS:
        if (!file_can_write(f))
            return -EPERM;
        return f->inode ? tmpfs_seals_add(f->inode, (uint32_t)arg) : -EINVAL;
    case F_GETLEASE:
        return F_UNLCK;
    case F_NOTIFY: /* as a kernel without it */
        return f->inode && S_ISDIR(f->inode->mode) ? -EINVAL : -ENOTDIR;
    case F_SETLEASE: /* as a file system without leases */
        return -EINVAL;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE(fcntl)
{
    struct fd_ref r;
    int command = (int)b;
    int64_t rc;

    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        return dup_from((int)a, c, command == F_DUPFD_CLOEXEC);
    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if ((r.file->flags & O_PATH) != 0 && command != F_GETFD && command != F_SETFD &&
        command != F_GETFL)
        rc = -EBADF;
    else
        rc = control((int)a, r.file, command, c);
    fd_ref_done(&r);
    return rc;
}

/* ---- ioctl ---- */

static int64_t set_flag_ioctl(int fd, struct file *f, uintptr_t arg, uint32_t flag)
{
    int on;

    if (USER_GET(&on, arg) < 0)
        return -EFAULT;
    if (flag == FASYNC && !f->ops->sends_sigio)
        return !on == !(f->flags & FASYNC) ? 0 : -ENOTTY;
    return set_flags(fd, f, on ? f->flags | flag : f->flags & ~flag);
}

/* Bytes left to read in a regular file. */
static int64_t regular_left(struct file *f, uintptr_t arg)
{
    struct inode_attr attr;
    int rc = file_get_attr(f, &attr), left;

    if (rc < 0)
        return rc;
    left = attr.size > f->pos ? (int)MIN(attr.size - f->pos, INT32_MAX) : 0;
    return USER_PUT(arg, &left);
}

static int64_t file_ioctl(int fd, struct file *f, uint32_t request, uintptr_t arg)
{
    int block_size = PAGE_SIZE;

    switch (request) {
    case FIOCLEX:
        return fd_set_cloexec(fd, true);
    case FIONCLEX:
        return fd_set_cloexec(fd, false);
    case FIONBIO:
        return set_flag_ioctl(fd, f, arg, O_NONBLOCK);
    case FIOASYNC:
        return set_flag_ioctl(fd, f, arg, FASYNC);
    }
    if (f->inode && S_ISREG(f->inode->mode)) {
        if (request == FIONREAD)
            return regular_left(f, arg);
        if (request == FIGETBSZ)
            return USER_PUT(arg, &block_size);
        if (request == FICLONE || request == FICLONERANGE)
            return -EOPNOTSUPP;
    }
    return f->ops->ioctl ? f->ops->ioctl(f, request, arg) : -ENOTTY;
}

SYSCALL_DEFINE(ioctl)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    rc = (r.file->flags & O_PATH) != 0 ? -EBADF : file_ioctl((int)a, r.file, (uint32_t)b, c);
    fd_ref_done(&r);
    return rc;
}
