/* SPDX-License-Identifier: Apache-2.0 */
/* System calls on descriptors: open, close, dup, memfd_create. Trusted. */
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/syscall/syscall.h"

#include <linux/errno.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/openat2.h>

#define OPEN_FLAGS                                                                                 \
    ((uint32_t)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |        \
                O_DSYNC | O_SYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | \
                O_CLOEXEC | O_PATH | O_TMPFILE | FASYNC))
#define PATH_FLAGS ((uint32_t)(O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW))
#define MEMFD_NAME_MAX 249u
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u
#define MFD_EXEC 0x10u
#endif
#define MEMFD_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)

static int64_t open_at(int dirfd, uintptr_t path_addr, const struct vfs_open *how)
{
    struct user_path path;
    struct file *f;
    int64_t rc;

    user_path_init(&path);
    rc = user_path_get(&path, path_addr);
    if (rc >= 0)
        rc = vfs_open(dirfd, path.str, how, &f);
    user_path_done(&path);
    if (rc < 0)
        return rc;
    rc = fd_install(f, (how->flags & O_CLOEXEC) != 0, 0);
    if (rc < 0)
        file_unref(f);
    return rc;
}

/* Flags that open(2) does not know are ignored there. */
static int64_t open_plain(int dirfd, uintptr_t path, uint32_t flags, uint32_t mode)
{
    struct vfs_open how = { .flags = flags & OPEN_FLAGS, .mode = mode & MODE_PERMISSIONS };

    if ((how.flags & O_PATH) != 0)
        how.flags &= PATH_FLAGS;
    else if ((how.flags & (O_TMPFILE & ~O_DIRECTORY)) != 0 && (how.flags & O_DIRECTORY) == 0)
        return -EINVAL;
    return open_at(dirfd, path, &how);
}

SYSCALL_DEFINE(open)
{
    return open_plain(AT_FDCWD, a, (uint32_t)b, (uint32_t)c);
}

SYSCALL_DEFINE(openat)
{
    return open_plain((int)a, b, (uint32_t)c, (uint32_t)d);
}

SYSCALL_DEFINE(creat)
{
    return open_plain(AT_FDCWD, a, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)b);
}

