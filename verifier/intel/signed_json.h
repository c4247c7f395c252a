/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of Intel's signed collateral: {"<name>": {...}, "signature": "<r || s in hex>"}. The signature covers the bytes of the
 * value as they stand. Relying party; input hostile. Source: Intel PCS API v4, "Get TCB Info", "Get Quoting Enclave Identity".
 */
#pragma once

#include "verifier/verifier.h"

struct signed_json {
    struct verifier_bytes value; /* borrowed */
    uint8_t signature[64];       /* r, s; big-endian */
};

/* returns: 0; -EINVAL. */
MUST_CHECK int signed_json_parse(struct verifier_bytes text, const char *name,
                                 struct signed_json *ret);
