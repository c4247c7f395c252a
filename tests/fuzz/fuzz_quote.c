/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes of versions 3, 4 and 5: as they are, and signed anew by the test PKI, so that what lies behind the signatures is reached. A
 * bit that changes after signing must be found.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/verifier_judge.h"
#include "verifier/intel/quote.h"

static const struct verifier_collateral *collateral_for(bool is_tdx)
{
    static struct verifier_collateral *collateral[2];
    char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];

    if (!collateral[is_tdx]) {
        pki_tcb_info(is_tdx, tcb);
        pki_qe_identity(is_tdx, qe);
        collateral[is_tdx] =
            pki_collateral(pki_get(), (struct verifier_bytes){ (uint8_t *)tcb, strlen(tcb) },
                           (struct verifier_bytes){ (uint8_t *)qe, strlen(qe) });
    }
    return collateral[is_tdx];
}

/* In place of the PCK chain of the input stands that of the test PKI when their sizes allow it; else the collateral's is used. */
static void put_chain(uint8_t *quote, size_t size, bool *ret_kept)
{
    const struct pki *pki = pki_get();
    struct quote q;
    const char *why;
    uint8_t *data;

    *ret_kept = true;
    if (quote_parse((struct verifier_bytes){ quote, size }, &q, &why) < 0 ||
        q.certification_type != QUOTE_CERT_PCK_CHAIN)
        return;
    data = quote + (q.certification_data.data - quote);
    if (q.certification_data.size < pki->pck_chain.size || q.qe_auth_data.size % 2 == 1)
        return;
    memset(data, '\n', q.certification_data.size);
    memcpy(data, pki->pck_chain.data, pki->pck_chain.size);
    *ret_kept = false;
}

static void check_signed(uint8_t *quote, size_t size)
{
    static struct verifier_result r;
    const struct verifier_collateral *collateral;
    struct verifier_bytes evidence = { quote, size };
    struct quote q;
    const char *why;
    bool kept;
    size_t bit;

    put_chain(quote, size, &kept);
    if (!pki_quote_sign(pki_get(), quote, size) || quote_parse(evidence, &q, &why) < 0)
        return;
    collateral = collateral_for(q.tee_type == QUOTE_TEE_TDX);
    verifier_judge(evidence, collateral, &r);
    if (r.tee == VERIFIER_TEE_NONE)
        return;
    assert(r.checks[VERIFIER_CHECK_QUOTE_SIGNATURE].state == VERIFIER_CHECK_PASSED);
    assert(r.checks[VERIFIER_CHECK_QE_REPORT_BINDING].state == VERIFIER_CHECK_PASSED);
    assert(kept || r.checks[VERIFIER_CHECK_QE_REPORT_SIGNATURE].state == VERIFIER_CHECK_PASSED);
    bit = (q.body[0] | q.body[64] << 8) % (8 * (q.signed_part.size - QUOTE_HEADER_SIZE - 6));
    quote[QUOTE_HEADER_SIZE + 6 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    verifier_judge(evidence, collateral, &r);
    assert(r.verdict == VERIFIER_CONTRAINDICATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verifier_result r;
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    memcpy(copy, data, size);
    verifier_judge((struct verifier_bytes){ copy, size },
                   collateral_for(size > 4 && copy[4] == QUOTE_TEE_TDX), &r);
    assert(r.verdict != VERIFIER_AFFIRMING); /* nobody but this process has the keys */
    check_signed(copy, size);
    free(copy);
    return 0;
}

/* Header, both kinds of body, and the lengths of versions 3, 4 and 5 where they stand in the seeds. */
static const struct mutate_field g_fields[] = {
    { 0, 2 },    { 2, 2 },    { 4, 4 },    { 8, 2 },    { 10, 2 },   { 12, 16 },
    { 28, 20 },  { 48, 2 },   { 50, 4 },   { 48, 16 },  { 64, 4 },   { 96, 16 },
    { 112, 32 }, { 176, 32 }, { 304, 2 },  { 306, 2 }, /* SGX body, v5 descriptor */
    { 48, 1 },   { 49, 1 },   { 50, 1 },   { 54, 1 },   { 55, 1 },   { 64, 48 },
    { 112, 48 }, { 160, 8 },  { 168, 8 },  { 176, 8 },  { 184, 48 }, { 376, 48 },
    { 568, 64 }, { 632, 16 }, /* TD body */
    { 432, 4 },  { 436, 64 }, { 500, 64 }, { 564, 16 }, { 580, 4 },  { 612, 16 },
    { 628, 32 }, { 692, 32 }, { 820, 2 },  { 822, 2 },  { 884, 64 }, { 948, 64 },
    { 1012, 2 }, { 1046, 2 }, { 1048, 4 }, /* v3: signature data to certification data */
    { 632, 4 },  { 764, 2 },  { 766, 4 },  { 1218, 2 }, { 1220, 4 }, { 1252, 2 },
    { 1254, 4 },                                                                  /* v4, TD 1.0 */
    { 702, 4 },  { 834, 2 },  { 836, 4 },  { 1288, 2 }, { 1322, 2 }, { 1324, 4 }, /* v5, TD 1.5 */
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_fields(data, size, max_size, seed, g_fields,
                         sizeof g_fields / sizeof g_fields[0]);
}
