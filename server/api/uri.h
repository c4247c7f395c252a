/* SPDX-License-Identifier: Apache-2.0 */
/* The target of a request (RFC 9112, origin form) taken apart: path segments and query, percent-decoded and checked. Relying party; the text is hostile. */
#pragma once

#include "lib/defs.h"

#define URI_SIZE_MAX 4096u
#define URI_SEGMENTS_MAX 12u
#define URI_SEGMENT_LEN_MAX 256u
#define URI_QUERY_MAX 16u

struct uri {
    const char *segments[URI_SEGMENTS_MAX];
    unsigned segment_count;
    struct {
        const char *name, *value;
    } query[URI_QUERY_MAX];
    unsigned query_count;
};

/*
 * Takes text apart in place; ret points into it. "/" has no segments. What is decoded is UTF-8 without control characters; segments are not empty, "." or "..";
 * names of the query are there once.
 * returns: 0; -EINVAL, and *ret_problem says what is wrong (static).
 */
MUST_CHECK int uri_parse(char *text, struct uri *ret, const char **ret_problem);
/* Of the query; NULL: absent. */
const char *uri_query_find(const struct uri *uri, const char *name);

/* Whether bytes are UTF-8 (RFC 3629) without C0, DEL and C1 controls. */
bool text_is_clean(const char *text, size_t len);
