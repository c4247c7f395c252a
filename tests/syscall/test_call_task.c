/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about the process, its threads, credentials and clocks, by number. */
#include "tests/syscall/call.h"

#include <linux/capability.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/syscall/children.h"

TEST(call_limits)
{
    struct rlimit limit;

    OK(CALL(getrlimit, RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_cur > 64 ? limit.rlim_cur - 1 : limit.rlim_cur;
    OK(CALL(setrlimit, RLIMIT_NOFILE, &limit));
    FAILS(CALL(getrlimit, 99, &limit), EINVAL);
    FAILS(CALL(getrlimit, RLIMIT_NOFILE, BAD_ADDRESS), EFAULT);
    limit.rlim_cur = limit.rlim_max + 1;
    if (limit.rlim_max != RLIM_INFINITY)
        FAILS(CALL(setrlimit, RLIMIT_NOFILE, &limit), EINVAL);
    FAILS(CALL(setrlimit, 99, &limit), EINVAL);
    FAILS(CALL(setrlimit, RLIMIT_NOFILE, BAD_ADDRESS), EFAULT);
}

/* Changes of ids are tried as a child that shares nothing of its credentials. */
static int change_ids(void *arg)
{
    gid_t groups[3] = { 7, 8, 9 };
    uid_t r, e, s;

    OK(CALL(setgroups, 3, groups));
    CHECK_EQ(OK(CALL(getgroups, 0, NULL)), 3);
    FAILS(CALL(getgroups, 2, groups), EINVAL);
    FAILS(CALL(getgroups, 3, BAD_ADDRESS), EFAULT);
    FAILS(CALL(setgroups, 3, BAD_ADDRESS), EFAULT);
    OK(CALL(setregid, 21, 22));
    OK(CALL(setresgid, -1, 23, 24));
    OK(CALL(getresgid, &r, &e, &s));
    CHECK_EQ(r, 21);
    CHECK_EQ(e, 23);
    CHECK_EQ(s, 24);
    CHECK_EQ(CALL(setfsgid, -1), 23);
    OK(CALL(setreuid, 31, 0));
    OK(CALL(setresuid, 31, 32, 33));
    OK(CALL(getresuid, &r, &e, &s));
    CHECK_EQ(e, 32);
    CHECK_EQ(CALL(setfsuid, -1), 32);
    CHECK_EQ(CALL(getuid), 31);
    CHECK_EQ(CALL(geteuid), 32);
    CHECK_EQ(CALL(getgid), 21);
    CHECK_EQ(CALL(getegid), 23);
    FAILS(CALL(setuid, 0), EPERM);
    FAILS(CALL(setreuid, 0, 0), EPERM);
    FAILS(CALL(setresuid, 0, 0, 0), EPERM);
    FAILS(CALL(setgid, 0), EPERM);
    FAILS(CALL(setregid, 0, 0), EPERM);
    FAILS(CALL(setresgid, 0, 0, 0), EPERM);
    FAILS(CALL(setgroups, 0, NULL), EPERM);
    FAILS(CALL(getresuid, BAD_ADDRESS, &e, &s), EFAULT);
    FAILS(CALL(getresgid, &r, BAD_ADDRESS, &s), EFAULT);
    syscall(SYS_exit_group, 0);
    return 0;
}

TEST(call_ids)
{
    int status;
    pid_t pid = child_start(change_ids, NULL, SIGCHLD);

    CHECK_EQ(OK(CALL(wait4, pid, &status, 0, NULL)), pid);
    CHECK_EQ(status, 0);
    OK(CALL(prctl, PR_SET_DUMPABLE,
            1)); /* the child shared this memory, and its new ids made it undumpable */
}

TEST(call_capabilities)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2], more[2];

    OK(CALL(capget, &header, data));
    memcpy(more, data, sizeof more);
    more[0].permitted = more[1].permitted = UINT32_MAX;
    if (memcmp(more, data, sizeof more) != 0)
        FAILS(CALL(capset, &header, more), EPERM);
    OK(CALL(capset, &header, data));
    FAILS(CALL(capset, &header, BAD_ADDRESS), EFAULT);
    header.version = 1;
    FAILS(CALL(capget, &header, data), EINVAL);
    CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    header.pid = 999999;
    FAILS(CALL(capget, &header, data), ESRCH);
    FAILS(CALL(capget, BAD_ADDRESS, data), EFAULT);
}

