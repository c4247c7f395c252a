/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that look: stat, statx, statfs, access, getdents. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h> /* struct statx */

/* ---- stat ---- */

static int stat_put(const struct inode_attr *a, uintptr_t addr)
{
    struct stat s = {
        .st_dev = a->dev,
        .st_ino = a->ino,
        .st_nlink = a->nlink,
        .st_mode = a->mode,
        .st_uid = a->uid,
        .st_gid = a->gid,
        .st_rdev = a->rdev,
        .st_size = (long)a->size,
        .st_blksize = a->blksize,
        .st_blocks = (long)a->blocks,
        .st_atime = (unsigned long)a->atime.sec,
        .st_atime_nsec = a->atime.nsec,
        .st_mtime = (unsigned long)a->mtime.sec,
        .st_mtime_nsec = a->mtime.nsec,
        .st_ctime = (unsigned long)a->ctime.sec,
        .st_ctime_nsec = a->ctime.nsec,
    };

    return USER_PUT(addr, &s);
}

static int fd_attr(int fd, struct inode_attr *ret)
{
    struct fd_ref r;
    int rc;

    if (UNLIKELY(!fd_borrow(fd, &r)))
        return -EBADF;
    rc = file_get_attr(r.file, ret);
    fd_ref_done(&r);
    return rc;
}

/* Attributes of what (dirfd, path, AT_* flags) names. */
static int path_attr(int dirfd, uintptr_t path_addr, uint32_t flags, struct inode_attr *ret)
{
    struct user_path path;
    struct lookup l = { .dirfd = dirfd,
                        .flags = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW };
    int64_t rc;

    user_path_init(&path);
    if (path_addr == 0 && (flags & AT_EMPTY_PATH) != 0) {
        path.str[0] = 0;
        rc = 0;
    } else {
        rc = user_path_get(&path, path_addr);
    }
    if (rc == 0 && (flags & AT_EMPTY_PATH) != 0 && dirfd != AT_FDCWD) {
        rc = fd_attr(dirfd, ret);
    } else if (rc >= 0) {
        l.path = path.str;
        if ((flags & AT_EMPTY_PATH) != 0)
            l.flags |= LOOKUP_EMPTY;
        rc = lookup_run(&l);
        if (rc == 0)
            rc = inode_get_attr(l.dentry->inode, ret);
        lookup_done(&l);
    }
    user_path_done(&path);
    return (int)rc;
}

static int64_t stat_path(int dirfd, uintptr_t path, uintptr_t addr, uint32_t flags)
{
    struct inode_attr attr;
    int rc = path_attr(dirfd, path, flags, &attr);

    return rc < 0 ? rc : stat_put(&attr, addr);
}

/* How the C library spells fstat: an empty path and AT_EMPTY_PATH. */
static bool names_fd(int dirfd, uintptr_t path, uint32_t flags)
{
    char first;

    if (dirfd == AT_FDCWD || (flags & AT_EMPTY_PATH) == 0)
        return false;
    return path == 0 || (user_copy_in(&first, path, 1) == 0 && first == 0);
}

static int64_t stat_fd(int fd, uintptr_t addr)
{
    struct inode_attr attr;
    int rc = fd_attr(fd, &attr);

    return rc < 0 ? rc : stat_put(&attr, addr);
}

SYSCALL_DEFINE(stat)
{
    return stat_path(AT_FDCWD, a, b, 0);
}

SYSCALL_DEFINE(lstat)
{
    return stat_path(AT_FDCWD, a, b, AT_SYMLINK_NOFOLLOW);
}

SYSCALL_DEFINE(newfstatat)
{
    if ((d & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) != 0)
        return -EINVAL;
    if (names_fd((int)a, b, (uint32_t)d))
        return stat_fd((int)a, c);
    return stat_path((int)a, b, c, (uint32_t)d);
}

SYSCALL_DEFINE(fstat)
{
    return stat_fd((int)a, b);
}

