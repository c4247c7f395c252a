/* SPDX-License-Identifier: Apache-2.0 */
/* Parents and children: the end of a process as others see it, adoption, wait4 and waitid. Trusted. */
#include "tee/libos/task/children.h"

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/siginfo.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/group.h"
#include "tee/libos/task/usage.h"

#define STATUS_SIGNAL 0x7f
#define STATUS_CORE 0x80
#define STATUS_CONTINUED 0xffff

static struct mutex g_family;

void family_lock(void)
{
    mutex_lock(&g_family);
}

void family_unlock(void)
{
    mutex_unlock(&g_family);
}

/* ---- the tree; all of it under the family lock ---- */

static void link_child(struct process *parent, struct process *p)
{
    p->sibling = parent->children;
    parent->children = p;
}

static void unlink_child(struct process *p)
{
    struct process **link = &p->parent->children;

    while (*link && *link != p)
        link = &(*link)->sibling;
    if (*link)
        *link = p->sibling;
    p->sibling = NULL;
}

static void set_parent(struct process *p, struct process *parent)
{
    struct process *old = p->parent;

    process_ref(parent);
    p->parent = parent;
    process_unref(old);
}

/* Who adopts the children of p: the next subreaper above, else process 1. NULL: there is none. */
static struct process *find_reaper(const struct process *p)
{
    struct process *reaper;

    for (reaper = p->parent; reaper; reaper = reaper->parent)
        if (reaper->pid == 1 || (reaper->child_subreaper && !reaper->exiting && !reaper->zombie))
            return reaper;
    for (reaper = process_list(); reaper && reaper->pid != 1;)
        reaper = reaper->next_all;
    return reaper;
}

void children_add(struct process *p)
{
    struct process *reaper;

    if (!p->parent)
        return;
    if (p->parent->zombie) {
        reaper = find_reaper(p->parent);
        if (!reaper)
            return;
        set_parent(p, reaper);
    }
    link_child(p->parent, p);
}

/* Off the tree and the table: p is gone, but for those that still hold it. */
static void reap(struct process *p)
{
    unlink_child(p);
    process_unpublish(p);
    process_unref(p); /* the table's */
}

void children_make_sibling(struct process *p)
{
    family_lock();
    if (p->parent->parent)
        set_parent(p, p->parent->parent);
    family_unlock();
}

void children_drop(struct process *p)
{
    family_lock();
    reap(p);
    family_unlock();
}

/* ---- telling the parent ---- */

static struct siginfo_linux child_info(struct process *p, int code, int32_t status)
{
    struct siginfo_linux info = { .signo = SIGCHLD, .code = code };
    int32_t ids[3] = { p->pid, (int32_t)(p->cred ? p->cred->ruid : 0), status };
    int64_t ticks[2] = { (int64_t)(process_cpu_ns(p) / USAGE_TICK_NS), 0 };

    memcpy(info.fields, ids, sizeof ids);
    memcpy(info.fields + 16, ticks, sizeof ticks);
    return info;
}

static void status_split(int32_t exit_code, int *ret_code, int32_t *ret_status)
{
    if (exit_code & STATUS_SIGNAL) {
        *ret_code = exit_code & STATUS_CORE ? CLD_DUMPED : CLD_KILLED;
        *ret_status = exit_code & STATUS_SIGNAL;
    } else {
        *ret_code = CLD_EXITED;
        *ret_status = exit_code >> 8 & 0xff;
    }
}

static struct sig_action child_action(struct process *parent)
{
    struct sig_action action;

    spin_lock(&parent->sig->lock);
    action = parent->sig->actions[SIGCHLD - 1];
    spin_unlock(&parent->sig->lock);
    return action;
}

/* Tells p's parent that p has ended; reaps p at once when the parent does not want to know. */
static void tell_exit(struct process *p)
{
    struct process *parent = p->parent;
    struct sig_action action = child_action(parent);
    struct siginfo_linux info;
    int code;
    int32_t status;
    bool is_ignored = action.handler == (uintptr_t)SIG_IGN && p->exit_signal == SIGCHLD;

    status_split(p->exit_code, &code, &status);
    if (p->exit_signal && !is_ignored) {
        info = child_info(p, code, status);
        info.signo = p->exit_signal;
        (void)signal_send_process(parent, p->exit_signal, &info);
    }
    process_ref(parent);
    if (is_ignored || (p->exit_signal == SIGCHLD && (action.flags & SA_NOCLDWAIT)))
        reap(p);
    wait_wake(&parent->child_wait, WAKE_ALL, 0);
    process_unref(parent);
}

/* Tells p's parent that p has stopped or goes on. */
static void tell_change(struct process *p, int code, int32_t status)
{
    struct sig_action action;
    struct siginfo_linux info;

    if (!p->parent)
        return;
    action = child_action(p->parent);
    if (action.handler != (uintptr_t)SIG_IGN && !(action.flags & SA_NOCLDSTOP)) {
        info = child_info(p, code, status);
        (void)signal_send_process(p->parent, SIGCHLD, &info);
    }
    wait_wake(&p->parent->child_wait, WAKE_ALL, 0);
}

