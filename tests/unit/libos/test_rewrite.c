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
#include "tee/libos/rewrite/code_map.h"
#include "tee/libos/rewrite/rewrite_private.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"
#include "tests/unit/libos/fake_file.h"
#include "tests/unit/libos/rewrite_fixture.h"

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

struct tally {
    size_t sites, punned, caved, lifted, trapping;
};

/* An image's text as it was: its bytes, and how long the instruction is that begins at each of them. */
struct text {
    uintptr_t start;
    size_t size;
    uint8_t *code, *lengths;
};

static void text_open(struct text *t, uintptr_t start, uintptr_t end)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecodedInstruction in;
    ZydisDecoder d;

    *t = (struct text){ .start = start, .size = end - start };
    t->code = malloc(t->size);
    t->lengths = calloc(1, t->size);
    memcpy(t->code, (void *)start, t->size);
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (size_t off = 0; off < t->size; off += in.length) {
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, t->code + off, t->size - off, &in, operands)))
            t->lengths[off] = in.length;
        else
            in.length = 1;
    }
}

static void text_close(struct text *t)
{
    free(t->code);
    free(t->lengths);
}

#define NEAR 1200u /* bytes around a site that may change */

/* What is taken for a certain beginning of an instruction is one, and so is each site. */
static void map_check(const struct text *t, uintptr_t site)
{
    size_t known = 0, wrong = 0;
    struct code_map m;

    code_map_init(&m, g_mm, site);
    assert_true(code_map_is_boundary(&m, site));
    for (uintptr_t at = MAX(t->start, site - NEAR); at < site; at++) {
        if (!code_map_is_boundary(&m, at) || t->code[at - t->start] != *(uint8_t *)at)
            continue;
        known++;
        wrong += t->lengths[at - t->start] == 0;
    }
    code_map_done(&m);
    assert_true(known >= MIN(site - t->start, NEAR) / 16);
    assert_int_equal(wrong, 0);
}

/* What stood at `at`, which changed when site was rewritten, was the site, padding, or one instruction before the site
 * that its trampoline does instead. Returns the end of it. */
static uintptr_t change_check(const struct text *t, uintptr_t at, uintptr_t site, struct tally *ret)
{
    uint8_t length;
    uintptr_t from;

    while (t->lengths[at - t->start] == 0)
        at--;
    length = t->lengths[at - t->start];
    if (at == site || code_nop_size(t->code + (at - t->start), 16) == length)
        return at + length;
    assert_true(at < site && length >= 5 && length <= 8 && site - at <= LIFT_SIZE_MAX);
    for (uintptr_t next = at, to = jump_target(at); next < site;) {
        assert_true(libos_trampoline_find(to + (next - at), &from));
        assert_int_equal(from, next);
        assert_int_not_equal(t->lengths[next - t->start], 0);
        next += t->lengths[next - t->start];
        assert_true(next <= site);
    }
    ret->lifted++;
    return at + length;
}

/* A site that became a jump leads to its trampoline. */
static void site_check(uintptr_t site)
{
    uintptr_t target = jump_target(site);
    uint64_t restart;

    if (!target) {
        assert_memory_equal((void *)site, "\x0f\x05", 2);
        return;
    }
    while (*(uint8_t *)target == 0xeb || *(uint8_t *)target == 0xe9)
        target = jump_target(target); /* through caves */
    for (unsigned byte = 0; byte < TRAMPOLINE_SIZE; byte++) {
        assert_true(libos_trampoline_find(target + byte, &restart));
        assert_int_equal(restart, site);
    }
    assert_true(page_state(target) & PAGE_EXEC && !(page_state(target) & PAGE_WRITE));
}

/* Rewrites the site and checks that nothing else changed. */
static void site_rewrite(const struct text *t, uintptr_t site, struct tally *ret)
{
    uintptr_t first = MAX(t->start, site - NEAR), end = MIN(t->start + t->size, site + NEAR);
    static uint8_t before[2 * NEAR];
    size_t lifted = ret->lifted;

    memcpy(before, (void *)first, end - first);
    map_check(t, site);
    rewrite_site(g_mm, site);
    for (uintptr_t at = first; at < end;)
        at = before[at - first] == *(uint8_t *)at ? at + 1 : change_check(t, at, site, ret);
    site_check(site);
    ret->sites++;
    ret->caved += *(uint8_t *)site == 0xeb;
    if (*(uint8_t *)site == 0x0f)
        ret->trapping += ret->lifted == lifted;
    else
        ret->punned += *(uint8_t *)site != 0xeb;
}

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
        struct text text;
        size_t count;

        if (!(s->prot & PROT_EXEC))
            continue;
        for (uintptr_t page = ALIGN_DOWN(start, PAGE_SIZE); page < end; page += PAGE_SIZE)
            assert_int_equal(user_prefault(page, 1, false), 0);
        lengths_check(start, end);
        text_open(&text, start, end);
        count = sites_find(start, end, sites, ARRAY_COUNT(sites));
        for (size_t k = 0; k < count; k++)
            site_rewrite(&text, sites[k], &t);
        /* No site's jump was spoiled by what was done for a later one. */
        for (size_t k = 0; k < count; k++)
            site_check(sites[k]);
        text_close(&text);
    }
    free(image);
    return t;
}

