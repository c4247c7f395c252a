/* SPDX-License-Identifier: Apache-2.0 */
/* Results as text for people and as EAR (draft-ietf-rats-ear) JSON. Relying party. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verifier/claims_json.h"
#include "verifier/json_read.h"
#include "verifier/result.h"

#define EAR_PROFILE "tag:github.com,2023:veraison/ear"
#define VALUE_TEXT_SIZE 160

const char *verifier_verdict_name(enum verifier_verdict verdict)
{
    switch (verdict) {
    case VERIFIER_AFFIRMING:
        return "affirming";
    case VERIFIER_WARNING:
        return "warning";
    case VERIFIER_CONTRAINDICATED:
        return "contraindicated";
    default:
        return "none";
    }
}

const char *verifier_tee_name(enum verifier_tee tee)
{
    static const char *const names[] = { "unknown", "sgx", "tdx", "snp" };

    return names[tee < ARRAY_COUNT(names) ? tee : 0];
}

/* ---- trustworthiness vector, draft-ietf-rats-ar4si section 2.3 ---- */

static bool any_failed(const struct verifier_result *r, unsigned from, unsigned until)
{
    for (unsigned i = from; i <= until; i++)
        if (r->checks[i].state == VERIFIER_CHECK_FAILED)
            return true;
    return false;
}

/* Genuine hardware, patched as the policy asks. */
static int hardware_tier(const struct verifier_result *r)
{
    if (any_failed(r, VERIFIER_CHECK_FORMAT, VERIFIER_CHECK_TCB_ORDER))
        return 97; /* contraindicated hardware */
    if (any_failed(r, VERIFIER_CHECK_POLICY_TCB_STATUS, VERIFIER_CHECK_POLICY_TCB_EVALUATION))
        return 96;
    if (r->is_in_grace ||
        (r->tee != VERIFIER_TEE_SNP && r->intel.tcb_status > VERIFIER_TCB_UP_TO_DATE))
        return 32; /* known, fixable weaknesses */
    return 2;
}

static int executables_tier(const struct verifier_result *r)
{
    unsigned state = r->checks[VERIFIER_CHECK_POLICY_IDENTITY].state;

    return state == VERIFIER_CHECK_PASSED ? 2 : state == VERIFIER_CHECK_FAILED ? 33 : 0;
}

static int configuration_tier(const struct verifier_result *r)
{
    if (r->checks[VERIFIER_CHECK_POLICY_DEBUG].state == VERIFIER_CHECK_FAILED ||
        r->checks[VERIFIER_CHECK_POLICY_ATTRIBUTES].state == VERIFIER_CHECK_FAILED)
        return 96;
    return r->is_debug ? 32 : 2;
}

static int instance_tier(const struct verifier_result *r)
{
    unsigned state = r->checks[VERIFIER_CHECK_POLICY_PLATFORM].state;

    return state == VERIFIER_CHECK_PASSED ? 2 : state == VERIFIER_CHECK_FAILED ? 97 : 0;
}

static json_t *trust_vector(const struct verifier_result *r)
{
    return json_pack("{s:i, s:i, s:i, s:i}", "instance-identity", instance_tier(r), "configuration",
                     configuration_tier(r), "executables", executables_tier(r), "hardware",
                     hardware_tier(r));
}

/* ---- checks ---- */

static const char *state_name(unsigned state)
{
    return state == VERIFIER_CHECK_PASSED   ? "passed"
           : state == VERIFIER_CHECK_FAILED ? "failed"
                                            : "skipped";
}

static void add_value(json_t *object, const char *name, const struct verifier_value *value)
{
    char text[VALUE_TEXT_SIZE];

    if (value->kind == VERIFIER_VALUE_NONE)
        return;
    json_object_set_new(object, name,
                        value->kind == VERIFIER_VALUE_UINT
                            ? json_integer((json_int_t)value->number)
                            : json_string(verifier_value_print(value, text, sizeof text)));
}

static json_t *check_json(unsigned code, const struct verifier_check *check)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "check", verifier_check_name(code), "result",
                               state_name(check->state), "what", verifier_check_what(code));

    if (!object || check->state != VERIFIER_CHECK_FAILED)
        return object;
    if (check->item)
        json_object_set_new(object, "item", json_string(check->item));
    add_value(object, "expected", &check->expected);
    add_value(object, "actual", &check->actual);
    json_object_set_new(object, "fix", json_string(verifier_check_fix(code)));
    return object;
}

