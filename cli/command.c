/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes the arguments of a subcommand by its table, and prints its help. Relying party side. */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct cli_option command_common_options[] = {
    { "json", NULL, "print JSON", false },
    { "context", "NAME", "another server than the current one (cloche login)", false },
    { "help", NULL, "print this", false },
};
const unsigned command_common_option_count = ARRAY_COUNT(command_common_options);

/* ---- help ---- */

#define USAGE_INDENT "       " /* as wide as "usage: " */
#define WIDTH_MAX 100u

/* A word behind others, or on the next line, below the first one. */
static void print_word(const char *word, unsigned indent, unsigned *column, FILE *out)
{
    unsigned width = (unsigned)strlen(word);

    if (*column + 1 + width > WIDTH_MAX && *column > indent) {
        fprintf(out, "\n%*s", (int)indent, "");
        *column = indent;
    }
    fprintf(out, " %s", word);
    *column += 1 + width;
}

static void print_synopsis(const struct cli_command *command, const struct cli_verb *verb,
                           FILE *out)
{
    unsigned indent =
        (unsigned)strlen(USAGE_INDENT) + (unsigned)fprintf(out, "cloche %s%s%s", command->name,
                                                           verb->name[0] ? " " : "", verb->name);
    unsigned column = indent;
    char word[96];

    for (unsigned i = 0; i < verb->option_count; i++) {
        const struct cli_option *o = &verb->options[i];

        snprintf(word, sizeof word, "%s--%s%s%s%s%s", o->is_needed ? "" : "[", o->name,
                 o->value ? " " : "", o->value ? o->value : "", o->is_needed ? "" : "]",
                 o->is_many ? "..." : "");
        print_word(word, indent, &column, out);
    }
    if (verb->arguments[0])
        print_word(verb->arguments, indent, &column, out);
    fputc('\n', out);
}

static void print_options(const struct cli_option *options, unsigned count, const char *indent,
                          FILE *out)
{
    for (unsigned i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof name, "--%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        fprintf(out, "%s%-24s %s\n", indent, name, options[i].help);
    }
}

void command_help_print(const struct cli_command *command, FILE *out)
{
    for (unsigned i = 0; i < command->verb_count; i++) {
        fputs(i == 0 ? "usage: " : USAGE_INDENT, out);
        print_synopsis(command, &command->verbs[i], out);
    }
    if (command->about)
        fprintf(out, "\n%s\n", command->about);
    for (unsigned i = 0; i < command->verb_count; i++) {
        const struct cli_verb *verb = &command->verbs[i];

        if (verb->name[0])
            fprintf(out, "\n  %-10s %s\n", verb->name, verb->help);
        else
            fputc('\n', out);
        print_options(verb->options, verb->option_count, verb->name[0] ? "      " : "  ", out);
    }
    fputs("\nof all:\n", out);
    print_options(command_common_options, command_common_option_count, "      ", out);
}

int command_usage(const struct cli_call *call, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "cloche %s%s%s: ", call->command->name,
            call->verb && call->verb->name[0] ? " " : "", call->verb ? call->verb->name : "");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n`cloche %s --help` says how it is used.\n", call->command->name);
    return CLI_EXIT_USAGE;
}

/* ---- decoding ---- */

static const struct cli_option *option_find(const struct cli_option *options, unsigned count,
                                            const char *name, size_t len)
{
    for (unsigned i = 0; i < count; i++)
        if (strncmp(options[i].name, name, len) == 0 && options[i].name[len] == 0)
            return &options[i];
    return NULL;
}

/* One word that begins with "--". returns: 0; exit status; -1 help was asked for. */
static int take_option(struct cli_call *call, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '='), *value = "";
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *o =
        option_find(call->verb->options, call->verb->option_count, name, len);

    if (!o)
        o = option_find(command_common_options, command_common_option_count, name, len);
    if (!o)
        return command_usage(call, "there is no option %s", argv[*i]);
    if (!o->value && equals)
        return command_usage(call, "--%s takes no value", o->name);
    if (o->value) {
        if (!equals && *i + 1 >= argc)
            return command_usage(call, "--%s needs %s", o->name, o->value);
        value = equals ? equals + 1 : argv[++*i];
    }
    if (strcmp(o->name, "help") == 0)
        return -1;
    if (strcmp(o->name, "json") == 0)
        call->is_json = true;
    if (strcmp(o->name, "context") == 0)
        call->context = value;
    if (!o->is_many && command_option(call, o->name))
        return command_usage(call, "--%s is given twice", o->name);
    if (call->given_count == CLI_ARGUMENTS_MAX)
        return command_usage(call, "too many options");
    call->given[call->given_count] = o;
    call->values[call->given_count++] = value;
    return 0;
}

