/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche emu pki`: an emulated Intel PKI for tests and for machines without SGX. Relying party side; protects nothing. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/emu.h"
#include "host/sgx/emu/pki/pki.h"
#include "verifier/json_read.h"

static const char g_usage[] =
    "usage: cloche emu pki init [--processor-ca] [--ppid HEX] [--fmspc HEX] DIR\n"
    "       cloche emu pki show DIR\n"
    "       cloche emu pki issue-pck [--latest] DIR\n"
    "       cloche emu pki tcb [--qe] [--status STATUS] [--advisory ID]... [--no-advisories]\n"
    "                          [--evaluation N] DIR\n"
    "       cloche emu pki early [--status STATUS] [--advisory ID]... [--no-advisories]\n"
    "                            [--evaluation N] [--recovery TIME] DIR\n"
    "       cloche emu pki early-end DIR\n"
    "       cloche emu pki qe --mrsigner HEX [--isv-prod-id N] [--isv-svn N] DIR\n"
    "       cloche emu pki revoke pck|ca|tcb DIR\n"
    "       cloche emu pki expire tcb-info|qe-identity|pck-crl|root-crl|all DIR\n"
    "       cloche emu pki renew tcb-info|qe-identity|pck-crl|root-crl|all DIR\n"
    "\n"
    "An emulated Intel for one emulated platform. It protects nothing: its keys lie in DIR/keys.\n"
    "DIR/collateral is for `cloche verify --collateral`, DIR/policy.json is a policy with its "
    "root.\n"
    "\n"
    "  init       makes the root CA, the PCK CA, the TCB signer, a PCK and their collateral\n"
    "  issue-pck  a new PCK; with --latest for the newest TCB level: the platform was updated\n"
    "  tcb        the platform's TCB level, or with --qe the quoting enclave's; OutOfDate brings "
    "a\n"
    "             newer level and raises tcbEvaluationDataNumber\n"
    "  early      the same in an early edition, as of a TCB recovery that was made public at TIME "
    "(now);\n"
    "             the standard one stays\n"
    "  early-end  the early edition becomes the standard\n"
    "  qe         which quoting enclave is the right one\n"
    "  revoke     takes a certificate into its issuer's list\n"
    "  expire     lets collateral be a month old; renew issues it for thirty days from now\n";

struct arguments {
    const char *words[2]; /* [what] DIR */
    unsigned word_count;
    struct emu_pki_platform platform;
    struct emu_pki_tcb_change change;
    struct emu_pki_qe qe;
    int64_t recovery_s; /* 0: now */
    bool latest, is_qe, has_mrsigner;
};

/* ---- options ---- */

static bool parse_hex(const char *text, uint8_t *dst, size_t size)
{
    if (strlen(text) != 2 * size || strspn(text, "0123456789abcdefABCDEF") != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        dst[i] = (uint8_t)byte;
    }
    return true;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *ret = strtoul(text, &end, 10);
    return *end == 0 && errno == 0 && *ret <= max;
}

enum {
    OPTION_PROCESSOR = 256,
    OPTION_PPID,
    OPTION_FMSPC,
    OPTION_LATEST,
    OPTION_QE,
    OPTION_STATUS,
    OPTION_ADVISORY,
    OPTION_NO_ADVISORIES,
    OPTION_EVALUATION,
    OPTION_RECOVERY,
    OPTION_MRSIGNER,
    OPTION_PROD_ID,
    OPTION_SVN,
};

static const struct option g_options[] = {
    { "processor-ca", no_argument, NULL, OPTION_PROCESSOR },
    { "ppid", required_argument, NULL, OPTION_PPID },
    { "fmspc", required_argument, NULL, OPTION_FMSPC },
    { "latest", no_argument, NULL, OPTION_LATEST },
    { "qe", no_argument, NULL, OPTION_QE },
    { "status", required_argument, NULL, OPTION_STATUS },
    { "advisory", required_argument, NULL, OPTION_ADVISORY },
    { "no-advisories", no_argument, NULL, OPTION_NO_ADVISORIES },
    { "evaluation", required_argument, NULL, OPTION_EVALUATION },
    { "recovery", required_argument, NULL, OPTION_RECOVERY },
    { "mrsigner", required_argument, NULL, OPTION_MRSIGNER },
    { "isv-prod-id", required_argument, NULL, OPTION_PROD_ID },
    { "isv-svn", required_argument, NULL, OPTION_SVN },
    { 0 },
};

static bool take_option(struct arguments *a, int option, const char *value)
{
    unsigned long number = 0;

    switch (option) {
    case OPTION_PROCESSOR:
        return a->platform.is_processor_ca = true;
    case OPTION_PPID:
        return a->platform.has_ppid = parse_hex(value, a->platform.ppid, 16);
    case OPTION_FMSPC:
        return a->platform.has_fmspc = parse_hex(value, a->platform.fmspc, 6);
    case OPTION_LATEST:
        return a->latest = true;
    case OPTION_QE:
        return a->is_qe = true;
    case OPTION_STATUS:
        a->change.status = value;
        return true;
    case OPTION_ADVISORY:
        if (a->change.advisory_count == EMU_PKI_ADVISORY_COUNT_MAX)
            return false;
        a->change.advisories[a->change.advisory_count++] = value;
        return a->change.sets_advisories = true;
    case OPTION_NO_ADVISORIES:
        return a->change.sets_advisories = true;
    case OPTION_EVALUATION:
        a->change.has_evaluation = parse_number(value, UINT32_MAX, &number);
        a->change.evaluation = (uint32_t)number;
        return a->change.has_evaluation;
    case OPTION_RECOVERY:
        return time_parse(value, strlen(value), &a->recovery_s) == 0;
    case OPTION_MRSIGNER:
        return a->has_mrsigner = parse_hex(value, a->qe.mrsigner, 32);
    case OPTION_PROD_ID:
        if (!parse_number(value, UINT16_MAX, &number))
            return false;
        a->qe.isv_prod_id = (uint16_t)number;
        return true;
    case OPTION_SVN:
        if (!parse_number(value, UINT16_MAX, &number))
            return false;
        a->qe.isv_svn = (uint16_t)number;
        return true;
    default:
        return false;
    }
}

/* ---- what is done ---- */

static int do_issue(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_pck_issue(pki, a->latest, err);
}

static int do_tcb(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return a->is_qe ? emu_pki_qe_status_set(pki, &a->change, err)
                    : emu_pki_tcb_set(pki, &a->change, err);
}

static int do_early(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_early_set(pki, &a->change, a->recovery_s ? a->recovery_s : time(NULL), err);
}

static int do_early_end(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_early_end(pki, err);
}

static int do_qe(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    if (!a->has_mrsigner)
        return err_set(err, -EINVAL, "--mrsigner is needed");
    return emu_pki_qe_set(pki, &a->qe, err);
}

static int do_revoke(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_revoke(pki, a->words[0], err);
}

static int do_expire(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_expire(pki, a->words[0], err);
}

static int do_renew(struct emu_pki *pki, const struct arguments *a, struct err *err)
{
    return emu_pki_renew(pki, a->words[0], err);
}

static const struct {
    const char *name;
    unsigned word_count;
    int (*perform)(struct emu_pki *pki, const struct arguments *a, struct err *err);
} g_actions[] = {
    { "issue-pck", 1, do_issue },
    { "tcb", 1, do_tcb },
    { "qe", 1, do_qe },
    { "early", 1, do_early },
    { "early-end", 1, do_early_end },
    { "revoke", 2, do_revoke },
    { "expire", 2, do_expire },
    { "renew", 2, do_renew },
};

static int show(const char *folder, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    char *text;
    int rc = emu_pki_open(folder, &pki, err);

    if (rc == 0)
        rc = emu_pki_state_text(pki, &text);
    if (rc < 0)
        return rc;
    fputs(text, stdout);
    free(text);
    return 0;
}

static int change(const char *action, const struct arguments *a, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    int rc = emu_pki_open(a->words[a->word_count - 1], &pki, err);

    for (unsigned i = 0; rc == 0 && i < ARRAY_COUNT(g_actions); i++)
        if (strcmp(g_actions[i].name, action) == 0)
            rc = g_actions[i].perform(pki, a, err);
    return rc < 0 ? rc : emu_pki_publish(pki, err);
}

static unsigned words_needed(const char *action)
{
    if (strcmp(action, "init") == 0 || strcmp(action, "show") == 0)
        return 1;
    for (unsigned i = 0; i < ARRAY_COUNT(g_actions); i++)
        if (strcmp(g_actions[i].name, action) == 0)
            return g_actions[i].word_count;
    return 0;
}

int cmd_emu_pki(int argc, char **argv)
{
    struct arguments a = { 0 };
    struct err err = { 0 };
    const char *action = argc > 1 ? argv[1] : "";
    int option, rc;

    if (argc < 2 || strcmp(action, "--help") == 0) {
        fputs(g_usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? CLI_EXIT_USAGE : CLI_EXIT_OK;
    }
    if (words_needed(action) == 0)
        return cli_usage("emu pki", "no action \"%s\"", action);
    optind = 1;
    while ((option = getopt_long(argc - 1, argv + 1, "", g_options, NULL)) != -1)
        if (option == '?' || !take_option(&a, option, optarg))
            return cli_usage("emu pki", "an option's value cannot be used");
    for (int i = optind + 1; i < argc && a.word_count < ARRAY_COUNT(a.words); i++)
        a.words[a.word_count++] = argv[i];
    if (a.word_count != words_needed(action) || argc - 1 - optind != (int)a.word_count)
        return cli_usage("emu pki", "%s needs %s", action,
                         words_needed(action) == 2 ? "what, and the folder" : "the folder");
    if (strcmp(action, "init") == 0)
        rc = emu_pki_init(a.words[0], &a.platform, &err);
    else if (strcmp(action, "show") == 0)
        rc = show(a.words[0], &err);
    else
        rc = change(action, &a, &err);
    return rc < 0 ? cli_fail(&err, rc) : CLI_EXIT_OK;
}
