/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subcommand as a table of verbs: what it is called with, its help. From the one table come decoding, --help, the manual page and the shell's completion
 * (cli/help.c). Relying party side.
 *
 *     static const struct cli_verb g_verbs[] = {
 *         { "create", "NAME", "make an app", create, 1, 1, CLI_OPTIONS(g_create_options) },
 *     };
 *     const struct cli_command app_command = { "app", "apps: ...", g_about, CLI_VERBS(g_verbs) };
 *
 * Every verb takes --json, --context NAME and --help. A command with one verb named "" has no verbs.
 */
#pragma once

#include <stdio.h>

#include "cli/cli.h"
#include "lib/defs.h"

#define CLI_OPTIONS_MAX 24u
#define CLI_ARGUMENTS_MAX 64u

struct cli_option {
    const char *name;  /* "dns-name", without dashes */
    const char *value; /* "NAME"; NULL: takes none */
    const char *help;
    bool is_many;   /* may be given more than once */
    bool is_needed; /* the call is refused without it */
};

struct cli_call;
struct cli_verb {
    const char *name;
    const char *arguments;             /* "APP [IMAGE]", for people */
    const char *help;                  /* one line */
    int (*run)(struct cli_call *call); /* returns the exit status */
    unsigned argument_min, argument_max;
    const struct cli_option *options;
    unsigned option_count;
};
#define CLI_OPTIONS(table) (table), ARRAY_COUNT(table)
#define CLI_VERBS(table) (table), ARRAY_COUNT(table)

struct cli_command {
    const char *name;
    const char *help;  /* one line, for the list of commands */
    const char *about; /* paragraphs for --help and the manual page; NULL: none */
    const struct cli_verb *verbs;
    unsigned verb_count;
};

/* One call, decoded. */
struct cli_call {
    const struct cli_command *command;
    const struct cli_verb *verb;
    const char *arguments[CLI_ARGUMENTS_MAX];
    unsigned argument_count;
    const char *values[CLI_ARGUMENTS_MAX]; /* of options, in order */
    const struct cli_option *given[CLI_ARGUMENTS_MAX];
    unsigned given_count;
    bool is_json;
    const char *context; /* NULL: the current one */
};

/* Decodes argv and runs the verb. returns: exit status. */
int command_run(const struct cli_command *command, int argc, char **argv);
/* An option's value: NULL when it was not given, "" when it takes none. */
const char *command_option(const struct cli_call *call, const char *name);
/* The n-th value of an option that may be given many times, or NULL. */
const char *command_option_at(const struct cli_call *call, const char *name, unsigned n);
/* A number of an option. returns: 0, *ret untouched when it was not given; -EINVAL it is none, or outside, and err says so. */
MUST_CHECK int command_number(const struct cli_call *call, const char *name, int64_t min,
                              int64_t max, int64_t *ret, struct err *err);
/* The same for spans of time: "90", "90s", "10m", "24h", "7d", in seconds. */
MUST_CHECK int command_seconds(const struct cli_call *call, const char *name, int64_t min,
                               int64_t max, int64_t *ret, struct err *err);
/* A point in time: RFC 3339 as it is, or "+7d", "+2h" from now. ret: RFC 3339. returns: 0 and "" when it was not given; -EINVAL. */
MUST_CHECK int command_time(const struct cli_call *call, const char *name, char ret[32],
                            struct err *err);
/* Prints what is wrong with the call. returns: CLI_EXIT_USAGE. */
int command_usage(const struct cli_call *call, const char *format, ...) PRINTF_LIKE(2, 3);
/* The help that --help prints. */
void command_help_print(const struct cli_command *command, FILE *out);

/* Options that every verb takes. */
extern const struct cli_option command_common_options[];
extern const unsigned command_common_option_count;
