/* SPDX-License-Identifier: Apache-2.0 */
/* Entries and bundles of collateral: what could be read is written and read as the same again. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collateral/entry.h"
#include "tests/fuzz/fuzz.h"

static void assert_same(const struct collateral_entry *a, const struct collateral_entry *b)
{
    assert(memcmp(&a->id, &b->id, sizeof a->id) == 0);
    assert(a->body_size == b->body_size && memcmp(a->body, b->body, a->body_size) == 0);
    assert(a->chain_size == b->chain_size && memcmp(a->chain, b->chain, a->chain_size) == 0);
    assert(strcmp(a->source, b->source) == 0 && strcmp(a->etag, b->etag) == 0);
    assert(strcmp(a->last_modified, b->last_modified) == 0);
    assert(a->fetched_s == b->fetched_s && a->due_s == b->due_s);
}

static void walk(const struct collateral_entry *entry)
{
    struct collateral_entry again;
    json_t *json = entry_encode(entry);
    char *text = json_dumps(json, 0);

    assert(text && entry_parse(text, strlen(text), &again, NULL) == 0);
    assert_same(entry, &again);
    collateral_entry_done(&again);
    free(text);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct collateral_entry entry;
    struct entry_list list;
    int rc = entry_parse((const char *)data, size, &entry, NULL);

    assert(rc == 0 || rc == -EBADMSG);
    if (rc == 0) {
        walk(&entry);
        collateral_entry_done(&entry);
    }
    rc = entry_list_parse((const char *)data, size, &list, NULL);
    assert(rc == 0 || rc == -EBADMSG || rc == -E2BIG);
    if (rc < 0)
        return 0;
    for (unsigned i = 0; i < list.count; i++)
        walk(&list.entries[i]);
    entry_list_done(&list);
    return 0;
}
