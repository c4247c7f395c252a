/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of tee/libos/rewrite: real text (C library, ld.so, a Go program when there is one) is rewritten site by site,
 * and code that other threads run at that moment stays right. Hosted; Zydis finds the sites.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <Zydis/Zydis.h>
#include <cmocka.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/entry.h"
#include "tee/libos/elf/elf_private.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/rewrite/insn.h"
#include "tee/libos/rewrite/rewrite_private.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"
#include "tests/unit/libos/fake_file.h"

static struct mm *g_mm;

static int setup(void **state)
{
    fake_enclave_init(65536);
    assert_int_equal(mm_new(&g_mm), 0);
    fake_enclave_process()->mm = g_mm;
    return 0;
}

static int teardown(void **state)
{
    mm_unref(g_mm);
    assert_int_equal(enclave_pages_used(), 0);
    return 0;
}

/* Finds the syscall instructions of [start, end) by disassembling from its beginning. */
static size_t sites_find(uintptr_t start, uintptr_t end, uintptr_t *ret, size_t max)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction in;
    ZydisDecoder d;
    size_t count = 0;

    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    while (start < end && count < max) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, (void *)start, end - start, &in, operands))) {
            start++;
            continue;
        }
        if (in.mnemonic == ZYDIS_MNEMONIC_SYSCALL)
            ret[count++] = start;
        start += in.length;
    }
    return count;
}

/* Every instruction of the text has the length that Zydis says, unless insn_length() declines it. */
static void lengths_check(uintptr_t at, uintptr_t end)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction in;
    size_t total = 0, declined = 0;
    ZydisDecoder d;

    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    while (at < end) {
        size_t mine = insn_length((const uint8_t *)at, end - at);

        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, (void *)at, end - at, &in, operands))) {
            at++;
            continue;
        }
        if (mine != 0 && mine != in.length)
            print_message("%02x %02x %02x %02x %02x %02x: %zu, not %u\n", ((uint8_t *)at)[0],
                          ((uint8_t *)at)[1], ((uint8_t *)at)[2], ((uint8_t *)at)[3],
                          ((uint8_t *)at)[4], ((uint8_t *)at)[5], mine, in.length);
        assert_true(mine == 0 || mine == in.length);
        total++;
        declined += mine == 0;
        at += in.length;
    }
    assert_true(declined * 1000 <= total);
}

/* Where the instruction at `at` jumps; 0 when it is no direct jump. */
static uintptr_t jump_target(uintptr_t at)
{
    const uint8_t *code = (const uint8_t *)at;
    int32_t rel;

    if (code[0] == 0xeb)
        return at + 2 + (uintptr_t)(int64_t)(int8_t)code[1];
    if (code[0] != 0xe9)
        return 0;
    memcpy(&rel, code + 1, 4);
    return at + 5 + (uintptr_t)(int64_t)rel;
}

struct tally {
    size_t sites, punned, caved, trapping;
};

/* Loads the file, rewrites every site of its text, and checks where each one leads. */
static struct tally rewrite_file(const char *path)
{
    CLEANUP(file_unrefp)
    struct file *f = NULL;
    struct elf_image *image = calloc(1, sizeof *image);
    static uintptr_t sites[4096];
    struct tally t = { 0 };
    struct elf_mapped m;

    if (file_open(path, O_RDONLY, 0, &f) < 0 || elf_file_parse(f, image) < 0)
        fail();
    assert_int_equal(elf_file_map(g_mm, f, image, &m), 0);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct elf_segment *s = &image->segments[i];
        uintptr_t start = s->vaddr + m.bias, end = start + s->file_size;
        size_t count;

        if (!(s->prot & PROT_EXEC))
            continue;
        for (uintptr_t page = ALIGN_DOWN(start, PAGE_SIZE); page < end; page += PAGE_SIZE)
            assert_int_equal(user_prefault(page, 1, false), 0);
        lengths_check(start, end);
        count = sites_find(start, end, sites, ARRAY_COUNT(sites));
        for (size_t k = 0; k < count; k++) {
            uint8_t before[16], after[16], *code = (uint8_t *)sites[k];
            uintptr_t target;
            uint64_t restart;

            /* Where functions are known, each site is known to begin an instruction, and its second byte not to. */
            assert_int_not_equal(boundary_check(g_mm, sites[k], SYSCALL_SIZE), BOUNDARY_NO);
            assert_int_not_equal(boundary_check(g_mm, sites[k] + 1, SYSCALL_SIZE), BOUNDARY_YES);
            memcpy(before, code, 16);
            rewrite_site(g_mm, sites[k], UINT64_MAX);
            memcpy(after, code, 16);
            /* Nothing changes but the site, and padding when a cave was dug. */
            for (unsigned byte = 2; byte < 16; byte++) {
                if (before[byte] == after[byte])
                    continue;
                assert_true(strchr("\xe9\xeb", after[byte]) &&
                            strchr("\xcc\x90\x66\x2e\x0f", before[byte]));
                byte += (after[byte] == 0xe9 ? JUMP_SIZE : 2) - 1;
            }
            t.sites++;
            target = jump_target(sites[k]);
            if (!target) {
                t.trapping++;
                assert_memory_equal(before, after, 2);
                continue;
            }
            t.punned += code[0] == 0xe9;
            t.caved += code[0] == 0xeb;
            while (*(uint8_t *)target == 0xeb || *(uint8_t *)target == 0xe9)
                target = jump_target(target); /* through caves */
            for (unsigned byte = 0; byte < TRAMPOLINE_SIZE; byte++) {
                assert_true(libos_trampoline_find(target + byte, &restart));
                assert_int_equal(restart, sites[k]);
            }
            assert_true(page_state(target) & PAGE_EXEC && !(page_state(target) & PAGE_WRITE));
        }
    }
    free(image);
    return t;
}

