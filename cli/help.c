/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche help`: the list of commands, their help, and from the same tables the manual page (roff, man(7)) and bash's completion. Relying party side. */
#include <ctype.h>
#include <string.h>

#include "cli/main.h"

static const char *entry_help(const struct main_entry *entry)
{
    return entry->help ? entry->help : entry->command->help;
}

void help_list_print(FILE *out)
{
    fputs("usage: cloche COMMAND ...\n\n", out);
    for (unsigned i = 0; i < main_entry_count; i++)
        fprintf(out, "  %-11s %s\n", main_entries[i].name, entry_help(&main_entries[i]));
    fputs("\n`cloche help COMMAND`, or `cloche COMMAND --help`, says how it is used.\n", out);
}

/* ---- the manual page ---- */

/* A line of plain text in roff: nothing of it is a request or an escape. */
static void roff_line(const char *line, size_t len)
{
    if (len > 0 && (line[0] == '.' || line[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\\')
            fputs("\\e", stdout);
        else if (line[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(line[i]);
    }
    putchar('\n');
}

static void roff_text(const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");

        roff_line(text, len);
        text += len + (text[len] == '\n');
    }
}

/* Text as it is laid out already. */
static void roff_literal(const char *text)
{
    puts(".nf");
    roff_text(text);
    puts(".fi");
}

static void man_options(const struct cli_option *options, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        printf(".TP\n\\fB\\-\\-%s\\fR", options[i].name);
        if (options[i].value)
            printf(" \\fI%s\\fR", options[i].value);
        putchar('\n');
        roff_text(options[i].help);
    }
}

static void man_verb(const struct cli_command *command, const struct cli_verb *verb)
{
    printf(".PP\n\\fBcloche %s%s%s\\fR", command->name, verb->name[0] ? " " : "", verb->name);
    if (verb->option_count)
        printf(" [\\fIoptions\\fR]");
    if (verb->arguments[0])
        printf(" \\fI%s\\fR", verb->arguments);
    putchar('\n');
    if (verb->help[0]) {
        puts(".br");
        roff_text(verb->help);
    }
    puts(".RS");
    man_options(verb->options, verb->option_count);
    puts(".RE");
}

static void man_entry(const struct main_entry *entry)
{
    printf(".SS %s\n", entry->name);
    roff_text(entry_help(entry));
    if (entry->usage) {
        puts(".PP");
        roff_literal(entry->usage);
    }
    if (!entry->command)
        return;
    if (entry->command->about) {
        puts(".PP");
        roff_text(entry->command->about);
    }
    for (unsigned i = 0; i < entry->command->verb_count; i++)
        man_verb(entry->command, &entry->command->verbs[i]);
}

static void print_man(void)
{
    puts(".TH CLOCHE 1 \"\" \"Cloche\" \"User Commands\"\n"
         ".SH NAME\ncloche \\- runtime encryption for containers\n"
         ".SH SYNOPSIS\n.B cloche\n.I COMMAND\n[\\fIargument\\fR ...]\n"
         ".SH DESCRIPTION\n"
         "Seals container images, runs them in enclaves, verifies what runs, and speaks with the "
         "control plane "
         "that gives certificates, secrets and keys to what has been attested.\n"
         ".SH COMMANDS");
    for (unsigned i = 0; i < main_entry_count; i++)
        man_entry(&main_entries[i]);
    puts(".SH OPTIONS OF ALL COMMANDS OF THE CONTROL PLANE");
    man_options(command_common_options, command_common_option_count);
    puts(".SH EXIT STATUS\n0 done; 1 it failed; 2 usage; 3 refused by policy or verification. "
         "\\fBcloche run\\fR "
         "returns the program's own.\n"
         ".SH FILES\n.TP\n~/.config/cloche/contexts.json\nservers and tokens; CLOCHE_CONFIG names "
         "another file\n"
         ".TP\n~/.config/cloche/keys/\nkeys that approve builds\n"
         ".TP\n~/.config/cloche/sign.pem\nthe publisher's key that signs sealed images");
}

/* ---- completion ---- */

/* Words of a usage text that follow `before`: "--" for options, "cloche NAME " for verbs; each once is not needed, bash sorts them out. */
static void print_words(const char *usage, const char *before, bool is_option)
{
    size_t before_len = strlen(before);

    for (const char *at = strstr(usage, before); at; at = strstr(at + before_len, before)) {
        const char *word = at + before_len;
        size_t len = 0;

        while (islower((unsigned char)word[len]) || (len && word[len] == '-'))
            len++;
        if (len > 1 && !isupper((unsigned char)word[len]))
            printf(" %s%.*s", is_option ? "--" : "", (int)len, word);
    }
}

static void print_option_words(const struct cli_option *options, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf(" --%s", options[i].name);
}

/* The verbs, and the options of each: cases of the shell's function. */
static void complete_entry(const struct main_entry *entry)
{
    char before[64];

    snprintf(before, sizeof before, "cloche %s ", entry->name);
    printf("    %s)\n        verbs=\"", entry->name);
    if (entry->usage)
        print_words(entry->usage, before, false);
    for (unsigned i = 0; entry->command && i < entry->command->verb_count; i++)
        printf(" %s", entry->command->verbs[i].name);
    printf("\"\n        options=\" --help");
    if (entry->usage)
        print_words(entry->usage, "--", true);
    printf("\"\n");
    if (entry->command) {
        printf("        case $verb in\n");
        for (unsigned i = 0; i < entry->command->verb_count; i++) {
            const struct cli_verb *verb = &entry->command->verbs[i];

            printf("        %s) options=\"", verb->name[0] ? verb->name : "*");
            print_option_words(verb->options, verb->option_count);
            print_option_words(command_common_options, command_common_option_count);
            printf("\" ;;\n");
        }
        printf("        esac\n");
    }
    printf("        ;;\n");
}

static void print_completion(void)
{
    puts("# bash completion of cloche; made by `cloche help --completion`.\n"
         "_cloche()\n{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[2]} verbs= options=\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    printf("        COMPREPLY=($(compgen -W \"help");
    for (unsigned i = 0; i < main_entry_count; i++)
        printf(" %s", main_entries[i].name);
    puts("\" -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (unsigned i = 0; i < main_entry_count; i++)
        complete_entry(&main_entries[i]);
    puts("    esac\n"
         "    if [[ $word == -* ]]; then\n"
         "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
         "    elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"${verbs// /}\" ]; then\n"
         "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\"))\n"
         "    else\n"
         "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
         "    fi\n"
         "}\n"
         "complete -o filenames -F _cloche cloche");
}

int help_run(int argc, char **argv)
{
    if (argc < 2) {
        help_list_print(stdout);
        return CLI_EXIT_OK;
    }
    if (strcmp(argv[1], "--man") == 0) {
        print_man();
        return CLI_EXIT_OK;
    }
    if (strcmp(argv[1], "--completion") == 0) {
        print_completion();
        return CLI_EXIT_OK;
    }
    for (unsigned i = 0; i < main_entry_count; i++)
        if (strcmp(main_entries[i].name, argv[1]) == 0) {
            if (main_entries[i].usage)
                fputs(main_entries[i].usage, stdout);
            if (main_entries[i].usage && main_entries[i].command)
                putchar('\n');
            if (main_entries[i].command)
                command_help_print(main_entries[i].command, stdout);
            return CLI_EXIT_OK;
        }
    fprintf(stderr, "cloche: no command \"%s\"; `cloche help` lists them\n", argv[1]);
    return CLI_EXIT_USAGE;
}
