/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of /proc and /dev that programs and the C library read. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The file's beginning as a string. */
static const char *text_of(const char *path)
{
    static char text[65536];
    size_t size = 0;
    ssize_t n;
    int fd = OK(open(path, O_RDONLY));

    while ((n = read(fd, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)n;
    CHECK(n == 0 || size == sizeof text - 1);
    text[size] = '\0';
    OK(close(fd));
    return text;
}

TEST(proc_self_exe)
{
    char path[4096] = "";
    struct stat st;

    CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    CHECK_EQ(path[0], '/');
    OK(stat(path, &st));
}

TEST(proc_self_cmdline)
{
    CHECK(strstr(text_of("/proc/self/cmdline"), "test") != NULL);
}

TEST(proc_self_maps)
{
    char perms[5] = "";
    unsigned long from = 0, to = 0, here = (unsigned long)(uintptr_t)&text_of;
    bool found = false;
    int local;

    for (const char *line = text_of("/proc/self/maps"); *line != '\0';) {
        CHECK_EQ(sscanf(line, "%lx-%lx %4s", &from, &to, perms), 3);
        CHECK(from < to);
        if (here >= from && here < to) {
            CHECK(strcmp(perms, "r-xp") == 0);
            found = true;
        }
        line = strchr(line, '\n');
        CHECK(line != NULL);
        line++;
    }
    CHECK(found);
    (void)local;
}

TEST(proc_self_status)
{
    const char *text = text_of("/proc/self/status"), *pid = strstr(text, "\nPid:\t");

    CHECK(strncmp(text, "Name:\t", 6) == 0);
    CHECK(pid != NULL && atol(pid + 6) == getpid());
    CHECK(strstr(text, "\nVmRSS:") != NULL);
    /* A thread that was joined may still be on its way out. */
    for (int i = 0; i < 100 && strstr(text, "\nThreads:\t1\n") == NULL; i++) {
        usleep(10000);
        text = text_of("/proc/self/status");
    }
    CHECK(strstr(text, "\nThreads:\t1\n") != NULL);
}

TEST(proc_self_fd)
{
    char name[64], target[4096] = "", folder[4096];
    int fd = file_with("f", "");

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    CHECK(readlink(name, target, sizeof target - 1) > 0);
    CHECK(getcwd(folder, sizeof folder) != NULL);
    CHECK(strncmp(target, folder, strlen(folder)) == 0);
    OK(close(OK(open(name, O_RDONLY)))); /* opens the file anew */
    FAILS(readlink("/proc/self/fd/9999", target, sizeof target), ENOENT);
    CHECK(readlink("/proc/self/cwd", target, sizeof target - 1) > 0);
}

TEST(proc_self_stat)
{
    int pid = 0;

    CHECK_EQ(sscanf(text_of("/proc/self/stat"), "%d (", &pid), 1);
    CHECK_EQ(pid, getpid());
}

TEST(proc_machine)
{
    CHECK(strstr(text_of("/proc/cpuinfo"), "processor\t: 0") != NULL);
    CHECK(strncmp(text_of("/proc/meminfo"), "MemTotal:", 9) == 0);
    CHECK(strncmp(text_of("/proc/stat"), "cpu ", 4) == 0);
    CHECK(atof(text_of("/proc/uptime")) > 0);
    CHECK(strncmp(text_of("/proc/version"), "Linux version", 13) == 0);
    CHECK(strstr(text_of("/proc/filesystems"), "tmpfs") != NULL);
    CHECK(strstr(text_of("/proc/mounts"), " / ") != NULL);
    CHECK(strchr(text_of("/proc/loadavg"), '.') != NULL);
    CHECK(atol(text_of("/proc/sys/kernel/pid_max")) > 100);
}

TEST(proc_is_a_folder)
{
    struct stat st;
    char name[32];

    OK(stat("/proc/self", &st));
    CHECK(S_ISDIR(st.st_mode));
    OK(lstat("/proc/self", &st));
    CHECK(S_ISLNK(st.st_mode));
    snprintf(name, sizeof name, "/proc/%d/cmdline", getpid());
    OK(stat(name, &st));
    FAILS(stat("/proc/missing", &st), ENOENT);
    FAILS(mkdir("/proc/x", 0755), ENOENT);
}

TEST(dev_null_zero_full)
{
    char block[100];
    int fd = OK(open("/dev/null", O_RDWR));

    CHECK_EQ(write(fd, block, 100), 100);
    CHECK_EQ(read(fd, block, 100), 0);
    memset(block, 1, sizeof block);
    fd = OK(open("/dev/zero", O_RDWR));
    CHECK_EQ(read(fd, block, 100), 100);
    CHECK(block[0] == 0 && block[99] == 0);
    fd = OK(open("/dev/full", O_RDWR));
    FAILS(write(fd, block, 1), ENOSPC);
}

TEST(dev_random)
{
    unsigned char a[32] = "", b[32] = "";
    int fd = OK(open("/dev/urandom", O_RDONLY));

    CHECK_EQ(read(fd, a, 32), 32);
    CHECK_EQ(read(fd, b, 32), 32);
    CHECK(memcmp(a, b, 32) != 0);
    fd = OK(open("/dev/random", O_RDONLY));
    CHECK_EQ(read(fd, b, 32), 32);
}

TEST(dev_kinds)
{
    struct stat st;

    OK(stat("/dev/null", &st));
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, 0x103);
    OK(stat("/dev/urandom", &st));
    CHECK_EQ(st.st_rdev, 0x109);
    OK(stat("/dev/fd", &st));
    CHECK(S_ISDIR(st.st_mode));
    OK(access("/dev/shm", F_OK));
}

TEST(sys_cpu_online)
{
    CHECK(strchr(text_of("/sys/devices/system/cpu/online"), '0') != NULL);
}

static volatile int g_got;

static void note_signal(int signo)
{
    g_got = signo;
}

/* A signal may be sent through an open /proc/PID, as through a pidfd. */
TEST(proc_folder_as_pidfd)
{
    char path[64];
    int folder, file;

    signal(SIGUSR1, note_signal);
    snprintf(path, sizeof path, "/proc/%d", (int)getpid());
    folder = OK(open(path, O_RDONLY | O_DIRECTORY));
    file = OK(open("/proc/self/stat", O_RDONLY));
    OK(syscall(SYS_pidfd_send_signal, folder, SIGUSR1, NULL, 0));
    CHECK_EQ(g_got, SIGUSR1);
    OK(syscall(SYS_pidfd_send_signal, folder, 0, NULL, 0));
    FAILS(syscall(SYS_pidfd_send_signal, folder, 65, NULL, 0), EINVAL);
    FAILS(syscall(SYS_pidfd_send_signal, folder, SIGUSR1, NULL, 100), EINVAL);
    FAILS(syscall(SYS_pidfd_send_signal, file, SIGUSR1, NULL, 0), EBADF);
    FAILS(syscall(SYS_pidfd_send_signal, 0, SIGUSR1, NULL, 0), EBADF);
}
