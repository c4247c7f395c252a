/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EAUG, EACCEPT, EACCEPTCOPY, EMODPE, EMODPR, EMODT and EREMOVE: effects, and each refusal. Every
 * test runs with patched stubs and with bare ENCLU.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/defs.h"
#include "tests/unit/sgx/fixture.h"

#define RW 0x203u
#define PENDING SGX_SECINFO_PENDING
#define MODIFIED SGX_SECINFO_MODIFIED
#define PR SGX_SECINFO_PR
#define PAGE(i) (FIX_FREE + (i)*4096ull)

static struct fixture g_f;
static uint64_t g_done;

static const bool g_kinds[] = { true, false };
#define FOR_BOTH                                                                                   \
    for (size_t kind = 0; kind < 2; kind++)                                                        \
        for (bool once = (fix_start(&g_f, g_kinds[kind], 2), true); once;                          \
             once = (fix_stop(&g_f), false))

/* An ENCLU with a SECINFO of these flags on the page at `off`. */
static struct fix_result leaf(unsigned number, uint64_t flags, uint64_t off, uint64_t rdx,
                              struct fix_enclu *ret)
{
    struct sgx_secinfo s = { .flags = flags };

    fix_poke(&g_f, FIX_DATA + 64, &s, sizeof s);
    *ret = (struct fix_enclu){ number, g_f.base + FIX_DATA + 64, g_f.base + off, rdx, 0 };
    return fix_enclu(&g_f, ret);
}

/* Brings slot 0 back from an exception: the instruction that faulted is skipped. */
static void skip_fault(uint64_t size)
{
    fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, size,
                   g_f.base + FIX_SSA(0) + 4096 - sizeof(struct sgx_ssa_gpr));
    fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0);
}

static void assert_accepts(uint64_t flags, uint64_t off)
{
    struct fix_enclu regs;
    struct fix_result r = leaf(SGX_EACCEPT, flags, off, 0, &regs);

    assert_int_equal(r.run.function, SGX_EEXIT);
    assert_int_equal(regs.rax, SGX_SUCCESS);
    assert_int_equal(regs.rflags & 0x8d5 & ~0x14u, 0);
}

static void assert_mismatch(uint64_t flags, uint64_t off)
{
    struct fix_enclu regs;
    struct fix_result r = leaf(SGX_EACCEPT, flags, off, 0, &regs);

    assert_int_equal(r.run.function, SGX_EEXIT);
    assert_int_equal(regs.rax, SGX_PAGE_ATTRIBUTES_MISMATCH);
    assert_true(regs.rflags & 0x40);
}

/* The leaf faults; the thread comes back behind the ENCLU (or the patched stub's jump). */
static void assert_faults(unsigned number, uint64_t flags, uint64_t off, uint64_t rdx,
                          unsigned vector)
{
    struct fix_enclu regs;
    struct fix_result r = leaf(number, flags, off, rdx, &regs);
    bool patched =
        g_f.stubs && (number == SGX_EACCEPT || number == SGX_EMODPE || number == SGX_EACCEPTCOPY);

    assert_int_equal(r.rc, 0);
    assert_int_equal(r.run.function, SGX_ERESUME);
    assert_int_equal(r.run.exception_vector, vector);
    if (vector == 14)
        assert_true(r.run.exception_error_code & 0x8000);
    skip_fault(patched ? 14 : 3);
}

static struct fix_result access_page(uint64_t off, bool write)
{
    return fix_enter(&g_f, 0, write ? FIX_CMD_WRITE : FIX_CMD_READ, g_f.base + off, 5, 0);
}

static void assert_access(uint64_t off, bool write)
{
    struct fix_result r = access_page(off, write);

    if (r.run.function != SGX_EEXIT)
        fail_msg("%s at 0x%lx: vector %u code 0x%x", write ? "write" : "read", off,
                 r.run.exception_vector, r.run.exception_error_code);
}

