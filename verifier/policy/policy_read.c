/* SPDX-License-Identifier: Apache-2.0 */
/* Values of policies. Relying party; the text may be hostile, as any upload. */
#include "verifier/policy/policy_read.h"

#include <errno.h>
#include <string.h>

#include "verifier/little_endian.h"

int policy_read_members(struct json_pull *j, const struct json_member *members, unsigned count)
{
    return json_read_members(j, members, count, "a policy has no member of this name here");
}

int policy_read_bool(struct json_pull *j, void *dst)
{
    return json_pull_bool(j, dst);
}

int policy_read_not(struct json_pull *j, void *dst)
{
    bool value = false;
    int rc = json_pull_bool(j, &value);

    *(bool *)dst = !value;
    return rc;
}

int policy_read_name(struct json_pull *j, void *dst)
{
    return json_read_string(j, dst, POLICY_NAME_SIZE);
}

int policy_read_time(struct json_pull *j, void *dst)
{
    return json_read_time(j, dst);
}

static int read_bytes(struct json_pull *j, struct policy_bytes *dst, size_t size)
{
    int rc = json_read_hex(j, dst->bytes, size);

    if (rc == 0)
        dst->size = (uint8_t)size;
    return rc;
}

int policy_read_8_bytes_or_more(struct json_pull *j, struct policy_bytes *dst)
{
    struct json_pull before = *j;
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    if (text.raw_size != 16 && text.raw_size != 32 && text.raw_size != 128)
        return json_pull_fail(j, "a platform id has 8, 16 or 64 bytes");
    *j = before;
    return read_bytes(j, dst, text.raw_size / 2);
}

int policy_read_16(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 16);
}

int policy_read_32(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 32);
}

int policy_read_48(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 48);
}

int policy_read_64(struct json_pull *j, void *dst)
{
    return read_bytes(j, dst, 64);
}

/* ---- bits ---- */

struct bits_text {
    uint8_t bytes[16];
};

static int read_bits_bytes(struct json_pull *j, struct bits_text *dst, size_t size)
{
    return json_read_hex(j, dst->bytes, size);
}

static int read_bits_4(struct json_pull *j, void *dst)
{
    return read_bits_bytes(j, dst, 4);
}

static int read_bits_8(struct json_pull *j, void *dst)
{
    return read_bits_bytes(j, dst, 8);
}

static int read_bits_16(struct json_pull *j, void *dst)
{
    return read_bits_bytes(j, dst, 16);
}

/* Adds to what other members asked for. */
static int add_bits(struct json_pull *j, struct policy_bits *dst, uint64_t mask, uint64_t value)
{
    if (value & ~mask)
        return json_pull_fail(j, "\"value\" has bits that are not in \"mask\"");
    if ((dst->value ^ value) & dst->mask & mask)
        return json_pull_fail(j, "a bit is asked to be both 0 and 1");
    dst->mask |= mask;
    dst->value |= value;
    return 0;
}

static int read_bits(struct json_pull *j, json_read_fn *read, unsigned words,
                     struct policy_bits *dst)
{
    struct bits_text value = { 0 }, mask = { 0 };
    const struct json_member members[] = { { "value", read, &value, true },
                                           { "mask", read, &mask, true } };
    int rc = policy_read_members(j, members, ARRAY_COUNT(members));

    for (unsigned i = 0; i < words && rc == 0; i++)
        rc = add_bits(j, &dst[i], get_le64(mask.bytes + 8 * i), get_le64(value.bytes + 8 * i));
    return rc;
}

int policy_read_bits_32(struct json_pull *j, void *dst)
{
    return read_bits(j, read_bits_4, 1, dst);
}

int policy_read_bits_64(struct json_pull *j, void *dst)
{
    return read_bits(j, read_bits_8, 1, dst);
}

int policy_read_bits_128(struct json_pull *j, void *dst)
{
    return read_bits(j, read_bits_16, 2, dst);
}

int policy_read_bit(struct json_pull *j, struct policy_bits *dst, unsigned bit)
{
    bool value = false;
    int rc = json_pull_bool(j, &value);

    return rc < 0 ? rc : add_bits(j, dst, 1ull << bit, (uint64_t)value << bit);
}
