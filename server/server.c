/* SPDX-License-Identifier: Apache-2.0 */
/* A running server: its parts, started in the order in which they need each other, ended in the other. Relying party. */
#include <errno.h>
#include <string.h>

#include "server/api/events.h"
#include "server/api/http.h"
#include "server/api/metrics.h"
#include "server/auth/auth.h"
#include "server/ca/ca.h"
#include "server/config.h"
#include "server/exchange/exchange.h"
#include "server/fleet/fleet.h"
#include "server/model/model.h"
#include "server/server_open.h"

int server_open_store(struct server *ret, const struct server_config *config, struct err *err)
{
    int rc;

    *ret = (struct server){ .config = config };
    rc = store_open(config->store_url, &ret->store, err);
    if (rc == 0)
        rc = keys_open(ret->store, &config->root_key, &ret->keys, err);
    if (rc < 0)
        server_close(ret, 0);
    return rc;
}

static void reload_log(struct server *server, const char *what, int rc, const struct err *err)
{
    server_log(server, rc < 0 ? "error" : "info", rc < 0 ? "not reloaded" : "reloaded", "part",
               what, "error", rc < 0 ? err->text : NULL, NULL);
}

static void root_key_refresh(struct server *server, const struct keys_source *source)
{
    struct err err = { "" };
    int rc = keys_refresh(server->keys, source, &err);

    if (rc != 0)
        reload_log(server, "root key", rc, &err);
}

/* On each server, a moment after `cloched rekey`. */
static void listen_rekeyed(void *arg, const struct event *event)
{
    if (strcmp(event->kind, KEYS_EVENT_REKEYED) == 0)
        root_key_refresh(arg, NULL);
}

static int parts_open(struct server *server, struct err *err)
{
    int rc = metrics_open(server, &server->metrics);

    if (rc == 0)
        rc = events_open(server, &server->events, err);
    if (rc == 0)
        rc = events_listener_add(server->events, listen_rekeyed, server);
    if (rc == 0)
        rc = auth_open(server, &server->auth, err);
    if (rc == 0)
        rc = model_open(server, &server->model, err);
    if (rc == 0)
        rc = ca_open(server, &server->ca, err);
    if (rc == 0)
        rc = exchange_open(server, &server->exchange, err);
    if (rc == 0)
        rc = fleet_open(server, &server->fleet, err);
    if (rc == 0)
        rc = events_start(server->events, err);
    if (rc == 0)
        rc = http_start(server, &server->http, err);
    return rc;
}

int server_open(struct server *ret, const struct server_config *config, struct err *err)
{
    int rc = server_open_store(ret, config, err);

    if (rc == 0) {
        rc = parts_open(ret, err);
        if (rc < 0)
            server_close(ret, 0);
    }
    return rc;
}

void server_close(struct server *server, unsigned grace_ms)
{
    http_stop(server->http, grace_ms);
    fleet_close(server->fleet);
    events_stop(server->events);
    exchange_close(server->exchange);
    http_free(server->http);
    ca_close(server->ca);
    model_close(server->model);
    auth_close(server->auth);
    events_close(server->events);
    metrics_close(server->metrics);
    keys_close(server->keys);
    store_close(server->store);
    *server = (struct server){ .config = NULL };
}

void server_reload(struct server *server, const char *config_path)
{
    struct server_config *config = NULL;
    struct err err = { "" };

    if (config_read(config_path, &config, &err) < 0)
        reload_log(server, "configuration", -EINVAL, &err);
    else
        root_key_refresh(server, &config->root_key);
    config_free(config);
    if (server->ca)
        reload_log(server, "ca", ca_reload(server->ca, &err), &err);
    reload_log(server, "oidc issuers", auth_reload(server->auth, &err), &err);
    reload_log(server, "certificate", http_certificate_reload(server->http, &err), &err);
}
