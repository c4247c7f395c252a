/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: the right root key opens, others do not; blobs that were changed or moved; another root key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/server/fixture.h"

#define ORG_A "org_01hzzzzzzzzzzzzzzzzzzzzzza"
#define ORG_B "org_01hzzzzzzzzzzzzzzzzzzzzzzb"

static struct store *g_store;
static struct keys *g_keys;

static int add_org_in(struct store_tx *tx, void *arg, struct err *err)
{
    return keys_org_add(g_keys, tx, arg, err);
}

static int set_up(void **state)
{
    struct err err = { "" };

    g_store = fixture_store();
    g_keys = fixture_keys(g_store, "correct horse battery");
    assert_int_equal(store_write(g_store, add_org_in, ORG_A, &err), 0);
    assert_int_equal(store_write(g_store, add_org_in, ORG_B, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    keys_close(g_keys);
    store_close(g_store);
    return 0;
}

/* returns: what keys_unseal says; 0 only when it is "a value". */
static int unseal(const char *org_id, const char *context, const uint8_t *sealed, size_t size)
{
    struct err err = { "" };
    uint8_t *data;
    size_t data_size;
    int rc = keys_unseal(g_keys, org_id, context, sealed, size, &data, &data_size, &err);

    if (rc < 0)
        return rc;
    assert_int_equal(data_size, 7);
    assert_memory_equal(data, "a value", 8); /* and the 0 behind it */
    secret_free(data, data_size);
    return 0;
}

static void test_seal(void **state)
{
    struct err err = { "" };
    uint8_t *sealed, *again;
    size_t size, again_size;

    assert_int_equal(keys_seal(g_keys, ORG_A, "secret/s/1", "a value", 7, &sealed, &size, &err), 0);
    assert_true(size <= 7 + KEYS_SEAL_OVERHEAD);
    assert_int_equal(
        keys_seal(g_keys, ORG_A, "secret/s/1", "a value", 7, &again, &again_size, &err), 0);
    assert_memory_not_equal(sealed, again, size); /* no two alike */
    free(again);
    assert_int_equal(unseal(ORG_A, "secret/s/1", sealed, size), 0);
    assert_int_equal(unseal(ORG_A, "secret/s/2", sealed, size), -EBADMSG);
    assert_int_equal(unseal(ORG_B, "secret/s/1", sealed, size), -EBADMSG);
    assert_int_equal(unseal(NULL, "secret/s/1", sealed, size), -EBADMSG);
    assert_int_equal(unseal("org_01hzzzzzzzzzzzzzzzzzzzzzzc", "secret/s/1", sealed, size), -ENOENT);
    for (size_t i = 0; i < size; i++) {
        sealed[i] ^= 0x20;
        assert_int_equal(unseal(ORG_A, "secret/s/1", sealed, size), -EBADMSG);
        sealed[i] ^= 0x20;
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(unseal(ORG_A, "secret/s/1", sealed, cut), -EBADMSG);
    assert_int_equal(unseal(ORG_A, "secret/s/1", sealed, size), 0);
    free(sealed);
}

static void test_seal_empty(void **state)
{
    struct err err = { "" };
    uint8_t *sealed, *data;
    size_t size, data_size;

    assert_int_equal(keys_seal(g_keys, NULL, "c", NULL, 0, &sealed, &size, &err), 0);
    assert_int_equal(keys_unseal(g_keys, NULL, "c", sealed, size, &data, &data_size, &err), 0);
    assert_int_equal(data_size, 0);
    assert_int_equal(data[0], 0);
    secret_free(data, data_size);
    free(sealed);
}

static void test_mac(void **state)
{
    struct err err = { "" };
    uint8_t mac[KEYS_MAC_SIZE];

    assert_int_equal(keys_mac(g_keys, ORG_A, "build", "row", 3, mac, &err), 0);
    assert_int_equal(keys_mac_verify(g_keys, ORG_A, "build", "row", 3, mac, sizeof mac, &err), 0);
    assert_int_equal(keys_mac_verify(g_keys, ORG_A, "build", "roW", 3, mac, sizeof mac, &err),
                     -EBADMSG);
    assert_int_equal(keys_mac_verify(g_keys, ORG_A, "buil", "drow", 4, mac, sizeof mac, &err),
                     -EBADMSG);
    assert_int_equal(keys_mac_verify(g_keys, ORG_B, "build", "row", 3, mac, sizeof mac, &err),
                     -EBADMSG);
    assert_int_equal(keys_mac_verify(g_keys, ORG_A, "build", "row", 3, mac, 31, &err), -EBADMSG);
    assert_int_equal(keys_mac_verify(g_keys, ORG_A, "build", "row", 3, NULL, 0, &err), -EBADMSG);
}

/* Opens the store's keys anew with this passphrase. */
static int open_again(const char *passphrase)
{
    struct keys_source source = fixture_passphrase(passphrase);
    struct err err = { "" };

    keys_close(g_keys);
    g_keys = NULL;
    return keys_open(g_store, &source, &g_keys, &err);
}

static void test_open(void **state)
{
    struct err err = { "" };
    uint8_t *sealed;
    size_t size;

    assert_int_equal(keys_seal(g_keys, ORG_A, "c", "a value", 7, &sealed, &size, &err), 0);
    assert_int_equal(open_again("incorrect horse"), -EACCES);
    assert_int_equal(open_again("short"), -EINVAL);
    assert_int_equal(open_again("correct horse battery"), 0);
    assert_int_equal(unseal(ORG_A, "c", sealed, size), 0);
    free(sealed);
}

/* Whoever owns the database puts one organisation's wrapped key in another's place. */
static void test_moved_key(void **state)
{
    assert_int_equal(fixture_exec(g_store,
                                  "UPDATE wrapped_keys SET sealed = (SELECT sealed FROM "
                                  "wrapped_keys WHERE org_id = '" ORG_B "') WHERE org_id = '" ORG_A
                                  "'",
                                  STORE_NO_ARGS),
                     1);
    assert_int_equal(open_again("correct horse battery"), 0);
    assert_int_equal(
        unseal(ORG_A, "c", (const uint8_t *)"0123456789012345678901234567890123456789", 41),
        -EBADMSG);
}

static void test_damaged_record(void **state)
{
    assert_int_equal(fixture_exec(g_store, "UPDATE settings SET value = $1 WHERE name = 'root_key'",
                                  STORE_ARGS(store_text(NULL))) < 0,
                     1);
    assert_int_equal(fixture_exec(g_store, "UPDATE settings SET value = $1 WHERE name = 'root_key'",
                                  STORE_ARGS(store_blob("{\"kind\":\"passphrase\",\"memory_kib\":"
                                                        "99999999999,\"passes\":1,\"salt\":"
                                                        "\"00112233445566778899aabbccddeeff\"}",
                                                        99))),
                     1);
    assert_int_equal(open_again("correct horse battery"), -EBADMSG);
}

static void test_rekey(void **state)
{
    struct keys_source source;
    struct err err = { "" };
    struct keys *other;
    uint8_t *sealed, *data;
    size_t size, data_size;

    assert_int_equal(keys_seal(g_keys, ORG_A, "c", "a value", 7, &sealed, &size, &err), 0);
    other = fixture_keys(g_store, "correct horse battery");
    source = fixture_passphrase("another passphrase");
    assert_int_equal(keys_rekey(g_keys, &source, &err), 0);
    assert_int_equal(unseal(ORG_A, "c", sealed, size), 0);
    /* A server that still has the old root key wraps nothing with it. */
    {
        struct keys *mine = g_keys;

        g_keys = other;
        assert_int_equal(store_write(g_store, add_org_in, "org_01hzzzzzzzzzzzzzzzzzzzzzzd", &err),
                         -EACCES);
        assert_int_equal(keys_refresh(other, NULL, &err), 1); /* the file has the new one */
        assert_int_equal(store_write(g_store, add_org_in, "org_01hzzzzzzzzzzzzzzzzzzzzzzd", &err),
                         0);
        g_keys = mine;
        keys_close(other);
    }
    assert_int_equal(store_write(g_store, add_org_in, "org_01hzzzzzzzzzzzzzzzzzzzzzze", &err), 0);
    assert_int_equal(open_again("correct horse battery"), -EACCES);
    assert_int_equal(open_again("another passphrase"), 0);
    assert_int_equal(unseal(ORG_A, "c", sealed, size), 0);
    free(sealed);
    assert_int_equal(
        keys_seal(g_keys, "org_01hzzzzzzzzzzzzzzzzzzzzzze", "c", "", 0, &sealed, &size, &err), 0);
    assert_int_equal(keys_unseal(g_keys, "org_01hzzzzzzzzzzzzzzzzzzzzzze", "c", sealed, size, &data,
                                 &data_size, &err),
                     0);
    secret_free(data, data_size);
    free(sealed);
}

static int forge_key_in(struct store_tx *tx, void *arg, struct err *err)
{
    return store_exec(tx, "UPDATE wrapped_keys SET sealed = $1 WHERE org_id = ''",
                      STORE_ARGS(store_blob("forged", 6)), err);
}

/* A server that runs while another program changes the root key. */
static void test_rekey_meanwhile(void **state)
{
    char org[] = "org_01hzzzzzzzzzzzzzzzzzzzzzzg";
    struct keys_source old = { KEYS_PASSPHRASE_FILE, "" }, new, wrong;
    char path[128];
    struct err err = { "" };
    struct keys *running;
    uint8_t *sealed;
    size_t size;
    FILE *file;

    snprintf(path, sizeof path, "%s/old", fixture_folder());
    file = fopen(path, "w");
    assert_true(file && fputs("correct horse battery\n", file) >= 0 && fclose(file) == 0);
    old.location = wrong.location = path;
    wrong.kind = KEYS_PASSPHRASE_FILE;
    assert_int_equal(keys_open(g_store, &old, &running, &err), 0);
    assert_int_equal(keys_refresh(running, NULL, &err), 0);
    new = fixture_passphrase("another passphrase");
    assert_int_equal(keys_rekey(g_keys, &new, &err), 0);
    assert_int_equal(store_write(g_store, add_org_in, org, &err), 0);
    /* What it had when it was opened goes on, though it was never asked for; what came since does not. */
    assert_int_equal(keys_seal(running, ORG_B, "c", "a value", 7, &sealed, &size, &err), 0);
    assert_int_equal(unseal(ORG_B, "c", sealed, size), 0);
    free(sealed);
    assert_int_equal(keys_seal(running, org, "c", "a value", 7, &sealed, &size, &err), -EACCES);
    assert_non_null(strstr(err.text, "SIGHUP"));
    assert_int_equal(keys_refresh(running, NULL, &err), -EACCES);
    assert_int_equal(keys_refresh(running, &wrong, &err), -EACCES);
    assert_int_equal(keys_refresh(running, &new, &err), 1);
    assert_int_equal(keys_refresh(running, NULL, &err), 0);
    assert_int_equal(keys_seal(running, org, "c", "a value", 7, &sealed, &size, &err), 0);
    free(sealed);
    /* It follows by itself where the source has the new one; but to no other key of the server. */
    new = fixture_passphrase("a third passphrase");
    assert_int_equal(keys_rekey(g_keys, &new, &err), 0);
    assert_int_equal(keys_refresh(running, NULL, &err), 1);
    new = fixture_passphrase("a fourth passphrase");
    assert_int_equal(keys_rekey(g_keys, &new, &err), 0);
    assert_int_equal(store_write(g_store, forge_key_in, NULL, &err), 1);
    assert_true(keys_refresh(running, NULL, &err) < 0);
    assert_int_equal(keys_seal(running, org, "c", "a value", 7, &sealed, &size, &err), 0);
    free(sealed);
    keys_close(running);
}

static int add_and_fail_in(struct store_tx *tx, void *arg, struct err *err)
{
    int rc = keys_org_add(g_keys, tx, arg, err);

    return rc < 0 ? rc : -ECANCELED;
}

static void test_org_add(void **state)
{
    struct err err = { "" };
    char org[] = "org_01hzzzzzzzzzzzzzzzzzzzzzzf";

    assert_int_equal(store_write(g_store, add_org_in, ORG_A, &err), -EEXIST);
    assert_int_equal(store_write(g_store, add_and_fail_in, org, &err), -ECANCELED);
    assert_int_equal(store_write(g_store, add_org_in, org, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seal_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mac, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rekey, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rekey_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_org_add, set_up, tear_down),
    };
    int status = cmocka_run_group_tests_name("keys", tests, NULL, NULL);

    fixture_done();
    return status;
}
