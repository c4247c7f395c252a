/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children: how they end, stop and go on, and how their parent learns of it. They share the memory of the test
 * (CLONE_VM) and have stacks of their own, so that this runs where processes cannot be copied.
 */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>

static volatile int g_count;
static volatile pid_t g_pid;

static int exits(void *status)
{
    return (int)(intptr_t)status;
}

__attribute__((noreturn)) static int raises(void *signo)
{
    syscall(SYS_kill, syscall(SYS_getpid), (int)(intptr_t)signo);
    for (;;)
        child_sleep_ms(10);
}

__attribute__((noreturn)) static int waits(void *arg)
{
    (void)arg;
    for (;;)
        child_sleep_ms(10);
}

__attribute__((noreturn)) static int counts(void *arg)
{
    (void)arg;
    for (;;)
        g_count++;
}

/* ---- ends ---- */

TEST(wait_statuses)
{
    int status = -1;
    pid_t pid = child_start(exits, (void *)3, SIGCHLD);

    CHECK_EQ(OK(wait4(pid, &status, 0, NULL)), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    pid = child_start(raises, (void *)SIGTERM, SIGCHLD);
    CHECK_EQ(OK(wait4(-1, &status, 0, NULL)), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && !WCOREDUMP(status));
    pid = child_start(waits, NULL, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, WNOHANG)), 0);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    FAILS(waitpid(pid, &status, 0), ECHILD);
    FAILS(wait(&status), ECHILD);
}

TEST(wait_info)
{
    siginfo_t info;
    pid_t pid = child_start(exits, (void *)200, SIGCHLD);

    for (int i = 0; i < 2; i++) { /* WNOWAIT leaves it */
        memset(&info, 0xff, sizeof info);
        OK(waitid(P_PID, (id_t)pid, &info, WEXITED | (i == 0 ? WNOWAIT : 0)));
        CHECK_EQ(info.si_signo, SIGCHLD);
        CHECK_EQ(info.si_code, CLD_EXITED);
        CHECK_EQ(info.si_pid, pid);
        CHECK_EQ(info.si_uid, getuid());
        CHECK_EQ(info.si_status, 200);
        CHECK_EQ(info.si_errno, 0);
    }
    FAILS(waitid(P_PID, (id_t)pid, &info, WEXITED), ECHILD);
    pid = child_start(waits, NULL, SIGCHLD);
    memset(&info, 0xff, sizeof info);
    OK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG));
    CHECK(info.si_signo == 0 && info.si_pid == 0 && info.si_code == 0);
    OK(kill(pid, SIGINT));
    OK(waitid(P_ALL, 0, &info, WEXITED));
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGINT);
    pid = child_start(exits, NULL, SIGCHLD);
    OK(waitid(P_PID, (id_t)pid, NULL, WEXITED));
}

TEST(wait_errors)
{
    pid_t pid = child_start(exits, NULL, SIGCHLD);
    siginfo_t info;

    FAILS(wait4(-1, NULL, 0x100, NULL), EINVAL);
    FAILS(wait4(INT32_MIN, NULL, 0, NULL), ESRCH);
    FAILS(wait4(getpid(), NULL, 0, NULL), ECHILD);
    FAILS(wait4(-999999, NULL, 0, NULL), ECHILD);
    FAILS(waitid(P_ALL, 0, &info, 0), EINVAL);
    FAILS(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
    FAILS(waitid(P_ALL, 0, &info, WEXITED | 0x100), EINVAL);
    FAILS(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    FAILS(waitid(P_PGID, (id_t)-1, &info, WEXITED), EINVAL);
    FAILS(waitid((idtype_t)9, 0, &info, WEXITED), EINVAL);
    FAILS(waitid(P_PIDFD, (id_t)-1, &info, WEXITED), EINVAL);
    FAILS(waitid(P_PIDFD, 0, &info, WEXITED), EBADF);
    FAILS(wait4(pid, (int *)8, 0, NULL), EFAULT); /* it is gone all the same */
    FAILS(waitpid(pid, NULL, 0), ECHILD);
}

TEST(wait_by_group)
{
    pid_t a = child_start(waits, NULL, SIGCHLD), b = child_start(waits, NULL, SIGCHLD);
    siginfo_t info;

    OK(setpgid(a, a));
    OK(kill(a, SIGKILL));
    OK(kill(b, SIGKILL));
    CHECK_EQ(OK(waitpid(0, NULL, 0)), b); /* of the caller's own group */
    FAILS(waitpid(0, NULL, 0), ECHILD);
    FAILS(waitid(P_PGID, 0, &info, WEXITED), ECHILD);
    FAILS(waitpid(-b, NULL, 0), ECHILD);
    CHECK_EQ(OK(waitpid(-a, NULL, 0)), a);
}

/* A child that sends another signal than SIGCHLD when it ends is a "clone" child. */
TEST(wait_for_clones)
{
    sigset_t set, old;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    pid = child_start(exits, (void *)1, SIGUSR1);
    FAILS(waitpid(-1, NULL, 0), ECHILD);
    CHECK_EQ(OK(waitpid(-1, NULL, __WCLONE)), pid);
    pid = child_start(exits, (void *)1, 0);
    CHECK_EQ(OK(waitpid(-1, NULL, __WALL)), pid);
    pid = child_start(exits, (void *)1, SIGUSR1);
    CHECK_EQ(OK(waitpid(pid, NULL, __WALL)), pid);
    CHECK_EQ(OK(sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 })), SIGUSR1);
    FAILS(sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }), EAGAIN);
}