/* code: bits of the error code that must be set; the EPCM refuses, so SGX is one of them. */
static void assert_denied(uint64_t off, bool write)
{
    struct fix_result r = access_page(off, write);

    assert_int_equal(r.run.function, SGX_ERESUME);
    assert_int_equal(r.run.exception_vector, 14);
    assert_int_equal(r.run.exception_error_code, 0x8005 | (write ? 2 : 0));
    assert_int_equal(r.run.exception_addr, g_f.base + off);
    skip_fault(3); /* movzbl (%rsi), %esi and mov %rdx, (%rsi) are three bytes each */
}

static void trim(uint64_t off)
{
    assert_int_equal(g_f.backend->modify_types(g_f.e, off, 4096, SGX_PT_TRIM, &g_done), 0);
    assert_accepts(0x400 | MODIFIED, off);
}

static void test_touch_brings_pending_page(void **state)
{
    FOR_BOTH
    {
        assert_denied(PAGE(0), false);
        assert_denied(PAGE(0), true);
        assert_accepts(RW | PENDING, PAGE(0));
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_READ, g_f.base + PAGE(0), 0, 0), 0);
        assert_access(PAGE(0), true);
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_READ, g_f.base + PAGE(0), 0, 0), 5);
    }
}

static void test_eaccept_refusals(void **state)
{
    FOR_BOTH
    {
        struct fix_enclu regs;
        struct sgx_secinfo s = { .flags = RW | PENDING };

        /* illegal requests: #GP */
        assert_faults(SGX_EACCEPT, RW, PAGE(0), 0, 13); /* nothing to accept */
        assert_faults(SGX_EACCEPT, RW | PENDING | MODIFIED, PAGE(0), 0, 13);
        assert_faults(SGX_EACCEPT, 0x400, PAGE(0), 0, 13); /* TRIM, not MODIFIED */
        assert_faults(SGX_EACCEPT, 0x400 | MODIFIED | PR, PAGE(0), 0, 13);
        assert_faults(SGX_EACCEPT, 0x100 | PENDING | MODIFIED, PAGE(0), 0, 13);
        assert_faults(SGX_EACCEPT, 0x000 | MODIFIED, PAGE(0), 0, 13);    /* SECS */
        assert_faults(SGX_EACCEPT, 0x300 | MODIFIED, PAGE(0), 0, 13);    /* VA */
        assert_faults(SGX_EACCEPT, RW | PENDING | 0x40, PAGE(0), 0, 13); /* reserved flags */
        assert_faults(SGX_EACCEPT, RW | PENDING | 1 << 16, PAGE(0), 0, 13);
        /* operands */
        assert_faults(SGX_EACCEPT, RW | PENDING, PAGE(0) + 8, 0, 13);
        assert_faults(SGX_EACCEPT, RW | PENDING, FIX_SIZE, 0, 13);
        assert_faults(SGX_EACCEPT, RW | PENDING, 0 - g_f.base, 0, 13);
        s.reserved[55] = 1;
        fix_poke(&g_f, FIX_DATA, &s, sizeof s);
        regs = (struct fix_enclu){ SGX_EACCEPT, g_f.base + FIX_DATA, g_f.base + PAGE(0), 0, 0 };
        assert_int_equal(fix_enclu(&g_f, &regs).run.exception_vector, 13);
        skip_fault(g_f.stubs ? 14 : 3);
        regs = (struct fix_enclu){ SGX_EACCEPT, g_f.base + FIX_DATA + 8, g_f.base + PAGE(0), 0, 0 };
        assert_int_equal(fix_enclu(&g_f, &regs).run.exception_vector, 13); /* SECINFO not aligned */
        skip_fault(g_f.stubs ? 14 : 3);
        regs = (struct fix_enclu){ SGX_EACCEPT, (uint64_t)&s & ~63ull, g_f.base + PAGE(0), 0, 0 };
        assert_int_equal(fix_enclu(&g_f, &regs).run.exception_vector, 13); /* SECINFO outside */
        skip_fault(g_f.stubs ? 14 : 3);
        regs = (struct fix_enclu){ SGX_EACCEPT, g_f.base + FIX_TCS(0), g_f.base + PAGE(0), 0, 0 };
        assert_int_equal(fix_enclu(&g_f, &regs).run.exception_vector, 14); /* SECINFO in a TCS */
        skip_fault(g_f.stubs ? 14 : 3);
        /* not as the EPCM has it */
        assert_denied(PAGE(0), false);
        assert_mismatch(RW | PENDING | SGX_SECINFO_X, PAGE(0));
        assert_mismatch(RW | PR, PAGE(0));
        assert_mismatch(0x400 | MODIFIED, PAGE(0));
        assert_mismatch(0x100 | MODIFIED, PAGE(0));
        assert_accepts(RW | PENDING, PAGE(0));
        assert_mismatch(RW | PENDING, PAGE(0));
        assert_mismatch(RW | PENDING, FIX_DATA); /* added, not pending */
    }
}

