/* SPDX-License-Identifier: Apache-2.0 */
/* Reads TCB info v2 and v3 and enclave identities v2, Intel PCS API v4. Relying party; input hostile. */
#include "verifier/intel/tcb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "verifier/json_read.h"

/* Required members of an object, one bit each. */
struct seen {
    uint32_t bits;
};

static void see(struct seen *s, unsigned bit)
{
    s->bits |= 1u << bit;
}

static int need(struct json_pull *j, const struct seen *s, unsigned count)
{
    if (s->bits == (1u << count) - 1)
        return 0;
    return json_pull_fail(j, "a required member is missing");
}

static int read_uint(struct json_pull *j, uint64_t max, uint64_t *ret)
{
    return json_pull_uint(j, max, ret);
}

static int read_u32(struct json_pull *j, uint32_t *ret)
{
    uint64_t value = 0;
    int rc = read_uint(j, UINT32_MAX, &value);

    *ret = (uint32_t)value;
    return rc;
}

static int read_u16(struct json_pull *j, uint16_t *ret)
{
    uint64_t value = 0;
    int rc = read_uint(j, UINT16_MAX, &value);

    *ret = (uint16_t)value;
    return rc;
}

static int read_u8(struct json_pull *j, uint8_t *ret)
{
    uint64_t value = 0;
    int rc = read_uint(j, UINT8_MAX, &value);

    *ret = (uint8_t)value;
    return rc;
}

static int read_status(struct json_pull *j, uint8_t *ret)
{
    char name[48];
    int rc = json_read_string(j, name, sizeof name);

    if (rc < 0)
        return rc;
    *ret = (uint8_t)tcb_status_of_name(name);
    return *ret == VERIFIER_TCB_NONE ? json_pull_fail(j, "an unknown TCB status") : 0;
}

static int read_advisories(struct json_pull *j, struct tcb_advisory_list *list,
                           struct tcb_advisories *ret)
{
    int rc = json_pull_array_begin(j);

    ret->first = (uint16_t)list->count;
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (list->count == TCB_ADVISORY_COUNT_MAX)
            return json_pull_fail(j, "too many advisories");
        rc = json_read_string(j, list->names[list->count], VERIFIER_ADVISORY_SIZE);
        list->count++;
    }
    ret->count = (uint16_t)(list->count - ret->first);
    return rc;
}

/* ---- levels of a module or a quoting enclave ---- */

static int read_isv_svn(struct json_pull *j, uint16_t *ret)
{
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "isvsvn")) {
            see(&seen, 0);
            rc = read_u16(j, ret);
        } else {
            rc = json_pull_skip(j);
        }
    }
    return rc < 0 ? rc : need(j, &seen, 1);
}

static int read_isv_level(struct json_pull *j, struct tcb_advisory_list *list,
                          struct tcb_isv_level *ret)
{
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "tcb")) {
            see(&seen, 0);
            rc = read_isv_svn(j, &ret->isv_svn);
        } else if (json_pull_text_is(&name, "tcbDate")) {
            see(&seen, 1);
            rc = json_read_time(j, &ret->date_s);
        } else if (json_pull_text_is(&name, "tcbStatus")) {
            see(&seen, 2);
            rc = read_status(j, &ret->status);
        } else if (json_pull_text_is(&name, "advisoryIDs")) {
            rc = read_advisories(j, list, &ret->advisories);
        } else {
            rc = json_pull_skip(j);
        }
    }
    return rc < 0 ? rc : need(j, &seen, 3);
}

static int read_isv_levels(struct json_pull *j, struct tcb_advisory_list *list,
                           struct tcb_isv_levels *ret)
{
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (ret->count == TCB_MODULE_LEVEL_COUNT_MAX)
            return json_pull_fail(j, "too many TCB levels");
        rc = read_isv_level(j, list, &ret->levels[ret->count++]);
    }
    return rc;
}

/* ---- TDX modules ---- */

static int read_module_version(struct json_pull *j, uint8_t *ret)
{
    char id[16];
    unsigned version;
    int rc = json_read_string(j, id, sizeof id);

    if (rc < 0)
        return rc;
    if (strlen(id) != 6 || sscanf(id, "TDX_%2x", &version) != 1)
        return json_pull_fail(j, "an unknown TDX module id");
    *ret = (uint8_t)version;
    return 0;
}

static int read_module(struct json_pull *j, bool is_identity, struct tcb_advisory_list *list,
                       struct tcb_module *ret)
{
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "mrsigner")) {
            see(&seen, 0);
            rc = json_read_hex(j, ret->mrsigner, sizeof ret->mrsigner);
        } else if (json_pull_text_is(&name, "attributes")) {
            see(&seen, 1);
            rc = json_read_hex(j, ret->attributes, sizeof ret->attributes);
        } else if (json_pull_text_is(&name, "attributesMask")) {
            see(&seen, 2);
            rc = json_read_hex(j, ret->attributes_mask, sizeof ret->attributes_mask);
        } else if (is_identity && json_pull_text_is(&name, "id")) {
            see(&seen, 3);
            rc = read_module_version(j, &ret->version);
        } else if (is_identity && json_pull_text_is(&name, "tcbLevels")) {
            see(&seen, 4);
            rc = read_isv_levels(j, list, &ret->tcb);
        } else {
            rc = json_pull_skip(j);
        }
    }
    return rc < 0 ? rc : need(j, &seen, is_identity ? 5 : 3);
}

