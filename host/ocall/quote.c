/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs to the quoting service (host/quote). Untrusted side. */
#include "host/quote/quote.h"

#include <errno.h>
#include <string.h>

#include "host/ocall/ocall.h"

void ocall_serve_quote_target(struct ocall_thread *t, struct ocall_frame *f)
{
    struct evidence_target target = { 0 };

    f->result = quote_target(t->host->quote, &target);
    if (f->result == 0)
        memcpy(f->buffer, &target, sizeof target);
}

void ocall_serve_quote(struct ocall_thread *t, struct ocall_frame *f)
{
    struct evidence_quote_request request;
    uint8_t quote[EVIDENCE_QUOTE_SIZE_MAX];
    int64_t size;

    memcpy(&request, f->buffer, sizeof request);
    size = request.att_key_id.size > EVIDENCE_ATT_KEY_ID_SIZE_MAX
               ? -EIO
               : quote_get(t->host->quote, &request, quote);
    if (size > 0)
        memcpy(f->buffer, quote, (size_t)size);
    f->result = size;
}

void ocall_serve_quote_collateral(struct ocall_thread *t, struct ocall_frame *f)
{
    uint64_t off = t->args[0], quote_size = t->args[2], total = 0;
    uint64_t size = t->args[1] > OCALL_BUFFER_SIZE ? OCALL_BUFFER_SIZE : t->args[1];
    uint8_t quote[EVIDENCE_QUOTE_SIZE_MAX];

    if (quote_size > sizeof quote || off > EVIDENCE_COLLATERAL_SIZE_MAX) {
        f->result = -EIO;
        return;
    }
    memcpy(quote, f->buffer, quote_size);
    f->result = quote_collateral(t->host->quote, quote, quote_size, off, f->buffer, size, &total);
    f->out[0] = total;
}
