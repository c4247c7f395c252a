/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse array of pointers by page number: a tree of 64-way nodes, as high as the largest index needs;
 * a file of one page has none. Trusted. The caller locks.
 */
#pragma once

#include "lib/defs.h"

#define PAGE_INDEX_BITS 6u
#define PAGE_INDEX_HEIGHT_MAX 9u
#define PAGE_INDEX_MAX ((1ull << (PAGE_INDEX_BITS * PAGE_INDEX_HEIGHT_MAX)) - 1)

/* Zero-initialised is empty. */
struct page_index {
    void *root; /* height 0: the value at index 0 */
    unsigned height;
};

void *page_index_get(const struct page_index *x, uint64_t index);
/* value is not NULL; replaces what was there. returns: 0; -ENOMEM; -EFBIG. */
MUST_CHECK int page_index_set(struct page_index *x, uint64_t index, void *value);
/* Removes and returns what was there; frees empty nodes. */
void *page_index_remove(struct page_index *x, uint64_t index);
/* The first value at index *index or beyond; *index is set to where it is. NULL: none. */
void *page_index_next(const struct page_index *x, uint64_t *index);
