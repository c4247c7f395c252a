/* SPDX-License-Identifier: Apache-2.0 */
/* Identity, limits, randomness, the machine, the system-call instruction itself. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <asm/prctl.h>
#include <grp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(misc_uname)
{
    struct utsname name;
    char host[65] = "";

    OK(uname(&name));
    CHECK(strcmp(name.sysname, "Linux") == 0);
    CHECK(strcmp(name.machine, "x86_64") == 0);
    CHECK(strtol(name.release, NULL, 10) >= 3);
    OK(gethostname(host, sizeof host));
    CHECK(strcmp(host, name.nodename) == 0);
    FAILS(syscall(SYS_uname, (void *)16), EFAULT);
}

TEST(misc_ids)
{
    uid_t r, e, s;
    gid_t groups[64];

    CHECK(getpid() > 0);
    CHECK(getppid() >= 0);
    OK(getresuid(&r, &e, &s));
    CHECK_EQ(r, getuid());
    CHECK_EQ(e, geteuid());
    OK(getresgid(&r, &e, &s));
    CHECK_EQ(e, getegid());
    CHECK(getgroups(64, groups) >= 0);
    CHECK_EQ(getpgid(0), getpgrp());
    CHECK(getsid(0) >= 0);
    OK(setuid(getuid()));
    OK(setgid(getgid()));
}

TEST(misc_random)
{
    unsigned char a[64] = "", b[64] = "";

    CHECK_EQ(getrandom(a, 64, 0), 64);
    CHECK_EQ(getrandom(b, 64, GRND_NONBLOCK), 64);
    CHECK(memcmp(a, b, 64) != 0);
    FAILS(getrandom(a, 64, 0x100), EINVAL);
    FAILS(getrandom((void *)16, 64, 0), EFAULT);
    ZERO(getentropy(a, 64));
}

TEST(misc_limits)
{
    struct rlimit limit, low;

    OK(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK(limit.rlim_cur >= 64 && limit.rlim_cur <= limit.rlim_max);
    low = (struct rlimit){ 32, limit.rlim_max };
    OK(setrlimit(RLIMIT_NOFILE, &low));
    FAILS(dup2(0, 32), EBADF);
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    OK(getrlimit(RLIMIT_STACK, &limit));
    CHECK(limit.rlim_cur >= 1 << 20);
    OK(prlimit(0, RLIMIT_AS, NULL, &limit));
    FAILS(getrlimit(999, &limit), EINVAL);
    low = (struct rlimit){ 10, 5 };
    FAILS(setrlimit(RLIMIT_NOFILE, &low), EINVAL);
}

TEST(misc_sysinfo)
{
    struct sysinfo info;

    OK(sysinfo(&info));
    CHECK(info.totalram > 0 && info.mem_unit > 0);
    CHECK(info.freeram <= info.totalram);
    CHECK(sysconf(_SC_PHYS_PAGES) > 0);
    CHECK_EQ(sysconf(_SC_PAGESIZE), 4096);
}

TEST(misc_auxiliary_vector)
{
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_PHDR) != 0);
    CHECK(getauxval(AT_ENTRY) != 0);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK(getauxval(AT_EXECFN) != 0);
}

TEST(misc_environment_is_passed)
{
    CHECK(getenv("PATH") != NULL);
}

TEST(misc_unknown_system_call)
{
    FAILS(syscall(9999), ENOSYS);
    FAILS(syscall(-5), ENOSYS);
    FAILS(syscall(0x40000000 | SYS_getpid), ENOSYS); /* the x32 bit */
}

TEST(misc_prctl)
{
    int value = -1;

    OK(prctl(PR_SET_DUMPABLE, 1));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    OK(prctl(PR_SET_PDEATHSIG, 0));
    OK(prctl(PR_GET_PDEATHSIG, &value));
    CHECK_EQ(value, 0);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    FAILS(prctl(99999), EINVAL);
}

