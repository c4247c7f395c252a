/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/stat, statm and status, of processes and of threads (proc(5)). Trusted. */
#include "tee/enclave/clock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/group.h"

#include <linux/errno.h>
#include <linux/resource.h>

#define STAT_FLAGS 0x400000u /* PF_RANDOMIZE: as every program shows */
#define WORD32 0x7fffffffu   /* stat shows the first 31 signals only */

/* What the files show, read once. */
struct facts {
    struct process *p;     /* a reference */
    struct thread *thread; /* of the key, a reference; NULL: the leader is gone */
    char name[TASK_NAME_SIZE];
    char state;
    int32_t id, parent, pgid, sid, exit_signal;
    uint64_t device; /* of the terminal */
    int32_t foreground;
    unsigned threads;
    uint64_t cpu_ns, children_cpu_ns;
    uint64_t pending, shared_pending, blocked, ignored, caught;
    size_t queued;
    struct mm_stats mm;
    uint64_t peak_pages;
};

struct thread *proc_thread(const struct pseudo_key *k)
{
    struct thread *t = thread_find(k->tid ? k->tid : k->pid);

    if (t && t->process->pid != k->pid) {
        thread_unref(t);
        return NULL;
    }
    return t;
}

void proc_name(struct process *p, const struct pseudo_key *k, char ret[TASK_NAME_SIZE])
{
    struct thread *t = proc_thread(k);

    memset(ret, 0, TASK_NAME_SIZE);
    mutex_lock(&p->lock);
    if (t)
        memcpy(ret, t->name, TASK_NAME_SIZE - 1);
    else
        memcpy(ret, p->threads ? p->threads->name : p->name, TASK_NAME_SIZE - 1);
    mutex_unlock(&p->lock);
    thread_unref(t);
}

static char state_of(const struct process *p, const struct thread *t)
{
    if (__atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE))
        return 'Z';
    if (__atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE))
        return 'T';
    return t && (t == thread_current() ||
                 __atomic_load_n(&t->asleep_since_ns, __ATOMIC_RELAXED) == 0)
               ? 'R'
               : 'S';
}

static void read_family(struct facts *f)
{
    struct process *p = f->p;

    family_lock();
    f->parent = p->parent ? p->parent->pid : 0;
    f->pgid = p->pgid;
    f->sid = p->sid;
    f->exit_signal = p->exit_signal;
    f->children_cpu_ns = p->children_usage.cpu_ns;
    family_unlock();
    session_tty_stat(f->sid, &f->device, &f->foreground);
}

static void read_signals(struct facts *f)
{
    struct sig_state *s = f->p->sig;

    f->shared_pending = sig_queue_mask(f->p->pending);
    f->queued = f->p->pending->count;
    if (f->thread) {
        f->pending = sig_queue_mask(f->thread->pending);
        f->blocked = f->thread->sig_mask;
        f->queued += f->thread->pending->count;
    }
    if (!s)
        return;
    spin_lock(&s->lock);
    for (int signo = 1; signo <= SIGNAL_COUNT; signo++) {
        uint64_t handler = s->actions[signo - 1].handler;

        f->ignored |= handler == 1 ? SIGNAL_BIT(signo) : 0;
        f->caught |= handler > 1 ? SIGNAL_BIT(signo) : 0;
    }
    spin_unlock(&s->lock);
}

static int facts_read(const struct pseudo_key *k, struct facts *f)
{
    struct mm *mm;

    memset(f, 0, sizeof *f);
    f->p = proc_process(k);
    if (!f->p)
        return -ESRCH;
    f->thread = proc_thread(k);
    if (k->tid && !f->thread) {
        process_unref(f->p);
        return -ESRCH;
    }
    f->id = k->tid ? k->tid : k->pid;
    proc_name(f->p, k, f->name);
    f->state = state_of(f->p, f->thread);
    f->threads = __atomic_load_n(&f->p->thread_count, __ATOMIC_RELAXED);
    f->cpu_ns = k->tid ? thread_cpu_ns(f->thread) : process_cpu_ns(f->p);
    read_family(f);
    read_signals(f);
    mm = proc_mm(f->p);
    if (mm)
        mm_stats(mm, &f->mm);
    mm_unref(mm);
    f->peak_pages = MAX(f->p->peak_pages, f->mm.resident_pages);
    return 0;
}

static void facts_done(struct facts *f)
{
    thread_unref(f->thread);
    process_unref(f->p);
}

