/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the image's enclave file to an initialised enclave: the plan's pages go to the backend in runs
 * of equal permissions. Untrusted side; EINIT compares the measurement.
 */
#include <cpuid.h>
#include <errno.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "host/loader/loader.h"
#include "lib/digest.h"
#include "lib/enclave_plan.h"

#define RUN_PAGES_MAX 64u
#define XFRM_KNOWN (SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512)

/* Pages that wait to be added with one call. */
struct page_run {
    struct loader *loader;
    uint8_t *pages; /* RUN_PAGES_MAX pages, page-aligned */
    uint64_t off, secinfo_flags;
    unsigned count;
    bool measure;
};

static void free_pages(uint8_t **pages)
{
    free(*pages);
}

static int run_flush(struct page_run *run)
{
    struct sgx_secinfo secinfo = { .flags = run->secinfo_flags };
    struct loader *l = run->loader;
    int rc = 0;

    if (run->count > 0)
        rc = l->backend->add_pages(l->ocall.enclave, run->off, run->pages, run->count * PAGE_SIZE,
                                   &secinfo, run->measure);
    run->count = 0;
    return rc;
}

static int add_page(void *arg, uint64_t off, const uint8_t page[4096], uint64_t secinfo_flags,
                    bool measure)
{
    struct page_run *run = arg;
    int rc = 0;

    if (run->count == RUN_PAGES_MAX || off != run->off + run->count * PAGE_SIZE ||
        secinfo_flags != run->secinfo_flags || measure != run->measure)
        rc = run_flush(run);
    if (rc != 0)
        return rc;
    if (run->count == 0) {
        run->off = off;
        run->secinfo_flags = secinfo_flags;
        run->measure = measure;
    }
    memcpy(run->pages + run->count * PAGE_SIZE, page, PAGE_SIZE);
    run->count++;
    return 0;
}

/* What XCR0 enables, of the components that the library OS knows. */
__attribute__((target("xsave"))) static uint64_t cpu_xfrm(void)
{
    uint64_t xfrm = _xgetbv(0) & XFRM_KNOWN;

    return (xfrm & SGX_XFRM_AVX512) == SGX_XFRM_AVX512 ? xfrm : xfrm & ~SGX_XFRM_AVX512;
}

static int init_failed(int rc, struct err *err)
{
    switch (rc) {
    case SGX_INVALID_MEASUREMENT:
        return err_set(err, -EBADMSG,
                       "the enclave is not the one that was signed: the image was "
                       "changed");
    case SGX_INVALID_SIGNATURE:
    case SGX_INVALID_SIG_STRUCT:
        return err_set(err, -EBADMSG,
                       "the enclave's signature is not valid: the image was changed");
    case SGX_INVALID_ATTRIBUTE:
        return err_set(err, -EACCES,
                       "this CPU or its launch control refuses the enclave's "
                       "attributes");
    default:
        return rc > 0 ? err_set(err, -EIO, "EINIT failed with SGX error %d", rc)
                      : err_set_errno(err, rc, "EINIT");
    }
}

int loader_enclave_build(struct loader *l, struct err *err)
{
    CLEANUP(free_pages)
    uint8_t *pages = aligned_alloc(PAGE_SIZE, RUN_PAGES_MAX * PAGE_SIZE);
    const struct bundle_map *sigstruct = &l->files[BUNDLE_SIGSTRUCT];
    const struct bundle_map *json = &l->files[BUNDLE_DESCRIPTOR];
    struct enclave_plan plan = {
        .elf = l->files[BUNDLE_ENCLAVE].data,
        .elf_size = l->files[BUNDLE_ENCLAVE].size,
        .elrange_size = l->descriptor.elrange_size,
        .static_slots = ENCLAVE_PLAN_STATIC_SLOTS,
    };
    struct page_run run = { .loader = l, .pages = pages };
    struct sgx_secs secs;
    const char *why = "";
    int rc;

    if (!pages)
        return err_set_errno(err, -ENOMEM, "building the enclave");
    l->backend = sgx_backend_choose(&why);
    if (!l->backend)
        return err_set(err, -ENODEV, "no SGX: %s; `cloche doctor` says more", why);
    if (!l->backend->has_edmm)
        return err_set(err, -ENOTSUP,
                       "%s: no EDMM (SGX2) here, which this enclave takes its memory "
                       "through",
                       l->backend->name);
    if (sigstruct->size != sizeof(struct sgx_sigstruct))
        return err_set(err, -EINVAL, "%s has %zu bytes, not %zu", IMAGE_FILE_SIGSTRUCT,
                       sigstruct->size, sizeof(struct sgx_sigstruct));
    sha384_digest(json->data, json->size, plan.app_digest);
    enclave_plan_secs(&plan, cpu_xfrm(), l->descriptor.debug, &secs);
    rc = l->backend->create(&secs, &l->ocall.enclave);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot create an enclave of %llu GiB",
                             (unsigned long long)(secs.size >> 30));
    rc = enclave_plan_walk(&plan, add_page, &run);
    if (rc == 0)
        rc = run_flush(&run);
    if (rc != 0)
        return rc == -ENOEXEC ? err_set(err, rc, "%s is not an enclave", IMAGE_FILE_ENCLAVE)
                              : err_set_errno(err, rc < 0 ? rc : -EIO, "cannot add pages");
    rc = l->backend->init(l->ocall.enclave, (const struct sgx_sigstruct *)sigstruct->data);
    return rc == 0 ? 0 : init_failed(rc, err);
}
