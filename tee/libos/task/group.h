/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process groups, sessions, and the terminals of sessions. Trusted.
 *
 * A group or a session exists as long as a process has its id; process_new never gives such an id to a process. Both
 * are fields of struct process, changed under the family lock (children.h) and readable at any time.
 *
 * A session's terminal is kept here, and not in the processes: all processes of a session have it or none has. What a
 * terminal does stays fs/tty's: it says through struct session_tty_ops how to hold one and how to hang it up.
 */
#pragma once

#include "tee/libos/task/task.h"

struct tty;
struct siginfo_linux;

struct session_tty_ops {
    void (*ref)(struct tty *tty);   /* may be called under a spin lock */
    void (*unref)(struct tty *tty); /* called without locks */
    /* The session's leader ends: SIGHUP and SIGCONT for the foreground group, and the terminal has no session any more.
     * Called without locks, while the terminal still is the session's. */
    void (*leader_gone)(struct tty *tty);
    uint64_t (*device)(const struct tty *tty);    /* number as /proc/PID/stat shows it */
    int32_t (*foreground)(const struct tty *tty); /* group; 0: none */
};
/* Once, before any terminal is set. */
void session_tty_init(const struct session_tty_ops *ops);

/* Makes tty the terminal of leader's session; takes a reference of its own. Whether tty is another session's already is
 * the caller's to judge. returns: 0; -EPERM leader leads no session, or its session has a terminal; -ENOMEM. */
MUST_CHECK int session_tty_set(struct process *leader, struct tty *tty);
/* With a reference; NULL: the session has none. */
struct tty *session_tty_ref(int32_t sid);
/* The session has no terminal any more; no signals. No-op when it had none. */
void session_tty_drop(int32_t sid);
/* p, a leader that ends, takes its session's terminal with it. No locks held. */
void session_leader_exited(struct process *p);
/* For /proc/PID/stat: device number and foreground group of p's terminal; 0 and -1 without one. */
void session_tty_stat(int32_t sid, uint64_t *ret_device, int32_t *ret_foreground);

/* Sends to each process of the group, as the kernel does: nobody's permission is asked. info NULL: SI_KERNEL.
 * returns: 0; -ESRCH no such group. Takes the family lock. */
MUST_CHECK int group_signal(int32_t pgid, int signo, const struct siginfo_linux *info);
/* No process of the group has a parent in another group of the same session: nobody would continue it (POSIX 3.26).
 * True for a group that is not there. Takes the family lock. */
bool group_is_orphaned(int32_t pgid);
/* A process of the group is in the session. Takes the family lock. */
bool group_in_session(int32_t pgid, int32_t sid);

/* As group_is_orphaned, with the family lock held, and as if `without` (may be NULL) were gone. */
bool group_is_orphaned_without(int32_t pgid, const struct process *without);
/* Under the family lock: if p's group was kept from being an orphan by p's parent only until now (`old_parent`), or by
 * p itself (old_parent NULL), and has stopped processes, they get SIGHUP and SIGCONT. */
void group_orphaned_hang_up(struct process *p, const struct process *old_parent);
