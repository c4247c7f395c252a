/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduling calls. Trusted. The host schedules: what programs set here is checked and accepted as far
 * as Linux would accept it from an unprivileged process, and changes nothing.
 */
#include <asm/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/cpus.h"
#include "tee/libos/task/clocks.h"
#include "tee/libos/task/task.h"

#define RR_INTERVAL_NS 100000000u

/* 0 or a thread that exists. */
static int check_tid(int32_t tid)
{
    struct thread *t;

    if (tid < 0)
        return -EINVAL;
    if (tid == 0)
        return 0;
    t = thread_find(tid);
    thread_unref(t);
    return t ? 0 : -ESRCH;
}

SYSCALL_DEFINE(sched_yield)
{
    ocall_yield();
    return 0;
}

SYSCALL_DEFINE(sched_getaffinity)
{
    uint8_t mask[CPU_COUNT_MAX / 8] = { 0 };
    uint32_t count = cpu_count();
    size_t size = ALIGN_UP((count + 7) / 8, 8u);
    int rc = check_tid((int32_t)a);

    if (rc < 0)
        return rc;
    if (b < size || b % sizeof(uint64_t))
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        mask[i / 8] |= (uint8_t)(1u << (i % 8));
    return user_copy_out(c, mask, size) < 0 ? -EFAULT : (int64_t)size;
}

SYSCALL_DEFINE(sched_setaffinity)
{
    uint8_t mask[CPU_COUNT_MAX / 8] = { 0 };
    bool has_cpu = false;
    int rc = check_tid((int32_t)a);

    if (rc < 0)
        return rc;
    if (user_copy_in(mask, c, MIN(b, sizeof mask)) < 0)
        return -EFAULT;
    for (uint32_t i = 0; i < cpu_count(); i++)
        has_cpu |= mask[i / 8] >> (i % 8) & 1;
    return has_cpu ? 0 : -EINVAL;
}

SYSCALL_DEFINE(getcpu)
{
    uint32_t zero = 0;

    if (a && USER_PUT(a, &zero) < 0)
        return -EFAULT;
    return b && USER_PUT(b, &zero) < 0 ? -EFAULT : 0;
}

static bool is_policy(uint32_t policy)
{
    return policy <= SCHED_BATCH || policy == SCHED_IDLE;
}

static int check_policy(int32_t tid, uint32_t policy, int32_t priority)
{
    bool is_realtime = policy == SCHED_FIFO || policy == SCHED_RR;
    int rc = check_tid(tid);

    if (rc < 0)
        return rc;
    if (!is_policy(policy) || priority < (is_realtime ? 1 : 0) || priority > (is_realtime ? 99 : 0))
        return -EINVAL;
    return is_realtime ? -EPERM : 0; /* RLIMIT_RTPRIO is 0 */
}

SYSCALL_DEFINE(sched_setscheduler)
{
    int32_t priority;

    if (USER_GET(&priority, c) < 0)
        return -EFAULT;
    return check_policy((int32_t)a, (uint32_t)b & ~(uint32_t)SCHED_RESET_ON_FORK, priority);
}

SYSCALL_DEFINE(sched_setparam)
{
    int32_t priority;

    if (USER_GET(&priority, b) < 0)
        return -EFAULT;
    return check_policy((int32_t)a, SCHED_NORMAL, priority);
}

SYSCALL_DEFINE(sched_getscheduler)
{
    int rc = check_tid((int32_t)a);

    return rc < 0 ? rc : SCHED_NORMAL;
}

SYSCALL_DEFINE(sched_getparam)
{
    int32_t priority = 0;
    int rc = check_tid((int32_t)a);

    if (rc < 0)
        return rc;
    return USER_PUT(b, &priority) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(sched_setattr)
{
    struct sched_attr attr;

    if (USER_GET(&attr, b) < 0)
        return -EFAULT;
    if (attr.size < SCHED_ATTR_SIZE_VER0)
        return -E2BIG;
    return check_policy((int32_t)a, attr.sched_policy, (int32_t)attr.sched_priority);
}

SYSCALL_DEFINE(sched_getattr)
{
    struct sched_attr attr = { .size = sizeof attr };
    int rc = check_tid((int32_t)a);

    if (rc < 0)
        return rc;
    if (c < SCHED_ATTR_SIZE_VER0)
        return -EINVAL;
    attr.size = (uint32_t)MIN(c, sizeof attr);
    return user_copy_out(b, &attr, attr.size) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(sched_get_priority_max)
{
    if (!is_policy((uint32_t)a) && a != SCHED_DEADLINE)
        return -EINVAL;
    return a == SCHED_FIFO || a == SCHED_RR ? 99 : 0;
}

SYSCALL_DEFINE(sched_get_priority_min)
{
    if (!is_policy((uint32_t)a) && a != SCHED_DEADLINE)
        return -EINVAL;
    return a == SCHED_FIFO || a == SCHED_RR ? 1 : 0;
}

SYSCALL_DEFINE(sched_rr_get_interval)
{
    struct __kernel_timespec ts = timespec_from_ns(RR_INTERVAL_NS);
    int rc = check_tid((int32_t)a);

    if (rc < 0)
        return rc;
    return USER_PUT(b, &ts) < 0 ? -EFAULT : 0;
}

SYSCALL_DEFINE(getpriority)
{
    if (a > PRIO_USER)
        return -EINVAL;
    return 20; /* nice 0, as the system call shows it */
}

SYSCALL_DEFINE(setpriority)
{
    if (a > PRIO_USER)
        return -EINVAL;
    return (int32_t)c < 0 && process_cred()->euid != 0 ? -EACCES : 0;
}

SYSCALL_DEFINE(ioprio_get)
{
    return 0;
}

SYSCALL_DEFINE(ioprio_set)
{
    return 0;
}
