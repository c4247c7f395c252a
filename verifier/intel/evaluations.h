/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCB evaluation data numbers: which editions of TCB info there are, and of which TCB recovery each is. Relying party; input hostile until its signature is verified. Source: Intel PCS API v4,
 * "Get TCB Evaluation Data Numbers".
 */
#pragma once

#include "verifier/x509/chain.h"

#define TCB_EVALUATION_COUNT_MAX 64u

struct tcb_evaluation {
    uint32_t number;
    int64_t recovery_s; /* when the TCB recovery was made public */
    int64_t date_s;     /* TCB date of what is up to date under it */
};
struct tcb_evaluations {
    bool is_tdx;
    int64_t issue_date_s, next_update_s;
    unsigned count;
    struct tcb_evaluation items[TCB_EVALUATION_COUNT_MAX];
};

/* text: the value of "tcbEvaluationDataNumbers". returns: 0; -EINVAL. */
MUST_CHECK int tcb_evaluations_parse(struct verifier_bytes text, struct tcb_evaluations *ret);
/* text: as it is served, with its signature; chain: of its signer. returns: 0; -EINVAL it cannot be read; -EBADMSG the chain's first certificate has not signed it, or may not. */
MUST_CHECK int tcb_evaluations_verify(struct verifier_bytes text, const struct x509_chain *chain,
                                      struct tcb_evaluations *ret);
/* NULL: the number is not there. */
const struct tcb_evaluation *tcb_evaluation_find(const struct tcb_evaluations *list,
                                                 uint32_t number);
