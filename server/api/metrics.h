/* SPDX-License-Identifier: Apache-2.0 */
/* Figures for Prometheus: counters of requests by route, gauges asked for when they are read. Relying party; thread-safe. */
#pragma once

#include "server/server.h"

struct metrics;
MUST_CHECK int metrics_open(struct server *server, struct metrics **ret);
void metrics_close(struct metrics *metrics); /* NULL allowed */

/* One request was answered. route: its number, -1 none; metrics may be NULL. */
void metrics_request(struct metrics *metrics, int route, int status, int64_t took_ms);

enum metrics_counter {
    METRICS_LOGINS,
    METRICS_LOGINS_REFUSED,
    METRICS_LOGINS_THROTTLED,
    METRICS_TOKENS_REFUSED,
    METRICS_RATE_LIMITED,
    METRICS_EVENTS,
    METRICS_LISTENERS_DROPPED,
    METRICS_COUNTERS,
};
void metrics_add(struct metrics *metrics, enum metrics_counter counter);
/* Counters of other parts: name without the prefix "cloche_" and help are static; made at the first call. value is added. At most 64 names. */
void metrics_count(struct metrics *metrics, const char *name, const char *help, uint64_t value);
