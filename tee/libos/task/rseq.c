/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rseq(2): registration, CPU numbers, and what aborts a sequence. Trusted. Errors and checks are Linux's.
 */
#include "tee/libos/task/rseq.h"

#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>

#include "abi/image.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/signal/signal.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/sched.h"
#include "tee/libos/task/task.h"

#define FLAG_UNREGISTER 1u
#define CPU_UNINITIALIZED UINT32_MAX
#define USER_ADDRESS_END 0x7ffffffff000ull /* TASK_SIZE */
#define NUMBER_WORDS (LIBOS_SLOT_COUNT_MAX / 64)

/* struct rseq and struct rseq_cs of Linux 6.3 and later. */
struct area_ids {
    uint32_t cpu_id_start, cpu_id;
};
struct area_more {
    uint32_t node_id, mm_cid;
};
#define AREA_CS_OFF 8u
#define AREA_FLAGS_OFF 16u
#define AREA_MORE_OFF 20u
_Static_assert(AREA_MORE_OFF + sizeof(struct area_more) == RSEQ_FEATURE_SIZE, "struct rseq");

struct sequence {
    uint32_t version, flags;
    uint64_t start_ip, size, abort_ip;
};

/* Which numbers are taken. lock is a leaf, below thread->lock. */
static struct {
    struct spin lock;
    uint32_t limit;
    uint64_t taken[NUMBER_WORDS];
} g_numbers;

void rseq_init(uint32_t cpus, uint32_t threads_max)
{
    g_numbers.limit = MAX(cpus, MIN(threads_max, LIBOS_SLOT_COUNT_MAX));
}

uint32_t rseq_cpu_limit(void)
{
    return g_numbers.limit;
}

/* The lowest free number; among those that `among` has, unless it is NULL. Under the lock. */
static int find_free(const uint64_t *among)
{
    uint32_t limit = among ? MIN(g_numbers.limit, CPU_COUNT_MAX) : g_numbers.limit;

    for (uint32_t word = 0; word * 64 < limit; word++) {
        uint64_t free = ~g_numbers.taken[word] & (among ? among[word] : UINT64_MAX);
        uint32_t number = word * 64 + (free ? (uint32_t)__builtin_ctzll(free) : 0);

        if (free && number < limit)
            return (int)number;
    }
    return -EAGAIN;
}

static void number_take(uint32_t number)
{
    g_numbers.taken[number / 64] |= 1ull << number % 64;
}

static void number_drop(uint32_t number)
{
    g_numbers.taken[number / 64] &= ~(1ull << number % 64);
}

/* Among the CPUs that t may use when one of those is free. returns: 0; -EAGAIN: more threads than the enclave may have. */
static int choose(struct thread *t)
{
    int number = -EAGAIN;

    spin_lock(&t->lock);
    spin_lock(&g_numbers.lock);
    if (t->sched.has_cpus)
        number = find_free(t->sched.cpus);
    if (number < 0)
        number = find_free(NULL);
    if (number >= 0) {
        number_take((uint32_t)number);
        t->rseq_cpu = (uint32_t)number;
    }
    spin_unlock(&g_numbers.lock);
    spin_unlock(&t->lock);
    return MIN(number, 0);
}

/* ---- the area ---- */

/* The number is the concurrency id, too: nobody else in these areas of memory has it. There is one node, 0. */
static int write_area(const struct thread *t, uint32_t start, uint32_t cpu, uint32_t cid)
{
    struct area_ids ids = { .cpu_id_start = start, .cpu_id = cpu };
    struct area_more more = { .mm_cid = cid };
    int rc = USER_PUT(t->rseq_area, &ids);

    if (rc == 0 && t->rseq_size >= RSEQ_FEATURE_SIZE)
        rc = USER_PUT(t->rseq_area + AREA_MORE_OFF, &more);
    return rc < 0 ? -EFAULT : 0;
}

static int write_number(const struct thread *t)
{
    return write_area(t, t->rseq_cpu, t->rseq_cpu, t->rseq_cpu);
}

static int clear_sequence(uintptr_t area)
{
    uint64_t none = 0;

    return USER_PUT(area + AREA_CS_OFF, &none) < 0 ? -EFAULT : 0;
}

bool rseq_cpu(const struct thread *t, uint32_t *ret)
{
    if (!t->rseq_area)
        return false;
    *ret = t->rseq_cpu;
    return true;
}

static bool may_use(const struct thread *t, uint32_t cpu)
{
    return cpu < CPU_COUNT_MAX && t->sched.cpus[cpu / 64] >> cpu % 64 & 1;
}

void rseq_move(struct thread *t)
{
    int number = -EAGAIN;

    if (!t->rseq_area)
        return;
    spin_lock(&t->lock);
    spin_lock(&g_numbers.lock);
    if (t->sched.has_cpus && !may_use(t, t->rseq_cpu))
        number = find_free(t->sched.cpus);
    if (number >= 0) {
        number_drop(t->rseq_cpu);
        number_take((uint32_t)number);
        t->rseq_cpu = (uint32_t)number;
    }
    spin_unlock(&g_numbers.lock);
    spin_unlock(&t->lock);
    if (number >= 0 && write_number(t) < 0)
        signal_force(SIGSEGV, SI_KERNEL, 0);
}

