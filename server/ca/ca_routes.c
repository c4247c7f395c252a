/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of the certificate authority: roots, lists of revoked certificates, rotation, an organisation's own intermediate. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ca/ca.h"
#include "server/ca/ca_set.h"
#include "server/ca/certificate.h"
#include "server/exchange/routes.h"
#include "server/model/org.h"
#include "server/model/row.h"

#define ANY_READER (API_READER | API_AUDITOR | API_OPERATOR | API_APPROVER | API_OWNER)

static int get_roots(struct api_request *rq, struct api_response *ret)
{
    ret->text = ca_roots_pem(rq->server->ca);
    if (!ret->text)
        return -ENOMEM;
    ret->status = 200;
    ret->text_size = strlen(ret->text);
    ret->content_type = "application/pem-certificate-chain";
    return 0;
}

static int get_crl(struct api_request *rq, struct api_response *ret)
{
    uint8_t *der;
    size_t size;
    struct err err = { "" };
    int rc = ca_crl(rq->server->ca, rq->params[0], server_now_s(rq->server), &der, &size, &err);

    if (rc < 0)
        return api_problem_errno(rq, rc, "revoked certificates", &err);
    ret->status = 200;
    ret->text = (char *)der;
    ret->text_size = size;
    ret->content_type = "application/pkix-crl";
    return 0;
}

/* What there is, without keys. */
static json_t *authority_json(const struct authority *a)
{
    char hex[ROW_HEX_SIZE] = "";
    uint8_t pin[32];
    char *pem = NULL;
    json_t *j;

    if (a->chain_count > 0 &&
        (certificate_pin(a->chain[0], pin) < 0 || certificate_pem_add(a->chain[0], &pem) < 0))
        return NULL;
    if (a->chain_count > 0)
        row_hex(pin, 32, hex);
    j = json_pack("{s:s,s:s,s:s,s:b,s:s?,s:s?,s:o,s:o}", "id", a->id, "kind",
                  authority_kind_name(a->kind), "state", authority_state_name(a->state), "own",
                  a->org_id[0] != 0, "pin", hex[0] ? hex : NULL, "certificate", pem, "created",
                  api_time(a->created_ms), "expires", api_time(a->expires_ms));
    free(pem);
    return j;
}

static int get_ca(struct api_request *rq, struct api_response *ret)
{
    struct ca *ca = rq->server->ca;
    json_t *items = json_array();

    pthread_rwlock_rdlock(&ca->lock);
    for (unsigned i = 0; i < ca->list.count; i++)
        if (!ca->list.items[i]->org_id[0] || strcmp(ca->list.items[i]->org_id, rq->who.org_id) == 0)
            json_array_append_new(items, authority_json(ca->list.items[i]));
    pthread_rwlock_unlock(&ca->lock);
    ret->status = 200;
    ret->body = json_pack("{s:s,s:o}", "trust_domain", ca->trust_domain, "authorities", items);
    return ret->body ? 0 : -ENOMEM;
}

/* ---- rotation ---- */

struct rotation {
    struct api_request *rq;
    enum ca_rotation step;
    const char *name;
};

/* The server's authorities are those of the organisation that the server was made with: the first one. */
static int operator_check(struct api_request *rq, struct store_tx *tx, struct err *err)
{
    int64_t older;
    int rc = store_get_int(tx, "SELECT COUNT(*) FROM orgs WHERE id < $1",
                           STORE_ARGS(store_text(rq->who.org_id)), &older, err);

    if (rc == 0 && older > 0)
        return api_problem(rq, 403, "forbidden",
                           "only the server's first organisation rotates its authorities");
    return rc;
}

static int rotate_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct rotation *r = arg;
    int rc = operator_check(r->rq, tx, err);

    if (rc == 0)
        rc = ca_rotate(r->rq->server->ca, tx, r->step, server_now_s(r->rq->server), err);
    return rc < 0 ? rc
                  : row_tell(r->rq, tx, "ca.rotate", "ca.rotated", "ca",
                             json_pack("{s:s}", "step", r->name), err);
}

/* The change is there; here it is used at once, elsewhere when the event comes. */
static int changed(struct api_request *rq, int rc, const char *what, struct err *err,
                   struct api_response *ret)
{
    if (rc == 0)
        rc = ca_reload(rq->server->ca, err);
    if (rc < 0)
        return row_result(rq, rc, what, err);
    return get_ca(rq, ret);
}

