/* SPDX-License-Identifier: Apache-2.0 */
/* Checks and their values. Relying party. */
#include "verifier/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "verifier/json_read.h"

static const struct {
    const char *name, *what, *fix;
} g_checks[] = {
#define CHECK(symbol, name, what, fix) { name, what, fix },
#include "verifier/checks.def"
#undef CHECK
};

const char *verifier_check_name(enum verifier_check_code code)
{
    return code < VERIFIER_CHECK_COUNT ? g_checks[code].name : "none";
}

const char *verifier_check_what(enum verifier_check_code code)
{
    return code < VERIFIER_CHECK_COUNT ? g_checks[code].what : "";
}

const char *verifier_check_fix(enum verifier_check_code code)
{
    return code < VERIFIER_CHECK_COUNT ? g_checks[code].fix : "";
}

/* ---- values ---- */

struct verifier_value value_bytes(const void *bytes, size_t size)
{
    struct verifier_value v = { .kind = VERIFIER_VALUE_BYTES };

    v.size = (uint8_t)MIN(size, sizeof v.bytes);
    memcpy(v.bytes, bytes, v.size);
    return v;
}

struct verifier_value value_uint(uint64_t number)
{
    return (struct verifier_value){ .kind = VERIFIER_VALUE_UINT, .number = number };
}

struct verifier_value value_time(int64_t time_s)
{
    return (struct verifier_value){ .kind = VERIFIER_VALUE_TIME, .time_s = time_s };
}

struct verifier_value value_text(const char *text)
{
    return (struct verifier_value){ .kind = VERIFIER_VALUE_TEXT, .text = text };
}

struct verifier_value value_copy(const char *text)
{
    struct verifier_value v = { .kind = VERIFIER_VALUE_STRING };

    v.size = (uint8_t)MIN(strlen(text), sizeof v.bytes - 1);
    memcpy(v.bytes, text, v.size);
    return v;
}

char *verifier_value_print(const struct verifier_value *v, char *dst, size_t size)
{
    char time[TIME_TEXT_SIZE];
    size_t len = 0;

    if (size > 0)
        dst[0] = 0;
    switch (v->kind) {
    case VERIFIER_VALUE_BYTES:
        for (unsigned i = 0; i < v->size && len + 3 <= size; i++, len += 2)
            snprintf(dst + len, size - len, "%02x", v->bytes[i]);
        break;
    case VERIFIER_VALUE_UINT:
        snprintf(dst, size, "%" PRIu64, v->number);
        break;
    case VERIFIER_VALUE_TIME:
        time_print(v->time_s, time);
        snprintf(dst, size, "%s", time);
        break;
    case VERIFIER_VALUE_TEXT:
        snprintf(dst, size, "%s", v->text);
        break;
    case VERIFIER_VALUE_STRING:
        snprintf(dst, size, "%.*s", v->size, (const char *)v->bytes);
        break;
    default:
        break;
    }
    return dst;
}

/* ---- checks ---- */

void check_pass(struct verifier_result *result, enum verifier_check_code code)
{
    struct verifier_check *check = &result->checks[code];

    if (check->state == VERIFIER_CHECK_SKIPPED)
        check->state = VERIFIER_CHECK_PASSED;
}

void check_fail_values(struct verifier_result *result, enum verifier_check_code code,
                       const char *item, struct verifier_value expected,
                       struct verifier_value actual)
{
    struct verifier_check *check = &result->checks[code];

    if (check->state == VERIFIER_CHECK_FAILED)
        return;
    *check = (struct verifier_check){
        .state = VERIFIER_CHECK_FAILED, .item = item, .expected = expected, .actual = actual
    };
}

void check_fail(struct verifier_result *result, enum verifier_check_code code, const char *item)
{
    struct verifier_value none = { 0 };

    check_fail_values(result, code, item, none, none);
}

bool check_that(struct verifier_result *result, enum verifier_check_code code, bool good,
                const char *item)
{
    if (good)
        check_pass(result, code);
    else
        check_fail(result, code, item);
    return good;
}

bool check_bytes(struct verifier_result *result, enum verifier_check_code code, const char *item,
                 const void *expected, const void *actual, size_t size)
{
    if (memcmp(expected, actual, size) == 0) {
        check_pass(result, code);
        return true;
    }
    check_fail_values(result, code, item, value_bytes(expected, size), value_bytes(actual, size));
    return false;
}

void check_dates(struct verifier_result *result, const char *item, int64_t now_s, int64_t from_s,
                 int64_t until_s, enum verifier_check_code code_before,
                 enum verifier_check_code code_after, int64_t *ret_until_s)
{
    *ret_until_s = MIN(*ret_until_s, until_s);
    if (now_s == 0)
        return;
    if (now_s < from_s)
        check_fail_values(result, code_before, item, value_time(from_s), value_time(now_s));
    else
        check_pass(result, code_before);
    if (now_s > until_s)
        check_fail_values(result, code_after, item, value_time(until_s), value_time(now_s));
    else
        check_pass(result, code_after);
}
