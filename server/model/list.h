/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints that list objects: the page that was asked for, its rows, the answer. Relying party; the query is hostile, what is stored may be forged.
 * For every folder of the server that has such endpoints.
 *
 *     static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows, json_t **ret, struct err *err);
 *
 *     static int list(struct api_request *rq, struct api_response *ret)
 *     {
 *         static const struct list_of nodes = { "nodes", "SELECT ... WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3", .item = list_item };
 *
 *         return list_answer(rq, &nodes, NULL, ret);
 *     }
 */
#pragma once

#include "server/api/api.h"
#include "server/store/store.h"

struct list {
    struct api_request *rq;
    struct api_page page;
    void *arg; /* as it was given to list_answer */
};

/* Begins the query for list_row_count rows from page.after on. *ret left NULL: nothing is in the list. May be called more than once. */
typedef int list_query_fn(struct list *l, struct store_tx *tx, struct store_rows **ret,
                          struct err *err);
/*
 * JSON of the current row; its member "id" is where the next page begins. *ret left NULL: the row is left out; the page goes on from the row's first column.
 * returns: 0; an errno: there is no list, and the problem is row_result's.
 */
typedef int list_item_fn(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                         json_t **ret, struct err *err);

struct list_of {
    const char *what; /* for problems: "nodes" */
    const char *sql;  /* $1: the organisation's id, $2: page.after, $3: how many rows; or NULL: */
    list_query_fn *query;
    list_item_fn *item;
};

/* One more than the page has, to know whether there is another. */
struct store_value list_row_count(const struct list *l);
/* Query "after" of a list that goes by numbers: what it says, or otherwise when it is absent. returns: 0; -EPROTO. */
MUST_CHECK int list_after_number(const struct list *l, int64_t otherwise, int64_t *ret);

/* One page within a transaction that does more; l->rq, page and arg are the caller's. *ret: {"items": [...], "next": id or null}. returns: 0; an errno. */
MUST_CHECK int list_read(struct list *l, struct store_tx *tx, const struct list_of *of,
                         json_t **ret, struct err *err);
/* The whole of a GET of a list: {"items": [...], "next": id or null}. returns: 0; -EPROTO. */
MUST_CHECK int list_answer(struct api_request *rq, const struct list_of *of, void *arg,
                           struct api_response *ret);
