/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints that list objects. Relying party. */
#include "server/model/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/model/row.h"

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

static void json_freep(json_t **json)
{
    json_decref(*json);
}

/* Adds the current row, when there is something to tell of it; *last becomes where a page behind it begins. */
static int add(struct list *l, struct store_tx *tx, const struct list_of *of,
               const struct store_rows *rows, json_t *items, json_t **last, struct err *err)
{
    json_t *item = NULL;
    int rc = of->item(l, tx, rows, &item, err);

    if (rc < 0)
        return rc;
    json_decref(*last);
    *last =
        item ? json_incref(json_object_get(item, "id")) : json_string(store_column_text(rows, 0));
    return item && json_array_append_new(items, item) < 0 ? -ENOMEM : 0;
}

int list_read(struct list *l, struct store_tx *tx, const struct list_of *of, json_t **ret,
              struct err *err)
{
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    CLEANUP(json_freep)
    json_t *items = json_array();
    CLEANUP(json_freep)
    json_t *last = NULL;
    int rc = of->sql ? store_query(tx, of->sql,
                                   STORE_ARGS(store_text(l->rq->who.org_id),
                                              store_text(l->page.after), list_row_count(l)),
                                   &rows, err)
                     : of->query(l, tx, &rows, err);
    unsigned count = 0;

    while (rc >= 0 && rows && (rc = store_rows_next(rows, err)) > 0 && count++ < l->page.limit)
        rc = add(l, tx, of, rows, items, &last, err);
    if (rc < 0)
        return rc;
    *ret = json_pack("{s:O, s:O?}", "items", items, "next", rc > 0 ? last : NULL);
    return *ret ? 0 : -ENOMEM;
}

struct answering {
    struct list list;
    const struct list_of *of;
    json_t *body;
};

static int answer_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct answering *a = arg;

    json_decref(TAKE_PTR(a->body)); /* of a run before */
    return list_read(&a->list, tx, a->of, &a->body, err);
}

int list_answer(struct api_request *rq, const struct list_of *of, void *arg,
                struct api_response *ret)
{
    struct answering a = { .list = { .rq = rq, .arg = arg }, .of = of };
    int rc = api_page_read(rq, &a.list.page);

    if (rc == 0)
        rc = row_read(rq, answer_in, &a, of->what);
    if (rc == 0)
        return row_answer(ret, 200, 0, a.body);
    json_decref(a.body);
    return rc;
}
