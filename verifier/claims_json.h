/* SPDX-License-Identifier: Apache-2.0 */
/* The claims of a result, as JSON and for people; docs/evidence.md describes the members. Relying party; within verifier/. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "verifier/verifier.h"

json_t *claims_json(const struct verifier_result *result); /* NULL: no memory */
/* The few that tell what runs where, one a line. */
void claims_print(const struct verifier_result *result, FILE *f);
