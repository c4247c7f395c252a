/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an organisation has revoked. Relying party; the rows may have been changed by whoever owns the database. Rows of `revocations` are numbered and chained: the row of
 * `revocation_sets` holds, under a mac, how many there are and the last digest of the chain. So a revocation that was taken out, changed or put in is found, and a server that
 * once saw one goes on refusing while it runs, also when an old copy of all these rows is put back. Only this file writes both tables.
 */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

#define REVOCATION_COUNT_MAX 250000 /* of one organisation */

struct revocation {
    const char *org_id, *kind, *object, *reason, *by; /* by: an id */
    int64_t time_ms;
};
/* returns: 1; 0 it was revoked before; -ENOSPC there are too many; -EBADMSG forged rows; -EIO. */
MUST_CHECK int revocation_add(struct server *server, struct store_tx *tx,
                              const struct revocation *revocation, struct err *err);
/* The empty set of a new organisation. returns: 0; -EIO. */
MUST_CHECK int revocation_org_add(struct server *server, struct store_tx *tx, const char *org_id,
                                  struct err *err);

struct revocation_object {
    const char *kind, *object;
};
/*
 * For objects of which no row says that they are revoked: whether that is so.
 * returns: 0; -EBADMSG one of them was revoked, or the rows were changed: err says which, and it is logged; -EIO, -ENOMEM.
 */
MUST_CHECK int revocation_check_absent(struct server *server, struct store_tx *tx,
                                       const char *org_id, const struct revocation_object *objects,
                                       unsigned count, struct err *err);
/* Whether it is revoked. returns: 1, 0; errors as revocation_check_absent. */
MUST_CHECK int revocation_is_there(struct server *server, struct store_tx *tx, const char *org_id,
                                   const char *kind, const char *object, struct err *err);
/* Reads all rows and what this process remembers of them. returns: 0 as they were written; -EBADMSG; -EIO. */
MUST_CHECK int revocation_check_all(struct server *server, struct store_tx *tx, const char *org_id,
                                    struct err *err);
/* What this process has seen of the organisation's revocations, in committed rows: to be asked for before a transaction begins. */
int64_t revocation_seen(struct server *server, const char *org_id);

/* ---- the memory, one for each struct model ---- */
struct revocation_memory;
/* returns: NULL no memory. */
struct revocation_memory *revocation_memory_new(void);
void revocation_memory_free(struct revocation_memory *memory); /* NULL allowed */
