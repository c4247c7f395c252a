/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the commands that use the cache of collateral, and opening it. Relying party side. */
#pragma once

#include "cli/file.h"
#include "collateral/collateral.h"

struct collateral_flags {
    struct collateral_options options;
    const char *policy_path, *at;
    bool json, quiet;
    /* Below: the command's own. */
    char folder[COLLATERAL_SOURCE_SIZE];
    struct verifier_policy *policy;
    struct collateral_clock clock;
    int64_t at_s;
    bool progress_shown;
};

/* Text of `--help` about the options that collateral_flag_take knows. */
extern const char g_collateral_flags_help[];

/* Takes argv[*i], and its value, when it is one of the options. returns: 1 taken, *i is at its last word; 0 it is another one;
 * -EINVAL no value, or not a good one: err says so. */
MUST_CHECK int collateral_flag_take(struct collateral_flags *flags, int argc, char **argv, int *i,
                                    struct err *err);
/* Opens the store that the options say. flags stays in use until both are closed. returns: 0; errno. */
MUST_CHECK int collateral_flags_open(struct collateral_flags *flags, struct collateral **ret,
                                     struct err *err);
void collateral_flags_done(struct collateral_flags *flags);
/* Clears the line of progress, before something is printed. */
void collateral_progress_clear(struct collateral_flags *flags);
/*
 * Adds to the set what verifying the evidence needs and the set does not have. Says on standard error what could not be asked about and is
 * held. returns: 0; errors of collateral_get and collateral_needs_find.
 */
MUST_CHECK int collateral_set_fill(struct collateral_flags *flags, struct verifier_bytes evidence,
                                   enum collateral_mode mode, struct collateral_set *set,
                                   struct err *err);
/* What time it is for the store. */
int64_t collateral_flags_now(const struct collateral_flags *flags);
