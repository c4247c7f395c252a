/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness: what poll, select and epoll share. A file_ops.poll calls poll_add for each queue that it
 * wakes when its readiness changes, and poll_add_host for a host descriptor. Trusted.
 */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

struct poll_table;
void poll_add(struct poll_table *pt, struct waitq *q);
void poll_add_host(struct poll_table *pt, int host_fd, uint16_t events);
/* Readiness of one file now, without registering; POLLNVAL-free. */
uint32_t file_poll(struct file *f);
/* For sockets and streams on host descriptors: sleeps until the host says that host_fd is ready for events.
 * deadline_ns monotonic. returns: 0; -ETIMEDOUT; -ERESTARTSYS. */
MUST_CHECK int poll_host_wait(int host_fd, uint16_t events, uint64_t deadline_ns);
/* epoll: called by file_unref before release, so that entries of f vanish. */
void epoll_file_gone(struct file *f);
