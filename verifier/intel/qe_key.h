/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attestation key of a quote, and whether the PCK signed the report of the quoting enclave that it came with. A platform uses one key for many quotes, so both are found out once: whether the
 * signature is good is a pure function of the PCK's chain, the report and the signature. That the report names this key is checked for each quote. Relying party; the bytes are hostile.
 */
#pragma once

#include <openssl/evp.h>

#include "verifier/intel/pck_cache.h"
#include "verifier/intel/quote.h"

/* Immutable once made. */
struct qe_key {
    struct cache_entry
        entry;      /* key: SHA-256 over the PCK chain's hash, key, report and signature */
    EVP_PKEY *key;  /* P-256; NULL: it is no point of the curve */
    bool is_signed; /* the report, by the PCK's key */
};

/* With a reference for the caller; pck NULL or without a key: is_signed is false. returns: 0; -ENOMEM. */
MUST_CHECK int qe_key_get(struct verifier_cache *cache, const struct pck *pck,
                          const struct quote *quote, struct qe_key **ret);
void qe_key_unref(struct qe_key *key); /* NULL allowed */
