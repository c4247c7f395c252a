/* SPDX-License-Identifier: Apache-2.0 */
/* See children.h. */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <time.h>

#define STACK_SIZE 65536
#define STACK_COUNT 16

static char g_stacks[STACK_COUNT][STACK_SIZE] __attribute__((aligned(64)));
static unsigned g_next;

pid_t child_start(int (*fn)(void *arg), void *arg, int exit_signal)
{
    unsigned n = __atomic_fetch_add(&g_next, 1, __ATOMIC_RELAXED) % STACK_COUNT;

    return (pid_t)OK(clone(fn, g_stacks[n] + STACK_SIZE, CLONE_VM | exit_signal, arg));
}

void child_sleep_ms(long ms)
{
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    syscall(SYS_nanosleep, &ts, NULL);
}
