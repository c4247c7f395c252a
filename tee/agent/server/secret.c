/* SPDX-License-Identifier: Apache-2.0 */
/* See secret.h. Trusted; hosted. */
#include "tee/agent/server/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "abi/agent.h"
#include "tee/agent/server/wipe.h"

#define MODE_DEFAULT 0400u
#define PATH_COMPONENT_MAX 255u

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* A text of 1 to size - 1 bytes without NUL (jansson refuses \u0000). */
static int text_take(const json_t *object, const char *member, char *dst, size_t size)
{
    const json_t *value = json_object_get(object, member);
    size_t len = json_string_length(value);

    if (!json_is_string(value) || len == 0 || len >= size)
        return -EINVAL;
    memcpy(dst, json_string_value(value), len + 1);
    return 0;
}

/* The version may be a number as well. */
static int version_take(const json_t *object, char dst[SECRET_VERSION_SIZE])
{
    const json_t *value = json_object_get(object, "version");

    if (!json_is_integer(value))
        return text_take(object, "version", dst, SECRET_VERSION_SIZE);
    snprintf(dst, SECRET_VERSION_SIZE, "%lld", (long long)json_integer_value(value));
    return 0;
}

/* Relative ones are in the folder of secrets. No empty, "." or ".." component. */
static int path_take(const char *text, char dst[SECRET_PATH_SIZE])
{
    const char *folder = text[0] == '/' ? "" : AGENT_SECRETS_FOLDER "/";

    if (snprintf(dst, SECRET_PATH_SIZE, "%s%s", folder, text) >= (int)SECRET_PATH_SIZE)
        return -EINVAL;
    for (const char *at = dst; *at == '/';) {
        size_t len = strcspn(++at, "/");

        if (len == 0 || len > PATH_COMPONENT_MAX || (len == 1 && at[0] == '.') ||
            (len == 2 && at[0] == '.' && at[1] == '.'))
            return -EINVAL;
        at += len;
    }
    return 0;
}

/* "0400", octal; no more than the nine bits. */
static int mode_take(const json_t *value, uint32_t *ret)
{
    const char *text = json_string_value(value);
    uint32_t mode = 0;

    if (!value) {
        *ret = MODE_DEFAULT;
        return 0;
    }
    if (!text || !text[0] || strlen(text) > 5 || strspn(text, "01234567") != strlen(text))
        return -EINVAL;
    for (; *text; text++)
        mode = mode << 3 | (uint32_t)(*text - '0');
    *ret = mode;
    return mode <= 0777 ? 0 : -EINVAL;
}

static int id_take(const json_t *value, uint32_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)json_integer_value(value);
    return 0;
}

static int file_take(const json_t *deliver, struct secret *s)
{
    const json_t *uid = json_object_get(deliver, "uid"), *gid = json_object_get(deliver, "gid");
    const char *path = json_string_value(json_object_get(deliver, "file"));

    s->delivery = SECRET_FILE;
    if (!path || path_take(path, s->target) < 0 ||
        mode_take(json_object_get(deliver, "mode"), &s->mode) < 0)
        return -EINVAL;
    s->has_owner = uid || gid;
    if ((uid && !json_is_null(uid) && id_take(uid, &s->uid) < 0) ||
        (gid && !json_is_null(gid) && id_take(gid, &s->gid) < 0))
        return -EINVAL;
    if (json_is_null(uid) && (!gid || json_is_null(gid)))
        s->has_owner = false;
    return 0;
}

static int deliver_take(const json_t *deliver, struct secret *s)
{
    if (json_object_get(deliver, "env")) {
        s->delivery = SECRET_ENV;
        return text_take(deliver, "env", s->target, sizeof s->target) < 0 || strchr(s->target, '=')
                   ? -EINVAL
                   : 0;
    }
    if (json_object_get(deliver, "file"))
        return file_take(deliver, s);
    s->delivery = SECRET_SOCKET;
    return json_is_true(json_object_get(deliver, "socket")) ? 0 : -EINVAL;
}

/* Standard base64, padded. */
static int value_take(const json_t *value, struct secret *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = json_string_value(value);
    size_t len = text ? json_string_length(value) : 0, plain = text ? strspn(text, digits) : 0;
    size_t pad = len - plain;

    if (!text || len % 4 != 0 || pad > 2 || (pad && strspn(text + plain, "=") != pad))
        return -EINVAL;
    if (len / 4 * 3 > SECRET_VALUE_SIZE_MAX + pad)
        return -E2BIG;
    s->value = malloc(len / 4 * 3 + 1);
    if (!s->value)
        return -ENOMEM;
    s->size = 0;
    if (len > 0) {
        int size = EVP_DecodeBlock(s->value, (const unsigned char *)text, (int)len);

        if (size < (int)pad)
            return -EINVAL;
        s->size = (size_t)size - pad;
    }
    s->value[s->size] = 0;
    if (s->delivery == SECRET_ENV && s->size > SECRET_ENV_VALUE_MAX)
        return -E2BIG;
    return s->delivery == SECRET_ENV && memchr(s->value, 0, s->size) ? -EINVAL : 0;
}

static int one_parse(const json_t *object, struct secret *s, struct err *err)
{
    int rc;

    if (text_take(object, "name", s->name, sizeof s->name) < 0)
        return err_set(err, -EINVAL, "a secret has no proper name");
    rc = version_take(object, s->version);
    if (rc == 0)
        rc = deliver_take(json_object_get(object, "deliver"), s);
    if (rc < 0)
        return err_set(err, rc, "secret %s: its version or delivery is malformed", s->name);
    rc = value_take(json_object_get(object, "value"), s);
    if (rc < 0)
        return err_set(err, rc, "secret %s: its value is %s", s->name,
                       rc == -E2BIG ? "too large" : "malformed, or none that a variable can have");
    return 0;
}

int secret_list_parse(const uint8_t *plain, size_t size, const char *nonce, struct secret_list *ret,
                      struct err *err)
{
    CLEANUP(json_freep)
    json_t *top = json_loadb((const char *)plain, size, JSON_REJECT_DUPLICATES, NULL);
    const char *found = json_string_value(json_object_get(top, "nonce"));
    const json_t *array = json_object_get(top, "secrets");
    size_t count = json_array_size(array);
    struct secret_list list = { 0 };
    int rc = 0;

    if (!found || strcmp(found, nonce) != 0 || !json_is_array(array))
        return err_set(err, -EINVAL, "the secrets are not those of this exchange");
    if (count > SECRET_COUNT_MAX)
        return err_set(err, -E2BIG, "more than %u secrets", SECRET_COUNT_MAX);
    list.items = calloc(count + 1, sizeof *list.items);
    if (!list.items)
        return -ENOMEM;
    for (; list.count < count && rc == 0; list.count++)
        rc = one_parse(json_array_get(array, list.count), &list.items[list.count], err);
    if (rc < 0)
        secret_list_done(&list);
    else
        *ret = list;
    return rc;
}

void secret_list_done(struct secret_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        wipe_free(list->items[i].value);
    wipe_free(list->items);
    *list = (struct secret_list){ 0 };
}

const struct secret *secret_list_find(const struct secret_list *list, const char *name,
                                      enum secret_delivery delivery)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].delivery == delivery && strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}
