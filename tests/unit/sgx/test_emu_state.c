/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EENTER and ERESUME's checks, what AEX saves, strict mode, the cost of a transition, and enclaves
 * beside each other.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/sgx/emu/emu.h"
#include "lib/defs.h"
#include "tests/unit/sgx/fixture.h"

static struct fixture g_f;

static int teardown(void **state)
{
    unsetenv("CLOCHE_EMU_STRICT");
    unsetenv("CLOCHE_EMU_TRANSITION_NS");
    if (g_f.e)
        fix_stop(&g_f);
    return 0;
}

static const bool g_kinds[] = { true, false };
#define FOR_BOTH                                                                                   \
    for (size_t kind = 0; kind < 2; kind++)                                                        \
        for (bool once = (fix_start(&g_f, g_kinds[kind], 2), true); once;                          \
             once = (fix_stop(&g_f), false))

static uint64_t gpr_off(unsigned frame)
{
    return FIX_SSA(0) + (frame + 1) * 4096 - sizeof(struct sgx_ssa_gpr);
}

static struct fix_result run_with(uint64_t tcs, unsigned leaf, uint8_t reserved)
{
    struct fix_result r = { .run = { .tcs = tcs } };

    r.run.reserved[215] = reserved;
    r.rc = g_f.backend->enter(0, 0, 0, leaf, 0, 0, &r.run);
    return r;
}

static void assert_entry_fault(struct fix_result r, unsigned leaf, unsigned vector)
{
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.run.function, leaf);
    assert_int_equal(r.run.exception_vector, vector);
}

static void test_enter_arguments(void **state)
{
    FOR_BOTH
    {
        const uint64_t tcs = g_f.base + FIX_TCS(0);

        assert_int_equal(run_with(tcs, SGX_EEXIT, 0).rc, -EINVAL);
        assert_int_equal(run_with(tcs, SGX_EGETKEY, 0).rc, -EINVAL);
        assert_int_equal(run_with(tcs, 0xffffffff, 0).rc, -EINVAL);
        assert_int_equal(run_with(tcs, SGX_EENTER, 1).rc, -EINVAL); /* reserved bytes */
        assert_int_equal(run_with(tcs, SGX_EENTER, 0).rc, 0);
    }
}

static void test_eenter_refusals(void **state)
{
    FOR_BOTH
    {
        assert_entry_fault(run_with(g_f.base + FIX_TCS(0) + 8, SGX_EENTER, 0), SGX_EENTER, 13);
        assert_entry_fault(run_with(g_f.base + FIX_DATA, SGX_EENTER, 0), SGX_EENTER, 14);
        assert_entry_fault(run_with(g_f.base + FIX_FREE, SGX_EENTER, 0), SGX_EENTER, 14);
        assert_entry_fault(run_with(g_f.base + FIX_SIZE, SGX_EENTER, 0), SGX_EENTER, 14);
        assert_entry_fault(run_with(0, SGX_EENTER, 0), SGX_EENTER, 14);
        assert_entry_fault(run_with(g_f.base + FIX_TCS(0), SGX_ERESUME, 0), SGX_ERESUME, 13);
        /* and it is none the worse for that */
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_INC, 1, 0, 0), 2);
    }
}

static void test_eenter_before_einit(void **state)
{
    struct sgx_secs secs;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    fix_build(&g_f, &secs, true, 1, false);
    assert_int_equal(g_f.backend->thread_init(g_f.e), 0);
    assert_entry_fault(run_with(g_f.base + FIX_TCS(0), SGX_EENTER, 0), SGX_EENTER, 13);
    fix_stop(&g_f);
}

static void test_enter_without_thread_init(void **state)
{
    struct sgx_secs secs;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    fix_build(&g_f, &secs, true, 1, false);
    assert_int_equal(g_f.backend->init(g_f.e, &g_f.sigstruct), 0);
    assert_int_equal(run_with(g_f.base + FIX_TCS(0), SGX_EENTER, 0).rc, -EFAULT);
    assert_int_equal(g_f.backend->thread_init(g_f.e), 0);
    fix_stop(&g_f);
}

