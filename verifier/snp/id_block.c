/* SPDX-License-Identifier: Apache-2.0 */
/* Checks ID blocks, AMD 56860, SNP_LAUNCH_FINISH. Relying party; input hostile. */
#include "verifier/snp/id_block.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "lib/digest.h"
#include "verifier/little_endian.h"
#include "verifier/snp/report.h"

#define AUTH_ID_KEY_ALGORITHM 0x0
#define AUTH_AUTHOR_KEY_ALGORITHM 0x4
#define AUTH_BLOCK_SIGNATURE 0x40
#define AUTH_ID_KEY 0x240
#define AUTH_ID_KEY_SIGNATURE 0x680
#define AUTH_AUTHOR_KEY 0x880
#define ALGORITHM_ECDSA_P384 1u
#define CURVE_P384 2u
#define COORDINATE_SIZE 48
#define FIELD_SIZE 72

/* Curve, then x and y little-endian in 72 bytes each. returns: NULL: no key of P-384. */
static EVP_PKEY *parse_key(const uint8_t *b)
{
    uint8_t point[1 + 2 * COORDINATE_SIZE] = { 0x04 };
    char group[] = "P-384";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;

    if (get_le32(b) != CURVE_P384)
        return NULL;
    for (unsigned i = 0; i < COORDINATE_SIZE; i++) {
        point[1 + i] = b[4 + COORDINATE_SIZE - 1 - i];
        point[1 + COORDINATE_SIZE + i] = b[4 + FIELD_SIZE + COORDINATE_SIZE - 1 - i];
    }
    ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

static bool is_signed_by(const uint8_t *key_bytes, const uint8_t *data, size_t size,
                         const uint8_t *signature)
{
    EVP_PKEY *key = parse_key(key_bytes);
    bool good = key && snp_signature_verify(key, data, size, signature);

    EVP_PKEY_free(key);
    return good;
}

static bool is_digest(const uint8_t *key_bytes, const uint8_t digest[48])
{
    uint8_t actual[SHA384_SIZE];

    sha384_digest(key_bytes, ID_PUBLIC_KEY_SIZE, actual);
    return memcmp(actual, digest, sizeof actual) == 0;
}

static const char *check_block(const uint8_t *b, const struct verifier_snp *report)
{
    if (memcmp(b, report->measurement, 48) != 0)
        return "launch digest of the ID block";
    if (memcmp(b + 48, report->family_id, 16) != 0)
        return "family id of the ID block";
    if (memcmp(b + 64, report->image_id, 16) != 0)
        return "image id of the ID block";
    if (get_le32(b + 80) != 1)
        return "version of the ID block";
    if (get_le32(b + 84) != report->guest_svn)
        return "guest SVN of the ID block";
    if (get_le64(b + 88) != report->policy)
        return "policy of the ID block";
    return NULL;
}

static const char *check_author(const uint8_t *auth, const struct verifier_snp *report)
{
    if (!report->author_key_en)
        return NULL;
    if (get_le32(auth + AUTH_AUTHOR_KEY_ALGORITHM) != ALGORITHM_ECDSA_P384)
        return "algorithm of the author key";
    if (!is_digest(auth + AUTH_AUTHOR_KEY, report->author_key_digest))
        return "digest of the author key";
    if (!is_signed_by(auth + AUTH_AUTHOR_KEY, auth + AUTH_ID_KEY, ID_PUBLIC_KEY_SIZE,
                      auth + AUTH_ID_KEY_SIGNATURE))
        return "signature of the ID key by the author key";
    return NULL;
}

const char *id_block_verify(struct verifier_bytes id_block, struct verifier_bytes id_auth,
                            const struct verifier_snp *report)
{
    const char *wrong;

    if (id_block.size != ID_BLOCK_SIZE)
        return "an ID block has 96 bytes";
    if (id_auth.size != ID_AUTH_SIZE)
        return "ID authentication information has 4096 bytes";
    wrong = check_block(id_block.data, report);
    if (wrong)
        return wrong;
    if (get_le32(id_auth.data + AUTH_ID_KEY_ALGORITHM) != ALGORITHM_ECDSA_P384)
        return "algorithm of the ID key";
    if (!is_digest(id_auth.data + AUTH_ID_KEY, report->id_key_digest))
        return "digest of the ID key";
    if (!is_signed_by(id_auth.data + AUTH_ID_KEY, id_block.data, ID_BLOCK_SIZE,
                      id_auth.data + AUTH_BLOCK_SIGNATURE))
        return "signature of the ID block by the ID key";
    return check_author(id_auth.data, report);
}
