/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECREATE, EADD, EEXTEND and EINIT: what they accept, and each check that makes them refuse.
 * Measurements and signatures that others made are in tests/vectors/sgx-measure.
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

#include "host/sgx/emu/emu.h"
#include "tests/unit/sgx/fixture.h"

static const struct sgx_backend *backend(void)
{
    const char *why = NULL;
    const struct sgx_backend *b = sgx_emu_backend(&why);

    if (!b)
        fail_msg("%s", why);
    return b;
}

static int try_create(const struct sgx_secs *secs)
{
    struct sgx_enclave *e = NULL;
    int rc = backend()->create(secs, &e);

    assert_int_equal(rc == 0, e != NULL);
    if (e)
        backend()->destroy(e);
    return rc;
}

static void test_ecreate(void **state)
{
    struct sgx_secs good, s;

    fix_secs(&good, FIX_BASE, FIX_SIZE);
    assert_int_equal(try_create(&good), 0);
    assert_int_equal(try_create(&good), 0); /* and once more: destroy gave the addresses back */
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        s = good;                                                                                  \
        change;                                                                                    \
        assert_int_equal(try_create(&s), -EIO);                                                    \
    } while (0)
    REFUSED(s.size = FIX_SIZE + 4096); /* not a power of two */
    REFUSED(s.size = 4096);            /* less than two pages */
    REFUSED(s.size = 0);
    REFUSED(s.base = FIX_BASE + 4096); /* not aligned to the size */
    REFUSED(s.base = 1ull << 47);      /* beyond user space */
    REFUSED(s.size = 1ull << 47; s.base = 0);
    REFUSED(s.attributes.flags = 0); /* 32-bit */
    REFUSED(s.attributes.flags |= SGX_ATTR_INIT);
    REFUSED(s.attributes.flags |= 0x40); /* reserved: CET */
    REFUSED(s.attributes.flags |= 1ull << 63);
    REFUSED(s.attributes.xfrm = 1); /* SSE missing */
    REFUSED(s.attributes.xfrm = 2);
    REFUSED(s.attributes.xfrm |= 1ull << 62); /* not in XCR0 */
    REFUSED(s.attributes.xfrm = 7 | 0x20);    /* part of AVX-512 */
    REFUSED(s.misc_select = 2);
    REFUSED(s.ssa_frame_pages = 0);
    REFUSED(s.ssa_frame_pages = 100);
    REFUSED(s.cet_attributes = 1);
    REFUSED(s.reserved1[0] = 1);
    REFUSED(s.reserved2[31] = 1);
    REFUSED(s.reserved3[0] = 1);
    REFUSED(s.reserved4[3833] = 1);
    REFUSED(s.config_id[0] = 1); /* without KSS */
    REFUSED(s.config_svn = 1);
#undef REFUSED
    s = good;
    s.attributes.flags |= SGX_ATTR_KSS | SGX_ATTR_DEBUG;
    s.config_id[0] = 1;
    s.config_svn = 1;
    assert_int_equal(try_create(&s), 0);
    s = good;
    s.misc_select = 0;
    s.attributes.xfrm = 3;
    assert_int_equal(try_create(&s), 0);
}

static void test_ecreate_address_taken(void **state)
{
    struct sgx_secs secs;
    struct sgx_enclave *a, *b;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    assert_int_equal(backend()->create(&secs, &a), 0);
    assert_int_equal(backend()->create(&secs, &b), -EEXIST);
    secs.base = FIX_BASE + FIX_SIZE;
    assert_int_equal(backend()->create(&secs, &b), 0);
    backend()->destroy(b);
    backend()->destroy(a);
}

static void test_ecreate_too_many(void **state)
{
    struct sgx_enclave *e[EMU_ENCLAVES_MAX + 1];
    struct sgx_secs secs;
    size_t i;

    for (i = 0; i < EMU_ENCLAVES_MAX; i++) {
        fix_secs(&secs, FIX_BASE + i * FIX_SIZE, FIX_SIZE);
        secs.base = 0x200000000ull + i * FIX_SIZE;
        assert_int_equal(backend()->create(&secs, &e[i]), 0);
    }
    secs.base += FIX_SIZE;
    assert_int_equal(backend()->create(&secs, &e[i]), -EMFILE);
    while (i > 0)
        backend()->destroy(e[--i]);
}

