/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs regular files: pages of our own over the lower file's, read without a copy in between. Trusted.
 *
 * A reader pins the file while it copies to program memory without the lock (that may fault, and the
 * fault may need this very file); pages that go meanwhile wait in limbo for the last pin. A writer copies
 * from program memory into a page of its own first, then into the file under the lock.
 */
#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs_page.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#define BATCH_PAGES 8u

/* ---- reading ---- */

static struct node *node_of_file(struct file *f)
{
    return node_of(f->inode);
}

/* Views of up to BATCH_PAGES pages of [off, off + size); the file is pinned when there are any. */
static int views_get(struct node *n, uint64_t off, size_t size, struct page_view *views,
                     unsigned *ret_count)
{
    uint64_t index = off / PAGE_SIZE, last = (off + size - 1) / PAGE_SIZE;
    unsigned count = 0;
    int rc = 0;

    for (; count < BATCH_PAGES && index + count <= last; count++) {
        rc = tmpfs_page_view(n, index + count, last - index - count, &views[count]);
        if (rc < 0)
            break;
    }
    if (count == 0)
        return rc;
    __atomic_fetch_add(&n->file.pins, 1, __ATOMIC_RELAXED);
    *ret_count = count;
    return 0;
}

/* Puts `size` bytes of a view from `in` on; bytes put, fewer after a fault. */
static int64_t view_put_user(const struct page_view *v, size_t in, size_t size, struct uio *u)
{
    size_t data = in < v->size ? MIN(size, v->size - in) : 0;
    int64_t done = 0, more;

    if (data > 0) {
        done = uio_put(u, v->data + in, data);
        if (done != (int64_t)data)
            return done;
    }
    if (size > data) {
        more = uio_put_zero(u, size - data);
        if (more < 0)
            return done > 0 ? done : more;
        done += more;
    }
    return done;
}

/* One batch. returns: bytes, 0 at the end of the file. */
static int64_t read_batch(struct node *n, struct uio *u, uint64_t off)
{
    struct page_view views[BATCH_PAGES];
    unsigned count = 0;
    size_t left, total = 0;
    int64_t rc = 0;

    mutex_lock(&n->inode.lock);
    if (off >= n->size) {
        mutex_unlock(&n->inode.lock);
        return 0;
    }
    left = MIN(u->left, n->size - off);
    rc = views_get(n, off, left, views, &count);
    mutex_unlock(&n->inode.lock);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < count; i++) {
        size_t in = (off + total) % PAGE_SIZE, size = MIN(left - total, PAGE_SIZE - in);

        if (rc >= 0) {
            rc = view_put_user(&views[i], in, size, u);
            if (rc >= 0) {
                total += (size_t)rc;
                if ((size_t)rc < size)
                    rc = -EFAULT;
            }
        }
        tmpfs_page_view_done(&views[i]);
    }
    tmpfs_unpin(n);
    return total > 0 ? (int64_t)total : rc;
}

/* relatime: only when it is not newer than mtime; reading the image never counts as a change. */
static void touch_atime(struct file *f, struct node *n)
{
    if ((f->flags & O_NOATIME) != 0 || (n->has_lower && !n->kept) || n->atime.sec > n->mtime.sec ||
        (n->atime.sec == n->mtime.sec && n->atime.nsec > n->mtime.nsec))
        return;
    mutex_lock(&n->inode.lock);
    node_attr_begin(n);
    n->atime = tmpfs_now();
    node_attr_end(n);
    mutex_unlock(&n->inode.lock);
}

static int64_t tmpfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
    struct node *n = node_of_file(f);
    int64_t total = 0, rc = 0;

    while (u->left > 0) {
        rc = read_batch(n, u, *pos);
        if (rc <= 0)
            break;
        *pos += (uint64_t)rc;
        total += rc;
    }
    touch_atime(f, n);
    return total > 0 ? total : rc;
}

/* ---- writing ---- */

