/* SPDX-License-Identifier: Apache-2.0 */
/* Threads begin and end: their own side, threads of the library OS itself, exit. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/libos/signal/sigio.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/futex.h"
#include "tee/libos/task/process.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/task.h"
#include "tee/libos/task/vfork.h"

/* ---- the thread's own side ---- */

NORETURN static void leave(struct thread *t)
{
    if (UNLIKELY(__atomic_load_n(&t->attention, __ATOMIC_RELAXED) & TASK_ATTENTION_SIGIO))
        sigio_flush(); /* what it closed at its end */
    vfork_give_back(t);
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
    /* Pairs with thread_attention, which sets the bits before it looks for the slot. */
    __atomic_store_n(&t->slot, tcb_self()->slot, __ATOMIC_SEQ_CST);
    if (t->kernel_fn)
        run_kernel(t);
    regs = *t->start_regs;
    mem_free(t->start_regs);
    t->start_regs = NULL;
    thread_set_fs_base(regs.fs_base);
    xstate_restore(t->xstate);
    if (__atomic_load_n(&t->attention, __ATOMIC_SEQ_CST))
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
    rseq_forget(t);
    futex_thread_exit(t);
    mutex_lock(&p->lock);
    if (!p->exiting && t->tid == p->pid)
        p->exit_status = status;
    is_last = is_last_to_leave(p, t);
    mutex_unlock(&p->lock);
    if (is_last)
        process_finish(p);
    else
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
    t->timer_slack_ns = 1; /* timers have none */
    rc = thread_slot_start(t);
    if (rc < 0) {
        thread_remove(t);
        thread_unref(t);
        return rc;
    }
    return 0; /* the reference is the thread's own */
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
