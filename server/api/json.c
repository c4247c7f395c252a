/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside. Relying party; the bytes are hostile. */
#include "server/api/json.h"

#include <errno.h>
#include <string.h>

/* Past the string whose first quote is at `at`; jansson judges what is in it. */
static size_t string_skip(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at;
}

/* Depth and number of values, without building any. */
static int bounds_check(const char *text, size_t size, unsigned depth_max, struct err *err)
{
    unsigned depth = 0, count = 0;

    for (size_t i = 0; i < size; i++) {
        switch (text[i]) {
        case '"':
            i = string_skip(text, size, i);
            break;
        case '{':
        case '[':
            if (++depth > depth_max)
                return err_set(err, -E2BIG, "it is nested deeper than %u", depth_max);
            count++;
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
            count++;
            break;
        default:
            break;
        }
        if (count > JSON_VALUES_MAX)
            return err_set(err, -E2BIG, "it has more than %u values", JSON_VALUES_MAX);
    }
    return 0;
}

int json_object_parse(const void *data, size_t size, unsigned depth_max, json_t **ret,
                      struct err *err)
{
    json_error_t error;
    json_t *value;
    int rc = bounds_check(data, size, depth_max, err);

    if (rc < 0)
        return rc;
    value = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return err_set_errno(err, -ENOMEM, "JSON");
        return err_set(err, -EINVAL, "line %d, column %d: %s", error.line, error.column,
                       error.text);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return err_set(err, -EINVAL, "it is not an object");
    }
    *ret = value;
    return 0;
}