static int read_modules(struct json_pull *j, struct tcb_info *ret)
{
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (ret->module_count == TCB_MODULE_COUNT_MAX)
            return json_pull_fail(j, "too many TDX modules");
        rc = read_module(j, true, &ret->advisories, &ret->modules[ret->module_count++]);
    }
    return rc;
}

/* ---- levels of the platform ---- */

static int read_component(struct json_pull *j, uint8_t *ret)
{
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "svn")) {
            see(&seen, 0);
            rc = read_u8(j, ret);
        } else {
            rc = json_pull_skip(j);
        }
    }
    return rc < 0 ? rc : need(j, &seen, 1);
}

/* v3: an array of sixteen objects. */
static int read_components(struct json_pull *j, uint8_t svn[VERIFIER_SVN_COUNT])
{
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

/* v2: the n of "sgxtcbcomp<n>svn", 1 to 16; 0: another name. */
static unsigned component_number(const struct json_pull_text *name)
{
    char text[20];

    for (unsigned n = 1; n <= VERIFIER_SVN_COUNT; n++) {
        snprintf(text, sizeof text, "sgxtcbcomp%02usvn", n);
        if (json_pull_text_is(name, text))
            return n;
    }
    return 0;
}

static int read_level_tcb(struct json_pull *j, const struct tcb_info *info, struct tcb_level *ret)
{
    struct json_pull_text name;
    uint32_t v2_components = 0;
    bool has_sgx = false, has_tdx = false, has_pce = false;
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        unsigned n = info->version == 2 ? component_number(&name) : 0;

        if (n > 0) {
            v2_components |= 1u << (n - 1);
            rc = read_u8(j, &ret->sgx_svn[n - 1]);
        } else if (json_pull_text_is(&name, "pcesvn")) {
            has_pce = true;
            rc = read_u16(j, &ret->pce_svn);
        } else if (info->version == 3 && json_pull_text_is(&name, "sgxtcbcomponents")) {
            has_sgx = true;
            rc = read_components(j, ret->sgx_svn);
        } else if (info->version == 3 && json_pull_text_is(&name, "tdxtcbcomponents")) {
            has_tdx = true;
            rc = read_components(j, ret->tdx_svn);
        } else {
            rc = json_pull_skip(j);
        }
    }
    if (rc < 0)
        return rc;
    if (!has_pce || !(has_sgx || v2_components == 0xffff) || (info->is_tdx && !has_tdx))
        return json_pull_fail(j, "a component of a TCB level is missing");
    return 0;
}

static int read_level(struct json_pull *j, struct tcb_info *info, struct tcb_level *ret)
{
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc = json_pull_object_begin(j);

    while (rc >= 0 && (rc = json_pull_object_next(j, &name)) > 0) {
        if (json_pull_text_is(&name, "tcb")) {
            see(&seen, 0);
            rc = read_level_tcb(j, info, ret);
        } else if (json_pull_text_is(&name, "tcbDate")) {
            see(&seen, 1);
            rc = json_read_time(j, &ret->date_s);
        } else if (json_pull_text_is(&name, "tcbStatus")) {
            see(&seen, 2);
            rc = read_status(j, &ret->status);
        } else if (json_pull_text_is(&name, "advisoryIDs")) {
            rc = read_advisories(j, &info->advisories, &ret->advisories);
        } else {
            rc = json_pull_skip(j);
        }
    }
    return rc < 0 ? rc : need(j, &seen, 3);
}

static int read_levels(struct json_pull *j, struct tcb_info *info)
{
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (info->level_count == TCB_LEVEL_COUNT_MAX)
            return json_pull_fail(j, "too many TCB levels");
        rc = read_level(j, info, &info->levels[info->level_count++]);
    }
    return rc;
}

/* ---- the whole ---- */

/* Members in any order; how levels are written depends on version and id, so these are read first. */
static int read_info_kind(struct verifier_bytes text, struct tcb_info *ret)
{
    struct json_pull j;
    struct json_pull_text name;
    char id[8] = "SGX";
    int rc;

    json_pull_init(&j, (const char *)text.data, text.size);
    rc = json_pull_object_begin(&j);
    while (rc >= 0 && (rc = json_pull_object_next(&j, &name)) > 0) {
        if (json_pull_text_is(&name, "version"))
            rc = read_u32(&j, &ret->version);
        else if (json_pull_text_is(&name, "id"))
            rc = json_read_string(&j, id, sizeof id);
        else
            rc = json_pull_skip(&j);
    }
    if (rc < 0 || (ret->version != 2 && ret->version != 3))
        return -EINVAL;
    ret->is_tdx = strcmp(id, "TDX") == 0;
    if (!ret->is_tdx && strcmp(id, "SGX") != 0)
        return -EINVAL;
    return ret->is_tdx && ret->version == 2 ? -EINVAL : 0;
}

