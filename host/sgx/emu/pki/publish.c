/* SPDX-License-Identifier: Apache-2.0 */
/* Signs and writes the collateral that the state describes, as Intel's PCS serves it. Untrusted side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/sgx/emu/pki/folder.h"
#include "lib/digest.h"

/* ---- signed JSON ---- */

/* {"NAME":BODY,"signature":"HEX"}; the signature is over BODY as it stands. */
static int write_signed(const struct emu_pki *pki, const char *file, const char *name,
                        const json_t *value, const char *item, EVP_PKEY *key, struct err *err)
{
    const json_t *dates = json_object_get(json_object_get(pki->state, "dates"), item);
    json_t *body = json_deep_copy(value);
    uint8_t signature[EMU_PKI_SIGNATURE_SIZE];
    char *text = NULL, *whole = NULL, hex[2 * EMU_PKI_SIGNATURE_SIZE + 1];
    int rc = -ENOMEM;

    if (body && json_object_set(body, "issueDate", json_object_get(dates, "issued")) == 0 &&
        json_object_set(body, "nextUpdate", json_object_get(dates, "next")) == 0)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text)
        rc = issue_sign(key, text, strlen(text), signature);
    for (unsigned i = 0; rc == 0 && i < sizeof signature; i++)
        snprintf(hex + 2 * i, 3, "%02x", signature[i]);
    if (rc == 0 && asprintf(&whole, "{\"%s\":%s,\"signature\":\"%s\"}", name, text, hex) < 0)
        rc = -ENOMEM;
    rc = rc < 0 ? err_set_errno(err, rc, "cannot sign %s", file)
                : folder_write(pki->folder, file, whole, strlen(whole), false, err);
    free(text);
    free(whole);
    return rc;
}

/* Without an early edition the standard one is the early one, too. */
static int write_editions(const struct emu_pki *pki, EVP_PKEY *key, struct err *err)
{
    const json_t *standard = json_object_get(pki->state, "tcbInfo");
    const json_t *early = json_object_get(pki->state, "earlyTcbInfo");
    const json_t *recovery = json_object_get(pki->state, "recovery");
    json_t *list =
        json_pack("{s:s,s:i,s:s,s:s,s:[{s:O,s:s,s:s}]}", "id", "SGX", "version", 1, "issueDate", "",
                  "nextUpdate", "", "tcbEvalNumbers", "tcbEvaluationDataNumber",
                  json_object_get(standard, "tcbEvaluationDataNumber"), "tcbRecoveryEventDate",
                  "2023-01-01T00:00:00Z", "tcbDate", "2023-01-01T00:00:00Z");
    int rc =
        write_signed(pki, "collateral/tcb_info.json", "tcbInfo", standard, "tcb-info", key, err);

    if (rc == 0)
        rc = write_signed(pki, "collateral/tcb_info_early.json", "tcbInfo",
                          json_is_object(early) ? early : standard, "tcb-info", key, err);
    if (json_is_object(early))
        json_array_insert(json_object_get(list, "tcbEvalNumbers"), 0, (json_t *)recovery);
    if (rc == 0)
        rc = list ? write_signed(pki, "collateral/tcb_evaluations.json", "tcbEvaluationDataNumbers",
                                 list, "tcb-info", key, err)
                  : err_set_errno(err, -ENOMEM, "cannot list the editions");
    json_decref(list);
    return rc;
}

/* ---- revocation lists ---- */

static int dates_get(const struct emu_pki *pki, const char *item, int64_t *ret_from_s,
                     int64_t *ret_until_s)
{
    const char *from, *until;

    if (json_unpack(pki->state, "{s:{s:{s:s,s:s}}}", "dates", item, "issued", &from, "next",
                    &until) < 0 ||
        folder_time_parse(from, ret_from_s) < 0)
        return -EINVAL;
    return folder_time_parse(until, ret_until_s);
}

static int write_crl(const struct emu_pki *pki, const char *file, const char *item,
                     const char *issuer_name, struct err *err)
{
    const json_t *list = json_object_get(json_object_get(pki->state, "revoked"), issuer_name);
    const char *serials[EMU_PKI_REVOKED_COUNT_MAX];
    CLEANUP(issue_certp)
    X509 *issuer = NULL;
    CLEANUP(issue_keyp)
    EVP_PKEY *key = NULL;
    struct issue_crl_request request = { .serials = serials };
    uint8_t *der;
    int size, rc = dates_get(pki, item, &request.this_update_s, &request.next_update_s);

    if (rc < 0 || json_array_size(list) > EMU_PKI_REVOKED_COUNT_MAX)
        return err_set(err, -EINVAL, "state.json: \"dates\" or \"revoked\" are unusable");
    for (size_t i = 0; i < json_array_size(list); i++) {
        serials[i] = json_string_value(json_array_get(list, i));
        if (!serials[i])
            return err_set(err, -EINVAL, "state.json: \"revoked\" holds no serial numbers");
    }
    request.serial_count = (unsigned)json_array_size(list);
    rc = folder_cert_read(pki->folder, issuer_name, &issuer, err);
    if (rc == 0)
        rc = folder_key_read(pki->folder, issuer_name, &key, err);
    if (rc < 0)
        return rc;
    request.issuer = issuer;
    request.key = key;
    size = issue_crl_der(&request, &der);
    if (size < 0)
        return err_set(err, size, "cannot make %s", file);
    rc = folder_write(pki->folder, file, der, (size_t)size, false, err);
    OPENSSL_free(der);
    return rc;
}

