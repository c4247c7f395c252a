/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange on its way from evidence to answer: found, judged, written, told. Relying party; within server/exchange/. */
#pragma once

#include "server/ca/ca.h"
#include "server/exchange/internal.h"
#include "server/secret/secret.h"

#define ADMISSION_PATH_SIZE 300u

struct admission {
    struct api_request *rq;
    struct server *server;
    struct exchange *exchange;
    struct evidence_request *request;
    int64_t now_ms;
    uint64_t epoch; /* of the exchange when this began */
    /* found, admit_find.c */
    bool has_app; /* app, build and policy are there */
    struct app_row app;
    struct build_row build;
    struct policy_ref policy;
    struct instance_row instance; /* id "": a new one */
    char location[260];           /* of the node; "" */
    char node_platform[160];      /* of the node's accepted evidence; "" */
    struct refusal refusal;       /* code NULL: none so far */
    /* judged */
    struct appraisal appraisal;
    struct collateral_ref collateral;
    char *stapled; /* JSON, or NULL */
    size_t stapled_size;
    uint8_t stapled_sha256[32];
    char *ear;      /* JSON */
    char *evidence; /* the record alone, as CMW in JSON */
    size_t evidence_size;
    /* written */
    bool is_new; /* the instance's row */
    bool
        is_outdated; /* the policy was changed since it was found, or an epoch began: nothing was written, all is to be done again */
    char instance_id[ID_SIZE];
    int64_t lease_until_ms, fence;
    struct ca_issued issued;
    char spiffe_path[ADMISSION_PATH_SIZE];
    json_t *secrets; /* for secret_list_free */
    char secrets_tag[SECRET_TAG_SIZE];
};
void admission_done(struct admission *a);

/* Finds instance, app, build and policy; a->refusal says what is not so. returns: 0; -EBADMSG; -EIO. */
MUST_CHECK int admission_find(struct store_tx *tx, void *admission, struct err *err);
/* Writes all of an accepted exchange; a->refusal says what came between. returns: 0; -ECANCELED with a refusal or is_outdated: nothing was written; -EBADMSG; -EIO. */
MUST_CHECK int admission_write(struct store_tx *tx, void *admission, struct err *err);
/* Writes a refusal of authentic evidence. returns: 0; -EIO. */
MUST_CHECK int admission_write_refused(struct store_tx *tx, void *admission, struct err *err);
/* The signed answer. returns: 0; -EIO. */
MUST_CHECK int admission_answer(struct admission *a, struct api_response *ret, struct err *err);