static void *wait_in_thread(void *arg)
{
    int status;

    *(pid_t *)arg = waitpid(-1, &status, 0);
    return NULL;
}

TEST(wait_in_another_thread)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD), found = 0;
    pthread_t thread;

    ZERO(pthread_create(&thread, NULL, wait_in_thread, &found));
    usleep(20000);
    OK(kill(pid, SIGKILL));
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(found, pid);
}

static void nothing(int signo)
{
    (void)signo;
    g_count++;
}

static int signals_parent(void *arg)
{
    (void)arg;
    child_sleep_ms(30);
    syscall(SYS_kill, g_pid, SIGUSR1);
    child_sleep_ms(60);
    return 0;
}

TEST(wait_interrupted)
{
    struct sigaction action = { .sa_handler = nothing };
    pid_t pid;

    g_pid = getpid();
    g_count = 0;
    OK(sigaction(SIGUSR1, &action, NULL));
    pid = child_start(signals_parent, NULL, SIGCHLD);
    FAILS(waitpid(pid, NULL, 0), EINTR);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
    action.sa_flags = SA_RESTART;
    OK(sigaction(SIGUSR1, &action, NULL));
    pid = child_start(signals_parent, NULL, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
    CHECK_EQ(g_count, 2);
}

/* ---- SIGCHLD ---- */

TEST(sigchld_info)
{
    sigset_t set, pending;
    siginfo_t info;
    int status;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = child_start(exits, (void *)9, SIGCHLD);
    CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_status, 9);
    CHECK_EQ(OK(waitpid(pid, &status, WNOHANG)), pid); /* who was told finds it */
    pid = child_start(raises, (void *)SIGABRT, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    OK(sigpending(&pending)); /* and who found it was told */
    CHECK(sigismember(&pending, SIGCHLD));
    CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGCHLD);
    CHECK(info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED);
    CHECK_EQ(info.si_status, SIGABRT);
}

TEST(sigchld_ignored)
{
    struct sigaction action = { .sa_handler = SIG_IGN };
    pid_t pid;

    OK(sigaction(SIGCHLD, &action, NULL));
    child_start(exits, NULL, SIGCHLD);
    FAILS(waitpid(-1, NULL, 0), ECHILD); /* waits until all have ended */
    g_count = 0;
    action = (struct sigaction){ .sa_handler = nothing, .sa_flags = SA_NOCLDWAIT | SA_RESTART };
    OK(sigaction(SIGCHLD, &action, NULL));
    pid = child_start(exits, NULL, SIGCHLD);
    FAILS(waitpid(pid, NULL, 0), ECHILD);
    CHECK_EQ(g_count, 1);
    FAILS(kill(pid, 0), ESRCH);
}

/* ---- stop and continue ---- */

static int take_chld(siginfo_t *info, long ms)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return sigtimedwait(&set, info, &(struct timespec){ ms / 1000, ms % 1000 * 1000000 });
}

TEST(wait_stopped)
{
    sigset_t set;
    siginfo_t info;
    int status, before;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = child_start(counts, NULL, SIGCHLD);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(take_chld(&info, 5000), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(OK(waitpid(pid, &status, WNOHANG)), 0);
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED | WNOHANG)), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED | WNOHANG)), 0); /* told once */
    before = g_count;
    usleep(30000);
    CHECK_EQ(g_count, before);
    OK(kill(pid, SIGTERM)); /* waits until it goes on */
    usleep(20000);
    CHECK_EQ(OK(waitpid(pid, &status, WNOHANG)), 0);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(wait_continued)
{
    sigset_t set;
    siginfo_t info;
    int status, before;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = child_start(counts, NULL, SIGCHLD);
    OK(kill(pid, SIGSTOP));
    OK(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_STOPPED);
    OK(waitid(P_PID, (id_t)pid, &info, WSTOPPED));
    CHECK_EQ(take_chld(&info, 5000), SIGCHLD);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(take_chld(&info, 5000), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    OK(waitid(P_PID, (id_t)pid, &info, WCONTINUED));
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED | WNOHANG)), 0);
    before = g_count;
    for (int i = 0; i < 500 && g_count == before; i++)
        usleep(10000);
    CHECK(g_count != before);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED)), pid);
    CHECK(WIFCONTINUED(status));
    OK(kill(pid, SIGCONT)); /* of one that runs: nothing to tell */
    CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED | WNOHANG)), 0);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
    OK(kill(pid, SIGKILL)); /* no need to continue it first */
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

