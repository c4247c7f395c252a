/* SPDX-License-Identifier: Apache-2.0 */
/* Reads SEV-SNP reports, AMD 56860, ATTESTATION_REPORT. Relying party; input hostile. */
#include "verifier/snp/report.h"

#include <errno.h>
#include <string.h>

#include "lib/digest.h"
#include "verifier/ecdsa.h"
#include "verifier/little_endian.h"

#define SIGNATURE_FIELD_SIZE 72
#define COORDINATE_SIZE 48
#define SIGNING_KEY_VCEK 0
#define SIGNING_KEY_VLEK 1

static const char *const g_product_names[] = {
    [VERIFIER_SNP_UNKNOWN] = "unknown",
    [VERIFIER_SNP_MILAN] = "Milan",
    [VERIFIER_SNP_GENOA] = "Genoa",
    [VERIFIER_SNP_TURIN] = "Turin",
};

const char *snp_product_name(enum verifier_snp_product product)
{
    return g_product_names[product < ARRAY_COUNT(g_product_names) ? product : 0];
}

enum verifier_snp_product snp_product_of_name(const char *name)
{
    for (unsigned i = VERIFIER_SNP_MILAN; i < ARRAY_COUNT(g_product_names); i++) {
        size_t len = strlen(g_product_names[i]);

        if (strncmp(name, g_product_names[i], len) == 0 && (name[len] == 0 || name[len] == '-'))
            return i;
    }
    return VERIFIER_SNP_UNKNOWN;
}

enum verifier_snp_product snp_product_of_cpuid(unsigned family, unsigned model)
{
    if (family == 0x1a)
        return VERIFIER_SNP_TURIN;
    if (family != 0x19)
        return VERIFIER_SNP_UNKNOWN;
    if (model <= 0x0f)
        return VERIFIER_SNP_MILAN;
    if (model <= 0x1f || (model >= 0xa0 && model <= 0xaf))
        return VERIFIER_SNP_GENOA;
    return VERIFIER_SNP_UNKNOWN;
}

static struct verifier_snp_tcb parse_tcb(const uint8_t *p, enum verifier_snp_product product)
{
    if (product == VERIFIER_SNP_TURIN)
        return (struct verifier_snp_tcb){
            .fmc = p[0], .bootloader = p[1], .tee = p[2], .snp = p[3], .microcode = p[7]
        };
    return (
        struct verifier_snp_tcb){ .bootloader = p[0], .tee = p[1], .snp = p[6], .microcode = p[7] };
}

void snp_report_tcbs(const uint8_t *report, enum verifier_snp_product product,
                     struct verifier_snp *ret)
{
    ret->current_tcb = parse_tcb(report + 0x38, product);
    ret->reported_tcb = parse_tcb(report + 0x180, product);
    ret->committed_tcb = parse_tcb(report + 0x1e0, product);
    ret->launch_tcb = parse_tcb(report + 0x1f0, product);
}

bool snp_tcb_reaches(const struct verifier_snp_tcb *a, const struct verifier_snp_tcb *b)
{
    return a->fmc >= b->fmc && a->bootloader >= b->bootloader && a->tee >= b->tee &&
           a->snp >= b->snp && a->microcode >= b->microcode;
}

/* Build, minor, major. */
static void parse_version(const uint8_t *p, uint8_t ret[3])
{
    ret[0] = p[2];
    ret[1] = p[1];
    ret[2] = p[0];
}

static void parse_identity(const uint8_t *b, struct verifier_snp *r)
{
    memcpy(r->family_id, b + 0x10, 16);
    memcpy(r->image_id, b + 0x20, 16);
    memcpy(r->report_data, b + 0x50, 64);
    memcpy(r->measurement, b + 0x90, 48);
    memcpy(r->host_data, b + 0xc0, 32);
    memcpy(r->id_key_digest, b + 0xe0, 48);
    memcpy(r->author_key_digest, b + 0x110, 48);
    memcpy(r->report_id, b + 0x140, 32);
    memcpy(r->report_id_ma, b + 0x160, 32);
    memcpy(r->chip_id, b + 0x1a0, 64);
}

int snp_report_parse(struct verifier_bytes evidence, struct verifier_snp *r, const char **ret_why)
{
    const uint8_t *b = evidence.data;
    uint32_t flags;

    if (evidence.size != SNP_REPORT_SIZE) {
        *ret_why = "a report has 1184 bytes";
        return -EINVAL;
    }
    memset(r, 0, sizeof *r);
    r->version = get_le32(b);
    if (r->version != 2 && r->version != 3 && r->version != 5) {
        *ret_why = "a report version other than 2, 3 and 5";
        return -EINVAL;
    }
    r->guest_svn = get_le32(b + 4);
    r->policy = get_le64(b + 8);
    r->is_debug = r->policy & SNP_POLICY_DEBUG;
    r->vmpl = get_le32(b + 0x30);
    r->signature_algorithm = get_le32(b + 0x34);
    r->platform_info = get_le64(b + 0x40);
    flags = get_le32(b + 0x48);
    r->author_key_en = flags & 1;
    r->mask_chip_key = flags & 2;
    r->signing_key = flags >> 2 & 7;
    r->is_vlek = r->signing_key == SIGNING_KEY_VLEK;
    parse_identity(b, r);
    parse_version(b + 0x1e8, r->current_version);
    parse_version(b + 0x1ec, r->committed_version);
    if (r->version >= 3) {
        r->has_cpuid = true;
        r->cpuid_family = b[0x188];
        r->cpuid_model = b[0x189];
        r->cpuid_stepping = b[0x18a];
        r->product = (uint8_t)snp_product_of_cpuid(r->cpuid_family, r->cpuid_model);
    }
    if (r->version >= 5) {
        r->launch_mit_vector = get_le64(b + 0x1f8);
        r->current_mit_vector = get_le64(b + 0x200);
    }
    return 0;
}

/* A little-endian number in a 72-byte field to 48 big-endian bytes. False: it is larger than 48 bytes hold. */
static bool number_convert(const uint8_t *field, uint8_t ret[COORDINATE_SIZE])
{
    uint8_t above = 0;

    for (unsigned i = COORDINATE_SIZE; i < SIGNATURE_FIELD_SIZE; i++)
        above |= field[i];
    for (unsigned i = 0; i < COORDINATE_SIZE; i++)
        ret[i] = field[COORDINATE_SIZE - 1 - i];
    return above == 0;
}

bool snp_signature_verify(void *evp_key, const uint8_t *signed_part, size_t size,
                          const uint8_t *signature)
{
    uint8_t r[COORDINATE_SIZE], s[COORDINATE_SIZE], digest[SHA384_SIZE];

    if (!number_convert(signature, r) || !number_convert(signature + SIGNATURE_FIELD_SIZE, s))
        return false;
    sha384_digest(signed_part, size, digest);
    return ecdsa_verify(evp_key, r, s, digest, COORDINATE_SIZE);
}
