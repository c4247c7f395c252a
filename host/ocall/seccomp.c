/* SPDX-License-Identifier: Apache-2.0 */
/* See seccomp.h. The list is made from abi/ocall.def, so a new row brings its own calls. Untrusted side. */
#include "host/ocall/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Applies N to each argument; at most 16. */
#define EACH_0()
#define EACH_1(x) N(x)
#define EACH_2(x, ...) N(x) EACH_1(__VA_ARGS__)
#define EACH_3(x, ...) N(x) EACH_2(__VA_ARGS__)
#define EACH_4(x, ...) N(x) EACH_3(__VA_ARGS__)
#define EACH_5(x, ...) N(x) EACH_4(__VA_ARGS__)
#define EACH_6(x, ...) N(x) EACH_5(__VA_ARGS__)
#define EACH_7(x, ...) N(x) EACH_6(__VA_ARGS__)
#define EACH_8(x, ...) N(x) EACH_7(__VA_ARGS__)
#define EACH_9(x, ...) N(x) EACH_8(__VA_ARGS__)
#define EACH_10(x, ...) N(x) EACH_9(__VA_ARGS__)
#define EACH_11(x, ...) N(x) EACH_10(__VA_ARGS__)
#define EACH_12(x, ...) N(x) EACH_11(__VA_ARGS__)
#define EACH_13(x, ...) N(x) EACH_12(__VA_ARGS__)
#define EACH_14(x, ...) N(x) EACH_13(__VA_ARGS__)
#define EACH_15(x, ...) N(x) EACH_14(__VA_ARGS__)
#define EACH_16(x, ...) N(x) EACH_15(__VA_ARGS__)
#define EACH_PICK(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, f,    \
                  ...)                                                                             \
    f
#define NEEDS(...)                                                                                 \
    EACH_PICK(, ##__VA_ARGS__, EACH_16, EACH_15, EACH_14, EACH_13, EACH_12, EACH_11, EACH_10,      \
              EACH_9, EACH_8, EACH_7, EACH_6, EACH_5, EACH_4, EACH_3, EACH_2, EACH_1, EACH_0)      \
    (__VA_ARGS__)
#define N(name) SYS_##name,

static const uint16_t g_list[] = {
#define OCALL(name, result, errors, needs) needs
#include "abi/ocall.def"
#undef OCALL
    /* Signals, and the emulator's page protections; the C library's allocator and locks. */
    NEEDS(rt_sigreturn, rt_sigaction, rt_sigprocmask, sigaltstack, restart_syscall, brk, mremap)
        NEEDS(mmap, munmap, mprotect, madvise, futex, tgkill, getpid, gettid, exit, exit_group)
    /* Streams: write(2) and writev(2) of messages, poll before a read, fcntl of the stream's flags. */
    NEEDS(write, poll, fstat, newfstatat, fcntl, clock_nanosleep)
    /* glibc's choice for stat on an open descriptor, and the memory of threads. */
    NEEDS(prctl, arch_prctl, sched_getaffinity, clock_gettime, timer_settime, getrandom)
};

const uint16_t *ocall_seccomp_list(size_t *ret_count)
{
    *ret_count = ARRAY_COUNT(g_list);
    return g_list;
}

static int compare(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - *(const uint16_t *)b;
}

#define FILTER_MAX (2 * ARRAY_COUNT(g_list) + 8)

int ocall_seccomp_enforce(void)
{
    uint16_t sorted[ARRAY_COUNT(g_list)];
    struct sock_filter code[FILTER_MAX];
    struct sock_fprog program = { .filter = code };
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_COUNT(g_list); i++)
        sorted[i] = g_list[i];
    qsort(sorted, ARRAY_COUNT(sorted), sizeof sorted[0], compare);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < ARRAY_COUNT(sorted); i++) {
        if (i > 0 && sorted[i] == sorted[i - 1])
            continue;
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, sorted[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    program.len = (unsigned short)n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return -errno;
    return 0;
}
