/* SPDX-License-Identifier: Apache-2.0 */
/* The host of poll_fake.h: each OCALL on descriptors is the machine's own call. Tests only. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tee/enclave/ocall.h"
#include "tee/libos/mm/user.h"
#include "tests/unit/libos/poll_fake.h"

enum poll_fake_lie g_poll_fake_lie;

/* An address on its way to the library OS. */
static void lie_about_address(void *addr)
{
    if (g_poll_fake_lie == POLL_FAKE_LIE_NAME && addr)
        *(uint16_t *)addr = 0x7777;
}

static int64_t answer(int64_t rc)
{
    __atomic_add_fetch(&g_poll_fake_ocalls, 1, __ATOMIC_RELAXED);
    return rc < 0 ? -errno : rc;
}

int64_t ocall_read(int host_fd, void *dst, size_t size)
{
    return answer(read(host_fd, dst, size));
}

int64_t ocall_write(int host_fd, const void *src, size_t size)
{
    return answer(write(host_fd, src, size));
}

int ocall_close(int host_fd)
{
    return (int)answer(close(host_fd));
}

int ocall_tty_size(int host_fd, uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct winsize w;
    int rc = (int)answer(ioctl(host_fd, TIOCGWINSZ, &w));

    *ret_rows = w.ws_row;
    *ret_columns = w.ws_col;
    return rc;
}

int ocall_socket(int family, int type, int protocol)
{
    return (int)answer(
        poll_fake_move_fd(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)));
}

int ocall_bind(int host_fd, const void *addr, size_t addr_size)
{
    return (int)answer(bind(host_fd, addr, (socklen_t)addr_size));
}

int ocall_listen(int host_fd, int backlog)
{
    return (int)answer(listen(host_fd, backlog));
}

int ocall_accept(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    socklen_t size = 128;
    int rc = (int)answer(
        poll_fake_move_fd(accept4(host_fd, ret_addr, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)));

    lie_about_address(ret_addr);
    *ret_addr_size = size;
    return rc;
}

int ocall_connect(int host_fd, const void *addr, size_t addr_size)
{
    return (int)answer(connect(host_fd, addr, (socklen_t)addr_size));
}

int64_t ocall_sendto(int host_fd, const void *src, size_t size, int flags, const void *addr,
                     size_t addr_size)
{
    return answer(sendto(host_fd, src, size, flags, addr, (socklen_t)addr_size));
}

int64_t ocall_recvfrom(int host_fd, void *dst, size_t size, int flags, void *ret_addr,
                       size_t *ret_addr_size, int *ret_flags)
{
    struct iovec iov = { dst, size };
    struct msghdr m = {
        .msg_name = ret_addr, .msg_namelen = ret_addr ? 128 : 0, .msg_iov = &iov, .msg_iovlen = 1
    };
    int64_t n = answer(recvmsg(host_fd, &m, flags));

    lie_about_address(ret_addr);
    *ret_addr_size = m.msg_namelen;
    if (ret_flags)
        *ret_flags = m.msg_flags;
    return n;
}

/* ---- the frame, one for each thread ---- */

static _Thread_local uint8_t g_stage[OCALL_STAGE_SIZE];

struct uptr ocall_stage(void)
{
    return (struct uptr){ (uintptr_t)g_stage };
}

int64_t ocall_send_staged(int host_fd, size_t size, int flags)
{
    return ocall_sendto(host_fd, g_stage, size, flags, NULL, 0);
}

int64_t ocall_receive_staged(int host_fd, size_t size, int flags)
{
    return answer(recv(host_fd, g_stage, size, flags));
}

int64_t ocall_send_image(int host_fd, uint64_t off, size_t size)
{
    errno = EINVAL;
    return answer(-1);
}

size_t uptr_put_user(struct uptr dst, uintptr_t user, size_t size)
{
    return user_copy_in((void *)dst.addr, user, size) < 0 ? 0 : size;
}

size_t uptr_get_user(uintptr_t user, struct uptr src, size_t size)
{
    return user_copy_out(user, (const void *)src.addr, size) < 0 ? 0 : size;
}

int uptr_read(void *dst, struct uptr src, size_t size)
{
    memcpy(dst, (const void *)src.addr, size);
    return 0;
}

int ocall_shutdown(int host_fd, int how)
{
    return (int)answer(shutdown(host_fd, how));
}

int ocall_getsockopt(int host_fd, int level, int name, void *ret_value, size_t *value_size)
{
    socklen_t size = (socklen_t)*value_size;
    int rc = (int)answer(getsockopt(host_fd, level, name, ret_value, &size));

    if (g_poll_fake_lie == POLL_FAKE_LIE_ERROR && level == SOL_SOCKET && name == SO_ERROR)
        *(int *)ret_value = -77;
    *value_size = size;
    return rc;
}

int ocall_setsockopt(int host_fd, int level, int name, const void *value, size_t value_size)
{
    return (int)answer(setsockopt(host_fd, level, name, value, (socklen_t)value_size));
}

int ocall_getsockname(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    socklen_t size = 128;
    int rc = (int)answer(getsockname(host_fd, ret_addr, &size));

    lie_about_address(ret_addr);
    *ret_addr_size = size;
    return rc;
}

int ocall_getpeername(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    socklen_t size = 128;
    int rc = (int)answer(getpeername(host_fd, ret_addr, &size));

    *ret_addr_size = size;
    return rc;
}

int ocall_socket_queued(int host_fd, uint32_t *ret_size)
{
    int queued = 0;
    int rc = (int)answer(ioctl(host_fd, FIONREAD, &queued));

    *ret_size = (uint32_t)queued;
    return rc;
}
