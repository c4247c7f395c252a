/* SPDX-License-Identifier: Apache-2.0 */
/* Identities of quoting enclaves: the signed text as it is, and its value signed by the test PKI, with quotes of both kinds. */
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
            is_tdx ? pki_quote(pki_get(), 4, 2, quotes[1]) : pki_quote(pki_get(), 3, 1, quotes[0]);
    return (struct verifier_bytes){ quotes[is_tdx], sizes[is_tdx] };
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
    c->qe.is_readable = qe_identity_parse(value, c->qe_identity) == 0;
    return c;
}

static void evaluate(struct verifier_bytes value, bool is_tdx)
{
    static struct verifier_result r;
    struct verifier_collateral *c = get_collateral(value, is_tdx);

    if (c->qe.is_readable) {
        assert(c->qe_identity->version == 2);
        assert(c->qe_identity->tcb.count <= TCB_MODULE_LEVEL_COUNT_MAX);
        /* Whatever signer it names is the one of the quoting enclave. */
        memcpy(c->qe_identity->mrsigner, "the signer of quoting enclaves!!", 32);
    }
    verifier_judge(get_quote(is_tdx), c, &r);
    if (!c->qe.is_readable || strcmp(c->qe_identity->id, is_tdx ? "TD_QE" : "QE") != 0)
        assert(r.verdict == VERIFIER_CONTRAINDICATED);
}

/* The whole way: signed, in collateral of its own. */
static void check_signed(struct verifier_bytes value)
{
    static const char tcb[] = "{}";
    struct verifier_collateral *c =
        pki_collateral(pki_get(), (struct verifier_bytes){ (const uint8_t *)tcb, 2 }, value);

    assert(!c->qe.is_readable || c->qe.is_signed);
    verifier_collateral_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verifier_bytes text = { data, size };
    struct signed_json json;

    if (size == 0 || size > 64 << 10)
        return 0;
    if (signed_json_parse(text, "enclaveIdentity", &json) == 0)
        text = json.value;
    evaluate(text, memmem(text.data, text.size, "TD_QE", 5) != NULL);
    if (size % 32 == 0) /* each item's signatures take a while */
        check_signed(text);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_json(data, size, max_size, seed);
}
