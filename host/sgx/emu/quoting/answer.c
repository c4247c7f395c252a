/* SPDX-License-Identifier: Apache-2.0 */
/* AESM's protocol, the service's side: what is answered to a request. Untrusted side; clients may be hostile. Messages: aesm.proto. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/quote/aesm.pb-c.h"
#include "host/quote/aesm_message.h"
#include "host/sgx/emu/quoting/service.h"

/* aesm_error_t */
#define AESM_UNEXPECTED 1u
#define AESM_PARAMETER 3u

#define KEY_ID_MRSIGNER_SIZE_OFF 4u
#define KEY_ID_MRSIGNER_OFF 6u

/* sgx_att_key_id_ext_t: version, the quoting enclave's MRSIGNER, the algorithm. */
static void key_id_make(const struct quoting *q, uint8_t ret[AESM_KEY_ID_SIZE])
{
    memset(ret, 0, AESM_KEY_ID_SIZE);
    ret[KEY_ID_MRSIGNER_SIZE_OFF] = 32;
    memcpy(ret + KEY_ID_MRSIGNER_OFF, quoting_mrsigner(q), 32);
    ret[AESM_KEY_ALGORITHM_OFF] = AESM_ALGORITHM_ECDSA_P256;
}

static bool is_our_key(const struct quoting *q, bool has, ProtobufCBinaryData key)
{
    uint8_t ours[AESM_KEY_ID_SIZE];

    key_id_make(q, ours);
    return !has || (key.len == sizeof ours && memcmp(key.data, ours, sizeof ours) == 0);
}

/* ---- one answer ---- */

struct reply {
    Aesm__Response message;
    union {
        Aesm__Response__GetSupportedAttKeyIDNum count;
        Aesm__Response__GetSupportedAttKeyIDs keys;
        Aesm__Response__InitQuoteEx init;
        Aesm__Response__GetQuoteSizeEx size;
        Aesm__Response__GetQuoteEx quote;
        Aesm__Response__Collateral collateral;
        Aesm__Response__UnsupportedRequest unsupported;
    };
    uint8_t *data; /* owned, what a part points to */
};

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .len = size, .data = (uint8_t *)data };
}

static void reply_keys(struct quoting *q, const Aesm__Request__GetSupportedAttKeyIDs *m,
                       struct reply *r)
{
    static _Thread_local uint8_t key[AESM_KEY_ID_SIZE];

    key_id_make(q, key);
    r->keys =
        (Aesm__Response__GetSupportedAttKeyIDs)AESM__RESPONSE__GET_SUPPORTED_ATT_KEY_IDS__INIT;
    r->message.get_supported_att_key_ids = &r->keys;
    r->keys.error_code = m->buf_size >= sizeof key ? 0 : AESM_PARAMETER;
    r->keys.has_att_key_ids = r->keys.error_code == 0;
    r->keys.att_key_ids = bytes(key, sizeof key);
}

static void reply_init(struct quoting *q, const Aesm__Request__InitQuoteEx *m, struct reply *r)
{
    static const uint8_t no_id[AESM_PUBLIC_KEY_ID_SIZE];
    bool good = is_our_key(q, m->has_att_key_id, m->att_key_id);

    r->init = (Aesm__Response__InitQuoteEx)AESM__RESPONSE__INIT_QUOTE_EX__INIT;
    r->message.init_quote_ex = &r->init;
    r->init.error_code = good ? 0 : AESM_PARAMETER;
    r->init.has_target_info = r->init.has_pub_key_id_size = good;
    r->init.target_info = bytes(quoting_target(q), sizeof *quoting_target(q));
    r->init.pub_key_id_size = sizeof no_id;
    r->init.has_pub_key_id = good && m->b_pub_key_id;
    r->init.pub_key_id = bytes(no_id, sizeof no_id);
}

static void reply_size(struct quoting *q, const Aesm__Request__GetQuoteSizeEx *m, struct reply *r,
                       struct err *err)
{
    int64_t size =
        is_our_key(q, m->has_att_key_id, m->att_key_id) ? quoting_quote_size(q, err) : -EINVAL;

