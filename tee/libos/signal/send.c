/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending signals: into a queue, then making a thread notice. Trusted. Nothing that sleeps or makes an
 * OCALL happens under sig_state.lock: the thread to be told is found under it and told afterwards.
 */
#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/resource.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/fs/tty/tty.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/task.h"

struct waitq g_signal_arrival;

/* Host signals that libos_host_signal() noted: bit n-1 = signal n. */
static uint64_t g_host_signals;

/* Signals that stop or continue a process cancel what pends of the other kind. */
static struct sig_entry *drop_opposites(struct process *p, struct sig_queue *q, int signo)
{
    uint64_t stops =
        SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU);

    if (signo == SIGCONT)
        return sig_queue_drop(q, stops);
    if (SIGNAL_BIT(signo) & stops)
        return sig_queue_drop(q, SIGNAL_BIT(SIGCONT));
    return NULL;
}

/* SIGCONT and SIGKILL wake a stopped process, whatever happens to the signal itself. Under sig->lock.
 * returns: true when it was stopped: its threads are to be woken. */
static bool continue_process(struct process *p, int signo)
{
    bool was_stopped = p->stopped;

    if (signo != SIGCONT && signo != SIGKILL)
        return false;
    p->continue_count++;
    __atomic_store_n(&p->stop_signal, 0, __ATOMIC_RELEASE);
    if (was_stopped && signo == SIGCONT) {
        __atomic_store_n(&p->continued, true, __ATOMIC_RELEASE);
        __atomic_store_n(&p->tell_continued, true, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&p->stopped, false, __ATOMIC_RELEASE);
    return was_stopped;
}

/* A copy of info that can be queued; NULL when the queue is full or memory is out. */
static struct sig_entry *new_entry(struct process *p, const struct sig_queue *q, int signo,
                                   const struct siginfo_linux *info)
{
    uint64_t limit = MIN(p->limits[RLIMIT_SIGPENDING].current, (uint64_t)SIGNAL_QUEUE_MAX);
    struct sig_entry *e = NULL;

    if (__atomic_load_n(&q->count, __ATOMIC_RELAXED) < limit)
        e = mem_zalloc(sizeof *e);
    if (!e)
        return NULL;
    if (info)
        e->info = *info;
    else
        e->info.code = SI_KERNEL;
    e->info.signo = signo;
    return e;
}

/* A full queue loses a real-time signal only when its sender is told; others keep their bit. */
static bool must_fail(int signo, const struct siginfo_linux *info)
{
    return signo >= SIGNAL_RT_MIN && info && info->code < 0;
}

static bool wants(const struct thread *t, int signo)
{
    uint64_t blocked = __atomic_load_n(&t->sig_mask, __ATOMIC_SEQ_CST);

    return !t->exiting && (!(blocked & SIGNAL_BIT(signo)) || signo == SIGKILL || signo == SIGSTOP);
}

/* What t keeps even when it is ignored: blocked signals, and those that sigtimedwait waits for. Under sig->lock. */
static uint64_t blocked_mask(const struct thread *t)
{
    return __atomic_load_n(&t->sig_mask, __ATOMIC_SEQ_CST) |
           __atomic_load_n(&t->sig_wait_mask, __ATOMIC_SEQ_CST);
}

/* Process 1 gets only signals that it handles, or blocks to take them: nothing inside ends it by chance. A fault of
 * its own does (signal_force). */
static bool is_dropped(const struct process *p, int signo)
{
    if (p->pid == 1 && p->sig->actions[signo - 1].handler == (uintptr_t)SIG_DFL)
        return true;
    return sig_state_ignores(p->sig, signo);
}

/* Queues under the lock. returns: 1 queued, 0 dropped (ignored, or pends already). */
static int enqueue(struct process *p, struct thread *t, struct sig_queue *q, int signo,
                   struct sig_entry **entry, struct sig_entry **ret_dropped)
{
    struct sig_state *s;
    bool is_blocked, is_continued;
    int rc = 0;

    s = sig_state_lock(p);
    is_blocked = t && (blocked_mask(t) & ~SIGNALS_UNBLOCKABLE & SIGNAL_BIT(signo));
    is_continued = continue_process(p, signo);
    *ret_dropped = drop_opposites(p, q, signo);
    if (is_blocked || !is_dropped(p, signo)) {
        rc = 1;
        if (sig_queue_add(q, signo, *entry))
            *entry = NULL;
    }
    spin_unlock(&s->lock);
    if (is_continued)
        wait_wake(&p->thread_wait, WAKE_ALL, 0);
    if (rc)
        wait_wake(&g_signal_arrival, WAKE_ALL, POLLIN);
    return rc;
}

int signal_send_thread(struct thread *t, int signo, const struct siginfo_linux *info)
{
    struct process *p = t->process;
    struct sig_entry *entry = new_entry(p, t->pending, signo, info), *dropped;
    int rc;

    if (!entry && must_fail(signo, info))
        return -EAGAIN;
    rc = enqueue(p, t, t->pending, signo, &entry, &dropped);
    mem_free(entry);
    sig_entry_free_chain(dropped);
    if (rc > 0 && wants(t, signo))
        thread_attention(t, TASK_ATTENTION_SIGNAL);
    return 0;
}

/* A thread of p that takes the signal now, with a reference: the caller, else the leader, else any. */
static struct thread *choose(struct process *p, int signo)
{
    struct thread *self = current(), *chosen = NULL;

    if (self && self->process == p && wants(self, signo)) {
        thread_ref(self);
        return self;
    }
    mutex_lock(&p->lock);
    for (struct thread *t = p->threads; t; t = t->next)
        if (wants(t, signo) && (!chosen || t->tid == p->pid))
            chosen = t;
    if (chosen)
        thread_ref(chosen);
    mutex_unlock(&p->lock);
    return chosen;
}

/* When every thread blocks a signal it is not dropped even if ignored: one of them may wait for it. */
static struct thread *any_thread(struct process *p)
{
    struct thread *t;

    mutex_lock(&p->lock);
    t = p->threads;
    if (t)
        thread_ref(t);
    mutex_unlock(&p->lock);
    return t;
}

int signal_send_process(struct process *p, int signo, const struct siginfo_linux *info)
{
    struct sig_entry *entry, *dropped;
    struct thread *t;
    bool is_taken;
    int rc;

    if (__atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE) || !p->sig)
        return 0;
    entry = new_entry(p, p->pending, signo, info);
    if (!entry && must_fail(signo, info))
        return -EAGAIN;
    t = choose(p, signo);
    is_taken = t != NULL;
    if (!t)
        t = any_thread(p);
    rc = enqueue(p, t, p->pending, signo, &entry, &dropped);
    mem_free(entry);
    sig_entry_free_chain(dropped);
    if (!is_taken && t) { /* somebody may have unblocked it meanwhile */
        thread_unref(t);
        t = choose(p, signo);
    }
    if (rc > 0 && t)
        thread_attention(t, TASK_ATTENTION_SIGNAL);
    thread_unref(t);
    return 0;
}

