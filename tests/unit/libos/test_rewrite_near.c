/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of what tee/libos/rewrite does where the site's own two bytes do not serve: padding, and the instructions before the
 * site. Code whose neighbours are targets of branches, cross pages and cache lines, or cannot be told from data. Hosted.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tee/libos/mm/page.h"
#include "tee/libos/rewrite/code_map.h"
#include "tee/libos/rewrite/rewrite_private.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"
#include "tests/unit/libos/rewrite_fixture.h"

/* syscall; mov %eax, %edx; neg %edx: no jump can stand there at a low address. */
#define SITE 0x0f, 0x05, 0x89, 0xc2, 0xf7, 0xda

struct layout {
    unsigned off; /* of the code in its page, which is full of nops */
    unsigned size;
    uint8_t code[64]; /* the first SITE in it is rewritten */
};

/* Puts the code at its place, rewrites its site, returns the code. */
static uint8_t *rewritten(const struct layout *l)
{
    static const uint8_t site[] = { SITE };
    uint8_t *code = code_page(0x600000, l->code, l->size, l->off), *at;

    at = memmem(code, l->size, site, sizeof site);
    assert_non_null(at);
    rewrite_site(g_mm, (uintptr_t)at);
    return code;
}

/* The instruction at code + victim, `size` bytes of it, became a jump to a copy of all from there to code + site. */
static void lift_check(const struct layout *l, const uint8_t *code, unsigned victim, unsigned size,
                       unsigned site)
{
    uintptr_t to = jump_target((uintptr_t)code + victim);
    uint64_t restart;

    assert_int_not_equal(to, 0);
    assert_memory_equal(code, l->code, victim);
    assert_memory_equal(code + victim + size, l->code + victim + size, l->size - victim - size);
    for (unsigned off = JUMP_SIZE; off < size; off++)
        assert_int_equal(code[victim + off], TRAMPOLINE_FILL);
    assert_memory_equal((void *)to, l->code + victim, site - victim);
    assert_true(libos_trampoline_find(to, &restart));
    assert_int_equal(restart, (uintptr_t)code + victim);
    for (unsigned off = 0; off < TRAMPOLINE_SIZE; off++) {
        assert_true(libos_trampoline_find(to + site - victim + off, &restart));
        assert_int_equal(restart, (uintptr_t)code + site);
    }
}

static void test_lift(void **state)
{
    static const struct {
        struct layout l;
        unsigned victim, size, site;
    } cases[] = {
        /* mov $14, %eax, right before the site, and farther */
        { { 65, 11, { 0xb8, 14, 0, 0, 0, SITE } }, 0, 5, 5 },
        { { 65, 16, { 0xb8, 14, 0, 0, 0, 0x48, 0x89, 0xd6, 0x31, 0xd2, SITE } }, 0, 5, 10 },
        /* the nearest of two */
        { { 65, 16, { 0xb8, 14, 0, 0, 0, 0xbe, 1, 0, 0, 0, SITE } }, 5, 5, 10 },
        /* mov $14, %r8d is one byte longer; movl $14, -0x48(%rbp) two */
        { { 65, 12, { 0x41, 0xb8, 14, 0, 0, 0, SITE } }, 0, 6, 6 },
        { { 65, 13, { 0xc7, 0x45, 0xb8, 14, 0, 0, 0, SITE } }, 0, 7, 7 },
        /* movl $14, -0x48(%rsp), which holds a mov's bytes too */
        { { 65, 14, { 0xc7, 0x44, 0x24, 0xb8, 14, 0, 0, 0, SITE } }, 0, 8, 8 },
        /* at the very beginning of its memory */
        { { 0, 11, { 0xb8, 14, 0, 0, 0, SITE } }, 0, 5, 5 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct layout *l = &cases[i].l;
        uint8_t *code = rewritten(l);
        uintptr_t to;

        lift_check(l, code, cases[i].victim, cases[i].size, cases[i].site);
        /* A jump straight to the call traps again; that changes nothing. */
        to = jump_target((uintptr_t)code + cases[i].victim);
        rewrite_site(g_mm, (uintptr_t)code + cases[i].site);
        assert_int_equal(jump_target((uintptr_t)code + cases[i].victim), to);
        assert_memory_equal(code + cases[i].site, "\x0f\x05", 2);
        assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    }
}

/* What must stay as it is. */
static void test_lift_refused(void **state)
{
    static const struct layout cases[] = {
        /* a branch, a call, a lock prefix, a return between or before */
        { 65, 13, { 0xb8, 14, 0, 0, 0, 0x74, 0x00, SITE } },
        { 65, 11, { 0xe8, 0, 0, 0, 0, SITE } },
        { 65, 12, { 0xf0, 0x83, 0x0c, 0x24, 0x00, 0x90, SITE } },
        { 65, 12, { 0xb8, 14, 0, 0, 0, 0xc3, SITE } },
        /* nine bytes do not change in one store: movq $14, -0x48(%rsp) */
        { 65, 15, { 0x48, 0xc7, 0x44, 0x24, 0xb8, 14, 0, 0, 0, SITE } },
        /* across a cache line, with another thread */
        { 61, 11, { 0xb8, 14, 0, 0, 0, SITE } },
        /* an instruction that none of ours is certain to follow: every fifth byte could begin one */
        { 0, 57, { 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8,
                   0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8,
                   0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8,
                   0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 0xb8, 14,   0,    0,    0,    0xc9, SITE } },
    };

    fake_enclave_process()->thread_count = 2;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t *code = rewritten(&cases[i]);

        assert_memory_equal(code, cases[i].code, cases[i].size);
        assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    }
    fake_enclave_process()->thread_count = 1;
}

