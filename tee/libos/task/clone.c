/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone, clone3, vfork: new threads, and new processes that share the memory of their parent until they execute a
 * program (DESIGN section 5, kind 1). Trusted. A copy of memory (fork) is refused with a report.
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/process.h"
#include "tee/libos/task/vfork.h"

/* What a thread of a program must share, here as everywhere where threads are POSIX threads. */
#define CLONE_OF_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_NEW_ANYTHING                                                                         \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_NEWTIME)
#define CAP_SYS_ADMIN_BIT (1ull << 21)
#define CAP_SYS_RESOURCE_BIT (1ull << 24)

struct clone_request {
    uint64_t flags;
    uint8_t exit_signal;
    uintptr_t stack; /* 0: the caller's stack pointer */
    uintptr_t parent_tid, child_tid, tls, pidfd;
};

/* ---- what may be asked for ---- */

static int refuse_fork(void)
{
    syscall_unsupported("fork: a process with a copy of its parent's memory",
                        "use posix_spawn or vfork followed by exec, or threads");
    return -ENOSYS;
}

static int check_process(const struct clone_request *r)
{
    if (!(r->flags & CLONE_VM))
        return refuse_fork();
    if (r->exit_signal > SIGNAL_COUNT)
        return -EINVAL;
    if ((r->flags & CLONE_PARENT) && process_current()->pid == 1)
        return -EINVAL; /* process 1 has no siblings */
    return 0;
}

/* returns: 0 for what can be made; else what the program is told. */
static int check_clone(const struct clone_request *r)
{
    uint64_t flags = r->flags;

    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && (!(flags & CLONE_VM) || (flags & CLONE_CLEAR_SIGHAND)))
        return -EINVAL;
    if (flags & CLONE_NEW_ANYTHING)
        return -EPERM;
    if (!(flags & CLONE_THREAD))
        return check_process(r);
    if ((flags & CLONE_OF_THREAD) != CLONE_OF_THREAD) {
        syscall_unsupported("clone: a thread with files or folders of its own",
                            "create threads with pthread_create, which shares them");
        return -EINVAL;
    }
    return flags & (CLONE_PIDFD | CLONE_VFORK) ? -EINVAL : 0;
}

struct nproc_sum {
    uint32_t uid;
    uint64_t threads;
};

static void nproc_add(struct process *p, void *arg)
{
    struct nproc_sum *sum = arg;
    const struct cred *c = __atomic_load_n(&p->cred, __ATOMIC_ACQUIRE);

    if (c && c->ruid == sum->uid)
        sum->threads += MAX(p->thread_count, 1u); /* a zombie counts */
}

/* RLIMIT_NPROC: threads of the user; root and the privileged are exempt. */
static int check_nproc(void)
{
    const struct cred *c = process_cred();
    uint64_t limit = process_current()->limits[RLIMIT_NPROC].current;
    struct nproc_sum sum = { .uid = c->ruid };

    if (limit == RLIM64_INFINITY || c->ruid == 0 ||
        (c->cap_effective & (CAP_SYS_ADMIN_BIT | CAP_SYS_RESOURCE_BIT)))
        return 0;
    process_each(nproc_add, &sum);
    return sum.threads >= limit ? -EAGAIN : 0;
}

/* ---- a thread's beginning ---- */

static int write_tids(const struct clone_request *r, const struct thread *t)
{
    if ((r->flags & CLONE_PARENT_SETTID) && USER_PUT(r->parent_tid, &t->tid) < 0)
        return -EFAULT;
    if ((r->flags & CLONE_CHILD_SETTID) && USER_PUT(r->child_tid, &t->tid) < 0)
        return -EFAULT;
    return 0;
}

/* The registers with which t begins, from the caller's. */
static void fill_regs(const struct clone_request *r, struct regs *regs)
{
    *regs = *current_regs();
    regs->rax = 0;
    regs->orig_rax = UINT64_MAX;
    regs->trapped = 0;
    regs->fs_base = r->flags & CLONE_SETTLS ? r->tls : thread_get_fs_base();
    if (r->stack)
        regs->rsp = r->stack;
}

