/* SPDX-License-Identifier: Apache-2.0 */
/* Rollouts: a new build takes an old one's place until a date. Relying party. */
#pragma once

#include "server/server.h"
#include "server/store/store.h"

/*
 * Ends what is due: rollouts whose end date has come (what is left of the old build is stopped), and those of which nothing is left. For the fleet, each few seconds; at most 100 at a time.
 * returns: rollouts that changed; -EIO.
 */
MUST_CHECK int rollout_run(struct server *server, int64_t now_ms, struct err *err);