static int open_how_decode(const struct open_how *how, struct vfs_open *ret)
{
    static const struct {
        uint64_t resolve;
        uint32_t lookup;
    } flags[] = {
        { RESOLVE_NO_XDEV, LOOKUP_NO_XDEV },         { RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGIC },
        { RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS }, { RESOLVE_BENEATH, LOOKUP_BENEATH },
        { RESOLVE_IN_ROOT, LOOKUP_IN_ROOT },
    };
    uint64_t known = RESOLVE_CACHED;

    ret->flags = (uint32_t)how->flags;
    ret->mode = (uint32_t)how->mode;
    ret->lookup_flags = 0;
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        known |= flags[i].resolve;
        if ((how->resolve & flags[i].resolve) != 0)
            ret->lookup_flags |= flags[i].lookup;
    }
    if ((how->flags & ~(uint64_t)OPEN_FLAGS) != 0 || (how->resolve & ~known) != 0 ||
        (how->mode & ~(uint64_t)MODE_PERMISSIONS) != 0)
        return -EINVAL;
    if ((how->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
        return -EINVAL;
    if (how->mode != 0 && (how->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) == 0)
        return -EINVAL;
    if ((how->flags & O_PATH) != 0 && (how->flags & ~(uint64_t)PATH_FLAGS) != 0)
        return -EINVAL;
    if ((how->resolve & RESOLVE_CACHED) != 0)
        return -EAGAIN;
    return 0;
}

SYSCALL_DEFINE(openat2)
{
    struct open_how how;
    struct vfs_open open;
    uint8_t more[64];
    int rc;

    if (d < sizeof how)
        return -EINVAL;
    if (d > sizeof how + sizeof more)
        return -E2BIG;
    if (user_copy_in(&how, c, sizeof how) < 0 ||
        user_copy_in(more, c + sizeof how, d - sizeof how) < 0)
        return -EFAULT;
    for (size_t i = 0; i < d - sizeof how; i++)
        if (more[i] != 0)
            return -E2BIG;
    rc = open_how_decode(&how, &open);
    return rc < 0 ? rc : open_at((int)a, b, &open);
}

SYSCALL_DEFINE(close)
{
    return fd_close((int)a);
}

struct range_arg {
    unsigned first, last;
    bool cloexec_only;
};

static int range_one(int fd, struct file *file UNUSED, bool cloexec UNUSED, void *arg)
{
    const struct range_arg *r = arg;

    if ((unsigned)fd < r->first || (unsigned)fd > r->last)
        return 0;
    /* The walk skips what another thread closed first. */
    if (r->cloexec_only)
        (void)!fd_set_cloexec(fd, true);
    else
        (void)!fd_close(fd);
    return 0;
}

SYSCALL_DEFINE(close_range)
{
    struct range_arg r = { (unsigned)a, (unsigned)b, (c & CLOSE_RANGE_CLOEXEC) != 0 };
    int rc;

    if (r.first > r.last || (c & ~(uint64_t)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0)
        return -EINVAL;
    if ((c & CLOSE_RANGE_UNSHARE) != 0) {
        rc = fd_table_unshare();
        if (rc < 0)
            return rc;
    }
    return fd_table_each(fd_table_current(), range_one, &r);
}

SYSCALL_DEFINE(dup)
{
    struct file *file = fd_get((int)a);
    int64_t rc;

    if (!file)
        return -EBADF;
    rc = fd_install(file, false, 0);
    if (rc < 0)
        file_unref(file);
    return rc;
}

static int64_t dup_to(int from, int to, bool cloexec)
{
    struct file *file = fd_get(from);
    int64_t rc;

    if (!file)
        return -EBADF;
    rc = fd_install_at(file, cloexec, to);
    if (rc < 0)
        file_unref(file);
    return rc;
}

SYSCALL_DEFINE(dup2)
{
    if ((int)a == (int)b) {
        int rc = fd_get_cloexec((int)a);

        return rc < 0 ? rc : (int)b;
    }
    return dup_to((int)a, (int)b, false);
}

SYSCALL_DEFINE(dup3)
{
    if ((int)a == (int)b || (c & ~(uint64_t)O_CLOEXEC) != 0)
        return -EINVAL;
    return dup_to((int)a, (int)b, (c & O_CLOEXEC) != 0);
}

SYSCALL_DEFINE(memfd_create)
{
    char name[MEMFD_NAME_MAX + 1];
    int64_t rc = user_str_in(name, a, sizeof name);
    uint32_t flags = (uint32_t)b;
    struct file *file;

    if ((flags & ~(uint32_t)MEMFD_FLAGS) != 0 ||
        (flags & (MFD_EXEC | MFD_NOEXEC_SEAL)) == (MFD_EXEC | MFD_NOEXEC_SEAL)) {
        if ((flags & MFD_HUGETLB) != 0)
            syscall_unsupported("memfd_create: MFD_HUGETLB",
                                "huge pages do not exist in an enclave");
        return -EINVAL;
    }
    if (rc < 0)
        return rc == -ENAMETOOLONG ? -EINVAL : rc;
    rc = tmpfs_anon_file(name, &file);
    if (rc < 0)
        return rc;
    file->flags |= O_LARGEFILE;
    if ((flags & MFD_ALLOW_SEALING) != 0)
        tmpfs_seals_allow(file->inode);
    if ((flags & MFD_NOEXEC_SEAL) != 0)
        tmpfs_seals_noexec(file->inode);
    rc = fd_install(file, (flags & MFD_CLOEXEC) != 0, 0);
    if (rc < 0)
        file_unref(file);
    return rc;
}
