/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs on sockets; all are non-blocking. Untrusted side. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/ocall/ocall.h"

#define DATA_SIZE_MAX (OCALL_BUFFER_SIZE - OCALL_ADDR_SIZE)

static socklen_t addr_size(uint64_t size)
{
    return (socklen_t)(size > OCALL_ADDR_SIZE ? OCALL_ADDR_SIZE : size);
}

static uint64_t data_size(uint64_t size)
{
    return size > DATA_SIZE_MAX ? DATA_SIZE_MAX : size;
}

/* An enclave has use for the internet, and none for sockets that reach the machine's own services. */
static bool is_allowed(uint64_t family, uint64_t type)
{
    return (family == AF_INET || family == AF_INET6) && (type == SOCK_STREAM || type == SOCK_DGRAM);
}

void ocall_serve_socket(struct ocall_thread *t, struct ocall_frame *f)
{
    if (!is_allowed(t->args[0], t->args[1] & ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC))) {
        f->result = -EAFNOSUPPORT;
        return;
    }
    f->result = ocall_answer(
        socket((int)t->args[0], (int)t->args[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)t->args[2]));
}

void ocall_serve_bind(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(
        bind((int)t->args[0], (const struct sockaddr *)f->buffer, addr_size(t->args[1])));
}

void ocall_serve_listen(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(listen((int)t->args[0], (int)t->args[1]));
}

void ocall_serve_accept(struct ocall_thread *t, struct ocall_frame *f)
{
    socklen_t size = OCALL_ADDR_SIZE;

    f->result = ocall_answer(accept4((int)t->args[0], (struct sockaddr *)f->buffer, &size,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC));
    f->out[0] = size;
}

void ocall_serve_connect(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(
        connect((int)t->args[0], (const struct sockaddr *)f->buffer, addr_size(t->args[1])));
}

/* These two are called most: by number, as the C library's functions make each a cancellation point. */
void ocall_serve_sendto(struct ocall_thread *t, struct ocall_frame *f)
{
    socklen_t size = addr_size(t->args[3]);

    f->result = ocall_answer(syscall(
        SYS_sendto, (int)t->args[0], f->buffer + OCALL_ADDR_SIZE, data_size(t->args[1]),
        (int)t->args[2] | MSG_NOSIGNAL | MSG_DONTWAIT, size ? f->buffer : NULL, (size_t)size));
}

void ocall_serve_send_image(struct ocall_thread *t, struct ocall_frame *f)
{
    const struct ocall_host *h = t->host;
    uint64_t size = t->args[1], off = t->args[2];

    if (off > h->rootfs_size || size > h->rootfs_size - off) {
        f->result = -EINVAL;
        return;
    }
    f->result =
        ocall_answer(send((int)t->args[0], h->rootfs + off, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void ocall_serve_recvfrom(struct ocall_thread *t, struct ocall_frame *f)
{
    struct iovec data = { f->buffer + OCALL_ADDR_SIZE, data_size(t->args[1]) };
    struct msghdr message = {
        .msg_name = f->buffer,
        .msg_namelen = OCALL_ADDR_SIZE,
        .msg_iov = &data,
        .msg_iovlen = 1,
    };
    ssize_t size = recvmsg((int)t->args[0], &message, (int)t->args[2] | MSG_DONTWAIT);

    f->result = ocall_answer(size);
    if (size < 0)
        return;
    f->out[0] = message.msg_namelen;
    f->out[1] = (uint64_t)(uint32_t)message.msg_flags;
    f->out[2] = (uint64_t)size;
    if ((size_t)size > data.iov_len) /* MSG_TRUNC was asked for: the datagram's own length */
        f->result = (int64_t)data.iov_len;
}

void ocall_serve_recv(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(
        syscall(SYS_recvfrom, (int)t->args[0], f->buffer + OCALL_ADDR_SIZE, data_size(t->args[1]),
                ((int)t->args[2] & (MSG_PEEK | MSG_OOB)) | MSG_DONTWAIT, NULL, NULL));
}

void ocall_serve_shutdown(struct ocall_thread *t, struct ocall_frame *f)
{
    f->result = ocall_answer(shutdown((int)t->args[0], (int)t->args[1]));
}

void ocall_serve_getsockopt(struct ocall_thread *t, struct ocall_frame *f)
{
    socklen_t size = (socklen_t)MIN(t->args[3], OCALL_OPTION_SIZE_MAX);

    f->result = ocall_answer(
        getsockopt((int)t->args[0], (int)t->args[1], (int)t->args[2], f->buffer, &size));
    f->out[0] = size;
}

/* Options with pointers in them, and those that turn traffic elsewhere. */
static bool is_option_allowed(int level, int name)
{
    switch (level) {
    case SOL_SOCKET:
        return name != SO_ATTACH_FILTER && name != SO_DETACH_FILTER && name != SO_ATTACH_BPF &&
               name != SO_ATTACH_REUSEPORT_CBPF && name != SO_ATTACH_REUSEPORT_EBPF &&
               name != SO_BINDTODEVICE && name != SO_MARK;
    case IPPROTO_IP:
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_IPV6:
        return true;
    default:
        return false;
    }
}

void ocall_serve_setsockopt(struct ocall_thread *t, struct ocall_frame *f)
{
    if (!is_option_allowed((int)t->args[1], (int)t->args[2])) {
        f->result = -ENOPROTOOPT;
        return;
    }
    f->result =
        ocall_answer(setsockopt((int)t->args[0], (int)t->args[1], (int)t->args[2], f->buffer,
                                (socklen_t)MIN(t->args[3], OCALL_OPTION_SIZE_MAX)));
}

void ocall_serve_getsockname(struct ocall_thread *t, struct ocall_frame *f)
{
    socklen_t size = OCALL_ADDR_SIZE;

    f->result = ocall_answer(getsockname((int)t->args[0], (struct sockaddr *)f->buffer, &size));
    f->out[0] = size;
}

void ocall_serve_getpeername(struct ocall_thread *t, struct ocall_frame *f)
{
    socklen_t size = OCALL_ADDR_SIZE;

    f->result = ocall_answer(getpeername((int)t->args[0], (struct sockaddr *)f->buffer, &size));
    f->out[0] = size;
}

void ocall_serve_socket_queued(struct ocall_thread *t, struct ocall_frame *f)
{
    int size = 0;

    f->result = ocall_answer(ioctl((int)t->args[0], FIONREAD, &size));
    f->out[0] = (uint64_t)(unsigned)size;
}
