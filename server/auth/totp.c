/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes of users: the sealed secret. Relying party. */
#include "server/auth/totp.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "server/auth/password.h"
#include "server/crypto/keys.h"

static void context_make(const struct user_row *row, char ret[64])
{
    snprintf(ret, 64, "totp/%s", row->id);
}

int totp_check(struct server *server, struct user_row *row, const char *code, int64_t now_ms,
               struct err *err)
{
    uint8_t *secret = NULL;
    char context[64];
    size_t size = 0;
    int rc;

    if (row->totp_size < 2)
        return -EACCES;
    context_make(row, context);
    rc = keys_unseal(server->keys, row->org_id, context, row->totp + 1, row->totp_size - 1, &secret,
                     &size, err);
    if (rc == 0 && size != TOTP_SECRET_SIZE)
        rc = -EBADMSG;
    if (rc == 0 && !totp_verify(secret, code, now_ms / 1000, &row->totp_step))
        rc = -EACCES;
    secret_free(secret, size);
    return rc;
}

int totp_make(struct server *server, struct user_row *row, char ret[TOTP_TEXT_SIZE],
              struct err *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t secret[TOTP_SECRET_SIZE], *sealed = NULL;
    char context[64];
    size_t size = 0;
    int rc = RAND_bytes(secret, sizeof secret) == 1 ? 0 : -EIO;

    context_make(row, context);
    if (rc == 0)
        rc = keys_seal(server->keys, row->org_id, context, secret, sizeof secret, &sealed, &size,
                       err);
    if (rc == 0 && size + 1 > sizeof row->totp)
        rc = -E2BIG;
    if (rc == 0) {
        row->totp[0] = USER_TOTP_PENDING;
        memcpy(row->totp + 1, sealed, size);
        row->totp_size = size + 1;
        for (unsigned i = 0; i < TOTP_TEXT_SIZE - 1; i++) {
            unsigned bit = i * 5;
            unsigned pair = (unsigned)secret[bit / 8] << 8 |
                            (bit / 8 + 1 < sizeof secret ? secret[bit / 8 + 1] : 0);

            ret[i] = digits[pair >> (11 - bit % 8) & 31];
        }
        ret[TOTP_TEXT_SIZE - 1] = 0;
    }
    free(sealed);
    ct_wipe(secret, sizeof secret);
    return rc;
}
