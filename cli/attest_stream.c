/* SPDX-License-Identifier: Apache-2.0 */
/* One relayed connection. Relying party side, or inside a TEE; both ends may be hostile. */
#include "cli/attest_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

/*
 * Others have their turn after so many. Nothing is left behind in OpenSSL's own buffer then: a read takes a whole record, of which a
 * buffer holds the largest.
 */
#define ROUNDS_MAX 32u

void attest_stream_init(struct attest_stream *s)
{
    *s = (struct attest_stream){ .plain_fd = -1, .tls_fd = -1 };
}

void attest_stream_tls_close(struct attest_stream *s)
{
    SSL_free(s->ssl);
    s->ssl = NULL;
    if (s->tls_fd >= 0)
        close(s->tls_fd);
    s->tls_fd = -1;
}

void attest_stream_close(struct attest_stream *s)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    if (s->is_broken && s->plain_fd >= 0 &&
        setsockopt(s->plain_fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0) {
        /* It is no socket, or already gone. */
    }
    attest_stream_tls_close(s);
    if (s->plain_fd >= 0)
        close(s->plain_fd);
    free(s->to_tls.data);
    free(s->to_plain.data);
    attest_stream_init(s);
}

int attest_stream_tls(struct attest_stream *s, SSL_CTX *ssl_ctx, bool accepts)
{
    s->ssl = SSL_new(ssl_ctx);
    s->to_tls.data = malloc(ATTEST_STREAM_BUFFER_SIZE);
    s->to_plain.data = malloc(ATTEST_STREAM_BUFFER_SIZE);
    if (!s->ssl || !s->to_tls.data || !s->to_plain.data || SSL_set_fd(s->ssl, s->tls_fd) != 1)
        return -ENOMEM;
    SSL_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (accepts)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    return 0;
}

/* What a TLS call that did not succeed means. returns: 0 the end was announced; -EAGAIN; -EPROTO. */
static int tls_outcome(struct attest_stream *s, int rc)
{
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -EPROTO;
    }
}

int attest_stream_handshake(struct attest_stream *s)
{
    int rc;

    s->wants_write = false;
    ERR_clear_error();
    rc = SSL_do_handshake(s->ssl);
    if (rc == 1)
        return 0;
    return tls_outcome(s, rc) == -EAGAIN ? -EAGAIN : -EPROTO;
}

/* ---- moving bytes; each returns whether something moved, or a negative errno ---- */

static int plain_read(struct attest_stream *s)
{
    struct attest_flow *flow = &s->to_tls;
    ssize_t count;

    if (flow->is_ended || flow->size > 0)
        return 0;
    count = read(s->plain_fd, flow->data, ATTEST_STREAM_BUFFER_SIZE);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    flow->is_ended = count == 0;
    flow->off = 0;
    flow->size = (size_t)count;
    return 1;
}

static int tls_write(struct attest_stream *s)
{
    struct attest_flow *flow = &s->to_tls;
    int rc;

    ERR_clear_error();
    if (flow->size > 0) {
        rc = SSL_write(s->ssl, flow->data + flow->off, (int)flow->size);
        if (rc <= 0)
            return tls_outcome(s, rc) == -EAGAIN ? 0 : -EPROTO;
        flow->off += (size_t)rc;
        flow->size -= (size_t)rc;
        return 1;
    }
    if (!flow->is_ended || flow->is_closed)
        return 0;
    flow->is_closed = true;
    rc = SSL_shutdown(s->ssl);
    return rc >= 0 || tls_outcome(s, rc) == -EAGAIN ? 1 : -EPROTO;
}

static int tls_read(struct attest_stream *s)
{
    struct attest_flow *flow = &s->to_plain;
    int rc;

    if (flow->is_ended || flow->size > 0)
        return 0;
    ERR_clear_error();
    rc = SSL_read(s->ssl, flow->data, ATTEST_STREAM_BUFFER_SIZE);
    flow->off = 0;
    if (rc > 0) {
        flow->size = (size_t)rc;
        return 1;
    }
    rc = tls_outcome(s, rc);
    if (rc == -EAGAIN)
        return 0;
    if (rc < 0) {
        s->is_broken = true;
        return rc;
    }
    flow->is_ended = true;
    return 1;
}

static int plain_write(struct attest_stream *s)
{
    struct attest_flow *flow = &s->to_plain;
    ssize_t count;

    if (flow->size > 0) {
        count = write(s->plain_fd, flow->data + flow->off, flow->size);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        flow->off += (size_t)count;
        flow->size -= (size_t)count;
        return 1;
    }
    if (!flow->is_ended || flow->is_closed)
        return 0;
    flow->is_closed = true;
    if (shutdown(s->plain_fd, SHUT_WR) < 0 && errno != ENOTCONN)
        return -errno;
    return 1;
}

int attest_stream_pump(struct attest_stream *s)
{
    int (*const moves[])(struct attest_stream *) = { plain_read, tls_write, tls_read, plain_write };
    bool any = false, again;
    unsigned round = 0;

    s->wants_write = false;
    do {
        again = false;
        for (unsigned i = 0; i < ARRAY_COUNT(moves); i++) {
            int rc = moves[i](s);

            if (rc < 0)
                return rc;
            again |= rc > 0;
        }
        any |= again;
        if (s->to_tls.is_closed && s->to_plain.is_closed)
            return -EPIPE;
    } while (again && !s->wants_write && ++round < ROUNDS_MAX);
    return any ? 0 : -EAGAIN;
}

void attest_stream_poll(const struct attest_stream *s, bool is_handshake, struct pollfd polls[2])
{
    short plain = 0, tls = 0;

    if (!is_handshake && !s->to_tls.is_ended && s->to_tls.size == 0)
        plain |= POLLIN;
    if (!is_handshake && s->to_plain.size > 0)
        plain |= POLLOUT;
    if (is_handshake ? !s->wants_write : !s->to_plain.is_ended && s->to_plain.size == 0)
        tls |= POLLIN;
    if (s->wants_write)
        tls |= POLLOUT;
    polls[0] = (struct pollfd){ .fd = plain ? s->plain_fd : -1, .events = plain };
    polls[1] = (struct pollfd){ .fd = tls ? s->tls_fd : -1, .events = tls };
}

/* ---- no connection ---- */

/* "GET /x HTTP/1.1": the first line of a request. */
static bool is_http(const char *text)
{
    size_t method = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    const char *version = strstr(text, " HTTP/1."), *line = strchr(text, '\r');

    return method >= 3 && text[method] == ' ' && version && line && version < line;
}

void attest_stream_answer(struct attest_stream *s, const char *why)
{
    char request[ATTEST_STREAM_BUFFER_SIZE + 1], answer[2048];
    ssize_t count;
    int size;

    if (s->plain_fd < 0)
        return;
    count = recv(s->plain_fd, request, sizeof request - 1, MSG_DONTWAIT);
    if (count <= 0)
        return;
    request[count] = '\0';
    if (!is_http(request))
        return;
    size = snprintf(answer, sizeof answer,
                    "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    "Content-Length: %zu\r\nConnection: close\r\n\r\ncloche attest: %s\n",
                    strlen("cloche attest: \n") + strlen(why), why);
    if (size < (int)sizeof answer && send(s->plain_fd, answer, (size_t)size, MSG_NOSIGNAL) == size)
        shutdown(s->plain_fd, SHUT_WR);
}
