/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that move file data: read, write and their families, lseek, sendfile, copy_file_range. Trusted. */
#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/resource.h>

#define COPY_PAGES 16u          /* buffer of sendfile and copy_file_range */
#define RW_SIZE_MAX 0x7ffff000u /* bytes that one call moves, as Linux */

enum direction { READ, WRITE };

/* -EFBIG with SIGXFSZ when a write would pass RLIMIT_FSIZE; shortens one that reaches it. */
static int limit_check(struct file *f, struct uio *u, uint64_t pos)
{
    uint64_t limit = process_current()->limits[RLIMIT_FSIZE].current;

    if (LIKELY(limit == UINT64_MAX) || !f->inode || !S_ISREG(f->inode->mode))
        return 0;
    if (pos >= limit) {
        (void)signal_send_thread(thread_current(), SIGXFSZ, NULL);
        return -EFBIG;
    }
    u->left = MIN(u->left, limit - pos);
    return 0;
}

static int64_t transfer(struct file *f, struct uio *u, uint64_t *pos, enum direction direction)
{
    int64_t rc;

    if (direction == READ) {
        if (!file_can_read(f))
            return -EBADF;
        rc = f->ops->read ? f->ops->read(f, u, pos) : -EINVAL;
        if (rc > 0)
            notify_file(f, IN_ACCESS);
        return rc;
    }
    if (!file_can_write(f))
        return -EBADF;
    if (!f->ops->write)
        return -EINVAL;
    if (pos) {
        rc = limit_check(f, u, *pos);
        if (rc < 0)
            return rc;
        if (f->inode)
            permission_drop_privileges(f->inode);
    }
    rc = f->ops->write(f, u, pos);
    if (rc > 0)
        notify_file(f, IN_MODIFY);
    return rc;
}

/* At the file's own position, which nobody else uses meanwhile. */
static int64_t transfer_at_pos(struct fd_ref *r, struct uio *u, enum direction direction)
{
    struct file *f = r->file;
    int64_t rc;

    if (!f->ops->seek)
        return transfer(f, u, NULL, direction);
    if (!r->owned && __atomic_load_n(&f->refs, __ATOMIC_RELAXED) == 1)
        return transfer(f, u, &f->pos, direction);
    mutex_lock(&f->lock);
    rc = transfer(f, u, &f->pos, direction);
    mutex_unlock(&f->lock);
    return rc;
}

