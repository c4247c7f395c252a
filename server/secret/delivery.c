/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery and conditions of secrets. Relying party. */
#include "server/secret/delivery.h"

#include <errno.h>
#include <string.h>

#define LIST_MAX 32u
#define WORD_MAX 64u
#define ENV_NAME_MAX 128u
#define PATH_LEN_MAX 255u
#define ENV_VALUE_SIZE_MAX                                                                         \
    (96u                                                                                           \
     << 10) /* what agents take (docs/agent.md): Linux takes 128 KiB for one string, name and all */
#define ID_MAX 0xfffffffell

static const char g_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char g_letters_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

/* Only members of `names` (up to NULL). */
static int check_members(const json_t *json, const char *const *names, const char *what,
                         struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return err_set(err, -EINVAL, "%s is not an object", what);
    json_object_foreach((json_t *)json, key, value)
    {
        unsigned i = 0;

        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return err_set(err, -EINVAL, "%s has no member \"%.64s\"", what, key);
    }
    return 0;
}

static int check_env(const json_t *deliver, struct err *err)
{
    static const char *const names[] = { "env", NULL };
    const char *name = json_string_value(json_object_get(deliver, "env"));
    int rc = check_members(deliver, names, "deliver (env)", err);

    if (rc < 0)
        return rc;
    if (!name || !name[0] || strlen(name) > ENV_NAME_MAX || !strchr(g_letters, name[0]) ||
        strspn(name, g_letters_digits) != strlen(name))
        return err_set(err, -EINVAL, "deliver.env is no name of an environment variable");
    return 0;
}

/* Absolute, no empty, "." or ".." component. */
static bool path_is_good(const char *path)
{
    size_t len = strlen(path);

    if (path[0] != '/' || len < 2 || len > PATH_LEN_MAX || path[len - 1] == '/')
        return false;
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)path[i] < 0x20 || path[i] == 0x7f)
            return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        size_t part_len = strcspn(++part, "/");

        if (part_len == 0 || (part_len == 1 && part[0] == '.') ||
            (part_len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
    }
    return true;
}

static int check_number(const json_t *deliver, const char *name, struct err *err)
{
    const json_t *value = json_object_get(deliver, name);

    if (value && (!json_is_integer(value) || json_integer_value(value) < 0 ||
                  json_integer_value(value) > ID_MAX))
        return err_set(err, -EINVAL, "deliver.%s is no number of a user or group", name);
    return 0;
}

static int check_file(const json_t *deliver, struct err *err)
{
    static const char *const names[] = { "file", "mode", "uid", "gid", NULL };
    const char *path = json_string_value(json_object_get(deliver, "file"));
    const json_t *mode = json_object_get(deliver, "mode");
    const char *text = json_string_value(mode);
    int rc = check_members(deliver, names, "deliver (file)", err);

    if (rc < 0)
        return rc;
    if (!path || !path_is_good(path))
        return err_set(err, -EINVAL, "deliver.file is no absolute path without . and ..");
    if (mode && (!text || strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4))
        return err_set(err, -EINVAL, "deliver.mode is not like \"0400\"");
    rc = check_number(deliver, "uid", err);
    return rc < 0 ? rc : check_number(deliver, "gid", err);
}

int delivery_check(const json_t *deliver, struct err *err)
{
    static const char *const socket_names[] = { "socket", NULL }, *const none_names[] = { "none",
                                                                                          NULL };
    if (json_object_get(deliver, "env"))
        return check_env(deliver, err);
    if (json_object_get(deliver, "file"))
        return check_file(deliver, err);
    if (json_is_true(json_object_get(deliver, "socket")))
        return check_members(deliver, socket_names, "deliver (socket)", err);
    if (json_is_true(json_object_get(deliver, "none")))
        return check_members(deliver, none_names, "deliver (none)", err);
    return err_set(err, -EINVAL, "deliver has none of \"env\", \"file\", \"socket\", \"none\"");
}

