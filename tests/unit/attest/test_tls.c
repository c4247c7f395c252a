/* SPDX-License-Identifier: Apache-2.0 */
/* Attested TLS between two ends in one process: who is accepted, who is refused and why, renewal, both directions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "attest/attest.h"
#include "attest/cert.h"
#include "attest/cert_claims.h"
#include "tests/unit/attest/quoter.h"

#define STEPS_MAX 100

static struct quoter g_quoter;
static int64_t g_now_s;         /* what the ends take for the time */
static unsigned g_source_count; /* how often evidence was asked for */
static int g_source_rc;         /* what the source fails with */
static bool g_source_lies;      /* it quotes other report data */

static int64_t now_s(void)
{
    return g_now_s;
}

static int source_get(void *arg, const uint8_t report_data[64], struct cmw **ret, struct err *err)
{
    uint8_t other[64];

    g_source_count++;
    if (g_source_rc < 0)
        return err_set(err, g_source_rc, "the source is broken");
    memcpy(other, report_data, sizeof other);
    if (g_source_lies)
        other[0] ^= 1;
    return quoter_get(arg, other, ret, err);
}

static int setup(void **state)
{
    g_now_s = time(NULL);
    g_source_count = 0;
    g_source_rc = 0;
    g_source_lies = false;
    g_quoter.mrenclave = 0x11;
    g_quoter.staples = true;
    return 0;
}

static struct attest_source source(void)
{
    return (struct attest_source){ source_get, &g_quoter };
}

/* The PKI's own policy, with this member more. */
static struct verifier_policy *policy_new(const char *more)
{
    char path[128], text[8192];
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };
    size_t size;
    FILE *f;

    snprintf(path, sizeof path, "%s/policy.json", g_quoter.folder);
    f = fopen(path, "r");
    assert_non_null(f);
    size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = '\0';
    while (size > 0 && text[size - 1] != '}')
        size--;
    snprintf(text + size - 1, sizeof text - size + 1, "%s}", more);
    if (verifier_policy_new(text, strlen(text), &policy, &err) < 0)
        fail_msg("%s", err.text);
    return policy;
}

#define IDENTITY(byte)                                                                             \
    ",\"identities\":[{\"name\":\"the hotel\",\"sgx\":{\"mrenclave\":\"" byte byte byte byte byte  \
        byte byte byte "\"}}]"
#define ELEVEN "11111111"
#define TWELVE "12121212"

/* ---- two ends ---- */

struct end {
    struct attest_context *context;
    SSL_CTX *ssl_ctx;
    SSL *ssl;
};

