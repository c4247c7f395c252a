/* SPDX-License-Identifier: Apache-2.0 */
/* EREPORT and EGETKEY: results, what each key depends on, each refusal; the key file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "host/sgx/emu/emu.h"
#include "tests/unit/sgx/fixture.h"

#define IN (FIX_DATA + 4096)
#define DATA (FIX_DATA + 8192)
#define OUT (FIX_DATA + 3 * 4096)

static struct fixture g_f;

static int teardown(void **state)
{
    if (g_f.e)
        fix_stop(&g_f);
    return 0;
}

static void skip_enclu(uint64_t size)
{
    fix_enter_leaf(&g_f, 0, SGX_EENTER, 1, size,
                   g_f.base + FIX_SSA(0) + 4096 - sizeof(struct sgx_ssa_gpr));
    fix_enter_leaf(&g_f, 0, SGX_ERESUME, 0, 0, 0);
}

static void start(uint64_t attr, uint8_t isv_svn_page)
{
    struct sgx_secs secs;

    fix_secs(&secs, FIX_BASE, FIX_SIZE);
    secs.attributes.flags |= attr;
    if (attr & SGX_ATTR_KSS) {
        secs.config_id[0] = 0xc1;
        secs.config_svn = 5;
    }
    fix_build(&g_f, &secs, true, 1 + isv_svn_page, true);
}

static enum sgx_error get_key(const struct sgx_keyrequest *r, uint8_t ret[16])
{
    struct fix_enclu regs = { SGX_EGETKEY, g_f.base + IN, g_f.base + OUT, 0, 0 };

    memset(ret, 0, 16);
    fix_poke(&g_f, OUT, ret, 16);
    fix_poke(&g_f, IN, r, sizeof *r);
    struct fix_result res = fix_enclu(&g_f, &regs);

    assert_int_equal(res.run.function, SGX_EEXIT);
    assert_int_equal(!!(regs.rflags & 0x40), regs.rax != 0);
    fix_peek(&g_f, OUT, ret, 16);
    return (enum sgx_error)regs.rax;
}

static void assert_get_faults(const struct sgx_keyrequest *r, uint64_t in, uint64_t out,
                              unsigned vector)
{
    struct fix_enclu regs = { SGX_EGETKEY, g_f.base + in, g_f.base + out, 0, 0 };

    fix_poke(&g_f, IN, r, sizeof *r);
    struct fix_result res = fix_enclu(&g_f, &regs);

    assert_int_equal(res.run.function, SGX_ERESUME);
    assert_int_equal(res.run.exception_vector, vector);
    skip_enclu(3);
}

static const struct sgx_keyrequest g_seal = { .key_name = SGX_KEY_SEAL,
                                              .key_policy = SGX_KEYPOLICY_MRSIGNER,
                                              .attribute_mask = { 0xff0000000000000bull, 0 },
                                              .misc_mask = 0xf0000000 };

static bool is_same_key(const struct sgx_keyrequest *a, const struct sgx_keyrequest *b)
{
    uint8_t key_a[16], key_b[16];
    static const uint8_t zero[16];

    assert_int_equal(get_key(a, key_a), SGX_SUCCESS);
    assert_int_equal(get_key(b, key_b), SGX_SUCCESS);
    assert_memory_not_equal(key_a, zero, 16);
    return memcmp(key_a, key_b, 16) == 0;
}

static void test_seal_key(void **state)
{
    struct sgx_keyrequest r;

    start(SGX_ATTR_KSS, 0);
#define DIFFERS(change)                                                                            \
    do {                                                                                           \
        r = g_seal;                                                                                \
        change;                                                                                    \
        assert_false(is_same_key(&g_seal, &r));                                                    \
    } while (0)
    assert_true(is_same_key(&g_seal, &g_seal));
    DIFFERS(r.key_policy = SGX_KEYPOLICY_MRENCLAVE);
    DIFFERS(r.key_policy |= SGX_KEYPOLICY_MRENCLAVE);
    DIFFERS(r.key_policy = 0);
    DIFFERS(r.key_policy |= SGX_KEYPOLICY_NOISVPRODID);
    DIFFERS(r.key_policy |= SGX_KEYPOLICY_CONFIGID);
    DIFFERS(r.key_policy |= SGX_KEYPOLICY_ISVFAMILYID);
    DIFFERS(r.key_policy |= SGX_KEYPOLICY_ISVEXTPRODID);
    DIFFERS(r.isv_svn = 1);
    DIFFERS(r.isv_svn = 3);
    DIFFERS(r.cpu_svn[0] = 1);
    DIFFERS(r.key_id[0] = 1);
    DIFFERS(r.key_id[31] = 1);
    DIFFERS(r.attribute_mask.flags |= SGX_ATTR_KSS);
    DIFFERS(r.attribute_mask.xfrm = 4);
    DIFFERS(r.misc_mask |= 1);
    DIFFERS(r.key_name = SGX_KEY_REPORT);
#undef DIFFERS
    fix_stop(&g_f);
}

/* Keys of the signer stay when the enclave changes; keys of the enclave do not. DEBUG changes both. */
static void test_seal_key_identity(void **state)
{
    struct sgx_keyrequest enclave = g_seal;
    uint8_t keys[3][2][16];

    enclave.key_policy = SGX_KEYPOLICY_MRENCLAVE;
    for (unsigned i = 0; i < 3; i++) {
        start(i == 2 ? SGX_ATTR_DEBUG : 0, i == 1);
        assert_int_equal(get_key(&g_seal, keys[i][0]), 0);
        assert_int_equal(get_key(&enclave, keys[i][1]), 0);
        fix_stop(&g_f);
    }
    assert_memory_equal(keys[0][0], keys[1][0], 16);
    assert_memory_not_equal(keys[0][1], keys[1][1], 16);
    assert_memory_not_equal(keys[0][0], keys[2][0], 16);
    assert_memory_not_equal(keys[0][1], keys[2][1], 16);
}

