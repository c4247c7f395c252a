/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads begin and end: clone and clone3 as pthread_create uses them, threads of the library OS
 * itself, exit. Trusted. Other processes (fork, vfork) are refused with a report.
 */
#include <asm/errno.h>
#include <linux/sched.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/futex.h"
#include "tee/libos/task/process.h"
#include "tee/libos/task/task.h"

/* What a thread of a program must share, here as everywhere where threads are POSIX threads. */
#define CLONE_OF_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_NEW_ANYTHING                                                                         \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_NEWTIME)

/* ---- the thread's own side ---- */

NORETURN static void leave(struct thread *t)
{
    tcb_self()->current = NULL;
    thread_unref(t);
    thread_slot_exit();
}

NORETURN static void run_kernel(struct thread *t)
{
    t->kernel_fn(t->kernel_arg);
    thread_remove(t);
    leave(t);
}

NORETURN void libos_thread_start(void *arg)
{
    struct thread *t = arg;
    struct regs regs;

    tcb_self()->current = t;
    __atomic_store_n(&t->slot, tcb_self()->slot, __ATOMIC_RELEASE);
    if (t->kernel_fn)
        run_kernel(t);
    regs = *t->start_regs;
    mem_free(t->start_regs);
    t->start_regs = NULL;
    thread_set_fs_base(regs.fs_base);
    xstate_restore(t->xstate);
    if (__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE))
        signal_handle(&regs, false);
    regs_resume(&regs, false);
}

/* Decided once, as a thread goes: those that go at the same time are still on the list. Under p->lock. */
static bool is_last_to_leave(struct process *p, struct thread *t)
{
    t->leaving = true;
    for (const struct thread *other = p->threads; other; other = other->next)
        if (!other->leaving)
            return false;
    return true;
}

NORETURN void thread_exit(int status)
{
    struct thread *t = current();
    struct process *p = t->process;
    bool is_last;

    t->exiting = true;
    futex_thread_exit(t);
    mutex_lock(&p->lock);
    if (!p->exiting && t->tid == p->pid)
        p->exit_status = status;
    is_last = is_last_to_leave(p, t);
    mutex_unlock(&p->lock);
    if (is_last)
        process_finish(p);
    thread_remove(t);
    leave(t);
}

int thread_start_kernel(void (*fn)(void *arg), void *arg, const char *name)
{
    struct thread *t;
    int rc = thread_new(process_kernel(), false, &t);

    if (rc < 0)
        return rc;
    thread_set_name(t, name);
    t->sig_mask = UINT64_MAX;
    t->kernel_fn = fn;
    t->kernel_arg = arg;
    rc = thread_slot_start(t);
    if (rc < 0) {
        thread_remove(t);
        thread_unref(t);
        return rc;
    }
    return 0; /* the reference is the thread's own */
}

/* ---- clone ---- */

struct clone_request {
    uint64_t flags;
    uintptr_t stack; /* 0: the caller's stack pointer */
    uintptr_t parent_tid, child_tid, tls;
};

/* returns: 0 for a thread that can be made; else what the program is told. */
static int check_clone(const struct clone_request *r)
{
    uint64_t flags = r->flags;

    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && (!(flags & CLONE_VM) || (flags & CLONE_CLEAR_SIGHAND)))
        return -EINVAL;
    if (flags & CLONE_NEW_ANYTHING)
        return -EPERM;
    if (!(flags & CLONE_THREAD)) {
        syscall_unsupported("clone: a new process",
                            "fork, vfork and posix_spawn are not served yet: let the program "
                            "exec directly, or use threads");
        return -ENOSYS;
    }
    if ((flags & CLONE_OF_THREAD) != CLONE_OF_THREAD) {
        syscall_unsupported("clone: a thread with files or folders of its own",
                            "create threads with pthread_create, which shares them");
        return -EINVAL;
    }
    if (flags & CLONE_PIDFD)
        return -EINVAL;
    return 0;
}

static int write_tids(const struct clone_request *r, const struct thread *t)
{
    if ((r->flags & CLONE_PARENT_SETTID) && USER_PUT(r->parent_tid, &t->tid) < 0)
        return -EFAULT;
    if ((r->flags & CLONE_CHILD_SETTID) && USER_PUT(r->child_tid, &t->tid) < 0)
        return -EFAULT;
    return 0;
}

/* Gives the new thread what it begins with: registers, vector state, mask, name. */
static int prepare_thread(const struct clone_request *r, struct thread *t)
{
    struct thread *self = current();
    struct regs *regs = mem_alloc(sizeof *regs);

    if (!regs)
        return -ENOMEM;
    t->start_regs = regs;
    if (!thread_xstate(t))
        return -ENOMEM;
    xstate_save(t->xstate);
    *regs = *current_regs();
    regs->rax = 0;
    regs->orig_rax = UINT64_MAX;
    regs->trapped = 0;
    regs->fs_base = r->flags & CLONE_SETTLS ? r->tls : thread_get_fs_base();
    if (r->stack)
        regs->rsp = r->stack;
    t->sig_mask = self->sig_mask;
    memcpy(t->name, self->name, sizeof t->name);
    if (r->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = r->child_tid;
    return write_tids(r, t);
}

static int64_t clone_perform(const struct clone_request *r)
{
    struct thread *t;
    int32_t tid;
    int rc = thread_new(process_current(), false, &t);

    if (rc < 0)
        return rc == -EAGAIN ? -EAGAIN : -ENOMEM;
    tid = t->tid;
    rc = prepare_thread(r, t);
    if (rc == 0)
        rc = thread_slot_start(t);
    if (rc < 0) {
        t->clear_child_tid = 0;
        thread_remove(t);
        thread_unref(t);
        return rc;
    }
    return tid; /* t is the new thread's own now */
}

SYSCALL_DEFINE(clone)
{
    struct clone_request r = { .flags = a & ~0xffull, /* the low byte is the exit signal */
                               .stack = b,
                               .parent_tid = c,
                               .child_tid = d,
                               .tls = e };
    int rc = check_clone(&r);

    return rc < 0 ? rc : clone_perform(&r);
}

SYSCALL_DEFINE(clone3)
{
    struct clone_args args = { 0 };
    struct clone_request r;
    int rc;

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
    r = (struct clone_request){ .flags = args.flags,
                                .stack = args.stack + args.stack_size,
                                .parent_tid = args.parent_tid,
                                .child_tid = args.child_tid,
                                .tls = args.tls };
    if ((args.flags & CLONE_THREAD) && args.exit_signal)
        return -EINVAL;
    rc = check_clone(&r);
    return rc < 0 ? rc : clone_perform(&r);
}

static int64_t refuse_fork(const char *what)
{
    syscall_unsupported(what, "new processes are not served yet: let the program exec directly, "
                              "or use threads");
    return -ENOSYS;
}

SYSCALL_DEFINE(fork)
{
    return refuse_fork("fork");
}

SYSCALL_DEFINE(vfork)
{
    return refuse_fork("vfork");
}

/* ---- small calls of threads ---- */

SYSCALL_DEFINE(exit)
{
    thread_exit((int)(a & 0xff) << 8);
}

SYSCALL_DEFINE(exit_group)
{
    process_exit((int)(a & 0xff) << 8);
}

SYSCALL_DEFINE(gettid)
{
    return current()->tid;
}

SYSCALL_DEFINE(set_tid_address)
{
    current()->clear_child_tid = a;
    return current()->tid;
}
