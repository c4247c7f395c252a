/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes accepted and what becomes refused when one policy takes another's place. Relying party; pure. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verifier/json_read.h"
#include "verifier/policy/policy.h"
#include "verifier/result.h"
#include "verifier/snp/report.h"

struct diff {
    verifier_change_fn *report;
    void *context;
};

PRINTF_LIKE(4, 5)
static void add(const struct diff *d, const char *member, enum verifier_change_effect effect,
                const char *format, ...)
{
    struct verifier_change change = { .member = member, .effect = effect };
    va_list args;

    va_start(args, format);
    vsnprintf(change.text, sizeof change.text, format, args);
    va_end(args);
    d->report(d->context, &change);
}

static enum verifier_change_effect effect_of(bool accepts_more)
{
    return accepts_more ? VERIFIER_CHANGE_ACCEPTS_MORE : VERIFIER_CHANGE_ACCEPTS_LESS;
}

/* ---- kinds of members ---- */

/* Something is accepted or not. */
static void compare_accepted(const struct diff *d, const char *member, bool old_accepts,
                             bool new_accepts, const char *what)
{
    if (old_accepts != new_accepts)
        add(d, member, effect_of(new_accepts), "%s", what);
}

/* A lower bound; 0: none. */
static void compare_min(const struct diff *d, const char *member, uint64_t old_min,
                        uint64_t new_min)
{
    if (old_min == new_min)
        return;
    if (old_min == 0)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_LESS, "less than %" PRIu64 "; before: any", new_min);
    else if (new_min == 0)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_MORE, "any; before: at least %" PRIu64, old_min);
    else
        add(d, member, effect_of(new_min < old_min), "%s %" PRIu64 "; before: at least %" PRIu64,
            new_min < old_min ? "at least" : "less than", new_min, old_min);
}

/* An upper bound; `any` stands for none. */
static void compare_max(const struct diff *d, const char *member, uint64_t old_max,
                        uint64_t new_max, uint64_t any)
{
    char old_text[24] = "any", new_text[24] = "any";
    uint64_t old_rank = old_max == any ? UINT64_MAX : old_max,
             new_rank = new_max == any ? UINT64_MAX : new_max;

    if (old_rank == new_rank)
        return;
    if (old_max != any)
        snprintf(old_text, sizeof old_text, "%" PRIu64, old_max);
    if (new_max != any)
        snprintf(new_text, sizeof new_text, "%" PRIu64, new_max);
    add(d, member, effect_of(new_rank > old_rank), "%s %s; before: %s",
        new_rank > old_rank ? "at most" : "more than", new_text, old_text);
}

/* How many of a list are accepted, when one of the two lists stands for all. returns: whether both name their entries. */
static bool compare_any(const struct diff *d, const char *member, bool old_any, bool new_any,
                        unsigned count, const char *what)
{
    if (!old_any && new_any)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_MORE, "any %s", what);
    if (old_any && !new_any)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_LESS, "any %s but the %u that are listed", what,
            count);
    return !old_any && !new_any;
}

static void compare_bits(const struct diff *d, const char *member, const struct policy_bits *was,
                         const struct policy_bits *is)
{
    uint64_t changed = (was->value ^ is->value) & was->mask & is->mask;

    if (is->mask & ~was->mask)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_LESS,
            "other values of the bits 0x%" PRIx64 " than 0x%" PRIx64, is->mask & ~was->mask,
            is->value & ~was->mask);
    if (was->mask & ~is->mask)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_MORE, "any value of the bits 0x%" PRIx64,
            was->mask & ~is->mask);
    if (changed)
        add(d, member, VERIFIER_CHANGE_ACCEPTS_OTHER,
            "the bits 0x%" PRIx64 " must be 0x%" PRIx64 "; before: 0x%" PRIx64, changed,
            is->value & changed, was->value & changed);
}

/* A bit that the policy has a name for. */
struct bit_name {
    unsigned bit;
    const char *member;
};

static const char *bit_text(uint64_t value)
{
    return value ? "true" : "false";
}

