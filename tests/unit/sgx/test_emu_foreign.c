/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enclave that knows nothing of this project: it comes as an SGXS stream (the format of the
 * Fortanix tools: what ECREATE, EADD and EEXTEND measure, in that order, so that the stream's
 * SHA-256 is MRENCLAVE), lies where the address space has room, between the program and its
 * libraries, and has bare ENCLU instructions. Thread slots lie as Intel's SDK lays them: TCS, SSA,
 * guard, thread data.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "lib/defs.h"
#include "lib/digest.h"
#include "tests/unit/sgx/fixture.h"

extern const uint8_t test_enclave_plain[], test_enclave_plain_entry[];

#define STREAM_MAX (256 * 1024)
#define SIZE 0x200000ull
#define SSA_PAGES 2u
#define THREAD_OFF 0x40000ull
#define SSA_OFF (THREAD_OFF + 0x1000)
#define SSA_COUNT 2u
#define DATA_OFF (THREAD_OFF + 0x8000)
#define HEAP_OFF                                                                                   \
    0x100000ull /* in EADD order before the thread, at a higher address; not measured */

struct stream {
    uint8_t bytes[STREAM_MAX];
    size_t size;
};

static void put(struct stream *s, const void *data, size_t size)
{
    assert_true(size <= STREAM_MAX - s->size);
    memcpy(s->bytes + s->size, data, size);
    s->size += size;
}

static void put_record(struct stream *s, const char *name, uint64_t a, uint64_t b)
{
    uint8_t record[64] = { 0 };

    memcpy(record, name, strlen(name));
    memcpy(record + 8, &a, 8);
    memcpy(record + 16, &b, 8);
    put(s, record, sizeof record);
}

static void put_page(struct stream *s, uint64_t off, uint64_t flags, const void *page, size_t size)
{
    uint8_t padded[4096] = { 0 };

    put_record(s, "EADD", off, flags);
    if (!page)
        return;
    memcpy(padded, page, size);
    for (uint64_t i = 0; i < 4096; i += 256) {
        put_record(s, "EEXTEND", off + i, 0);
        put(s, padded + i, 256);
    }
}

static void make_stream(struct stream *s)
{
    struct sgx_tcs tcs = { .ossa = SSA_OFF,
                           .nssa = SSA_COUNT,
                           .oentry = (uint64_t)(test_enclave_plain_entry - test_enclave_plain),
                           .ofs_base = DATA_OFF,
                           .ogs_base = DATA_OFF,
                           .fs_limit = 0xffffffff,
                           .gs_limit = 0xffffffff };
    uint8_t create[64] = "ECREATE";
    const uint32_t ssa_pages = SSA_PAGES;
    const uint64_t size = SIZE;

    memcpy(create + 8, &ssa_pages, 4);
    memcpy(create + 12, &size, 8);
    put(s, create, sizeof create);
    put_page(s, 0, 0x205, test_enclave_plain, 4096);
    put_page(s, HEAP_OFF, 0x203, NULL, 0);
    put_page(s, HEAP_OFF + 4096, 0x207, NULL, 0);
    put_page(s, THREAD_OFF, 0x100, &tcs, sizeof tcs);
    for (unsigned i = 0; i < SSA_PAGES * SSA_COUNT; i++)
        put_page(s, SSA_OFF + i * 4096, 0x203, "", 1);
    put_page(s, DATA_OFF, 0x203, "", 1);
}

/* One EADD and the EEXTENDs after it. returns: bytes used; the driver's calls measure whole pages. */
static size_t load_page(struct fixture *f, const uint8_t *p, size_t size)
{
    static uint8_t page[4096] __attribute__((aligned(4096)));
    struct sgx_secinfo secinfo = { 0 };
    uint64_t off, chunk_off;
    size_t used = 64;

    assert_memory_equal(p, "EADD\0\0\0\0", 8);
    memcpy(&off, p + 8, 8);
    memcpy(&secinfo, p + 16, 48);
    memset(page, 0, sizeof page);
    while (size - used >= 320 && memcmp(p + used, "EEXTEND", 8) == 0) {
        memcpy(&chunk_off, p + used + 8, 8);
        assert_int_equal(chunk_off, off + (used - 64) / 320 * 256);
        memcpy(page + (chunk_off - off), p + used + 64, 256);
        used += 320;
    }
    assert_true(used == 64 || used == 64 + 16 * 320);
    assert_int_equal(f->backend->add_pages(f->e, off, page, 4096, &secinfo, used > 64), 0);
    return used;
}

