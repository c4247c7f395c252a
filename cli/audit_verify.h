/* SPDX-License-Identifier: Apache-2.0 */
/* Checks the control plane's audit log whole. Relying party side. */
#pragma once

#include "cli/command.h"

int audit_verify_run(struct cli_call *call);
extern const struct cli_option audit_verify_options[];
extern const unsigned audit_verify_option_count;
