/* SPDX-License-Identifier: Apache-2.0 */
/* New processes: vfork, posix_spawn, clone and clone3 that share memory, and what execve keeps and drops. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define STACK_SIZE 65536
#define SHELL "/bin/sh"

static volatile int g_seen;
static volatile pid_t g_pid;

static int wait_status(pid_t pid)
{
    int status = -1;

    CHECK_EQ(OK(waitpid(pid, &status, __WALL)), pid);
    return status;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL);
}

/* Runs `sh -c script` with stdout in a pipe; its output goes to `out`. Returns the wait status. */
static int shell(const char *script, char *out, size_t size, const posix_spawnattr_t *attr,
                 char **env)
{
    char *argv[] = { "sh", "-c", (char *)script, NULL };
    posix_spawn_file_actions_t actions;
    size_t done = 0;
    int fds[2];
    ssize_t n;
    pid_t pid;

    ZERO(pipe2(fds, O_CLOEXEC));
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_adddup2(&actions, fds[1], 1));
    ZERO(posix_spawn(&pid, SHELL, &actions, attr, argv, env));
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    while (done + 1 < size && (n = read(fds[0], out + done, size - 1 - done)) > 0)
        done += (size_t)n;
    out[done] = 0;
    close(fds[0]);
    return wait_status(pid);
}

/* vforks and executes; returns the wait status, or -errno of the exec. */
static int vfork_exec(const char *path, char *const argv[], char *const env[])
{
    volatile int error = 0;
    pid_t pid = vfork();
    int status;

    if (pid == 0) {
        execve(path, argv, env);
        error = errno;
        _exit(127);
    }
    CHECK(pid > 0);
    status = wait_status(pid);
    return error ? -error : status;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    int fd = OK(open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));

    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    ZERO(fchmod(fd, mode));
    ZERO(close(fd));
}

/* This program lies where a non-PIE program would: an enclave has room for one. */
static bool is_fixed(void)
{
    return getauxval(AT_PHDR) < 0x10000000;
}

static void need_python(void)
{
    if (access("/usr/bin/python3", X_OK) != 0)
        case_skip("no python3");
    if (is_fixed())
        case_skip("neither this program nor python3 is PIE");
}

/* ---- vfork ---- */

TEST(vfork_child_exits)
{
    pid_t self = getpid(), pid;

    g_seen = 0;
    pid = vfork();
    if (pid == 0) {
        sleep_ms(20);
        g_pid = getppid();
        g_seen = getpid() == gettid() ? getpid() : -1;
        _exit(7);
    }
    CHECK_EQ(g_seen, pid); /* the parent went on only now, and the memory is one */
    CHECK_EQ(g_pid, self);
    CHECK_EQ(getpid(), self);
    CHECK_EQ(wait_status(pid), 7 << 8);
    FAILS(waitpid(pid, NULL, 0), ECHILD);
}

/* ---- a parent that is held and killed ---- */

static char g_held_stack[65536] __attribute__((aligned(16)));
static char g_inner_stack[65536] __attribute__((aligned(16)));
static volatile int g_held_pid, g_inner_runs, g_inner_may_end, g_inner_ended;

static int inner_child(void *arg)
{
    (void)arg;
    g_inner_runs = 1;
    for (int i = 0; i < 2000 && !g_inner_may_end; i++)
        sleep_ms(5);
    g_inner_ended = 1;
    syscall(SYS_exit_group, 0);
    return 0;
}

static int held_parent(void *arg)
{
    (void)arg;
    g_held_pid = (int)syscall(SYS_getpid);
    clone(inner_child, g_inner_stack + sizeof g_inner_stack, CLONE_VM | CLONE_VFORK | SIGCHLD,
          NULL);
    syscall(SYS_exit_group, 3);
    return 0;
}

