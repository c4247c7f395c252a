/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: datagrams and sequenced packets. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/net/unix.h"

struct unix_sock *unix_peer_get(struct unix_sock *s)
{
    struct unix_sock *peer;

    mutex_lock(&s->base.lock);
    peer = s->peer;
    if (peer)
        unix_ref(peer);
    mutex_unlock(&s->base.lock);
    return peer;
}

/* Whom the message goes to; counted. */
static int find_target(struct unix_sock *s, struct sock_msg *m, struct unix_sock **ret)
{
    bool has_addr = m->addr && m->addr->size;

    if (s->base.type == SOCK_SEQPACKET) {
        if (!s->connected)
            return -ENOTCONN;
        if (has_addr)
            return -EISCONN;
    } else if (has_addr) {
        int rc = unix_name_find(m->addr, ret);

        if (rc == 0 && (*ret)->base.type != SOCK_DGRAM) {
            unix_unref(*ret);
            rc = -EPROTOTYPE;
        }
        return rc;
    }
    *ret = unix_peer_get(s);
    return *ret ? 0 : s->base.type == SOCK_SEQPACKET ? -EPIPE : -ENOTCONN;
}

/* Datagram sockets take messages only from the one that they are connected to. */
static bool accepts(struct unix_sock *to, struct unix_sock *from)
{
    bool ok;

    if (to == from)
        return true;
    mutex_lock(&to->base.lock);
    ok = !to->peer || to->peer == from;
    mutex_unlock(&to->base.lock);
    return ok;
}

static int put(struct unix_sock *s, struct unix_sock *to, struct packet *p, bool nonblock)
{
    size_t room = MAX(s->base.send_size, to->base.receive_size);
    uint64_t deadline = 0;

    for (;;) {
        int rc = packet_put(&to->queue, p, room);

        if (rc == -EPIPE && s->base.type == SOCK_DGRAM)
            return -ECONNREFUSED;
        if (rc != -EAGAIN || nonblock)
            return rc;
        if (!deadline)
            deadline = sock_deadline(s->base.send_timeout_ns);
        WAIT_UNTIL(rc, to->queue.room, packet_has_room(&to->queue, p->size, room), deadline);
        rc = sock_wait_error(rc, s->base.send_timeout_ns);
        if (rc < 0)
            return rc;
    }
}

int64_t unix_packet_send(struct unix_sock *s, struct sock_msg *m)
{
    struct unix_sock *to;
    struct packet *p;
    size_t size = m->u->left;
    int rc;

    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (s->base.shut & SOCK_SHUT_WRITE)
        return -EPIPE;
    rc = sock_take_error(&s->base);
    if (rc == 0)
        rc = find_target(s, m, &to);
    if (rc < 0)
        return rc;
    struct sock_control none = { 0 };
    if (!m->control)
        m->control = &none;
    if (!m->control->has_cred && (s->base.flags | to->base.flags) & SOCK_FLAG_PASSCRED) {
        m->control->has_cred = true;
        m->control->cred = sock_my_cred();
    }
    rc = accepts(to, s) ? packet_new(m, s->base.send_size, &s->name, &p) : -EPERM;
    if (rc == 0) {
        rc = put(s, to, p, (m->flags & MSG_DONTWAIT) != 0);
        if (rc < 0)
            packet_free(p);
    }
    unix_unref(to);
    return rc < 0 ? rc : (int64_t)size;
}

int64_t unix_packet_receive(struct unix_sock *s, struct sock_msg *m)
{
    uint64_t deadline = 0;

    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (s->base.type == SOCK_SEQPACKET && !s->connected)
        return -ENOTCONN;
    for (;;) {
        bool ended = __atomic_load_n(&s->base.shut, __ATOMIC_ACQUIRE) & SOCK_SHUT_READ;
        int64_t n = packet_receive(&s->queue, m);
        int rc;

        if (n >= 0 && s->base.type == SOCK_SEQPACKET)
            m->ret_flags |= n ? MSG_EOR : 0;
        if (n != -EAGAIN)
            return n;
        rc = sock_take_error(&s->base);
        if (rc < 0 || ended)
            return rc;
        if (m->flags & MSG_DONTWAIT)
            return -EAGAIN;
        if (!deadline)
            deadline = sock_deadline(s->base.receive_timeout_ns);
        WAIT_UNTIL(rc, &s->queue.read_wait,
                   !packet_is_empty(&s->queue) ||
                       __atomic_load_n(&s->queue.no_writer, __ATOMIC_ACQUIRE) ||
                       __atomic_load_n(&s->base.shut, __ATOMIC_ACQUIRE) & SOCK_SHUT_READ,
                   deadline);
        rc = sock_wait_error(rc, s->base.receive_timeout_ns);
        if (rc < 0)
            return rc;
    }
}

uint32_t unix_packet_poll(struct unix_sock *s, struct poll_table *pt)
{
    struct unix_sock *peer = unix_peer_get(s);
    uint32_t bits = 0;

    poll_add(pt, &s->queue.read_wait);
    if (s->base.type == SOCK_DGRAM)
        poll_add(pt, &g_unix_datagram_room);
    else if (peer)
        poll_add(pt, peer->queue.room); /* s keeps this peer until it is closed */
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    if (!packet_is_empty(&s->queue))
        bits |= POLLIN | POLLRDNORM;
    if (s->queue.no_writer || s->base.shut & SOCK_SHUT_READ)
        bits |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (s->base.type == SOCK_SEQPACKET && (s->queue.no_writer || !s->connected))
        bits |= POLLHUP;
    if (s->base.shut == (SOCK_SHUT_READ | SOCK_SHUT_WRITE))
        bits |= POLLHUP;
    if (__atomic_load_n(&s->base.error, __ATOMIC_RELAXED))
        bits |= POLLERR;
    if (!peer ||
        packet_has_room(&peer->queue, 1, MAX(s->base.send_size, peer->base.receive_size) / 4))
        bits |= POLLOUT | POLLWRNORM;
    if (peer)
        unix_unref(peer);
    return bits;
}
