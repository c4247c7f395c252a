/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On the way back to the program: takes pending signals, runs default actions, builds frames for
 * handlers, restarts system calls. Trusted.
 */
#include <asm/errno.h>
#include <linux/signal.h>
#include <asm/unistd_64.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/log.h"
#include "tee/libos/signal/frame.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/signal/sigio.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/group.h"
#include "tee/libos/task/posix_timer.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/task.h"
#include "tee/libos/task/vfork.h"

static uint64_t pending_mask(const struct thread *t)
{
    return sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending);
}

static uint64_t deliverable(const struct thread *t)
{
    return pending_mask(t) & (~t->sig_mask | SIGNALS_UNBLOCKABLE);
}

bool signal_pending(void)
{
    struct thread *t = current();
    uint32_t attention = __atomic_load_n(&t->attention, __ATOMIC_ACQUIRE);

    if (!attention)
        return false;
    return (attention & (TASK_ATTENTION_DIE | TASK_ATTENTION_PARENT)) || deliverable(t) != 0;
}

/* Takes one signal that the thread does not block. The action is copied, and reset when it says so. *ret_continues: how
 * often the process was continued until now. */
static int take(struct thread *t, struct siginfo_linux *ret_info, struct sig_action *ret_action,
                uint32_t *ret_continues)
{
    struct sig_state *s = t->process->sig;
    uint64_t wanted = ~t->sig_mask | SIGNALS_UNBLOCKABLE;
    struct sig_entry *entry;
    int signo;

    spin_lock(&s->lock);
    *ret_continues = t->process->continue_count;
    signo = sig_queue_take(t->pending, wanted, ret_info, &entry);
    if (!signo)
        signo = sig_queue_take(t->process->pending, wanted, ret_info, &entry);
    if (signo) {
        struct sig_action *action = &s->actions[signo - 1];

        *ret_action = *action;
        if ((action->flags & SA_RESETHAND) && action->handler > (uintptr_t)SIG_IGN)
            action->handler = (uintptr_t)SIG_DFL;
    }
    spin_unlock(&s->lock);
    mem_free(entry);
    if (signo && ret_info->code == SI_TIMER)
        timer_signal_taken(ret_info);
    return signo;
}

/* A crash, or the end of what process 1 started, is for the operator; other ends are between a parent and its child. */
static bool is_for_operator(const struct process *p, int signo)
{
    bool is_workload;

    family_lock();
    is_workload = !p->parent || p->parent->pid == 1;
    family_unlock();
    return is_workload || sig_default_of(signo) == SIG_DEFAULT_CORE;
}

NORETURN static void die_by(int signo)
{
    struct process *p = process_current();

    if (!__atomic_load_n(&p->exiting, __ATOMIC_RELAXED) && is_for_operator(p, signo))
        log_line("%s (process %d) was ended by %s", current()->name, p->pid, sig_name(signo));
    process_exit(signo); /* never with 0x80: nothing of an enclave's memory is dumped */
}

/* Sleeps until SIGCONT, SIGKILL or the end of the process. Whoever goes on first tells the parent. */
static void stay_stopped(struct process *p)
{
    struct waiter w;

    waiter_init(&w);
    waitq_add(&p->thread_wait, &w);
    while (__atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE))
        if (wait_sleep(NULL, 0, WAIT_FOREVER, false) == -ERESTARTSYS)
            break; /* the thread must die */
    waitq_remove(&w);
    if (__atomic_exchange_n(&p->tell_continued, false, __ATOMIC_ACQ_REL))
        process_continued(p);
}

/* Stops the process, unless it was continued since the signal was taken. */
static void stop(struct process *p, int signo, uint32_t continues)
{
    bool is_first;

    if (signo != SIGSTOP && group_is_orphaned(p->pgid))
        return; /* nobody would continue it */
    spin_lock(&p->sig->lock);
    if (p->continue_count != continues) {
        spin_unlock(&p->sig->lock);
        return;
    }
    is_first = !p->stopped;
    p->continued = false;
    __atomic_store_n(&p->stop_signal, (uint8_t)signo, __ATOMIC_RELEASE);
    __atomic_store_n(&p->stopped, true, __ATOMIC_RELEASE);
    spin_unlock(&p->sig->lock);
    mutex_lock(&p->lock);
    for (struct thread *t = p->threads; t; t = t->next)
        thread_attention(t, TASK_ATTENTION_SIGNAL);
    mutex_unlock(&p->lock);
    if (is_first)
        process_stopped(p, signo);
    stay_stopped(p);
}

/* Makes the program repeat the system call that a signal interrupted. */
static void restart_call(struct regs *regs, uint64_t number)
{
    regs->rax = number;
    regs->rip -=
        2; /* length of SYSCALL, which is what stands before a rewritten site's return, too */
}

/* A handler will run: which interrupted calls are made again after it. */
static void settle_call_for_handler(struct regs *regs, const struct sig_action *action)
{
    switch (-(int64_t)regs->rax) {
    case ERESTARTSYS:
        if (action->flags & SA_RESTART) {
            restart_call(regs, regs->orig_rax);
            break;
        }
        regs->rax = (uint64_t)-EINTR;
        break;
    case ERESTARTNOHAND:
    case ERESTART_RESTARTBLOCK:
        regs->rax = (uint64_t)-EINTR;
        break;
    case ERESTARTNOINTR:
        restart_call(regs, regs->orig_rax);
        break;
    default:
        break;
    }
}

