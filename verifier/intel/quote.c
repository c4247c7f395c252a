/* SPDX-License-Identifier: Apache-2.0 */
/* Takes an Intel quote apart; every length is checked against what holds it. Relying party; input hostile. */
#include "verifier/intel/quote.h"

#include <errno.h>
#include <string.h>

#include "verifier/little_endian.h"

#define ATTESTATION_KEY_ECDSA_P256 2u
#define BODY_DESCRIPTOR_SIZE 6u

/* Intel's quoting enclaves name themselves so in the header. */
static const uint8_t g_vendor_id[16] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                         0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

/* What is left to read; `why` says what was wrong, once. */
struct cursor {
    const uint8_t *at, *end;
    const char *why;
};

/* The next size bytes; NULL, and why is set, when there are less. */
static const uint8_t *take(struct cursor *c, size_t size, const char *why)
{
    const uint8_t *p = c->at;

    if (c->why)
        return NULL;
    if (size > (size_t)(c->end - c->at)) {
        c->why = why;
        return NULL;
    }
    c->at += size;
    return p;
}

static uint16_t take_u16(struct cursor *c, const char *why)
{
    const uint8_t *p = take(c, 2, why);

    return p ? get_le16(p) : 0;
}

static uint32_t take_u32(struct cursor *c, const char *why)
{
    const uint8_t *p = take(c, 4, why);

    return p ? get_le32(p) : 0;
}

static void refuse(struct cursor *c, const char *why)
{
    if (!c->why)
        c->why = why;
}

static size_t body_size(enum quote_body_type type)
{
    return type == QUOTE_BODY_SGX       ? QUOTE_SGX_REPORT_SIZE
           : type == QUOTE_BODY_TDX_1_0 ? QUOTE_TDX_1_0_SIZE
                                        : QUOTE_TDX_1_5_SIZE;
}

static void parse_header(struct cursor *c, struct quote *q)
{
    const uint8_t *h = take(c, QUOTE_HEADER_SIZE, "shorter than a quote's header");

    if (!h)
        return;
    q->version = get_le16(h);
    if (q->version < 3 || q->version > 5) {
        refuse(c, "a quote version other than 3, 4 and 5");
        return;
    }
    if (get_le16(h + 2) != ATTESTATION_KEY_ECDSA_P256)
        refuse(c, "an attestation key type other than ECDSA P-256");
    q->tee_type = q->version == 3 ? QUOTE_TEE_SGX : get_le32(h + 4);
    if (q->version == 3 && get_le32(h + 4) != 0)
        refuse(c, "reserved bytes of the header are not zero");
    if (q->tee_type != QUOTE_TEE_SGX && q->tee_type != QUOTE_TEE_TDX)
        refuse(c, "a TEE type other than SGX and TDX");
    if (memcmp(h + 12, g_vendor_id, sizeof g_vendor_id) != 0)
        refuse(c, "a quoting enclave vendor other than Intel");
}

static void parse_body(struct cursor *c, struct quote *q)
{
    q->body_type = q->tee_type == QUOTE_TEE_SGX ? QUOTE_BODY_SGX : QUOTE_BODY_TDX_1_0;
    if (q->version == 5) {
        uint16_t type = take_u16(c, "ends before the body");
        uint32_t size = take_u32(c, "ends before the body");

        if (type < QUOTE_BODY_SGX || type > QUOTE_BODY_TDX_1_5)
            refuse(c, "an unknown body type");
        else if (size != body_size(type))
            refuse(c, "the body's size is not that of its type");
        else if ((type == QUOTE_BODY_SGX) != (q->tee_type == QUOTE_TEE_SGX))
            refuse(c, "the body's type is not that of the TEE");
        if (c->why)
            return;
        q->body_type = type;
    }
    q->body = take(c, body_size(q->body_type), "ends inside the report body");
}

static void parse_certification(struct cursor *c, struct quote *q)
{
    q->certification_type = take_u16(c, "ends before the certification data");
    q->certification_data.size = take_u32(c, "ends before the certification data");
    q->certification_data.data = take(c, q->certification_data.size,
                                      "the certification data are longer than what holds them");
}

/* QE report, its signature, authentication data, then the certification of the PCE. */
static void parse_qe(struct cursor *c, struct quote *q)
{
    q->qe_report = take(c, QUOTE_SGX_REPORT_SIZE, "ends inside the quoting enclave's report");
    q->qe_signature = take(c, 64, "ends inside the quoting enclave's signature");
    q->qe_auth_data.size = take_u16(c, "ends before the authentication data");
    q->qe_auth_data.data =
        take(c, q->qe_auth_data.size, "the authentication data are longer than what holds them");
    parse_certification(c, q);
    if (c->at != c->end)
        refuse(c, "bytes are left after the certification data: two lengths disagree");
}

/* From v4 on the quoting enclave's part is certification data of type 6. */
static void parse_nested(struct cursor *c, struct quote *q)
{
    struct cursor inner;

    parse_certification(c, q);
    if (c->at != c->end)
        refuse(c, "bytes are left after the certification data: two lengths disagree");
    if (q->certification_type != QUOTE_CERT_QE_REPORT)
        refuse(c, "the outer certification data are not a quoting enclave's report");
    if (c->why)
        return;
    inner = (struct cursor){ .at = q->certification_data.data,
                             .end = q->certification_data.data + q->certification_data.size };
    parse_qe(&inner, q);
    if (inner.why)
        refuse(c, inner.why);
    if (q->certification_type == QUOTE_CERT_QE_REPORT)
        refuse(c, "certification data of type 6 inside each other");
}

