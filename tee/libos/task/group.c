/* SPDX-License-Identifier: Apache-2.0 */
/* Process groups, sessions and their terminals; the calls about them. Trusted. */
#include "tee/libos/task/group.h"

#include <asm/errno.h>
#include <asm/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"

/* ---- terminals of sessions ---- */

struct session_tty {
    struct session_tty *next;
    int32_t sid;
    struct tty *tty;
};

static struct spin g_ttys_lock; /* guards g_ttys; a leaf but for ops->ref */
static struct session_tty *g_ttys;
static const struct session_tty_ops *g_ops;

void session_tty_init(const struct session_tty_ops *ops)
{
    g_ops = ops;
}

static struct session_tty **find_tty(int32_t sid)
{
    struct session_tty **link = &g_ttys;

    while (*link && (*link)->sid != sid)
        link = &(*link)->next;
    return link;
}

int session_tty_set(struct process *leader, struct tty *tty)
{
    struct session_tty *new = mem_zalloc(sizeof *new), **link;
    int rc = 0;

    if (!new)
        return -ENOMEM;
    new->tty = tty;
    family_lock();
    new->sid = leader->sid;
    spin_lock(&g_ttys_lock);
    link = find_tty(new->sid);
    if (leader->sid != leader->pid || *link) {
        rc = -EPERM;
    } else {
        g_ops->ref(tty);
        *link = new;
    }
    spin_unlock(&g_ttys_lock);
    family_unlock();
    if (rc < 0)
        mem_free(new);
    return rc;
}

struct tty *session_tty_ref(int32_t sid)
{
    struct session_tty *found;
    struct tty *tty = NULL;

    spin_lock(&g_ttys_lock);
    found = *find_tty(sid);
    if (found) {
        tty = found->tty;
        g_ops->ref(tty);
    }
    spin_unlock(&g_ttys_lock);
    return tty;
}

void session_tty_drop(int32_t sid)
{
    struct session_tty **link, *found;

    spin_lock(&g_ttys_lock);
    link = find_tty(sid);
    found = *link;
    if (found)
        *link = found->next;
    spin_unlock(&g_ttys_lock);
    if (!found)
        return;
    g_ops->unref(found->tty);
    mem_free(found);
}

void session_leader_exited(struct process *p)
{
    struct tty *tty = p->sid == p->pid ? session_tty_ref(p->sid) : NULL;

    if (!tty)
        return;
    g_ops->leader_gone(tty);
    session_tty_drop(p->sid);
    g_ops->unref(tty);
}

void session_tty_stat(int32_t sid, uint64_t *ret_device, int32_t *ret_foreground)
{
    struct tty *tty = session_tty_ref(sid);

    *ret_device = 0;
    *ret_foreground = -1;
    if (!tty)
        return;
    *ret_device = g_ops->device(tty);
    *ret_foreground = g_ops->foreground(tty);
    g_ops->unref(tty);
}

/* ---- groups ---- */

int group_signal(int32_t pgid, int signo, const struct siginfo_linux *info)
{
    struct process *p;
    int rc = -ESRCH;

    family_lock();
    for (p = process_list(); p; p = p->next_all) {
        if (p->pgid != pgid)
            continue;
        rc = 0;
        if (signo)
            (void)signal_send_process(p, signo, info);
    }
    family_unlock();
    return rc;
}

bool group_is_orphaned_without(int32_t pgid, const struct process *without)
{
    bool is_kept = false;

    for (const struct process *p = process_list(); p && !is_kept; p = p->next_all) {
        const struct process *parent = p->parent;

        /* Process 1 counts, as in a container: it may be a shell. A service of another session does not. */
        if (p->pgid != pgid || p == without || p->zombie || !parent)
            continue;
        is_kept = parent->pgid != pgid && parent->sid == p->sid;
    }
    return !is_kept;
}

bool group_is_orphaned(int32_t pgid)
{
    bool is_orphaned;

    family_lock();
    is_orphaned = group_is_orphaned_without(pgid, NULL);
    family_unlock();
    return is_orphaned;
}

/* Under the family lock, as those below. */
static bool is_in_session(int32_t pgid, int32_t sid)
{
    bool found = false;

    for (const struct process *p = process_list(); p && !found; p = p->next_all)
        found = p->pgid == pgid && p->sid == sid;
    return found;
}