static void compare_bit(const struct diff *d, const struct bit_name *name,
                        const struct policy_bits *was, const struct policy_bits *is)
{
    uint64_t bit = 1ull << name->bit;

    if ((is->mask & ~was->mask) & bit)
        add(d, name->member, VERIFIER_CHANGE_ACCEPTS_LESS, "anything but %s",
            bit_text(is->value & bit));
    else if ((was->mask & ~is->mask) & bit)
        add(d, name->member, VERIFIER_CHANGE_ACCEPTS_MORE, "any; before: %s",
            bit_text(was->value & bit));
    else if ((was->value ^ is->value) & bit)
        add(d, name->member, VERIFIER_CHANGE_ACCEPTS_OTHER, "%s; before: %s",
            bit_text(is->value & bit), bit_text(was->value & bit));
}

/* Those with a name one by one, the others by their mask. */
static void compare_named_bits(const struct diff *d, const char *member,
                               const struct bit_name *names, unsigned count,
                               const struct policy_bits *was, const struct policy_bits *is)
{
    struct policy_bits was_rest = *was, is_rest = *is;

    for (unsigned i = 0; i < count; i++) {
        uint64_t bit = 1ull << names[i].bit;

        compare_bit(d, &names[i], was, is);
        was_rest.mask &= ~bit;
        was_rest.value &= ~bit;
        is_rest.mask &= ~bit;
        is_rest.value &= ~bit;
    }
    compare_bits(d, member, &was_rest, &is_rest);
}

