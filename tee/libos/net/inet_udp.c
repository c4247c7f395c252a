/* SPDX-License-Identifier: Apache-2.0 */
/* UDP: between sockets inside over the loopback address, else through the host. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/in6.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/inet.h"

/* Gives s a port of the host's choice. base.lock held. */
static int auto_bind(struct inet_sock *s)
{
    struct inet_addr any = { 0 };
    int rc;

    if (s->bound)
        return 0;
    if (s->base.family == AF_INET)
        any.ip[10] = any.ip[11] = 0xff;
    rc = inet_host_bind(s, &any);
    if (rc == 0)
        inet_table_add(s);
    return rc;
}

struct delivery {
    struct inet_sock *from;
    struct inet_addr from_addr;
    struct packet *packet; /* NULL when delivered */
};

/* Puts the packet into the queue of the one inside that it is for. The table is locked. */
static int deliver(struct inet_sock *to, void *arg)
{
    struct delivery *d = arg;

    if (to->connected && !inet_addr_equal(&to->peer, &d->from_addr))
        return 0; /* not from its peer: dropped */
    inet_addr_encode(to->base.family, &d->from_addr, &d->packet->from);
    if (packet_put(&to->queue, d->packet, MAX(to->base.receive_size, UDP_SIZE_MAX)) == 0)
        d->packet = NULL;
    return 0;
}

static int reached(struct inet_sock *to UNUSED, void *arg UNUSED)
{
    return 0;
}

/* What the IP header would carry, unless the message says it. */
static void set_header_fields(const struct inet_sock *s, const struct inet_addr *to,
                              struct sock_control *c)
{
    bool v4 = inet_addr_is_v4(to);

    if (!c->has_hop_limit)
        c->hop_limit = v4 ? inet_option_number(s, IPPROTO_IP, IP_TTL, 64)
                          : inet_option_number(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64);
    if (!c->has_traffic_class)
        c->traffic_class = v4 ? inet_option_number(s, IPPROTO_IP, IP_TOS, 0)
                              : inet_option_number(s, IPPROTO_IPV6, IPV6_TCLASS, 0);
    memcpy(c->destination, to->ip, sizeof c->destination);
}

/* Which of them the receiver asked for. The header of what came through the host is not known here, but where a socket
 * that is bound to an address was sent to. */
static void show_header_fields(const struct inet_sock *s, struct sock_control *c, bool from_host)
{
    bool v6 = s->base.family == AF_INET6;
    int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;

    if (from_host)
        memcpy(c->destination, s->local.ip, sizeof c->destination);
    c->has_hop_limit =
        !from_host && inet_option_number(s, level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 0) != 0;
    c->has_traffic_class =
        !from_host && inet_option_number(s, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 0) != 0;
    c->has_destination = inet_option_number(s, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 0) != 0 &&
                         !(from_host && inet_addr_is_any(&s->local));
}

/* returns: bytes; -ENOENT nobody inside. */
static int64_t send_inside(struct inet_sock *s, struct sock_msg *m, const struct inet_addr *to)
{
    struct delivery d = { .from = s };
    struct sock_addr none = { 0 };
    int64_t size = (int64_t)m->u->left;
    int rc = inet_table_call(s->base.protocol, to, reached, NULL);

    if (rc < 0)
        return rc;
    rc = packet_new(m, UDP_SIZE_MAX, &none, &d.packet);
    if (rc < 0)
        return rc;
    set_header_fields(s, to, &d.packet->control);
    d.from_addr = s->local;
    if (inet_addr_is_any(&d.from_addr)) {
        d.from_addr = *to;
        d.from_addr.port = s->local.port;
    }
    rc = inet_table_call(s->base.protocol, to, deliver, &d);
    if (d.packet)
        packet_free(d.packet); /* the queue was full: datagrams may get lost */
    return rc == -ENOENT ? size : rc < 0 ? rc : size;
}

int64_t inet_udp_send(struct inet_sock *s, struct sock_msg *m)
{
    struct inet_addr to;
    bool has_addr = m->addr && m->addr->size;
    bool fresh;
    int rc = 0;

    if (s->base.shut & SOCK_SHUT_WRITE)
        return -EPIPE;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (has_addr) {
        /* An IPv4 socket's address may come to an IPv6 socket only as ::ffff:a.b.c.d. */
        rc = inet_addr_parse(s->base.family, m->addr, &to);
        if (rc == 0 && !to.port)
            rc = -EINVAL;
    } else if (s->connected) {
        to = s->peer;
    } else {
        rc = -EDESTADDRREQ;
    }
    if (rc == 0)
        rc = sock_take_error(&s->base);
    if (rc < 0)
        return rc;
    if (inet_addr_is_any(&to))
        inet_addr_set_loopback(&to);
    mutex_lock(&s->base.lock);
    fresh = inet_host_fd(s) < 0;
    rc = auto_bind(s);
    mutex_unlock(&s->base.lock);
    if (rc < 0)
        return rc;
    if (fresh && s->base.file)
        poll_file_changed(s->base.file);
    int64_t n = send_inside(s, m, &to);
    return n == -ENOENT ? inet_host_send(s, m, has_addr ? &to : NULL) : n;
}

