/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the quoting service. First byte: which request they answer. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "host/quote/aesm_message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aesm_request request = { .number = 1 };
    struct aesm_answer answer = { 0 };
    struct err err = { 0 };

    if (size == 0)
        return 0;
    request.kind = (enum aesm_kind)(data[0] % (AESM_COLLATERAL + 1));
    if (request.kind == AESM_QUOTE)
        request.number = 64;
    if (aesm_answer_parse(&request, data + 1, size - 1, &answer, &err) < 0) {
        assert(err.text[0] && !answer.data);
        return 0;
    }
    switch (request.kind) {
    case AESM_KEY_COUNT:
        assert(answer.number >= 1 && answer.number <= AESM_KEY_COUNT_MAX && !answer.data);
        break;
    case AESM_QUOTE_SIZE:
        assert(answer.number >= 1 && answer.number <= EVIDENCE_QUOTE_SIZE_MAX && !answer.data);
        break;
    case AESM_KEYS:
        assert(answer.size == AESM_KEY_ID_SIZE);
        break;
    case AESM_INIT:
        assert(answer.size == sizeof(struct sgx_targetinfo));
        break;
    case AESM_QUOTE:
        assert(answer.size >= 1 && answer.size <= request.number);
        break;
    case AESM_COLLATERAL:
        assert(answer.size >= 1 && answer.size <= EVIDENCE_COLLATERAL_SIZE_MAX);
        break;
    }
    free(answer.data);
    return 0;
}
