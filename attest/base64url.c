/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with the URL-safe alphabet and without padding (RFC 4648, section 5). Relying party and agent. */
#include "attest/base64url.h"

#include <errno.h>

static const char g_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_add(struct buffer *b, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t count = MIN(size - i, 3);
        uint32_t bits = (uint32_t)data[i] << 16;
        char digits[4];

        if (count > 1)
            bits |= (uint32_t)data[i + 1] << 8;
        if (count > 2)
            bits |= data[i + 2];
        for (unsigned j = 0; j < 4; j++)
            digits[j] = g_alphabet[bits >> (18 - 6 * j) & 63];
        buffer_add(b, digits, count + 1);
    }
}

static int digit_value(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

int base64url_decode(const char *text, size_t len, uint8_t *dst)
{
    uint32_t bits = 0;
    unsigned count = 0; /* bits that are waiting */

    if (len % 4 == 1)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        int value = digit_value(text[i]);

        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            *dst++ = (uint8_t)(bits >> count);
            bits &= (1u << count) - 1;
        }
    }
    return bits == 0 ? 0 : -EINVAL;
}
