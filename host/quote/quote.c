/* SPDX-License-Identifier: Apache-2.0 */
/* The quoting service of a machine that has none: see quote.h. Untrusted side. */
#include "host/quote/quote.h"

#include <errno.h>

int quote_open(const struct quote_options *options, struct quote_service **ret, struct err *err)
{
    return -ENODEV;
}

void quote_free(struct quote_service *q)
{
}

int quote_target(struct quote_service *q, struct evidence_target *ret)
{
    return -ENODEV;
}

int64_t quote_get(struct quote_service *q, const struct evidence_quote_request *request, void *dst)
{
    return -ENODEV;
}

int64_t quote_collateral(struct quote_service *q, const void *quote, size_t quote_size,
                         uint64_t off, void *dst, size_t size, uint64_t *ret_total)
{
    return -ENODEV;
}
