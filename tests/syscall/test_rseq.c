/* SPDX-License-Identifier: Apache-2.0 */
/* Restartable sequences: registration, CPU numbers, what signals and fences abort. */
#define _GNU_SOURCE
#include "tests/syscall/children.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <sys/rseq.h>
#endif

#define SIGNATURE 0x53053053u
#define UNREGISTER 1
#define NO_CPU UINT32_MAX
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif
#define FENCE (1 << 7)
#define FENCE_REGISTER (1 << 8)

/* struct rseq and struct rseq_cs of Linux 6.3. */
struct area {
    volatile uint32_t cpu_id_start, cpu_id;
    volatile uint64_t sequence;
    volatile uint32_t flags, node_id, mm_cid, more[25];
} __attribute__((aligned(32)));

struct sequence {
    uint32_t version, flags;
    uint64_t start, size, abort;
} __attribute__((aligned(32)));

static _Thread_local struct area t_area;
static volatile int g_handled, g_inside;

static long rseq(volatile void *area, unsigned size, int flags, unsigned signature)
{
    return syscall(SYS_rseq, area, size, flags, signature);
}

/* The C library has registered each thread; this one does that itself from here on. */
static void leave_library(void)
{
#ifdef __GLIBC__
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

    if (__rseq_size == 0)
        return;
    for (unsigned size = 32; size <= 512; size += 4)
        if (rseq(area, size, UNREGISTER, SIGNATURE) == 0)
            return;
    case_fail(__FILE__, __LINE__, "the C library's registration", errno, 0);
#endif
}

static void begin(void)
{
    leave_library();
    memset((void *)&t_area, 0, sizeof t_area);
    t_area.cpu_id = NO_CPU;
    if (rseq(&t_area, 32, 0, SIGNATURE) < 0 && errno == ENOSYS)
        case_skip("no rseq in this kernel");
    CHECK_EQ(errno == ENOSYS, 0);
}

static void end(void)
{
    OK(rseq(&t_area, 32, UNREGISTER, SIGNATURE));
}

static void *run(void *function)
{
    ((void (*)(void))function)();
    return NULL;
}

/* In a thread of its own: the main thread's registration is the C library's and stays. */
static void in_thread(void (*function)(void))
{
    pthread_t thread;

    ZERO(pthread_create(&thread, NULL, run, (void *)function));
    ZERO(pthread_join(thread, NULL));
}

/* ---- registration ---- */

static struct area g_other;

