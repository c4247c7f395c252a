/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent reads of a server. The first byte says what the rest is: 'b' a whole body, 'r' a refusal's body, 'p' an answer's payload (signed here; certificates and roots are
 * put in where they are the number 0), 'o' the payload of orders, 's' the secrets that a JWE held, 'w' the words of the handover.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tee/agent/server/answer.h"
#include "tee/agent/server/config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/agent/answer_pki.h"

#define NONCE "n"
#define INSTANCE "i"
#define TIME_S 1800000000
#define TEXT_SIZE_MAX 65536u

static struct answer_pki g_pki;
static struct jose_key g_key;
static struct pins g_pins;
static char *g_leaf, *g_root;

static void setup(void)
{
    X509 *leaf;

    if (g_leaf)
        return;
    answer_pki_init(&g_pki);
    pin_init(&g_pins, g_pki.pin);
    if (jose_key_new(&g_key) < 0)
        abort();
    leaf = answer_pki_issue(&g_pki, g_key.key, "spiffe://x/org/a", 0, TIME_S);
    g_leaf = answer_pki_pem(leaf);
    g_root = answer_pki_pem(g_pki.root);
    X509_free(leaf);
}

static struct answer_question question(void)
{
    return (struct answer_question){
        .pins = &g_pins, .key = &g_key, .nonce = NONCE, .instance = INSTANCE
    };
}

static bool is_zero(const json_t *payload, const char *name)
{
    const json_t *value = json_object_get(payload, name);

    return json_is_integer(value) && json_integer_value(value) == 0;
}

/* Signed, as a server would; NULL: no JSON. For free(). */
static char *sign(const char *text, size_t size)
{
    json_t *payload = json_loadb(text, size, 0, NULL);
    char *plain, *body;

    if (!json_is_object(payload)) {
        json_decref(payload);
        return NULL;
    }
    if (is_zero(payload, "certificates"))
        json_object_set_new(payload, "certificates", json_pack("[s]", g_leaf));
    if (is_zero(payload, "roots"))
        json_object_set_new(payload, "roots", json_pack("[s]", g_root));
    plain = json_dumps(payload, JSON_COMPACT);
    json_decref(payload);
    if (!plain)
        return NULL;
    body = answer_pki_sign(&g_pki, plain, NULL, NULL, NULL, 0);
    free(plain);
    return body;
}

static void try_answer(const char *body, size_t size)
{
    struct answer_question q = question();
    struct answer a;
    struct lease lease = { 0 };
    struct err err = { 0 };

    if (answer_parse(&q, body, size, &a, &err) < 0) {
        assert(err.text[0]);
        return;
    }
    assert(strcmp(a.instance, INSTANCE) == 0 && a.server_count <= ANSWER_SERVERS_MAX);
    if (lease_take(&lease, &a.terms, 1000, 2000) == 0)
        assert(lease.end_ms > lease.renew_ms && lease.end_ms <= 1000 + LEASE_MAX_S * 1000ull);
    answer_done(&a);
}

static void try_orders(const char *body, size_t size)
{
    static struct answer_orders orders;
    struct answer_question q = question();

    if (answer_orders_parse(&q, "w", body, size, &orders, NULL) == 0)
        assert(orders.count <= ANSWER_ORDERS_MAX);
}

static void try_refusal(const char *body, size_t size)
{
    struct answer_question q = question();
    struct answer_refusal r;
    char line[512];

    answer_refusal_parse(&q, body, size, &r);
    assert(!r.is_final || r.is_signed);
    answer_refusal_print(&r, line, sizeof line);
    for (const char *c = line; *c; c++)
        assert((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void try_secrets(const uint8_t *plain, size_t size)
{
    struct secret_list list;

    if (secret_list_parse(plain, size, NONCE, &list, NULL) < 0)
        return;
    assert(list.count <= SECRET_COUNT_MAX);
    for (unsigned i = 0; i < list.count; i++) {
        const struct secret *s = &list.items[i];

        assert(s->size <= SECRET_VALUE_SIZE_MAX && s->name[0]);
        assert(s->delivery != SECRET_FILE || (s->target[0] == '/' && !strstr(s->target, "/../")));
        assert(s->delivery != SECRET_ENV || strlen((char *)s->value) == s->size);
    }
    secret_list_done(&list);
}

static void try_words(const char *text, size_t size)
{
    char *words = strndup(text, size);
    struct config c;

    if (config_parse(words, &c) == 0)
        assert(c.exchange.server_count >= 1 && c.start_limit_s >= 1 && c.stop_signal > 0);
    free(words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    char *body;

    if (size < 1 || size > TEXT_SIZE_MAX)
        return 0;
    setup();
    switch (data[0]) {
    case 'b':
        try_answer(text, size - 1);
        try_orders(text, size - 1);
        break;
    case 'r':
        try_refusal(text, size - 1);
        break;
    case 's':
        try_secrets(data + 1, size - 1);
        break;
    case 'w':
        try_words(text, size - 1);
        break;
    case 'p':
    case 'o':
        body = sign(text, size - 1);
        if (body) {
            data[0] == 'p' ? try_answer(body, strlen(body)) : try_orders(body, strlen(body));
            try_refusal(body, strlen(body));
        }
        free(body);
        break;
    }
    return 0;
}
