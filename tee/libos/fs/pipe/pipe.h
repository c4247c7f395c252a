/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and named pipes: pipe(2), fifo(7), splice(2). Served wholly inside the enclave; a thread leaves it only to
 * sleep. Trusted.
 */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

#define PIPE_CAPACITY 65536u
#define PIPE_CAPACITY_MAX (1024u * 1024) /* as /proc/sys/fs/pipe-max-size */
#define PIPE_ATOMIC 4096u                /* PIPE_BUF: writes up to this are not torn */

/* Opens the named pipe `inode` into f, whose flags are set; waits for the other side as fifo(7) says.
 * returns: 0; -ENXIO no reader (O_WRONLY | O_NONBLOCK); -ERESTARTSYS; -ENOMEM. */
MUST_CHECK int fifo_open(struct inode *inode, struct file *f);
/* F_GETPIPE_SZ and F_SETPIPE_SZ. returns: bytes; -EBADF not a pipe; -EPERM too large; -EBUSY; -EINVAL; -ENOMEM. */
MUST_CHECK int64_t pipe_get_size(struct file *f);
MUST_CHECK int64_t pipe_set_size(struct file *f, uint64_t size);
bool pipe_is_file(const struct file *f);
/* What fstat(2) shows of an anonymous pipe: its inode number; 0 when f is none. */
uint64_t pipe_ino(const struct file *f);
