/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parents and children: zombies, what wait tells, adoption, SIGCHLD, pidfds. Trusted.
 *
 * The family lock (sleeping; before process->lock and all below) guards of every process: parent, children, sibling,
 * pgid, sid, zombie, exit_signal, did_exec, stop_signal, continued, children_usage. A change of state and the signal
 * that tells the parent are made under it together, so that a parent that was told finds what it was told of, and one
 * that has found it has been told.
 */
#pragma once

#include "tee/libos/task/task.h"

void family_lock(void);
void family_unlock(void);

/* p's last thread calls it when memory, descriptors and timers are given up: p becomes a zombie, its children go to the
 * next subreaper or to process 1, its parent is told. A parent that ignores SIGCHLD never sees the zombie. */
void process_exited(struct process *p);
/* p, the calling process, has stopped because of signo / goes on: its parent is told. No locks held. */
void process_stopped(struct process *p, int signo);
void process_continued(struct process *p);
/* Under the family lock, by process_publish: p is a child of p->parent, or of whoever adopts its children. */
void children_add(struct process *p);

/* p, not published yet, becomes the child of its parent's parent (CLONE_PARENT). */
void children_make_sibling(struct process *p);
/* Takes back process_publish: p never began. */
void children_drop(struct process *p);

/* A descriptor for p (pidfd_open, CLONE_PIDFD) in the calling process, close-on-exec. flags: O_NONBLOCK or 0.
 * returns: the descriptor; -EMFILE, -ENOMEM. */
MUST_CHECK int pidfd_install(struct process *p, uint32_t flags);
/* The process of a pidfd, with a reference. returns: 0; -EBADF. *ret_flags (may be NULL): of the open file. */
MUST_CHECK int pidfd_process(int fd, struct process **ret, uint32_t *ret_flags);