/* TCSs that EADD takes and EENTER refuses. */
static void spoil_tcs(unsigned i, struct sgx_tcs *tcs)
{
    if (i == 1)
        tcs->ossa += 8;
    else if (i == 2)
        tcs->nssa = 0;
    else if (i == 3)
        tcs->ogs_base += 1;
    else if (i == 4)
        tcs->ofs_base += 1;
    else if (i == 5)
        tcs->oentry = 1ull << 60;
    else if (i == 6)
        tcs->ogs_base = 1ull << 50;
    else if (i == 7)
        tcs->ossa = FIX_FREE + 0x1000; /* no page there */
    else if (i == 8)
        tcs->ossa = FIX_CODE; /* not writable */
    else if (i == 9)
        tcs->ossa = FIX_SIZE;
    else if (i == 10)
        tcs->ossa = FIX_TCS(0);
}

static void test_eenter_bad_tcs(void **state)
{
    static const unsigned vectors[] = { 0, 13, 13, 13, 13, 13, 13, 14, 14, 14, 14 };

    for (unsigned i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct sgx_secs secs;

        fix_secs(&secs, FIX_BASE, FIX_SIZE);
        g_fix_spoil = spoil_tcs;
        g_fix_spoil_arg = i;
        fix_build(&g_f, &secs, true, 1, true);
        g_fix_spoil = NULL;
        struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_INC, 1, 0, 0);

        if (i == 0)
            assert_int_equal(r.run.function, SGX_EEXIT);
        else
            assert_entry_fault(r, SGX_EENTER, vectors[i]);
        fix_stop(&g_f);
    }
}

/* CSSA runs up to NSSA and no further; frames come back in reverse order. */
static void test_nested_exceptions(void **state)
{
    FOR_BOTH
    {
        for (unsigned i = 0; i < FIX_NSSA; i++) {
            /* at CSSA > 0 the test enclave writes RSI to *RDX: a fault when that is 8 */
            struct fix_result r = i == 0 ? fix_enter(&g_f, 0, FIX_CMD_UD2, 0, 0, 0)
                                         : fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, 0, 8);

            assert_int_equal(r.run.function, SGX_ERESUME);
            assert_int_equal(r.run.exception_vector, i == 0 ? 6 : 14);
        }
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, 0, 8), SGX_EENTER, 13);
        assert_int_equal(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0).run.exception_vector, 14);
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, 0, 8), SGX_EENTER, 13);
    }
}

