/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory mapping of tmpfs files, and seals. Trusted. A page that a program maps MAP_SHARED is the program's own page:
 * the file reads and writes it there until it is unmapped.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs.h"
#include "tee/libos/fs/tmpfs/tmpfs_page.h"
#include "tee/libos/mm/mm.h"

#define EXTENT_SIZE_MAX (256u << 10) /* that is verified under the lock */

static struct node *node_of_file(struct file *f)
{
    return node_of(f->inode);
}

/* Without the lock: a change that is not seen here comes after the question. */
uint64_t tmpfs_image_id(struct file *f)
{
    const struct node *n = node_of_file(f);

    return n->has_lower && !__atomic_load_n(&n->kept, __ATOMIC_ACQUIRE) && n->nlink > 0
               ? n->lower.nid + 1
               : 0;
}

int64_t tmpfs_image_extent(struct file *f, uint64_t off, size_t size, uint64_t *ret_at)
{
    struct node *n = node_of_file(f);
    uint64_t index = off / PAGE_SIZE, end;
    int64_t run = 0;

    if (!n->has_lower)
        return 0;
    mutex_lock(&n->inode.lock);
    end = MIN(n->size, n->file.lower_size);
    if (page_index_next(&n->file.pages, &index))
        end = MIN(end, index * PAGE_SIZE); /* from here on it is changed */
    if (off < end)
        run = erofs_extent(n->fs->lower, &n->lower, off, MIN(MIN(size, end - off), EXTENT_SIZE_MAX),
                           ret_at);
    mutex_unlock(&n->inode.lock);
    return run;
}

int tmpfs_map_page(struct file *f, uint64_t off, void *page)
{
    struct node *n = node_of_file(f);
    struct page_view v;
    int rc;

    mutex_lock(&n->inode.lock);
    if (off >= ALIGN_UP(n->size, PAGE_SIZE)) {
        mutex_unlock(&n->inode.lock);
        return -EIO;
    }
    rc = tmpfs_page_view(n, off / PAGE_SIZE, 1, &v);
    if (rc == 0) {
        tmpfs_page_view_copy(&v, page);
        tmpfs_page_view_done(&v);
    }
    mutex_unlock(&n->inode.lock);
    return rc;
}

/*
 * A page of the image in a file that was opened for reading only stays where it is, and the mapping gets a copy: so
 * any number of processes can map it (glibc maps its tables MAP_SHARED). They do not see what others write to that
 * page later.
 */
static bool copy_will_do(struct file *f, const struct node *n, uint64_t off, const void *value)
{
    return (f->flags & O_ACCMODE) == O_RDONLY && !value && off < n->file.lower_size;
}

/* page becomes the storage at index, where value is now. */
static int storage_move(struct node *n, uint64_t index, void *value, void *page)
{
    void *shared = (void *)((uintptr_t)page | PAGE_TAG_SHARED);
    int rc;

    if (!page_is_own(value) && !tmpfs_page_charge(n->fs))
        return -ENOSPC;
    rc = page_index_set(&n->file.pages, index, shared);
    if (rc < 0) {
        if (!page_is_own(value))
            tmpfs_page_uncharge(n->fs);
        return rc;
    }
    if (page_is_own(value))
        tmpfs_page_drop(n, value);
    else
        n->file.page_count++;
    node_changed(n);
    return 0;
}

int tmpfs_share_page(struct file *f, uint64_t off, void *page)
{
    struct node *n = node_of_file(f);
    uint64_t index = off / PAGE_SIZE;
    struct page_view v;
    void *value;
    int rc;

    mutex_lock(&n->inode.lock);
    value = page_index_get(&n->file.pages, index);
    if (off >= ALIGN_UP(n->size, PAGE_SIZE)) {
        rc = -EIO;
    } else if (page_is_shared(value)) {
        rc = page_shared_address(value) == (uintptr_t)page ? 0 : -EBUSY;
    } else {
        rc = tmpfs_page_view(n, index, 0, &v);
        if (rc == 0) {
            tmpfs_page_view_copy(&v, page);
            tmpfs_page_view_done(&v);
            if (!copy_will_do(f, n, off, value))
                rc = storage_move(n, index, value, page);
        }
    }
    mutex_unlock(&n->inode.lock);
    return rc;
}

bool tmpfs_write_sealed(struct file *f)
{
    return (node_of_file(f)->file.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
}

uintptr_t tmpfs_shared_page(struct file *f, uint64_t off)
{
    struct node *n = node_of_file(f);
    void *value;

    mutex_lock(&n->inode.lock);
    value = page_index_get(&n->file.pages, off / PAGE_SIZE);
    mutex_unlock(&n->inode.lock);
    return page_is_shared(value) ? page_shared_address(value) : 0;
}

void tmpfs_unshare_page(struct file *f, uint64_t off, void *page)
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
    } else if (own && mm_shared_copy((uintptr_t)page, own, NULL, PAGE_SIZE) == 0) {
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

/* ---- seals ---- */

#define SEALS_ALL                                                                                  \
    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC)
#define SEALS_CONTENT (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

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
    /* What may be executed for good must not change either. */
    if ((seals & F_SEAL_EXEC) != 0 && (inode->mode & 0111) != 0)
        seals |= SEALS_CONTENT;
    if (rc == 0 && (seals & F_SEAL_WRITE) != 0)
        for (; rc == 0 && (value = page_index_next(&n->file.pages, &index)) != NULL; index++)
            if (page_is_shared(value))
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

void tmpfs_seals_noexec(struct inode *inode)
{
    inode->mode &= ~(uint32_t)0111;
    node_of(inode)->file.seals = F_SEAL_EXEC;
}