static void print_hex(const uint8_t *bytes, size_t size, char dst[129])
{
    dst[0] = 0;
    for (size_t i = 0; i < size && i < 64; i++)
        snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- roots, kinds, identities ---- */

static void diff_roots(const struct diff *d, const struct verifier_policy *from,
                       const struct verifier_policy *with, bool accepts_more)
{
    char key[129];

    for (unsigned i = 0; i < from->root_count; i++) {
        if (policy_root_find(with, from->roots[i].key_sha256))
            continue;
        print_hex(from->roots[i].key_sha256, 32, key);
        add(d, "roots", effect_of(accepts_more), "%s (key %s)", from->roots[i].name, key);
    }
}

static void diff_kinds(const struct diff *d, const struct verifier_policy *was,
                       const struct verifier_policy *is)
{
    for (unsigned i = VERIFIER_TEE_SGX; i <= VERIFIER_TEE_SNP; i++)
        compare_accepted(d, "tee", was->tee[i], is->tee[i], verifier_tee_name(i));
    compare_accepted(d, "debug", was->debug, is->debug, "debug mode");
}

/* The same demands, whatever it is called. */
static bool is_same_identity(const struct policy_identity *a, const struct policy_identity *b)
{
    struct policy_identity x = *a, y = *b;

    memset(x.name, 0, sizeof x.name);
    memset(y.name, 0, sizeof y.name);
    return memcmp(&x, &y, sizeof x) == 0;
}

static const struct policy_bytes *main_measurement(const struct policy_identity *id)
{
    const struct policy_bytes *all[] = { &id->mrenclave,     &id->mrsigner,
                                         &id->mrtd,          &id->measurement,
                                         &id->id_key_digest, &id->author_key_digest };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        if (all[i]->size)
            return all[i];
    return &id->app_digest;
}

static void diff_identities(const struct diff *d, const struct verifier_policy *from,
                            const struct verifier_policy *with, bool accepts_more)
{
    char text[129];

    for (unsigned i = 0; i < from->identity_count; i++) {
        const struct policy_identity *id = &from->identities[i];
        bool found = false;

        for (unsigned j = 0; j < with->identity_count; j++)
            found |= is_same_identity(id, &with->identities[j]);
        if (found)
            continue;
        print_hex(main_measurement(id)->bytes, main_measurement(id)->size, text);
        add(d, "identities", effect_of(accepts_more), "\"%s\" in %s (%.16s...)", id->name,
            verifier_tee_name(id->tee), text);
    }
}

/* ---- Intel ---- */

static const struct bit_name g_td_attributes[] = { { 28, "intel.tdx.sept_ve_disable" },
                                                   { 29, "intel.tdx.migratable" },
                                                   { 30, "intel.tdx.protection_keys" },
                                                   { 31, "intel.tdx.key_locker" },
                                                   { 63, "intel.tdx.perfmon" } };

static const char *print_days(unsigned grace_days, char dst[32])
{
    if (grace_days == 0)
        return "without end";
    snprintf(dst, 32, "for %u days", grace_days);
    return dst;
}

static void add_status(const struct diff *d, const char *name, bool is_accepted,
                       unsigned grace_days)
{
    char days[32];

    if (grace_days == 0)
        add(d, "intel.tcb_status", effect_of(is_accepted), "%s", name);
    else
        add(d, "intel.tcb_status", effect_of(is_accepted), "%s %s", name,
            print_days(grace_days, days));
}

static void diff_statuses(const struct diff *d, const struct verifier_policy *was,
                          const struct verifier_policy *is)
{
    char was_text[32], is_text[32];

    for (unsigned i = VERIFIER_TCB_UP_TO_DATE; i < VERIFIER_TCB_STATUS_COUNT; i++) {
        const struct policy_status *a = &was->statuses[i], *b = &is->statuses[i];
        const char *name = verifier_tcb_status_name(i);

        if (a->accepted != b->accepted)
            add_status(d, name, b->accepted, (b->accepted ? b : a)->grace_days);
        else if (a->accepted && a->grace_days != b->grace_days)
            add(d, "intel.tcb_status",
                effect_of(b->grace_days == 0 || (a->grace_days && b->grace_days > a->grace_days)),
                "%s %s; before: %s", name, print_days(b->grace_days, is_text),
                print_days(a->grace_days, was_text));
    }
}

static bool has_advisory(const struct verifier_policy *p, const char *name)
{
    for (unsigned i = 0; i < p->advisory_count; i++)
        if (strcmp(p->advisories[i], name) == 0)
            return true;
    return false;
}

static void diff_advisories(const struct diff *d, const struct verifier_policy *was,
                            const struct verifier_policy *is)
{
    if (!compare_any(d, "intel.advisories", was->any_advisory, is->any_advisory, is->advisory_count,
                     "open advisory"))
        return;
    for (unsigned i = 0; i < is->advisory_count; i++)
        compare_accepted(d, "intel.advisories", has_advisory(was, is->advisories[i]), true,
                         is->advisories[i]);
    for (unsigned i = 0; i < was->advisory_count; i++)
        compare_accepted(d, "intel.advisories", true, has_advisory(is, was->advisories[i]),
                         was->advisories[i]);
}

static bool has_seam(const struct verifier_policy *p, const uint8_t *mrseam)
{
    for (unsigned i = 0; i < p->mrseam_count; i++)
        if (memcmp(p->mrseams[i], mrseam, sizeof p->mrseams[0]) == 0)
            return true;
    return false;
}

static void diff_seams(const struct diff *d, const struct verifier_policy *was,
                       const struct verifier_policy *is)
{
    char text[129];

    if (!compare_any(d, "intel.tdx.mrseam", was->mrseam_count == 0, is->mrseam_count == 0,
                     is->mrseam_count, "TDX module"))
        return;
    for (unsigned i = 0; i < is->mrseam_count; i++) {
        print_hex(is->mrseams[i], sizeof is->mrseams[0], text);
        compare_accepted(d, "intel.tdx.mrseam", has_seam(was, is->mrseams[i]), true, text);
    }
    for (unsigned i = 0; i < was->mrseam_count; i++) {
        print_hex(was->mrseams[i], sizeof was->mrseams[0], text);
        compare_accepted(d, "intel.tdx.mrseam", true, has_seam(is, was->mrseams[i]), text);
    }
}

static void diff_intel(const struct diff *d, const struct verifier_policy *was,
                       const struct verifier_policy *is)
{
    char new_date[TIME_TEXT_SIZE], old_date[TIME_TEXT_SIZE];

    diff_statuses(d, was, is);
    diff_advisories(d, was, is);
    compare_min(d, "intel.tcb_evaluation_min", was->tcb_evaluation_min, is->tcb_evaluation_min);
    time_print(is->tcb_date_min_s, new_date);
    time_print(was->tcb_date_min_s, old_date);
    if (was->tcb_date_min_s != is->tcb_date_min_s)
        add(d, "intel.tcb_date_min", effect_of(is->tcb_date_min_s < was->tcb_date_min_s),
            "levels before %s; before: %s", is->tcb_date_min_s ? new_date : "any date",
            was->tcb_date_min_s ? old_date : "any date");
    compare_min(d, "intel.pce_svn_min", was->pce_svn_min, is->pce_svn_min);
    compare_min(d, "intel.qe_isv_svn_min", was->qe_isv_svn_min, is->qe_isv_svn_min);
    compare_accepted(d, "intel.smt", !was->smt_refused, !is->smt_refused,
                     "platforms with simultaneous multithreading");
    compare_bits(d, "intel.sgx.attributes", &was->sgx_attributes[0], &is->sgx_attributes[0]);
    compare_bits(d, "intel.sgx.attributes (XFRM)", &was->sgx_attributes[1], &is->sgx_attributes[1]);
    compare_bits(d, "intel.sgx.misc_select", &was->sgx_misc_select, &is->sgx_misc_select);
    compare_named_bits(d, "intel.tdx.td_attributes", g_td_attributes, ARRAY_COUNT(g_td_attributes),
                       &was->td_attributes, &is->td_attributes);
    compare_bits(d, "intel.tdx.xfam", &was->xfam, &is->xfam);
    diff_seams(d, was, is);
}

/* ---- AMD ---- */

static const struct bit_name g_guest_policy[] = { { 21, "amd.guest_policy.cxl" },
                                                  { 22, "amd.guest_policy.memory_aes_256_xts" },
                                                  { 23, "amd.guest_policy.rapl_disabled" },
                                                  { 24, "amd.guest_policy.ciphertext_hiding" },
                                                  { 25, "amd.guest_policy.page_swap_disabled" } };
static const struct bit_name g_platform_info[] = { { 0, "amd.platform_info.smt" },
                                                   { 1, "amd.platform_info.tsme" },
                                                   { 2, "amd.platform_info.ecc" },
                                                   { 3, "amd.platform_info.rapl_disabled" },
                                                   { 4, "amd.platform_info.ciphertext_hiding" },
                                                   { 5,
                                                     "amd.platform_info.alias_check_complete" } };

static void diff_tcb(const struct diff *d, const char *member, unsigned product,
                     const struct verifier_snp_tcb *was, const struct verifier_snp_tcb *is)
{
    const struct {
        const char *name;
        uint8_t was, is;
    } parts[] = { { "fmc", was->fmc, is->fmc },
                  { "bootloader", was->bootloader, is->bootloader },
                  { "tee", was->tee, is->tee },
                  { "snp", was->snp, is->snp },
                  { "microcode", was->microcode, is->microcode } };
    char name[64];

    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        snprintf(name, sizeof name, "%s.%s.%s", member, snp_product_name(product), parts[i].name);
        compare_min(d, name, parts[i].was, parts[i].is);
    }
}

