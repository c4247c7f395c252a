/* SPDX-License-Identifier: Apache-2.0 */
/* The root key under an AES key that never leaves a PKCS#11 token: random, wrapped by the token, kept so in the record. Relying party. */
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "lib/ct.h"
#include "server/crypto/root.h"
#include "server/crypto/token.h"

#define NONCE_SIZE 12u
#define WRAPPED_SIZE (ROOT_KEY_SIZE + 16u)

static void token_closep(struct token **token)
{
    token_close(*token);
}

static int open_key(const char *uri, struct token **ret, struct err *err)
{
    int rc = token_open(uri, ret, err);

    if (rc == 0 && !token_object_label(*ret))
        rc = err_set(err, -EINVAL, "the URI names no object");
    return rc;
}

static int pkcs11_make(const char *uri, json_t *record, uint8_t ret[ROOT_KEY_SIZE], struct err *err)
{
    CLEANUP(token_closep)
    struct token *token = NULL;
    uint8_t nonce[NONCE_SIZE], wrapped[WRAPPED_SIZE];
    int rc = open_key(uri, &token, err);

    if (rc < 0)
        return rc;
    if (RAND_bytes(ret, ROOT_KEY_SIZE) != 1 || RAND_bytes(nonce, sizeof nonce) != 1)
        return err_set(err, -EIO, "no random bytes");
    rc = token_encrypt(token, token_object_label(token), nonce, ret, ROOT_KEY_SIZE, wrapped,
                       sizeof wrapped, err);
    if (rc < 0)
        return rc;
    if (rc != WRAPPED_SIZE)
        return err_set(err, -EIO, "the token wrapped %u bytes to %d", ROOT_KEY_SIZE, rc);
    if (root_record_put(record, "nonce", nonce, sizeof nonce) < 0 ||
        root_record_put(record, "wrapped", wrapped, sizeof wrapped) < 0)
        return err_set_errno(err, -ENOMEM, "record");
    return 0;
}

static int pkcs11_get(const char *uri, const json_t *record, uint8_t ret[ROOT_KEY_SIZE],
                      struct err *err)
{
    CLEANUP(token_closep)
    struct token *token = NULL;
    uint8_t nonce[NONCE_SIZE], wrapped[WRAPPED_SIZE], root[WRAPPED_SIZE];
    int rc = root_record_take(record, "nonce", nonce, sizeof nonce, err);

    if (rc == sizeof nonce)
        rc = root_record_take(record, "wrapped", wrapped, sizeof wrapped, err);
    if (rc < 0)
        return rc;
    if (rc != WRAPPED_SIZE)
        return err_set(err, -EBADMSG, "the root key's record in the store is damaged");
    rc = open_key(uri, &token, err);
    if (rc < 0)
        return rc;
    rc = token_decrypt(token, token_object_label(token), nonce, wrapped, sizeof wrapped, root,
                       sizeof root, err);
    if (rc == ROOT_KEY_SIZE)
        memcpy(ret, root, ROOT_KEY_SIZE);
    ct_wipe(root, sizeof root);
    if (rc < 0)
        return rc;
    return rc == ROOT_KEY_SIZE ? 0 : err_set(err, -EIO, "the token unwrapped %d bytes", rc);
}

const struct root_kind root_pkcs11 = { "pkcs11", pkcs11_make, pkcs11_get };
