/* SPDX-License-Identifier: Apache-2.0 */
/* Entries and bundles as JSON. Relying party; input hostile. */
#include "collateral/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/base64.h"
#include "verifier/json_read.h"

#define BUNDLE_TYPE "cloche-collateral"

void collateral_entry_done(struct collateral_entry *entry)
{
    free(entry->body);
    free(entry->chain);
    *entry = (struct collateral_entry){ 0 };
}

void entry_list_done(struct entry_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        collateral_entry_done(&list->entries[i]);
    free(list->entries);
    *list = (struct entry_list){ 0 };
}

/* ---- writing ---- */

static json_t *encode_bytes(const uint8_t *data, size_t size)
{
    char *text = base64_encode(data, size);
    json_t *value = text ? json_string(text) : NULL;

    free(text);
    return value;
}

static json_t *encode_time(int64_t time_s)
{
    char text[TIME_TEXT_SIZE];

    time_print(time_s, text);
    return json_string(text);
}

json_t *entry_encode(const struct collateral_entry *e)
{
    char name[COLLATERAL_NAME_SIZE];
    json_t *o = json_object();

    if (o && !json_object_set_new(o, "version", json_integer(1)) &&
        !json_object_set_new(o, "name", json_string(collateral_item_name(&e->id, name))) &&
        !json_object_set_new(o, "source", json_string(e->source)) &&
        !json_object_set_new(o, "etag", json_string(e->etag)) &&
        !json_object_set_new(o, "last_modified", json_string(e->last_modified)) &&
        !json_object_set_new(o, "fetched", encode_time(e->fetched_s)) &&
        !json_object_set_new(o, "due", encode_time(e->due_s)) &&
        !json_object_set_new(o, "body", encode_bytes(e->body, e->body_size)) &&
        !json_object_set_new(o, "chain", encode_bytes(e->chain, e->chain_size)))
        return o;
    json_decref(o);
    return NULL;
}

json_t *entry_list_encode(void)
{
    json_t *o = json_object();

    if (o && !json_object_set_new(o, "version", json_integer(1)) &&
        !json_object_set_new(o, "type", json_string(BUNDLE_TYPE)) &&
        !json_object_set_new(o, "entries", json_array()))
        return o;
    json_decref(o);
    return NULL;
}

/* ---- reading ---- */

static int read_version(struct json_pull *j, void *dst)
{
    uint64_t version;
    int rc = json_pull_uint(j, UINT32_MAX, &version);

    return rc == 0 && version != 1 ? json_pull_fail(j, "a version that this program does not know")
                                   : rc;
}

static int read_name(struct json_pull *j, void *dst)
{
    char name[COLLATERAL_NAME_SIZE];
    int rc = json_read_string(j, name, sizeof name);

    if (rc == 0 && collateral_item_parse(name, dst) < 0)
        rc = json_pull_fail(j, "no such kind of collateral");
    return rc;
}

static int read_printable(struct json_pull *j, char *dst, size_t size)
{
    int rc = json_read_string(j, dst, size);

    for (size_t i = 0; rc == 0 && dst[i]; i++)
        if (dst[i] < 0x20 || dst[i] > 0x7e)
            rc = json_pull_fail(j, "a character that is no printable ASCII");
    return rc;
}

static int read_source(struct json_pull *j, void *dst)
{
    return read_printable(j, dst, COLLATERAL_SOURCE_SIZE);
}

static int read_tag(struct json_pull *j, void *dst)
{
    return read_printable(j, dst, COLLATERAL_TAG_SIZE);
}

static int read_time(struct json_pull *j, void *dst)
{
    return json_read_time(j, dst);
}

struct bytes_target {
    uint8_t **data;
    size_t *size, max;
    bool no_memory;
};

static int read_bytes(struct json_pull *j, void *dst)
{
    struct bytes_target *target = dst;
    struct json_pull_text text;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    rc = base64_decode(text.raw, text.raw_size, target->max, target->data, target->size);
    target->no_memory = rc == -ENOMEM;
    if (rc == -E2BIG)
        return json_pull_fail(j, "more bytes than an item may have");
    return rc < 0 ? json_pull_fail(j, "not base64") : 0;
}

