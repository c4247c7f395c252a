/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (WHATWG HTML, section 9.2): bytes to events. Relying party; within client/; bytes are hostile. */
#pragma once

#include "lib/defs.h"

#define SSE_LINE_SIZE_MAX 65536u
#define SSE_WORD_SIZE 128u

/* data: the event's text, one NUL behind; returns: false to end. */
typedef bool sse_event_fn(void *arg, const char *kind, const char *data, size_t size);

struct sse {
    sse_event_fn *fn;
    void *arg;
    char kind[SSE_WORD_SIZE], next_id[SSE_WORD_SIZE];
    char id[SSE_WORD_SIZE]; /* of the last whole event that had one */
    char *line, *data;      /* SSE_LINE_SIZE_MAX each */
    size_t line_size, data_size;
    bool is_broken; /* a line or an event was too long */
};
/* returns: 0; -ENOMEM. */
MUST_CHECK int sse_init(struct sse *sse, sse_event_fn *fn, void *arg);
void sse_done(struct sse *sse);
/* Forgets a half event: a new connection begins. */
void sse_reset(struct sse *sse);
/* returns: whether to go on: fn did not end it and nothing was too long. */
bool sse_add(struct sse *sse, const char *data, size_t size);
