/* SPDX-License-Identifier: Apache-2.0 */
/* The root key's sources and their records. Relying party. */
#include "server/crypto/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static const struct root_kind *find_kind(enum keys_source_kind kind)
{
    switch (kind) {
    case KEYS_PASSPHRASE_FILE:
        return &root_passphrase;
    case KEYS_PKCS11:
        return &root_pkcs11;
    case KEYS_SEALED:
        return &root_sealed;
    default:
        return NULL;
    }
}

int root_record_put(json_t *record, const char *name, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    char *text = malloc(2 * size + 1);
    int rc;

    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = 0;
    rc = json_object_set_new(record, name, json_string(text));
    free(text);
    return rc < 0 ? -ENOMEM : 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int root_record_take(const json_t *record, const char *name, void *ret, size_t size,
                     struct err *err)
{
    const char *text = json_string_value(json_object_get(record, name));
    size_t len = text ? strlen(text) : 0;
    uint8_t *bytes = ret;

    if (len == 0 || len % 2 || len / 2 > size)
        return err_set(err, -EBADMSG, "the root key's record has no fitting \"%s\"", name);
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return err_set(err, -EBADMSG, "the root key's record: \"%s\" is not hex", name);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return (int)(len / 2);
}

int root_make(const struct keys_source *source, char **ret_record, uint8_t ret[ROOT_KEY_SIZE],
              struct err *err)
{
    const struct root_kind *kind = find_kind(source->kind);
    CLEANUP(json_freep)
    json_t *record = json_object();
    char *text;
    int rc;

    if (!kind)
        return err_set(err, -EINVAL, "no such kind of root key");
    if (!record || json_object_set_new(record, "kind", json_string(kind->name)) < 0)
        return err_set_errno(err, -ENOMEM, "root key");
    rc = kind->make(source->location, record, ret, err);
    if (rc < 0)
        return err_wrap(err, rc, "root key (%s)", kind->name);
    text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return err_set_errno(err, -ENOMEM, "root key");
    *ret_record = text;
    return 0;
}

int root_get(const struct keys_source *source, const char *record_text, uint8_t ret[ROOT_KEY_SIZE],
             struct err *err)
{
    const struct root_kind *kind = find_kind(source->kind);
    CLEANUP(json_freep)
    json_t *record = NULL;
    const char *name;
    int rc;

    if (!kind)
        return err_set(err, -EINVAL, "no such kind of root key");
    if (strlen(record_text) <= ROOT_RECORD_LEN_MAX)
        record = json_loads(record_text, JSON_REJECT_DUPLICATES, NULL);
    name = json_string_value(json_object_get(record, "kind"));
    if (!name)
        return err_set(err, -EBADMSG, "the root key's record in the store is damaged");
    if (strcmp(name, kind->name) != 0)
        return err_set(err, -EACCES, "this store's root key is of kind %.32s, not %s", name,
                       kind->name);
    rc = kind->get(source->location, record, ret, err);
    return rc < 0 ? err_wrap(err, rc, "root key (%s)", kind->name) : 0;
}