static uint8_t g_page[2 * 4096] __attribute__((aligned(4096)));

static struct sgx_enclave *new_enclave(struct sgx_secs *secs)
{
    struct sgx_enclave *e;

    fix_secs(secs, FIX_BASE, FIX_SIZE);
    assert_int_equal(backend()->create(secs, &e), 0);
    return e;
}

static int try_add(struct sgx_enclave *e, uint64_t off, uint64_t flags)
{
    struct sgx_secinfo s = { .flags = flags };

    return backend()->add_pages(e, off, g_page, 4096, &s, true);
}

static void test_eadd(void **state)
{
    struct sgx_secs secs;
    struct sgx_enclave *e = new_enclave(&secs);
    struct sgx_secinfo s = { .flags = 0x203 };

    assert_int_equal(try_add(e, 0x10000, 0x203), 0);
    assert_int_equal(try_add(e, 0x11000, 0x200), 0);
    assert_int_equal(try_add(e, 0x12000, 0x207), 0);
    assert_int_equal(try_add(e, 0x13000, 0x204), 0);
    assert_int_equal(try_add(e, FIX_SIZE - 4096, 0x201), 0);
    assert_int_equal(try_add(e, 0x10000, 0x203), -EBUSY);   /* there already */
    assert_int_equal(try_add(e, 0x20001, 0x203), -EINVAL);  /* not aligned */
    assert_int_equal(try_add(e, FIX_SIZE, 0x203), -EINVAL); /* outside */
    assert_int_equal(try_add(e, UINT64_MAX - 4095, 0x203), -EINVAL);
    assert_int_equal(try_add(e, 0x20000, 0x202), -EINVAL);   /* W without R */
    assert_int_equal(try_add(e, 0x20000, 0x003), -EINVAL);   /* PT_SECS */
    assert_int_equal(try_add(e, 0x20000, 0x303), -EINVAL);   /* PT_VA */
    assert_int_equal(try_add(e, 0x20000, 0x403), -EINVAL);   /* PT_TRIM */
    assert_int_equal(try_add(e, 0x20000, 0x20b), -EINVAL);   /* PENDING */
    assert_int_equal(try_add(e, 0x20000, 0x213), -EINVAL);   /* MODIFIED */
    assert_int_equal(try_add(e, 0x20000, 0x223), -EINVAL);   /* PR */
    assert_int_equal(try_add(e, 0x20000, 0x10203), -EINVAL); /* reserved flag */
    assert_int_equal(try_add(e, 0x20000, 0x101), -EINVAL);   /* TCS with permissions */
    assert_int_equal(backend()->add_pages(e, 0x20000, g_page, 0, &s, true), -EINVAL);
    assert_int_equal(backend()->add_pages(e, 0x20000, g_page, 100, &s, true), -EINVAL);
    assert_int_equal(backend()->add_pages(e, 0x20000, g_page + 1, 4096, &s, true), -EINVAL);
    assert_int_equal(backend()->add_pages(e, FIX_SIZE - 4096, g_page, 8192, &s, true), -EINVAL);
    s.reserved[55] = 1;
    assert_int_equal(backend()->add_pages(e, 0x20000, g_page, 4096, &s, true), -EINVAL);
    backend()->destroy(e);
}

static void test_eadd_tcs(void **state)
{
    struct sgx_secs secs;
    struct sgx_enclave *e = new_enclave(&secs);
    struct sgx_tcs *tcs = (struct sgx_tcs *)g_page;

    *tcs = (struct sgx_tcs){ .nssa = 1, .flags = SGX_TCS_DBGOPTIN };
    assert_int_equal(try_add(e, 0x10000, 0x100), 0);
    *tcs = (struct sgx_tcs){ .nssa = 1, .flags = 2 };
    assert_int_equal(try_add(e, 0x11000, 0x100), -EIO);
    *tcs = (struct sgx_tcs){ .nssa = 1 };
    tcs->reserved[4023] = 1;
    assert_int_equal(try_add(e, 0x11000, 0x100), -EIO);
    memset(g_page, 0, sizeof g_page);
    backend()->destroy(e);
}

