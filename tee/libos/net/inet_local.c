/* SPDX-License-Identifier: Apache-2.0 */
/* TCP over the loopback address between two sockets inside the enclave. Trusted. */
#include <asm/errno.h>
#include <asm/poll.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/net/inet.h"

struct connect_request {
    struct inet_sock *client;
    const struct inet_addr *to;
};

static int set_names(struct inet_sock *client, struct inet_sock *server, const struct inet_addr *to)
{
    struct inet_addr from = client->local;

    if (!client->bound) {
        int rc = inet_port_new(&from.port);

        if (rc < 0)
            return rc;
        client->has_port = true;
    }
    if (!client->bound || inet_addr_is_any(&from)) {
        uint16_t port = from.port;

        from = *to;
        from.port = port;
    }
    client->local = from;
    client->peer = *to;
    server->local = *to;
    server->peer = from;
    server->bound = true;
    return 0;
}

/* The client is locked; the table too, so the listener stays. */
static int offer(struct inet_sock *listener, void *arg)
{
    struct connect_request *r = arg;
    struct inet_sock *client = r->client, *server;
    struct stream *st = NULL;
    int rc = 0;

    server = inet_alloc(listener->base.family, SOCK_STREAM, IPPROTO_TCP);
    if (!server)
        return -ENOMEM;
    mutex_lock(&listener->base.lock);
    if (inet_state(listener) != INET_LISTENING || listener->pending_count > listener->backlog ||
        listener->base.shut)
        rc = -ENOENT;
    if (rc == 0)
        rc = stream_new(MAX(client->base.send_size, STREAM_CAPACITY), &st);
    if (rc == 0)
        rc = set_names(client, server, r->to);
    if (rc == 0) {
        server->base.flags = listener->base.flags;
        server->base.linger_s = listener->base.linger_s;
        inet_option_copy(server, listener);
        server->stream = client->stream = st;
        server->side = 1;
        client->side = 0;
        st->ways[0].urgent_inline = (client->base.flags & SOCK_FLAG_OOBINLINE) != 0;
        st->ways[1].urgent_inline = (server->base.flags & SOCK_FLAG_OOBINLINE) != 0;
        server->state = INET_LOCAL;
        __atomic_store_n(&client->state, INET_LOCAL, __ATOMIC_RELEASE);
        if (listener->pending_last)
            listener->pending_last->pending_next = server;
        else
            listener->pending = server;
        listener->pending_last = server;
        listener->pending_count++;
    }
    mutex_unlock(&listener->base.lock);
    if (rc < 0) {
        if (st) {
            stream_unref(st);
            stream_unref(st);
        }
        mem_free(server->options);
        mem_free(server);
        return rc;
    }
    wait_wake(&listener->base.wait, WAKE_ALL, POLLIN | POLLRDNORM);
    return 0;
}

int inet_local_connect(struct inet_sock *s, const struct inet_addr *to)
{
    struct connect_request r = { .client = s, .to = to };

    return inet_table_call(IPPROTO_TCP, to, offer, &r);
}

int inet_local_accept(struct inet_sock *s, struct inet_sock **ret)
{
    struct inet_sock *fresh;

    if (!__atomic_load_n(&s->pending, __ATOMIC_ACQUIRE))
        return -EAGAIN;
    mutex_lock(&s->base.lock);
    fresh = s->pending;
    if (fresh) {
        s->pending = fresh->pending_next;
        if (!s->pending)
            s->pending_last = NULL;
        s->pending_count--;
        fresh->pending_next = NULL;
    }
    mutex_unlock(&s->base.lock);
    *ret = fresh;
    return fresh ? 0 : -EAGAIN;
}

void inet_local_listen_end(struct inet_sock *s)
{
    struct inet_sock *list;

    inet_table_remove(s);
    mutex_lock(&s->base.lock);
    list = s->pending;
    s->pending = s->pending_last = NULL;
    s->pending_count = 0;
    mutex_unlock(&s->base.lock);
    while (list) {
        struct inet_sock *next = list->pending_next;

        stream_close(list->stream, list->side, true);
        list->base.ops->release(&list->base);
        list = next;
    }
}
