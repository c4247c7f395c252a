/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the roster: keys come, retire, are revoked; the number of approvals changes. Each is a statement that names the roster it changes by version and digest, so that
 * it can be used once, and is made when the present roster has approved it. The first key of an empty roster comes at once. Relying party; within server/model/.
 * Each returns 0; -EPROTO a problem was set; -EBADMSG; -EIO, and runs in a transaction of the request.
 */
#pragma once

#include "server/model/approval.h"

json_t *roster_key_json(const struct roster_key *key);
/* "change" of a key's JSON: the open change that brings it, or null. */
MUST_CHECK int roster_change_find(struct store_tx *tx, const char *org_id, const char *key_id,
                                  json_t *key, struct err *err);
/* Body: KeyNew of openapi.yaml. */
MUST_CHECK int roster_enrol(struct api_request *rq, struct store_tx *tx, json_t **ret,
                            struct err *err);
MUST_CHECK int roster_change_list(struct api_request *rq, struct store_tx *tx,
                                  const struct api_page *page, json_t **ret, struct err *err);
MUST_CHECK int roster_change_show(struct api_request *rq, struct store_tx *tx,
                                  const char *change_id, json_t **ret, struct err *err);
/* Body: RosterChangeNew. */
MUST_CHECK int roster_change_propose(struct api_request *rq, struct store_tx *tx, json_t **ret,
                                     struct err *err);
/* Body: ApprovalNew. With the last approval that is needed the change is made. */
MUST_CHECK int roster_change_approve(struct api_request *rq, struct store_tx *tx,
                                     const char *change_id, json_t **ret, struct err *err);
