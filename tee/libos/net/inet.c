/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and UDP sockets: the operations, by state. Trusted. */
#include "tee/libos/net/inet.h"

#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/libos/fs/poll/poll.h"

/* Each so many calls accept(2) asks the host first. */
#define ACCEPT_HOST_TURN 8u

static const struct sock_ops inet_ops;

struct inet_sock *inet_alloc(int family, int type, int protocol)
{
    struct inet_sock *s = mem_zalloc(sizeof *s);

    if (!s)
        return NULL;
    sock_init(&s->base, &inet_ops, family, type, protocol);
    s->host_fd = -1;
    s->queue.room = &s->queue.write_wait;
    if (family == AF_INET)
        s->local.ip[10] = s->local.ip[11] = 0xff;
    return s;
}

int inet_new(int family, int type, int protocol, struct socket **ret)
{
    struct inet_sock *s;
    int own = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;

    if (type == SOCK_RAW)
        return protocol ? -EPERM : -EPROTONOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol == IPPROTO_UDPLITE && type == SOCK_DGRAM)
        own = IPPROTO_UDPLITE;
    if (protocol && protocol != own)
        return -EPROTONOSUPPORT;
    s = inet_alloc(family, type, own);
    if (!s)
        return -ENOMEM;
    if (own == IPPROTO_UDPLITE) { /* not every host has it */
        int rc = inet_host_open(s);

        if (rc < 0) {
            mem_free(s);
            return -EPROTONOSUPPORT;
        }
    }
    *ret = &s->base;
    return 0;
}

static void changed(struct inet_sock *s)
{
    if (s->base.file)
        poll_file_changed(s->base.file);
    wait_wake(&s->base.wait, WAKE_ALL, 0);
}

static int inet_bind(struct socket *base, const struct sock_addr *addr)
{
    struct inet_sock *s = inet_of(base);
    struct inet_addr a;
    int rc = inet_addr_parse(base->family, addr, &a);

    if (rc < 0)
        return rc;
    mutex_lock(&base->lock);
    if (s->bound || inet_state(s) != INET_FRESH)
        rc = -EINVAL;
    else
        rc = inet_host_bind(s, &a);
    if (rc == 0 && base->type == SOCK_DGRAM)
        inet_table_add(s);
    mutex_unlock(&base->lock);
    if (rc == 0)
        changed(s);
    return rc;
}

