/* SPDX-License-Identifier: Apache-2.0 */
/* Conceptual message wrapper: the items, whatever their serialisation. Relying party and agent; draft-ietf-rats-msg-wrap. */
#include "attest/cmw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cmw_item.h"
#include "lib/json_pull.h"

int cmw_new(struct cmw **ret)
{
    struct cmw *cmw = calloc(1, sizeof *cmw);

    if (!cmw)
        return -ENOMEM;
    *ret = cmw;
    return 0;
}

void cmw_free(struct cmw *cmw)
{
    if (!cmw)
        return;
    for (unsigned i = 0; i < cmw->count; i++)
        free(cmw->items[i].data);
    free(cmw);
}

unsigned cmw_item_count(const struct cmw *cmw)
{
    return cmw->count;
}

const struct cmw_item *cmw_item_get(const struct cmw *cmw, int index)
{
    return &cmw->items[index];
}

int cmw_item_find(const struct cmw *cmw, int parent, const char *label)
{
    for (unsigned i = 0; i < cmw->count; i++)
        if (cmw->items[i].parent == parent && strcmp(cmw->items[i].label, label) == 0)
            return (int)i;
    return -ENOENT;
}

bool cmw_is_media_type(const char *type)
{
    const char *slash = strchr(type, '/');

    if (!slash || slash == type || slash[1] == '\0' || slash[1] == ';' || type[0] == '#')
        return false;
    for (const char *c = type; *c; c++)
        if (*c < ' ' || *c > '~' || (*c == ' ' && c < slash))
            return false;
    return true;
}

bool cmw_is_collection_type(const char *type)
{
    size_t digits = strspn(type, "0123456789.");

    for (const char *c = type; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    if (type[digits] == '\0')
        return digits >= 3 && strchr(type, '.') != NULL && type[0] != '.' &&
               type[digits - 1] != '.' && strstr(type, "..") == NULL;
    return strchr(type, ':') != NULL && type[0] != ':';
}

static unsigned depth_of(const struct cmw *cmw, int parent)
{
    unsigned depth = 0;

    for (; parent != CMW_TOP; parent = cmw->items[parent].parent)
        depth++;
    return depth;
}

/* Whether items can still go into a collection: it is the last item, or around it. */
static bool is_open(const struct cmw *cmw, int collection)
{
    int index = (int)cmw->count - 1;

    while (index != CMW_TOP && index != collection)
        index = cmw->items[index].parent;
    return index == collection && cmw->items[index].is_collection;
}

int cmw_item_new(struct cmw *cmw, int parent, const char *label)
{
    struct cmw_item *item;

    if (parent == CMW_TOP) {
        if (cmw->count > 0)
            return -EEXIST;
        label = "";
    } else {
        if (parent < 0 || parent >= (int)cmw->count || !is_open(cmw, parent) || label[0] == '\0' ||
            strlen(label) >= CMW_LABEL_SIZE || !json_pull_is_utf8(label) ||
            strcmp(label, CMW_TYPE_LABEL) == 0)
            return -EINVAL;
        if (cmw_item_find(cmw, parent, label) >= 0)
            return -EEXIST;
    }
    if (cmw->count == CMW_ITEM_COUNT_MAX || depth_of(cmw, parent) >= CMW_DEPTH_MAX)
        return -E2BIG;
    item = &cmw->items[cmw->count];
    *item = (struct cmw_item){ .parent = parent };
    memcpy(item->label, label, strlen(label) + 1);
    return (int)cmw->count++;
}

int cmw_add_record(struct cmw *cmw, int parent, const char *label, const char *type,
                   uint32_t indicators, const void *data, size_t size)
{
    uint8_t *copy;
    int index;

    if (!cmw_is_media_type(type) || strlen(type) >= CMW_TYPE_SIZE || size > CMW_SIZE_MAX)
        return -EINVAL;
    copy = malloc(size + 1);
    if (!copy)
        return -ENOMEM;
    index = cmw_item_new(cmw, parent, label);
    if (index < 0) {
        free(copy);
        return index;
    }
    if (size > 0)
        memcpy(copy, data, size);
    memcpy(cmw->items[index].type, type, strlen(type) + 1);
    cmw->items[index].indicators = indicators;
    cmw->items[index].data = copy;
    cmw->items[index].size = size;
    return index;
}

int cmw_add_collection(struct cmw *cmw, int parent, const char *label, const char *type)
{
    int index;

    if (type && (!cmw_is_collection_type(type) || strlen(type) >= CMW_TYPE_SIZE))
        return -EINVAL;
    index = cmw_item_new(cmw, parent, label);
    if (index < 0)
        return index;
    cmw->items[index].is_collection = true;
    if (type)
        memcpy(cmw->items[index].type, type, strlen(type) + 1);
    return index;
}

int cmw_parse(const uint8_t *data, size_t size, struct cmw **ret, struct err *err)
{
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    int rc;

    if (size == 0)
        return err_set(err, -EINVAL, "conceptual message wrapper: empty");
    if (size > CMW_SIZE_MAX)
        return err_set(err, -E2BIG, "conceptual message wrapper: %zu bytes, more than %u", size,
                       CMW_SIZE_MAX);
    rc = cmw_new(&cmw);
    if (rc < 0)
        return rc;
    rc = data[0] == '[' || data[0] == '{' ? cmw_json_parse(cmw, data, size, err)
                                          : cmw_cbor_parse(cmw, data, size, err);
    if (rc < 0)
        return err_wrap(err, rc, "conceptual message wrapper");
    *ret = TAKE_PTR(cmw);
    return 0;
}
