/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate authority: what it issues verifies for whoever trusts a root of the time, through a rotation and back; nobody who owns the database adds a root. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <cjose/cjose.h>

#include "server/ca/ca.h"
#include "server/ca/ca_set.h"
#include "server/config.h"
#include "tests/unit/server/fixture.h"

/* Until they are linked from the server. */
__attribute__((weak)) int64_t server_now_s(const struct server *server)
{
    return time(NULL);
}
__attribute__((weak)) int64_t server_now_ms(const struct server *server)
{
    return (int64_t)time(NULL) * 1000;
}
__attribute__((weak)) void server_log(const struct server *server, const char *level,
                                      const char *what, ...)
{
}

static struct server_config g_config = { .trust_domain = "example.org",
                                         .urls = { "https://cloche.example.org" },
                                         .url_count = 1 };
static struct server g_server = { .config = &g_config };
#define ORG "org_00000000000000000000000001"
#define INSTANCE "ins_00000000000000000000000001"

static int org_add_in(struct store_tx *tx, void *arg, struct err *err)
{
    int rc = keys_org_add(g_server.keys, tx, ORG, err);

    if (rc < 0)
        return rc;
    return store_exec(tx,
                      "INSERT INTO orgs (id, name, created_ms, settings, approvals_needed, "
                      "roster_version, roster_sha256, mac) "
                      "VALUES ($1, 'acme', 1, '{}', 1, 0, $2, $2)",
                      STORE_ARGS(store_text(ORG), store_blob("x", 1)), err);
}

static int setup(void **state)
{
    struct err err = { "" };

    g_server.store = fixture_store();
    g_server.keys = fixture_keys(g_server.store, "correct horse");
    assert_int_equal(store_write(g_server.store, org_add_in, NULL, &err), 1);
    assert_int_equal(ca_open(&g_server, &g_server.ca, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    ca_close(g_server.ca);
    keys_close(g_server.keys);
    store_close(g_server.store);
    return 0;
}

static int rotate_in(struct store_tx *tx, void *arg, struct err *err)
{
    return ca_rotate(g_server.ca, tx, *(enum ca_rotation *)arg, time(NULL), err);
}

static int rotate(enum ca_rotation step)
{
    struct err err = { "" };
    int rc = store_write(g_server.store, rotate_in, &step, &err);

    assert_int_equal(ca_reload(g_server.ca, &err), 0);
    return rc;
}

static STACK_OF(X509) * pem_read(const char *pem)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;

    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        sk_X509_push(list, cert);
    BIO_free(bio);
    return list;
}

/* Whether a chain (leaf first) verifies for who trusts this one root. */
static bool verifies(const char *chain_pem, const char *root_pem)
{
    STACK_OF(X509) *chain = pem_read(chain_pem), *roots = pem_read(root_pem);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok;

    X509_STORE_add_cert(store, sk_X509_value(roots, 0));
    X509_STORE_CTX_init(ctx, store, sk_X509_value(chain, 0), chain);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    ok = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_pop_free(chain, X509_free);
    sk_X509_pop_free(roots, X509_free);
    return ok;
}

static struct ca_issued issue(const char *org_id)
{
    static const char *const names[] = { "hotel.example.org", "*.hotel.example.org" };
    struct ca_request request = { .org_id = org_id,
                                  .public_key = EVP_EC_gen("P-256"),
                                  .spiffe_path = "/org/acme/app/hotel",
                                  .dns_names = names,
                                  .dns_name_count = 2,
                                  .lifetime_s = 3600 };
    struct ca_issued issued;
    struct err err = { "" };

    assert_int_equal(ca_issue(g_server.ca, &request, &issued, &err), 0);
    EVP_PKEY_free(request.public_key);
    return issued;
}

static void issues_svid(void **state)
{
    struct ca_issued issued = issue(ORG);
    char *roots = ca_roots_pem(g_server.ca);
    STACK_OF(X509) *chain = pem_read(issued.chain_pem);
    X509 *leaf = sk_X509_value(chain, 0);
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    ASN1_STRING *uri = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, 0), NULL);

    assert_true(verifies(issued.chain_pem, roots));
    assert_int_equal(sk_X509_num(chain), 2);
    assert_int_equal(sk_GENERAL_NAME_num(names), 3);
    assert_memory_equal(ASN1_STRING_get0_data(uri), "spiffe://example.org/org/acme/app/hotel", 39);
    assert_int_equal(X509_check_host(leaf, "hotel.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(leaf, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ca(leaf), 0);
    assert_true(issued.until_s <= time(NULL) + 3600);
    assert_int_equal(strlen(issued.serial), 32);
    GENERAL_NAMES_free(names);
    sk_X509_pop_free(chain, X509_free);
    free(issued.chain_pem);
    free(roots);
}

static void refuses_wrong_requests(void **state)
{
    static const char *const bad[] = { "ho tel", "-a.b", "a..b", "", "a.*.b", "x\n.y" };
    static const char *const paths[] = { "/cloche/exchange", "/org/../x", "/org/a//b", "/org/a/",
                                         "/org/a b" };
    struct ca_request request = { .org_id = ORG,
                                  .public_key = EVP_EC_gen("P-256"),
                                  .spiffe_path = "/org/acme/app/hotel",
                                  .dns_name_count = 1,
                                  .lifetime_s = 3600 };
    struct ca_issued issued;
    struct err err;

    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        request.dns_names = &bad[i];
        assert_int_equal(ca_issue(g_server.ca, &request, &issued, &err), -EINVAL);
    }
    request.dns_name_count = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++) {
        request.spiffe_path = paths[i];
        assert_int_equal(ca_issue(g_server.ca, &request, &issued, &err), -EINVAL);
    }
    request.spiffe_path = "/org/acme/app/hotel";
    request.lifetime_s = CA_LIFETIME_MIN_S - 1;
    assert_int_equal(ca_issue(g_server.ca, &request, &issued, &err), -EINVAL);
    request.lifetime_s = CA_LIFETIME_MAX_S + 1;
    assert_int_equal(ca_issue(g_server.ca, &request, &issued, &err), -EINVAL);
    EVP_PKEY_free(request.public_key);
}

