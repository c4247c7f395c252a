/* SPDX-License-Identifier: Apache-2.0 */
/* Reads "intel" of policies. Relying party; the text may be hostile. */
#include <errno.h>
#include <string.h>

#include "verifier/policy/policy_read.h"

static int find_status(struct json_pull *j, const char *name, unsigned *ret)
{
    for (unsigned i = VERIFIER_TCB_UP_TO_DATE; i < VERIFIER_TCB_NOT_SUPPORTED; i++)
        if (i != VERIFIER_TCB_REVOKED && strcmp(verifier_tcb_status_name(i), name) == 0) {
            *ret = i;
            return 0;
        }
    return json_pull_fail(j, "no TCB status that can be accepted");
}

static int read_status_name(struct json_pull *j, unsigned *ret)
{
    char name[48];
    int rc = json_read_string(j, name, sizeof name);

    return rc < 0 ? rc : find_status(j, name, ret);
}

struct status_entry {
    unsigned status;
    uint16_t grace_days;
};

static int read_status_member(struct json_pull *j, void *dst)
{
    return read_status_name(j, &((struct status_entry *)dst)->status);
}

static int read_days_member(struct json_pull *j, void *dst)
{
    uint64_t days = 0;
    int rc = json_pull_uint(j, POLICY_GRACE_DAYS_MAX, &days);

    ((struct status_entry *)dst)->grace_days = (uint16_t)days;
    return rc == 0 && days == 0 ? json_pull_fail(j, "a grace period is at least one day") : rc;
}

/* "UpToDate", or {"status": "OutOfDate", "grace_days": 30}. */
static int read_statuses(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    memset(p->statuses, 0, sizeof p->statuses);
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        struct status_entry entry = { 0 };
        const struct json_member members[] = { { "status", read_status_member, &entry },
                                               { "grace_days", read_days_member, &entry } };

        rc = json_pull_peek(j) == JSON_PULL_STRING
                 ? read_status_name(j, &entry.status)
                 : policy_read_members(j, members, ARRAY_COUNT(members));
        if (rc == 0 && entry.status == VERIFIER_TCB_NONE)
            rc = json_pull_fail(j, "an accepted status needs \"status\"");
        if (rc == 0)
            p->statuses[entry.status] =
                (struct policy_status){ .accepted = true, .grace_days = entry.grace_days };
    }
    return rc;
}

static int read_advisories(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    p->any_advisory = false;
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (p->advisory_count == VERIFIER_ADVISORY_COUNT_MAX)
            return json_pull_fail(j, "too many advisories");
        rc = json_read_string(j, p->advisories[p->advisory_count++], VERIFIER_ADVISORY_SIZE);
    }
    return rc;
}

/* ---- attributes ---- */

static int read_sgx_attributes(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = {
        { "attributes", policy_read_bits_128, p->sgx_attributes },
        { "misc_select", policy_read_bits_32, &p->sgx_misc_select }
    };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

/* TDX module: TD_ATTRIBUTES. */
static int read_sept_ve_disable(struct json_pull *j, void *dst)
{
    return policy_read_bit(j, dst, 28);
}

static int read_migratable(struct json_pull *j, void *dst)
{
    return policy_read_bit(j, dst, 29);
}

static int read_protection_keys(struct json_pull *j, void *dst)
{
    return policy_read_bit(j, dst, 30);
}

static int read_key_locker(struct json_pull *j, void *dst)
{
    return policy_read_bit(j, dst, 31);
}

static int read_perfmon(struct json_pull *j, void *dst)
{
    return policy_read_bit(j, dst, 63);
}

static int read_mrseams(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (p->mrseam_count == POLICY_MRSEAM_COUNT_MAX)
            return json_pull_fail(j, "too many TDX modules");
        rc = json_read_hex(j, p->mrseams[p->mrseam_count++], sizeof p->mrseams[0]);
    }
    return rc == 0 && p->mrseam_count == 0 ? json_pull_fail(j, "name at least one TDX module") : rc;
}

static int read_tdx_attributes(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = {
        { "td_attributes", policy_read_bits_64, &p->td_attributes },
        { "xfam", policy_read_bits_64, &p->xfam },
        { "sept_ve_disable", read_sept_ve_disable, &p->td_attributes },
        { "migratable", read_migratable, &p->td_attributes },
        { "protection_keys", read_protection_keys, &p->td_attributes },
        { "key_locker", read_key_locker, &p->td_attributes },
        { "perfmon", read_perfmon, &p->td_attributes },
        { "mrseam", read_mrseams, p }
    };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

int policy_read_intel(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = { { "tcb_status", read_statuses, p },
                                           { "advisories", read_advisories, p },
                                           { "tcb_evaluation_min", json_read_u32,
                                             &p->tcb_evaluation_min },
                                           { "tcb_date_min", policy_read_time, &p->tcb_date_min_s },
                                           { "pce_svn_min", json_read_u16, &p->pce_svn_min },
                                           { "qe_isv_svn_min", json_read_u16, &p->qe_isv_svn_min },
                                           { "smt", policy_read_not, &p->smt_refused },
                                           { "sgx", read_sgx_attributes, p },
                                           { "tdx", read_tdx_attributes, p } };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}
