/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON reader, RFC 8259. Shared; builds freestanding. Objects are looked through once when they are
 * opened, to refuse duplicate names; nesting is bounded, so that costs at most JSON_PULL_DEPTH_MAX passes.
 */
#include "lib/json_pull.h"

#include <errno.h>
#include <string.h>

int json_pull_fail(struct json_pull *j, const char *error)
{
    if (!j->error)
        j->error = error;
    return -EINVAL;
}

void json_pull_init(struct json_pull *j, const char *text, size_t size)
{
    *j = (struct json_pull){ .text = text, .size = size, .first = true };
    if (size > JSON_PULL_SIZE_MAX)
        j->error = "the JSON text is too long";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(struct json_pull *j)
{
    while (j->pos < j->size) {
        char c = j->text[j->pos];

        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
        j->pos++;
    }
}

static bool take(struct json_pull *j, char c)
{
    if (j->pos >= j->size || j->text[j->pos] != c)
        return false;
    j->pos++;
    return true;
}

/* Length of the UTF-8 character at p (RFC 3629: shortest form, no surrogates), 0 if it is invalid. */
static size_t utf8_size(const uint8_t *p, size_t size)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    if (p[0] == 0xed)
        high = 0x9f;
    if (p[0] == 0xf0)
        low = 0x90;
    if (p[0] == 0xf4)
        high = 0x8f;
    if (len > size || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

bool json_pull_is_utf8(const char *text)
{
    for (size_t size = strlen(text), len; size > 0; text += len, size -= len) {
        len = utf8_size((const uint8_t *)text, size);
        if (len == 0)
            return false;
    }
    return true;
}

/* Four hexadecimal digits at p, or -1. */
static int hex4(const char *p, size_t size)
{
    int value = 0;

    if (size < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        char c = p[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* One character of a string at p. Sets its code point; returns its size in the text, 0 if invalid. */
static size_t char_decode(const char *p, size_t size, uint32_t *ret_code)
{
    static const char names[] = "\"\\/bfnrt";
    static const char codes[] = "\"\\/\b\f\n\r\t";

    if ((uint8_t)p[0] < 0x20)
        return 0;
    if (p[0] != '\\') {
        size_t len = utf8_size((const uint8_t *)p, size);

        *ret_code = len ? (uint8_t)p[0] & (len == 1 ? 0x7f : 0x7f >> len) : 0;
        for (size_t i = 1; i < len; i++)
            *ret_code = *ret_code << 6 | ((uint8_t)p[i] & 0x3f);
        return len;
    }
    if (size < 2)
        return 0;
    for (size_t i = 0; i < sizeof names - 1; i++)
        if (p[1] == names[i]) {
            *ret_code = (uint8_t)codes[i];
            return 2;
        }
    int high = p[1] == 'u' ? hex4(p + 2, size - 2) : -1;

    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff)) /* NUL, or a low surrogate alone */
        return 0;
    *ret_code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    int low = size >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8, size - 8) : -1;

    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_code = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 12;
}

static int scan_string(struct json_pull *j, struct json_pull_text *ret)
{
    if (!take(j, '"'))
        return json_pull_fail(j, "a string is expected");
    size_t start = j->pos;

    while (j->pos < j->size && j->text[j->pos] != '"') {
        uint32_t code;
        size_t len = char_decode(j->text + j->pos, j->size - j->pos, &code);

        if (len == 0)
            return json_pull_fail(j, "invalid character or escape in a string");
        j->pos += len;
    }
    *ret = (struct json_pull_text){ j->text + start, j->pos - start };
    return take(j, '"') ? 0 : json_pull_fail(j, "a string does not end");
}

static int scan_digits(struct json_pull *j)
{
    if (j->pos >= j->size || !is_digit(j->text[j->pos]))
        return json_pull_fail(j, "a digit is expected");
    while (j->pos < j->size && is_digit(j->text[j->pos]))
        j->pos++;
    return 0;
}

static int scan_number(struct json_pull *j)
{
    int rc;

    take(j, '-');
    rc = take(j, '0') ? 0 : scan_digits(j);
    if (rc == 0 && take(j, '.'))
        rc = scan_digits(j);
    if (rc == 0 && (take(j, 'e') || take(j, 'E'))) {
        if (!take(j, '+'))
            take(j, '-');
        rc = scan_digits(j);
    }
    return rc;
}

static int scan_word(struct json_pull *j, const char *word)
{
    size_t len = strlen(word);

    if (j->size - j->pos < len || memcmp(j->text + j->pos, word, len) != 0)
        return json_pull_fail(j, "a value is expected");
    j->pos += len;
    return 0;
}

int json_pull_peek(struct json_pull *j)
{
    if (j->error)
        return -EINVAL;
    skip_space(j);
    if (j->pos >= j->size)
        return json_pull_fail(j, "the text ends where a value is expected");
    switch (j->text[j->pos]) {
    case '{':
        return JSON_PULL_OBJECT;
    case '[':
        return JSON_PULL_ARRAY;
    case '"':
        return JSON_PULL_STRING;
    case 't':
        return JSON_PULL_TRUE;
    case 'f':
        return JSON_PULL_FALSE;
    case 'n':
        return JSON_PULL_NULL;
    default:
        if (j->text[j->pos] != '-' && !is_digit(j->text[j->pos]))
            return json_pull_fail(j, "a value is expected");
        return JSON_PULL_NUMBER;
    }
}

/* A string, number or word; its kind is known. */
static int scan_scalar(struct json_pull *j, int kind)
{
    struct json_pull_text text;

    switch (kind) {
    case JSON_PULL_STRING:
        return scan_string(j, &text);
    case JSON_PULL_TRUE:
        return scan_word(j, "true");
    case JSON_PULL_FALSE:
        return scan_word(j, "false");
    case JSON_PULL_NULL:
        return scan_word(j, "null");
    default:
        return scan_number(j);
    }
}

/* Comma or closing bracket before an element. returns: 1 an element follows; 0 closed; -EINVAL. */
static int scan_separator(struct json_pull *j, char close)
{
    if (j->error)
        return -EINVAL;
    skip_space(j);
    if (take(j, close)) {
        j->depth--;
        j->first = false;
        return 0;
    }
    if (!j->first && !take(j, ','))
        return json_pull_fail(j, "a comma or a closing bracket is expected");
    j->first = false;
    return 1;
}

static int scan_name(struct json_pull *j, struct json_pull_text *ret)
{
    skip_space(j);
    int rc = scan_string(j, ret);

    if (rc < 0)
        return rc;
    skip_space(j);
    return take(j, ':') ? 0 : json_pull_fail(j, "a colon is expected");
}

static int scan_open(struct json_pull *j, char open)
{
    if (!take(j, open))
        return json_pull_fail(j, open == '{' ? "an object is expected" : "an array is expected");
    if (j->depth == JSON_PULL_DEPTH_MAX)
        return json_pull_fail(j, "values are nested too deep");
    j->depth++;
    j->first = true;
    return 0;
}

/*
 * Passes over the values up to the depth that the reader had, without a look for duplicates.
 * objects: bit i says whether nesting level i is an object.
 */
static int scan_value(struct json_pull *j)
{
    uint64_t objects = 0;
    unsigned base = j->depth;

    do {
        int kind = json_pull_peek(j);
        int rc = kind;

        if (kind == JSON_PULL_OBJECT || kind == JSON_PULL_ARRAY) {
            rc = scan_open(j, kind == JSON_PULL_OBJECT ? '{' : '[');
            if (rc == 0) {
                uint64_t bit = 1ull << j->depth;

                objects = kind == JSON_PULL_OBJECT ? objects | bit : objects & ~bit;
            }
        } else if (kind > 0) {
            rc = scan_scalar(j, kind);
        }
        while (rc == 0 && j->depth > base) {
            bool object = objects >> j->depth & 1;
            struct json_pull_text name;

            rc = scan_separator(j, object ? '}' : ']');
            if (rc == 1) {
                rc = object ? scan_name(j, &name) : 0;
                break;
            }
        }
        if (rc < 0)
            return rc;
    } while (j->depth > base);
    j->first = false;
    return 0;
}

static bool text_equal(const struct json_pull_text *a, const struct json_pull_text *b)
{
    size_t i = 0, k = 0;

    while (i < a->raw_size && k < b->raw_size) {
        uint32_t code_a = 0, code_b = 0;

        i += char_decode(a->raw + i, a->raw_size - i, &code_a);
        k += char_decode(b->raw + k, b->raw_size - k, &code_b);
        if (code_a != code_b)
            return false;
    }
    return i == a->raw_size && k == b->raw_size;
}

/* Looks through the object that was just opened; j is a copy of the reader. */
static int check_names(struct json_pull *j, const char **ret_error, size_t *ret_pos)
{
    uint32_t start[JSON_PULL_MEMBERS_MAX];
    size_t count = 0;
    struct json_pull_text name;
    int rc;

    while ((rc = scan_separator(j, '}')) > 0) {
        rc = count < JSON_PULL_MEMBERS_MAX ? scan_name(j, &name)
                                           : json_pull_fail(j, "an object has too many members");
        if (rc < 0)
            break;
        for (size_t i = 0; i < count; i++) {
            struct json_pull other = { .text = j->text, .size = j->size, .pos = start[i] };
            struct json_pull_text other_name;

            if (scan_string(&other, &other_name) == 0 && text_equal(&name, &other_name)) {
                *ret_error = "a name occurs twice in an object";
                *ret_pos = (size_t)(name.raw - j->text);
                return -EINVAL;
            }
        }
        start[count++] = (uint32_t)(name.raw - 1 - j->text);
        rc = scan_value(j);
        if (rc < 0)
            break;
    }
    *ret_error = j->error;
    *ret_pos = j->pos;
    return rc;
}

int json_pull_object_begin(struct json_pull *j)
{
    int rc = json_pull_peek(j);

    if (rc < 0)
        return rc;
    rc = scan_open(j, '{');
    if (rc < 0)
        return rc;
    struct json_pull copy = *j;
    const char *error;
    size_t pos;

    rc = check_names(&copy, &error, &pos);
    if (rc < 0) {
        j->pos = pos;
        return json_pull_fail(j, error);
    }
    return 0;
}

int json_pull_array_begin(struct json_pull *j)
{
    int rc = json_pull_peek(j);

    return rc < 0 ? rc : scan_open(j, '[');
}

int json_pull_object_next(struct json_pull *j, struct json_pull_text *ret_name)
{
    int rc = scan_separator(j, '}');

    if (rc <= 0)
        return rc;
    rc = scan_name(j, ret_name);
    return rc < 0 ? rc : 1;
}

int json_pull_array_next(struct json_pull *j)
{
    return scan_separator(j, ']');
}

int json_pull_string(struct json_pull *j, struct json_pull_text *ret)
{
    int rc = json_pull_peek(j);

    return rc < 0 ? rc : scan_string(j, ret);
}

int json_pull_uint(struct json_pull *j, uint64_t max, uint64_t *ret)
{
    int kind = json_pull_peek(j);
    size_t start = j->pos;
    uint64_t value = 0;

    if (kind < 0)
        return kind;
    if (kind != JSON_PULL_NUMBER)
        return json_pull_fail(j, "a number is expected");
    if (scan_number(j) < 0)
        return -EINVAL;
    for (size_t i = start; i < j->pos; i++) {
        char c = j->text[i];

        if (!is_digit(c)) {
            j->pos = start;
            return json_pull_fail(j, "a whole number, not negative, is expected");
        }
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value) || value > max) {
            j->pos = start;
            return json_pull_fail(j, "a number is too large");
        }
    }
    *ret = value;
    return 0;
}

