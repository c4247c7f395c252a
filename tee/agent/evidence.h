/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence by Linux's configfs-tsm (Documentation/ABI/testing/configfs-tsm): the same way in an SGX enclave, where the library OS gives it,
 * and in SEV-SNP and TDX guests, where the kernel does. Trusted; hosted. What comes back is passed on as it is: the
 * verifier judges it. Here only its form is checked, and that it is over the report data that was asked for.
 */
#pragma once

#include "lib/defs.h"

#define EVIDENCE_TREE "/sys/kernel/config/tsm/report"
#define EVIDENCE_REPORT_DATA_SIZE 64u
#define EVIDENCE_OUTBLOB_SIZE_MAX (64u * 1024)
#define EVIDENCE_AUXBLOB_SIZE_MAX (1024u * 1024)
#define EVIDENCE_PROVIDER_SIZE 32u

struct evidence {
    char provider
        [EVIDENCE_PROVIDER_SIZE]; /* "cloche_sgx", "sev_guest", "tdx_guest", ...; NUL-ended */
    const uint8_t *outblob;       /* quote or report */
    size_t outblob_size;          /* 1 to EVIDENCE_OUTBLOB_SIZE_MAX */
    const uint8_t *auxblob;       /* collateral of cloche_sgx, certificates of sev_guest */
    size_t auxblob_size;          /* 0: there is none */
    void *pages;                  /* of both; evidence_done */
};

/*
 * Makes an entry in the folder `tree`, asks it for evidence over report_data, and removes the entry. While somebody else writes to the
 * entry, or the platform is busy, it is tried again until timeout_ms have passed.
 * returns: 0; -ENODEV there is no such interface here, or no platform behind it; -EBUSY it was busy or disturbed until
 *          the end; -EBADMSG the evidence is over something else; -EMSGSIZE a blob over its maximum; -EPROTO an attribute
 *          is not in Linux's form; -ETIMEDOUT, -EIO and others as the platform says.
 */
MUST_CHECK int evidence_get(const char *tree, const uint8_t report_data[EVIDENCE_REPORT_DATA_SIZE],
                            unsigned timeout_ms, struct evidence *ret);
/* Gives the blobs back. Twice does no harm. */
void evidence_done(struct evidence *e);
