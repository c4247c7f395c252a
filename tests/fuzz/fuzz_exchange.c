/* SPDX-License-Identifier: Apache-2.0 */
/* What the server reads of an agent: the evidence request (it begins with a brace), else a token. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/exchange/internal.h"
#include "tests/fuzz/fuzz.h"

static void read_request(const uint8_t *data, size_t size)
{
    json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    struct evidence_request request;
    struct err err = { "" };
    int rc;

    if (!body)
        return;
    rc = evidence_request_decode(body, &request, &err);
    assert(rc == 0 || rc == -EINVAL || rc == -ENOMEM);
    if (rc == 0) {
        uint8_t binding[64];

        assert(request.key && request.spki_size <= EXCHANGE_SPKI_SIZE_MAX);
        assert(request.evidence.size > 0 && request.evidence.size <= VERIFIER_EVIDENCE_SIZE_MAX);
        assert(!request.instance_id[0] || id_is_valid("ins", request.instance_id));
        assert(request.purpose != PURPOSE_NODE || request.node_id[0]);
        evidence_request_binding(&request, binding);
    } else if (rc == -EINVAL) {
        assert(err.text[0]);
    }
    evidence_request_done(&request);
    json_decref(body);
}

static void read_token(const uint8_t *data, size_t size)
{
    struct instance_token token;
    struct err err = { "" };

    if (token_parse((const char *)data, size, &token, &err) < 0)
        return;
    assert(id_is_valid("ins", token.instance_id));
    assert(memchr(token.audience, 0, sizeof token.audience));
    assert(memchr(token.id, 0, sizeof token.id) && token.id[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '{')
        read_request(data, size);
    else
        read_token(data, size);
    return 0;
}
