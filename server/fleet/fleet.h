/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's housekeeping, in threads of its own: instances that fell silent, leases that ended, collateral refreshed on schedule, all stored evidence judged again when
 * collateral, policy or builds change, dates of rollouts, old rows removed. Relying party.
 */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

/* What the server holds of the makers' collateral, as of the last look; times 0: there is none. */
struct fleet_collateral {
    int64_t looked_ms;
    int64_t
        confirmed_ms; /* when the source has confirmed that item which was confirmed longest ago */
    int64_t expires_ms;       /* of what expires first */
    unsigned count, unusable; /* items; those expired or damaged */
    unsigned early_count;     /* those of early editions */
    int64_t refreshed, lied; /* since the start: items that were new; answers that did not verify */
    unsigned failed;         /* items that could not be asked for anew in the last round */
    char why[200];           /* the last of these failures */
};
void fleet_collateral_get(struct fleet *fleet, struct fleet_collateral *ret);

MUST_CHECK int fleet_open(struct server *server, struct fleet **ret, struct err *err);
void fleet_close(struct fleet *fleet); /* NULL allowed; waits for its threads */
/* All evidence of the organisation (NULL: of all) is judged again soon. */
void fleet_reappraise(struct fleet *fleet, const char *org_id);
