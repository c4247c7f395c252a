/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of the audit log, for server/api/routes.c (docs/audit.md). Relying party. */
#pragma once

#include "server/api/api.h"

extern const struct api_route audit_routes[];
extern const unsigned audit_route_count;

/* GET /v1/audit/report and /v1/audit/report/{part}; report.c. */
api_handler_fn audit_report;
api_handler_fn audit_report_part;
