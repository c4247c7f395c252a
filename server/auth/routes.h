/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of people, sessions and tokens, for server/api/routes.c. Relying party. */
#pragma once

#include "server/api/api.h"

extern const struct api_route login_routes[], me_routes[], user_routes[], token_routes[];
extern const unsigned login_route_count, me_route_count, user_route_count, token_route_count;
