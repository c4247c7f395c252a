/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread asks of the scheduler is remembered, inherited and answered. Each case runs in a thread of its own:
 * much of it cannot be taken back without privileges. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCHED_FLAG_RESET_ON_FORK
#define SCHED_FLAG_RESET_ON_FORK 0x01
#endif
#define SCHED_ATTR_SIZE_VER0 48
#define MISSING_TID 0x3fffff /* above any pid_max of these tests */

/* glibc 2.36 has none, and the kernel's header does not go with <sched.h>. */
struct sched_attr {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
};

static void *call(void *fn)
{
    ((void (*)(void))fn)();
    return NULL;
}

static void in_thread(void (*fn)(void))
{
    pthread_t thread;

    ZERO(pthread_create(&thread, NULL, call, (void *)fn));
    ZERO(pthread_join(thread, NULL));
}

static int nice_of(int which, int who)
{
    errno = 0;
    int nice = getpriority(which, who);

    CHECK_EQ(errno, 0);
    return nice;
}

static void nice_is_inherited(void)
{
    CHECK_EQ(nice_of(PRIO_PROCESS, 0), 4);
}

static void raise_nice(void)
{
    int before = nice_of(PRIO_PROCESS, 0), tid = (int)syscall(SYS_gettid);

    CHECK_EQ(before, 0);
    OK(setpriority(PRIO_PROCESS, 0, 3));
    CHECK_EQ(nice_of(PRIO_PROCESS, 0), 3);
    OK(setpriority(PRIO_PROCESS, tid, 4));
    CHECK_EQ(nice_of(PRIO_PROCESS, tid), 4);
    /* Of the threads of a group the best counts. */
    CHECK_EQ(nice_of(PRIO_PGRP, 0), 0);
    in_thread(nice_is_inherited);
    OK(setpriority(PRIO_PROCESS, 0, 100));
    CHECK_EQ(nice_of(PRIO_PROCESS, 0), 19);
}

TEST(sched_nice)
{
    in_thread(raise_nice);
    CHECK_EQ(nice_of(PRIO_PROCESS, 0), 0);
    FAILS(getpriority(PRIO_USER + 1, 0), EINVAL);
    FAILS(setpriority(PRIO_USER + 1, 0, 0), EINVAL);
    FAILS(getpriority(PRIO_PROCESS, MISSING_TID), ESRCH);
    FAILS(getpriority(PRIO_PROCESS, -5), ESRCH);
    FAILS(setpriority(PRIO_PROCESS, MISSING_TID, 0), ESRCH);
    FAILS(getpriority(PRIO_PGRP, MISSING_TID), ESRCH);
}

static int cpu_count_of(const cpu_set_t *set)
{
    return CPU_COUNT(set);
}

static void affinity_is_inherited(void)
{
    cpu_set_t set;

    OK(sched_getaffinity(0, sizeof set, &set));
    CHECK_EQ(cpu_count_of(&set), 1);
}

static void choose_cpu(void)
{
    cpu_set_t all, one, got;
    unsigned cpu = 0, seen;

    OK(sched_getaffinity(0, sizeof all, &all));
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    for (unsigned i = cpu; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all))
            cpu = i;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    OK(sched_setaffinity(0, sizeof one, &one));
    OK(sched_getaffinity((int)syscall(SYS_gettid), sizeof got, &got));
    CHECK(CPU_EQUAL(&got, &one));
    OK(syscall(SYS_getcpu, &seen, NULL, NULL));
    CHECK_EQ(seen, cpu);
    in_thread(affinity_is_inherited);
    OK(sched_setaffinity(0, sizeof all, &all));
    OK(sched_getaffinity(0, sizeof got, &got));
    CHECK(CPU_EQUAL(&got, &all));
}