void process_stopped(struct process *p, int signo)
{
    family_lock();
    tell_change(p, CLD_STOPPED, signo);
    family_unlock();
}

void process_continued(struct process *p)
{
    family_lock();
    tell_change(p, CLD_CONTINUED, SIGCONT);
    family_unlock();
}

/* ---- the end ---- */

/* Signals that p's threads want when its parent ends (PR_SET_PDEATHSIG). */
static uint64_t death_signals(struct process *p)
{
    uint64_t mask = 0;

    mutex_lock(&p->lock);
    for (const struct thread *t = p->threads; t; t = t->next)
        if (t->pdeath_signal)
            mask |= SIGNAL_BIT(t->pdeath_signal);
    mutex_unlock(&p->lock);
    return mask;
}

static void tell_orphan(struct process *child, struct process *dead)
{
    struct siginfo_linux info = { .code = SI_USER };
    int32_t sender[2] = { dead->pid, (int32_t)(dead->cred ? dead->cred->ruid : 0) };

    memcpy(info.fields, sender, sizeof sender);
    for (uint64_t mask = death_signals(child); mask; mask &= mask - 1) {
        info.signo = __builtin_ctzll(mask) + 1;
        (void)signal_send_process(child, info.signo, &info);
    }
}

static void give_children_away(struct process *p)
{
    struct process *reaper = p->children ? find_reaper(p) : NULL, *child;

    while (reaper && (child = p->children) != NULL) {
        p->children = child->sibling;
        child->exit_signal = SIGCHLD;
        set_parent(child, reaper);
        link_child(reaper, child);
        if (child->zombie) {
            tell_exit(child);
            continue;
        }
        tell_orphan(child, p);
        group_orphaned_hang_up(child, p);
    }
}

void process_exited(struct process *p)
{
    session_leader_exited(p);
    if (current()->process == p)
        memcpy(p->name, current()->name, sizeof p->name);
    family_lock();
    give_children_away(p);
    group_orphaned_hang_up(p, NULL);
    __atomic_store_n(&p->exit_code, p->exit_status, __ATOMIC_RELAXED);
    __atomic_store_n(&p->zombie, true, __ATOMIC_RELEASE);
    wait_wake(&p->end_wait, WAKE_ALL, POLLIN | POLLRDNORM);
    if (p->parent)
        tell_exit(p);
    family_unlock();
}

/* ---- waiting ---- */

struct wait_request {
    int kind; /* P_* */
    int32_t id;
    uint32_t options;             /* W* */
    const struct process *target; /* P_PIDFD */
};

struct wait_result {
    int32_t pid; /* 0: none */
    uint32_t uid;
    int code;       /* CLD_* */
    int32_t status; /* as siginfo */
    int32_t word;   /* as wait4 */
    struct process_usage usage;
};

static bool is_wanted(const struct wait_request *r, const struct process *p)
{
    if (!(r->options & __WALL) && (p->exit_signal != SIGCHLD) != !!(r->options & __WCLONE))
        return false;
    switch (r->kind) {
    case P_PID:
        return p->pid == r->id;
    case P_PGID:
        return p->pgid == r->id;
    case P_PIDFD:
        return p == r->target;
    default:
        return true;
    }
}

static bool take_zombie(const struct wait_request *r, struct process *p, struct wait_result *ret)
{
    struct process *self = p->parent;

    if (!(r->options & WEXITED) || !p->zombie)
        return false;
    status_split(p->exit_code, &ret->code, &ret->status);
    ret->word = p->exit_code;
    usage_of_family(p, &ret->usage);
    if (!(r->options & WNOWAIT)) {
        usage_add(&self->children_usage, &ret->usage);
        reap(p);
    }
    return true;
}

static bool take_stop(const struct wait_request *r, struct process *p, struct wait_result *ret)
{
    uint8_t signo = __atomic_load_n(&p->stop_signal, __ATOMIC_ACQUIRE);

    if (!(r->options & WSTOPPED) || p->zombie || !signo)
        return false;
    if (!(r->options & WNOWAIT))
        signo = __atomic_exchange_n(&p->stop_signal, 0, __ATOMIC_ACQ_REL);
    if (!signo)
        return false; /* it was continued just now */
    ret->code = CLD_STOPPED;
    ret->status = signo;
    ret->word = signo << 8 | STATUS_SIGNAL;
    usage_of_family(p, &ret->usage);
    return true;
}

static bool take_continue(const struct wait_request *r, struct process *p, struct wait_result *ret)
{
    bool is_continued = __atomic_load_n(&p->continued, __ATOMIC_ACQUIRE);

    if (!(r->options & WCONTINUED) || p->zombie || !is_continued)
        return false;
    if (!(r->options & WNOWAIT))
        is_continued = __atomic_exchange_n(&p->continued, false, __ATOMIC_ACQ_REL);
    if (!is_continued)
        return false;
    ret->code = CLD_CONTINUED;
    ret->status = SIGCONT;
    ret->word = STATUS_CONTINUED;
    usage_of_family(p, &ret->usage);
    return true;
}

