/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs regular files: pages of our own over the lower file's, read without a copy in between. Trusted.
 *
 * A reader pins the file while it copies to program memory without the lock (that may fault, and the
 * fault may need this very file); pages that go meanwhile wait in limbo for the last pin. A writer copies
 * from program memory into a page of its own first, then into the file under the lock.
 */
#include "tee/libos/fs/tmpfs/tmpfs_internal.h"

#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>

#define BATCH_PAGES 8u

/* A page while it is read. */
struct page_view {
    const uint8_t *data;        /* NULL: zeros */
    size_t size;                /* bytes of data; zeros behind them */
    struct cached_page *cached; /* of the lower file, pinned */
    void *bounce;               /* copy of a shared page, ours to free */
};

static bool is_own(const void *value)
{
    return value && ((uintptr_t)value & (PAGE_SIZE - 1)) == 0;
}

static bool is_shared(const void *value)
{
    return ((uintptr_t)value & PAGE_TAG_SHARED) != 0;
}

static uintptr_t shared_address(const void *value)
{
    return (uintptr_t)value & ~(uintptr_t)(PAGE_SIZE - 1);
}

/* ---- limbo ---- */

/* Frees a page, or keeps it for readers that hold a pin. */
static void page_drop(struct node *n, void *page)
{
    struct limbo_page *l;

    if (__atomic_load_n(&n->file.pins, __ATOMIC_ACQUIRE) > 0) {
        l = mem_alloc(sizeof *l);
        if (l) {
            l->page = page;
            l->next = n->file.limbo;
            n->file.limbo = l;
            return;
        }
        /* No memory for the note, and a reader may be in the middle of a copy: the page is given up. */
        return;
    }
    page_free(page, 1);
}

/* inode.lock is held and there are no pins. */
static void limbo_empty(struct node *n)
{
    while (n->file.limbo) {
        struct limbo_page *l = n->file.limbo;

        n->file.limbo = l->next;
        page_free(l->page, 1);
        mem_free(l);
    }
}

static void unpin(struct node *n)
{
    if (__atomic_sub_fetch(&n->file.pins, 1, __ATOMIC_ACQ_REL) > 0 ||
        !__atomic_load_n(&n->file.limbo, __ATOMIC_RELAXED))
        return;
    mutex_lock(&n->inode.lock);
    if (__atomic_load_n(&n->file.pins, __ATOMIC_ACQUIRE) == 0)
        limbo_empty(n);
    mutex_unlock(&n->inode.lock);
}

/* ---- pages; inode.lock is held ---- */

static void page_forget(struct node *n, uint64_t index)
{
    void *value = page_index_get(&n->file.pages, index);

    if (is_shared(value))
        return; /* the mapping's own; unshare_page ends it */
    page_index_remove(&n->file.pages, index);
    if (is_own(value)) {
        page_drop(n, value);
        n->file.page_count--;
        tmpfs_page_uncharge(n->fs);
    }
}

static int page_view_get(struct node *n, uint64_t index, uint64_t ahead, struct page_view *ret)
{
    void *value = page_index_get(&n->file.pages, index);
    uint64_t off = index * PAGE_SIZE;
    struct erofs_span span;
    int rc;

    *ret = (struct page_view){ 0 };
    if (is_own(value)) {
        ret->data = value;
        ret->size = PAGE_SIZE;
    } else if (is_shared(value)) {
        ret->bounce = page_alloc(1);
        if (!ret->bounce)
            return -ENOMEM;
        ret->data = ret->bounce;
        ret->size = PAGE_SIZE;
        rc = user_copy_in(ret->bounce, shared_address(value), PAGE_SIZE);
        if (rc < 0) {
            page_free(ret->bounce, 1);
            return -EIO;
        }
    } else if (!value && off < n->file.lower_size) {
        rc = erofs_page_get(n->fs->lower, &n->lower, index, ahead, &span);
        if (rc < 0)
            return rc;
        ret->data = span.data;
        ret->cached = span.page;
        ret->size = MIN(span.size, n->file.lower_size - off);
    }
    return 0;
}

static void page_view_put(struct page_view *v)
{
    page_cache_put(v->cached);
    if (v->bounce)
        page_free(v->bounce, 1);
}

static void page_view_copy(const struct page_view *v, void *page)
{
    if (v->size > 0)
        memcpy(page, v->data, v->size);
    memset((uint8_t *)page + v->size, 0, PAGE_SIZE - v->size);
}

/* A page of our own at index, filled as it reads now unless the caller overwrites it whole. */
static int page_own(struct node *n, uint64_t index, bool whole, void **ret)
{
    struct page_view v = { 0 };
    void *page;
    int rc;

    if (!tmpfs_page_charge(n->fs))
        return -ENOSPC;
    page = page_alloc(1);
    if (!page) {
        tmpfs_page_uncharge(n->fs);
        return -ENOSPC;
    }
    rc = whole ? 0 : page_view_get(n, index, 0, &v);
    if (rc == 0) {
        if (!whole)
            page_view_copy(&v, page);
        page_view_put(&v);
        rc = page_index_set(&n->file.pages, index, page);
    }
    if (rc < 0) {
        page_free(page, 1);
        tmpfs_page_uncharge(n->fs);
        return rc == -ENOMEM ? -ENOSPC : rc;
    }
    n->file.page_count++;
    *ret = page;
    return 0;
}

