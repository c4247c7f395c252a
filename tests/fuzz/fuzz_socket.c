/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, options, control messages and netlink requests as programs hand them to the library OS's sockets. The input
 * is a row of steps on a few sockets. Nothing may touch memory that is not its own, and nothing may be left over.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/libos/poll_fake.h"
#include "tests/unit/libos/poll_shim.h"

#define SOCKETS_MAX 3
#define STEPS_MAX 40

static const uint8_t *g_data;
static size_t g_size;

static uint8_t next_byte(void)
{
    if (g_size == 0)
        return 0;
    g_size--;
    return *g_data++;
}

/* A block of exactly `size` bytes of the input, zeros behind its end. */
static void *next_block(size_t size)
{
    uint8_t *block = calloc(1, size ? size : 1);
    size_t n = MIN(size, g_size);

    if (!block)
        abort();
    memcpy(block, g_data, n);
    g_data += n;
    g_size -= n;
    return block;
}

static int make_socket(void)
{
    static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
    uint8_t b = next_byte();

    return shim_socket(families[b % 4], (1 + (b >> 2) % 3) | SOCK_NONBLOCK, 0);
}

static void step_message(int fd)
{
    size_t name_size = next_byte() % 130, data_size = next_byte(), control_size = next_byte() % 80;
    void *name = next_block(name_size), *data = next_block(data_size),
         *control = next_block(control_size);
    struct iovec v = { data, data_size };
    struct msghdr m = { .msg_name = name,
                        .msg_namelen = (socklen_t)name_size,
                        .msg_iov = &v,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = control_size };

    if (next_byte() & 1)
        (void)!shim_sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        (void)!shim_recvmsg(fd, &m, MSG_DONTWAIT | (next_byte() & (MSG_PEEK | MSG_TRUNC)));
    free(name);
    free(data);
    free(control);
}

/* A request of NETLINK_ROUTE, its length as it should be more often than not. */
static void step_netlink(int fd)
{
    uint32_t size = 16 + next_byte() % 64;
    uint8_t *request = next_block(size), answer[512];

    if (next_byte() & 3)
        memcpy(request, &size, sizeof size);
    (void)!shim_send(fd, request, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)!shim_recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    free(request);
}

static void step(int fd)
{
    uint8_t what = next_byte(), size = next_byte() % 140;
    void *block = next_block(size);
    socklen_t room = size;

    switch (what % 8) {
    case 0:
        (void)!shim_bind(fd, block, size);
        break;
    case 1:
        (void)!shim_connect(fd, block, size);
        break;
    case 2:
        (void)!shim_setsockopt(fd, what & 8 ? SOL_SOCKET : next_byte(), next_byte(), block, size);
        break;
    case 3:
        (void)!shim_getsockopt(fd, what & 8 ? SOL_SOCKET : next_byte(), next_byte(), block, &room);
        assert(room <= size || room <= 4096);
        break;
    case 4:
        step_message(fd);
        break;
    case 5:
        step_netlink(fd);
        break;
    case 6:
        (void)!shim_getsockname(fd, block, &room);
        room = size;
        (void)!shim_getpeername(fd, block, &room);
        break;
    default:
        (void)!shim_listen(fd, what >> 3);
        fd = shim_accept(fd, NULL, NULL);
        if (fd >= 0)
            shim_close(fd);
    }
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[SOCKETS_MAX];

    g_data = data;
    g_size = size;
    poll_fake_enter();
    for (int i = 0; i < SOCKETS_MAX; i++)
        fds[i] = make_socket();
    for (int i = 0; i < STEPS_MAX && g_size > 0; i++)
        step(fds[next_byte() % SOCKETS_MAX]);
    poll_fake_close_all();
    assert(g_poll_fake_blocks == 0);
    return 0;
}
