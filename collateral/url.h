/* SPDX-License-Identifier: Apache-2.0 */
/* Where items are served. Relying party; within collateral/. Source: Intel PCS API v4, Intel PCCS API, AMD 57230 section 4. */
#pragma once

#include "collateral/collateral.h"

struct url_config {
    char pcs[COLLATERAL_SOURCE_SIZE / 2],
        kds[COLLATERAL_SOURCE_SIZE / 2]; /* without '/' at the end */
    char root_crl[COLLATERAL_SOURCE_SIZE];
    bool http_allowed, redirects_allowed;
};

/* Takes the options' URLs over. returns: 0; -EINVAL malformed, with a password or a query, or without TLS; err names it. */
MUST_CHECK int url_config_init(struct url_config *config, const struct collateral_options *options,
                               struct err *err);
/* returns: dst. */
char *url_of_item(const struct url_config *config, const struct collateral_item_id *id,
                  char dst[COLLATERAL_SOURCE_SIZE]);
/* Names of the header with the issuer chain, NULL-ended; NULL: the item has none. */
const char *const *url_chain_names(const struct collateral_item_id *id);
/*
 * Where `location`, hostile, of an answer from `url` leads. returns: 0; -EACCES to another host, to plain HTTP, or to something else:
 * not followed; -EINVAL no URL.
 */
MUST_CHECK int url_redirect(const struct url_config *config, const char *url, const char *location,
                            char ret[COLLATERAL_SOURCE_SIZE]);
