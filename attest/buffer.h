/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer that grows while something is encoded into it; the first failure stays. Relying party and agent; within attest/. */
#pragma once

#include "lib/defs.h"

struct buffer {
    uint8_t *data; /* owned */
    size_t size;   /* bytes that are used */
    size_t capacity;
    size_t max; /* it never grows above this */
    int rc;     /* 0; -ENOMEM; -E2BIG: max was reached. Nothing is added after that */
};

void buffer_init(struct buffer *b, size_t max);
void buffer_done(struct buffer *b);
/* Adds bytes; data may be NULL when size is 0. */
void buffer_add(struct buffer *b, const void *data, size_t size);
void buffer_add_text(struct buffer *b, const char *text);
/* Moves the bytes out, with a NUL behind them. returns: 0; the first failure. For free(). */
MUST_CHECK int buffer_take(struct buffer *b, uint8_t **ret, size_t *ret_size);