static struct statx_timestamp statx_time(struct timespec64 t)
{
    return (struct statx_timestamp){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

static uint32_t dev_major(uint64_t dev)
{
    return (uint32_t)(dev >> 8 & 0xfff);
}

static uint32_t dev_minor(uint64_t dev)
{
    return (uint32_t)((dev & 0xff) | (dev >> 12 & 0xfff00));
}

SYSCALL_DEFINE(statx)
{
    struct inode_attr i;
    struct statx x = { 0 };
    int rc;

    if ((c & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT |
                         AT_STATX_SYNC_TYPE)) != 0 ||
        (d & STATX__RESERVED) != 0 || (c & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    rc = path_attr((int)a, b, (uint32_t)c, &i);
    if (rc < 0)
        return rc;
    x.stx_mask = STATX_BASIC_STATS | (i.btime.sec != 0 ? STATX_BTIME : 0);
    x.stx_blksize = i.blksize;
    x.stx_nlink = i.nlink;
    x.stx_uid = i.uid;
    x.stx_gid = i.gid;
    x.stx_mode = (uint16_t)i.mode;
    x.stx_ino = i.ino;
    x.stx_size = i.size;
    x.stx_blocks = i.blocks;
    x.stx_atime = statx_time(i.atime);
    x.stx_btime = statx_time(i.btime);
    x.stx_ctime = statx_time(i.ctime);
    x.stx_mtime = statx_time(i.mtime);
    x.stx_rdev_major = dev_major(i.rdev);
    x.stx_rdev_minor = dev_minor(i.rdev);
    x.stx_dev_major = dev_major(i.dev);
    x.stx_dev_minor = dev_minor(i.dev);
    return USER_PUT(e, &x);
}

/* ---- statfs ---- */

static int64_t statfs_put(struct super *s, uintptr_t addr)
{
    struct statfs out = { .f_bsize = PAGE_SIZE, .f_frsize = PAGE_SIZE, .f_namelen = NAME_SIZE_MAX };
    uint64_t blocks = 0, room = 0, files = 0;
    int rc;

    if (s) {
        out.f_type = s->magic;
        out.f_flags = s->flags | 0x20 /* ST_VALID */;
        out.f_fsid.val[0] = (int)s->dev;
        rc = s->stat ? s->stat(s, &blocks, &room, &files) : 0;
        if (rc < 0)
            return rc;
    }
    out.f_blocks = (long)blocks;
    out.f_bfree = out.f_bavail = (long)room;
    out.f_files = (long)files;
    out.f_ffree = (long)room;
    return USER_PUT(addr, &out);
}

SYSCALL_DEFINE(statfs)
{
    struct user_path path;
    struct dentry *dentry;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, a);
    if (rc >= 0)
        rc = path_lookup(AT_FDCWD, path.str, LOOKUP_FOLLOW, &dentry);
    if (rc >= 0) {
        rc = statfs_put(dentry->inode->super, b);
        dentry_unref(dentry);
    }
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(fstatfs)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    rc = statfs_put(r.file->inode ? r.file->inode->super : NULL, b);
    fd_ref_done(&r);
    return rc;
}

/* ---- access: asks for the real user unless AT_EACCESS ---- */

static int access_check(struct inode *inode, uint32_t mode, bool effective)
{
    const struct cred *cred = process_cred();
    struct cred *real;
    int rc = 0;

    if (mode == 0)
        return 0;
    if ((mode & 2) != 0 && (S_ISREG(inode->mode) || S_ISDIR(inode->mode)) &&
        inode_check_writable(inode) < 0)
        return -EROFS;
    if (effective || (cred->ruid == cred->fsuid && cred->rgid == cred->fsgid))
        return permission_granted(inode, cred, mode) ? 0 : -EACCES;
    real = mem_alloc(sizeof *real);
    if (!real)
        return -ENOMEM;
    *real = *cred;
    real->fsuid = cred->ruid;
    real->fsgid = cred->rgid;
    real->cap_effective = cred->ruid == 0 ? cred->cap_permitted : 0;
    if (!permission_granted(inode, real, mode))
        rc = -EACCES;
    mem_free(real);
    return rc;
}

static int64_t access_path(int dirfd, uintptr_t addr, uint32_t mode, uint32_t flags)
{
    struct user_path path;
    struct lookup l = { .dirfd = dirfd,
                        .flags = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW };
    int64_t rc;

    if ((mode & ~7u) != 0 ||
        (flags & ~(uint32_t)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
        return -EINVAL;
    user_path_init(&path);
    rc = user_path_get(&path, addr);
    if (rc >= 0) {
        l.path = path.str;
        if ((flags & AT_EMPTY_PATH) != 0)
            l.flags |= LOOKUP_EMPTY;
        rc = lookup_run(&l);
        if (rc == 0)
            rc = access_check(l.dentry->inode, mode, (flags & AT_EACCESS) != 0);
        lookup_done(&l);
    }
    user_path_done(&path);
    return rc;
}

SYSCALL_DEFINE(access)
{
    return access_path(AT_FDCWD, a, (uint32_t)b, 0);
}

SYSCALL_DEFINE(faccessat)
{
    return access_path((int)a, b, (uint32_t)c, 0);
}

SYSCALL_DEFINE(faccessat2)
{
    return access_path((int)a, b, (uint32_t)c, (uint32_t)d);
}

/* ---- getdents ---- */

#define BATCH_SIZE 1024u

struct dirent64_head {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
} PACKED;

struct dirent_old_head {
    uint64_t ino, off;
    uint16_t size;
} PACKED;

struct fill {
    uintptr_t at, end; /* program's buffer; at: where the batch will go */
    uint64_t pos;      /* of the file, behind what was taken */
    bool old;
    int rc;
    size_t used; /* bytes of the batch */
    uint8_t batch[BATCH_SIZE];
};

static bool fill_flush(struct fill *f)
{
    if (user_copy_out(f->at, f->batch, f->used) < 0) {
        f->rc = -EFAULT;
        return false;
    }
    f->at += f->used;
    f->used = 0;
    return true;
}

static bool fill_entry(void *arg, const char *name, size_t name_size, uint64_t ino, uint8_t d_type,
                       uint64_t next_pos)
{
    struct fill *f = arg;
    size_t head = f->old ? sizeof(struct dirent_old_head) : sizeof(struct dirent64_head);
    size_t size = ALIGN_UP(head + name_size + (f->old ? 2 : 1), 8);
    uint8_t *to;

    if (size > f->end - f->at - f->used) {
        if (f->used == 0 && f->rc == 0)
            f->rc = -EINVAL; /* not even one fits; undone when something was given before */
        return false;
    }
    if (size > BATCH_SIZE - f->used && !fill_flush(f))
        return false;
    to = f->batch + f->used;
    memset(to + size - 8, 0, 8);
    if (f->old) {
        struct dirent_old_head h = { ino, next_pos, (uint16_t)size };

        memcpy(to, &h, sizeof h);
        to[size - 1] = d_type;
    } else {
        struct dirent64_head h = { ino, (int64_t)next_pos, (uint16_t)size, d_type };

        memcpy(to, &h, sizeof h);
    }
    memcpy(to + head, name, name_size);
    to[head + name_size] = 0;
    f->used += size;
    f->pos = next_pos;
    return true;
}

static int64_t list(int fd, uintptr_t addr, uint64_t size, bool old)
{
    struct fill f = { .at = addr, .old = old };
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow(fd, &r))
        return -EBADF;
    f.end = addr + MIN(size, INT32_MAX);
    if ((r.file->flags & O_PATH) != 0) {
        rc = -EBADF;
    } else if (!r.file->ops->readdir) {
        rc = -ENOTDIR;
    } else if (f.end < addr) {
        rc = -EFAULT;
    } else {
        uint64_t pos;

        mutex_lock(&r.file->lock);
        pos = f.pos = r.file->pos;
        rc = r.file->ops->readdir(r.file, &pos, fill_entry, &f);
        if (rc >= 0)
            notify_file(r.file, IN_ACCESS);
        if (f.used > 0 && f.rc != -EFAULT)
            fill_flush(&f);
        if (f.rc == -EFAULT)
            rc = -EFAULT;
        else if (f.at > addr)
            rc = (int64_t)(f.at - addr);
        else if (rc == 0)
            rc = f.rc;
        if (rc >= 0)
            r.file->pos = f.pos;
        mutex_unlock(&r.file->lock);
    }
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(getdents64)
{
    return list((int)a, b, (uint32_t)c, false);
}

SYSCALL_DEFINE(getdents)
{
    return list((int)a, b, (uint32_t)c, true);
}
