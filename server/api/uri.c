/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets. Relying party; the text is hostile. */
#include "server/api/uri.h"

#include <errno.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Bytes of the sequence that begins here; 0: none that is allowed. */
static size_t sequence_size(const uint8_t *s, size_t left)
{
    uint32_t value;
    size_t size = s[0] < 0x80                   ? 1
                  : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                  : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                  : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                : 0;

    if (size == 0 || size > left)
        return 0;
    if (size == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    value = s[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3fu);
    }
    if (value < 0xa0 || (size == 3 && value < 0x800) || (size == 4 && value < 0x10000) ||
        value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    return size;
}

bool text_is_clean(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;

    for (size_t i = 0; i < len;) {
        size_t size = sequence_size(s + i, len - i);

        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

/* Decodes in place up to NUL. returns: 0; -EINVAL. */
static int decode(char *text, bool is_query, size_t len_max, const char **ret_problem)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        int high, low;

        if (*from == '+' && is_query) {
            *to++ = ' ';
        } else if (*from != '%') {
            *to++ = *from;
        } else {
            high = hex_digit(from[1]);
            low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0) {
                *ret_problem = "a percent sign is not followed by two hexadecimal digits";
                return -EINVAL;
            }
            *to++ = (char)(high << 4 | low);
            from += 2;
        }
    }
    *to = 0;
    if ((size_t)(to - text) > len_max)
        *ret_problem = "a part is longer than 256 bytes";
    else if (memchr(text, 0, (size_t)(to - text)) || !text_is_clean(text, (size_t)(to - text)))
        *ret_problem = "it is not UTF-8 without control characters";
    else
        return 0;
    return -EINVAL;
}

static int path_parse(char *path, struct uri *ret, const char **ret_problem)
{
    if (path[0] != '/') {
        *ret_problem = "it does not begin with a slash";
        return -EINVAL;
    }
    if (!path[1])
        return 0;
    for (char *next, *at = path + 1; at; at = next) {
        next = strchr(at, '/');
        if (next)
            *next++ = 0;
        if (ret->segment_count == URI_SEGMENTS_MAX) {
            *ret_problem = "the path has too many parts";
            return -EINVAL;
        }
        if (decode(at, false, URI_SEGMENT_LEN_MAX, ret_problem) < 0)
            return -EINVAL;
        if (!at[0] || strcmp(at, ".") == 0 || strcmp(at, "..") == 0) {
            *ret_problem = "a part of the path is empty, a dot or two dots";
            return -EINVAL;
        }
        ret->segments[ret->segment_count++] = at;
    }
    return 0;
}

static int query_parse(char *text, struct uri *ret, const char **ret_problem)
{
    for (char *next, *at = text; at && *at; at = next) {
        char *value;

        next = strchr(at, '&');
        if (next)
            *next++ = 0;
        value = strchr(at, '=');
        if (value)
            *value++ = 0;
        else
            value = at + strlen(at);
        if (ret->query_count == URI_QUERY_MAX) {
            *ret_problem = "the query has too many parameters";
            return -EINVAL;
        }
        if (decode(at, true, URI_SEGMENT_LEN_MAX, ret_problem) < 0 ||
            decode(value, true, URI_SEGMENT_LEN_MAX, ret_problem) < 0)
            return -EINVAL;
        if (uri_query_find(ret, at)) {
            *ret_problem = "a parameter of the query is there twice";
            return -EINVAL;
        }
        ret->query[ret->query_count].name = at;
        ret->query[ret->query_count++].value = value;
    }
    return 0;
}

int uri_parse(char *text, struct uri *ret, const char **ret_problem)
{
    struct uri uri = { .segment_count = 0 };
    char *query;

    if (strnlen(text, URI_SIZE_MAX + 1) > URI_SIZE_MAX) {
        *ret_problem = "it is longer than 4096 bytes";
        return -EINVAL;
    }
    if (strchr(text, '#')) {
        *ret_problem = "it has a fragment";
        return -EINVAL;
    }
    query = strchr(text, '?');
    if (query)
        *query++ = 0;
    if (path_parse(text, &uri, ret_problem) < 0 ||
        (query && query_parse(query, &uri, ret_problem) < 0))
        return -EINVAL;
    *ret = uri;
    return 0;
}

const char *uri_query_find(const struct uri *uri, const char *name)
{
    for (unsigned i = 0; i < uri->query_count; i++)
        if (strcmp(uri->query[i].name, name) == 0)
            return uri->query[i].value;
    return NULL;
}
