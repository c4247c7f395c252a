/* SPDX-License-Identifier: Apache-2.0 */
/* The instance key, and what is signed and encrypted in an exchange (docs/exchange.md). Trusted; hosted. Texts come from outside. */
#pragma once

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "lib/defs.h"
#include "tee/agent/server/pin.h"

#define JOSE_SIZE_MAX (12u << 20) /* of one compact text */
#define JOSE_SPKI_SIZE_MAX 128u

struct jose_key {
    EVP_PKEY *key; /* ECDSA P-256 */
    cjose_jwk_t *jwk;
    uint8_t spki[JOSE_SPKI_SIZE_MAX]; /* SubjectPublicKeyInfo, DER */
    size_t spki_size;
    char *pem; /* PKCS #8 */
};
/* A new key. returns: 0; -ENOMEM; -EIO. */
MUST_CHECK int jose_key_new(struct jose_key *ret);
/* Wipes what is handed out of it; tokens can still be made. One thread only uses `pem`. */
void jose_key_pem_wipe(struct jose_key *key);
/* Wipes it. Twice does no harm. */
void jose_key_done(struct jose_key *key);

/* A JWT over claims, ES256. *ret for free(). returns: 0; -ENOMEM; -EIO. */
MUST_CHECK int jose_token_make(const struct jose_key *key, const json_t *claims, char **ret);

/*
 * Opens an answer: compact JWS, ES256, `typ` as EXCHANGE_ANSWER_TYPE, signed by the exchange certificate of a chain that ends at a pin and is valid at the payload's "time".
 * *ret for json_decref. *ret_reason, on failure: a static text. returns: 0; -EINVAL not of that form; -EBADMSG not authentic; -ENOMEM.
 */
MUST_CHECK int jose_answer_open(const struct pins *pins, const char *text, size_t len, json_t **ret,
                                const char **ret_reason);
/*
 * Decrypts a compact JWE (ECDH-ES, A256GCM) to the key. *ret for wipe_free, *ret_size bytes.
 * returns: 0; -EINVAL not of that form; -EBADMSG it is for another key, or was changed.
 */
MUST_CHECK int jose_secret_open(const struct jose_key *key, const char *text, size_t len,
                                uint8_t **ret, size_t *ret_size);
