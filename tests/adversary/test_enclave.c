/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the library OS: the enclave runtime alone, with scenarios that a test names in the
 * first host argument. Trusted in shape only; never shipped.
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "abi/start.h"
#include "lib/digest.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/clock.h"
#include "tee/enclave/entry.h"
#include "tee/enclave/log.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/random.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/start.h"
#include "tee/enclave/string.h"
#include "tests/adversary/test_enclave.h"

#define PROGRAM_ADDR 0x400000ull
#define PROGRAM_STACK 0x500000ull
#define PROGRAM_SIZE 0x1000u

static uint32_t g_host_signals;
static uint32_t g_interrupts;

extern const uint8_t test_program_start[], test_program_end[];
extern const uint8_t test_program_spin[], test_program_fault[], test_program_trap[];

NORETURN void test_check_failed(const char *what, int line)
{
    log_line("FAILED %s, line %d", what, line);
    enclave_exit(1);
}

uint32_t test_host_signals(void)
{
    return g_host_signals;
}

bool libos_trampoline_find(uint64_t rip, uint64_t *ret_restart)
{
    return false;
}

void libos_host_signal(int signo)
{
    __atomic_fetch_or(&g_host_signals, 1u << (signo - 1), __ATOMIC_SEQ_CST);
}

void libos_interrupt(struct regs *regs)
{
    __atomic_fetch_add(&g_interrupts, 1, __ATOMIC_SEQ_CST);
    if (g_host_signals & (1u << 14))
        enclave_exit(77);
}

/* Calls of the test programs: 39 answers 4711; 60 ends with RDI; 1000 is counted time. */
void libos_syscall(struct regs *regs)
{
    switch (regs->orig_rax) {
    case 39:
        regs->rax = 4711;
        break;
    case 40:
        regs->rax = regs->trapped;
        break;
    case 60:
        enclave_exit((int)regs->rdi);
    default:
        regs->rax = (uint64_t)-ENOSYS;
    }
}

void libos_fault(struct regs *regs, const struct fault *fault)
{
    if (fault->vector == VECTOR_PF && fault->address == 0x10 && regs->rip >= PROGRAM_ADDR &&
        regs->rip < PROGRAM_ADDR + PROGRAM_SIZE) {
        regs->rip += 4; /* size of the faulting instruction */
        regs->rax = 0xfa017;
        return;
    }
    log_line("FAILED fault %u at 0x%lx address 0x%lx", fault->vector, (unsigned long)regs->rip,
             (unsigned long)fault->address);
    enclave_exit(1);
}

static uint32_t g_hold; /* threads wait before they say that they run */

void libos_thread_start(void *arg)
{
    if (test_rogue_thread())
        thread_slot_exit();
    while (__atomic_load_n(&g_hold, __ATOMIC_SEQ_CST))
        ocall_yield();
    __atomic_store_n((uint32_t *)arg, tcb_self()->slot + 100, __ATOMIC_SEQ_CST);
    ocall_unpark(0);
    thread_slot_exit();
}

/* Copies between program memory and the frame stop where a program page is not there, whatever the alignment. */
static void check_staging(uint8_t *pages)
{
    uint8_t *end = pages + PAGE_SIZE; /* behind it is nothing */
    uint8_t back[64];

    for (size_t i = 0; i < PAGE_SIZE; i++)
        pages[i] = (uint8_t)(i * 7);
    for (size_t there = 0; there <= 40; there++) {
        for (size_t size = there; size <= 48; size++) {
            size_t moved = uptr_put_user(ocall_stage(), (uintptr_t)(end - there), size);

            /* All that is there, or the whole words of it. */
            CHECK(size == there ? moved == size : moved <= there && moved + 8 > there);
            CHECK(uptr_read(back, ocall_stage(), moved) == 0);
            CHECK(memcmp(back, end - there, moved) == 0);
            memset(end - there, 0, there);
            CHECK(uptr_get_user((uintptr_t)(end - there), ocall_stage(), size) <= there);
            CHECK(memcmp(end - there, back, moved) == 0);
            for (size_t i = PAGE_SIZE - there; i < PAGE_SIZE; i++)
                pages[i] = (uint8_t)(i * 7);
        }
    }
    CHECK(uptr_put_user((struct uptr){ (uintptr_t)back }, (uintptr_t)pages, 8) == 0);
    CHECK(uptr_put_user(uptr_add(ocall_stage(), 4), (uintptr_t)pages, 8) == 0);
    CHECK(uptr_get_user((uintptr_t)pages, (struct uptr){ (uintptr_t)back }, 8) == 0);
}

