/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, sockets and handshakes of `cloche attest`. Relying party side; inside a TEE the network is as hostile as anywhere. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "cli/attest.h"

#define HOST_SIZE 256u
#define PORT_SIZE 8u
#define BACKLOG 64
#define UNIX_PREFIX "unix:"

int64_t attest_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Host without brackets, and port. */
static int split(const char *text, char host[HOST_SIZE], char port[PORT_SIZE])
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool is_v6 = len >= 2 && text[0] == '[' && text[len - 1] == ']';

    if (!colon || strlen(colon + 1) == 0 || strlen(colon + 1) >= PORT_SIZE ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535 || len >= HOST_SIZE ||
        (!is_v6 && memchr(text, ':', len)))
        return -EINVAL;
    snprintf(host, HOST_SIZE, "%.*s", (int)(is_v6 ? len - 2 : len), is_v6 ? text + 1 : text);
    snprintf(port, PORT_SIZE, "%s", colon + 1);
    return 0;
}

/* "unix:/path": such a socket is reached from inside the enclave alone. */
static int parse_unix(const char *path, struct addrinfo **ret, struct err *err)
{
    struct {
        struct addrinfo info;
        struct sockaddr_un address;
    } * both;

    if (path[0] != '/' || strlen(path) >= sizeof both->address.sun_path)
        return err_set(err, -EINVAL, "%s is no path of a socket", path);
    both = calloc(1, sizeof *both);
    if (!both)
        return -ENOMEM;
    both->address.sun_family = AF_UNIX;
    memcpy(both->address.sun_path, path, strlen(path) + 1);
    both->info = (struct addrinfo){ .ai_family = AF_UNIX,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addr = (struct sockaddr *)&both->address,
                                    .ai_addrlen = sizeof both->address };
    *ret = &both->info;
    return 0;
}

void attest_address_free(struct addrinfo *address)
{
    if (address && address->ai_family == AF_UNIX)
        free(address); /* parse_unix: the first member of one block */
    else if (address)
        freeaddrinfo(address);
}

int attest_address_parse(const char *text, bool listens, struct addrinfo **ret, struct err *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    char host[HOST_SIZE], port[PORT_SIZE];
    int rc;

    if (!listens && strncmp(text, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0)
        return parse_unix(text + sizeof UNIX_PREFIX - 1, ret, err);
    if (split(text, host, port) < 0 || (!listens && host[0] == '\0'))
        return err_set(err, -EINVAL, "%s is no address: write host:port, or [::1]:port", text);
    if (listens)
        hints.ai_flags |= AI_PASSIVE;
    rc = getaddrinfo(host[0] ? host : NULL, port, &hints, ret);
    return rc == 0 ? 0 : err_set(err, -ENOENT, "%s: %s", text, gai_strerror(rc));
}

void attest_address_print(const struct sockaddr *address, socklen_t size,
                          char ret[ATTEST_ADDRESS_SIZE])
{
    char host[HOST_SIZE], port[PORT_SIZE];

    if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(ret, ATTEST_ADDRESS_SIZE, "(unknown)");
    else
        snprintf(ret, ATTEST_ADDRESS_SIZE, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                 host, port);
}

int attest_listen(const char *text, char ret_name[ATTEST_ADDRESS_SIZE], struct err *err)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    struct addrinfo *address;
    int on = 1, fd, rc = attest_address_parse(text, true, &address, err);

    if (rc < 0)
        return rc;
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) < 0) {
        rc = err_set_errno(err, -errno, "cannot listen on %s", text);
        if (fd >= 0)
            close(fd);
    }
    attest_address_free(address);
    if (rc < 0)
        return rc;
    attest_address_print((struct sockaddr *)&bound, size, ret_name);
    return fd;
}

int attest_connect_begin(const struct addrinfo *address)
{
    int on = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    /* A request is often smaller than a segment. */
    if ((address->ai_family != AF_UNIX &&
         setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) ||
        (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

int attest_connect_end(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return -error;
}

const char *attest_ssl_error(char *dst, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    snprintf(dst, size, "%s", reason ? reason : "the connection ended");
    ERR_clear_error();
    return dst;
}

/* ---- one connection, to its handshake's end ---- */

/* returns: 0 ready; -ETIMEDOUT; -errno. */
static int wait_for(int fd, short events, int64_t until_ms)
{
    struct pollfd one = { .fd = fd, .events = events };

    for (;;) {
        int64_t left = until_ms - attest_clock_ms();
        int rc = left > 0 ? poll(&one, 1, (int)left) : 0;

        if (rc > 0)
            return 0;
        if (rc == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int connect_any(const struct addrinfo *address, const struct addrinfo **ret_used)
{
    int rc = -EADDRNOTAVAIL;

    for (; address; address = address->ai_next) {
        int fd = attest_connect_begin(address);

        if (fd < 0) {
            rc = fd;
            continue;
        }
        rc = wait_for(fd, POLLOUT, attest_clock_ms() + ATTEST_CONNECT_TIMEOUT_MS);
        if (rc == 0)
            rc = attest_connect_end(fd);
        if (rc == 0) {
            *ret_used = address;
            return fd;
        }
        close(fd);
    }
    return rc;
}

static int handshake(SSL *ssl, int fd)
{
    int64_t until_ms = attest_clock_ms() + ATTEST_HANDSHAKE_TIMEOUT_MS;

    for (;;) {
        int rc = SSL_do_handshake(ssl), want;

        if (rc == 1)
            return 0;
        want = SSL_get_error(ssl, rc);
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return -EPROTO;
        rc = wait_for(fd, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until_ms);
        if (rc < 0)
            return rc;
    }
}

int attest_dial(const struct addrinfo *address, SSL_CTX *ssl_ctx, bool json, SSL **ret_ssl,
                struct err *err)
{
    char name[ATTEST_ADDRESS_SIZE], text[256];
    const struct addrinfo *used = address;
    const struct attest_peer *peer;
    int rc, fd = connect_any(address, &used);
    SSL *ssl;

    attest_address_print(used->ai_addr, used->ai_addrlen, name);
    if (fd < 0)
        return err_set_errno(err, fd, "cannot connect to %s", name);
    ssl = SSL_new(ssl_ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        close(fd);
        return -ENOMEM;
    }
    SSL_set_connect_state(ssl);
    rc = handshake(ssl, fd);
    peer = attest_peer_result(ssl);
    if (rc == -EPROTO)
        attest_ssl_error(text, sizeof text);
    else
        snprintf(text, sizeof text, "%s", strerror(-rc));
    attest_log_verdict(json, "server", name, peer, rc < 0 ? text : NULL);
    if (rc == 0) {
        *ret_ssl = ssl;
        return 0;
    }
    if (peer && peer->rc < 0)
        rc = err_set(err, -EBADMSG, "%s: %s", name, peer->reason);
    else
        err_set(err, rc, "%s: no attested TLS: %s", name, text);
    SSL_free(ssl);
    close(fd);
    return rc;
}
