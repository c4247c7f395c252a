/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files. Their memory is never given back to the allocator, so that a stale pointer in a descriptor lookup still
 * points to a struct file (fd.c). Trusted.
 */
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/notify/notify.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/fs/vfs/vfs_internal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

static struct file *g_free;     /* linked through private_data */
static struct spin g_free_lock; /* guards g_free */
static uint64_t g_anon_dev;     /* st_dev of files without an inode; set once */

int file_new(const struct file_ops *ops, uint32_t flags, void *private_data, struct file **ret)
{
    struct file *f;

    spin_lock(&g_free_lock);
    f = g_free;
    if (f)
        g_free = f->private_data;
    spin_unlock(&g_free_lock);
    if (!f) {
        f = mem_zalloc(sizeof *f);
        if (!f)
            return -ENFILE;
    }
    f->ops = ops;
    f->flags = flags;
    f->pos = 0;
    f->lock = (struct mutex){ 0 };
    f->inode = NULL;
    f->dentry = NULL;
    f->private_data = private_data;
    f->anon_name = NULL;
    f->epoll_watch = NULL;
    f->edges = 0;
    f->async = NULL;
    f->has_locks = false;
    f->counts_writer = f->denies_write = false;
    /* Pairs with the raise in slot_get. */
    __atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
    *ret = f;
    return 0;
}

void file_ref(struct file *f)
{
    __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
}

