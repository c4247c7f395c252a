/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence from configfs-tsm: every provider's answer as a CMW, and what the host puts beside it. A folder with plain files stands for a report. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "attest/attest.h"
#include "attest/cert.h"
#include "attest/collateral.h"

#define ENTRY_SIZE 24u

static char g_folder[64];
static const uint8_t g_vcek[16] = { 0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45,
                                    0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };
static const uint8_t g_ask[16] = { 0x79, 0xb3, 0xb7, 0x4a, 0xac, 0xbb, 0xe4, 0x4f,
                                   0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82 };
static const uint8_t g_ark[16] = { 0xa4, 0x06, 0xb4, 0xc0, 0x03, 0xa8, 0x52, 0x49,
                                   0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae };

static void put(const char *name, const void *data, size_t size)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", g_folder, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    return remove(path);
}

static int setup(void **state)
{
    snprintf(g_folder, sizeof g_folder, "/tmp/cloche-test-tsm-XXXXXX");
    if (!mkdtemp(g_folder))
        return -1;
    put("inblob", "", 0);
    put("generation", "1\n", 2);
    put("provider", "tdx_guest\n", 10);
    put("outblob", "evidence", 8);
    return 0;
}

static int teardown(void **state)
{
    return nftw(g_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int get(struct cmw **ret, struct err *err)
{
    struct attest_source source = attest_source_tsm(g_folder);
    static const uint8_t report_data[64] = { 1, 2, 3 };

    return source.get(source.arg, report_data, ret, err);
}

static struct cmw *get_good(void)
{
    struct cmw *cmw = NULL;
    struct err err = { 0 };

    if (get(&cmw, &err) < 0)
        fail_msg("%s", err.text);
    return cmw;
}

static void assert_record(const struct cmw *cmw, int parent, const char *label, const char *type,
                          const char *bytes)
{
    int index = cmw_item_find(cmw, parent, label);

    assert_true(index >= 0);
    assert_string_equal(cmw_item_get(cmw, index)->type, type);
    assert_int_equal(cmw_item_get(cmw, index)->size, strlen(bytes));
    assert_memory_equal(cmw_item_get(cmw, index)->data, bytes, strlen(bytes));
}

static void quotes_of_guests_and_enclaves(void **state)
{
    static const char *const providers[] = { "tdx_guest\n", "cloche_sgx\n", "cloche_sgx" };
    char path[128];
    uint8_t written[65];
    FILE *f;

    for (size_t i = 0; i < ARRAY_COUNT(providers); i++) {
        put("provider", providers[i], strlen(providers[i]));
        struct cmw *cmw = get_good();

        assert_record(cmw, 0, "evidence", CMW_TYPE_INTEL_QUOTE, "evidence");
        assert_int_equal(cmw_item_count(cmw), 2);
        cmw_free(cmw);
    }
    snprintf(path, sizeof path, "%s/inblob", g_folder);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(written, 1, sizeof written, f), 64);
    fclose(f);
    assert_memory_equal(written, "\1\2\3\0", 4);
}

static void collateral_that_the_host_has(void **state)
{
    static const char aux[] =
        "{\"tcb_info\":[\"application/json\",\"e30\",2],\"other\":[\"a/b\",\"e30\"]}";
    static const char nested[] =
        "{\"collateral\":{\"root_ca_crl\":[\"application/pkix-crl\",\"e30\",2]}}";
    struct cmw *cmw;

    put("auxblob", aux, sizeof aux - 1);
    cmw = get_good();
    assert_record(cmw, cmw_item_find(cmw, 0, "collateral"), "tcb_info", CMW_TYPE_JSON, "{}");
    assert_int_equal(cmw_item_count(cmw), 4); /* what is not known was left out */
    cmw_free(cmw);
    put("auxblob", nested, sizeof nested - 1);
    cmw = get_good();
    assert_record(cmw, cmw_item_find(cmw, 0, "collateral"), "root_ca_crl", CMW_TYPE_CRL, "{}");
    cmw_free(cmw);
    put("auxblob", "nonsense", 8); /* the host's word: no reason to have no evidence */
    cmw = get_good();
    assert_record(cmw, 0, "evidence", CMW_TYPE_INTEL_QUOTE, "evidence");
    assert_int_equal(cmw_item_count(cmw), 2);
    cmw_free(cmw);
}

static void put_entry(uint8_t *table, unsigned index, const uint8_t guid[16], uint32_t off,
                      uint32_t size)
{
    uint8_t *entry = table + index * ENTRY_SIZE;

    memcpy(entry, guid, 16);
    for (unsigned i = 0; i < 4; i++) {
        entry[16 + i] = (uint8_t)(off >> 8 * i);
        entry[20 + i] = (uint8_t)(size >> 8 * i);
    }
}

static void certificates_of_amd(void **state)
{
    uint8_t table[4 * ENTRY_SIZE + 10] = { 0 };
    struct cmw *cmw;
    int collateral;

    put("provider", "sev_guest\n", 10);
    put_entry(table, 0, g_vcek, 4 * ENTRY_SIZE, 4);
    put_entry(table, 1, g_ark, 4 * ENTRY_SIZE + 7, 3);
    put_entry(table, 2, g_ask, 4 * ENTRY_SIZE + 4, 3);
    memcpy(table + 4 * ENTRY_SIZE, "vcekaskark", 10);
    put("auxblob", table, sizeof table);
    cmw = get_good();
    collateral = cmw_item_find(cmw, 0, "collateral");
    assert_record(cmw, 0, "evidence", CMW_TYPE_SNP_REPORT, "evidence");
    assert_record(cmw, collateral, "vek", CMW_TYPE_CERT, "vcek");
    assert_record(cmw, collateral, "vek_chain", CMW_TYPE_PEM_CHAIN, "askark");
    cmw_free(cmw);
    put_entry(table, 0, g_vcek, 4 * ENTRY_SIZE, 11); /* one byte past the end */
    put("auxblob", table, sizeof table);
    cmw = get_good();
    assert_int_equal(cmw_item_find(cmw, cmw_item_find(cmw, 0, "collateral"), "vek"), -ENOENT);
    cmw_free(cmw);
}

/* A report in a certificate: a record of the media type, and the claims that both ends can write down. */
static void certificate_of_amd(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct cert_binding binding;
    struct cert_content content;
    struct cmw *cmw;
    X509 *cert;

    put("provider", "sev_guest\n", 10);
    uint8_t table[2 * ENTRY_SIZE + 4] = { 0 };
    put_entry(table, 0, g_vcek, 2 * ENTRY_SIZE, 4);
    memcpy(table + 2 * ENTRY_SIZE, "vcek", 4);
    put("auxblob", table, sizeof table);
    cmw = get_good();
    assert_int_equal(cert_binding_make(key, &binding), 0);
    assert_int_equal(cert_new(key, &binding, cmw, 1000, 2000, &cert, NULL), 0);
    assert_int_equal(cert_read(cert, &content, NULL), 0);
    assert_int_equal(content.evidence.size, 8);
    assert_memory_equal(content.evidence.data, "evidence", 8);
    assert_memory_equal(content.report_data, binding.report_data, 64);
    assert_int_equal(content.not_before_s, 1000);
    assert_int_equal(content.not_after_s, 2000);
    assert_int_equal(content.collateral.vek.size, 4);
    assert_memory_equal(content.collateral.vek.data, "vcek", 4);
    cert_content_done(&content);
    X509_free(cert);
    cmw_free(cmw);
    EVP_PKEY_free(key);
}

static void what_is_refused(void **state)
{
    struct cmw *cmw = NULL;
    struct err err = { 0 };

    put("provider", "arm_cca_guest\n", 14);
    assert_int_equal(get(&cmw, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "arm_cca_guest"));
    put("provider", "tdx_guest\n", 10);
    put("outblob", "", 0);
    assert_int_equal(get(&cmw, &err), -EINVAL);
    assert_int_equal(teardown(NULL), 0);
    assert_int_equal(get(&cmw, &err), -ENOENT); /* no TEE here */
    assert_non_null(strstr(err.text, "no enclave"));
    assert_null(cmw);
    assert_int_equal(setup(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(quotes_of_guests_and_enclaves, setup, teardown),
        cmocka_unit_test_setup_teardown(collateral_that_the_host_has, setup, teardown),
        cmocka_unit_test_setup_teardown(certificates_of_amd, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_of_amd, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests_name("attest-tsm", tests, NULL, NULL);
}
