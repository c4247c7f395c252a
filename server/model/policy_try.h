/* SPDX-License-Identifier: Apache-2.0 */
/* The dry run of a policy: which instances would fall, why and when; and what differs from the one in force. Relying party; within server/model/. */
#pragma once

#include "server/model/policy_row.h"

/* POST /v1/policies/{policy}/try */
int policy_try(struct api_request *rq, struct api_response *ret);
/* What text changes against the version in force (or the built-in policy), as a list for the API. returns: 0; -EINVAL; -EBADMSG; -EIO. */
MUST_CHECK int policy_changes(struct server *server, struct store_tx *tx,
                              const struct policy_row *policy, const char *text, json_t **ret,
                              struct err *err);
/* One of object and text of a body as canonical JSON that is a policy; *ret for free(). returns: 0; -EPROTO a problem was set; -ENOMEM. */
MUST_CHECK int policy_body_text(struct api_request *rq, json_t *object, const char *text,
                                char **ret);
