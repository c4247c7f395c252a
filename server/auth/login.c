/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in and out. Relying party. Guessing is held up in three ways: by address; by user, after USER_FAILURES_FREE failures, doubling up to LOCK_MAX_MS; and by device: who has
 * logged in before brings the device token given then, and is not held up by what others do with the user's name, so that nobody can lock a user out.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "lib/ct.h"
#include "server/api/metrics.h"
#include "server/api/request.h"
#include "server/auth/auth_state.h"
#include "server/auth/password.h"
#include "server/auth/routes.h"
#include "server/auth/token.h"
#include "server/auth/totp.h"
#include "server/auth/user.h"
#include "server/crypto/keys.h"
#include "server/model/org.h"
#include "server/model/row.h"

#define USER_FAILURES_FREE 5
#define LOCK_MAX_MS (15 * 60 * 1000ll)
#define ADDRESS_PER_MINUTE 600u /* many may come from one address */
#define DEVICE_PER_MINUTE 20u
#define DEVICE_NONCE_SIZE 16u
#define DEVICE_SIZE (DEVICE_NONCE_SIZE + KEYS_MAC_SIZE)
#define DEVICE_TEXT_SIZE 65u

struct login {
    struct api_request *rq;
    const char *org, *name, *password, *code, *device;
    struct user_row user;
    char org_id[ID_SIZE]; /* that is meant; "": there is none */
    bool is_known, has_device;
    int64_t now_ms;
    bool is_right, needs_code;
    struct token_row token;
    char token_text[TOKEN_TEXT_SIZE], device_text[DEVICE_TEXT_SIZE];
};

/* ---- devices ---- */

static int device_mac(struct login *l, const uint8_t nonce[DEVICE_NONCE_SIZE],
                      uint8_t ret[KEYS_MAC_SIZE], struct err *err)
{
    uint8_t data[DEVICE_NONCE_SIZE + ID_SIZE] = { 0 };

    memcpy(data, nonce, DEVICE_NONCE_SIZE);
    memcpy(data + DEVICE_NONCE_SIZE, l->user.id, strlen(l->user.id));
    return keys_mac(l->rq->server->keys, l->user.org_id, "device", data, sizeof data, ret, err);
}

static bool device_is_right(struct login *l)
{
    uint8_t device[DEVICE_SIZE + 3], mac[KEYS_MAC_SIZE];
    struct err err = { "" };

    return l->is_known && l->device && strlen(l->device) == DEVICE_TEXT_SIZE - 1 &&
           base64url_decode(l->device, strlen(l->device), device) == 0 &&
           device_mac(l, device, mac, &err) == 0 &&
           ct_equal(mac, device + DEVICE_NONCE_SIZE, sizeof mac);
}

static int device_make(struct login *l, struct err *err)
{
    uint8_t device[DEVICE_SIZE], *digits = NULL;
    struct buffer b;
    size_t size;
    int rc = RAND_bytes(device, DEVICE_NONCE_SIZE) == 1 ? 0 : -EIO;

    if (rc == 0)
        rc = device_mac(l, device, device + DEVICE_NONCE_SIZE, err);
    if (rc < 0)
        return rc;
    buffer_init(&b, 128);
    base64url_add(&b, device, sizeof device);
    rc = buffer_take(&b, &digits, &size);
    if (rc == 0)
        snprintf(l->device_text, sizeof l->device_text, "%s", (const char *)digits);
    free(digits);
    return rc;
}

/* ---- who ---- */

static int org_find(struct store_tx *tx, const char *name, char ret[ID_SIZE], struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = store_query(tx, "SELECT id FROM orgs WHERE $1 = '' OR name = $1 ORDER BY id LIMIT 2",
                         STORE_ARGS(store_text(name ? name : "")), &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0)
        return rc < 0 ? rc : -ENOENT;
    row_copy(ret, ID_SIZE, store_column_text(rows, 0));
    rc = store_rows_next(rows, err);
    return rc < 0 ? rc : rc == 1 ? -ENOENT : 0; /* without a name there must be one alone */
}

static int login_find(struct store_tx *tx, void *arg, struct err *err)
{
    struct login *l = arg;
    int rc = org_find(tx, l->org, l->org_id, err);

    if (rc < 0)
        l->org_id[0] = 0;
    else
        rc = user_find(l->rq->server, tx, l->org_id, l->name, &l->user, err);
    l->is_known = rc == 0;
    return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
}

/* ---- held up ---- */

static int throttled(struct login *l, const char *code, int64_t wait_s)
{
    metrics_add(l->rq->server->metrics, METRICS_LOGINS_THROTTLED);
    request_of(l->rq)->retry_after_s = (unsigned)MAX(wait_s, (int64_t)1);
    return api_problem(l->rq, 429, code, "too many logins failed; wait %lld s",
                       (long long)MAX(wait_s, (int64_t)1));
}

