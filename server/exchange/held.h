/* SPDX-License-Identifier: Apache-2.0 */
/* The server's cache of collateral, for those who refresh it. Relying party; within server/exchange/ and server/fleet/. */
#pragma once

#include "server/config.h"
#include "server/server.h"
#include "verifier/verifier.h"

struct collateral; /* collateral/collateral.h */
/* The folder of the configuration, with a deadline for all requests of one round. policy: outlives the store. returns: as collateral_open. */
MUST_CHECK int held_store_open(struct server *server, uint32_t deadline_ms, unsigned attempts,
                               const struct verifier_policy *policy, struct collateral **ret,
                               struct err *err);
/* Whether the configuration lets the makers be asked. */
bool held_may_fetch(const struct server_config *config);
/* The built-in policy: the roots up to which collateral is checked. */
MUST_CHECK int held_policy_new(struct server *server, struct verifier_policy **ret,
                               struct err *err);
