/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that change names and descriptors under each other's hands: nothing is torn, nothing hangs. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 4
#define STEPS 4000
#define FD_FIRST 100
#define FD_COUNT 16
#define FILE_SIZE 9000

struct racer {
    pthread_t thread;
    unsigned seed;
    char letter;
    int wrong; /* bytes that no thread wrote */
};

static unsigned next(struct racer *r)
{
    r->seed = r->seed * 1103515245 + 12345;
    return r->seed >> 8;
}

static void name_file(struct racer *r, char path[64])
{
    unsigned n = next(r);

    snprintf(path, 64, "d%u/f%u", n % 3, n / 3 % 5);
}

static void name_folder(struct racer *r, char path[64])
{
    unsigned n = next(r);

    snprintf(path, 64, "d%u/s%u", n % 3, n / 3 % 3);
}

static void check_bytes(struct racer *r, const char *bytes, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++)
        if (bytes[i] != 0 && (bytes[i] < 'a' || bytes[i] >= 'a' + THREADS))
            r->wrong++;
}

static void write_file(struct racer *r, const char *path)
{
    char bytes[FILE_SIZE];
    int fd = open(path, O_CREAT | O_RDWR, 0644);

    memset(bytes, r->letter, sizeof bytes);
    if (fd >= 0 && pwrite(fd, bytes, sizeof bytes, next(r) % 4 * 4096) < 0)
        r->wrong++;
    if (fd >= 0)
        close(fd);
}

static void read_file(struct racer *r, const char *path)
{
    char bytes[FILE_SIZE];
    int fd = open(path, O_RDONLY);

    if (fd >= 0) {
        check_bytes(r, bytes, read(fd, bytes, sizeof bytes));
        close(fd);
    }
}

static void list_folder(const char *path)
{
    DIR *dir = opendir(path);

    while (dir && readdir(dir))
        ;
    if (dir)
        closedir(dir);
}

static void names_step(struct racer *r)
{
    char a[64], b[64];
    struct stat st;
    unsigned what = next(r) % 12;

    (what < 9 ? name_file : name_folder)(r, a);
    (what < 9 ? name_file : name_folder)(r, b);
    switch (what) {
    case 0:
    case 1:
        write_file(r, a);
        break;
    case 2:
    case 3:
        read_file(r, a);
        break;
    case 4:
        unlink(a);
        break;
    case 5:
        rename(a, b);
        break;
    case 6:
        (void)!link(a, b);
        break;
    case 7:
        (void)!truncate(a, next(r) % 20000);
        break;
    case 8:
        stat(a, &st);
        break;
    case 9:
        mkdir(a, 0755);
        list_folder(b);
        break;
    case 10:
        rmdir(a);
        break;
    default:
        rename(a, b);
    }
}

static void descriptors_step(struct racer *r)
{
    unsigned n = next(r);
    int fd = FD_FIRST + (int)(n / 8 % FD_COUNT), made;
    char bytes[64];
    struct stat st;

    switch (n % 8) {
    case 0:
    case 1:
        made = open("d0/f0", O_RDWR | O_CREAT, 0644);
        if (made >= 0) {
            dup2(made, fd);
            close(made);
        }
        break;
    case 2:
        close(fd);
        break;
    case 3:
        if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
            r->wrong++;
        break;
    case 4:
        check_bytes(r, bytes, pread(fd, bytes, sizeof bytes, next(r) % 4096));
        break;
    case 5:
        dup2(fd, FD_FIRST + (int)(next(r) % FD_COUNT));
        break;
    case 6:
        memset(bytes, r->letter, sizeof bytes);
        (void)!pwrite(fd, bytes, sizeof bytes, next(r) % 4096);
        break;
    default:
        lseek(fd, 0, SEEK_SET);
        check_bytes(r, bytes, read(fd, bytes, sizeof bytes));
    }
}

static void *names_run(void *arg)
{
    for (int i = 0; i < STEPS; i++)
        names_step(arg);
    return NULL;
}

static void *descriptors_run(void *arg)
{
    for (int i = 0; i < STEPS; i++)
        descriptors_step(arg);
    return NULL;
}

static void race(void *(*run)(void *))
{
    struct racer racers[THREADS];

    for (int i = 0; i < 3; i++) {
        char path[8];

        snprintf(path, sizeof path, "d%d", i);
        OK(mkdir(path, 0755));
    }
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){ .seed = (unsigned)i * 7919 + 1, .letter = (char)('a' + i) };
        CHECK_EQ(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(racers[i].thread, NULL), 0);
        CHECK_EQ(racers[i].wrong, 0);
    }
}

TEST(race_names)
{
    race(names_run);
}

TEST(race_descriptors)
{
    race(descriptors_run);
    for (int i = 0; i < FD_COUNT; i++)
        close(FD_FIRST + i);
}

static volatile unsigned g_taken;

static void *take_signals(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (g_taken < STEPS)
        if (sigwaitinfo(&set, NULL) == SIGCHLD)
            __atomic_add_fetch(&g_taken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A signal whose default is to be ignored, and that all threads block, waits for the next sigwaitinfo, whenever it comes. */
TEST(race_sigwait)
{
    pthread_t thread;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    g_taken = 0;
    CHECK_EQ(pthread_create(&thread, NULL, take_signals, NULL), 0);
    for (unsigned i = 0; i < STEPS; i++) {
        long long began = now_ms();

        OK(kill(getpid(), SIGCHLD));
        while (__atomic_load_n(&g_taken, __ATOMIC_SEQ_CST) == i)
            if (now_ms() - began > 10000)
                case_fail(__FILE__, __LINE__, "a signal is lost", i, STEPS);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
