/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread has asked of the scheduler. Trusted. The host schedules, so none of it has an effect; it is remembered,
 * answered and inherited as Linux does it.
 */
#pragma once

#include "tee/libos/task/cpus.h"

struct cred;
struct thread;
struct process;

/* All zero is what process 1 begins with. Guarded by thread->lock. */
struct sched_state {
    int8_t nice;
    uint8_t policy;   /* SCHED_*, without SCHED_RESET_ON_FORK */
    uint8_t priority; /* 1 to 99 for SCHED_FIFO and SCHED_RR, else 0 */
    bool reset_on_fork;
    bool has_cpus; /* false: all CPUs */
    uint16_t io_priority;
    uint64_t cpus[CPU_COUNT_MAX / 64]; /* at least one, when has_cpus */
};

/* What a thread that `parent` starts begins with. */
void sched_inherit(struct thread *parent, struct sched_state *ret);
/* 0 or a thread that exists, with a reference. returns: 0; -ESRCH. */
MUST_CHECK int sched_thread_find(int32_t tid, struct thread **ret);
/* The caller owns the target or may change anybody's: -EPERM else. */
MUST_CHECK int sched_may_change(const struct thread *target);
/* CAP_SYS_NICE. */
bool sched_is_privileged(void);
/* Whether the process's limits let it have this nice value or a higher one. */
bool sched_may_have_nice(const struct process *p, int nice);
