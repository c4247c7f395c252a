/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and threads: their table, references, and attention (making a thread notice). Trusted.
 * Process and thread ids come from one sequence, as on Linux.
 */
#include "tee/libos/task/task.h"

#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/resource.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/vfork.h"

#define TID_BUCKETS 256u
#define PID_LIMIT 4194304 /* as Linux on 64 bits */
#define NOFILE_SOFT 1024u
#define SIGPENDING_MAX 4096u
#define XSTATE_ALIGN 64u

static struct spin g_tasks; /* guards all below; g_processes changes under the family lock too */
static struct process *g_processes;
static struct process *g_pids[TID_BUCKETS];
static struct thread *g_tids[TID_BUCKETS];
static int32_t g_last_id;
static uint32_t g_process_count; /* atomic; with those that are not published yet */
static uint32_t g_thread_count;  /* atomic */
static uint32_t g_threads_max = UINT32_MAX;

void task_limits(unsigned threads_max)
{
    g_threads_max = threads_max;
}

unsigned task_thread_count(void)
{
    return __atomic_load_n(&g_thread_count, __ATOMIC_RELAXED);
}

struct thread *thread_current(void)
{
    return current();
}

/* ---- the table ---- */

static struct thread *find_tid(int32_t tid)
{
    struct thread *t = g_tids[(uint32_t)tid % TID_BUCKETS];

    while (t && t->tid != tid)
        t = t->next_tid;
    return t;
}

static struct process *find_pid(int32_t pid)
{
    struct process *p = g_pids[(uint32_t)pid % TID_BUCKETS];

    while (p && p->pid != pid)
        p = p->next_pid;
    return p;
}

/* A process, group or session has this id. */
static bool is_taken(int32_t id)
{
    for (const struct process *p = g_processes; p; p = p->next_all)
        if (p->pid == id || __atomic_load_n(&p->pgid, __ATOMIC_RELAXED) == id ||
            __atomic_load_n(&p->sid, __ATOMIC_RELAXED) == id)
            return true;
    return false;
}

static int32_t new_id(void)
{
    do
        g_last_id = g_last_id >= PID_LIMIT ? 300 : g_last_id + 1;
    while (find_tid(g_last_id) || is_taken(g_last_id));
    return g_last_id;
}

static void add_tid(struct thread *t)
{
    struct thread **chain = &g_tids[(uint32_t)t->tid % TID_BUCKETS];

    t->next_tid = *chain;
    *chain = t;
}

static void remove_tid(struct thread *t)
{
    struct thread **link = &g_tids[(uint32_t)t->tid % TID_BUCKETS];

    while (*link && *link != t)
        link = &(*link)->next_tid;
    if (*link)
        *link = t->next_tid;
}

struct process *process_find(int32_t pid)
{
    struct process *p;

    spin_lock(&g_tasks);
    p = find_pid(pid);
    if (p)
        process_ref(p);
    spin_unlock(&g_tasks);
    return p;
}

struct thread *thread_find(int32_t tid)
{
    struct thread *t;

    spin_lock(&g_tasks);
    t = find_tid(tid);
    if (t)
        thread_ref(t);
    spin_unlock(&g_tasks);
    return t;
}

void process_each(void (*fn)(struct process *p, void *arg), void *arg)
{
    spin_lock(&g_tasks);
    for (struct process *p = g_processes; p; p = p->next_all)
        fn(p, arg);
    spin_unlock(&g_tasks);
}

struct process *process_list(void)
{
    return g_processes;
}

void process_publish(struct process *p)
{
    struct process **chain = &g_pids[(uint32_t)p->pid % TID_BUCKETS];

    process_ref(p);
    family_lock();
    children_add(p);
    spin_lock(&g_tasks);
    p->next_all = g_processes;
    g_processes = p;
    p->next_pid = *chain;
    *chain = p;
    spin_unlock(&g_tasks);
    family_unlock();
}

void process_unpublish(struct process *p)
{
    struct process **link = &g_processes;

    spin_lock(&g_tasks);
    while (*link && *link != p)
        link = &(*link)->next_all;
    if (*link)
        *link = p->next_all;
    link = &g_pids[(uint32_t)p->pid % TID_BUCKETS];
    while (*link && *link != p)
        link = &(*link)->next_pid;
    if (*link)
        *link = p->next_pid;
    spin_unlock(&g_tasks);
    __atomic_store_n(&p->is_reaped, true, __ATOMIC_RELEASE);
}

