/* SPDX-License-Identifier: Apache-2.0 */
/* AES-128-CMAC against RFC 4493 and OpenSSL; the derived keys against SP 800-108 done by hand; vector registers are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "lib/ct.h"
#include "tee/enclave/cmac.h"

static void by_openssl(const uint8_t key[16], const void *data, size_t size, uint8_t ret[16])
{
    char cipher[] = "AES-128-CBC";
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
                            OSSL_PARAM_construct_end() };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t len = 0;

    assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, data, size), 1);
    assert_int_equal(EVP_MAC_final(ctx, ret, &len, 16), 1);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

/* RFC 4493, section 4. */
static void test_rfc_4493(void **state)
{
    static const uint8_t key[16] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                     0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
    static const uint8_t text[40] = { 0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d,
                                      0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a, 0xae, 0x2d, 0x8a, 0x57,
                                      0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf,
                                      0x8e, 0x51, 0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11 };
    static const struct {
        size_t size;
        uint8_t mac[16];
    } examples[] = {
        { 0,
          { 0xbb, 0x1d, 0x69, 0x29, 0xe9, 0x59, 0x37, 0x28, 0x7f, 0xa3, 0x7d, 0x12, 0x9b, 0x75,
            0x67, 0x46 } },
        { 16,
          { 0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44, 0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a,
            0x28, 0x7c } },
        { 40,
          { 0xdf, 0xa6, 0x67, 0x47, 0xde, 0x9a, 0xe6, 0x30, 0x30, 0xca, 0x32, 0x61, 0x14, 0x97,
            0xc8, 0x27 } },
    };
    uint8_t mac[16];

    for (size_t i = 0; i < ARRAY_COUNT(examples); i++) {
        cmac_compute(key, text, examples[i].size, mac);
        assert_memory_equal(mac, examples[i].mac, 16);
    }
}

static void test_all_sizes(void **state)
{
    uint8_t key[16], data[433], mac[16], want[16];

    assert_int_equal(RAND_bytes(data, sizeof data), 1);
    for (size_t size = 0; size <= sizeof data; size++) {
        assert_int_equal(RAND_bytes(key, sizeof key), 1);
        cmac_compute(key, data, size, mac);
        by_openssl(key, data, size, want);
        assert_memory_equal(mac, want, 16);
    }
}

static void test_derived_keys(void **state)
{
    static const uint8_t key[16] = { 1, 2, 3 };
    static const uint8_t first[] = { 0, 0, 0, 1, 'd', 'i', 's', 'k', 0, 0, 0, 1, 0 };
    static const uint8_t second[] = { 0, 0, 0, 2, 'd', 'i', 's', 'k', 0, 0, 0, 1, 0 };
    uint8_t want[32], got[32], other[32], long_label[CMAC_LABEL_SIZE_MAX] = { 9 };

    by_openssl(key, first, sizeof first, want);
    by_openssl(key, second, sizeof second, want + 16);
    cmac_derive_256(key, "disk", 4, got);
    assert_memory_equal(got, want, 32);
    cmac_derive_256(key, "disk\0", 5, other);
    assert_memory_not_equal(got, other, 32);
    cmac_derive_256(key, long_label, sizeof long_label, other);
    assert_memory_not_equal(got, other, 32);
}

/* What the program had in XMM0 to XMM2 is there afterwards. */
static void test_vectors_are_kept(void **state)
{
    static const uint8_t key[16] = { 5 }, text[48] = { 6 };
    uint8_t before[48], after[48], mac[16];

    for (unsigned i = 0; i < sizeof before; i++)
        before[i] = (uint8_t)(i + 1);
    __asm__ volatile("movups (%0), %%xmm0\n movups 16(%0), %%xmm1\n movups 32(%0), %%xmm2\n"
                     "mov %2, %%rdi\n mov %3, %%rsi\n mov $48, %%edx\n mov %4, %%rcx\n"
                     "sub $128, %%rsp\n call cmac_compute\n add $128, %%rsp\n"
                     "movups %%xmm0, (%1)\n movups %%xmm1, 16(%1)\n movups %%xmm2, 32(%1)\n"
                     :
                     : "b"(before), "r"(after), "r"(key), "r"(text), "r"(mac)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1",
                       "xmm2", "memory");
    assert_memory_equal(before, after, sizeof before);
}

static void test_ct(void **state)
{
    uint8_t a[33] = { 0 }, b[33] = { 0 };

    assert_true(ct_equal(a, b, sizeof a));
    for (size_t i = 0; i < 8 * sizeof a; i++) {
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(ct_equal(a, b, sizeof a));
        b[i / 8] = 0;
    }
    memset(a, 7, sizeof a);
    ct_wipe(a, sizeof a);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_4493),     cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_derived_keys), cmocka_unit_test(test_vectors_are_kept),
        cmocka_unit_test(test_ct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
