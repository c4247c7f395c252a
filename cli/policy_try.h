/* SPDX-License-Identifier: Apache-2.0 */
/* The dry run of a policy over evidence: reads it, judges it, prints a line for each. Relying party side. */
#pragma once

#include "lib/err.h"
#include "verifier/verifier.h"

struct policy_try {
    struct verifier_policy *policy;
    struct verifier_policy *old_policy; /* to compare with, or NULL */
    const char *collateral, *at;        /* of the options, or NULL */
    bool json;
    /* results */
    unsigned count, refused_count, failed_count; /* failed: it could not be read or judged */
    unsigned now_accepted_count, now_refused_count;
};

/* paths: files and folders. returns: 0, whatever the verdicts; -ENOENT no such path, or no evidence; another errno. */
MUST_CHECK int policy_try_run(struct policy_try *t, char **paths, unsigned path_count,
                              struct err *err);
