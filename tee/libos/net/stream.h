/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection inside the enclave: two rings, one each way, and two ends. UNIX stream sockets and TCP over the loopback
 * address are made of it. Trusted. Both ends copy without a lock against each other.
 */
#pragma once

#include "tee/libos/fs/pipe/ring.h"
#include "tee/libos/net/socket.h"

#define STREAM_CAPACITY (256u * 1024)
#define STREAM_CONTROL_MAX 256u /* control items in flight a direction */

/* Descriptors or credentials that go with the byte at `at`. */
struct stream_control {
    struct stream_control *next;
    uint64_t at;
    struct sock_control control;
};

/* One direction. Lock order: write_lock > read_lock. */
struct stream_way {
    struct ring ring;
    struct mutex read_lock, write_lock;
    struct waitq read_wait, write_wait;
    uint32_t closed; /* STREAM_*; atomic */
    struct stream_control
        *controls; /* in order of `at`; under read_lock when taken, control_lock always */
    struct spin control_lock;
    unsigned control_count;
    uint32_t urgent;    /* STREAM_URGENT | byte: TCP's out-of-band byte, not yet taken; atomic */
    bool urgent_inline; /* SO_OOBINLINE of the reader */
};
#define STREAM_URGENT 0x100u
#define STREAM_NO_WRITER 1u /* end of file after what is in the ring */
#define STREAM_NO_READER 2u /* writes fail with -EPIPE */
#define STREAM_RESET 4u     /* -ECONNRESET once, to the reader */
#define STREAM_WAS_RESET 8u /* for good: the reader's end is no longer connected */

struct stream {
    uint32_t refs;             /* ends; atomic */
    struct stream_way ways[2]; /* end i reads ways[i] and writes ways[1 - i] */
    struct sock_cred creds[2]; /* of end i */
    struct sock_addr names[2]; /* of end i */
};

/* Two references, one an end. */
MUST_CHECK int stream_new(uint32_t capacity, struct stream **ret);
void stream_unref(struct stream *st);
/* End `side` is closed: unread bytes reset the peer. */
void stream_close(struct stream *st, int side, bool reset);
/* tell_writer: SOCK_SHUT_READ breaks the peer's writes (UNIX); else the caller's socket->shut only ends reads (TCP). */
void stream_shutdown(struct stream *st, int side, uint32_t shut, bool tell_writer);
/* -ECONNRESET, once, when the peer closed with bytes unread; else 0. */
int stream_take_reset(struct stream *st, int side);
/* All control items that end `side` has not received, linked by next; each was made by mem_alloc. */
struct stream_control *stream_take_controls(struct stream *st, int side);
/* returns: bytes; 0 end of file; -EAGAIN, -EINTR, -ERESTARTSYS, -ECONNRESET, -EFAULT. */
int64_t stream_receive(struct socket *s, struct stream *st, int side, struct sock_msg *m);
/* returns: bytes; -EPIPE (without the signal) and the like. */
int64_t stream_send(struct socket *s, struct stream *st, int side, struct sock_msg *m);
/* MSG_OOB of TCP: the last byte goes apart, unless the reader wants it inline. */
int64_t stream_send_urgent(struct socket *s, struct stream *st, int side, struct sock_msg *m);
/* returns: 1; -EINVAL there is none; -EFAULT. */
int64_t stream_receive_urgent(struct stream *st, int side, struct sock_msg *m);
uint32_t stream_poll(const struct socket *s, struct stream *st, int side, struct poll_table *pt);
uint32_t stream_queued(struct stream *st, int side, bool output);
/* SO_SNDBUF or SO_RCVBUF of an end. */
void stream_set_size(struct stream *st, int side, bool output, uint32_t size);
