/* SPDX-License-Identifier: Apache-2.0 */
/* Base64. Relying party; input hostile. */
#include "collateral/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char g_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *data, size_t size)
{
    char *text = malloc((size + 2) / 3 * 4 + 1), *p = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (left > 2 ? data[i + 2] : 0);

        *p++ = g_digits[bits >> 18];
        *p++ = g_digits[bits >> 12 & 63];
        *p++ = left > 1 ? g_digits[bits >> 6 & 63] : '=';
        *p++ = left > 2 ? g_digits[bits & 63] : '=';
    }
    *p = 0;
    return text;
}

static int value_of(char c)
{
    const char *found = c ? memchr(g_digits, c, 64) : NULL;

    return found ? (int)(found - g_digits) : -1;
}

/* Four characters, of which `padding` are '='. */
static bool decode_group(const char *text, unsigned padding, uint8_t dst[3])
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        int value = i >= 4 - padding ? (text[i] == '=' ? 0 : -1) : value_of(text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    dst[0] = (uint8_t)(bits >> 16);
    dst[1] = (uint8_t)(bits >> 8);
    dst[2] = (uint8_t)bits;
    return (padding < 1 || dst[2] == 0) && (padding < 2 || dst[1] == 0);
}

int base64_decode(const char *text, size_t len, size_t max, uint8_t **ret, size_t *ret_size)
{
    unsigned padding = len < 4 || text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
    size_t size = len / 4 * 3 - padding;
    uint8_t *dst;

    if (len % 4)
        return -EINVAL;
    if (size > max)
        return -E2BIG;
    dst = malloc(len / 4 * 3 + 1);
    if (!dst)
        return -ENOMEM;
    for (size_t i = 0; i < len; i += 4)
        if (!decode_group(text + i, i + 4 == len ? padding : 0, dst + i / 4 * 3)) {
            free(dst);
            return -EINVAL;
        }
    dst[size] = 0;
    *ret = dst;
    *ret_size = size;
    return 0;
}
