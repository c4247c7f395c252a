/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conceptual message wrapper (RATS CMW, draft-ietf-rats-msg-wrap): evidence and what goes with it, each with its media type, as
 * JSON or CBOR. Relying party and agent. What is parsed may be hostile.
 *
 * Known forms: records (JSON and CBOR arrays), collections (objects and maps, nested to CMW_DEPTH_MAX) and CBOR tags over byte strings
 * (RFC 9277, appendix B). Tunnels (one serialisation inside the other) and integer labels are refused.
 *
 * Evidence of an enclave or guest travels as a collection:
 *
 *     { "evidence": ["application/vnd.cloche.intel-quote", "...", 4],
 *       "collateral": { "tcb_info": ["application/json", "...", 2], ... } }
 */
#pragma once

#include "lib/defs.h"
#include "lib/err.h"

#define CMW_SIZE_MAX (8u << 20) /* of an encoded one */
#define CMW_ITEM_COUNT_MAX 64u  /* records and collections together */
#define CMW_DEPTH_MAX 4u
#define CMW_LABEL_SIZE 64u /* with NUL */
#define CMW_TYPE_SIZE 128u /* with NUL */

/* Of the `ind` bitmap. */
#define CMW_REFERENCE_VALUES 1u
#define CMW_ENDORSEMENTS 2u
#define CMW_EVIDENCE 4u
#define CMW_ATTESTATION_RESULTS 8u

/* An ECDSA quote of SGX or TDX, as the quoting enclave gives it; its header says which. */
#define CMW_TYPE_INTEL_QUOTE "application/vnd.cloche.intel-quote"
/* ATTESTATION_REPORT of SEV-SNP (draft-deeglaze-amd-sev-snp-corim-profile). */
#define CMW_TYPE_SNP_REPORT "application/vnd.amd.sev-snp.attestation-report"
#define CMW_TYPE_JSON "application/json"
#define CMW_TYPE_PEM_CHAIN "application/pem-certificate-chain"
#define CMW_TYPE_CRL "application/pkix-crl"
#define CMW_TYPE_CERT "application/pkix-cert"
#define CMW_TYPE_BYTES "application/octet-stream"

#define CMW_TOP (-1) /* as parent: the outermost one */

struct cmw_item {
    bool is_collection;
    int parent;                 /* index of the collection that it is in; CMW_TOP */
    char label[CMW_LABEL_SIZE]; /* in its collection; empty at the top */
    char type
        [CMW_TYPE_SIZE]; /* a record's media type, or empty; a collection's type (URI or OID), or empty */
    uint32_t content_format; /* CoAP's, of a CBOR record without media type */
    uint32_t indicators;     /* CMW_EVIDENCE and so on; 0: not said */
    uint8_t *data;           /* of a record; owned by the cmw */
    size_t size;
};

struct cmw;
/* returns: 0; -ENOMEM. */
MUST_CHECK int cmw_new(struct cmw **ret);
void cmw_free(struct cmw *cmw); /* NULL allowed */
static inline void cmw_freep(struct cmw **cmw)
{
    cmw_free(*cmw);
}

/*
 * Adds a record (its bytes are copied) or a collection to a collection, or as the outermost one. A collection is filled before anything
 * is added behind it. returns: its index; -EINVAL no such open collection, no label or too long a one, not a media type; -EEXIST the label is there, or there is an
 * outermost one; -E2BIG more than CMW_ITEM_COUNT_MAX, nested too deeply; -ENOMEM.
 */
MUST_CHECK int cmw_add_record(struct cmw *cmw, int parent, const char *label, const char *type,
                              uint32_t indicators, const void *data, size_t size);
MUST_CHECK int cmw_add_collection(struct cmw *cmw, int parent, const char *label, const char *type);

/* Items in the order of the text, each after its collection; items[0] is the outermost one. */
unsigned cmw_item_count(const struct cmw *cmw);
const struct cmw_item *cmw_item_get(const struct cmw *cmw, int index);
/* returns: index; -ENOENT. */
MUST_CHECK int cmw_item_find(const struct cmw *cmw, int parent, const char *label);

/*
 * Parses either serialisation, told by the first byte. returns: 0; -EINVAL malformed, or of a form that is not known, and err says why;
 * -E2BIG a limit is exceeded; -ENOMEM.
 */
MUST_CHECK int cmw_parse(const uint8_t *data, size_t size, struct cmw **ret, struct err *err);

/* NUL-ended, for free(). returns: 0; -EINVAL empty; -ENOTSUP a record has no media type; -E2BIG; -ENOMEM. */
MUST_CHECK int cmw_encode_json(const struct cmw *cmw, char **ret, size_t *ret_size);
/* For free(). returns: 0; -EINVAL empty; -E2BIG; -ENOMEM. */
MUST_CHECK int cmw_encode_cbor(const struct cmw *cmw, uint8_t **ret, size_t *ret_size);
