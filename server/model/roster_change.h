/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the roster: keys come, retire, are revoked; the number of approvals changes. Each is a statement that names the roster it changes by version and digest, so that
 * it can be used once, and is made when the present roster has approved it. The first key of an empty roster comes at once. Relying party; within server/model/.
 */
#pragma once

#include "server/model/approval.h"

json_t *roster_key_json(const struct roster_key *key);
/* "change" of a key's JSON: the open change that brings it, or null. */
MUST_CHECK int roster_change_find(struct store_tx *tx, const char *org_id, const char *key_id,
                                  json_t *key, struct err *err);
/* What a request does, in its transaction. returns: 0; -EPROTO a problem was set; -EBADMSG; -EIO. */
typedef int roster_change_fn(struct api_request *rq, struct store_tx *tx, json_t **ret,
                             struct err *err);
roster_change_fn roster_enrol;          /* body: KeyNew of openapi.yaml */
roster_change_fn roster_change_show;    /* of the change that the path names */
roster_change_fn roster_change_propose; /* body: RosterChangeNew */
/* Body: ApprovalNew. With the last approval that is needed the change is made. */
roster_change_fn roster_change_approve;
api_handler_fn roster_change_list; /* GET /v1/roster/changes */
