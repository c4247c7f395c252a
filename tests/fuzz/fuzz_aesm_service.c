/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the emulated quoting service, from hostile clients. The quoting enclave is a stand-in that refuses odd reports. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/quote/aesm_message.h"
#include "host/sgx/emu/quoting/service.h"
#include "tests/fuzz/fuzz.h"

#define QUOTE_SIZE 1000

static const struct sgx_targetinfo g_target;
static const uint8_t g_mrsigner[32] = { 0x5a };

const struct sgx_targetinfo *quoting_target(const struct quoting *q)
{
    return &g_target;
}

const uint8_t *quoting_mrsigner(const struct quoting *q)
{
    return g_mrsigner;
}

int64_t quoting_quote_size(struct quoting *q, struct err *err)
{
    return QUOTE_SIZE;
}

int64_t quoting_quote(struct quoting *q, const struct sgx_report *report, uint8_t *dst,
                      struct err *err)
{
    uint8_t first;

    memcpy(&first, report, 1);
    if (first & 1)
        return err_set(err, -EBADMSG, "odd");
    memset(dst, first, QUOTE_SIZE);
    return QUOTE_SIZE;
}

int quoting_collateral(struct quoting *q, uint8_t **ret, size_t *ret_size, struct err *err)
{
    *ret = calloc(1, 4);
    *ret_size = 4;
    return *ret ? 0 : -ENOMEM;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    uint8_t *out = NULL;
    size_t out_size = 0;
    uint32_t announced;

    if (quoting_answer(NULL, data, size, &out, &out_size, &err) < 0) {
        assert(err.text[0] && !out);
        return 0;
    }
    assert(out_size > AESM_SIZE_SIZE && out_size <= AESM_SIZE_SIZE + AESM_RESPONSE_SIZE_MAX);
    memcpy(&announced, out, sizeof announced);
    assert(announced == out_size - AESM_SIZE_SIZE);
    free(out);
    return 0;
}