static void *start_held(void *arg)
{
    pid_t pid = clone(held_parent, g_held_stack + sizeof g_held_stack,
                      CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    *(int *)arg = pid > 0 ? wait_status(pid) : -1;
    return NULL;
}

TEST(vfork_parent_is_ended)
{
    pthread_t t;
    int status = -1;

    g_held_pid = g_inner_runs = g_inner_may_end = g_inner_ended = 0;
    ZERO(pthread_create(&t, NULL, start_held, &status));
    while (!g_inner_runs)
        sleep_ms(1);
    OK(kill(g_held_pid, SIGTERM)); /* fatal: it does not wait for its child */
    ZERO(pthread_join(t, NULL));
    CHECK_EQ(status, SIGTERM);
    CHECK_EQ(g_inner_ended, 0);
    g_inner_may_end = 1;
    while (!g_inner_ended)
        sleep_ms(1);
}

TEST(vfork_registers_survive)
{
    double numbers[8];
    pid_t pid;

    for (int i = 0; i < 8; i++)
        numbers[i] = 1.5 * i;
    pid = vfork();
    if (pid == 0) {
        __asm__ volatile("xorps %%xmm0,%%xmm0; xorps %%xmm1,%%xmm1; xorps %%xmm7,%%xmm7"
                         :
                         :
                         : "xmm0", "xmm1", "xmm7");
        _exit(0);
    }
    for (int i = 0; i < 8; i++)
        CHECK(numbers[i] == 1.5 * i);
    CHECK_EQ(wait_status(pid), 0);
}

TEST(vfork_nested)
{
    pid_t inner = 0, pid = vfork();
    int status = 0;

    if (pid == 0) {
        inner = vfork();
        if (inner == 0)
            _exit(3);
        if (waitpid(inner, &status, 0) != inner || status != 3 << 8)
            _exit(1);
        _exit(4);
    }
    CHECK_EQ(wait_status(pid), 4 << 8);
}

TEST(vfork_nested_exec)
{
    char *argv[] = { "sh", "-c", "exit 5", NULL };
    pid_t pid = vfork();

    if (pid == 0) {
        int status = vfork_exec(SHELL, argv, environ);

        _exit(status == 5 << 8 ? 6 : 1);
    }
    CHECK_EQ(wait_status(pid), 6 << 8);
}

TEST(vfork_child_killed)
{
    pid_t pid = vfork();

    if (pid == 0) {
        kill(getpid(), SIGKILL);
        pause();
        _exit(1);
    }
    CHECK_EQ(wait_status(pid), SIGKILL);
}

TEST(vfork_child_crashes)
{
    int status;
    pid_t pid = vfork();

    if (pid == 0) {
        syscall(SYS_prlimit64, 0, RLIMIT_CORE, &(struct rlimit){ 0, 0 }, NULL);
        *(volatile int *)16 = 1;
        _exit(1);
    }
    status = wait_status(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(vfork_child_has_its_own)
{
    char before[PATH_MAX], after[PATH_MAX];
    mode_t mask = umask(022);
    int fd = OK(open("/dev/null", O_RDONLY));
    struct rlimit limit;
    pid_t pid;

    OK(getcwd(before, sizeof before));
    pid = vfork();
    if (pid == 0) {
        struct rlimit low = { 40, 40 };

        close(fd);
        if (chdir("/") != 0 || setpgid(0, 0) != 0 || setrlimit(RLIMIT_NOFILE, &low) != 0)
            _exit(1);
        umask(077);
        signal(SIGUSR1, SIG_IGN);
        _exit(0);
    }
    CHECK_EQ(wait_status(pid), 0);
    OK(getcwd(after, sizeof after));
    CHECK(strcmp(before, after) == 0);
    CHECK_EQ(umask(mask), 022);
    ZERO(close(fd));
    ZERO(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK(limit.rlim_cur != 40);
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_DFL);
}

TEST(vfork_signals_wait)
{
    sigset_t pending, blocked, old;
    pid_t pid;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    ZERO(sigprocmask(SIG_BLOCK, &blocked, &old));
    raise(SIGUSR2);
    pid = vfork();
    if (pid == 0) {
        sigset_t mine, mask;

        sigpending(&mine);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        _exit(sigismember(&mine, SIGUSR2) * 2 + sigismember(&mask, SIGUSR2));
    }
    CHECK_EQ(wait_status(pid), 1 << 8); /* the mask is inherited, what pends is not */
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR2));
    signal(SIGUSR2, SIG_IGN);
    signal(SIGUSR2, SIG_DFL);
    ZERO(sigprocmask(SIG_SETMASK, &old, NULL));
}

/* ---- clone ---- */

static int child_with_vfork(void *arg)
{
    g_pid = vfork();
    if (g_pid == 0) {
        g_pid = getpid();
        *(atomic_int *)arg = 1;
        for (;;)
            sleep_ms(5);
    }
    return 0;
}

TEST(vfork_parent_is_killed)
{
    static char stack[STACK_SIZE];
    atomic_int runs = 0;
    pid_t parent =
              OK(clone(child_with_vfork, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)&runs)),
          child;

    while (!runs)
        sleep_ms(1);
    child = g_pid;
    ZERO(kill(parent, SIGKILL));
    CHECK_EQ(wait_status(parent), SIGKILL); /* although it waits for its child, which goes on */
    ZERO(kill(child, 0));
    ZERO(kill(child, SIGKILL));
}

