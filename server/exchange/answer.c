/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to an agent: secrets encrypted to its attested key, refusals that are signed. Relying party. */
#include <cjose/cjose.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca.h"
#include "server/exchange/internal.h"

#define POINT_SIZE 65u /* P-256, uncompressed */

static cjose_jwk_t *jwk_of(EVP_PKEY *key)
{
    uint8_t point[POINT_SIZE];
    size_t size;
    cjose_jwk_ec_keyspec spec = {
        .crv = CJOSE_JWK_EC_P_256, .x = point + 1, .xlen = 32, .y = point + 33, .ylen = 32
    };

    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &size) !=
            1 ||
        size != sizeof point)
        return NULL;
    return cjose_jwk_create_EC_spec(&spec, NULL);
}

int jwe_make(EVP_PKEY *key, const char *plain, size_t size, char **ret, struct err *err)
{
    cjose_err why;
    cjose_jwk_t *jwk = jwk_of(key);
    cjose_header_t *header = cjose_header_new(&why);
    cjose_jwe_t *jwe = NULL;
    char *text = NULL;

    if (jwk && header && cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_ECDH_ES, &why) &&
        cjose_header_set(header, CJOSE_HDR_ENC, CJOSE_HDR_ENC_A256GCM, &why))
        jwe = cjose_jwe_encrypt(jwk, header, (const uint8_t *)plain, size, &why);
    if (jwe)
        text = cjose_jwe_export(jwe, &why);
    cjose_jwe_release(jwe);
    cjose_header_release(header);
    cjose_jwk_release(jwk);
    if (!text)
        return err_set(err, -EIO, "secrets cannot be encrypted");
    *ret = text;
    return 0;
}

int token_verify(const char *text, size_t size, const uint8_t *spki, size_t spki_size,
                 struct err *err)
{
    cjose_err why;
    EVP_PKEY *key = NULL;
    cjose_jwk_t *jwk = NULL;
    cjose_jws_t *jws = NULL;
    const char *alg;
    bool ok = false;

    if (size <= EXCHANGE_TOKEN_SIZE_MAX && spki_read(spki, spki_size, &key) == 0)
        jwk = jwk_of(key);
    if (jwk)
        jws = cjose_jws_import(text, size, &why);
    if (jws) {
        alg = cjose_header_get(cjose_jws_get_protected(jws), CJOSE_HDR_ALG, &why);
        ok = alg && strcmp(alg, CJOSE_HDR_ALG_ES256) == 0 && cjose_jws_verify(jws, jwk, &why);
    }
    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(err, -EACCES, "the token is not signed by the instance's key");
}

static char *refusal_sign(struct api_request *rq, const char *nonce_text,
                          const struct refusal *refusal)
{
    json_t *payload =
        json_pack("{s:s,s:I,s:{s:s,s:s,s:s},s:b}", "nonce", nonce_text, "time",
                  (json_int_t)server_now_s(rq->server), "refused", "code", refusal->code, "step",
                  refusal->step, "detail", refusal->detail, "final", (int)refusal->is_final);
    char *text = payload ? json_dumps(payload, JSON_COMPACT) : NULL, *jws = NULL;
    struct err err = { "" };

    if (text && ca_sign(rq->server->ca, EXCHANGE_ANSWER_TYPE, text, &jws, &err) < 0)
        jws = NULL;
    free(text);
    json_decref(payload);
    return jws;
}

int refusal_answer(struct api_request *rq, const char *nonce_text, const struct refusal *refusal)
{
    char *jws = refusal_sign(rq, nonce_text, refusal);
    int rc = api_problem(rq, 403, refusal->code, "%s", refusal->detail);

    api_problem_set(rq, "step", json_string(refusal->step));
    if (refusal->expected[0])
        api_problem_set(rq, "expected", json_string(refusal->expected));
    if (refusal->actual[0])
        api_problem_set(rq, "actual", json_string(refusal->actual));
    if (refusal->fix[0])
        api_problem_set(rq, "fix", json_string(refusal->fix));
    if (jws)
        api_problem_set(rq, "answer", json_string(jws));
    free(jws);
    return rc;
}
