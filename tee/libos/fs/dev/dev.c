/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: null, zero, full, random, urandom, tty, console, ptmx, cloche; and /dev, which is a tmpfs with their nodes. Trusted.
 */
#include "tee/libos/fs/dev/dev.h"

#include "abi/start.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/random.h"
#include "tee/enclave/start.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/vfs/mode.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/signal/signal.h"

#include <asm/poll.h>
#include <linux/errno.h>
#include <linux/fs.h>

#define DEVICE(major, minor) ((uint64_t)(major) << 8 | (minor))
#define RANDOM_PIECE 256u

static uint32_t g_tty_bits; /* standard streams that are terminals; set once at start */

static int64_t null_read(struct file *f UNUSED, struct uio *u UNUSED, uint64_t *pos UNUSED)
{
    return 0;
}

static int64_t null_write(struct file *f UNUSED, struct uio *u, uint64_t *pos UNUSED)
{
    int64_t size = (int64_t)u->left;

    u->left = 0;
    return size;
}

static int64_t zero_read(struct file *f UNUSED, struct uio *u, uint64_t *pos UNUSED)
{
    return uio_put_zero(u, u->left);
}

static int64_t full_write(struct file *f UNUSED, struct uio *u UNUSED, uint64_t *pos UNUSED)
{
    return -ENOSPC;
}

static int64_t random_read(struct file *f UNUSED, struct uio *u, uint64_t *pos UNUSED)
{
    uint8_t bytes[RANDOM_PIECE];
    int64_t total = 0, rc = 0;

    while (u->left > 0) {
        size_t size = MIN(u->left, sizeof bytes);

        random_bytes(bytes, size);
        rc = uio_put(u, bytes, size);
        if (rc <= 0)
            break;
        total += rc;
        if (signal_pending())
            break;
    }
    memset(bytes, 0, sizeof bytes);
    return total > 0 ? total : rc;
}

static int64_t any_seek(struct file *f UNUSED, int64_t off UNUSED, int whence)
{
    return whence == SEEK_SET || whence == SEEK_CUR || whence == SEEK_END ? 0 : -EINVAL;
}

