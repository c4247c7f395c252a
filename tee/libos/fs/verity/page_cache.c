/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page cache: shards by key, each a hash table and a clock over at most its share of the pages.
 * Trusted.
 */
#include "tee/libos/fs/verity/page_cache.h"

#include "tee/enclave/alloc.h"

#include <linux/errno.h>

#define SHARD_COUNT 16u

struct shard {
    struct spin lock; /* guards all below, and hashed, referenced, next of its pages */
    struct cached_page **buckets;
    struct cached_page **slots; /* findable pages, in clock order */
    size_t bucket_mask;
    size_t capacity, used; /* used: findable pages and those being filled */
    size_t slot_count, hand;
};

struct page_cache {
    struct shard shards[SHARD_COUNT];
};

static uint64_t mix(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15ull;
    return key ^ key >> 32;
}

static struct shard *shard_of(struct page_cache *c, uint64_t hash)
{
    return &c->shards[hash >> 8 & (SHARD_COUNT - 1)];
}

static struct cached_page **bucket_of(struct shard *s, uint64_t hash)
{
    return &s->buckets[hash >> 12 & s->bucket_mask];
}

int page_cache_new(size_t page_count, struct page_cache **ret)
{
    struct page_cache *c = mem_zalloc(sizeof *c);
    size_t capacity = MAX(page_count, PAGE_CACHE_COUNT_MIN) / SHARD_COUNT, buckets = 16;

    if (!c)
        return -ENOMEM;
    while (buckets < capacity)
        buckets *= 2;
    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        struct shard *s = &c->shards[i];

        s->capacity = capacity;
        s->bucket_mask = buckets - 1;
        s->buckets = mem_calloc(buckets, sizeof(void *));
        s->slots = mem_calloc(capacity, sizeof(void *));
        if (!s->buckets || !s->slots) {
            page_cache_free(c);
            return -ENOMEM;
        }
    }
    *ret = c;
    return 0;
}

static void page_destroy(struct cached_page *p)
{
    if (!p)
        return;
    if (p->data)
        page_free(p->data, 1);
    mem_free(p);
}

void page_cache_free(struct page_cache *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        struct shard *s = &c->shards[i];

        for (size_t j = 0; j < s->slot_count; j++)
            page_destroy(s->slots[j]);
        mem_free(s->slots);
        mem_free(s->buckets);
    }
    mem_free(c);
}

static struct cached_page *find_locked(struct shard *s, uint64_t hash, uint64_t key)
{
    struct cached_page *p = *bucket_of(s, hash);

    while (p && p->key != key)
        p = p->next;
    if (p) {
        __atomic_fetch_add(&p->pins, 1, __ATOMIC_RELAXED);
        p->referenced = 1;
    }
    return p;
}

struct cached_page *page_cache_find(struct page_cache *c, uint64_t key)
{
    uint64_t hash = mix(key);
    struct shard *s = shard_of(c, hash);
    struct cached_page *p;

    spin_lock(&s->lock);
    p = find_locked(s, hash, key);
    spin_unlock(&s->lock);
    return p;
}

static void unhash_locked(struct shard *s, struct cached_page *p)
{
    struct cached_page **at = bucket_of(s, mix(p->key));

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    p->hashed = false;
}

/* Takes a page that nobody has pinned out of the shard; NULL when all are in use. */
static struct cached_page *evict_locked(struct shard *s)
{
    for (size_t i = 0; i < 2 * s->slot_count; i++) {
        struct cached_page *p = s->slots[s->hand];

        if (__atomic_load_n(&p->pins, __ATOMIC_ACQUIRE) == 0 && !p->referenced) {
            unhash_locked(s, p);
            s->slots[s->hand] = s->slots[--s->slot_count];
            if (s->hand >= s->slot_count)
                s->hand = 0;
            return p;
        }
        p->referenced = 0;
        s->hand = (s->hand + 1) % s->slot_count;
    }
    return NULL;
}

static struct cached_page *page_create(struct page_cache *c)
{
    struct cached_page *p = mem_zalloc(sizeof *p);

    if (!p)
        return NULL;
    p->cache = c;
    p->data = page_alloc(1);
    if (!p->data) {
        mem_free(p);
        return NULL;
    }
    return p;
}

struct cached_page *page_cache_take(struct page_cache *c, uint64_t key)
{
    struct shard *s = shard_of(c, mix(key));
    struct cached_page *p = NULL;
    bool room;

    spin_lock(&s->lock);
    room = s->used < s->capacity;
    if (room)
        s->used++;
    else
        p = evict_locked(s);
    spin_unlock(&s->lock);
    if (!p) {
        /* With no room every page is pinned: one beyond the bound, freed with its last pin. */
        p = page_create(c);
        if (!p) {
            spin_lock(&s->lock);
            if (room)
                p = evict_locked(s);
            if (room)
                s->used--;
            spin_unlock(&s->lock);
            if (!p)
                return NULL;
            room = false;
            p->counted = true;
        } else {
            p->counted = room;
        }
    }
    p->key = key;
    p->pins = 1;
    return p;
}

struct cached_page *page_cache_insert(struct cached_page *p)
{
    uint64_t hash = mix(p->key);
    struct shard *s = shard_of(p->cache, hash);
    struct cached_page *other, **at;

    if (!p->counted)
        return p;
    spin_lock(&s->lock);
    other = find_locked(s, hash, p->key);
    if (!other) {
        at = bucket_of(s, hash);
        p->next = *at;
        *at = p;
        p->hashed = true;
        p->referenced = 1;
        s->slots[s->slot_count++] = p;
    }
    spin_unlock(&s->lock);
    if (!other)
        return p;
    page_cache_put(p);
    return other;
}

void page_cache_put(struct cached_page *p)
{
    struct shard *s;

    if (!p)
        return;
    if (p->hashed) {
        /* A pinned page stays hashed, so it cannot go before this store. */
        __atomic_fetch_sub(&p->pins, 1, __ATOMIC_RELEASE);
        return;
    }
    if (__atomic_sub_fetch(&p->pins, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (p->counted) {
        s = shard_of(p->cache, mix(p->key));
        spin_lock(&s->lock);
        s->used--;
        spin_unlock(&s->lock);
    }
    page_destroy(p);
}

size_t page_cache_count(struct page_cache *c)
{
    size_t count = 0;

    for (unsigned i = 0; i < SHARD_COUNT; i++)
        count += __atomic_load_n(&c->shards[i].slot_count, __ATOMIC_RELAXED);
    return count;
}
