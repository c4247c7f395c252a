/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache of PCK chains: a table of sets, looked up by the hash of the chain's bytes, so that what one piece of evidence
 * puts in can only ever be found with the very same bytes. Relying party.
 */
#include "verifier/intel/pck_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/intel/pck.h"

#define SET_SIZE 4u
#define CACHE_COUNT_MAX 4096u

struct verifier_cache {
    pthread_mutex_t lock; /* guards sets */
    unsigned set_count;
    struct pck *
        *sets; /* set_count * SET_SIZE, each set most recently used first; one reference each */
};

int verifier_cache_new(unsigned count, struct verifier_cache **ret)
{
    struct verifier_cache *cache;

    if (count == 0 || count > CACHE_COUNT_MAX)
        return -EINVAL;
    cache = calloc(1, sizeof *cache);
    if (!cache)
        return -ENOMEM;
    cache->set_count = (count + SET_SIZE - 1) / SET_SIZE;
    cache->sets = calloc((size_t)cache->set_count * SET_SIZE, sizeof *cache->sets);
    if (!cache->sets || pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache->sets);
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
    for (unsigned i = 0; i < cache->set_count * SET_SIZE; i++)
        pck_unref(cache->sets[i]);
    pthread_mutex_destroy(&cache->lock);
    free(cache->sets);
    free(cache);
}

void pck_unref(struct pck *pck)
{
    if (!pck || __atomic_sub_fetch(&pck->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    x509_chain_done(&pck->chain);
    free(pck);
}

static int parse(struct verifier_bytes bytes, const uint8_t sha256[32], struct pck **ret)
{
    struct pck *pck = calloc(1, sizeof *pck);
    int rc;

    if (!pck)
        return -ENOMEM;
    pck->refs = 1;
    memcpy(pck->bytes_sha256, sha256, 32);
    rc = x509_chain_parse(&pck->chain, X509_PROFILE_INTEL, &bytes, 1);
    if (rc == -ENOMEM) {
        free(pck);
        return rc;
    }
    if (rc == 0) {
        pck->key = X509_get0_pubkey(pck->chain.certs[0]);
        pck->has_extension = pck_parse(pck->chain.certs[0], &pck->claims) == 0;
    }
    *ret = pck;
    return 0;
}

static struct pck **find_set(struct verifier_cache *cache, const uint8_t sha256[32])
{
    uint32_t hash;

    memcpy(&hash, sha256, sizeof hash);
    return &cache->sets[(size_t)(hash % cache->set_count) * SET_SIZE];
}

/* Moves the entry to the front. */
static void use(struct pck **set, unsigned index, struct pck *pck)
{
    memmove(set + 1, set, index * sizeof *set);
    set[0] = pck;
}

static struct pck *find(struct verifier_cache *cache, const uint8_t sha256[32])
{
    struct pck **set = find_set(cache, sha256), *found = NULL;

    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < SET_SIZE && set[i]; i++)
        if (memcmp(set[i]->bytes_sha256, sha256, 32) == 0) {
            found = set[i];
            use(set, i, found);
            __atomic_add_fetch(&found->refs, 1, __ATOMIC_RELAXED);
            break;
        }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static void add(struct verifier_cache *cache, struct pck *pck)
{
    struct pck **set = find_set(cache, pck->bytes_sha256), *oldest;

    __atomic_add_fetch(&pck->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&cache->lock);
    oldest = set[SET_SIZE - 1];
    use(set, SET_SIZE - 1, pck);
    pthread_mutex_unlock(&cache->lock);
    pck_unref(oldest);
}

int pck_get(struct verifier_cache *cache, struct verifier_bytes bytes, struct pck **ret)
{
    uint8_t sha256[32];
    struct pck *pck;
    int rc;

    sha256_digest(bytes.data, bytes.size, sha256);
    pck = cache ? find(cache, sha256) : NULL;
    if (!pck) {
        rc = parse(bytes, sha256, &pck);
        if (rc < 0)
            return rc;
        if (cache && pck->chain.is_signed)
            add(cache, pck);
    }
    *ret = pck;
    return 0;
}
