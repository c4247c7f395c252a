/* SPDX-License-Identifier: Apache-2.0 */
/* CBOR (RFC 8949, section 3) of definite length. Relying party and agent. */
#include "attest/cbor.h"

#include <errno.h>
#include <string.h>

#define ARGUMENT_1_BYTE                                                                            \
    24u /* values of the low five bits: the argument follows in 1, 2, 4 or 8 bytes */
#define ARGUMENT_8_BYTES 27u

int cbor_pull_peek(const struct cbor_pull *c)
{
    return c->size > 0 ? c->data[0] >> 5 : -EINVAL;
}

int cbor_pull_head(struct cbor_pull *c, enum cbor_major major, uint64_t *ret)
{
    unsigned low, extra;
    uint64_t value = 0;

    if (c->size == 0 || c->data[0] >> 5 != (int)major)
        return -EINVAL;
    low = c->data[0] & 0x1f;
    if (low > ARGUMENT_8_BYTES)
        return -EINVAL;
    extra = low < ARGUMENT_1_BYTE ? 0 : 1u << (low - ARGUMENT_1_BYTE);
    if (c->size - 1 < extra)
        return -EINVAL;
    for (unsigned i = 0; i < extra; i++)
        value = value << 8 | c->data[1 + i];
    *ret = extra == 0 ? low : value;
    c->data += 1 + extra;
    c->size -= 1 + extra;
    return 0;
}

int cbor_pull_string(struct cbor_pull *c, enum cbor_major major, const uint8_t **ret,
                     size_t *ret_size)
{
    struct cbor_pull ahead = *c;
    uint64_t size;

    if (cbor_pull_head(&ahead, major, &size) < 0 || size > ahead.size)
        return -EINVAL;
    *ret = ahead.data;
    *ret_size = size;
    c->data = ahead.data + size;
    c->size = ahead.size - size;
    return 0;
}

void cbor_add_head(struct buffer *b, enum cbor_major major, uint64_t value)
{
    unsigned extra = value < ARGUMENT_1_BYTE ? 0
                     : value <= UINT8_MAX    ? 1
                     : value <= UINT16_MAX   ? 2
                     : value <= UINT32_MAX   ? 4
                                             : 8;
    unsigned low = extra == 0 ? (unsigned)value : ARGUMENT_1_BYTE + (unsigned)__builtin_ctz(extra);
    uint8_t head[9] = { (uint8_t)((unsigned)major << 5 | low) };

    for (unsigned i = 0; i < extra; i++)
        head[1 + i] = (uint8_t)(value >> 8 * (extra - 1 - i));
    buffer_add(b, head, 1 + extra);
}

void cbor_add_bytes(struct buffer *b, const void *data, size_t size)
{
    cbor_add_head(b, CBOR_BYTES, size);
    buffer_add(b, data, size);
}

void cbor_add_text(struct buffer *b, const char *text)
{
    cbor_add_head(b, CBOR_TEXT, strlen(text));
    buffer_add_text(b, text);
}
