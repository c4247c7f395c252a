/* SPDX-License-Identifier: Apache-2.0 */
/* SEV-SNP reports: as they are, and signed anew by the test PKI's VCEK. A bit that changes after signing must be found. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/verifier_judge.h"
#include "verifier/snp/report.h"

static const struct verifier_collateral *get_collateral(void)
{
    static struct verifier_collateral *collateral;
    const struct pki *pki = pki_get_amd();
    struct verifier_collateral_items items = { .vek = pki->vek, .vek_chain = pki->vek_chain };
    struct err err = { 0 };

    if (!collateral)
        assert(verifier_collateral_new(&items, &collateral, &err) == 0);
    return collateral;
}

static void check_signed(uint8_t *report)
{
    static struct verifier_result r;
    struct verifier_bytes evidence = { report, SNP_REPORT_SIZE };
    size_t bit = (report[0x50] | report[0x51] << 8) % (8 * (SNP_SIGNED_SIZE - 4));

    pki_report_sign(pki_get(), report);
    verifier_judge(evidence, get_collateral(), &r);
    if (r.tee != VERIFIER_TEE_SNP)
        return;
    assert(r.checks[VERIFIER_CHECK_REPORT_SIGNATURE].state == VERIFIER_CHECK_PASSED);
    if (r.verdict == VERIFIER_AFFIRMING) {
        assert(!(r.snp.policy & SNP_POLICY_DEBUG) && r.snp.signing_key == 0);
        assert(snp_tcb_reaches(&r.snp.current_tcb, &r.snp.committed_tcb));
    }
    report[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    verifier_judge(evidence, get_collateral(), &r);
    assert(r.verdict == VERIFIER_CONTRAINDICATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verifier_result r;
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    verifier_judge((struct verifier_bytes){ copy, size }, get_collateral(), &r);
    assert(r.verdict != VERIFIER_AFFIRMING);
    if (size == SNP_REPORT_SIZE)
        check_signed(copy);
    free(copy);
    return 0;
}

static const struct mutate_field g_fields[] = {
    { 0, 4 },      { 4, 4 },      { 8, 8 },      { 10, 1 },     { 0x10, 16 }, { 0x20, 16 },
    { 0x30, 4 },   { 0x34, 4 },   { 0x38, 8 },   { 0x38, 1 },   { 0x3e, 1 },  { 0x3f, 1 },
    { 0x40, 8 },   { 0x48, 4 },   { 0x48, 1 },   { 0x50, 64 },  { 0x90, 48 }, { 0xc0, 32 },
    { 0xe0, 48 },  { 0x110, 48 }, { 0x140, 32 }, { 0x160, 32 }, { 0x180, 8 }, { 0x180, 1 },
    { 0x186, 1 },  { 0x187, 1 },  { 0x188, 1 },  { 0x189, 1 },  { 0x18a, 1 }, { 0x1a0, 64 },
    { 0x1e0, 8 },  { 0x1e8, 3 },  { 0x1ec, 3 },  { 0x1f0, 8 },  { 0x1f8, 8 }, { 0x200, 8 },
    { 0x2a0, 72 }, { 0x2e8, 72 }, { 0x2d0, 24 },
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_fields(data, size, max_size, seed, g_fields,
                         sizeof g_fields / sizeof g_fields[0]);
}
