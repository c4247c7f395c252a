/* SPDX-License-Identifier: Apache-2.0 */
/* What authentication keeps in memory. Relying party; within server/auth. */
#pragma once

#include "server/api/rate.h"
#include "server/auth/auth.h"

struct oidc;
struct auth {
    struct server *server;
    struct rate *attempts; /* logins, by address and by device */
    struct oidc *oidc;
};
