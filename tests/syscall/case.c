/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the cases: `syscall_test [--list] [--after CASE] [CASE...]`. Output is TAP; exit status 1 when a
 * case failed.
 */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FD_KEPT_MAX 256

static struct test_case *g_cases;
static const char *g_skip_reason;
static char g_failure[512];
static bool g_failed;
static jmp_buf g_end_of_case;
static pthread_t g_runner;

void case_add(struct test_case *c)
{
    struct test_case **at = &g_cases;

    while (*at != NULL && strcmp((*at)->name, c->name) < 0)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

static void leave(void)
{
    if (pthread_equal(pthread_self(), g_runner))
        longjmp(g_end_of_case, 1);
}

void case_fail(const char *file, int line, const char *what, long long got, long long want)
{
    if (!g_failed)
        snprintf(g_failure, sizeof g_failure, "%s:%d: %s: got %lld, want %lld", file, line, what,
                 got, want);
    g_failed = true;
    leave();
}

void case_skip(const char *reason)
{
    g_skip_reason = reason;
    leave();
}

int file_with(const char *path, const char *text)
{
    int fd = OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644));

    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

/* What a case may have left behind must not reach the next one. */
static void restore_process(void)
{
    sigset_t none;

    alarm(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < NSIG; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            signal(sig, SIG_DFL);
    sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    for (int fd = 3; fd < FD_KEPT_MAX; fd++)
        close(fd);
    umask(022);
}

static void run_case(const struct test_case *c, unsigned number, const char *scratch)
{
    char folder[128];

    snprintf(folder, sizeof folder, "%s/%s", scratch, c->name);
    g_failed = false;
    g_skip_reason = NULL;
    printf("# %s\n", c->name);
    fflush(stdout);
    if (mkdir(folder, 0755) < 0 || chdir(folder) < 0) {
        printf("not ok %u - %s # no folder %s: %s\n", number, c->name, folder, strerror(errno));
        return;
    }
    if (setjmp(g_end_of_case) == 0)
        c->run();
    restore_process();
    if (chdir(scratch) < 0 || nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
        printf("# cannot remove %s: %s\n", folder, strerror(errno));
    if (g_failed)
        printf("# %s\n", g_failure);
    printf("%s %u - %s%s%s\n", g_failed ? "not ok" : "ok", number, c->name,
           g_skip_reason ? " # SKIP " : "", g_skip_reason ? g_skip_reason : "");
    fflush(stdout);
}

static bool is_wanted(const struct test_case *c, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], c->name) == 0)
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/syscall-test-XXXXXX";
    const char *after = NULL;
    unsigned number = 0, failed = 0;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct test_case *c = g_cases; c != NULL; c = c->next)
            puts(c->name);
        return 0;
    }
    if (argc >= 3 && strcmp(argv[1], "--after") == 0) {
        after = argv[2];
        argv += 2;
        argc -= 2;
    }
    g_runner = pthread_self();
    umask(022);
    if (mkdtemp(scratch) == NULL) {
        perror(scratch);
        return 1;
    }
    for (const struct test_case *c = g_cases; c != NULL; c = c->next) {
        if ((after != NULL && strcmp(c->name, after) <= 0) || !is_wanted(c, argv + 1, argc - 1))
            continue;
        run_case(c, ++number, scratch);
        failed += g_failed;
    }
    printf("1..%u\n", number);
    if (chdir("/") < 0 || rmdir(scratch) < 0)
        perror(scratch);
    return failed != 0;
}