TEST(call_administration)
{
    struct timeval now = { 1, 0 };
    struct timex change = { .modes = ADJ_FREQUENCY };
    struct timespec spec = { 1, 0 };

    call_drop_capabilities();
    FAILS(CALL(reboot, 0xfee1dead, 672274793, 0x89abcdef, NULL), EPERM);
    FAILS(CALL(sethostname, "x", 1), EPERM);
    FAILS(CALL(setdomainname, "x", 1), EPERM);
    FAILS(CALL(settimeofday, &now, NULL), EPERM);
    FAILS(CALL(clock_settime, CLOCK_REALTIME, &spec), EPERM);
    FAILS(CALL(adjtimex, &change), EPERM);
    FAILS(CALL(clock_adjtime, CLOCK_REALTIME, &change), EPERM);
    FAILS(CALL(syslog, 2, NULL, 0), EPERM);
    call_take_capabilities();
}

TEST(call_personality)
{
    int before = OK(CALL(personality, 0xffffffff));

    CHECK_EQ(OK(CALL(personality, before | ADDR_NO_RANDOMIZE)), before);
    CHECK_EQ(OK(CALL(personality, before)), before | ADDR_NO_RANDOMIZE);
}

TEST(call_clocks)
{
    struct timespec spec = { 0, 1000 }, bad = { 0, -1 };
    struct timeval now;
    time_t seconds = 0;
    struct itimerval interval;
    timer_t timer;

    OK(CALL(nanosleep, &spec, NULL));
    OK(CALL(gettimeofday, &now, NULL));
    CHECK(labs(OK(CALL(time, &seconds)) - now.tv_sec) <= 1);
    OK(CALL(clock_getres, CLOCK_MONOTONIC, &spec));
    OK(CALL(getitimer, ITIMER_REAL, &interval));
    FAILS(CALL(nanosleep, &bad, NULL), EINVAL);
    FAILS(CALL(nanosleep, BAD_ADDRESS, NULL), EFAULT);
    FAILS(CALL(clock_getres, 99, &spec), EINVAL);
    FAILS(CALL(getitimer, 9, &interval), EINVAL);
    FAILS(CALL(getitimer, ITIMER_REAL, BAD_ADDRESS), EFAULT);
    FAILS(CALL(setitimer, 9, &interval, NULL), EINVAL);
    FAILS(CALL(gettimeofday, BAD_ADDRESS, NULL), EFAULT);
    FAILS(CALL(time, BAD_ADDRESS), EFAULT);
    FAILS(CALL(times, BAD_ADDRESS), EFAULT);
    FAILS(CALL(timer_create, 99, NULL, &timer), EINVAL);
    FAILS(CALL(timer_settime, 99, 0, NULL, NULL), EINVAL);
    FAILS(CALL(timer_gettime, 99, &interval), EINVAL);
    FAILS(CALL(timer_getoverrun, 99), EINVAL);
    FAILS(CALL(timer_delete, 99), EINVAL);
    OK(CALL(timer_create, CLOCK_MONOTONIC, NULL, &timer));
    OK(CALL(timer_gettime, timer, &(struct itimerspec){ 0 }));
    OK(CALL(timer_delete, timer));
}

TEST(call_restart)
{
    FAILS(CALL(restart_syscall), EINTR);
}

