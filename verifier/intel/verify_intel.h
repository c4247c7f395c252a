/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies SGX and TDX quotes. Relying party; within verifier/. */
#pragma once

#include "verifier/policy/policy.h"

/* Makes all checks but those of the policy. The evidence is hostile. returns: 0, whatever was found; -ENOMEM. */
MUST_CHECK int intel_verify(const struct verifier_request *request,
                            const struct verifier_policy *policy, struct verifier_result *result);