/* The nearest instruction crosses a cache line; the one before it does not. */
static void test_lift_farther(void **state)
{
    static const struct layout l = { 56, 16, { 0xbe, 1, 0, 0, 0, 0xb8, 14, 0, 0, 0, SITE } };
    uint8_t *code;

    fake_enclave_process()->thread_count = 2;
    code = rewritten(&l);
    lift_check(&l, code, 0, 5, 10);
    fake_enclave_process()->thread_count = 1;
}

/* Two pages of code; the instruction before the site is in both. */
static void test_lift_at_page_end(void **state)
{
    static const uint8_t first[] = { 0xbe, 1, 0, 0, 0, 0xb8, 14, 0 }, second[] = { 0, 0, SITE };
    uint8_t *code = code_page(0x600000, first, sizeof first, PAGE_SIZE - sizeof first);
    uint8_t *site = code_page(0x601000, second, sizeof second, 0) + 2;

    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, "\x0f\x05", 2);
    assert_memory_equal(code + 5, first + 5, 3);
    assert_int_not_equal(jump_target((uintptr_t)code), 0); /* all of it in the first */
    /* The memory before the site is not there. */
    assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    site = code_page(0x601000, second + 2, sizeof second - 2, 0);
    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, second + 2, sizeof second - 2);
    /* Nor is that behind it. */
    site = code_page(0x603000, second + 2, 2, PAGE_SIZE - 2);
    rewrite_site(g_mm, (uintptr_t)site);
    assert_memory_equal(site, "\x0f\x05", 2);
}

/* lea 0x100(%rip), %rdi leads to the same place from the trampoline. */
static void test_lift_relative(void **state)
{
    static const struct layout l = {
        65, 20, { 0xb8, 14, 0, 0, 0, 0x48, 0x8d, 0x3d, 0, 1, 0, 0, 0x31, 0xd2, SITE }
    };
    uint8_t *code = rewritten(&l);
    uintptr_t to = jump_target((uintptr_t)code + 5);
    int32_t rel;

    assert_int_not_equal(to, 0);
    assert_memory_equal((void *)to, "\x48\x8d\x3d", 3);
    memcpy(&rel, (void *)(to + 3), sizeof rel);
    assert_int_equal(to + 7 + (uintptr_t)(int64_t)rel, (uintptr_t)code + 12 + 0x100);
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
    rewrite_site(g_mm, (uintptr_t)site);
    assert_int_equal(site[0], 0xeb);
    assert_int_equal(jump_target((uintptr_t)site), (uintptr_t)site + 7);
    assert_true(libos_trampoline_find(jump_target((uintptr_t)site + 7), &restart));
    assert_int_equal(restart, (uintptr_t)site);
    assert_memory_equal(site + 20, code + 20, 8);
}

#define RET 0xc3
#define NOP3 0x0f, 0x1f, 0x00
#define NOP5 0x0f, 0x1f, 0x44, 0, 0
#define NOP7 0x0f, 0x1f, 0x80, 0, 0, 0, 0
#define NOP9 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0
#define JE(distance) 0x74, distance
#define MOV 0x89, 0xd0 /* too short for a jump */

/* Padding behind a return or a jump. The SITE stands behind a branch, so that only padding serves. */
static void test_padding(void **state)
{
    static const struct {
        struct layout l;
        unsigned jump; /* where it is in the code; 0: all stays */
    } cases[] = {
        /* up to a multiple of 16, up to one of 8 */
        { { 64, 18, { JE(0), SITE, MOV, RET, NOP5, MOV } }, 11 },
        { { 64, 26, { JE(0), SITE, MOV, MOV, 0x90, MOV, 0xeb, 0x07, NOP7, MOV } }, 17 },
        /* three bytes are too few for the long jump */
        { { 64,
            34,
            { JE(0), SITE, MOV, MOV, RET, NOP3, MOV, MOV, MOV, RET, 0x66, 0x2e, NOP7, MOV } },
          23 },
        /* behind a call, which may return */
        { { 64, 26, { JE(0), SITE, MOV, MOV, 0x90, 0xe8, 0, 0, 0, 0, 0x66, NOP5, MOV } }, 0 },
        /* something branches into it */
        { { 64, 18, { JE(9), SITE, MOV, RET, NOP5, MOV } }, 0 },
        /* it ends at no multiple of 8; it goes on over one of 16; it begins where a function may */
        { { 64, 19, { JE(0), SITE, MOV, 0x90, RET, NOP5, MOV } }, 0 },
        { { 64, 26, { JE(0), SITE, MOV, MOV, MOV, RET, NOP9, MOV } }, 0 },
        { { 64, 26, { JE(0), SITE, MOV, MOV, MOV, 0x90, RET, NOP5, NOP3, MOV } }, 0 },
        /* room that a compiler leaves for patches */
        { { 64, 18, { JE(0), SITE, MOV, RET, 0x90, 0x90, 0x90, 0x90, 0x90, MOV } }, 0 },
    };

    fake_enclave_process()->thread_count = 2;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct layout *l = &cases[i].l;
        uint8_t *code = rewritten(l), *site = code + 2;
        uintptr_t to = (uintptr_t)site;
        uint64_t restart;

        assert_int_equal(site[0], cases[i].jump ? 0xeb : 0x0f);
        if (!cases[i].jump) {
            assert_memory_equal(code, l->code, l->size);
        } else {
            assert_int_equal(jump_target((uintptr_t)site), (uintptr_t)code + cases[i].jump);
            while (*(uint8_t *)to == 0xeb)
                to = jump_target(to);
            assert_true(libos_trampoline_find(jump_target(to), &restart));
            assert_int_equal(restart, (uintptr_t)site);
        }
        assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    }
    fake_enclave_process()->thread_count = 1;
}

