/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of signals: handlers, masks, alternate stacks. Trusted. */
#include <asm/errno.h>
#include <asm/siginfo.h>
#include <linux/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/frame.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

#define SIGSET_SIZE 8u
/* Programs find out by reading back which flags are known: SA_UNSUPPORTED must vanish. 0x800: SA_EXPOSE_TAGBITS. */
#define ACTION_FLAGS                                                                               \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |             \
     SA_RESETHAND | SA_RESTORER | 0x800ul)

static bool is_signal(uint64_t signo)
{
    return signo >= 1 && signo <= SIGNAL_COUNT;
}

/* POSIX 3.3.1.3: what is ignored from now on does not pend any more, for any thread. */
static void drop_ignored(struct process *p, int signo)
{
    struct sig_entry *all = NULL, *dropped;
    bool is_ignored;

    mutex_lock(&p->lock);
    spin_lock(&p->sig->lock);
    is_ignored = sig_state_ignores(p->sig, signo);
    if (is_ignored)
        all = sig_queue_drop(p->pending, SIGNAL_BIT(signo));
    for (struct thread *t = p->threads; t && is_ignored; t = t->next) {
        dropped = sig_queue_drop(t->pending, SIGNAL_BIT(signo));
        while (dropped) {
            struct sig_entry *next = dropped->next;

            dropped->next = all;
            all = dropped;
            dropped = next;
        }
    }
    spin_unlock(&p->sig->lock);
    mutex_unlock(&p->lock);
    sig_entry_free_chain(all);
}

SYSCALL_DEFINE(rt_sigaction)
{
    struct process *p = process_current();
    struct sig_action action, old;
    bool is_ignored = false;
    uint32_t signo = (uint32_t)a;

    if (d != SIGSET_SIZE || !is_signal(signo))
        return -EINVAL;
    if (b && (SIGNAL_BIT(signo) & SIGNALS_UNBLOCKABLE))
        return -EINVAL;
    if (b && USER_GET(&action, b) < 0)
        return -EFAULT;
    spin_lock(&p->sig->lock);
    old = p->sig->actions[signo - 1];
    if (b) {
        action.mask &= ~SIGNALS_UNBLOCKABLE;
        action.flags &= ACTION_FLAGS;
        p->sig->actions[signo - 1] = action;
        is_ignored = sig_state_ignores(p->sig, (int)signo);
    }
    spin_unlock(&p->sig->lock);
    if (is_ignored)
        drop_ignored(p, (int)signo);
    return c && USER_PUT(c, &old) < 0 ? -EFAULT : 0;
}

/* Sets the calling thread's mask; notices what it lets through now. */
static void set_mask(struct thread *t, uint64_t mask)
{
    uint64_t old = t->sig_mask;

    mask &= ~SIGNALS_UNBLOCKABLE;
    __atomic_store_n(&t->sig_mask, mask, __ATOMIC_RELAXED);
    if (!(old & ~mask))
        return;
    /* Pairs with signal_send_*: pending bit before mask there, mask before pending bit here. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending)) & ~mask)
        __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
}

SYSCALL_DEFINE(rt_sigprocmask)
{
    struct thread *t = current();
    uint64_t old = t->sig_mask, set;

    if (d != SIGSET_SIZE)
        return -EINVAL;
    if (b) {
        if (USER_GET(&set, b) < 0)
            return -EFAULT;
        switch ((uint32_t)a) {
        case SIG_BLOCK:
            set_mask(t, old | set);
            break;
        case SIG_UNBLOCK:
            set_mask(t, old & ~set);
            break;
        case SIG_SETMASK:
            set_mask(t, set);
            break;
        default:
            return -EINVAL;
        }
    }
    return c && USER_PUT(c, &old) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(rt_sigpending)
{
    struct thread *t = current();
    uint64_t mask =
        (sig_queue_mask(t->pending) | sig_queue_mask(t->process->pending)) & t->sig_mask;

    if (b > SIGSET_SIZE)
        return -EINVAL;
    return user_copy_out(a, &mask, b) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(rt_sigsuspend)
{
    struct thread *t = current();
    uint64_t set;
    int rc = 0;

    if (b != SIGSET_SIZE)
        return -EINVAL;
    if (USER_GET(&set, a) < 0)
        return -EFAULT;
    /* signal_handle() puts the old mask back, or into the handler's frame. */
    t->sig_mask_saved = t->sig_mask;
    t->sig_mask_restore = true;
    set_mask(t, set);
    while (rc == 0)
        rc = wait_sleep(NULL, 0, WAIT_FOREVER, true);
    __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
    return -ERESTARTNOHAND;
}

SYSCALL_DEFINE(pause)
{
    int rc = 0;

    while (rc == 0)
        rc = wait_sleep(NULL, 0, WAIT_FOREVER, true);
    return -ERESTARTNOHAND;
}

SYSCALL_DEFINE(rt_sigreturn)
{
    struct regs *regs = current_regs();

    if (sigframe_pop(regs) < 0) {
        signal_force(SIGSEGV, SI_KERNEL, 0);
        regs->orig_rax = UINT64_MAX;
        return 0;
    }
    return (int64_t)regs->rax;
}

SYSCALL_DEFINE(sigaltstack)
{
    struct thread *t = current();
    uint64_t rsp = current_regs()->rsp;
    bool is_on = t->alt_stack_size && !(t->alt_stack_flags & SS_AUTODISARM) &&
                 rsp > t->alt_stack_base && rsp - t->alt_stack_base <= t->alt_stack_size;
    stack_t stack, old = { .ss_sp = (void *)t->alt_stack_base, .ss_size = t->alt_stack_size };
    uint32_t mode;

    old.ss_flags =
        t->alt_stack_size ? (int)t->alt_stack_flags | (is_on ? SS_ONSTACK : 0) : SS_DISABLE;
    if (a) {
        if (USER_GET(&stack, a) < 0)
            return -EFAULT;
        if (is_on)
            return -EPERM;
        mode = (uint32_t)stack.ss_flags & ~SS_AUTODISARM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
            return -EINVAL;
        if (mode == SS_DISABLE)
            stack = (stack_t){ .ss_sp = NULL };
        else if (stack.ss_size < MINSIGSTKSZ)
            return -ENOMEM;
        t->alt_stack_base = (uintptr_t)stack.ss_sp;
        t->alt_stack_size = stack.ss_size;
        t->alt_stack_flags = (uint32_t)stack.ss_flags & SS_AUTODISARM;
    }
    return b && USER_PUT(b, &old) < 0 ? -EFAULT : 0;
}
