/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: many entries in one file, for machines without network. Relying party; a bundle is hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/check.h"
#include "collateral/store.h"

/* ---- export ---- */

struct export
{
    struct collateral *store;
    json_t *entries;
    unsigned count;
};

static int add(struct export *x, const struct collateral_entry *entry, struct err *err)
{
    if (json_array_append_new(x->entries, entry_encode(entry)) != 0)
        return err_set_errno(err, -ENOMEM, "cannot hold the bundle");
    x->count++;
    return 0;
}

static int add_valid(void *context, const struct collateral_entry *entry,
                     enum collateral_state state, const struct err *why)
{
    struct export *x = context;

    return state == COLLATERAL_FRESH || state == COLLATERAL_DUE ? add(x, entry, NULL) : 0;
}

static int add_named(struct export *x, const struct collateral_item_id *ids, unsigned count,
                     struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < count; i++) {
        struct collateral_got got = { 0 };

        rc = collateral_get(x->store, &ids[i], COLLATERAL_OFFLINE, &got, err);
        if (rc == 0)
            rc = add(x, &got.entry, err);
        collateral_got_done(&got);
    }
    return rc;
}

int collateral_export(struct collateral *store, const struct collateral_item_id *ids,
                      unsigned count, char **ret_json, size_t *ret_size, unsigned *ret_count,
                      struct err *err)
{
    json_t *bundle = entry_list_encode();
    struct export x = { store, json_object_get(bundle, "entries"), 0 };
    char *text = NULL;
    int rc = bundle ? 0 : err_set_errno(err, -ENOMEM, "cannot hold the bundle");

    if (rc == 0)
        rc = count ? add_named(&x, ids, count, err) : collateral_list(store, add_valid, &x, err);
    if (rc == 0 && x.count == 0)
        rc = err_set(err, -ENOENT, "the cache %s holds nothing that is valid", store->cache.folder);
    if (rc == 0) {
        text = json_dumps(bundle, JSON_INDENT(1));
        if (!text)
            rc = err_set_errno(err, -ENOMEM, "cannot hold the bundle");
        else if (strlen(text) > COLLATERAL_BUNDLE_SIZE_MAX)
            rc = err_set(err, -E2BIG, "the bundle would be longer than %u MiB: name fewer items",
                         COLLATERAL_BUNDLE_SIZE_MAX >> 20);
    }
    json_decref(bundle);
    if (rc < 0) {
        free(text);
        return rc;
    }
    *ret_json = text;
    *ret_size = strlen(text);
    *ret_count = x.count;
    return 0;
}

/* ---- import ---- */

enum fate { FATE_TAKE, FATE_HELD, FATE_EXPIRED };

/* returns: enum fate; -EBADMSG. */
static int judge(struct collateral *store, struct collateral_entry *entry, struct err *err)
{
    struct collateral_entry held = { 0 };
    int64_t now_s = store_now_s(store);
    int rc = check_entry(store->policy, entry, err), fate = FATE_TAKE;

    if (rc < 0)
        return rc;
    /* What a bundle says about when it was fetched is not signed. */
    if (entry->fetched_s > now_s)
        entry->fetched_s = now_s;
    if (entry->due_s > entry->fetched_s + 30 * 86400)
        entry->due_s = entry->fetched_s;
    if (check_dates_now(entry, now_s, NULL) < 0)
        return FATE_EXPIRED;
    if (store_held_load(store, &entry->id, &held, NULL) == 0 &&
        (check_is_older(entry, &held) ||
         (entry->body_size == held.body_size && entry->fetched_s <= held.fetched_s &&
          memcmp(entry->body, held.body, held.body_size) == 0)))
        fate = FATE_HELD;
    collateral_entry_done(&held);
    return fate;
}

static int judge_all(struct collateral *store, struct entry_list *list, uint8_t *fates,
                     struct err *err)
{
    char name[COLLATERAL_NAME_SIZE];

    for (unsigned i = 0; i < list->count; i++) {
        int rc = judge(store, &list->entries[i], err);

        if (rc < 0)
            return err_wrap(err, rc, "entry %u, %s", i + 1,
                            collateral_item_name(&list->entries[i].id, name));
        fates[i] = (uint8_t)rc;
    }
    return 0;
}

static int take_all(struct collateral *store, struct entry_list *list, const uint8_t *fates,
                    struct collateral_imported *ret, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < list->count; i++) {
        ret->held_count += fates[i] == FATE_HELD;
        ret->expired_count += fates[i] == FATE_EXPIRED;
        if (fates[i] != FATE_TAKE)
            continue;
        rc = store_save(store, &list->entries[i], err);
        ret->new_count += rc == 0;
    }
    return rc;
}

int collateral_import(struct collateral *store, const char *json, size_t size,
                      struct collateral_imported *ret, struct err *err)
{
    struct collateral_imported imported = { 0 };
    struct entry_list list = { 0 };
    uint8_t *fates;
    int rc;

    if (size > COLLATERAL_BUNDLE_SIZE_MAX)
        return err_set(err, -E2BIG, "the bundle is longer than %u MiB",
                       COLLATERAL_BUNDLE_SIZE_MAX >> 20);
    rc = entry_list_parse(json, size, &list, err);
    if (rc < 0)
        return rc;
    fates = calloc(list.count + 1, 1);
    rc = fates ? judge_all(store, &list, fates, err)
               : err_set_errno(err, -ENOMEM, "cannot hold the bundle");
    if (rc == 0)
        rc = take_all(store, &list, fates, &imported, err);
    free(fates);
    entry_list_done(&list);
    if (rc == 0)
        *ret = imported;
    return rc;
}