static int set_seen(void *arg)
{
    g_seen = *(int *)arg;
    return 9;
}

TEST(clone_vm_alone)
{
    static char stack[STACK_SIZE];
    int value = 77;
    pid_t pid, tid = 0;

    g_seen = 0;
    pid = OK(clone(set_seen, stack + sizeof stack, CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, &value,
                   &tid, NULL, NULL));
    CHECK_EQ(tid, pid);
    CHECK_EQ(wait_status(pid), 9 << 8);
    CHECK_EQ(g_seen, 77);
}

TEST(clone_child_cleartid)
{
    static char stack[STACK_SIZE];
    static atomic_int word;
    int value = 1;
    pid_t pid;

    word = 1;
    pid = OK(clone(set_seen, stack + sizeof stack, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD,
                   &value, NULL, NULL, (void *)&word));
    while (word)
        syscall(SYS_futex, &word, FUTEX_WAIT, 1, &(struct timespec){ 0, 100000000 }, NULL, 0);
    CHECK_EQ(wait_status(pid), 9 << 8);
}

static int change_context(void *arg)
{
    close(*(int *)arg);
    signal(SIGUSR1, SIG_IGN);
    return chdir("/");
}

TEST(clone_shares_what_it_is_told)
{
    static char stack[STACK_SIZE];
    char cwd[PATH_MAX], old[PATH_MAX];
    int fd = OK(open("/dev/null", O_RDONLY));
    pid_t pid;

    OK(getcwd(old, sizeof old));
    pid = OK(clone(change_context, stack + sizeof stack,
                   CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, &fd));
    CHECK_EQ(wait_status(pid), 0);
    OK(getcwd(cwd, sizeof cwd));
    ZERO(chdir(old));
    CHECK(strcmp(cwd, "/") == 0);
    FAILS(close(fd), EBADF);
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

static int exec_true(void *arg)
{
    char *argv[] = { "sh", "-c", "exit 0", NULL };

    execv(SHELL, argv);
    return 1;
}

static void nothing(int signo)
{
}

TEST(exec_unshares)
{
    static char stack[STACK_SIZE];
    int fd = OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
    pid_t pid;

    signal(SIGUSR1, nothing);
    pid = OK(clone(exec_true, stack + sizeof stack,
                   CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_SIGHAND | SIGCHLD, NULL));
    CHECK_EQ(wait_status(pid), 0);
    ZERO(close(fd)); /* not closed by the child's exec, nor the handler reset */
    CHECK(signal(SIGUSR1, SIG_DFL) == nothing);
}

static long clone3(struct clone_args *args)
{
    return syscall(SYS_clone3, args, sizeof *args);
}

TEST(clone3_errors)
{
    struct clone_args args = { .flags = CLONE_THREAD };
    long page[4] = { 0 };

    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){ .flags = CLONE_SIGHAND };
    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){ .flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND };
    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){ .flags = CLONE_VM | CLONE_VFORK, .exit_signal = 65 };
    FAILS(clone3(&args), EINVAL);
    args = (struct clone_args){ .flags = CLONE_VM | CLONE_VFORK, .stack_size = 4096 };
    FAILS(clone3(&args), EINVAL);
    FAILS(syscall(SYS_clone3, &args, 8), EINVAL);
    FAILS(syscall(SYS_clone3, &args, 8192), E2BIG);
    FAILS(syscall(SYS_clone3, NULL, sizeof args), EFAULT);
    (void)page;
}

