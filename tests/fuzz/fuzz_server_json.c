/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests to the control plane; JWTs, whose parts are such bodies too. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/json.h"
#include "server/auth/jwks.h"
#include "tests/fuzz/fuzz.h"

static unsigned depth_of(const json_t *value, unsigned depth)
{
    unsigned deepest = depth;
    const char *name;
    json_t *item;
    size_t i;

    if (json_is_object(value))
        json_object_foreach((json_t *)value, name, item) deepest =
            MAX(deepest, depth_of(item, depth + 1));
    json_array_foreach((json_t *)value, i, item) deepest = MAX(deepest, depth_of(item, depth + 1));
    return deepest;
}

static void check_token(const char *text)
{
    json_t *header = NULL, *payload = NULL;
    json_t *keys = json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "keys", "kty", "OKP", "crv", "Ed25519",
                             "kid", "k", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    struct err err = { "" };

    if (jwt_parse(text, &header, &payload, &err) == 0) {
        int rc = jwt_verify(text, header, keys, &err);

        assert(json_is_object(header) && json_is_object(payload));
        assert(rc == 0 || rc == -EACCES || rc == -ENOENT);
        json_decref(header);
        json_decref(payload);
    }
    json_decref(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct err err = { "" };
    json_t *value = NULL;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (json_object_parse(data, size, 8, &value, &err) == 0) {
        assert(json_is_object(value) && depth_of(value, 0) <= 8);
        json_decref(value);
    } else {
        assert(err.text[0] && !value);
    }
    check_token(text);
    free(text);
    return 0;
}