TEST(call_thread_signals)
{
    siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_QUEUE };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    OK(CALL(tkill, gettid(), SIGUSR1));
    OK(CALL(rt_sigpending, &set, 8));
    CHECK(sigismember(&set, SIGUSR1));
    OK(CALL(rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
    FAILS(CALL(tkill, 0, SIGUSR1), EINVAL);
    FAILS(CALL(tkill, 999999, SIGUSR1), ESRCH);
    FAILS(CALL(tkill, gettid(), 99), EINVAL);
    FAILS(CALL(rt_tgsigqueueinfo, getpid(), gettid(), 99, &info), EINVAL);
    FAILS(CALL(rt_tgsigqueueinfo, getpid(), 999999, SIGUSR1, &info), ESRCH);
    FAILS(CALL(rt_sigqueueinfo, 999999, SIGUSR1, &info), ESRCH);
    FAILS(CALL(rt_sigqueueinfo, getpid(), SIGUSR1, BAD_ADDRESS), EFAULT);
    FAILS(CALL(rt_sigpending, BAD_ADDRESS, 8), EFAULT);
    FAILS(CALL(rt_sigpending, &set, 9), EINVAL);
    signal(SIGUSR1, SIG_IGN);
}

TEST(call_robust_list)
{
    void *head;
    size_t size;

    OK(CALL(get_robust_list, 0, &head, &size));
    CHECK_EQ(size, 24);
    OK(CALL(set_robust_list, head, size));
    FAILS(CALL(set_robust_list, head, 8), EINVAL);
    FAILS(CALL(get_robust_list, 0, BAD_ADDRESS, &size), EFAULT);
    FAILS(CALL(get_robust_list, 999999, &head, &size), ESRCH);
}

TEST(call_pages)
{
    char *page = OK((char *)CALL(mmap, NULL, 8192, 3, 0x22, -1, 0));
    unsigned long nodes = 1;
    int mode;

    OK(CALL(mlock, page, 4096));
    OK(CALL(mlock2, page, 4096, 0));
    OK(CALL(munlock, page, 4096));
    OK(CALL(munlockall));
    OK(CALL(msync, page, 4096, 4));
    OK(CALL(set_mempolicy, 0, NULL, 0));
    OK(CALL(get_mempolicy, &mode, NULL, 0, NULL, 0));
    OK(CALL(mbind, page, 4096, 0, NULL, 0, 0));
    FAILS(CALL(mlockall, 0), EINVAL);
    FAILS(CALL(mlock2, page, 4096, 9), EINVAL);
    FAILS(CALL(msync, page + 1, 4096, 4), EINVAL);
    FAILS(CALL(msync, page, 4096, 5), EINVAL);
    FAILS(CALL(set_mempolicy, 99, &nodes, 8), EINVAL);
    FAILS(CALL(get_mempolicy, &mode, NULL, 0, page, 99), EINVAL);
    FAILS(CALL(mbind, page + 1, 4096, 0, NULL, 0, 0), EINVAL);
    OK(CALL(munmap, page, 8192));
    FAILS(CALL(mlock, page, 4096), ENOMEM);
    FAILS(CALL(munlock, page, 4096), ENOMEM);
    FAILS(CALL(munmap, page + 1, 4096), EINVAL);
}

TEST(call_protection_keys)
{
    char *page = OK((char *)CALL(mmap, NULL, 4096, 3, 0x22, -1, 0));

    OK(CALL(pkey_mprotect, page, 4096, 1, -1));
    FAILS(CALL(pkey_mprotect, page + 1, 4096, 1, -1), EINVAL);
    FAILS(CALL(pkey_alloc, 1, 0), EINVAL);
    FAILS(CALL(pkey_free, 99), EINVAL);
    OK(CALL(munmap, page, 4096));
}

TEST(call_membarrier)
{
    int commands = OK(CALL(membarrier, MEMBARRIER_CMD_QUERY, 0, 0));

    CHECK(commands >= 0);
    if (commands & MEMBARRIER_CMD_GLOBAL)
        OK(CALL(membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
    FAILS(CALL(membarrier, 1 << 30, 0, 0), EINVAL);
    FAILS(CALL(membarrier, MEMBARRIER_CMD_QUERY, 99, 0), EINVAL);
}

static int exit_at_once(void *arg)
{
    child_sleep_ms(*(long *)arg);
    syscall(SYS_exit_group, 7);
    return 0;
}

TEST(call_pidfds)
{
    long ms = 50;
    pid_t pid = child_start(exit_at_once, &ms, SIGCHLD);
    int fd = OK(CALL(pidfd_open, pid, 0));
    siginfo_t info = { 0 };

    OK(CALL(pidfd_send_signal, fd, 0, NULL, 0));
    FAILS(CALL(pidfd_open, 999999, 0), ESRCH);
    FAILS(CALL(pidfd_open, pid, 1), EINVAL);
    FAILS(CALL(pidfd_send_signal, fd, 99, NULL, 0), EINVAL);
    FAILS(CALL(pidfd_send_signal, 0, 0, NULL, 0), EBADF);
    FAILS(CALL(pidfd_getfd, fd, BAD_FD, 0), EBADF);
    FAILS(CALL(pidfd_getfd, fd, 0, 1), EINVAL);
    OK(CALL(waitid, 3, fd, &info, WEXITED, NULL)); /* P_PIDFD */
    CHECK_EQ(info.si_status, 7);
    FAILS(CALL(waitid, 3, fd, &info, WEXITED, NULL), ECHILD);
    FAILS(CALL(waitid, 0, 0, &info, 0, NULL), EINVAL);
    FAILS(CALL(pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
}

static int new_session(void *arg)
{
    CHECK_EQ(OK(CALL(setsid)), CALL(getpid));
    FAILS(CALL(setsid), EPERM);
    CHECK_EQ(CALL(getpgrp), CALL(getpid));
    CHECK_EQ(OK(CALL(getsid, 0)), CALL(getpid));
    FAILS(CALL(setpgid, 0, 0), EPERM);
    syscall(SYS_exit_group, 0);
    return 0;
}

TEST(call_sessions)
{
    int status;
    pid_t pid = child_start(new_session, NULL, SIGCHLD);

    CHECK_EQ(OK(CALL(wait4, pid, &status, 0, NULL)), pid);
    CHECK_EQ(status, 0);
    FAILS(CALL(getsid, 999999), ESRCH);
    FAILS(CALL(getpgid, 999999), ESRCH);
    FAILS(CALL(wait4, pid, &status, 0, NULL), ECHILD);
    CHECK(CALL(getppid) >= 0);
}

TEST(call_execveat)
{
    char *none[] = { NULL };

    close(file_with("f", "text"));
    FAILS(CALL(execveat, AT_FDCWD, "nothing", none, none, 0), ENOENT);
    FAILS(CALL(execveat, AT_FDCWD, "f", none, none, 0), EACCES);
    OK(CALL(chmod, "f", 0755));
    FAILS(CALL(execveat, AT_FDCWD, "f", none, none, 0), ENOEXEC);
    FAILS(CALL(execveat, AT_FDCWD, "f", none, none, 0x8000), EINVAL);
    FAILS(CALL(execveat, BAD_FD, "f", none, none, 0), EBADF);
    FAILS(CALL(execve, BAD_ADDRESS, none, none), EFAULT);
}

TEST(call_small)
{
    struct sysinfo info;
    unsigned cpu, node;

    OK(CALL(sysinfo, &info));
    FAILS(CALL(sysinfo, BAD_ADDRESS), EFAULT);
    OK(CALL(getcpu, &cpu, &node, NULL));
    FAILS(CALL(getcpu, BAD_ADDRESS, &node, NULL), EFAULT);
    OK(CALL(sched_get_priority_min, SCHED_FIFO));
    FAILS(CALL(sched_get_priority_min, 99), EINVAL);
    FAILS(CALL(sched_get_priority_max, 99), EINVAL);
    FAILS(CALL(clone, CLONE_THREAD, NULL, NULL, NULL, NULL), EINVAL);
    OK(CALL(sched_yield));
    CHECK_EQ(CALL(umask, 022), 022);
    CHECK_EQ(CALL(alarm, 0), 0);
    CHECK(CALL(brk, 0) > 0);
    CHECK_EQ(CALL(set_tid_address, NULL), CALL(gettid));
}
