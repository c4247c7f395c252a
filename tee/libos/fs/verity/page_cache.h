/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded cache of verified 4 KiB blocks in enclave memory, keyed by a number. Trusted. Any thread; each
 * of its parts has a spin lock that is a leaf. Eviction is by the clock algorithm; pinned pages stay.
 */
#pragma once

#include "tee/enclave/lock.h"

struct page_cache;

/* A page that the holder of a pin may read. Fields other than data belong to the cache. */
struct cached_page {
    uint8_t *data; /* 4096 bytes; written only between page_cache_take and page_cache_insert */
    uint64_t key;
    struct cached_page *next; /* hash chain */
    struct page_cache *cache;
    uint32_t pins;
    uint8_t referenced; /* looked up since the clock hand passed */
    bool hashed;        /* others can find it */
    bool counted;       /* within the bound; false: freed with its last pin */
};

/* page_count: how many pages may be kept; raised to PAGE_CACHE_COUNT_MIN. returns: 0; -ENOMEM. */
#define PAGE_CACHE_COUNT_MIN 256u
MUST_CHECK int page_cache_new(size_t page_count, struct page_cache **ret);
/* No page may be pinned any more. Accepts NULL. */
void page_cache_free(struct page_cache *c);
/* The page of key, pinned; NULL when it is not there. */
struct cached_page *page_cache_find(struct page_cache *c, uint64_t key);
/* A page to fill, pinned and not yet findable; a page that nobody uses may be evicted for it. NULL: no memory. */
MUST_CHECK struct cached_page *page_cache_take(struct page_cache *c, uint64_t key);
/* Makes a filled page findable. When another thread was faster its page comes back, pinned, and this one
 * goes. */
struct cached_page *page_cache_insert(struct cached_page *p);
/* Gives a pin back. A page that was never inserted is freed. Accepts NULL. */
void page_cache_put(struct cached_page *p);
/* Pages held now. */
size_t page_cache_count(struct page_cache *c);
