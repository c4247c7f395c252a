/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche policy`: checks appraisal policies, says what a change of one does, and tries one on evidence. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/commands.h"
#include "cli/evidence.h"
#include "cli/policy_try.h"

const char cmd_policy_usage[] =
    "usage: cloche policy check [--json] FILE...\n"
    "       cloche policy diff [--json] OLD NEW\n"
    "       cloche policy try [--against OLD] [--collateral DIR] [--at TIME] [--json] POLICY "
    "EVIDENCE|FOLDER...\n"
    "\n"
    "  check   whether each FILE is a policy; if not, where and why\n"
    "  diff    what NEW accepts that OLD refuses, and the other way round, member by member\n"
    "  try     judge evidence under POLICY without any consequence: a line for each piece, with "
    "the check\n"
    "          that failed; --against shows what would change if POLICY took the place of OLD\n"
    "\n"
    "Of a FOLDER, files that end in .bin, .quote, .report or .dat are evidence, also in folders "
    "inside it. Collateral\n"
    "is taken from the evidence's own folder, from the folder `collateral` in it, or from "
    "--collateral, in\n"
    "this order; `cloche verify --help` lists the names. --at judges as of that time.\n"
    "\n"
    "Exit status: 0 a policy; all evidence is accepted. 1 it failed. 2 usage. 3 no policy; some "
    "evidence is refused.\n";

/* ---- check ---- */

/* Prints, or with a list adds, whether one file is a policy. returns: exit status. */
static int check_one(const char *path, json_t *list)
{
    struct verifier_policy *policy = NULL;
    struct err err = { 0 };
    int rc = policy_file_read(path, &policy, &err);

    verifier_policy_free(policy);
    if (rc < 0 && rc != -EINVAL && rc != -E2BIG)
        return cli_fail(&err, rc == -EBADMSG ? -EIO : rc);
    if (list)
        json_array_append_new(list, rc == 0 ? json_pack("{s:s, s:b}", "policy", path, "valid", 1)
                                            : json_pack("{s:s, s:b, s:s}", "policy", path, "valid",
                                                        0, "error", err.text));
    else if (rc == 0)
        printf("%s is a policy\n", path);
    else
        fprintf(stderr, "cloche: refused: %s\n", err.text);
    return rc == 0 ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}

static int check(int argc, char **argv)
{
    json_t *list = argc > 1 && strcmp(argv[1], "--json") == 0 ? json_array() : NULL;
    int first = list ? 2 : 1, status = CLI_EXIT_OK;

    if (first >= argc || argv[first][0] == '-') {
        json_decref(list);
        return cli_usage("policy", "check needs a FILE");
    }
    for (int i = first; i < argc && status != CLI_EXIT_FAILED; i++) {
        int one = check_one(argv[i], list);

        if (one != CLI_EXIT_OK)
            status = one;
    }
    if (list) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(list);
    }
    return status;
}

/* ---- diff ---- */

static const char *const g_effect_names[] = { [VERIFIER_CHANGE_ACCEPTS_MORE] = "accepts",
                                              [VERIFIER_CHANGE_ACCEPTS_LESS] = "refuses",
                                              [VERIFIER_CHANGE_ACCEPTS_OTHER] = "other" };

struct changes {
    json_t *list;   /* NULL: print */
    uint8_t effect; /* which to print */
    unsigned count; /* of this effect */
};

static void print_change(void *context, const struct verifier_change *change)
{
    static const char *const titles[] = { [VERIFIER_CHANGE_ACCEPTS_MORE] = "becomes accepted",
                                          [VERIFIER_CHANGE_ACCEPTS_LESS] = "becomes refused",
                                          [VERIFIER_CHANGE_ACCEPTS_OTHER] = "changes" };
    struct changes *c = context;

    if (change->effect != c->effect)
        return;
    if (c->count++ == 0)
        printf("%s\n", titles[c->effect]);
    printf("  %-26s %s\n", change->member, change->text);
}

static void list_change(void *context, const struct verifier_change *change)
{
    struct changes *c = context;

    json_array_append_new(c->list, json_pack("{s:s, s:s, s:s}", "member", change->member, "effect",
                                             g_effect_names[change->effect], "what", change->text));
}

static void show_diff(const struct verifier_policy *was, const struct verifier_policy *is,
                      bool json)
{
    struct changes changes = { 0 };
    unsigned total = 0;

    if (json) {
        changes.list = json_array();
        verifier_policy_diff(was, is, list_change, &changes);
        json_dumpf(changes.list, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(changes.list);
        return;
    }
    for (unsigned effect = VERIFIER_CHANGE_ACCEPTS_MORE; effect <= VERIFIER_CHANGE_ACCEPTS_OTHER;
         effect++) {
        changes = (struct changes){ .effect = (uint8_t)effect };
        verifier_policy_diff(was, is, print_change, &changes);
        total += changes.count;
    }
    if (total == 0)
        printf("both policies accept the same\n");
}

static int diff(int argc, char **argv)
{
    struct verifier_policy *was = NULL, *is = NULL;
    struct err err = { 0 };
    bool json = argc == 4 && strcmp(argv[1], "--json") == 0;
    int rc;

    if (argc != 3 && !json)
        return cli_usage("policy", "diff needs OLD and NEW");
    rc = policy_file_read(argv[argc - 2], &was, &err);
    if (rc == 0)
        rc = policy_file_read(argv[argc - 1], &is, &err);
    if (rc == 0)
        show_diff(was, is, json);
    verifier_policy_free(was);
    verifier_policy_free(is);
    return rc < 0 ? cli_fail(&err, rc == -EINVAL || rc == -E2BIG ? -EBADMSG : rc) : CLI_EXIT_OK;
}

/* ---- try ---- */

static bool take_value(struct policy_try *t, const char **ret_policy, const char *name,
                       const char *value)
{
    if (strcmp(name, "--against") == 0)
        *ret_policy = value;
    else if (strcmp(name, "--collateral") == 0)
        t->collateral = value;
    else if (strcmp(name, "--at") == 0)
        t->at = value;
    else
        return false;
    return true;
}

static int try(int argc, char **argv)
{
    struct policy_try t = { 0 };
    struct err err = { 0 };
    const char *old_path = NULL;
    int rc, i;

    for (i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--json") == 0)
            t.json = true;
        else if (i + 1 < argc && take_value(&t, &old_path, argv[i], argv[i + 1]))
            i++;
        else
            return cli_usage("policy", "unknown option, or no value: %s", argv[i]);
    }
    if (argc - i < 2)
        return cli_usage("policy", "try needs POLICY and evidence");
    rc = policy_file_read(argv[i], &t.policy, &err);
    if (rc == 0 && old_path)
        rc = policy_file_read(old_path, &t.old_policy, &err);
    if (rc == -EINVAL || rc == -E2BIG)
        rc = -EBADMSG;
    if (rc == 0)
        rc = policy_try_run(&t, argv + i + 1, (unsigned)(argc - i - 1), &err);
    verifier_policy_free(t.policy);
    verifier_policy_free(t.old_policy);
    if (rc < 0)
        return cli_fail(&err, rc);
    return t.failed_count ? CLI_EXIT_FAILED : t.refused_count ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
}

int cmd_policy(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } parts[] = { { "check", check }, { "diff", diff }, { "try", try } };

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(cmd_policy_usage, stdout);
        putchar('\n');
        command_help_print(&policy_command, stdout);
        return CLI_EXIT_OK;
    }
    for (unsigned i = 0; argc > 1 && i < ARRAY_COUNT(parts); i++)
        if (strcmp(parts[i].name, argv[1]) == 0)
            return parts[i].run(argc - 1, argv + 1);
    return command_run(&policy_command, argc, argv);
}