static void *enter_busy(void *arg)
{
    struct fix_result *r = arg;

    assert_int_equal(g_f.backend->thread_init(g_f.e), 0);
    *r = run_with(g_f.base + FIX_TCS(1), SGX_EENTER, 0);
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

struct spinner {
    uint64_t regs[32];
    volatile uint8_t done;
    uint64_t result;
};

static void *spin(void *arg)
{
    struct spinner *s = arg;

    assert_int_equal(g_f.backend->thread_init(g_f.e), 0);
    s->result = fix_call(&g_f, 1, FIX_CMD_SPIN, (uint64_t)s->regs, (uint64_t)&s->done, 0);
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

static void test_busy_tcs(void **state)
{
    FOR_BOTH
    {
        struct spinner s = { .result = 1 };
        struct fix_result r = { .rc = 1 };
        pthread_t spinner, other;

        assert_int_equal(pthread_create(&spinner, NULL, spin, &s), 0);
        do {
            usleep(1000);
            assert_int_equal(pthread_create(&other, NULL, enter_busy, &r), 0);
            assert_int_equal(pthread_join(other, NULL), 0);
        } while (r.run.function == SGX_EEXIT); /* until the first one is in */
        assert_entry_fault(r, SGX_EENTER, 13);
        s.done = 1;
        assert_int_equal(pthread_join(spinner, NULL), 0);
        assert_int_equal(s.result, 0);
        assert_int_equal(run_with(g_f.base + FIX_TCS(1), SGX_EENTER, 0).run.function, SGX_EEXIT);
    }
}

static void test_aex_saves(void **state)
{
    FOR_BOTH
    {
        struct sgx_ssa_gpr gpr, before;
        struct sgx_exinfo exinfo;
        struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_WRITE, g_f.base + FIX_CODE + 123, 0x77, 9);

        assert_int_equal(r.run.function, SGX_ERESUME);
        assert_int_equal(r.run.exception_vector, 14);
        assert_int_equal(r.run.exception_error_code, 0x8007);
        assert_int_equal(r.run.exception_addr, g_f.base + FIX_CODE); /* page of the fault */
        memcpy(&gpr, (void *)(g_f.base + gpr_off(0)),
               sizeof gpr); /* the host can: it is emulated */
        memcpy(&exinfo, (void *)(g_f.base + gpr_off(0) - sizeof exinfo), sizeof exinfo);
        assert_int_equal(gpr.exit_info, 14 | 3 << 8 | 0x80000000u);
        assert_int_equal(exinfo.maddr, g_f.base + FIX_CODE + 123);
        assert_int_equal(exinfo.errcd, 0x8007);
        assert_int_equal(gpr.rsi, g_f.base + FIX_CODE + 123);
        assert_int_equal(gpr.rdx, 0x77);
        assert_int_equal(gpr.r8, 9);
        assert_int_equal(gpr.fs_base, g_f.base + FIX_GS(0));
        assert_int_equal(gpr.gs_base, g_f.base + FIX_GS(0));
        assert_in_range(gpr.rip, g_f.base + FIX_CODE, g_f.base + FIX_CODE + 4095);
        assert_in_range(gpr.rsp, g_f.base + FIX_GS(0), g_f.base + FIX_GS(0) + 4096);
        assert_int_not_equal(gpr.ursp, 0);
        assert_int_not_equal(gpr.urbp, 0);
        before = gpr;
        /* ERESUME without a change: the same again */
        r = fix_enter_leaf(&g_f, 0, SGX_ERESUME, 1, 2, 3);
        assert_int_equal(r.run.exception_vector, 14);
        memcpy(&gpr, (void *)(g_f.base + gpr_off(0)), sizeof gpr);
        gpr.ursp = before.ursp;
        gpr.urbp = before.urbp;
        assert_memory_equal(&gpr, &before, sizeof gpr);
    }
}

/* Without MISCSELECT.EXINFO neither #PF nor #GP is reported inside, but all others are. */
static void test_aex_without_exinfo(void **state)
{
    struct sgx_secs secs;
    struct sgx_ssa_gpr gpr;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    secs.misc_select = 0;
    fix_build(&g_f, &secs, true, 2, true);
    fix_enter(&g_f, 0, FIX_CMD_READ, g_f.base + FIX_FREE, 0, 0);
    memcpy(&gpr, (void *)(g_f.base + gpr_off(0)), sizeof gpr);
    assert_int_equal(gpr.exit_info, 0);
    fix_enter(&g_f, 1, FIX_CMD_UD2, 0, 0, 0);
    memcpy(&gpr, (void *)(g_f.base + FIX_SSA(1) + 4096 - sizeof gpr), sizeof gpr);
    assert_int_equal(gpr.exit_info, 6 | 3 << 8 | 0x80000000u);
    fix_stop(&g_f);
}

/* Code that the enclave calls; each faults with one vector. */
static void test_vectors(void **state)
{
    static const struct {
        uint8_t code[16];
        unsigned vector;
        bool reported;
        uint32_t type;
    } cases[] = {
        { { 0x31, 0xc9, 0x31, 0xd2, 0xf7, 0xf1, 0xc3 }, 0, true, 3 }, /* div by zero */
        { { 0xcc, 0xc3 }, 3, true, 6 },                               /* int3 */
        { { 0x0f, 0x0b, 0xc3 }, 6, true, 3 },                         /* ud2 */
        { { 0x0f, 0x05, 0xc3 }, 6, true, 3 },                         /* syscall */
        { { 0xcd, 0x80, 0xc3 }, 6, true, 3 },                         /* int 0x80 */
        { { 0xf4, 0xc3 }, 13, true, 3 },                              /* hlt */
        { { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x00, 0xc3 }, 13, true, 3 },
        { { 0x31, 0xc0, 0x8b, 0x00, 0xc3 }, 14, true, 3 }, /* address 0 */
    };

    FOR_BOTH
    {
        struct sgx_secinfo s = { .flags = 0x207 };
        struct fix_enclu regs = { SGX_EMODPE, g_f.base + FIX_DATA, g_f.base + FIX_DATA + 4096, 0,
                                  0 };

        fix_poke(&g_f, FIX_DATA, &s, sizeof s);
        fix_enclu(&g_f, &regs);
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct sgx_ssa_gpr gpr;
            const uint64_t code = g_f.base + FIX_DATA + 4096;

            fix_poke(&g_f, FIX_DATA + 4096, cases[i].code, sizeof cases[i].code);
            struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_CALL, code, 0, 0);

            assert_int_equal(r.run.function, SGX_ERESUME);
            if (r.run.exception_vector != cases[i].vector)
                fail_msg("case %zu: vector %u", i, r.run.exception_vector);
            memcpy(&gpr, (void *)(g_f.base + gpr_off(0)), sizeof gpr);
            assert_int_equal(gpr.exit_info, cases[i].vector | cases[i].type << 8 | 0x80000000u);
            assert_in_range(gpr.rip, code, code + 10); /* at the instruction, not after it */
            assert_memory_equal((void *)gpr.rip,
                                cases[i].vector == 14  ? cases[i].code + 2
                                : cases[i].vector == 0 ? cases[i].code + 4
                                : i == 6               ? cases[i].code + 10
                                                       : cases[i].code,
                                2);
            fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, g_f.base + FIX_RET - gpr.rip,
                           g_f.base + gpr_off(0));
            r = fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0);
            assert_int_equal(r.run.function, SGX_EEXIT);
        }
    }
}

