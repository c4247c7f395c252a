/* SPDX-License-Identifier: Apache-2.0 */
/* See fixture.h. */
#include "tests/unit/sgx/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/digest.h"
#include "lib/sgx_measure.h"

extern const uint8_t test_enclave_stubs[], test_enclave_stubs_entry[], test_enclave_stubs_end[];
extern const uint8_t test_enclave_plain[], test_enclave_plain_entry[], test_enclave_plain_end[];
int fix_enter_raw(sgx_enter_fn *fn, uint64_t rdi, uint64_t rsi, uint64_t rdx, unsigned leaf,
                  uint64_t r8, struct sgx_run *run, uint64_t out[2], void *stack_top);

#define KEY SGX_SIGSTRUCT_KEY_SIZE

static EVP_PKEY *test_key(void)
{
    static EVP_PKEY *key;

    if (key)
        return key;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *e = BN_new();

    assert_non_null(ctx);
    assert_true(BN_set_word(e, 3));
    assert_true(EVP_PKEY_keygen_init(ctx) == 1);
    assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 3072) == 1);
    assert_true(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1);
    assert_true(EVP_PKEY_generate(ctx, &key) == 1);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void reverse(uint8_t *p)
{
    for (size_t i = 0; i < KEY / 2; i++) {
        uint8_t byte = p[i];

        p[i] = p[KEY - 1 - i];
        p[KEY - 1 - i] = byte;
    }
}

void fix_sign(struct sgx_sigstruct *s)
{
    BIGNUM *n = NULL;
    uint8_t body[256];
    size_t size = KEY;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    BN_CTX *ctx = BN_CTX_new();

    assert_true(EVP_PKEY_get_bn_param(test_key(), OSSL_PKEY_PARAM_RSA_N, &n) == 1);
    assert_true(BN_bn2lebinpad(n, s->modulus, KEY) == KEY);
    s->exponent = 3;
    memcpy(body, s, 128);
    memcpy(body + 128, (uint8_t *)s + 900, 128);
    assert_true(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, test_key()) == 1);
    assert_true(EVP_DigestSign(md, s->signature, &size, body, sizeof body) == 1);
    reverse(s->signature);
    BIGNUM *sig = BN_lebin2bn(s->signature, KEY, NULL), *p = BN_new(), *q = BN_new(), *r = BN_new();

    BN_sqr(p, sig, ctx);
    BN_div(q, r, p, n, ctx);
    BN_bn2lebinpad(q, s->q1, KEY);
    BN_mul(p, r, sig, ctx);
    BN_div(q, r, p, n, ctx);
    BN_bn2lebinpad(q, s->q2, KEY);
    BN_free(sig);
    BN_free(p);
    BN_free(q);
    BN_free(r);
    BN_free(n);
    BN_CTX_free(ctx);
    EVP_MD_CTX_free(md);
}

void fix_sigstruct(const uint8_t mrenclave[32], const struct sgx_secs *secs,
                   struct sgx_sigstruct *ret)
{
    static const uint8_t header[16] = SGX_SIGSTRUCT_HEADER, header2[16] = SGX_SIGSTRUCT_HEADER2;

    *ret = (struct sgx_sigstruct){ .date = 0x20240101, .isv_prod_id = 7, .isv_svn = 3 };
    memcpy(ret->header, header, sizeof header);
    memcpy(ret->header2, header2, sizeof header2);
    ret->attributes = secs->attributes;
    ret->attributes_mask = (struct sgx_attributes){ ~0ull, ~0ull };
    ret->misc_select = secs->misc_select;
    ret->misc_mask = ~0u;
    memcpy(ret->enclave_hash, mrenclave, 32);
    fix_sign(ret);
}

void fix_secs(struct sgx_secs *ret, uint64_t base, uint64_t size)
{
    *ret = (struct sgx_secs){ .base = base,
                              .size = size,
                              .ssa_frame_pages = 1,
                              .misc_select = SGX_MISC_EXINFO,
                              .attributes = { SGX_ATTR_MODE64BIT, 7 } };
}

static void add(struct fixture *f, struct sgx_measure *m, uint64_t off, const void *src,
                uint64_t size, uint64_t flags)
{
    struct sgx_secinfo secinfo = { .flags = flags };

    assert_int_equal(f->backend->add_pages(f->e, off, src, size, &secinfo, true), 0);
    for (uint64_t i = 0; i < size; i += 4096) {
        sgx_measure_eadd(m, off + i, flags);
        sgx_measure_page(m, off + i, (const uint8_t *)src + i);
    }
}

void fix_tcs(const struct fixture *f, unsigned i, struct sgx_tcs *ret)
{
    uint64_t entry = f->stubs ? (uint64_t)(test_enclave_stubs_entry - test_enclave_stubs)
                              : (uint64_t)(test_enclave_plain_entry - test_enclave_plain);

    *ret = (struct sgx_tcs){ .ossa = FIX_SSA(i),
                             .nssa = FIX_NSSA,
                             .oentry = FIX_CODE + entry,
                             .ofs_base = FIX_GS(i),
                             .ogs_base = FIX_GS(i),
                             .fs_limit = 0xfff,
                             .gs_limit = 0xfff };
}