static void opens_what_it_made(void **state)
{
    uint8_t pin[32], again[32];
    struct ca *ca;
    struct err err = { "" };

    ca_root_pin(g_server.ca, pin);
    assert_int_equal(ca_open(&g_server, &ca, &err), 0);
    ca_root_pin(ca, again);
    assert_memory_equal(pin, again, 32);
    ca_close(ca);
}

/* Verifies a JWS by the first certificate of x5c, and that chain by this root. */
static bool signed_by(const char *jws_text, const char *root_pem)
{
    cjose_err why;
    cjose_jws_t *jws = cjose_jws_import(jws_text, strlen(jws_text), &why);
    cjose_header_t *header = cjose_jws_get_protected(jws);
    char *raw = cjose_header_get_raw(header, "x5c", &why), *pem = calloc(1, 65536);
    json_t *x5c = json_loads(raw, 0, NULL);
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    void *jwk;
    bool ok;

    assert_string_equal(cjose_header_get(header, "alg", &why), "ES256");
    assert_string_equal(cjose_header_get(header, "typ", &why), "cloche-answer+jwt");
    for (size_t i = 0; i < json_array_size(x5c); i++) {
        const char *text = json_string_value(json_array_get(x5c, i));

        snprintf(pem + strlen(pem), 65536 - strlen(pem),
                 "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", text);
    }
    chain = pem_read(pem);
    key = X509_get0_pubkey(sk_X509_value(chain, 0));
    {
        uint8_t point[65];
        size_t size;
        cjose_jwk_ec_keyspec spec = {
            .crv = CJOSE_JWK_EC_P_256, .x = point + 1, .xlen = 32, .y = point + 33, .ylen = 32
        };

        assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof point, &size),
                         1);
        jwk = cjose_jwk_create_EC_spec(&spec, &why);
    }
    ok = cjose_jws_verify(jws, jwk, &why) && verifies(pem, root_pem);
    cjose_jwk_release(jwk);
    cjose_jws_release(jws);
    sk_X509_pop_free(chain, X509_free);
    json_decref(x5c);
    free(pem);
    free(raw);
    return ok;
}