static bool has_csp(const struct verifier_policy *p, const char *id)
{
    for (unsigned i = 0; i < p->csp_count; i++)
        if (strcmp(p->csp_ids[i], id) == 0)
            return true;
    return false;
}

static void diff_csps(const struct diff *d, const struct verifier_policy *was,
                      const struct verifier_policy *is)
{
    if (!compare_any(d, "amd.csp_ids", was->csp_count == 0, is->csp_count == 0, is->csp_count,
                     "cloud provider"))
        return;
    for (unsigned i = 0; i < is->csp_count; i++)
        compare_accepted(d, "amd.csp_ids", has_csp(was, is->csp_ids[i]), true, is->csp_ids[i]);
    for (unsigned i = 0; i < was->csp_count; i++)
        compare_accepted(d, "amd.csp_ids", true, has_csp(is, was->csp_ids[i]), was->csp_ids[i]);
}

static void diff_amd(const struct diff *d, const struct verifier_policy *was,
                     const struct verifier_policy *is)
{
    const struct policy_bits was_mitigations = { was->mitigations, was->mitigations };
    const struct policy_bits is_mitigations = { is->mitigations, is->mitigations };

    for (unsigned i = VERIFIER_SNP_MILAN; i <= VERIFIER_SNP_TURIN; i++) {
        compare_accepted(d, "amd.products", was->products[i], is->products[i], snp_product_name(i));
        diff_tcb(d, "amd.tcb_min", i, &was->tcb_min[i], &is->tcb_min[i]);
        diff_tcb(d, "amd.committed_tcb_min", i, &was->committed_tcb_min[i],
                 &is->committed_tcb_min[i]);
        diff_tcb(d, "amd.launch_tcb_min", i, &was->launch_tcb_min[i], &is->launch_tcb_min[i]);
    }
    compare_accepted(d, "amd.vcek", was->vcek_accepted, is->vcek_accepted,
                     "reports signed by a VCEK");
    compare_accepted(d, "amd.vlek", was->vlek_accepted, is->vlek_accepted,
                     "reports signed by a VLEK");
    diff_csps(d, was, is);
    compare_max(d, "amd.vmpl_max", was->vmpl_max, is->vmpl_max, UINT64_MAX);
    compare_accepted(d, "amd.smt", !was->smt_guest_refused, !is->smt_guest_refused,
                     "guests that may run with SMT");
    compare_accepted(d, "amd.migration", !was->migration_refused, !is->migration_refused,
                     "guests that may have a migration agent");
    compare_accepted(d, "amd.single_socket", !was->single_socket_required,
                     !is->single_socket_required, "guests that may run on several sockets");
    compare_named_bits(d, "amd.guest_policy", g_guest_policy, ARRAY_COUNT(g_guest_policy),
                       &was->guest_policy, &is->guest_policy);
    compare_named_bits(d, "amd.platform_info", g_platform_info, ARRAY_COUNT(g_platform_info),
                       &was->platform_info, &is->platform_info);
    compare_bits(d, "amd.mitigations", &was_mitigations, &is_mitigations);
}

