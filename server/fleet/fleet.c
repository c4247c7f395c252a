/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's threads: one that looks at the clock (leases, silent instances, old rows, authorities that end), one that refreshes collateral and judges stored evidence again. Relying party.
 * Several servers on one store may each do all of it: every step finds by the rows whether it is still to be done.
 */
#include "server/fleet/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/api/events.h"
#include "server/ca/ca.h"
#include "server/config.h"
#include "server/fleet/internal.h"

#define TICK_MS 1000
#define CLEAN_EVERY 60u /* ticks */
#define SILENT_EVERY 10u
#define NODES_EVERY 5u
#define REFRESH_DEFAULT_S 3600u
#define FORECAST_EVERY_MS 10000 /* platforms that are new */
#define WAIT_MAX_MS 5000 /* of the judge: evidence may have brought collateral of a new platform */

static void wait_ms(struct fleet *f, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->is_stopping && !f->is_woken)
        if (pthread_cond_timedwait(&f->wake, &f->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&f->lock);
}

bool fleet_is_stopping(struct fleet *f)
{
    bool is;

    pthread_mutex_lock(&f->lock);
    is = f->is_stopping;
    pthread_mutex_unlock(&f->lock);
    return is;
}

static void *watch(void *arg)
{
    struct fleet *f = arg;

    for (unsigned tick = 0; !fleet_is_stopping(f); tick++) {
        struct timespec tick_time = { 0, TICK_MS * 1000000l - 1 };
        struct err err = { "" };

        watch_leases(f, tick % SILENT_EVERY == 0);
        if (tick % NODES_EVERY == 0)
            watch_nodes(f);
        watch_rollouts(f);
        if (tick % CLEAN_EVERY == 0) {
            watch_clean(f);
            watch_checkpoint(f);
            if (f->server->ca && ca_maintain(f->server->ca, &err) < 0)
                server_log(f->server, "error", "authorities are not renewed", "why", err.text,
                           NULL);
        }
        nanosleep(&tick_time, NULL);
    }
    return NULL;
}

/* What is to be judged again, taken. */
static bool work_take(struct fleet *f, char org_id[ID_SIZE])
{
    bool has;

    pthread_mutex_lock(&f->lock);
    has = f->has_work;
    memcpy(org_id, f->work_org, ID_SIZE);
    f->has_work = f->is_woken = false;
    pthread_mutex_unlock(&f->lock);
    return has;
}

static void *judge(void *arg)
{
    struct fleet *f = arg;
    uint32_t every_s = f->server->config->collateral_refresh_s;
    int64_t refresh_ms = server_now_ms(f->server), forecast_ms = 0;
    char org_id[ID_SIZE];

    if (every_s == 0)
        every_s = REFRESH_DEFAULT_S;
    refresh_ms += every_s * 1000ll;
    refresh_collateral(f, false);
    while (!fleet_is_stopping(f)) {
        int64_t now_ms = server_now_ms(f->server);

        if (refresh_wanted(f))
            fleet_reappraise(f, NULL);
        if (now_ms >= refresh_ms) {
            refresh_ms = now_ms + every_s * 1000ll;
            if (refresh_collateral(f, true))
                fleet_reappraise(f, NULL);
        }
        if (work_take(f, org_id)) {
            reappraise_all(f, org_id);
            forecast_all(f, org_id, true);
            forecast_ms = now_ms;
        } else if (now_ms >= forecast_ms + FORECAST_EVERY_MS) {
            forecast_all(f, "", false);
            forecast_ms = now_ms;
        } else {
            wait_ms(f, MIN(refresh_ms - now_ms, (int64_t)WAIT_MAX_MS));
        }
    }
    return NULL;
}

void fleet_reappraise(struct fleet *f, const char *org_id)
{
    pthread_mutex_lock(&f->lock);
    if (f->has_work && (!org_id || strcmp(f->work_org, org_id) != 0))
        org_id = NULL; /* of two: all */
    snprintf(f->work_org, sizeof f->work_org, "%s", org_id ? org_id : "");
    f->has_work = f->is_woken = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

void fleet_collateral_get(struct fleet *f, struct fleet_collateral *ret)
{
    pthread_mutex_lock(&f->lock);
    *ret = f->collateral;
    pthread_mutex_unlock(&f->lock);
}

/* What may change how evidence is judged. */
static void listen(void *arg, const struct event *event)
{
    static const char *const kinds[] = { "policy.", "build.deprecated", "build.revoked",
                                         "app.changed", "app.updated" };

    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++)
        if (strncmp(event->kind, kinds[i], strlen(kinds[i])) == 0)
            fleet_reappraise(arg, event->org_id);
}

int fleet_open(struct server *server, struct fleet **ret, struct err *err)
{
    struct fleet *f = calloc(1, sizeof *f);
    pthread_condattr_t attributes;
    int rc = 0;

    if (!f)
        return -ENOMEM;
    f->server = server;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (server->events)
        rc = events_listener_add(server->events, listen, f);
    if (rc == 0)
        rc = -pthread_create(&f->watcher, NULL, watch, f);
    f->has_watcher = rc == 0;
    if (rc == 0)
        rc = -pthread_create(&f->judge, NULL, judge, f);
    f->has_judge = rc == 0;
    if (rc < 0) {
        fleet_close(f);
        return err_set_errno(err, rc, "fleet");
    }
    *ret = f;
    return 0;
}

void fleet_close(struct fleet *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    if (f->has_watcher)
        pthread_join(f->watcher, NULL);
    if (f->has_judge)
        pthread_join(f->judge, NULL);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
