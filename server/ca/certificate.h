/* SPDX-License-Identifier: Apache-2.0 */
/* X.509 certificates as the server's CA writes them (RFC 5280; SPIFFE X.509-SVID). Relying party; within server/ca/. */
#pragma once

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "attest/cert.h"
#include "lib/defs.h"
#include "lib/err.h"

#define CERTIFICATE_BACKDATE_S 60 /* notBefore lies so far in the past: clocks differ */
#define CERTIFICATE_SERIAL_SIZE 41u

enum certificate_use {
    CERTIFICATE_ROOT,
    CERTIFICATE_INTERMEDIATE,
    CERTIFICATE_EXCHANGE,
    CERTIFICATE_SERVER,
    CERTIFICATE_INSTANCE,
};
struct certificate_request {
    enum certificate_use use;
    const char *common_name, *organization; /* organization: or NULL */
    EVP_PKEY *public_key;
    X509 *issuer; /* NULL: itself */
    EVP_PKEY *issuer_key;
    const char *uri;          /* URI name, or NULL */
    const char *const *names; /* DNS names, and addresses as text */
    unsigned name_count;
    const char *crl_url;                /* or NULL */
    const struct cmw *evidence;         /* about the key, or NULL */
    const struct cert_binding *binding; /* of the key, with evidence */
    int64_t not_before_s, not_after_s;  /* the end is never after the issuer's */
};
/* *ret for X509_free. returns: 0; -EINVAL names or key; -EIO. */
MUST_CHECK int certificate_make(const struct certificate_request *request, X509 **ret,
                                struct err *err);
/* Serial number as hex. returns: 0; -EIO. */
MUST_CHECK int certificate_serial(const X509 *certificate, char ret[CERTIFICATE_SERIAL_SIZE]);
int64_t certificate_until_s(const X509 *certificate);
/* Whether a host name or wildcard name is one that may stand in a certificate. */
bool certificate_dns_name_is_valid(const char *name);
/* Adds PEM to text at *text (grown, for free()). returns: 0; -ENOMEM. */
MUST_CHECK int certificate_pem_add(const X509 *certificate, char **text);
/* SHA-256 of the SubjectPublicKeyInfo. returns: 0; -EIO. */
MUST_CHECK int certificate_pin(const X509 *certificate, uint8_t ret[32]);
