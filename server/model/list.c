/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints that list objects. Relying party. */
#include "server/model/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/row.h"

struct reading {
    struct list list;
    const struct list_of *of;
    json_t *items, *last, *next; /* last: where a next page begins, after the rows read so far */
};

struct store_value list_row_count(const struct list *l)
{
    return store_int((int64_t)l->page.limit + 1);
}

int list_after_number(const struct list *l, int64_t otherwise, int64_t *ret)
{
    const char *after = l->page.after;
    size_t len = strlen(after);

    if (len > 18 || strspn(after, "0123456789") != len)
        return api_problem(l->rq, 400, "invalid-query", "after: a number is expected");
    *ret = len > 0 ? strtoll(after, NULL, 10) : otherwise;
    return 0;
}

static void set(json_t **member, json_t *value)
{
    json_decref(*member);
    *member = value;
}

static int add(struct reading *r, struct store_tx *tx, const struct store_rows *rows,
               struct err *err)
{
    json_t *item = NULL;
    int rc = r->of->item(&r->list, tx, rows, &item, err);

    if (rc < 0)
        return rc;
    if (!item) {
        set(&r->last, json_string(store_column_text(rows, 0)));
        return 0;
    }
    set(&r->last, json_incref(json_object_get(item, "id")));
    return json_array_append_new(r->items, item) < 0 ? -ENOMEM : 0;
}

static int read_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct reading *r = arg;
    struct list *l = &r->list;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    int rc = r->of->sql ? store_query(tx, r->of->sql,
                                      STORE_ARGS(store_text(l->rq->who.org_id),
                                                 store_text(l->page.after), list_row_count(l)),
                                      &rows, err)
                        : r->of->query(l, tx, &rows, err);

    set(&r->items, json_array());
    set(&r->last, NULL);
    set(&r->next, NULL);
    for (unsigned count = 0; rc >= 0 && rows && (rc = store_rows_next(rows, err)) > 0; count++) {
        if (count == l->page.limit) {
            r->next = json_incref(r->last);
            return 0;
        }
        rc = add(r, tx, rows, err);
    }
    return MIN(rc, 0);
}

int list_answer(struct api_request *rq, const struct list_of *of, void *arg,
                struct api_response *ret)
{
    struct reading r = { .list = { .rq = rq, .arg = arg }, .of = of };
    int rc = api_page_read(rq, &r.list.page);

    if (rc == 0)
        rc = row_read(rq, read_in, &r, of->what);
    if (rc == 0)
        rc = row_answer(ret, 200, 0, json_pack("{s:O, s:O?}", "items", r.items, "next", r.next));
    set(&r.items, NULL);
    set(&r.last, NULL);
    set(&r.next, NULL);
    return rc;
}