    r->size = (Aesm__Response__GetQuoteSizeEx)AESM__RESPONSE__GET_QUOTE_SIZE_EX__INIT;
    r->message.get_quote_size_ex = &r->size;
    r->size.error_code = size == -EINVAL ? AESM_PARAMETER : size < 0 ? AESM_UNEXPECTED : 0;
    r->size.has_quote_size = size > 0;
    r->size.quote_size = (uint32_t)size;
}

static void reply_quote(struct quoting *q, const Aesm__Request__GetQuoteEx *m, struct reply *r,
                        struct err *err)
{
    struct sgx_report report;
    int64_t size = -EINVAL;

    r->data = malloc(EVIDENCE_QUOTE_SIZE_MAX);
    if (r->data && m->report.len == sizeof report &&
        is_our_key(q, m->has_att_key_id, m->att_key_id)) {
        memcpy(&report, m->report.data, sizeof report);
        size = quoting_quote(q, &report, r->data, err);
    }
    if (size > m->buf_size)
        size = -EINVAL;
    r->quote = (Aesm__Response__GetQuoteEx)AESM__RESPONSE__GET_QUOTE_EX__INIT;
    r->message.get_quote_ex = &r->quote;
    r->quote.error_code = size > 0                              ? 0
                          : size == -EINVAL || size == -EBADMSG ? AESM_PARAMETER
                                                                : AESM_UNEXPECTED;
    r->quote.has_quote = size > 0;
    r->quote.quote = bytes(r->data, size > 0 ? (size_t)size : 0);
}

static void reply_collateral(struct quoting *q, struct reply *r, struct err *err)
{
    size_t size = 0;
    int rc = quoting_collateral(q, &r->data, &size, err);

    r->collateral = (Aesm__Response__Collateral)AESM__RESPONSE__COLLATERAL__INIT;
    r->message.collateral = &r->collateral;
    r->collateral.error_code = rc < 0 ? AESM_UNEXPECTED : 0;
    r->collateral.has_collateral = rc == 0;
    r->collateral.collateral = bytes(r->data, size);
}

static void reply_make(struct quoting *q, const Aesm__Request *m, struct reply *r, struct err *err)
{
    r->message = (Aesm__Response)AESM__RESPONSE__INIT;
    r->data = NULL;
    if (m->get_supported_att_key_id_num) {
        r->count = (Aesm__Response__GetSupportedAttKeyIDNum)
            AESM__RESPONSE__GET_SUPPORTED_ATT_KEY_IDNUM__INIT;
        r->message.get_supported_att_key_id_num = &r->count;
        r->count.error_code = 0;
        r->count.has_att_key_id_num = true;
        r->count.att_key_id_num = 1;
    } else if (m->get_supported_att_key_ids) {
        reply_keys(q, m->get_supported_att_key_ids, r);
    } else if (m->init_quote_ex) {
        reply_init(q, m->init_quote_ex, r);
    } else if (m->get_quote_size_ex) {
        reply_size(q, m->get_quote_size_ex, r, err);
    } else if (m->get_quote_ex) {
        reply_quote(q, m->get_quote_ex, r, err);
    } else if (m->collateral) {
        reply_collateral(q, r, err);
    } else {
        r->unsupported =
            (Aesm__Response__UnsupportedRequest)AESM__RESPONSE__UNSUPPORTED_REQUEST__INIT;
        r->message.unsupported_request = &r->unsupported;
    }
}

/* ---- the whole ---- */

int quoting_answer(struct quoting *q, const uint8_t *request, size_t size, uint8_t **ret,
                   size_t *ret_size, struct err *err)
{
    Aesm__Request *m = aesm__request__unpack(NULL, size, request);
    struct reply reply;
    size_t out_size;
    uint8_t *out;

    if (!m)
        return err_set(err, -EINVAL, "a client sent no request");
    reply_make(q, m, &reply, err);
    out_size = aesm__response__get_packed_size(&reply.message);
    out = malloc(AESM_SIZE_SIZE + out_size);
    if (out) {
        for (unsigned i = 0; i < AESM_SIZE_SIZE; i++)
            out[i] = (uint8_t)(out_size >> 8 * i);
        aesm__response__pack(&reply.message, out + AESM_SIZE_SIZE);
    }
    aesm__request__free_unpacked(m, NULL);
    free(reply.data);
    if (!out)
        return err_set_errno(err, -ENOMEM, "no answer");
    *ret = out;
    *ret_size = AESM_SIZE_SIZE + out_size;
    return 0;
}
