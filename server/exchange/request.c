/* SPDX-License-Identifier: Apache-2.0 */
/* The evidence request, decoded: form and bounds of each member, the key, the CMW. Relying party; all of it is hostile. */
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "lib/digest.h"
#include "server/exchange/internal.h"

#define LABEL_EVIDENCE "evidence"
#define LABEL_COLLATERAL "collateral"

void evidence_request_done(struct evidence_request *request)
{
    EVP_PKEY_free(request->key);
    cmw_free(request->cmw);
    *request = (struct evidence_request){ 0 };
}

/* Members that are texts. missing: allowed, gives "". */
static int text_get(const json_t *object, const char *name, bool is_required, size_t len_max,
                    const char **ret, struct err *err)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);

    *ret = "";
    if (!member || json_is_null(member))
        return is_required ? err_set(err, -EINVAL, "%s: missing", name) : 0;
    if (!text)
        return err_set(err, -EINVAL, "%s: a string is expected", name);
    if (json_string_length(member) > len_max || strlen(text) != json_string_length(member))
        return err_set(err, -EINVAL, "%s: longer than %zu, or with a NUL", name, len_max);
    *ret = text;
    return 0;
}

static int bytes_get(const json_t *object, const char *name, size_t size_min, size_t size_max,
                     uint8_t *dst, size_t *ret_size, struct err *err)
{
    const char *text;
    int rc = text_get(object, name, true, 4 * size_max, &text, err);
    size_t size;

    if (rc < 0)
        return rc;
    size = base64url_decoded_size(strlen(text));
    if (size < size_min || size > size_max || base64url_decode(text, strlen(text), dst) < 0)
        return err_set(err, -EINVAL, "%s: %zu to %zu bytes in base64url are expected", name,
                       size_min, size_max);
    *ret_size = size;
    return 0;
}

static int id_get(const json_t *object, const char *name, const char *prefix, char ret[ID_SIZE],
                  struct err *err)
{
    const char *text;
    int rc = text_get(object, name, false, 64, &text, err);

    if (rc < 0 || !text[0])
        return rc;
    if (!id_is_valid(prefix, text))
        return err_set(err, -EINVAL, "%s: an id (%s_...) is expected", name, prefix);
    snprintf(ret, ID_SIZE, "%s", text);
    return 0;
}

static int digest_get(const json_t *body, uint8_t ret[48], struct err *err)
{
    const char *text;
    int rc = text_get(body, "app_digest", true, 96, &text, err);

    if (rc < 0)
        return rc;
    if (strlen(text) != 96 || strspn(text, "0123456789abcdef") != 96)
        return err_set(err, -EINVAL, "app_digest: 96 lower-case hexadecimal digits are expected");
    for (unsigned i = 0; i < 48; i++) {
        unsigned byte;

        sscanf(text + 2 * i, "%2x", &byte);
        ret[i] = (uint8_t)byte;
    }
    return 0;
}

int spki_read(const uint8_t *der, size_t size, EVP_PKEY **ret)
{
    const unsigned char *p = der;
    unsigned char again[EXCHANGE_SPKI_SIZE_MAX], *q = again;
    EVP_PKEY *key = NULL;
    char group[32];
    size_t group_size;
    int ok;

    if (size < 64 || size > EXCHANGE_SPKI_SIZE_MAX)
        return -EINVAL;
    key = d2i_PUBKEY(NULL, &p, (long)size);
    ok = key && p == der + size && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group, sizeof group, &group_size) == 1 &&
         strcmp(group, "prime256v1") == 0 &&
         /* One key has one encoding: it is how instances are told apart. */
         i2d_PUBKEY(key, NULL) == (int)size && i2d_PUBKEY(key, &q) == (int)size &&
         memcmp(again, der, size) == 0 && der[size - 65] == 4;
    ERR_clear_error();
    if (!ok) {
        EVP_PKEY_free(key);
        return -EINVAL;
    }
    *ret = key;
    return 0;
}

int exchange_key_parse(const char *text, uint8_t ret[EXCHANGE_KEY_SIZE_MAX], size_t *ret_size)
{
    EVP_PKEY *key;
    size_t size = base64url_decoded_size(strlen(text));

    if (size > EXCHANGE_KEY_SIZE_MAX || base64url_decode(text, strlen(text), ret) < 0 ||
        spki_read(ret, size, &key) < 0)
        return -EINVAL;
    EVP_PKEY_free(key);
    *ret_size = size;
    return 0;
}

int evidence_find(const struct cmw *cmw, struct verifier_bytes *ret, char ret_type[CMW_TYPE_SIZE],
                  int *ret_collateral, struct err *err)
{
    const struct cmw_item *top = cmw_item_get(cmw, 0), *item;
    int index = 0;

    *ret_collateral = -ENOENT;
    if (top->is_collection) {
        index = cmw_item_find(cmw, 0, LABEL_EVIDENCE);
        *ret_collateral = cmw_item_find(cmw, 0, LABEL_COLLATERAL);
        if (*ret_collateral >= 0 && !cmw_item_get(cmw, *ret_collateral)->is_collection)
            return err_set(err, -EINVAL, "evidence: its \"collateral\" is not a collection");
    }
    item = index >= 0 ? cmw_item_get(cmw, index) : NULL;
    if (!item || item->is_collection || item->size == 0 || item->size > VERIFIER_EVIDENCE_SIZE_MAX)
        return err_set(err, -EINVAL,
                       "evidence: no record of at most %u bytes is in the place of evidence",
                       VERIFIER_EVIDENCE_SIZE_MAX);
    if (strcmp(item->type, CMW_TYPE_INTEL_QUOTE) != 0 &&
        strcmp(item->type, CMW_TYPE_SNP_REPORT) != 0)
        return err_set(err, -EINVAL, "evidence: of a type that is not known");
    *ret = (struct verifier_bytes){ item->data, item->size };
    memcpy(ret_type, item->type, CMW_TYPE_SIZE);
    return 0;
}