/* Writes to a page that is the program's; src NULL: zeros. One that is mapped read-only is opened for the moment. */
static int shared_write(uintptr_t addr, const void *src, size_t size)
{
    uintptr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    uint8_t probe;

    if ((src ? user_copy_out(addr, src, size) : user_zero(addr, size)) == 0)
        return 0;
    if (user_copy_in(&probe, addr, 1) < 0 ||
        enclave_protect(page, 1, PROT_READ, PROT_READ | PROT_WRITE) < 0)
        return -EIO;
    if (src)
        memcpy((void *)addr, src, size);
    else
        memset((void *)addr, 0, size);
    return enclave_protect(page, 1, PROT_READ | PROT_WRITE, PROT_READ) < 0 ? -EIO : 0;
}

/* Writes within one page of the file. src NULL: zeros. */
static int page_write(struct node *n, uint64_t index, size_t in, const void *src, size_t size)
{
    void *value = page_index_get(&n->file.pages, index);
    int rc;

    if (is_shared(value))
        return shared_write(shared_address(value) + in, src, size);
    if (!is_own(value)) {
        rc = page_own(n, index, in == 0 && size == PAGE_SIZE, &value);
        if (rc < 0)
            return rc;
    }
    if (src)
        memcpy((uint8_t *)value + in, src, size);
    else
        memset((uint8_t *)value + in, 0, size);
    return 0;
}

/* Zeros for [off, end) of the file, without leaving pages behind where whole pages go. */
static int range_zero(struct node *n, uint64_t off, uint64_t end)
{
    int rc = 0;

    while (off < end && rc == 0) {
        uint64_t index = off / PAGE_SIZE;
        size_t in = off % PAGE_SIZE, size = MIN(end - off, PAGE_SIZE - in);
        void *value = page_index_get(&n->file.pages, index);
        bool lower = off < n->file.lower_size;

        if (size == PAGE_SIZE && !is_shared(value)) {
            page_forget(n, index);
            if (lower)
                rc = page_index_set(&n->file.pages, index, PAGE_HOLE);
        } else if (is_own(value) || is_shared(value) || (!value && lower)) {
            rc = page_write(n, index, in, NULL, size);
        }
        off += size;
        if (!lower && size == PAGE_SIZE) {
            /* Beyond the lower file only pages that exist matter. */
            index = off / PAGE_SIZE;
            if (!page_index_next(&n->file.pages, &index))
                break;
            off = MAX(off, MIN(index * PAGE_SIZE, ALIGN_DOWN(end, PAGE_SIZE)));
        }
    }
    return rc;
}

int file_data_resize(struct node *n, uint64_t size)
{
    uint64_t index = (size + PAGE_SIZE - 1) / PAGE_SIZE;
    int rc;

    if (size > TMPFS_SIZE_FILE_MAX)
        return -EFBIG;
    if ((size < n->size && (n->file.seals & F_SEAL_SHRINK) != 0) ||
        (size > n->size && (n->file.seals & F_SEAL_GROW) != 0))
        return -EPERM;
    if (size < n->size) {
        if (size % PAGE_SIZE != 0) {
            rc = range_zero(n, size, ALIGN_UP(size, PAGE_SIZE));
            if (rc < 0)
                return rc;
        }
        while (page_index_next(&n->file.pages, &index)) {
            page_forget(n, index);
            index++;
        }
        n->file.lower_size = MIN(n->file.lower_size, size);
    }
    node_attr_begin(n);
    n->size = size;
    n->mtime = n->ctime = tmpfs_now();
    node_attr_end(n);
    node_changed(n);
    return 0;
}

void file_data_free(struct node *n)
{
    uint64_t index = 0;
    void *value;

    while ((value = page_index_next(&n->file.pages, &index)) != NULL) {
        page_index_remove(&n->file.pages, index);
        if (is_own(value)) {
            page_free(value, 1);
            tmpfs_page_uncharge(n->fs);
        }
    }
    limbo_empty(n);
}

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
        rc = page_view_get(n, index + count, last - index - count, &views[count]);
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
        page_view_put(&views[i]);
    }
    unpin(n);
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
    rc = page_write(n, off / PAGE_SIZE, in, bounce, (size_t)got);
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
        if ((is_own(value) || is_shared(value) || (!value && end < n->file.lower_size)) != hole)
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

        if (!is_own(value) && !is_shared(value) &&
            (value == PAGE_HOLE || index * PAGE_SIZE >= n->file.lower_size))
            rc = page_own(n, index, false, &value);
    }
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
        rc = range_zero(n, off, MIN(end, n->size));
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

/* ---- memory mapping ---- */

