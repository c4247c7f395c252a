/* SPDX-License-Identifier: Apache-2.0 */
/* prctl, arch_prctl and seccomp. Trusted. */
#include <asm/errno.h>
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

#define SIGNO_MAX 64u
#define TIMER_SLACK_NS 50000
#define ADDRESS_MAX 0x7fffffffffffull

SYSCALL_DEFINE(arch_prctl)
{
    uint64_t base;

    switch ((int32_t)a) {
    case ARCH_SET_FS:
        if (b > ADDRESS_MAX)
            return -EPERM;
        thread_set_fs_base(b);
        return 0;
    case ARCH_GET_FS:
        base = thread_get_fs_base();
        return USER_PUT(b, &base) < 0 ? -EFAULT : 0;
    case ARCH_SET_GS:
    case ARCH_GET_GS:
        syscall_unsupported("arch_prctl: GS base", "GS belongs to the library OS; the program "
                                                   "must keep its thread data in FS");
        return -EPERM;
    default:
        return -EINVAL; /* ARCH_CET_STATUS and others that newer C libraries probe */
    }
}

static int64_t set_name(uintptr_t addr)
{
    char name[TASK_NAME_SIZE];
    int64_t len = user_str_in(name, addr, sizeof name);

    if (len == -ENAMETOOLONG) {
        if (user_copy_in(name, addr, sizeof name - 1) < 0)
            return -EFAULT;
        name[sizeof name - 1] = 0;
    } else if (len < 0) {
        return len;
    }
    thread_set_name(current(), name);
    return 0;
}

static int64_t set_no_new_privs(uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    if (b != 1 || c || d || e)
        return -EINVAL;
    process_current()->no_new_privs = true;
    return 0;
}

static int64_t drop_bounding(uint64_t capability)
{
    if (capability > CAP_LAST_CAP)
        return -EINVAL;
    return process_cred()->cap_effective & (1ull << CAP_SETPCAP) ? 0 : -EPERM;
}

/* Options that have one answer here, whatever the process did before. */
static int64_t fixed_option(int32_t option, uint64_t b, uint64_t c)
{
    switch (option) {
    case PR_GET_SECUREBITS:
    case PR_GET_SECCOMP:
    case PR_GET_TIMING:
    case PR_GET_THP_DISABLE:
        return 0;
    case PR_SET_THP_DISABLE:
    case PR_SET_PTRACER:
    case PR_SET_VMA:
        return 0;
    case PR_SET_TIMING:
        return b == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
        return 0;
    case PR_MCE_KILL_GET:
        return PR_MCE_KILL_DEFAULT;
    case PR_SET_TSC:
        return b == PR_TSC_ENABLE ? 0 : -EINVAL; /* nothing can make RDTSC fault */
    case PR_CAP_AMBIENT:
        if (b == PR_CAP_AMBIENT_IS_SET)
            return c <= CAP_LAST_CAP ? 0 : -EINVAL;
        return b == PR_CAP_AMBIENT_CLEAR_ALL ? 0 : -EPERM;
    case PR_SET_SECCOMP:
        syscall_unsupported("prctl: PR_SET_SECCOMP", "the program goes on without its own filter; "
                                                     "the enclave's boundary stands");
        return -EINVAL;
    default:
        syscall_unsupported("prctl: option", "answered EINVAL as an older Linux would");
        return -EINVAL;
    }
}

SYSCALL_DEFINE(prctl)
{
    struct process *p = process_current();
    struct thread *t = current();
    uint32_t value;

    switch ((int32_t)a) {
    case PR_SET_NAME:
        return set_name(b);
    case PR_GET_NAME:
        return user_copy_out(b, t->name, sizeof t->name) < 0 ? -EFAULT : 0;
    case PR_GET_TIMERSLACK:
        return t->timer_slack_ns ? t->timer_slack_ns : TIMER_SLACK_NS;
    case PR_SET_TIMERSLACK:
        t->timer_slack_ns = b ? (uint32_t)MIN(b, (uint64_t)INT32_MAX) : t->timer_slack_first_ns;
        return 0;
    case PR_GET_TSC:
        value = PR_TSC_ENABLE;
        return USER_PUT(b, &value) < 0 ? -EFAULT : 0;
    case PR_SET_PDEATHSIG:
        if (b > SIGNO_MAX)
            return -EINVAL;
        t->pdeath_signal = (uint32_t)b;
        return 0;
    case PR_GET_PDEATHSIG:
        return USER_PUT(b, &t->pdeath_signal) < 0 ? -EFAULT : 0;
    case PR_SET_DUMPABLE:
        if (b > 1)
            return -EINVAL;
        p->dumpable = (uint32_t)b;
        return 0;
    case PR_GET_DUMPABLE:
        return p->dumpable;
    case PR_SET_NO_NEW_PRIVS:
        return set_no_new_privs(b, c, d, e);
    case PR_GET_NO_NEW_PRIVS:
        return p->no_new_privs;
    case PR_SET_KEEPCAPS:
        if (b > 1)
            return -EINVAL;
        p->keep_caps = b != 0;
        return 0;
    case PR_GET_KEEPCAPS:
        return p->keep_caps;
    case PR_SET_CHILD_SUBREAPER:
        p->child_subreaper = b != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        value = p->child_subreaper;
        return USER_PUT(b, &value) < 0 ? -EFAULT : 0;
    case PR_CAPBSET_READ:
        return b <= CAP_LAST_CAP ? (int64_t)(CAP_CONTAINER >> b & 1) : -EINVAL;
    case PR_CAPBSET_DROP:
        return drop_bounding(b);
    default:
        return fixed_option((int32_t)a, b, c);
    }
}

/* A kernel without filters. They would guard nothing here: system calls are function calls within the enclave. */
SYSCALL_DEFINE(seccomp)
{
    return -EINVAL;
}
