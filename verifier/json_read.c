/* SPDX-License-Identifier: Apache-2.0 */
/* Hex strings and times out of JSON; RFC 3339. Relying party; input may be hostile. */
#include "verifier/json_read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY 86400

int json_read_string(struct json_pull *j, char *dst, size_t size)
{
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    if (json_pull_text_decode(&text, dst, size) < 0)
        return json_pull_fail(j, "a string is too long");
    return 0;
}

int json_read_members(struct json_pull *j, const struct json_member *members, unsigned count,
                      const char *unknown_error)
{
    struct json_pull_text name;
    uint64_t seen = 0; /* a bit for each of members */
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        unsigned i = 0;

        while (i < count && !json_pull_text_is(&name, members[i].name))
            i++;
        if (i < count) {
            seen |= 1ull << i;
            rc = members[i].read(j, members[i].dst);
        } else {
            rc = unknown_error ? json_pull_fail(j, unknown_error) : json_pull_skip(j);
        }
    }
    for (unsigned i = 0; rc == 0 && i < count; i++)
        if (members[i].is_required && !(seen & 1ull << i))
            rc = json_pull_fail(j, "a required member is missing");
    return rc;
}

static int read_number(struct json_pull *j, uint64_t max, uint64_t *ret)
{
    *ret = 0;
    return json_pull_uint(j, max, ret);
}

int json_read_u8(struct json_pull *j, void *dst)
{
    uint64_t value;
    int rc = read_number(j, UINT8_MAX, &value);

    *(uint8_t *)dst = (uint8_t)value;
    return rc;
}

int json_read_u16(struct json_pull *j, void *dst)
{
    uint64_t value;
    int rc = read_number(j, UINT16_MAX, &value);

    *(uint16_t *)dst = (uint16_t)value;
    return rc;
}

int json_read_u32(struct json_pull *j, void *dst)
{
    uint64_t value;
    int rc = read_number(j, UINT32_MAX, &value);

    *(uint32_t *)dst = (uint32_t)value;
    return rc;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int json_read_hex(struct json_pull *j, uint8_t *dst, size_t size)
{
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    if (text.raw_size != 2 * size)
        return json_pull_fail(j, "a hexadecimal string has the wrong length");
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.raw[2 * i]), low = hex_value(text.raw[2 * i + 1]);

        if (high < 0 || low < 0)
            return json_pull_fail(j, "a character is not a hexadecimal digit");
        dst[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* ---- times ---- */

/* Days from 1970-01-01 to a date of the Gregorian calendar; years count from March here. */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static int digits(const char *p, unsigned count, int64_t low, int64_t high, int64_t *ret)
{
    int64_t value = 0;

    for (unsigned i = 0; i < count; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -EINVAL;
        value = value * 10 + (p[i] - '0');
    }
    if (value < low || value > high)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    return month == 12 ? 31 : days_of_date(year, month + 1, 1) - days_of_date(year, month, 1);
}

int time_parse(const char *text, size_t len, int64_t *ret_s)
{
    static const char shape[] = "....-..-..T..:..:..Z";
    int64_t year, month, day, hour, minute, second;

    if (len != sizeof shape - 1)
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (shape[i] != '.' && shape[i] != text[i])
            return -EINVAL;
    if (digits(text, 4, 1, 9999, &year) < 0 || digits(text + 5, 2, 1, 12, &month) < 0 ||
        digits(text + 8, 2, 1, days_of_month(year, month), &day) < 0 ||
        digits(text + 11, 2, 0, 23, &hour) < 0 || digits(text + 14, 2, 0, 59, &minute) < 0 ||
        digits(text + 17, 2, 0, 60, &second) < 0)
        return -EINVAL;
    *ret_s = days_of_date(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    return 0;
}

int json_read_time(struct json_pull *j, int64_t *ret_s)
{
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    if (time_parse(text.raw, text.raw_size, ret_s) < 0)
        return json_pull_fail(j, "a time is not written as 2025-06-19T10:56:11Z");
    return 0;
}

void time_print(int64_t time_s, char dst[TIME_TEXT_SIZE])
{
    int64_t days = time_s / SECONDS_PER_DAY, rest = time_s % SECONDS_PER_DAY, year, month = 1;

    if (rest < 0) {
        rest += SECONDS_PER_DAY;
        days--;
    }
    year = 1970 + days / 366;
    if (days < 0)
        year = 1970 + days / 365 - 1;
    while (days_of_date(year + 1, 1, 1) <= days)
        year++;
    if (year < 1 || year > 9999) {
        snprintf(dst, TIME_TEXT_SIZE, "%s", year < 1 ? "before year 1" : "after year 9999");
        return;
    }
    while (month < 12 && days_of_date(year, month + 1, 1) <= days)
        month++;
    days -= days_of_date(year, month, 1);
    snprintf(dst, TIME_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year % 10000u,
             (unsigned)month % 100u, (unsigned)(days + 1) % 100u, (unsigned)(rest / 3600) % 100u,
             (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
}
