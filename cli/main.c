/* SPDX-License-Identifier: Apache-2.0 */
/* The `cloche` command: finds the subcommand. Relying party side. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/defs.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} g_commands[] = {
    { "build", cmd_build, "build SOURCE -o IMAGE      seal a container image" },
    { "inspect", cmd_inspect,
      "inspect IMAGE              check a sealed image and say what it is" },
    { "run", cmd_run, "run IMAGE [ARG...]         start a sealed image in an enclave" },
    { "verify", cmd_verify, "verify EVIDENCE            judge evidence of a TEE, offline" },
    { "collateral", cmd_collateral,
      "collateral fetch|list|...  what the makers publish about their platforms" },
    { "policy", cmd_policy,
      "policy check|diff|try ...  appraisal policies: check, compare, try out" },
    { "attest", cmd_attest, "attest serve|proxy|connect  TLS whose server proves what it is" },
    { "doctor", cmd_doctor,
      "doctor [--json]            what this machine can do, and what is missing" },
    { "emu", cmd_emu, "emu pki|quoting ...        the world around an emulated platform" },
};

static void print_usage(FILE *out)
{
    fputs("usage: cloche COMMAND ...\n\n", out);
    for (size_t i = 0; i < ARRAY_COUNT(g_commands); i++)
        fprintf(out, "  cloche %s\n", g_commands[i].help);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return CLI_EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(g_commands); i++)
        if (strcmp(argv[1], g_commands[i].name) == 0)
            return g_commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "cloche: no command \"%s\"; `cloche help` lists them\n", argv[1]);
    return CLI_EXIT_USAGE;
}
