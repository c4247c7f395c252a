/* SPDX-License-Identifier: Apache-2.0 */
/* The end of processes, and the carrier of the library OS's own threads. Trusted. */
#include "tee/libos/task/process.h"

#include <asm/errno.h>

#include "tee/enclave/clock.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/posix_timer.h"
#include "tee/libos/task/usage.h"

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

void process_give_up(struct process *p)
{
    struct mm *mm;
    struct fd_table *fds;
    struct fs_context *fs;

    process_timers_drop(p, true);
    mutex_lock(&p->lock); /* others look at them through the table of processes */
    mm = TAKE_PTR(p->mm);
    fds = TAKE_PTR(p->fds);
    fs = TAKE_PTR(p->fs);
    mutex_unlock(&p->lock);
    fd_table_unref(fds);
    fs_context_unref(fs);
    mm_unref(mm);
}

void process_finish(struct process *p)
{
    if (p->pid == 1) {
        console_drain();
        syscall_explain();
        enclave_exit(process_exit_code(p->exit_status));
    }
    usage_note_memory(p);
    process_give_up(p);
    thread_remove(current());
    process_exited(p);
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

SYSCALL_DEFINE(getpid)
{
    return process_current()->pid;
}