static void parse_signature_data(struct cursor *c, struct quote *q)
{
    struct cursor inner;

    q->signature_data_size = take_u32(c, "ends before the signature data");
    inner.at = take(c, q->signature_data_size, "shorter than its signature data");
    if (!inner.at)
        return;
    inner.end = inner.at + q->signature_data_size;
    inner.why = NULL;
    q->signature = take(&inner, 64, "ends inside the signature");
    q->attestation_key = take(&inner, 64, "ends inside the attestation key");
    if (q->version == 3)
        parse_qe(&inner, q);
    else
        parse_nested(&inner, q);
    if (inner.why)
        refuse(c, inner.why);
}

int quote_parse(struct verifier_bytes evidence, struct quote *ret, const char **ret_why)
{
    struct quote q = { 0 };
    struct cursor c = { .at = evidence.data, .end = evidence.data + evidence.size };

    parse_header(&c, &q);
    if (!c.why)
        parse_body(&c, &q);
    q.signed_part = (struct verifier_bytes){ evidence.data, (size_t)(c.at - evidence.data) };
    if (!c.why)
        parse_signature_data(&c, &q);
    if (c.why) {
        *ret_why = c.why;
        return -EINVAL;
    }
    q.trailing_size = (uint32_t)(c.end - c.at);
    *ret = q;
    return 0;
}

const char *quote_certification_name(unsigned type)
{
    static const char *const names[] = {
        [QUOTE_CERT_PPID_CLEAR] = "PPID in clear (type 1)",
        [QUOTE_CERT_PPID_RSA2048] = "PPID encrypted with RSA-2048-OAEP (type 2)",
        [QUOTE_CERT_PPID_RSA3072] = "PPID encrypted with RSA-3072-OAEP (type 3)",
        [QUOTE_CERT_PCK_LEAF] = "PCK leaf certificate (type 4)",
        [QUOTE_CERT_PCK_CHAIN] = "PCK certificate chain (type 5)",
        [QUOTE_CERT_QE_REPORT] = "quoting enclave report (type 6)",
        [QUOTE_CERT_PLATFORM_MANIFEST] = "platform manifest (type 7)",
    };

    return type < ARRAY_COUNT(names) && names[type] ? names[type] : "unknown certification data";
}

/* ---- claims ---- */

static const uint8_t *copy(void *dst, const uint8_t *src, size_t size)
{
    memcpy(dst, src, size);
    return src + size;
}

/* SDM vol. 3D, table "REPORT". */
void quote_sgx_report_parse(const uint8_t *b, struct verifier_sgx_report *r)
{
    copy(r->cpu_svn, b, 16);
    r->misc_select = get_le32(b + 16);
    copy(r->isv_ext_prod_id, b + 32, 16);
    copy(r->attributes, b + 48, 16);
    copy(r->mrenclave, b + 64, 32);
    copy(r->mrsigner, b + 128, 32);
    copy(r->config_id, b + 192, 64);
    r->isv_prod_id = get_le16(b + 256);
    r->isv_svn = get_le16(b + 258);
    r->config_svn = get_le16(b + 260);
    copy(r->isv_family_id, b + 304, 16);
    copy(r->report_data, b + 320, 64);
}

void quote_tdx_report_parse(const uint8_t *b, bool is_1_5, struct verifier_tdx_report *r)
{
    b = copy(r->tee_tcb_svn, b, 16);
    b = copy(r->mrseam, b, 48);
    b = copy(r->mrsignerseam, b, 48);
    b = copy(r->seam_attributes, b, 8);
    b = copy(r->td_attributes, b, 8);
    b = copy(r->xfam, b, 8);
    b = copy(r->mrtd, b, 48);
    b = copy(r->mrconfigid, b, 48);
    b = copy(r->mrowner, b, 48);
    b = copy(r->mrownerconfig, b, 48);
    b = copy(r->rtmr, b, sizeof r->rtmr);
    b = copy(r->report_data, b, 64);
    r->is_1_5 = is_1_5;
    if (!is_1_5)
        return;
    b = copy(r->tee_tcb_svn2, b, 16);
    copy(r->mrservicetd, b, 48);
}

void quote_claims(const struct quote *q, struct verifier_intel *r)
{
    const uint8_t *h = q->signed_part.data;

    r->quote_version = q->version;
    r->attestation_key_type = get_le16(h + 2);
    r->tee_type = q->tee_type;
    r->body_type = q->version == 5 ? q->body_type : 0;
    if (q->version == 3) {
        r->qe_svn = get_le16(h + 8);
        r->pce_svn = get_le16(h + 10);
    }
    copy(r->qe_vendor_id, h + 12, 16);
    copy(r->user_data, h + 28, 20);
    r->signature_data_size = q->signature_data_size;
    r->trailing_size = q->trailing_size;
    r->qe_auth_data_size = (uint16_t)q->qe_auth_data.size;
    copy(r->qe_auth_data, q->qe_auth_data.data, MIN(q->qe_auth_data.size, sizeof r->qe_auth_data));
    r->certification_data_type = q->certification_type;
    r->certification_data_size = (uint32_t)q->certification_data.size;
    quote_sgx_report_parse(q->qe_report, &r->qe_report);
}
