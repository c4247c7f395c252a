/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs on host sockets. The network is as hostile as the host, so what is checked here is only that
 * an answer has the shape that Linux gives. Trusted; see ocall.h.
 */
#include <linux/errno.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define DATA_SIZE_MAX (OCALL_BUFFER_SIZE - OCALL_ADDR_SIZE)
/* MSG_CTRUNC, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE, MSG_EOR: what recvmsg may answer. */
#define MSG_ANSWER (0x08 | 0x20 | 0x01 | 0x2000 | 0x80)

static int addr_put(const void *addr, size_t size)
{
    if (size > OCALL_ADDR_SIZE)
        return -EINVAL;
    ocall_buffer_put(0, addr, size);
    return 0;
}

static void addr_get(void *ret_addr, size_t *ret_size, uint64_t size)
{
    if (!ret_size)
        return;
    *ret_size = (size_t)MIN(size, OCALL_ADDR_SIZE);
    if (ret_addr)
        ocall_buffer_get(ret_addr, 0, *ret_size);
}

int ocall_socket(int family, int type, int protocol)
{
    return (int)ocall_simple(OCALL_socket, (uint64_t)family, (uint64_t)type, (uint64_t)protocol, 0,
                             0);
}

int ocall_bind(int host_fd, const void *addr, size_t addr_size)
{
    int rc = addr_put(addr, addr_size);

    return rc < 0 ? rc : (int)ocall_simple(OCALL_bind, (uint64_t)host_fd, addr_size, 0, 0, 0);
}

int ocall_listen(int host_fd, int backlog)
{
    return (int)ocall_simple(OCALL_listen, (uint64_t)host_fd, (uint64_t)backlog, 0, 0, 0);
}

int ocall_accept(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    uint64_t args[6] = { (uint64_t)host_fd };
    struct ocall_answer answer;

    ocall_run(OCALL_accept, args, 0, &answer);
    if (answer.result >= 0)
        addr_get(ret_addr, ret_addr_size, answer.out[0]);
    return (int)answer.result;
}

int ocall_connect(int host_fd, const void *addr, size_t addr_size)
{
    int rc = addr_put(addr, addr_size);

    return rc < 0 ? rc : (int)ocall_simple(OCALL_connect, (uint64_t)host_fd, addr_size, 0, 0, 0);
}

int64_t ocall_sendto(int host_fd, const void *src, size_t size, int flags, const void *addr,
                     size_t addr_size)
{
    int rc = addr_put(addr, addr_size);

    if (rc < 0)
        return rc;
    /* A stream takes what fits; a datagram is whole or -EMSGSIZE, and none is this large. */
    size = MIN(size, (size_t)DATA_SIZE_MAX);
    ocall_buffer_put(OCALL_ADDR_SIZE, src, size);
    return ocall_simple(OCALL_sendto, (uint64_t)host_fd, size, (uint64_t)(uint32_t)flags, addr_size,
                        size);
}

int64_t ocall_recvfrom(int host_fd, void *dst, size_t size, int flags, void *ret_addr,
                       size_t *ret_addr_size, int *ret_flags)
{
    uint64_t args[6] = { (uint64_t)host_fd, 0, (uint64_t)(uint32_t)flags };
    struct ocall_answer answer;

    size = MIN(size, (size_t)DATA_SIZE_MAX);
    args[1] = size;
    ocall_run(OCALL_recvfrom, args, size, &answer);
    if (answer.result < 0)
        return answer.result;
    ocall_buffer_get(dst, OCALL_ADDR_SIZE, (size_t)answer.result);
    addr_get(ret_addr, ret_addr_size, answer.out[0]);
    if (ret_flags)
        *ret_flags = (int)(answer.out[1] & MSG_ANSWER);
    return answer.result;
}

_Static_assert(OCALL_STAGE_SIZE <= DATA_SIZE_MAX, "staged bytes fit the frame");

struct uptr ocall_stage(void)
{
    return (struct uptr){ tcb_self()->frame + offsetof(struct ocall_frame, buffer) +
                          OCALL_ADDR_SIZE };
}

int64_t ocall_send_staged(int host_fd, size_t size, int flags)
{
    return ocall_simple(OCALL_sendto, (uint64_t)host_fd, size, (uint64_t)(uint32_t)flags, 0, size);
}

int64_t ocall_receive_staged(int host_fd, size_t size, int flags)
{
    return ocall_simple(OCALL_recv, (uint64_t)host_fd, size, (uint64_t)(uint32_t)flags, 0, size);
}

int64_t ocall_send_image(int host_fd, uint64_t off, size_t size)
{
    return ocall_simple(OCALL_send_image, (uint64_t)host_fd, size, off, 0, size);
}

int ocall_shutdown(int host_fd, int how)
{
    return (int)ocall_simple(OCALL_shutdown, (uint64_t)host_fd, (uint64_t)how, 0, 0, 0);
}

int ocall_getsockopt(int host_fd, int level, int name, void *ret_value, size_t *value_size)
{
    uint64_t args[6] = { (uint64_t)host_fd, (uint64_t)level, (uint64_t)name,
                         MIN(*value_size, (size_t)OCALL_OPTION_SIZE_MAX) };
    struct ocall_answer answer;

    ocall_run(OCALL_getsockopt, args, 0, &answer);
    if (answer.result < 0)
        return (int)answer.result;
    if (answer.out[0] > args[3])
        enclave_panic("the host answered with more than was asked for");
    *value_size = (size_t)answer.out[0];
    ocall_buffer_get(ret_value, 0, *value_size);
    return 0;
}

int ocall_setsockopt(int host_fd, int level, int name, const void *value, size_t value_size)
{
    if (value_size > OCALL_OPTION_SIZE_MAX)
        return -EINVAL;
    ocall_buffer_put(0, value, value_size);
    return (int)ocall_simple(OCALL_setsockopt, (uint64_t)host_fd, (uint64_t)level, (uint64_t)name,
                             value_size, 0);
}

static int get_name(uint32_t number, int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    uint64_t args[6] = { (uint64_t)host_fd };
    struct ocall_answer answer;

    ocall_run(number, args, 0, &answer);
    if (answer.result == 0)
        addr_get(ret_addr, ret_addr_size, answer.out[0]);
    return (int)answer.result;
}

int ocall_getsockname(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    return get_name(OCALL_getsockname, host_fd, ret_addr, ret_addr_size);
}

int ocall_getpeername(int host_fd, void *ret_addr, size_t *ret_addr_size)
{
    return get_name(OCALL_getpeername, host_fd, ret_addr, ret_addr_size);
}

int ocall_socket_queued(int host_fd, uint32_t *ret_size)
{
    uint64_t args[6] = { (uint64_t)host_fd };
    struct ocall_answer answer;

    ocall_run(OCALL_socket_queued, args, 0, &answer);
    if (answer.result == 0)
        *ret_size = (uint32_t)MIN(answer.out[0], INT32_MAX);
    return (int)answer.result;
}
