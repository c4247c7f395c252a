/* SPDX-License-Identifier: Apache-2.0 */
/* All endpoints: the tables of the folders that have some. Relying party. */
#include "server/api/routes.h"

#include "server/api/router.h"
#include "server/audit/routes.h"
#include "server/auth/routes.h"
#include "server/exchange/routes.h"
#include "server/model/routes.h"
#include "server/secret/routes.h"

const struct router_table router_tables[] = {
    { health_routes, &health_route_count },
    { event_routes, &event_route_count },
    { login_routes, &login_route_count },
    { me_routes, &me_route_count },
    { org_routes, &org_route_count },
    { user_routes, &user_route_count },
    { token_routes, &token_route_count },
    { app_routes, &app_route_count },
    { build_routes, &build_route_count },
    { approval_routes, &approval_route_count },
    { policy_routes, &policy_route_count },
    { node_routes, &node_route_count },
    { placement_routes, &placement_route_count },
    { rollout_routes, &rollout_route_count },
    { integrity_routes, &integrity_route_count },
    { audit_routes, &audit_route_count },
    { secret_routes, &secret_route_count },
    { exchange_routes, &exchange_route_count },
    { instance_routes, &instance_route_count },
    { ca_routes, &ca_route_count },
    { fleet_routes, &fleet_route_count },
    { NULL, NULL },
};
