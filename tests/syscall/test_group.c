/* SPDX-License-Identifier: Apache-2.0 */
/* Process groups, sessions, who may signal whom, and descriptors of processes. */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define NOBODY 65534

extern char **environ;

static volatile int g_result[8];
static volatile pid_t g_pid;

__attribute__((noreturn)) static int waits(void *arg)
{
    (void)arg;
    for (;;)
        child_sleep_ms(10);
}

static void end(pid_t pid)
{
    OK(kill(pid, SIGKILL));
    CHECK_EQ(OK(waitpid(pid, NULL, __WALL)), pid);
}

static int pidfd_open_(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int pidfd_send_signal_(int fd, int signo, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, signo, info, flags);
}

static int pidfd_getfd_(int fd, int target, unsigned flags)
{
    return (int)syscall(SYS_pidfd_getfd, fd, target, flags);
}

/* ---- groups ---- */

TEST(group_of_children)
{
    pid_t a = child_start(waits, NULL, SIGCHLD), b = child_start(waits, NULL, SIGCHLD);

    CHECK_EQ(OK(getpgid(a)), getpgrp());
    CHECK_EQ(OK(getsid(a)), getsid(0));
    CHECK_EQ(OK(getpgid(0)), getpgrp());
    FAILS(setpgid(a, -1), EINVAL);
    FAILS(setpgid(999999, 0), ESRCH);
    FAILS(setpgid(a, 999999), EPERM); /* no such group */
    FAILS(setpgid(a, b), EPERM);
    FAILS(setpgid(1, 0), ESRCH); /* not the caller's child */
    OK(setpgid(a, 0));
    OK(setpgid(a, a));
    CHECK_EQ(OK(getpgid(a)), a);
    OK(setpgid(b, a));
    CHECK_EQ(OK(getpgid(b)), a);
    OK(kill(-a, SIGTERM));
    CHECK(OK(waitpid(-a, NULL, 0)) > 0);
    CHECK(OK(waitpid(-a, NULL, 0)) > 0);
    FAILS(kill(-a, 0), ESRCH);
    FAILS(getpgid(a), ESRCH);
    FAILS(getsid(a), ESRCH);
}

TEST(group_after_exec)
{
    char *argv[] = { "sh", "-c", "read x", NULL };
    int fds[2];
    posix_spawn_file_actions_t actions;
    pid_t pid;

    OK(pipe2(fds, O_CLOEXEC));
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_adddup2(&actions, fds[0], 0));
    ZERO(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ));
    posix_spawn_file_actions_destroy(&actions);
    FAILS(setpgid(pid, pid), EACCES);
    close(fds[1]);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
}

__attribute__((noreturn)) static int makes_session(void *arg)
{
    pid_t self = (pid_t)syscall(SYS_getpid);

    (void)arg;
    g_result[0] = (int)syscall(SYS_setsid) == self;
    g_result[1] = (int)syscall(SYS_getsid, 0) == self && (int)syscall(SYS_getpgrp) == self;
    g_result[2] = 1;
    for (;;)
        child_sleep_ms(10);
}

TEST(session_of_a_child)
{
    pid_t pid;

    g_result[2] = 0;
    pid = child_start(makes_session, NULL, SIGCHLD);
    for (int i = 0; i < 500 && !g_result[2]; i++)
        usleep(10000);
    CHECK(g_result[0] && g_result[1]);
    CHECK_EQ(OK(getsid(pid)), pid);
    FAILS(setpgid(pid, 0), EPERM);
    FAILS(setpgid(0, pid), EPERM);
    end(pid);
    if (getpgrp() == getpid())
        FAILS(setsid(), EPERM);
}

/* The default of a stop from the terminal does nothing where nobody could continue it. */
static int stops_in_vain(void *arg)
{
    (void)arg;
    syscall(SYS_setsid);
    syscall(SYS_kill, syscall(SYS_getpid), SIGTSTP);
    syscall(SYS_kill, syscall(SYS_getpid), SIGTTIN);
    syscall(SYS_kill, syscall(SYS_getpid), SIGTTOU);
    return 5;
}