/* ---- from the host ---- */

/* What the host may send: the program sees it as coming from nobody (SI_USER, pid 0). */
#define HOST_SIGNALS                                                                               \
    (SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGINT) | SIGNAL_BIT(SIGQUIT) | SIGNAL_BIT(SIGTERM) |         \
     SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGUSR2) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGTSTP) |       \
     SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU) | SIGNAL_BIT(SIGPIPE))

void libos_host_signal(int signo)
{
    struct thread *t = current();

    if (signo < 1 || signo > SIGNAL_COUNT || !(SIGNAL_BIT(signo) & HOST_SIGNALS))
        return;
    __atomic_or_fetch(&g_host_signals, SIGNAL_BIT(signo), __ATOMIC_SEQ_CST);
    if (!t)
        return;
    __atomic_or_fetch(&t->attention, TASK_ATTENTION_SIGNAL, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->wake_token, 1, __ATOMIC_SEQ_CST);
}

bool signal_host_drain(void)
{
    struct process *init;
    uint64_t signals;

    if (LIKELY(!__atomic_load_n(&g_host_signals, __ATOMIC_RELAXED)))
        return false;
    signals = __atomic_exchange_n(&g_host_signals, 0, __ATOMIC_SEQ_CST);
    if (signals & SIGNAL_BIT(SIGWINCH) && console_resize())
        signals &= ~SIGNAL_BIT(SIGWINCH); /* the console tells whom it concerns */
    init = process_find(1);
    for (; init && signals; signals &= signals - 1) {
        struct siginfo_linux info = { .code = SI_USER };

        (void)signal_send_process(init, __builtin_ctzll(signals) + 1, &info);
    }
    process_unref(init);
    return true;
}