TEST(misc_fs_base)
{
    unsigned long base = 0;

    OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
    CHECK_EQ(base, (unsigned long)(uintptr_t)__builtin_thread_pointer());
    FAILS(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

TEST(misc_gs_base)
{
    static unsigned long block[4] = { 11, 22, 33, 44 };
    unsigned long base = 0, value = 0;

    OK(syscall(SYS_arch_prctl, ARCH_SET_GS, block));
    OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
    CHECK_EQ(base, (unsigned long)(uintptr_t)block);
    __asm__ volatile("mov %%gs:8, %0" : "=r"(value));
    CHECK_EQ(value, 22);
    OK(syscall(SYS_arch_prctl, ARCH_SET_GS, 0));
}

TEST(misc_wait_without_children)
{
    int status;

    FAILS(wait(&status), ECHILD);
    FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
}

/* A call from one site, many times, with every other register holding a mark. */
TEST(misc_system_call_keeps_registers)
{
    for (int i = 0; i < 100; i++) {
        unsigned long rax = SYS_getpid, rbx = 1, rdx = 2, rsi = 3, rdi = 4;
        register unsigned long r8 __asm__("r8") = 5;
        register unsigned long r9 __asm__("r9") = 6;
        register unsigned long r10 __asm__("r10") = 7;
        register unsigned long r12 __asm__("r12") = 8;
        register unsigned long r13 __asm__("r13") = 9;
        register unsigned long r14 __asm__("r14") = 10;
        register unsigned long r15 __asm__("r15") = 11;

        __asm__ volatile("syscall"
                         : "+a"(rax), "+b"(rbx), "+d"(rdx), "+S"(rsi), "+D"(rdi), "+r"(r8),
                           "+r"(r9), "+r"(r10), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
                         :
                         : "rcx", "r11", "memory");
        CHECK_EQ(rax, getpid());
        CHECK(rbx == 1 && rdx == 2 && rsi == 3 && rdi == 4 && r8 == 5 && r9 == 6 && r10 == 7);
        CHECK(r12 == 8 && r13 == 9 && r14 == 10 && r15 == 11);
    }
}

TEST(misc_system_call_keeps_red_zone)
{
    for (int i = 0; i < 100; i++) {
        unsigned long got = 0, rax = SYS_getppid;

        __asm__ volatile("movq $0x5a5a, -8(%%rsp)\n\tmovq $0xa5a5, -120(%%rsp)\n\tsyscall\n\t"
                         "movq -8(%%rsp), %0\n\taddq -120(%%rsp), %0"
                         : "+r"(got), "+a"(rax)
                         :
                         : "rcx", "r11", "memory");
        CHECK_EQ(got, 0x5a5a + 0xa5a5);
    }
}

TEST(misc_system_call_keeps_vectors_and_flags)
{
    double in[2] = { 1.25, 2.5 }, out[2] = { 0 };

    for (int i = 0; i < 100; i++) {
        unsigned char carry = 0, direction = 1;
        unsigned long rax = SYS_getuid;

        __asm__ volatile("movupd %3, %%xmm9\n\tstc\n\tsyscall\n\tsetc %1\n\tmovupd %%xmm9, %2"
                         : "+a"(rax), "=r"(carry), "=m"(out)
                         : "m"(in)
                         : "rcx", "r11", "xmm9", "memory", "cc");
        __asm__ volatile("pushfq\n\tpop %%rdx\n\tshr $10, %%rdx\n\tand $1, %%dl\n\tmov %%dl, %0"
                         : "=r"(direction)
                         :
                         : "rdx", "memory", "cc");
        CHECK_EQ(carry, 1);
        CHECK_EQ(direction, 0);
        CHECK(out[0] == 1.25 && out[1] == 2.5);
    }
}

TEST(misc_x87_and_mxcsr_survive)
{
    unsigned mxcsr = 0, changed = 0x1fa0, after = 0;
    unsigned short control = 0x27f, control_after = 0;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(changed), "m"(control));
    syscall(SYS_getpid);
    getppid();
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(after), "=m"(control_after));
    control = 0x37f;
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" ::"m"(mxcsr), "m"(control));
    CHECK_EQ(after & ~0x3f, changed & ~0x3f);
    CHECK_EQ(control_after, 0x27f);
}