/* ---- processes ---- */

static const struct rlimit64_pair g_default_limits[RLIMIT_COUNT] = {
    [RLIMIT_CPU] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_FSIZE] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_DATA] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_STACK] = { 8u << 20, UINT64_MAX },
    [RLIMIT_CORE] = { 0, UINT64_MAX },
    [RLIMIT_RSS] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_NPROC] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_NOFILE] = { NOFILE_SOFT, FD_COUNT_MAX },
    [RLIMIT_MEMLOCK] = { 8u << 20, 8u << 20 },
    [RLIMIT_AS] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_LOCKS] = { UINT64_MAX, UINT64_MAX },
    [RLIMIT_SIGPENDING] = { SIGPENDING_MAX, SIGPENDING_MAX },
    [RLIMIT_MSGQUEUE] = { 819200, 819200 },
    [RLIMIT_NICE] = { 0, 0 },
    [RLIMIT_RTPRIO] = { 0, 0 },
    [RLIMIT_RTTIME] = { UINT64_MAX, UINT64_MAX },
};

static bool count_process(void)
{
    if (__atomic_add_fetch(&g_process_count, 1, __ATOMIC_RELAXED) <= PROCESSES_MAX)
        return true;
    __atomic_sub_fetch(&g_process_count, 1, __ATOMIC_RELAXED);
    return false;
}

int process_new(struct process *parent, struct process **ret)
{
    struct process *p;

    if (!count_process())
        return -EAGAIN;
    p = mem_zalloc(sizeof *p);
    if (p)
        p->pending = sig_queue_new();
    if (!p || !p->pending) {
        __atomic_sub_fetch(&g_process_count, 1, __ATOMIC_RELAXED);
        mem_free(p);
        return -ENOMEM;
    }
    if (parent)
        process_ref(parent);
    p->refs = 1;
    p->parent = parent;
    p->exit_signal = SIGCHLD;
    p->umask = parent ? parent->umask : 022;
    p->dumpable = 1;
    memcpy(p->limits, parent ? parent->limits : g_default_limits, sizeof p->limits);
    p->start_ns = clock_boottime_ns();
    spin_lock(&g_tasks);
    p->pid = new_id();
    spin_unlock(&g_tasks);
    p->pgid = parent ? parent->pgid : p->pid;
    p->sid = parent ? parent->sid : p->pid;
    *ret = p;
    return 0;
}

void process_ref(struct process *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
}

static void free_process(struct process *p)
{
    for (struct cred *c = p->creds, *next; c; c = next) {
        next = c->next_used;
        mem_free(c);
    }
    sig_queue_free(p->pending);
    sig_state_unref(p->sig);
    mem_free(p->exe_path);
    mem_free(p->cmdline);
    mem_free(p);
    __atomic_sub_fetch(&g_process_count, 1, __ATOMIC_RELAXED);
}

void process_unref(struct process *p)
{
    while (p && __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        struct process *parent = p->parent;

        free_process(p);
        p = parent;
    }
}

/* ---- threads ---- */

/* Counts a thread against the limit of the enclave. */
static int count_thread(void)
{
    if (__atomic_add_fetch(&g_thread_count, 1, __ATOMIC_RELAXED) <= g_threads_max)
        return 0;
    __atomic_sub_fetch(&g_thread_count, 1, __ATOMIC_RELAXED);
    return -EAGAIN;
}

int thread_new(struct process *p, bool as_leader, struct thread **ret)
{
    struct thread *t = mem_zalloc(sizeof *t);
    int rc;

    if (!t)
        return -ENOMEM;
    t->refs = 2; /* the caller's and the table's */
    t->slot = UINT32_MAX;
    t->pending = sig_queue_new();
    rc = t->pending ? count_thread() : -ENOMEM;
    if (rc < 0) {
        sig_queue_free(t->pending);
        mem_free(t);
        return rc;
    }
    process_ref(p);
    t->process = p;
    t->cpu_start_ns = clock_monotonic_ns();
    if (current())
        sched_inherit(current(), &t->sched);
    spin_lock(&g_tasks);
    t->tid = as_leader ? p->pid : new_id();
    add_tid(t);
    spin_unlock(&g_tasks);
    mutex_lock(&p->lock);
    t->next = p->threads;
    p->threads = t;
    __atomic_store_n(&p->thread_count, p->thread_count + 1, __ATOMIC_RELEASE);
    mutex_unlock(&p->lock);
    *ret = t;
    return 0;
}

