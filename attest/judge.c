/* SPDX-License-Identifier: Apache-2.0 */
/* Judges the certificate of the other end: the certificate itself, then its evidence under the policy. Relying party and agent. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/cert.h"
#include "attest/collateral.h"
#include "attest/context.h"
#include "verifier/json_read.h"
#include "verifier/result.h"

static int check_dates(struct attest_peer *peer, struct err *err)
{
    char text[TIME_TEXT_SIZE];

    if (peer->judged_s < peer->certificate_from_s - ATTEST_CLOCK_SKEW_S) {
        time_print(peer->certificate_from_s, text);
        return err_set(err, -EBADMSG, "the certificate is valid from %s on; check both clocks",
                       text);
    }
    if (peer->judged_s > peer->certificate_until_s) {
        time_print(peer->certificate_until_s, text);
        return err_set(err, -EBADMSG,
                       "the certificate was valid until %s; the other end must renew it", text);
    }
    return 0;
}

/* The reason of the verifier in one line. */
static int verdict_of(const struct verifier_result *result, struct err *err)
{
    const struct verifier_check *check;
    char expected[160], actual[160];

    if (result->verdict == VERIFIER_AFFIRMING || result->verdict == VERIFIER_WARNING) {
        err_set(err, 0, "%s %s%s%s%s, chain up to %s%s", verifier_verdict_name(result->verdict),
                verifier_tee_name(result->tee), result->identity_name ? ": " : "",
                result->identity_name ? result->identity_name : "",
                result->is_debug ? ", debug" : "", result->root_name,
                result->is_in_grace ? ", in its grace period" : "");
        return 0;
    }
    if (result->primary >= VERIFIER_CHECK_COUNT)
        return err_set(err, -EBADMSG, "the evidence could not be judged");
    check = &result->checks[result->primary];
    verifier_value_print(&check->expected, expected, sizeof expected);
    verifier_value_print(&check->actual, actual, sizeof actual);
    return err_set(
        err, -EBADMSG, "%s: not so: %s%s%s%s%s%s%s; %s", verifier_check_name(result->primary),
        verifier_check_what(result->primary), check->item ? " (" : "",
        check->item ? check->item : "", check->item ? ")" : "", actual[0] ? "; it is " : "", actual,
        expected[0] && actual[0] ? ", not as expected" : "", verifier_check_fix(result->primary));
}

static int judge_evidence(const struct attest_context *context, const struct cert_content *content,
                          struct attest_peer *peer, struct err *err)
{
    struct verifier_collateral *stapled = NULL;
    struct verifier_request request = {
        .evidence = content->evidence,
        .collateral = context->options.collateral,
        .policy = context->options.policy,
        .now_s = peer->judged_s,
        .report_data = content->report_data,
        /* The certificate is made when the evidence is; a clock that is ahead makes it no fresher than now. */
        .evidence_time_s = MIN(content->not_before_s, peer->judged_s),
    };
    int rc = 0;

    if (!request.collateral && !collateral_is_empty(&content->collateral)) {
        rc = verifier_collateral_new(&content->collateral, &stapled, err);
        request.collateral = stapled;
    }
    if (rc == 0)
        rc = verifier_verify(&request, &peer->result);
    verifier_collateral_free(stapled);
    if (rc < 0)
        return rc;
    peer->is_judged = true;
    return verdict_of(&peer->result, err);
}

static int judge(const struct attest_context *context, X509 *cert, bool is_issued,
                 struct attest_peer *ret)
{
    struct cert_content content;
    struct err err = { 0 };
    int rc = is_issued ? cert_read_issued(cert, &content, &err) : cert_read(cert, &content, &err);

    memset(ret, 0, sizeof *ret);
    ret->judged_s = attest_context_now(context);
    if (rc == 0) {
        ret->certificate_from_s = content.not_before_s;
        ret->certificate_until_s = content.not_after_s;
        rc = check_dates(ret, &err);
        if (rc == 0)
            rc = judge_evidence(context, &content, ret, &err);
        cert_content_done(&content);
    }
    ret->rc = rc;
    if (rc < 0 && !err.text[0])
        err_set_errno(&err, rc, "the certificate could not be judged");
    memcpy(ret->reason, err.text, sizeof ret->reason);
    return rc;
}

int attest_judge(const struct attest_context *context, X509 *cert, struct attest_peer *ret)
{
    return judge(context, cert, false, ret);
}

int attest_judge_issued(const struct attest_context *context, X509 *cert, struct attest_peer *ret)
{
    return judge(context, cert, true, ret);
}
