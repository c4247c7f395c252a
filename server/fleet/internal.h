/* SPDX-License-Identifier: Apache-2.0 */
/* What the fleet's files share. Relying party; within server/fleet/. */
#pragma once

#include <pthread.h>

#include "collateral/collateral.h"
#include "server/fleet/fleet.h"
#include "server/store/id.h"

struct fleet_progress {
    bool is_running;
    int64_t judged, fallen, started_ms, finished_ms;
};

struct fleet {
    struct server *server;
    pthread_mutex_t lock; /* guards all below but the threads */
    pthread_cond_t wake;  /* of the judge */
    bool is_stopping, is_woken, has_work;
    char work_org[ID_SIZE]; /* "": all */
    struct fleet_progress progress;
    struct fleet_collateral collateral;
    uint8_t collateral_sha256[32]; /* of what was held when it was looked over last */
    struct collateral_clock clock; /* of the judge's store */
    pthread_t watcher, judge;
    bool has_watcher, has_judge;
};
bool fleet_is_stopping(struct fleet *fleet);

/* watch.c */
void watch_leases(struct fleet *fleet, bool with_silent);
/* Nodes that fell silent, whose evidence has ended, whose last instance has. */
void watch_nodes(struct fleet *fleet);
/* Rollouts whose date has come. */
void watch_rollouts(struct fleet *fleet);
void watch_clean(struct fleet *fleet);
/* Signs the audit log's head, so that what was written a minute ago can no more be changed unseen. */
void watch_checkpoint(struct fleet *fleet);
/* reappraise.c: org_id "" all. One round at a time. */
void reappraise_all(struct fleet *fleet, const char *org_id);
/* forecast.c: org_id "" all; is_forced: policies or builds may have changed. */
void forecast_all(struct fleet *fleet, const char *org_id, bool is_forced);
/* refresh.c: looks over what is held, and asks for it anew. returns: whether what is held is another than the last time. */
bool refresh_collateral(struct fleet *fleet, bool may_ask);
/* Asks for what evidence of new platforms brought along. returns: whether some of it came. */
bool refresh_wanted(struct fleet *fleet);
