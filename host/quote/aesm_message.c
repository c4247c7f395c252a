/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes requests to AESM and reads its answers. Untrusted side; answers may be hostile. Messages: aesm.proto. */
#include "host/quote/aesm_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/quote/aesm.pb-c.h"

/* ---- requests ---- */

static ProtobufCBinaryData borrow(const uint8_t *data, size_t size)
{
    return (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)data };
}

int64_t aesm_request_encode(const struct aesm_request *r, uint8_t *dst)
{
    Aesm__Request message = AESM__REQUEST__INIT;
    Aesm__Request__GetSupportedAttKeyIDNum count = AESM__REQUEST__GET_SUPPORTED_ATT_KEY_IDNUM__INIT;
    Aesm__Request__GetSupportedAttKeyIDs keys = AESM__REQUEST__GET_SUPPORTED_ATT_KEY_IDS__INIT;
    Aesm__Request__InitQuoteEx init = AESM__REQUEST__INIT_QUOTE_EX__INIT;
    Aesm__Request__GetQuoteSizeEx size = AESM__REQUEST__GET_QUOTE_SIZE_EX__INIT;
    Aesm__Request__GetQuoteEx quote = AESM__REQUEST__GET_QUOTE_EX__INIT;
    Aesm__Request__Collateral collateral = AESM__REQUEST__COLLATERAL__INIT;
    uint32_t timeout_us = r->timeout_ms * 1000;
    ProtobufCBinaryData key = borrow(r->key, r->key ? AESM_KEY_ID_SIZE : 0);

    switch (r->kind) {
    case AESM_KEY_COUNT:
        count.has_timeout = true;
        count.timeout = timeout_us;
        message.get_supported_att_key_id_num = &count;
        break;
    case AESM_KEYS:
        keys.buf_size = r->number * AESM_KEY_ID_SIZE;
        keys.has_timeout = true;
        keys.timeout = timeout_us;
        message.get_supported_att_key_ids = &keys;
        break;
    case AESM_INIT:
        init.has_att_key_id = r->key != NULL;
        init.att_key_id = key;
        init.b_pub_key_id = true;
        init.has_buf_size = true;
        init.buf_size = AESM_PUBLIC_KEY_ID_SIZE;
        init.has_timeout = true;
        init.timeout = timeout_us;
        message.init_quote_ex = &init;
        break;
    case AESM_QUOTE_SIZE:
        size.has_att_key_id = r->key != NULL;
        size.att_key_id = key;
        size.has_timeout = true;
        size.timeout = timeout_us;
        message.get_quote_size_ex = &size;
        break;
    case AESM_QUOTE:
        quote.report = borrow(r->payload, r->payload_size);
        quote.has_att_key_id = r->key != NULL;
        quote.att_key_id = key;
        quote.buf_size = r->number;
        quote.has_timeout = true;
        quote.timeout = timeout_us;
        message.get_quote_ex = &quote;
        break;
    case AESM_COLLATERAL:
        collateral.quote = borrow(r->payload, r->payload_size);
        collateral.has_timeout = true;
        collateral.timeout = timeout_us;
        message.collateral = &collateral;
        break;
    }
    if (aesm__request__get_packed_size(&message) > AESM_REQUEST_SIZE_MAX)
        return -E2BIG;
    return (int64_t)aesm__request__pack(&message, dst);
}

/* ---- the service's errors: aesm_error_t of Intel's ---- */

static const struct {
    uint32_t code;
    int error;
    const char *text;
} g_errors[] = {
    { 1, EIO, "an unexpected error of the service" },
    { 2, ENODEV, "the service has no SGX device" },
    { 3, EIO, "the service does not accept the request's parameters" },
    { 12, EAGAIN, "the service cannot reach the network" },
    { 13, EAGAIN, "the network is busy" },
    { 14, EIO, "the service's proxy must be set" },
    { 15, EIO, "the service cannot access its files" },
    { 16, EIO, "provisioning of the platform failed" },
    { 17, ENODEV, "the service was stopped" },
    { 18, EAGAIN, "the service is busy" },
    { 19, EAGAIN, "the provisioning server is busy" },
    { 20, EIO, "the platform needs an update" },
    { 21, EAGAIN, "the service is out of memory" },
    { 22, EIO, "the service could not read the request" },
    { 23, EIO, "a thread of the service failed" },
    { 24, ENODEV, "SGX is not available on this machine" },
    { 25, ENODEV, "SGX could not be enabled" },
    { 29, EAGAIN, "there is no room in the EPC for the quoting enclave" },
    { 30, ENODEV, "the service is not available: is its quoting plug-in installed?" },
};

const char *aesm_error_text(uint32_t code)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_errors); i++)
        if (g_errors[i].code == code)
            return g_errors[i].text;
    return "an error that this program does not know";
}

int aesm_error_errno(uint32_t code)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_errors); i++)
        if (g_errors[i].code == code)
            return -g_errors[i].error;
    return -EIO;
}

/* ---- answers ---- */

