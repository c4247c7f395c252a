/* SPDX-License-Identifier: Apache-2.0 */
/* See seccomp.h. The list is made from abi/ocall.def, so a new row brings its own calls. Untrusted side. */
#include "host/ocall/seccomp.h"

#include <asm/sgx.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

#define LIST_END UINT16_MAX
#define OCALL(name, result, errors, needs)                                                         \
    static const uint16_t g_needs_##name[] = { needs LIST_END };
#include "abi/ocall.def"
#undef OCALL

/* What no single row needs. */
static const uint16_t g_needs_always[] = {
    /* Signals, and the emulator's page protections; the C library's allocator and locks. */
    NEEDS(rt_sigreturn, rt_sigaction, rt_sigprocmask, sigaltstack, restart_syscall, brk)
        NEEDS(mmap, munmap, mprotect, madvise, futex, tgkill, getpid, gettid, exit, exit_group)
    /* Streams: write(2) and writev(2) of messages, poll before a read, fcntl of the stream's flags. */
    NEEDS(write, poll, fstat, newfstatat, fcntl, clock_nanosleep)
    /* Threads and their memory. */
    NEEDS(prctl, sched_getaffinity, clock_gettime, timer_settime, getrandom) LIST_END
};

/* Rows by name: those of host folders and of the quoting service are only there for enclaves that have them. */
static const struct {
    const uint16_t *needs;
    const char *name;
} g_rows[] = {
    { g_needs_always, "" },
#define OCALL(name, result, errors, needs) { g_needs_##name, #name },
#include "abi/ocall.def"
#undef OCALL
};

/* ---- arguments: of these calls only those that pass every rule are let through ---- */

enum rule_kind {
    RULE_ONE_OF,     /* the argument's low half is one of the values */
    RULE_BITS_CLEAR, /* it has none of values[0] */
    RULE_EXEC_BELOW, /* PROT_EXEC in argument 2 only for addresses below exec_end */
    RULE_ENOSYS, /* never: the C library then takes the older call, whose arguments can be seen */
};

#define RULE_VALUES_MAX 8u
struct rule {
    uint16_t call;
    uint8_t kind;
    uint8_t argument;
    uint8_t count;
    uint32_t values[RULE_VALUES_MAX];
};

/* What pthread_create asks for, and nothing else: no process, no namespace. */
#define CLONE_PTHREAD                                                                              \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |            \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define SOCK_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
#define SET(...)                                                                                   \
    .count = sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), .values = { __VA_ARGS__ }

static const struct rule g_rules[] = {
    { SYS_mmap, RULE_BITS_CLEAR, 2, SET(PROT_EXEC) },
    { SYS_mprotect, RULE_EXEC_BELOW, 0 },
    { SYS_clone3, RULE_ENOSYS, 0 },
    { SYS_clone, RULE_ONE_OF, 0, SET(CLONE_PTHREAD) },
    { SYS_socket, RULE_ONE_OF, 0, SET(AF_INET, AF_INET6, AF_UNIX) },
    { SYS_socket, RULE_ONE_OF, 1, SET(SOCK_STREAM | SOCK_FLAGS, SOCK_DGRAM | SOCK_FLAGS) },
    { SYS_setsockopt, RULE_ONE_OF, 1,
      SET(SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6) },
    /* EDMM: RESTRICT_PERMISSIONS, MODIFY_TYPES, REMOVE_PAGES. TCSETS: a terminal put back. */
    { SYS_ioctl, RULE_ONE_OF, 1,
      SET(TIOCGWINSZ, FIONREAD, TCSETS, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS,
          SGX_IOC_ENCLAVE_MODIFY_TYPES, SGX_IOC_ENCLAVE_REMOVE_PAGES) },
    { SYS_prctl, RULE_ONE_OF, 0, SET(PR_SET_TIMERSLACK, PR_SET_SYSCALL_USER_DISPATCH) },
    { SYS_fcntl, RULE_ONE_OF, 1, SET(F_GETFL) },
    { SYS_tgkill, RULE_ONE_OF, 0, SET(0) }, /* rule_value: the own process */
};

/* ---- the program ---- */

#define CALLS_MAX 160u
#define CODE_MAX 512u