static int inet_listen(struct socket *base, int backlog)
{
    struct inet_sock *s = inet_of(base);
    int rc = 0;

    if (base->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    mutex_lock(&base->lock);
    uint32_t state = inet_state(s);
    if (state != INET_FRESH && state != INET_LISTENING)
        rc = -EINVAL;
    if (rc == 0 && !s->bound) {
        struct inet_addr any = s->local;

        any.port = 0;
        rc = inet_host_bind(s, &any);
    }
    if (rc == 0)
        rc = ocall_listen(s->host_fd, backlog);
    if (rc == 0) {
        s->backlog = (unsigned)backlog;
        base->is_listening = true;
        __atomic_store_n(&s->state, INET_LISTENING, __ATOMIC_RELEASE);
    }
    mutex_unlock(&base->lock);
    if (rc == 0) {
        inet_table_add(s);
        changed(s);
    }
    return rc;
}

/* ---- connecting ---- */

/* base.lock held, unless the wait for the host is under way. */
static int connect_fresh(struct inet_sock *s, const struct inet_addr *to, bool nonblock)
{
    int rc = inet_local_connect(s, to);

    if (rc == 0) {
        /* Linux never finishes a non-blocking connect at once. */
        s->is_connect_told = nonblock;
        return nonblock ? -EINPROGRESS : 0;
    }
    if (rc != -ENOENT)
        return rc;
    rc = inet_host_open(s);
    if (rc < 0)
        return rc;
    s->peer = *to;
    rc = inet_host_connect(s, to, true);
    if (rc == 0 || rc == -EINPROGRESS)
        __atomic_store_n(&s->state, INET_HOST, __ATOMIC_RELEASE);
    return rc;
}

static int connect_tcp(struct inet_sock *s, const struct sock_addr *addr, bool nonblock)
{
    struct inet_addr to;
    bool fresh = false;
    int rc;

    if (addr->size >= 2 && addr->family == 0)
        return -EAFNOSUPPORT;
    rc = inet_addr_parse(s->base.family, addr, &to);
    if (rc < 0)
        return rc;
    if (inet_addr_is_any(&to))
        inet_addr_set_loopback(&to);
    mutex_lock(&s->base.lock);
    switch (inet_state(s)) {
    case INET_FRESH:
        fresh = true;
        rc = connect_fresh(s, &to, nonblock);
        break;
    case INET_LOCAL:
        rc = s->is_connect_told ? 0 : -EISCONN;
        s->is_connect_told = false;
        break;
    case INET_HOST:
        rc = inet_host_connect(s, &to, true);
        break;
    default:
        rc = -EISCONN;
    }
    mutex_unlock(&s->base.lock);
    if (fresh)
        changed(s);
    if ((rc == -EINPROGRESS || rc == -EALREADY) && !nonblock)
        rc = inet_host_connect(s, &to, false);
    return rc;
}

static int inet_connect(struct socket *base, const struct sock_addr *addr, bool nonblock)
{
    struct inet_sock *s = inet_of(base);

    return base->type == SOCK_DGRAM ? inet_udp_connect(s, addr) : connect_tcp(s, addr, nonblock);
}

/* ---- accepting ---- */

static int accept_host(struct inet_sock *s, struct inet_sock **ret)
{
    struct sock_addr a = { 0 };
    size_t size = sizeof a.bytes;
    struct inet_sock *fresh;
    int fd = ocall_accept(s->host_fd, a.bytes, &size);

    if (fd < 0)
        return fd;
    fresh = inet_alloc(s->base.family, SOCK_STREAM, IPPROTO_TCP);
    a.size = (uint32_t)MIN(size, sizeof a.bytes);
    if (!fresh || inet_addr_parse(s->base.family, &a, &fresh->peer) < 0) {
        int rc UNUSED = ocall_close(fd);

        mem_free(fresh);
        return fresh ? -EIO : -ENOMEM;
    }
    fresh->host_fd = fd;
    fresh->state = INET_HOST;
    fresh->bound = true;
    fresh->base.flags = s->base.flags;
    fresh->base.linger_s = s->base.linger_s;
    inet_option_copy(fresh, s);
    *ret = fresh;
    return 0;
}

/* What is there now, from inside or from the host: -EAGAIN. */
static int accept_now(struct inet_sock *s, struct inet_sock **ret)
{
    bool host_first = ++s->accepts % ACCEPT_HOST_TURN == 0;
    int rc;

    if (inet_state(s) != INET_LISTENING || s->base.shut & SOCK_SHUT_READ)
        return -EINVAL;
    rc = host_first ? accept_host(s, ret) : inet_local_accept(s, ret);
    if (rc != -EAGAIN)
        return rc;
    return host_first ? inet_local_accept(s, ret) : accept_host(s, ret);
}

static int wait_accept(struct inet_sock *s, uint64_t deadline_ns)
{
    struct wait_host h = { .host_fd = s->host_fd, .events = POLLIN };
    struct waiter w;
    int rc = 0;

    waiter_init(&w);
    waitq_add(&s->base.wait, &w);
    while (!__atomic_load_n(&s->pending, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&s->base.shut, __ATOMIC_ACQUIRE)) {
        rc = wait_sleep(&h, 1, deadline_ns, true);
        if (rc < 0 || h.revents)
            break;
    }
    waitq_remove(&w);
    return sock_wait_error(rc, s->base.receive_timeout_ns);
}

static int inet_accept(struct socket *base, bool nonblock, struct socket **ret,
                       struct sock_addr *ret_addr)
{
    struct inet_sock *s = inet_of(base), *fresh;
    uint64_t deadline = sock_deadline(base->receive_timeout_ns);

    if (base->type != SOCK_STREAM)
        return -EOPNOTSUPP;
    for (;;) {
        int rc = accept_now(s, &fresh);

        if (rc == 0)
            break;
        if (rc != -EAGAIN || nonblock)
            return rc;
        rc = wait_accept(s, deadline);
        if (rc < 0)
            return rc;
    }
    inet_addr_encode(base->family, &fresh->peer, ret_addr);
    *ret = &fresh->base;
    return 0;
}

/* ---- bytes ---- */

/* Over a network a sender learns only by the answer to what it sent that its peer is gone. */
static int64_t send_local(struct inet_sock *s, struct sock_msg *m)
{
    int64_t size = (int64_t)m->u->left;
    int rc = stream_take_reset(s->stream, s->side);
    int64_t n = rc < 0               ? rc
                : m->flags & MSG_OOB ? stream_send_urgent(&s->base, s->stream, s->side, m)
                                     : stream_send(&s->base, s->stream, s->side, m);

    if (n != -EPIPE || s->is_reset_next || s->base.shut & SOCK_SHUT_WRITE)
        return n;
    s->is_reset_next = true;
    return size;
}

static int64_t inet_send(struct socket *base, struct sock_msg *m)
{
    struct inet_sock *s = inet_of(base);
    int rc;

    if (base->type == SOCK_DGRAM)
        return inet_udp_send(s, m);
    rc = sock_take_error(base);
    if (rc < 0)
        return rc;
    switch (inet_state(s)) {
    case INET_LOCAL:
        return send_local(s, m);
    case INET_HOST:
        return inet_host_send(s, m, NULL);
    default:
        return -EPIPE;
    }
}

static int64_t inet_send_image(struct socket *base, uint64_t at, size_t size, bool nonblock)
{
    struct inet_sock *s = inet_of(base);

    if (base->type == SOCK_DGRAM || inet_state(s) != INET_HOST)
        return -EOPNOTSUPP;
    int rc = sock_take_error(base);
    return rc < 0 ? rc : inet_host_send_image(s, at, size, nonblock);
}

static int64_t inet_receive(struct socket *base, struct sock_msg *m)
{
    struct inet_sock *s = inet_of(base);

    if (base->type == SOCK_DGRAM)
        return inet_udp_receive(s, m);
    switch (inet_state(s)) {
    case INET_LOCAL:
        return m->flags & MSG_OOB ? stream_receive_urgent(s->stream, s->side, m)
                                  : stream_receive(base, s->stream, s->side, m);
    case INET_HOST:
        return inet_host_receive(s, m);
    default:
        return -ENOTCONN;
    }
}

static uint32_t inet_poll(struct socket *base, struct poll_table *pt)
{
    struct inet_sock *s = inet_of(base);
    int host_fd = inet_host_fd(s);
    uint32_t bits;

    if (base->type == SOCK_DGRAM)
        return inet_udp_poll(s, pt);
    switch (inet_state(s)) {
    case INET_LOCAL:
        return stream_poll(base, s->stream, s->side, pt);
    case INET_HOST:
        poll_add(pt, &base->wait);
        poll_add_host(pt, host_fd, INET_HOST_EVENTS);
        return pt ? 0 : poll_host_now(host_fd, INET_HOST_EVENTS);
    case INET_LISTENING:
        poll_add(pt, &base->wait);
        poll_add_host(pt, host_fd, POLLIN | POLLRDNORM);
        __atomic_thread_fence(
            __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
        bits = __atomic_load_n(&s->pending, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
        return pt || bits ? bits : poll_host_now(host_fd, POLLIN | POLLRDNORM);
    default:
        poll_add(pt, &base->wait);
        return POLLOUT | POLLWRNORM | POLLHUP;
    }
}

/* ---- the rest ---- */

static int inet_shutdown(struct socket *base, uint32_t shut)
{
    struct inet_sock *s = inet_of(base);
    uint32_t state = inet_state(s);
    int rc = 0;

    if (state == INET_FRESH && !(base->type == SOCK_DGRAM && s->connected))
        return -ENOTCONN;
    if (state != INET_LOCAL && s->host_fd >= 0)
        rc = ocall_shutdown(s->host_fd, (int)shut - 1);
    if (rc < 0 && base->type == SOCK_STREAM && state != INET_LISTENING)
        return rc;
    if (state == INET_LISTENING && !(shut & SOCK_SHUT_READ))
        return 0;
    __atomic_or_fetch(&base->shut, shut, __ATOMIC_ACQ_REL);
    if (state == INET_LOCAL)
        stream_shutdown(s->stream, s->side, shut, false);
    if (state == INET_LISTENING)
        inet_local_listen_end(s);
    wait_wake(&s->queue.read_wait, WAKE_ALL, POLLIN);
    wait_wake(&base->wait, WAKE_ALL, POLLIN | POLLHUP);
    return 0;
}

static int inet_name(struct socket *base, bool peer, struct sock_addr *ret)
{
    struct inet_sock *s = inet_of(base);
    struct inet_addr a = peer ? s->peer : s->local;
    uint32_t state = inet_state(s);
    int rc = 0;

    if (state == INET_HOST)
        rc = inet_host_name(s, peer, &a);
    else if (peer && state != INET_LOCAL && !s->connected)
        rc = -ENOTCONN;
    else if (peer && state == INET_LOCAL &&
             __atomic_load_n(&s->stream->ways[s->side].closed, __ATOMIC_ACQUIRE) & STREAM_WAS_RESET)
        rc = -ENOTCONN;
    if (rc == 0)
        inet_addr_encode(base->family, &a, ret);
    return rc;
}

static int inet_queued(struct socket *base, bool output, uint32_t *ret)
{
    struct inet_sock *s = inet_of(base);

    *ret = 0;
    if (base->is_listening)
        return -EINVAL;
    if (s->stream)
        *ret = stream_queued(s->stream, s->side, output);
    else if (base->type == SOCK_DGRAM && !packet_is_empty(&s->queue))
        *ret = output ? 0 : packet_queued(&s->queue);
    else if (s->host_fd >= 0 && !output)
        return ocall_socket_queued(s->host_fd, ret);
    return 0;
}

static void inet_release(struct socket *base)
{
    struct inet_sock *s = inet_of(base);
    bool reset = base->flags & SOCK_FLAG_LINGER && base->linger_s == 0;

    inet_local_listen_end(s);
    if (s->stream) {
        stream_close(s->stream, s->side, reset);
        stream_unref(s->stream);
    }
    packet_close(&s->queue);
    if (s->has_port)
        inet_port_free(s->local.port);
    if (s->host_fd >= 0) {
        int rc UNUSED = ocall_close(s->host_fd);
    }
    mem_free(s->options);
    mem_free(s);
}

static const struct sock_ops inet_ops = {
    .bind = inet_bind,
    .connect = inet_connect,
    .listen = inet_listen,
    .accept = inet_accept,
    .send = inet_send,
    .send_image = inet_send_image,
    .receive = inet_receive,
    .shutdown = inet_shutdown,
    .poll = inet_poll,
    .name = inet_name,
    .set_option = inet_option_set,
    .get_option = inet_option_get,
    .queued = inet_queued,
    .release = inet_release,
};
