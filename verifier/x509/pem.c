/* SPDX-License-Identifier: Apache-2.0 */
/* PEM blocks, RFC 7468. Relying party; input may be hostile. */
#include "verifier/x509/pem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MARK_SIZE_MAX 64u

static const uint8_t *find(struct verifier_bytes text, const char *what)
{
    return text.size ? memmem(text.data, text.size, what, strlen(what)) : NULL;
}

/* Value of a base64 character (RFC 4648, section 4); -1 white space, -2 '=', -3 anything else. */
static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return -1;
    return c == '=' ? -2 : -3;
}

static int decode(struct verifier_bytes in, uint8_t *dst, size_t dst_size, size_t *ret_size)
{
    uint32_t bits = 0;
    unsigned bit_count = 0, padding = 0, chars = 0;
    size_t size = 0;

    for (size_t i = 0; i < in.size; i++) {
        int value = base64_value(in.data[i]);

        if (value == -1)
            continue;
        if (value == -3 || (value >= 0 && padding))
            return -EINVAL;
        chars++;
        if (value == -2) {
            padding++;
            continue;
        }
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count < 8)
            continue;
        bit_count -= 8;
        if (size == dst_size)
            return -EINVAL;
        dst[size++] = (uint8_t)(bits >> bit_count);
    }
    if (chars % 4 || padding > 2 || bit_count != padding * 2 || (bits & ((1u << bit_count) - 1)))
        return -EINVAL;
    *ret_size = size;
    return 0;
}

int pem_next(struct verifier_bytes *text, const char *label, uint8_t *dst, size_t dst_size,
             size_t *ret_size)
{
    char mark[MARK_SIZE_MAX];
    const uint8_t *begin, *end, *past = text->data + text->size;
    int rc;

    snprintf(mark, sizeof mark, "-----BEGIN %s-----", label);
    begin = find(*text, mark);
    if (!begin)
        return 0;
    begin += strlen(mark);
    snprintf(mark, sizeof mark, "-----END %s-----", label);
    end = find((struct verifier_bytes){ begin, (size_t)(past - begin) }, mark);
    if (!end)
        return -EINVAL;
    rc = decode((struct verifier_bytes){ begin, (size_t)(end - begin) }, dst, dst_size, ret_size);
    if (rc < 0)
        return rc;
    end += strlen(mark);
    *text = (struct verifier_bytes){ end, (size_t)(past - end) };
    return 1;
}
