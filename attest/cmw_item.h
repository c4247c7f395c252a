/* SPDX-License-Identifier: Apache-2.0 */
/* What the two serialisations of a CMW share. Relying party and agent; within attest/cmw*.c. */
#pragma once

#include "attest/cmw.h"

#define CMW_TYPE_LABEL "__cmwc_t" /* the label that names a collection's type */

struct cmw {
    unsigned count;
    struct cmw_item items[CMW_ITEM_COUNT_MAX];
};

/* Checks parent and label and takes the next item. returns: its index; errors as cmw_add_record. */
MUST_CHECK int cmw_item_new(struct cmw *cmw, int parent, const char *label);
/* Whether it can be a Content-Type: type/subtype and parameters, in printable ASCII. */
bool cmw_is_media_type(const char *type);
/* Whether it can be a collection's type: a URI or a dotted OID. */
bool cmw_is_collection_type(const char *type);

/* Parses one CMW that fills the whole text. As cmw_parse. */
MUST_CHECK int cmw_json_parse(struct cmw *cmw, const uint8_t *data, size_t size, struct err *err);
MUST_CHECK int cmw_cbor_parse(struct cmw *cmw, const uint8_t *data, size_t size, struct err *err);
