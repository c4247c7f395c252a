/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's cache of collateral: what it holds, and asking the makers for what it does not. Evidence of a platform that was never seen may make the server ask, but only when it is signed up to a trusted
 * root (Intel's; AMD's cannot be checked before its certificate is there), and never more often than HELD_ASK_PER_MINUTE. Relying party; within server/exchange/ and server/fleet/; sources are hostile.
 */
#pragma once

#include "collateral/collateral.h"
#include "server/config.h"
#include "server/server.h"

#define HELD_ASK_PER_MINUTE 30u /* rounds of on-demand requests to one maker */
#define HELD_WAIT_MAX 4u        /* requests that wait for a maker's answer at a time */
#define HELD_WANTED_MAX 64u /* platforms whose collateral came with evidence, to be fetched later */

#define HELD_REQUEST_MS 5000u /* for one request: nothing that ends the server waits longer */

struct held_limits {
    uint32_t deadline_ms; /* of all requests of one round */
    unsigned attempts;
    const struct collateral_clock *clock; /* NULL: the system's; outlives the store */
};
/* The folder of the configuration. policy: outlives the store. returns: as collateral_open. */
MUST_CHECK int held_store_open(struct server *server, const struct held_limits *limits,
                               const struct verifier_policy *policy, struct collateral **ret,
                               struct err *err);
/* Whether the configuration lets this item's maker be asked. */
bool held_may_fetch(const struct server_config *config, const struct collateral_item_id *id);
/* The built-in policy: the roots up to which collateral is checked. */
MUST_CHECK int held_policy_new(struct server *server, struct verifier_policy **ret,
                               struct err *err);

/* What sources say goes into answers and logs as printable ASCII. */
void held_text_clean(char *text);

struct held;
/* returns: 0, *ret NULL when no folder is configured; -ENOMEM; errno of the folder. policy: outlives it. */
MUST_CHECK int held_new(struct server *server, const struct verifier_policy *policy,
                        struct held **ret, struct err *err);
void held_free(struct held *held); /* NULL allowed */
/* All of the needs, parsed, as the folder has them; the makers are not asked. returns: 0; -ENOENT one is missing, expired or damaged, why in err; -ENOMEM. */
MUST_CHECK int held_read(struct held *held, const struct collateral_needs *needs,
                         struct verifier_collateral **ret, struct err *err);
/* A TCB recovery that is known, and not yet the standard. */
struct held_recovery {
    uint32_t number, standard_number; /* tcbEvaluationDataNumber */
    int64_t standard_s;               /* when it becomes the standard */
    bool is_published; /* that date is Intel's; else it is the earliest that is possible */
};
#define HELD_RECOVERY_DAYS                                                                         \
    365 /* from a TCB recovery's date to its being the standard: Intel PCS API v4, "update" */
/* As held_read, with early TCB info. returns: 0; -ENODATA there is none that is newer than the standard one; -ENOENT; -ENOMEM. */
MUST_CHECK int held_read_early(struct held *held, const struct collateral_needs *needs,
                               struct verifier_collateral **ret, struct held_recovery *ret_recovery,
                               struct err *err);
/*
 * As held_read, but the makers are asked for what is missing, for 5 seconds at most.
 * returns: 0; -ENOENT it is not to be had, why in err; -EAGAIN too many are waiting or were asked for in the last minute: try again; -ENOMEM.
 */
MUST_CHECK int held_fetch(struct held *held, const struct collateral_needs *needs,
                          struct verifier_collateral **ret, struct err *err);
/* Notes needs that are to be fetched when there is time; those over HELD_WANTED_MAX are forgotten, and asked for with the next evidence. */
void held_want(struct held *held, const struct collateral_needs *needs);
/* Takes one of them. returns: whether there was one. */
bool held_wanted_take(struct held *held, struct collateral_needs *ret);