int proc_stat_show(struct text *t, const struct pseudo_key *k)
{
    struct facts f;
    int rc = facts_read(k, &f);

    if (rc < 0)
        return rc;
    text_print(t, "%d (%s) %c %d %d %d %lu %d %u 0 0 0 0 ", f.id, f.name, f.state, f.parent, f.pgid,
               f.sid, (unsigned long)f.device, f.foreground, STAT_FLAGS);
    text_print(t, "%lu 0 %lu 0 20 0 %u 0 %lu %lu %zu %lu ", (unsigned long)(f.cpu_ns / NS_PER_TICK),
               (unsigned long)(f.children_cpu_ns / NS_PER_TICK), f.threads,
               (unsigned long)(f.p->start_ns / NS_PER_TICK),
               (unsigned long)(f.mm.total_pages * PAGE_SIZE), f.mm.resident_pages,
               (unsigned long)f.p->limits[RLIMIT_RSS].current);
    text_print(t, "0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 %d 0 0 0 0 0 0 0 0 ",
               (unsigned long)f.mm.stack_start, (unsigned long)(f.pending & WORD32),
               (unsigned long)(f.blocked & WORD32), (unsigned long)(f.ignored & WORD32),
               (unsigned long)(f.caught & WORD32), f.exit_signal);
    text_print(t, "%lu %lu %lu %lu %lu %d\n", (unsigned long)f.mm.brk_start,
               (unsigned long)f.p->arg_start, (unsigned long)f.p->arg_end,
               (unsigned long)f.p->env_start, (unsigned long)f.p->env_end, f.p->exit_code);
    facts_done(&f);
    return 0;
}

int proc_statm_show(struct text *t, const struct pseudo_key *k)
{
    struct facts f;
    int rc = facts_read(k, &f);

    if (rc < 0)
        return rc;
    text_print(t, "%zu %zu %zu %zu 0 %zu 0\n", f.mm.total_pages, f.mm.resident_pages,
               f.mm.shared_pages, f.mm.text_pages, f.mm.data_pages);
    facts_done(&f);
    return 0;
}

/* ---- status ---- */

static const char *state_text(char state)
{
    switch (state) {
    case 'R':
        return "R (running)";
    case 'Z':
        return "Z (zombie)";
    case 'T':
        return "T (stopped)";
    default:
        return "S (sleeping)";
    }
}

static void show_cred(struct text *t, const struct cred *c)
{
    text_print(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t256\nGroups:\t", c->ruid,
               c->euid, c->suid, c->fsuid, c->rgid, c->egid, c->sgid, c->fsgid);
    for (uint32_t i = 0; i < c->group_count; i++)
        text_print(t, "%u ", c->groups[i]);
    text_print(t, "\n");
}

static void show_memory(struct text *t, const struct facts *f)
{
    const struct mm_stats *s = &f->mm;

    text_print(t, "VmPeak:\t%8zu kB\nVmSize:\t%8zu kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\n",
               s->total_pages * 4, s->total_pages * 4);
    text_print(t, "VmHWM:\t%8zu kB\nVmRSS:\t%8zu kB\nRssAnon:\t%8zu kB\nRssFile:\t%8zu kB\n",
               (size_t)f->peak_pages * 4, s->resident_pages * 4, s->resident_pages * 4, (size_t)0);
    text_print(t, "RssShmem:\t%8zu kB\nVmData:\t%8zu kB\nVmStk:\t%8zu kB\nVmExe:\t%8zu kB\n",
               s->shared_pages * 4, s->data_pages * 4, s->stack_pages * 4, s->text_pages * 4);
    text_print(t, "VmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       0 kB\n");
    text_print(t, "CoreDumping:\t0\nTHP_enabled:\t0\n");
}

static void show_signals(struct text *t, const struct facts *f)
{
    text_print(t, "Threads:\t%u\nSigQ:\t%zu/%lu\n", f->threads, f->queued,
               (unsigned long)f->p->limits[RLIMIT_SIGPENDING].current);
    text_print(t, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n", (unsigned long)f->pending,
               (unsigned long)f->shared_pending, (unsigned long)f->blocked);
    text_print(t, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", (unsigned long)f->ignored,
               (unsigned long)f->caught);
}

static void show_cpus(struct text *t)
{
    uint32_t count = cpu_count();

    text_print(t, "Cpus_allowed:\t");
    for (uint32_t words = (count + 31) / 32; words-- > 0;) {
        uint32_t bits = MIN(count - words * 32, 32u);

        text_print(t, "%08x%s", bits == 32 ? UINT32_MAX : (1u << bits) - 1, words ? "," : "\n");
    }
    text_print(t, "Cpus_allowed_list:\t0-%u\n", count - 1);
}

static void show_capabilities(struct text *t, const struct process *p)
{
    const struct cred *c = p->cred;

    text_print(
        t, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
        (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted,
        (unsigned long)c->cap_effective, (unsigned long)CAP_CONTAINER, 0ul);
    text_print(t, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", p->no_new_privs ? 1 : 0);
}

int proc_status_show(struct text *t, const struct pseudo_key *k)
{
    struct facts f;
    int rc = facts_read(k, &f);
    const struct process *p = f.p;

    if (rc < 0)
        return rc;
    text_print(t, "Name:\t%s\n", f.name);
    if (f.state != 'Z')
        text_print(t, "Umask:\t0%u%u%u\n", p->umask >> 6 & 7, p->umask >> 3 & 7, p->umask & 7);
    text_print(t, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
               state_text(f.state), p->pid, f.id, f.parent);
    show_cred(t, p->cred);
    text_print(t, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", p->pid, f.id, f.pgid,
               f.sid);
    if (f.state != 'Z')
        show_memory(t, &f);
    show_signals(t, &f);
    show_capabilities(t, p);
    show_cpus(t);
    text_print(t, "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\n"
                  "nonvoluntary_ctxt_switches:\t0\n");
    facts_done(&f);
    return 0;
}
