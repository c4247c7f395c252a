/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands that are tables of verbs (cli/command.h), each in a file of its name. Relying party side. */
#pragma once

#include "cli/command.h"

extern const struct cli_command api_command, app_command, approve_command, audit_command,
    build_command, ca_command, down_command, events_command, instance_command, key_command,
    login_command, logout_command, node_command, org_command, policy_command, rollout_command,
    secret_command, status_command, token_command, top_command, up_command, user_command;

/* The verb `revoke` of apps, builds, nodes and instances: kind "app", ...; takes --reason. returns: exit status. */
int revoke_run(struct cli_call *call, const char *kind, const char *object);
/* The verb `approve` of builds and roster changes. */
int approve_run(struct cli_call *call);
extern const struct cli_option approve_options[];
extern const unsigned approve_option_count;