static void check_all(const char *root_pem)
{
    struct ca_issued issued = issue(ORG), server;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct err err = { "" };
    char *jws;

    assert_true(verifies(issued.chain_pem, root_pem));
    assert_int_equal(ca_issue_server(g_server.ca,
                                     &(struct ca_server_request){
                                         .public_key = key,
                                         .names = (const char *[]){ "127.0.0.1", "localhost" },
                                         .name_count = 2 },
                                     &server, &err),
                     0);
    assert_true(verifies(server.chain_pem, root_pem));
    assert_int_equal(ca_sign(g_server.ca, "cloche-answer+jwt", "{\"time\":1}", &jws, &err), 0);
    assert_true(signed_by(jws, root_pem));
    free(jws);
    free(issued.chain_pem);
    free(server.chain_pem);
    EVP_PKEY_free(key);
}

static void rotates_without_outage(void **state)
{
    char *before = ca_roots_pem(g_server.ca), *during, *after, *end;
    struct ca_issued early = issue(ORG);
    uint8_t pin[32], pin_after[32];

    ca_root_pin(g_server.ca, pin);
    assert_int_equal(rotate(CA_SWITCH), -ENOENT);
    assert_int_equal(rotate(CA_RETIRE), -ENOENT);
    assert_int_equal(rotate(CA_PREPARE), 0);
    assert_int_equal(rotate(CA_PREPARE), -EEXIST);
    during = ca_roots_pem(g_server.ca);
    assert_int_equal(strncmp(during, before, strlen(before)), 0); /* current first */
    assert_true(strlen(during) > strlen(before));
    check_all(before);

    assert_int_equal(rotate(CA_SWITCH), 0);
    after = ca_roots_pem(g_server.ca);
    ca_root_pin(g_server.ca, pin_after);
    assert_memory_not_equal(pin, pin_after, 32);
    check_all(before); /* who trusts the old root alone */
    check_all(after);  /* who trusts the new root alone: it is the first */
    assert_true(verifies(early.chain_pem, before));
    assert_int_equal(rotate(CA_PREPARE), -EEXIST);

    assert_int_equal(rotate(CA_RETIRE), 0);
    end = ca_roots_pem(g_server.ca);
    assert_int_equal(strncmp(after, end, strlen(end)), 0);
    assert_true(strlen(end) < strlen(after));
    check_all(end);
    {
        struct ca_issued late = issue(ORG);

        assert_false(verifies(late.chain_pem, before));
        free(late.chain_pem);
    }
    free(before);
    free(during);
    free(after);
    free(end);
    free(early.chain_pem);
}

static void forged_rows_are_nobody(void **state)
{
    char *before = ca_roots_pem(g_server.ca), *after;
    struct err err = { "" };

    /* The owner of the database makes a copy of the root "old" and another organisation's, and swaps states. */
    assert_int_equal(fixture_exec(g_server.store,
                                  "INSERT INTO authorities (id, org_id, kind, state, certificate, "
                                  "key_sealed, created_ms, expires_ms) "
                                  "SELECT 'cas_00000000000000000000000009', org_id, kind, 'old', "
                                  "certificate, key_sealed, created_ms, expires_ms "
                                  "FROM authorities WHERE kind = 'root'",
                                  STORE_NO_ARGS),
                     1);
    assert_int_equal(ca_reload(g_server.ca, &err), 0);
    after = ca_roots_pem(g_server.ca);
    assert_string_equal(before, after);
    free(after);
    assert_true(fixture_exec(g_server.store,
                             "UPDATE authorities SET certificate = (SELECT certificate FROM "
                             "authorities WHERE kind = 'intermediate') "
                             "WHERE kind = 'root'",
                             STORE_NO_ARGS) > 0);
    assert_int_equal(ca_reload(g_server.ca, &err), -EBADMSG); /* and what was there stays */
    after = ca_roots_pem(g_server.ca);
    assert_string_equal(before, after);
    free(after);
    free(before);
}

/* ---- an organisation's own ---- */

struct own {
    char id[ID_SIZE];
    char *csr;
    const char *chain;
};

static int request_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct own *own = arg;

    free(own->csr);
    own->csr = NULL;
    return ca_org_request(g_server.ca, tx, ORG, "acme", own->id, &own->csr, err);
}

