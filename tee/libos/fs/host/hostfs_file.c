/* SPDX-License-Identifier: Apache-2.0 */
/* Regular files of untrusted host folders. Every read and write goes to the host. Trusted. */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/host/hostfs.h"
#include "tee/libos/fs/vfs/mode.h"

#define PIECE_SIZE 65536u

struct host_file {
    int host_fd;
};

static int host_fd(const struct file *f)
{
    return ((struct host_file *)f->private_data)->host_fd;
}

static int64_t file_size(struct file *f)
{
    struct ocall_stat st;
    int rc = ocall_file_stat(host_fd(f), &st);

    return rc < 0 ? rc : st.size > INT64_MAX ? -EIO : (int64_t)st.size;
}

static int64_t file_read(struct file *f, struct uio *u, uint64_t *pos)
{
    CLEANUP(mem_freep)
    uint8_t *buffer = mem_alloc(MIN(u->left, PIECE_SIZE));
    int64_t done = 0;

    if (!buffer)
        return -ENOMEM;
    while (u->left) {
        size_t want = MIN(u->left, PIECE_SIZE);
        int64_t n = ocall_file_pread(host_fd(f), buffer, want, *pos);
        int64_t put;

        if (n <= 0)
            return done ? done : n;
        put = uio_put(u, buffer, (size_t)n);
        if (put < 0)
            return done ? done : put;
        *pos += (uint64_t)put;
        done += put;
        if ((size_t)n < want)
            break;
    }
    return done;
}

static int64_t write_piece(struct file *f, const uint8_t *src, size_t size, uint64_t *pos)
{
    size_t done = 0;

    while (done < size) {
        int64_t n = ocall_file_pwrite(host_fd(f), src + done, size - done, *pos);

        if (n <= 0)
            return done ? (int64_t)done : n ? n : -EIO;
        *pos += (uint64_t)n;
        done += (size_t)n;
    }
    return (int64_t)done;
}

static int64_t file_write(struct file *f, struct uio *u, uint64_t *pos)
{
    CLEANUP(mem_freep)
    uint8_t *buffer = mem_alloc(MIN(u->left, PIECE_SIZE));
    int64_t done = 0;

    if (!buffer)
        return -ENOMEM;
    if (f->flags & O_APPEND) {
        int64_t size = file_size(f);

        if (size < 0)
            return size;
        *pos = (uint64_t)size;
    }
    while (u->left) {
        int64_t n = uio_get(u, buffer, MIN(u->left, PIECE_SIZE));

        if (n > 0)
            n = write_piece(f, buffer, (size_t)n, pos);
        if (n < 0)
            return done ? done : n;
        done += n;
    }
    return done;
}

static int64_t file_seek(struct file *f, int64_t off, int whence)
{
    int64_t base = 0;

    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (int64_t)f->pos;
        break;
    case SEEK_END:
    case SEEK_DATA:
    case SEEK_HOLE:
        base = file_size(f);
        if (base < 0)
            return base;
        if (whence != SEEK_END) {
            if (off < 0 || off >= base)
                return -ENXIO;
            base = whence == SEEK_DATA ? 0 : base - off;
        }
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, off, &base))
        return -EOVERFLOW;
    if (base < 0)
        return -EINVAL;
    f->pos = (uint64_t)base;
    return base;
}

static int file_sync(struct file *f, bool data_only)
{
    return ocall_file_sync(host_fd(f), data_only);
}

static int file_truncate(struct file *f, uint64_t size)
{
    return ocall_file_truncate(host_fd(f), size);
}

static int file_lock_outside(struct file *f, int type)
{
    return ocall_file_lock(host_fd(f), type == F_RDLCK   ? LOCK_SH
                                       : type == F_WRLCK ? LOCK_EX
                                                         : LOCK_UN);
}

/* Growing only: the host's blocks are its own affair. */
static int file_allocate(struct file *f, int mode, uint64_t off, uint64_t size)
{
    int64_t now = file_size(f);
    uint64_t end;

    if (mode)
        return -EOPNOTSUPP;
    if (now < 0)
        return (int)now;
    if (__builtin_add_overflow(off, size, &end) || end > INT64_MAX)
        return -EFBIG;
    return end > (uint64_t)now ? ocall_file_truncate(host_fd(f), end) : 0;
}

static int file_map_page(struct file *f, uint64_t off, void *page)
{
    int64_t size = file_size(f);
    size_t done = 0;

    if (size < 0)
        return (int)size;
    if (off >= (uint64_t)size)
        return -EIO;
    while (done < PAGE_SIZE) {
        int64_t n =
            ocall_file_pread(host_fd(f), (uint8_t *)page + done, PAGE_SIZE - done, off + done);

        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    memset((uint8_t *)page + done, 0, PAGE_SIZE - done);
    return 0;
}

static void file_release(struct file *f)
{
    int rc UNUSED = ocall_close(host_fd(f));

    mem_free(f->private_data);
}

static const struct file_ops host_file_ops = {
    .read = file_read,
    .write = file_write,
    .seek = file_seek,
    .sync = file_sync,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .map_page = file_map_page,
    .lock_outside = file_lock_outside,
    .release = file_release,
};

int hostfs_open(struct inode *inode, struct file *f)
{
    struct host_node *n = hostfs_node(inode);
    uint32_t access = f->flags & O_ACCMODE;
    CLEANUP(mem_freep)
    char *path = mem_alloc(PATH_SIZE_MAX);
    CLEANUP(mem_freep)
    struct host_file *hf = mem_zalloc(sizeof *hf);
    struct ocall_stat st;
    int rc;

    if (!path || !hf)
        return -ENOMEM;
    if (n->fs->read_only && access != O_RDONLY)
        return -EROFS;
    rc = hostfs_path(n, NULL, 0, path);
    if (rc < 0)
        return rc;
    int fd = ocall_mount_open(n->fs->mount, path, (int)access | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    rc = ocall_file_stat(fd, &st);
    if (rc == 0 && !S_ISREG(st.mode))
        rc = -ESTALE; /* became something else since it was looked up */
    if (rc < 0) {
        int closed UNUSED = ocall_close(fd);

        return rc;
    }
    hf->host_fd = fd;
    f->ops = &host_file_ops;
    f->private_data = TAKE_PTR(hf);
    return 0;
}
