/* SPDX-License-Identifier: Apache-2.0 */
/* rt_sigtimedwait, and taking signals for a signalfd. Trusted. */
#include <asm/errno.h>
#include <asm/siginfo.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/posix_timer.h"
#include "tee/libos/task/task.h"

int signal_take(uint64_t wanted, struct siginfo_linux *ret)
{
    struct thread *t = current();
    struct process *p = t->process;
    struct sig_entry *entry;
    int signo;

    wanted &= ~SIGNALS_UNBLOCKABLE;
    if (!((sig_queue_mask(t->pending) | sig_queue_mask(p->pending)) & wanted))
        return 0;
    spin_lock(&p->sig->lock);
    signo = sig_queue_take(t->pending, wanted, ret, &entry);
    if (!signo)
        signo = sig_queue_take(p->pending, wanted, ret, &entry);
    spin_unlock(&p->sig->lock);
    mem_free(entry);
    if (signo && ret->code == SI_TIMER)
        timer_signal_taken(ret);
    return signo;
}

/* Both masks change as one for a sender, which looks under the lock: between them a signal would seem to be neither blocked
 * nor waited for, and an ignored one would be lost. */
static void set_masks(struct thread *t, uint64_t mask, uint64_t wait_mask)
{
    struct sig_state *s = sig_state_lock(t->process);

    __atomic_store_n(&t->sig_wait_mask, wait_mask, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->sig_mask, mask, __ATOMIC_SEQ_CST);
    spin_unlock(&s->lock);
}

/* Sleeps until one of `wanted`, which are unblocked meanwhile so that senders choose this thread. */
static int wait_for(uint64_t wanted, uint64_t deadline_ns, struct siginfo_linux *ret)
{
    struct thread *t = current();
    uint64_t real_mask = t->sig_mask;
    int signo, rc = 0;

    set_masks(t, real_mask & ~wanted, wanted & real_mask);
    while ((signo = signal_take(wanted, ret)) == 0 && rc == 0)
        rc = signal_pending() ? -EINTR : wait_sleep(NULL, 0, deadline_ns, false);
    set_masks(t, real_mask, 0);
    if (signo)
        return signo;
    return rc == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

SYSCALL_DEFINE(rt_sigtimedwait)
{
    struct siginfo_linux info;
    struct __kernel_timespec ts;
    uint64_t wanted, deadline_ns = WAIT_FOREVER;
    int signo;

    if (d != sizeof wanted)
        return -EINVAL;
    if (USER_GET(&wanted, a) < 0 || (c && USER_GET(&ts, c) < 0))
        return -EFAULT;
    wanted &= ~SIGNALS_UNBLOCKABLE;
    if (c) {
        if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= NS_PER_S)
            return -EINVAL;
        deadline_ns = deadline_after_ns(timespec_to_ns(&ts));
    }
    signo = signal_take(wanted, &info);
    if (!signo && c && ts.tv_sec == 0 && ts.tv_nsec == 0)
        return -EAGAIN;
    if (!signo)
        signo = wait_for(wanted, deadline_ns, &info);
    if (signo > 0 && b && USER_PUT(b, &info) < 0)
        return -EFAULT;
    return signo;
}
