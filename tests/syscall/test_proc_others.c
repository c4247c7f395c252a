/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/PID tells of other processes, and to whom. */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define NOBODY 65534

static volatile int g_result[8];

__attribute__((noreturn)) static int waits(void *arg)
{
    (void)arg;
    for (;;)
        child_sleep_ms(10);
}

static int exits(void *arg)
{
    return (int)(intptr_t)arg;
}

static const char *text_of(pid_t pid, const char *name)
{
    static char text[16384], path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    fd = OK(open(path, O_RDONLY));
    n = OK(read(fd, text, sizeof text - 1));
    OK(close(fd));
    text[n] = 0;
    return text;
}

struct stat_line {
    int pid, parent, pgid, sid, foreground;
    char name[32], state;
};

static struct stat_line stat_of(pid_t pid)
{
    struct stat_line s;
    long tty;

    CHECK_EQ(sscanf(text_of(pid, "stat"), "%d (%31[^)]) %c %d %d %d %ld %d", &s.pid, s.name,
                    &s.state, &s.parent, &s.pgid, &s.sid, &tty, &s.foreground),
             8);
    return s;
}

static void end(pid_t pid)
{
    OK(kill(pid, SIGKILL));
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
}

TEST(proc_of_a_child)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    struct stat_line s = stat_of(pid);
    char path[64];
    struct stat st;

    CHECK_EQ(s.pid, pid);
    CHECK_EQ(s.parent, getpid());
    CHECK_EQ(s.pgid, getpgrp());
    CHECK_EQ(s.sid, getsid(0));
    CHECK(s.state == 'S' || s.state == 'R');
    OK(setpgid(pid, pid));
    CHECK_EQ(stat_of(pid).pgid, pid);
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(OK(waitpid(pid, NULL, WUNTRACED)), pid);
    CHECK_EQ(stat_of(pid).state, 'T');
    CHECK(strstr(text_of(pid, "status"), "\nState:\tT (stopped)\n") != NULL);
    snprintf(path, sizeof path, "/proc/%d", pid);
    OK(stat(path, &st));
    CHECK_EQ(st.st_uid, geteuid());
    end(pid);
    FAILS(stat(path, &st), ENOENT);
}

TEST(proc_of_a_zombie)
{
    pid_t pid = child_start(exits, (void *)3, SIGCHLD);
    char path[64], target[64];
    siginfo_t info;

    OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    struct stat_line s = stat_of(pid), own = stat_of(getpid());
    CHECK_EQ(s.state, 'Z');
    CHECK(strcmp(s.name, own.name) == 0);
    CHECK(strstr(text_of(pid, "status"), "\nState:\tZ (zombie)\n") != NULL);
    CHECK(strstr(text_of(pid, "status"), "VmSize") == NULL);
    CHECK_EQ(strlen(text_of(pid, "cmdline")), 0);
    CHECK_EQ(strlen(text_of(pid, "maps")), 0);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    FAILS(readlink(path, target, sizeof target), ENOENT);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
}

TEST(proc_lists_processes)
{
    pid_t pid = child_start(waits, NULL, SIGCHLD);
    bool has_self = false, has_child = false;
    struct dirent *e;
    DIR *d = opendir("/proc");

    CHECK(d != NULL);
    while ((e = readdir(d)) != NULL) {
        has_self |= strtol(e->d_name, NULL, 10) == getpid();
        has_child |= strtol(e->d_name, NULL, 10) == pid;
    }
    closedir(d);
    CHECK(has_self && has_child);
    end(pid);
}

TEST(proc_child_descriptors)
{
    char path[64], target[64] = "";
    int fd = OK(open("/dev/null", O_RDONLY)), again;
    pid_t pid = child_start(waits, NULL, SIGCHLD);

    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    CHECK_EQ(OK(readlink(path, target, sizeof target)), strlen("/dev/null"));
    again = OK(open(path, O_RDONLY));
    OK(close(again));
    OK(close(fd)); /* the child has it still */
    OK(readlink(path, target, sizeof target));
    snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    CHECK(OK(readlink(path, target, sizeof target)) > 0);
    end(pid);
}

static int looks_at_parent(void *arg)
{
    static const char *const names[] = { "environ", "maps", "auxv", "status" };
    char path[64], target[64];
    int parent = (int)(intptr_t)arg;

    syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY);
    syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", parent, names[i]);
        g_result[i] = (int)syscall(SYS_open, path, O_RDONLY) < 0;
    }
    snprintf(path, sizeof path, "/proc/%d/exe", parent);
    g_result[4] = (int)syscall(SYS_readlink, path, target, sizeof target) < 0;
    snprintf(path, sizeof path, "/proc/%d/fd", parent);
    g_result[5] = (int)syscall(SYS_open, path, O_RDONLY | O_DIRECTORY) < 0;
    return 0;
}

