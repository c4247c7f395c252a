/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of tmpfs files. Trusted; see tmpfs_page.h. A page that goes while readers copy from it waits in limbo for the
 * last pin.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/tmpfs/tmpfs_page.h"
#include "tee/libos/mm/mm.h"

/* ---- limbo ---- */

/* Frees a page, or keeps it for readers that hold a pin. */
void tmpfs_page_drop(struct node *n, void *page)
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

void tmpfs_unpin(struct node *n)
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

    if (page_is_shared(value))
        return; /* the mapping's own; unshare_page ends it */
    page_index_remove(&n->file.pages, index);
    if (page_is_own(value)) {
        tmpfs_page_drop(n, value);
        n->file.page_count--;
        tmpfs_page_uncharge(n->fs);
    }
}

int tmpfs_page_view(struct node *n, uint64_t index, uint64_t ahead, struct page_view *ret)
{
    void *value = page_index_get(&n->file.pages, index);
    uint64_t off = index * PAGE_SIZE;
    struct erofs_span span;
    int rc;

    *ret = (struct page_view){ 0 };
    if (page_is_own(value)) {
        ret->data = value;
        ret->size = PAGE_SIZE;
    } else if (page_is_shared(value)) {
        ret->bounce = page_alloc(1);
        if (!ret->bounce)
            return -ENOMEM;
        ret->data = ret->bounce;
        ret->size = PAGE_SIZE;
        rc = mm_shared_copy(page_shared_address(value), ret->bounce, NULL, PAGE_SIZE);
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

void tmpfs_page_view_done(struct page_view *v)
{
    page_cache_put(v->cached);
    if (v->bounce)
        page_free(v->bounce, 1);
}

void tmpfs_page_view_copy(const struct page_view *v, void *page)
{
    if (v->size > 0)
        memcpy(page, v->data, v->size);
    memset((uint8_t *)page + v->size, 0, PAGE_SIZE - v->size);
}

/* A page of our own at index, filled as it reads now unless the caller overwrites it whole. */
int tmpfs_page_own(struct node *n, uint64_t index, bool whole, void **ret)
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
    rc = whole ? 0 : tmpfs_page_view(n, index, 0, &v);
    if (rc == 0) {
        if (!whole)
            tmpfs_page_view_copy(&v, page);
        tmpfs_page_view_done(&v);
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

/* Writes within one page of the file. src NULL: zeros. */
int tmpfs_page_write(struct node *n, uint64_t index, size_t in, const void *src, size_t size)
{
    void *value = page_index_get(&n->file.pages, index);
    int rc;

    if (page_is_shared(value))
        return mm_shared_copy(page_shared_address(value) + in, NULL, src, size);
    if (!page_is_own(value)) {
        rc = tmpfs_page_own(n, index, in == 0 && size == PAGE_SIZE, &value);
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
int tmpfs_range_zero(struct node *n, uint64_t off, uint64_t end)
{
    int rc = 0;

    while (off < end && rc == 0) {
        uint64_t index = off / PAGE_SIZE;
        size_t in = off % PAGE_SIZE, size = MIN(end - off, PAGE_SIZE - in);
        void *value = page_index_get(&n->file.pages, index);
        bool lower = off < n->file.lower_size;

        if (size == PAGE_SIZE && !page_is_shared(value)) {
            page_forget(n, index);
            if (lower)
                rc = page_index_set(&n->file.pages, index, PAGE_HOLE);
        } else if (page_is_own(value) || page_is_shared(value) || (!value && lower)) {
            rc = tmpfs_page_write(n, index, in, NULL, size);
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

void tmpfs_pages_trim(struct node *n, uint64_t size)
{
    for (uint64_t index = (size + PAGE_SIZE - 1) / PAGE_SIZE;
         page_index_next(&n->file.pages, &index); index++)
        page_forget(n, index);
}

int file_data_resize(struct node *n, uint64_t size)
{
    int rc;

    if (size > TMPFS_SIZE_FILE_MAX)
        return -EFBIG;
    if ((size < n->size && (n->file.seals & F_SEAL_SHRINK) != 0) ||
        (size > n->size && (n->file.seals & F_SEAL_GROW) != 0))
        return -EPERM;
    if (size < n->size) {
        if (size % PAGE_SIZE != 0) {
            rc = tmpfs_range_zero(n, size, ALIGN_UP(size, PAGE_SIZE));
            if (rc < 0)
                return rc;
        }
        tmpfs_pages_trim(n, size);
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
        if (page_is_own(value)) {
            page_free(value, 1);
            tmpfs_page_uncharge(n->fs);
        }
    }
    limbo_empty(n);
}