/* A branch to the site passes an instruction that could be lifted: padding serves both ways, and without padding the lift
 * serves one. */
static void test_entered(void **state)
{
    static const struct layout padded = {
        64, 26, { JE(7), MOV, 0xb8, 14, 0, 0, 0, SITE, MOV, RET, 0x66, NOP5, MOV }
    };
    static const struct layout bare = { 64, 15, { JE(7), MOV, 0xb8, 14, 0, 0, 0, SITE } };
    uint8_t *code = rewritten(&padded);

    assert_int_equal(code[9], 0xeb);
    assert_int_equal(code[4], 0xb8);
    assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    code = rewritten(&bare);
    lift_check(&bare, code, 4, 5, 9);
}

/* The bytes behind a punned site are part of its jump: nothing else may take them, neither an instruction nor padding. */
static void test_pun_keeps_bytes(void **state)
{
    static const uint8_t lift[] = { 0x74, 0, 0x0f, 0x05, 0xc3, 0xb8, 0x0b, 0, 0, 0, SITE };
    static const uint8_t prefixed[] = { 0x74, 0,    0x0f, 0x05, 0x48, 0x89, 0xc7,
                                        0x05, 0xbb, 0,    0,    0,    SITE };
    static const uint8_t padding[] = { JE(0), SITE, 0x74, 0, 0x0f, 0x05, RET,
                                       0x0f,  0x1f, 0x44, 0, 0,    MOV };
    const struct {
        const uint8_t *code;
        size_t size;
        unsigned first, second;
    } cases[] = {
        { lift, sizeof lift, 2, 10 },
        { prefixed, sizeof prefixed, 2, 12 },
        { padding, sizeof padding, 10, 2 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned off =
            cases[i].code == padding ? 62 : 64; /* the padding ends at a multiple of 16 */
        uint8_t *code = code_page(0x600000, cases[i].code, cases[i].size, off);
        uintptr_t first = (uintptr_t)code + cases[i].first, to;
        uint64_t restart;

        rewrite_site(g_mm, first);
        to = jump_target(first);
        rewrite_site(g_mm, (uintptr_t)code + cases[i].second);
        assert_int_equal(jump_target(first), to);
        assert_true(to != 0 && libos_trampoline_find(to, &restart));
        assert_int_equal(restart, first);
        assert_int_equal(mm_unmap(g_mm, 0x600000, PAGE_SIZE), 0);
    }
}

/* After a site, a lifted instruction or padding has changed, the code around it reads as it did. */
static void test_map_sees_through(void **state)
{
    /* mov $14, %eax; syscall...; then another site, which a jump can serve, and what it must not swallow */
    static const uint8_t code[] = { 0xb8, 14,   0,    0,    0,    SITE, 0xb8, 15,   0,    0,
                                    0,    0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x90 };
    uint8_t *at = code_page(0x800000, code, sizeof code, 64);
    struct code_map before, after;

    code_map_init(&before, g_mm, (uintptr_t)at);
    rewrite_site(g_mm, (uintptr_t)at + 16);
    rewrite_site(g_mm, (uintptr_t)at + 5);
    assert_int_equal(at[16], 0xe9);
    assert_int_equal(at[0], 0xe9);
    code_map_init(&after, g_mm, (uintptr_t)at);
    for (unsigned off = 0; off < sizeof code; off++)
        assert_int_equal(code_map_is_boundary(&after, (uintptr_t)at + off),
                         code_map_is_boundary(&before, (uintptr_t)at + off));
    code_map_done(&before);
    code_map_done(&after);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rewrite_setup, rewrite_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lift),
        TEST(test_lift_refused),
        TEST(test_lift_farther),
        TEST(test_lift_at_page_end),
        TEST(test_lift_relative),
        TEST(test_cave),
        TEST(test_padding),
        TEST(test_entered),
        TEST(test_pun_keeps_bytes),
        TEST(test_map_sees_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
