/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct verifier_cache: what was found about bytes that came inside evidence, under the hash of those very bytes. Only what is a pure function of them is kept (parsed certificates, whether a signature is
 * good): never a judgement that depends on policy, roots, collateral or time; those are made for each piece of evidence. Relying party.
 */
#pragma once

#include "verifier/verifier.h"

enum cache_table { CACHE_PCK, CACHE_QE_KEY, CACHE_TABLE_COUNT };

/* The head of what is kept; immutable but for refs once it was added. */
struct cache_entry {
    unsigned refs; /* atomic */
    uint8_t key[32];
    void (*free)(struct cache_entry *entry);
};

/* With a reference for the caller, or NULL. cache NULL: none. */
struct cache_entry *cache_find(struct verifier_cache *cache, enum cache_table table,
                               const uint8_t key[32]);
/* Takes a reference of its own. cache NULL: nothing is kept. */
void cache_add(struct verifier_cache *cache, enum cache_table table, struct cache_entry *entry);
void cache_entry_unref(struct cache_entry *entry); /* NULL allowed */
