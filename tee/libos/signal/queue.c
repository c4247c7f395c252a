/* SPDX-License-Identifier: Apache-2.0 */
/* Pending signals and handlers. Trusted; pure but for the allocator. See queue.h. */
#include "tee/libos/signal/queue.h"

#include <asm/errno.h>

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"

#define HANDLER_DEFAULT 0u
#define HANDLER_IGNORE 1u

/* Signals that the CPU raises: Linux hands them out before others. */
#define SIGNALS_OF_FAULTS                                                                          \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |         \
     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

struct sig_queue *sig_queue_new(void)
{
    return mem_zalloc(sizeof(struct sig_queue));
}

void sig_entry_free_chain(struct sig_entry *e)
{
    while (e) {
        struct sig_entry *next = e->next;

        mem_free(e);
        e = next;
    }
}

void sig_queue_free(struct sig_queue *q)
{
    if (!q)
        return;
    sig_entry_free_chain(q->first);
    mem_free(q);
}

bool sig_queue_add(struct sig_queue *q, int signo, struct sig_entry *entry)
{
    if (signo < SIGNAL_RT_MIN && (q->mask & SIGNAL_BIT(signo)))
        return false;
    if (entry) {
        entry->next = NULL;
        if (q->last)
            q->last->next = entry;
        else
            q->first = entry;
        q->last = entry;
        q->count++;
    }
    __atomic_or_fetch(&q->mask, SIGNAL_BIT(signo), __ATOMIC_SEQ_CST);
    return entry != NULL;
}

static void unlink_entry(struct sig_queue *q, struct sig_entry *prev, struct sig_entry *e)
{
    if (prev)
        prev->next = e->next;
    else
        q->first = e->next;
    if (q->last == e)
        q->last = prev;
    e->next = NULL;
    q->count--;
}

/* Takes the first entry of signo; *ret_more tells whether another one follows. */
static struct sig_entry *take_entry(struct sig_queue *q, int signo, bool *ret_more)
{
    struct sig_entry *prev = NULL, *e = q->first, *found;

    *ret_more = false;
    while (e && e->info.signo != signo) {
        prev = e;
        e = e->next;
    }
    found = e;
    if (!found)
        return NULL;
    for (e = found->next; e && !*ret_more; e = e->next)
        *ret_more = e->info.signo == signo;
    unlink_entry(q, prev, found);
    return found;
}

int sig_queue_take(struct sig_queue *q, uint64_t wanted, struct siginfo_linux *ret,
                   struct sig_entry **ret_entry)
{
    uint64_t ready = q->mask & wanted;
    struct sig_entry *e;
    bool has_more;
    int signo;

    *ret_entry = NULL;
    if (!ready)
        return 0;
    if (ready & SIGNALS_OF_FAULTS)
        ready &= SIGNALS_OF_FAULTS;
    signo = __builtin_ctzll(ready) + 1;
    e = take_entry(q, signo, &has_more);
    if (!has_more)
        __atomic_and_fetch(&q->mask, ~SIGNAL_BIT(signo), __ATOMIC_SEQ_CST);
    if (e)
        *ret = e->info;
    else
        *ret = (struct siginfo_linux){ .signo = signo, .code = 0 /* SI_USER */ };
    *ret_entry = e;
    return signo;
}

struct sig_entry *sig_queue_drop(struct sig_queue *q, uint64_t mask)
{
    struct sig_entry *dropped = NULL, *prev = NULL;

    __atomic_and_fetch(&q->mask, ~mask, __ATOMIC_SEQ_CST);
    for (struct sig_entry *e = q->first, *next; e; e = next) {
        next = e->next;
        if (!(SIGNAL_BIT(e->info.signo) & mask)) {
            prev = e;
            continue;
        }
        unlink_entry(q, prev, e);
        e->next = dropped;
        dropped = e;
    }
    return dropped;
}

struct sig_entry *sig_queue_take_timer(struct sig_queue *q, int signo, int32_t id)
{
    struct sig_entry *prev = NULL, *e = q->first;
    bool has_other = false;

    for (; e; prev = e, e = e->next) {
        if (e->info.signo != signo)
            continue;
        if (e->info.code == SI_TIMER && ((const int32_t *)e->info.fields)[0] == id)
            break;
        has_other = true;
    }
    if (!e)
        return NULL;
    for (const struct sig_entry *o = e->next; o && !has_other; o = o->next)
        has_other = o->info.signo == signo;
    unlink_entry(q, prev, e);
    if (!has_other)
        __atomic_and_fetch(&q->mask, ~SIGNAL_BIT(signo), __ATOMIC_SEQ_CST);
    return e;
}

enum sig_default sig_default_of(int signo)
{
    switch (signo) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
        return SIG_DEFAULT_IGNORE;
    case SIGCONT:
        return SIG_DEFAULT_CONTINUE;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return SIG_DEFAULT_STOP;
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
        return SIG_DEFAULT_CORE;
    default:
        return SIG_DEFAULT_TERMINATE;
    }
}

const char *sig_name(int signo)
{
    static const char *const names[] = {
        "no signal", "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
    };

    return signo >= 0 && signo < (int)ARRAY_COUNT(names) ? names[signo] : "a real-time signal";
}

/* ---- handlers ---- */

struct sig_state *sig_state_new(void)
{
    struct sig_state *s = mem_zalloc(sizeof *s);

    if (s)
        s->refs = 1;
    return s;
}

void sig_state_ref(struct sig_state *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}

void sig_state_unref(struct sig_state *s)
{
    while (s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        struct sig_state *before = s->before;

        mem_free(s);
        s = before;
    }
}

struct sig_state *sig_state_copy(struct sig_state *s, bool clear)
{
    struct sig_state *copy = sig_state_new();

    if (!copy)
        return NULL;
    spin_lock(&s->lock);
    memcpy(copy->actions, s->actions, sizeof copy->actions);
    spin_unlock(&s->lock);
    if (clear)
        sig_state_reset(copy);
    return copy;
}

int sig_state_exec(struct process *p)
{
    struct sig_state *old = p->sig, *own;

    if (__atomic_load_n(&old->refs, __ATOMIC_ACQUIRE) == 1) {
        sig_state_reset(old);
        return 0;
    }
    own = sig_state_copy(old, true);
    if (!own)
        return -ENOMEM;
    own->before = old;
    spin_lock(&old->lock);
    __atomic_store_n(&p->sig, own, __ATOMIC_RELEASE);
    spin_unlock(&old->lock);
    return 0;
}

struct sig_state *sig_state_lock(struct process *p)
{
    for (;;) {
        struct sig_state *s = __atomic_load_n(&p->sig, __ATOMIC_ACQUIRE);

        spin_lock(&s->lock);
        if (LIKELY(s == __atomic_load_n(&p->sig, __ATOMIC_RELAXED)))
            return s;
        spin_unlock(&s->lock);
    }
}

void sig_state_reset(struct sig_state *s)
{
    spin_lock(&s->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        bool is_ignored = s->actions[i].handler == HANDLER_IGNORE;

        memset(&s->actions[i], 0, sizeof s->actions[i]);
        s->actions[i].handler = is_ignored ? HANDLER_IGNORE : HANDLER_DEFAULT;
    }
    spin_unlock(&s->lock);
}

bool sig_state_ignores(const struct sig_state *s, int signo)
{
    uint64_t handler = s->actions[signo - 1].handler;

    if (handler == HANDLER_DEFAULT)
        return sig_default_of(signo) == SIG_DEFAULT_IGNORE;
    return handler == HANDLER_IGNORE;
}