static int post_rotation(struct api_request *rq, struct api_response *ret)
{
    static const char *const steps[] = { "prepare", "switch", "retire" };
    struct rotation r = { .rq = rq };
    const struct api_member members[] = { { "step", API_STRING, true, &r.name, 1, 16 } };
    struct err err = { "" };
    unsigned step = 0;
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    while (step < ARRAY_COUNT(steps) && strcmp(steps[step], r.name) != 0)
        step++;
    if (step == ARRAY_COUNT(steps))
        return api_problem(rq, 400, "invalid-member",
                           "step: prepare, switch or retire is expected");
    r.step = (enum ca_rotation)step;
    rc = store_write(rq->server->store, rotate_in, &r, &err);
    return changed(rq, rc, "rotation", &err, ret);
}

/* ---- an organisation's own ---- */

struct own {
    struct api_request *rq;
    char id[ID_SIZE];
    char *csr;
    const char *chain;
};

static int request_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct own *own = arg;
    struct org_row org;
    int rc = org_read(own->rq->server, tx, own->rq->who.org_id, &org, err);

    free(TAKE_PTR(own->csr));
    if (rc == 0)
        rc = ca_org_request(own->rq->server->ca, tx, org.id, org.name, own->id, &own->csr, err);
    return rc < 0 ? rc : row_tell(own->rq, tx, "ca.request", NULL, own->id, NULL, err);
}

static int request_answer(void *arg, struct api_response *ret)
{
    struct own *own = arg;

    ret->status = 201;
    ret->body = json_pack("{s:s,s:s}", "id", own->id, "request", own->csr);
    return ret->body ? 0 : -ENOMEM;
}

static int post_intermediate(struct api_request *rq, struct api_response *ret)
{
    struct own own = { .rq = rq };
    struct err err = { "" };
    int rc = api_write(rq, request_in, request_answer, &own, ret, &err);

    free(own.csr);
    return row_result(rq, rc, "intermediate", &err);
}

static int accept_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct own *own = arg;
    int rc = ca_org_accept(own->rq->server->ca, tx, own->rq->who.org_id, own->rq->params[0],
                           own->chain, server_now_s(own->rq->server), err);

    return rc < 0 ? rc
                  : row_tell(own->rq, tx, "ca.accept", "ca.intermediate-changed",
                             own->rq->params[0], NULL, err);
}

static int put_intermediate(struct api_request *rq, struct api_response *ret)
{
    struct own own = { .rq = rq };
    const struct api_member members[] = { { "chain", API_STRING, true, &own.chain, 1, 65536 } };
    struct err err = { "" };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    rc = store_write(rq->server->store, accept_in, &own, &err);
    return changed(rq, rc, "intermediate", &err, ret);
}

static int drop_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct own *own = arg;
    int rc = ca_org_drop(own->rq->server->ca, tx, own->rq->who.org_id, err);

    return rc < 0 ? rc
                  : row_tell(own->rq, tx, "ca.drop", "ca.intermediate-changed", own->rq->who.org_id,
                             NULL, err);
}

static int delete_intermediate(struct api_request *rq, struct api_response *ret)
{
    struct own own = { .rq = rq };
    struct err err = { "" };
    int rc = store_write(rq->server->store, drop_in, &own, &err);

    return changed(rq, rc, "intermediate", &err, ret);
}

const struct api_route ca_routes[] = {
    { "GET", "/v1/ca", get_ca, ANY_READER, 0, 0 },
    { "GET", "/v1/ca/crl/{authority}", get_crl, 0, API_PUBLIC, 0 },
    { "DELETE", "/v1/ca/intermediate", delete_intermediate, API_OWNER, 0, 0 },
    { "POST", "/v1/ca/intermediates", post_intermediate, API_OWNER, API_IDEMPOTENT, 64 },
    { "PUT", "/v1/ca/intermediates/{authority}", put_intermediate, API_OWNER, 0, 128 << 10 },
    { "GET", "/v1/ca/roots", get_roots, 0, API_PUBLIC, 0 },
    { "POST", "/v1/ca/rotation", post_rotation, API_OWNER, 0, 1024 },
};
const unsigned ca_route_count = ARRAY_COUNT(ca_routes);
