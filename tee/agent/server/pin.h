/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that every chain must end at: the descriptor's pin, and the roots that signed answers named since. Trusted; hosted. Certificates come
 * from outside; no system CA counts.
 */
#pragma once

#include <openssl/x509.h>

#include "lib/defs.h"

#define PIN_COUNT_MAX 8u
#define PIN_SIZE 32u
#define PIN_CHAIN_MAX 6u
#define PIN_TIME_ANY ((int64_t)-1) /* validity is not looked at */

struct pins {
    unsigned count;
    uint8_t sha256[PIN_COUNT_MAX]
                  [PIN_SIZE]; /* of SubjectPublicKeyInfos; the first is the descriptor's */
};

/* Only the descriptor's. */
void pin_init(struct pins *pins, const uint8_t sha256[PIN_SIZE]);
/* The descriptor's and the keys of these roots (PEM, one after another). returns: 0; -EINVAL no certificates; -E2BIG more than fit. */
MUST_CHECK int pin_replace_roots(struct pins *pins, const char *pem);

/*
 * Whether the chain, leaf first, ends at a pinned CA key at that time. Certificates after a pinned one are of no account. purpose: X509_PURPOSE_*; 0 any.
 * returns: 0; -EBADMSG it does not, and *ret_reason is a text that lives on; -ENOMEM.
 */
MUST_CHECK int pin_verify(const struct pins *pins, STACK_OF(X509) * chain, int64_t time_s,
                          int purpose, const char **ret_reason);
/* The certificates of a PEM text, for sk_X509_pop_free. returns: 0; -EINVAL malformed, none, or more than PIN_CHAIN_MAX. */
MUST_CHECK int pin_chain_read(const char *pem, STACK_OF(X509) * *ret);
void pin_chain_free(STACK_OF(X509) * chain);
static inline void pin_chain_freep(STACK_OF(X509) * *chain)
{
    pin_chain_free(*chain);
}
/* The certificate's one URI name has this path and is a SPIFFE ID. */
bool pin_has_spiffe_path(X509 *cert, const char *path);
