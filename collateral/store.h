/* SPDX-License-Identifier: Apache-2.0 */
/* What a store is made of, for the parts that use it. Relying party; within collateral/. */
#pragma once

#include "collateral/cache.h"
#include "collateral/entry.h"
#include "collateral/http.h"
#include "collateral/retry.h"
#include "collateral/url.h"

struct collateral {
    struct cache cache;
    struct url_config urls;
    struct retry_rules retry; /* with the clock, and the deadline */
    uint32_t deadline_ms, request_ms;
    struct collateral_transport *transport;
    const struct verifier_policy *policy;
    struct verifier_policy *own_policy; /* when the caller gave none; owned */
    void (*progress)(void *context, const char *text);
    void *progress_context;
};

int64_t store_now_s(const struct collateral *store);
/* Reads and checks what is held. returns: 0; -ENOENT; -EBADMSG; errno. */
MUST_CHECK int store_held_load(struct collateral *store, const struct collateral_item_id *id,
                               struct collateral_entry *ret, struct err *err);
/* Writes an entry that was checked. returns: 0; -EBADMSG meanwhile a newer one is there; errno. */
MUST_CHECK int store_save(struct collateral *store, const struct collateral_entry *entry,
                          struct err *err);

/*
 * Asks the source. held: what is there, or NULL; chain: certificates for items that are served without, or NULL.
 * returns: 1 *ret is new and checked, not yet saved; 0 the source says that held has not changed, and for how long to believe so stands in
 * *ret_due_s; errors as collateral_get.
 */
MUST_CHECK int fetch_item(struct collateral *store, const struct collateral_item_id *id,
                          const struct collateral_entry *held, struct verifier_bytes chain,
                          struct collateral_entry *ret, int64_t *ret_due_s, struct err *err);
