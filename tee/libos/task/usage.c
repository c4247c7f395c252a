/* SPDX-License-Identifier: Apache-2.0 */
/* What processes have used: getrusage, times. Trusted. */
#include "tee/libos/task/usage.h"

#include <asm/errno.h>
#include <linux/resource.h>
#include <linux/times.h>

#include "tee/enclave/clock.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/clocks.h"

void usage_note_memory(struct process *p)
{
    struct mm_stats stats;
    struct mm *mm;

    mutex_lock(&p->lock);
    mm = p->mm;
    if (mm)
        mm_ref(mm);
    mutex_unlock(&p->lock);
    if (!mm)
        return;
    mm_stats(mm, &stats);
    mm_unref(mm);
    if (stats.resident_pages > p->peak_pages)
        p->peak_pages = stats.resident_pages;
}

void usage_of_process(struct process *p, struct process_usage *ret)
{
    *ret = (struct process_usage){ .cpu_ns = process_cpu_ns(p), .peak_pages = p->peak_pages };
}

void usage_add(struct process_usage *sum, const struct process_usage *u)
{
    sum->cpu_ns += u->cpu_ns;
    sum->peak_pages = MAX(sum->peak_pages, u->peak_pages);
}

void usage_of_family(struct process *p, struct process_usage *ret)
{
    usage_of_process(p, ret);
    usage_add(ret, &p->children_usage);
}

void usage_encode(const struct process_usage *u, struct rusage *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->ru_utime.tv_sec = (long)(u->cpu_ns / NS_PER_S);
    ret->ru_utime.tv_usec = (long)(u->cpu_ns % NS_PER_S / NS_PER_US);
    ret->ru_maxrss = (long)(u->peak_pages * PAGE_SIZE / 1024);
}

SYSCALL_DEFINE(getrusage)
{
    struct process *p = process_current();
    struct process_usage u;
    struct rusage out;

    switch ((int32_t)a) {
    case RUSAGE_SELF:
    case RUSAGE_THREAD:
        usage_note_memory(p);
        usage_of_process(p, &u);
        if ((int32_t)a == RUSAGE_THREAD)
            u.cpu_ns = thread_cpu_ns(current());
        break;
    case RUSAGE_CHILDREN:
        family_lock();
        u = p->children_usage;
        family_unlock();
        break;
    default:
        return -EINVAL;
    }
    usage_encode(&u, &out);
    return USER_PUT(b, &out) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(times)
{
    struct process *p = process_current();
    struct tms out = { .tms_utime = (long)(process_cpu_ns(p) / USAGE_TICK_NS) };

    family_lock();
    out.tms_cutime = (long)(p->children_usage.cpu_ns / USAGE_TICK_NS);
    family_unlock();
    if (a && USER_PUT(a, &out) < 0)
        return -EFAULT;
    return (int64_t)(clock_boottime_ns() / USAGE_TICK_NS);
}
