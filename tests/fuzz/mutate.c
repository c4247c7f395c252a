/* SPDX-License-Identifier: Apache-2.0 */
/* What the mutations share, and those of fixed layouts. Tests only. */
#include "tests/fuzz/mutate.h"

#include <string.h>

uint32_t mutate_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

size_t mutate_replace(uint8_t *data, size_t size, size_t max_size, size_t start, size_t end,
                      const void *with, size_t with_size)
{
    size_t grown = size - (end - start) + with_size;

    if (grown > max_size)
        return size;
    memmove(data + start + with_size, data + end, size - end);
    memcpy(data + start, with, with_size);
    return grown;
}

static void change_number(uint8_t *field, size_t size, uint32_t *state)
{
    static const uint64_t edges[] = { 0,    1,    2,    3,      4,      5,          0x7f,
                                      0x80, 0x81, 0xff, 0x7fff, 0xffff, 0x7fffffff, UINT64_MAX };
    uint64_t value = 0;

    memcpy(&value, field, size); /* the hosts of fuzzers are little-endian */
    switch (mutate_random(state) % 4) {
    case 0:
        value = edges[mutate_random(state) % (sizeof edges / sizeof edges[0])];
        break;
    case 1:
        value += mutate_random(state) % 17;
        break;
    case 2:
        value -= mutate_random(state) % 17;
        break;
    default:
        value ^= 1ull << mutate_random(state) % (8 * size);
        break;
    }
    memcpy(field, &value, size);
}

size_t mutate_fields(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                     const struct mutate_field *fields, size_t count)
{
    uint32_t state = seed | 1u;
    unsigned changes = 1 + mutate_random(&state) % 3;

    if (size == 0 || mutate_random(&state) % 8 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    while (changes-- > 0) {
        const struct mutate_field *f = &fields[mutate_random(&state) % count];

        if ((size_t)f->off + f->size > size)
            continue;
        if (f->size <= sizeof(uint64_t))
            change_number(data + f->off, f->size, &state);
        else if (mutate_random(&state) % 4 == 0)
            memset(data + f->off, mutate_random(&state) % 2 ? 0 : 0xff, f->size);
        else
            data[f->off + mutate_random(&state) % f->size] ^=
                (uint8_t)(1u << mutate_random(&state) % 8);
    }
    return size;
}
