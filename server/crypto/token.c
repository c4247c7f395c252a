/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 token through p11-kit. Relying party. */
#include "server/crypto/token.h"

#include <errno.h>
#include <fcntl.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ct.h"
#include "server/crypto/keys.h"

#define SLOTS_MAX 64u
#define PIN_LEN_MAX 255u
#define LABEL_LEN_MAX 128u
#define AAD "cloche-root-1"

struct token {
    CK_FUNCTION_LIST *module;
    CK_SESSION_HANDLE session;
    bool has_session;
    char label[LABEL_LEN_MAX + 1];
};

static void uri_freep(P11KitUri **uri)
{
    p11_kit_uri_free(*uri);
}

static int fail(CK_RV code, const char *what, struct err *err)
{
    return err_set(err, -EIO, "%s: PKCS#11 error 0x%lx", what, code);
}

const char *token_object_label(const struct token *token)
{
    return token->label[0] ? token->label : NULL;
}

/* ---- opening ---- */

/* "file:/path" or a path; the first line. */
static int read_pin(P11KitUri *uri, char ret[PIN_LEN_MAX + 1], struct err *err)
{
    const char *path = p11_kit_uri_get_pin_source(uri);
    ssize_t size;
    int fd;

    if (!path)
        return err_set(err, -EINVAL, "the URI has no pin-source");
    if (strncmp(path, "file:", 5) == 0)
        path += 5;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, -errno, "PIN: %s", path);
    size = read(fd, ret, PIN_LEN_MAX);
    close(fd);
    if (size <= 0)
        return err_set(err, -EINVAL, "PIN: %s is empty", path);
    ret[size] = 0;
    ret[strcspn(ret, "\r\n")] = 0;
    return 0;
}

static int load_module(struct token *token, P11KitUri *uri, struct err *err)
{
    const char *path = p11_kit_uri_get_module_path(uri);
    CK_RV code;

    if (!path || path[0] != '/')
        return err_set(err, -EINVAL, "the URI has no module-path with a whole path");
    token->module = p11_kit_module_load(path, 0);
    if (!token->module)
        return err_set(err, -ENOENT, "cannot load the PKCS#11 module %s: %s", path,
                       p11_kit_message());
    code = p11_kit_module_initialize(token->module);
    if (code == CKR_OK)
        return 0;
    p11_kit_module_release(token->module);
    token->module = NULL;
    return fail(code, path, err);
}

static int find_slot(struct token *token, P11KitUri *uri, CK_SLOT_ID *ret, struct err *err)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    CK_TOKEN_INFO info;
    CK_RV code = token->module->C_GetSlotList(CK_TRUE, slots, &count);
    unsigned found = 0;

    if (code != CKR_OK)
        return fail(code, "slots", err);
    for (CK_ULONG i = 0; i < count && i < SLOTS_MAX; i++)
        if (token->module->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            info.flags & CKF_TOKEN_INITIALIZED && p11_kit_uri_match_token_info(uri, &info)) {
            *ret = slots[i];
            found++;
        }
    if (found == 1)
        return 0;
    return err_set(err, -ENOENT, found ? "the URI fits %u tokens" : "no token fits the URI", found);
}

static int log_in(struct token *token, P11KitUri *uri, struct err *err)
{
    char pin[PIN_LEN_MAX + 1];
    CK_SLOT_ID slot = 0;
    CK_RV code;
    int rc = find_slot(token, uri, &slot, err);

    if (rc < 0)
        return rc;
    code = token->module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &token->session);
    if (code != CKR_OK)
        return fail(code, "session", err);
    token->has_session = true;
    rc = read_pin(uri, pin, err);
    if (rc < 0)
        return rc;
    code = token->module->C_Login(token->session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
    ct_wipe(pin, sizeof pin);
    if (code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN)
        return 0;
    if (code == CKR_PIN_INCORRECT || code == CKR_PIN_LOCKED || code == CKR_PIN_INVALID ||
        code == CKR_PIN_LEN_RANGE)
        return err_set(err, -EACCES, "the token refuses the PIN (0x%lx)", code);
    return fail(code, "login", err);
}

static int take_label(struct token *token, P11KitUri *uri, struct err *err)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);

    if (!label)
        return 0;
    if (label->ulValueLen > LABEL_LEN_MAX)
        return err_set(err, -EINVAL, "the object's label is too long");
    memcpy(token->label, label->pValue, label->ulValueLen);
    return 0;
}

int token_open(const char *text, struct token **ret, struct err *err)
{
    CLEANUP(uri_freep)
    P11KitUri *uri = p11_kit_uri_new();
    struct token *token;
    int rc;

    if (!uri || !text || p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK ||
        p11_kit_uri_any_unrecognized(uri) || p11_kit_uri_get_pin_value(uri))
        return err_set(err, -EINVAL,
                       "not a URI like pkcs11:token=...;object=...?module-path=...&pin-source=...");
    token = calloc(1, sizeof *token);
    if (!token)
        return err_set_errno(err, -ENOMEM, "token");
    rc = take_label(token, uri, err);
    if (rc == 0)
        rc = load_module(token, uri, err);
    if (rc == 0)
        rc = log_in(token, uri, err);
    if (rc < 0) {
        token_close(token);
        return rc;
    }
    *ret = token;
    return 0;
}

