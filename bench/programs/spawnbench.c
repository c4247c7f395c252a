/* SPDX-License-Identifier: Apache-2.0 */
/* spawnbench COUNT PROGRAM [ARG...]: starts the program and waits for it, again and again; prints the median and the least time. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[1]) : 0, status;
    double *times = calloc((size_t)count + 1, sizeof *times);
    pid_t pid;

    if (count < 1 || !times)
        return 2;
    for (int i = 0; i < count; i++) {
        double start = now_us();

        if (posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
        times[i] = now_us() - start;
    }
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("spawn %.1f %.1f us\n", times[count / 2], times[0]);
    return 0;
}
