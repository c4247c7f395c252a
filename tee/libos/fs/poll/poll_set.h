/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of files that poll(2) and select(2) look at and sleep on. Trusted.
 */
#pragma once

#include "tee/libos/fs/poll/poll.h"

struct poll_item {
    struct file *file; /* NULL: ignored */
    uint16_t events;   /* asked for */
    uint16_t revents;  /* answer, masked to events | POLLERR | POLLHUP */
};

/*
 * Waits until one of the files is ready or the deadline (monotonic ns; 0: does not sleep).
 * returns: count of items with revents != 0; -ENOMEM; -ERESTARTSYS.
 */
MUST_CHECK int poll_set_wait(struct poll_item *items, unsigned count, uint64_t deadline_ns);

/* A signal mask for the time of one call (ppoll, pselect, epoll_pwait). mask 0: none.
 * returns: 0; -EINVAL size; -EFAULT. */
MUST_CHECK int poll_sigmask_begin(uintptr_t mask, size_t size);
/* Puts the old mask back; when the call was interrupted, only after the handler. Returns rc, with
 * -ERESTARTSYS as `interrupted`. */
int64_t poll_sigmask_end(int64_t rc, int interrupted);