static void settle_call_without_handler(struct regs *regs)
{
    switch (-(int64_t)regs->rax) {
    case ERESTARTSYS:
    case ERESTARTNOHAND:
    case ERESTARTNOINTR:
        restart_call(regs, regs->orig_rax);
        break;
    case ERESTART_RESTARTBLOCK:
        restart_call(regs, __NR_restart_syscall);
        break;
    default:
        break;
    }
}

/* The mask during the handler, and what sigreturn will put back. */
static void run_handler(struct thread *t, struct regs *regs, int signo,
                        const struct siginfo_linux *info, const struct sig_action *action)
{
    uint64_t saved = t->sig_mask_restore ? t->sig_mask_saved : t->sig_mask;
    uint64_t mask = t->sig_mask | action->mask;

    if ((t->rseq_area && rseq_abort(t, regs) < 0) ||
        sigframe_push(regs, signo, info, action, saved) < 0) {
        /* No room on the stack, or a bad sequence: as Linux, SIGSEGV, which kills when it was that signal itself. */
        if (signo == SIGSEGV)
            die_by(SIGSEGV);
        signal_force(SIGSEGV, SI_KERNEL, 0);
        return;
    }
    t->sig_mask_restore = false;
    if (!(action->flags & SA_NODEFER))
        mask |= SIGNAL_BIT(signo);
    t->sig_mask = mask & ~SIGNALS_UNBLOCKABLE;
}

/* One signal's default action. returns when the program goes on. */
static void run_default(struct process *p, int signo, uint32_t continues)
{
    switch (sig_default_of(signo)) {
    case SIG_DEFAULT_TERMINATE:
    case SIG_DEFAULT_CORE:
        die_by(signo);
    case SIG_DEFAULT_STOP:
        stop(p, signo, continues);
        break;
    default:
        break;
    }
}

/* Delivers until nothing deliverable is left. returns: true when a handler will run. */
static bool deliver_all(struct thread *t, struct regs *regs, bool is_call)
{
    struct siginfo_linux info;
    struct sig_action action;
    bool has_handler = false;
    uint32_t continues;

    for (;;) {
        uint32_t taken = __atomic_fetch_and(
            &t->attention, ~(TASK_ATTENTION_SIGNAL | TASK_ATTENTION_BARRIER | TASK_ATTENTION_RSEQ),
            __ATOMIC_SEQ_CST);

        if (UNLIKELY(taken & TASK_ATTENTION_RSEQ))
            rseq_notice(t, regs);
        if (UNLIKELY(taken & TASK_ATTENTION_SIGIO))
            sigio_flush();
        signal_host_drain();
        if (thread_must_die())
            thread_exit(t->process->exit_status);
        if (UNLIKELY(__atomic_load_n(&t->attention, __ATOMIC_ACQUIRE) & TASK_ATTENTION_PARENT))
            vfork_parents_check(t);
        if (UNLIKELY(__atomic_load_n(&t->process->stopped, __ATOMIC_ACQUIRE)))
            stay_stopped(t->process);
        int signo = take(t, &info, &action, &continues);

        if (!signo)
            return has_handler;
        if (action.handler == (uintptr_t)SIG_IGN)
            continue;
        if (action.handler == (uintptr_t)SIG_DFL) {
            run_default(t->process, signo, continues);
            continue;
        }
        if (is_call && !has_handler)
            settle_call_for_handler(regs, &action);
        has_handler = true;
        regs->orig_rax = UINT64_MAX;
        run_handler(t, regs, signo, &info, &action);
    }
}

void signal_handle(struct regs *regs, bool from_syscall)
{
    struct thread *t = current();
    bool is_call = from_syscall && regs->orig_rax != UINT64_MAX;

    if (!deliver_all(t, regs, is_call) && is_call)
        settle_call_without_handler(regs);
    if (!t->sig_mask_restore)
        return;
    /* sigsuspend and friends ended without a handler: the old mask may let more through. */
    t->sig_mask_restore = false;
    t->sig_mask = t->sig_mask_saved;
    if (deliverable(t))
        (void)deliver_all(t, regs, false);
}

void signal_force(int signo, int code, uintptr_t address)
{
    struct thread *t = current();
    struct sig_state *s = t->process->sig;
    struct siginfo_linux info = { .signo = signo, .code = code };
    struct sig_action *action = &s->actions[signo - 1];
    struct sig_entry *entry = mem_zalloc(sizeof *entry);

    *(uint64_t *)info.fields = address;
    spin_lock(&s->lock);
    if (action->handler == (uintptr_t)SIG_IGN || (t->sig_mask & SIGNAL_BIT(signo)))
        action->handler = (uintptr_t)SIG_DFL;
    t->sig_mask &= ~SIGNAL_BIT(signo);
    if (entry) {
        entry->info = info;
        if (sig_queue_add(t->pending, signo, entry))
            entry = NULL;
    } else {
        (void)sig_queue_add(t->pending, signo, NULL);
    }
    spin_unlock(&s->lock);
    mem_free(entry);
    __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
}

void libos_interrupt(struct regs *regs)
{
    signal_handle(regs, false);
}