static void check_memory(void)
{
    char *blocks[64];
    char *large = mem_alloc(1 << 20);
    uint64_t probe;
    bool faulted;
    char text[32];

    for (unsigned i = 0; i < ARRAY_COUNT(blocks); i++) {
        blocks[i] = mem_zalloc(1 + i * 97);
        CHECK(blocks[i] && ((uintptr_t)blocks[i] & 15) == 0);
        memset(blocks[i], (int)i, 1 + i * 97);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(blocks); i++) {
        CHECK((uint8_t)blocks[i][i * 97] == i);
        mem_free(blocks[i]);
    }
    CHECK(large);
    memset(large, 0x55, 1 << 20);
    mem_free(large);
    CHECK(user_raw_copy(&probe, (const void *)0x700000000, 8) == 8);
    CHECK(user_raw_copy(text, "abcdefghijk", 12) == 0 && strcmp(text, "abcdefghijk") == 0);
    CHECK(user_raw_copy_str(text, (const char *)0x700000000, 8, &faulted) == 8 && faulted);
    CHECK(user_raw_load32((uint32_t *)&probe, (const uint32_t *)0x700000000) == -EFAULT);
    CHECK(user_raw_zero((void *)0x700000000, 100) == 100);
    CHECK(enclave_commit(0x600000, 3, PROT_READ | PROT_WRITE) == 0);
    check_staging((uint8_t *)0x602000);
    memset((void *)0x600000, 7, 3 * PAGE_SIZE);
    CHECK(enclave_protect(0x600000, 3, PROT_READ | PROT_WRITE, PROT_READ) == 0);
    CHECK(user_raw_zero((void *)0x600000, 8) == 8);
    CHECK(enclave_protect(0x600000, 3, PROT_READ, PROT_READ | PROT_WRITE) == 0);
    CHECK(user_raw_zero((void *)0x600000, 8) == 0);
    enclave_decommit(0x600000, 3);
    CHECK(user_raw_zero((void *)0x600000, 8) == 8);
    CHECK(enclave_commit(0x600000, 1, PROT_READ | PROT_WRITE) == 0);
    CHECK(*(uint8_t *)0x600008 == 0);
}

static void check_digests(void)
{
    static const uint8_t abc256[4] = { 0xba, 0x78, 0x16, 0xbf };
    static const uint8_t abc384[4] = { 0xcb, 0x00, 0x75, 0x3f };
    uint8_t out[SHA384_SIZE], two[2][SHA256_SIZE], *const rets[2] = { two[0], two[1] };
    const void *const datas[2] = { test_program_start, "abc" };

    sha256_digest("abc", 3, out);
    CHECK(memcmp(out, abc256, 4) == 0);
    sha256_digest2(datas, 3, rets);
    CHECK(memcmp(two[1], abc256, 4) == 0);
    sha384_digest("abc", 3, out);
    CHECK(memcmp(out, abc384, 4) == 0);
}

static void check_time(void)
{
    uint64_t a = clock_monotonic_ns(), b;

    CHECK(ocall_park(a + 2000000) == -ETIMEDOUT);
    b = clock_monotonic_ns();
    CHECK(b >= a + 2000000 && b < a + 2000000000);
    CHECK(clock_realtime_ns() > 1600000000ull * 1000000000ull);
    CHECK(random_u64() != random_u64());
}

static void check_threads(void)
{
    for (unsigned i = 0; i < 12; i++) {
        uint32_t words[12] = { 0 };

        for (unsigned j = 0; j < 12; j++)
            CHECK(thread_slot_start(&words[j]) > 0);
        for (unsigned j = 0; j < 12; j++)
            while (__atomic_load_n(&words[j], __ATOMIC_SEQ_CST) == 0)
                (void)!ocall_park(OCALL_FOREVER);
    }
}