static int accept_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct own *own = arg;

    return ca_org_accept(g_server.ca, tx, ORG, own->id, own->chain, time(NULL), err);
}

static int drop_in(struct store_tx *tx, void *arg, struct err *err)
{
    return ca_org_drop(g_server.ca, tx, ORG, err);
}

/* What the organisation's CA gives for a request: intermediate and root. */
static char *company_sign(const char *csr_pem, EVP_PKEY *key_instead, bool is_ca, int days)
{
    BIO *bio = BIO_new_mem_buf(csr_pem, -1);
    X509_REQ *csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    EVP_PKEY *key = EVP_EC_gen("P-384");
    X509 *certs[2];
    char *data, *text;
    long size;

    assert_non_null(csr);
    assert_int_equal(X509_REQ_verify(csr, X509_REQ_get0_pubkey(csr)), 1);
    for (int i = 0; i < 2; i++) { /* 0: root */
        X509V3_CTX ctx;
        X509 *cert = certs[i] = X509_new();
        X509_EXTENSION *extension;

        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 7 + i);
        X509_gmtime_adj(X509_getm_notBefore(cert), -100);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400l * (i ? days : 3650));
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const unsigned char *)(i ? "Acme issuing" : "Acme root"), -1,
                                   -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(certs[0]));
        X509_set_pubkey(cert, i == 0 ? key : key_instead ? key_instead : X509_REQ_get0_pubkey(csr));
        X509V3_set_ctx(&ctx, certs[0], cert, NULL, NULL, 0);
        const char *const values[][2] = {
            { "basicConstraints", i && !is_ca ? "critical,CA:FALSE" : "critical,CA:TRUE" },
            { "keyUsage", "critical,keyCertSign,cRLSign" },
            { "subjectKeyIdentifier", "hash" },
            { "authorityKeyIdentifier", "keyid" },
        };
        for (unsigned j = 0; j < ARRAY_COUNT(values) - (i == 0); j++) {
            extension = X509V3_EXT_conf(NULL, &ctx, values[j][0], values[j][1]);
            X509_add_ext(cert, extension, -1);
            X509_EXTENSION_free(extension);
        }
        assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    }
    BIO_free(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certs[1]);
    PEM_write_bio_X509(bio, certs[0]);
    size = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)size);
    BIO_free(bio);
    X509_free(certs[0]);
    X509_free(certs[1]);
    X509_REQ_free(csr);
    EVP_PKEY_free(key);
    return text;
}

static void organisation_brings_its_own(void **state)
{
    struct own own = { .csr = NULL };
    struct err err = { "" };
    EVP_PKEY *other = EVP_EC_gen("P-256");
    char *chain, *roots;
    struct ca_issued issued;

    assert_int_equal(store_write(g_server.store, request_in, &own, &err), 0);
    own.chain = chain = company_sign(own.csr, other, true, 365);
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), -EINVAL);
    free(chain);
    own.chain = chain = company_sign(own.csr, NULL, false, 365);
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), -EINVAL);
    free(chain);
    own.chain = chain = company_sign(own.csr, NULL, true, 29);
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), -EINVAL);
    free(chain);
    own.chain = "rubbish";
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), -EINVAL);
    own.chain = chain = company_sign(own.csr, NULL, true, 365);
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), 0);
    assert_int_equal(store_write(g_server.store, accept_in, &own, &err), -ENOENT);
    assert_int_equal(ca_reload(g_server.ca, &err), 0);
    roots = ca_org_roots_pem(g_server.ca, ORG);
    issued = issue(ORG);
    assert_true(verifies(issued.chain_pem, roots)); /* the company's root is the first */
    free(issued.chain_pem);
    free(roots);
    roots = ca_roots_pem(g_server.ca);
    issued = issue("org_00000000000000000000000002"); /* others have the server's */
    assert_true(verifies(issued.chain_pem, roots));
    free(issued.chain_pem);
    assert_int_equal(store_write(g_server.store, drop_in, NULL, &err), 0);
    assert_int_equal(ca_reload(g_server.ca, &err), 0);
    issued = issue(ORG);
    assert_true(verifies(issued.chain_pem, roots));
    free(issued.chain_pem);
    free(roots);
    free(chain);
    free(own.csr);
    EVP_PKEY_free(other);
}

