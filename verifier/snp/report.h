/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEV-SNP attestation reports, versions 2, 3 and 5. Relying party; input hostile.
 * Source: AMD 56860 "SEV Secure Nested Paging Firmware ABI", ATTESTATION_REPORT.
 */
#pragma once

#include "verifier/verifier.h"

#define SNP_REPORT_SIZE 0x4a0u
#define SNP_SIGNED_SIZE 0x2a0u
#define SNP_SIGNATURE_ECDSA_P384_SHA384 1u
#define SNP_POLICY_SMT (1ull << 16)
#define SNP_POLICY_MIGRATE_MA (1ull << 18)
#define SNP_POLICY_DEBUG (1ull << 19)
#define SNP_POLICY_SINGLE_SOCKET (1ull << 20)

/* returns: 0; -EINVAL with a static text in *ret_why. The TCB versions are read for ret->product: see snp_report_tcbs. */
MUST_CHECK int snp_report_parse(struct verifier_bytes evidence, struct verifier_snp *ret,
                                const char **ret_why);
/* Reads the four TCB versions, whose layout depends on the product. */
void snp_report_tcbs(const uint8_t *report, enum verifier_snp_product product,
                     struct verifier_snp *ret);
/* Product of a CPUID family and model; UNKNOWN for others. */
enum verifier_snp_product snp_product_of_cpuid(unsigned family, unsigned model);
const char *snp_product_name(enum verifier_snp_product product);
/* "Milan", also followed by '-' and more. UNKNOWN for others. */
enum verifier_snp_product snp_product_of_name(const char *name);
/* Each part of a at least that of b. */
bool snp_tcb_reaches(const struct verifier_snp_tcb *a, const struct verifier_snp_tcb *b);

/* ECDSA P-384 over SHA-384 of signed_part; r and s little-endian in 72 bytes each, the upper 24 zero. */
bool snp_signature_verify(void *evp_key, const uint8_t *signed_part, size_t size,
                          const uint8_t *signature);
