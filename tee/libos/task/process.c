/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of processes, and waiting for children. Trusted. While fork is not served there are only
 * process 1 and the carrier of the library OS's own threads.
 */
#include "tee/libos/task/process.h"

#include <asm/errno.h>
#include <linux/wait.h>

#include "tee/enclave/clock.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"

#define KICK_INTERVAL_NS 10000000u
#define STATUS_SIGNAL 0x7f

static struct sig_state g_kernel_sig;
static struct process g_kernel_process = { .refs = 1, .sig = &g_kernel_sig };

struct process *process_kernel(void)
{
    return &g_kernel_process;
}

int process_exit_code(int status)
{
    return status & STATUS_SIGNAL ? 128 + (status & STATUS_SIGNAL) : (status >> 8) & 0xff;
}

/* Tells every other thread to end. Under p->lock. */
static void end_threads(struct process *p)
{
    for (struct thread *t = p->threads; t; t = t->next)
        if (t != current())
            thread_attention(t, TASK_ATTENTION_DIE);
}

void process_end_others(void)
{
    struct process *p = process_current();
    struct waiter w;

    waiter_init(&w);
    waitq_add(&p->thread_wait, &w);
    while (__atomic_load_n(&p->thread_count, __ATOMIC_ACQUIRE) > 1) {
        mutex_lock(&p->lock);
        end_threads(p);
        mutex_unlock(&p->lock);
        if (wait_sleep(NULL, 0, clock_monotonic_ns() + KICK_INTERVAL_NS, false) == -ERESTARTSYS)
            break; /* somebody else ends the whole process, this thread too */
    }
    waitq_remove(&w);
}

void process_finish(struct process *p)
{
    if (p->pid == 1) {
        syscall_explain();
        enclave_exit(process_exit_code(p->exit_status));
    }
    __atomic_store_n(&p->exit_code, p->exit_status, __ATOMIC_RELAXED);
    __atomic_store_n(&p->zombie, true, __ATOMIC_RELEASE);
    fd_table_unref(p->fds);
    p->fds = NULL;
    mm_unref(p->mm);
    p->mm = NULL;
    if (p->parent)
        wait_wake(&p->parent->child_wait, WAKE_ALL, 0);
}

NORETURN void process_exit(int status)
{
    struct process *p = process_current();
    bool is_first;

    mutex_lock(&p->lock);
    is_first = !p->exiting;
    if (is_first) {
        p->exiting = true;
        p->exit_status = status;
    }
    mutex_unlock(&p->lock);
    if (is_first && p->pid == 1)
        process_finish(p); /* the enclave ends with it: no need to wait for its threads */
    if (is_first)
        process_end_others();
    thread_exit(status);
}

/* ---- waiting for children: there are none while fork is not served ---- */

SYSCALL_DEFINE(wait4)
{
    if (c & ~(uint64_t)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    return -ECHILD;
}

SYSCALL_DEFINE(waitid)
{
    if ((d & ~(uint64_t)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
                         __WCLONE | __WALL)) ||
        !(d & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    if (a > P_PIDFD)
        return -EINVAL;
    return -ECHILD;
}

SYSCALL_DEFINE(getpid)
{
    return process_current()->pid;
}

SYSCALL_DEFINE(getppid)
{
    struct process *parent = process_current()->parent;

    return parent ? parent->pid : 0;
}

SYSCALL_DEFINE(getpgrp)
{
    return process_current()->pgid;
}

/* Finds a process that the caller may regroup: itself (0 or its id). */
static struct process *find_regroupable(int32_t pid)
{
    struct process *self = process_current();

    return pid == 0 || pid == self->pid ? self : NULL;
}

static int64_t read_group(int32_t pid, bool session)
{
    struct process *p;
    int64_t result;

    if (pid == 0)
        return session ? process_current()->sid : process_current()->pgid;
    p = process_find(pid);
    if (!p)
        return -ESRCH;
    result = session ? p->sid : p->pgid;
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

SYSCALL_DEFINE(setpgid)
{
    struct process *p = find_regroupable((int32_t)a);
    int32_t pgid = (int32_t)b;

    if (pgid < 0)
        return -EINVAL;
    if (!p)
        return -ESRCH;
    if (p->sid == p->pid)
        return -EPERM; /* a session leader stays where it is */
    p->pgid = pgid ? pgid : p->pid;
    return 0;
}

SYSCALL_DEFINE(setsid)
{
    struct process *p = process_current();

    if (p->pgid == p->pid)
        return -EPERM;
    p->sid = p->pid;
    p->pgid = p->pid;
    return p->pid;
}
