/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche emu`: the world around an emulated platform. Relying party side; what it makes protects nothing. */
#include "cli/emu.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

const char cmd_emu_usage[] =
    "usage: cloche emu pki ACTION ... DIR       an emulated Intel PKI: certificates and "
    "collateral\n"
    "       cloche emu quoting --pki DIR ...    the quoting service of the emulated platform\n";

int cmd_emu(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "pki") == 0)
        return cmd_emu_pki(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "quoting") == 0)
        return cmd_emu_quoting(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(cmd_emu_usage, stdout);
        return CLI_EXIT_OK;
    }
    if (argc < 2) {
        fputs(cmd_emu_usage, stderr);
        return CLI_EXIT_USAGE;
    }
    return cli_usage("emu", "no command \"%s\"", argv[1]);
}
