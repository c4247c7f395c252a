/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host sockets. Bytes, addresses and errors that come from here are the host's word and nothing more. Trusted.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/socket.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/inet.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/task/task.h"

#define SMALL_SIZE 1024u /* copied over the stack */
#define PIECE_SIZE 65536u
#define SEND_PIECE_SIZE 32768u
#define PREFAULT_SIZE_MAX 16384u /* of a receive: larger buffers are rarely filled */
#define SEND_FLAGS (MSG_OOB | MSG_MORE | MSG_DONTROUTE | MSG_CONFIRM)

int inet_host_open(struct inet_sock *s)
{
    if (s->host_fd >= 0)
        return 0;
    int fd = ocall_socket(s->base.family, s->base.type,
                          s->base.protocol == IPPROTO_UDPLITE ? IPPROTO_UDPLITE : 0);
    if (fd < 0)
        return fd;
    __atomic_store_n(&s->host_fd, fd, __ATOMIC_RELEASE);
    inet_option_replay(s);
    return 0;
}

int inet_host_name(struct inet_sock *s, bool peer, struct inet_addr *ret)
{
    struct sock_addr a = { 0 };
    size_t size = sizeof a.bytes;
    int rc = peer ? ocall_getpeername(s->host_fd, a.bytes, &size)
                  : ocall_getsockname(s->host_fd, a.bytes, &size);

    if (rc < 0)
        return rc;
    a.size = (uint32_t)MIN(size, sizeof a.bytes);
    rc = inet_addr_parse(s->base.family, &a, ret);
    return rc < 0 ? -EIO : 0;
}

int inet_host_bind(struct inet_sock *s, const struct inet_addr *addr)
{
    struct sock_addr a;
    int rc = inet_host_open(s);

    if (rc < 0)
        return rc;
    inet_addr_encode(s->base.family, addr, &a);
    rc = ocall_bind(s->host_fd, a.bytes, a.size);
    if (rc < 0)
        return rc;
    s->local = *addr;
    if (!addr->port) {
        struct inet_addr given;

        rc = inet_host_name(s, false, &given);
        if (rc < 0)
            return rc;
        s->local.port = given.port;
    }
    s->bound = true;
    return 0;
}

int inet_host_error(struct inet_sock *s)
{
    int32_t error = 0;
    size_t size = sizeof error;
    int rc = ocall_getsockopt(s->host_fd, SOL_SOCKET, SO_ERROR, &error, &size);

    if (rc < 0)
        return rc;
    if (size != sizeof error || error < 0 || error > 4095)
        return -EIO;
    return -error;
}

int inet_host_connect(struct inet_sock *s, const struct inet_addr *to, bool nonblock)
{
    uint64_t deadline = sock_deadline(s->base.send_timeout_ns);
    struct sock_addr a;

    inet_addr_encode(s->base.family, to, &a);
    int rc = ocall_connect(s->host_fd, a.bytes, a.size);
    if ((rc != -EINPROGRESS && rc != -EALREADY) || nonblock)
        return rc;
    rc = poll_host_wait(s->host_fd, POLLOUT, deadline);
    if (rc == -ETIMEDOUT)
        return -EINPROGRESS;
    return rc < 0 ? rc : inet_host_error(s);
}

/* ---- bytes ---- */

/* Buffer for one transfer: the caller's small one, or the heap. */
static uint8_t *get_buffer(size_t size, uint8_t *small, size_t *ret_space)
{
    uint8_t *heap = size > SMALL_SIZE ? mem_alloc(MIN(size, PIECE_SIZE)) : NULL;

    *ret_space = heap ? MIN(size, PIECE_SIZE) : SMALL_SIZE;
    return heap ? heap : small;
}

static int wait_host(struct inet_sock *s, uint16_t events, uint64_t timeout_ns, uint64_t *deadline)
{
    if (!*deadline)
        *deadline = sock_deadline(timeout_ns);
    return sock_wait_error(poll_host_wait(s->host_fd, events, *deadline), timeout_ns);
}

