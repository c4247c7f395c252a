/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of changes of the roster, and what a change writes. Relying party; for the roster_*.c files. */
#pragma once

#include "server/model/roster_change.h"

struct roster_change {
    char id[32], action[16], key_id[32], state[16], created_by[32];
    int64_t needed, roster_version, created_ms;
    char *statement;
};
void roster_change_done(struct roster_change *change);
/* The change that the request's user proposes: id, statement and the rest are set here. returns: 0; -EIO; -ENOMEM. */
MUST_CHECK int roster_change_insert(struct api_request *rq, struct store_tx *tx,
                                    const struct roster *roster, struct roster_change *change,
                                    struct err *err);
/* returns: 0; -EPROTO there is none; -EIO. */
MUST_CHECK int roster_change_read(struct api_request *rq, struct store_tx *tx, const char *id,
                                  struct roster_change *ret, struct err *err);
/* Makes an open change's statement again: the stored one only says what was signed then. returns: 0; -EBADMSG it is another. */
MUST_CHECK int roster_change_check(const struct roster *roster, const struct roster_change *change,
                                   struct err *err);
/* Change of openapi.yaml, and how many approvals it has. returns: 0; -EIO; -EBADMSG. */
MUST_CHECK int roster_change_answer(struct api_request *rq, struct store_tx *tx,
                                    const struct roster *roster, const struct roster_change *change,
                                    unsigned *ret_given, json_t **ret, struct err *err);

/* Writes the roster's digest and next version; the change `done_id` ("": none) is done, others that were open against the old one are stale. */
MUST_CHECK int roster_write(struct api_request *rq, struct store_tx *tx, struct roster *roster,
                            const char *done_id, struct err *err);
/* returns: 0; -ENOENT; -EIO. */
MUST_CHECK int roster_key_state_write(struct api_request *rq, struct store_tx *tx,
                                      struct roster_key *key, const char *state, struct err *err);
