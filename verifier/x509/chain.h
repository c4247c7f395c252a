/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate chains (RFC 5280): parsing, order, signatures, dates. Relying party; input may be hostile. A chain here is short
 * and closed: every certificate is part of one path from a leaf to a self-signed root.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "verifier/verifier.h"

/* Signatures that a chain may have; anything else is refused. */
enum x509_profile {
    X509_PROFILE_INTEL, /* ECDSA P-256 with SHA-256 */
    X509_PROFILE_AMD,   /* RSA-4096 PSS, SHA-384, salt 48; keys P-384 for the leaf */
};

struct x509_chain {
    unsigned count;                        /* 0: nothing was given, or it could not be read */
    X509 *certs[VERIFIER_CHAIN_COUNT_MAX]; /* leaf first, each followed by its issuer; owned */
    bool is_signed; /* each by the next, the last by itself, with the rights to do so */
    uint8_t root_key_sha256[32];       /* of the last one's SubjectPublicKeyInfo */
    int64_t not_before_s, not_after_s; /* when all are valid */
};

/*
 * Reads certificates in PEM (text around them and NULs at the end are passed over) or in DER, one after the other; brings them
 * into order, verifies signatures, CA rights (basicConstraints, keyUsage, path length) and refuses unknown critical extensions.
 * returns: 0, also when is_signed is false; -EINVAL not readable, too many, or no single path; -ENOMEM. On error chain is empty.
 */
MUST_CHECK int x509_chain_parse(struct x509_chain *chain, enum x509_profile profile,
                                const struct verifier_bytes *parts, unsigned part_count);
void x509_chain_done(struct x509_chain *chain);

/* Content of the leaf's extension with this OID. returns: 0; -ENOENT; -EINVAL it is there twice. */
MUST_CHECK int x509_extension_find(const X509 *cert, const char *oid, struct verifier_bytes *ret);
/* CN of the subject or issuer in UTF-8, cut. returns: 0; -ENOENT. */
MUST_CHECK int x509_name_cn(const X509_NAME *name, char *dst, size_t size);
/* Seconds since 1970; INT64_MIN when it is no time. */
int64_t x509_time_s(const ASN1_TIME *time);
/* SHA-256 of the SubjectPublicKeyInfo. returns: 0; -EINVAL. */
MUST_CHECK int x509_key_sha256(const X509 *cert, uint8_t ret[32]);

/* ---- revocation lists ---- */

struct x509_crl {
    X509_CRL *crl; /* NULL: none was given, or it could not be read; owned */
    int64_t this_update_s, next_update_s;
};
/* DER, hex of DER (as PCS answers) or PEM. returns: 0; -EINVAL not readable, no nextUpdate, or an unknown critical extension; -ENOMEM. */
MUST_CHECK int x509_crl_parse(struct x509_crl *crl, struct verifier_bytes bytes);
void x509_crl_done(struct x509_crl *crl);
/* Issued in the name of `issuer`, and signed by its key. */
bool x509_crl_is_by(const struct x509_crl *crl, const X509 *issuer);
bool x509_crl_is_signed(const struct x509_crl *crl, const X509 *issuer, enum x509_profile profile);
bool x509_crl_has(const struct x509_crl *crl, const X509 *cert);