static void print_tally(const char *name, const struct tally *t)
{
    print_message("%s: %zu sites, %zu punned, %zu caved, %zu trapping\n", name, t->sites, t->punned,
                  t->caved, t->trapping);
}

static void test_libc(void **state)
{
    struct tally t = rewrite_file("/lib/x86_64-linux-gnu/libc.so.6");

    print_tally("libc", &t);
    assert_true(t.sites > 100 && t.punned * 100 >= t.sites * 98);
}

static void test_ld_so(void **state)
{
    struct tally t = rewrite_file("/lib64/ld-linux-x86-64.so.2");

    print_tally("ld.so", &t);
    assert_true(t.sites > 10 && t.punned * 100 >= t.sites * 95);
}

static void test_static(void **state)
{
    const char *go = getenv("CLOCHE_TEST_GO_PROGRAM");
    struct tally t = rewrite_file("/bin/busybox");

    print_tally("busybox", &t);
    assert_true(t.punned * 100 >= t.sites * 70);
    if (go) {
        t = rewrite_file(go);
        print_tally("go", &t);
        assert_true(t.punned + t.caved > t.trapping);
    }
}

/* The image goes away, another comes to the same place: its sites do not meet old trampolines. */
static void test_reload(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct tally t = rewrite_file("/lib64/ld-linux-x86-64.so.2");

        assert_true(t.punned * 100 >= t.sites * 95);
        assert_int_equal(mm_unmap(g_mm, 0xc00000000, 64 << 20), 0);
        mm_unref(g_mm);
        assert_int_equal(mm_new(&g_mm), 0);
        fake_enclave_process()->mm = g_mm;
    }
}