static uint32_t always_ready(struct file *f UNUSED, struct poll_table *pt UNUSED)
{
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static int zero_map_page(struct file *f UNUSED, uint64_t off UNUSED, void *page)
{
    memset(page, 0, PAGE_SIZE);
    return 0;
}

static const struct file_ops g_null_ops = {
    .read = null_read,
    .write = null_write,
    .seek = any_seek,
    .poll = always_ready,
};

static const struct file_ops g_zero_ops = {
    .read = zero_read,
    .write = null_write,
    .seek = any_seek,
    .poll = always_ready,
    .map_page = zero_map_page,
};

static const struct file_ops g_full_ops = {
    .read = zero_read,
    .write = full_write,
    .seek = any_seek,
    .poll = always_ready,
};

static const struct file_ops g_random_ops = {
    .read = random_read,
    .write = null_write,
    .seek = any_seek,
    .poll = always_ready,
};

/* ---- /dev/tty: the terminal of the session, else the first standard stream that is one ---- */

static struct file *tty_stream(struct file *f)
{
    struct file *stream = f->private_data;

    __atomic_store_n(&stream->flags, f->flags, __ATOMIC_RELAXED);
    return stream;
}

static int64_t tty_read(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct file *stream = tty_stream(f);

    return stream->ops->read(stream, u, NULL);
}

static int64_t tty_write(struct file *f, struct uio *u, uint64_t *pos UNUSED)
{
    struct file *stream = tty_stream(f);

    return stream->ops->write(stream, u, NULL);
}

static uint32_t tty_poll(struct file *f, struct poll_table *pt)
{
    struct file *stream = tty_stream(f);

    return stream->ops->poll(stream, pt);
}

static int64_t tty_ioctl(struct file *f, uint32_t request, uintptr_t arg)
{
    struct file *stream = tty_stream(f);

    return stream->ops->ioctl ? stream->ops->ioctl(stream, request, arg) : -ENOTTY;
}

static void tty_release(struct file *f)
{
    file_unref(f->private_data);
}

static const struct file_ops g_tty_ops = {
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_ioctl,
    .release = tty_release,
};

static int tty_open(struct file *f)
{
    struct file *stream;
    int rc = tty_open_current(f);

    if (rc != -ENXIO || g_tty_bits == 0)
        return rc;
    rc = stdio_file_new(__builtin_ctz(g_tty_bits), true, &stream);
    if (rc < 0)
        return rc;
    f->private_data = stream;
    f->ops = &g_tty_ops;
    return 0;
}

int dev_open_number(uint64_t rdev, bool is_block, struct file *f)
{
    if (is_block)
        return -ENXIO;
    switch (rdev) {
    case DEVICE(1, 3):
        f->ops = &g_null_ops;
        return 0;
    case DEVICE(1, 5):
        f->ops = &g_zero_ops;
        return 0;
    case DEVICE(1, 7):
        f->ops = &g_full_ops;
        return 0;
    case DEVICE(1, 8):
    case DEVICE(1, 9):
        f->ops = &g_random_ops;
        return 0;
    case DEVICE(10, 240):
        return dev_cloche_open(f);
    case DEVICE(5, 0):
        return tty_open(f);
    case DEVICE(5, 1):
        return tty_open_console(f);
    case DEVICE(5, 2):
        return tty_open_ptmx(f);
    default:
        return -ENXIO;
    }
}

/* ---- /dev ---- */

static const struct {
    const char *name;
    uint32_t mode;
    uint64_t rdev;
} g_nodes[] = {
    { "null", S_IFCHR | 0666, DEVICE(1, 3) },
    { "zero", S_IFCHR | 0666, DEVICE(1, 5) },
    { "full", S_IFCHR | 0666, DEVICE(1, 7) },
    { "random", S_IFCHR | 0666, DEVICE(1, 8) },
    { "urandom", S_IFCHR | 0666, DEVICE(1, 9) },
    { "tty", S_IFCHR | 0666, DEVICE(5, 0) },
    { "cloche", S_IFCHR | 0600, DEVICE(10, 240) }, /* a minor that is left to local use */
    { "pts", S_IFDIR | 0755, 0 },
    { "shm", S_IFDIR | 01777, 0 },
    { "mqueue", S_IFDIR | 01777, 0 },
};

static const struct {
    const char *name, *target;
} g_links[] = {
    { "ptmx", "pts/ptmx" },          { "fd", "/proc/self/fd" },
    { "stdin", "/proc/self/fd/0" },  { "stdout", "/proc/self/fd/1" },
    { "stderr", "/proc/self/fd/2" },
};

static int fill(struct inode *root)
{
    struct inode *inode;
    int rc = 0;

    for (size_t i = 0; i < ARRAY_COUNT(g_nodes) && rc == 0; i++) {
        rc = root->ops->create(root, g_nodes[i].name, strlen(g_nodes[i].name), g_nodes[i].mode,
                               g_nodes[i].rdev, NULL, &inode);
        if (rc == 0)
            inode_unref(inode);
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_links) && rc == 0; i++) {
        rc = root->ops->symlink(root, g_links[i].name, strlen(g_links[i].name), g_links[i].target,
                                NULL, &inode);
        if (rc == 0)
            inode_unref(inode);
    }
    return rc;
}

static int make_console(struct inode *root)
{
    struct inode *inode;
    int rc = root->ops->create(root, "console", 7, S_IFCHR | 0620, DEVICE(5, 1), NULL, &inode);

    if (rc == 0)
        inode_unref(inode);
    return rc;
}

int devfs_new(const struct start_info *start, struct super **ret)
{
    struct super *s;
    int rc = tmpfs_new(0, 0755, &s);

    if (rc < 0)
        return rc;
    g_tty_bits = start->stdio_tty & 7;
    mutex_lock(&s->root->lock);
    rc = fill(s->root);
    if (rc == 0 && start->flags & START_TTY)
        rc = make_console(s->root);
    mutex_unlock(&s->root->lock);
    if (rc < 0)
        return rc;
    *ret = s;
    return 0;
}
