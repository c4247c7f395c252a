/* SPDX-License-Identifier: Apache-2.0 */
/* See http.h. Trusted; hosted. */
#include "tee/agent/server/http.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/descriptor.h"
#include "tee/agent/server/http_read.h"
#include "tee/agent/server/lease.h"
#include "tee/agent/server/wipe.h"

#define HOST_SIZE 256u
#define PORT_SIZE 8u
#define HEAD_SIZE 4096u
#define READ_STEP 16384u

/* One connection, while it lasts. */
struct conn {
    const struct http *http;
    const struct http_request *request;
    struct err *err;
    char host[HOST_SIZE], port[PORT_SIZE];
    bool is_v6;
    int fd;
    SSL *ssl;
};

static void conn_done(struct conn *c)
{
    SSL_free(c->ssl);
    if (c->fd >= 0)
        close(c->fd);
    ERR_clear_error();
}

/* ---- waiting ---- */

/* fd -1: only the time. returns: 1 ready; 0 the time is over; -ECANCELED. */
static int wait_until(const struct http *http, int fd, short events, uint64_t end_ms)
{
    for (;;) {
        struct pollfd fds[2] = { { .fd = http->cancel_fd, .events = POLLIN },
                                 { .fd = fd, .events = events } };
        uint64_t now = lease_clock_ms();
        int rc = poll(fds, 2, now < end_ms ? (int)MIN(end_ms - now, (uint64_t)60000) : 0);

        if (rc < 0 && errno != EINTR)
            return -errno;
        if (rc > 0 && fds[0].revents)
            return -ECANCELED;
        if (rc > 0 && fds[1].revents)
            return 1;
        if (lease_clock_ms() >= end_ms)
            return 0;
    }
}

int http_pause(const struct http *http, uint64_t end_ms)
{
    int rc = wait_until(http, -1, 0, end_ms);

    return MIN(rc, 0);
}

static int conn_wait(const struct conn *c, short events, uint64_t end_ms, const char *doing)
{
    int rc = wait_until(c->http, c->fd, events, end_ms);

    if (rc == 0)
        return err_set(c->err, -ETIMEDOUT, "no answer in time (%s)", doing);
    return MIN(rc, 0);
}

/* ---- connecting ---- */

static int url_split(struct conn *c)
{
    const char *at = c->request->server + sizeof "https://" - 1, *end;
    size_t len;

    if (!descriptor_url_is_valid(c->request->server))
        return err_set(c->err, -EINVAL, "this is no URL of a server");
    c->is_v6 = *at == '[';
    at += c->is_v6;
    len = strcspn(at, c->is_v6 ? "]" : ":");
    end = at + len + c->is_v6;
    if (len >= sizeof c->host)
        return err_set(c->err, -EINVAL, "the host name is too long");
    memcpy(c->host, at, len);
    c->host[len] = 0;
    snprintf(c->port, sizeof c->port, "%s", *end == ':' ? end + 1 : "443");
    return 0;
}

static int connect_one(struct conn *c, const struct addrinfo *a)
{
    uint64_t end_ms = MIN(c->request->end_ms, lease_clock_ms() + HTTP_CONNECT_MS);
    socklen_t size = sizeof(int);
    int error = 0, rc;

    c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    rc = conn_wait(c, POLLOUT, end_ms, "connecting");
    if (rc == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        rc = -errno;
    return rc < 0 ? rc : -error;
}

/* Names are looked up in /etc/hosts and by DNS, whatever the image says: other ways would load the image's libraries. */
static int connect_any(struct conn *c)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    int rc;

    __nss_configure_lookup("hosts", "files dns");
    rc = getaddrinfo(c->host, c->port, &hints, &list);
    if (rc != 0)
        return err_set(c->err, -EHOSTUNREACH, "the name of the host is not known (%s)",
                       gai_strerror(rc));
    rc = -EHOSTUNREACH;
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        rc = connect_one(c, a);
        if (rc == 0 || rc == -ECANCELED)
            break;
        if (c->fd >= 0)
            close(c->fd);
        c->fd = -1;
    }
    freeaddrinfo(list);
    if (rc < 0 && rc != -ECANCELED && rc != -ETIMEDOUT)
        return err_set_errno(c->err, rc, "cannot connect");
    return rc;
}

/* ---- TLS ---- */

/* Instead of OpenSSL's own: the chain by the pins, then the name. */
static int verify_chain(X509_STORE_CTX *context, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct conn *c = SSL_get_app_data(ssl);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(context);
    X509 *leaf = X509_STORE_CTX_get0_cert(context);
    const char *reason = "";
    int rc;

    if (!chain || sk_X509_num(chain) < 1 || sk_X509_num(chain) > (int)PIN_CHAIN_MAX) {
        err_set(c->err, -EBADMSG, "the server's certificates are too few or too many");
        return 0;
    }
    rc = pin_verify(c->http->pins, chain, PIN_TIME_ANY, X509_PURPOSE_SSL_SERVER, &reason);
    if (rc < 0) {
        err_set(c->err, -EBADMSG,
                "the server's certificate does not end at the CA key that the image pins (%s)",
                reason);
        return 0;
    }
    if (X509_check_ip_asc(leaf, c->host, 0) == 1 ||
        X509_check_host(leaf, c->host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1)
        return 1;
    err_set(c->err, -EBADMSG, "the server's certificate is for another name");
    return 0;
}

/* After an SSL call. returns: 0 try it again; -EPIPE the other end has closed; -errno. */
static int ssl_wait(struct conn *c, int rc, const char *doing)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return conn_wait(c, POLLIN, c->request->end_ms, doing);
    case SSL_ERROR_WANT_WRITE:
        return conn_wait(c, POLLOUT, c->request->end_ms, doing);
    case SSL_ERROR_ZERO_RETURN:
        return -EPIPE;
    default:
        return err_set(c->err, -ECONNRESET, "the connection broke (%s)", doing);
    }
}

