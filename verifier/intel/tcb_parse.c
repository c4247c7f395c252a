/* SPDX-License-Identifier: Apache-2.0 */
/* Reads TCB info v2 and v3 and enclave identities v2, Intel PCS API v4. Relying party; input hostile. */
#include "verifier/intel/tcb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verifier/json_read.h"

/* ---- values ---- */

static int read_status(struct json_pull *j, void *dst)
{
    uint8_t *status = dst;
    char name[48];
    int rc = json_read_string(j, name, sizeof name);

    if (rc < 0)
        return rc;
    *status = (uint8_t)tcb_status_of_name(name);
    return *status == VERIFIER_TCB_NONE ? json_pull_fail(j, "an unknown TCB status") : 0;
}

static int read_time(struct json_pull *j, void *dst)
{
    return json_read_time(j, dst);
}

static int read_hex_2(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 2);
}

static int read_hex_4(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 4);
}

static int read_hex_6(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 6);
}

static int read_hex_8(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 8);
}

static int read_hex_16(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 16);
}

static int read_hex_32(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 32);
}

static int read_hex_48(struct json_pull *j, void *dst)
{
    return json_read_hex(j, dst, 48);
}

/* Id of a TCB info or an identity. */
static int read_id(struct json_pull *j, void *dst)
{
    return json_read_string(j, dst, TCB_ID_SIZE);
}

/* Unknown members are a later edition's. */
static int read_members(struct json_pull *j, const struct json_member *members, unsigned count)
{
    return json_read_members(j, members, count, NULL);
}

/* The list that all levels of a text share, and the part of it that is one level's. */
struct advisory_target {
    struct tcb_advisory_list *list;
    struct tcb_advisories *level;
};

static int read_advisories(struct json_pull *j, void *dst)
{
    struct advisory_target *target = dst;
    struct tcb_advisory_list *list = target->list;
    int rc = json_pull_array_begin(j);

    target->level->first = (uint16_t)list->count;
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (list->count == TCB_ADVISORY_COUNT_MAX)
            return json_pull_fail(j, "too many advisories");
        rc = json_read_string(j, list->names[list->count], VERIFIER_ADVISORY_SIZE);
        list->count++;
    }
    target->level->count = (uint16_t)(list->count - target->level->first);
    return rc;
}

/* ---- levels of a module or a quoting enclave ---- */

static int read_isv_svn(struct json_pull *j, void *dst)
{
    const struct json_member members[] = { { "isvsvn", json_read_u16, dst, true } };

    return read_members(j, members, ARRAY_COUNT(members));
}

static int read_isv_level(struct json_pull *j, struct tcb_advisory_list *list,
                          struct tcb_isv_level *ret)
{
    struct advisory_target target = { list, &ret->advisories };
    const struct json_member members[] = { { "tcb", read_isv_svn, &ret->isv_svn, true },
                                           { "tcbDate", read_time, &ret->date_s, true },
                                           { "tcbStatus", read_status, &ret->status, true },
                                           { "advisoryIDs", read_advisories, &target, false } };

    return read_members(j, members, ARRAY_COUNT(members));
}

struct isv_levels_target {
    struct tcb_advisory_list *list;
    struct tcb_isv_levels *levels;
};

static int read_isv_levels(struct json_pull *j, void *dst)
{
    struct isv_levels_target *target = dst;
    struct tcb_isv_levels *levels = target->levels;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (levels->count == TCB_MODULE_LEVEL_COUNT_MAX)
            return json_pull_fail(j, "too many TCB levels");
        rc = read_isv_level(j, target->list, &levels->levels[levels->count++]);
    }
    return rc;
}

/* ---- TDX modules ---- */

static int read_module_version(struct json_pull *j, void *dst)
{
    char id[16];
    unsigned version;
    int rc = json_read_string(j, id, sizeof id);

    if (rc < 0)
        return rc;
    if (strlen(id) != 6 || sscanf(id, "TDX_%2x", &version) != 1)
        return json_pull_fail(j, "an unknown TDX module id");
    *(uint8_t *)dst = (uint8_t)version;
    return 0;
}