/* returns: 0; -EINVAL, and what was read so far is in *ret; -ENOMEM. */
static int read_entry(struct json_pull *j, struct collateral_entry *ret)
{
    struct bytes_target body = { &ret->body, &ret->body_size, VERIFIER_COLLATERAL_ITEM_SIZE_MAX,
                                 false };
    struct bytes_target chain = { &ret->chain, &ret->chain_size, ENTRY_CHAIN_SIZE_MAX, false };
    const struct json_member members[] = {
        { "version", read_version, NULL, true },
        { "name", read_name, &ret->id, true },
        { "source", read_source, ret->source, true },
        { "etag", read_tag, ret->etag, true },
        { "last_modified", read_tag, ret->last_modified, true },
        { "fetched", read_time, &ret->fetched_s, true },
        { "due", read_time, &ret->due_s, true },
        { "body", read_bytes, &body, true },
        { "chain", read_bytes, &chain, true },
    };
    int rc = json_read_members(j, members, ARRAY_COUNT(members), "an unknown member");

    return body.no_memory || chain.no_memory ? -ENOMEM : rc;
}

static int fail(const struct json_pull *j, int rc, struct err *err)
{
    unsigned line, column;

    if (rc == -ENOMEM || rc == -E2BIG)
        return err_set_errno(err, rc, "cannot hold the entries");
    json_pull_place(j->text, j->size, j->pos, &line, &column);
    return err_set(err, -EBADMSG, "line %u, column %u: %s", line, column,
                   j->error ? j->error : "a member is missing");
}

int entry_parse(const char *text, size_t size, struct collateral_entry *ret, struct err *err)
{
    struct collateral_entry entry = { 0 };
    struct json_pull j;
    int rc;

    json_pull_init(&j, text, size);
    rc = read_entry(&j, &entry);
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc < 0) {
        collateral_entry_done(&entry);
        return fail(&j, rc, err);
    }
    *ret = entry;
    return 0;
}

static int read_type(struct json_pull *j, void *dst)
{
    char type[32];
    int rc = json_read_string(j, type, sizeof type);

    return rc == 0 && strcmp(type, BUNDLE_TYPE) != 0 ? json_pull_fail(j, "not a bundle") : rc;
}

struct list_target {
    struct entry_list *list;
    int rc; /* what is no fault of the text */
};

static int read_entries(struct json_pull *j, void *dst)
{
    struct list_target *target = dst;
    struct entry_list *list = target->list;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct collateral_entry *grown = NULL;

        if (list->count == COLLATERAL_ENTRY_COUNT_MAX) {
            target->rc = -E2BIG;
            return json_pull_fail(j, "too many entries");
        }
        grown = realloc(list->entries, (list->count + 1) * sizeof *grown);
        if (!grown) {
            target->rc = -ENOMEM;
            return json_pull_fail(j, "no memory");
        }
        list->entries = grown;
        grown[list->count] = (struct collateral_entry){ 0 };
        rc = read_entry(j, &grown[list->count++]);
        if (rc == -ENOMEM)
            target->rc = rc;
    }
    return rc;
}

int entry_list_parse(const char *text, size_t size, struct entry_list *ret, struct err *err)
{
    struct entry_list list = { 0 };
    struct list_target target = { &list, 0 };
    const struct json_member members[] = {
        { "version", read_version, NULL, true },
        { "type", read_type, NULL, true },
        { "entries", read_entries, &target, true },
    };
    struct json_pull j;
    int rc;

    json_pull_init(&j, text, size);
    rc = json_read_members(&j, members, ARRAY_COUNT(members), "an unknown member");
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc < 0) {
        entry_list_done(&list);
        return fail(&j, target.rc < 0 ? target.rc : rc, err);
    }
    *ret = list;
    return 0;
}
