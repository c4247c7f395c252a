/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader for JSON (RFC 8259) that pulls one value after the other out of a text. Shared; input may
 * be hostile; no allocation, no recursion. It refuses what readers disagree about: duplicate names,
 * invalid UTF-8, lone surrogates, NUL characters, nesting deeper than JSON_PULL_DEPTH_MAX.
 *
 * The first error stays in the reader: every later call fails too, so a caller may check at the end
 * of a group of reads. Reads must follow the text's order:
 *
 *     json_pull_init(&j, text, size);
 *     rc = json_pull_object_begin(&j);
 *     while ((rc = json_pull_object_next(&j, &name)) > 0)
 *         if (json_pull_text_is(&name, "size"))
 *             rc = json_pull_uint(&j, UINT32_MAX, &size);
 *         else
 *             rc = json_pull_skip(&j);
 *     rc = json_pull_end(&j);
 */
#pragma once

#include "lib/defs.h"

#define JSON_PULL_DEPTH_MAX 32u
#define JSON_PULL_MEMBERS_MAX 256u     /* of one object */
#define JSON_PULL_SIZE_MAX (16u << 20) /* bytes of one text */

enum json_pull_kind {
    JSON_PULL_OBJECT = 1,
    JSON_PULL_ARRAY,
    JSON_PULL_STRING,
    JSON_PULL_NUMBER,
    JSON_PULL_TRUE,
    JSON_PULL_FALSE,
    JSON_PULL_NULL,
};

struct json_pull {
    const char *text;
    size_t size;       /* bytes */
    size_t pos;        /* next byte; where the error is, when there is one */
    unsigned depth;    /* objects and arrays that are open */
    bool first;        /* no element of the innermost one was read yet */
    const char *error; /* static text, or NULL */
};

/* A string as it stands in the text, between its quotes, escapes and all; already checked. */
struct json_pull_text {
    const char *raw;
    size_t raw_size;
};

/* Text must stay while the reader is used. Longer than JSON_PULL_SIZE_MAX: the first read fails. */
void json_pull_init(struct json_pull *j, const char *text, size_t size);

/* Kind of the next value. returns: enum json_pull_kind; -EINVAL. */
MUST_CHECK int json_pull_peek(struct json_pull *j);

/* Opens the object or array that is next. returns: 0; -EINVAL. */
MUST_CHECK int json_pull_object_begin(struct json_pull *j);
MUST_CHECK int json_pull_array_begin(struct json_pull *j);

/* Name of the next member; its value is read next. returns: 1; 0 the object was closed; -EINVAL. */
MUST_CHECK int json_pull_object_next(struct json_pull *j, struct json_pull_text *ret_name);
/* returns: 1 a value is next; 0 the array was closed; -EINVAL. */
MUST_CHECK int json_pull_array_next(struct json_pull *j);

/* Values. returns: 0; -EINVAL another kind, malformed, or larger than max. */
MUST_CHECK int json_pull_string(struct json_pull *j, struct json_pull_text *ret);
MUST_CHECK int json_pull_uint(struct json_pull *j, uint64_t max, uint64_t *ret);
MUST_CHECK int json_pull_bool(struct json_pull *j, bool *ret);
MUST_CHECK int json_pull_null(struct json_pull *j);
/* Passes over one value of any kind. */
MUST_CHECK int json_pull_skip(struct json_pull *j);

/* Nothing but white space is left. returns: 0; -EINVAL. */
MUST_CHECK int json_pull_end(struct json_pull *j);

/* Records an error of the caller's at the current place. returns: -EINVAL. */
int json_pull_fail(struct json_pull *j, const char *error);

/* The string without escapes and NUL-ended. returns: its len; -ENOSPC (raw_size + 1 is enough). */
MUST_CHECK int64_t json_pull_text_decode(const struct json_pull_text *t, char *dst,
                                         size_t dst_size);
bool json_pull_text_is(const struct json_pull_text *t, const char *value);

/* Whether JSON can hold the text: valid UTF-8 (RFC 3629). */
bool json_pull_is_utf8(const char *text);

/* Line and column, from 1, of a place in a text; for messages. */
void json_pull_place(const char *text, size_t size, size_t pos, unsigned *ret_line,
                     unsigned *ret_column);