/* A jump out of ELRANGE is #GP; here it shows when nothing can be executed there. */
static void test_jump_outside(void **state)
{
    void *none = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    FOR_BOTH
    {
        struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_CALL, (uint64_t)none, 0, 0);
        struct sgx_ssa_gpr *gpr = (void *)(g_f.base + gpr_off(0));

        assert_int_equal(r.run.function, SGX_ERESUME);
        assert_int_equal(r.run.exception_vector, 13);
        assert_int_equal(gpr->rip, (uint64_t)none);
        assert_int_equal(gpr->exit_info, 13 | 3 << 8 | 0x80000000u);
        gpr->rip = g_f.base + FIX_RET;
        assert_int_equal(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0).run.function, SGX_EEXIT);
    }
    munmap(none, 4096);
}

/* ERESUME of a frame that no CPU would take is #GP, and the frame is still there. */
static void test_eresume_bad_frame(void **state)
{
    FOR_BOTH
    {
        struct sgx_ssa_gpr *gpr = (void *)(g_f.base + gpr_off(0));
        uint64_t *xstate_bv = (void *)(g_f.base + FIX_SSA(0) + 512);
        uint32_t *mxcsr = (void *)(g_f.base + FIX_SSA(0) + 24);
        struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_UD2, 0, 0, 0);
        struct sgx_ssa_gpr good = *gpr;

        assert_int_equal(r.run.exception_vector, 6);
        gpr->rip = 1ull << 62;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        *gpr = good;
        gpr->fs_base = 1ull << 62;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        *gpr = good;
        gpr->gs_base = 1ull << 62;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        *gpr = good;
        *xstate_bv |= 1ull << 40;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        *xstate_bv &= ~(1ull << 40);
        xstate_bv[1] = 1;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        xstate_bv[1] = 0;
        *mxcsr |= 0x80000000u;
        assert_entry_fault(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0), SGX_ERESUME, 13);
        *mxcsr &= 0x7fffffffu;
        gpr->rip += 2;
        r = fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0);
        assert_int_equal(r.run.function, SGX_EEXIT);
        assert_int_equal(r.rsi, 0x1111);
    }
}

static int g_handler_calls;

static int on_exit_handler(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                           struct sgx_run *run)
{
    if (g_handler_calls++ > 0)
        return -7;
    assert_int_equal(run->function, SGX_EEXIT);
    assert_int_equal(run->user_data, 99);
    assert_int_equal(rsi, 1); /* FIX_CMD_INC of 0 */
    assert_int_equal((rsp + 16) % 8, 0);
    return SGX_EENTER;
}

/* The exit handler of the vDSO: a positive result is the next leaf, another one is returned. */
static void test_exit_handler(void **state)
{
    FOR_BOTH
    {
        struct sgx_run run = { .tcs = g_f.base + FIX_TCS(0),
                               .user_data = 99,
                               .user_handler = (uint64_t)on_exit_handler };

        g_handler_calls = 0;
        /* the second entry gets whatever the handler left in RDI */
        int rc = g_f.backend->enter(FIX_CMD_INC, 0, 0, SGX_EENTER, 0, 0, &run);

        assert_int_equal(rc, -7);
        assert_int_equal(g_handler_calls, 2);
    }
}

static bool host_can_read(uint64_t addr)
{
    uint8_t byte;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    ssize_t n = write(pipes[1], (void *)addr, 1); /* EFAULT instead of a signal */

    (void)!read(pipes[0], &byte, n == 1 ? 1 : 0);
    close(pipes[0]);
    close(pipes[1]);
    return n == 1;
}