static void test_emodpe(void **state)
{
    FOR_BOTH
    {
        struct fix_enclu regs;
        static const uint8_t ret_code[] = { 0xc3 };

        assert_accepts(RW | PENDING, PAGE(0));
        fix_poke(&g_f, PAGE(0), ret_code, sizeof ret_code);
        struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_CALL, g_f.base + PAGE(0), 0, 0);

        assert_int_equal(r.run.exception_vector, 14); /* not executable */
        assert_int_equal(r.run.exception_error_code, 0x8015);
        skip_fault(FIX_RET - PAGE(0));
        leaf(SGX_EMODPE, SGX_SECINFO_X | SGX_SECINFO_R | 0x200, PAGE(0), 0, &regs);
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_CALL, g_f.base + PAGE(0), 0, 0),
                         g_f.base + PAGE(0));
        assert_access(PAGE(0), true);                                     /* W stayed */
        assert_faults(SGX_EMODPE, SGX_SECINFO_W | 0x200, PAGE(0), 0, 13); /* W without R */
        assert_faults(SGX_EMODPE, RW, PAGE(0) + 1, 0, 13);
        assert_faults(SGX_EMODPE, RW, FIX_SIZE, 0, 13);
        assert_faults(SGX_EMODPE, RW, PAGE(1), 0, 14);    /* no page there */
        assert_faults(SGX_EMODPE, RW, FIX_TCS(1), 0, 14); /* a TCS */
        assert_denied(PAGE(2), false);
        assert_faults(SGX_EMODPE, RW, PAGE(2), 0, 14); /* pending */
    }
}

static void test_emodpr(void **state)
{
    FOR_BOTH
    {
        const struct sgx_backend *b = g_f.backend;

        for (uint64_t i = 0; i < 4; i++) {
            assert_accepts(RW | PENDING, PAGE(i));
            if (i < 2)
                assert_access(PAGE(i), true);
        }
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0), 4 * 4096, SGX_SECINFO_R, &g_done),
                         0);
        assert_int_equal(g_done, 4 * 4096);
        for (uint64_t i = 0; i < 4; i++) {
            assert_denied(PAGE(i), true);
            assert_access(PAGE(i), false);
            assert_mismatch(RW | PR, PAGE(i));
            assert_accepts(0x201 | PR, PAGE(i));
            assert_mismatch(0x201 | PR, PAGE(i));
        }
        struct fix_enclu regs;

        leaf(SGX_EMODPE, RW, PAGE(1), 0, &regs);
        assert_access(PAGE(1), true);
        assert_denied(PAGE(2), true);
        /* refusals */
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0), 0, 1, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0), 5, 1, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0) + 8, 4096, 1, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, FIX_SIZE, 4096, 1, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, FIX_SIZE - 4096, 8192, 1, &g_done),
                         -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0), 4096, 2, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(0), 4096, 8, &g_done), -EINVAL);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(8), 4096, 1, &g_done), -EFAULT);
        assert_int_equal(b->restrict_permissions(g_f.e, FIX_TCS(1), 4096, 1, &g_done), -EFAULT);
        /* in the middle of a range */
        assert_denied(PAGE(4), false);
        assert_int_equal(b->restrict_permissions(g_f.e, PAGE(3), 8192, 1, &g_done),
                         SGX_PAGE_NOT_MODIFIABLE);
        assert_int_equal(g_done, 4096);
    }
}

