/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines of `cloche attest`: a verdict or an event a line, for people or as JSON. Relying party side. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "cli/attest.h"
#include "verifier/json_read.h"
#include "verifier/result.h"

static void print_json(json_t *line)
{
    char now[TIME_TEXT_SIZE], *text;

    time_print((int64_t)time(NULL), now);
    json_object_set_new(line, "time", json_string(now));
    text = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    if (text)
        fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(line);
}

static void set_hex(json_t *line, const char *name, const uint8_t *bytes, size_t size)
{
    char text[129];

    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    json_object_set_new(line, name, json_string(text));
}

static void set_result(json_t *line, const struct verifier_result *result)
{
    json_object_set_new(line, "verdict", json_string(verifier_verdict_name(result->verdict)));
    if (result->tee != VERIFIER_TEE_NONE)
        json_object_set_new(line, "tee", json_string(verifier_tee_name(result->tee)));
    if (result->primary < VERIFIER_CHECK_COUNT)
        json_object_set_new(line, "check", json_string(verifier_check_name(result->primary)));
    if (result->identity_name)
        json_object_set_new(line, "identity", json_string(result->identity_name));
    if (result->root_name[0])
        json_object_set_new(line, "root", json_string(result->root_name));
    if (result->tee == VERIFIER_TEE_SGX) {
        set_hex(line, "mrenclave", result->sgx.mrenclave, sizeof result->sgx.mrenclave);
        set_hex(line, "mrsigner", result->sgx.mrsigner, sizeof result->sgx.mrsigner);
    } else if (result->tee == VERIFIER_TEE_TDX) {
        set_hex(line, "mrtd", result->tdx.mrtd, sizeof result->tdx.mrtd);
    } else if (result->tee == VERIFIER_TEE_SNP) {
        set_hex(line, "measurement", result->snp.measurement, sizeof result->snp.measurement);
    }
}

void attest_log_verdict(bool json, const char *what, const char *address,
                        const struct attest_peer *peer, const char *error)
{
    const char *reason = peer ? peer->reason : error;
    bool accepted = peer && peer->rc == 0 && !error;

    if (peer && peer->rc == 0 && error)
        reason = error;
    if (!json) {
        fprintf(stderr, "cloche attest: %s %s: %s: %s\n", what, address,
                accepted               ? "accepted"
                : peer && peer->rc < 0 ? "refused"
                                       : "failed",
                reason);
        return;
    }
    json_t *line = json_object();

    json_object_set_new(line, "event", json_string("verdict"));
    json_object_set_new(line, "role", json_string(what));
    json_object_set_new(line, "peer", json_string(address));
    json_object_set_new(line, "accepted", json_boolean(accepted));
    json_object_set_new(line, "reason", json_string(reason));
    if (peer && peer->is_judged)
        set_result(line, &peer->result);
    print_json(line);
}

void attest_log_event(bool json, const char *event, const char *detail)
{
    if (!json) {
        fprintf(stderr, "cloche attest: %s%s%s\n", event, detail[0] ? ": " : "", detail);
        return;
    }
    json_t *line = json_object();

    json_object_set_new(line, "event", json_string(event));
    json_object_set_new(line, "detail", json_string(detail));
    print_json(line);
}
