/* SPDX-License-Identifier: Apache-2.0 */
/* What threads have asked of the scheduler (see sched.h): who may, and what a new thread begins with. Trusted. */
#include "tee/libos/task/sched.h"

#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "tee/libos/task/task.h"

bool sched_is_privileged(void)
{
    return process_cred()->cap_effective >> CAP_SYS_NICE & 1;
}

int sched_thread_find(int32_t tid, struct thread **ret)
{
    struct thread *t = tid == 0 ? thread_current() : tid > 0 ? thread_find(tid) : NULL;

    if (!t)
        return -ESRCH;
    if (tid == 0)
        thread_ref(t);
    *ret = t;
    return 0;
}

int sched_may_change(const struct thread *target)
{
    const struct cred *me = process_cred(), *other = target->process->cred;

    if (me->euid == other->ruid || me->euid == other->euid || sched_is_privileged())
        return 0;
    return -EPERM;
}

bool sched_may_have_nice(const struct process *p, int nice)
{
    return (uint64_t)(20 - nice) <= p->limits[RLIMIT_NICE].current || sched_is_privileged();
}

void sched_inherit(struct thread *parent, struct sched_state *ret)
{
    spin_lock(&parent->lock);
    *ret = parent->sched;
    spin_unlock(&parent->lock);
    if (!ret->reset_on_fork)
        return;
    if (ret->policy == SCHED_FIFO || ret->policy == SCHED_RR) {
        ret->policy = SCHED_NORMAL;
        ret->priority = 0;
        ret->nice = 0;
    }
    ret->nice = MAX(ret->nice, 0);
    ret->reset_on_fork = false;
}
