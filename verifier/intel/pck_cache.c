/* SPDX-License-Identifier: Apache-2.0 */
/* PCK certificate chains, looked up by the hash of their bytes. Relying party. */
#include "verifier/intel/pck_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/intel/pck.h"

static void release(struct cache_entry *entry)
{
    struct pck *pck = CONTAINER_OF(entry, struct pck, entry);

    x509_chain_done(&pck->chain);
    free(pck);
}

void pck_unref(struct pck *pck)
{
    if (pck)
        cache_entry_unref(&pck->entry);
}

static int parse(struct verifier_bytes bytes, const uint8_t sha256[32], struct pck **ret)
{
    struct pck *pck = calloc(1, sizeof *pck);
    int rc;

    if (!pck)
        return -ENOMEM;
    pck->entry.refs = 1;
    pck->entry.free = release;
    memcpy(pck->entry.key, sha256, sizeof pck->entry.key);
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

int pck_get(struct verifier_cache *cache, struct verifier_bytes bytes, struct pck **ret)
{
    uint8_t sha256[32];
    struct cache_entry *found;
    struct pck *pck;
    int rc;

    sha256_digest(bytes.data, bytes.size, sha256);
    found = cache_find(cache, CACHE_PCK, sha256);
    if (found) {
        *ret = CONTAINER_OF(found, struct pck, entry);
        return 0;
    }
    rc = parse(bytes, sha256, &pck);
    if (rc < 0)
        return rc;
    if (pck->chain.is_signed)
        cache_add(cache, CACHE_PCK, &pck->entry);
    *ret = pck;
    return 0;
}
