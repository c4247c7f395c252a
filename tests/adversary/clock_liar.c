/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader of a host that lies about time: built from the loader's own sources, with clock_gettime between. What is added to the clocks stands in the file that the environment variable
 * CLOCHE_CLOCK_LIE names, and may change while the enclave runs: struct lie. Untrusted side.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/defs.h"

struct lie {
    int64_t wall_ns;      /* CLOCK_REALTIME */
    int64_t monotonic_ns; /* CLOCK_MONOTONIC, and CLOCK_BOOTTIME with it */
    int64_t boot_ns;      /* CLOCK_BOOTTIME alone */
};

static const volatile struct lie *g_lie;

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

__attribute__((constructor)) static void lie_map(void)
{
    const char *path = getenv("CLOCHE_CLOCK_LIE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *g_lie, PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        fputs("clock-liar: CLOCHE_CLOCK_LIE must name a file\n", stderr);
        exit(2);
    }
    close(fd);
    g_lie = at;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rc = __real_clock_gettime(clock, ts);
    int64_t ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;

    if (clock == CLOCK_REALTIME)
        ns += g_lie->wall_ns;
    else if (clock == CLOCK_MONOTONIC)
        ns += g_lie->monotonic_ns;
    else if (clock == CLOCK_BOOTTIME)
        ns += g_lie->monotonic_ns + g_lie->boot_ns;
    ts->tv_sec = ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;
    return rc;
}
