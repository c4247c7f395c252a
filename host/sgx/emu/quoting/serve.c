/* SPDX-License-Identifier: Apache-2.0 */
/* One client of the emulated quoting service on one connection. Untrusted side; clients may be hostile. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/quote/aesm_message.h"
#include "host/sgx/emu/quoting/service.h"

static bool send_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t count = send(fd, data, size, MSG_NOSIGNAL);

        if (count <= 0)
            return false;
        data += count;
        size -= (size_t)count;
    }
    return true;
}

/* false: the connection is done. */
static bool serve_one(struct quoting *q, int fd, uint8_t *in)
{
    uint8_t head[AESM_SIZE_SIZE], *out = NULL;
    struct err err = { 0 };
    size_t out_size = 0;
    uint32_t size;
    bool good;

    if (recv(fd, head, sizeof head, MSG_WAITALL) != (ssize_t)sizeof head)
        return false;
    size = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
           (uint32_t)head[3] << 24;
    if (size == 0 || size > AESM_REQUEST_SIZE_MAX ||
        recv(fd, in, size, MSG_WAITALL) != (ssize_t)size)
        return false;
    good = quoting_answer(q, in, size, &out, &out_size, &err) == 0 && send_all(fd, out, out_size);
    free(out);
    if (err.text[0])
        fprintf(stderr, "cloche emu quoting: %s\n", err.text);
    return good;
}

void quoting_serve(struct quoting *q, int fd)
{
    struct timeval timeout = { .tv_sec = QUOTING_CLIENT_TIMEOUT_S };
    uint8_t *in = malloc(AESM_REQUEST_SIZE_MAX);

    if (in && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0)
        while (serve_one(q, fd, in))
            continue;
    free(in);
    close(fd);
}