void thread_ref(struct thread *t)
{
    __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
}

void thread_unref(struct thread *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    sig_queue_free(t->pending);
    mem_free(t->start_regs);
    mem_free(t->xstate_block);
    process_unref(t->process);
    mem_free(t);
}

void thread_remove(struct thread *t)
{
    struct process *p = t->process;
    struct thread **link = &p->threads;

    mutex_lock(&p->lock);
    while (*link && *link != t)
        link = &(*link)->next;
    if (*link)
        *link = t->next;
    p->dead_cpu_ns += thread_cpu_ns(t);
    __atomic_store_n(&p->thread_count, p->thread_count - 1, __ATOMIC_RELEASE);
    mutex_unlock(&p->lock);
    spin_lock(&g_tasks);
    remove_tid(t);
    spin_unlock(&g_tasks);
    __atomic_sub_fetch(&g_thread_count, 1, __ATOMIC_RELAXED);
    wait_wake(&p->thread_wait, WAKE_ALL, 0);
    thread_unref(t);
}

void thread_become_leader(struct thread *t)
{
    spin_lock(&g_tasks);
    if (t->tid != t->process->pid) {
        remove_tid(t);
        t->tid = t->process->pid;
        add_tid(t);
    }
    spin_unlock(&g_tasks);
}

void *thread_xstate(struct thread *t)
{
    if (!t->xstate) {
        t->xstate_block = mem_zalloc(xstate_size() + XSTATE_ALIGN);
        if (t->xstate_block)
            t->xstate = (void *)ALIGN_UP((uintptr_t)t->xstate_block, XSTATE_ALIGN);
    }
    return t->xstate;
}

void thread_set_name(struct thread *t, const char *name)
{
    size_t len = strnlen(name, sizeof t->name - 1);

    memset(t->name, 0, sizeof t->name);
    memcpy(t->name, name, len);
}

uint64_t thread_cpu_ns(const struct thread *t)
{
    uint64_t now_ns = clock_monotonic_ns(), age_ns = now_ns - t->cpu_start_ns;
    uint64_t since_ns = __atomic_load_n(&t->asleep_since_ns, __ATOMIC_RELAXED);
    uint64_t slept_ns = __atomic_load_n(&t->slept_ns, __ATOMIC_RELAXED);

    if (since_ns && now_ns > since_ns)
        slept_ns += now_ns - since_ns;
    return age_ns > slept_ns ? age_ns - slept_ns : 0;
}

uint64_t process_cpu_ns(struct process *p)
{
    uint64_t sum_ns;

    mutex_lock(&p->lock);
    sum_ns = p->dead_cpu_ns;
    for (struct thread *t = p->threads; t; t = t->next)
        sum_ns += thread_cpu_ns(t);
    mutex_unlock(&p->lock);
    return sum_ns;
}

/* ---- attention ---- */

/* t runs, or sleeps, on its own slot. */
static void make_notice(struct thread *t)
{
    if (t == current())
        return;
    thread_wake(t);
    if (!__atomic_load_n(&t->parked, __ATOMIC_SEQ_CST) && t->slot != UINT32_MAX)
        ocall_kick(t->slot);
}

void thread_attention(struct thread *t, uint32_t bits)
{
    struct thread *runner;

    /* Pairs with wait_sleep: attention before the token, there the token's taking before the look. */
    __atomic_or_fetch(&t->attention, bits, __ATOMIC_SEQ_CST);
    if (t == current())
        return;
    runner = vfork_runner_find(t);
    if (LIKELY(!runner)) {
        make_notice(t);
        return;
    }
    __atomic_or_fetch(&runner->attention, TASK_ATTENTION_PARENT, __ATOMIC_SEQ_CST);
    make_notice(runner);
    thread_unref(runner);
}

bool thread_must_die(void)
{
    return __atomic_load_n(&current()->attention, __ATOMIC_ACQUIRE) & TASK_ATTENTION_DIE;
}
