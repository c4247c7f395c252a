/* SPDX-License-Identifier: Apache-2.0 */
/* Mutations of DER: an element is changed, repeated, dropped or exchanged, and the lengths around it follow. Tests only. */
#include <stdbool.h>
#include <string.h>

#include "tests/fuzz/mutate.h"

#define ELEMENT_COUNT_MAX 2048
#define COPY_SIZE_MAX 4096
#define NO_PARENT UINT32_MAX

struct element {
    size_t off, header, size; /* header: bytes of tag and length; size: of the content */
    uint32_t parent;
};

struct elements {
    uint32_t count;
    struct element list[ELEMENT_COUNT_MAX];
};

/* returns: false: no element stands here. */
static bool read_header(const uint8_t *data, size_t size, struct element *e)
{
    size_t count, length = 0;

    if (size < 2)
        return false;
    if (data[1] < 0x80) {
        e->header = 2;
        e->size = data[1];
        return e->size <= size - 2;
    }
    count = data[1] & 0x7f;
    if (count == 0 || count > 3 || size < 2 + count)
        return false;
    for (size_t i = 0; i < count; i++)
        length = length << 8 | data[2 + i];
    e->header = 2 + count;
    e->size = length;
    return length <= size - e->header;
}

/* The elements of one content, one after the other. */
static void add_elements(const uint8_t *data, size_t start, size_t end, uint32_t parent,
                         struct elements *ret)
{
    while (start < end && ret->count < ELEMENT_COUNT_MAX) {
        struct element *e = &ret->list[ret->count];

        if (!read_header(data + start, end - start, e))
            return;
        e->off = start;
        e->parent = parent;
        ret->count++;
        start += e->header + e->size;
    }
}

/* Breadth first; octet strings may hold DER as well. */
static void find_elements(const uint8_t *data, size_t size, struct elements *ret)
{
    ret->count = 0;
    add_elements(data, 0, size, NO_PARENT, ret);
    for (uint32_t i = 0; i < ret->count; i++) {
        struct element e = ret->list[i];

        if ((data[e.off] & 0x20) || data[e.off] == 0x04)
            add_elements(data, e.off + e.header, e.off + e.header + e.size, i, ret);
    }
}

static size_t put_header(uint8_t dst[5], uint8_t tag, size_t length)
{
    dst[0] = tag;
    if (length < 0x80) {
        dst[1] = (uint8_t)length;
        return 2;
    }
    if (length < 0x100) {
        dst[1] = 0x81;
        dst[2] = (uint8_t)length;
        return 3;
    }
    dst[1] = 0x82;
    dst[2] = (uint8_t)(length >> 8);
    dst[3] = (uint8_t)length;
    return 4;
}

/* Puts bytes in place of [start, end) in the content of `holder`, and corrects its length and those around it. */
static size_t replace(uint8_t *data, size_t size, size_t max_size, const struct elements *all,
                      uint32_t holder, size_t start, size_t end, const void *with, size_t with_size)
{
    int64_t delta = (int64_t)with_size - (int64_t)(end - start);
    size_t changed;

    if (size + with_size + 64 > max_size)
        return size;
    changed = mutate_replace(data, size, max_size, start, end, with, with_size);
    while (holder != NO_PARENT) {
        const struct element *e = &all->list[holder];
        uint8_t header[5];
        size_t header_size = put_header(header, data[e->off], (size_t)((int64_t)e->size + delta));

        changed = mutate_replace(data, changed, max_size, e->off, e->off + e->header, header,
                                 header_size);
        delta += (int64_t)header_size - (int64_t)e->header;
        holder = e->parent;
    }
    return changed;
}

static uint32_t index_of(const struct elements *all, const struct element *e)
{
    return (uint32_t)(e - all->list);
}

static size_t mutate_content(uint8_t *data, size_t size, size_t max_size,
                             const struct elements *all, const struct element *e)
{
    uint8_t copy[COPY_SIZE_MAX];
    size_t start = e->off + e->header, length = e->size;

    if (length > sizeof copy / 2)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(copy, data + start, length);
    length = LLVMFuzzerMutate(copy, length, sizeof copy / 2);
    return replace(data, size, max_size, all, index_of(all, e), start, start + e->size, copy,
                   length);
}

/* A copy of `from` after e, once or often. */
static size_t insert(uint8_t *data, size_t size, size_t max_size, const struct elements *all,
                     const struct element *e, const struct element *from, bool instead,
                     unsigned count)
{
    uint8_t copy[COPY_SIZE_MAX];
    size_t length = from->header + from->size, end = e->off + e->header + e->size, filled = 0;

    for (; count > 0 && filled + length <= sizeof copy; count--, filled += length)
        memcpy(copy + filled, data + from->off, length);
    return replace(data, size, max_size, all, e->parent, instead ? e->off : end, end, copy, filled);
}

size_t mutate_der(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct elements all;
    uint32_t state = seed | 1u;
    const struct element *e, *other;

    find_elements(data, size, &all);
    if (all.count == 0 || mutate_random(&state) % 10 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    e = &all.list[mutate_random(&state) % all.count];
    other = &all.list[mutate_random(&state) % all.count];
    switch (mutate_random(&state) % 7) {
    case 0: /* a wrong length */
        data[e->off + 1] = (uint8_t)(data[e->off + 1] + mutate_random(&state) % 5 - 2);
        return size;
    case 1: /* another type */
        data[e->off] = "\x01\x02\x03\x04\x05\x06\x0a\x0c\x13\x16\x17\x18\x30\x31\xa0\x80"
            [mutate_random(&state) % 16];
        return size;
    case 2:
        return insert(data, size, max_size, &all, e, e, false,
                      1 + (mutate_random(&state) % 4 ? 0 : mutate_random(&state) % 200));
    case 3:
        return replace(data, size, max_size, &all, e->parent, e->off, e->off + e->header + e->size,
                       "", 0);
    case 4:
        return insert(data, size, max_size, &all, e, other, true, 1);
    default:
        return mutate_content(data, size, max_size, &all, e);
    }
}
