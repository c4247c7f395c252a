/* SPDX-License-Identifier: Apache-2.0 */
/* Claims as JSON and text. Byte strings are hex in the order of the evidence. Relying party. */
#include "verifier/claims_json.h"

#include "verifier/json_read.h"
#include "verifier/snp/report.h"

#define HEX_SIZE_MAX 129

static json_t *hex(const uint8_t *bytes, size_t size)
{
    char text[HEX_SIZE_MAX];

    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, sizeof text - 2 * i, "%02x", bytes[i]);
    text[2 * size] = 0;
    return json_string(text);
}

#define SET_HEX(object, from, member)                                                              \
    json_object_set_new(object, #member, hex((from)->member, sizeof(from)->member))
#define SET_UINT(object, from, member)                                                             \
    json_object_set_new(object, #member, json_integer((json_int_t)(from)->member))
#define SET_BOOL(object, from, member)                                                             \
    json_object_set_new(object, #member, json_boolean((from)->member))

static void set_word(json_t *object, const char *name, uint64_t value)
{
    char text[20];

    snprintf(text, sizeof text, "0x%016llx", (unsigned long long)value);
    json_object_set_new(object, name, json_string(text));
}

static void set_status(json_t *object, const char *name, unsigned status)
{
    if (status != VERIFIER_TCB_NONE)
        json_object_set_new(object, name, json_string(verifier_tcb_status_name(status)));
}

static void set_time(json_t *object, const char *name, int64_t time_s)
{
    char text[TIME_TEXT_SIZE];

    if (time_s == 0 || time_s == INT64_MAX)
        return;
    time_print(time_s, text);
    json_object_set_new(object, name, json_string(text));
}

/* ---- Intel ---- */

static json_t *sgx_json(const struct verifier_sgx_report *r)
{
    json_t *o = json_object();
    uint8_t misc[4] = { (uint8_t)r->misc_select, (uint8_t)(r->misc_select >> 8),
                        (uint8_t)(r->misc_select >> 16), (uint8_t)(r->misc_select >> 24) };

    SET_HEX(o, r, cpu_svn);
    json_object_set_new(o, "misc_select", hex(misc, sizeof misc));
    SET_HEX(o, r, attributes);
    SET_HEX(o, r, mrenclave);
    SET_HEX(o, r, mrsigner);
    SET_UINT(o, r, isv_prod_id);
    SET_UINT(o, r, isv_svn);
    SET_HEX(o, r, config_id);
    SET_UINT(o, r, config_svn);
    SET_HEX(o, r, isv_ext_prod_id);
    SET_HEX(o, r, isv_family_id);
    SET_HEX(o, r, report_data);
    return o;
}

static json_t *tdx_json(const struct verifier_tdx_report *r)
{
    json_t *o = json_object();

    SET_HEX(o, r, tee_tcb_svn);
    SET_HEX(o, r, mrseam);
    SET_HEX(o, r, mrsignerseam);
    SET_HEX(o, r, seam_attributes);
    SET_HEX(o, r, td_attributes);
    SET_HEX(o, r, xfam);
    SET_HEX(o, r, mrtd);
    SET_HEX(o, r, mrconfigid);
    SET_HEX(o, r, mrowner);
    SET_HEX(o, r, mrownerconfig);
    json_object_set_new(o, "rtmr0", hex(r->rtmr[0], 48));
    json_object_set_new(o, "rtmr1", hex(r->rtmr[1], 48));
    json_object_set_new(o, "rtmr2", hex(r->rtmr[2], 48));
    json_object_set_new(o, "rtmr3", hex(r->rtmr[3], 48));
    SET_HEX(o, r, report_data);
    if (r->is_1_5) {
        SET_HEX(o, r, tee_tcb_svn2);
        SET_HEX(o, r, mrservicetd);
    }
    return o;
}

static json_t *pck_json(const struct verifier_intel *r)
{
    json_t *o = json_object(), *svns = json_array();

    SET_HEX(o, r, fmspc);
    SET_HEX(o, r, pce_id);
    SET_HEX(o, r, ppid);
    for (unsigned i = 0; i < VERIFIER_SVN_COUNT; i++)
        json_array_append_new(svns, json_integer(r->pck_svn[i]));
    json_object_set_new(o, "component_svn", svns);
    json_object_set_new(o, "pce_svn", json_integer(r->pck_pce_svn));
    json_object_set_new(o, "cpu_svn", hex(r->pck_cpu_svn, sizeof r->pck_cpu_svn));
    SET_UINT(o, r, sgx_type);
    SET_BOOL(o, r, is_platform_ca);
    if (r->has_platform_instance_id)
        SET_HEX(o, r, platform_instance_id);
    if (r->is_platform_ca) {
        SET_BOOL(o, r, dynamic_platform);
        SET_BOOL(o, r, cached_keys);
        SET_BOOL(o, r, smt_enabled);
    }
    return o;
}

static json_t *advisories_json(const struct verifier_advisories *list)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->names[i]));
    return array;
}

