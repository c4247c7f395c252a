/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader for DER (ITU-T X.690) that takes one element after the other out of a text. Shared; input may be
 * hostile; no allocation, no recursion. It refuses what is not DER: indefinite and overlong lengths, tags above 30,
 * integers with superfluous bytes.
 */
#pragma once

#include "lib/defs.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_IA5_STRING = 0x16,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONSTRUCTED = 0x20, /* a bit of the tag: the content is elements */
};

/* The part of a text that is still to be read, or the content of an element. Borrowed. */
struct der_pull {
    const uint8_t *data;
    size_t size;
};

static inline bool der_pull_is_end(const struct der_pull *d)
{
    return d->size == 0;
}
/* Takes the next element: its tag byte and content. returns: 0; -EINVAL nothing is left, or not DER. */
MUST_CHECK int der_pull_any(struct der_pull *d, uint8_t *ret_tag, struct der_pull *ret_content);
/* The same; another tag is -EINVAL. */
MUST_CHECK int der_pull_element(struct der_pull *d, uint8_t tag, struct der_pull *ret_content);
/* Takes an INTEGER or ENUMERATED (tag) of 0 to max. returns: 0; -EINVAL. */
MUST_CHECK int der_pull_uint(struct der_pull *d, uint8_t tag, uint64_t max, uint64_t *ret);
MUST_CHECK int der_pull_bool(struct der_pull *d, bool *ret);
/* Takes an OCTET STRING of exactly size bytes. returns: 0; -EINVAL. */
MUST_CHECK int der_pull_octets(struct der_pull *d, uint8_t *dst, size_t size);
