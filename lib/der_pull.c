/* SPDX-License-Identifier: Apache-2.0 */
/* Reads DER, ITU-T X.690 sections 8 and 10. Shared; input may be hostile. */
#include "lib/der_pull.h"

#include <asm/errno.h>

#define LENGTH_SIZE_MAX 4u

/* Reads the length octets; the shortest form only (X.690, 10.1). */
static int pull_length(struct der_pull *d, size_t *ret)
{
    size_t length, count;

    if (d->size == 0)
        return -EINVAL;
    length = *d->data++;
    d->size--;
    if (length < 0x80) {
        *ret = length;
        return 0;
    }
    count = length & 0x7f;
    if (count == 0 || count > LENGTH_SIZE_MAX || count > d->size || d->data[0] == 0)
        return -EINVAL;
    length = 0;
    for (size_t i = 0; i < count; i++)
        length = length << 8 | d->data[i];
    d->data += count;
    d->size -= count;
    if (length < 0x80)
        return -EINVAL;
    *ret = length;
    return 0;
}

int der_pull_any(struct der_pull *d, uint8_t *ret_tag, struct der_pull *ret_content)
{
    struct der_pull rest = *d;
    uint8_t tag;
    size_t size;
    int rc;

    if (rest.size == 0)
        return -EINVAL;
    tag = *rest.data++;
    rest.size--;
    if ((tag & 0x1f) == 0x1f)
        return -EINVAL;
    rc = pull_length(&rest, &size);
    if (rc < 0 || size > rest.size)
        return -EINVAL;
    *ret_tag = tag;
    *ret_content = (struct der_pull){ rest.data, size };
    *d = (struct der_pull){ rest.data + size, rest.size - size };
    return 0;
}

int der_pull_element(struct der_pull *d, uint8_t tag, struct der_pull *ret_content)
{
    struct der_pull rest = *d, content;
    uint8_t found;
    int rc = der_pull_any(&rest, &found, &content);

    if (rc < 0 || found != tag)
        return -EINVAL;
    *d = rest;
    *ret_content = content;
    return 0;
}

int der_pull_uint(struct der_pull *d, uint8_t tag, uint64_t max, uint64_t *ret)
{
    struct der_pull content;
    uint64_t value = 0;
    int rc = der_pull_element(d, tag, &content);

    if (rc < 0 || content.size == 0 || (content.data[0] & 0x80))
        return -EINVAL;
    if (content.size > 1 && content.data[0] == 0 && !(content.data[1] & 0x80))
        return -EINVAL; /* not the shortest form */
    if (content.size > sizeof value + (content.data[0] == 0))
        return -EINVAL;
    for (size_t i = 0; i < content.size; i++)
        value = value << 8 | content.data[i];
    if (value > max)
        return -EINVAL;
    *ret = value;
    return 0;
}

int der_pull_bool(struct der_pull *d, bool *ret)
{
    struct der_pull content;
    int rc = der_pull_element(d, DER_BOOLEAN, &content);

    if (rc < 0 || content.size != 1 || (content.data[0] != 0 && content.data[0] != 0xff))
        return -EINVAL;
    *ret = content.data[0] != 0;
    return 0;
}

int der_pull_octets(struct der_pull *d, uint8_t *dst, size_t size)
{
    struct der_pull content;
    int rc = der_pull_element(d, DER_OCTET_STRING, &content);

    if (rc < 0 || content.size != size)
        return -EINVAL;
    for (size_t i = 0; i < size; i++)
        dst[i] = content.data[i];
    return 0;
}