/* As a function that is inlined: the child must not return over its parent's frame. */
static inline __attribute__((always_inline)) long clone3_here(struct clone_args *args)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_clone3), "D"(args), "S"(sizeof *args)
                     : "rcx", "r11", "memory");
    return result;
}

/* ---- posix_spawn ---- */

TEST(spawn_output)
{
    char out[64];

    CHECK_EQ(shell("echo one; echo two; exit 11", out, sizeof out, NULL, environ), 11 << 8);
    CHECK(strcmp(out, "one\ntwo\n") == 0);
}

TEST(spawn_environment)
{
    char out[256], *env[] = { "ONE=1", "TWO=zwei", NULL }, *none[] = { NULL };

    CHECK_EQ(shell("echo $ONE,$TWO,$HOME", out, sizeof out, NULL, env), 0);
    CHECK(strcmp(out, "1,zwei,\n") == 0);
    CHECK_EQ(shell("echo -$ONE-", out, sizeof out, NULL, none), 0);
    CHECK(strcmp(out, "--\n") == 0);
}

TEST(spawn_not_found)
{
    char *argv[] = { "none", NULL };
    pid_t pid;

    CHECK_EQ(posix_spawn(&pid, "/none", NULL, NULL, argv, environ), ENOENT);
    FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
}

TEST(spawn_file_actions)
{
    char *argv[] = { "sh", "-c", "read line; echo got $line; echo bad >&9", NULL }, text[64] = "";
    posix_spawn_file_actions_t actions;
    int spare = OK(fcntl(0, F_DUPFD, 9)), fd;
    pid_t pid;

    write_file("in", "words\n", 0644);
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_addopen(&actions, 0, "in", O_RDONLY, 0));
    ZERO(posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0644));
    ZERO(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0));
    ZERO(posix_spawn_file_actions_addclose(&actions, spare));
    ZERO(posix_spawn(&pid, SHELL, &actions, NULL, argv, environ));
    posix_spawn_file_actions_destroy(&actions);
    CHECK(wait_status(pid) != 0); /* 9 is closed there */
    ZERO(close(spare));
    fd = OK(open("out", O_RDONLY));
    CHECK_EQ(read(fd, text, sizeof text - 1), 10);
    CHECK(strcmp(text, "got words\n") == 0);
    ZERO(close(fd));
}

TEST(spawn_attributes)
{
    posix_spawnattr_t attr;
    sigset_t mask, defaults;
    char out[256];

    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    ZERO(posix_spawnattr_init(&attr));
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGUSR1);
    ZERO(posix_spawnattr_setsigmask(&attr, &mask));
    ZERO(posix_spawnattr_setsigdefault(&attr, &defaults));
    ZERO(posix_spawnattr_setpgroup(&attr, 0));
    ZERO(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP));
    CHECK_EQ(shell("kill -TERM $$; kill -USR2 $$; while read a b; do case $a in SigBlk:|NSpgid:) "
                   "echo $b;; esac; done </proc/self/status; kill -USR1 $$",
                   out, sizeof out, &attr, environ),
             SIGUSR1);
    CHECK(strstr(out, "0000000000004000") != NULL);
    posix_spawnattr_destroy(&attr);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