void (*g_fix_spoil)(unsigned arg, struct sgx_tcs *tcs);
unsigned g_fix_spoil_arg;

static void add_threads(struct fixture *f, struct sgx_measure *m)
{
    static const uint8_t zero[FIX_NSSA * 4096] __attribute__((aligned(4096)));
    static struct sgx_tcs tcs __attribute__((aligned(4096)));
    const uint64_t rw = SGX_PT_REG << 8 | SGX_SECINFO_R | SGX_SECINFO_W;

    for (unsigned i = 0; i < f->threads; i++) {
        fix_tcs(f, i, &tcs);
        if (g_fix_spoil)
            g_fix_spoil(g_fix_spoil_arg, &tcs);
        add(f, m, FIX_TCS(i), &tcs, 4096, SGX_PT_TCS << 8);
        add(f, m, FIX_SSA(i), zero, sizeof zero, rw);
        add(f, m, FIX_GS(i), zero, 4096, rw);
    }
}

void fix_build(struct fixture *f, const struct sgx_secs *secs, bool stubs, unsigned threads,
               bool init)
{
    static const uint8_t zero[FIX_DATA_PAGES * 4096] __attribute__((aligned(4096)));
    const uint8_t *code = stubs ? test_enclave_stubs : test_enclave_plain;
    const char *why = NULL;
    struct sgx_measure m;
    uint8_t mrenclave[32];

    *f = (struct fixture){ .secs = *secs, .base = secs->base, .threads = threads, .stubs = stubs };
    f->backend = sgx_emu_backend(&why);
    if (!f->backend)
        fail_msg("%s", why);
    assert_int_equal(f->backend->create(secs, &f->e), 0);
    sgx_measure_ecreate(&m, secs->ssa_frame_pages, secs->size);
    add(f, &m, FIX_CODE, code, 4096, SGX_PT_REG << 8 | SGX_SECINFO_R | SGX_SECINFO_X);
    add(f, &m, FIX_DATA, zero, sizeof zero, SGX_PT_REG << 8 | SGX_SECINFO_R | SGX_SECINFO_W);
    add_threads(f, &m);
    sgx_measure_final(&m, mrenclave);
    fix_sigstruct(mrenclave, secs, &f->sigstruct);
    if (!init)
        return;
    assert_int_equal(f->backend->init(f->e, &f->sigstruct), 0);
    assert_int_equal(f->backend->thread_init(f->e), 0);
}

void fix_start(struct fixture *f, bool stubs, unsigned threads)
{
    struct sgx_secs secs;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    fix_build(f, &secs, stubs, threads, true);
}

void fix_stop(struct fixture *f)
{
    f->backend->thread_done(f->e);
    f->backend->destroy(f->e);
    f->e = NULL;
}

static struct fix_result enter(struct fixture *f, unsigned i, unsigned leaf, uint64_t rdi,
                               uint64_t rsi, uint64_t rdx, uint64_t r8)
{
    static uint8_t stacks[FIX_THREADS_MAX][16384] __attribute__((aligned(16)));
    struct fix_result r = { .run = { .tcs = f->base + FIX_TCS(i) } };
    uint64_t out[2];

    r.rc = fix_enter_raw(f->backend->enter, rdi, rsi, rdx, leaf, r8, &r.run, out,
                         stacks[i] + sizeof stacks[i]);
    r.rsi = out[0];
    r.rdx = out[1];
    return r;
}

struct fix_result fix_enter_leaf(struct fixture *f, unsigned i, unsigned leaf, uint64_t rdi,
                                 uint64_t rsi, uint64_t rdx)
{
    return enter(f, i, leaf, rdi, rsi, rdx, 0);
}

struct fix_result fix_enter(struct fixture *f, unsigned i, uint64_t command, uint64_t rsi,
                            uint64_t rdx, uint64_t r8)
{
    return enter(f, i, SGX_EENTER, command, rsi, rdx, r8);
}

uint64_t fix_call(struct fixture *f, unsigned i, uint64_t command, uint64_t rsi, uint64_t rdx,
                  uint64_t r8)
{
    struct fix_result r = fix_enter(f, i, command, rsi, rdx, r8);

    if (r.rc != 0 || r.run.function != SGX_EEXIT)
        fail_msg("command %lu: rc %d, function %u, vector %u, code 0x%x, address 0x%lx", command,
                 r.rc, r.run.function, r.run.exception_vector, r.run.exception_error_code,
                 r.run.exception_addr);
    return r.rsi;
}

struct fix_result fix_enclu(struct fixture *f, struct fix_enclu *regs)
{
    return fix_enter(f, 0, FIX_CMD_ENCLU, (uint64_t)regs, 0, 0);
}

void fix_poke(struct fixture *f, uint64_t off, const void *src, size_t size)
{
    fix_call(f, 0, FIX_CMD_COPY, f->base + off, (uint64_t)src, size);
}

void fix_peek(struct fixture *f, uint64_t off, void *dst, size_t size)
{
    fix_call(f, 0, FIX_CMD_COPY, (uint64_t)dst, f->base + off, size);
}