TEST(sched_affinity)
{
    cpu_set_t set;
    unsigned long word;

    in_thread(choose_cpu);
    CPU_ZERO(&set);
    FAILS(sched_setaffinity(0, sizeof set, &set), EINVAL);
    CPU_SET(CPU_SETSIZE - 1, &set);
    FAILS(sched_setaffinity(0, sizeof set, &set), EINVAL);
    FAILS(sched_getaffinity(-1, sizeof set, &set), ESRCH);
    FAILS(sched_setaffinity(-1, sizeof set, &set), ESRCH);
    FAILS(sched_getaffinity(MISSING_TID, sizeof set, &set), ESRCH);
    FAILS(syscall(SYS_sched_getaffinity, 0, 7, &word), EINVAL);
    FAILS(syscall(SYS_sched_getaffinity, 0, sizeof set, (void *)8), EFAULT);
    FAILS(syscall(SYS_sched_setaffinity, 0, sizeof set, (void *)8), EFAULT);
}

static void batch_is_inherited(void)
{
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
}

static void choose_policy(void)
{
    struct sched_param param = { 0 };
    struct sched_attr attr = { 0 };

    OK(sched_setscheduler(0, SCHED_BATCH, &param));
    CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
    in_thread(batch_is_inherited);
    param.sched_priority = 1;
    FAILS(sched_setscheduler(0, SCHED_BATCH, &param), EINVAL);
    FAILS(sched_setparam(0, &param), EINVAL);
    param.sched_priority = 0;
    OK(sched_setparam(0, &param));
    FAILS(sched_setscheduler(0, SCHED_FIFO, &param), EINVAL);
    param.sched_priority = 100;
    FAILS(sched_setscheduler(0, SCHED_FIFO, &param), EINVAL);
    param.sched_priority = 0;
    OK(sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &param));
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER | SCHED_RESET_ON_FORK);
    OK(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0));
    CHECK_EQ(attr.sched_flags & SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RESET_ON_FORK);
    attr.sched_nice = 7;
    attr.sched_runtime = 0;
    OK(syscall(SYS_sched_setattr, 0, &attr, 0));
    CHECK_EQ(nice_of(PRIO_PROCESS, 0), 7);
    memset(&attr, 0, sizeof attr);
    OK(syscall(SYS_sched_getattr, 0, &attr, SCHED_ATTR_SIZE_VER0, 0));
    CHECK_EQ(attr.sched_nice, 7);
    CHECK_EQ(attr.sched_policy, SCHED_OTHER);
    OK(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &param));
    CHECK_EQ(sched_getscheduler(0), SCHED_IDLE | SCHED_RESET_ON_FORK);
}

TEST(sched_policy)
{
    struct sched_param param = { 0 };
    struct sched_attr attr = { .size = 8 };
    struct timespec ts;

    in_thread(choose_policy);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    FAILS(sched_setscheduler(0, 77, &param), EINVAL);
    FAILS(sched_setscheduler(-1, SCHED_OTHER, &param), EINVAL);
    FAILS(sched_setscheduler(MISSING_TID, SCHED_OTHER, &param), ESRCH);
    FAILS(sched_getscheduler(-1), EINVAL);
    FAILS(sched_getscheduler(MISSING_TID), ESRCH);
    FAILS(sched_getparam(0, NULL), EINVAL);
    FAILS(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    CHECK_EQ(attr.size >= SCHED_ATTR_SIZE_VER0, 1);
    FAILS(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    FAILS(syscall(SYS_sched_setattr, 0, &attr, 1), EINVAL);
    FAILS(syscall(SYS_sched_getattr, 0, &attr, 8, 0), EINVAL);
    FAILS(sched_get_priority_max(77), EINVAL);
    CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
    OK(sched_rr_get_interval(0, &ts));
    FAILS(sched_rr_get_interval(MISSING_TID, &ts), ESRCH);
}

static void choose_io_priority(void)
{
    CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), 0);
    OK(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6)));
    CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6));
    OK(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
    FAILS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(7, 0)), EINVAL);
    FAILS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 1)),
          EINVAL);
}

TEST(sched_io_priority)
{
    in_thread(choose_io_priority);
    FAILS(syscall(SYS_ioprio_get, 0, 0), EINVAL);
    FAILS(syscall(SYS_ioprio_get, IOPRIO_WHO_USER + 1, 0), EINVAL);
    FAILS(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, MISSING_TID), ESRCH);
    FAILS(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, MISSING_TID, 0), ESRCH);
    FAILS(syscall(SYS_ioprio_set, 0, 0, 0), EINVAL);
}
