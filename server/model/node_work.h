/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes ask and tell, by their token (openapi.yaml, /v1/node). Relying party; within server/model/. */
#pragma once

#include "server/api/api.h"

int node_self(struct api_request *rq, struct api_response *ret);
int node_heartbeat(struct api_request *rq, struct api_response *ret);
int node_reports(struct api_request *rq, struct api_response *ret);
int node_evidence(struct api_request *rq, struct api_response *ret); /* for people */
int node_work(struct api_request *rq, struct api_response *ret);