static void check_registration(void)
{
    begin();
    CHECK(t_area.cpu_id != NO_CPU);
    CHECK(t_area.cpu_id < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    CHECK(t_area.cpu_id_start < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    FAILS(rseq(&t_area, 32, 0, SIGNATURE), EBUSY);
    FAILS(rseq(&t_area, 32, 0, SIGNATURE + 1), EPERM);
    FAILS(rseq(&t_area, 64, 0, SIGNATURE), EINVAL);
    FAILS(rseq(&g_other, 32, 0, SIGNATURE), EINVAL);
    FAILS(rseq(&t_area, 32, 2, SIGNATURE), EINVAL);
    FAILS(rseq(&t_area, 32, UNREGISTER | 2, SIGNATURE), EINVAL);
    FAILS(rseq(&g_other, 32, UNREGISTER, SIGNATURE), EINVAL);
    FAILS(rseq(&t_area, 64, UNREGISTER, SIGNATURE), EINVAL);
    FAILS(rseq(&t_area, 32, UNREGISTER, SIGNATURE + 1), EPERM);
    end();
    CHECK_EQ(t_area.cpu_id, NO_CPU);
    CHECK_EQ(t_area.cpu_id_start, 0);
    FAILS(rseq(&t_area, 32, UNREGISTER, SIGNATURE), EINVAL);
    FAILS(rseq(&t_area, 31, 0, SIGNATURE), EINVAL);
    FAILS(rseq((char *)&t_area + 4, 32, 0, SIGNATURE), EINVAL);
    FAILS(rseq((void *)-4096l, 32, 0, SIGNATURE), EFAULT);
    FAILS(rseq((void *)0x1000, 32, 0, SIGNATURE), EFAULT);
    /* A sequence that was left behind is none. */
    t_area.sequence = 1;
    OK(rseq(&t_area, 32, 0, SIGNATURE));
    CHECK_EQ(t_area.sequence, 0);
    end();
}

TEST(rseq_registration)
{
    in_thread(check_registration);
}

static void check_features(void)
{
    unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE), align = getauxval(AT_RSEQ_ALIGN);
    unsigned whole = (unsigned)(size > 32 ? size : 32) + 32;

    if (!size)
        return;
    CHECK(size >= 20 && size <= sizeof t_area && align >= 32 && align <= 4096);
    begin();
    end();
    FAILS(rseq((char *)&t_area + 16, whole, 0, SIGNATURE), EINVAL);
    if (align > 32)
        return;
    t_area.node_id = t_area.mm_cid = 0xeeeeeeee;
    OK(rseq(&t_area, whole, 0, SIGNATURE));
    if (size >= 24)
        CHECK(t_area.node_id < 1024);
    if (size >= 28)
        CHECK(t_area.mm_cid < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
    OK(rseq(&t_area, whole, UNREGISTER, SIGNATURE));
    CHECK_EQ(t_area.cpu_id, NO_CPU);
}

TEST(rseq_features)
{
    in_thread(check_features);
}

static void check_number(void)
{
    cpu_set_t all, one;
    unsigned cpu, seen;

    begin();
    do {
        cpu = t_area.cpu_id;
        OK(syscall(SYS_getcpu, &seen, NULL, NULL));
    } while (cpu != t_area.cpu_id);
    CHECK_EQ(seen, cpu);
    OK(sched_getaffinity(0, sizeof all, &all));
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        OK(sched_setaffinity(0, sizeof one, &one));
        OK(syscall(SYS_getcpu, &seen, NULL, NULL));
        CHECK_EQ(t_area.cpu_id, seen);
        CHECK_EQ(t_area.cpu_id_start, seen);
    }
    end();
}

TEST(rseq_number_is_getcpu)
{
    in_thread(check_number);
}

/* ---- sequences ---- */

/* Stays in a sequence until it is aborted. */
static void stay(void)
{
    __asm__ volatile(
        "lea 9f(%%rip), %%rax\n\t"
        "mov %%rax, %[sequence]\n\t"
        "1: movl $1, %[inside]\n\t"
        "2: pause\n\t"
        "jmp 2b\n\t"
        "3: ud2\n\t"
        ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1 SIGNATURE(%%rip), %%edi: the abort address stands behind */
        ".long 0x53053053\n\t"
        "4:\n\t"
        ".pushsection .data, \"aw\"\n\t"
        ".balign 32\n\t"
        "9: .long 0, 0\n\t"
        ".quad 1b, 3b - 1b, 4b\n\t"
        ".popsection"
        : [sequence] "=m"(t_area.sequence), [inside] "=m"(g_inside)
        :
        : "rax", "memory", "cc");
}

static void note(int signo)
{
    (void)signo;
    CHECK_EQ(t_area.sequence, 0);
    g_handled++;
}

static void catch_usr1(void)
{
    struct sigaction action = { .sa_handler = note };

    OK(sigaction(SIGUSR1, &action, NULL));
    g_handled = g_inside = 0;
}

static volatile int g_is_ready, g_stop;

static void be_interrupted(void)
{
    begin();
    __atomic_store_n(&g_is_ready, 1, __ATOMIC_SEQ_CST);
    while (g_handled < 100)
        stay(); /* Linux may abort it for its own reasons */
    end();
}

static pthread_t start(void (*function)(void))
{
    pthread_t thread;

    g_is_ready = 0;
    ZERO(pthread_create(&thread, NULL, run, (void *)function));
    while (!__atomic_load_n(&g_is_ready, __ATOMIC_SEQ_CST))
        sched_yield();
    return thread;
}

TEST(rseq_signal_aborts)
{
    pthread_t thread;

    catch_usr1();
    thread = start(be_interrupted);
    for (int i = 0; i < 100; i++) {
        while (g_handled < i)
            sched_yield();
        ZERO(pthread_kill(thread, SIGUSR1));
    }
    ZERO(pthread_join(thread, NULL));
    CHECK_EQ(g_handled, 100);
}

static void stay_once(void)
{
    begin();
    g_inside = 0;
    __atomic_store_n(&g_is_ready, 1, __ATOMIC_SEQ_CST);
    stay();
    end();
}

TEST(rseq_fence_aborts)
{
    pthread_t thread;
    long known = OK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));

    if (!(known & FENCE))
        case_skip("no fences of sequences");
    FAILS(syscall(SYS_membarrier, FENCE, 4, 0), EINVAL);
    FAILS(syscall(SYS_membarrier, FENCE_REGISTER, 1, 0), EINVAL);
    OK(syscall(SYS_membarrier, FENCE_REGISTER, 0, 0));
    for (int i = 0; i < 20; i++) {
        thread = start(stay_once);
        while (!g_inside)
            sched_yield();
        OK(syscall(SYS_membarrier, FENCE, i & 1, t_area.cpu_id));
        OK(syscall(SYS_membarrier, FENCE, 0, 0));
        ZERO(pthread_join(thread, NULL));
    }
}

/* ---- counters of each CPU ---- */

#define THREADS 6
#define ROUNDS 30000
#define CPUS_MAX 4096

static struct {
    volatile long count;
    long pad[7];
} g_counters[CPUS_MAX];