/* What all kinds of answers come down to. */
struct raw {
    bool is_there; /* an answer of the kind that was asked for */
    uint32_t error_code;
    bool has_number, has_bytes;
    uint32_t number;
    ProtobufCBinaryData bytes;
};

static struct raw take(const Aesm__Response *m, enum aesm_kind kind)
{
    const Aesm__Response__GetSupportedAttKeyIDNum *count = m->get_supported_att_key_id_num;
    const Aesm__Response__GetSupportedAttKeyIDs *keys = m->get_supported_att_key_ids;
    const Aesm__Response__InitQuoteEx *init = m->init_quote_ex;
    const Aesm__Response__GetQuoteSizeEx *size = m->get_quote_size_ex;
    const Aesm__Response__GetQuoteEx *quote = m->get_quote_ex;
    const Aesm__Response__Collateral *collateral = m->collateral;

    switch (kind) {
    case AESM_KEY_COUNT:
        if (count)
            return (struct raw){ .is_there = true,
                                 .error_code = count->error_code,
                                 .has_number = count->has_att_key_id_num,
                                 .number = count->att_key_id_num };
        break;
    case AESM_KEYS:
        if (keys)
            return (struct raw){ true, keys->error_code, .has_bytes = keys->has_att_key_ids,
                                 .bytes = keys->att_key_ids };
        break;
    case AESM_INIT:
        if (init)
            return (struct raw){ true, init->error_code, .has_bytes = init->has_target_info,
                                 .bytes = init->target_info };
        break;
    case AESM_QUOTE_SIZE:
        if (size)
            return (struct raw){ .is_there = true,
                                 .error_code = size->error_code,
                                 .has_number = size->has_quote_size,
                                 .number = size->quote_size };
        break;
    case AESM_QUOTE:
        if (quote)
            return (struct raw){ true, quote->error_code, .has_bytes = quote->has_quote,
                                 .bytes = quote->quote };
        break;
    case AESM_COLLATERAL:
        if (collateral)
            return (struct raw){ true, collateral->error_code,
                                 .has_bytes = collateral->has_collateral,
                                 .bytes = collateral->collateral };
        break;
    }
    return (struct raw){ 0 };
}

static bool number_fits(enum aesm_kind kind, uint32_t number)
{
    return kind == AESM_KEY_COUNT ? number >= 1 && number <= AESM_KEY_COUNT_MAX
                                  : number >= 1 && number <= EVIDENCE_QUOTE_SIZE_MAX;
}

static bool size_fits(const struct aesm_request *r, size_t size)
{
    switch (r->kind) {
    case AESM_KEYS:
        return size == (size_t)r->number * AESM_KEY_ID_SIZE;
    case AESM_INIT:
        return size == sizeof(struct sgx_targetinfo);
    case AESM_QUOTE:
        return size >= 1 && size <= r->number;
    case AESM_COLLATERAL:
        return size >= 1 && size <= EVIDENCE_COLLATERAL_SIZE_MAX;
    default:
        return false;
    }
}

static int check_raw(const struct aesm_request *r, const struct raw *raw, struct err *err)
{
    bool wants_number = r->kind == AESM_KEY_COUNT || r->kind == AESM_QUOTE_SIZE;

    if (!raw->is_there)
        return err_set(err, -EIO, "the service answered something else than was asked");
    if (raw->error_code != 0)
        return err_set(err, aesm_error_errno(raw->error_code), "%s (AESM error %u)",
                       aesm_error_text(raw->error_code), raw->error_code);
    if (wants_number && !(raw->has_number && number_fits(r->kind, raw->number)))
        return err_set(err, -EIO, "the service answered with a number out of range, or none");
    if (!wants_number && !(raw->has_bytes && size_fits(r, raw->bytes.len)))
        return err_set(err, -EIO, "the service's answer has a wrong size, %zu bytes",
                       raw->has_bytes ? raw->bytes.len : 0);
    return 0;
}

int aesm_answer_parse(const struct aesm_request *request, const uint8_t *data, size_t size,
                      struct aesm_answer *ret, struct err *err)
{
    Aesm__Response *message = aesm__response__unpack(NULL, size, data);
    struct aesm_answer answer = { 0 };
    struct raw raw;
    int rc;

    if (!message)
        return err_set(err, -EIO, "the service's answer cannot be read");
    raw = take(message, request->kind);
    if (!raw.is_there && message->unsupported_request)
        rc = err_set(err, -ENODEV, "the service does not know the request");
    else
        rc = check_raw(request, &raw, err);
    if (rc == 0) {
        answer.number = raw.number;
        answer.size = raw.has_bytes ? raw.bytes.len : 0;
        answer.data = answer.size ? malloc(answer.size) : NULL;
        if (answer.data)
            memcpy(answer.data, raw.bytes.data, answer.size);
        else if (answer.size)
            rc = -ENOMEM;
    }
    aesm__response__free_unpacked(message, NULL);
    if (rc == 0)
        *ret = answer;
    return rc;
}
