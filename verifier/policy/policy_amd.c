/* SPDX-License-Identifier: Apache-2.0 */
/* Reads "amd" of policies. Relying party; the text may be hostile. */
#include <errno.h>
#include <string.h>

#include "verifier/little_endian.h"
#include "verifier/policy/policy_read.h"
#include "verifier/snp/report.h"

static int read_tcb(struct json_pull *j, void *dst)
{
    struct verifier_snp_tcb *tcb = dst;
    const struct json_member members[] = { { "fmc", json_read_u8, &tcb->fmc },
                                           { "bootloader", json_read_u8, &tcb->bootloader },
                                           { "tee", json_read_u8, &tcb->tee },
                                           { "snp", json_read_u8, &tcb->snp },
                                           { "microcode", json_read_u8, &tcb->microcode } };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

static int read_products(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    char name[16];
    int rc = json_pull_array_begin(j);

    memset(p->products, 0, sizeof p->products);
    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        enum verifier_snp_product product;

        rc = json_read_string(j, name, sizeof name);
        if (rc < 0)
            return rc;
        product = snp_product_of_name(name);
        if (product == VERIFIER_SNP_UNKNOWN)
            return json_pull_fail(j, "a product is \"Milan\", \"Genoa\" or \"Turin\"");
        p->products[product] = true;
    }
    return rc;
}

/* dst: one TCB for each product. */
static int read_tcb_min(struct json_pull *j, void *dst)
{
    struct verifier_snp_tcb *min = dst;
    const struct json_member members[] = {
        { "Milan", read_tcb, &min[VERIFIER_SNP_MILAN] },
        { "Genoa", read_tcb, &min[VERIFIER_SNP_GENOA] },
        { "Turin", read_tcb, &min[VERIFIER_SNP_TURIN] },
    };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

/* ---- bits: AMD 56860, "Guest Policy" and PLATFORM_INFO ---- */

struct bit_target {
    struct policy_bits *bits;
    unsigned bit;
};

static int read_bit(struct json_pull *j, void *dst)
{
    const struct bit_target *target = dst;

    return policy_read_bit(j, target->bits, target->bit);
}

static int read_guest_policy(struct json_pull *j, void *dst)
{
    struct policy_bits *b = dst;
    struct bit_target cxl = { b, 21 }, aes = { b, 22 }, rapl = { b, 23 }, hiding = { b, 24 },
                      swap = { b, 25 };
    const struct json_member members[] = { { "cxl", read_bit, &cxl },
                                           { "memory_aes_256_xts", read_bit, &aes },
                                           { "rapl_disabled", read_bit, &rapl },
                                           { "ciphertext_hiding", read_bit, &hiding },
                                           { "page_swap_disabled", read_bit, &swap } };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

static int read_platform_info(struct json_pull *j, void *dst)
{
    struct policy_bits *b = dst;
    struct bit_target smt = { b, 0 }, tsme = { b, 1 }, ecc = { b, 2 }, rapl = { b, 3 },
                      hiding = { b, 4 }, alias = { b, 5 };
    const struct json_member members[] = { { "smt", read_bit, &smt },
                                           { "tsme", read_bit, &tsme },
                                           { "ecc", read_bit, &ecc },
                                           { "rapl_disabled", read_bit, &rapl },
                                           { "ciphertext_hiding", read_bit, &hiding },
                                           { "alias_check_complete", read_bit, &alias } };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}

static int read_mitigations(struct json_pull *j, void *dst)
{
    uint8_t bytes[8];
    int rc = json_read_hex(j, bytes, sizeof bytes);

    if (rc == 0)
        *(uint64_t *)dst = get_le64(bytes);
    return rc;
}

static int read_csp_ids(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    int rc = json_pull_array_begin(j);

    while (rc >= 0 && (rc = json_pull_array_next(j)) > 0) {
        if (p->csp_count == POLICY_CSP_COUNT_MAX)
            return json_pull_fail(j, "too many cloud providers");
        rc = policy_read_name(j, p->csp_ids[p->csp_count++]);
    }
    return rc;
}

int policy_read_amd(struct json_pull *j, void *dst)
{
    struct verifier_policy *p = dst;
    const struct json_member members[] = {
        { "products", read_products, p },
        { "tcb_min", read_tcb_min, p->tcb_min },
        { "committed_tcb_min", read_tcb_min, p->committed_tcb_min },
        { "launch_tcb_min", read_tcb_min, p->launch_tcb_min },
        { "guest_policy", read_guest_policy, &p->guest_policy },
        { "platform_info", read_platform_info, &p->platform_info },
        { "mitigations", read_mitigations, &p->mitigations },
        { "vcek", policy_read_bool, &p->vcek_accepted },
        { "vlek", policy_read_bool, &p->vlek_accepted },
        { "csp_ids", read_csp_ids, p },
        { "vmpl_max", json_read_u32, &p->vmpl_max },
        { "smt", policy_read_not, &p->smt_guest_refused },
        { "migration", policy_read_not, &p->migration_refused },
        { "single_socket", policy_read_bool, &p->single_socket_required }
    };

    return policy_read_members(j, members, ARRAY_COUNT(members));
}