static void print_tally(const char *name, const struct tally *t)
{
    print_message("%s: %zu sites, %zu punned, %zu caved, %zu lifted, %zu trapping\n", name,
                  t->sites, t->punned, t->caved, t->lifted, t->trapping);
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
    assert_true(t.punned * 100 >= t.sites * 70 && t.trapping * 100 <= t.sites);
    if (go && access(go, R_OK) == 0) {
        t = rewrite_file(go);
        print_tally("go", &t);
        assert_int_equal(t.trapping, 0);
    }
}

/* Linked at a low address, without a table of functions. */
static void test_static_musl(void **state)
{
    const char *musl = getenv("CLOCHE_TEST_MUSL_PROGRAM");
    struct tally t;

    if (!musl || access(musl, R_OK) != 0)
        skip();
    t = rewrite_file(musl);
    print_tally("musl", &t);
    assert_true(t.sites > 300 && t.trapping * 100 <= t.sites * 3);
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

static void test_refused(void **state)
{
    static const uint8_t plain[] = { 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff };
    static const uint8_t high[] = { 0x0f, 0x05, 0x00, 0x00, 0x80, 0x90 };
    struct rewrite_stats before, after;
    uint8_t *site;

    fake_enclave_process()->thread_count = 2;
    rewrite_stats(&before);
    site = code_page(0x400000, plain, sizeof plain, 63); /* crosses a cache line */
    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, plain, 2);
    site = code_page(0x402000, high, sizeof high, 16); /* target below 0, no cave */
    rewrite_site(g_mm, (uintptr_t)site);
    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, high, 2);
    site = code_page(0x404000, plain, sizeof plain, 16); /* the window is taken by another area */
    assert_int_equal(user_range_ok((uintptr_t)site, 1), 1);
    {
        uintptr_t at = ALIGN_DOWN((uintptr_t)site + 5 + 0x3d4800, PAGE_SIZE);

        assert_int_equal(
            mm_map(g_mm, &at, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    }
    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, plain, 2);
    /* Not a site at all (any more). */
    rewrite_site(g_mm, (uintptr_t)site + 2);
    assert_memory_equal(site, plain, sizeof plain);
    rewrite_stats(&after);
    assert_int_equal(after.trapping - before.trapping, 3);
    assert_int_equal(after.traps - before.traps, 5);
    /* Unmapped and forgotten: the same address may be rewritten when other code stands there. */
    assert_int_equal(mm_unmap(g_mm, 0x402000, PAGE_SIZE), 0);
    site = code_page(0x402000, plain, sizeof plain, 16);
    rewrite_site(g_mm, (uintptr_t)site);
    assert_int_equal(site[0], 0xe9);
    fake_enclave_process()->thread_count = 1;
    site = code_page(0x408000, plain, sizeof plain, 63); /* nobody else is there */
    rewrite_site(g_mm, (uintptr_t)site);
    assert_int_equal(site[0], 0xe9);
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

/* Rewrites the site behind `skip` bytes of code, again and again at other places, while threads run it. Each way of rewriting
 * leaves `expected` as the first byte at changed_off, unless the place crosses a cache line. */
static void race(const uint8_t *code, size_t size, unsigned site_off, unsigned changed_off,
                 unsigned changed_size, uint8_t expected)
{
    fake_enclave_process()->thread_count = 4;
    g_entries = g_wrong = 0;
    for (unsigned round = 0; round < 64; round++) {
        uint8_t *at = code_page(0x1400000 + round * 0x1000, code, size, 16 + round);
        bool crosses = ((uintptr_t)at + changed_off) % 64 > 64 - changed_size;
        pthread_t threads[3];

        g_stop = false;
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, caller, at), 0);
        usleep(500);
        rewrite_site(g_mm, (uintptr_t)at + site_off);
        usleep(500);
        g_stop = true;
        for (unsigned i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(at[changed_off], crosses ? code[changed_off] : expected);
    }
    assert_true(g_entries > 0);
    assert_int_equal(g_wrong, 0);
    fake_enclave_process()->thread_count = 1;
}

static void test_concurrent(void **state)
{
    /* mov $39, %eax; syscall; cmp $-4095, %rax; ret */
    static const uint8_t code[] = { 0xb8, 39,   0,    0,    0,    0x0f, 0x05,
                                    0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xc3 };

    race(code, sizeof code, 5, 5, 2, 0xe9);
}

/* push %rbx; mov $39, %eax; xor %edx, %edx; mov %rax, %rbx; syscall; mov %rax, %rdi; pop %rbx; ret */
static void test_concurrent_lift(void **state)
{
    static const uint8_t code[] = { 0x53, 0xb8, 39,   0,    0,    0,    0x31, 0xd2, 0x48, 0x89,
                                    0xc3, 0x0f, 0x05, 0x48, 0x89, 0xc7, 0x5b, 0xc3, 0x90, 0xf4 };
    static const uint8_t negative[] = {
        0x53, 0xb8, 39,   0,    0,    0,    0x31, 0xd2, 0x48, 0x89,
        0xc3, 0x0f, 0x05, 0x48, 0x89, 0xc7, 0x89, 0xc0, 0x5b, 0xc3
    };

    race(code, sizeof code, 11, 11, 2, JUMP_PREFIX);
    race(negative, sizeof negative, 11, 1, 5, 0xe9);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rewrite_setup, rewrite_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_libc),   TEST(test_ld_so),   TEST(test_static),     TEST(test_static_musl),
        TEST(test_reload), TEST(test_refused), TEST(test_concurrent), TEST(test_concurrent_lift),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
