/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into stress-ng: its first fork() does not fork, and the process goes on as the child. So a stressor runs in the
 * process that was started, where forking is not served. stress-ng has a second fork of that kind, for stressors that may
 * run out of memory: a child does the work and its parent just waits. FIRST_FORK_ALSO=HEX names where in the program that one is
 * called from; it does not fork either, once. Each further fork() is the real one, and the first of those is said, with
 * where it is called from. With FIRST_FORK_REFUSE they answer ENOSYS, on plain Linux too. Tests only.
 *
 * stress-ng's handler of SIGALRM, which ends a worker after its time, asks whether it runs in the process that main()
 * remembered, and then leaves the ending to the workers. So getpid() answers before the first fork what the worker's
 * getppid() answers after it: the process above is the parent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

static int g_forked; /* the process is the worker; stress-ng has one thread until then */

pid_t getpid(void)
{
    return (pid_t)syscall(g_forked ? SYS_getpid : SYS_getppid);
}

/* The program headers follow the ELF header, on the program's first page. */
static unsigned long offset_in_program(const void *address)
{
    return (unsigned long)address - (getauxval(AT_PHDR) & ~0xfffUL);
}

pid_t fork(void)
{
    static int also_done, said;
    const char *also = getenv("FIRST_FORK_ALSO");
    unsigned long caller = offset_in_program(__builtin_return_address(0));

    if (!g_forked) {
        g_forked = 1;
        return 0;
    }
    if (!also_done && also && strtoul(also, NULL, 16) == caller) {
        also_done = 1;
        return 0;
    }
    if (!said) {
        said = 1;
        dprintf(STDERR_FILENO, "first_fork: forks at %lx\n", caller);
    }
    if (getenv("FIRST_FORK_REFUSE")) {
        errno = ENOSYS;
        return -1;
    }
    return (pid_t)syscall(SYS_fork);
}
