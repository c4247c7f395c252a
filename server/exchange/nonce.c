/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nonces: 12 random bytes, the second of their making, and half of a MAC over both under the server's key. Any server of the control plane knows its own again without having kept it; only
 * used ones are in the store, until they would have expired. Relying party.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "attest/base64url.h"
#include "server/crypto/keys.h"
#include "server/exchange/internal.h"

#define RANDOM_SIZE 12u
#define HEAD_SIZE 16u /* what the MAC covers */
#define CLOCK_SKEW_S 5
#define CONTEXT "exchange-nonce"

static void time_put(int64_t now_s, uint8_t dst[4])
{
    for (unsigned i = 0; i < 4; i++)
        dst[i] = (uint8_t)((uint64_t)now_s >> (24 - 8 * i));
}

static int64_t time_get(const uint8_t src[4])
{
    return (int64_t)src[0] << 24 | src[1] << 16 | src[2] << 8 | src[3];
}

int nonce_make(struct server *server, int64_t now_s, char ret[EXCHANGE_NONCE_TEXT_SIZE],
               struct err *err)
{
    uint8_t nonce[EXCHANGE_NONCE_SIZE], mac[KEYS_MAC_SIZE];
    struct buffer text;
    int rc;

    if (RAND_bytes(nonce, RANDOM_SIZE) != 1)
        return err_set(err, -EIO, "no random bytes");
    time_put(now_s, nonce + RANDOM_SIZE);
    rc = keys_mac(server->keys, NULL, CONTEXT, nonce, HEAD_SIZE, mac, err);
    if (rc < 0)
        return rc;
    memcpy(nonce + HEAD_SIZE, mac, sizeof nonce - HEAD_SIZE);
    buffer_init(&text, EXCHANGE_NONCE_TEXT_SIZE);
    base64url_add(&text, nonce, sizeof nonce);
    rc = text.rc;
    if (rc == 0) {
        memcpy(ret, text.data, text.size);
        ret[text.size] = 0;
    }
    buffer_done(&text);
    return rc;
}

int nonce_check(struct server *server, const uint8_t nonce[EXCHANGE_NONCE_SIZE], int64_t now_s,
                struct err *err)
{
    uint8_t mac[KEYS_MAC_SIZE];
    int64_t made_s = time_get(nonce + RANDOM_SIZE);
    int rc = keys_mac(server->keys, NULL, CONTEXT, nonce, HEAD_SIZE, mac, err);

    if (rc < 0)
        return rc;
    if (CRYPTO_memcmp(mac, nonce + HEAD_SIZE, EXCHANGE_NONCE_SIZE - HEAD_SIZE) != 0)
        return err_set(err, -EACCES, "the nonce is not one that this control plane gave");
    if (now_s > made_s + EXCHANGE_NONCE_LIFE_S || now_s < made_s - CLOCK_SKEW_S)
        return err_set(err, -EACCES, "the nonce is older than %d s", EXCHANGE_NONCE_LIFE_S);
    return 0;
}

int nonce_use(struct store_tx *tx, const uint8_t nonce[EXCHANGE_NONCE_SIZE], int64_t expires_ms,
              struct err *err)
{
    int rc = store_exec(
        tx, "INSERT INTO nonces (nonce, expires_ms) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING",
        STORE_ARGS(store_blob(nonce, EXCHANGE_NONCE_SIZE), store_int(expires_ms)), err);

    return rc < 0 ? rc : rc == 0 ? -EEXIST : 0;
}
