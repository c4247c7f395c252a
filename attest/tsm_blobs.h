/* SPDX-License-Identifier: Apache-2.0 */
/* What configfs-tsm answers, and how it becomes a CMW. Runs inside a TEE; aux comes from the host and may be hostile. Within attest/. */
#pragma once

#include "attest/cmw.h"

#define TSM_PROVIDER_SIZE 64u /* with NUL */

struct tsm_blobs {
    char provider[TSM_PROVIDER_SIZE];
    uint8_t *out, *aux; /* evidence; what goes with it, or NULL */
    size_t out_size, aux_size;
};
/*
 * A collection with "evidence" and, where aux holds any, "collateral": an Intel platform's as a CMW, an AMD platform's as the certificate table of the
 * GHCB specification (AMD 56421, MSG_REPORT_REQ extended). A malformed aux is left out: the relying party fetches collateral itself.
 * returns: 0; -ENOTSUP the provider is not known, and err says so; -EINVAL no evidence; -ENOMEM.
 */
MUST_CHECK int tsm_blobs_wrap(const struct tsm_blobs *blobs, struct cmw **ret, struct err *err);