static void test_egetkey_refusals(void **state)
{
    struct sgx_keyrequest r = g_seal;
    uint8_t key[16];

    start(0, 0);
    r.isv_svn = 4; /* the enclave's is 3 */
    assert_int_equal(get_key(&r, key), SGX_INVALID_ISVSVN);
    r = g_seal;
    r.cpu_svn[7] = 0xff;
    assert_int_equal(get_key(&r, key), SGX_INVALID_CPUSVN);
    r = g_seal;
    r.key_name = 5;
    assert_int_equal(get_key(&r, key), SGX_INVALID_KEYNAME);
    r.key_name = 0xffff;
    assert_int_equal(get_key(&r, key), SGX_INVALID_KEYNAME);
    r.key_name = SGX_KEY_EINITTOKEN;
    assert_int_equal(get_key(&r, key), SGX_INVALID_ATTRIBUTE);
    r.key_name = SGX_KEY_PROVISION;
    assert_int_equal(get_key(&r, key), SGX_INVALID_ATTRIBUTE);
    r.key_name = SGX_KEY_PROVISION_SEAL;
    assert_int_equal(get_key(&r, key), SGX_INVALID_ATTRIBUTE);
    r = g_seal;
    r.reserved1 = 1;
    assert_get_faults(&r, IN, OUT, 13);
    r = g_seal;
    r.reserved2[433] = 1;
    assert_get_faults(&r, IN, OUT, 13);
    r = g_seal;
    r.key_policy |= 0x40;
    assert_get_faults(&r, IN, OUT, 13);
    r = g_seal;
    r.key_policy |= SGX_KEYPOLICY_CONFIGID; /* KSS */
    assert_get_faults(&r, IN, OUT, 13);
    assert_get_faults(&g_seal, IN + 256, OUT, 13);
    assert_get_faults(&g_seal, IN, OUT + 8, 13);
    assert_get_faults(&g_seal, FIX_SIZE, OUT, 13);
    assert_get_faults(&g_seal, IN, FIX_SIZE, 13);
    assert_get_faults(&g_seal, IN, FIX_CODE, 14); /* not writable */
    assert_get_faults(&g_seal, FIX_TCS(0), OUT, 14);
    assert_get_faults(&g_seal, FIX_FREE, OUT, 14);
    fix_stop(&g_f);
    /* the attributes that give the other keys; each is its own key */
    uint8_t keys[3][16];

    start(SGX_ATTR_PROVISIONKEY | SGX_ATTR_EINITTOKENKEY, 0);
    for (unsigned i = 0; i < 3; i++) {
        r = g_seal;
        r.key_policy = 0;
        r.key_name = (uint16_t)i; /* EINITTOKEN, PROVISION, PROVISION_SEAL */
        assert_int_equal(get_key(&r, keys[i]), 0);
    }
    assert_memory_not_equal(keys[0], keys[1], 16);
    assert_memory_not_equal(keys[1], keys[2], 16);
    fix_stop(&g_f);
}

