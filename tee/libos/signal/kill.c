/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that send signals: kill, tgkill, rt_sigqueueinfo and their kin. Trusted. */
#include "tee/libos/signal/kill.h"

#include <asm/errno.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/capability.h>

#include "tee/libos/mm/user.h"
#include "tee/libos/signal/queue.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/children.h"
#include "tee/libos/task/task.h"

/* 0 asks only whether a signal could be sent. */
static bool is_signal_or_zero(int signo)
{
    return signo >= 0 && signo <= SIGNAL_COUNT;
}

/* The siginfo of kill and tgkill. */
static struct siginfo_linux sender_info(int signo, int code)
{
    struct siginfo_linux info = { .signo = signo, .code = code };
    uint32_t *fields = (uint32_t *)info.fields;

    fields[0] = (uint32_t)process_current()->pid;
    fields[1] = process_cred()->ruid;
    return info;
}

/* Credentials of other processes are read as they are: old ones stay for as long as the process. */
bool kill_is_permitted(struct process *p, int signo)
{
    const struct cred *me = process_cred(), *other = p->cred;

    if (!other || p->pid == 0)
        return false;
    if (p == process_current() || me->euid == other->suid || me->euid == other->ruid ||
        me->ruid == other->suid || me->ruid == other->ruid ||
        (me->cap_effective & (1ull << CAP_KILL)))
        return true;
    return signo == SIGCONT && p->sid == process_current()->sid;
}

static int send_to(struct process *p, int signo, const struct siginfo_linux *info)
{
    if (!is_signal_or_zero(signo))
        return -EINVAL; /* told only about processes that exist, as on Linux */
    if (!kill_is_permitted(p, signo))
        return -EPERM;
    return signo ? signal_send_process(p, signo, info) : 0;
}

static int send_to_pid(int32_t pid, int signo, const struct siginfo_linux *info)
{
    struct process *p = process_find(pid);
    int rc;

    if (!p) { /* any thread's id will do */
        struct thread *t = thread_find(pid);

        if (!t)
            return -ESRCH;
        p = t->process;
        process_ref(p);
        thread_unref(t);
    }
    rc = p->pid ? send_to(p, signo, info) : -ESRCH;
    process_unref(p);
    return rc;
}

/* 0 when at least one could be sent to; else the last reason. */
static int send_to_group(int32_t pgid, int signo, const struct siginfo_linux *info)
{
    bool is_sent = false;
    int rc = -ESRCH;

    family_lock();
    for (struct process *p = process_list(); p; p = p->next_all) {
        if (p->pgid != pgid)
            continue;
        rc = send_to(p, signo, info);
        is_sent |= rc == 0;
    }
    family_unlock();
    return is_sent ? 0 : rc;
}

/* Everything but process 1 and the caller. That nothing may be sent to is no error, as on Linux. */
static int send_to_all(int signo, const struct siginfo_linux *info)
{
    bool is_anybody = false;
    int rc = 0;

    family_lock();
    for (struct process *p = process_list(); p; p = p->next_all) {
        int one;

        if (p->pid == 1 || p == process_current())
            continue;
        is_anybody = true;
        one = send_to(p, signo, info);
        if (one != -EPERM)
            rc = one;
    }
    family_unlock();
    return is_anybody ? rc : -ESRCH;
}

SYSCALL_DEFINE(kill)
{
    int32_t pid = (int32_t)a;
    int signo = (int)b;
    struct siginfo_linux info = sender_info(signo, SI_USER);

    if (pid > 0)
        return send_to_pid(pid, signo, &info);
    if (pid == 0)
        return send_to_group(process_current()->pgid, signo, &info);
    if (pid == -1)
        return send_to_all(signo, &info);
    return pid == INT32_MIN ? -ESRCH : send_to_group(-pid, signo, &info);
}

/* tgid 0: any process. */
static int64_t send_to_tid(int32_t tgid, int32_t tid, int signo, const struct siginfo_linux *info)
{
    struct thread *t = thread_find(tid);
    int rc = 0;

    if (!t || t->exiting || t->process->pid == 0 || (tgid && t->process->pid != tgid))
        rc = -ESRCH;
    else if (!is_signal_or_zero(signo))
        rc = -EINVAL;
    else if (!kill_is_permitted(t->process, signo))
        rc = -EPERM;
    else if (signo)
        rc = signal_send_thread(t, signo, info);
    thread_unref(t);
    return rc;
}

SYSCALL_DEFINE(tgkill)
{
    struct siginfo_linux info = sender_info((int)c, SI_TKILL);

    if ((int32_t)a <= 0 || (int32_t)b <= 0)
        return -EINVAL;
    return send_to_tid((int32_t)a, (int32_t)b, (int)c, &info);
}

SYSCALL_DEFINE(tkill)
{
    struct siginfo_linux info = sender_info((int)b, SI_TKILL);

    if ((int32_t)a <= 0)
        return -EINVAL;
    return send_to_tid(0, (int32_t)a, (int)b, &info);
}

/* Programs may only make up siginfos that cannot be mistaken for the kernel's, but for themselves. */
static int read_info(struct siginfo_linux *info, uintptr_t addr, uint64_t signo, int32_t pid)
{
    if (USER_GET(info, addr) < 0)
        return -EFAULT;
    if ((info->code >= 0 || info->code == SI_TKILL) && pid != process_current()->pid)
        return -EPERM;
    info->signo = (int32_t)signo;
    return 0;
}

SYSCALL_DEFINE(rt_sigqueueinfo)
{
    struct siginfo_linux info;
    int rc = read_info(&info, c, b, (int32_t)a);

    return rc < 0 ? rc : send_to_pid((int32_t)a, (int)b, &info);
}

SYSCALL_DEFINE(rt_tgsigqueueinfo)
{
    struct siginfo_linux info;
    int rc;

    if ((int32_t)a <= 0 || (int32_t)b <= 0)
        return -EINVAL;
    rc = read_info(&info, d, c, (int32_t)a);
    return rc < 0 ? rc : send_to_tid((int32_t)a, (int32_t)b, (int)c, &info);
}

int64_t kill_with_info(struct process *p, uint64_t signo, uintptr_t info_addr)
{
    struct siginfo_linux info = sender_info((int)signo, SI_USER);

    if (info_addr) {
        if (USER_GET(&info, info_addr) < 0)
            return -EFAULT;
        if (info.signo != (int32_t)signo)
            return -EINVAL;
        if (p != process_current() && (info.code >= 0 || info.code == SI_TKILL))
            return -EPERM;
    }
    if (__atomic_load_n(&p->is_reaped, __ATOMIC_ACQUIRE))
        return -ESRCH;
    return send_to(p, (int)signo, &info);
}