/* Bytes that are to be sent next, in the frame. Scattered ones meet in the buffer first, so that one send takes them all. */
static int64_t stage(struct sock_msg *m, uint8_t *buffer, size_t space, size_t most)
{
    size_t size = MIN(m->u->left, most), staged;
    struct uio rest;

    uio_prefault(m->u, size, false);
    if (uio_segment_left(m->u) >= size) {
        staged = uio_stage(m->u, ocall_stage(), size);
        if (staged)
            return (int64_t)staged;
    }
    rest = *m->u; /* not consumed here */
    if (rest.segments == m->u->inline_segments)
        rest.segments = rest.inline_segments;
    int64_t n = uio_get(&rest, buffer, MIN(size, space));
    if (n > 0) {
        uio_init_kernel(&rest, buffer, (size_t)n);
        n = (int64_t)uio_stage(&rest, ocall_stage(), (size_t)n);
    }
    return n;
}

static int64_t send_stream(struct inet_sock *s, struct sock_msg *m, uint8_t *buffer, size_t space)
{
    uint64_t deadline = 0;
    size_t most = OCALL_STAGE_SIZE;
    int64_t done = 0;

    while (m->u->left) {
        int64_t size = stage(m, buffer, space, most), n;
        int rc;

        if (size <= 0)
            return done ? done : size < 0 ? size : -EFAULT;
        n = ocall_send_staged(s->host_fd, (size_t)size, (m->flags & SEND_FLAGS) | MSG_NOSIGNAL);
        if (n > 0) {
            uio_skip(m->u, (size_t)n);
            done += n;
        }
        if (n == size)
            continue;
        most =
            SEND_PIECE_SIZE; /* the socket is filling: what it does not take was staged in vain */
        if (n > 0)
            continue;
        if (n == 0)
            n = -EIO; /* no Linux answers so: to ask for ever would be the host's wish */
        if (n != -EAGAIN || m->flags & MSG_DONTWAIT)
            return done ? done : n;
        rc = wait_host(s, POLLOUT, s->base.send_timeout_ns, &deadline);
        if (rc < 0)
            return done ? done : rc;
    }
    return done;
}

int64_t inet_host_send_image(struct inet_sock *s, uint64_t at, size_t size, bool nonblock)
{
    uint64_t deadline = 0;
    int64_t done = 0;

    while (size) {
        int64_t n = ocall_send_image(s->host_fd, at, size);
        int rc;

        if (n > 0) {
            at += (uint64_t)n;
            size -= (size_t)n;
            done += n;
        }
        if (n > 0)
            continue;
        if (n == 0)
            n = -EIO; /* no Linux answers so: to ask for ever would be the host's wish */
        if (n != -EAGAIN || nonblock)
            return done ? done : n;
        rc = wait_host(s, POLLOUT, s->base.send_timeout_ns, &deadline);
        if (rc < 0)
            return done ? done : rc;
    }
    return done;
}

static int64_t send_datagram(struct inet_sock *s, struct sock_msg *m, const struct inet_addr *to,
                             uint8_t *buffer)
{
    size_t size = m->u->left;
    uint64_t deadline = 0;
    struct sock_addr a = { 0 };
    int64_t n = size ? uio_get(m->u, buffer, size) : 0;

    if (n < (int64_t)size)
        return n < 0 ? n : -EFAULT;
    if (to)
        inet_addr_encode(s->base.family, to, &a);
    for (;;) {
        n = ocall_sendto(s->host_fd, buffer, size, (m->flags & SEND_FLAGS) | MSG_NOSIGNAL,
                         to ? a.bytes : NULL, a.size);
        if (n != -EAGAIN || m->flags & MSG_DONTWAIT)
            return n;
        int rc = wait_host(s, POLLOUT, s->base.send_timeout_ns, &deadline);
        if (rc < 0)
            return rc;
    }
}