#define EACH_VECTOR(text)                                                                          \
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t" text "\n\t.endr\n\t"
#define VECTOR_CLOBBERS                                                                            \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

/* A sleep, for which the thread leaves the enclave, between the loading and the storing of all vector registers. */
static long sleep_with_xmm(const struct timespec *ts, const uint8_t *in, uint8_t *out)
{
    long rax = SYS_nanosleep;

    __asm__ volatile(EACH_VECTOR("movups 32*\\n(%[in]), %%xmm\\n") "syscall\n\t" EACH_VECTOR(
                         "movups %%xmm\\n, 32*\\n(%[out])")
                     : "+a"(rax)
                     : "D"(ts), "S"(0), [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "memory", VECTOR_CLOBBERS);
    return rax;
}

static long sleep_with_ymm(const struct timespec *ts, const uint8_t *in, uint8_t *out)
{
    long rax = SYS_nanosleep;

    __asm__ volatile(EACH_VECTOR("vmovups 32*\\n(%[in]), %%ymm\\n") "syscall\n\t" EACH_VECTOR(
                         "vmovups %%ymm\\n, 32*\\n(%[out])") "vzeroupper\n\t"
                     : "+a"(rax)
                     : "D"(ts), "S"(0), [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "memory", VECTOR_CLOBBERS);
    return rax;
}

static void vectors_survive(bool has_x87)
{
    const struct timespec ts = { 0, 1000 };
    uint8_t in[16 * 32], out[16 * 32];
    unsigned mxcsr, changed = 0x9fc0, after;
    double one = 0;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof in; i++)
            in[i] = (uint8_t)(i * 7 + round + 1);
        memset(out, 0, sizeof out);
        if (has_x87)
            __asm__ volatile("fld1\n\tfld1\n\tfaddp" ::: "st");
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        __asm__ volatile("ldmxcsr %0" ::"m"(changed));
        CHECK_EQ(sleep_with_xmm(&ts, in, out), 0);
        for (unsigned i = 0; i < 16; i++)
            CHECK(memcmp(in + 32 * i, out + 32 * i, 16) == 0);
        if (__builtin_cpu_supports("avx")) {
            CHECK_EQ(sleep_with_ymm(&ts, in, out), 0);
            CHECK(memcmp(in, out, sizeof in) == 0);
        }
        __asm__ volatile("stmxcsr %0" : "=m"(after));
        __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
        CHECK_EQ(after, changed);
        if (has_x87) {
            __asm__ volatile("fstpl %0" : "=m"(one)::"st");
            CHECK(one == 2.0);
        }
    }
}

TEST(misc_vectors_survive_a_sleep)
{
    vectors_survive(false);
    vectors_survive(true); /* from here on x87 is in use: the other way of keeping all of it */
}

TEST(misc_cpuid_works)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    char vendor[13] = "";

    for (int i = 0; i < 10; i++) {
        eax = 0;
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    }
    memcpy(vendor, &ebx, 4);
    memcpy(vendor + 4, &edx, 4);
    memcpy(vendor + 8, &ecx, 4);
    CHECK(eax >= 7);
    CHECK_EQ(strlen(vendor), 12);
    eax = 1;
    ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    CHECK(edx & (1u << 26)); /* SSE2 */
}

TEST(misc_rdtsc_works)
{
    unsigned long long last = 0;

    for (int i = 0; i < 10; i++) {
        unsigned low, high;

        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
        CHECK(((unsigned long long)high << 32 | low) >= last);
        last = (unsigned long long)high << 32 | low;
    }
}
