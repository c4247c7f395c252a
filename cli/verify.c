/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche verify`: judges a piece of evidence with collateral from a folder, offline. Relying party side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/collateral_store.h"
#include "cli/evidence.h"
#include "verifier/json_read.h"
#include "verifier/verifier.h"

const char cmd_verify_usage[] =
    "usage: cloche verify [--collateral DIR] [--fetch | --cached] [--policy FILE] [--at TIME]\n"
    "                     [--report-data HEX] [--explain] [--json] EVIDENCE\n"
    "\n"
    "  EVIDENCE       a file: an SGX or TDX quote, or a SEV-SNP report\n"
    "  --collateral   folder with what the platform's maker publishes, as `cloche help verify` "
    "lists below\n"
    "  --fetch        get what DIR does not have through the cache of `cloche collateral`; its "
    "options\n"
    "                 for servers, TLS and time limits are taken here too\n"
    "  --cached       the same, offline: only what the cache holds\n"
    "  --policy       what you accept (docs/policy.md); without it: the makers' roots, no debug "
    "mode,\n"
    "                 platforms that are UpToDate or SWHardeningNeeded, and any program\n"
    "  --at           judge as of this time, 2025-06-19T10:56:11Z; without it: now\n"
    "  --report-data  the 64 bytes that the evidence must carry (nonce and key), in hexadecimal\n"
    "  --explain      show every check, not only those that failed\n"
    "  --json         print an EAT attestation result (EAR)\n"
    "\n"
    "Files of the folder, each optional: tcb_info.json, tcb_info_issuer_chain.pem, "
    "qe_identity.json,\n"
    "qe_identity_issuer_chain.pem, pck_crl.der, pck_crl_issuer_chain.pem, root_ca_crl.der, "
    "pck_chain.pem\n"
    "(Intel); vek.der, vek_chain.pem, vek_crl.der, id_block.bin, id_auth.bin (AMD).\n"
    "\n"
    "Exit status: 0 accepted, 1 it could not be judged, 2 usage, 3 refused.\n";

struct options {
    const char *collateral, *policy, *at, *report_data, *evidence;
    bool explain, json, fetch, cached;
    struct collateral_flags flags; /* --fetch, --cached */
};

static bool take_switch(struct options *o, const char *name)
{
    bool *places[] = { &o->explain, &o->json, &o->fetch, &o->cached };
    static const char *const names[] = { "--explain", "--json", "--fetch", "--cached" };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return *places[i] = true;
    return false;
}

static bool take_value(struct options *o, const char *name, const char *value)
{
    const char **places[] = { &o->collateral, &o->policy, &o->at, &o->report_data };
    static const char *const names[] = { "--collateral", "--policy", "--at", "--report-data" };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i], name) == 0) {
            *places[i] = value;
            return true;
        }
    return false;
}

/* returns: CLI_EXIT_OK to go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    struct err err = { 0 };

    for (int i = 1; i < argc; i++) {
        int rc;

        if (take_switch(o, argv[i]))
            continue;
        if (argv[i][0] != '-' && !o->evidence) {
            o->evidence = argv[i];
            continue;
        }
        if (argv[i][0] != '-')
            return cli_usage("verify", "one piece of evidence at a time: %s", argv[i]);
        if (i + 1 < argc && take_value(o, argv[i], argv[i + 1])) {
            i++;
            continue;
        }
        rc = collateral_flag_take(&o->flags, argc, argv, &i, &err);
        if (rc < 0)
            return cli_usage("verify", "%s", err.text);
        if (rc == 0)
            return cli_usage("verify", "unknown option, or no value: %s", argv[i]);
    }
    if (o->fetch && o->cached)
        return cli_usage("verify", "--fetch or --cached");
    o->flags.policy_path = o->policy;
    o->flags.at = o->at;
    return o->evidence ? CLI_EXIT_OK : cli_usage("verify", "no evidence given");
}

/* ---- inputs ---- */

struct inputs {
    struct file_bytes evidence;
    struct collateral_files files; /* of --collateral */
    struct collateral_set set;     /* these, and what the cache gives */
    struct verifier_collateral *collateral;
    struct verifier_policy *policy;
    uint8_t report_data[64];
};

static void inputs_done(struct inputs *in)
{
    file_bytes_done(&in->evidence);
    collateral_files_done(&in->files);
    collateral_set_done(&in->set);
    verifier_collateral_free(in->collateral);
    verifier_policy_free(in->policy);
}

/* From the folder, then what it does not have from the cache. */
static int get_collateral(struct options *o, struct inputs *in, struct err *err)
{
    int rc = o->collateral ? collateral_files_read(o->collateral, &in->files, err) : 0;

    in->set.items = in->files.items;
    if (rc == 0 && (o->fetch || o->cached))
        rc = collateral_set_fill(&o->flags,
                                 (struct verifier_bytes){ in->evidence.data, in->evidence.size },
                                 o->fetch ? COLLATERAL_FETCH : COLLATERAL_OFFLINE, &in->set, err);
    return rc < 0 ? rc : verifier_collateral_new(&in->set.items, &in->collateral, err);
}

static int parse_report_data(const char *text, uint8_t ret[64], struct err *err)
{
    size_t len = strlen(text);

    for (size_t i = 0; len == 128 && i < 64; i++) {
        unsigned byte;

        if (strspn(text + 2 * i, "0123456789abcdefABCDEF") < 2 ||
            sscanf(text + 2 * i, "%2x", &byte) != 1)
            return err_set(err, -EINVAL, "--report-data: not hexadecimal");
        ret[i] = (uint8_t)byte;
    }
    return len == 128 ? 0 : err_set(err, -EINVAL, "--report-data: 128 digits, not %zu", len);
}

static int read_inputs(struct options *o, struct inputs *in, struct verifier_request *request,
                       struct err *err)
{
    int rc = file_bytes_read(o->evidence, VERIFIER_EVIDENCE_SIZE_MAX, &in->evidence, err);

    if (rc == 0 && in->evidence.size == 0)
        rc = err_set(err, -EINVAL, "%s is empty", o->evidence);
    if (rc == 0 && (o->collateral || o->fetch || o->cached))
        rc = get_collateral(o, in, err);
    if (rc == 0 && o->policy)
        rc = policy_file_read(o->policy, &in->policy, err);
    if (rc == 0 && o->report_data)
        rc = parse_report_data(o->report_data, in->report_data, err);
    if (rc == 0)
        rc = time_option_read(o->at, &request->now_s, err);
    if (rc < 0)
        return rc;
    request->evidence = (struct verifier_bytes){ in->evidence.data, in->evidence.size };
    request->collateral = in->collateral;
    request->policy = in->policy;
    request->report_data = o->report_data ? in->report_data : NULL;
    return 0;
}

/* ---- the command ---- */

static int print_result(const struct options *o, const struct verifier_request *request,
                        const struct verifier_result *result, struct err *err)
{
    char *text;
    int rc = o->json ? verifier_result_json(result, request->now_s, &text)
                     : verifier_result_text(result, o->explain, &text);

    if (rc < 0)
        return err_set_errno(err, rc, "cannot print the result");
    fputs(text, stdout);
    if (o->json)
        putchar('\n');
    free(text);
    return 0;
}

int cmd_verify(int argc, char **argv)
{
    struct options options = { 0 };
    struct inputs inputs = { 0 };
    struct verifier_request request = { 0 };
    struct verifier_result *result = malloc(sizeof *result);
    struct err err = { 0 };
    int rc;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(cmd_verify_usage, stdout);
        free(result);
        return CLI_EXIT_OK;
    }
    rc = parse_options(argc, argv, &options);
    if (rc != CLI_EXIT_OK || !result) {
        free(result);
        return rc != CLI_EXIT_OK ? rc : CLI_EXIT_FAILED;
    }
    rc = read_inputs(&options, &inputs, &request, &err);
    if (rc == 0)
        rc = verifier_verify(&request, result);
    if (rc == 0)
        rc = print_result(&options, &request, result, &err);
    inputs_done(&inputs);
    rc = rc < 0 ? cli_fail(&err, rc == -EBADMSG ? -EIO : rc)
         : result->verdict == VERIFIER_AFFIRMING || result->verdict == VERIFIER_WARNING
             ? CLI_EXIT_OK
         : result->verdict == VERIFIER_NONE ? CLI_EXIT_FAILED
                                            : CLI_EXIT_REFUSED;
    free(result);
    return rc;
}