static int address_check(struct login *l)
{
    char key[80];
    unsigned wait_s;

    snprintf(key, sizeof key, "address %s", l->rq->remote);
    wait_s = rate_take(l->rq->server->auth->attempts, key, ADDRESS_PER_MINUTE, clock_ms());
    return wait_s ? throttled(l, "login-throttled", wait_s) : 0;
}

static int64_t locked_until(int64_t failures, int64_t now_ms)
{
    int64_t over = failures - USER_FAILURES_FREE + 1;

    return over < 0 ? 0 : now_ms + MIN(LOCK_MAX_MS, 1000ll << MIN(over, (int64_t)20));
}

/* With the lock: the place of a name that nobody has; empty when it was another's. */
static struct absent *absent_find(struct login *l)
{
    uint8_t key[32] = { 0 };
    unsigned place;

    if (row_digest(STORE_ARGS(store_text(l->org_id[0] ? NULL : l->org), store_text(l->org_id),
                              store_text(l->name)),
                   key) < 0)
        memset(key, 0xff, sizeof key);
    place = ((unsigned)key[0] << 8 | key[1]) % AUTH_ABSENT_MAX;
    struct absent *a = &l->rq->server->auth->absent[place];

    if (memcmp(a->key, key, sizeof key) != 0)
        *a = (struct absent){ .failures = 0 };
    memcpy(a->key, key, sizeof key);
    return a;
}

/* Until when it is held up. */
static int64_t absent_locked(struct login *l)
{
    pthread_mutex_lock(&l->rq->server->auth->absent_lock);
    int64_t until_ms = absent_find(l)->locked_until_ms;

    pthread_mutex_unlock(&l->rq->server->auth->absent_lock);
    return until_ms;
}

static void absent_note(struct login *l)
{
    pthread_mutex_lock(&l->rq->server->auth->absent_lock);
    struct absent *a = absent_find(l);

    a->locked_until_ms = locked_until(a->failures++, l->now_ms);
    pthread_mutex_unlock(&l->rq->server->auth->absent_lock);
}

static int user_check(struct login *l)
{
    int64_t until_ms = l->is_known ? l->user.locked_until_ms : absent_locked(l);
    char key[DEVICE_TEXT_SIZE + 16];
    unsigned wait_s;

    l->has_device = device_is_right(l);
    if (l->has_device) {
        snprintf(key, sizeof key, "device %s", l->device);
        wait_s = rate_take(l->rq->server->auth->attempts, key, DEVICE_PER_MINUTE, clock_ms());
        return wait_s ? throttled(l, "login-throttled", wait_s) : 0;
    }
    if (l->now_ms < until_ms)
        return throttled(l, "login-locked", (until_ms - l->now_ms + 999) / 1000);
    return 0;
}

/* ---- right or wrong ---- */

static int password_check(struct login *l)
{
    struct err err = { "" };
    const char *encoded = l->is_known && !l->user.disabled_ms ? l->user.password : "";
    int rc = password_verify(encoded, l->password);

    l->is_right = rc == 0;
    if (rc < 0 && rc != -EACCES)
        return api_problem_errno(l->rq, rc, "login", &err);
    if (l->is_right && l->user.totp_size && l->user.totp[0] == USER_TOTP_ACTIVE) {
        l->needs_code = !l->code;
        rc = l->code ? totp_check(l->rq->server, &l->user, l->code, l->now_ms, &err) : 0;
        if (rc < 0 && rc != -EACCES)
            return api_problem_errno(l->rq, rc, "login", &err);
        l->is_right = l->code && rc == 0;
    }
    return 0;
}

static int failure_write(struct store_tx *tx, struct login *l, struct err *err)
{
    int64_t until_ms = locked_until(l->user.failures, l->now_ms);
    int rc;

    l->user.failures++;
    if (until_ms)
        l->user.locked_until_ms = until_ms;
    rc = user_write_login(tx, &l->user, err);
    return rc < 0 ? rc
                  : row_tell(l->rq, tx, "session.refuse", NULL, l->user.id,
                             json_pack("{s:s, s:I}", "address", l->rq->remote, "failures",
                                       (json_int_t)l->user.failures),
                             err);
}