static json_t *checks_json(const struct verifier_result *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; list && i < VERIFIER_CHECK_COUNT; i++)
        if (r->checks[i].state != VERIFIER_CHECK_SKIPPED)
            json_array_append_new(list, check_json(i, &r->checks[i]));
    return list;
}

/* ---- EAR ---- */

static json_t *submodule_json(const struct verifier_result *r)
{
    char time[TIME_TEXT_SIZE];
    json_t *object =
        json_pack("{s:s, s:o, s:b, s:o, s:o}", "ear.status", verifier_verdict_name(r->verdict),
                  "ear.trustworthiness-vector", trust_vector(r), "cloche.debug", r->is_debug,
                  "cloche.checks", checks_json(r), "cloche.claims", claims_json(r));

    if (!object)
        return NULL;
    if (r->primary < VERIFIER_CHECK_COUNT)
        json_object_set_new(object, "cloche.reason", json_string(verifier_check_name(r->primary)));
    if (r->root_name[0])
        json_object_set_new(object, "cloche.root", json_string(r->root_name));
    if (r->identity_name)
        json_object_set_new(object, "cloche.identity", json_string(r->identity_name));
    if (r->valid_until_s > 0) {
        time_print(r->valid_until_s, time);
        json_object_set_new(object, "cloche.valid_until", json_string(time));
    }
    return object;
}

int verifier_result_json(const struct verifier_result *r, int64_t now_s, char **ret_json)
{
    json_t *root =
        json_pack("{s:s, s:I, s:{s:s, s:s}, s:{s:o}}", "eat_profile", EAR_PROFILE, "iat",
                  (json_int_t)now_s, "ear.verifier-id", "build", "cloche 0.1", "developer",
                  "Cloche", "submods", verifier_tee_name(r->tee), submodule_json(r));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;

    json_decref(root);
    if (!text)
        return -ENOMEM;
    *ret_json = text;
    return 0;
}

/* ---- text ---- */

static void print_check(FILE *f, unsigned code, const struct verifier_check *check)
{
    char text[VALUE_TEXT_SIZE];

    if (check->state == VERIFIER_CHECK_PASSED) {
        fprintf(f, "  ok      %s\n", verifier_check_what(code));
        return;
    }
    fprintf(f, "  FAILED  %s (%s)\n", verifier_check_what(code), verifier_check_name(code));
    if (check->item)
        fprintf(f, "          about:    %s\n", check->item);
    if (check->expected.kind != VERIFIER_VALUE_NONE)
        fprintf(f, "          expected: %s\n",
                verifier_value_print(&check->expected, text, sizeof text));
    if (check->actual.kind != VERIFIER_VALUE_NONE)
        fprintf(f, "          actual:   %s\n",
                verifier_value_print(&check->actual, text, sizeof text));
    fprintf(f, "          to do:    %s\n", verifier_check_fix(code));
}

static void print_head(FILE *f, const struct verifier_result *r)
{
    static const char *const tees[] = { "unknown evidence", "Intel SGX", "Intel TDX",
                                        "AMD SEV-SNP" };
    char time[TIME_TEXT_SIZE];

    fprintf(f, "%s: %s\n", tees[r->tee], verifier_verdict_name(r->verdict));
    if (r->root_name[0])
        fprintf(f, "  root        %s\n", r->root_name);
    if (r->identity_name)
        fprintf(f, "  identity    %s\n", r->identity_name);
    if (r->is_debug)
        fprintf(f, "  debug       yes: nothing in it is secret\n");
    if (r->valid_until_s > 0) {
        time_print(r->valid_until_s, time);
        fprintf(f, "  holds until %s\n", time);
    }
}

int verifier_result_text(const struct verifier_result *r, bool all, char **ret_text)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return -ENOMEM;
    print_head(f, r);
    claims_print(r, f);
    for (unsigned i = 0; i < VERIFIER_CHECK_COUNT; i++)
        if (r->checks[i].state == VERIFIER_CHECK_FAILED ||
            (all && r->checks[i].state == VERIFIER_CHECK_PASSED))
            print_check(f, i, &r->checks[i]);
    if (fclose(f) != 0) {
        free(text);
        return -ENOMEM;
    }
    *ret_text = text;
    return 0;
}