static int evidence_get(const json_t *body, struct evidence_request *ret, struct err *err)
{
    const json_t *value = json_object_get(body, "evidence");
    char *text;
    int rc;

    if (!json_is_array(value) && !json_is_object(value))
        return err_set(err, -EINVAL, "evidence: a CMW (array or object) is expected");
    text = json_dumps(value, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    rc = cmw_parse((const uint8_t *)text, strlen(text), &ret->cmw, err);
    free(text);
    if (rc < 0)
        return rc == -ENOMEM ? rc : err_wrap(err, -EINVAL, "evidence");
    rc = evidence_find(ret->cmw, &ret->evidence, ret->evidence_type, &ret->collateral, err);
    if (rc == 0)
        sha256_digest(ret->evidence.data, ret->evidence.size, ret->evidence_sha256);
    return rc;
}

static int purpose_get(const json_t *body, enum exchange_purpose *ret, struct err *err)
{
    static const char *const names[] = { EXCHANGE_PURPOSE_START, EXCHANGE_PURPOSE_RENEW,
                                         EXCHANGE_PURPOSE_NODE };
    const char *text;
    int rc = text_get(body, "purpose", true, 16, &text, err);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum exchange_purpose)i;
            return 0;
        }
    return err_set(err, -EINVAL, "purpose: \"start\", \"renew\" or \"node\" is expected");
}

/* What depends on the purpose. */
static int target_get(const json_t *body, struct evidence_request *ret, struct err *err)
{
    int rc = id_get(body, "instance", "ins", ret->instance_id, err);

    if (rc == 0)
        rc = id_get(body, "node", "nod", ret->node_id, err);
    if (rc < 0)
        return rc;
    if (ret->purpose == PURPOSE_NODE)
        return ret->node_id[0] ? 0 : err_set(err, -EINVAL, "node: missing");
    if (ret->purpose == PURPOSE_RENEW && !ret->instance_id[0])
        return err_set(err, -EINVAL, "instance: missing");
    return digest_get(body, ret->app_digest, err);
}

static int status_get(const json_t *body, struct evidence_request *ret, struct err *err)
{
    const char *text = "";
    int rc = text_get(json_object_get(body, "have"), "secrets", false, sizeof ret->have_secrets - 1,
                      &text, err);

    if (rc < 0)
        return rc;
    snprintf(ret->have_secrets, sizeof ret->have_secrets, "%s", text);
    rc = text_get(json_object_get(body, "status"), "workload", false, 16, &text, err);
    ret->is_running = strcmp(text, "running") == 0;
    return rc;
}

int evidence_request_decode(const json_t *body, struct evidence_request *ret, struct err *err)
{
    size_t size;
    int rc;

    *ret = (struct evidence_request){ .collateral = -ENOENT };
    if (!json_is_object(body))
        return err_set(err, -EINVAL, "a JSON object is expected");
    rc = purpose_get(body, &ret->purpose, err);
    if (rc == 0)
        rc = bytes_get(body, "nonce", EXCHANGE_NONCE_SIZE, EXCHANGE_NONCE_SIZE, ret->nonce, &size,
                       err);
    if (rc == 0)
        snprintf(ret->nonce_text, sizeof ret->nonce_text, "%s",
                 json_string_value(json_object_get(body, "nonce")));
    if (rc == 0)
        rc = bytes_get(body, "public_key", 64, sizeof ret->spki, ret->spki, &ret->spki_size, err);
    if (rc == 0 && spki_read(ret->spki, ret->spki_size, &ret->key) < 0)
        rc = err_set(err, -EINVAL, "public_key: a SubjectPublicKeyInfo (DER) of P-256 is expected");
    if (rc == 0)
        rc = target_get(body, ret, err);
    if (rc == 0)
        rc = status_get(body, ret, err);
    return rc < 0 ? rc : evidence_get(body, ret, err);
}

int evidence_encode(const struct evidence_request *r, char **ret, size_t *ret_size)
{
    CLEANUP(cmw_freep)
    struct cmw *record = NULL;
    int rc = cmw_new(&record);

    if (rc == 0)
        rc = cmw_add_record(record, CMW_TOP, NULL, r->evidence_type, CMW_EVIDENCE, r->evidence.data,
                            r->evidence.size);
    return rc < 0 ? rc : cmw_encode_json(record, ret, ret_size);
}

void evidence_request_binding(const struct evidence_request *request, uint8_t ret[64])
{
    static const char *const names[] = { EXCHANGE_PURPOSE_START, EXCHANGE_PURPOSE_RENEW,
                                         EXCHANGE_PURPOSE_NODE };
    const char *purpose = names[request->purpose];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    if (!hash || !EVP_DigestInit_ex(hash, EVP_sha512(), NULL) ||
        !EVP_DigestUpdate(hash, EXCHANGE_BINDING, sizeof EXCHANGE_BINDING) ||
        !EVP_DigestUpdate(hash, purpose, strlen(purpose) + 1) ||
        !EVP_DigestUpdate(hash, request->nonce, sizeof request->nonce) ||
        !EVP_DigestUpdate(hash, request->spki, request->spki_size) ||
        !EVP_DigestFinal_ex(hash, ret, NULL))
        abort(); /* no memory for a hash */
    EVP_MD_CTX_free(hash);
}
