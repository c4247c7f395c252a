/* SPDX-License-Identifier: Apache-2.0 */
/* OCALLs on enclave pages: the kernel's part of EDMM. Untrusted side. */
#include <errno.h>

#include "host/ocall/ocall.h"

static int64_t result_of(int rc)
{
    /* Positive: an SGX error code; the enclave finds out by EACCEPT. */
    return rc == 0 ? 0 : rc == -ENOMEM || rc == -EFAULT ? rc : -EIO;
}

void ocall_serve_edmm_restrict(struct ocall_thread *t, struct ocall_frame *f)
{
    uint64_t done;

    f->result = result_of(t->host->backend->restrict_permissions(
        t->host->enclave, t->args[0], t->args[1] * PAGE_SIZE, t->args[2], &done));
}

void ocall_serve_edmm_trim(struct ocall_thread *t, struct ocall_frame *f)
{
    uint64_t done;

    f->result = result_of(t->host->backend->modify_types(
        t->host->enclave, t->args[0], t->args[1] * PAGE_SIZE, SGX_PT_TRIM, &done));
}

void ocall_serve_edmm_remove(struct ocall_thread *t, struct ocall_frame *f)
{
    uint64_t done;

    f->result = result_of(t->host->backend->remove_pages(t->host->enclave, t->args[0],
                                                         t->args[1] * PAGE_SIZE, &done));
}

void ocall_serve_edmm_tcs(struct ocall_thread *t, struct ocall_frame *f)
{
    uint64_t done;

    f->result = result_of(
        t->host->backend->modify_types(t->host->enclave, t->args[0], PAGE_SIZE, SGX_PT_TCS, &done));
}
