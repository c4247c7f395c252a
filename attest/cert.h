/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates that carry evidence: interoperable RA-TLS of the Confidential Computing Consortium ("X.509 Cert and Evidence Formats", "SGX / TDX
 * Evidence Tags and Formats"), TCG DICE Attestation Architecture 1.1, section 6.1. Relying party and agent; a certificate that is read is hostile.
 *
 * The extension 2.23.133.5.4.9 holds 60000([quote, claims]), where claims is a CBOR map { "pubkey-hash": [algorithm, hash of the
 * SubjectPublicKeyInfo], "nonce": ... (optional) } in a byte string, and the quote's report data starts with SHA-256(claims), zeros behind.
 * A SEV-SNP report, for which no tag is registered, is a CMW record ["application/vnd.amd.sev-snp.attestation-report", report, 4]; its claims
 * are the map above with SHA-256 and no nonce, which both ends can write down.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "attest/cmw.h"
#include "verifier/verifier.h"

#define CERT_OID_EVIDENCE                                                                          \
    "2.23.133.5.4.9" /* tcg-dice-conceptual-message-wrapper, before: tagged-evidence */
#define CERT_OID_ENDORSEMENTS "2.23.133.5.4.2" /* tcg-dice-endorsement-manifest */
#define CERT_SIZE_MAX (1u << 20)               /* of one that is sent or accepted, DER */
#define CERT_CLAIMS_SIZE_MAX 1024u
#define CERT_LABEL_EVIDENCE "evidence" /* in a source's collection */

/* What binds a key to evidence. */
struct cert_binding {
    uint8_t claims[64]; /* serialised */
    size_t claims_size;
    uint8_t report_data[64]; /* that the evidence must have */
};
/* returns: 0; -EINVAL the key cannot be encoded. */
MUST_CHECK int cert_binding_make(EVP_PKEY *key, struct cert_binding *ret);

/*
 * A self-signed certificate for the key. cmw: what the source gave for the binding's report data: a record, or a collection with "evidence" and maybe
 * "collateral". returns: 0, and *ret is for X509_free; -EINVAL no evidence of a known type in it; -E2BIG; -ENOMEM.
 */
MUST_CHECK int cert_new(EVP_PKEY *key, const struct cert_binding *binding, const struct cmw *cmw,
                        int64_t not_before_s, int64_t not_after_s, X509 **ret, struct err *err);

/*
 * Puts evidence (and collateral) into a certificate that an authority is about to sign, as cert_new puts it into its own: `key` of the binding is the
 * certificate's. returns: as cert_new.
 */
MUST_CHECK int cert_evidence_add(X509 *cert, const struct cert_binding *binding,
                                 const struct cmw *cmw, struct err *err);

struct cert_content {
    struct verifier_bytes evidence; /* borrowed from the certificate */
    uint8_t report_data[64];        /* that the evidence must have, to be about this key */
    int64_t not_before_s, not_after_s;
    struct verifier_collateral_items collateral; /* stapled; borrowed; empty: none */
    struct cmw *evidence_cmw, *collateral_cmw;   /* what the above may borrow from; owned */
};
/*
 * Reads and checks everything but the evidence and the dates: it is signed by its own key, the key is strong, the claims are about it.
 * returns: 0; -ENOENT there is no evidence in it; -EINVAL malformed; -EBADMSG it is not what it says; -ENOMEM; err says which.
 */
MUST_CHECK int cert_read(X509 *cert, struct cert_content *ret, struct err *err);
/*
 * The same of a certificate that an authority signed. Its signature is not looked at: that is the chain's affair. Whoever reached the holder of the key by TLS knows by the
 * evidence what that is; when the evidence was made is the authority's word.
 */
MUST_CHECK int cert_read_issued(X509 *cert, struct cert_content *ret, struct err *err);
void cert_content_done(struct cert_content *content);