/* The user's row as it is now: what was checked before must still hold, and a one-time code be used once. */
static int login_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct login *l = arg;
    struct org_row org;
    struct user_row now;
    int64_t step = l->user.totp_step;
    int rc = user_read(l->rq->server, tx, l->user.org_id, l->user.id, &now, err);

    if (rc < 0)
        return rc;
    if (strcmp(now.password, l->user.password) != 0 || now.disabled_ms ||
        now.totp_size != l->user.totp_size ||
        (l->code && l->is_right && now.totp_size && now.totp[0] && step <= now.totp_step))
        l->is_right = false;
    l->user.failures = now.failures;
    l->user.locked_until_ms = now.locked_until_ms;
    if (!l->is_right) {
        l->user.totp_step = now.totp_step;
        return l->has_device ? 0 : failure_write(tx, l, err);
    }
    l->user.failures = l->user.locked_until_ms = 0;
    rc = user_write_login(tx, &l->user, err);
    if (rc == 0)
        rc = org_read(l->rq->server, tx, l->user.org_id, &org, err);
    if (rc < 0)
        return rc;
    l->token = (struct token_row){ .kind = "session",
                                   .roles = l->user.roles,
                                   .expires_ms = l->now_ms + org.settings.session_s * 1000 };
    row_copy(l->token.org_id, sizeof l->token.org_id, l->user.org_id);
    row_copy(l->token.owner_id, sizeof l->token.owner_id, l->user.id);
    row_copy(l->token.name, sizeof l->token.name, l->rq->remote);
    rc = token_add(l->rq->server, tx, &l->token, l->token_text, err);
    return rc < 0 ? rc
                  : row_tell(l->rq, tx, "session.create", "session.started", l->token.id,
                             json_pack("{s:s, s:s}", "user", l->user.id, "address", l->rq->remote),
                             err);
}

static int login_refuse(struct login *l)
{
    metrics_add(l->rq->server->metrics, METRICS_LOGINS_REFUSED);
    if (l->needs_code)
        return api_problem(l->rq, 401, "code-needed",
                           "a one-time code is needed besides the password");
    return api_problem(l->rq, 401, "login-refused",
                       "organisation, name, password or one-time code is wrong");
}

static int login_read(struct login *l)
{
    const struct api_member members[] = {
        { "code", API_STRING, false, &l->code, 6, 6 },
        { "device", API_BASE64URL, false, &l->device, 1, 128 },
        { "name", API_STRING, true, &l->name, 1, USER_NAME_LEN_MAX },
        { "org", API_STRING, false, &l->org, 1, 63 },
        { "password", API_STRING, true, &l->password, 1, PASSWORD_LEN_MAX },
    };

    return api_body_read(l->rq, members, ARRAY_COUNT(members));
}

static int login_post(struct api_request *rq, struct api_response *ret)
{
    struct login l = { .rq = rq, .now_ms = server_now_ms(rq->server) };
    struct err err = { "" };
    int rc = login_read(&l);

    if (rc == 0)
        rc = address_check(&l);
    if (rc < 0)
        return rc;
    rc = store_read(rq->server->store, login_find, &l, &err);
    if (rc < 0)
        return row_result(rq, rc, "login", &err);
    rc = user_check(&l);
    if (rc == 0)
        rc = password_check(&l);
    if (rc < 0)
        return rc;
    if (!l.is_known)
        absent_note(&l);
    if (!l.is_known || l.needs_code)
        return login_refuse(&l);
    rq->who.org_id = l.user.org_id;
    if (l.is_right)
        rq->who.id = l.user.id;
    rc = store_write(rq->server->store, login_write, &l, &err);
    if (rc == 0 && l.is_right)
        rc = device_make(&l, &err);
    if (rc < 0)
        return row_result(rq, rc, "login", &err);
    if (!l.is_right)
        return login_refuse(&l);
    metrics_add(rq->server->metrics, METRICS_LOGINS);
    ret->status = 200;
    ret->body = json_pack("{s:s, s:o, s:s, s:o, s:s}", "token", l.token_text, "expires",
                          api_time(l.token.expires_ms), "device", l.device_text, "user",
                          user_json(&l.user), "org", l.user.org_id);
    ct_wipe(l.token_text, sizeof l.token_text);
    return ret->body ? 0 : -ENOMEM;
}

/* ---- out ---- */

static int logout_write(struct store_tx *tx, void *arg, struct err *err)
{
    struct api_request *rq = arg;
    int rc = token_revoke(rq->server, tx, rq->who.org_id, rq->who.token_id, err);

    return rc < 0 ? rc
                  : row_tell(rq, tx, "session.end", "session.ended", rq->who.token_id, NULL, err);
}

static int logout_post(struct api_request *rq, struct api_response *ret)
{
    struct err err = { "" };
    int rc;

    if (rq->who.kind != API_USER || !rq->who.token_id[0])
        return api_problem(rq, 409, "no-session", "this is no session; an API token is revoked");
    rc = store_write(rq->server->store, logout_write, rq, &err);
    ret->status = 204;
    return row_result(rq, rc, "logout", &err);
}

const struct api_route login_routes[] = {
    { .method = "POST",
      .path = "/v1/login",
      .handle = login_post,
      .flags = API_PUBLIC,
      .body_size_max = 4096 },
    { .method = "POST",
      .path = "/v1/logout",
      .handle = logout_post,
      .flags = API_ANY_ROLE,
      .body_size_max = 4096 },
};
const unsigned login_route_count = ARRAY_COUNT(login_routes);