static void test_emodt_trim_eremove(void **state)
{
    FOR_BOTH
    {
        const struct sgx_backend *b = g_f.backend;

        assert_accepts(RW | PENDING, PAGE(0));
        assert_access(PAGE(0), true);
        assert_int_equal(b->remove_pages(g_f.e, PAGE(0), 4096, &g_done), -EPERM); /* not trimmed */
        assert_int_equal(b->modify_types(g_f.e, PAGE(0), 4096, SGX_PT_TRIM, &g_done), 0);
        assert_denied(PAGE(0), false);
        assert_int_equal(b->remove_pages(g_f.e, PAGE(0), 4096, &g_done), -EPERM); /* not accepted */
        assert_int_equal(b->modify_types(g_f.e, PAGE(0), 4096, SGX_PT_TRIM, &g_done), -EINVAL);
        assert_mismatch(0x403 | MODIFIED, PAGE(0));
        assert_accepts(0x400 | MODIFIED, PAGE(0));
        assert_denied(PAGE(0), false);
        assert_int_equal(b->remove_pages(g_f.e, PAGE(0), 4096, &g_done), 0);
        assert_int_equal(g_done, 4096);
        assert_int_equal(b->remove_pages(g_f.e, PAGE(0), 4096, &g_done), -EFAULT); /* gone */
        /* the address starts anew, with zeros */
        assert_accepts(RW | PENDING, PAGE(0));
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_READ, g_f.base + PAGE(0), 0, 0), 0);
        /* an added page can go the same way */
        assert_access(FIX_DATA + 8 * 4096, true);
        trim(FIX_DATA + 8 * 4096);
        assert_int_equal(b->remove_pages(g_f.e, FIX_DATA + 8 * 4096, 4096, &g_done), 0);
        /* refusals */
        assert_int_equal(b->modify_types(g_f.e, PAGE(0), 4096, SGX_PT_REG, &g_done), -EINVAL);
        assert_int_equal(b->modify_types(g_f.e, PAGE(0), 4096, SGX_PT_SECS, &g_done), -EINVAL);
        assert_int_equal(b->modify_types(g_f.e, PAGE(0) + 1, 4096, SGX_PT_TRIM, &g_done), -EINVAL);
        assert_int_equal(b->modify_types(g_f.e, PAGE(5), 4096, SGX_PT_TRIM, &g_done), -EFAULT);
        assert_int_equal(b->modify_types(g_f.e, FIX_TCS(1), 4096, SGX_PT_TCS, &g_done), -EINVAL);
        assert_denied(PAGE(6), false);
        assert_int_equal(b->modify_types(g_f.e, PAGE(6), 4096, SGX_PT_TRIM, &g_done),
                         SGX_PAGE_NOT_MODIFIABLE);
        assert_int_equal(b->remove_pages(g_f.e, PAGE(0), 0, &g_done), -EINVAL);
        assert_int_equal(b->remove_pages(g_f.e, FIX_SIZE, 4096, &g_done), -EINVAL);
    }
}

