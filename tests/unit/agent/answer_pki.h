/* SPDX-License-Identifier: Apache-2.0 */
/* A server's keys, for tests and fuzzers of what agents read: root, exchange certificate, answers signed and encrypted. */
#pragma once

#include <jansson.h>
#include <openssl/x509.h>

#include "tee/agent/server/jose.h"

struct answer_pki {
    EVP_PKEY *root_key, *exchange_key;
    X509 *root, *exchange;
    uint8_t pin[PIN_SIZE];
};

void answer_pki_init(struct answer_pki *pki);
void answer_pki_done(struct answer_pki *pki);
/* A certificate of the root's. uri: its URI name, or NULL; is_ca; validity around time_s. */
X509 *answer_pki_issue(const struct answer_pki *pki, EVP_PKEY *key, const char *uri, int is_ca,
                       int64_t time_s);
char *answer_pki_pem(X509 *cert); /* for free() */
/* {"answer": JWS} over the payload; typ, NULL: an answer's; chain: NULL: exchange and root. For free(). */
char *answer_pki_sign(const struct answer_pki *pki, const char *payload, const char *typ,
                      EVP_PKEY *key, X509 *const *chain, unsigned chain_count);
/* A JWE to the key. For free(). */
char *answer_pki_encrypt(const struct jose_key *to, const char *plain);
