/* SPDX-License-Identifier: Apache-2.0 */
/* PEM (RFC 7468) without allocation. Relying party; input may be hostile. */
#pragma once

#include "verifier/verifier.h"

/*
 * Finds the next block with this label and decodes it; text moves past it. Text outside of blocks is passed over.
 * returns: 1; 0 there is no further block; -EINVAL a block is damaged, or larger than dst.
 */
MUST_CHECK int pem_next(struct verifier_bytes *text, const char *label, uint8_t *dst,
                        size_t dst_size, size_t *ret_size);
