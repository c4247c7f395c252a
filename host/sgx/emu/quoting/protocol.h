/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the quoting enclave and its service, over the enclave's standard input and output: a request and its answer, one at a time, each
 * a header and `size` bytes. Little-endian.
 */
#pragma once

#include "abi/evidence.h"

#define QE_SIGNATURE_SIZE 64u
#define QE_CHAIN_SIZE_MAX 8192u
#define QE_MESSAGE_SIZE_MAX (EVIDENCE_QUOTE_SIZE_MAX + 64u)

enum qe_request {
    QE_IDENTITY = 1, /* answer: struct qe_identity_answer */
    QE_CERTIFY = 2,  /* struct qe_certification, then the PCK chain in PEM; answer: nothing */
    QE_QUOTE = 3,    /* struct sgx_report for this enclave; answer: the quote */
};

struct qe_header {
    uint32_t size;
    int32_t kind; /* request: enum qe_request; answer: 0 or a negative errno */
};
_Static_assert(sizeof(struct qe_header) == 8, "qe_header");

struct qe_identity_answer {
    struct sgx_targetinfo targetinfo;
    struct sgx_report_body
        report; /* its report data: SHA-256 of attestation key and authentication data */
};
_Static_assert(sizeof(struct qe_identity_answer) == 896, "qe_identity_answer");

struct qe_certification {
    uint8_t signature[QE_SIGNATURE_SIZE]; /* of the report above, by the PCK */
    uint16_t pce_svn;
    uint16_t reserved;
};
_Static_assert(sizeof(struct qe_certification) == 68, "qe_certification");
