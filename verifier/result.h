/* SPDX-License-Identifier: Apache-2.0 */
/* Names in results. Relying party; within verifier/. */
#pragma once

#include "verifier/verifier.h"

const char *verifier_verdict_name(enum verifier_verdict verdict); /* AR4SI: "affirming" */
const char *verifier_tee_name(enum verifier_tee tee);             /* "sgx" */
