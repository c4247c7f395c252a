/* SPDX-License-Identifier: Apache-2.0 */
/* Nonces: each of its own, good for two minutes by the server's clock, of this control plane's keys, used once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/base64url.h"
#include "server/exchange/internal.h"
#include "tests/unit/server/fixture.h"

#define NOW 1800000000

static struct server g_server;

static int setup(void **state)
{
    g_server.store = fixture_store();
    g_server.keys = fixture_keys(g_server.store, "a passphrase");
    return 0;
}

static int teardown(void **state)
{
    keys_close(g_server.keys);
    store_close(g_server.store);
    fixture_done();
    return 0;
}

static void make(uint8_t ret[EXCHANGE_NONCE_SIZE])
{
    char text[EXCHANGE_NONCE_TEXT_SIZE];
    struct err err = { "" };

    assert_int_equal(nonce_make(&g_server, NOW, text, &err), 0);
    assert_int_equal(base64url_decoded_size(strlen(text)), EXCHANGE_NONCE_SIZE);
    assert_int_equal(base64url_decode(text, strlen(text), ret), 0);
}

static void test_life(void **state)
{
    uint8_t nonce[EXCHANGE_NONCE_SIZE];
    struct err err = { "" };

    make(nonce);
    assert_int_equal(nonce_check(&g_server, nonce, NOW, &err), 0);
    assert_int_equal(nonce_check(&g_server, nonce, NOW + EXCHANGE_NONCE_LIFE_S, &err), 0);
    assert_int_equal(nonce_check(&g_server, nonce, NOW + EXCHANGE_NONCE_LIFE_S + 1, &err), -EACCES);
    assert_non_null(strstr(err.text, "old"));
    assert_int_equal(nonce_check(&g_server, nonce, NOW + 100000000, &err), -EACCES);
}

static void test_changed(void **state)
{
    uint8_t nonce[EXCHANGE_NONCE_SIZE], other[EXCHANGE_NONCE_SIZE];
    struct err err = { "" };

    make(nonce);
    make(other);
    assert_memory_not_equal(nonce, other, sizeof nonce);
    for (unsigned i = 0; i < sizeof nonce; i++) { /* no byte is free, its time least of all */
        nonce[i] ^= 1;
        assert_int_equal(nonce_check(&g_server, nonce, NOW, &err), -EACCES);
        nonce[i] ^= 1;
    }
    assert_int_equal(nonce_check(&g_server, nonce, NOW, &err), 0);
}

static int use_in(struct store_tx *tx, void *arg, struct err *err)
{
    return nonce_use(tx, arg, (NOW + 130) * 1000ll, err);
}

static void test_once(void **state)
{
    uint8_t nonce[EXCHANGE_NONCE_SIZE];
    struct err err = { "" };

    make(nonce);
    assert_int_equal(store_write(g_server.store, use_in, nonce, &err), 0);
    assert_int_equal(store_write(g_server.store, use_in, nonce, &err), -EEXIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_once),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
