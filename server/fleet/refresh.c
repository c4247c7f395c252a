/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral that the server holds, asked for anew when it is due. Relying party; sources are hostile. */
#include <stdlib.h>
#include <string.h>

#include "collateral/collateral.h"
#include "server/exchange/held.h"
#include "server/fleet/internal.h"

#define DEADLINE_MS 120000u
#define ATTEMPTS 3u

struct held_ids {
    struct collateral_item_id *items;
    unsigned count;
};

static int id_add(void *context, const struct collateral_entry *entry, enum collateral_state state,
                  const struct err *why)
{
    struct held_ids *ids = context;

    if (ids->count < COLLATERAL_ENTRY_COUNT_MAX)
        ids->items[ids->count++] = entry->id;
    return 0;
}

static void result_set(struct fleet *f, int new_count, int failed)
{
    pthread_mutex_lock(&f->lock);
    f->progress.refreshed += new_count;
    f->progress.refresh_failed = failed;
    f->progress.refreshed_ms = server_now_ms(f->server);
    pthread_mutex_unlock(&f->lock);
}

int refresh_collateral(struct fleet *f)
{
    struct verifier_policy *policy = NULL;
    struct collateral *store = NULL;
    struct held_ids ids = { calloc(COLLATERAL_ENTRY_COUNT_MAX, sizeof(struct collateral_item_id)),
                            0 };
    struct err err = { "" };
    int new_count = 0, failed = 0, rc = ids.items ? 0 : -1;

    if (!f->server->config->collateral_folder || !held_may_fetch(f->server->config))
        rc = -1;
    if (rc == 0)
        rc = held_policy_new(f->server, &policy, &err);
    if (rc == 0)
        rc = held_store_open(f->server, DEADLINE_MS, ATTEMPTS, policy, &store, &err);
    if (rc == 0)
        rc = collateral_list(store, id_add, &ids, &err);
    for (unsigned i = 0; rc == 0 && i < ids.count && !fleet_is_stopping(f); i++) {
        struct collateral_got got = { 0 };
        int one = collateral_get(store, &ids.items[i], COLLATERAL_FETCH, &got, &err);

        new_count += one == 0 && got.outcome == COLLATERAL_NEW;
        failed += one < 0 || got.outcome == COLLATERAL_KEPT;
        if (one == 0)
            collateral_got_done(&got);
    }
    if (err.text[0])
        server_log(f->server, "warning", "collateral is not all fresh", "why", err.text, NULL);
    result_set(f, new_count, failed);
    collateral_close(store);
    verifier_policy_free(policy);
    free(ids.items);
    return new_count;
}