TEST(group_orphaned_does_not_stop)
{
    int status;
    pid_t pid = child_start(stops_in_vain, NULL, SIGCHLD);

    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

/* A job that is stopped when its shell ends gets SIGHUP and goes on. */
static int shell_with_stopped_job(void *arg)
{
    (void)arg;
    syscall(SYS_setsid);
    g_pid = child_start(waits, NULL, SIGCHLD);
    syscall(SYS_setpgid, g_pid, g_pid);
    syscall(SYS_kill, g_pid, SIGSTOP);
    syscall(SYS_wait4, g_pid, NULL, WUNTRACED, NULL);
    return 0;
}

TEST(group_orphaned_hangs_up)
{
    int status;
    pid_t pid;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid = child_start(shell_with_stopped_job, NULL, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(OK(waitpid(g_pid, &status, 0)), g_pid);
    OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
}

/* ---- kill ---- */

/* Never before it has a group of its own with both in it: the test's is not to be killed. */
static int kills_group(void *arg)
{
    pid_t self = (pid_t)syscall(SYS_getpid);

    (void)arg;
    while (!g_result[7])
        child_sleep_ms(5);
    if ((pid_t)syscall(SYS_getpgrp) == self)
        syscall(SYS_kill, 0, SIGUSR1);
    return 1;
}

TEST(kill_own_group)
{
    pid_t a, b;
    int status;

    g_result[7] = 0;
    a = child_start(kills_group, NULL, SIGCHLD);
    b = child_start(waits, NULL, SIGCHLD);
    OK(setpgid(a, a));
    OK(setpgid(b, a));
    g_result[7] = 1;
    CHECK_EQ(OK(waitpid(a, &status, 0)), a);
    CHECK_EQ(WTERMSIG(status), SIGUSR1);
    CHECK_EQ(OK(waitpid(b, &status, 0)), b);
    CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

TEST(kill_errors)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);

    FAILS(kill(pid, -1), EINVAL);
    FAILS(kill(pid, 65), EINVAL);
    FAILS(kill(999999, 0), ESRCH);
    FAILS(kill(999999, 65), ESRCH);
    FAILS(kill(-999999, 0), ESRCH);
    FAILS(kill(INT32_MIN, 0), ESRCH);
    OK(kill(-1, 0));
    OK(kill(pid, 0));
    FAILS(syscall(SYS_tgkill, pid, 0, 0), EINVAL);
    FAILS(syscall(SYS_tgkill, pid, 999999, 0), ESRCH);
    FAILS(syscall(SYS_tgkill, getpid(), pid, 0), ESRCH);
    FAILS(syscall(SYS_tgkill, pid, pid, 65), EINVAL);
    OK(syscall(SYS_tgkill, pid, pid, 0));
    OK(syscall(SYS_tkill, pid, SIGKILL));
    siginfo_t info;
    OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    OK(kill(pid, SIGTERM)); /* a zombie is there */
    OK(kill(pid, 0));
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
    FAILS(kill(pid, 0), ESRCH);
}

static int is_nobody(void *arg)
{
    pid_t parent = (pid_t)syscall(SYS_getppid), other = (pid_t)(intptr_t)arg;
    siginfo_t info = { .si_code = SI_QUEUE };

    syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
    g_result[0] = (int)syscall(SYS_kill, parent, 0) == -1;
    g_result[1] = (int)syscall(SYS_kill, parent, SIGCONT) == 0; /* within a session */
    g_result[2] = (int)syscall(SYS_kill, other, SIGUSR1) == -1;
    g_result[3] = (int)syscall(SYS_rt_sigqueueinfo, other, SIGUSR1, &info) == -1;
    g_result[4] = (int)syscall(SYS_tkill, other, SIGUSR1) == -1;
    g_result[5] = (int)syscall(SYS_kill, syscall(SYS_getpid), 0) == 0;
    return 0;
}

TEST(kill_permission)
{
    pid_t other, pid;

    if (geteuid() != 0)
        case_skip("needs root");
    other = child_start(waits, NULL, SIGCHLD);
    for (int i = 0; i < 6; i++)
        g_result[i] = 0;
    pid = child_start(is_nobody, (void *)(intptr_t)other, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(g_result[i] ? i : -1, i);
    CHECK_EQ(OK(waitpid(other, NULL, WNOHANG)), 0);
    end(other);
}

TEST(sigqueue_to_a_child)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_USER };

    FAILS(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM); /* pretends to be the kernel */
    info.si_code = SI_TKILL;
    FAILS(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
    info.si_code = SI_QUEUE;
    FAILS(syscall(SYS_rt_sigqueueinfo, pid, 65, &info), EINVAL);
    FAILS(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, 8), EFAULT);
    FAILS(syscall(SYS_rt_sigqueueinfo, 999999, SIGUSR1, &info), ESRCH);
    OK(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info));
    int status;
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

/* ---- pidfd ---- */

static short polled(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    OK(poll(&p, 1, timeout_ms));
    return p.revents & POLLIN;
}

TEST(pidfd_of_a_child)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    int fd = OK(pidfd_open_(pid, 0));
    char byte;
    siginfo_t info;

    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    CHECK_EQ(polled(fd, 0), 0);
    FAILS(read(fd, &byte, 1), EINVAL);
    OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG));
    CHECK_EQ(info.si_pid, 0);
    OK(pidfd_send_signal_(fd, 0, NULL, 0));
    OK(pidfd_send_signal_(fd, SIGUSR2, NULL, 0));
    CHECK_EQ(polled(fd, 5000), POLLIN);
    OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT));
    OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, SIGUSR2);
    CHECK_EQ(polled(fd, 0), POLLIN);
    FAILS(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    FAILS(pidfd_send_signal_(fd, 0, NULL, 0), ESRCH);
    FAILS(pidfd_open_(pid, 0), ESRCH);
    close(fd);
}

