/* SPDX-License-Identifier: Apache-2.0 */
/* Reads TCB evaluation data numbers, Intel PCS API v4. Relying party; input hostile. */
#include "verifier/intel/evaluations.h"

#include <errno.h>
#include <string.h>

#include "verifier/collateral.h"
#include "verifier/intel/signed_json.h"
#include "verifier/json_read.h"

static int read_time(struct json_pull *j, void *dst)
{
    return json_read_time(j, dst);
}

static int read_id(struct json_pull *j, void *dst)
{
    return json_read_string(j, dst, TCB_ID_SIZE);
}

static int read_items(struct json_pull *j, void *dst)
{
    struct tcb_evaluations *list = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct tcb_evaluation *e = &list->items[list->count];
        const struct json_member members[] = {
            { "tcbEvaluationDataNumber", json_read_u32, &e->number, true },
            { "tcbRecoveryEventDate", read_time, &e->recovery_s, true },
            { "tcbDate", read_time, &e->date_s, true },
        };

        if (list->count == TCB_EVALUATION_COUNT_MAX)
            return json_pull_fail(j, "too many evaluation data numbers");
        rc = json_read_members(j, members, ARRAY_COUNT(members), NULL);
        list->count++;
    }
    return rc;
}

int tcb_evaluations_parse(struct verifier_bytes text, struct tcb_evaluations *ret)
{
    char id[TCB_ID_SIZE] = "";
    uint32_t version = 0;
    const struct json_member members[] = {
        { "id", read_id, id, true },
        { "version", json_read_u32, &version, true },
        { "issueDate", read_time, &ret->issue_date_s, true },
        { "nextUpdate", read_time, &ret->next_update_s, true },
        { "tcbEvalNumbers", read_items, ret, true },
    };
    struct json_pull j;
    int rc;

    memset(ret, 0, sizeof *ret);
    json_pull_init(&j, (const char *)text.data, text.size);
    rc = json_read_members(&j, members, ARRAY_COUNT(members), NULL);
    if (rc == 0)
        rc = json_pull_end(&j);
    ret->is_tdx = strcmp(id, "TDX") == 0;
    return rc == 0 && version == 1 && (ret->is_tdx || strcmp(id, "SGX") == 0) ? 0 : -EINVAL;
}

int tcb_evaluations_verify(struct verifier_bytes text, const struct x509_chain *chain,
                           struct tcb_evaluations *ret)
{
    struct signed_json json;

    if (signed_json_parse(text, "tcbEvaluationDataNumbers", &json) < 0 ||
        tcb_evaluations_parse(json.value, ret) < 0)
        return -EINVAL;
    return collateral_is_signed(&json, chain) ? 0 : -EBADMSG;
}

const struct tcb_evaluation *tcb_evaluation_find(const struct tcb_evaluations *list,
                                                 uint32_t number)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].number == number)
            return &list->items[i];
    return NULL;
}
