/* SPDX-License-Identifier: Apache-2.0 */
/* What the fleet's files share. Relying party; within server/fleet/. */
#pragma once

#include <pthread.h>

#include "server/fleet/fleet.h"
#include "server/store/id.h"

struct fleet_progress {
    bool is_running;
    int64_t judged, fallen, started_ms, finished_ms;
    int64_t refreshed, refresh_failed, refreshed_ms;
};

struct fleet {
    struct server *server;
    pthread_mutex_t lock; /* guards all below but the threads */
    pthread_cond_t wake;  /* of the judge */
    bool is_stopping, is_woken, has_work;
    char work_org[ID_SIZE]; /* "": all */
    struct fleet_progress progress;
    pthread_t watcher, judge;
    bool has_watcher, has_judge;
};
bool fleet_is_stopping(struct fleet *fleet);

/* watch.c */
void watch_leases(struct fleet *fleet, bool with_silent);
/* Rollouts whose date has come. */
void watch_rollouts(struct fleet *fleet);
void watch_clean(struct fleet *fleet);
/* Signs the audit log's head, so that what was written a minute ago can no more be changed unseen. */
void watch_checkpoint(struct fleet *fleet);
/* reappraise.c: org_id "" all. */
void reappraise_all(struct fleet *fleet, const char *org_id);
/* refresh.c. returns: how many items are new. */
int refresh_collateral(struct fleet *fleet);
