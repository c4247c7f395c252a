/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX sockets: making, connecting, accepting, closing. Trusted. */
#include "tee/libos/net/unix.h"

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/socket.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/poll/poll.h"
#include "tee/libos/task/task.h"

static const struct sock_ops unix_ops;
struct waitq g_unix_datagram_room;

static struct unix_sock *to_unix(struct socket *s)
{
    return CONTAINER_OF(s, struct unix_sock, base);
}

void unix_ref(struct unix_sock *s)
{
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
}

static void sock_free(struct unix_sock *s)
{
    mem_free(s->groups.ids);
    mem_free(s->peer_groups.ids);
    mem_free(s);
}

void unix_unref(struct unix_sock *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        sock_free(s);
}

int unix_new(int type, int protocol, struct socket **ret)
{
    struct unix_sock *s;

    if (protocol && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW)
        type = SOCK_DGRAM; /* as Linux */
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    s = mem_zalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    sock_init(&s->base, &unix_ops, AF_UNIX, type, 0);
    s->refs = 1;
    s->queue.room = type == SOCK_DGRAM ? &g_unix_datagram_room : &s->queue.write_wait;
    *ret = &s->base;
    return 0;
}

static void announce(struct unix_sock *s)
{
    if (s->base.file)
        poll_file_changed(s->base.file);
    wait_wake(&s->base.wait, WAKE_ALL, 0);
}

static int groups_copy(struct unix_groups *to, const uint32_t *ids, uint32_t count)
{
    uint32_t *copy = count ? mem_alloc(count * sizeof *copy) : NULL;

    if (count && !copy)
        return -ENOMEM;
    if (count)
        memcpy(copy, ids, count * sizeof *copy);
    mem_free(to->ids);
    *to = (struct unix_groups){ .count = count, .ids = copy };
    return 0;
}

static int groups_set_mine(struct unix_groups *to)
{
    const struct cred *c = process_cred();

    return groups_copy(to, c->groups, c->group_count);
}

/* Ties two fresh or connecting ends. a_cred: of who holds a. Nobody else may see b yet. */
static int tie(struct unix_sock *a, struct unix_sock *b, struct sock_cred a_cred,
               struct sock_cred b_cred)
{
    if (a->base.type == SOCK_STREAM) {
        struct stream *st;
        int rc = stream_new(STREAM_CAPACITY, &st);

        if (rc < 0)
            return rc;
        a->side = 0;
        b->side = 1;
        b->stream = st;
        st->names[0] = a->name;
        st->names[1] = b->name;
        st->creds[0] = a_cred;
        st->creds[1] = b_cred;
        __atomic_store_n(&a->stream, st, __ATOMIC_RELEASE);
    } else {
        unix_ref(a);
        unix_ref(b);
        b->peer = a;
        a->peer = b;
    }
    a->peer_cred = b_cred;
    b->peer_cred = a_cred;
    a->connected = b->connected = a->base.type != SOCK_DGRAM;
    return 0;
}

static int unix_pair(struct socket *a, struct socket *b)
{
    struct sock_cred mine = sock_my_cred();
    int rc = groups_set_mine(&to_unix(a)->peer_groups);

    if (rc == 0)
        rc = groups_set_mine(&to_unix(b)->peer_groups);
    return rc < 0 ? rc : tie(to_unix(a), to_unix(b), mine, mine);
}

static int unix_bind(struct socket *base, const struct sock_addr *addr)
{
    struct unix_sock *s = to_unix(base);

    mutex_lock(&s->base.lock);
    int rc = unix_name_bind(s, addr);
    mutex_unlock(&s->base.lock);
    return rc;
}

