/* SPDX-License-Identifier: Apache-2.0 */
/* Values in JSON that the makers' collateral and policies use: hex strings, times. Relying party; input may be hostile. */
#pragma once

#include "lib/json_pull.h"

/* A string of exactly 2 * size hexadecimal digits, of either case. returns: 0; -EINVAL. */
MUST_CHECK int json_read_hex(struct json_pull *j, uint8_t *dst, size_t size);
/* A date and time as RFC 3339 writes them in UTC ("2025-06-19T10:56:11Z"). returns: 0; -EINVAL. */
MUST_CHECK int json_read_time(struct json_pull *j, int64_t *ret_s);
/* A string of less than size bytes, without escapes' leftovers, NUL-ended. returns: 0; -EINVAL. */
MUST_CHECK int json_read_string(struct json_pull *j, char *dst, size_t size);

typedef int json_read_fn(struct json_pull *j, void *dst);

/* One member that an object may have. */
struct json_member {
    const char *name;
    json_read_fn *read;
    void *dst;
    bool is_required;
};
/*
 * Reads an object. A member of another name is passed over, or with unknown_error (static text) refused. returns: 0; -EINVAL, also when a
 * required one is missing; what a reader returned.
 */
MUST_CHECK int json_read_members(struct json_pull *j, const struct json_member *members,
                                 unsigned count, const char *unknown_error);

/* Readers of numbers for it; dst is of that type. returns: 0; -EINVAL. */
int json_read_u8(struct json_pull *j, void *dst);
int json_read_u16(struct json_pull *j, void *dst);
int json_read_u32(struct json_pull *j, void *dst);

/* Seconds since 1970 of a text as above. returns: 0; -EINVAL. */
MUST_CHECK int time_parse(const char *text, size_t len, int64_t *ret_s);
#define TIME_TEXT_SIZE 24
/* Writes it so; years 1 to 9999. */
void time_print(int64_t time_s, char dst[TIME_TEXT_SIZE]);