static int tmpfs_map_page(struct file *f, uint64_t off, void *page)
{
    struct node *n = node_of_file(f);
    struct page_view v;
    int rc;

    mutex_lock(&n->inode.lock);
    if (off >= ALIGN_UP(n->size, PAGE_SIZE)) {
        mutex_unlock(&n->inode.lock);
        return -EIO;
    }
    rc = page_view_get(n, off / PAGE_SIZE, 1, &v);
    if (rc == 0) {
        page_view_copy(&v, page);
        page_view_put(&v);
    }
    mutex_unlock(&n->inode.lock);
    return rc;
}

static int tmpfs_share_page(struct file *f, uint64_t off, void *page)
{
    struct node *n = node_of_file(f);
    uint64_t index = off / PAGE_SIZE;
    struct page_view v;
    void *value, *shared = (void *)((uintptr_t)page | PAGE_TAG_SHARED);
    int rc;

    mutex_lock(&n->inode.lock);
    value = page_index_get(&n->file.pages, index);
    if (off >= ALIGN_UP(n->size, PAGE_SIZE))
        rc = -EIO;
    else if (is_shared(value))
        rc = value == shared ? 0 : -EBUSY;
    else
        rc = page_view_get(n, index, 0, &v);
    if (rc < 0 || is_shared(value))
        goto out;
    if (!is_own(value) && !tmpfs_page_charge(n->fs)) {
        page_view_put(&v);
        rc = -ENOSPC;
        goto out;
    }
    page_view_copy(&v, page);
    page_view_put(&v);
    rc = page_index_set(&n->file.pages, index, shared);
    if (rc == 0 && is_own(value))
        page_drop(n, value);
    else if (rc == 0)
        n->file.page_count++;
    else if (!is_own(value))
        tmpfs_page_uncharge(n->fs);
    if (rc == 0)
        node_changed(n);
out:
    mutex_unlock(&n->inode.lock);
    return rc;
}

static uintptr_t tmpfs_shared_page(struct file *f, uint64_t off)
{
    struct node *n = node_of_file(f);
    void *value;

    mutex_lock(&n->inode.lock);
    value = page_index_get(&n->file.pages, off / PAGE_SIZE);
    mutex_unlock(&n->inode.lock);
    return is_shared(value) ? shared_address(value) : 0;
}

static void tmpfs_unshare_page(struct file *f, uint64_t off, void *page)
{
    struct node *n = node_of_file(f);
    uint64_t index = off / PAGE_SIZE;
    void *own = page_alloc(1);

    mutex_lock(&n->inode.lock);
    if (page_index_get(&n->file.pages, index) != (void *)((uintptr_t)page | PAGE_TAG_SHARED)) {
        if (own)
            page_free(own, 1);
    } else if (off >= n->size) {
        /* Truncated while it was mapped. */
        page_index_remove(&n->file.pages, index);
        n->file.page_count--;
        tmpfs_page_uncharge(n->fs);
        if (own)
            page_free(own, 1);
    } else if (own && user_copy_in(own, (uintptr_t)page, PAGE_SIZE) == 0) {
        if (n->size - off < PAGE_SIZE)
            memset((uint8_t *)own + (n->size - off), 0, PAGE_SIZE - (n->size - off));
        (void)!page_index_set(&n->file.pages, index, own); /* replaces: cannot fail */
    } else {
        /* No memory to keep the content in: the page reads as zeros from now on, never as stale data. */
        (void)!page_index_set(&n->file.pages, index, PAGE_HOLE);
        n->file.page_count--;
        tmpfs_page_uncharge(n->fs);
        if (own)
            page_free(own, 1);
    }
    mutex_unlock(&n->inode.lock);
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
    .share_page = tmpfs_share_page,
    .shared_page = tmpfs_shared_page,
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

/* ---- seals ---- */

#define SEALS_ALL (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

int tmpfs_seals_get(struct inode *inode)
{
    return tmpfs_is_file(inode) && node_of(inode)->anon_name ? (int)node_of(inode)->file.seals
                                                             : -EINVAL;
}

int tmpfs_seals_add(struct inode *inode, uint32_t seals)
{
    struct node *n;
    uint64_t index = 0;
    void *value;
    int rc = 0;

    if (!tmpfs_is_file(inode) || !node_of(inode)->anon_name || (seals & ~SEALS_ALL) != 0)
        return -EINVAL;
    n = node_of(inode);
    mutex_lock(&n->write_lock);
    mutex_lock(&inode->lock);
    if ((n->file.seals & F_SEAL_SEAL) != 0)
        rc = -EPERM;
    if (rc == 0 && (seals & F_SEAL_WRITE) != 0)
        for (; rc == 0 && (value = page_index_next(&n->file.pages, &index)) != NULL; index++)
            if (is_shared(value))
                rc = -EBUSY;
    if (rc == 0)
        n->file.seals |= seals;
    mutex_unlock(&inode->lock);
    mutex_unlock(&n->write_lock);
    return rc;
}

void tmpfs_seals_allow(struct inode *inode)
{
    node_of(inode)->file.seals = 0;
}
