/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Job control: which session a terminal belongs to, which group is in its foreground, and what becomes of the others
 * (termios(3), credentials(7)). Trusted. Lock order: tty->lock > family lock (task/group.h).
 */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "tee/libos/fs/tty/tty_private.h"
#include "tee/libos/fs/vfs/vfs_internal.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/group.h"

void tty_signal_group(int32_t pgid, int signo)
{
    (void)!group_signal(pgid, signo, NULL);
}

bool tty_job_is_current(struct tty *t)
{
    struct tty *own = session_tty_ref(process_current()->sid);

    tty_unref(own);
    return own == t;
}

/* The calling thread blocks the signal, or its process ignores it. */
static bool is_deaf(int signo)
{
    struct thread *self = thread_current();
    struct sig_state *s = self->process->sig;
    bool ignores;

    if (self->sig_mask & SIGNAL_BIT(signo))
        return true;
    spin_lock(&s->lock);
    ignores = s->actions[signo - 1].handler == (uintptr_t)SIG_IGN;
    spin_unlock(&s->lock);
    return ignores;
}

int tty_job_check(struct tty *t, int signo)
{
    const struct process *p = process_current();
    int32_t foreground = tty_foreground(t), pgid = __atomic_load_n(&p->pgid, __ATOMIC_RELAXED);

    if (LIKELY(foreground == 0 || foreground == pgid) || !tty_job_is_current(t))
        return 0;
    if (is_deaf(signo))
        return signo == SIGTTIN ? -EIO : 0;
    if (group_is_orphaned(pgid))
        return -EIO;
    tty_signal_group(pgid, signo);
    return -ERESTARTSYS;
}

/* ---- getting a terminal and losing it ---- */

/* t becomes the terminal of the calling leader's session. Lock held. returns: 0; -EPERM; -ENOMEM. */
static int attach_locked(struct tty *t)
{
    struct process *p = process_current();
    int rc = session_tty_set(p, t);

    if (rc < 0)
        return rc;
    __atomic_store_n(&t->sid, p->sid, __ATOMIC_RELAXED);
    __atomic_store_n(&t->pgid, p->pgid, __ATOMIC_RELAXED);
    return 0;
}

void tty_job_opened(struct tty *t, struct file *f)
{
    const struct process *p = process_current();

    if (p->sid != p->pid || (f->flags & O_ACCMODE) == O_WRONLY)
        return;
    tty_lock(t);
    if (t->sid == 0)
        (void)!attach_locked(t); /* the session may have another */
    tty_unlock(t, 0);
}

/* t has no session any more. *ret_pgid: the group that was in the foreground. returns: the session, 0: none. */
static int32_t release(struct tty *t, int32_t *ret_pgid)
{
    int32_t sid;

    tty_lock(t);
    sid = t->sid;
    *ret_pgid = t->pgid;
    __atomic_store_n(&t->sid, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->pgid, 0, __ATOMIC_RELAXED);
    tty_unlock(t, 0);
    return sid;
}

void tty_job_detach(struct tty *t, bool is_hang_up)
{
    int32_t pgid, sid = release(t, &pgid);
    struct process *leader = sid && is_hang_up ? process_find(sid) : NULL;

    if (leader) {
        (void)signal_send_process(leader, SIGHUP, NULL);
        (void)signal_send_process(leader, SIGCONT, NULL);
        process_unref(leader);
    }
    if (sid)
        session_tty_drop(sid);
}

static void leader_gone(struct tty *t)
{
    int32_t pgid, sid = release(t, &pgid);

    if (sid && pgid)
        tty_signal_group(pgid, SIGHUP);
}

static const struct session_tty_ops g_session_ops = {
    .ref = tty_ref,
    .unref = tty_unref,
    .leader_gone = leader_gone,
    .device = tty_device,
    .foreground = tty_foreground,
};

void tty_job_init(void)
{
    session_tty_init(&g_session_ops);
}

int tty_open_current(struct file *f)
{
    struct tty *t = session_tty_ref(process_current()->sid);
    int rc = t ? tty_slave_open(t, f) : -ENXIO;

    tty_unref(t);
    return rc;
}

/* ---- requests ---- */

/* TIOCSCTTY; force: take it from another session. */
static int take_terminal(struct tty *t, bool force)
{
    const struct process *p = process_current();
    bool is_admin = cred_has_cap(process_cred(), CAP_SYS_ADMIN);
    struct tty *own = session_tty_ref(p->sid);
    int rc = 0;

    tty_unref(own);
    if (p->sid == p->pid && own == t)
        return 0;
    if (p->sid != p->pid || own)
        return -EPERM;
    if (t->sid && force && is_admin)
        tty_job_detach(t, false);
    tty_lock(t);
    rc = t->sid ? -EPERM : attach_locked(t);
    tty_unlock(t, 0);
    return rc;
}

/* TIOCNOTTY. Processes of a session have its terminal together: one that leads none keeps it. */
static int give_up(struct tty *t)
{
    const struct process *p = process_current();
    int32_t pgid;

    if (!tty_job_is_current(t))
        return -ENOTTY;
    if (p->sid != p->pid)
        return 0;
    if (release(t, &pgid) && pgid) {
        tty_signal_group(pgid, SIGHUP);
        tty_signal_group(pgid, SIGCONT);
    }
    session_tty_drop(p->sid);
    return 0;
}

static int set_foreground(struct tty *t, uintptr_t arg)
{
    const struct process *p = process_current();
    int rc = tty_job_check(t, SIGTTOU);
    int32_t pgid;

    if (rc == -EIO || (rc == 0 && !tty_job_is_current(t)))
        return -ENOTTY;
    if (rc == 0)
        rc = USER_GET(&pgid, arg);
    if (rc < 0)
        return rc;
    if (pgid < 0)
        return -EINVAL;
    if (!group_in_session(pgid, p->sid))
        return group_signal(pgid, 0, NULL) < 0 ? -ESRCH : -EPERM;
    tty_lock(t);
    if (t->sid == p->sid)
        __atomic_store_n(&t->pgid, pgid, __ATOMIC_RELAXED);
    else
        rc = -ENOTTY;
    tty_unlock(t, 0);
    return rc;
}

int64_t tty_job_ioctl(struct tty *t, bool is_master, uint32_t request, uintptr_t arg)
{
    int32_t number;

    switch (request) {
    case TIOCSCTTY:
        return take_terminal(t, arg == 1);
    case TIOCNOTTY:
        return is_master ? -ENOTTY : give_up(t);
    case TIOCSPGRP:
        return set_foreground(t, arg);
    case TIOCGPGRP:
        if (!is_master && !tty_job_is_current(t))
            return -ENOTTY;
        number = tty_foreground(t);
        return USER_PUT(arg, &number);
    case TIOCGSID:
        number = __atomic_load_n(&t->sid, __ATOMIC_RELAXED);
        if (number == 0 || (!is_master && !tty_job_is_current(t)))
            return -ENOTTY;
        return USER_PUT(arg, &number);
    default:
        return -ENOTTY;
    }
}
