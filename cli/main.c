/* SPDX-License-Identifier: Apache-2.0 */
/* The `cloche` command: finds the subcommand. Relying party side. */
#include "cli/main.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "lib/defs.h"

const struct main_entry main_entries[] = {
    { "build", cmd_build, &build_command, "seal a container image; builds at the control plane",
      cmd_build_usage },
    { "inspect", cmd_inspect, NULL, "check a sealed image and say what it is", cmd_inspect_usage },
    { "run", cmd_run, NULL, "start a sealed image in an enclave", cmd_run_usage },
    { "up", NULL, &up_command, NULL, NULL },
    { "down", NULL, &down_command, NULL, NULL },
    { "status", NULL, &status_command, NULL, NULL },
    { "login", NULL, &login_command, NULL, NULL },
    { "logout", NULL, &logout_command, NULL, NULL },
    { "app", NULL, &app_command, NULL, NULL },
    { "key", NULL, &key_command, NULL, NULL },
    { "approve", NULL, &approve_command, NULL, NULL },
    { "instance", NULL, &instance_command, NULL, NULL },
    { "top", NULL, &top_command, NULL, NULL },
    { "events", NULL, &events_command, NULL, NULL },
    { "rollout", NULL, &rollout_command, NULL, NULL },
    { "secret", NULL, &secret_command, NULL, NULL },
    { "policy", cmd_policy, &policy_command,
      "appraisal policies: check, compare, try out, put in force", cmd_policy_usage },
    { "node", NULL, &node_command, NULL, NULL },
    { "audit", NULL, &audit_command, NULL, NULL },
    { "ca", NULL, &ca_command, NULL, NULL },
    { "org", NULL, &org_command, NULL, NULL },
    { "user", NULL, &user_command, NULL, NULL },
    { "token", NULL, &token_command, NULL, NULL },
    { "api", NULL, &api_command, NULL, NULL },
    { "verify", cmd_verify, NULL, "judge evidence of a TEE, offline", cmd_verify_usage },
    { "collateral", cmd_collateral, NULL, "what the makers publish about their platforms",
      cmd_collateral_usage },
    { "attest", cmd_attest, NULL, "TLS whose server proves what it is", cmd_attest_usage },
    { "doctor", cmd_doctor, NULL, "what this machine can do, and what is missing",
      cmd_doctor_usage },
    { "emu", cmd_emu, NULL, "the world around an emulated platform", cmd_emu_usage },
};
const unsigned main_entry_count = ARRAY_COUNT(main_entries);

int main(int argc, char **argv)
{
    if (argc < 2) {
        help_list_print(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help_run(argc - 1, argv + 1);
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)
        return puts("cloche " CLOCHE_VERSION) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
    for (unsigned i = 0; i < main_entry_count; i++)
        if (strcmp(argv[1], main_entries[i].name) == 0)
            return main_entries[i].run ? main_entries[i].run(argc - 1, argv + 1)
                                       : command_run(main_entries[i].command, argc - 1, argv + 1);
    fprintf(stderr, "cloche: no command \"%s\"; `cloche help` lists them\n", argv[1]);
    return CLI_EXIT_USAGE;
}