TEST(proc_permissions)
{
    pid_t pid;

    if (geteuid() != 0)
        case_skip("needs root");
    for (int i = 0; i < 6; i++)
        g_result[i] = -1;
    pid = child_start(looks_at_parent, (void *)(intptr_t)getpid(), SIGCHLD);
    CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
    for (int i = 0; i < 6; i++)
        /* status is for all, and so are the maps of the reader's own memory, which these two share */
        CHECK_EQ(g_result[i] == (i != 3 && i != 1) ? i : -1, i);
}

static int looks_at_itself(void *arg)
{
    char target[64];

    (void)arg;
    syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY);
    syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
    syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    g_result[0] = (int)syscall(SYS_open, "/proc/self/fd", O_RDONLY | O_DIRECTORY) >= 0;
    g_result[1] = (int)syscall(SYS_readlink, "/proc/self/fd/1", target, sizeof target) > 0;
    g_result[2] = (int)syscall(SYS_open, "/proc/self/environ", O_RDONLY) < 0;
    return 0;
}

TEST(proc_not_dumpable)
{
    char path[64];
    struct stat st;

    if (geteuid() == 0) {
        pid_t pid;

        g_result[0] = g_result[1] = g_result[2] = -1;
        pid = child_start(looks_at_itself, NULL, SIGCHLD);
        CHECK_EQ(OK(waitpid(pid, NULL, 0)), pid);
        CHECK_EQ(g_result[0], 1); /* its own descriptors are for it in any case */
        CHECK_EQ(g_result[1], 1);
        CHECK_EQ(g_result[2], 1);
    }

    OK(prctl(PR_SET_DUMPABLE, 0));
    snprintf(path, sizeof path, "/proc/%d/environ", getpid());
    OK(stat(path, &st));
    CHECK_EQ(st.st_uid, 0);
    OK(prctl(PR_SET_DUMPABLE, 1));
}

TEST(proc_self_auxv)
{
    Elf64_auxv_t pairs[64];
    int fd = OK(open("/proc/self/auxv", O_RDONLY));
    ssize_t n = OK(read(fd, pairs, sizeof pairs));
    bool found = false;

    CHECK(n > 0 && n % (ssize_t)sizeof pairs[0] == 0);
    for (size_t i = 0; i < (size_t)n / sizeof pairs[0]; i++) {
        if (pairs[i].a_type == AT_ENTRY || pairs[i].a_type == AT_RANDOM)
            CHECK_EQ(pairs[i].a_un.a_val, getauxval(pairs[i].a_type));
        found |= pairs[i].a_type == AT_RANDOM;
    }
    CHECK(found);
    CHECK_EQ(pairs[(size_t)n / sizeof pairs[0] - 1].a_type, AT_NULL);
    OK(close(fd));
}

TEST(proc_self_smaps)
{
    static char *memory;
    char line[256];
    unsigned long start, end_, rss = 0, from = 0;
    FILE *f;

    memory = malloc(3 << 20);
    memset(memory, 1, 3 << 20);
    f = fopen("/proc/self/smaps", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%lx-%lx %*4s", &start, &end_) == 2)
            from = start <= (unsigned long)memory && end_ > (unsigned long)memory;
        if (from && sscanf(line, "Rss: %lu kB", &rss) == 1)
            break;
    }
    fclose(f);
    free(memory);
    CHECK(rss >= 3 << 10);
}

static void nothing(int signo)
{
    (void)signo;
}

TEST(proc_signal_masks)
{
    struct sigaction action = { .sa_handler = nothing };
    unsigned long pending, blocked, ignored, caught;
    const char *text;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigaction(SIGUSR1, &action, NULL));
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    OK(kill(getpid(), SIGUSR1));
    text = text_of(getpid(), "status");
    CHECK_EQ(sscanf(strstr(text, "\nShdPnd:"), "\nShdPnd: %lx SigBlk: %lx SigIgn: %lx SigCgt: %lx",
                    &pending, &blocked, &ignored, &caught),
             4);
    CHECK_EQ(pending, 1ul << (SIGUSR1 - 1));
    CHECK_EQ(blocked, 1ul << (SIGUSR1 - 1));
    CHECK(ignored & 1ul << (SIGUSR2 - 1) && !(ignored & 1ul << (SIGUSR1 - 1)));
    CHECK(caught & 1ul << (SIGUSR1 - 1));
}