/* returns: 1 found; 0 children are there, but nothing to tell; -ECHILD. */
static int scan(const struct wait_request *r, struct wait_result *ret)
{
    int rc = -ECHILD;

    family_lock();
    for (struct process *p = process_current()->children, *next; p && rc <= 0; p = next) {
        int32_t pid = p->pid;
        uint32_t uid = p->cred ? p->cred->ruid : 0;

        next = p->sibling;
        if (!is_wanted(r, p))
            continue;
        rc = 0;
        if (take_zombie(r, p, ret) || take_stop(r, p, ret) || take_continue(r, p, ret)) {
            ret->pid = pid;
            ret->uid = uid;
            rc = 1;
        }
    }
    family_unlock();
    return rc;
}

/* returns: as scan; -ERESTARTSYS. */
static int wait_for(const struct wait_request *r, struct wait_result *ret)
{
    struct waiter w;
    int slept = 0, rc;

    memset(ret, 0, sizeof *ret);
    waiter_init(&w);
    waitq_add(&process_current()->child_wait, &w);
    for (;;) {
        rc = scan(r, ret);
        if (rc != 0 || (r->options & WNOHANG))
            break;
        if (slept < 0) {
            rc = slept;
            break;
        }
        slept = wait_sleep(NULL, 0, WAIT_FOREVER, true);
    }
    waitq_remove(&w);
    return rc;
}

static int put_usage(uintptr_t addr, const struct process_usage *usage)
{
    struct rusage out;

    if (!addr)
        return 0;
    usage_encode(usage, &out);
    return USER_PUT(addr, &out) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(wait4)
{
    struct wait_request r = { .kind = P_ALL, .id = (int32_t)a, .options = (uint32_t)c | WEXITED };
    struct wait_result result;
    int rc;

    if ((uint32_t)c &
        ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (r.id == INT32_MIN)
        return -ESRCH;
    if (r.id > 0) {
        r.kind = P_PID;
    } else if (r.id != -1) {
        r.kind = P_PGID;
        r.id = r.id ? -r.id : process_current()->pgid;
    }
    rc = wait_for(&r, &result);
    if (rc <= 0)
        return rc;
    if (b && USER_PUT(b, &result.word) < 0)
        return -EFAULT;
    rc = put_usage(d, &result.usage);
    return rc < 0 ? rc : result.pid;
}

/* The part of siginfo_t that waitid writes. */
struct wait_info {
    int32_t signo, error, code, pad, pid;
    uint32_t uid;
    int32_t status;
};

static int64_t wait_by_id(struct wait_request *r, uintptr_t info_addr, uintptr_t usage_addr)
{
    struct wait_result result;
    struct wait_info info;
    int rc = wait_for(r, &result);

    if (rc < 0)
        return rc;
    if (rc > 0 && put_usage(usage_addr, &result.usage) < 0)
        return -EFAULT;
    info = (struct wait_info){ .signo = rc > 0 ? SIGCHLD : 0,
                               .code = result.code,
                               .pid = result.pid,
                               .uid = result.uid,
                               .status = result.status };
    return info_addr && USER_PUT(info_addr, &info) < 0 ? -EFAULT : 0;
}

/* Through a non-blocking pidfd there is no sleeping, and EAGAIN instead of nothing. */
static int64_t wait_by_pidfd(struct wait_request *r, uintptr_t info_addr, uintptr_t usage_addr)
{
    struct process *target;
    uint32_t flags;
    int64_t rc = pidfd_process(r->id, &target, &flags);
    bool is_polling = false;

    if (rc < 0)
        return rc;
    r->target = target;
    if ((flags & O_NONBLOCK) && !(r->options & WNOHANG)) {
        struct wait_request look = *r;
        struct wait_result result;

        look.options |= WNOHANG | WNOWAIT;
        is_polling = true;
        rc = wait_for(&look, &result);
        r->options |= WNOHANG;
    }
    if (!is_polling || rc > 0)
        rc = wait_by_id(r, info_addr, usage_addr);
    else if (rc == 0)
        rc = -EAGAIN;
    process_unref(target);
    return rc;
}

SYSCALL_DEFINE(waitid)
{
    struct wait_request r = { .kind = (int)a, .id = (int32_t)b, .options = (uint32_t)d };

    if (((uint32_t)d & ~(uint32_t)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED |
                                   __WNOTHREAD | __WCLONE | __WALL)) ||
        !(d & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    switch (r.kind) {
    case P_ALL:
        break;
    case P_PID:
        if (r.id <= 0)
            return -EINVAL;
        break;
    case P_PGID:
        if (r.id < 0)
            return -EINVAL;
        if (r.id == 0)
            r.id = process_current()->pgid;
        break;
    case P_PIDFD:
        return r.id < 0 ? -EINVAL : wait_by_pidfd(&r, c, e);
    default:
        return -EINVAL;
    }
    return wait_by_id(&r, c, e);
}

SYSCALL_DEFINE(getppid)
{
    struct process *p = process_current();
    int64_t pid;

    family_lock();
    pid = p->parent ? p->parent->pid : 0;
    family_unlock();
    return pid;
}
