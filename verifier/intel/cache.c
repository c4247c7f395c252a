/* SPDX-License-Identifier: Apache-2.0 */
/* The cache: tables of sets, each set most recently used first; what one piece of evidence puts in can only ever be found with the very same bytes. Relying party. */
#include "verifier/intel/cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SET_SIZE 4u
#define CACHE_COUNT_MAX 4096u

struct verifier_cache {
    pthread_mutex_t lock;                         /* guards sets */
    unsigned set_count;                           /* of each table */
    struct cache_entry **sets[CACHE_TABLE_COUNT]; /* set_count * SET_SIZE; one reference each */
};

int verifier_cache_new(unsigned count, struct verifier_cache **ret)
{
    struct verifier_cache *cache;
    bool has_all = true;

    if (count == 0 || count > CACHE_COUNT_MAX)
        return -EINVAL;
    cache = calloc(1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->set_count = (count + SET_SIZE - 1) / SET_SIZE;
    for (unsigned t = 0; t < CACHE_TABLE_COUNT; t++) {
        cache->sets[t] = calloc((size_t)cache->set_count * SET_SIZE, sizeof *cache->sets[t]);
        has_all &= cache->sets[t] != NULL;
    }
    if (!has_all || pthread_mutex_init(&cache->lock, NULL) != 0) {
        for (unsigned t = 0; t < CACHE_TABLE_COUNT; t++)
            free(cache->sets[t]);
        free(cache);
        return -ENOMEM;
    }
    *ret = cache;
    return 0;
}

void verifier_cache_free(struct verifier_cache *cache)
{
    if (!cache)
        return;
    for (unsigned t = 0; t < CACHE_TABLE_COUNT; t++) {
        for (unsigned i = 0; i < cache->set_count * SET_SIZE; i++)
            cache_entry_unref(cache->sets[t][i]);
        free(cache->sets[t]);
    }
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

void cache_entry_unref(struct cache_entry *entry)
{
    if (entry && __atomic_sub_fetch(&entry->refs, 1, __ATOMIC_ACQ_REL) == 0)
        entry->free(entry);
}

static struct cache_entry **find_set(struct verifier_cache *cache, enum cache_table table,
                                     const uint8_t key[32])
{
    uint32_t hash;

    memcpy(&hash, key, sizeof hash);
    return &cache->sets[table][(size_t)(hash % cache->set_count) * SET_SIZE];
}

/* Moves the entry to the front. */
static void use(struct cache_entry **set, unsigned index, struct cache_entry *entry)
{
    memmove(set + 1, set, index * sizeof *set);
    set[0] = entry;
}

struct cache_entry *cache_find(struct verifier_cache *cache, enum cache_table table,
                               const uint8_t key[32])
{
    struct cache_entry **set, *found = NULL;

    if (!cache)
        return NULL;
    set = find_set(cache, table, key);
    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < SET_SIZE && set[i]; i++)
        if (memcmp(set[i]->key, key, sizeof set[i]->key) == 0) {
            found = set[i];
            use(set, i, found);
            __atomic_add_fetch(&found->refs, 1, __ATOMIC_RELAXED);
            break;
        }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

void cache_add(struct verifier_cache *cache, enum cache_table table, struct cache_entry *entry)
{
    struct cache_entry **set, *oldest;

    if (!cache)
        return;
    set = find_set(cache, table, entry->key);
    __atomic_add_fetch(&entry->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&cache->lock);
    oldest = set[SET_SIZE - 1];
    use(set, SET_SIZE - 1, entry);
    pthread_mutex_unlock(&cache->lock);
    cache_entry_unref(oldest);
}