int64_t inet_host_send(struct inet_sock *s, struct sock_msg *m, const struct inet_addr *to)
{
    bool is_stream = s->base.type != SOCK_DGRAM;
    uint8_t small[SMALL_SIZE];
    size_t space;
    uint8_t *buffer;
    int64_t n;

    if (!is_stream && m->u->left > UDP_SIZE_MAX)
        return -EMSGSIZE;
    buffer = get_buffer(is_stream && uio_segment_left(m->u) == m->u->left ? 0 : m->u->left, small,
                        &space);
    if (is_stream)
        n = send_stream(s, m, buffer, space);
    else
        n = space < m->u->left ? -ENOMEM : send_datagram(s, m, to, buffer);
    if (buffer != small)
        mem_free(buffer);
    return n;
}

/* One receive through the buffer. returns: bytes; 0 at the end; negative errno. *ret_asked: how many it asked for. */
static int64_t receive_buffered(struct inet_sock *s, struct sock_msg *m, int flags,
                                size_t *ret_asked)
{
    uint8_t small[SMALL_SIZE];
    size_t space, addr_size = 0;
    uint8_t *buffer = get_buffer(m->u->left, small, &space);
    size_t size = MIN(m->u->left, space);
    int64_t n = ocall_recvfrom(s->host_fd, buffer, size, flags, NULL, &addr_size, NULL);

    *ret_asked = size;
    if (n > 0 && m->flags & MSG_TRUNC)
        uio_skip(m->u, (size_t)n); /* TCP: thrown away */
    else if (n > 0)
        n = uio_put(m->u, buffer, (size_t)n);
    if (buffer != small)
        mem_free(buffer);
    return n;
}

/* One receive, from the frame to the program. Its pages were there just now; one that another thread has taken away meanwhile comes
 * back from a copy, as bringing it may use the frame. */
static int64_t receive_staged(struct inet_sock *s, struct sock_msg *m, size_t size, int flags)
{
    int64_t n = ocall_receive_staged(s->host_fd, size, flags);
    size_t done, left;

    if (n <= 0)
        return n;
    done = uio_unstage(m->u, ocall_stage(), (size_t)n);
    left = (size_t)n - done;
    if (LIKELY(left == 0))
        return n;
    CLEANUP(mem_freep)
    void *rest = mem_alloc(left);
    if (!rest || uptr_read(rest, uptr_add(ocall_stage(), done), left) < 0)
        return -ENOMEM;
    n = uio_put(m->u, rest, left);
    return n < 0 ? n : (int64_t)done + n;
}

static int64_t receive_once(struct inet_sock *s, struct sock_msg *m, size_t *ret_asked)
{
    int flags = m->flags & (MSG_PEEK | MSG_OOB);
    size_t size = MIN(m->u->left, OCALL_STAGE_SIZE);

    if (m->flags & MSG_TRUNC || uio_segment_left(m->u) < size)
        return receive_buffered(s, m, flags, ret_asked);
    if (size <= PREFAULT_SIZE_MAX)
        uio_prefault(m->u, size, true);
    *ret_asked = size;
    return uio_is_present(m->u, size, true) ? receive_staged(s, m, size, flags)
                                            : receive_buffered(s, m, flags, ret_asked);
}

/*
 * Programs that wait for edges (Go) read until -EAGAIN, so that each message costs a second exit that brings nothing. It is spared
 * once after a receive that got less than it asked for, when since then this thread has heard nothing from outside, and no edge of
 * this socket has come: then an edge for what comes is still to be told (FILE_EDGES_OPEN: for an end, too). Whoever asks once more
 * gets the host's answer.
 */
#define DRAINED_SLOT_SHIFT 51
#define DRAINED_EDGES_SHIFT 32
#define DRAINED_EDGES_MASK 0x7ffffu

_Static_assert(LIBOS_SLOT_COUNT_MAX < 1u << (64 - DRAINED_SLOT_SHIFT), "slots fit, and one more");

