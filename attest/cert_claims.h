/* SPDX-License-Identifier: Apache-2.0 */
/* The claims that bind a key to evidence, and their bytes. Relying party and agent; within attest/cert*.c. */
#pragma once

#include "attest/cert.h"

#define CERT_TAG_INTEL_QUOTE 60000u /* registered: quotes of SGX and TDX with ECDSA keys */

/* Digest of the SubjectPublicKeyInfo, DER. returns: 0; -EINVAL. */
MUST_CHECK int cert_key_hash(EVP_PKEY *key, const EVP_MD *md, uint8_t *ret);
/* The claims that this library writes: the SHA-256 alone. returns: 0; -ENOMEM. */
MUST_CHECK int cert_binding_encode(const uint8_t key_sha256[32], struct cert_binding *ret);
/*
 * Whether serialised claims (hostile) are about this key. *ret_report_data: what evidence over them carries.
 * returns: 0; -EINVAL malformed; -EBADMSG another key; -ENOTSUP a hash that is not SHA-256, SHA-384 or SHA-512; err says so.
 */
MUST_CHECK int cert_claims_verify(struct verifier_bytes claims, EVP_PKEY *key,
                                  uint8_t ret_report_data[64], struct err *err);