static void *g_bounce;            /* free pages, linked through their first word */
static struct spin g_bounce_lock; /* guards g_bounce */

static void *bounce_take(void)
{
    void *page;

    spin_lock(&g_bounce_lock);
    page = g_bounce;
    if (page)
        g_bounce = *(void **)page;
    spin_unlock(&g_bounce_lock);
    return page ? page : page_alloc(1);
}

static void bounce_give(void *page)
{
    spin_lock(&g_bounce_lock);
    *(void **)page = g_bounce;
    g_bounce = page;
    spin_unlock(&g_bounce_lock);
}

/* One piece within a page. returns: bytes. */
static int64_t write_piece(struct node *n, struct uio *u, uint64_t off, void *bounce)
{
    size_t in = off % PAGE_SIZE, size = MIN(u->left, PAGE_SIZE - in);
    int64_t got = uio_get(u, bounce, size), rc;

    if (got <= 0)
        return got;
    mutex_lock(&n->inode.lock);
    rc = tmpfs_page_write(n, off / PAGE_SIZE, in, bounce, (size_t)got);
    if (rc == 0) {
        struct timespec64 now = tmpfs_now();

        node_attr_begin(n);
        if (off + (uint64_t)got > n->size)
            n->size = off + (uint64_t)got;
        n->mtime = n->ctime = now;
        node_attr_end(n);
        node_changed(n);
    }
    mutex_unlock(&n->inode.lock);
    return rc < 0 ? rc : got;
}