static json_t *tcb_json(const struct verifier_intel *r)
{
    json_t *o = json_object();

    set_status(o, "status", r->tcb_status);
    set_status(o, "platform_status", r->platform_tcb_status);
    set_status(o, "sgx_status", r->sgx_tcb_status);
    set_status(o, "qe_status", r->qe_tcb_status);
    set_status(o, "tdx_module_status", r->module_tcb_status);
    set_time(o, "date", r->tcb_date_s);
    set_time(o, "newest_date", r->tcb_newest_date_s);
    json_object_set_new(o, "evaluation_data_number", json_integer(r->tcb_evaluation_data_number));
    json_object_set_new(o, "advisories", advisories_json(&r->platform_advisories));
    json_object_set_new(o, "tdx_module_advisories", advisories_json(&r->module_advisories));
    json_object_set_new(o, "qe_advisories", advisories_json(&r->qe_advisories));
    set_time(o, "collateral_until", r->collateral_until_s);
    return o;
}

static json_t *quote_json(const struct verifier_intel *r)
{
    json_t *o = json_object();

    json_object_set_new(o, "version", json_integer(r->quote_version));
    SET_UINT(o, r, tee_type);
    SET_UINT(o, r, attestation_key_type);
    if (r->body_type)
        SET_UINT(o, r, body_type);
    SET_UINT(o, r, qe_svn);
    SET_UINT(o, r, pce_svn);
    SET_HEX(o, r, qe_vendor_id);
    SET_HEX(o, r, user_data);
    SET_UINT(o, r, signature_data_size);
    SET_UINT(o, r, trailing_size);
    SET_UINT(o, r, qe_auth_data_size);
    json_object_set_new(
        o, "qe_auth_data",
        hex(r->qe_auth_data, MIN((size_t)r->qe_auth_data_size, sizeof r->qe_auth_data)));
    SET_UINT(o, r, certification_data_type);
    SET_UINT(o, r, certification_data_size);
    return o;
}

static json_t *intel_json(const struct verifier_result *result)
{
    const struct verifier_intel *r = &result->intel;
    json_t *o = json_object();

    json_object_set_new(o, "quote", quote_json(r));
    json_object_set_new(o, "report",
                        result->tee == VERIFIER_TEE_SGX ? sgx_json(&result->sgx)
                                                        : tdx_json(&result->tdx));
    json_object_set_new(o, "qe_report", sgx_json(&r->qe_report));
    if (r->has_pck)
        json_object_set_new(o, "pck", pck_json(r));
    json_object_set_new(o, "tcb", tcb_json(r));
    return o;
}

/* ---- AMD ---- */

static json_t *snp_tcb_json(const struct verifier_snp_tcb *t, unsigned product)
{
    json_t *o = json_object();

    if (product == VERIFIER_SNP_TURIN)
        SET_UINT(o, t, fmc);
    SET_UINT(o, t, bootloader);
    SET_UINT(o, t, tee);
    SET_UINT(o, t, snp);
    SET_UINT(o, t, microcode);
    return o;
}

static json_t *version_json(const uint8_t v[3])
{
    char text[16];

    snprintf(text, sizeof text, "%u.%u.%u", v[0], v[1], v[2]);
    return json_string(text);
}

static void set_snp_ids(json_t *o, const struct verifier_snp *r)
{
    SET_HEX(o, r, family_id);
    SET_HEX(o, r, image_id);
    SET_HEX(o, r, report_data);
    SET_HEX(o, r, measurement);
    SET_HEX(o, r, host_data);
    SET_HEX(o, r, id_key_digest);
    SET_HEX(o, r, author_key_digest);
    SET_HEX(o, r, report_id);
    SET_HEX(o, r, report_id_ma);
    SET_HEX(o, r, chip_id);
}