static void test_strict_mode(void **state)
{
    setenv("CLOCHE_EMU_STRICT", "1", 1);
    FOR_BOTH
    {
        static const uint64_t offs[] = { FIX_CODE, FIX_DATA, FIX_SSA(0), FIX_GS(0), FIX_TCS(0) };
        struct spinner s = { .result = 1 };
        pthread_t spinner;
        uint64_t value = 42;

        for (unsigned round = 0; round < 3; round++) {
            fix_poke(&g_f, FIX_DATA, &value, sizeof value);
            fix_enter(&g_f, 1, FIX_CMD_UD2, 0, 0, 0); /* an AEX is an exit, too */
            for (size_t i = 0; i < ARRAY_COUNT(offs); i++)
                assert_false(host_can_read(g_f.base + offs[i]));
            fix_enter_leaf(&g_f, 1, SGX_EENTER, 1, 2,
                           g_f.base + FIX_SSA(1) + 4096 - sizeof(struct sgx_ssa_gpr));
            assert_int_equal(fix_enter_leaf(&g_f, 1, SGX_ERESUME, 0, 0, 0).rsi, 0x1111);
            assert_false(host_can_read(g_f.base + FIX_SSA(1)));
        }
        /* the second thread of two keeps it open */
        assert_int_equal(pthread_create(&spinner, NULL, spin, &s), 0);
        while (!host_can_read(g_f.base + FIX_CODE))
            usleep(1000);
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_INC, 1, 0, 0), 2);
        assert_true(host_can_read(g_f.base + FIX_CODE));
        s.done = 1;
        assert_int_equal(pthread_join(spinner, NULL), 0);
        assert_false(host_can_read(g_f.base + FIX_CODE));
    }
    unsetenv("CLOCHE_EMU_STRICT");
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void test_transition_cost(void **state)
{
    setenv("CLOCHE_EMU_TRANSITION_NS", "50000", 1);
    FOR_BOTH
    {
        uint64_t start = now_ns();

        for (unsigned i = 0; i < 20; i++)
            fix_call(&g_f, 0, FIX_CMD_INC, 1, 0, 0);
        assert_true(now_ns() - start >= 20 * 2 * 49000);
        start = now_ns();
        fix_enter(&g_f, 0, FIX_CMD_UD2, 0, 0, 0);      /* EENTER, AEX */
        fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0); /* ERESUME, AEX */
        assert_true(now_ns() - start >= 4 * 49000);
    }
    unsetenv("CLOCHE_EMU_TRANSITION_NS");
}

static void test_two_enclaves(void **state)
{
    struct fixture a, b;
    struct sgx_secs secs;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    fix_build(&a, &secs, true, 1, true);
    fix_secs(&secs, 2 * FIX_BASE, FIX_SIZE);
    fix_build(&b, &secs, true, 1, true);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t value = i;

        assert_int_equal(fix_call(&a, 0, FIX_CMD_INC, i, 0, 0), i + 1);
        fix_poke(&b, FIX_DATA, &value, sizeof value);
        /* system calls trap in both */
        assert_int_equal(fix_enter(&a, 0, FIX_CMD_SYSCALL, 39, 0, 0).run.exception_vector, 6);
        assert_int_equal(fix_enter(&b, 0, FIX_CMD_SYSCALL, 39, 0, 0).run.exception_vector, 6);
        fix_enter_leaf(&a, 0, SGX_EENTER, 1, 2, a.base + gpr_off(0));
        fix_enter_leaf(&b, 0, SGX_EENTER, 1, 2, b.base + gpr_off(0));
        fix_enter_leaf(&a, 0, SGX_ERESUME, 0, 0, 0);
        fix_enter_leaf(&b, 0, SGX_ERESUME, 0, 0, 0);
        assert_int_equal(fix_call(&b, 0, FIX_CMD_READ, b.base + FIX_DATA, 0, 0), i);
    }
    b.backend->destroy(b.e);
    assert_int_equal(fix_call(&a, 0, FIX_CMD_INC, 1, 0, 0), 2);
    a.backend->thread_done(a.e);
    fix_stop(&a);
}

