/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extensions of VCEK and VLEK certificates. Relying party; hostile until the chain is verified.
 * Source: AMD 57230 "VCEK Certificate and KDS Interface Specification", section 3.
 */
#pragma once

#include <openssl/x509.h>

#include "verifier/verifier.h"

struct vek {
    enum verifier_snp_product product;
    struct verifier_snp_tcb tcb;
    size_t hw_id_size; /* 64, 8 for Turin, 0 for a VLEK */
    uint8_t hw_id[64];
    bool is_vlek;
    char csp_id[64]; /* VLEK */
};

/* returns: 0; -EINVAL not as the specification says. */
MUST_CHECK int vek_parse(const X509 *cert, struct vek *ret);
