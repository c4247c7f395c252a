/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/nodes/{node}/evidence: what a node has shown, and how it was judged, for whoever wants to judge it himself. Relying party. */
#include <errno.h>

#include "server/model/node.h"
#include "server/model/node_work.h"

struct shown {
    struct api_request *rq;
    json_t *body;
};

static json_t *json_column(const struct store_rows *rows, unsigned column)
{
    size_t size;
    const void *data = store_column_blob(rows, column, &size);
    json_t *value = size ? json_loadb(data, size, 0, NULL) : NULL;

    return value ? value : json_null();
}

static int evidence_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct shown *s = arg;
    CLEANUP(store_rows_freep)
    struct store_rows *rows = NULL;
    const char *appraisal;
    json_t *result;
    int rc = store_query(tx,
                         "SELECT n.evidence, n.evidence_ms, n.appraisal, s.content FROM nodes n "
                         "LEFT JOIN stapled s ON s.sha256 = n.stapled_sha256 "
                         "WHERE n.org_id = $1 AND (n.id = $2 OR n.name = $2)",
                         STORE_ARGS(store_text(s->rq->who.org_id), store_text(s->rq->params[0])),
                         &rows, err);

    if (rc == 0)
        rc = store_rows_next(rows, err);
    if (rc <= 0 || store_is_null(rows, 0))
        return rc < 0 ? rc : err_set(err, -ENOENT, "there is no evidence of such a node");
    appraisal = store_column_text(rows, 2);
    result = appraisal ? json_loads(appraisal, 0, NULL) : NULL;
    json_decref(TAKE_PTR(s->body));
    s->body = json_pack("{s:o,s:o,s:o,s:o}", "time", api_time(store_column_int(rows, 1)),
                        "evidence", json_column(rows, 0), "collateral", json_column(rows, 3),
                        "appraisal", result ? result : json_null());
    return s->body ? 0 : -ENOMEM;
}

int node_evidence(struct api_request *rq, struct api_response *ret)
{
    struct shown s = { .rq = rq };
    int rc = row_read(rq, evidence_in, &s, "evidence");

    if (rc == 0)
        return row_answer(ret, 200, 0, s.body);
    json_decref(s.body);
    return rc;
}
