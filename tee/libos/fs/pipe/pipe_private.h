/* SPDX-License-Identifier: Apache-2.0 */
/* What pipe.c, fifo.c and splice.c share. Trusted. */
#pragma once

#include "tee/libos/fs/pipe/pipe.h"
#include "tee/libos/fs/pipe/ring.h"

/* Lock order: write_lock > read_lock. Neither is held while sleeping for the other side. */
struct pipe {
    struct ring ring;
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
