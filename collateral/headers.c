/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of answers, RFC 9110 and 9111. Relying party; input hostile. */
#include "collateral/headers.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define WAIT_MAX_S 86400

/* A value, without the white space around it. */
struct span {
    const char *text;
    size_t len;
};

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.text, text, s.len) == 0;
}

static struct span trim(struct span s)
{
    while (s.len && (s.text[0] == ' ' || s.text[0] == '\t')) {
        s.text++;
        s.len--;
    }
    while (s.len && strchr(" \t\r\n", s.text[s.len - 1]))
        s.len--;
    return s;
}

/* Copies printable ASCII that fits; anything else leaves dst empty: it is as if the header were not there. */
static void copy(char *dst, size_t size, struct span s)
{
    dst[0] = 0;
    if (s.len >= size)
        return;
    for (size_t i = 0; i < s.len; i++)
        if (s.text[i] < 0x20 || s.text[i] > 0x7e)
            return;
    memcpy(dst, s.text, s.len);
    dst[s.len] = 0;
}

static int fail(struct headers *h, const char *error)
{
    h->error = error;
    return -EBADMSG;
}

static int hex_digit(char c)
{
    c = (char)tolower((unsigned char)c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int headers_chain_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size)
{
    uint8_t *dst = malloc(len + 1);
    size_t size = 0;

    if (!dst)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++) {
        int high, low;
        uint8_t c = (uint8_t)text[i];

        if (c == '%') {
            high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                goto invalid;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (c > 0x7e || (c < 0x20 && c != '\n' && c != '\r' && c != '\t'))
            goto invalid;
        dst[size++] = c;
    }
    dst[size] = 0;
    *ret = dst;
    *ret_size = size;
    return 0;
invalid:
    free(dst);
    return -EINVAL;
}

static int add_chain(struct headers *h, struct span value)
{
    int rc;

    if (h->chain)
        return fail(h, "it has two issuer chains");
    rc = headers_chain_decode(value.text, value.len, &h->chain, &h->chain_size);
    return rc == -EINVAL ? fail(h, "its issuer chain is not percent-encoded PEM") : rc;
}

static bool is_chain(const struct headers *h, struct span name)
{
    for (unsigned i = 0; h->chain_names && h->chain_names[i]; i++)
        if (span_is(name, h->chain_names[i]))
            return true;
    return false;
}

static void add_age(struct headers *h, uint64_t age_s)
{
    h->max_age_s = (uint32_t)MIN(age_s, h->has_max_age ? h->max_age_s : HEADERS_AGE_MAX_S);
    h->has_max_age = true;
}

static bool read_uint(struct span s, uint64_t *ret)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.text[i]))
            return false;
        value = MIN(value * 10 + (uint64_t)(s.text[i] - '0'), UINT32_MAX);
    }
    *ret = value;
    return true;
}

static void add_cache_control(struct headers *h, struct span value)
{
    while (value.len) {
        const char *comma = memchr(value.text, ',', value.len);
        struct span part = { value.text, comma ? (size_t)(comma - value.text) : value.len };
        uint64_t age;

        value.text += part.len + (comma != NULL);
        value.len -= part.len + (comma != NULL);
        part = trim(part);
        if (span_is(part, "no-cache") || span_is(part, "no-store"))
            add_age(h, 0);
        else if (part.len > 8 && strncasecmp(part.text, "max-age=", 8) == 0 &&
                 read_uint((struct span){ part.text + 8, part.len - 8 }, &age))
            add_age(h, age);
    }
}

static void start(struct headers *h)
{
    const char *const *names = h->chain_names;
    size_t size = h->size;

    headers_done(h);
    h->chain_names = names;
    h->size = size;
}

int headers_add(struct headers *h, const char *line, size_t size)
{
    struct span name = { line, 0 }, value;
    const char *colon = size ? memchr(line, ':', size) : NULL;

    h->size += size;
    if (h->size > HEADERS_SIZE_MAX)
        return fail(h, "its headers are longer than 64 KiB");
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        start(h);
        return 0;
    }
    if (!colon)
        return 0;
    name.len = (size_t)(colon - line);
    value = trim((struct span){ colon + 1, size - name.len - 1 });
    if (is_chain(h, name))
        return add_chain(h, value);
    if (span_is(name, "content-type"))
        copy(h->content_type, sizeof h->content_type, value);
    else if (span_is(name, "etag"))
        copy(h->etag, sizeof h->etag, value);
    else if (span_is(name, "last-modified"))
        copy(h->last_modified, sizeof h->last_modified, value);
    else if (span_is(name, "retry-after"))
        copy(h->retry_after, sizeof h->retry_after, value);
    else if (span_is(name, "location"))
        copy(h->location, sizeof h->location, value);
    else if (span_is(name, "cache-control"))
        add_cache_control(h, value);
    return 0;
}

void headers_done(struct headers *h)
{
    free(h->chain);
    *h = (struct headers){ 0 };
}

int headers_date_parse(const char *text, int64_t *ret_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = { 0 };
    char month[4], zone[4];
    const char *found;
    int used = 0;

    if (strlen(text) != 29 || text[3] != ',' ||
        sscanf(text + 4, " %2d %3s %4d %2d:%2d:%2d %3s%n", &tm.tm_mday, month, &tm.tm_year,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, zone, &used) != 7 ||
        used != 25 || strcmp(zone, "GMT") != 0)
        return -EINVAL;
    found = strstr(months, month);
    if (!found || strlen(month) != 3 || (found - months) % 3 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_year < 1970 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 ||
        tm.tm_sec < 0 || tm.tm_sec > 60)
        return -EINVAL;
    tm.tm_mon = (int)(found - months) / 3;
    tm.tm_year -= 1900;
    *ret_s = timegm(&tm);
    return 0;
}

int64_t headers_retry_after_ms(const struct headers *h, int64_t now_s)
{
    uint64_t seconds;
    int64_t date_s;

    if (read_uint((struct span){ h->retry_after, strlen(h->retry_after) }, &seconds))
        return (int64_t)MIN(seconds, (uint64_t)WAIT_MAX_S) * 1000;
    if (headers_date_parse(h->retry_after, &date_s) == 0)
        return MAX(MIN(date_s - now_s, (int64_t)WAIT_MAX_S), (int64_t)0) * 1000;
    return -ENOENT;
}