static int read_info_member(struct json_pull *j, const struct json_pull_text *name,
                            struct seen *seen, struct tcb_info *ret)
{
    if (json_pull_text_is(name, "issueDate"))
        return see(seen, 0), json_read_time(j, &ret->issue_date_s);
    if (json_pull_text_is(name, "nextUpdate"))
        return see(seen, 1), json_read_time(j, &ret->next_update_s);
    if (json_pull_text_is(name, "fmspc"))
        return see(seen, 2), json_read_hex(j, ret->fmspc, sizeof ret->fmspc);
    if (json_pull_text_is(name, "pceId"))
        return see(seen, 3), json_read_hex(j, ret->pce_id, sizeof ret->pce_id);
    if (json_pull_text_is(name, "tcbType"))
        return see(seen, 4), read_u32(j, &ret->tcb_type);
    if (json_pull_text_is(name, "tcbEvaluationDataNumber"))
        return see(seen, 5), read_u32(j, &ret->evaluation_data_number);
    if (json_pull_text_is(name, "tcbLevels"))
        return see(seen, 6), read_levels(j, ret);
    if (ret->is_tdx && json_pull_text_is(name, "tdxModule")) {
        ret->has_module = true;
        return read_module(j, false, &ret->advisories, &ret->module);
    }
    if (ret->is_tdx && json_pull_text_is(name, "tdxModuleIdentities"))
        return read_modules(j, ret);
    return json_pull_skip(j);
}

int tcb_info_parse(struct verifier_bytes text, struct tcb_info *ret)
{
    struct json_pull j;
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc;

    memset(ret, 0, sizeof *ret);
    rc = read_info_kind(text, ret);
    if (rc < 0)
        return rc;
    json_pull_init(&j, (const char *)text.data, text.size);
    rc = json_pull_object_begin(&j);
    while (rc >= 0 && (rc = json_pull_object_next(&j, &name)) > 0)
        rc = read_info_member(&j, &name, &seen, ret);
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc == 0)
        rc = need(&j, &seen, 7);
    if (rc == 0 && (ret->tcb_type != 0 || ret->level_count == 0))
        rc = -EINVAL; /* another matching algorithm, or nothing to match */
    return rc < 0 ? -EINVAL : 0;
}

static int read_identity_member(struct json_pull *j, const struct json_pull_text *name,
                                struct seen *seen, struct qe_identity *ret)
{
    if (json_pull_text_is(name, "id"))
        return see(seen, 0), json_read_string(j, ret->id, sizeof ret->id);
    if (json_pull_text_is(name, "version"))
        return see(seen, 1), read_u32(j, &ret->version);
    if (json_pull_text_is(name, "issueDate"))
        return see(seen, 2), json_read_time(j, &ret->issue_date_s);
    if (json_pull_text_is(name, "nextUpdate"))
        return see(seen, 3), json_read_time(j, &ret->next_update_s);
    if (json_pull_text_is(name, "tcbEvaluationDataNumber"))
        return see(seen, 4), read_u32(j, &ret->evaluation_data_number);
    if (json_pull_text_is(name, "miscselect"))
        return see(seen, 5), json_read_hex(j, ret->misc_select, sizeof ret->misc_select);
    if (json_pull_text_is(name, "miscselectMask"))
        return see(seen, 6), json_read_hex(j, ret->misc_select_mask, sizeof ret->misc_select_mask);
    if (json_pull_text_is(name, "attributes"))
        return see(seen, 7), json_read_hex(j, ret->attributes, sizeof ret->attributes);
    if (json_pull_text_is(name, "attributesMask"))
        return see(seen, 8), json_read_hex(j, ret->attributes_mask, sizeof ret->attributes_mask);
    if (json_pull_text_is(name, "mrsigner"))
        return see(seen, 9), json_read_hex(j, ret->mrsigner, sizeof ret->mrsigner);
    if (json_pull_text_is(name, "isvprodid"))
        return see(seen, 10), read_u16(j, &ret->isv_prod_id);
    if (json_pull_text_is(name, "tcbLevels"))
        return see(seen, 11), read_isv_levels(j, &ret->advisories, &ret->tcb);
    return json_pull_skip(j);
}

int qe_identity_parse(struct verifier_bytes text, struct qe_identity *ret)
{
    struct json_pull j;
    struct json_pull_text name;
    struct seen seen = { 0 };
    int rc;

    memset(ret, 0, sizeof *ret);
    json_pull_init(&j, (const char *)text.data, text.size);
    rc = json_pull_object_begin(&j);
    while (rc >= 0 && (rc = json_pull_object_next(&j, &name)) > 0)
        rc = read_identity_member(&j, &name, &seen, ret);
    if (rc == 0)
        rc = json_pull_end(&j);
    if (rc == 0)
        rc = need(&j, &seen, 12);
    return rc == 0 && ret->version == 2 ? 0 : -EINVAL;
}
