/* SPDX-License-Identifier: Apache-2.0 */
/* lib/enclave_plan: the pages of a small enclave, its measure, and ELF files that are refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>

#include "lib/enclave_plan.h"
#include "lib/sgx_measure.h"

/* Three segments: header (R) at page 0, code (RX) at page 1, data with bss (RW) at page 3. */
#define CODE_ADDR (LIBOS_BASE + 0x1000)
#define DATA_ADDR (LIBOS_BASE + 0x3010)
struct file {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[3];
    uint8_t padding[4096 - sizeof(Elf64_Ehdr) - 3 * sizeof(Elf64_Phdr)];
    union {
        struct enclave_header header;
        uint8_t bytes[4096];
    };
    uint8_t code[4096];
    uint8_t data[32];
};

static struct file *file_new(void)
{
    struct file *f = calloc(1, sizeof *f);

    assert_non_null(f);
    memcpy(f->eh.e_ident, "\177ELF\2\1\1", 7);
    f->eh.e_type = ET_EXEC;
    f->eh.e_machine = EM_X86_64;
    f->eh.e_phoff = offsetof(struct file, ph);
    f->eh.e_phentsize = sizeof(Elf64_Phdr);
    f->eh.e_phnum = 3;
    f->ph[0] = (Elf64_Phdr){ PT_LOAD, PF_R, 4096, LIBOS_BASE, 0, 4096, 4096, 4096 };
    f->ph[1] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, 8192, CODE_ADDR, 0, 4096, 4096, 4096 };
    f->ph[2] = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W, 12288, DATA_ADDR, 0, 32, 0x1800, 4096 };
    f->header = (struct enclave_header){ ENCLAVE_HEADER_MAGIC, 1, 8, 0x1000, 0x1100 };
    memset(f->code, 0xcc, sizeof f->code);
    memset(f->data, 0xdd, sizeof f->data);
    return f;
}

static struct enclave_plan plan_of(const struct file *f)
{
    return (struct enclave_plan){
        .elf = (const uint8_t *)f,
        .elf_size = sizeof *f,
        .app_digest = { 7 },
        .elrange_size = ELRANGE_SIZE_DEFAULT,
        .static_slots = 2,
        .pool_pages = 1,
    };
}

struct seen {
    uint64_t last_off;
    unsigned count;
    struct sgx_measure measure;
};

static int see(void *arg, uint64_t off, const uint8_t page[4096], uint64_t flags, bool measure)
{
    struct seen *s = arg;

    assert_true(s->count == 0 || off > s->last_off);
    s->last_off = off;
    s->count++;
    sgx_measure_eadd(&s->measure, off, flags);
    if (measure)
        sgx_measure_page(&s->measure, off, page);
    if (off == LIBOS_BASE + 0x3000) {
        assert_int_equal(flags, SGX_PT_REG << 8 | SGX_SECINFO_R | SGX_SECINFO_W);
        assert_int_equal(page[15], 0);
        assert_int_equal(page[16], 0xdd);
        assert_int_equal(page[47], 0xdd);
        assert_int_equal(page[48], 0);
    }
    if (off == LIBOS_CONFIG_ADDR) {
        const struct enclave_config *c = (const void *)page;

        assert_int_equal(flags, SGX_PT_REG << 8 | SGX_SECINFO_R);
        assert_true(c->magic == ENCLAVE_CONFIG_MAGIC && c->static_slots == 2);
        assert_int_equal(c->app_digest[0], 7);
    }
    if (off == LIBOS_SLOTS_ADDR + LIBOS_SLOT_SIZE + SLOT_TCS_OFF) {
        const struct sgx_tcs *t = (const void *)page;

        assert_int_equal(flags, SGX_PT_TCS << 8);
        assert_true(t->oentry == LIBOS_BASE + 0x1100);
        assert_true(t->ossa == LIBOS_SLOTS_ADDR + LIBOS_SLOT_SIZE + SLOT_SSA_OFF);
        assert_true(t->ogs_base == LIBOS_SLOTS_ADDR + LIBOS_SLOT_SIZE + SLOT_TCB_OFF);
        assert_int_equal(t->nssa, SLOT_SSA_COUNT);
    }
    if (off == USER_HIGH_BASE)
        assert_false(measure);
    return 0;
}

static void test_walk(void **state)
{
    struct file *f = file_new();
    struct enclave_plan plan = plan_of(f);
    struct seen s = { 0 };
    uint8_t seen_digest[32], measured[32], other[32];

    sgx_measure_ecreate(&s.measure, 1, plan.elrange_size);
    assert_int_equal(enclave_plan_walk(&plan, see, &s), 0);
    /* 1 + 1 + 2 image pages, config, 22 pages a slot, pool. */
    assert_int_equal(s.count, 4 + 1 + 2 * 22 + 1);
    sgx_measure_final(&s.measure, seen_digest);
    assert_int_equal(enclave_plan_measure(&plan, measured), 0);
    assert_memory_equal(seen_digest, measured, 32);
    plan.app_digest[47] = 1;
    assert_int_equal(enclave_plan_measure(&plan, other), 0);
    assert_memory_not_equal(other, measured, 32);
    free(f);
}

