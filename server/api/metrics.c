/* SPDX-License-Identifier: Apache-2.0 */
/* Figures for Prometheus (text format 0.0.4), health and readiness. Relying party. */
#include "server/api/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/api/events.h"
#include "server/api/http.h"
#include "server/api/router.h"
#include "server/api/routes.h"
#include "server/fleet/fleet.h"

#define ROUTES_MAX 256u
#define CLASSES 6u /* 0: cut off before an answer; 1xx to 5xx */
#define NAMED_MAX 64u

static const int64_t bucket_ms[] = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000 };
static const struct {
    const char *name, *help;
} counter_names[METRICS_COUNTERS] = {
    [METRICS_LOGINS] = { "logins_total", "Logins that succeeded." },
    [METRICS_LOGINS_REFUSED] = { "logins_refused_total",
                                 "Logins with a wrong name, password or code." },
    [METRICS_LOGINS_THROTTLED] = { "logins_throttled_total", "Logins that had to wait." },
    [METRICS_TOKENS_REFUSED] = { "tokens_refused_total",
                                 "Requests with a token that is not valid." },
    [METRICS_RATE_LIMITED] = { "rate_limited_total", "Requests over their rate." },
    [METRICS_EVENTS] = { "events_total", "Events told to listeners." },
    [METRICS_LISTENERS_DROPPED] = { "listeners_dropped_total", "Listeners that read too slowly." },
};

struct named {
    const char *name, *help;
    uint64_t value;
};
struct metrics {
    struct server *server;
    _Atomic uint64_t requests[ROUTES_MAX + 1][CLASSES]; /* the last: no route */
    _Atomic uint64_t buckets[ARRAY_COUNT(bucket_ms)], took_count, took_sum_ms;
    _Atomic uint64_t counters[METRICS_COUNTERS];
    pthread_mutex_t lock; /* guards what follows */
    struct named named[NAMED_MAX];
    unsigned named_count;
};

int metrics_open(struct server *server, struct metrics **ret)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);

    if (!metrics)
        return -ENOMEM;
    metrics->server = server;
    pthread_mutex_init(&metrics->lock, NULL);
    *ret = metrics;
    return 0;
}