TEST(pidfd_errors)
{
    int self = OK(pidfd_open_(getpid(), 0)), null = OK(open("/dev/null", O_RDWR));
    siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_QUEUE };

    FAILS(pidfd_open_(0, 0), EINVAL);
    FAILS(pidfd_open_(-1, 0), EINVAL);
    FAILS(pidfd_open_(getpid(), 1), EINVAL);
    FAILS(pidfd_open_(999999, 0), ESRCH);
    FAILS(pidfd_send_signal_(null, 0, NULL, 0), EBADF);
    FAILS(pidfd_send_signal_(-1, 0, NULL, 0), EBADF);
    FAILS(pidfd_send_signal_(self, 65, NULL, 0), EINVAL);
    FAILS(pidfd_send_signal_(self, 0, NULL, 0x1000), EINVAL);
    FAILS(pidfd_send_signal_(self, SIGUSR2, &info, 0), EINVAL); /* another number than in info */
    FAILS(pidfd_getfd_(self, 999, 0), EBADF);
    FAILS(pidfd_getfd_(self, null, 1), EINVAL);
    FAILS(pidfd_getfd_(null, 0, 0), EBADF);
    CHECK(OK(pidfd_getfd_(self, null, 0)) != null);
    CHECK_EQ(polled(self, 0), 0);
}

TEST(pidfd_nonblocking)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    int fd = OK(pidfd_open_(pid, O_NONBLOCK));
    siginfo_t info;

    FAILS(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(polled(fd, 5000), POLLIN);
    OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
}

static int has_a_pipe(void *fds)
{
    (void)fds;
    child_sleep_ms(10000);
    return 0;
}

TEST(pidfd_gets_descriptors)
{
    int fds[2], fd, copy;
    char text[3] = "";
    pid_t pid;

    OK(pipe(fds));
    pid = child_start(has_a_pipe, fds, SIGCHLD);
    fd = OK(pidfd_open_(pid, 0));
    OK(close(fds[1])); /* the child has its own table, and so the last writer */
    copy = OK(pidfd_getfd_(fd, fds[1], 0));
    CHECK_EQ(OK(fcntl(copy, F_GETFD)), FD_CLOEXEC);
    CHECK_EQ(OK(write(copy, "ab", 2)), 2);
    CHECK_EQ(OK(read(fds[0], text, 2)), 2);
    CHECK(strcmp(text, "ab") == 0);
    end(pid);
    FAILS(pidfd_getfd_(fd, fds[0], 0), ESRCH);
}

TEST(pidfd_in_epoll)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 7 }, got;
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    int fd = OK(pidfd_open_(pid, 0)), epoll = OK(epoll_create1(0));

    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CHECK_EQ(OK(epoll_wait(epoll, &got, 1, 0)), 0);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(OK(epoll_wait(epoll, &got, 1, 5000)), 1);
    CHECK_EQ(got.data.u32, 7);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
}

TEST(pidfd_from_clone)
{
    static char stack[16384] __attribute__((aligned(16)));
    int fd = -1;
    pid_t pid =
        (pid_t)OK(clone(waits, stack + sizeof stack, CLONE_VM | CLONE_PIDFD | SIGCHLD, NULL, &fd));
    siginfo_t info;

    CHECK(fd > 2);
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    OK(pidfd_send_signal_(fd, SIGTERM, NULL, 0));
    OK(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    FAILS(clone(waits, stack + sizeof stack, CLONE_VM | CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD,
                NULL, &fd, NULL, NULL),
          EINVAL);
    FAILS(clone(waits, stack + sizeof stack, CLONE_VM | CLONE_PIDFD | SIGCHLD, NULL, 8), EFAULT);
    FAILS(waitpid(-1, NULL, 0), ECHILD);
}

/* ---- capabilities over a change of user ---- */

static int changes_user(void *keep)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { 0 };

    syscall(SYS_prctl, PR_SET_KEEPCAPS, keep ? 1 : 0, 0, 0, 0);
    syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
    syscall(SYS_capget, &header, data);
    g_result[0] = (data[0].permitted & 1u << CAP_KILL) != 0;
    g_result[1] = data[0].effective != 0;
    data[0].effective = data[0].permitted;
    g_result[2] = (int)syscall(SYS_capset, &header, data) == 0;
    g_result[3] = (int)syscall(SYS_prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    return 0;
}

TEST(keep_capabilities)
{
    for (int keep = 0; keep < 2; keep++) {
        pid_t pid;

        if (geteuid() != 0)
            case_skip("needs root");
        g_result[0] = g_result[1] = g_result[2] = g_result[3] = -1;
        pid = child_start(changes_user, (void *)(intptr_t)keep, SIGCHLD);
        CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
        CHECK_EQ(g_result[0], keep);
        CHECK_EQ(g_result[1], 0);
        CHECK_EQ(g_result[2], 1);
        CHECK_EQ(g_result[3], keep);
    }
    FAILS(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0), EINVAL);
}
