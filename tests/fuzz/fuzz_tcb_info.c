/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCB info, v2 and v3: the signed text as it is, and its value signed by the test PKI, with a quote of the platform that it is for, so
 * that levels, modules, advisories and convergence are reached.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/verifier_judge.h"
#include "verifier/collateral.h"
#include "verifier/intel/signed_json.h"

static struct verifier_bytes get_quote(bool is_tdx)
{
    static uint8_t quotes[2][PKI_QUOTE_SIZE_MAX];
    static size_t sizes[2];

    if (sizes[is_tdx] == 0)
        sizes[is_tdx] =
            is_tdx ? pki_quote(pki_get(), 5, 3, quotes[1]) : pki_quote(pki_get(), 3, 1, quotes[0]);
    return (struct verifier_bytes){ quotes[is_tdx], sizes[is_tdx] };
}

static void check_info(const struct tcb_info *info)
{
    assert(info->level_count > 0 && info->level_count <= TCB_LEVEL_COUNT_MAX);
    assert(info->module_count <= TCB_MODULE_COUNT_MAX &&
           info->advisories.count <= TCB_ADVISORY_COUNT_MAX);
    for (unsigned i = 0; i < info->level_count; i++) {
        const struct tcb_level *level = &info->levels[i];

        assert(level->advisories.first + level->advisories.count <= info->advisories.count);
        assert(level->status > VERIFIER_TCB_NONE && level->status < VERIFIER_TCB_NOT_SUPPORTED);
    }
}

/* Parsed into collateral whose other parts were verified once. returns: borrowed. */
static struct verifier_collateral *get_collateral(struct verifier_bytes value, bool is_tdx)
{
    static struct verifier_collateral *kept[2];
    struct verifier_collateral *c;

    if (!kept[is_tdx]) {
        char tcb[PKI_JSON_SIZE_MAX], qe[PKI_JSON_SIZE_MAX];

        pki_tcb_info(is_tdx, tcb);
        pki_qe_identity(is_tdx, qe);
        kept[is_tdx] =
            pki_collateral(pki_get(), (struct verifier_bytes){ (uint8_t *)tcb, strlen(tcb) },
                           (struct verifier_bytes){ (uint8_t *)qe, strlen(qe) });
    }
    c = kept[is_tdx];
    c->tcb.is_readable = tcb_info_parse(value, c->tcb_info) == 0;
    return c;
}

static void evaluate(struct verifier_bytes value)
{
    static struct verifier_result r;
    struct verifier_collateral *c;
    bool is_tdx = memmem(value.data, value.size, "\"TDX\"", 5) != NULL;

    c = get_collateral(value, is_tdx);
    if (c->tcb.is_readable) {
        check_info(c->tcb_info);
        /* Whatever platform it names is the one of the quote. */
        memcpy(c->tcb_info->fmspc, pki_fmspc, sizeof pki_fmspc);
        memcpy(c->tcb_info->pce_id, pki_pce_id, sizeof pki_pce_id);
    }
    verifier_judge(get_quote(is_tdx), c, &r);
    if (!c->tcb.is_readable || c->tcb_info->is_tdx != is_tdx)
        assert(r.verdict == VERIFIER_CONTRAINDICATED);
}

/* The whole way: signed, in collateral of its own. */
static void check_signed(struct verifier_bytes value)
{
    static const char qe[] = "{}";
    struct verifier_collateral *c =
        pki_collateral(pki_get(), value, (struct verifier_bytes){ (const uint8_t *)qe, 2 });

    assert(!c->tcb.is_readable || c->tcb.is_signed);
    verifier_collateral_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verifier_bytes text = { data, size };
    struct signed_json json;

    if (size == 0 || size > 64 << 10)
        return 0;
    if (signed_json_parse(text, "tcbInfo", &json) == 0) {
        assert(json.value.data >= data && json.value.size <= size);
        text = json.value;
    }
    evaluate(text);
    if (size % 32 == 0) /* each item's signatures take a while */
        check_signed(text);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_json(data, size, max_size, seed);
}
