/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an enclave thread on the host: EENTER, serve what it asks, hand it its exceptions, until
 * it ends; and signals, which reach the enclave in one of three ways: as an entry at CSSA 1 when the
 * thread was inside, with the next OCALL's answer when it was outside, or again a little later when it
 * was just about to enter. Untrusted side.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "host/loader/loader.h"
#include "host/ocall/seccomp.h"

#define EXIT_STATUS_BROKEN 125
#define END_WAIT_US 2000000
#define KICK_RETRY_NS 200000
#define SIGNAL_KICK (1ull << 63) /* in frame->signals: no signal, only look */

static struct ocall_host *g_host; /* for the signal handler; set once before threads run */
static _Thread_local struct ocall_thread *t_self;

static uint64_t slot_tcs(uint32_t slot)
{
    return LIBOS_SLOTS_ADDR + slot * LIBOS_SLOT_SIZE + SLOT_TCS_OFF;
}

/* Number of a signal that waits for the enclave, taken; 0: none. */
static int signal_take(struct ocall_host *h)
{
    uint64_t all = __atomic_load_n(&h->signals, __ATOMIC_SEQ_CST);

    while (all != 0) {
        int bit = __builtin_ctzll(all);

        if (__atomic_fetch_and(&h->signals, ~(1ull << bit), __ATOMIC_SEQ_CST) & (1ull << bit))
            return bit + 1;
        all = __atomic_load_n(&h->signals, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static bool is_wanted(struct ocall_thread *t)
{
    return __atomic_load_n(&t->kicked, __ATOMIC_SEQ_CST) ||
           __atomic_load_n(&t->host->signals, __ATOMIC_SEQ_CST);
}

static void retry_later(struct ocall_thread *t)
{
    struct itimerspec when = { .it_value.tv_nsec = KICK_RETRY_NS };

    if (t->has_timer)
        timer_settime(t->retry_timer, 0, &when, NULL);
}

/* The signal came to a thread that has no part in the enclave now: one that has shall look. */
static void kick_another(void)
{
    for (uint32_t i = 0; i < g_host->thread_limit; i++) {
        struct ocall_thread *t = &g_host->threads[i];

        if (t->exists && t->tid != 0 && !__atomic_load_n(&t->idle, __ATOMIC_SEQ_CST)) {
            ocall_kick_thread(t);
            return;
        }
    }
}

/* Runs with the enclave's FS base until signal_at_aep has put the host's back: no thread-local
 * variable and no stack protector before that. */
__attribute__((no_stack_protector)) static void on_signal(int signo, siginfo_t *info, void *context)
{
    bool inside = g_host->backend->signal_at_aep(g_host->enclave, context);
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    int saved_errno = errno;
    struct ocall_thread *t = t_self;

    if (signo == loader_death_signal())
        loader_guard_died();
    if (signo != ocall_kick_signal())
        __atomic_fetch_or(&g_host->signals, 1ull << (signo - 1), __ATOMIC_SEQ_CST);
    /* It may be on its way out to sleep, which the enclave cannot take back any more. */
    if (inside && t && __atomic_load_n(&g_host->signals, __ATOMIC_SEQ_CST))
        __atomic_store_n(&t->wake, 1, __ATOMIC_SEQ_CST);
    if (!t || __atomic_load_n(&t->idle, __ATOMIC_SEQ_CST)) {
        kick_another();
    } else if (inside && !t->at_cssa1 && (signo != ocall_kick_signal() || is_wanted(t))) {
        __atomic_store_n(&t->kicked, 0, __ATOMIC_SEQ_CST);
        t->at_cssa1 = 1;
        g[REG_RAX] = SGX_EENTER;
        g[REG_RDI] = ENTER_SIGNAL;
        g[REG_RSI] = signal_take(g_host);
        t->signalled |= g[REG_RSI] != 0;
        g[REG_RDX] = (greg_t)t->frame;
    } else if (!inside) {
        if (signo != ocall_kick_signal())
            __atomic_store_n(&t->kicked, 1, __ATOMIC_SEQ_CST);
        if (is_wanted(t)) {
            ocall_wake_thread(t);
            if (__atomic_load_n(&t->where, __ATOMIC_SEQ_CST) == OCALL_WHERE_ENTERING)
                retry_later(t);
        }
    }
    /* Inside at CSSA 1 already: thread_run looks again when that entry is over. */
    errno = saved_errno;
}

/* What the enclave learns with an OCALL's answer. */
static uint64_t signals_for_answer(struct ocall_thread *t)
{
    uint64_t signals = 0;

    /* Looks first: all threads share the word, and mostly it is empty. */
    if (__atomic_load_n(&t->host->signals, __ATOMIC_SEQ_CST))
        signals = __atomic_exchange_n(&t->host->signals, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->kicked, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&t->kicked, 0, __ATOMIC_SEQ_CST))
        signals |= SIGNAL_KICK;
    return signals;
}

NORETURN static void broken(const char *what, const struct sgx_run *run, int rc)
{
    fprintf(stderr, "cloche: %s (result %d, leaf %u, vector %u, error 0x%x, address 0x%llx)\n",
            what, rc, run->function, run->exception_vector, run->exception_error_code,
            (unsigned long long)run->exception_addr);
    _exit(EXIT_STATUS_BROKEN);
}

/* No entry is served once another thread is on its way out with OCALL exit, which then ends the process. */
NORETURN static void refused(const struct ocall_thread *t, const struct sgx_run *run)
{
    usleep(t->host->end_wait_us);
    broken("the enclave came out and asks for nothing", run, 0);
}

/* One entry and its end. returns: false when the thread ended. */
static bool enter_once(struct ocall_thread *t, struct sgx_run *run, enum enter_event *event,
                       uint64_t *arg, unsigned *function)
{
    struct ocall_host *h = t->host;
    int rc;

    __atomic_store_n(&t->where, OCALL_WHERE_ENTERING, __ATOMIC_SEQ_CST);
    if (*event == ENTER_OCALL_RETURN && *function == SGX_EENTER)
        t->frame->signals = signals_for_answer(t);
    else if (is_wanted(t)) /* it came after the last look, and before `where` told the handler */
        retry_later(t);
    if (*function == SGX_EENTER && !t->at_cssa1)
        t->frame->number = OCALL_INVALID;
    rc = h->backend->enter(*event, *arg, (unsigned long)t->frame, *function, 0, 0, run);
    __atomic_store_n(&t->where, OCALL_WHERE_OUT, __ATOMIC_SEQ_CST);
    if (rc < 0)
        broken("the enclave cannot be entered", run, rc);
    *arg = 0;
    if (run->function != SGX_EEXIT) {
        if (t->at_cssa1)
            broken("the enclave failed while handling an exception", run, rc);
        t->at_cssa1 = 1;
        *event = ENTER_EXCEPTION;
        *function = SGX_EENTER;
        return true;
    }
    if (!t->at_cssa1) {
        /* It refused the entry: serving the last OCALL again would do it twice. */
        if (t->frame->number == OCALL_INVALID)
            refused(t, run);
        *event = ENTER_OCALL_RETURN;
        *function = SGX_EENTER;
        return h->serve(t);
    }
    if (is_wanted(t)) {
        __atomic_store_n(&t->kicked, 0, __ATOMIC_SEQ_CST);
        *event = ENTER_SIGNAL;
        *arg = (uint64_t)signal_take(h);
        t->signalled |= *arg != 0;
        *function = SGX_EENTER;
        return true;
    }
    t->at_cssa1 = 0;
    *function = SGX_ERESUME;
    return true;
}

static void retry_timer_make(struct ocall_thread *t)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID,
        .sigev_signo = ocall_kick_signal(),
    };

    event._sigev_un._tid = t->tid;
    t->has_timer = timer_create(CLOCK_MONOTONIC, &event, &t->retry_timer) == 0;
}