int json_pull_bool(struct json_pull *j, bool *ret)
{
    int kind = json_pull_peek(j);

    if (kind < 0)
        return kind;
    if (kind != JSON_PULL_TRUE && kind != JSON_PULL_FALSE)
        return json_pull_fail(j, "true or false is expected");
    int rc = scan_scalar(j, kind);

    if (rc == 0)
        *ret = kind == JSON_PULL_TRUE;
    return rc;
}

int json_pull_null(struct json_pull *j)
{
    int kind = json_pull_peek(j);

    return kind < 0 ? kind : scan_word(j, "null");
}

int json_pull_skip(struct json_pull *j)
{
    uint64_t objects = 0;
    unsigned base = j->depth;
    struct json_pull_text name;

    do {
        int kind = json_pull_peek(j);
        int rc = kind;

        if (kind == JSON_PULL_OBJECT) {
            rc = json_pull_object_begin(j);
            if (rc == 0)
                objects |= 1ull << j->depth;
        } else if (kind == JSON_PULL_ARRAY) {
            rc = json_pull_array_begin(j);
            if (rc == 0)
                objects &= ~(1ull << j->depth);
        } else if (kind > 0) {
            rc = scan_scalar(j, kind);
        }
        while (rc == 0 && j->depth > base) {
            rc =
                objects >> j->depth & 1 ? json_pull_object_next(j, &name) : json_pull_array_next(j);
            if (rc != 0)
                break;
        }
        if (rc < 0)
            return rc;
    } while (j->depth > base);
    return 0;
}

