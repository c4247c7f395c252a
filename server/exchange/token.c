/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that instances sign with their attested key (JWT, ES256): what they claim, and which were seen. Relying party; hostile. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/base64url.h"
#include "lib/digest.h"
#include "server/exchange/internal.h"

static int member_copy(const json_t *payload, const char *name, char *dst, size_t size)
{
    const json_t *member = json_object_get(payload, name);
    const char *text = json_string_value(member);

    if (!text || json_string_length(member) == 0 || json_string_length(member) >= size ||
        strlen(text) != json_string_length(member))
        return -EINVAL;
    memcpy(dst, text, strlen(text) + 1);
    return 0;
}

int token_parse(const char *text, size_t size, struct instance_token *ret, struct err *err)
{
    const char *first = memchr(text, '.', MIN(size, (size_t)EXCHANGE_TOKEN_SIZE_MAX));
    const char *second = first ? memchr(first + 1, '.', size - (size_t)(first + 1 - text)) : NULL;
    uint8_t bytes[EXCHANGE_TOKEN_SIZE_MAX];
    struct instance_token token = { "" };
    json_t *payload = NULL;
    int rc = -EINVAL;

    if (size <= EXCHANGE_TOKEN_SIZE_MAX && second &&
        base64url_decode(first + 1, (size_t)(second - first - 1), bytes) == 0)
        payload =
            json_loadb((const char *)bytes, base64url_decoded_size((size_t)(second - first - 1)),
                       JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(payload) && json_is_integer(json_object_get(payload, "iat")) &&
        member_copy(payload, "iss", token.instance_id, sizeof token.instance_id) == 0 &&
        member_copy(payload, "aud", token.audience, sizeof token.audience) == 0 &&
        member_copy(payload, "jti", token.id, sizeof token.id) == 0 &&
        id_is_valid("ins", token.instance_id)) {
        token.issued_s = json_integer_value(json_object_get(payload, "iat"));
        if (json_is_integer(json_object_get(payload, "exit_status")) &&
            member_copy(payload, "reason", token.reason, sizeof token.reason) == 0)
            token.exit_status = json_integer_value(json_object_get(payload, "exit_status"));
        *ret = token;
        rc = 0;
    }
    json_decref(payload);
    return rc < 0 ? err_set(err, rc, "the token is not one of an instance") : 0;
}

/* ---- which were seen: by this process, while they could be used ---- */

#define SEEN_BUCKETS 4096u
#define SEEN_DEPTH 16u /* per bucket; beyond, the oldest gives way */

struct seen {
    pthread_mutex_t lock;
    struct {
        uint64_t hash;
        int64_t until_s;
    } items[SEEN_BUCKETS][SEEN_DEPTH];
};

int seen_new(struct seen **ret)
{
    struct seen *seen = calloc(1, sizeof *seen);

    if (!seen)
        return -ENOMEM;
    pthread_mutex_init(&seen->lock, NULL);
    *ret = seen;
    return 0;
}

void seen_free(struct seen *seen)
{
    if (!seen)
        return;
    pthread_mutex_destroy(&seen->lock);
    free(seen);
}

int seen_add(struct seen *seen, const char *instance_id, const char *id, int64_t now_s)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 ctx;
    uint64_t hash;
    unsigned bucket, place = 0;
    int rc = 0;

    sha256_init(&ctx);
    sha256_update(&ctx, instance_id, strlen(instance_id) + 1);
    sha256_update(&ctx, id, strlen(id));
    sha256_final(&ctx, digest);
    memcpy(&hash, digest, sizeof hash);
    memcpy(&bucket, digest + sizeof hash, sizeof bucket);
    bucket %= SEEN_BUCKETS;
    pthread_mutex_lock(&seen->lock);
    for (unsigned i = 0; i < SEEN_DEPTH; i++) {
        if (seen->items[bucket][i].hash == hash && seen->items[bucket][i].until_s >= now_s)
            rc = -EEXIST;
        if (seen->items[bucket][i].until_s < seen->items[bucket][place].until_s)
            place = i;
    }
    if (rc == 0) {
        seen->items[bucket][place].hash = hash;
        seen->items[bucket][place].until_s = now_s + 2 * EXCHANGE_TOKEN_LIFE_S;
    }
    pthread_mutex_unlock(&seen->lock);
    return rc;
}
