/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of the verifier share: a verification, and what must be true of every result. Tests only. */
#pragma once

#include "tests/unit/verifier/pki.h"

/*
 * Verifies under pki_policy() at PKI_NOW_S and asserts what verifier.h promises: it judges whatever it gets, no verdict but
 * "contraindicated" beside a failed check, the same with a cache, and both forms of the result can be written.
 */
void verifier_judge(struct verifier_bytes evidence, const struct verifier_collateral *collateral,
                    struct verifier_result *ret);
