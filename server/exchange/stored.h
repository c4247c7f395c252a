/* SPDX-License-Identifier: Apache-2.0 */
/* An instance's stored evidence, for judging again. Relying party; within server/exchange/ and server/fleet/. */
#pragma once

#include "server/exchange/internal.h"

#define STORED_LIST_MAX 64u

struct stored {
    char id[ID_SIZE], org_id[ID_SIZE], app_id[ID_SIZE], build_id[ID_SIZE], node_id[ID_SIZE];
    char state[16], tcb_status[48];
    int64_t evidence_ms, valid_until_ms;
    bool has_fallen; /* it runs, and was judged again and refused since it attested */
    struct cmw *cmw;
    struct verifier_bytes evidence; /* of cmw */
    bool has_stapled;
    uint8_t stapled_sha256[32];    /* where the store has it */
    struct verifier_bytes stapled; /* of `owned`, or of the list; size 0: none */
    uint8_t *owned;
};
/* returns: 0; -ENOENT; -ENODATA it has none that can be read; -EIO. */
MUST_CHECK int stored_read(struct store_tx *tx, const char *instance_id, struct stored *ret,
                           struct err *err);
/* Fills evidence and what was stapled from two neighbouring columns. returns: 0; -ENODATA; -ENOMEM: stored_done in any case. */
MUST_CHECK int stored_evidence_decode(const struct store_rows *rows, unsigned column,
                                      struct stored *ret, struct err *err);
void stored_done(struct stored *stored);

/* Instances that run, in the order of their ids. What many of them stapled is there once. */
struct stored_list {
    unsigned count, stapled_count;
    char last[ID_SIZE]; /* up to where it was read: `after` of the next list */
    bool is_end;        /* there are no more */
    struct stored items[STORED_LIST_MAX];
    struct {
        uint8_t sha256[32];
        uint8_t *content;
        size_t size;
    } stapled[STORED_LIST_MAX];
};
/* Of the organisation ("": of all), those whose ids follow `after`; what cannot be read is left out. *ret is for stored_list_done, whatever it holds now is not freed. returns: 0; -ENOMEM; -EIO. */
MUST_CHECK int stored_list_read(struct store_tx *tx, const char *org_id, const char *after,
                                struct stored_list *ret, struct err *err);
void stored_list_done(struct stored_list *list);

/* What a TCB recovery that is on its way makes of evidence that is accepted now. */
struct stored_forecast {
    bool falls;
    int64_t until_ms; /* when it falls; falls */
    uint32_t number;  /* of the recovery; 0: none is on its way */
    bool is_published;
    char tcb_status[48], reason[400];
};
/* returns: 0; -EIO, -ENOMEM. */
MUST_CHECK int stored_forecast(struct exchange *exchange, const struct stored *stored,
                               const struct verifier_policy *policy, const struct build_row *build,
                               int64_t now_ms, struct stored_forecast *ret, struct err *err);
/* As appraise; no transaction is needed, and the makers are not asked. */
MUST_CHECK int stored_judge(struct exchange *exchange, const struct stored *stored,
                            const struct verifier_policy *policy, const struct build_row *build,
                            int64_t now_ms, struct appraisal *ret, struct err *err);
