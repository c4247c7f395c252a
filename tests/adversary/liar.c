/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loader whose host lies. Each lie has a name, what it does, and what the enclave must make of it: its own
 * checks pass, or it ends itself and says why. The enclave is built once; each lie is told by a child, so
 * none sees what another did. The lies are in lie_*.c. Untrusted side, test only.
 *
 * usage: liar BUNDLE [LIE | PREFIX/ | /SUFFIX]... | liar --list
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/adversary/lies.h"

#define LIES_MAX 2048
#define SECONDS_MAX 20

const struct lie *g_lie;
atomic_uint g_told;

static struct lie g_lies[LIES_MAX];
static struct loader g_loader;

static int build(const char *bundle)
{
    struct err err = { "" };

    g_loader.options.image = bundle;
    if (loader_image_open(&g_loader, &err) < 0 || loader_enclave_build(&g_loader, &err) < 0) {
        fprintf(stderr, "liar: %s\n", err.text);
        return -1;
    }
    return lie_sgx_share(&g_loader);
}

NORETURN static void tell(const struct lie *lie)
{
    static char *argv[2];
    struct loader *l = &g_loader;
    struct err err = { "" };

    g_lie = lie;
    argv[0] = (char *)lie->scenario;
    argv[1] = (char *)lie->argument;
    l->options.argc = lie->argument[0] ? 2 : 1;
    l->options.argv = argv;
    if (loader_start_prepare(l, &err) < 0) {
        fprintf(stderr, "liar: %s\n", err.text);
        _exit(2);
    }
    l->ocall.end_wait_us = 1000;
    l->ocall.serve = lie->serve;
    lie_entry_watch(l);
    if (lie->prepare)
        lie->prepare(l);
    loader_run(l);
}

static bool is_as_expected(const struct lie *lie, int status, const char *text)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    switch (lie->outcome) {
    case OUTCOME_HARMLESS:
        return code == ROW_HARMLESS;
    case OUTCOME_REFUSED:
        return code == STATUS_PANIC && strstr(text, lie->text ? lie->text : "");
    case OUTCOME_EITHER:
        return code == ROW_HARMLESS || code == STATUS_PANIC;
    case OUTCOME_STATUS:
        return code == lie->status && strstr(text, lie->text ? lie->text : "");
    }
    return false;
}

/* Tells one lie in a process of its own. returns: true as expected. */
static bool check(const struct lie *lie)
{
    char text[4096] = "", rest[4096];
    size_t used = 0;
    ssize_t n;
    int pipe_fds[2], status;
    pid_t pid;

    fflush(stdout);
    if (pipe(pipe_fds) < 0)
        return false;
    pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDERR_FILENO);
        alarm(SECONDS_MAX);
        tell(lie);
    }
    close(pipe_fds[1]);
    while ((n = read(pipe_fds[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    while (used == sizeof text - 1 && read(pipe_fds[0], rest, sizeof rest) > 0)
        ;
    close(pipe_fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (is_as_expected(lie, status, text)) {
        printf("ok - %s\n", lie->name);
        return true;
    }
    printf("not ok - %s # status 0x%x\n# %s: expected outcome %d and \"%s\"; it said: %.*s\n",
           lie->name, status, lie->name, (int)lie->outcome, lie->text ? lie->text : "",
           (int)strcspn(text, "\n"), text);
    return false;
}

/* A lie's name, "sgx/" for all that begin so, "/errors" for all that end so. */
static bool is_match(const struct lie *lie, const char *name)
{
    size_t size = strlen(name), full = strlen(lie->name);

    if (size == 0 || size > full)
        return false;
    if (name[0] == '/')
        return strcmp(lie->name + full - size, name) == 0;
    return strcmp(lie->name, name) == 0 ||
           (name[size - 1] == '/' && strncmp(name, lie->name, size) == 0);
}

static bool is_wanted(const struct lie *lie, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (is_match(lie, names[i]))
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    bool good = true, found = false;
    unsigned count = 0;

    if (argc < 2) {
        fputs("usage: liar BUNDLE [LIE | PREFIX/ | /SUFFIX]... | liar --list\n", stderr);
        return 2;
    }
    count += lie_answers_list(g_lies + count, LIES_MAX - count);
    count += lie_start_list(g_lies + count, LIES_MAX - count);
    count += lie_sgx_list(g_lies + count, LIES_MAX - count);
    count += lie_rows_list(g_lies + count, LIES_MAX - count);
    if (strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < count; i++)
            puts(g_lies[i].name);
        return 0;
    }
    if (build(argv[1]) < 0)
        return 2;
    for (unsigned i = 0; i < count; i++) {
        if (!is_wanted(&g_lies[i], argc - 2, argv + 2))
            continue;
        found = true;
        good = check(&g_lies[i]) && good;
    }
    return good && found ? 0 : 1;
}