/* EINIT over one page; `change` may spoil anything before it. */
static int init_with(uint64_t attr, void (*change)(struct sgx_sigstruct *), bool sign_again)
{
    struct sgx_secs secs;
    struct sgx_enclave *e;
    struct sgx_measure m;
    struct sgx_sigstruct s;
    uint8_t mrenclave[32];

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    secs.attributes.flags |= attr;
    assert_int_equal(backend()->create(&secs, &e), 0);
    assert_int_equal(try_add(e, 0x10000, 0x203), 0);
    sgx_measure_ecreate(&m, 1, FIX_SIZE);
    sgx_measure_eadd(&m, 0x10000, 0x203);
    sgx_measure_page(&m, 0x10000, g_page);
    sgx_measure_final(&m, mrenclave);
    fix_sigstruct(mrenclave, &secs, &s);
    if (change)
        change(&s);
    if (sign_again)
        fix_sign(&s);
    int rc = backend()->init(e, &s);

    if (rc == 0) {
        assert_int_equal(backend()->init(e, &s), -EINVAL);     /* once only */
        assert_int_equal(try_add(e, 0x20000, 0x203), -EINVAL); /* EADD is over */
    }
    backend()->destroy(e);
    return rc;
}

#define CHANGE(name, statement)                                                                    \
    static void name(struct sgx_sigstruct *s)                                                      \
    {                                                                                              \
        statement;                                                                                 \
    }
CHANGE(set_header, s->header[0] ^= 1)
CHANGE(set_header2, s->header2[15] ^= 1)
CHANGE(set_vendor, s->vendor = 1)
CHANGE(set_vendor_intel, s->vendor = 0x8086)
CHANGE(set_exponent, s->exponent = 65537)
CHANGE(set_reserved1, s->reserved1[83] = 1)
CHANGE(set_reserved2, s->reserved2[1] = 1)
CHANGE(set_reserved3, s->reserved3[0] = 1)
CHANGE(set_reserved4, s->reserved4[11] = 1)
CHANGE(set_signature, s->signature[0] ^= 1)
CHANGE(set_modulus, s->modulus[0] ^= 2)
CHANGE(set_modulus_short, s->modulus[383] = 0)
CHANGE(set_signature_big, memset(s->signature, 0xff, sizeof s->signature))
CHANGE(set_q1, s->q1[5] ^= 1)
CHANGE(set_q2, s->q2[5] ^= 1)
CHANGE(set_date, s->date ^= 1)
CHANGE(set_svn, s->isv_svn++)
CHANGE(set_hash, s->enclave_hash[0] ^= 1)
CHANGE(set_debug, s->attributes.flags ^= SGX_ATTR_DEBUG)
CHANGE(set_debug_masked, s->attributes.flags ^= SGX_ATTR_DEBUG;
       s->attributes_mask.flags = ~SGX_ATTR_DEBUG)
CHANGE(set_xfrm, s->attributes.xfrm = 3)
CHANGE(set_misc, s->misc_select = 0)
CHANGE(set_family, s->isv_family_id[0] = 1)
CHANGE(set_ext, s->isv_ext_prod_id[0] = 1)

static void test_einit(void **state)
{
    assert_int_equal(init_with(0, NULL, false), 0);
    assert_int_equal(init_with(0, set_vendor_intel, true), 0);
    assert_int_equal(init_with(0, set_debug_masked, true), 0);
    assert_int_equal(init_with(SGX_ATTR_KSS, set_family, true), 0);
    assert_int_equal(init_with(SGX_ATTR_DEBUG, NULL, false), 0);
    assert_int_equal(init_with(0, set_header, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_header2, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_vendor, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_exponent, false), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_reserved1, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_reserved2, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_reserved3, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_reserved4, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_signature, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_modulus, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_modulus_short, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_signature_big, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_q1, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_q2, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_date, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_svn, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_hash, false), SGX_INVALID_SIGNATURE);
    assert_int_equal(init_with(0, set_hash, true), SGX_INVALID_MEASUREMENT);
    assert_int_equal(init_with(0, set_debug, true), SGX_INVALID_ATTRIBUTE);
    assert_int_equal(init_with(0, set_xfrm, true), SGX_INVALID_ATTRIBUTE);
    assert_int_equal(init_with(0, set_misc, true), SGX_INVALID_ATTRIBUTE);
    assert_int_equal(init_with(0, set_family, true), SGX_INVALID_SIG_STRUCT);
    assert_int_equal(init_with(0, set_ext, true), SGX_INVALID_SIG_STRUCT);
}

