/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of signals: handlers, masks, alternate stacks, sending. Trusted. */
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

static bool is_signal(uint64_t signo)
{
    return signo >= 1 && signo <= SIGNAL_COUNT;
}

SYSCALL_DEFINE(rt_sigaction)
{
    struct process *p = process_current();
    struct sig_entry *dropped[2] = { NULL, NULL };
    struct sig_action action, old;
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
        p->sig->actions[signo - 1] = action;
        if (sig_state_ignores(p->sig, (int)signo)) { /* POSIX 3.3.1.3: what pends is dropped */
            dropped[0] = sig_queue_drop(p->pending, SIGNAL_BIT(signo));
            dropped[1] = sig_queue_drop(current()->pending, SIGNAL_BIT(signo));
        }
    }
    spin_unlock(&p->sig->lock);
    sig_entry_free_chain(dropped[0]);
    sig_entry_free_chain(dropped[1]);
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

/* ---- sending ---- */

/* The siginfo of kill and tgkill. */
static struct siginfo_linux sender_info(int signo, int code)
{
    struct siginfo_linux info = { .signo = signo, .code = code };
    uint32_t *fields = (uint32_t *)info.fields;

    fields[0] = (uint32_t)process_current()->pid;
    fields[1] = process_cred()->ruid;
    return info;
}

/* Credentials of other processes are read as they are; p stays through the caller's reference. */
static bool may_signal(struct process *p, int signo)
{
    const struct cred *me = process_cred();
    const struct cred *other = p == process_current() ? me : p->cred;

    if (!other || p->pid == 0)
        return false;
    if (p == process_current() || me->euid == 0 || me->euid == other->suid ||
        me->euid == other->ruid || me->ruid == other->suid || me->ruid == other->ruid)
        return true;
    return signo == SIGCONT && p->sid == process_current()->sid;
}

static int send_to_pid(int32_t pid, int signo, const struct siginfo_linux *info)
{
    struct process *p = process_find(pid);
    int rc = p ? 0 : -ESRCH;

    if (p && !may_signal(p, signo))
        rc = -EPERM;
    if (rc == 0 && signo)
        rc = signal_send_process(p, signo, info);
    process_unref(p);
    return rc;
}

#define KILL_TARGETS_MAX 256u
struct kill_targets {
    int32_t pgid; /* 0: everything but the caller and process 1 */
    unsigned count;
    int32_t pids[KILL_TARGETS_MAX];
};

static void collect_target(struct process *p, void *arg)
{
    struct kill_targets *k = arg;
    bool matches = k->pgid ? p->pgid == k->pgid : p->pid != 1 && p != process_current();

    if (matches && k->count < KILL_TARGETS_MAX)
        k->pids[k->count++] = p->pid;
}

static int send_to_group(int32_t pgid, int signo, const struct siginfo_linux *info)
{
    struct kill_targets k = { .pgid = pgid };
    int rc = -ESRCH;

    process_each(collect_target, &k);
    for (unsigned i = 0; i < k.count; i++) {
        int one = send_to_pid(k.pids[i], signo, info);

        if (rc != 0)
            rc = one;
    }
    return rc;
}

SYSCALL_DEFINE(kill)
{
    int32_t pid = (int32_t)a;
    int signo = (int)b;
    struct siginfo_linux info = sender_info(signo, SI_USER);

    if (b && !is_signal((uint32_t)b))
        return -EINVAL;
    if (pid > 0)
        return send_to_pid(pid, signo, &info);
    if (pid == 0)
        return send_to_group(process_current()->pgid, signo, &info);
    if (pid == -1)
        return send_to_group(0, signo, &info);
    return pid == INT32_MIN ? -ESRCH : send_to_group(-pid, signo, &info);
}

/* tgid 0: any process. */
static int64_t send_to_tid(int32_t tgid, int32_t tid, int signo, const struct siginfo_linux *info)
{
    struct thread *t = thread_find(tid);
    int rc = 0;

    if (!t || t->exiting || (tgid && t->process->pid != tgid))
        rc = -ESRCH;
    else if (!may_signal(t->process, signo))
        rc = -EPERM;
    else if (signo)
        rc = signal_send_thread(t, signo, info);
    thread_unref(t);
    return rc;
}

SYSCALL_DEFINE(tgkill)
{
    struct siginfo_linux info = sender_info((int)c, SI_TKILL);

    if ((int32_t)a <= 0 || (int32_t)b <= 0 || (c && !is_signal((uint32_t)c)))
        return -EINVAL;
    return send_to_tid((int32_t)a, (int32_t)b, (int)c, &info);
}

SYSCALL_DEFINE(tkill)
{
    struct siginfo_linux info = sender_info((int)b, SI_TKILL);

    if ((int32_t)a <= 0 || (b && !is_signal((uint32_t)b)))
        return -EINVAL;
    return send_to_tid(0, (int32_t)a, (int)b, &info);
}

/* Programs may only make up siginfos that cannot be mistaken for the kernel's, but for themselves. */
static int read_info(struct siginfo_linux *info, uintptr_t addr, int signo, int32_t pid)
{
    if (USER_GET(info, addr) < 0)
        return -EFAULT;
    if ((info->code >= 0 || info->code == SI_TKILL) && pid != process_current()->pid)
        return -EPERM;
    info->signo = signo;
    return 0;
}

SYSCALL_DEFINE(rt_sigqueueinfo)
{
    struct siginfo_linux info;
    int rc;

    if (b && !is_signal((uint32_t)b))
        return -EINVAL;
    rc = read_info(&info, c, (int)b, (int32_t)a);
    return rc < 0 ? rc : send_to_pid((int32_t)a, (int)b, &info);
}

SYSCALL_DEFINE(rt_tgsigqueueinfo)
{
    struct siginfo_linux info;
    int rc;

    if ((int32_t)a <= 0 || (int32_t)b <= 0 || (c && !is_signal((uint32_t)c)))
        return -EINVAL;
    rc = read_info(&info, d, (int)c, (int32_t)a);
    return rc < 0 ? rc : send_to_tid((int32_t)a, (int32_t)b, (int)c, &info);
}
