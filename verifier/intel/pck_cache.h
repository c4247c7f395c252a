/* SPDX-License-Identifier: Apache-2.0 */
/* PCK certificate chains, parsed and verified once. Relying party; the bytes are hostile. */
#pragma once

#include "verifier/intel/cache.h"
#include "verifier/x509/chain.h"

/* Immutable once made. */
struct pck {
    struct cache_entry entry; /* key: SHA-256 of the chain as it came */
    struct x509_chain chain;  /* count 0: not readable */
    EVP_PKEY *key;            /* of the leaf; borrowed from chain; NULL: none */
    bool has_extension;
    struct verifier_intel claims; /* what pck_parse wrote */
};

/* The parsed chain with a reference for the caller; from the cache when there is one. returns: 0, also when it is not readable; -ENOMEM. */
MUST_CHECK int pck_get(struct verifier_cache *cache, struct verifier_bytes bytes, struct pck **ret);
void pck_unref(struct pck *pck); /* NULL allowed */