/* A thread slot made after EINIT: pages, TCS contents, EMODT, EACCEPT, EENTER; then trimmed. */
static void test_dynamic_tcs(void **state)
{
    FOR_BOTH
    {
        const uint64_t tcs_off = FIX_THREAD(2);
        struct sgx_tcs tcs, model;
        const struct sgx_backend *b = g_f.backend;
        struct fix_result r;

        assert_accepts(RW | PENDING, tcs_off);
        for (unsigned i = 0; i < FIX_NSSA; i++)
            assert_accepts(RW | PENDING, FIX_SSA(2) + i * 4096);
        assert_accepts(RW | PENDING, FIX_GS(2));
        fix_tcs(&g_f, 2, &model);
        /* each field that EACCEPT looks at */
        for (int spoil = 1; spoil < 6; spoil++) {
            tcs = model;
            if (spoil == 1)
                tcs.cssa = FIX_NSSA;
            if (spoil == 2)
                tcs.flags = SGX_TCS_DBGOPTIN;
            if (spoil == 3)
                tcs.reserved[100] = 1;
            if (spoil == 4)
                tcs.aep = 1;
            if (spoil == 5)
                tcs.state = 1;
            const uint64_t off = PAGE(16 + spoil);

            assert_accepts(RW | PENDING, off);
            fix_poke(&g_f, off, &tcs, sizeof tcs);
            assert_int_equal(b->modify_types(g_f.e, off, 4096, SGX_PT_TCS, &g_done), 0);
            assert_faults(SGX_EACCEPT, 0x100 | MODIFIED, off, 0, 13);
        }
        fix_poke(&g_f, tcs_off, &model, sizeof model);
        r = fix_enter(&g_f, 2, FIX_CMD_INC, 1, 0, 0);
        assert_int_equal(r.run.function, SGX_EENTER); /* still a regular page */
        assert_int_equal(r.run.exception_vector, 14);
        assert_int_equal(b->modify_types(g_f.e, tcs_off, 4096, SGX_PT_TCS, &g_done), 0);
        r = fix_enter(&g_f, 2, FIX_CMD_INC, 1, 0, 0);
        assert_int_equal(r.run.exception_vector, 14); /* not accepted */
        assert_accepts(0x100 | MODIFIED, tcs_off);
        assert_int_equal(fix_call(&g_f, 2, FIX_CMD_INC, 1, 0, 0), 2);
        assert_denied(tcs_off, false); /* no software reads a TCS */
        assert_int_equal(b->modify_types(g_f.e, tcs_off, 4096, SGX_PT_TRIM, &g_done), 0);
        r = fix_enter(&g_f, 2, FIX_CMD_INC, 1, 0, 0);
        assert_int_equal(r.run.exception_vector, 14);
        assert_accepts(0x400 | MODIFIED, tcs_off);
        assert_int_equal(b->remove_pages(g_f.e, tcs_off, 4096, &g_done), 0);
        r = fix_enter(&g_f, 2, FIX_CMD_INC, 1, 0, 0);
        assert_int_equal(r.run.exception_vector, 14);
        assert_int_equal(fix_call(&g_f, 1, FIX_CMD_INC, 1, 0, 0), 2);
    }
}

static void test_eacceptcopy(void **state)
{
    FOR_BOTH
    {
        const uint64_t src = g_f.base + FIX_DATA + 4 * 4096;
        struct fix_enclu regs;

        fix_poke(&g_f, FIX_DATA + 4 * 4096,
                 "\xc3"
                 "copied",
                 8);
        leaf(SGX_EACCEPTCOPY, 0x205, PAGE(0), src, &regs); /* R X */
        assert_int_equal(regs.rax, 0);
        assert_false(regs.rflags & 0x40);
        assert_int_equal(fix_call(&g_f, 0, FIX_CMD_READ, g_f.base + PAGE(0) + 1, 0, 0), 'c');
        fix_call(&g_f, 0, FIX_CMD_CALL, g_f.base + PAGE(0), 0, 0);
        assert_denied(PAGE(0), true);
        leaf(SGX_EACCEPTCOPY, 0x205, PAGE(0), src, &regs); /* no longer pending */
        assert_int_equal(regs.rax, SGX_PAGE_ATTRIBUTES_MISMATCH);
        assert_true(regs.rflags & 0x40);
        assert_faults(SGX_EACCEPTCOPY, 0x202, PAGE(1), src, 13); /* W without R */
        assert_faults(SGX_EACCEPTCOPY, 0x103, PAGE(1), src, 13); /* PT_TCS */
        assert_faults(SGX_EACCEPTCOPY, RW | PENDING, PAGE(1), src, 13);
        assert_faults(SGX_EACCEPTCOPY, RW, PAGE(1) + 16, src, 13);
        assert_faults(SGX_EACCEPTCOPY, RW, FIX_SIZE, src, 13);
        assert_faults(SGX_EACCEPTCOPY, RW, PAGE(1), src + 64, 13);
        assert_faults(SGX_EACCEPTCOPY, RW, PAGE(1), g_f.base + FIX_SIZE, 13);
        assert_faults(SGX_EACCEPTCOPY, RW, PAGE(1), g_f.base + FIX_TCS(1), 14);
        assert_faults(SGX_EACCEPTCOPY, RW, FIX_TCS(1), src, 14);
    }
}

