/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of secrets, for server/api/routes.c. Relying party. Values go in and are never read back. */
#pragma once

#include "server/api/api.h"

extern const struct api_route secret_routes[];
extern const unsigned secret_route_count;