/* ---- revocation ---- */

static int issued_add_in(struct store_tx *tx, void *arg, struct err *err)
{
    return ca_issued_add(tx, ORG, INSTANCE, arg, err);
}

static int revoke_in(struct store_tx *tx, void *arg, struct err *err)
{
    return ca_revoke(tx, ORG, INSTANCE, (int64_t)time(NULL) * 1000, err);
}

static X509_CRL *crl_get(const char *authority_id)
{
    uint8_t *der = NULL;
    const unsigned char *p;
    size_t size = 0;
    struct err err = { "" };
    X509_CRL *crl;

    assert_int_equal(ca_crl(g_server.ca, authority_id, time(NULL), &der, &size, &err), 0);
    p = der;
    crl = d2i_X509_CRL(NULL, &p, (long)size);
    assert_non_null(crl);
    free(der);
    return crl;
}

static void lists_what_is_revoked(void **state)
{
    struct ca_issued issued = issue(ORG);
    STACK_OF(X509) *chain = pem_read(issued.chain_pem);
    X509_REVOKED *entry;
    X509_CRL *crl;
    uint8_t *der;
    size_t size;
    struct err err = { "" };

    assert_int_equal(fixture_exec(g_server.store,
                                  "INSERT INTO apps (id, org_id, name, settings, is_single, "
                                  "lease_s, certificate_s, created_ms, mac) "
                                  "VALUES ('app_1', $1, 'hotel', '{}', 0, 600, 600, 1, $2)",
                                  STORE_ARGS(store_text(ORG), store_blob("x", 1))),
                     1);
    assert_int_equal(
        fixture_exec(
            g_server.store,
            "INSERT INTO instances (id, org_id, app_id, state, wanted, created_ms, changed_ms) "
            "VALUES ($1, $2, 'app_1', 'running', 'run', 1, 1)",
            STORE_ARGS(store_text(INSTANCE), store_text(ORG))),
        1);
    assert_int_equal(store_write(g_server.store, issued_add_in, &issued, &err), 0);
    crl = crl_get(issued.authority_id);
    assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(sk_X509_value(chain, 1))), 1);
    assert_int_equal(X509_CRL_get0_by_cert(crl, &entry, sk_X509_value(chain, 0)), 0);
    X509_CRL_free(crl);
    assert_int_equal(store_write(g_server.store, revoke_in, NULL, &err), 0);
    crl = crl_get(issued.authority_id);
    assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(sk_X509_value(chain, 1))), 1);
    assert_int_equal(X509_CRL_get0_by_cert(crl, &entry, sk_X509_value(chain, 0)), 1);
    X509_CRL_free(crl);
    assert_int_equal(ca_crl(g_server.ca, "cas_none", time(NULL), &der, &size, &err), -ENOENT);
    sk_X509_pop_free(chain, X509_free);
    free(issued.chain_pem);
}

static void renews_what_ends(void **state)
{
    struct err err = { "" };
    char *roots = ca_roots_pem(g_server.ca);

    assert_int_equal(ca_maintain(g_server.ca, &err), 0);
    g_server.ca->exchange->expires_ms = ((int64_t)time(NULL) + 86400) * 1000;
    g_server.ca->exchange->created_ms = ((int64_t)time(NULL) - 300 * 86400) * 1000;
    assert_int_equal(
        fixture_exec(
            g_server.store,
            "UPDATE authorities SET created_ms = $1, expires_ms = $2 WHERE kind = 'exchange'",
            STORE_ARGS(store_int(g_server.ca->exchange->created_ms),
                       store_int(g_server.ca->exchange->expires_ms))),
        1);
    assert_int_equal(ca_maintain(g_server.ca, &err), 1);
    assert_int_equal(ca_maintain(g_server.ca, &err), 0);
    check_all(roots);
    free(roots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(issues_svid, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_wrong_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(opens_what_it_made, setup, teardown),
        cmocka_unit_test_setup_teardown(rotates_without_outage, setup, teardown),
        cmocka_unit_test_setup_teardown(forged_rows_are_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(organisation_brings_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_what_is_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(renews_what_ends, setup, teardown),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    fixture_done();
    return rc;
}