void file_unref(struct file *f)
{
    if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (UNLIKELY(f->epoll_watch != NULL))
        epoll_file_gone(f);
    if (UNLIKELY(f->async != NULL))
        file_async_gone(f);
    if (notify_is_on() && f->ops->read) /* what was opened for its name alone has none */
        notify_file(f, file_can_write(f) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (UNLIKELY(f->has_locks))
        lock_drop_owner(f->inode, f);
    if (f->ops->release)
        f->ops->release(f);
    if (UNLIKELY(f->counts_writer || f->denies_write))
        __atomic_sub_fetch(&f->inode->writers, f->counts_writer ? 1 : -1, __ATOMIC_ACQ_REL);
    if (f->dentry)
        dentry_unref(f->dentry); /* keeps the inode too */
    else if (f->inode)
        inode_unref(f->inode);
    spin_lock(&g_free_lock);
    f->private_data = g_free;
    g_free = f;
    spin_unlock(&g_free_lock);
}

/* Adds delta to the writers unless that would mix writers and programs that run. */
static bool change_writers(struct inode *inode, int32_t delta)
{
    int32_t writers = __atomic_load_n(&inode->writers, __ATOMIC_RELAXED);

    do
        if ((delta > 0 && writers < 0) || (delta < 0 && writers > 0))
            return false;
    while (!__atomic_compare_exchange_n(&inode->writers, &writers, writers + delta, true,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return true;
}

int file_count_writer(struct file *f)
{
    if (!change_writers(f->inode, 1))
        return -ETXTBSY;
    f->counts_writer = true;
    return 0;
}

int file_deny_write(struct file *f)
{
    if (!f->inode || f->denies_write)
        return 0;
    if (!change_writers(f->inode, -1))
        return -ETXTBSY;
    f->denies_write = true;
    return 0;
}

int inode_check_text(const struct inode *inode)
{
    return __atomic_load_n(&inode->writers, __ATOMIC_RELAXED) < 0 ? -ETXTBSY : 0;
}

void file_unrefp(struct file **f)
{
    file_unref(*f);
}

void inode_ref(struct inode *inode)
{
    __atomic_fetch_add(&inode->refs, 1, __ATOMIC_RELAXED);
}

void inode_unref(struct inode *inode)
{
    if (!inode || __atomic_sub_fetch(&inode->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (UNLIKELY(inode->locks != NULL))
        lock_inode_gone(inode);
    if (inode->ops->release)
        inode->ops->release(inode);
}

int inode_get_attr(struct inode *inode, struct inode_attr *ret)
{
    if (LIKELY(inode->ops->get_attr != NULL))
        return inode->ops->get_attr(inode, ret);
    *ret = (struct inode_attr){ .ino = inode->ino,
                                .dev = inode->super ? inode->super->dev : 0,
                                .rdev = inode->rdev,
                                .mode = inode->mode,
                                .nlink = 1,
                                .uid = inode->uid,
                                .gid = inode->gid,
                                .blksize = PAGE_SIZE };
    return 0;
}

/* The number in "pipe:[12]", "socket:[7]"; 0 without one. */
static uint64_t anon_ino(const char *name)
{
    const char *p = strchr(name, '[');
    uint64_t ino = 0;

    for (p = p ? p + 1 : name; *p >= '0' && *p <= '9'; p++)
        ino = ino * 10 + (uint64_t)(*p - '0');
    return ino;
}

int file_get_attr(struct file *f, struct inode_attr *ret)
{
    const char *name = f->anon_name ? f->anon_name : "";

    if (LIKELY(f->inode != NULL))
        return inode_get_attr(f->inode, ret);
    if (!g_anon_dev)
        g_anon_dev = super_new_dev();
    *ret = (struct inode_attr){
        .dev = g_anon_dev, .ino = anon_ino(name), .nlink = 1, .blksize = PAGE_SIZE, .mode = 0600
    };
    if (strncmp(name, "pipe:", 5) == 0)
        ret->mode = S_IFIFO | 0600;
    else if (strncmp(name, "socket:", 7) == 0)
        ret->mode = S_IFSOCK | 0777;
    if (ret->mode != 0600)
        ret->uid = process_cred()->fsuid, ret->gid = process_cred()->fsgid;
    return 0;
}

int64_t file_read_kernel(struct file *f, void *dst, size_t size, uint64_t off)
{
    struct uio u;
    size_t done = 0;

    if (!f->ops->read)
        return -EINVAL;
    while (done < size) {
        size_t part = MIN(size - done, 1ul << 30);
        int64_t rc;

        uio_init_kernel(&u, (uint8_t *)dst + done, part);
        rc = f->ops->read(f, &u, &off);
        uio_done(&u);
        if (rc < 0)
            return done > 0 ? (int64_t)done : rc;
        if (rc == 0)
            break;
        done += (size_t)rc;
    }
    return (int64_t)done;
}

/* ---- folders ---- */

static int64_t dir_read(struct file *f UNUSED, struct uio *u UNUSED, uint64_t *pos UNUSED)
{
    return -EISDIR;
}

static int64_t dir_seek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += (int64_t)f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (off < 0)
        return -EINVAL;
    f->pos = (uint64_t)off;
    return off;
}

/* The number of the folder above, across mounts. */
static uint64_t parent_ino(struct file *f)
{
    struct dentry *d = f->dentry;
    uint64_t ino = f->inode->ino;

    spin_lock(&g_dcache.lock);
    while (d && !d->parent && d->mount && d->mount->point)
        d = d->mount->point;
    if (d && d->parent && d->parent->inode)
        ino = d->parent->inode->ino;
    spin_unlock(&g_dcache.lock);
    return ino;
}

static int dir_readdir(struct file *f, uint64_t *pos, readdir_fn *fn, void *arg)
{
    struct inode *dir = f->inode;
    int rc;

    if (!dir->ops->readdir)
        return -ENOTDIR;
    if (f->dentry && f->dentry->deleted)
        return -ENOENT;
    if (*pos == 0) {
        if (!fn(arg, ".", 1, dir->ino, mode_dirent_type(S_IFDIR), 1))
            return 0;
        *pos = 1;
    }
    if (*pos == 1) {
        if (!fn(arg, "..", 2, parent_ino(f), mode_dirent_type(S_IFDIR), 2))
            return 0;
        *pos = 2;
    }
    mutex_lock(&dir->lock);
    rc = dir->ops->readdir(dir, *pos, fn, arg);
    mutex_unlock(&dir->lock);
    return rc;
}

static int dir_sync(struct file *f UNUSED, bool data_only UNUSED)
{
    return 0;
}

const struct file_ops dir_file_ops = {
    .read = dir_read,
    .seek = dir_seek,
    .readdir = dir_readdir,
    .sync = dir_sync,
};