/* Adds one to the counter of this CPU, by a load and a store that nothing comes between. */
static bool add_one(void)
{
    uint32_t cpu = t_area.cpu_id_start;
    volatile long *counter = &g_counters[cpu].count;

    __asm__ goto("lea 9f(%%rip), %%rax\n\t"
                 "mov %%rax, %[sequence]\n\t"
                 "1: cmpl %[cpu], %[cpu_id]\n\t"
                 "jne 4f\n\t"
                 "mov %[counter], %%rax\n\t"
                 "pause\n\t"
                 "inc %%rax\n\t"
                 "mov %%rax, %[counter]\n\t"
                 "3: jmp 5f\n\t"
                 ".byte 0x0f, 0xb9, 0x3d\n\t"
                 ".long 0x53053053\n\t"
                 "4: jmp %l[aborted]\n\t"
                 ".pushsection .data, \"aw\"\n\t"
                 ".balign 32\n\t"
                 "9: .long 0, 0\n\t"
                 ".quad 1b, 3b - 1b, 4b\n\t"
                 ".popsection\n\t"
                 "5:"
                 :
                 : [sequence] "m"(t_area.sequence), [cpu] "r"(cpu), [cpu_id] "m"(t_area.cpu_id),
                   [counter] "m"(*counter)
                 : "rax", "memory", "cc"
                 : aborted);
    return true;
aborted:
    return false;
}

static void count(void)
{
    begin();
    __atomic_add_fetch(&g_is_ready, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < ROUNDS;)
        i += add_one();
    __atomic_sub_fetch(&g_stop, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&g_stop, __ATOMIC_SEQ_CST) > 0)
        sched_yield(); /* its number stays its own until all have counted */
    end();
}

static void note_nothing(int signo)
{
    (void)signo;
}

TEST(rseq_counters_are_exact)
{
    struct sigaction action = { .sa_handler = note_nothing };
    pthread_t threads[THREADS];
    long sum = 0;

    OK(sigaction(SIGUSR1, &action, NULL));
    memset((void *)g_counters, 0, sizeof g_counters);
    g_is_ready = 0;
    g_stop = THREADS;
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_create(&threads[i], NULL, run, (void *)count));
    for (int i = 0; __atomic_load_n(&g_stop, __ATOMIC_SEQ_CST) > 0; i++) {
        if (i < 2000)
            ZERO(pthread_kill(threads[i % THREADS], SIGUSR1));
        sched_yield();
    }
    for (int i = 0; i < THREADS; i++)
        ZERO(pthread_join(threads[i], NULL));
    for (int i = 0; i < CPUS_MAX; i++)
        sum += g_counters[i].count;
    CHECK_EQ(sum, (long)THREADS * ROUNDS);
}

/* ---- sequences that are none ---- */

/* kill(pid, signo) within a sequence, whose end is sequence_end; aborted, it returns 77. */
long sequence_kill(int pid, int signo);
extern const char sequence_end[], sequence_abort[], sequence_unsigned[];
__asm__(".pushsection .text\n"
        "sequence_kill:\n\t"
        "mov $62, %eax\n\t"
        "syscall\n\t"
        "nop\n\t"
        "ret\n"
        "sequence_end:\n\t"
        ".byte 0x0f, 0xb9, 0x3d\n\t"
        ".long 0x53053053\n"
        "sequence_abort:\n\t"
        "mov $77, %eax\n\t"
        "ret\n\t"
        "nop\n"
        "sequence_unsigned:\n\t"
        "mov $78, %eax\n\t"
        "ret\n\t"
        ".popsection");

static struct sequence g_sequence;
static struct area g_child_area;

static int child_kill(void *arg)
{
    if (rseq(&g_child_area, 32, 0, SIGNATURE) < 0)
        return 1;
    g_child_area.sequence = (uint64_t)arg;
    return (int)sequence_kill((int)syscall(SYS_getpid), SIGUSR1);
}

/* How the child ended: its exit status, or the negative signal number. */
static int end_of_child(struct sequence *s)
{
    pid_t pid;
    int status;

    memset(&g_child_area, 0, sizeof g_child_area);
    pid = OK(child_start(child_kill, s, SIGCHLD));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(rseq_bad_sequence_kills)
{
    struct sigaction action = { .sa_handler = note_nothing };
    struct sequence good = { .start = (uint64_t)sequence_kill,
                             .size = (uint64_t)(sequence_end - (const char *)sequence_kill),
                             .abort = (uint64_t)sequence_abort };

    OK(sigaction(SIGUSR1, &action, NULL));
    g_sequence = good;
    CHECK_EQ(end_of_child(&g_sequence), 77);
    CHECK_EQ(g_child_area.sequence, 0);
    CHECK_EQ(end_of_child(NULL), 0);
    CHECK_EQ(end_of_child((struct sequence *)-4096l), -SIGSEGV);
    CHECK_EQ(end_of_child((struct sequence *)64), -SIGSEGV);
    g_sequence.version = 1;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
    g_sequence = good;
    g_sequence.flags = 1;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
    g_sequence = good;
    g_sequence.abort = (uint64_t)sequence_unsigned;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
    g_sequence.abort = good.start + 1;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
    g_sequence.abort = 1ull << 63;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
    g_sequence = good;
    g_sequence.size = -good.start;
    CHECK_EQ(end_of_child(&g_sequence), -SIGSEGV);
}
