/* SPDX-License-Identifier: Apache-2.0 */
/* Quotes of an enclave that does not exist, under an emulated PKI: what tests of attested TLS attest with. */
#pragma once

#include "attest/cmw.h"
#include "host/sgx/emu/pki/pki.h"

#define QUOTER_QUOTE_SIZE_MAX 16384u

struct quoter {
    char folder[64];   /* of the PKI; made and removed by init and done */
    uint8_t mrenclave; /* each of its bytes */
    bool staples;      /* collateral comes with the evidence */
};

/* returns: 0; a negative errno, with a message on stderr. */
int quoter_init(struct quoter *q);
void quoter_done(struct quoter *q);
/* A quote v3 (Intel SGX ECDSA DCAP API, appendix A) over the report data, and maybe the collateral: an attest_source_fn, arg is the quoter. */
int quoter_get(void *arg, const uint8_t report_data[64], struct cmw **ret, struct err *err);
/* As above, from the PKI in a folder. */
int quoter_get_from(const char *folder, uint8_t mrenclave, bool staples,
                    const uint8_t report_data[64], struct cmw **ret, struct err *err);
/* Attributes that all quotes have from now on, besides INIT and MODE64BIT: SGX_ATTR_DEBUG. One thread. */
void quoter_attributes_add(uint64_t flags);