static void test_illegal_leaves(void **state)
{
    FOR_BOTH
    {
        static const uint32_t numbers[] = { SGX_EENTER, SGX_ERESUME, 8, 100, 0x80000000u };

        for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
            /* a bare ENCLU, built in a data page that becomes code: mov eax, n; enclu; ret */
            uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xd7, 0xc3 };
            struct fix_enclu regs;
            const uint64_t off = FIX_DATA + 5 * 4096;

            memcpy(code + 1, &numbers[i], 4);
            fix_poke(&g_f, off, code, sizeof code);
            leaf(SGX_EMODPE, 0x207, off, 0, &regs);
            struct fix_result r = fix_enter(&g_f, 0, FIX_CMD_CALL, g_f.base + off, 0, 0);

            assert_int_equal(r.run.function, SGX_ERESUME);
            assert_int_equal(r.run.exception_vector, 13);
            skip_fault(3);
        }
    }
}

/* CLOCHE_EMU_SGX1: a CPU or a kernel without EDMM. */
static void test_without_edmm(void **state)
{
    setenv("CLOCHE_EMU_SGX1", "1", 1);
    for (size_t kind = 0; kind < 2; kind++) {
        fix_start(&g_f, g_kinds[kind], 1);
        assert_false(g_f.backend->has_edmm);
        struct fix_result r = access_page(PAGE(0), true);

        assert_int_equal(r.run.function, SGX_ERESUME);
        assert_int_equal(r.run.exception_vector, 14);
        skip_fault(3);
        struct fix_enclu regs;

        r = leaf(SGX_EACCEPT, RW | PENDING, PAGE(0), 0, &regs);
        assert_int_equal(r.run.exception_vector, 13);
        skip_fault(3);
        assert_int_equal(g_f.backend->modify_types(g_f.e, FIX_DATA, 4096, SGX_PT_TRIM, &g_done),
                         -ENODEV);
        assert_int_equal(g_f.backend->restrict_permissions(g_f.e, FIX_DATA, 4096, 1, &g_done),
                         -ENODEV);
        assert_int_equal(g_f.backend->remove_pages(g_f.e, FIX_DATA, 4096, &g_done), -ENODEV);
        fix_stop(&g_f);
    }
    unsetenv("CLOCHE_EMU_SGX1");
}

/* Runs of thousands of pages, in odd patterns of permissions, always as the EPCM says. */
static void test_many_pages(void **state)
{
    const unsigned pages = 3000;

    FOR_BOTH
    {
        struct sgx_secinfo s = { .flags = RW | PENDING };

        fix_poke(&g_f, FIX_DATA, &s, sizeof s);
        assert_int_equal(
            fix_call(&g_f, 0, FIX_CMD_ACCEPT, g_f.base + PAGE(0), g_f.base + FIX_DATA, pages), 0);
        for (unsigned i = 0; i < pages; i += 17)
            assert_int_equal(
                g_f.backend->restrict_permissions(g_f.e, PAGE(i), 4096, SGX_SECINFO_R, &g_done), 0);
        for (unsigned i = 0; i < pages; i += 3) {
            if (i % 17 == 0)
                assert_denied(PAGE(i), true);
            else
                assert_access(PAGE(i), true);
        }
        assert_int_equal(
            g_f.backend->restrict_permissions(g_f.e, PAGE(0), pages * 4096ull, 0, &g_done), 0);
        for (unsigned i = 0; i < pages; i += 101)
            assert_denied(PAGE(i), false);
    }
}

/* A test that failed leaves its enclave behind. */
static int teardown(void **state)
{
    unsetenv("CLOCHE_EMU_SGX1");
    if (g_f.e)
        fix_stop(&g_f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_touch_brings_pending_page, teardown),
        cmocka_unit_test_teardown(test_eaccept_refusals, teardown),
        cmocka_unit_test_teardown(test_emodpe, teardown),
        cmocka_unit_test_teardown(test_emodpr, teardown),
        cmocka_unit_test_teardown(test_emodt_trim_eremove, teardown),
        cmocka_unit_test_teardown(test_dynamic_tcs, teardown),
        cmocka_unit_test_teardown(test_eacceptcopy, teardown),
        cmocka_unit_test_teardown(test_illegal_leaves, teardown),
        cmocka_unit_test_teardown(test_without_edmm, teardown),
        cmocka_unit_test_teardown(test_many_pages, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
