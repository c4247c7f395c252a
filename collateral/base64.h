/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648, section 4), strict. Relying party; within collateral/; input may be hostile. */
#pragma once

#include "lib/defs.h"

/* With padding, NUL-ended, for free(); NULL: no memory. */
char *base64_encode(const uint8_t *data, size_t size);
/* For free(), one byte more than *ret_size. returns: 0; -EINVAL another character, or not canonical; -E2BIG more than max bytes; -ENOMEM. */
MUST_CHECK int base64_decode(const char *text, size_t len, size_t max, uint8_t **ret,
                             size_t *ret_size);
