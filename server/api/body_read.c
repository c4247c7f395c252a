/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a request's body by a table. Relying party; the body is hostile. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/api/api.h"
#include "server/api/uri.h"

#define STRING_LEN_DEFAULT_MAX 1024

static int digits(const char *text, unsigned count, int *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        *ret = *ret * 10 + (text[i] - '0');
    }
    return 0;
}

/* RFC 3339 in UTC: 2030-01-02T03:04:05[.678]Z. */
static int time_parse(const char *text, int64_t *ret_ms)
{
    struct tm tm = { 0 }, check;
    int millis = 0, year, month;
    size_t len = strlen(text);
    time_t seconds;

    if (len < 20 || len > 30 || text[len - 1] != 'Z' || text[4] != '-' || text[7] != '-' ||
        text[10] != 'T' || text[13] != ':' || text[16] != ':' || digits(text, 4, &year) < 0 ||
        digits(text + 5, 2, &month) < 0 || digits(text + 8, 2, &tm.tm_mday) < 0 ||
        digits(text + 11, 2, &tm.tm_hour) < 0 || digits(text + 14, 2, &tm.tm_min) < 0 ||
        digits(text + 17, 2, &tm.tm_sec) < 0)
        return -EINVAL;
    if (len > 20 && (text[19] != '.' || len < 22 || strspn(text + 20, "0123456789") != len - 21))
        return -EINVAL;
    for (size_t i = 20, weight = 100; i < len - 1 && weight > 0; i++, weight /= 10)
        millis += (int)weight * (text[i] - '0');
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    check = tm;
    seconds = timegm(&check);
    if (year < 1970 || check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return -EINVAL;
    *ret_ms = (int64_t)seconds * 1000 + millis;
    return 0;
}

static bool is_base64url(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    return text[len] == 0 && len % 4 != 1;
}

static size_t character_count(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static int member_problem(struct api_request *rq, const struct api_member *m, const char *expected,
                          const json_t *actual)
{
    static const char *const kinds[] = { "object", "array",   "string",  "integer",
                                         "real",   "boolean", "boolean", "null" };
    char pointer[80];

    (void)api_problem(rq, 400, "invalid-member", "the body's member %s is wrong: %s is expected",
                      m->name, expected);
    snprintf(pointer, sizeof pointer, "/%s", m->name);
    api_problem_set(rq, "member", json_string(pointer));
    api_problem_set(rq, "expected", json_string(expected));
    api_problem_set(rq, "actual", json_string(actual ? kinds[json_typeof(actual)] : "nothing"));
    return -EPROTO;
}

static int string_read(struct api_request *rq, const struct api_member *m, json_t *value)
{
    bool is_default = m->min == 0 && m->max == 0;
    int64_t min = is_default ? 1 : m->min, max = is_default ? STRING_LEN_DEFAULT_MAX : m->max;
    const char *text = json_string_value(value);
    int64_t count = text ? (int64_t)character_count(text) : 0;
    char expected[96];

    snprintf(expected, sizeof expected, "a text of %" PRId64 " to %" PRId64 " characters%s", min,
             max, m->kind == API_BASE64URL ? " in base64url" : "");
    if (!text || count < min || count > max || (m->kind == API_BASE64URL && !is_base64url(text)))
        return member_problem(rq, m, expected, value);
    *(const char **)m->ret = text;
    return 0;
}

static int int_read(struct api_request *rq, const struct api_member *m, json_t *value)
{
    bool is_any = m->min == 0 && m->max == 0;
    int64_t number = json_integer_value(value);
    char expected[96];

    snprintf(expected, sizeof expected, "an integer from %" PRId64 " to %" PRId64,
             is_any ? INT64_MIN : m->min, is_any ? INT64_MAX : m->max);
    if (!json_is_integer(value) || (!is_any && (number < m->min || number > m->max)))
        return member_problem(rq, m, expected, value);
    *(int64_t *)m->ret = number;
    return 0;
}

static int array_read(struct api_request *rq, const struct api_member *m, json_t *value)
{
    size_t min = (size_t)m->min, max = m->max ? (size_t)m->max : SIZE_MAX;
    char expected[96];

    snprintf(expected, sizeof expected, "an array of %zu to %zu elements", min, max);
    if (!json_is_array(value) || json_array_size(value) < min || json_array_size(value) > max)
        return member_problem(rq, m, m->max ? expected : "an array", value);
    *(json_t **)m->ret = value;
    return 0;
}

static int member_read(struct api_request *rq, const struct api_member *m, json_t *value)
{
    int64_t time_ms = 0;

    switch (m->kind) {
    case API_STRING:
    case API_BASE64URL:
        return string_read(rq, m, value);
    case API_INT:
        return int_read(rq, m, value);
    case API_BOOL:
        if (!json_is_boolean(value))
            return member_problem(rq, m, "true or false", value);
        *(bool *)m->ret = json_is_true(value);
        return 0;
    case API_OBJECT:
        if (!json_is_object(value))
            return member_problem(rq, m, "an object", value);
        *(json_t **)m->ret = value;
        return 0;
    case API_ARRAY:
        return array_read(rq, m, value);
    case API_TIME:
        /* 0 is "none" in rows. */
        if (!json_is_string(value) || time_parse(json_string_value(value), &time_ms) < 0 ||
            time_ms <= 0)
            return member_problem(rq, m, "a time like 2030-01-02T03:04:05Z", value);
        *(int64_t *)m->ret = time_ms;
        return 0;
    }
    return -EINVAL;
}

int api_body_read(struct api_request *rq, const struct api_member *members, unsigned count)
{
    unsigned known = 0;

    for (unsigned i = 0; i < count; i++) {
        json_t *value = json_object_get(rq->body, members[i].name);
        int rc = 0;

        if (value)
            rc = member_read(rq, &members[i], value);
        else if (members[i].is_required)
            rc = member_problem(rq, &members[i], "this member", NULL);
        if (rc < 0)
            return rc;
        known += value != NULL;
    }
    if (known < json_object_size(rq->body)) {
        const char *name;
        json_t *value;

        json_object_foreach(rq->body, name, value)
        {
            unsigned i = 0;

            while (i < count && strcmp(members[i].name, name) != 0)
                i++;
            if (i == count) {
                (void)api_problem(rq, 400, "invalid-member", "the body has an unknown member");
                api_problem_set(rq, "actual", json_stringn(name, strnlen(name, 64)));
                return -EPROTO;
            }
        }
    }
    return 0;
}