struct program {
    struct sock_filter code[CODE_MAX];
    unsigned size;
    const struct ocall_seccomp_options *options;
};

static void emit(struct program *p, struct sock_filter insn)
{
    assert(p->size < CODE_MAX);
    p->code[p->size++] = insn;
}

#define EMIT(...) emit(p, (struct sock_filter)__VA_ARGS__)
#define RET(value) EMIT(BPF_STMT(BPF_RET | BPF_K, value))

static void emit_load(struct program *p, unsigned argument, bool high)
{
    EMIT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                  offsetof(struct seccomp_data, args) + argument * 8 + (high ? 4u : 0u)));
}

/* What is known only now: the own process, and whether there is a service behind a UNIX socket. */
static uint32_t rule_value(const struct ocall_seccomp_options *options, const struct rule *r,
                           unsigned i)
{
    if (r->call == SYS_tgkill)
        return (uint32_t)getpid();
    if (r->call == SYS_socket && r->argument == 0 && r->values[i] == AF_UNIX && !options->has_quote)
        return r->values[0];
    return r->values[i];
}

/* Falls through when the rule is kept, else returns EPERM. */
static void emit_rule(struct program *p, const struct rule *r)
{
    uint32_t value;

    switch ((enum rule_kind)r->kind) {
    case RULE_ONE_OF:
        emit_load(p, r->argument, false);
        for (unsigned i = 0; i < r->count; i++) {
            value = rule_value(p->options, r, i);
            EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, r->count - i, 0));
        }
        RET(SECCOMP_RET_ERRNO | EPERM);
        break;
    case RULE_BITS_CLEAR:
        emit_load(p, r->argument, false);
        EMIT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, r->values[0], 0, 1));
        RET(SECCOMP_RET_ERRNO | EPERM);
        break;
    case RULE_EXEC_BELOW:
        emit_load(p, 2, false);
        EMIT(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 3));
        emit_load(p, r->argument, true);
        EMIT(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(p->options->exec_end >> 32), 0, 1));
        RET(SECCOMP_RET_ERRNO | EPERM);
        break;
    case RULE_ENOSYS:
        RET(SECCOMP_RET_ERRNO | ENOSYS);
        break;
    }
}

/* One call: EPERM, its rules, or simply let through. */
static void emit_call(struct program *p, uint16_t call)
{
    unsigned start = p->size;

    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 0));
    for (size_t i = 0; i < ARRAY_COUNT(g_rules); i++)
        if (g_rules[i].call == call)
            emit_rule(p, &g_rules[i]);
    RET(SECCOMP_RET_ALLOW);
    p->code[start].jf = (uint8_t)(p->size - start - 1);
}

static int compare(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - *(const uint16_t *)b;
}

static bool row_is_wanted(const char *name, const struct ocall_seccomp_options *options)
{
    if (strncmp(name, "mount_", 6) == 0)
        return options->has_mounts;
    if (strncmp(name, "quote", 5) == 0)
        return options->has_quote;
    return true;
}

size_t ocall_seccomp_list(const struct ocall_seccomp_options *options, uint16_t *ret, size_t max)
{
    size_t count = 0, unique = 0;

    for (size_t i = 0; i < ARRAY_COUNT(g_rows); i++)
        if (row_is_wanted(g_rows[i].name, options))
            for (const uint16_t *n = g_rows[i].needs; *n != LIST_END && count < max; n++)
                ret[count++] = *n;
    qsort(ret, count, sizeof *ret, compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || ret[i] != ret[unique - 1])
            ret[unique++] = ret[i];
    return unique;
}

int ocall_seccomp_enforce(const struct ocall_seccomp_options *options)
{
    static struct program program;
    struct program *p = &program;
    uint16_t calls[4 * CALLS_MAX];
    size_t count = ocall_seccomp_list(options, calls, ARRAY_COUNT(calls));
    struct sock_fprog filter = { .filter = p->code };

    p->size = 0;
    p->options = options;
    EMIT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    RET(SECCOMP_RET_KILL_PROCESS);
    EMIT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (size_t i = 0; i < count; i++)
        emit_call(p, calls[i]);
    RET(SECCOMP_RET_ERRNO | EPERM);
    filter.len = (unsigned short)p->size;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
        return -errno;
    return 0;
}
