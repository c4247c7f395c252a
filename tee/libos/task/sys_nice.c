/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nice values and I/O priorities, of threads, groups and users. Trusted. The host schedules: what programs set is
 * checked and remembered as Linux does it, and has no effect.
 */
#include <asm/errno.h>
#include <linux/ioprio.h>
#include <linux/resource.h>

#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/sched.h"
#include "tee/libos/task/task.h"

#define NICE_MIN (-20)
#define NICE_MAX 19

/* Called for each thread that is meant. returns: what the loop makes of it is the caller's. */
typedef void each_fn(struct thread *t, void *arg);

/* PRIO_* and IOPRIO_WHO_* name the same three kinds, one apart. returns: 0; -ESRCH when none is meant. */
static int each_thread(int which, int32_t who, each_fn *fn, void *arg)
{
    uint32_t uid = who ? (uint32_t)who : process_cred()->ruid;
    int32_t pgid = who ? who : process_current()->pgid;
    struct thread *one;
    int rc = -ESRCH;

    if (which == PRIO_PROCESS) {
        rc = sched_thread_find(who, &one);
        if (rc < 0)
            return rc;
        fn(one, arg);
        thread_unref(one);
        return 0;
    }
    family_lock();
    for (struct process *p = process_list(); p; p = p->next_all) {
        if (p->zombie || (which == PRIO_PGRP ? p->pgid != pgid : p->cred->ruid != uid))
            continue;
        mutex_lock(&p->lock);
        for (struct thread *t = p->threads; t; t = t->next) {
            fn(t, arg);
            rc = 0;
        }
        mutex_unlock(&p->lock);
    }
    family_unlock();
    return rc;
}

static void highest_nice(struct thread *t, void *arg)
{
    int64_t *best = arg; /* 20 - nice: 1 to 40 */

    spin_lock(&t->lock);
    *best = MAX(*best, 20 - t->sched.nice);
    spin_unlock(&t->lock);
}

SYSCALL_DEFINE(getpriority)
{
    int64_t best = 0;
    int rc = a > PRIO_USER ? -EINVAL : each_thread((int)a, (int32_t)b, highest_nice, &best);

    return rc < 0 ? rc : best;
}

struct nice_change {
    int nice;
    int error; /* the last one; 0: none */
};

static void change_nice(struct thread *t, void *arg)
{
    struct nice_change *change = arg;
    int rc = sched_may_change(t);

    spin_lock(&t->lock);
    if (rc == 0 && change->nice < t->sched.nice && !sched_may_have_nice(t->process, change->nice))
        rc = -EACCES;
    if (rc == 0)
        t->sched.nice = (int8_t)change->nice;
    spin_unlock(&t->lock);
    if (rc < 0)
        change->error = rc;
}

SYSCALL_DEFINE(setpriority)
{
    struct nice_change change = { .nice = MIN(MAX((int32_t)c, NICE_MIN), NICE_MAX) };
    int rc = a > PRIO_USER ? -EINVAL : each_thread((int)a, (int32_t)b, change_nice, &change);

    return rc < 0 ? rc : change.error;
}

static void highest_io_priority(struct thread *t, void *arg)
{
    uint16_t *best = arg, own;

    spin_lock(&t->lock);
    own = t->sched.io_priority;
    spin_unlock(&t->lock);
    /* None counts as the middle of best effort; a lower number is better. */
    if (own == 0)
        own = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_BE_NORM);
    *best = MIN(*best, own);
}

SYSCALL_DEFINE(ioprio_get)
{
    uint16_t best = UINT16_MAX;
    struct thread *t;
    int rc;

    if (a < IOPRIO_WHO_PROCESS || a > IOPRIO_WHO_USER)
        return -EINVAL;
    if (a == IOPRIO_WHO_PROCESS) {
        rc = sched_thread_find((int32_t)b, &t);
        if (rc < 0)
            return rc;
        spin_lock(&t->lock);
        best = t->sched.io_priority;
        spin_unlock(&t->lock);
        thread_unref(t);
        return best;
    }
    rc = each_thread((int)a - 1, (int32_t)b, highest_io_priority, &best);
    return rc < 0 ? rc : best;
}

struct io_change {
    uint16_t priority;
    int error;
};

static void change_io_priority(struct thread *t, void *arg)
{
    struct io_change *change = arg;
    int rc = sched_may_change(t);

    if (rc < 0) {
        change->error = rc;
        return;
    }
    spin_lock(&t->lock);
    t->sched.io_priority = change->priority;
    spin_unlock(&t->lock);
}

static int check_io_priority(uint32_t priority)
{
    uint32_t class = priority >> IOPRIO_CLASS_SHIFT, level = priority & (IOPRIO_NR_LEVELS - 1);

    switch (class) {
    case IOPRIO_CLASS_RT:
        return sched_is_privileged() ? 0 : -EPERM;
    case IOPRIO_CLASS_BE:
    case IOPRIO_CLASS_IDLE:
        return 0;
    case IOPRIO_CLASS_NONE:
        return level ? -EINVAL : 0;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE(ioprio_set)
{
    struct io_change change = { .priority = (uint16_t)c };
    int rc = c > UINT16_MAX ? -EINVAL : check_io_priority((uint32_t)c);

    if (rc == 0 && (a < IOPRIO_WHO_PROCESS || a > IOPRIO_WHO_USER))
        rc = -EINVAL;
    if (rc == 0)
        rc = each_thread((int)a - 1, (int32_t)b, change_io_priority, &change);
    return rc < 0 ? rc : change.error;
}
