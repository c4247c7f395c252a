/* SPDX-License-Identifier: Apache-2.0 */
/* Conceptual message wrapper in JSON: records are arrays, collections objects. Relying party and agent; draft-ietf-rats-msg-wrap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "attest/base64url.h"
#include "attest/cmw_item.h"
#include "lib/json_pull.h"

/* Collections that are open, the innermost last. */
struct stack {
    int open[CMW_DEPTH_MAX];
    unsigned count;
};

/* "type" and "value" of [type, value, ind]; the array is open. */
static int record_read(struct json_pull *j, struct cmw_item *item)
{
    struct json_pull_text type, value;

    if (json_pull_array_next(j) != 1 || json_pull_string(j, &type) < 0 ||
        json_pull_text_decode(&type, item->type, sizeof item->type) < 0)
        return json_pull_fail(j, "a record starts with its media type");
    if (!cmw_is_media_type(item->type))
        return json_pull_fail(j, "this is not a media type");
    if (json_pull_array_next(j) != 1 || json_pull_string(j, &value) < 0)
        return json_pull_fail(j, "the second element of a record is its value");
    item->data = malloc(base64url_decoded_size(value.raw_size) + 1);
    if (!item->data)
        return -ENOMEM;
    if (base64url_decode(value.raw, value.raw_size, item->data) < 0)
        return json_pull_fail(j, "a value is base64 with the URL-safe alphabet, without padding");
    item->size = base64url_decoded_size(value.raw_size);
    return 0;
}

static int record_parse(struct json_pull *j, struct cmw *cmw, int index)
{
    struct cmw_item *item = &cmw->items[index];
    uint64_t indicators;
    int rc = json_pull_array_begin(j);

    if (rc == 0)
        rc = record_read(j, item);
    if (rc < 0)
        return rc;
    rc = json_pull_array_next(j);
    if (rc <= 0)
        return rc;
    if (json_pull_uint(j, UINT32_MAX, &indicators) < 0 || indicators == 0)
        return json_pull_fail(j,
                              "the third element of a record says what kinds of messages it holds");
    item->indicators = (uint32_t)indicators;
    rc = json_pull_array_next(j);
    return rc > 0 ? json_pull_fail(j, "a record has two or three elements") : rc;
}

/* The value that is next; a collection is left open. */
static int value_parse(struct json_pull *j, struct cmw *cmw, int parent, const char *label,
                       struct stack *stack)
{
    int kind = json_pull_peek(j), index, rc;

    if (kind != JSON_PULL_ARRAY && kind != JSON_PULL_OBJECT)
        return json_pull_fail(j, "a message is an array or an object");
    index = cmw_item_new(cmw, parent, label);
    if (index == -E2BIG || (kind == JSON_PULL_OBJECT && stack->count == CMW_DEPTH_MAX))
        return -E2BIG;
    if (index < 0)
        return json_pull_fail(j, "this label cannot be used");
    if (kind == JSON_PULL_ARRAY)
        return record_parse(j, cmw, index);
    rc = json_pull_object_begin(j);
    if (rc < 0)
        return rc;
    cmw->items[index].is_collection = true;
    stack->open[stack->count++] = index;
    return 0;
}

static int collection_type_parse(struct json_pull *j, struct cmw_item *collection)
{
    struct json_pull_text type;

    if (json_pull_string(j, &type) < 0 ||
        json_pull_text_decode(&type, collection->type, sizeof collection->type) < 0 ||
        !cmw_is_collection_type(collection->type))
        return json_pull_fail(j, "a collection's type is a URI or an OID");
    return 0;
}

static bool has_items(const struct cmw *cmw, int collection)
{
    /* Items follow their collection at once. */
    return collection + 1 < (int)cmw->count && cmw->items[collection + 1].parent == collection;
}

