/* SPDX-License-Identifier: Apache-2.0 */
/* What pipe.c, fifo.c and splice.c share. Trusted. */
#pragma once

#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/pipe/ring.h"

#define PIPE_PACKETS_MAX (PIPE_CAPACITY_MAX / PAGE_SIZE)

/* Sizes of what was written, in order; head is moved by the writer, tail by the reader. */
struct pipe_packets {
    uint32_t head, tail;              /* free-running */
    uint32_t sizes[PIPE_PACKETS_MAX]; /* the top bit: a packet */
};

/* Lock order: write_lock > read_lock. Neither is held while sleeping for the other side. */
struct pipe {
    struct ring ring;
    struct pipe_packets *packets; /* NULL: no packet was ever written; set with both locks */
    struct mutex read_lock, write_lock;
    struct waitq read_wait, write_wait; /* also pollers of that end */
    uint32_t readers, writers;          /* open files; atomic */
    uint32_t files;                     /* open files in all; atomic; the last one frees */
    uint32_t reader_opens,
        writer_opens;       /* fifo: ever opened, so that an open sees one that came and went */
    struct waitq open_wait; /* fifo: opens that wait for the other side */
    struct inode *inode;    /* fifo: not counted, files hold it */
    uint64_t ino;
    char name[32]; /* "pipe:[ino]" */
};

extern const struct file_ops g_pipe_ops;

/* ---- pipe_packet.c ---- */

bool pipe_packets_full(const struct pipe *p, const struct pipe_packets *k);
/* Bytes that a write finds room for now. */
static inline size_t pipe_room(const struct pipe *p)
{
    const struct pipe_packets *k = __atomic_load_n(&p->packets, __ATOMIC_ACQUIRE);

    return UNLIKELY(k != NULL) && pipe_packets_full(p, k) ? 0 : ring_free(&p->ring);
}
/* write_lock held. What there is room for, in packets of PIPE_ATOMIC; is_packet: O_DIRECT. returns: bytes (0: no
 * room); -EFAULT; -ENOMEM. */
MUST_CHECK int64_t pipe_packet_write(struct pipe *p, struct uio *u, bool is_packet);
/* write_lock held: `size` bytes were put into the ring. No-op while there are no packets. */
void pipe_packet_put(struct pipe *p, size_t size, bool is_packet);
/* read_lock held, p->packets is set. One packet, or bytes up to the next. returns: bytes (0: empty); -EFAULT. */
MUST_CHECK int64_t pipe_packet_read(struct pipe *p, struct uio *u);
/* read_lock held: how much of `size` one read may take; and that it was taken (with the rest of a packet). */
size_t pipe_packet_limit(const struct pipe *p, size_t size);
void pipe_skip(struct pipe *p, size_t size);

MUST_CHECK int pipe_new(struct pipe **ret);
void pipe_free(struct pipe *p);
/* Counts f, whose flags say which ends, in; and out again. */
void pipe_enter(struct pipe *p, uint32_t flags);
void pipe_leave(struct pipe *p, uint32_t flags);
/* write_lock held: buffer for `size` more bytes. */
MUST_CHECK int pipe_grow(struct pipe *p, size_t size);
/* After read_lock or write_lock, under which the ring was changed, was given up. */
void pipe_wake_readers(struct pipe *p);
void pipe_wake_writers(struct pipe *p);
/* Sleep until there is something to read (or no writer is left), or room for `size` (or no reader). */
MUST_CHECK int pipe_wait_data(struct pipe *p);
MUST_CHECK int pipe_wait_room(struct pipe *p, size_t size);
/* -EPIPE, with SIGPIPE to the caller. */
int pipe_broken(void);
/* fifo.c: the last file of a named pipe went. Returns false when somebody opened it again meanwhile. */
bool fifo_forget(struct pipe *p);
