/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all subcommands; help, manual page and completion are made from it. Relying party side. */
#pragma once

#include "cli/command.h"

struct main_entry {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: command alone */
    const struct cli_command *command; /* its verbs; NULL: usage alone */
    const char *help;                  /* a line; NULL: command->help */
    const char *usage;                 /* what --help prints before the verbs; NULL: none */
};
extern const struct main_entry main_entries[];
extern const unsigned main_entry_count;

/* `cloche help [COMMAND | --man | --completion]`. returns: exit status. */
int help_run(int argc, char **argv);
/* The list of commands. */
void help_list_print(FILE *out);
