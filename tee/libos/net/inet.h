/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP and UDP. Inside the enclave over the loopback address when the other side is inside, too; else through a host
 * socket, which is always non-blocking on the host. The host sees, and may change, everything that goes through its
 * sockets; nothing that stays inside. Trusted.
 *
 * inet.c: the operations, by state. inet_addr.c: addresses, and who inside listens at which port.
 * inet_host.c: host sockets. inet_local.c: connections inside. inet_udp.c: datagrams. inet_option.c: options.
 * inet_info.c: what TCP says of a connection.
 */
#pragma once

#include <linux/in.h>

#include "tee/libos/net/packet.h"
#include "tee/libos/net/stream.h"

#define UDPLITE_SEND_CSCOV 10
#define UDPLITE_RECV_CSCOV 11
#define UDP_SIZE_MAX 65507u

/* An address of either family; IPv4 as ::ffff:a.b.c.d. */
struct inet_addr {
    uint8_t ip[16];
    uint16_t port; /* host byte order */
    uint32_t scope;
};

enum inet_state {
    INET_FRESH, /* maybe bound */
    INET_LISTENING,
    INET_LOCAL, /* TCP: connected inside */
    INET_HOST,  /* TCP: connected or connecting through the host */
};

#define INET_OPTION_COUNT_MAX 48u
#define INET_OPTION_SIZE_MAX 32u
/* What the program set; given to the host socket when that is made. */
struct inet_option {
    int32_t level, name;
    uint32_t size;
    uint8_t value[INET_OPTION_SIZE_MAX];
};

struct inet_sock {
    struct socket base; /* base.lock guards what follows, unless said otherwise */
    uint32_t state;     /* enum inet_state; atomic, moves on once */
    int32_t host_fd;    /* -1: none yet; atomic, set once, closed at release */
    bool bound;
    bool connected;       /* UDP: peer is set */
    bool is_connect_told; /* connect(2) was told -EINPROGRESS for what was done at once */
    bool is_reset_next;   /* TCP inside: the peer is gone and one more send was swallowed */
    bool has_port;        /* local.port came from inet_port_new */
    struct inet_addr local, peer;
    struct stream *stream; /* INET_LOCAL */
    int side;
    struct packet_queue queue; /* UDP: from inside */
    /* Listening. */
    struct inet_sock *pending, *pending_last, *pending_next;
    unsigned pending_count, backlog;
    uint32_t accepts; /* counts, so that neither side starves */
    uint64_t
        drained; /* TCP over the host: nothing was left, as far as is known then; 0; atomic; inet_host.c */
    struct inet_option *options;
    unsigned option_count;
    /* Table of who can be reached inside; under its lock. */
    struct inet_sock *table_next;
    bool in_table;
};

static inline struct inet_sock *inet_of(struct socket *s)
{
    return (struct inet_sock *)s;
}
static inline uint32_t inet_state(const struct inet_sock *s)
{
    return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
}
static inline int inet_host_fd(const struct inet_sock *s)
{
    return __atomic_load_n(&s->host_fd, __ATOMIC_ACQUIRE);
}

/* ---- inet_addr.c ---- */

/* returns: 0; -EINVAL size; -EAFNOSUPPORT. */
MUST_CHECK int inet_addr_parse(int family, const struct sock_addr *src, struct inet_addr *ret);
void inet_addr_encode(int family, const struct inet_addr *src, struct sock_addr *ret);
bool inet_addr_is_any(const struct inet_addr *a);
bool inet_addr_is_loopback(const struct inet_addr *a);
bool inet_addr_is_v4(const struct inet_addr *a);
bool inet_addr_equal(const struct inet_addr *a, const struct inet_addr *b);
/* The loopback address that an unspecified one stands for. */
void inet_addr_set_loopback(struct inet_addr *a);
/* Adds a listener or a bound UDP socket whose `local` is set, or takes it out. */
void inet_table_add(struct inet_sock *s);
void inet_table_remove(struct inet_sock *s);
/* Calls fn, with the table locked, for the socket inside that `to` reaches. returns: what fn gave; -ENOENT: none. */
int inet_table_call(int protocol, const struct inet_addr *to,
                    int (*fn)(struct inet_sock *s, void *arg), void *arg);
/* A port for the client's side of a connection inside. -EADDRNOTAVAIL. */
MUST_CHECK int inet_port_new(uint16_t *ret);
void inet_port_free(uint16_t port);

/* ---- inet_host.c ---- */

/* Makes the host socket, with the options set so far; base.lock held. */
MUST_CHECK int inet_host_open(struct inet_sock *s);
/* Binds on the host and learns the port; base.lock held. */
MUST_CHECK int inet_host_bind(struct inet_sock *s, const struct inet_addr *addr);
MUST_CHECK int inet_host_name(struct inet_sock *s, bool peer, struct inet_addr *ret);
int inet_host_error(struct inet_sock *s);
int64_t inet_host_send(struct inet_sock *s, struct sock_msg *m, const struct inet_addr *to);
/* Bytes of the root file system's image, from where the host has it. */
MUST_CHECK int64_t inet_host_send_image(struct inet_sock *s, uint64_t at, size_t size,
                                        bool nonblock);
int64_t inet_host_receive(struct inet_sock *s, struct sock_msg *m);
/* One datagram if there is one: -EAGAIN. */
int64_t inet_host_receive_datagram(struct inet_sock *s, struct sock_msg *m);
MUST_CHECK int inet_host_connect(struct inet_sock *s, const struct inet_addr *to, bool nonblock);
#define INET_HOST_EVENTS                                                                           \
    (POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLWRNORM | POLLRDHUP | POLLERR | POLLHUP)

/* ---- inet_local.c ---- */

/* Connects to a listener inside. returns: 0; -ENOENT there is none (or its backlog is full). */
MUST_CHECK int inet_local_connect(struct inet_sock *s, const struct inet_addr *to);
MUST_CHECK int inet_local_accept(struct inet_sock *s, struct inet_sock **ret);
void inet_local_listen_end(struct inet_sock *s);

/* ---- inet_udp.c ---- */

int64_t inet_udp_send(struct inet_sock *s, struct sock_msg *m);
int64_t inet_udp_receive(struct inet_sock *s, struct sock_msg *m);
uint32_t inet_udp_poll(struct inet_sock *s, struct poll_table *pt);
MUST_CHECK int inet_udp_connect(struct inet_sock *s, const struct sock_addr *addr);

/* ---- inet_option.c ---- */

int inet_option_set(struct socket *s, int level, int name, const void *value, uint32_t size);
int inet_option_get(struct socket *s, int level, int name, void *value, uint32_t *size);
/* What was set, else `otherwise`. */
int32_t inet_option_number(const struct inet_sock *s, int level, int name, int32_t otherwise);
/* Gives the host socket all that was set. */
void inet_option_replay(struct inet_sock *s);
void inet_option_copy(struct inet_sock *to, const struct inet_sock *from);

/* ---- inet_info.c ---- */

/* TCP_INFO: the host's word for what goes over it, but never another state than is known here. */
int inet_info_get(struct inet_sock *s, void *value, uint32_t *size);
int inet_info_congestion(void *value, uint32_t *size);
/* -ENOENT: another algorithm than the one that there is. */
int inet_info_set_congestion(const void *value, uint32_t size);
/* TCP_ESTABLISHED... of linux/tcp's states, as /proc/net/tcp has them. */
uint8_t inet_info_state(const struct inet_sock *s);

/* ---- inet.c ---- */

MUST_CHECK struct inet_sock *inet_alloc(int family, int type, int protocol);
