/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation of the server's authorities, next to current to old; renewal below a root. Relying party. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca_set.h"

#define LOW_SHARE 3 /* what has less than one part in so many of its life left is renewed */

static void list_freep(struct authority_list **list)
{
    if (*list)
        authority_list_done(*list);
    free(*list);
}

static int list_new(struct ca *ca, struct store_tx *tx, struct authority_list **ret,
                    struct err *err)
{
    CLEANUP(list_freep)
    struct authority_list *list = calloc(1, sizeof *list);
    int rc = list ? authority_list_read(ca->server, tx, list, err) : -ENOMEM;

    if (rc == 0)
        *ret = TAKE_PTR(list);
    return rc;
}

/* Of the server's own: those of one state go to another. The row's seal covers the state, so it is written anew. */
static int state_move(struct ca *ca, struct store_tx *tx, const struct authority_list *list,
                      enum authority_state from, enum authority_state to, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < list->count; i++) {
        struct authority *a = list->items[i];

        if (a->org_id[0] || a->state != from)
            continue;
        a->state = to;
        rc = authority_save(ca->server, tx, a, err);
    }
    return rc;
}

static int state_remove(struct store_tx *tx, const struct authority_list *list,
                        enum authority_state state, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < list->count; i++)
        if (!list->items[i]->org_id[0] && list->items[i]->state == state)
            rc = authority_remove(tx, list->items[i], err);
    return rc;
}

/* The next root's key certified by the present root: whoever trusts the present one alone trusts what the next one issues. */
static int cross_make(struct ca *ca, struct store_tx *tx, const struct authority *next,
                      const struct authority *issuer, int64_t now_s, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *cross = NULL;
    int rc = authority_new("", AUTHORITY_CROSS, AUTHORITY_NEXT, now_s * 1000, &cross, err);

    if (rc < 0)
        return rc;
    /* Its name is the next root's: chains are built by names. */
    memcpy(cross->id, next->id, sizeof cross->id);
    cross->key = next->key;
    rc = authority_certify(cross, issuer, ca->trust_domain, now_s, CA_ROOT_S, err);
    cross->key = NULL;
    id_make("cas", cross->id);
    return rc < 0 ? rc : authority_save(ca->server, tx, cross, err);
}

static int prepare(struct ca *ca, struct store_tx *tx, const struct authority_list *list,
                   int64_t now_s, struct err *err)
{
    CLEANUP(authority_freep)
    struct authority *next = NULL;
    const struct authority *root = authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_CURRENT);
    int rc;

    if (!root)
        return -ENOENT;
    if (authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_NEXT))
        return err_set(err, -EEXIST, "a next root is there already: switch to it");
    if (authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_OLD))
        return err_set(err, -EEXIST, "the last rotation is not over: retire the old root");
    rc = ca_make_root(ca, tx, AUTHORITY_NEXT, now_s, &next, err);
    if (rc == 0)
        rc = ca_make_below(ca, tx, next, AUTHORITY_NEXT, now_s, err);
    if (rc == 0)
        rc = cross_make(ca, tx, next, root, now_s, err);
    return rc;
}

int ca_rotate(struct ca *ca, struct store_tx *tx, enum ca_rotation step, int64_t now_s,
              struct err *err)
{
    CLEANUP(list_freep)
    struct authority_list *list = NULL;
    int rc = list_new(ca, tx, &list, err);

    if (rc < 0)
        return rc;
    if (step == CA_PREPARE)
        return prepare(ca, tx, list, now_s, err);
    if (step == CA_RETIRE) {
        if (!authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_OLD))
            return err_set(err, -ENOENT, "there is no old root");
        return state_remove(tx, list, AUTHORITY_OLD, err);
    }
    if (!authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_NEXT))
        return err_set(err, -ENOENT, "there is no next root: prepare one");
    rc = state_remove(tx, list, AUTHORITY_OLD, err);
    if (rc == 0)
        rc = state_move(ca, tx, list, AUTHORITY_CURRENT, AUTHORITY_OLD, err);
    if (rc == 0)
        rc = state_move(ca, tx, list, AUTHORITY_NEXT, AUTHORITY_CURRENT, err);
    return rc;
}

/* ---- renewal below a root ---- */

static bool is_low(const struct authority *a, int64_t now_ms)
{
    return !a || (a->expires_ms - now_ms) < (a->expires_ms - a->created_ms) / LOW_SHARE;
}

struct maintain {
    struct ca *ca;
    int64_t now_s;
};

static int maintain_in(struct store_tx *tx, void *arg, struct err *err)
{
    const struct maintain *m = arg;
    CLEANUP(list_freep)
    struct authority_list *list = NULL;
    int rc = list_new(m->ca, tx, &list, err);
    struct authority *root, *intermediate, *exchange;

    if (rc < 0)
        return rc;
    root = authority_find(list, "", AUTHORITY_ROOT, AUTHORITY_CURRENT);
    intermediate = authority_find(list, "", AUTHORITY_INTERMEDIATE, AUTHORITY_CURRENT);
    exchange = authority_find(list, "", AUTHORITY_EXCHANGE, AUTHORITY_CURRENT);
    if (!root || (!is_low(intermediate, m->now_s * 1000) && !is_low(exchange, m->now_s * 1000)))
        return 0;
    if (!is_low(intermediate, m->now_s * 1000)) {
        rc = exchange ? authority_remove(tx, exchange, err) : 0;
        if (rc == 0)
            rc = ca_make_exchange(m->ca, tx, intermediate, m->now_s, err);
        return rc < 0 ? rc : 1;
    }
    if (exchange)
        rc = authority_remove(tx, exchange, err);
    if (rc == 0 && intermediate) { /* it still signs the list of what it issued */
        intermediate->state = AUTHORITY_OLD;
        rc = authority_save(m->ca->server, tx, intermediate, err);
    }
    if (rc == 0)
        rc = ca_make_below(m->ca, tx, root, AUTHORITY_CURRENT, m->now_s, err);
    return rc < 0 ? rc : 1;
}

int ca_maintain(struct ca *ca, struct err *err)
{
    struct maintain m = { ca, server_now_s(ca->server) };
    bool is_needed;
    int rc;

    pthread_rwlock_rdlock(&ca->lock);
    is_needed = is_low(ca->intermediate, m.now_s * 1000) || is_low(ca->exchange, m.now_s * 1000);
    pthread_rwlock_unlock(&ca->lock);
    if (!is_needed)
        return 0;
    rc = store_write(ca->server->store, maintain_in, &m, err);
    if (rc > 0) {
        int reloaded = ca_reload(ca, err);

        rc = reloaded < 0 ? reloaded : 1;
    }
    return rc;
}