/* "tdxModule" has the first three members only. */
static int read_module_members(struct json_pull *j, bool is_identity,
                               struct tcb_advisory_list *list, struct tcb_module *ret)
{
    struct isv_levels_target target = { list, &ret->tcb };
    const struct json_member members[] = {
        { "mrsigner", read_hex_48, ret->mrsigner, true },
        { "attributes", read_hex_8, ret->attributes, true },
        { "attributesMask", read_hex_8, ret->attributes_mask, true },
        { "id", read_module_version, &ret->version, true },
        { "tcbLevels", read_isv_levels, &target, true },
    };

    return read_members(j, members, is_identity ? ARRAY_COUNT(members) : 3);
}

static int read_module(struct json_pull *j, void *dst)
{
    struct tcb_info *info = dst;

    info->has_module = true;
    return read_module_members(j, false, &info->advisories, &info->module);
}

static int read_modules(struct json_pull *j, void *dst)
{
    struct tcb_info *info = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (info->module_count == TCB_MODULE_COUNT_MAX)
            return json_pull_fail(j, "too many TDX modules");
        rc = read_module_members(j, true, &info->advisories, &info->modules[info->module_count++]);
    }
    return rc;
}

/* ---- levels of the platform ---- */

static int read_component(struct json_pull *j, void *dst)
{
    const struct json_member members[] = { { "svn", json_read_u8, dst, true } };

    return read_members(j, members, ARRAY_COUNT(members));
}

/* v3: an array of sixteen objects. */
static int read_components(struct json_pull *j, void *dst)
{
    uint8_t *svn = dst;
    unsigned count = 0;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (count == VERIFIER_SVN_COUNT)
            return json_pull_fail(j, "more than 16 components");
        rc = read_component(j, &svn[count++]);
    }
    if (rc == 0 && count != VERIFIER_SVN_COUNT)
        return json_pull_fail(j, "fewer than 16 components");
    return rc;
}

static int read_tcb_v3(struct json_pull *j, bool is_tdx, struct tcb_level *ret)
{
    const struct json_member members[] = {
        { "sgxtcbcomponents", read_components, ret->sgx_svn, true },
        { "tdxtcbcomponents", read_components, ret->tdx_svn, is_tdx },
        { "pcesvn", json_read_u16, &ret->pce_svn, true },
    };

    return read_members(j, members, ARRAY_COUNT(members));
}

/* v2: sixteen members of their own, "sgxtcbcomp01svn" to "sgxtcbcomp16svn". */
static int read_tcb_v2(struct json_pull *j, struct tcb_level *ret)
{
    char names[VERIFIER_SVN_COUNT][20];
    struct json_member members[VERIFIER_SVN_COUNT + 1] = { { "pcesvn", json_read_u16, &ret->pce_svn,
                                                             true } };

    for (unsigned i = 0; i < VERIFIER_SVN_COUNT; i++) {
        snprintf(names[i], sizeof names[i], "sgxtcbcomp%02usvn", i + 1);
        members[i + 1] = (struct json_member){ names[i], json_read_u8, &ret->sgx_svn[i], true };
    }
    return read_members(j, members, ARRAY_COUNT(members));
}

struct level_target {
    const struct tcb_info *info;
    struct tcb_level *level;
};

static int read_level_tcb(struct json_pull *j, void *dst)
{
    struct level_target *target = dst;

    return target->info->version == 2 ? read_tcb_v2(j, target->level)
                                      : read_tcb_v3(j, target->info->is_tdx, target->level);
}

static int read_level(struct json_pull *j, struct tcb_info *info, struct tcb_level *ret)
{
    struct level_target tcb = { info, ret };
    struct advisory_target advisories = { &info->advisories, &ret->advisories };
    const struct json_member members[] = { { "tcb", read_level_tcb, &tcb, true },
                                           { "tcbDate", read_time, &ret->date_s, true },
                                           { "tcbStatus", read_status, &ret->status, true },
                                           { "advisoryIDs", read_advisories, &advisories, false } };

    return read_members(j, members, ARRAY_COUNT(members));
}

