/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of the model, for server/api/routes.c. Relying party. */
#pragma once

#include "server/api/api.h"

extern const struct api_route app_routes[], build_routes[], approval_routes[], policy_routes[],
    node_routes[], org_routes[], placement_routes[], rollout_routes[], integrity_routes[];
extern const unsigned app_route_count, build_route_count, approval_route_count, policy_route_count,
    node_route_count, org_route_count, placement_route_count, rollout_route_count,
    integrity_route_count;
