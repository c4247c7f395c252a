/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the URL-safe alphabet and without padding (RFC 4648, section 5). Relying party and agent; input may be hostile. */
#pragma once

#include "attest/buffer.h"

void base64url_add(struct buffer *b, const uint8_t *data, size_t size);

/* Bytes that so many digits stand for. */
static inline size_t base64url_decoded_size(size_t len)
{
    return len / 4 * 3 + len % 4 * 3 / 4;
}
/* dst: base64url_decoded_size(len) bytes. returns: 0; -EINVAL a character that is none of the alphabet, padding, or bits left over. */
MUST_CHECK int base64url_decode(const char *text, size_t len, uint8_t *dst);