/* ---- platforms, freshness ---- */

static bool has_platform(const struct verifier_policy *p, const struct policy_bytes *id)
{
    for (unsigned i = 0; i < p->platform_count; i++)
        if (p->platforms[i].size == id->size &&
            memcmp(p->platforms[i].bytes, id->bytes, id->size) == 0)
            return true;
    return false;
}

static void diff_platforms(const struct diff *d, const struct verifier_policy *was,
                           const struct verifier_policy *is)
{
    char text[129];

    if (!compare_any(d, "platforms", was->platform_count == 0, is->platform_count == 0,
                     is->platform_count, "platform"))
        return;
    for (unsigned i = 0; i < is->platform_count; i++) {
        print_hex(is->platforms[i].bytes, is->platforms[i].size, text);
        compare_accepted(d, "platforms", has_platform(was, &is->platforms[i]), true, text);
    }
    for (unsigned i = 0; i < was->platform_count; i++) {
        print_hex(was->platforms[i].bytes, was->platforms[i].size, text);
        compare_accepted(d, "platforms", true, has_platform(is, &was->platforms[i]), text);
    }
}

void verifier_policy_diff(const struct verifier_policy *was, const struct verifier_policy *is,
                          verifier_change_fn *report, void *context)
{
    const struct diff d = { report, context };

    diff_roots(&d, is, was, true);
    diff_roots(&d, was, is, false);
    diff_kinds(&d, was, is);
    if (compare_any(&d, "identities", was->identity_count == 0, is->identity_count == 0,
                    is->identity_count, "program")) {
        diff_identities(&d, is, was, true);
        diff_identities(&d, was, is, false);
    }
    diff_intel(&d, was, is);
    diff_amd(&d, was, is);
    diff_platforms(&d, was, is);
    compare_accepted(&d, "freshness.nonce", !was->nonce_required, !is->nonce_required,
                     "evidence without a nonce");
    compare_max(&d, "freshness.age_max_s", was->age_max_s, is->age_max_s, 0);
}
