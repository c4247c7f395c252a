/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets, wholly inside the enclave. unix.c: life, connections; unix_message.c: datagrams and
 * sequenced packets; unix_name.c: addresses. Trusted.
 */
#pragma once

#include "tee/libos/net/packet.h"
#include "tee/libos/net/stream.h"

#define UNIX_PATH_SIZE 108u
#define UNIX_ADDR_PATH 2u /* offset of sun_path */

/* Supplementary groups of who made a connection. */
struct unix_groups {
    uint32_t count;
    uint32_t *ids; /* owned */
};

struct unix_sock {
    struct socket base; /* base.lock guards what follows, unless said otherwise */
    uint32_t refs;      /* its file, its peer, who looked it up; atomic */
    bool closed;
    /* Stream, connected. Set once. */
    struct stream *stream;
    int side;
    /* Datagram and SOCK_SEQPACKET. */
    struct packet_queue queue; /* what came in */
    struct unix_sock *peer;    /* counted */
    bool connected;            /* SOCK_SEQPACKET, or a stream, was connected */
    struct sock_cred peer_cred;
    struct unix_groups peer_groups;
    /* Listening. */
    struct unix_sock *pending,
        *pending_last; /* connected, not yet accepted; linked by pending_next */
    struct unix_sock *pending_next;
    unsigned pending_count, backlog;
    struct sock_cred cred;     /* of the listen(2) or socketpair(2) call */
    struct unix_groups groups; /* of the listen(2) call */
    /* Name; written once under unix_name.c's lock. */
    struct sock_addr name;
    struct inode *inode;         /* counted; of a path */
    struct unix_sock *name_next; /* abstract names */
    /* unix_flight.c, under its lock. */
    struct unix_sock *flight_prev, *flight_next;
    unsigned flight_count, flight_inner; /* references in flight; of them in queues of candidates */
    unsigned flight_mark;
};

/* Where senders to any datagram socket wait for room: it outlives the sockets. */
extern struct waitq g_unix_datagram_room;

void unix_ref(struct unix_sock *s);
void unix_unref(struct unix_sock *s);

/* Checks an address and binds. returns: 0; -EINVAL, -EADDRINUSE, and what making the node gives. */
MUST_CHECK int unix_name_bind(struct unix_sock *s, const struct sock_addr *addr);
/* An unused abstract name. */
MUST_CHECK int unix_name_auto(struct unix_sock *s);
void unix_name_release(struct unix_sock *s);
/* Who is bound to addr; counted. returns: 0; -ECONNREFUSED, -ENOENT, -EACCES, -EINVAL, ... */
MUST_CHECK int unix_name_find(const struct sock_addr *addr, struct unix_sock **ret);

/* unix_flight.c */

/* The descriptors of c go into a queue; have left it. The second does nothing to those that were in none. */
void unix_flight_add(struct sock_control *c);
void unix_flight_remove(struct sock_control *c);
/* Closes what only sockets that nobody reaches hold. Called without locks. */
void unix_flight_collect(void);

/* unix_message.c */
int64_t unix_packet_send(struct unix_sock *s, struct sock_msg *m);
int64_t unix_packet_receive(struct unix_sock *s, struct sock_msg *m);
uint32_t unix_packet_poll(struct unix_sock *s, struct poll_table *pt);
/* The peer, counted; NULL: none. */
struct unix_sock *unix_peer_get(struct unix_sock *s);
