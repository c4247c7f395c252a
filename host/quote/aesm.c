/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of AESM. Untrusted side. Runs under the loader's seccomp list: socket, connect, poll, sendto, recvfrom, close, clock_gettime
 * and nothing else.
 */
#include "host/quote/aesm.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t aesm_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int aesm_address_set(const char *path, struct sockaddr_un *ret)
{
    size_t len = strlen(path);

    if (len >= sizeof ret->sun_path)
        return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(ret->sun_path, path, len);
    return 0;
}

/* returns: a descriptor; -EAGAIN too many wait at the service already; -errno. */
static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

int aesm_probe(const struct sockaddr_un *address)
{
    int fd = connect_to(address);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int wait_for(int fd, short events, int64_t until_ms)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        int64_t left_ms = until_ms - aesm_now_ms();
        int rc;

        if (left_ms <= 0)
            return -ETIMEDOUT;
        rc = poll(&p, 1, (int)MIN(left_ms, (int64_t)INT32_MAX));
        if (rc > 0)
            return 0;
        if (rc < 0 && errno != EINTR)
            return -errno;
    }
}

static int send_all(int fd, const uint8_t *data, size_t size, int64_t until_ms)
{
    while (size > 0) {
        ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
        int rc;

        if (count >= 0) {
            data += count;
            size -= (size_t)count;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        rc = wait_for(fd, POLLOUT, until_ms);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* returns: 0; -EPIPE it was closed before all of it came. */
static int receive_all(int fd, uint8_t *data, size_t size, int64_t until_ms)
{
    while (size > 0) {
        ssize_t count = recv(fd, data, size, 0);
        int rc;

        if (count > 0) {
            data += count;
            size -= (size_t)count;
            continue;
        }
        if (count == 0)
            return -EPIPE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        rc = wait_for(fd, POLLIN, until_ms);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* One message on a connection. *ret_data is for free(). */
static int exchange(int fd, const struct aesm_request *request, int64_t until_ms,
                    uint8_t **ret_data, size_t *ret_size)
{
    uint8_t *message = malloc(AESM_SIZE_SIZE + AESM_REQUEST_SIZE_MAX), head[AESM_SIZE_SIZE];
    int64_t size = message ? aesm_request_encode(request, message + AESM_SIZE_SIZE) : -ENOMEM;
    uint8_t *answer;
    int rc = size < 0 ? (int)size : 0;

    for (unsigned i = 0; rc == 0 && i < AESM_SIZE_SIZE; i++)
        message[i] = (uint8_t)(size >> 8 * i);
    if (rc == 0)
        rc = send_all(fd, message, AESM_SIZE_SIZE + (size_t)size, until_ms);
    free(message);
    if (rc == 0)
        rc = receive_all(fd, head, sizeof head, until_ms);
    if (rc < 0)
        return rc;
    if (get_u32(head) == 0 || get_u32(head) > AESM_RESPONSE_SIZE_MAX)
        return -EMSGSIZE;
    answer = malloc(get_u32(head));
    rc = answer ? receive_all(fd, answer, get_u32(head), until_ms) : -ENOMEM;
    if (rc < 0) {
        free(answer);
        return rc;
    }
    *ret_data = answer;
    *ret_size = get_u32(head);
    return 0;
}

/* Into the errors that host/quote/quote.h names. */
static int transport_error(int rc, const char *path, struct err *err)
{
    switch (rc) {
    case -ENOENT:
    case -ECONNREFUSED:
        return err_set(err, -ENODEV, "nobody answers at %s", path);
    case -EAGAIN:
        return err_set(err, -EAGAIN, "too many wait at %s", path);
    case -ETIMEDOUT:
        return err_set(err, -ETIMEDOUT, "no answer from %s in time", path);
    case -ENOMEM:
        return err_set(err, -EAGAIN, "no memory to talk to %s", path);
    case -EPIPE:
    case -ECONNRESET:
        return err_set(err, -EIO, "%s closed the connection without an answer", path);
    case -EMSGSIZE:
        return err_set(err, -EIO, "%s announced an answer of an impossible size", path);
    default:
        return err_set_errno(err, -EIO, "%s: %s", path, strerror(-rc));
    }
}

int aesm_call(const struct sockaddr_un *address, const struct aesm_request *request,
              int64_t until_ms, struct aesm_answer *ret, struct err *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int fd = connect_to(address), rc;

    if (fd < 0)
        return transport_error(fd, address->sun_path, err);
    rc = exchange(fd, request, until_ms, &data, &size);
    close(fd);
    if (rc < 0)
        return transport_error(rc, address->sun_path, err);
    rc = aesm_answer_parse(request, data, size, ret, err);
    free(data);
    return rc;
}