static int stop(void *arg, uint64_t off, const uint8_t page[4096], uint64_t flags, bool measure)
{
    return --*(int *)arg == 0 ? 42 : 0;
}

static void test_stop(void **state)
{
    struct file *f = file_new();
    struct enclave_plan plan = plan_of(f);

    for (int i = 1; i <= 50; i++) {
        int left = i;

        assert_int_equal(enclave_plan_walk(&plan, stop, &left), 42);
    }
    free(f);
}

#define REFUSE(error, statement)                                                                   \
    do {                                                                                           \
        struct file *f = file_new();                                                               \
        struct enclave_plan plan = plan_of(f);                                                     \
        uint8_t digest[32];                                                                        \
        statement;                                                                                 \
        if (enclave_plan_measure(&plan, digest) != -(error))                                       \
            fail_msg("accepted: %s", #statement);                                                  \
        free(f);                                                                                   \
    } while (0)

static void test_refuses(void **state)
{
    REFUSE(EINVAL, plan.static_slots = 0);
    REFUSE(EINVAL, plan.static_slots = LIBOS_SLOT_COUNT_MAX + 1);
    REFUSE(EINVAL, plan.elrange_size = 3ull << 40);
    REFUSE(EINVAL, plan.elrange_size = 1ull << 35);
    REFUSE(EINVAL, plan.elrange_size = 1ull << 47);
    REFUSE(EINVAL, plan.pool_pages = plan.elrange_size / 4096);
    REFUSE(EINVAL, plan.pool_pages = UINT64_MAX);
    REFUSE(ENOEXEC, plan.elf_size = 0);
    REFUSE(ENOEXEC, plan.elf_size = 63);
    REFUSE(ENOEXEC, plan.elf_size = sizeof *f - 1);
    REFUSE(ENOEXEC, f->eh.e_type = ET_DYN);
    REFUSE(ENOEXEC, f->eh.e_machine = EM_AARCH64);
    REFUSE(ENOEXEC, f->eh.e_ident[EI_CLASS] = ELFCLASS32);
    REFUSE(ENOEXEC, f->eh.e_phoff = UINT64_MAX);
    REFUSE(ENOEXEC, f->eh.e_phoff = sizeof *f - 8);
    REFUSE(ENOEXEC, f->eh.e_phentsize = 55);
    REFUSE(ENOEXEC, f->eh.e_phnum = 0);
    REFUSE(ENOEXEC, f->eh.e_phnum = 65535);
    REFUSE(ENOEXEC, f->ph[0].p_type = PT_INTERP);
    REFUSE(ENOEXEC, f->ph[2].p_type = PT_DYNAMIC);
    REFUSE(ENOEXEC, f->ph[1].p_flags |= PF_W);
    REFUSE(ENOEXEC, f->ph[1].p_flags = PF_X);
    REFUSE(ENOEXEC, f->ph[2].p_memsz = UINT64_MAX);
    REFUSE(ENOEXEC, f->ph[2].p_memsz = LIBOS_CONFIG_ADDR - DATA_ADDR + 1);
    REFUSE(ENOEXEC, f->ph[2].p_filesz = 0x1801);
    REFUSE(ENOEXEC, f->ph[2].p_offset = UINT64_MAX - 8);
    REFUSE(ENOEXEC, f->ph[2].p_vaddr = LIBOS_BASE + 0x1ff0);
    REFUSE(ENOEXEC, f->ph[2].p_vaddr = 0);
    REFUSE(ENOEXEC, f->ph[0].p_vaddr = LIBOS_BASE + 16);
    REFUSE(ENOEXEC, f->header.magic++);
    REFUSE(ENOEXEC, f->header.version = 2);
    REFUSE(ENOEXEC, f->header.stub_count = 7);
    REFUSE(ENOEXEC, f->header.entry_off = 0x3010);
    REFUSE(ENOEXEC, f->header.entry_off = UINT64_MAX);
    REFUSE(ENOEXEC, f->header.stubs_off = 0x2000 - 127);
}

static void test_secs(void **state)
{
    struct enclave_plan plan = { .elrange_size = ELRANGE_SIZE_MIN };
    struct sgx_secs secs;

    enclave_plan_secs(&plan, SGX_XFRM_LEGACY | SGX_XFRM_AVX, true, &secs);
    assert_true(secs.size == ELRANGE_SIZE_MIN && secs.base == 0);
    assert_int_equal(secs.attributes.flags, SGX_ATTR_MODE64BIT | SGX_ATTR_DEBUG);
    assert_int_equal(secs.attributes.xfrm, 7);
    assert_int_equal(secs.misc_select, SGX_MISC_EXINFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_secs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