void rseq_forget(struct thread *t)
{
    struct thread *parent = t->vfork_parent;

    if (!t->rseq_area)
        return;
    spin_lock(&g_numbers.lock);
    number_drop(t->rseq_cpu);
    spin_unlock(&g_numbers.lock);
    t->rseq_area = 0;
    if (parent) /* may have the same area: its own number is written again before it goes on */
        __atomic_or_fetch(&parent->attention, TASK_ATTENTION_RSEQ, __ATOMIC_SEQ_CST);
}

/* ---- aborting ---- */

static bool is_within(const struct sequence *s, uint64_t address)
{
    return address - s->start_ip < s->size;
}

static int check_sequence(const struct thread *t, const struct sequence *s)
{
    uint32_t signature;

    if (s->version || s->start_ip >= USER_ADDRESS_END || s->size >= USER_ADDRESS_END ||
        s->start_ip + s->size >= USER_ADDRESS_END || s->abort_ip >= USER_ADDRESS_END ||
        s->abort_ip < sizeof signature || is_within(s, s->abort_ip))
        return -EINVAL;
    if (USER_GET(&signature, s->abort_ip - sizeof signature) < 0)
        return -EFAULT;
    return signature == t->rseq_signature ? 0 : -EINVAL;
}

int rseq_abort(struct thread *t, struct regs *regs)
{
    struct sequence s;
    uint64_t at;
    uint32_t flags;
    int rc;

    if (USER_GET(&at, t->rseq_area + AREA_CS_OFF) < 0)
        return -EFAULT;
    if (!at)
        return 0;
    if (at >= USER_ADDRESS_END)
        return -EINVAL;
    if (USER_GET(&s, at) < 0 || USER_GET(&flags, t->rseq_area + AREA_FLAGS_OFF) < 0)
        return -EFAULT;
    rc = check_sequence(t, &s);
    if (rc == 0 && is_within(&s, regs->rip) && (s.flags || flags))
        rc = -EINVAL; /* sequences that some events do not abort: not offered by Linux any more */
    if (rc == 0)
        rc = clear_sequence(t->rseq_area);
    if (rc == 0 && is_within(&s, regs->rip))
        regs->rip = s.abort_ip;
    return rc;
}

void rseq_notice(struct thread *t, struct regs *regs)
{
    if (!t->rseq_area)
        return;
    if (rseq_abort(t, regs) < 0 || write_number(t) < 0)
        signal_force(SIGSEGV, SI_KERNEL, 0);
}

/* ---- the call ---- */

static int64_t unregister_area(struct thread *t, uintptr_t area, uint32_t size, uint32_t signature)
{
    if (!t->rseq_area || t->rseq_area != area || t->rseq_size != size)
        return -EINVAL;
    if (t->rseq_signature != signature)
        return -EPERM;
    if (write_area(t, 0, CPU_UNINITIALIZED, 0) < 0)
        return -EFAULT;
    rseq_forget(t);
    return 0;
}

static int check_area(const struct thread *t, uintptr_t area, uint32_t size, uint32_t signature)
{
    if (t->rseq_area) {
        if (t->rseq_area != area || t->rseq_size != size)
            return -EINVAL;
        return t->rseq_signature == signature ? -EBUSY : -EPERM;
    }
    if (size < RSEQ_SIZE_MIN || area % RSEQ_ALIGN)
        return -EINVAL;
    if (!area || area >= USER_ADDRESS_END || size > USER_ADDRESS_END - area)
        return -EFAULT;
    return 0;
}

static int64_t register_area(struct thread *t, uintptr_t area, uint32_t size, uint32_t signature)
{
    uint64_t sequence;
    int rc;

    if (USER_GET(&sequence, area + AREA_CS_OFF) < 0 || (sequence && clear_sequence(area) < 0))
        return -EFAULT;
    rc = choose(t);
    if (rc < 0)
        return rc;
    t->rseq_area = area;
    t->rseq_size = size;
    t->rseq_signature = signature;
    if (write_number(t) < 0)
        signal_force(SIGSEGV, SI_KERNEL, 0); /* as Linux, on the way back */
    return 0;
}

SYSCALL_DEFINE(rseq)
{
    struct thread *t = thread_current();
    uint32_t size = (uint32_t)b, flags = (uint32_t)c, signature = (uint32_t)d;
    int rc;

    if (t->process->pid == 1)
        return -ENOSYS; /* the agent goes on without, so that the low numbers are the workload's */
    if (flags & ~FLAG_UNREGISTER)
        return -EINVAL;
    if (flags)
        return unregister_area(t, a, size, signature);
    rc = check_area(t, a, size, signature);
    return rc < 0 ? rc : register_area(t, a, size, signature);
}