int delivery_value_check(const json_t *deliver, const void *value, size_t size, struct err *err)
{
    if (json_object_get(deliver, "env") && (size > ENV_VALUE_SIZE_MAX || memchr(value, 0, size)))
        return err_set(err, -EINVAL,
                       "the value has a NUL or over %u bytes: an environment cannot hold it",
                       ENV_VALUE_SIZE_MAX);
    return 0;
}

/* An optional array of 1 to LIST_MAX short strings, each of `words` (up to NULL) when there are some. */
static int check_list(const json_t *conditions, const char *name, const char *const *words,
                      struct err *err)
{
    const json_t *list = json_object_get(conditions, name), *item;
    size_t index;

    if (!list)
        return 0;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > LIST_MAX)
        return err_set(err, -EINVAL, "conditions.%s is not a list of 1 to %u", name, LIST_MAX);
    json_array_foreach(list, index, item)
    {
        const char *text = json_string_value(item);
        unsigned i = 0;

        if (!text || !text[0] || strlen(text) > WORD_MAX)
            return err_set(err, -EINVAL, "conditions.%s[%zu] is no short text", name, index);
        while (words && words[i] && strcmp(words[i], text) != 0)
            i++;
        if (words && !words[i])
            return err_set(err, -EINVAL, "conditions.%s: there is no \"%s\"", name, text);
    }
    return 0;
}

int conditions_check(const json_t *conditions, struct err *err)
{
    static const char *const names[] = { "tee", "tcb", "locations", "emulated", NULL };
    static const char *const tees[] = { "sgx", "tdx", "snp", NULL };
    static const char *const tcbs[] = { "UpToDate",
                                        "SWHardeningNeeded",
                                        "ConfigurationNeeded",
                                        "ConfigurationAndSWHardeningNeeded",
                                        "OutOfDate",
                                        "OutOfDateConfigurationNeeded",
                                        NULL };
    const json_t *emulated = json_object_get(conditions, "emulated");
    int rc = check_members(conditions, names, "conditions", err);

    if (rc == 0)
        rc = check_list(conditions, "tee", tees, err);
    if (rc == 0)
        rc = check_list(conditions, "tcb", tcbs, err);
    if (rc == 0)
        rc = check_list(conditions, "locations", NULL, err);
    if (rc == 0 && emulated && !json_is_boolean(emulated))
        rc = err_set(err, -EINVAL, "conditions.emulated is not true or false");
    return rc;
}

/* A location "eu" also stands for all in it: "eu/de", "eu/fr/paris". */
static bool location_is_in(const char *location, const char *area)
{
    size_t len = strlen(area);

    return strncmp(location, area, len) == 0 && (location[len] == 0 || location[len] == '/');
}

static bool list_has(const json_t *conditions, const char *name, const char *value,
                     bool is_location)
{
    const json_t *list = json_object_get(conditions, name), *item;
    size_t index;

    if (!list)
        return true;
    json_array_foreach(list, index, item)
    {
        const char *text = json_string_value(item);

        if (value && text && (is_location ? location_is_in(value, text) : strcmp(value, text) == 0))
            return true;
    }
    return false;
}

int conditions_meet(const json_t *conditions, const struct secret_receiver *to, struct err *err)
{
    if (to->is_emulated && !json_is_true(json_object_get(conditions, "emulated")))
        return err_set(err, -EACCES, "the platform is emulated and protects nothing");
    if (!list_has(conditions, "tee", to->tee, false))
        return err_set(err, -EACCES, "a TEE of kind %s is not permitted", to->tee ? to->tee : "?");
    if (!list_has(conditions, "tcb", to->tcb_status, false))
        return err_set(err, -EACCES, "a platform whose TCB is %s is not permitted",
                       to->tcb_status ? to->tcb_status : "unknown");
    if (!list_has(conditions, "locations", to->location, true))
        return err_set(err, -EACCES, "the location %s is not permitted",
                       to->location ? to->location : "unknown");
    return 0;
}