TEST(sigchld_no_stop)
{
    struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_NOCLDSTOP | SA_RESTART };
    int status;
    pid_t pid;

    g_count = 0;
    OK(sigaction(SIGCHLD, &action, NULL));
    pid = child_start(waits, NULL, SIGCHLD);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
    OK(kill(pid, SIGCONT));
    CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED)), pid);
    CHECK_EQ(g_count, 0);
    OK(kill(pid, SIGKILL));
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(g_count, 1);
}

/* SIGSTOP and SIGCONT cancel each other while they pend. */
TEST(stop_and_continue_cancel)
{
    sigset_t set, pending;

    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    OK(kill(getpid(), SIGTSTP));
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGTSTP));
    OK(kill(getpid(), SIGCONT));
    OK(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
    OK(kill(getpid(), SIGTSTP));
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT));
    OK(kill(getpid(), SIGCONT));
}

/* ---- orphans ---- */

static int leaves_orphan(void *fn)
{
    g_pid = child_start((int (*)(void *))fn, NULL, SIGCHLD);
    child_sleep_ms(30);
    return 0;
}

static int tells_parent(void *arg)
{
    pid_t before = (pid_t)syscall(SYS_getppid);

    (void)arg;
    for (int i = 0; i < 500 && syscall(SYS_getppid) == before; i++)
        child_sleep_ms(10);
    g_count = (int)syscall(SYS_getppid);
    return 77;
}

TEST(orphans_go_to_the_subreaper)
{
    int status, on = -1;
    pid_t pid;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
    CHECK_EQ(on, 1);
    pid = child_start(leaves_orphan, tells_parent, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(OK(waitpid(g_pid, &status, 0)), g_pid);
    CHECK_EQ(WEXITSTATUS(status), 77);
    CHECK_EQ(g_count, getpid());
    OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

/* A zombie that its parent left behind is handed on as well. */
TEST(orphaned_zombie)
{
    int status;
    pid_t pid;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid = child_start(leaves_orphan, exits, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(OK(waitpid(g_pid, &status, 0)), g_pid);
    OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static int ends_later(void *arg)
{
    (void)arg;
    child_sleep_ms(60);
    g_count = (int)syscall(SYS_getppid);
    return 0;
}

/* Without a subreaper it goes to process 1, which reaps it when it is one that does. */
TEST(orphans_go_to_process_1)
{
    int status;
    pid_t pid;

    g_count = 0;
    pid = child_start(leaves_orphan, ends_later, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    FAILS(waitpid(g_pid, &status, 0), ECHILD);
    for (int i = 0; i < 200 && kill(g_pid, 0) == 0; i++)
        usleep(10000);
    if (g_count != 1 || kill(g_pid, 0) == 0)
        case_skip("process 1 here does not adopt, or does not reap");
    CHECK_EQ(errno, ESRCH);
}

__attribute__((noreturn)) static int wants_death_signal(void *arg)
{
    (void)arg;
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR2);
    for (;;)
        child_sleep_ms(10);
}

TEST(parent_death_signal)
{
    int status, signo = -1;
    pid_t pid;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid = child_start(leaves_orphan, wants_death_signal, SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(OK(waitpid(g_pid, &status, 0)), g_pid);
    CHECK_EQ(WTERMSIG(status), SIGUSR2);
    OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
    OK(prctl(PR_GET_PDEATHSIG, &signo));
    CHECK_EQ(signo, 0);
    FAILS(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
}

/* ---- what they used ---- */

static int burns(void *arg)
{
    struct timespec ts;

    (void)arg;
    do
        syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &ts);
    while (ts.tv_sec == 0 && ts.tv_nsec < 60000000);
    return 0;
}

static long long micros(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL + usage->ru_utime.tv_usec +
           usage->ru_stime.tv_usec;
}

TEST(children_usage)
{
    struct rusage before, after, own;
    struct tms tms_before, tms_after;
    pid_t pid;

    OK(getrusage(RUSAGE_CHILDREN, &before));
    OK(times(&tms_before));
    pid = child_start(burns, NULL, SIGCHLD);
    CHECK_EQ(OK(wait4(pid, NULL, 0, &own)), pid);
    CHECK(micros(&own) >= 50000 && own.ru_maxrss > 0);
    OK(getrusage(RUSAGE_CHILDREN, &after));
    OK(times(&tms_after));
    CHECK(micros(&after) - micros(&before) >= 50000);
    CHECK(after.ru_maxrss >= own.ru_maxrss);
    CHECK(tms_after.tms_cutime + tms_after.tms_cstime - tms_before.tms_cutime -
              tms_before.tms_cstime >=
          4);
}