/* Room of twice the size, so that an aligned piece lies in it. */
static uint64_t find_base(uint64_t size)
{
    void *p = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    munmap(p, 2 * size);
    return ((uint64_t)p + size - 1) & ~(size - 1);
}

static void load_stream(struct fixture *f, const struct stream *s)
{
    const char *why;
    uint32_t ssa_pages;
    uint64_t size;
    uint8_t mrenclave[32];

    *f = (struct fixture){ .backend = sgx_emu_backend(&why) };
    assert_non_null(f->backend);
    assert_memory_equal(s->bytes, "ECREATE", 8);
    memcpy(&ssa_pages, s->bytes + 8, 4);
    memcpy(&size, s->bytes + 12, 8);
    fix_secs(&f->secs, find_base(size), size);
    f->secs.ssa_frame_pages = ssa_pages;
    assert_int_equal(f->backend->create(&f->secs, &f->e), 0);
    for (size_t at = 64; at < s->size;)
        at += load_page(f, s->bytes + at, s->size - at);
    sha256_digest(s->bytes, s->size, mrenclave);
    fix_sigstruct(mrenclave, &f->secs, &f->sigstruct);
    assert_int_equal(f->backend->init(f->e, &f->sigstruct), 0);
    assert_int_equal(f->backend->thread_init(f->e), 0);
    /* the fixture's calls enter by FIX_TCS(0) */
    f->base = f->secs.base + THREAD_OFF - FIX_TCS(0);
}

static void test_sgxs(void **state)
{
    static struct stream s;
    struct fixture f;
    uint64_t value = 0x1234;

    make_stream(&s);
    load_stream(&f, &s);
    const uint64_t base = f.secs.base;
    const uint64_t gpr = base + SSA_OFF + SSA_PAGES * 4096 - sizeof(struct sgx_ssa_gpr);

    assert_int_equal(fix_call(&f, 0, FIX_CMD_INC, 41, 0, 0), 42);
    fix_call(&f, 0, FIX_CMD_COPY, base + HEAP_OFF, (uint64_t)&value, 8);
    assert_int_equal(fix_call(&f, 0, FIX_CMD_READ, base + HEAP_OFF + 1, 0, 0), 0x12);
    /* code that it writes itself, on a page that may be executed */
    fix_call(&f, 0, FIX_CMD_COPY, base + HEAP_OFF + 4096, (uint64_t) "\xc3", 1);
    fix_call(&f, 0, FIX_CMD_CALL, base + HEAP_OFF + 4096, 0, 0);
    struct fix_result r = fix_enter(&f, 0, FIX_CMD_UD2, 0, 0, 0);

    assert_int_equal(r.run.exception_vector, 6);
    fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2, gpr);
    assert_int_equal(fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0).rsi, 0x1111);
    r = fix_enter(&f, 0, FIX_CMD_SYSCALL, 39, 0, 0);
    assert_int_equal(r.run.function, SGX_ERESUME);
    assert_int_equal(r.run.exception_vector, 6);
    fix_enter_leaf(&f, 0, SGX_EENTER, 1, 2, gpr);
    assert_int_equal(fix_enter_leaf(&f, 0, SGX_ERESUME, 0, 0, 0).rsi, 39);
    fix_stop(&f);
    /* one changed byte of the stream is another enclave */
    s.bytes[64 + 64 + 64 + 200] ^= 1;
    const char *why;

    f.backend = sgx_emu_backend(&why);
    assert_int_equal(f.backend->create(&f.secs, &f.e), 0);
    for (size_t at = 64; at < s.size;)
        at += load_page(&f, s.bytes + at, s.size - at);
    assert_int_equal(f.backend->init(f.e, &f.sigstruct), SGX_INVALID_MEASUREMENT);
    f.backend->destroy(f.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sgxs) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