static int64_t rw(int fd, uintptr_t buffer, size_t size, enum direction direction)
{
    struct fd_ref r;
    struct uio u;
    int64_t rc;

    if (UNLIKELY(!fd_borrow(fd, &r)))
        return -EBADF;
    if (UNLIKELY((int64_t)size < 0)) {
        fd_ref_done(&r);
        return -EINVAL;
    }
    uio_init_user(&u, buffer, size);
    rc = transfer_at_pos(&r, &u, direction);
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(read)
{
    return rw((int)a, b, c, READ);
}

SYSCALL_DEFINE(write)
{
    return rw((int)a, b, c, WRITE);
}

static int64_t rw_at(struct file *f, struct uio *u, int64_t off, enum direction direction)
{
    uint64_t pos = (uint64_t)off;

    if (off < 0)
        return -EINVAL;
    if (!f->ops->seek)
        return -ESPIPE;
    return transfer(f, u, &pos, direction);
}

static int64_t prw(int fd, uintptr_t buffer, size_t size, int64_t off, enum direction direction)
{
    struct fd_ref r;
    struct uio u;
    int64_t rc;

    if (UNLIKELY(!fd_borrow(fd, &r)))
        return -EBADF;
    uio_init_user(&u, buffer, size);
    rc = (int64_t)size < 0 ? -EINVAL : rw_at(r.file, &u, off, direction);
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(pread64)
{
    return prw((int)a, b, c, (int64_t)d, READ);
}

SYSCALL_DEFINE(pwrite64)
{
    return prw((int)a, b, c, (int64_t)d, WRITE);
}

#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

/* off -1: at the file's position. */
static int64_t rwv(int fd, uintptr_t iov, size_t count, bool positioned, int64_t off,
                   uint32_t flags, enum direction direction)
{
    struct fd_ref r;
    struct uio u;
    int64_t rc;

    if ((flags & ~(uint32_t)RWF_KNOWN) != 0)
        return -EOPNOTSUPP;
    if (!fd_borrow(fd, &r))
        return -EBADF;
    rc = uio_init_iovec(&u, iov, count);
    if (rc == 0) {
        if ((flags & RWF_APPEND) != 0 && direction == WRITE && (r.file->flags & O_APPEND) == 0) {
            struct inode_attr attr;

            rc = file_get_attr(r.file, &attr);
            if (rc == 0)
                rc = rw_at(r.file, &u, (int64_t)attr.size, direction);
        } else if (positioned) {
            rc = rw_at(r.file, &u, off, direction);
        } else {
            rc = transfer_at_pos(&r, &u, direction);
        }
        uio_done(&u);
        if (rc >= 0 && (flags & (RWF_DSYNC | RWF_SYNC)) != 0 && r.file->ops->sync) {
            int sync_rc = r.file->ops->sync(r.file, (flags & RWF_SYNC) == 0);

            rc = sync_rc < 0 ? sync_rc : rc;
        }
    }
    fd_ref_done(&r);
    return rc;
}

SYSCALL_DEFINE(readv)
{
    return rwv((int)a, b, c, false, 0, 0, READ);
}

SYSCALL_DEFINE(writev)
{
    return rwv((int)a, b, c, false, 0, 0, WRITE);
}

SYSCALL_DEFINE(preadv)
{
    return rwv((int)a, b, c, true, (int64_t)d, 0, READ);
}

SYSCALL_DEFINE(pwritev)
{
    return rwv((int)a, b, c, true, (int64_t)d, 0, WRITE);
}

SYSCALL_DEFINE(preadv2)
{
    return rwv((int)a, b, c, (int64_t)d != -1, (int64_t)d, (uint32_t)f, READ);
}

SYSCALL_DEFINE(pwritev2)
{
    return rwv((int)a, b, c, (int64_t)d != -1, (int64_t)d, (uint32_t)f, WRITE);
}

SYSCALL_DEFINE(lseek)
{
    struct fd_ref r;
    int64_t rc;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if ((r.file->flags & O_PATH) != 0) {
        rc = -EBADF;
    } else if (!r.file->ops->seek) {
        rc = -ESPIPE;
    } else if (!r.owned && __atomic_load_n(&r.file->refs, __ATOMIC_RELAXED) == 1) {
        rc = r.file->ops->seek(r.file, (int64_t)b, (int)c);
    } else {
        mutex_lock(&r.file->lock);
        rc = r.file->ops->seek(r.file, (int64_t)b, (int)c);
        mutex_unlock(&r.file->lock);
    }
    fd_ref_done(&r);
    return rc;
}

/* ---- file to file ---- */

/* Passes on what lies in the root file system's image without reading it, to a file that can. returns: bytes; 0: by a buffer. */
static int64_t copy_image(struct file *in, uint64_t *in_pos, struct file *out, size_t size)
{
    uint64_t at;
    int64_t n;

    if (!in_pos || !in->ops->image_extent || !out->ops->write_image || !file_can_read(in) ||
        !file_can_write(out))
        return 0;
    n = in->ops->image_extent(in, *in_pos, size, &at);
    if (n > 0)
        n = out->ops->write_image(out, at, (size_t)n);
    if (n > 0) {
        *in_pos += (uint64_t)n;
        notify_file(in, IN_ACCESS);
    }
    return n == -EOPNOTSUPP ? 0 : n;
}

/* Moves up to size bytes through a buffer. Positions NULL: not seekable, or the file's own are passed. */
static int64_t copy(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                    size_t size)
{
    uint8_t *buffer;
    int64_t total = 0, rc = 0;

    while (size > 0 && (rc = copy_image(in, in_pos, out, size)) > 0) {
        total += rc;
        size -= (size_t)rc;
    }
    if (rc < 0 || size == 0)
        return total > 0 ? total : rc;
    buffer = page_alloc(COPY_PAGES);
    if (!buffer)
        return total > 0 ? total : -ENOMEM;
    while (size > 0) {
        size_t part = MIN(size, COPY_PAGES * PAGE_SIZE);
        uint64_t start = in_pos ? *in_pos : 0;
        struct uio u;
        int64_t got, put;

        uio_init_kernel(&u, buffer, part);
        got = rc = transfer(in, &u, in_pos, READ);
        uio_done(&u);
        if (got <= 0)
            break;
        uio_init_kernel(&u, buffer, (size_t)got);
        put = rc = transfer(out, &u, out_pos, WRITE);
        uio_done(&u);
        if (in_pos)
            *in_pos = start + (uint64_t)MAX(put, 0);
        if (put <= 0)
            break;
        total += put;
        size -= (size_t)put;
        if (put < got || (size_t)got < part)
            break;
    }
    page_free(buffer, COPY_PAGES);
    return total > 0 ? total : rc;
}

/* The position that a call uses: a program's offset or the file's own. */
struct position {
    uintptr_t user; /* 0: the file's */
    uint64_t value;
    bool seekable;
};

static int position_get(struct position *p, struct file *f, uintptr_t user)
{
    p->user = user;
    p->seekable = f->ops->seek != NULL;
    if (user == 0) {
        p->value = f->pos;
        return 0;
    }
    if (!p->seekable)
        return -ESPIPE;
    if (USER_GET(&p->value, user) < 0)
        return -EFAULT;
    return (int64_t)p->value < 0 ? -EINVAL : 0;
}

static int position_put(struct position *p, struct file *f)
{
    if (!p->seekable)
        return 0;
    if (p->user == 0) {
        f->pos = p->value;
        return 0;
    }
    return USER_PUT(p->user, &p->value);
}

static int64_t copy_between(int in_fd, uintptr_t in_off, int out_fd, uintptr_t out_off, size_t size)
{
    struct fd_ref in, out;
    struct position in_pos, out_pos;
    int64_t rc;

    if (!fd_borrow(in_fd, &in))
        return -EBADF;
    if (!fd_borrow(out_fd, &out)) {
        fd_ref_done(&in);
        return -EBADF;
    }
    rc = position_get(&in_pos, in.file, in_off);
    if (rc == 0 && (!in_pos.seekable || (in.file->inode && S_ISDIR(in.file->inode->mode))))
        rc = -EINVAL; /* what was read and not written could not be put back */
    if (rc == 0)
        rc = position_get(&out_pos, out.file, out_off);
    if (rc == 0)
        rc = copy(in.file, in_pos.seekable ? &in_pos.value : NULL, out.file,
                  out_pos.seekable ? &out_pos.value : NULL, MIN(size, RW_SIZE_MAX));
    if (rc > 0 && (position_put(&in_pos, in.file) < 0 || position_put(&out_pos, out.file) < 0))
        rc = -EFAULT;
    fd_ref_done(&in);
    fd_ref_done(&out);
    return rc;
}

SYSCALL_DEFINE(sendfile)
{
    struct fd_ref r;
    int64_t rc = 0;

    if (!fd_borrow((int)a, &r))
        return -EBADF;
    if ((r.file->flags & O_APPEND) != 0)
        rc = -EINVAL;
    fd_ref_done(&r);
    return rc < 0 ? rc : copy_between((int)b, c, (int)a, 0, d);
}

/* Offsets that may be, and no overlap within one file. */
static int copy_range_check(struct fd_ref *in, uintptr_t in_off, struct fd_ref *out,
                            uintptr_t out_off, size_t size)
{
    struct position from, to;
    int rc = position_get(&from, in->file, in_off);

    if (rc == 0)
        rc = position_get(&to, out->file, out_off);
    if (rc < 0)
        return rc == -EINVAL ? -EOVERFLOW : rc;
    if ((int64_t)(from.value + size) < 0 || (int64_t)(to.value + size) < 0)
        return -EOVERFLOW;
    if (in->file->inode == out->file->inode && from.value < to.value + size &&
        to.value < from.value + size)
        return -EINVAL;
    return 0;
}

SYSCALL_DEFINE(copy_file_range)
{
    struct fd_ref in, out;
    struct inode_attr from, to;
    int64_t rc = 0;

    if ((uint32_t)f != 0)
        return -EINVAL;
    if (!fd_borrow((int)a, &in))
        return -EBADF;
    if (!fd_borrow((int)c, &out)) {
        fd_ref_done(&in);
        return -EBADF;
    }
    rc = file_get_attr(in.file, &from);
    if (rc == 0)
        rc = file_get_attr(out.file, &to);
    if (rc == 0 && (S_ISDIR(from.mode) || S_ISDIR(to.mode)))
        rc = -EISDIR;
    else if (rc == 0 && (!S_ISREG(from.mode) || !S_ISREG(to.mode)))
        rc = -EINVAL;
    else if (rc == 0 && (out.file->flags & O_APPEND) != 0)
        rc = -EBADF;
    else if (rc == 0 && (!file_can_read(in.file) || !file_can_write(out.file)))
        rc = -EBADF;
    else if (rc == 0 && from.dev != to.dev)
        rc = -EXDEV;
    else if (rc == 0)
        rc = copy_range_check(&in, b, &out, d, e);
    fd_ref_done(&in);
    fd_ref_done(&out);
    return rc < 0 ? rc : copy_between((int)a, b, (int)c, d, e);
}
