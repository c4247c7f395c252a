/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a tmpfs file: its own, the program's (shared mappings), the lower file's, holes. Trusted. All but
 * tmpfs_unpin are called with inode.lock held.
 */
#pragma once

#include "tee/libos/fs/tmpfs/tmpfs_internal.h"

/* A page while it is read. */
struct page_view {
    const uint8_t *data;        /* NULL: zeros */
    size_t size;                /* bytes of data; zeros behind them */
    struct cached_page *cached; /* of the lower file, pinned */
    void *bounce;               /* copy of a shared page, ours to free */
};

static inline bool page_is_own(const void *value)
{
    return value && ((uintptr_t)value & (PAGE_SIZE - 1)) == 0;
}

static inline bool page_is_shared(const void *value)
{
    return ((uintptr_t)value & PAGE_TAG_SHARED) != 0;
}

static inline uintptr_t page_shared_address(const void *value)
{
    return (uintptr_t)value & ~(uintptr_t)(PAGE_SIZE - 1);
}

/* How page `index` reads now. ahead: how many pages behind it will be wanted. returns: 0; -EIO, -ENOMEM. */
MUST_CHECK int tmpfs_page_view(struct node *n, uint64_t index, uint64_t ahead,
                               struct page_view *ret);
void tmpfs_page_view_done(struct page_view *v);
/* Whole page, zeros behind the data. */
void tmpfs_page_view_copy(const struct page_view *v, void *page);
/* A page of our own at index, filled as it reads now unless the caller overwrites it whole. -ENOSPC, -EIO. */
MUST_CHECK int tmpfs_page_own(struct node *n, uint64_t index, bool whole, void **ret);
/* Writes within one page of the file; src NULL: zeros. -ENOSPC, -EIO. */
MUST_CHECK int tmpfs_page_write(struct node *n, uint64_t index, size_t in, const void *src,
                                size_t size);
/* Frees a page of our own, or keeps it for readers that hold a pin. */
void tmpfs_page_drop(struct node *n, void *page);
/* Zeros for [off, end) of the file, without leaving pages behind where whole pages go. */
MUST_CHECK int tmpfs_range_zero(struct node *n, uint64_t off, uint64_t end);
/* Frees the pages that lie wholly beyond size. */
void tmpfs_pages_trim(struct node *n, uint64_t size);
/* A reader is done (file.pins was raised under the lock). */
void tmpfs_unpin(struct node *n);