static int tls_connect(struct conn *c)
{
    int rc;

    c->ssl = SSL_new(c->http->context);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd))
        return -ENOMEM;
    SSL_set_app_data(c->ssl, c);
    if (!c->is_v6 && c->host[strspn(c->host, "0123456789.")] != 0)
        SSL_set_tlsext_host_name(c->ssl, c->host);
    if (c->err)
        c->err->text[0] = 0;
    for (;;) {
        ERR_clear_error();
        rc = SSL_connect(c->ssl);
        if (rc == 1)
            return 0;
        if (SSL_get_error(c->ssl, rc) == SSL_ERROR_SSL && c->err && c->err->text[0])
            return -EBADMSG; /* verify_chain has said why */
        rc = ssl_wait(c, rc, "TLS handshake");
        if (rc < 0)
            return rc == -EPIPE ? err_set(c->err, -ECONNRESET, "closed in the TLS handshake") : rc;
    }
}

static int tls_write(struct conn *c, const char *data, size_t size)
{
    while (size > 0) {
        int rc;

        ERR_clear_error();
        rc = SSL_write(c->ssl, data, (int)MIN(size, (size_t)65536));

        if (rc > 0) {
            data += rc;
            size -= (size_t)rc;
            continue;
        }
        rc = ssl_wait(c, rc, "sending");
        if (rc < 0)
            return rc == -EPIPE ? -ECONNRESET : rc;
    }
    return 0;
}

/* ---- request and response ---- */

static int request_write(struct conn *c)
{
    const struct http_request *r = c->request;
    size_t body_size = r->body ? strlen(r->body) : 0;
    CLEANUP(wipe_freep)
    char *head = malloc(HEAD_SIZE);
    int size, rc;

    if (!head)
        return -ENOMEM;
    size = snprintf(
        head, HEAD_SIZE,
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cloche-agent\r\nAccept: application/json, "
        "application/problem+json\r\nConnection: close\r\n%s%s%s",
        r->method, r->path, r->server + sizeof "https://" - 1,
        r->authorization ? "Authorization: " : "", r->authorization ? r->authorization : "",
        r->authorization ? "\r\n" : "");
    if (size < (int)HEAD_SIZE && r->body)
        size += snprintf(head + size, HEAD_SIZE - (size_t)size,
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n", body_size);
    if (size < (int)HEAD_SIZE)
        size += snprintf(head + size, HEAD_SIZE - (size_t)size, "\r\n");
    if (size >= (int)HEAD_SIZE)
        return -EMSGSIZE;
    rc = tls_write(c, head, (size_t)size);
    return rc == 0 && r->body ? tls_write(c, r->body, body_size) : rc;
}

static int response_read(struct conn *c, struct http_read *r)
{
    CLEANUP(wipe_freep)
    char *step = malloc(READ_STEP);
    int rc = 0;

    if (!step)
        return -ENOMEM;
    while (rc == 0) {
        int got;

        ERR_clear_error();
        got = SSL_read(c->ssl, step, READ_STEP);

        if (got > 0)
            rc = http_read_add(r, step, (size_t)got);
        else if ((rc = ssl_wait(c, got, "answer")) == -EPIPE)
            rc = http_read_end(r);
    }
    if (rc == -EPROTO)
        return err_set(c->err, rc, "the answer is no proper HTTP");
    if (rc == -EMSGSIZE)
        return err_set(c->err, rc, "the answer is too large");
    return rc < 0 ? rc : 0;
}

static int exchange_bytes(struct conn *c, struct http_read *r)
{
    int rc = url_split(c);

    if (rc == 0)
        rc = connect_any(c);
    if (rc == 0)
        rc = tls_connect(c);
    if (rc == 0)
        rc = request_write(c);
    return rc < 0 ? rc : response_read(c, r);
}

int http_perform(const struct http *http, const struct http_request *request,
                 struct http_answer *ret, struct err *err)
{
    CLEANUP(conn_done)
    struct conn c = { .http = http, .request = request, .err = err, .fd = -1 };
    struct http_read *r = malloc(sizeof *r);
    int rc;

    if (!r)
        return -ENOMEM;
    http_read_init(r);
    rc = exchange_bytes(&c, r);
    if (rc == 0 && !r->body) {
        r->body = calloc(1, 1);
        rc = r->body ? 0 : -ENOMEM;
    }
    if (rc == 0)
        *ret = (struct http_answer){ .status = r->status,
                                     .is_problem = r->is_problem,
                                     .body = TAKE_PTR(r->body),
                                     .size = r->body_size };
    http_read_done(r);
    free(r);
    return rc;
}

void http_answer_done(struct http_answer *answer)
{
    wipe_free(answer->body);
    *answer = (struct http_answer){ 0 };
}

int http_new(const struct pins *pins, int cancel_fd, struct http *ret)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context)
        return -ENOMEM;
    *ret = (struct http){ .context = context, .pins = pins, .cancel_fd = cancel_fd };
    if (!SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)) {
        SSL_CTX_free(context);
        return -EIO;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify_chain, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Not every server ends with close_notify; the reader knows by itself whether it has all. */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return 0;
}

void http_done(struct http *http)
{
    SSL_CTX_free(http->context);
    *http = (struct http){ .cancel_fd = -1 };
}