/* Kernels before 6.17 can only name the range that does not trap: all above ELRANGE. */
static void test_dispatch_of_older_kernels(void **state)
{
    struct sgx_secs secs;

    fix_secs(&secs, 0, 1ull << 40);
    fix_build(&g_f, &secs, true, 1, false);
    g_f.e->sud_mode = 1;
    g_f.e->sud_off = secs.size;
    g_f.e->sud_size = (1ull << 47) - secs.size;
    assert_int_equal(g_f.backend->init(g_f.e, &g_f.sigstruct), 0);
    assert_int_equal(g_f.backend->thread_init(g_f.e), 0);
    assert_int_equal(fix_enter(&g_f, 0, FIX_CMD_SYSCALL, 39, 0, 0).run.exception_vector, 6);
    assert_true(getppid() > 0); /* ours go on */
    fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, 2, gpr_off(0));
    assert_int_equal(fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0).rsi, 39);
    fix_stop(&g_f);
}

#define CHURN_THREADS 8
#define CHURN_ROUNDS 60

static void *churn(void *arg)
{
    unsigned slot = (unsigned)(uintptr_t)arg;

    if (g_f.backend->thread_init(g_f.e) < 0)
        return "thread_init";
    for (uint64_t i = 0; i < 200; i++) {
        struct fix_result r = fix_enter(&g_f, slot, FIX_CMD_INC, i, 0, 0);

        if (r.run.function != SGX_EEXIT || r.rsi != i + 1)
            return "enter";
        if (i % 50 == 0 &&
            fix_enter(&g_f, slot, FIX_CMD_ACCEPT, g_f.base + FIX_FREE + slot * 0x1000000 + i * 4096,
                      g_f.base + FIX_DATA, 8)
                    .rsi > 8)
            return "accept";
    }
    g_f.backend->thread_done(g_f.e);
    return NULL;
}

/* Threads come and go, and each slot is entered by a new one every time. */
static void test_threads_come_and_go(void **state)
{
    struct sgx_secinfo s = { .flags = 0x20b };

    for (size_t kind = 0; kind < 2; kind++) {
        fix_start(&g_f, g_kinds[kind], CHURN_THREADS);
        fix_poke(&g_f, FIX_DATA, &s, sizeof s);
        for (unsigned round = 0; round < (kind == 0 ? CHURN_ROUNDS : 4); round++) {
            pthread_t threads[CHURN_THREADS];

            for (uintptr_t i = 0; i < CHURN_THREADS; i++)
                assert_int_equal(
                    pthread_create(&threads[i], NULL, churn, (void *)((i + round) % CHURN_THREADS)),
                    0);
            for (unsigned i = 0; i < CHURN_THREADS; i++) {
                void *failed;

                assert_int_equal(pthread_join(threads[i], &failed), 0);
                if (failed)
                    fail_msg("%s", (const char *)failed);
            }
        }
        fix_stop(&g_f);
    }
}

/* A fault of the host's own is the host's: the handler that was there before gets it. */
static sigjmp_buf g_jump;

static void on_segv(int sig)
{
    siglongjmp(g_jump, 1);
}

static void test_host_fault(void **state)
{
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    signal(SIGSEGV, on_segv);
    fix_start(&g_f, true, 1);
    if (sigsetjmp(g_jump, 1) == 0) {
        *(volatile char *)none = 1;
        fail();
    }
    assert_int_equal(fix_call(&g_f, 0, FIX_CMD_INC, 1, 0, 0), 2);
    if (sigsetjmp(g_jump, 1) == 0) {
        *(volatile char *)(g_f.base + FIX_FREE) = 1; /* enclave memory that is not there */
        fail();
    }
    fix_stop(&g_f);
    munmap(none, 4096);
}

#define UNIT(name) cmocka_unit_test_teardown(name, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_enter_arguments),
        UNIT(test_eenter_refusals),
        UNIT(test_eenter_before_einit),
        UNIT(test_enter_without_thread_init),
        UNIT(test_eenter_bad_tcs),
        UNIT(test_nested_exceptions),
        UNIT(test_busy_tcs),
        UNIT(test_aex_saves),
        UNIT(test_aex_without_exinfo),
        UNIT(test_vectors),
        UNIT(test_jump_outside),
        UNIT(test_eresume_bad_frame),
        UNIT(test_exit_handler),
        UNIT(test_strict_mode),
        UNIT(test_transition_cost),
        UNIT(test_two_enclaves),
        UNIT(test_host_fault),
        UNIT(test_dispatch_of_older_kernels),
        UNIT(test_threads_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
