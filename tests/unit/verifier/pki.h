/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manufacturer of our own for tests: Intel-like and AMD-like keys, certificates, revocation lists, collateral and evidence, all of
 * which verify under the policy of pki_policy(). Everything is made anew in each process; nothing here is trusted by anybody else.
 * Each function aborts the test when it cannot do its part.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "verifier/verifier.h"

#define PKI_NOW_S 1767225600 /* 2026-01-01: every certificate and list is valid */
#define PKI_QUOTE_SIZE_MAX 16384u
#define PKI_JSON_SIZE_MAX 16384u
#define PKI_EXTENSION_SIZE_MAX 1024u

struct pki {
    EVP_PKEY *root_key, *ca_key, *pck_key, *tcb_key, *attestation_key;
    X509 *root, *ca, *pck, *tcb;
    struct verifier_bytes pck_chain, tcb_chain; /* PEM */
    struct verifier_bytes ca_chain;             /* PEM: of the PCK's CRL */
    struct verifier_bytes pck_crl, root_crl;    /* DER */
    /* AMD; NULL until pki_add_amd */
    EVP_PKEY *ark_key, *vek_key;
    struct verifier_bytes vek, vek_chain;
};

/* The platform that the PCK certificate is for. */
extern const uint8_t pki_fmspc[6], pki_pce_id[2];

const struct pki *pki_get(void);
/* Adds the AMD part, which takes seconds: one RSA-4096 key. */
const struct pki *pki_get_amd(void);

/* Trusts both roots, debug refused, any program. Made once. */
const struct verifier_policy *pki_policy(void);

/* An SGX PCK extension's content. returns: its size. */
size_t pki_pck_extension(uint8_t dst[PKI_EXTENSION_SIZE_MAX]);
/* A certificate for the PCK's key with this extension content, by the CA. */
X509 *pki_pck_cert(const struct pki *pki, struct verifier_bytes extension);
/* PEM of certificates, NULL-ended. */
struct verifier_bytes pki_pem(X509 *const *certs);

/*
 * A quote: version 3 to 5, body_type as in a v5 descriptor (1 SGX, 2 TD 1.0, 3 TD 1.5), with the PCK chain. returns: its size.
 */
size_t pki_quote(const struct pki *pki, unsigned version, unsigned body_type,
                 uint8_t dst[PKI_QUOTE_SIZE_MAX]);
/* Puts keys and signatures into the quote, as far as its lengths can be followed; it need not be well-formed. returns: false: they cannot. */
bool pki_quote_sign(const struct pki *pki, uint8_t *quote, size_t size);
/* Signs a SEV-SNP report of 1184 bytes. */
void pki_report_sign(const struct pki *pki, uint8_t *report);

/* {"<name>": <value>, "signature": ...}. returns: its size, below dst_size; 0: it does not fit. */
size_t pki_sign_json(const struct pki *pki, const char *name, struct verifier_bytes value,
                     char *dst, size_t dst_size);
/* Values for the platform of the PCK, in which it is UpToDate; NUL-ended. */
void pki_tcb_info(bool is_tdx, char dst[PKI_JSON_SIZE_MAX]);
void pki_qe_identity(bool is_tdx, char dst[PKI_JSON_SIZE_MAX]);
/* Collateral with these values, both signed. */
struct verifier_collateral *pki_collateral(const struct pki *pki, struct verifier_bytes tcb_info,
                                           struct verifier_bytes qe_identity);
/* A revocation list by the key's owner; serials 1000 to 1000 + count - 1 are revoked. DER. */
struct verifier_bytes pki_crl(X509 *issuer, EVP_PKEY *key, unsigned count);
/* r and s of an ECDSA signature, big-endian, `size` bytes each, over a digest. */
void pki_ecdsa_sign(EVP_PKEY *key, const uint8_t *digest, size_t digest_size, uint8_t *ret,
                    size_t size);
