/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations (docs/revocation.md). Relying party; within server/exchange/. */
#pragma once

#include "server/api/api.h"

int revocations_get(struct api_request *rq, struct api_response *ret);
int revocations_post(struct api_request *rq, struct api_response *ret);
