/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs to the quoting service (Intel SGX DCAP, ECDSA quote format). The answers stay untrusted; what is checked here is that
 * their form does no harm and that a quote is over the report that was asked about. Trusted; see ocall.h.
 */
#include <linux/errno.h>

#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define QUOTE_HEADER_SIZE 48u
#define QUOTE_V5_BODY_HEADER_SIZE 6u /* type and size of the body */

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* Host answer; any bit may be hostile. What is reserved in TARGETINFO makes EREPORT fault. */
static int target_decode(struct evidence_target *ret)
{
    struct evidence_target t;

    ocall_buffer_get(&t, 0, sizeof t);
    if (t.targetinfo.reserved1 || !is_zero(t.targetinfo.reserved2, sizeof t.targetinfo.reserved2) ||
        !is_zero(t.targetinfo.reserved3, sizeof t.targetinfo.reserved3) ||
        t.att_key_id.size > sizeof t.att_key_id.bytes || t.att_key_id.reserved)
        return -EIO;
    memset(t.att_key_id.bytes + t.att_key_id.size, 0,
           sizeof t.att_key_id.bytes - t.att_key_id.size);
    *ret = t;
    return 0;
}

int ocall_quote_target(struct evidence_target *ret)
{
    int rc = (int)ocall_simple(OCALL_quote_target, 0, 0, 0, 0, 0);

    return rc < 0 ? rc : target_decode(ret);
}

/* Host answer; any bit may be hostile: a quote about another enclave, or an older one, is not taken. */
static int quote_check(const uint8_t *quote, size_t size, const struct sgx_report *report)
{
    size_t off = QUOTE_HEADER_SIZE;
    uint16_t version;

    if (size < QUOTE_HEADER_SIZE + QUOTE_V5_BODY_HEADER_SIZE + sizeof report->body)
        return -EIO;
    memcpy(&version, quote, sizeof version);
    if (version < 3 || version > 5)
        return -EIO;
    if (version == 5)
        off += QUOTE_V5_BODY_HEADER_SIZE;
    return memcmp(quote + off, &report->body, sizeof report->body) == 0 ? 0 : -EIO;
}

int64_t ocall_quote(const struct evidence_quote_request *request, void *dst)
{
    int64_t size;
    int rc;

    ocall_buffer_put(0, request, sizeof *request);
    size = ocall_simple(OCALL_quote, 0, EVIDENCE_QUOTE_SIZE_MAX, 0, 0, EVIDENCE_QUOTE_SIZE_MAX);
    if (size < 0)
        return size;
    ocall_buffer_get(dst, 0, (size_t)size);
    rc = quote_check(dst, (size_t)size, &request->report);
    return rc < 0 ? rc : size;
}

int64_t ocall_quote_collateral(const void *quote, size_t quote_size, uint64_t off, void *dst,
                               size_t size, uint32_t *ret_total)
{
    struct ocall_answer answer;

    size = MIN(size, (size_t)OCALL_BUFFER_SIZE);
    if (quote_size > EVIDENCE_QUOTE_SIZE_MAX)
        return -EIO;
    ocall_buffer_put(0, quote, quote_size);
    ocall_run(OCALL_quote_collateral, (const uint64_t[6]){ off, size, quote_size }, size, &answer);
    if (answer.result < 0)
        return answer.result;
    if (answer.out[0] > EVIDENCE_COLLATERAL_SIZE_MAX || off > answer.out[0] ||
        (uint64_t)answer.result > answer.out[0] - off)
        return -EIO;
    ocall_buffer_get(dst, 0, (size_t)answer.result);
    *ret_total = (uint32_t)answer.out[0];
    return answer.result;
}
