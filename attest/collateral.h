/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collateral on its ways: in a CMW's "collateral" collection, in a certificate's endorsements extension, and as the verifier takes it.
 * Relying party and agent. What comes from outside is hostile; the verifier checks every signature in it.
 */
#pragma once

#include "attest/buffer.h"
#include "attest/cmw.h"
#include "verifier/verifier.h"

#define COLLATERAL_LABEL "collateral" /* of the collection */

/* One kind of item: how it is called, its media type, and where it is in the verifier's struct. */
struct collateral_kind {
    const char *label; /* "tcb_info" */
    const char *file;  /* its name in a folder, as `cloche verify --collateral` reads it */
    const char *type;
    size_t off; /* of the struct verifier_bytes in struct verifier_collateral_items */
};
#define COLLATERAL_KIND_COUNT 13u
extern const struct collateral_kind g_collateral_kinds[COLLATERAL_KIND_COUNT];

/* The place of a kind in items. */
struct verifier_bytes *collateral_place(struct verifier_collateral_items *items,
                                        const struct collateral_kind *kind);
bool collateral_is_empty(const struct verifier_collateral_items *items);

/* What the collection `parent` holds; unknown labels are passed over. *ret borrows from the cmw. */
void collateral_from_cmw(const struct cmw *cmw, int parent, struct verifier_collateral_items *ret);
/* Adds all that is there. returns: 0; errors of cmw_add_record. */
MUST_CHECK int collateral_add_to_cmw(struct cmw *cmw, int parent,
                                     const struct verifier_collateral_items *items);

/*
 * Endorsements as interoperable RA-TLS has them for Intel: tag 60000 over [version, TCB info, its chain, PCK CRL, root CRL, CRL chain, QE identity,
 * its chain]; for AMD, a CMW collection. returns: 0; -ENOENT there is nothing to say; -E2BIG; -ENOMEM.
 */
MUST_CHECK int collateral_encode_endorsements(const struct verifier_collateral_items *items,
                                              struct buffer *ret);
/*
 * Reads either. *ret borrows from data, or from *ret_cmw, which the caller frees (it may be NULL). returns: 0; -EINVAL; -E2BIG; -ENOMEM.
 */
MUST_CHECK int collateral_parse_endorsements(const uint8_t *data, size_t size,
                                             struct verifier_collateral_items *ret,
                                             struct cmw **ret_cmw);