/* Mask, name, ids in memory. */
static int inherit_thread(const struct clone_request *r, struct thread *t)
{
    struct thread *self = current();

    t->sig_mask = self->sig_mask;
    t->timer_slack_ns = t->timer_slack_first_ns = self->timer_slack_ns;
    memcpy(t->name, self->name, sizeof t->name);
    if (r->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = r->child_tid;
    return write_tids(r, t);
}

/* t begins on a slot of its own. */
static int start_thread(const struct clone_request *r, struct thread *t)
{
    struct regs *regs = mem_alloc(sizeof *regs);
    int rc;

    if (!regs)
        return -ENOMEM;
    t->start_regs = regs;
    if (!thread_xstate(t))
        return -ENOMEM;
    xstate_save(t->xstate);
    fill_regs(r, regs);
    rc = thread_slot_start(t);
    return rc < 0 ? rc : 0;
}

static void drop_thread(struct thread *t)
{
    t->clear_child_tid = 0;
    thread_remove(t);
    thread_unref(t);
}

static int64_t clone_thread(const struct clone_request *r)
{
    struct thread *t;
    int32_t tid;
    int rc = thread_new(process_current(), false, &t);

    if (rc < 0)
        return rc;
    tid = t->tid;
    rc = inherit_thread(r, t);
    if (rc == 0)
        rc = start_thread(r, t);
    if (rc < 0) {
        drop_thread(t);
        return rc;
    }
    return tid; /* t is the new thread's own now */
}

/* ---- a process's beginning ---- */

static char *copy_bytes(const char *bytes, size_t size)
{
    char *copy = bytes ? mem_alloc(size) : NULL;

    if (copy)
        memcpy(copy, bytes, size);
    return copy;
}

/* What a new process has of its parent besides what clone's flags name. */
static int inherit_process(struct process *parent, struct process *p)
{
    p->no_new_privs = parent->no_new_privs;
    p->keep_caps = parent->keep_caps;
    p->dumpable = parent->dumpable;
    p->personality = parent->personality;
    p->oom_score_adj = parent->oom_score_adj;
    p->arg_start = parent->arg_start;
    p->arg_end = parent->arg_end;
    p->env_start = parent->env_start;
    p->env_end = parent->env_end;
    mutex_lock(&parent->lock);
    p->exe_path = parent->exe_path ? mem_strdup(parent->exe_path) : NULL;
    p->cmdline = copy_bytes(parent->cmdline, parent->cmdline_size);
    p->cmdline_size = p->cmdline ? parent->cmdline_size : 0;
    mutex_unlock(&parent->lock);
    return process_set_cred(p, process_cred());
}

static int inherit_resources(uint64_t flags, struct process *parent, struct process *p)
{
    int rc = 0;

    if (flags & CLONE_SIGHAND) {
        sig_state_ref(parent->sig);
        p->sig = parent->sig;
    } else {
        p->sig = sig_state_copy(parent->sig, (flags & CLONE_CLEAR_SIGHAND) != 0);
    }
    if (flags & CLONE_FILES) {
        fd_table_ref(parent->fds);
        p->fds = parent->fds;
    } else {
        rc = fd_table_copy(parent->fds, &p->fds);
    }
    if (rc == 0 && (flags & CLONE_FS)) {
        fs_context_ref(parent->fs);
        p->fs = parent->fs;
    } else if (rc == 0) {
        rc = fs_context_copy(parent->fs, &p->fs);
    }
    mm_ref(parent->mm);
    p->mm = parent->mm;
    return rc == 0 && !p->sig ? -ENOMEM : rc;
}

/* A process that nobody has seen yet. */
static void drop_process(struct process *p)
{
    process_give_up(p);
    process_unref(p);
}

static int make_process(const struct clone_request *r, struct process **ret)
{
    struct process *self = process_current(), *p;
    int rc = process_new(self, &p);

    if (rc < 0)
        return rc;
    p->exit_signal = r->flags & CLONE_PARENT ? self->exit_signal : r->exit_signal;
    if (r->flags & CLONE_PARENT)
        children_make_sibling(p);
    rc = inherit_process(self, p);
    if (rc == 0)
        rc = inherit_resources(r->flags, self, p);
    if (rc < 0) {
        drop_process(p);
        return rc;
    }
    *ret = p;
    return 0;
}

/* The child goes on here at once, on the caller's slot. returns: as the child, 0. */
static int64_t run_borrowed(const struct clone_request *r, struct thread *t, struct regs *own_regs)
{
    struct regs *regs = current_regs();

    vfork_lend(t, own_regs, t->tid);
    if (r->flags & CLONE_SETTLS)
        thread_set_fs_base(r->tls);
    if (r->stack)
        regs->rsp = r->stack;
    return 0;
}

/* What the caller needs to be put on hold, and what its child has of it then. */
static int prepare_hold(struct thread *child, struct regs **ret_regs)
{
    struct thread *self = current();

    if (!thread_xstate(self))
        return -ENOMEM;
    child->alt_stack_base = self->alt_stack_base;
    child->alt_stack_size = self->alt_stack_size;
    child->alt_stack_flags = self->alt_stack_flags;
    *ret_regs = mem_alloc(sizeof **ret_regs);
    return *ret_regs ? 0 : -ENOMEM;
}

/* CLONE_PIDFD: a descriptor for p in the caller's table; the child has its copy of that already. */
static int give_pidfd(const struct clone_request *r, struct process *p)
{
    int fd, rc;

    if (!(r->flags & CLONE_PIDFD))
        return 0;
    fd = pidfd_install(p, 0);
    if (fd < 0)
        return fd;
    rc = USER_PUT(r->pidfd, &fd);
    if (rc < 0)
        (void)!fd_close(fd);
    return rc < 0 ? -EFAULT : 0;
}

static int64_t clone_process(const struct clone_request *r)
{
    bool is_vfork = (r->flags & CLONE_VFORK) != 0, is_public = false;
    struct regs *own_regs = NULL;
    struct thread *t = NULL;
    struct process *p;
    int32_t pid;
    int rc = make_process(r, &p);

    if (rc < 0)
        return rc;
    pid = p->pid;
    rc = thread_new(p, true, &t);
    if (rc == 0)
        rc = inherit_thread(r, t);
    if (rc == 0 && is_vfork)
        rc = prepare_hold(t, &own_regs);
    if (rc == 0)
        rc = give_pidfd(r, p);
    if (rc == 0) {
        process_publish(p);
        is_public = true;
        if (!is_vfork)
            rc = start_thread(r, t);
    }
    if (rc < 0) {
        mem_free(own_regs);
        if (t)
            drop_thread(t);
        if (is_public)
            children_drop(p);
        drop_process(p);
        return rc;
    }
    process_unref(p); /* its thread and the table have theirs */
    return is_vfork ? run_borrowed(r, t, own_regs) : pid;
}

static int64_t clone_perform(const struct clone_request *r)
{
    int64_t rc = check_clone(r);

    if (rc == 0)
        rc = check_nproc();
    if (rc == 0)
        rc = r->flags & CLONE_THREAD ? clone_thread(r) : clone_process(r);
    return rc;
}

/* ---- the calls ---- */

SYSCALL_DEFINE(clone)
{
    struct clone_request r = { .flags =
                                   (uint32_t)a & ~0xffull, /* the low byte is the exit signal */
                               .exit_signal = (uint8_t)a,
                               .stack = b,
                               .parent_tid = c,
                               .child_tid = d,
                               .tls = e,
                               .pidfd = c };

    if ((r.flags & CLONE_PIDFD) && (r.flags & CLONE_PARENT_SETTID))
        return -EINVAL;
    return clone_perform(&r);
}

SYSCALL_DEFINE(clone3)
{
    struct clone_args args = { 0 };
    struct clone_request r;

    if (b < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (b > sizeof args)
        return -E2BIG;
    if (user_copy_in(&args, a, b) < 0)
        return -EFAULT;
    if (args.exit_signal > 0xff || (args.flags & 0xff) || !args.stack != !args.stack_size)
        return -EINVAL;
    if (args.set_tid_size || (args.flags & CLONE_INTO_CGROUP))
        return -EPERM;
    if (args.stack && args.stack + args.stack_size < args.stack)
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    r = (struct clone_request){ .flags = args.flags,
                                .exit_signal = (uint8_t)args.exit_signal,
                                .stack = args.stack + args.stack_size,
                                .parent_tid = args.parent_tid,
                                .child_tid = args.child_tid,
                                .tls = args.tls,
                                .pidfd = args.pidfd };
    return clone_perform(&r);
}

SYSCALL_DEFINE(fork)
{
    return refuse_fork();
}

SYSCALL_DEFINE(vfork)
{
    struct clone_request r = { .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD };

    return clone_perform(&r);
}