static void cmac(const uint8_t key[16], const void *data, size_t size, uint8_t ret[16])
{
    char cipher[] = "AES-128-CBC";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("cipher", cipher, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t len;

    assert_true(EVP_MAC_init(ctx, key, 16, params) && EVP_MAC_update(ctx, data, size) &&
                EVP_MAC_final(ctx, ret, &len, 16));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static struct fix_result report(const struct sgx_targetinfo *ti, uint64_t in, uint64_t data,
                                uint64_t out)
{
    struct fix_enclu regs = { SGX_EREPORT, g_f.base + in, g_f.base + data, g_f.base + out, 0 };
    uint8_t report_data[64];

    for (unsigned i = 0; i < 64; i++)
        report_data[i] = (uint8_t)i;
    fix_poke(&g_f, IN, ti, sizeof *ti);
    fix_poke(&g_f, DATA, report_data, sizeof report_data);
    return fix_enclu(&g_f, &regs);
}

static void own_target(struct sgx_targetinfo *ret)
{
    *ret = (struct sgx_targetinfo){ .misc_select = g_f.secs.misc_select,
                                    .attributes = g_f.secs.attributes,
                                    .config_svn = g_f.secs.config_svn };
    ret->attributes.flags |= SGX_ATTR_INIT;
    memcpy(ret->mrenclave, g_f.sigstruct.enclave_hash, 32);
    memcpy(ret->config_id, g_f.secs.config_id, 64);
}

/* A report to oneself: its fields, and a MAC that one's own report key confirms. */
static void test_ereport(void **state)
{
    struct sgx_targetinfo ti;
    struct sgx_report r;
    struct sgx_keyrequest request = { .key_name = SGX_KEY_REPORT };
    uint8_t key[16], mac[16], mrsigner[32];

    start(SGX_ATTR_KSS | SGX_ATTR_DEBUG, 0);
    own_target(&ti);
    assert_int_equal(report(&ti, IN, DATA, OUT).run.function, SGX_EEXIT);
    fix_peek(&g_f, OUT, &r, sizeof r);
    assert_memory_equal(r.body.mrenclave, g_f.sigstruct.enclave_hash, 32);
    assert_int_equal(emu_sigstruct_verify(&g_f.sigstruct, mrsigner), 0);
    assert_memory_equal(r.body.mrsigner, mrsigner, 32);
    assert_int_equal(r.body.isv_prod_id, 7);
    assert_int_equal(r.body.isv_svn, 3);
    assert_int_equal(r.body.attributes.flags,
                     SGX_ATTR_INIT | SGX_ATTR_MODE64BIT | SGX_ATTR_KSS | SGX_ATTR_DEBUG);
    assert_int_equal(r.body.attributes.xfrm, 7);
    assert_int_equal(r.body.misc_select, 1);
    assert_int_equal(r.body.config_id[0], 0xc1);
    assert_int_equal(r.body.config_svn, 5);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(r.body.report_data[i], i);
    memcpy(request.key_id, r.key_id, 32);
    assert_int_equal(get_key(&request, key), 0);
    cmac(key, &r.body, sizeof r.body, mac);
    assert_memory_equal(mac, r.mac, 16);
    r.body.report_data[0] ^= 1;
    cmac(key, &r.body, sizeof r.body, mac);
    assert_memory_not_equal(mac, r.mac, 16);
    /* for anybody else the MAC is another one */
    for (unsigned i = 0; i < 5; i++) {
        struct sgx_report other;

        own_target(&ti);
        if (i == 0)
            ti.mrenclave[0] ^= 1;
        else if (i == 1)
            ti.attributes.flags ^= SGX_ATTR_DEBUG;
        else if (i == 2)
            ti.misc_select ^= 1;
        else if (i == 3)
            ti.config_id[1] ^= 1;
        else
            ti.config_svn ^= 1;
        report(&ti, IN, DATA, OUT);
        fix_peek(&g_f, OUT, &other, sizeof other);
        r.body.report_data[0] = 0;
        assert_memory_equal(&other.body, &r.body, sizeof r.body);
        assert_memory_not_equal(other.mac, r.mac, 16);
    }
    fix_stop(&g_f);
}

static void test_ereport_refusals(void **state)
{
    struct sgx_targetinfo ti, bad;

    start(0, 0);
    own_target(&ti);
    static const struct {
        uint64_t in, data, out;
        unsigned vector;
    } cases[] = {
        { IN + 256, DATA, OUT, 13 }, { IN, DATA + 64, OUT, 13 },    { IN, DATA, OUT + 256, 13 },
        { FIX_SIZE, DATA, OUT, 13 }, { IN, FIX_SIZE, OUT, 13 },     { IN, DATA, FIX_SIZE, 13 },
        { IN, DATA, FIX_CODE, 14 },  { FIX_TCS(0), DATA, OUT, 14 }, { IN, DATA, FIX_FREE, 14 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(report(&ti, cases[i].in, cases[i].data, cases[i].out).run.exception_vector,
                         cases[i].vector);
        skip_enclu(3);
    }
    for (unsigned i = 0; i < 3; i++) {
        bad = ti;
        if (i == 0)
            bad.reserved1 = 1;
        else if (i == 1)
            bad.reserved2[7] = 1;
        else
            bad.reserved3[383] = 1;
        assert_int_equal(report(&bad, IN, DATA, OUT).run.exception_vector, 13);
        skip_enclu(3);
    }
    fix_stop(&g_f);
}

static void test_fuse_file(void **state)
{
    char dir[] = "/tmp/sgx-fuse-XXXXXX", path[128];
    uint8_t a[32], b[32];
    const char *saved = getenv("CLOCHE_EMU_FUSE");
    char keep[512] = "";
    struct stat st;

    if (saved)
        snprintf(keep, sizeof keep, "%s", saved);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b/fuse.key", dir);
    setenv("CLOCHE_EMU_FUSE", path, 1);
    assert_int_equal(emu_fuse_get(a), 0); /* made, with its folders */
    assert_int_equal(emu_fuse_get(b), 0); /* and read again */
    assert_memory_equal(a, b, 32);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(emu_fuse_get(b), 0);
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(truncate(path, 31), 0);
    assert_int_equal(emu_fuse_get(b), -EBADMSG); /* never a shorter key */
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/a/b", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/a", dir);
    rmdir(path);
    rmdir(dir);
    if (keep[0])
        setenv("CLOCHE_EMU_FUSE", keep, 1);
    else
        unsetenv("CLOCHE_EMU_FUSE");
}

#define UNIT(name) cmocka_unit_test_teardown(name, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_seal_key), UNIT(test_seal_key_identity), UNIT(test_egetkey_refusals),
        UNIT(test_ereport),  UNIT(test_ereport_refusals),  UNIT(test_fuse_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
