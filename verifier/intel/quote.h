/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel quotes, ECDSA P-256: version 3 (SGX), 4 (SGX, TDX) and 5 (with a body descriptor). Relying party; input hostile.
 * Sources: Intel SGX ECDSA Quote Library API, appendix A; Intel TDX DCAP Quoting Library API, appendix A.
 */
#pragma once

#include "verifier/verifier.h"

#define QUOTE_HEADER_SIZE 48u
#define QUOTE_SGX_REPORT_SIZE 384u
#define QUOTE_TDX_1_0_SIZE 584u
#define QUOTE_TDX_1_5_SIZE 648u
#define QUOTE_TEE_SGX 0u
#define QUOTE_TEE_TDX 0x81u

enum quote_body_type { QUOTE_BODY_SGX = 1, QUOTE_BODY_TDX_1_0 = 2, QUOTE_BODY_TDX_1_5 = 3 };

enum quote_certification {
    QUOTE_CERT_PPID_CLEAR = 1,
    QUOTE_CERT_PPID_RSA2048 = 2,
    QUOTE_CERT_PPID_RSA3072 = 3,
    QUOTE_CERT_PCK_LEAF = 4,
    QUOTE_CERT_PCK_CHAIN = 5,
    QUOTE_CERT_QE_REPORT = 6,
    QUOTE_CERT_PLATFORM_MANIFEST = 7,
};

/* Where the parts lie; all borrowed from the evidence. */
struct quote {
    uint16_t version;
    uint32_t tee_type;                 /* QUOTE_TEE_* */
    enum quote_body_type body_type;    /* also for v3 and v4 */
    struct verifier_bytes signed_part; /* header, body descriptor and body */
    const uint8_t *body;
    const uint8_t *signature;       /* r, s; 64 bytes, big-endian */
    const uint8_t *attestation_key; /* x, y; 64 bytes, big-endian */
    const uint8_t *qe_report;       /* QUOTE_SGX_REPORT_SIZE bytes */
    const uint8_t *qe_signature;    /* 64 bytes */
    struct verifier_bytes qe_auth_data;
    uint16_t certification_type; /* enum quote_certification; the inner one */
    struct verifier_bytes certification_data;
    uint32_t signature_data_size, trailing_size; /* bytes */
};

/* returns: 0; -EINVAL with a static text in *ret_why. */
MUST_CHECK int quote_parse(struct verifier_bytes evidence, struct quote *ret, const char **ret_why);
/* Name of a certification data type; static. */
const char *quote_certification_name(unsigned type);

/* Reads the 384 bytes of an SGX report body. */
void quote_sgx_report_parse(const uint8_t *body, struct verifier_sgx_report *ret);
void quote_tdx_report_parse(const uint8_t *body, bool is_1_5, struct verifier_tdx_report *ret);
/* Header fields and sizes into the claims. */
void quote_claims(const struct quote *quote, struct verifier_intel *ret);
