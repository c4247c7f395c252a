/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling calls: policies and CPUs. Trusted. The host schedules: what programs set here is checked and remembered as
 * Linux does it, and has no effect.
 */
#include <asm/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/rseq.h"
#include "tee/libos/task/sched.h"
#include "tee/libos/task/task.h"

#define RR_INTERVAL_NS 100000000u
#define FAIR_INTERVAL_NS 3000000u
#define PRIORITY_MAX 99u
#define NICE_MIN (-20)
#define NICE_MAX 19
/* struct sched_attr may grow; Linux reads up to a page. */
#define ATTR_SIZE_MAX 4096u
#define FLAGS_KNOWN (SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS)

/* A checked request of one of the sched_set calls. */
struct sched_request {
    bool keeps_policy, keeps_params;
    bool reset_on_fork;
    bool has_nice;
    uint32_t policy, priority;
    int nice;
};

static bool is_realtime(uint32_t policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

SYSCALL_DEFINE(sched_yield)
{
    ocall_yield();
    return 0;
}

/* ---- CPUs ---- */

static void all_cpus(uint64_t mask[CPU_COUNT_MAX / 64])
{
    memset(mask, 0, CPU_COUNT_MAX / 8);
    for (uint32_t i = 0; i < cpu_count(); i++)
        mask[i / 64] |= 1ull << (i % 64);
}

SYSCALL_DEFINE(sched_getaffinity)
{
    uint64_t mask[CPU_COUNT_MAX / 64];
    uint32_t given = (uint32_t)b;
    size_t size = ALIGN_UP((cpu_count() + 7) / 8, 8u);
    struct thread *t;
    int rc;

    if (given < size || given % sizeof(uint64_t))
        return -EINVAL;
    rc = sched_thread_find((int32_t)a, &t);
    if (rc < 0)
        return rc;
    all_cpus(mask);
    spin_lock(&t->lock);
    if (t->sched.has_cpus)
        memcpy(mask, t->sched.cpus, sizeof mask);
    spin_unlock(&t->lock);
    thread_unref(t);
    return user_copy_out(c, mask, size) < 0 ? -EFAULT : (int64_t)size;
}

SYSCALL_DEFINE(sched_setaffinity)
{
    uint64_t wanted[CPU_COUNT_MAX / 64] = { 0 }, mask[CPU_COUNT_MAX / 64];
    uint64_t any = 0;
    struct thread *t;
    int rc;

    if (user_copy_in(wanted, c, MIN((uint32_t)b, sizeof wanted)) < 0)
        return -EFAULT;
    rc = sched_thread_find((int32_t)a, &t);
    if (rc < 0)
        return rc;
    all_cpus(mask);
    for (size_t i = 0; i < CPU_COUNT_MAX / 64; i++)
        any |= mask[i] &= wanted[i];
    rc = sched_may_change(t);
    if (rc == 0 && !any)
        rc = -EINVAL;
    if (rc == 0) {
        spin_lock(&t->lock);
        t->sched.has_cpus = true;
        memcpy(t->sched.cpus, mask, sizeof mask);
        spin_unlock(&t->lock);
        if (t == thread_current())
            rseq_move(t);
    }
    thread_unref(t);
    return rc;
}

/* The number of a thread that is registered for sequences (rseq.h), else the first CPU that the thread may use: where it
 * really runs only the host knows. */
SYSCALL_DEFINE(getcpu)
{
    struct thread *t = thread_current();
    uint32_t cpu = 0, node = 0;

    spin_lock(&t->lock);
    if (!rseq_cpu(t, &cpu) && t->sched.has_cpus) {
        while (cpu + 1 < CPU_COUNT_MAX && !(t->sched.cpus[cpu / 64] >> (cpu % 64) & 1))
            cpu++;
    }
    spin_unlock(&t->lock);
    if (a && USER_PUT(a, &cpu) < 0)
        return -EFAULT;
    return b && USER_PUT(b, &node) < 0 ? -EFAULT : 0;
}

/* ---- policies ---- */

/* SCHED_DEADLINE is known to Linux too, and refused below: it takes CAP_SYS_NICE. */
static bool is_policy(uint32_t policy)
{
    return policy <= SCHED_BATCH || policy == SCHED_IDLE || policy == SCHED_DEADLINE;
}

/* What Linux lets a process do that is not privileged. */
static int check_request(const struct thread *t, const struct sched_state *old,
                         const struct sched_request *r)
{
    const struct process *p = process_current();
    uint64_t limit = p->limits[RLIMIT_RTPRIO].current;

    if (!is_policy(r->policy) || r->priority > PRIORITY_MAX ||
        is_realtime(r->policy) != (r->priority != 0))
        return -EINVAL;
    if (sched_is_privileged())
        return r->policy == SCHED_DEADLINE ? -EINVAL : 0;
    if (r->policy == SCHED_DEADLINE)
        return -EPERM;
    if (is_realtime(r->policy) && ((r->policy != old->policy && limit == 0) ||
                                   (r->priority > old->priority && r->priority > limit)))
        return -EPERM;
    if (!is_realtime(r->policy) && r->has_nice && r->nice < old->nice &&
        !sched_may_have_nice(p, r->nice))
        return -EPERM;
    if (old->policy == SCHED_IDLE && r->policy != SCHED_IDLE && !sched_may_have_nice(p, old->nice))
        return -EPERM;
    if (old->reset_on_fork && !r->reset_on_fork)
        return -EPERM;
    return sched_may_change(t);
}

static int64_t apply_request(int32_t tid, struct sched_request *r)
{
    struct sched_state old;
    struct thread *t;
    int rc = sched_thread_find(tid, &t);

    if (rc < 0)
        return rc;
    spin_lock(&t->lock);
    old = t->sched;
    spin_unlock(&t->lock);
    if (r->keeps_policy) {
        r->policy = old.policy;
        r->reset_on_fork = old.reset_on_fork;
    }
    if (r->keeps_params) {
        r->priority = old.priority;
        r->has_nice = false;
    }
    rc = check_request(t, &old, r);
    if (rc == 0) {
        spin_lock(&t->lock);
        t->sched.policy = (uint8_t)r->policy;
        t->sched.priority = (uint8_t)r->priority;
        t->sched.reset_on_fork = r->reset_on_fork;
        if (r->has_nice && !is_realtime(r->policy))
            t->sched.nice = (int8_t)r->nice;
        spin_unlock(&t->lock);
    }
    thread_unref(t);
    return rc;
}

SYSCALL_DEFINE(sched_setscheduler)
{
    uint32_t policy = (uint32_t)b & ~(uint32_t)SCHED_RESET_ON_FORK;
    struct sched_request r = { .policy = policy,
                               .reset_on_fork = (uint32_t)b & SCHED_RESET_ON_FORK };

    if ((int32_t)b < 0 || !c || (int32_t)a < 0)
        return -EINVAL;
    if (USER_GET(&r.priority, c) < 0)
        return -EFAULT;
    return apply_request((int32_t)a, &r);
}

SYSCALL_DEFINE(sched_setparam)
{
    struct sched_request r = { .keeps_policy = true };

    if (!b || (int32_t)a < 0)
        return -EINVAL;
    if (USER_GET(&r.priority, b) < 0)
        return -EFAULT;
    return apply_request((int32_t)a, &r);
}

/* What the thread has; -EINVAL for a negative id. */
static int get_state(int32_t tid, struct sched_state *ret)
{
    struct thread *t;
    int rc = tid < 0 ? -EINVAL : sched_thread_find(tid, &t);

    if (rc < 0)
        return rc;
    spin_lock(&t->lock);
    *ret = t->sched;
    spin_unlock(&t->lock);
    thread_unref(t);
    return 0;
}

SYSCALL_DEFINE(sched_getscheduler)
{
    struct sched_state s;
    int rc = get_state((int32_t)a, &s);

    if (rc < 0)
        return rc;
    return s.policy | (s.reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

SYSCALL_DEFINE(sched_getparam)
{
    struct sched_state s;
    int32_t priority;
    int rc = b ? get_state((int32_t)a, &s) : -EINVAL;

    if (rc < 0)
        return rc;
    priority = s.priority;
    return USER_PUT(b, &priority) < 0 ? -EFAULT : 0;
}

/* Bytes beyond what is known must be zero. */
static int read_attr(uintptr_t from, struct sched_attr *ret)
{
    struct sched_attr attr = { 0 };
    uint32_t size, own = sizeof attr;
    uint8_t rest[64];

    if (USER_GET(&size, from) < 0)
        return -EFAULT;
    if (size == 0)
        size = SCHED_ATTR_SIZE_VER0;
    if (size < SCHED_ATTR_SIZE_VER0 || size > ATTR_SIZE_MAX)
        return USER_PUT(from, &own) < 0 ? -EFAULT : -E2BIG;
    if (user_copy_in(&attr, from, MIN(size, sizeof attr)) < 0)
        return -EFAULT;
    for (uint32_t off = sizeof attr; off < size; off += sizeof rest) {
        size_t part = MIN(size - off, sizeof rest);

        if (user_copy_in(rest, from + off, part) < 0)
            return -EFAULT;
        for (size_t i = 0; i < part; i++) {
            if (rest[i])
                return USER_PUT(from, &own) < 0 ? -EFAULT : -E2BIG;
        }
    }
    *ret = attr;
    return 0;
}

SYSCALL_DEFINE(sched_setattr)
{
    struct sched_attr attr;
    struct sched_request r;
    int rc;

    if (!b || (int32_t)a < 0 || c)
        return -EINVAL;
    rc = read_attr(b, &attr);
    if (rc < 0)
        return rc;
    if ((int32_t)attr.sched_policy < 0 || attr.sched_flags & ~(uint64_t)FLAGS_KNOWN)
        return -EINVAL;
    r = (struct sched_request){
        .keeps_policy = attr.sched_flags & SCHED_FLAG_KEEP_POLICY,
        .keeps_params = attr.sched_flags & SCHED_FLAG_KEEP_PARAMS,
        .reset_on_fork = attr.sched_flags & SCHED_FLAG_RESET_ON_FORK,
        .has_nice = true,
        .policy = attr.sched_policy,
        .priority = attr.sched_priority,
        .nice = MIN(MAX(attr.sched_nice, NICE_MIN), NICE_MAX),
    };
    return apply_request((int32_t)a, &r);
}

SYSCALL_DEFINE(sched_getattr)
{
    struct sched_attr attr = { 0 };
    struct sched_state s;
    int rc;

    if (!b || (uint32_t)c < SCHED_ATTR_SIZE_VER0 || (uint32_t)c > ATTR_SIZE_MAX || d)
        return -EINVAL;
    rc = get_state((int32_t)a, &s);
    if (rc < 0)
        return rc;
    attr.size = (uint32_t)MIN((uint32_t)c, sizeof attr);
    attr.sched_policy = s.policy;
    attr.sched_flags = s.reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
    attr.sched_priority = s.priority;
    attr.sched_nice = is_realtime(s.policy) ? 0 : s.nice;
    return user_copy_out(b, &attr, attr.size) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(sched_get_priority_max)
{
    if (!is_policy((uint32_t)a))
        return -EINVAL;
    return is_realtime((uint32_t)a) ? PRIORITY_MAX : 0;
}

SYSCALL_DEFINE(sched_get_priority_min)
{
    if (!is_policy((uint32_t)a))
        return -EINVAL;
    return is_realtime((uint32_t)a) ? 1 : 0;
}

SYSCALL_DEFINE(sched_rr_get_interval)
{
    struct __kernel_timespec ts;
    struct sched_state s;
    int rc = get_state((int32_t)a, &s);

    if (rc < 0)
        return rc;
    ts = timespec_from_ns(s.policy == SCHED_RR     ? RR_INTERVAL_NS
                          : s.policy == SCHED_FIFO ? 0
                                                   : FAIR_INTERVAL_NS);
    return USER_PUT(b, &ts) < 0 ? -EFAULT : 0;
}
