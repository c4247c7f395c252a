/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness: what poll, select and epoll share. A file_ops.poll calls poll_add for each queue that it
 * wakes when its readiness changes, and poll_add_host for a host descriptor; it returns the POLL* bits
 * that it knows of itself. What the host says about a descriptor given to poll_add_host is added by the
 * caller, so a poll operation with a table makes no OCALL. Without a table (NULL) it asks the host. Trusted.
 *
 * A poll operation may be called with an epoll's lock held: it takes no lock under which poll_file_changed is called.
 */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

/* How a caller of file_ops.poll is told about queues; made by poll/ only. */
struct poll_table {
    void (*add)(struct poll_table *pt, struct waitq *q);
    void (*add_host)(struct poll_table *pt, int host_fd, uint16_t events);
};
/* Both accept a NULL table. */
static inline void poll_add(struct poll_table *pt, struct waitq *q)
{
    if (pt && pt->add)
        pt->add(pt, q);
}
void poll_add_host(struct poll_table *pt, int host_fd, uint16_t events);
/*
 * wait_wake() of all for a caller that has just changed what is waited for and then given up a mutex: the unlock is a
 * locked instruction, so the change is seen before the queue is looked at here, and an empty one costs a load.
 */
static inline void poll_wake_after_unlock(struct waitq *q, uint32_t key)
{
    if (UNLIKELY(__atomic_load_n(&q->first, __ATOMIC_RELAXED) != NULL))
        wait_wake(q, WAKE_ALL, key);
}
/* Readiness of one file now, without registering; POLLNVAL-free. */
uint32_t file_poll(struct file *f);
/* What the host says about one descriptor now; 0 when it cannot be asked. */
uint32_t poll_host_now(int host_fd, uint16_t events);
/* For sockets and streams on host descriptors: sleeps until the host says that host_fd is ready for events.
 * deadline_ns monotonic. returns: 0; -ETIMEDOUT; -ERESTARTSYS. */
MUST_CHECK int poll_host_wait(int host_fd, uint16_t events, uint64_t deadline_ns);

/* epoll: called by file_unref before release, so that entries of f vanish. */
void epoll_file_gone(struct file *f);
/* epoll: f now has other queues or host descriptors than when it was last polled with a table (a socket that was
 * connected). No lock that f's poll operation takes may be held. */
void poll_file_changed(struct file *f);
/* ---- signals about files (async.c); f->ops->sends_sigio for the first ---- */

/* O_ASYNC of f, through fd. returns: 0; -ENOMEM; what the host says when it cannot watch. */
MUST_CHECK int file_async_set(struct file *f, int fd, bool on);
/* By file_unref, after epoll_file_gone; by poll_file_changed. */
void file_async_gone(struct file *f);
void file_async_changed(struct file *f);
/* F_SETOWN_EX, F_GETOWN_EX: kind is F_OWNER_*; id 0: nobody, which one that is gone is, too. -ESRCH, -ENOMEM. */
MUST_CHECK int file_owner_set(struct file *f, int32_t kind, int32_t id);
int32_t file_owner_get(struct file *f, int32_t *ret_kind);
/* F_SETOWN, F_GETOWN: a group is negative. -EINVAL, -ESRCH, -ENOMEM. */
MUST_CHECK int file_plain_owner_set(struct file *f, int32_t owner);
int32_t file_plain_owner_get(struct file *f);
/* F_SETSIG, F_GETSIG; 0: SIGIO without a siginfo. -ENOMEM. */
MUST_CHECK int file_signal_set(struct file *f, int signo);
int file_signal_get(struct file *f);

/* fd_install() of a fresh file; the reference is gone in any case. */
static inline int poll_fd_install(struct file *f, bool cloexec)
{
    int fd = fd_install(f, cloexec, 0);

    if (fd < 0)
        file_unref(f);
    return fd;
}

/* Deadline of a relative timeout from now; huge ones become WAIT_FOREVER. */
uint64_t poll_deadline_ns(uint64_t timeout_ns);