/* No memory for one more thread: an error, whichever part of it did not fit, and nothing is lost. */
static void check_threads_without_memory(void)
{
    size_t limit = enclave_pages_limit(), used = enclave_pages_used();
    uint32_t words[64] = { 0 };
    unsigned count = 0;

    g_hold = 1;
    for (size_t more = 0; more < 22; more++) {
        int rc;

        commit_init(used + more);
        /* Slots that exist come first; those of the last test's threads may become free only now. */
        while ((rc = thread_slot_start(&words[count])) > 0)
            CHECK(++count < ARRAY_COUNT(words));
        CHECK(rc == -EAGAIN);
        CHECK(enclave_pages_used() == used);
    }
    commit_init(limit);
    CHECK(thread_slot_start(&words[count]) > 0);
    count++;
    __atomic_store_n(&g_hold, 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < count; i++)
        while (__atomic_load_n(&words[i], __ATOMIC_SEQ_CST) == 0)
            (void)!ocall_park(OCALL_FOREVER);
}

NORETURN static void run_program(const uint8_t *entry)
{
    struct regs regs = { .rip = PROGRAM_ADDR + (uint64_t)(entry - test_program_start),
                         .rsp = PROGRAM_STACK,
                         .rflags = 0x202 };

    CHECK(enclave_commit(PROGRAM_ADDR, 1, PROT_READ | PROT_WRITE) == 0);
    CHECK(enclave_commit(PROGRAM_STACK - PAGE_SIZE, 1, PROT_READ | PROT_WRITE) == 0);
    memcpy((void *)PROGRAM_ADDR, test_program_start,
           (size_t)(test_program_end - test_program_start));
    CHECK(enclave_protect(PROGRAM_ADDR, 1, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC) == 0);
    regs_resume(&regs, true);
}

/* ---- scenarios for lying hosts (liar.c): ROW_HARMLESS says that the lie did no harm ---- */

static void check_bad_stat(void)
{
    struct ocall_stat st;

    for (unsigned i = 0; i < 6; i++)
        CHECK(ocall_file_stat(3, &st) == -EIO);
}

static void check_bad_entries(void)
{
    char entries[512];

    for (unsigned i = 0; i < 8; i++)
        CHECK(ocall_file_getdents(3, entries, sizeof entries, false) == -EIO);
}

static void check_time_floor(void)
{
    uint64_t last = clock_monotonic_ns();

    for (unsigned i = 0; i < 3000; i++) {
        uint64_t now = clock_monotonic_ns();

        CHECK(now >= last);
        last = now;
        if (i % 10 == 0)
            (void)!ocall_park(now + 1000000);
    }
}

/* The host starts the thread, and says that it did not. */
static void check_thread_denied(void)
{
    uint32_t word = 0;

    CHECK(thread_slot_start(&word) < 0);
    CHECK(!"the host was believed");
}

static const struct {
    const char *name;
    void (*check)(void);
} g_lies[] = {
    { "stat", check_bad_stat },
    { "entries", check_bad_entries },
    { "time", check_time_floor },
    { "thread-denied", check_thread_denied },
};

void libos_start(const struct start_info *start)
{
    const char *name = start->host_argument_count > 0 ? start->host_arguments[0] : "";

    log_debug("test enclave: %s", name);
    if (strcmp(name, "runtime") == 0) {
        check_memory();
        check_digests();
        check_time();
        check_threads();
        check_threads_without_memory();
        enclave_exit(42);
    }
    if (strcmp(name, "spin") == 0)
        run_program(test_program_spin);
    if (strcmp(name, "fault") == 0)
        run_program(test_program_fault);
    if (strcmp(name, "trap") == 0)
        run_program(test_program_trap);
    if (strcmp(name, "crash") == 0)
        *(volatile uint32_t *)0x700000000 = 1;
    if (strcmp(name, "log") == 0) {
        log_line("hello from inside %d %s %5u|%-5u|%05x", -5, "text", 7u, 7u, 0xabu);
        enclave_exit(0);
    }
    if (strncmp(name, "row:", 4) == 0 && start->host_argument_count > 1)
        test_rows_run(name + 4, start->host_arguments[1]);
    test_sgx_run(name);
    test_rogue_run(name);
    for (unsigned i = 0; i < ARRAY_COUNT(g_lies); i++) {
        if (strcmp(name, g_lies[i].name) == 0) {
            g_lies[i].check();
            enclave_exit(ROW_HARMLESS);
        }
    }
    enclave_exit(2);
}