/* Code pages of our own: nop bytes, then what the test puts there. */
static uint8_t *code_page(uintptr_t at, const void *code, size_t size, unsigned off)
{
    assert_int_equal(
        mm_map(g_mm, &at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    assert_int_equal(user_prefault(at, PAGE_SIZE, true), 0);
    memset((void *)at, 0x90, PAGE_SIZE);
    memcpy((uint8_t *)at + off, code, size);
    assert_int_equal(mm_protect(g_mm, at, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
    return (uint8_t *)at + off;
}

static void test_refused(void **state)
{
    static const uint8_t plain[] = { 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff };
    static const uint8_t high[] = { 0x0f, 0x05, 0x00, 0x00, 0x80, 0x90 };
    struct rewrite_stats before, after;
    uint8_t *site;

    fake_enclave_process()->thread_count = 2;
    rewrite_stats(&before);
    site = code_page(0x400000, plain, sizeof plain, 63); /* crosses a cache line */
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_memory_equal(site, plain, 2);
    site = code_page(0x402000, high, sizeof high, 16); /* target below 0, no cave */
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_memory_equal(site, high, 2);
    site = code_page(0x404000, plain, sizeof plain, 16); /* the window is taken by another area */
    assert_int_equal(user_range_ok((uintptr_t)site, 1), 1);
    {
        uintptr_t at = ALIGN_DOWN((uintptr_t)site + 5 + 0x3d4800, PAGE_SIZE);

        assert_int_equal(
            mm_map(g_mm, &at, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    }
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_memory_equal(site, plain, 2);
    /* Not a site at all (any more). */
    rewrite_site(g_mm, (uintptr_t)site + 2, UINT64_MAX);
    assert_memory_equal(site, plain, sizeof plain);
    rewrite_stats(&after);
    assert_int_equal(after.trapping - before.trapping, 3);
    assert_int_equal(after.traps - before.traps, 5);
    /* Unmapped and forgotten: the same address may be rewritten when other code stands there. */
    assert_int_equal(mm_unmap(g_mm, 0x402000, PAGE_SIZE), 0);
    site = code_page(0x402000, plain, sizeof plain, 16);
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_int_equal(site[0], 0xe9);
    fake_enclave_process()->thread_count = 1;
    site = code_page(0x408000, plain, sizeof plain, 63); /* nobody else is there */
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_int_equal(site[0], 0xe9);
}

static void test_cave(void **state)
{
    uint8_t code[64];
    uint8_t *site;
    uint64_t restart;

    memset(code, 0x90, sizeof code);
    memcpy(code, "\x0f\x05\x00\x00\x80\xc3", 6);
    memset(code + 6, 0xcc, 10); /* padding up to a function's start */
    memset(code + 20, 0xcc, 8); /* an immediate that looks like padding */
    site = code_page(0x400000, code, sizeof code, 64);
    rewrite_site(g_mm, (uintptr_t)site, UINT64_MAX);
    assert_int_equal(site[0], 0xeb);
    assert_int_equal(jump_target((uintptr_t)site), (uintptr_t)site + 7);
    assert_true(libos_trampoline_find(jump_target((uintptr_t)site + 7), &restart));
    assert_int_equal(restart, (uintptr_t)site);
    assert_memory_equal(site + 20, code + 20, 8);
}

/* The number's own instruction serves a site that nothing else does; never bytes that only look like it. */
static void test_lift(void **state)
{
    static const uint8_t code[] = { 0xb8, 0x0e, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc2, 0xf7, 0xda };
    static const struct {
        uint8_t before[3];
        uint64_t number;
        bool lifted;
    } cases[] = {
        { { 0x90, 0x90, 0x90 }, 14, true },
        { { 0x08, 0x00, 0x00 }, 14, true },  /* the end of an immediate */
        { { 0x90, 0x90, 0x90 }, 15, false }, /* the register came from elsewhere */
        { { 0x90, 0x90, 0x41 }, 14, false }, /* mov $14, %r8d */
        { { 0x90, 0xc7, 0x45 }, 14, false }, /* movl $14, -0x48(%rbp) */
        { { 0xc7, 0x44, 0x24 }, 14, false }, /* movl $14, -0x48(%rsp) */
        { { 0x90, 0x81, 0x7d }, 14, false }, /* cmpl $14, -0x48(%rbp) */
        { { 0x90, 0x90, 0x66 }, 14, false },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[3 + sizeof code], *mov;
        uintptr_t target;
        uint64_t restart;

        memcpy(bytes, cases[i].before, 3);
        memcpy(bytes + 3, code, sizeof code);
        /* The five bytes cross a word; at 61, below, a cache line. */
        mov = code_page(0x600000 + 2 * i * PAGE_SIZE, bytes, sizeof bytes, 64 + 1) + 3;
        rewrite_site(g_mm, (uintptr_t)mov + 5, cases[i].number);
        assert_memory_equal(mov + 5, code + 5, sizeof code - 5);
        if (!cases[i].lifted) {
            assert_memory_equal(mov, code, 5);
            continue;
        }
        target = jump_target((uintptr_t)mov);
        assert_memory_equal((void *)target, code, 5);
        assert_true(libos_trampoline_find(target, &restart));
        assert_int_equal(restart, (uintptr_t)mov);
        assert_true(libos_trampoline_find(target + 5, &restart));
        assert_int_equal(restart, (uintptr_t)mov + 5);
        /* A jump straight to the call traps again; that changes nothing. */
        rewrite_site(g_mm, (uintptr_t)mov + 5, cases[i].number);
        assert_int_equal(jump_target((uintptr_t)mov), target);
    }
    fake_enclave_process()->thread_count = 2;
    {
        uint8_t *mov = code_page(0x640000, code, sizeof code, 61);

        rewrite_site(g_mm, (uintptr_t)mov + 5, 14);
        assert_memory_equal(mov, code, sizeof code);
    }
    fake_enclave_process()->thread_count = 1;
}

/* ---- execution, with other threads in the code ---- */

volatile unsigned long g_entries; /* counted by test_entry */

__asm__(".text\n"
        "test_entry:\n"
        "    lock incq g_entries(%rip)\n"
        "    push %rcx\n"
        "    syscall\n"
        "    pop %rcx\n"
        "    jmp *%rcx\n");
void test_entry(void);

static volatile bool g_stop;
static volatile unsigned g_wrong;

static void *caller(void *arg)
{
    long (*getpid_code)(void) = arg;
    long expected = getpid();

    fake_enclave_thread_init();
    fake_enclave_set_syscall_entry(test_entry);
    while (!g_stop)
        if (getpid_code() != expected)
            g_wrong++;
    return NULL;
}

static void test_concurrent(void **state)
{
    /* mov $39, %eax; syscall; cmp $-4095, %rax; ret */
    static const uint8_t code[] = { 0xb8, 39,   0,    0,    0,    0x0f, 0x05,
                                    0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xc3 };

    fake_enclave_process()->thread_count = 4;
    for (unsigned round = 0; round < 64; round++) {
        uint8_t *at = code_page(0x1400000 + round * 0x1000, code, sizeof code, 16 + round);
        pthread_t threads[3];

        g_stop = false;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, caller, at), 0);
        usleep(500);
        rewrite_site(g_mm, (uintptr_t)at + 5, UINT64_MAX);
        usleep(500);
        g_stop = true;
        for (unsigned i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(at[5], ((uintptr_t)at + 5) % 64 == 63 ? 0x0f : 0xe9);
    }
    assert_true(g_entries > 0);
    assert_int_equal(g_wrong, 0);
    fake_enclave_process()->thread_count = 1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_libc),    TEST(test_ld_so), TEST(test_static), TEST(test_reload),
        TEST(test_refused), TEST(test_cave),  TEST(test_lift),   TEST(test_concurrent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
