/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads HTTP/1.1 responses (RFC 9112) as they come, piece by piece. Trusted; hosted. No I/O; every byte may be hostile. Strict: what servers and proxies really send is
 * taken, and nothing that two readers could understand differently.
 */
#pragma once

#include "lib/defs.h"

#define HTTP_HEAD_SIZE_MAX 16384u
#define HTTP_BODY_SIZE_MAX (16u << 20)
#define HTTP_INTERIM_MAX 4u /* 1xx responses before the final one */

enum http_read_state {
    HTTP_READ_HEAD,
    HTTP_READ_LENGTH,     /* body of a known size */
    HTTP_READ_CHUNK_SIZE, /* the line before a chunk */
    HTTP_READ_CHUNK,
    HTTP_READ_CHUNK_END, /* the empty line after it */
    HTTP_READ_TRAILER,
    HTTP_READ_CLOSE, /* body until the connection ends */
    HTTP_READ_DONE,
};

struct http_read {
    enum http_read_state state;
    unsigned status;
    bool is_problem; /* Content-Type is application/problem+json */
    unsigned interim_count;
    uint64_t left;                 /* bytes of body or chunk that are still to come */
    char line[HTTP_HEAD_SIZE_MAX]; /* head, chunk size or trailer so far */
    size_t line_size;
    size_t trailer_size;
    char *body; /* owned; NUL behind it */
    size_t body_size, body_capacity;
};

void http_read_init(struct http_read *r);
/* Wipes the body. */
void http_read_done(struct http_read *r);
/* Takes bytes. returns: 1 the response is complete (more bytes are an error: -EPROTO); 0 more must come; -EPROTO malformed; -EMSGSIZE too large; -ENOMEM. */
MUST_CHECK int http_read_add(struct http_read *r, const char *data, size_t size);
/* The connection ended. returns: 1 complete; -EPROTO it was cut off. */
MUST_CHECK int http_read_end(struct http_read *r);
