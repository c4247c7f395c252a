/* SPDX-License-Identifier: Apache-2.0 */
/* Attestation keys and the signatures over their quoting enclaves' reports, looked up by all that goes into them. Relying party. */
#include "verifier/intel/qe_key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/ecdsa.h"

#define KEY_SIZE 64u
#define SIGNATURE_SIZE 64u

static void release(struct cache_entry *entry)
{
    struct qe_key *key = CONTAINER_OF(entry, struct qe_key, entry);

    EVP_PKEY_free(key->key);
    free(key);
}

void qe_key_unref(struct qe_key *key)
{
    if (key)
        cache_entry_unref(&key->entry);
}

static void find_name(const struct pck *pck, const struct quote *q, uint8_t ret[SHA256_SIZE])
{
    struct sha256 hash;

    sha256_init(&hash);
    sha256_update(&hash, pck->entry.key, sizeof pck->entry.key);
    sha256_update(&hash, q->attestation_key, KEY_SIZE);
    sha256_update(&hash, q->qe_report, QUOTE_SGX_REPORT_SIZE);
    sha256_update(&hash, q->qe_signature, SIGNATURE_SIZE);
    sha256_final(&hash, ret);
}

static bool is_report_signed(const struct pck *pck, const struct quote *q)
{
    uint8_t digest[SHA256_SIZE];

    sha256_digest(q->qe_report, QUOTE_SGX_REPORT_SIZE, digest);
    return ecdsa_verify(pck->key, q->qe_signature, q->qe_signature + 32, digest, sizeof digest);
}

int qe_key_get(struct verifier_cache *cache, const struct pck *pck, const struct quote *q,
               struct qe_key **ret)
{
    bool has_pck = pck && pck->key;
    struct cache_entry *found = NULL;
    uint8_t name[SHA256_SIZE] = { 0 };
    struct qe_key *key;

    if (has_pck) {
        find_name(pck, q, name);
        found = cache_find(cache, CACHE_QE_KEY, name);
    }
    if (found) {
        *ret = CONTAINER_OF(found, struct qe_key, entry);
        return 0;
    }
    key = calloc(1, sizeof *key);
    if (!key)
        return -ENOMEM;
    key->entry.refs = 1;
    key->entry.free = release;
    memcpy(key->entry.key, name, sizeof name);
    if (ecdsa_p256_key_new(q->attestation_key, &key->key) == -ENOMEM) {
        free(key);
        return -ENOMEM;
    }
    key->is_signed = has_pck && is_report_signed(pck, q);
    if (key->is_signed && key->key && pck->chain.is_signed)
        cache_add(cache, CACHE_QE_KEY, &key->entry);
    *ret = key;
    return 0;
}
