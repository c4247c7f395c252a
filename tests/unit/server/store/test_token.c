/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 token (SoftHSM): data objects read, keys that open and keys that do not, PINs, URIs that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>

#include "server/crypto/keys.h"
#include "server/crypto/token.h"
#include "tests/unit/server/fixture.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define PIN "87654321"

static char g_uri[512];
static const uint8_t g_nonce[12] = { 1 };

static void run(const char *const *words)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        freopen("/dev/null", "w", stdout);
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", fixture_folder(), name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Objects that no tool at hand makes: a data object, two with one label, two AES keys. */
static void make_objects(void)
{
    CK_FUNCTION_LIST *m = p11_kit_module_load(MODULE, 0);
    CK_OBJECT_CLASS data = CKO_DATA, key = CKO_SECRET_KEY;
    CK_KEY_TYPE aes = CKK_AES;
    CK_BBOOL yes = CK_TRUE;
    CK_SESSION_HANDLE session;
    CK_SLOT_ID slots[4];
    CK_ULONG count = 4;
    CK_OBJECT_HANDLE object;
    uint8_t bytes[32] = { 0 };

    assert_non_null(m);
    assert_int_equal(p11_kit_module_initialize(m), CKR_OK);
    assert_int_equal(m->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    assert_int_equal(
        m->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
        CKR_OK);
    assert_int_equal(m->C_Login(session, CKU_USER, (CK_UTF8CHAR *)PIN, 8), CKR_OK);
    for (unsigned i = 0; i < 3; i++) {
        CK_ATTRIBUTE attributes[] = { { CKA_CLASS, &data, sizeof data },
                                      { CKA_TOKEN, &yes, sizeof yes },
                                      { CKA_PRIVATE, &yes, sizeof yes },
                                      { CKA_LABEL, i ? "twice" : "db-password", i ? 5 : 11 },
                                      { CKA_VALUE, "from the token", 14 } };

        assert_int_equal(m->C_CreateObject(session, attributes, 5, &object), CKR_OK);
    }
    for (unsigned i = 0; i < 2; i++) {
        CK_ATTRIBUTE attributes[] = {
            { CKA_CLASS, &key, sizeof key },
            { CKA_KEY_TYPE, &aes, sizeof aes },
            { CKA_TOKEN, &yes, sizeof yes },
            { CKA_SENSITIVE, &yes, sizeof yes },
            { CKA_ENCRYPT, &yes, sizeof yes },
            { CKA_DECRYPT, &yes, sizeof yes },
            { CKA_LABEL, i ? "other" : "root", i ? 5 : 4 },
            { CKA_VALUE, bytes, sizeof bytes },
        };

        bytes[0] = (uint8_t)i;
        assert_int_equal(m->C_CreateObject(session, attributes, ARRAY_COUNT(attributes), &object),
                         CKR_OK);
    }
    m->C_CloseSession(session);
    p11_kit_module_finalize(m);
    p11_kit_module_release(m);
}

static int set_up(void **state)
{
    const char *const make[] = { "softhsm2-util", "--init-token", "--free", "--label", "cloche",
                                 "--so-pin",      "12345678",     "--pin",  PIN,       NULL };
    char text[512], path[256];

    snprintf(path, sizeof path, "%s/tokens", fixture_folder());
    mkdir(path, 0700);
    snprintf(text, sizeof text,
             "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", path);
    write_file("softhsm2.conf", text);
    snprintf(path, sizeof path, "%s/softhsm2.conf", fixture_folder());
    setenv("SOFTHSM2_CONF", path, 1);
    run(make);
    write_file("pin", PIN "\n");
    make_objects();
    snprintf(g_uri, sizeof g_uri,
             "pkcs11:token=cloche;object=root?module-path=" MODULE "&pin-source=file:%s/pin",
             fixture_folder());
    return 0;
}

static void test_data(void **state)
{
    struct err err = { "" };
    struct token *token;
    uint8_t *data;
    size_t size;

    assert_int_equal(token_open(g_uri, &token, &err), 0);
    assert_string_equal(token_object_label(token), "root");
    assert_int_equal(token_data_read(token, "db-password", &data, &size, &err), 0);
    assert_int_equal(size, 14);
    assert_string_equal((char *)data, "from the token");
    secret_free(data, size);
    assert_int_equal(token_data_read(token, "none", &data, &size, &err), -ENOENT);
    assert_int_equal(token_data_read(token, "twice", &data, &size, &err), -ENOENT);
    assert_int_equal(token_data_read(token, "root", &data, &size, &err), -ENOENT); /* a key */
    token_close(token);
}

static void test_keys(void **state)
{
    struct err err = { "" };
    uint8_t sealed[48], plain[48], key[32] = "thirty-two bytes of some root ke";
    struct token *token;

    assert_int_equal(token_open(g_uri, &token, &err), 0);
    assert_int_equal(token_encrypt(token, "root", g_nonce, key, 32, sealed, sizeof sealed, &err),
                     48);
    assert_int_equal(token_decrypt(token, "root", g_nonce, sealed, 48, plain, sizeof plain, &err),
                     32);
    assert_memory_equal(plain, key, 32);
    assert_int_equal(token_decrypt(token, "other", g_nonce, sealed, 48, plain, sizeof plain, &err),
                     -EACCES);
    sealed[3] ^= 1;
    assert_int_equal(token_decrypt(token, "root", g_nonce, sealed, 48, plain, sizeof plain, &err),
                     -EACCES);
    assert_int_equal(token_encrypt(token, "none", g_nonce, key, 32, sealed, sizeof sealed, &err),
                     -ENOENT);
    assert_int_equal(
        token_encrypt(token, "db-password", g_nonce, key, 32, sealed, sizeof sealed, &err),
        -ENOENT);
    token_close(token);
}

static int try(const char *format, const char *pin)
{
    struct err err = { "" };
    struct token *token;
    char uri[512];
    int rc;

    write_file("pin", pin);
    snprintf(uri, sizeof uri, format, fixture_folder());
    rc = token_open(uri, &token, &err);
    if (rc == 0)
        token_close(token);
    return rc;
}

static void test_open(void **state)
{
#define GOOD "pkcs11:token=cloche?module-path=" MODULE "&pin-source=file:%s/pin"
    assert_int_equal(try(GOOD, PIN), 0);
    assert_int_equal(try(GOOD, PIN "\r\n"), 0);
    assert_int_equal(try(GOOD, "00000000"), -EACCES);
    assert_int_equal(try(GOOD, ""), -EINVAL);
    assert_int_equal(try("pkcs11:token=other?module-path=" MODULE "&pin-source=file:%s/pin", PIN),
                     -ENOENT);
    assert_int_equal(try("pkcs11:token=cloche?module-path=/none.so&pin-source=file:%s/pin", PIN),
                     -ENOENT);
    assert_int_equal(try("pkcs11:token=cloche?module-path=" MODULE "&pin-source=file:%s/none", PIN),
                     -ENOENT);
    assert_int_equal(try("pkcs11:token=cloche?pin-source=file:%s/pin", PIN), -EINVAL);
    assert_int_equal(try("pkcs11:token=cloche?module-path=" MODULE "&pin-value=" PIN, PIN),
                     -EINVAL);
    assert_int_equal(try("https://token", PIN), -EINVAL);
    assert_int_equal(try("", PIN), -EINVAL);
}

static void test_root(void **state)
{
    struct keys_source source = { KEYS_PKCS11, g_uri };
    struct store *store = fixture_store();
    struct err err = { "" };
    struct keys *keys;
    char other[512];

    write_file("pin", PIN);
    assert_int_equal(keys_open(store, &source, &keys, &err), 0);
    keys_close(keys);
    assert_int_equal(keys_open(store, &source, &keys, &err), 0);
    keys_close(keys);
    snprintf(other, sizeof other, "pkcs11:token=cloche;object=other%s", strchr(g_uri, '?'));
    source.location = other;
    assert_int_equal(keys_open(store, &source, &keys, &err), -EACCES);
    source = fixture_passphrase("correct horse battery");
    assert_int_equal(keys_open(store, &source, &keys, &err), -EACCES);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_root),
    };
    int status;

    if (access(MODULE, R_OK) < 0) {
        puts("SoftHSM is not installed");
        return 77;
    }
    status = cmocka_run_group_tests_name("token", tests, set_up, NULL);
    fixture_done();
    return status;
}