static void *spawn_some(void *arg)
{
    char *argv[] = { "sh", "-c", "exit 3", NULL };

    for (int i = 0; i < 10; i++) {
        pid_t pid;
        int status = 0;

        if (posix_spawn(&pid, SHELL, NULL, NULL, argv, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 3 << 8)
            return "failed";
    }
    return NULL;
}

TEST(spawn_from_threads)
{
    pthread_t threads[4];
    void *result;

    for (int i = 0; i < 4; i++)
        ZERO(pthread_create(&threads[i], NULL, spawn_some, NULL));
    for (int i = 0; i < 4; i++) {
        ZERO(pthread_join(threads[i], &result));
        CHECK(result == NULL);
    }
    FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
}

TEST(spawn_many_at_once)
{
    char *argv[] = { "sh", "-c", "read line; exit 2", NULL };
    posix_spawn_file_actions_t actions;
    int fds[2];
    pid_t pids[40];

    ZERO(pipe2(fds, O_CLOEXEC));
    ZERO(posix_spawn_file_actions_init(&actions));
    ZERO(posix_spawn_file_actions_adddup2(&actions, fds[0], 0));
    for (int i = 0; i < 40; i++)
        ZERO(posix_spawn(&pids[i], SHELL, &actions, NULL, argv, environ));
    FAILS(waitpid(-1, NULL, WNOHANG) == 0 ? (errno = EAGAIN, -1) : 0, EAGAIN);
    close(fds[0]);
    close(fds[1]);
    for (int i = 0; i < 40; i++)
        CHECK_EQ(wait_status(pids[i]), 2 << 8);
    posix_spawn_file_actions_destroy(&actions);
}

/* ---- execve ---- */

TEST(exec_errors)
{
    char *argv[] = { "x", NULL }, *none[] = { NULL };

    CHECK_EQ(vfork_exec("/none", argv, environ), -ENOENT);
    CHECK_EQ(vfork_exec("", argv, environ), -ENOENT);
    CHECK_EQ(vfork_exec("/", argv, environ), -EACCES);
    CHECK_EQ(vfork_exec("/bin/sh/x", argv, environ), -ENOTDIR);
    write_file("plain", "text\n", 0644);
    CHECK_EQ(vfork_exec("plain", argv, environ), -EACCES);
    write_file("garbage", "no program\n", 0755);
    CHECK_EQ(vfork_exec("garbage", argv, environ), -ENOEXEC);
    write_file("empty", "", 0755);
    CHECK_EQ(vfork_exec("empty", argv, none), -ENOEXEC);
    write_file("half", "\177ELF\2\1\1", 0755);
    CHECK_EQ(vfork_exec("half", argv, environ), -ENOEXEC);
    write_file("script", "#!/none\n", 0755);
    CHECK_EQ(vfork_exec("script", argv, environ), -ENOENT);
    ZERO(symlink("loop", "loop"));
    CHECK_EQ(vfork_exec("loop", argv, environ), -ELOOP);
    CHECK_EQ(vfork_exec((char *)16, argv, environ), -EFAULT);
    CHECK_EQ(vfork_exec(SHELL, (char **)16, environ), -EFAULT);
}

TEST(exec_of_a_busy_file)
{
    char *argv[] = { "busy", NULL };
    int fd;

    write_file("busy", "#!/bin/sh\nexit 4\n", 0755);
    fd = OK(open("busy", O_WRONLY | O_CLOEXEC));
    CHECK_EQ(vfork_exec("busy", argv, environ), -ETXTBSY);
    ZERO(close(fd));
    CHECK_EQ(vfork_exec("busy", argv, environ), 4 << 8);
}

/* The program of a process that runs cannot be written, by nobody and in no way. */
TEST(exec_makes_a_file_busy)
{
    char *argv[] = { "copy", "-c", "read line", NULL }, buffer[65536];
    int from = OK(open(SHELL, O_RDONLY | O_CLOEXEC)),
        to = OK(open("copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0755)), fds[2];
    ssize_t n;
    pid_t pid;

    while ((n = read(from, buffer, sizeof buffer)) > 0)
        CHECK_EQ(write(to, buffer, (size_t)n), n);
    close(from);
    ZERO(close(to));
    ZERO(pipe2(fds, O_CLOEXEC));
    pid = vfork();
    if (pid == 0) {
        dup2(fds[0], 0);
        execve("copy", argv, environ);
        _exit(127);
    }
    FAILS(open("copy", O_WRONLY), ETXTBSY);
    FAILS(open("copy", O_RDWR | O_TRUNC), ETXTBSY);
    FAILS(truncate("copy", 0), ETXTBSY);
    ZERO(unlink("copy"));
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(wait_status(pid), 1 << 8);
}

TEST(clone3_pidfd)
{
    int fd = -1, status;
    struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
                               .exit_signal = SIGCHLD,
                               .pidfd = (uintptr_t)&fd };
    siginfo_t info;
    struct pollfd ready;
    pid_t pid = clone3_here(&args);

    if (pid == 0)
        _exit(6);
    CHECK(pid > 0 && fd > 2);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ready = (struct pollfd){ .fd = fd, .events = POLLIN };
    CHECK_EQ(poll(&ready, 1, 1000), 1);
    ZERO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_status, 6);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    ZERO(close(fd));
}

TEST(exec_arguments_too_big)
{
    size_t size = 200 << 10;
    char *big = malloc(size), *argv[] = { "sh", "-c", "exit 0", big, NULL };
    char **many = calloc(100, sizeof *many);

    memset(big, 'a', size - 1);
    big[size - 1] = 0;
    CHECK_EQ(vfork_exec(SHELL, argv, environ), -E2BIG); /* one string of more than 128 KiB */
    big[(128 << 10) - 1] = 0;
    CHECK_EQ(vfork_exec(SHELL, argv, environ), 0);
    many[0] = "sh";
    many[1] = "-c";
    many[2] = "exit 0";
    for (int i = 3; i < 60; i++)
        many[i] = big;
    CHECK_EQ(vfork_exec(SHELL, many, environ), -E2BIG);
    free(many);
    free(big);
}

TEST(exec_script)
{
    char *argv[] = { "name", "one two", "three", NULL };

    write_file("script",
               "#!/bin/sh -e\n[ \"$0\" = ./script ] && [ $# = 2 ] && [ \"$1\" = 'one two' ] && "
               "case $- in *e*) exit 12;; esac\n",
               0755);
    CHECK_EQ(vfork_exec("./script", argv, environ), 12 << 8);
    write_file("outer", "#! ./script  \n", 0755);
    CHECK_EQ(vfork_exec("./outer", (char *[]){ "x", "y", NULL }, environ),
             1 << 8); /* "$1" is ./outer now */
}

TEST(exec_without_arguments)
{
    char *none[] = { NULL };
    int status = vfork_exec("/bin/true", none, environ);

    CHECK_EQ(status, 0);
}

TEST(exec_closes_on_exec)
{
    int stays = OK(fcntl(0, F_DUPFD, 8)), goes = OK(fcntl(0, F_DUPFD_CLOEXEC, 9));
    char out[64];

    CHECK_EQ(stays, 8);
    CHECK_EQ(goes, 9);
    CHECK_EQ(shell("[ -e /proc/self/fd/8 ] && echo 8; [ -e /proc/self/fd/9 ] && echo 9; exit 0",
                   out, sizeof out, NULL, environ),
             0);
    CHECK(strcmp(out, "8\n") == 0);
    close(stays);
    close(goes);
}

TEST(exec_signals)
{
    char out[16];

    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    CHECK_EQ(shell("kill -USR2 $$; echo on; kill -USR1 $$; echo not here", out, sizeof out, NULL,
                   environ),
             SIGUSR1);
    CHECK(strcmp(out, "on\n") == 0);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

TEST(exec_keeps_umask_and_folder)
{
    char out[PATH_MAX + 16], want[PATH_MAX + 16], cwd[PATH_MAX];
    mode_t mask = umask(027);

    OK(getcwd(cwd, sizeof cwd));
    CHECK_EQ(shell("umask; pwd -P", out, sizeof out, NULL, environ), 0);
    snprintf(want, sizeof want, "0027\n%s\n", cwd);
    CHECK(strcmp(out, want) == 0);
    umask(mask);
}

TEST(exec_keeps_the_id)
{
    char out[32];
    int status = shell("echo $$; exec /bin/sh -c 'echo $$'", out, sizeof out, NULL, environ);
    char *second = strchr(out, '\n');

    CHECK_EQ(status, 0);
    CHECK(second && strtol(out, NULL, 10) == strtol(second, NULL, 10));
}

TEST(exec_from_a_thread)
{
    char *argv[] = { "python3", "-c",
                     "import os, threading\n"
                     "def run(): os.execv('/bin/sh', ['sh', '-c', '[ $$ = ' + str(os.getpid()) + ' "
                     "] && exit 13'])\n"
                     "threading.Thread(target=run).start()\n"
                     "threading.Event().wait()\n",
                     NULL };

    need_python();
    CHECK_EQ(vfork_exec("/usr/bin/python3", argv, environ), 13 << 8);
}

/* ---- memory that processes share ---- */

TEST(spawn_shared_file)
{
    char *argv[] = { "python3", "-c",
                     "import mmap, sys\n"
                     "with open('shared', 'r+b') as f: m = mmap.mmap(f.fileno(), 8192)\n"
                     "if m[4096:4101] != b'first': sys.exit(1)\n"
                     "m[4096:4102] = b'second'\n",
                     NULL };
    int fd = OK(open("shared", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    char *p;

    need_python();
    ZERO(ftruncate(fd, 8192));
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memcpy(p + 4096, "first", 6);
    CHECK_EQ(vfork_exec("/usr/bin/python3", argv, environ), 0);
    CHECK(memcmp(p + 4096, "second", 6) == 0);
    ZERO(munmap(p, 8192));
    ZERO(close(fd));
}

struct meeting {
    sem_t go, done;
    pthread_mutex_t lock;
    int value;
};

static struct meeting *meeting_map(const char *path)
{
    int fd = OK(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    struct meeting *m;

    ZERO(ftruncate(fd, 4096));
    m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    ZERO(close(fd));
    return m;
}

static void add(struct meeting *m)
{
    for (int i = 0; i < 50; i++) {
        ZERO(pthread_mutex_lock(&m->lock));
        m->value++;
        ZERO(pthread_mutex_unlock(&m->lock));
    }
}

/* The other side of the next case; alone it does nothing. */
TEST(spawn_meeting_child)
{
    const char *path = getenv("SPAWN_MEETING");
    struct meeting *m;

    if (!path)
        return;
    m = meeting_map(path);
    ZERO(sem_wait(&m->go));
    add(m);
    ZERO(sem_post(&m->done));
    ZERO(pthread_mutex_lock(&m->lock)); /* and ends with it */
}

/* Semaphores and a robust mutex in a file that two programs map, each at its own address. */
TEST(spawn_meeting)
{
    pthread_mutexattr_t attr;
    char path[PATH_MAX], variable[PATH_MAX + 16];
    char *argv[] = { "child", "spawn_meeting_child", NULL }, *env[] = { variable, NULL };
    struct meeting *m;
    pid_t pid;

    if (is_fixed())
        case_skip("this program is not PIE");
    OK(getcwd(path, sizeof path - sizeof "/meeting"));
    memcpy(path + strlen(path), "/meeting", sizeof "/meeting");
    snprintf(variable, sizeof variable, "SPAWN_MEETING=%s", path);
    m = meeting_map(path);
    ZERO(sem_init(&m->go, 1, 0));
    ZERO(sem_init(&m->done, 1, 0));
    ZERO(pthread_mutexattr_init(&attr));
    ZERO(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    ZERO(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
    ZERO(pthread_mutex_init(&m->lock, &attr));
    pid = vfork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, 1);
        execve("/proc/self/exe", argv, env);
        _exit(127);
    }
    sleep_ms(30); /* it waits now, most likely */
    ZERO(sem_post(&m->go));
    add(m);
    ZERO(sem_wait(&m->done));
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(m->value, 100);
    CHECK_EQ(pthread_mutex_lock(&m->lock), EOWNERDEAD);
    ZERO(pthread_mutex_consistent(&m->lock));
    ZERO(pthread_mutex_unlock(&m->lock));
    ZERO(munmap(m, 4096));
}

/* ---- limits ---- */

TEST(spawn_process_limit)
{
    pid_t pid = vfork();

    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        pid_t inner;

        if (setrlimit(RLIMIT_NPROC, &none) != 0 || syscall(SYS_setresuid, 61234, 61234, 61234) != 0)
            _exit(1);
        inner = vfork();
        if (inner == 0)
            _exit(2);
        _exit(inner == -1 && errno == EAGAIN ? 0 : 3);
    }
    CHECK_EQ(wait_status(pid), 0);
}

TEST(spawn_memory_limit)
{
    char out[64];

    need_python();
    CHECK_EQ(shell("ulimit -v 200000; exec python3 -c 'import sys\ntry: x = bytearray(400 << "
                   "20)\nexcept MemoryError: sys.exit(21)'",
                   out, sizeof out, NULL, environ) >>
                 8,
             21);
}