static int unix_listen(struct socket *base, int backlog)
{
    struct unix_sock *s = to_unix(base);
    int rc = 0;

    if (s->base.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    mutex_lock(&s->base.lock);
    if (!s->name.size || s->connected) {
        rc = -EINVAL;
    } else {
        rc = groups_set_mine(&s->groups);
    }
    if (rc == 0) {
        s->backlog = (unsigned)backlog;
        s->base.is_listening = true;
        s->cred = sock_my_cred();
    }
    mutex_unlock(&s->base.lock);
    if (rc == 0)
        announce(s);
    return rc;
}

/* ---- connecting ---- */

/* Ties s and `fresh` and puts that into the listener's queue. returns: 0; -EAGAIN full; -ECONNREFUSED; -ENOMEM. */
static int offer(struct unix_sock *listener, struct unix_sock *s, struct unix_sock *fresh)
{
    int rc = 0;

    mutex_lock(&listener->base.lock);
    if (!listener->base.is_listening || listener->closed || listener->base.shut & SOCK_SHUT_READ)
        rc = -ECONNREFUSED;
    else if (listener->pending_count > listener->backlog)
        rc = -EAGAIN;
    else
        rc = groups_copy(&s->peer_groups, listener->groups.ids, listener->groups.count);
    if (rc == 0)
        rc = groups_set_mine(&fresh->peer_groups);
    if (rc == 0)
        rc = tie(s, fresh, sock_my_cred(), listener->cred);
    if (rc == 0) {
        if (listener->pending_last)
            listener->pending_last->pending_next = fresh;
        else
            listener->pending = fresh;
        listener->pending_last = fresh;
        listener->pending_count++;
    }
    mutex_unlock(&listener->base.lock);
    return rc;
}

static bool may_offer(struct unix_sock *l)
{
    bool may;

    mutex_lock(&l->base.lock);
    may = !l->base.is_listening || l->closed || l->pending_count <= l->backlog;
    mutex_unlock(&l->base.lock);
    return may;
}

static int wait_backlog(struct unix_sock *s, struct unix_sock *listener)
{
    uint64_t deadline = sock_deadline(s->base.send_timeout_ns);
    int rc;

    WAIT_UNTIL(rc, &listener->base.wait, may_offer(listener), deadline);
    return sock_wait_error(rc, s->base.send_timeout_ns);
}

/* One attempt, with s locked: the other end is made and offered. */
static int try_connect(struct unix_sock *s, struct unix_sock *listener)
{
    struct socket *base;
    int rc;

    if (s->connected)
        return -EISCONN;
    if (s->base.is_listening)
        return -EINVAL;
    rc = unix_new(s->base.type, 0, &base);
    if (rc < 0)
        return rc;
    struct unix_sock *fresh = to_unix(base);
    fresh->name = listener->name;
    fresh->base.flags = listener->base.flags & SOCK_FLAG_PASSCRED;
    rc = offer(listener, s, fresh);
    if (rc < 0)
        sock_free(fresh);
    return rc;
}

static int connect_stream(struct unix_sock *s, const struct sock_addr *addr, bool nonblock)
{
    for (;;) {
        struct unix_sock *listener;
        int rc = unix_name_find(addr, &listener);

        if (rc < 0)
            return rc;
        if (listener->base.type != s->base.type) {
            rc = -EPROTOTYPE;
        } else if (listener == s || !listener->base.is_listening) {
            rc = -ECONNREFUSED;
        } else {
            mutex_lock(&s->base.lock);
            rc = try_connect(s, listener);
            mutex_unlock(&s->base.lock);
            if (rc == 0)
                wait_wake(&listener->base.wait, WAKE_ALL, POLLIN | POLLRDNORM);
        }
        bool again = rc == -EAGAIN && !nonblock;
        if (again)
            rc = wait_backlog(s, listener);
        unix_unref(listener);
        if (rc == 0 && !again)
            announce(s);
        if (!again || rc < 0)
            return rc;
    }
}

static int connect_datagram(struct unix_sock *s, const struct sock_addr *addr)
{
    struct unix_sock *peer = NULL, *old;

    if (addr->size < 2)
        return -EINVAL;
    if (addr->family != 0) { /* AF_UNSPEC ends the connection */
        int rc = unix_name_find(addr, &peer);

        if (rc < 0)
            return rc;
        if (peer->base.type != SOCK_DGRAM) {
            unix_unref(peer);
            return -EPROTOTYPE;
        }
        if (peer != s) {
            mutex_lock(&peer->base.lock);
            bool other = peer->peer && peer->peer != s;
            mutex_unlock(&peer->base.lock);
            if (other) {
                unix_unref(peer);
                return -EPERM;
            }
        }
    }
    mutex_lock(&s->base.lock);
    old = s->peer;
    s->peer = peer;
    mutex_unlock(&s->base.lock);
    announce(s); /* before the old peer's queue may go */
    if (old)
        unix_unref(old);
    return 0;
}

static int unix_connect(struct socket *base, const struct sock_addr *addr, bool nonblock)
{
    struct unix_sock *s = to_unix(base);

    return s->base.type == SOCK_DGRAM ? connect_datagram(s, addr)
                                      : connect_stream(s, addr, nonblock);
}

/* ---- accepting ---- */

static int take_pending(struct unix_sock *s, struct unix_sock **ret)
{
    int rc = 0;

    mutex_lock(&s->base.lock);
    struct unix_sock *fresh = s->pending;
    if (!s->base.is_listening || (!fresh && s->base.shut & SOCK_SHUT_READ)) {
        rc = -EINVAL;
    } else if (!fresh) {
        rc = -EAGAIN;
    } else {
        s->pending = fresh->pending_next;
        if (!s->pending)
            s->pending_last = NULL;
        s->pending_count--;
        fresh->pending_next = NULL;
        *ret = fresh;
    }
    mutex_unlock(&s->base.lock);
    return rc;
}

static void peer_name(struct unix_sock *s, struct sock_addr *ret)
{
    struct unix_sock *peer;

    *ret = (struct sock_addr){ 0 };
    if (s->stream) {
        *ret = s->stream->names[1 - s->side];
    } else if ((peer = unix_peer_get(s))) {
        *ret = peer->name;
        unix_unref(peer);
    }
    if (!ret->size) {
        ret->size = UNIX_ADDR_PATH;
        ret->family = AF_UNIX;
    }
}

static int unix_accept(struct socket *base, bool nonblock, struct socket **ret,
                       struct sock_addr *ret_addr)
{
    struct unix_sock *s = to_unix(base), *fresh = NULL;
    uint64_t deadline = sock_deadline(s->base.receive_timeout_ns);
    int rc;

    if (s->base.type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    rc = take_pending(s, &fresh);
    if (rc == -EAGAIN && !nonblock) {
        int taken = rc;

        WAIT_UNTIL(rc, &s->base.wait, (taken = take_pending(s, &fresh)) != -EAGAIN, deadline);
        rc = rc < 0 ? sock_wait_error(rc, s->base.receive_timeout_ns) : taken;
    }
    if (rc < 0)
        return rc;
    wait_wake(&s->base.wait, WAKE_ALL, POLLOUT); /* room in the backlog */
    peer_name(fresh, ret_addr);
    *ret = &fresh->base;
    return 0;
}

/* ---- the rest ---- */

static int64_t unix_send(struct socket *base, struct sock_msg *m)
{
    struct unix_sock *s = to_unix(base);

    if (m->control && m->control->file_count && !m->control->in_flight)
        unix_flight_add(m->control); /* if it is not sent, its end takes this back */
    if (s->base.type != SOCK_STREAM)
        return unix_packet_send(s, m);
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    struct stream *st = __atomic_load_n(&s->stream, __ATOMIC_ACQUIRE);
    if (m->addr && m->addr->size)
        return st ? -EISCONN : -EOPNOTSUPP;
    if (!st)
        return -ENOTCONN;
    /* The peer knows who made the connection; only somebody else is worth a control item. */
    if (m->control && m->control->has_cred &&
        memcmp(&m->control->cred, &st->creds[s->side], sizeof m->control->cred) == 0)
        m->control->has_cred = false;
    return stream_send(&s->base, st, s->side, m);
}

static int64_t receive(struct socket *base, struct sock_msg *m)
{
    struct unix_sock *s = to_unix(base);

    if (s->base.type != SOCK_STREAM)
        return unix_packet_receive(s, m);
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    struct stream *st = __atomic_load_n(&s->stream, __ATOMIC_ACQUIRE);
    if (!st)
        return -EINVAL;
    if (m->flags & MSG_TRUNC)
        m->flags &= ~MSG_TRUNC; /* means nothing here */
    int64_t n = stream_receive(&s->base, st, s->side, m);
    if (n > 0 && m->control && !m->control->has_cred && s->base.flags & SOCK_FLAG_PASSCRED) {
        m->control->has_cred = true;
        m->control->cred = s->peer_cred;
    }
    return n;
}

static int64_t unix_receive(struct socket *base, struct sock_msg *m)
{
    int64_t n = receive(base, m);

    if (m->control)
        unix_flight_remove(m->control);
    return n;
}

static int unix_shutdown(struct socket *base, uint32_t shut)
{
    struct unix_sock *s = to_unix(base);
    struct stream *st = __atomic_load_n(&s->stream, __ATOMIC_ACQUIRE);

    if (s->base.type != SOCK_DGRAM && !s->connected && !s->base.is_listening)
        return -ENOTCONN;
    __atomic_or_fetch(&s->base.shut, shut, __ATOMIC_ACQ_REL);
    if (st) {
        stream_shutdown(st, s->side, shut, true);
    } else {
        struct unix_sock *peer = unix_peer_get(s);

        wait_wake(&s->queue.read_wait, WAKE_ALL, POLLIN | POLLHUP | POLLRDHUP);
        if (peer && s->connected) {
            if (shut & SOCK_SHUT_WRITE)
                packet_end(&peer->queue);
            if (shut & SOCK_SHUT_READ)
                packet_end(&s->queue);
        }
        if (peer)
            unix_unref(peer);
    }
    wait_wake(&s->base.wait, WAKE_ALL, POLLIN | POLLHUP);
    return 0;
}

static uint32_t unix_poll(struct socket *base, struct poll_table *pt)
{
    struct unix_sock *s = to_unix(base);
    struct stream *st = __atomic_load_n(&s->stream, __ATOMIC_ACQUIRE);

    if (st)
        return stream_poll(&s->base, st, s->side, pt);
    poll_add(pt, &s->base.wait);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* registered before the look; pairs with wait_wake() */
    if (s->base.is_listening)
        return __atomic_load_n(&s->pending_count, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
    if (s->base.type == SOCK_STREAM)
        return POLLOUT | POLLWRNORM | POLLHUP;
    return unix_packet_poll(s, pt);
}

static int unix_name(struct socket *base, bool peer, struct sock_addr *ret)
{
    struct unix_sock *s = to_unix(base);

    if (peer) {
        struct unix_sock *p = s->base.type == SOCK_DGRAM ? unix_peer_get(s) : NULL;

        if (!s->connected && !p)
            return -ENOTCONN;
        if (p)
            unix_unref(p);
        peer_name(s, ret);
        return 0;
    }
    *ret = s->name;
    if (!ret->size) {
        ret->size = UNIX_ADDR_PATH;
        ret->family = AF_UNIX;
    }
    return 0;
}

static int unix_set_option(struct socket *base, int level, int name, const void *value,
                           uint32_t size)
{
    struct unix_sock *s = to_unix(base);
    int rc = level == SOL_SOCKET ? sock_option_set(base, level, name, value, size) : -EOPNOTSUPP;

    if (rc == 0 && s->stream && level == SOL_SOCKET && name == SO_SNDBUF)
        stream_set_size(s->stream, s->side, true, base->send_size);
    return rc;
}

static int get_groups(const struct unix_sock *s, void *value, uint32_t *size)
{
    uint32_t want = s->peer_groups.count * (uint32_t)sizeof *s->peer_groups.ids;

    if (!s->peer_cred.pid)
        return -ENODATA;
    if (*size < want) {
        *size = want;
        return -ERANGE;
    }
    *size = want;
    memcpy(value, s->peer_groups.ids, want);
    return 0;
}

static int unix_get_option(struct socket *base, int level, int name, void *value, uint32_t *size)
{
    struct unix_sock *s = to_unix(base);
    struct sock_cred cred = { 0, UINT32_MAX, UINT32_MAX };

    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (name == SO_PEERGROUPS)
        return get_groups(s, value, size);
    if (name != SO_PEERCRED)
        return -ENOPROTOOPT;
    if (s->connected || (s->base.type == SOCK_DGRAM && s->peer_cred.pid))
        cred = s->peer_cred;
    else if (s->base.is_listening)
        cred = s->cred;
    *size = MIN(*size, sizeof cred);
    memcpy(value, &cred, *size);
    return 0;
}

static int unix_queued(struct socket *base, bool output, uint32_t *ret)
{
    struct unix_sock *s = to_unix(base);

    if (s->base.is_listening)
        return -EINVAL;
    *ret = s->stream ? stream_queued(s->stream, s->side, output)
           : output  ? 0
                     : packet_queued(&s->queue);
    return 0;
}

static void unix_release(struct socket *base)
{
    struct unix_sock *s = to_unix(base), *pending, *peer;

    unix_name_release(s);
    mutex_lock(&s->base.lock);
    s->closed = true;
    pending = s->pending;
    s->pending = s->pending_last = NULL;
    s->pending_count = 0;
    peer = s->peer;
    s->peer = NULL;
    mutex_unlock(&s->base.lock);
    wait_wake(&s->base.wait, WAKE_ALL, POLLHUP);
    while (pending) {
        struct unix_sock *next = pending->pending_next;

        if (pending->stream)
            stream_close(pending->stream, pending->side, true);
        pending->base.ops->release(&pending->base);
        pending = next;
    }
    if (s->stream) {
        stream_close(s->stream, s->side, false);
        stream_unref(s->stream);
        s->stream = NULL;
    }
    bool unread = !packet_is_empty(&s->queue);
    packet_close(&s->queue);
    if (peer) {
        if (s->connected) {
            if (unread)
                __atomic_store_n(&peer->base.error, -ECONNRESET, __ATOMIC_RELEASE);
            packet_end(&peer->queue);
        }
        unix_unref(peer);
    }
    unix_unref(s);
    unix_flight_collect();
}

static const struct sock_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .pair = unix_pair,
    .send = unix_send,
    .receive = unix_receive,
    .shutdown = unix_shutdown,
    .poll = unix_poll,
    .name = unix_name,
    .set_option = unix_set_option,
    .get_option = unix_get_option,
    .queued = unix_queued,
    .release = unix_release,
};
