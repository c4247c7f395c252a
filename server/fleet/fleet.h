/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's housekeeping, in threads of its own: instances that fell silent, leases that ended, collateral refreshed on schedule, all stored evidence judged again when
 * collateral, policy or builds change, dates of rollouts, old rows removed. Relying party.
 */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

MUST_CHECK int fleet_open(struct server *server, struct fleet **ret, struct err *err);
void fleet_close(struct fleet *fleet); /* NULL allowed; waits for its threads */
/* All evidence of the organisation (NULL: of all) is judged again soon. */
void fleet_reappraise(struct fleet *fleet, const char *org_id);
