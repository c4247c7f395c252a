/* SPDX-License-Identifier: Apache-2.0 */
/* builder/sigstruct: what is signed verifies; no bit of it may change; deterministic. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/sigstruct.h"

static char g_folder[] = "/tmp/cloche-test-XXXXXX";
static EVP_PKEY *g_key;

static int setup(void **state)
{
    const char *path;
    struct stat st;
    bool made = false;

    assert_non_null(mkdtemp(g_folder));
    setenv("XDG_CONFIG_HOME", g_folder, 1);
    assert_int_equal(sigstruct_key_load(NULL, &g_key, &made, &path, NULL), 0);
    assert_true(made);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    return 0;
}

static int teardown(void **state)
{
    char path[200];

    EVP_PKEY_free(g_key);
    snprintf(path, sizeof path, "%s/cloche/sign.pem", g_folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/cloche", g_folder);
    rmdir(path);
    return rmdir(g_folder);
}

static struct sgx_sigstruct sample(void)
{
    const uint8_t mrenclave[32] = { 1, 2, 3 };
    const struct sigstruct_terms terms = { .date = 0x20260101, .isv_prod_id = 7, .isv_svn = 513 };
    struct sgx_sigstruct s;

    assert_int_equal(sigstruct_sign(g_key, mrenclave, &terms, &s, NULL), 0);
    return s;
}

static void test_fields(void **state)
{
    struct sgx_sigstruct s = sample();

    assert_int_equal(s.exponent, 3);
    assert_int_equal(s.date, 0x20260101);
    assert_int_equal(s.enclave_hash[2], 3);
    assert_int_equal(s.isv_prod_id, 7);
    assert_int_equal(s.isv_svn, 513);
    assert_int_equal(s.attributes.flags, SGX_ATTR_MODE64BIT);
    assert_true(s.attributes_mask.flags & SGX_ATTR_DEBUG);
    assert_int_equal(s.attributes.xfrm & s.attributes_mask.xfrm, SGX_XFRM_LEGACY);
    assert_int_equal(s.attributes_mask.xfrm & SGX_XFRM_AVX, 0);
    assert_int_equal(s.misc_select, SGX_MISC_EXINFO);
    /* Q1 = s^2 / n and Q2 < n: both smaller than the modulus. */
    assert_true(s.q1[383] <= s.modulus[383] && s.q2[383] <= s.modulus[383]);
}

static void test_deterministic(void **state)
{
    struct sgx_sigstruct a = sample(), b = sample();
    EVP_PKEY *again = NULL;
    const char *path;
    bool made = true;

    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(sigstruct_key_load(NULL, &again, &made, &path, NULL), 0);
    assert_false(made);
    assert_int_equal(EVP_PKEY_eq(again, g_key), 1);
    EVP_PKEY_free(again);
}

/* Bytes that neither the signature nor EINIT's checks cover: sw_defined and what lies unsigned. */
static bool is_covered(size_t off)
{
    return off < 128 || (off >= 128 && off < 900) || (off >= 900 && off < 1028) || off >= 1040;
}

static void test_each_byte_counts(void **state)
{
    struct sgx_sigstruct s = sample(), changed;

    assert_int_equal(sigstruct_verify(&s, NULL), 0);
    for (size_t off = 0; off < sizeof s; off += off < 1040 ? 1 : 7) {
        changed = s;
        ((uint8_t *)&changed)[off] ^= 0x10;
        assert_int_equal(sigstruct_verify(&changed, NULL), is_covered(off) ? -EBADMSG : 0);
    }
    memset(&changed, 0, sizeof changed);
    assert_int_equal(sigstruct_verify(&changed, NULL), -EBADMSG);
    memset(&changed, 0xff, sizeof changed);
    assert_int_equal(sigstruct_verify(&changed, NULL), -EBADMSG);
}

static void test_mrsigner(void **state)
{
    struct sgx_sigstruct s = sample();
    uint8_t one[32], other[32];

    sigstruct_mrsigner(&s, one);
    s.enclave_hash[0]++;
    sigstruct_mrsigner(&s, other);
    assert_memory_equal(one, other, 32);
    s.modulus[0]++;
    sigstruct_mrsigner(&s, other);
    assert_memory_not_equal(one, other, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_each_byte_counts),
        cmocka_unit_test(test_mrsigner),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