static void end_init(struct end *end, bool is_server, struct attest_options options)
{
    struct err err = { 0 };
    int rc;

    options.now_s = now_s;
    end->ssl_ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    rc = attest_context_new(&options, &end->context, &err);
    if (rc == 0)
        rc = is_server ? attest_tls_server(end->context, end->ssl_ctx, &err)
                       : attest_tls_client(end->context, end->ssl_ctx, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    end->ssl = NULL;
}

static void end_done(struct end *end)
{
    SSL_free(end->ssl);
    SSL_CTX_free(end->ssl_ctx);
    attest_context_free(end->context);
}

/* Shakes hands, and says "hello" to the server. returns: whether both ends came through. */
static bool meet(struct end *server, struct end *client)
{
    BIO *a, *b;
    char text[8];
    int client_rc = 0, server_rc = 0;

    SSL_free(server->ssl);
    SSL_free(client->ssl);
    server->ssl = SSL_new(server->ssl_ctx);
    client->ssl = SSL_new(client->ssl_ctx);
    assert_int_equal(BIO_new_bio_pair(&a, 1 << 18, &b, 1 << 18), 1);
    SSL_set_bio(server->ssl, a, a);
    SSL_set_bio(client->ssl, b, b);
    SSL_set_accept_state(server->ssl);
    SSL_set_connect_state(client->ssl);
    for (unsigned i = 0; i < STEPS_MAX && (client_rc != 1 || server_rc != 1); i++) {
        client_rc = SSL_do_handshake(client->ssl);
        server_rc = SSL_do_handshake(server->ssl);
        if ((client_rc < 0 && SSL_get_error(client->ssl, client_rc) == SSL_ERROR_SSL) ||
            (server_rc < 0 && SSL_get_error(server->ssl, server_rc) == SSL_ERROR_SSL))
            return false;
    }
    if (client_rc != 1 || server_rc != 1)
        return false;
    assert_int_equal(SSL_write(client->ssl, "hello", 5), 5);
    assert_int_equal(SSL_read(server->ssl, text, sizeof text), 5);
    assert_memory_equal(text, "hello", 5);
    return true;
}

static void assert_failed(const struct end *end, enum verifier_check_code code)
{
    const struct attest_peer *peer = attest_peer_result(end->ssl);

    assert_non_null(peer);
    assert_int_equal(peer->rc, -EBADMSG);
    assert_true(peer->is_judged);
    if (peer->result.primary != code)
        fail_msg("%s", peer->reason);
    assert_non_null(strstr(peer->reason, verifier_check_name(code)));
}

/* A client with this policy refuses the quoter's server for this reason. */
static void assert_client_refuses(const char *more, enum verifier_check_code code)
{
    struct verifier_policy *policy = more ? policy_new(more) : NULL;
    struct verifier_policy *makers = NULL;
    struct end server, client;

    assert_int_equal(verifier_policy_new("{\"version\":1}", 13, &makers, NULL), 0);
    end_init(&server, true, (struct attest_options){ .source = source() });
    end_init(&client, false, (struct attest_options){ .policy = policy ? policy : makers });
    assert_false(meet(&server, &client));
    assert_failed(&client, code);
    end_done(&server);
    end_done(&client);
    verifier_policy_free(policy);
    verifier_policy_free(makers);
}

/* ---- tests ---- */

static void on_verdict(void *arg, const struct attest_peer *peer)
{
    *(int *)arg = peer->rc + 1000;
}

static void client_knows_the_server(void **state)
{
    struct verifier_policy *policy = policy_new(IDENTITY(ELEVEN));
    struct end server, client;
    int verdict = 0;

    end_init(&server, true, (struct attest_options){ .source = source() });
    end_init(&client, false,
             (struct attest_options){
                 .policy = policy, .on_verdict = on_verdict, .on_verdict_arg = &verdict });
    assert_true(meet(&server, &client));
    assert_int_equal(verdict, 1000);
    const struct attest_peer *peer = attest_peer_result(client.ssl);
    assert_int_equal(peer->rc, 0);
    assert_int_equal(peer->result.verdict, VERIFIER_AFFIRMING);
    assert_string_equal(peer->result.identity_name, "the hotel");
    assert_int_equal(peer->result.sgx.mrenclave[31], 0x11);
    assert_int_equal(peer->certificate_from_s, g_now_s);
    assert_int_equal(peer->certificate_until_s, g_now_s + ATTEST_LIFETIME_DEFAULT_S);
    assert_non_null(strstr(peer->reason, "the hotel"));
    assert_null(attest_peer_result(server.ssl)); /* it did not ask */
    assert_string_equal(SSL_get_version(client.ssl), "TLSv1.3");
    end_done(&server);
    end_done(&client);
    verifier_policy_free(policy);
}

static void client_refuses_others(void **state)
{
    assert_client_refuses(NULL, VERIFIER_CHECK_UNTRUSTED_ROOT);
    assert_client_refuses(IDENTITY(TWELVE), VERIFIER_CHECK_POLICY_IDENTITY);
    g_source_lies = true;
    assert_client_refuses("", VERIFIER_CHECK_POLICY_REPORT_DATA);
    g_source_lies = false;
    g_quoter.staples = false;
    assert_client_refuses("", VERIFIER_CHECK_COLLATERAL_MISSING);
}

static void certificates_are_renewed(void **state)
{
    struct verifier_policy *policy = policy_new("");
    struct end server, client;
    int64_t start_s = g_now_s;

    end_init(&server, true, (struct attest_options){ .source = source(), .lifetime_s = 600 });
    end_init(&client, false, (struct attest_options){ .policy = policy });
    assert_true(meet(&server, &client));
    assert_true(meet(&server, &client));
    assert_int_equal(g_source_count, 1);
    g_now_s = start_s + 399;
    assert_true(meet(&server, &client));
    assert_int_equal(g_source_count, 1);
    g_now_s = start_s + 400; /* a third is left */
    assert_true(meet(&server, &client));
    assert_int_equal(g_source_count, 2);
    assert_int_equal(attest_peer_result(client.ssl)->certificate_until_s, start_s + 1000);
    /* While the source is broken, the old certificate serves to its end. */
    g_source_rc = -EIO;
    g_now_s = start_s + 999;
    assert_true(meet(&server, &client));
    assert_int_equal(g_source_count, 3);
    g_now_s = start_s + 1001;
    assert_false(meet(&server, &client));
    assert_null(attest_peer_result(client.ssl));
    g_source_rc = 0;
    assert_true(meet(&server, &client));
    /* The clock is set back by more than a life: a certificate of then is of no use to anyone. */
    g_now_s = start_s - 10000;
    assert_int_equal(attest_context_prepare(server.context, NULL), 0);
    assert_int_equal(g_source_count, 6);
    end_done(&server);
    end_done(&client);
    verifier_policy_free(policy);
}

static void age_is_the_policys(void **state)
{
    struct verifier_policy *policy =
        policy_new(",\"freshness\":{\"nonce\":true,\"age_max_s\":300}");
    struct end server, client;

    end_init(&server, true, (struct attest_options){ .source = source() });
    end_init(&client, false, (struct attest_options){ .policy = policy });
    assert_true(meet(&server, &client));
    g_now_s += 301;
    assert_false(meet(&server, &client));
    assert_failed(&client, VERIFIER_CHECK_POLICY_FRESHNESS);
    end_done(&server);
    end_done(&client);
    verifier_policy_free(policy);
}

static void both_ends(void **state)
{
    struct verifier_policy *policy = policy_new(IDENTITY(ELEVEN)),
                           *other = policy_new(IDENTITY(TWELVE));
    struct end server, client, stranger;

    end_init(&server, true, (struct attest_options){ .source = source(), .policy = policy });
    end_init(&client, false, (struct attest_options){ .source = source(), .policy = policy });
    end_init(&stranger, false, (struct attest_options){ .policy = policy });
    assert_true(meet(&server, &client));
    assert_int_equal(attest_peer_result(server.ssl)->rc, 0);
    assert_int_equal(attest_peer_result(client.ssl)->rc, 0);
    assert_false(meet(&server, &stranger)); /* no certificate */
    assert_null(attest_peer_result(server.ssl));
    end_done(&server);
    end_init(&server, true, (struct attest_options){ .source = source(), .policy = other });
    assert_false(meet(&server, &client));
    assert_failed(&server, VERIFIER_CHECK_POLICY_IDENTITY);
    end_done(&server);
    end_done(&client);
    end_done(&stranger);
    verifier_policy_free(policy);
    verifier_policy_free(other);
}

static void options_are_checked(void **state)
{
    struct verifier_policy *policy = policy_new("");
    struct attest_context *context;
    SSL_CTX *ssl_ctx = SSL_CTX_new(TLS_method());

    assert_int_equal(attest_context_new(&(struct attest_options){ 0 }, &context, NULL), -EINVAL);
    for (unsigned i = 0; i < 2; i++) {
        struct attest_options options = { .policy = policy,
                                          .lifetime_s = i ? ATTEST_LIFETIME_MAX_S + 1
                                                          : ATTEST_LIFETIME_MIN_S - 1 };

        assert_int_equal(attest_context_new(&options, &context, NULL), -EINVAL);
    }
    assert_int_equal(
        attest_context_new(&(struct attest_options){ .policy = policy }, &context, NULL), 0);
    assert_int_equal(attest_tls_server(context, ssl_ctx, NULL), -EINVAL);
    attest_context_free(context);
    assert_int_equal(
        attest_context_new(&(struct attest_options){ .source = source() }, &context, NULL), 0);
    assert_int_equal(attest_tls_client(context, ssl_ctx, NULL), -EINVAL);
    g_source_rc = -ENODEV;
    struct err err = { 0 };
    assert_int_equal(attest_context_prepare(context, &err), -ENODEV);
    assert_non_null(strstr(err.text, "the source is broken"));
    attest_context_free(context);
    SSL_CTX_free(ssl_ctx);
    verifier_policy_free(policy);
}

static void older_tls_is_refused(void **state)
{
    struct verifier_policy *policy = policy_new("");
    struct end server, client;

    end_init(&server, true, (struct attest_options){ .source = source() });
    end_init(&client, false, (struct attest_options){ .policy = policy });
    SSL_CTX_set_min_proto_version(client.ssl_ctx, 0);
    SSL_CTX_set_max_proto_version(client.ssl_ctx, TLS1_2_VERSION);
    assert_false(meet(&server, &client));
    end_done(&server);
    end_done(&client);
    verifier_policy_free(policy);
}

/* ---- certificates ---- */

static X509 *cert_make(EVP_PKEY *key, EVP_PKEY *bound_key, EVP_PKEY *signing_key)
{
    struct cert_binding binding;
    struct cmw *cmw = NULL;
    X509 *cert = NULL;

    assert_int_equal(cert_binding_make(bound_key, &binding), 0);
    assert_int_equal(quoter_get(&g_quoter, binding.report_data, &cmw, NULL), 0);
    assert_int_equal(cert_new(key, &binding, cmw, g_now_s, g_now_s + 100, &cert, NULL), 0);
    assert_true(X509_sign(cert, signing_key, EVP_sha256()) > 0);
    cmw_free(cmw);
    return cert;
}

static void assert_judged_so(X509 *cert, bool is_issued, int want, const char *word)
{
    struct verifier_policy *policy = policy_new("");
    struct attest_context *context;
    struct attest_peer *peer = calloc(1, sizeof *peer);

    assert_int_equal(
        attest_context_new(&(struct attest_options){ .policy = policy, .now_s = now_s }, &context,
                           NULL),
        0);
    assert_int_equal(is_issued ? attest_judge_issued(context, cert, peer)
                               : attest_judge(context, cert, peer),
                     want);
    if (!strstr(peer->reason, word))
        fail_msg("\"%s\" is not in: %s", word, peer->reason);
    free(peer);
    attest_context_free(context);
    verifier_policy_free(policy);
}

static void assert_judged(X509 *cert, int want, const char *word)
{
    assert_judged_so(cert, false, want, word);
}

/* Signed by an authority: its signature is not looked at here, all else is. */
static void certificates_of_an_authority(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    X509 *cert = cert_make(key, key, other);
    uint8_t *der = NULL, *at;
    const uint8_t *in;
    int size = i2d_X509(cert, &der);

    assert_judged_so(cert, true, 0, "affirming sgx");
    assert_judged(cert, -EBADMSG, "not signed by its own key");
    g_now_s += 101;
    assert_judged_so(cert, true, -EBADMSG, "was valid until");
    g_now_s -= 101;
    X509_free(cert);
    at = memmem(der, (size_t)size, "\x11\x11\x11\x11\x11\x11\x11\x11", 8);
    assert_non_null(at);
    at[0] ^= 1;
    in = der;
    cert = d2i_X509(NULL, &in, size);
    assert_judged_so(cert, true, -EBADMSG, "QUOTE_SIGNATURE");
    X509_free(cert);
    OPENSSL_free(der);
    cert = cert_make(key, other, other); /* somebody else's evidence */
    assert_judged_so(cert, true, -EBADMSG, "another key");
    X509_free(cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void certificates_that_are_refused(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"),
             *weak = EVP_EC_gen("secp112r1");
    X509 *cert = cert_make(key, key, key);
    uint8_t *der = NULL, *at;
    const uint8_t *in;
    int size = i2d_X509(cert, &der);

    assert_judged(cert, 0, "affirming sgx");
    g_now_s += 101;
    assert_judged(cert, -EBADMSG, "was valid until");
    g_now_s -= 101 + ATTEST_CLOCK_SKEW_S + 1;
    assert_judged(cert, -EBADMSG, "is valid from");
    g_now_s += ATTEST_CLOCK_SKEW_S + 1;
    X509_free(cert);
    /* One bit of the quote inside: the certificate's own signature notices. */
    at = memmem(der, (size_t)size, "\x11\x11\x11\x11\x11\x11\x11\x11", 8);
    assert_non_null(at);
    at[0] ^= 1;
    in = der;
    cert = d2i_X509(NULL, &in, size);
    assert_judged(cert, -EBADMSG, "not signed by its own key");
    /* Signed again, with the key that a thief would need: the quote's signature notices. */
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_judged(cert, -EBADMSG, "QUOTE_SIGNATURE");
    X509_free(cert);
    OPENSSL_free(der);
    cert = cert_make(key, other, key); /* somebody else's evidence */
    assert_judged(cert, -EBADMSG, "another key");
    X509_free(cert);
    cert = cert_make(key, key, other);
    assert_judged(cert, -EBADMSG, "not signed by its own key");
    X509_free(cert);
    cert = cert_make(key, key, key);
    {
        ASN1_OBJECT *object = OBJ_txt2obj(CERT_OID_EVIDENCE, 1);

        X509_EXTENSION_free(X509_delete_ext(cert, X509_get_ext_by_OBJ(cert, object, -1)));
        ASN1_OBJECT_free(object);
    }
    X509_sign(cert, key, EVP_sha256());
    assert_judged(cert, -ENOENT, "no evidence");
    X509_free(cert);
    if (weak) {
        cert = cert_make(weak, weak, weak);
        assert_judged(cert, -EBADMSG, "too weak");
        X509_free(cert);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(weak);
}

/*
 * The claims and their hash as another implementation of interoperable RA-TLS makes them for a key with this SHA-256: its published
 * certificate has this report data.
 */
static void claims_as_others_make_them(void **state)
{
    static const uint8_t key_sha256[32] = { 0x5a, 0x5a, 0x5b, 0x2d, 0x17, 0x74, 0x33, 0x04,
                                            0x8e, 0x9d, 0x62, 0x40, 0x9d, 0x1a, 0xcc, 0x4e,
                                            0xc5, 0x26, 0xc0, 0x6e, 0x29, 0x4d, 0x09, 0xe6,
                                            0x9a, 0x36, 0xcf, 0xf9, 0x36, 0x9e, 0x48, 0x51 };
    static const uint8_t report_data[64] = { 0xd8, 0x67, 0x34, 0x46, 0xfe, 0x0f, 0x68, 0x42,
                                             0xd4, 0xaf, 0x0d, 0x18, 0x2c, 0x87, 0x51, 0xd7,
                                             0xe9, 0x67, 0x03, 0x91, 0x16, 0xde, 0xff, 0x5f,
                                             0x85, 0xa4, 0x3b, 0x2c, 0xa9, 0x0c, 0x28, 0x31 };
    struct cert_binding binding;

    assert_int_equal(cert_binding_encode(key_sha256, &binding), 0);
    assert_int_equal(binding.claims_size, 51);
    assert_memory_equal(binding.report_data, report_data, sizeof report_data);
}

static int claims_verify(EVP_PKEY *key, const uint8_t *claims, size_t size)
{
    uint8_t report_data[64];

    return cert_claims_verify((struct verifier_bytes){ claims, size }, key, report_data, NULL);
}

static void claims_that_are_refused(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct cert_binding binding;
    uint8_t claims[256], hash[64];

    assert_int_equal(cert_binding_make(key, &binding), 0);
    assert_int_equal(claims_verify(key, binding.claims, binding.claims_size), 0);
    for (size_t cut = 0; cut < binding.claims_size; cut++)
        assert_int_equal(claims_verify(key, binding.claims, cut), -EINVAL);
    memcpy(claims, binding.claims, binding.claims_size);
    memcpy(claims + binding.claims_size, "\x65nonce\x42xy", 9);
    assert_int_equal(claims_verify(key, claims, binding.claims_size + 9),
                     -EINVAL); /* behind the map */
    claims[0] = 0xa2;
    assert_int_equal(claims_verify(key, claims, binding.claims_size + 9), 0);
    claims[binding.claims_size + 1] = 'N';
    assert_int_equal(claims_verify(key, claims, binding.claims_size + 9), -EINVAL); /* unknown */
    memcpy(claims + binding.claims_size, binding.claims + 1, binding.claims_size - 1);
    assert_int_equal(claims_verify(key, claims, 2 * binding.claims_size - 1), -EINVAL); /* twice */
    claims[0] = 0xa1;
    claims[16] = 2; /* the algorithm */
    assert_int_equal(claims_verify(key, claims, binding.claims_size), -ENOTSUP);
    claims[16] = 1;
    claims[binding.claims_size - 1] ^= 1;
    assert_int_equal(claims_verify(key, claims, binding.claims_size), -EBADMSG);
    /* SHA-512: {"pubkey-hash": h'82 08 58 40 ...'} */
    assert_int_equal(cert_key_hash(key, EVP_sha512(), hash), 0);
    memcpy(claims, "\xa1\x6bpubkey-hash\x58\x44\x82\x08\x58\x40", 19);
    memcpy(claims + 19, hash, 64);
    assert_int_equal(claims_verify(key, claims, 83), 0);
    EVP_PKEY_free(key);
}

static int group_setup(void **state)
{
    return quoter_init(&g_quoter);
}

static int group_teardown(void **state)
{
    quoter_done(&g_quoter);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(client_knows_the_server, setup),
        cmocka_unit_test_setup(client_refuses_others, setup),
        cmocka_unit_test_setup(certificates_are_renewed, setup),
        cmocka_unit_test_setup(age_is_the_policys, setup),
        cmocka_unit_test_setup(both_ends, setup),
        cmocka_unit_test_setup(options_are_checked, setup),
        cmocka_unit_test_setup(older_tls_is_refused, setup),
        cmocka_unit_test_setup(certificates_of_an_authority, setup),
        cmocka_unit_test_setup(certificates_that_are_refused, setup),
        cmocka_unit_test_setup(claims_as_others_make_them, setup),
        cmocka_unit_test_setup(claims_that_are_refused, setup),
    };

    return cmocka_run_group_tests_name("attest-tls", tests, group_setup, group_teardown);
}
