/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What attested TLS reads from the other end and from the host. The first byte says which: a certificate, its claims, its endorsements,
 * or what configfs-tsm passes on beside the evidence (an AMD table or a CMW).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "attest/cert_claims.h"
#include "attest/collateral.h"
#include "attest/tsm_blobs.h"
#include "tests/fuzz/fuzz.h"

/* What is good as a certificate of its own is good when an authority answers for it. */
static void read_cert(const uint8_t *data, size_t size)
{
    struct cert_content content;
    const uint8_t *at = data;
    X509 *cert = d2i_X509(NULL, &at, (long)size);
    bool is_own = cert && cert_read(cert, &content, NULL) == 0;

    if (is_own) {
        assert(content.evidence.size > 0 && content.evidence.size <= VERIFIER_EVIDENCE_SIZE_MAX);
        cert_content_done(&content);
    }
    if (cert && cert_read_issued(cert, &content, NULL) == 0) {
        assert(content.evidence.size > 0 && content.evidence.size <= VERIFIER_EVIDENCE_SIZE_MAX);
        cert_content_done(&content);
    } else {
        assert(!is_own);
    }
    X509_free(cert);
}

static void read_claims(const uint8_t *data, size_t size)
{
    static EVP_PKEY *key;
    uint8_t report_data[64];
    int rc;

    if (!key)
        key = EVP_EC_gen("P-256");
    rc = cert_claims_verify((struct verifier_bytes){ data, size }, key, report_data, NULL);
    /* Nobody guesses the hash of a key that was made a moment ago. */
    assert(rc == -EINVAL || rc == -EBADMSG || rc == -ENOTSUP);
}

static void read_endorsements(const uint8_t *data, size_t size)
{
    struct verifier_collateral_items items;
    struct buffer encoded;
    struct cmw *cmw = NULL;

    if (collateral_parse_endorsements(data, size, &items, &cmw) < 0)
        return;
    buffer_init(&encoded, CERT_SIZE_MAX);
    assert(collateral_encode_endorsements(&items, &encoded) ==
           (collateral_is_empty(&items) ? -ENOENT : 0));
    buffer_done(&encoded);
    cmw_free(cmw);
}

static void wrap(const char *provider, const uint8_t *data, size_t size)
{
    struct tsm_blobs blobs = {
        .out = (uint8_t *)"x", .out_size = 1, .aux = (uint8_t *)data, .aux_size = size
    };
    struct cmw *cmw = NULL;
    size_t i = 0;

    for (; provider[i]; i++)
        blobs.provider[i] = provider[i];
    assert(tsm_blobs_wrap(&blobs, &cmw, NULL) == 0);
    assert(cmw_item_find(cmw, 0, CERT_LABEL_EVIDENCE) == 1);
    cmw_free(cmw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0]) {
    case 'C':
        read_cert(data + 1, size - 1);
        break;
    case 'K':
        read_claims(data + 1, size - 1);
        break;
    case 'E':
        read_endorsements(data + 1, size - 1);
        break;
    case 'A':
        wrap("sev_guest", data + 1, size - 1);
        break;
    case 'I':
        wrap("cloche_sgx", data + 1, size - 1);
        break;
    }
    return 0;
}
