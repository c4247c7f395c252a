/* SPDX-License-Identifier: Apache-2.0 */
/* One relayed connection: a plain end, a TLS end, and a bounded buffer each way. Within cli/attest_relay.c's loop. */
#pragma once

#include <poll.h>

#include <openssl/ssl.h>

#include "lib/defs.h"

#define ATTEST_STREAM_BUFFER_SIZE 16384u

struct attest_flow {
    uint8_t *data; /* ATTEST_STREAM_BUFFER_SIZE bytes; allocated when the stream opens */
    size_t off, size;
    bool is_ended;  /* nothing more comes */
    bool is_closed; /* and the other end was told */
};

struct attest_stream {
    int plain_fd, tls_fd; /* -1: none; owned; not blocking */
    SSL *ssl;             /* owned */
    struct attest_flow to_tls, to_plain;
    bool wants_write; /* the last TLS call needs the socket to be writable */
    bool is_broken;   /* the TLS end went without a word: the plain end is reset */
};

void attest_stream_init(struct attest_stream *s);
void attest_stream_close(struct attest_stream *s);
/* The TLS end alone. */
void attest_stream_tls_close(struct attest_stream *s);
/* Starts TLS on tls_fd. returns: 0; -ENOMEM. */
MUST_CHECK int attest_stream_tls(struct attest_stream *s, SSL_CTX *ssl_ctx, bool accepts);
/* returns: 0 done; -EAGAIN; -EPROTO. */
MUST_CHECK int attest_stream_handshake(struct attest_stream *s);
/* Moves what can be moved. returns: 0 something moved; -EAGAIN nothing did; -EPIPE it is over; -EPROTO TLS failed; -errno. */
MUST_CHECK int attest_stream_pump(struct attest_stream *s);
/* What to wait for: the plain end, then the TLS end; fd -1: nothing. */
void attest_stream_poll(const struct attest_stream *s, bool is_handshake, struct pollfd polls[2]);
/* Tells an HTTP client on the plain end why there is no connection (502); others just see its end. */
void attest_stream_answer(struct attest_stream *s, const char *why);