static int decode(struct cli_call *call, int argc, char **argv)
{
    bool only_arguments = false;

    for (int i = 0; i < argc; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && strncmp(argv[i], "--", 2) == 0) {
            int status = take_option(call, argc, argv, &i);

            if (status != 0)
                return status;
        } else if (!only_arguments && argv[i][0] == '-' && argv[i][1]) {
            return strcmp(argv[i], "-h") == 0
                       ? -1
                       : command_usage(call, "there is no option %s", argv[i]);
        } else if (call->argument_count == CLI_ARGUMENTS_MAX) {
            return command_usage(call, "too many arguments");
        } else {
            call->arguments[call->argument_count++] = argv[i];
        }
    }
    if (call->argument_count < call->verb->argument_min)
        return command_usage(call, "%s is expected", call->verb->arguments);
    for (unsigned i = 0; i < call->verb->option_count; i++) {
        const struct cli_option *o = &call->verb->options[i];

        if (o->is_needed && !command_option(call, o->name))
            return command_usage(call, "--%s %s is needed", o->name, o->value);
    }
    if (call->argument_count > call->verb->argument_max)
        return command_usage(call, "\"%s\" is one argument too many",
                             call->arguments[call->verb->argument_max]);
    return 0;
}

static const struct cli_verb *verb_find(const struct cli_command *command, const char *name)
{
    for (unsigned i = 0; i < command->verb_count; i++)
        if (strcmp(command->verbs[i].name, name) == 0)
            return &command->verbs[i];
    return NULL;
}

static int print_verbs(const struct cli_command *command, const char *word)
{
    fprintf(stderr, "cloche %s: ", command->name);
    if (word)
        fprintf(stderr, "there is no \"%s\"; ", word);
    for (unsigned i = 0; i < command->verb_count; i++)
        fprintf(stderr, "%s%s",
                i == 0                         ? ""
                : i + 1 == command->verb_count ? " or "
                                               : ", ",
                command->verbs[i].name);
    fprintf(stderr, " is expected\n`cloche %s --help` says how it is used.\n", command->name);
    return CLI_EXIT_USAGE;
}

int command_run(const struct cli_command *command, int argc, char **argv)
{
    struct cli_call call = { .command = command, .verb = verb_find(command, "") };
    int first = 1, status;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        command_help_print(command, stdout);
        return CLI_EXIT_OK;
    }
    if (!call.verb || (argc > 1 && verb_find(command, argv[1]))) {
        call.verb = argc > 1 ? verb_find(command, argv[1]) : NULL;
        first = 2;
    }
    if (!call.verb)
        return print_verbs(command, argc > 1 ? argv[1] : NULL);
    status = decode(&call, argc - first, argv + first);
    if (status < 0) {
        command_help_print(command, stdout);
        return CLI_EXIT_OK;
    }
    return status ? status : call.verb->run(&call);
}

/* ---- options ---- */

const char *command_option_at(const struct cli_call *call, const char *name, unsigned n)
{
    for (unsigned i = 0; i < call->given_count; i++)
        if (strcmp(call->given[i]->name, name) == 0 && n-- == 0)
            return call->values[i];
    return NULL;
}

const char *command_option(const struct cli_call *call, const char *name)
{
    return command_option_at(call, name, 0);
}

int command_number(const struct cli_call *call, const char *name, int64_t min, int64_t max,
                   int64_t *ret, struct err *err)
{
    const char *text = command_option(call, name);
    char *end;
    long long value;

    if (!text)
        return 0;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        return err_set(err, -EINVAL, "--%s %s: a number from %lld to %lld is expected", name, text,
                       (long long)min, (long long)max);
    *ret = value;
    return 0;
}

/* "90", "90s", "10m", "24h", "7d". returns: whether it is a span. */
static bool parse_span(const char *text, int64_t *ret_s)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || value < 0 || value > 1000000000)
        return false;
    for (unsigned i = 0; *end && i < ARRAY_COUNT(units); i++)
        if (*end == units[i].letter && !end[1]) {
            *ret_s = value * units[i].seconds;
            return true;
        }
    *ret_s = value;
    return !*end;
}

int command_seconds(const struct cli_call *call, const char *name, int64_t min, int64_t max,
                    int64_t *ret, struct err *err)
{
    const char *text = command_option(call, name);
    int64_t value;

    if (!text)
        return 0;
    if (!parse_span(text, &value) || value < min || value > max)
        return err_set(
            err, -EINVAL,
            "--%s %s: a time from %lld to %lld seconds is expected, as 90s, 10m, 24h, 7d", name,
            text, (long long)min, (long long)max);
    *ret = value;
    return 0;
}

int command_time(const struct cli_call *call, const char *name, char ret[32], struct err *err)
{
    const char *text = command_option(call, name);
    struct tm tm = { 0 };
    int64_t span;
    time_t at;

    ret[0] = 0;
    if (!text)
        return 0;
    if (text[0] == '+' && parse_span(text + 1, &span)) {
        at = time(NULL) + span;
        gmtime_r(&at, &tm);
        strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return 0;
    }
    if (strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) && strlen(text) < 32) {
        memcpy(ret, text, strlen(text) + 1);
        return 0;
    }
    if (strptime(text, "%Y-%m-%d", &tm) && strlen(text) == 10) {
        snprintf(ret, 32, "%sT00:00:00Z", text);
        return 0;
    }
    return err_set(err, -EINVAL, "--%s %s: a time is expected, as 2030-01-31T12:00:00Z or +7d",
                   name, text);
}