/* ---- chains ---- */

static int write_chain(const struct emu_pki *pki, const char *file, const char *const *names,
                       struct err *err)
{
    char *whole = calloc(1, 1), *grown, *text, path[64];
    size_t size = 0, part;
    int rc = whole ? 0 : -ENOMEM;

    for (; rc == 0 && *names; names++) {
        snprintf(path, sizeof path, "certs/%s.pem", *names);
        rc = folder_read(pki->folder, path, &text, &part, err);
        if (rc < 0)
            break;
        grown = realloc(whole, size + part + 1);
        if (grown) {
            memcpy(grown + size, text, part + 1);
            whole = grown;
            size += part;
        } else {
            rc = err_set_errno(err, -ENOMEM, "cannot write %s", file);
        }
        free(text);
    }
    if (rc == 0)
        rc = folder_write(pki->folder, file, whole, size, false, err);
    free(whole);
    return rc;
}

static int write_chains(const struct emu_pki *pki, struct err *err)
{
    static const char *const tcb[] = { "tcb", "root", NULL };
    static const char *const ca[] = { "ca", "root", NULL };
    static const char *const pck[] = { "pck", "ca", "root", NULL };
    int rc = write_chain(pki, "collateral/tcb_info_issuer_chain.pem", tcb, err);

    if (rc == 0)
        rc = write_chain(pki, "collateral/qe_identity_issuer_chain.pem", tcb, err);
    if (rc == 0)
        rc = write_chain(pki, "collateral/pck_crl_issuer_chain.pem", ca, err);
    if (rc == 0)
        rc = write_chain(pki, "collateral/pck_chain.pem", pck, err);
    return rc;
}

/* ---- a policy with this root ---- */

static int write_policy(const struct emu_pki *pki, struct err *err)
{
    CLEANUP(issue_certp)
    X509 *root = NULL;
    uint8_t *der = NULL, hash[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1], *text;
    int size, rc = folder_cert_read(pki->folder, "root", &root, err);

    if (rc < 0)
        return rc;
    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(root), &der);
    if (size <= 0)
        return err_set(err, -EIO, "cannot encode the root's key");
    sha256_digest(der, (size_t)size, hash);
    OPENSSL_free(der);
    for (unsigned i = 0; i < sizeof hash; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    if (asprintf(&text,
                 "{\n  \"version\": 1,\n  \"name\": \"emulated platform, protects nothing\",\n"
                 "  \"roots\": [ { \"name\": \"emulated root, protects nothing\",\n"
                 "               \"key_sha256\": \"%s\" } ],\n  \"tee\": [ \"sgx\" ]\n}\n",
                 hex) < 0)
        return err_set_errno(err, -ENOMEM, "cannot write policy.json");
    rc = folder_write(pki->folder, "policy.json", text, strlen(text), false, err);
    free(text);
    return rc;
}

/* ---- the whole ---- */

int emu_pki_publish(struct emu_pki *pki, struct err *err)
{
    CLEANUP(issue_keyp)
    EVP_PKEY *key = NULL;
    char *text;
    int rc = folder_key_read(pki->folder, "tcb", &key, err);

    if (rc == 0)
        rc = write_editions(pki, key, err);
    if (rc == 0)
        rc = write_signed(pki, "collateral/qe_identity.json", "enclaveIdentity",
                          json_object_get(pki->state, "enclaveIdentity"), "qe-identity", key, err);
    if (rc == 0)
        rc = write_crl(pki, "collateral/pck_crl.der", "pck-crl", "ca", err);
    if (rc == 0)
        rc = write_crl(pki, "collateral/root_ca_crl.der", "root-crl", "root", err);
    if (rc == 0)
        rc = write_chains(pki, err);
    if (rc == 0)
        rc = write_policy(pki, err);
    if (rc < 0)
        return rc;
    rc = emu_pki_state_text(pki, &text);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot write the state");
    rc = folder_write(pki->folder, "state.json", text, strlen(text), false, err);
    free(text);
    return rc;
}

int emu_pki_state_text(const struct emu_pki *pki, char **ret)
{
    char *text = json_dumps(pki->state, JSON_INDENT(2)), *line = NULL;
    int rc = text && asprintf(&line, "%s\n", text) >= 0 ? 0 : -ENOMEM;

    free(text);
    *ret = line;
    return rc;
}

int emu_pki_collateral_read(const struct emu_pki *pki, const char *name, char **ret,
                            size_t *ret_size, struct err *err)
{
    char file[128];

    if (strchr(name, '/') || snprintf(file, sizeof file, "collateral/%s", name) >= (int)sizeof file)
        return err_set(err, -EINVAL, "%s: not a file of the collateral", name);
    return folder_read(pki->folder, file, ret, ret_size, err);
}
