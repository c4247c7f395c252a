/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pending signals and handlers: the data, and its pure operations. Trusted. All of a process's queues and
 * handlers are guarded by sig_state.lock, a leaf spin lock; masks of queues may be read without it.
 */
#pragma once

#include "tee/enclave/lock.h"
#include "tee/libos/signal/signal.h"

#define SIGNAL_COUNT 64
#define SIGNAL_RT_MIN 32
#define SIGNAL_QUEUE_MAX 4096u /* entries of one queue; RLIMIT_SIGPENDING may be lower */

#define SIGNAL_BIT(signo) (1ull << ((signo)-1))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(9) | SIGNAL_BIT(19)) /* SIGKILL, SIGSTOP */

/* As the kernel's struct sigaction. */
struct sig_action {
    uint64_t handler; /* 0 SIG_DFL, 1 SIG_IGN, or an address */
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};
_Static_assert(sizeof(struct sig_action) == 32, "struct sigaction of the kernel");

struct sig_state {
    uint32_t refs;
    struct sig_state *
        before; /* that the process shared until it executed a program; referenced: others may still lock it */
    struct spin lock;
    struct sig_action actions[SIGNAL_COUNT]; /* [signo - 1] */
};

struct sig_entry {
    struct sig_entry *next;
    struct siginfo_linux info;
};

struct sig_queue {
    uint64_t mask; /* bit n-1: signal n pends; atomic */
    unsigned count;
    struct sig_entry *first, *last;
};

struct sig_queue *sig_queue_new(void);    /* NULL: no memory */
void sig_queue_free(struct sig_queue *q); /* accepts NULL */
/* Adds a signal; entry is taken over when true is returned. A standard signal that pends already is dropped (returns
 * false). entry NULL: only the bit (the queue is full, and the signal carries nothing that must not be lost). */
bool sig_queue_add(struct sig_queue *q, int signo, struct sig_entry *entry);
/* Takes the next signal of `wanted`: faults first, then the lowest number. returns: signo, 0: none. *ret_entry (may
 * be NULL'ed) is to be freed by the caller, outside the lock; *ret is its info. */
int sig_queue_take(struct sig_queue *q, uint64_t wanted, struct siginfo_linux *ret,
                   struct sig_entry **ret_entry);
/* Drops all of the signals in `mask`; returns them as a chain to free outside the lock. */
struct sig_entry *sig_queue_drop(struct sig_queue *q, uint64_t mask);
/* Takes out the signal that timer `id` sent (timer_create has one in a queue at most); NULL: there is none. */
struct sig_entry *sig_queue_take_timer(struct sig_queue *q, int signo, int32_t id);
void sig_entry_free_chain(struct sig_entry *e);

static inline uint64_t sig_queue_mask(const struct sig_queue *q)
{
    return __atomic_load_n(&q->mask, __ATOMIC_ACQUIRE);
}

enum sig_default {
    SIG_DEFAULT_TERMINATE,
    SIG_DEFAULT_CORE,
    SIG_DEFAULT_IGNORE,
    SIG_DEFAULT_STOP,
    SIG_DEFAULT_CONTINUE
};
enum sig_default sig_default_of(int signo);
const char *sig_name(int signo); /* "SIGSEGV"; "a real-time signal" */

struct sig_state *sig_state_new(void);
/* A copy with one reference; NULL: no memory. clear: handlers go back to the default (CLONE_CLEAR_SIGHAND, execve). */
struct sig_state *sig_state_copy(struct sig_state *s, bool clear);
/* Gives p handlers of its own, reset as for execve; the calling thread is its only one. returns: 0; -ENOMEM. */
MUST_CHECK int sig_state_exec(struct process *p);
/* Locks the handlers of a process, which may be executing a program just now. */
struct sig_state *sig_state_lock(struct process *p);
void sig_state_ref(struct sig_state *s);
void sig_state_unref(struct sig_state *s);
/* execve: handlers go back to the default, ignored stays ignored. */
void sig_state_reset(struct sig_state *s);
/* True when the action drops the signal on arrival. Under s->lock. */
bool sig_state_ignores(const struct sig_state *s, int signo);
