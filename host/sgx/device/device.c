/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backend on /dev/sgx_enclave and the vDSO. Untrusted side. Linux 5.11 or later; EDMM from 6.0
 * on. Kernel Documentation/arch/x86/sgx.rst.
 */
#include "host/sgx/device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define MMAP_MIN_ADDR 0x10000ull

struct sgx_enclave {
    int fd;
    uint64_t base, size;
    uint64_t mapped_base;
    bool provision; /* ATTRIBUTES.PROVISIONKEY: needs the second device */
};

static uint64_t g_aep; /* set once, with the backend */
static const size_t g_page = PAGE_SIZE;

static void enclave_free(struct sgx_enclave *e)
{
    if (!e)
        return;
    if (e->mapped_base)
        munmap((void *)e->mapped_base, e->base + e->size - e->mapped_base);
    if (e->fd >= 0)
        close(e->fd);
    free(e);
}

static void enclave_freep(struct sgx_enclave **e)
{
    enclave_free(*e);
}

/*
 * All of ELRANGE, with all permissions: no page exists yet, so the driver allows it, and pages that
 * EAUG brings may have any. add_pages narrows the mapping of what it adds. What the enclave can do
 * with a page is decided by the EPCM, not here.
 */
static int map_elrange(struct sgx_enclave *e)
{
    uint64_t low = MAX(e->base, MMAP_MIN_ADDR);
    void *p = mmap((void *)low, e->base + e->size - low, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_SHARED | MAP_FIXED_NOREPLACE, e->fd, 0);

    if (p == MAP_FAILED)
        return -errno; /* EPERM: /dev is mounted noexec; EEXIST: something lies in ELRANGE */
    e->mapped_base = (uint64_t)p;
    return p == (void *)low ? 0 : -EEXIST;
}

static int device_create(const struct sgx_secs *secs, struct sgx_enclave **ret)
{
    CLEANUP(enclave_freep)
    struct sgx_enclave *e = calloc(1, sizeof *e);

    if (!e)
        return -ENOMEM;
    e->fd = open(DEVICE_ENCLAVE, O_RDWR | O_CLOEXEC);
    if (e->fd < 0)
        return -errno;
    e->base = secs->base;
    e->size = secs->size;
    e->provision = secs->attributes.flags & SGX_ATTR_PROVISIONKEY;
    struct sgx_secs *page = aligned_alloc(g_page, sizeof *page);

    if (!page)
        return -ENOMEM;
    *page = *secs;
    struct sgx_enclave_create create = { .src = (uint64_t)page };
    int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_CREATE, &create) < 0 ? -errno : 0;

    free(page);
    if (rc == 0)
        rc = map_elrange(e);
    if (rc == 0)
        *ret = TAKE_PTR(e);
    return rc;
}

static int page_prot(const struct sgx_secinfo *secinfo)
{
    uint64_t f = secinfo->flags;

    if ((f & SGX_SECINFO_TYPE) == SGX_PT_TCS << SGX_SECINFO_TYPE_SHIFT)
        return PROT_READ | PROT_WRITE; /* what the driver wants for a TCS */
    return (f & SGX_SECINFO_R ? PROT_READ : 0) | (f & SGX_SECINFO_W ? PROT_WRITE : 0) |
           (f & SGX_SECINFO_X ? PROT_EXEC : 0);
}

static int device_add_pages(struct sgx_enclave *e, uint64_t off, const void *src, uint64_t size,
                            const struct sgx_secinfo *secinfo, bool measure)
{
    struct sgx_secinfo aligned = *secinfo;

    for (uint64_t done = 0; done < size;) {
        struct sgx_enclave_add_pages add = { .src = (uint64_t)src + done,
                                             .offset = off + done,
                                             .length = size - done,
                                             .secinfo = (uint64_t)&aligned,
                                             .flags = measure ? SGX_PAGE_MEASURE : 0 };
        int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &add);

        done += add.count;
        if (rc < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
    }
    if (e->base + off < e->mapped_base)
        return -EACCES;
    return mprotect((void *)(e->base + off), size, page_prot(secinfo)) < 0 ? -errno : 0;
}

static int allow_provision(struct sgx_enclave *e)
{
    int fd = open(DEVICE_PROVISION, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    struct sgx_enclave_provision provision = { .fd = (uint64_t)fd };
    int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_PROVISION, &provision) < 0 ? -errno : 0;

    close(fd);
    return rc;
}