static int write_check(struct node *n, struct uio *u, uint64_t off)
{
    if ((n->file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
        return -EPERM;
    if (off >= TMPFS_SIZE_FILE_MAX)
        return -EFBIG;
    u->left = MIN(u->left, TMPFS_SIZE_FILE_MAX - off);
    if ((n->file.seals & F_SEAL_GROW) != 0) {
        if (off >= n->size)
            return -EPERM;
        u->left = MIN(u->left, n->size - off);
    }
    return 0;
}

static int64_t tmpfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
    struct node *n = node_of_file(f);
    int64_t total = 0, rc;
    void *bounce;

    if (u->left == 0)
        return 0;
    bounce = bounce_take();
    if (!bounce)
        return -ENOMEM;
    mutex_lock(&n->write_lock);
    if ((f->flags & O_APPEND) != 0)
        *pos = n->size;
    rc = write_check(n, u, *pos);
    while (rc >= 0 && u->left > 0) {
        rc = write_piece(n, u, *pos, bounce);
        if (rc <= 0)
            break;
        *pos += (uint64_t)rc;
        total += rc;
    }
    mutex_unlock(&n->write_lock);
    bounce_give(bounce);
    return total > 0 ? total : rc;
}

static int64_t seek_data(struct node *n, uint64_t off, bool hole)
{
    uint64_t index = off / PAGE_SIZE, end;
    void *value;

    if (off >= n->size)
        return -ENXIO;
    for (;; index++) {
        end = index * PAGE_SIZE;
        if (end >= n->size)
            return hole ? (int64_t)n->size : -ENXIO;
        value = page_index_get(&n->file.pages, index);
        if ((page_is_own(value) || page_is_shared(value) || (!value && end < n->file.lower_size)) !=
            hole)
            return (int64_t)MAX(off, end);
        if (!hole && !value) {
            /* Nothing here: on to the next page that exists. */
            if (!page_index_next(&n->file.pages, &index))
                return -ENXIO;
            index--;
        }
    }
}

static int64_t tmpfs_seek(struct file *f, int64_t off, int whence)
{
    struct node *n = node_of_file(f);
    int64_t to;

    switch (whence) {
    case SEEK_SET:
        to = off;
        break;
    case SEEK_CUR:
        if (checked_add((int64_t)f->pos, off, &to))
            return -EOVERFLOW;
        break;
    case SEEK_END:
        if (checked_add((int64_t)n->size, off, &to))
            return -EOVERFLOW;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        if (off < 0)
            return -ENXIO;
        mutex_lock(&n->inode.lock);
        to = seek_data(n, (uint64_t)off, whence == SEEK_HOLE);
        mutex_unlock(&n->inode.lock);
        if (to < 0)
            return to;
        break;
    default:
        return -EINVAL;
    }
    if (to < 0 || (uint64_t)to > TMPFS_SIZE_FILE_MAX)
        return -EINVAL;
    f->pos = (uint64_t)to;
    return to;
}

/* ---- size ---- */

static int tmpfs_truncate(struct file *f, uint64_t size)
{
    struct inode_attr attr = { .size = size };

    if ((node_of_file(f)->file.seals & F_SEAL_WRITE) != 0)
        return -EPERM;
    return node_set_attr(f->inode, &attr, ATTR_SIZE);
}

static int allocate_pages(struct node *n, uint64_t off, uint64_t end)
{
    int rc = 0;

    for (uint64_t index = off / PAGE_SIZE; index * PAGE_SIZE < end && rc == 0; index++) {
        void *value = page_index_get(&n->file.pages, index);

        if (!page_is_own(value) && !page_is_shared(value) &&
            (value == PAGE_HOLE || index * PAGE_SIZE >= n->file.lower_size))
            rc = tmpfs_page_own(n, index, false, &value);
    }
    if (rc < 0)
        tmpfs_pages_trim(n, n->size);
    return rc;
}

static int tmpfs_allocate(struct file *f, int mode, uint64_t off, uint64_t size)
{
    struct node *n = node_of_file(f);
    uint64_t end = off + size;
    int rc = 0;

    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 ||
        mode == FALLOC_FL_PUNCH_HOLE || mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (end < off || end > TMPFS_SIZE_FILE_MAX)
        return -EFBIG;
    mutex_lock(&n->write_lock);
    mutex_lock(&n->inode.lock);
    if ((n->file.seals & F_SEAL_WRITE) != 0 && (mode & FALLOC_FL_PUNCH_HOLE) != 0)
        rc = -EPERM;
    else if ((n->file.seals & F_SEAL_GROW) != 0 && end > n->size &&
             (mode & FALLOC_FL_PUNCH_HOLE) == 0)
        rc = -EPERM;
    else if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        rc = tmpfs_range_zero(n, off, MIN(end, n->size));
    else
        rc = allocate_pages(n, off, end);
    if (rc == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > n->size)
        rc = file_data_resize(n, end);
    else if (rc == 0)
        node_touch(n);
    mutex_unlock(&n->inode.lock);
    mutex_unlock(&n->write_lock);
    return rc;
}

static int tmpfs_sync(struct file *f UNUSED, bool data_only UNUSED)
{
    return 0;
}

const struct file_ops tmpfs_file_ops = {
    .read = tmpfs_read,
    .write = tmpfs_write,
    .seek = tmpfs_seek,
    .sync = tmpfs_sync,
    .truncate = tmpfs_truncate,
    .allocate = tmpfs_allocate,
    .map_page = tmpfs_map_page,
    .image_id = tmpfs_image_id,
    .image_extent = tmpfs_image_extent,
    .share_page = tmpfs_share_page,
    .shared_page = tmpfs_shared_page,
    .write_sealed = tmpfs_write_sealed,
    .unshare_page = tmpfs_unshare_page,
};

static int file_open_op(struct inode *inode UNUSED, struct file *f)
{
    f->ops = &tmpfs_file_ops;
    return 0;
}

const struct inode_ops tmpfs_file_inode_ops = {
    .open = file_open_op,
    .get_attr = node_get_attr,
    .set_attr = node_set_attr,
    .get_xattr = node_xattr_get,
    .set_xattr = node_xattr_set,
    .list_xattr = node_xattr_list,
    .remove_xattr = node_xattr_remove,
    .release = node_release,
};