void metrics_close(struct metrics *metrics)
{
    if (!metrics)
        return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

void metrics_request(struct metrics *metrics, int route, int status, int64_t took_ms)
{
    unsigned row = route < 0 ? ROUTES_MAX : MIN((unsigned)route, ROUTES_MAX);

    if (!metrics)
        return;
    metrics->requests[row][status < 0 || status > 599 ? 0 : status / 100]++;
    for (unsigned i = 0; i < ARRAY_COUNT(bucket_ms); i++)
        if (took_ms <= bucket_ms[i])
            metrics->buckets[i]++;
    metrics->took_count++;
    metrics->took_sum_ms += (uint64_t)MAX(took_ms, (int64_t)0);
}

void metrics_add(struct metrics *metrics, enum metrics_counter counter)
{
    if (metrics)
        metrics->counters[counter]++;
}

void metrics_count(struct metrics *metrics, const char *name, const char *help, uint64_t value)
{
    unsigned i = 0;

    if (!metrics)
        return;
    pthread_mutex_lock(&metrics->lock);
    while (i < metrics->named_count && strcmp(metrics->named[i].name, name) != 0)
        i++;
    if (i == metrics->named_count && i < NAMED_MAX)
        metrics->named[metrics->named_count++] = (struct named){ .name = name, .help = help };
    if (i < NAMED_MAX)
        metrics->named[i].value += value;
    pthread_mutex_unlock(&metrics->lock);
}

/* ---- as text ---- */

static void head_print(FILE *f, const char *name, const char *help, const char *type)
{
    fprintf(f, "# HELP cloche_%s %s\n# TYPE cloche_%s %s\n", name, help, name, type);
}

static void value_print(FILE *f, const char *name, const char *help, const char *type,
                        uint64_t value)
{
    head_print(f, name, help, type);
    fprintf(f, "cloche_%s %" PRIu64 "\n", name, value);
}

static void requests_print(struct metrics *m, FILE *f)
{
    head_print(f, "http_requests_total", "Requests by endpoint and class of the answer.",
               "counter");
    for (unsigned i = 0; i <= ROUTES_MAX; i++)
        for (unsigned class = 0; class < CLASSES; class ++) {
            const struct api_route *route = i < ROUTES_MAX ? router_at(router_tables, i) : NULL;

            if (m->requests[i][class])
                fprintf(f,
                        "cloche_http_requests_total{method=\"%s\",path=\"%s\",class=\"%uxx\"} "
                        "%" PRIu64 "\n",
                        route ? route->method : "", route ? route->path : "", class,
                        (uint64_t)m->requests[i][class]);
        }
    head_print(f, "http_request_seconds",
               "Time from a request's first line to the end of its answer.", "histogram");
    for (unsigned i = 0; i < ARRAY_COUNT(bucket_ms); i++)
        fprintf(f, "cloche_http_request_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                (double)bucket_ms[i] / 1000, (uint64_t)m->buckets[i]);
    fprintf(f,
            "cloche_http_request_seconds_bucket{le=\"+Inf\"} %" PRIu64
            "\ncloche_http_request_seconds_sum %g\ncloche_http_request_seconds_count %" PRIu64 "\n",
            (uint64_t)m->took_count, (double)m->took_sum_ms / 1000, (uint64_t)m->took_count);
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void figures_print(struct metrics *m, FILE *f)
{
    struct http_figures figures = { 0 };

    if (m->server->http)
        http_figures_get(m->server->http, &figures);
    value_print(f, "http_connections", "Connections that are open.", "gauge", figures.connections);
    value_print(f, "http_requests_active", "Requests in work.", "gauge", figures.requests_active);
    value_print(f, "http_requests_queued", "Requests that wait for a worker.", "gauge",
                figures.requests_queued);
    value_print(f, "http_requests_parked", "Long polls that wait for something to happen.", "gauge",
                figures.requests_parked);
    value_print(f, "http_timeouts_total", "Connections that were cut off for being slow.",
                "counter", figures.timeouts);
    value_print(f, "event_listeners", "Streams of events that are open.", "gauge",
                m->server->events ? events_stream_count(m->server->events) : 0);
    value_print(f, "process_resident_memory_bytes", "Memory in use.", "gauge", resident_bytes());
    for (unsigned i = 0; i < METRICS_COUNTERS; i++)
        value_print(f, counter_names[i].name, counter_names[i].help, "counter", m->counters[i]);
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->named_count; i++)
        value_print(f, m->named[i].name, m->named[i].help, "counter", m->named[i].value);
    pthread_mutex_unlock(&m->lock);
}

static uint64_t seconds_between(int64_t from_ms, int64_t until_ms)
{
    return until_ms > from_ms ? (uint64_t)(until_ms - from_ms) / 1000 : 0;
}

/* Ages are there only when there is something to be old. */
static void collateral_print(struct metrics *m, FILE *f)
{
    int64_t now_ms = server_now_ms(m->server);
    struct fleet_collateral c = { 0 };

    if (m->server->fleet)
        fleet_collateral_get(m->server->fleet, &c);
    value_print(f, "collateral_items", "Items of the makers' collateral that are held.", "gauge",
                c.count);
    value_print(f, "collateral_items_unusable", "Items that are expired or damaged.", "gauge",
                c.unusable);
    value_print(f, "collateral_refresh_failed", "Items that could not be asked for anew last time.",
                "gauge", c.failed);
    value_print(f, "collateral_refreshed_total", "Items that were new.", "counter",
                (uint64_t)c.refreshed);
    value_print(f, "collateral_lies_total", "Answers of sources that did not verify.", "counter",
                (uint64_t)c.lied);
    if (c.confirmed_ms)
        value_print(f, "collateral_age_seconds",
                    "Since the source has confirmed the item that it confirmed longest ago.",
                    "gauge", seconds_between(c.confirmed_ms, now_ms));
    if (c.expires_ms)
        value_print(f, "collateral_expires_seconds", "Until the first item expires; 0: one has.",
                    "gauge", seconds_between(now_ms, c.expires_ms));
}

static int states_print(struct store_tx *tx, void *arg, struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    FILE *f = arg;
    long start = ftell(f);
    int rc = store_query(tx, "SELECT state, COUNT(*) FROM instances GROUP BY state ORDER BY state",
                         STORE_NO_ARGS, &rows, err);

    head_print(f, "instances", "Instances by state.", "gauge");
    while (rc == 0 && (rc = store_rows_next(rows, err)) == 1) {
        fprintf(f, "cloche_instances{state=\"%s\"} %" PRId64 "\n", store_column_text(rows, 0),
                store_column_int(rows, 1));
        rc = 0;
    }
    if (rc < 0)
        fseek(f, start, SEEK_SET);
    return rc;
}

static int metrics_get(struct api_request *rq, struct api_response *ret)
{
    struct metrics *m = rq->server->metrics;
    struct err err = { "" };
    FILE *f = open_memstream(&ret->text, &ret->text_size);

    if (!f)
        return -ENOMEM;
    requests_print(m, f);
    figures_print(m, f);
    collateral_print(m, f);
    if (store_read(rq->server->store, states_print, f, &err) < 0)
        server_log(rq->server, "warning", "instances cannot be counted", "error", err.text, NULL);
    if (fclose(f) != 0)
        return -ENOMEM;
    ret->status = 200;
    ret->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return 0;
}

/* ---- health ---- */

static int health_get(struct api_request *rq, struct api_response *ret)
{
    ret->body = json_pack("{s:s}", "status", "ok");
    return ret->body ? 0 : -ENOMEM;
}

static int ready_get(struct api_request *rq, struct api_response *ret)
{
    struct err err = { "" };

    if (store_check(rq->server->store, &err) < 0) {
        server_log(rq->server, "error", "the store does not answer", "error", err.text, NULL);
        return api_problem(rq, 503, "not-ready", "the store does not answer");
    }
    ret->body = json_pack("{s:s}", "status", "ready");
    return ret->body ? 0 : -ENOMEM;
}

const struct api_route health_routes[] = {
    { .method = "GET", .path = "/healthz", .handle = health_get, .flags = API_PUBLIC },
    { .method = "GET", .path = "/metrics", .handle = metrics_get, .flags = API_ANY_ROLE },
    { .method = "GET", .path = "/readyz", .handle = ready_get, .flags = API_PUBLIC },
};
const unsigned health_route_count = ARRAY_COUNT(health_routes);