/* Sleeps until either side has something. */
static int wait_any(struct inet_sock *s, uint64_t deadline_ns)
{
    struct wait_host h = { .host_fd = inet_host_fd(s), .events = POLLIN };
    struct waiter w;
    int rc = 0;

    waiter_init(&w);
    waitq_add(&s->queue.read_wait, &w);
    while (packet_is_empty(&s->queue) &&
           !(__atomic_load_n(&s->base.shut, __ATOMIC_ACQUIRE) & SOCK_SHUT_READ)) {
        h.host_fd = inet_host_fd(s);
        rc = wait_sleep(&h, h.host_fd >= 0 ? 1 : 0, deadline_ns, true);
        if (rc < 0 || h.revents)
            break;
    }
    waitq_remove(&w);
    return sock_wait_error(rc, s->base.receive_timeout_ns);
}

int64_t inet_udp_receive(struct inet_sock *s, struct sock_msg *m)
{
    uint64_t deadline = 0;

    for (;;) {
        int64_t n = packet_receive(&s->queue, m);
        bool from_host = n == -EAGAIN && inet_host_fd(s) >= 0;
        int rc;

        if (from_host)
            n = inet_host_receive_datagram(s, m);
        if (n >= 0 && m->control)
            show_header_fields(s, m->control, from_host);
        if (n != -EAGAIN)
            return n;
        if (s->base.shut & SOCK_SHUT_READ)
            return 0;
        if (m->flags & MSG_DONTWAIT)
            return -EAGAIN;
        if (!deadline)
            deadline = sock_deadline(s->base.receive_timeout_ns);
        rc = wait_any(s, deadline);
        if (rc < 0)
            return rc;
    }
}

uint32_t inet_udp_poll(struct inet_sock *s, struct poll_table *pt)
{
    uint32_t bits = POLLOUT | POLLWRNORM;
    int host_fd = inet_host_fd(s);

    poll_add(pt, &s->queue.read_wait);
    poll_add_host(pt, host_fd, POLLIN | POLLRDNORM | POLLERR);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    if (!packet_is_empty(&s->queue) || s->base.shut & SOCK_SHUT_READ)
        bits |= POLLIN | POLLRDNORM;
    if (!pt)
        bits |= poll_host_now(host_fd, POLLIN | POLLRDNORM);
    return bits;
}

static int set_peer(struct inet_sock *s, const struct inet_addr *to)
{
    struct sock_addr a;
    struct inet_addr given;
    int rc = auto_bind(s);

    if (rc < 0)
        return rc;
    inet_addr_encode(s->base.family, to, &a);
    rc = ocall_connect(s->host_fd, a.bytes, a.size);
    if (rc < 0)
        return rc;
    s->peer = *to;
    __atomic_store_n(&s->connected, true, __ATOMIC_RELEASE);
    /* The host chose the address that this peer is reached from. */
    if (inet_addr_is_any(&s->local) && inet_host_name(s, false, &given) == 0 &&
        given.port == s->local.port)
        memcpy(s->local.ip, given.ip, sizeof given.ip);
    return 0;
}

int inet_udp_connect(struct inet_sock *s, const struct sock_addr *addr)
{
    struct inet_addr to;
    int rc;

    mutex_lock(&s->base.lock);
    if (addr->size >= 2 && addr->family == 0) {
        struct sock_addr none = { .size = 16 };

        s->connected = false;
        rc = inet_host_fd(s) >= 0 ? ocall_connect(s->host_fd, none.bytes, none.size) : 0;
    } else {
        rc = inet_addr_parse(s->base.family, addr, &to);
        if (rc == 0 && inet_addr_is_any(&to))
            inet_addr_set_loopback(&to);
        if (rc == 0)
            rc = set_peer(s, &to);
    }
    mutex_unlock(&s->base.lock);
    if (s->base.file)
        poll_file_changed(s->base.file);
    return rc;
}
