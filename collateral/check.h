/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an entry is what its name says, signed by who may sign it. Relying party; within collateral/; entries are hostile. */
#pragma once

#include "collateral/collateral.h"

/*
 * Checks form, signature, issuer chain up to a root of the policy, and that it is the item that was asked for; not the dates: sets
 * issued_s, expires_s and evaluation_number. returns: 0; -EBADMSG with what is wrong in err; -ENOMEM.
 */
MUST_CHECK int check_entry(const struct verifier_policy *policy, struct collateral_entry *entry,
                           struct err *err);
/* Dates of a checked entry. returns: 0; -EBADMSG not valid yet, or not any more. */
MUST_CHECK int check_dates_now(const struct collateral_entry *entry, int64_t now_s,
                               struct err *err);
/* Whether a would take b, which is held, back to an older state. */
bool check_is_older(const struct collateral_entry *a, const struct collateral_entry *b);