void token_close(struct token *token)
{
    if (!token)
        return;
    if (token->has_session)
        token->module->C_CloseSession(token->session);
    if (token->module) {
        p11_kit_module_finalize(token->module);
        p11_kit_module_release(token->module);
    }
    free(token);
}

/* ---- objects ---- */

static int find_object(struct token *token, CK_OBJECT_CLASS class, const char *label,
                       CK_OBJECT_HANDLE *ret, struct err *err)
{
    CK_ATTRIBUTE wanted[] = {
        { CKA_CLASS, &class, sizeof class },
        { CKA_LABEL, (void *)(uintptr_t)label, strlen(label) },
    };
    CK_OBJECT_HANDLE found[2];
    CK_ULONG count = 0;
    CK_RV code = token->module->C_FindObjectsInit(token->session, wanted, ARRAY_COUNT(wanted));

    if (code == CKR_OK) {
        code = token->module->C_FindObjects(token->session, found, 2, &count);
        token->module->C_FindObjectsFinal(token->session);
    }
    if (code != CKR_OK)
        return fail(code, "objects", err);
    if (count != 1)
        return err_set(err, -ENOENT,
                       count ? "the token has several objects \"%s\""
                             : "the token has no object \"%s\" of this kind",
                       label);
    *ret = found[0];
    return 0;
}

static int crypt_with(struct token *token, bool is_encrypt, const char *label,
                      const uint8_t nonce[12], const void *data, size_t size, uint8_t *ret,
                      size_t ret_size, struct err *err)
{
    CK_GCM_PARAMS params = { .pIv = (CK_BYTE *)(uintptr_t)nonce,
                             .ulIvLen = 12,
                             .ulIvBits = 96,
                             .pAAD = (CK_BYTE *)(uintptr_t)AAD,
                             .ulAADLen = sizeof AAD - 1,
                             .ulTagBits = 128 };
    CK_MECHANISM mechanism = { CKM_AES_GCM, &params, sizeof params };
    CK_FUNCTION_LIST *m = token->module;
    CK_ULONG done = ret_size;
    CK_OBJECT_HANDLE key;
    CK_RV code;
    int rc = find_object(token, CKO_SECRET_KEY, label, &key, err);

    if (rc < 0)
        return rc;
    code = is_encrypt ? m->C_EncryptInit(token->session, &mechanism, key)
                      : m->C_DecryptInit(token->session, &mechanism, key);
    if (code != CKR_OK)
        return fail(code, "the token's AES-GCM", err);
    if (is_encrypt)
        code = m->C_Encrypt(token->session, (CK_BYTE *)(uintptr_t)data, size, ret, &done);
    else
        code = m->C_Decrypt(token->session, (CK_BYTE *)(uintptr_t)data, size, ret, &done);
    if (!is_encrypt && (code == CKR_ENCRYPTED_DATA_INVALID || code == CKR_GENERAL_ERROR ||
                        code == CKR_ENCRYPTED_DATA_LEN_RANGE))
        return err_set(err, -EACCES, "the token's key \"%s\" does not open it", label);
    return code == CKR_OK ? (int)done : fail(code, "the token's AES-GCM", err);
}

int token_encrypt(struct token *token, const char *label, const uint8_t nonce[12], const void *data,
                  size_t size, uint8_t *ret, size_t ret_size, struct err *err)
{
    return crypt_with(token, true, label, nonce, data, size, ret, ret_size, err);
}

int token_decrypt(struct token *token, const char *label, const uint8_t nonce[12], const void *data,
                  size_t size, uint8_t *ret, size_t ret_size, struct err *err)
{
    return crypt_with(token, false, label, nonce, data, size, ret, ret_size, err);
}

int token_data_read(struct token *token, const char *label, uint8_t **ret, size_t *ret_size,
                    struct err *err)
{
    CK_ATTRIBUTE value = { CKA_VALUE, NULL, 0 };
    CK_OBJECT_HANDLE object;
    uint8_t *data;
    CK_RV code;
    int rc = find_object(token, CKO_DATA, label, &object, err);

    if (rc < 0)
        return rc;
    code = token->module->C_GetAttributeValue(token->session, object, &value, 1);
    if (code != CKR_OK)
        return fail(code, label, err);
    if (value.ulValueLen > TOKEN_DATA_SIZE_MAX)
        return err_set(err, -E2BIG, "\"%s\" has more than %u bytes", label, TOKEN_DATA_SIZE_MAX);
    data = calloc(1, value.ulValueLen + 1);
    if (!data)
        return err_set_errno(err, -ENOMEM, "token");
    value.pValue = data;
    code = token->module->C_GetAttributeValue(token->session, object, &value, 1);
    if (code != CKR_OK) {
        free(data);
        return fail(code, label, err);
    }
    *ret = data;
    *ret_size = value.ulValueLen;
    return 0;
}