bool group_in_session(int32_t pgid, int32_t sid)
{
    bool found;

    family_lock();
    found = is_in_session(pgid, sid);
    family_unlock();
    return found;
}

static bool has_stopped(int32_t pgid)
{
    bool found = false;

    for (const struct process *p = process_list(); p && !found; p = p->next_all)
        found = p->pgid == pgid && !p->zombie && __atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE);
    return found;
}

static void signal_members(int32_t pgid, int signo)
{
    struct process *p;

    for (p = process_list(); p; p = p->next_all)
        if (p->pgid == pgid)
            (void)signal_send_process(p, signo, NULL);
}

void group_orphaned_hang_up(struct process *p, const struct process *old_parent)
{
    const struct process *parent = old_parent ? old_parent : p->parent;

    if (!parent || parent->pgid == p->pgid || parent->sid != p->sid)
        return; /* it did not keep the group */
    if (!group_is_orphaned_without(p->pgid, old_parent ? NULL : p) || !has_stopped(p->pgid))
        return;
    signal_members(p->pgid, SIGHUP);
    signal_members(p->pgid, SIGCONT);
}

/* ---- the calls ---- */

SYSCALL_DEFINE(getpgrp)
{
    return __atomic_load_n(&process_current()->pgid, __ATOMIC_RELAXED);
}

/* The process of any of its threads' ids, zombies too; a reference or NULL. */
static struct process *process_of_id(int32_t id)
{
    struct process *p = process_find(id);
    struct thread *t;

    if (p)
        return p;
    t = thread_find(id);
    if (!t)
        return NULL;
    p = t->process;
    process_ref(p);
    thread_unref(t);
    return p;
}

static int64_t read_group(int32_t id, bool is_session)
{
    struct process *p = process_current();
    int64_t result;

    if (id == 0)
        return is_session ? p->sid : p->pgid;
    p = process_of_id(id);
    if (!p || p->pid == 0) {
        process_unref(p);
        return -ESRCH;
    }
    result = is_session ? p->sid : p->pgid;
    process_unref(p);
    return result;
}

SYSCALL_DEFINE(getpgid)
{
    return read_group((int32_t)a, false);
}

SYSCALL_DEFINE(getsid)
{
    return read_group((int32_t)a, true);
}

/* May the calling process put p into the group pgid? Under the family lock. */
static int check_regroup(const struct process *p, int32_t pgid)
{
    const struct process *self = process_current();

    if (p->parent == self) {
        if (p->sid != self->sid)
            return -EPERM;
        if (p->did_exec)
            return -EACCES;
    } else if (p != self) {
        return -ESRCH;
    }
    if (p->sid == p->pid)
        return -EPERM; /* a session leader stays where it is */
    return pgid == p->pid || is_in_session(pgid, self->sid) ? 0 : -EPERM;
}

SYSCALL_DEFINE(setpgid)
{
    int32_t pid = (int32_t)a ? (int32_t)a : process_current()->pid;
    int32_t pgid = (int32_t)b ? (int32_t)b : pid;
    struct process *p;
    int rc;

    if (pgid < 0)
        return -EINVAL;
    p = process_of_id(pid);
    if (!p)
        return -ESRCH;
    if (p->pid != pid) {
        process_unref(p);
        return -EINVAL; /* a thread that is no leader */
    }
    family_lock();
    rc = check_regroup(p, pgid);
    if (rc == 0)
        __atomic_store_n(&p->pgid, pgid, __ATOMIC_RELAXED);
    family_unlock();
    process_unref(p);
    return rc;
}

static bool group_exists(int32_t pgid)
{
    bool found = false;

    for (const struct process *p = process_list(); p && !found; p = p->next_all)
        found = p->pgid == pgid;
    return found;
}

SYSCALL_DEFINE(setsid)
{
    struct process *p = process_current();
    int64_t rc = -EPERM;

    family_lock();
    if (!group_exists(p->pid)) {
        __atomic_store_n(&p->sid, p->pid, __ATOMIC_RELAXED);
        __atomic_store_n(&p->pgid, p->pid, __ATOMIC_RELAXED);
        rc = p->pid;
    }
    family_unlock();
    return rc;
}