/* What the calling thread knows. Never 0. */
static uint64_t drained_stamp(uint32_t edges, uint32_t news)
{
    return (uint64_t)(current()->slot + 1) << DRAINED_SLOT_SHIFT |
           (uint64_t)(edges >> FILE_EDGES_COUNT_SHIFT & DRAINED_EDGES_MASK) << DRAINED_EDGES_SHIFT |
           news;
}

static int64_t receive_next(struct inet_sock *s, struct sock_msg *m)
{
    uint64_t drained = __atomic_load_n(&s->drained, __ATOMIC_RELAXED);
    uint32_t edges = s->base.file ? __atomic_load_n(&s->base.file->edges, __ATOMIC_ACQUIRE) : 0;
    uint32_t news = ocall_news();
    size_t asked;
    int64_t n;

    if (drained)
        __atomic_store_n(&s->drained, 0, __ATOMIC_RELAXED);
    if (m->flags & (MSG_PEEK | MSG_OOB | MSG_TRUNC))
        return receive_once(s, m, &asked);
    if (drained && drained == drained_stamp(edges, news) && m->flags & MSG_DONTWAIT)
        return -EAGAIN;
    n = receive_once(s, m, &asked);
    if (n > 0 && (size_t)n < asked &&
        (edges & (FILE_EDGES_OPEN | FILE_EDGES_ENDED)) == FILE_EDGES_OPEN &&
        ocall_news() == news + 1)
        __atomic_store_n(&s->drained, drained_stamp(edges, news + 1), __ATOMIC_RELAXED);
    return n;
}

int64_t inet_host_receive(struct inet_sock *s, struct sock_msg *m)
{
    bool all = m->flags & MSG_WAITALL && !(m->flags & MSG_PEEK);
    uint64_t deadline = 0;
    int64_t done = 0;

    while (m->u->left) {
        int64_t n = receive_next(s, m);
        int rc;

        if (n == 0)
            break;
        if (n > 0) {
            done += n;
            if (!all)
                break;
            continue;
        }
        if (n != -EAGAIN || m->flags & MSG_DONTWAIT)
            return done ? done : n;
        rc = wait_host(s, POLLIN, s->base.receive_timeout_ns, &deadline);
        if (rc < 0)
            return done ? done : rc;
    }
    return done;
}

static int64_t receive_datagram(struct inet_sock *s, struct sock_msg *m, uint8_t *buffer,
                                size_t space)
{
    struct sock_addr a = { 0 };
    size_t addr_size = sizeof a.bytes;
    int ret_flags = 0;
    size_t want = MIN(m->u->left, space);
    int64_t n = ocall_recvfrom(s->host_fd, buffer, want, m->flags & (MSG_PEEK | MSG_TRUNC), a.bytes,
                               &addr_size, &ret_flags);

    if (n < 0)
        return n;
    size_t got = MIN((size_t)n, want);
    if ((size_t)n > got || ret_flags & MSG_TRUNC)
        m->ret_flags |= MSG_TRUNC;
    if (m->addr) {
        struct inet_addr from;

        a.size = (uint32_t)MIN(addr_size, sizeof a.bytes);
        if (inet_addr_parse(s->base.family, &a, &from) < 0)
            return -EIO;
        inet_addr_encode(s->base.family, &from, m->addr);
    }
    if (got) {
        int64_t put = uio_put(m->u, buffer, got);
        if (put < 0)
            return put;
    }
    return m->flags & MSG_TRUNC ? n : (int64_t)got;
}

int64_t inet_host_receive_datagram(struct inet_sock *s, struct sock_msg *m)
{
    uint8_t small[SMALL_SIZE];
    size_t space;
    uint8_t *buffer = get_buffer(m->u->left, small, &space);
    int64_t n = receive_datagram(s, m, buffer, space);

    if (buffer != small)
        mem_free(buffer);
    return n;
}
