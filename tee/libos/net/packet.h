/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue of whole messages: what arrives at a datagram or SOCK_SEQPACKET socket inside the enclave. Trusted.
 */
#pragma once

#include "tee/libos/net/socket.h"

#define PACKET_COUNT_MAX 512u /* in one queue */

struct packet {
    struct packet *next;
    struct sock_addr from;
    struct sock_control control;
    size_t size;
    uint8_t data[];
};

/* lock guards the list; closed is set once. */
struct packet_queue {
    struct spin lock;
    struct packet *first, *last;
    unsigned count;
    size_t bytes;
    uint32_t no_reader, no_writer; /* atomic bools */
    struct waitq read_wait, write_wait;
    struct waitq *room; /* announced when there is room again: write_wait, or one of many queues */
};

/* Takes the message's bytes into a packet. m->control is taken over. returns: 0; -EMSGSIZE more than size_max;
 * -ENOMEM, -EFAULT. */
MUST_CHECK int packet_new(struct sock_msg *m, size_t size_max, const struct sock_addr *from,
                          struct packet **ret);
void packet_free(struct packet *p);
/* At the end of the queue, which holds at most bytes_max. returns: 0 (p is the queue's); -EAGAIN full; -EPIPE no reader. */
MUST_CHECK int packet_put(struct packet_queue *q, struct packet *p, size_t bytes_max);
/* True when a message of `size` bytes would be taken, or never will. */
bool packet_has_room(struct packet_queue *q, size_t size, size_t bytes_max);
/* The first packet to the program as recvmsg(2) says (MSG_PEEK, MSG_TRUNC). returns: bytes; -EAGAIN empty; -EFAULT.
 * An empty queue without writers gives 0. */
int64_t packet_receive(struct packet_queue *q, struct sock_msg *m);
/* All packets, linked by next; the queue is empty and goes on. */
struct packet *packet_take_all(struct packet_queue *q);
/* Ends it: drops all packets, wakes everybody. */
void packet_close(struct packet_queue *q);
/* Nobody will put more: readers see the end after what is there. */
void packet_end(struct packet_queue *q);
/* Size of the first packet. */
uint32_t packet_queued(struct packet_queue *q);
static inline bool packet_is_empty(const struct packet_queue *q)
{
    return !__atomic_load_n(&q->first, __ATOMIC_ACQUIRE);
}
