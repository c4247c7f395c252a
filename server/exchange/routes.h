/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of exchange, instances, revocations and certificates, for server/api/routes.c. Relying party. */
#pragma once

#include "server/api/api.h"

extern const struct api_route exchange_routes[], instance_routes[], ca_routes[], fleet_routes[];
extern const unsigned exchange_route_count, instance_route_count, ca_route_count, fleet_route_count;
