/* SPDX-License-Identifier: Apache-2.0 */
/* What authentication keeps in memory. Relying party; within server/auth. */
#pragma once

#include <pthread.h>

#include "server/api/rate.h"
#include "server/auth/auth.h"

/* Logins with a name that nobody has are held up as a user's are, so that this tells nobody which names there are. */
#define AUTH_ABSENT_MAX 4096u
struct absent {
    uint8_t key[32]; /* of organisation and name; the last that fell on this place */
    int64_t failures, locked_until_ms;
};

struct oidc;
struct auth {
    struct server *server;
    pthread_mutex_t absent_lock; /* guards absent */
    struct absent absent[AUTH_ABSENT_MAX];
    struct rate *attempts; /* logins, by address and by device */
    struct oidc *oidc;
};
