/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of CBOR (RFC 8949) that evidence needs: integers, strings, arrays, maps and tags of definite length. Relying party and
 * agent; within attest/. Input may be hostile; no allocation, no recursion. Floats, simple values and indefinite lengths are
 * refused: nothing here has them.
 *
 *     struct cbor_pull c = { data, size };
 *     rc = cbor_pull_head(&c, CBOR_ARRAY, &count);
 *     if (rc == 0)
 *         rc = cbor_pull_string(&c, CBOR_BYTES, &bytes, &bytes_size);
 *     if (rc == 0 && c.size != 0)
 *         rc = -EINVAL;
 */
#pragma once

#include "attest/buffer.h"
#include "lib/defs.h"

enum cbor_major {
    CBOR_UINT = 0,
    CBOR_BYTES = 2,
    CBOR_TEXT = 3,
    CBOR_ARRAY = 4,
    CBOR_MAP = 5,
    CBOR_TAG = 6,
};

/* What is left to read. */
struct cbor_pull {
    const uint8_t *data;
    size_t size;
};

/* Major type of the next item. returns: 0 to 7; -EINVAL nothing is left. */
MUST_CHECK int cbor_pull_peek(const struct cbor_pull *c);
/*
 * Head of an item of this type: the number itself, the bytes of a string (which follow), the count of elements or pairs, the tag.
 * returns: 0; -EINVAL another type, cut, or an indefinite length.
 */
MUST_CHECK int cbor_pull_head(struct cbor_pull *c, enum cbor_major major, uint64_t *ret);
/* A byte or text string; *ret borrows from the input. Text is not checked. returns: 0; -EINVAL. */
MUST_CHECK int cbor_pull_string(struct cbor_pull *c, enum cbor_major major, const uint8_t **ret,
                                size_t *ret_size);

/* In the shortest form. */
void cbor_add_head(struct buffer *b, enum cbor_major major, uint64_t value);
void cbor_add_bytes(struct buffer *b, const void *data, size_t size);
void cbor_add_text(struct buffer *b, const char *text);
