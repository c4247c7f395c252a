/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SGX extensions of a PCK certificate. Relying party; input hostile until the chain is verified.
 * Source: Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5.
 */
#pragma once

#include <openssl/x509.h>

#include "verifier/verifier.h"

#define PCK_EXTENSION_OID "1.2.840.113741.1.13.1"

/* Writes ppid, pck_*, fmspc, pce_id, sgx_type, platform fields and has_pck. returns: 0; -EINVAL not as the profile says. */
MUST_CHECK int pck_parse(const X509 *cert, struct verifier_intel *ret);
/* The same from the extension's content. */
MUST_CHECK int pck_extension_parse(struct verifier_bytes content, struct verifier_intel *ret);
