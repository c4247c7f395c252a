/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn_stress ROUNDS THREADS CHILDREN PROGRAM ARG...: in each round every thread starts its children at once with a
 * pipe as stdin, lets them go, and waits for them. Prints the free memory (KiB) after each round.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int g_children;
static char **g_argv;

static void *run(void *arg)
{
    pid_t *pids = calloc((size_t)g_children, sizeof *pids);
    posix_spawn_file_actions_t actions;
    const char *result = NULL;
    int fds[2], status;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return "pipe2";
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[0], 0);
    for (int i = 0; i < g_children; i++) {
        int rc = posix_spawn(&pids[i], g_argv[0], &actions, NULL, g_argv, environ);

        if (rc != 0) {
            fprintf(stderr, "child %d: %s\n", i, strerror(rc));
            result = "posix_spawn";
            pids[i] = 0;
        }
    }
    close(fds[0]);
    close(fds[1]);
    for (int i = 0; i < g_children; i++)
        if (pids[i] && (waitpid(pids[i], &status, 0) != pids[i] || status != 0))
            result = "waitpid";
    posix_spawn_file_actions_destroy(&actions);
    free(pids);
    return (void *)result;
}

int main(int argc, char **argv)
{
    int rounds = argc > 4 ? (int)strtol(argv[1], NULL, 10) : 0;
    int threads = argc > 4 ? (int)strtol(argv[2], NULL, 10) : 0;
    pthread_t *ids = calloc((size_t)threads + 1, sizeof *ids);

    if (argc < 5)
        return 2;
    g_children = (int)strtol(argv[3], NULL, 10);
    g_argv = argv + 4;
    for (int round = 0; round < rounds; round++) {
        struct sysinfo info;
        void *result;

        for (int i = 0; i < threads; i++)
            if (pthread_create(&ids[i], NULL, run, NULL) != 0)
                return 3;
        for (int i = 0; i < threads; i++) {
            pthread_join(ids[i], &result);
            if (result) {
                printf("failed: %s\n", (const char *)result);
                return 1;
            }
        }
        sysinfo(&info);
        printf("%lu\n", info.freeram / 1024);
        fflush(stdout);
    }
    return 0;
}