int json_pull_end(struct json_pull *j)
{
    if (j->error)
        return -EINVAL;
    skip_space(j);
    return j->pos == j->size && j->depth == 0 ? 0 : json_pull_fail(j, "text follows the value");
}

static size_t utf8_encode(uint32_t code, char dst[4])
{
    if (code < 0x80) {
        dst[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        dst[0] = (char)(0xc0 | code >> 6);
        dst[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        dst[0] = (char)(0xe0 | code >> 12);
        dst[1] = (char)(0x80 | (code >> 6 & 0x3f));
        dst[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    dst[0] = (char)(0xf0 | code >> 18);
    dst[1] = (char)(0x80 | (code >> 12 & 0x3f));
    dst[2] = (char)(0x80 | (code >> 6 & 0x3f));
    dst[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

int64_t json_pull_text_decode(const struct json_pull_text *t, char *dst, size_t dst_size)
{
    size_t len = 0;

    for (size_t i = 0; i < t->raw_size;) {
        uint32_t code = 0;
        char bytes[4];

        i += char_decode(t->raw + i, t->raw_size - i, &code);
        size_t size = utf8_encode(code, bytes);

        if (dst_size - len < size)
            return -ENOSPC;
        memcpy(dst + len, bytes, size);
        len += size;
    }
    if (len >= dst_size)
        return -ENOSPC;
    dst[len] = '\0';
    return (int64_t)len;
}

bool json_pull_text_is(const struct json_pull_text *t, const char *value)
{
    size_t len = 0, value_len = strlen(value);

    for (size_t i = 0; i < t->raw_size;) {
        uint32_t code = 0;
        char bytes[4];

        i += char_decode(t->raw + i, t->raw_size - i, &code);
        size_t size = utf8_encode(code, bytes);

        if (value_len - len < size || memcmp(value + len, bytes, size) != 0)
            return false;
        len += size;
    }
    return len == value_len;
}

void json_pull_place(const char *text, size_t size, size_t pos, unsigned *ret_line,
                     unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (size_t i = 0; i < pos && i < size; i++) {
        column++;
        if (text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    *ret_line = line;
    *ret_column = column;
}
