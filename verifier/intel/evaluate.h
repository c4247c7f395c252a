/* SPDX-License-Identifier: Apache-2.0 */
/* A platform against its collateral: identity of quoting enclave and TDX module, TCB status. Relying party; within verifier/. */
#pragma once

#include "verifier/collateral.h"
#include "verifier/intel/quote.h"

/* Reads the claims that result->intel already has; writes statuses, date, advisories, and the checks from FMSPC_MISMATCH on. */
void intel_evaluate(const struct verifier_collateral *collateral, const struct quote *quote,
                    struct verifier_result *result);