/* One member of the innermost open collection, or its end. */
static int member_parse(struct json_pull *j, struct cmw *cmw, struct stack *stack)
{
    int collection = stack->open[stack->count - 1];
    struct json_pull_text name;
    char label[CMW_LABEL_SIZE];
    int rc = json_pull_object_next(j, &name);

    if (rc < 0)
        return rc;
    if (rc == 0) {
        if (!has_items(cmw, collection))
            return json_pull_fail(j, "a collection has one message at least");
        stack->count--;
        return 0;
    }
    if (json_pull_text_is(&name, CMW_TYPE_LABEL))
        return collection_type_parse(j, &cmw->items[collection]);
    if (json_pull_text_decode(&name, label, sizeof label) < 0)
        return json_pull_fail(j, "a label is longer than 63 bytes");
    return value_parse(j, cmw, collection, label, stack);
}

int cmw_json_parse(struct cmw *cmw, const uint8_t *data, size_t size, struct err *err)
{
    struct json_pull j;
    struct stack stack = { .count = 0 };
    unsigned line, column;
    int rc;

    json_pull_init(&j, (const char *)data, size);
    rc = value_parse(&j, cmw, CMW_TOP, "", &stack);
    while (rc == 0 && stack.count > 0)
        rc = member_parse(&j, cmw, &stack);
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc == -E2BIG)
        return err_set(err, rc, "more than %u messages, or nested deeper than %u",
                       CMW_ITEM_COUNT_MAX, CMW_DEPTH_MAX);
    if (rc < 0 && j.error) {
        json_pull_place((const char *)data, size, j.pos, &line, &column);
        return err_set(err, rc, "line %u, column %u: %s", line, column, j.error);
    }
    return rc;
}

/* ---- encoding ---- */

/* Labels are UTF-8 and types ASCII: only quotes, backslashes and controls need an escape. */
static void add_string(struct buffer *b, const char *text)
{
    char escape[8];

    buffer_add_text(b, "\"");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\') {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)*c);
            buffer_add_text(b, escape);
        } else {
            buffer_add(b, c, 1);
        }
    }
    buffer_add_text(b, "\"");
}

static int record_add(struct buffer *b, const struct cmw_item *item)
{
    char indicators[16];

    if (item->type[0] == '\0')
        return -ENOTSUP;
    buffer_add_text(b, "[");
    add_string(b, item->type);
    buffer_add_text(b, ",\"");
    base64url_add(b, item->data, item->size);
    buffer_add_text(b, "\"");
    if (item->indicators) {
        snprintf(indicators, sizeof indicators, ",%u", item->indicators);
        buffer_add_text(b, indicators);
    }
    buffer_add_text(b, "]");
    return 0;
}

/* Opens, or closes, what lies between two items that follow each other. */
static void close_until(struct buffer *b, const struct cmw *cmw, int *open, int parent)
{
    for (; *open != parent; *open = cmw->items[*open].parent)
        buffer_add_text(b, "}");
}

int cmw_encode_json(const struct cmw *cmw, char **ret, size_t *ret_size)
{
    struct buffer b;
    int open = CMW_TOP, rc = cmw->count > 0 ? 0 : -EINVAL;
    bool is_first = true;

    buffer_init(&b, CMW_SIZE_MAX);
    for (unsigned i = 0; i < cmw->count && rc == 0; i++) {
        const struct cmw_item *item = &cmw->items[i];

        close_until(&b, cmw, &open, item->parent);
        if (!is_first)
            buffer_add_text(&b, ",");
        is_first = false;
        if (item->parent != CMW_TOP) {
            add_string(&b, item->label);
            buffer_add_text(&b, ":");
        }
        if (!item->is_collection) {
            rc = record_add(&b, item);
            continue;
        }
        buffer_add_text(&b, "{");
        open = (int)i;
        is_first = item->type[0] == '\0';
        if (!is_first) {
            buffer_add_text(&b, "\"" CMW_TYPE_LABEL "\":");
            add_string(&b, item->type);
        }
        if (!has_items(cmw, (int)i))
            rc = -EINVAL;
    }
    close_until(&b, cmw, &open, CMW_TOP);
    if (rc == 0)
        rc = buffer_take(&b, (uint8_t **)ret, ret_size);
    buffer_done(&b);
    return rc;
}