static int device_init(struct sgx_enclave *e, const struct sgx_sigstruct *sigstruct)
{
    struct sgx_enclave_init init = { .sigstruct = (uint64_t)sigstruct };
    int rc = e->provision ? allow_provision(e) : 0;

    if (rc < 0)
        return rc;
    do
        rc = ioctl(e->fd, SGX_IOC_ENCLAVE_INIT, &init);
    while (rc < 0 && (errno == EINTR || errno == EAGAIN));
    return rc < 0 ? -errno : rc;
}

/*
 * The EDMM calls stop with EAGAIN or EINTR when a page is busy or a signal waits, and say how far
 * they came; a call that makes no progress many times over gives up.
 */
#define EDMM_TRIES_MAX 100000u

static bool edmm_goes_on(int rc, uint64_t count, unsigned *tries)
{
    if (rc == 0)
        return count > 0;
    if (errno != EINTR && errno != EAGAIN)
        return false;
    *tries = count ? 0 : *tries + 1;
    return *tries < EDMM_TRIES_MAX;
}

static int device_restrict(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t permissions,
                           uint64_t *ret_done)
{
    unsigned tries = 0;

    *ret_done = 0;
    while (*ret_done < size) {
        struct sgx_enclave_restrict_permissions p = { .offset = off + *ret_done,
                                                      .length = size - *ret_done,
                                                      .permissions = permissions };
        int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &p);

        *ret_done += p.count;
        if (!edmm_goes_on(rc, p.count, &tries))
            return rc == 0 ? -EIO : p.result ? (int)p.result : -errno;
    }
    return 0;
}

static int device_modify(struct sgx_enclave *e, uint64_t off, uint64_t size,
                         enum sgx_page_type type, uint64_t *ret_done)
{
    unsigned tries = 0;

    *ret_done = 0;
    /* A TCS may not be mapped executable: the driver then refuses to bring the page in. */
    if (type == SGX_PT_TCS && mprotect((void *)(e->base + off), size, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    while (*ret_done < size) {
        struct sgx_enclave_modify_types p = { .offset = off + *ret_done,
                                              .length = size - *ret_done,
                                              .page_type = type };
        int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_MODIFY_TYPES, &p);

        *ret_done += p.count;
        if (!edmm_goes_on(rc, p.count, &tries))
            return rc == 0 ? -EIO : p.result ? (int)p.result : -errno;
    }
    return 0;
}

static int device_remove(struct sgx_enclave *e, uint64_t off, uint64_t size, uint64_t *ret_done)
{
    unsigned tries = 0;

    *ret_done = 0;
    while (*ret_done < size) {
        struct sgx_enclave_remove_pages p = { .offset = off + *ret_done,
                                              .length = size - *ret_done };
        int rc = ioctl(e->fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &p);

        *ret_done += p.count;
        if (!edmm_goes_on(rc, p.count, &tries))
            return rc == 0 ? -EIO : -errno;
    }
    /* The addresses may get pages of any kind again. */
    if (mprotect((void *)(e->base + off), size, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
        return -errno;
    return 0;
}

/* Nothing to prepare: after an AEX the kernel sees the host's stack and segment bases. */
static int device_thread_init(struct sgx_enclave *e)
{
    return 0;
}

static void device_thread_done(struct sgx_enclave *e)
{
}

static bool device_signal_at_aep(struct sgx_enclave *e, void *context)
{
    const ucontext_t *uc = context;

    return (uint64_t)uc->uc_mcontext.gregs[REG_RIP] == g_aep &&
           (uint32_t)uc->uc_mcontext.gregs[REG_RAX] == SGX_ERESUME;
}

const struct sgx_backend *sgx_device_backend(const char **ret_why)
{
    static struct sgx_backend backend = {
        .name = "sgx",
        .create = device_create,
        .add_pages = device_add_pages,
        .init = device_init,
        .restrict_permissions = device_restrict,
        .modify_types = device_modify,
        .remove_pages = device_remove,
        .thread_init = device_thread_init,
        .thread_done = device_thread_done,
        .signal_at_aep = device_signal_at_aep,
        .destroy = enclave_free,
    };
    enum device_state state = device_probe(DEVICE_ENCLAVE);
    size_t size = 0;
    const void *enter = device_vdso_find("__vdso_sgx_enter_enclave", &size);

    *ret_why = device_state_text(state);
    if (state != DEVICE_USABLE && state != DEVICE_USABLE_SGX1)
        return NULL;
    g_aep = device_vdso_find_enclu(enter, size);
    if (!g_aep) {
        *ret_why = device_state_text(DEVICE_VDSO_MISSING);
        return NULL;
    }
    backend.has_edmm = state == DEVICE_USABLE;
    backend.enter = (sgx_enter_fn *)enter;
    return &backend;
}