/* What EADD and EEXTEND measure: order, offset, flags, contents, and whether they were measured. */
static void test_measurement(void **state)
{
    static const struct {
        uint64_t off, flags;
        bool measure;
        uint8_t byte;
    } variants[] = { { 0x10000, 0x203, true, 0 },
                     { 0x11000, 0x203, true, 0 },
                     { 0x10000, 0x201, true, 0 },
                     { 0x10000, 0x203, false, 0 },
                     { 0x10000, 0x203, true, 1 } };
    struct sgx_secs secs;
    struct sgx_measure m;
    struct sgx_sigstruct sig;
    uint8_t mrenclave[32];

    sgx_measure_ecreate(&m, 1, FIX_SIZE);
    sgx_measure_eadd(&m, 0x10000, 0x203);
    for (uint64_t off = 0; off < 4096; off += 256) /* chunk by chunk: equal to the whole page */
        sgx_measure_eextend(&m, 0x10000 + off, g_page + off);
    sgx_measure_final(&m, mrenclave);
    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    fix_sigstruct(mrenclave, &secs, &sig);
    for (size_t i = 0; i < ARRAY_COUNT(variants); i++) {
        struct sgx_enclave *e = new_enclave(&secs);
        struct sgx_secinfo s = { .flags = variants[i].flags };

        g_page[4095] = variants[i].byte;
        assert_int_equal(
            backend()->add_pages(e, variants[i].off, g_page, 4096, &s, variants[i].measure), 0);
        g_page[4095] = 0;
        assert_int_equal(backend()->init(e, &sig), i == 0 ? 0 : SGX_INVALID_MEASUREMENT);
        backend()->destroy(e);
    }
    struct sgx_enclave *e = new_enclave(&secs);

    assert_int_equal(backend()->init(e, &sig), SGX_INVALID_MEASUREMENT);
    backend()->destroy(e);
}

static void read_vector(const char *name, void *dst, size_t size)
{
    const char *dir = getenv("CLOCHE_TEST_VECTORS");
    char path[512];

    assert_non_null(dir);
    snprintf(path, sizeof path, "%s/sgx-measure/%s", dir, name);
    FILE *f = fopen(path, "re");

    if (!f)
        fail_msg("%s", path);
    assert_int_equal(fread(dst, 1, size, f), size);
    fclose(f);
}

/* SIGSTRUCTs that Intel's and other signers made verify, and no longer when a bit is changed. */
static void test_foreign_sigstructs(void **state)
{
    static const char *const names[] = { "le_prod_css.bin", "sig1.sigstruct.bin" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct sgx_sigstruct s;
        uint8_t mrsigner[32];

        read_vector(names[i], &s, sizeof s);
        if (emu_sigstruct_verify(&s, mrsigner) != SGX_SUCCESS)
            fail_msg("%s: %d", names[i], emu_sigstruct_verify(&s, mrsigner));
        s.isv_svn ^= 1;
        assert_int_equal(emu_sigstruct_verify(&s, mrsigner), SGX_INVALID_SIGNATURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecreate),          cmocka_unit_test(test_ecreate_address_taken),
        cmocka_unit_test(test_ecreate_too_many), cmocka_unit_test(test_eadd),
        cmocka_unit_test(test_eadd_tcs),         cmocka_unit_test(test_einit),
        cmocka_unit_test(test_measurement),      cmocka_unit_test(test_foreign_sigstructs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