/* What a host thread needs before it enters. */
static void thread_prepare(struct ocall_thread *t)
{
    struct sgx_run run = { .tcs = slot_tcs(t->slot) };
    int rc = t->host->backend->thread_init(t->host->enclave);

    if (rc < 0)
        broken("a thread cannot use the enclave", &run, rc);
    t_self = t;
    /* A thread begins with the slack that the thread which made it has just then. */
    prctl(PR_SET_TIMERSLACK, t->host->timer_slack_ns);
    __atomic_store_n(&t->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    retry_timer_make(t);
}

/* From an entry at CSSA 0 to the end of the enclave's thread. */
static void thread_run(struct ocall_thread *t, enum enter_event event, uint64_t arg)
{
    struct sgx_run run = { .tcs = slot_tcs(t->slot) };
    unsigned function = SGX_EENTER;

    /* What came for the slot's last thread: a kick that is still noted would hold back the next. */
    __atomic_store_n(&t->wake, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->kicked, 0, __ATOMIC_SEQ_CST);
    t->signalled = false;
    while (enter_once(t, &run, &event, &arg, &function))
        ;
}

NORETURN static void thread_serve_starts(struct ocall_thread *t)
{
    for (;;) {
        __atomic_store_n(&t->idle, 1, __ATOMIC_SEQ_CST);
        /* A signal that this thread got as it left, inside or outside: nobody may have seen it. */
        if (t->signalled || __atomic_load_n(&t->host->signals, __ATOMIC_SEQ_CST))
            kick_another();
        ocall_thread_wait(t);
        thread_run(t, ENTER_THREAD, 0);
    }
}

static void *thread_main(void *arg)
{
    thread_prepare(arg);
    thread_serve_starts(arg);
}

static void signals_init(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigfillset(&action.sa_mask);
    /* Exceptions of the enclave must be served even while a signal is being handled. */
    sigdelset(&action.sa_mask, SIGSEGV);
    sigdelset(&action.sa_mask, SIGBUS);
    sigdelset(&action.sa_mask, SIGILL);
    sigdelset(&action.sa_mask, SIGFPE);
    sigdelset(&action.sa_mask, SIGTRAP);
    sigdelset(&action.sa_mask, SIGSYS);
    sigaction(SIGPIPE, &ignore, NULL);
    for (int signo = 1; signo < 32; signo++)
        if (START_SIGNALS & (1u << (signo - 1)))
            sigaction(signo, &action, NULL);
    sigaction(ocall_kick_signal(), &action, NULL);
    sigaction(loader_death_signal(), &action, NULL);
}

void loader_run(struct loader *l)
{
    struct ocall_host *h = &l->ocall;
    const struct ocall_seccomp_options seccomp = { .exec_end = l->descriptor.elrange_size,
                                                   .has_quote = h->quote != NULL,
                                                   .has_mounts = l->options.mount_count > 0 };

    h->backend = l->backend;
    h->thread_main = thread_main;
    if (!h->serve)
        h->serve = ocall_serve;
    if (!h->end_wait_us)
        h->end_wait_us = END_WAIT_US;
    pthread_mutex_init(&h->lock, NULL);
    pthread_attr_init(&h->thread_attr);
    pthread_attr_setdetachstate(&h->thread_attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&h->thread_attr, 128 * 1024);
    h->timer_slack_ns = (unsigned long)MAX(prctl(PR_GET_TIMERSLACK), 0);
    h->threads[0].host = h;
    h->threads[0].exists = true;
    g_host = h;
    signals_init();
    thread_prepare(&h->threads[0]);
    if (ocall_seccomp_enforce(&seccomp) < 0 && l->options.verbose)
        fputs("cloche: this kernel has no seccomp; the loader runs without its list\n", stderr);
    thread_run(&h->threads[0], ENTER_START, (uint64_t)&l->start);
    /* The first thread ended; the enclave may give its slot to another. */
    thread_serve_starts(&h->threads[0]);
}