static int read_levels(struct json_pull *j, void *dst)
{
    struct tcb_info *info = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (info->level_count == TCB_LEVEL_COUNT_MAX)
            return json_pull_fail(j, "too many TCB levels");
        rc = read_level(j, info, &info->levels[info->level_count++]);
    }
    return rc;
}

/* ---- the whole ---- */

/* Members come in any order; how levels are written depends on version and id, so these are read first. */
static int read_info_kind(struct verifier_bytes text, struct tcb_info *ret)
{
    char id[TCB_ID_SIZE] = "SGX"; /* v2 has none */
    const struct json_member members[] = { { "version", json_read_u32, &ret->version, true },
                                           { "id", read_id, id, false } };
    struct json_pull j;

    json_pull_init(&j, (const char *)text.data, text.size);
    if (read_members(&j, members, ARRAY_COUNT(members)) < 0 ||
        (ret->version != 2 && ret->version != 3))
        return -EINVAL;
    ret->is_tdx = strcmp(id, "TDX") == 0;
    if (!ret->is_tdx && strcmp(id, "SGX") != 0)
        return -EINVAL;
    return ret->is_tdx && ret->version == 2 ? -EINVAL : 0;
}

int tcb_info_parse(struct verifier_bytes text, struct tcb_info *ret)
{
    const struct json_member members[] = {
        { "issueDate", read_time, &ret->issue_date_s, true },
        { "nextUpdate", read_time, &ret->next_update_s, true },
        { "fmspc", read_hex_6, ret->fmspc, true },
        { "pceId", read_hex_2, ret->pce_id, true },
        { "tcbType", json_read_u32, &ret->tcb_type, true },
        { "tcbEvaluationDataNumber", json_read_u32, &ret->evaluation_data_number, true },
        { "tcbLevels", read_levels, ret, true },
        { "tdxModule", read_module, ret, false },
        { "tdxModuleIdentities", read_modules, ret, false },
    };
    struct json_pull j;
    int rc;

    memset(ret, 0, sizeof *ret);
    rc = read_info_kind(text, ret);
    if (rc < 0)
        return rc;
    json_pull_init(&j, (const char *)text.data, text.size);
    rc = read_members(&j, members, ARRAY_COUNT(members) - (ret->is_tdx ? 0 : 2));
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc == 0 && (ret->tcb_type != 0 || ret->level_count == 0))
        rc = -EINVAL; /* another matching algorithm, or nothing to match */
    return rc < 0 ? -EINVAL : 0;
}

int qe_identity_parse(struct verifier_bytes text, struct qe_identity *ret)
{
    struct isv_levels_target levels = { &ret->advisories, &ret->tcb };
    const struct json_member members[] = {
        { "id", read_id, ret->id, true },
        { "version", json_read_u32, &ret->version, true },
        { "issueDate", read_time, &ret->issue_date_s, true },
        { "nextUpdate", read_time, &ret->next_update_s, true },
        { "tcbEvaluationDataNumber", json_read_u32, &ret->evaluation_data_number, true },
        { "miscselect", read_hex_4, ret->misc_select, true },
        { "miscselectMask", read_hex_4, ret->misc_select_mask, true },
        { "attributes", read_hex_16, ret->attributes, true },
        { "attributesMask", read_hex_16, ret->attributes_mask, true },
        { "mrsigner", read_hex_32, ret->mrsigner, true },
        { "isvprodid", json_read_u16, &ret->isv_prod_id, true },
        { "tcbLevels", read_isv_levels, &levels, true },
    };
    struct json_pull j;
    int rc;

    memset(ret, 0, sizeof *ret);
    json_pull_init(&j, (const char *)text.data, text.size);
    rc = read_members(&j, members, ARRAY_COUNT(members));
    if (rc == 0)
        rc = json_pull_end(&j);
    return rc == 0 && ret->version == 2 ? 0 : -EINVAL;
}