static json_t *snp_json(const struct verifier_snp *r)
{
    json_t *o = json_object();

    json_object_set_new(o, "product", json_string(snp_product_name(r->product)));
    SET_UINT(o, r, version);
    SET_UINT(o, r, guest_svn);
    set_word(o, "policy", r->policy);
    SET_UINT(o, r, vmpl);
    SET_UINT(o, r, signature_algorithm);
    set_word(o, "platform_info", r->platform_info);
    SET_BOOL(o, r, author_key_en);
    SET_BOOL(o, r, mask_chip_key);
    json_object_set_new(o, "signing_key",
                        json_string(r->signing_key == 0   ? "VCEK"
                                    : r->signing_key == 1 ? "VLEK"
                                                          : "none"));
    if (r->has_cpuid)
        json_object_set_new(o, "cpuid",
                            json_pack("{s:i, s:i, s:i}", "family", r->cpuid_family, "model",
                                      r->cpuid_model, "stepping", r->cpuid_stepping));
    set_snp_ids(o, r);
    json_object_set_new(o, "current_tcb", snp_tcb_json(&r->current_tcb, r->product));
    json_object_set_new(o, "reported_tcb", snp_tcb_json(&r->reported_tcb, r->product));
    json_object_set_new(o, "committed_tcb", snp_tcb_json(&r->committed_tcb, r->product));
    json_object_set_new(o, "launch_tcb", snp_tcb_json(&r->launch_tcb, r->product));
    json_object_set_new(o, "current_version", version_json(r->current_version));
    json_object_set_new(o, "committed_version", version_json(r->committed_version));
    if (r->version >= 5) {
        set_word(o, "launch_mit_vector", r->launch_mit_vector);
        set_word(o, "current_mit_vector", r->current_mit_vector);
    }
    if (r->csp_id[0])
        json_object_set_new(o, "csp_id", json_string(r->csp_id));
    return o;
}

json_t *claims_json(const struct verifier_result *result)
{
    switch (result->tee) {
    case VERIFIER_TEE_SGX:
    case VERIFIER_TEE_TDX:
        return intel_json(result);
    case VERIFIER_TEE_SNP:
        return snp_json(&result->snp);
    default:
        return json_object();
    }
}

/* ---- for people ---- */

static void print_hex(FILE *f, const char *name, const uint8_t *bytes, size_t size)
{
    fprintf(f, "  %-11s ", name);
    for (size_t i = 0; i < size; i++)
        fprintf(f, "%02x", bytes[i]);
    fputc('\n', f);
}

static void print_advisories(const char *name, const struct verifier_advisories *list, FILE *f)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (i % 5 == 0)
            fprintf(f, "%s  %-11s", i ? "\n" : "", i ? "" : name);
        fprintf(f, " %s", list->names[i]);
    }
    if (list->count)
        fputc('\n', f);
}

static void print_intel(const struct verifier_result *r, FILE *f)
{
    char time[TIME_TEXT_SIZE];

    if (r->tee == VERIFIER_TEE_SGX) {
        print_hex(f, "mrenclave", r->sgx.mrenclave, sizeof r->sgx.mrenclave);
        print_hex(f, "mrsigner", r->sgx.mrsigner, sizeof r->sgx.mrsigner);
        fprintf(f, "  product     %u, security version %u\n", r->sgx.isv_prod_id, r->sgx.isv_svn);
    } else {
        print_hex(f, "mrtd", r->tdx.mrtd, sizeof r->tdx.mrtd);
    }
    if (r->intel.has_pck)
        print_hex(f, "fmspc", r->intel.fmspc, sizeof r->intel.fmspc);
    if (r->intel.tcb_status == VERIFIER_TCB_NONE)
        return;
    time_print(r->intel.tcb_date_s, time);
    fprintf(f, "  tcb         %s%s%.10s\n", verifier_tcb_status_name(r->intel.tcb_status),
            r->intel.tcb_date_s ? ", level of " : "", r->intel.tcb_date_s ? time : "");
    print_advisories("advisories", &r->intel.platform_advisories, f);
    print_advisories("of module", &r->intel.module_advisories, f);
    print_advisories("of QE", &r->intel.qe_advisories, f);
}

static void print_snp(const struct verifier_snp *r, FILE *f)
{
    print_hex(f, "measurement", r->measurement, sizeof r->measurement);
    print_hex(f, "host data", r->host_data, sizeof r->host_data);
    fprintf(f, "  product     %s, signed by its %s, VMPL %u\n", snp_product_name(r->product),
            r->is_vlek ? "VLEK" : "VCEK", r->vmpl);
    fprintf(f, "  tcb         boot loader %u, TEE %u, SNP %u, microcode %u\n",
            r->reported_tcb.bootloader, r->reported_tcb.tee, r->reported_tcb.snp,
            r->reported_tcb.microcode);
}

void claims_print(const struct verifier_result *result, FILE *f)
{
    if (result->tee == VERIFIER_TEE_SNP)
        print_snp(&result->snp, f);
    else if (result->tee != VERIFIER_TEE_NONE)
        print_intel(result, f);
}
