/* SPDX-License-Identifier: Apache-2.0 */
/* Entry, exit, exceptions and interrupts on the emulator. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/sgx/fixture.h"

static const bool g_with[] = { true, false };

static void test_eenter_eexit(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;

        fix_start(&f, g_with[i], 2);
        assert_int_equal(fix_call(&f, 0, FIX_CMD_INC, 41, 0, 0), 42);
        assert_int_equal(fix_call(&f, 1, FIX_CMD_INC, 1, 0, 0), 2);
        assert_int_equal(fix_call(&f, 0, FIX_CMD_INC, 2, 0, 0), 3);
        fix_stop(&f);
    }
}

static void test_exception_and_resume(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct sgx_ssa_gpr gpr;
        uint64_t gpr_off = FIX_SSA(0) + 4096 - sizeof gpr;

        fix_start(&f, g_with[i], 1);
        struct fix_result r = fix_enter(&f, 0, FIX_CMD_UD2, 0, 0, 0);

        assert_int_equal(r.rc, 0);
        assert_int_equal(r.run.function, SGX_ERESUME);
        assert_int_equal(r.run.exception_vector, 6);
        /* the handler at CSSA 1 skips the instruction */
        r = fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2, f.base + gpr_off);
        assert_int_equal(r.run.function, SGX_EEXIT);
        r = fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0);
        assert_int_equal(r.rc, 0);
        assert_int_equal(r.run.function, SGX_EEXIT);
        assert_int_equal(r.rsi, 0x1111);
        fix_peek(&f, gpr_off, &gpr, sizeof gpr);
        assert_int_equal(gpr.exit_info, 6 | 3 << 8 | 0x80000000u);
        fix_stop(&f);
    }
}

static void test_syscall_is_ud(void **state)
{
    struct fixture f;

    fix_start(&f, true, 1);
    struct fix_result r = fix_enter(&f, 0, FIX_CMD_SYSCALL, 39, 0, 0);

    assert_int_equal(r.run.function, SGX_ERESUME);
    assert_int_equal(r.run.exception_vector, 6);
    fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2,
                   f.base + FIX_SSA(0) + 4096 - sizeof(struct sgx_ssa_gpr));
    r = fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0);
    assert_int_equal(r.run.function, SGX_EEXIT);
    assert_int_equal(r.rsi, 39); /* RAX as it was: no system call happened */
    fix_stop(&f);
}

static void test_accept_on_demand(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct sgx_secinfo s = { .flags = 0x20b };
        struct fix_enclu regs = { SGX_EACCEPT, FIX_BASE + FIX_DATA, FIX_BASE + FIX_FREE, 5, 0 };

        fix_start(&f, g_with[i], 1);
        fix_poke(&f, FIX_DATA, &s, sizeof s);
        struct fix_result r = fix_enclu(&f, &regs);

        assert_int_equal(r.run.function, SGX_EEXIT);
        assert_int_equal(regs.rax, 0);
        assert_false(regs.rflags & 0x40);
        assert_int_equal(regs.rcx, FIX_BASE + FIX_FREE);
        assert_int_equal(regs.rdx, 5);
        fix_call(&f, 0, FIX_CMD_WRITE, FIX_BASE + FIX_FREE, 77, 0);
        assert_int_equal(fix_call(&f, 0, FIX_CMD_READ, FIX_BASE + FIX_FREE, 0, 0), 77);
        /* a second EACCEPT does not match */
        regs = (struct fix_enclu){ SGX_EACCEPT, FIX_BASE + FIX_DATA, FIX_BASE + FIX_FREE, 5, 0 };
        fix_enclu(&f, &regs);
        assert_int_equal(regs.rax, SGX_PAGE_ATTRIBUTES_MISMATCH);
        assert_true(regs.rflags & 0x40);
        fix_stop(&f);
    }
}

/* ELRANGE from 0 on, as the library OS has it; its lowest pages belong to nobody. */
static void test_base_zero(void **state)
{
    struct fixture f;
    struct sgx_secs secs;
    struct sgx_secinfo s = { .flags = SGX_PT_REG << 8 | SGX_SECINFO_R };
    static const uint8_t page[4096] __attribute__((aligned(4096)));

    fix_secs(&secs, 0, 1ull << 40);
    fix_build(&f, &secs, true, 1, false);
    assert_int_equal(f.backend->add_pages(f.e, 0, page, 4096, &s, true), -EACCES);
    assert_int_equal(f.backend->init(f.e, &f.sigstruct), 0);
    assert_int_equal(f.backend->thread_init(f.e), 0);
    assert_int_equal(fix_call(&f, 0, FIX_CMD_INC, 41, 0, 0), 42);
    struct fix_result r = fix_enter(&f, 0, FIX_CMD_SYSCALL, 39, 0, 0);

    assert_int_equal(r.run.exception_vector, 6);
    r = fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2, FIX_SSA(0) + 4096 - sizeof(struct sgx_ssa_gpr));
    assert_int_equal(r.run.function, SGX_EEXIT);
    r = fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0);
    assert_int_equal(r.run.function, SGX_EEXIT);
    fix_stop(&f);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void test_cost(void **state)
{
    struct fixture f;
    struct sgx_secinfo s = { .flags = 0x20b };
    const unsigned rounds = 20000, pages = 16384;

    fix_start(&f, true, 1);
    fix_poke(&f, FIX_DATA, &s, sizeof s);
    uint64_t start = now_ns();

    for (unsigned i = 0; i < rounds; i++)
        fix_call(&f, 0, FIX_CMD_INC, 0, 0, 0);
    print_message("EENTER and EEXIT: %lu ns\n", (now_ns() - start) / rounds);
    start = now_ns();
    for (unsigned i = 0; i < rounds; i++) {
        fix_enter(&f, 0, FIX_CMD_SYSCALL, 39, 0, 0);
        fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2,
                       f.base + FIX_SSA(0) + 4096 - sizeof(struct sgx_ssa_gpr));
        fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0);
    }
    print_message("system call that traps, EENTER, EEXIT, ERESUME: %lu ns\n",
                  (now_ns() - start) / rounds);
    start = now_ns();
    assert_int_equal(
        fix_call(&f, 0, FIX_CMD_ACCEPT, FIX_BASE + FIX_FREE, FIX_BASE + FIX_DATA, pages), 0);
    print_message("EACCEPT: %lu ns, all %lu us\n", (now_ns() - start) / pages,
                  (now_ns() - start) / 1000);
    fix_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eenter_eexit),  cmocka_unit_test(test_exception_and_resume),
        cmocka_unit_test(test_syscall_is_ud), cmocka_unit_test(test_accept_on_demand),
        cmocka_unit_test(test_base_zero),     cmocka_unit_test(test_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
