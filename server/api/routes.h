/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of the HTTP part itself, for routes.c. Relying party. */
#pragma once

#include "server/api/api.h"

extern const struct api_route health_routes[], event_routes[];
extern const unsigned health_route_count, event_route_count;
