/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry as JSON: what a file of the cache holds, and what a bundle has many of. Relying party; within collateral/; input hostile.
 *
 *     {"version": 1, "name": "pck-crl-platform", "source": "https://...", "etag": "...", "last_modified": "...",
 *      "fetched": "2025-07-04T10:16:31Z", "due": "2025-07-05T10:16:31Z", "body": "<base64>", "chain": "<base64>"}
 *     {"version": 1, "type": "cloche-collateral", "entries": [ ... ]}
 */
#pragma once

#include <jansson.h>

#include "collateral/collateral.h"

#define ENTRY_CHAIN_SIZE_MAX (64u << 10)
#define ENTRY_TEXT_SIZE_MAX (2u << 20) /* bytes of one entry's JSON */

/* NULL: no memory. */
json_t *entry_encode(const struct collateral_entry *entry);
/* Reads it, and checks nothing but its form. returns: 0; -EBADMSG with a text in err; -ENOMEM. */
MUST_CHECK int entry_parse(const char *text, size_t size, struct collateral_entry *ret,
                           struct err *err);

struct entry_list {
    unsigned count;
    struct collateral_entry *entries; /* owned, with their contents */
};
void entry_list_done(struct entry_list *list);
/* A bundle without entries. NULL: no memory. */
json_t *entry_list_encode(void);
/* Reads a bundle. returns: 0; -EBADMSG; -E2BIG more than COLLATERAL_ENTRY_COUNT_MAX entries; -ENOMEM. */
MUST_CHECK int entry_list_parse(const char *text, size_t size, struct entry_list *ret,
                                struct err *err);
