/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECREATE, EADD, EEXTEND, EINIT and what the kernel's driver does around them. Untrusted side.
 * SDM vol. 3D, section 38.3. A leaf that would fault gives -EIO, as the Linux ioctls do.
 */
#include "host/sgx/emu/emu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/image.h"

#define ELRANGE_MIN (2 * PAGE_SIZE)
#define USER_SPACE_END (1ull << 47)
#define MMAP_MIN_ADDR_DEFAULT 0x10000ull
#define MMAP_MIN_ADDR_MAX 0x100000ull

static bool is_zero(const void *p, size_t size)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool xfrm_is_legal(uint64_t xfrm)
{
    uint64_t avx512 = xfrm & SGX_XFRM_AVX512;

    return (xfrm & SGX_XFRM_LEGACY) == SGX_XFRM_LEGACY && !(xfrm & ~emu_cpu_xcr0()) &&
           (avx512 == 0 || (avx512 == SGX_XFRM_AVX512 && (xfrm & SGX_XFRM_AVX)));
}

/* ECREATE's checks. */
static bool secs_is_legal(const struct sgx_secs *s)
{
    uint64_t flags = s->attributes.flags;
    bool kss = flags & SGX_ATTR_KSS;

    if (s->size < ELRANGE_MIN || (s->size & (s->size - 1)) || s->base & (s->size - 1))
        return false;
    if (s->size > USER_SPACE_END / 2 || s->base > USER_SPACE_END - s->size)
        return false;
    if ((flags & ~EMU_ATTR_SUPPORTED) || (flags & SGX_ATTR_INIT) || !(flags & SGX_ATTR_MODE64BIT))
        return false;
    if (!xfrm_is_legal(s->attributes.xfrm) || (s->misc_select & ~EMU_MISC_SUPPORTED))
        return false;
    if (s->ssa_frame_pages == 0 || s->ssa_frame_pages > EMU_XSAVE_SIZE_MAX / PAGE_SIZE)
        return false;
    uint64_t frame = emu_cpu_xsave_size(s->attributes.xfrm) + sizeof(struct sgx_ssa_gpr) +
                     (s->misc_select & SGX_MISC_EXINFO ? sizeof(struct sgx_exinfo) : 0);

    if (frame > (uint64_t)s->ssa_frame_pages * PAGE_SIZE)
        return false;
    if (!kss && (!is_zero(s->config_id, sizeof s->config_id) || s->config_svn))
        return false;
    return is_zero(s->cet_leg_bitmap_off, sizeof s->cet_leg_bitmap_off) && !s->cet_attributes &&
           is_zero(s->reserved1, sizeof s->reserved1) &&
           is_zero(s->reserved2, sizeof s->reserved2) &&
           is_zero(s->reserved3, sizeof s->reserved3) && is_zero(s->reserved4, sizeof s->reserved4);
}

/* The lowest address that unprivileged programs may map; the same for all, so that root sees it too. */
static uint64_t mmap_min_addr(void)
{
    FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
    uint64_t addr = MMAP_MIN_ADDR_DEFAULT;

    if (f && fscanf(f, "%" SCNu64, &addr) != 1)
        addr = MMAP_MIN_ADDR_DEFAULT;
    if (f)
        fclose(f);
    return ALIGN_UP(MIN(addr, MMAP_MIN_ADDR_MAX), PAGE_SIZE);
}

/*
 * A process with AddressSanitizer has the shadow of its low memory in the middle of ELRANGE (built with
 * EMU_BESIDE_ASAN, for tests of the host's side): that part becomes a hole. The gap above it, which ASan reserves so that
 * nobody uses it, is given up: nothing that ASan watches touches enclave memory.
 */
#ifdef EMU_BESIDE_ASAN
#define TAKEN_START 0x7fff7000ull
#define TAKEN_END 0x8fff7000ull
#else
#define TAKEN_START 0ull
#define TAKEN_END 0ull
#endif

static int map_part(uint64_t start, uint64_t end)
{
    void *p = mmap((void *)start, end - start, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    if (p != (void *)start) { /* a kernel that takes the address as a hint only */
        munmap(p, end - start);
        return -ENOTSUP;
    }
    madvise(p, end - start, MADV_DONTFORK); /* as the driver's mappings */
    return 0;
}

static void mark_holes(struct sgx_enclave *e, uint64_t start, uint64_t end)
{
    for (uint64_t addr = start; addr < end; addr += PAGE_SIZE)
        atomic_store(emu_epcm_entry(e, addr), EPCM_HOLE);
}

static void unmap_parts(uint64_t low, uint64_t end)
{
    if (TAKEN_END == 0) {
        munmap((void *)low, end - low);
        return;
    }
    munmap((void *)low, TAKEN_START - low);
    munmap((void *)TAKEN_END, end - TAKEN_END);
}

/* ELRANGE without the pages that vm.mmap_min_addr denies; these become holes in the EPCM. */
static int reserve_elrange(struct sgx_enclave *e)
{
    uint64_t low = MAX(e->base, mmap_min_addr()), end = e->base + e->size;
    int rc;

    if (low >= end)
        return -EINVAL;
    if (TAKEN_END == 0) {
        rc = map_part(low, end);
    } else {
        munmap((void *)TAKEN_END, end - TAKEN_END);
        rc = map_part(low, TAKEN_START);
        if (rc == 0)
            rc = map_part(TAKEN_END, end);
        mark_holes(e, TAKEN_START, TAKEN_END);
    }
    if (rc < 0)
        return rc;
    mark_holes(e, e->base, low);
    e->mapped_base = low;
    return 0;
}

static void release_elrange(struct sgx_enclave *e)
{
    unmap_parts(e->mapped_base, e->base + e->size);
}

static void free_enclave(struct sgx_enclave *e)
{
    if (!e)
        return;
    if (e->epcm)
        munmap((void *)e->epcm, e->page_count * sizeof *e->epcm);
    for (size_t i = 0; i < EMU_TCS_BUCKETS; i++) {
        struct emu_tcs *tcs = atomic_load(&e->tcs[i]);

        while (tcs) {
            struct emu_tcs *next = tcs->next;

            free(tcs);
            tcs = next;
        }
    }
    free(e->dirty);
    if (e->mem_fd >= 0)
        close(e->mem_fd);
    free(e);
}

static void free_enclave_p(struct sgx_enclave **e)
{
    free_enclave(*e);
}

static int new_enclave(const struct sgx_secs *secs, struct sgx_enclave **ret)
{
    CLEANUP(free_enclave_p)
    struct sgx_enclave *e = calloc(1, sizeof *e);
    const char *strict = getenv("CLOCHE_EMU_STRICT"), *sgx1 = getenv("CLOCHE_EMU_SGX1");

    if (!e)
        return -ENOMEM;
    static atomic_ulong last_id;

    e->id = atomic_fetch_add(&last_id, 1) + 1;
    e->secs = *secs;
    e->base = secs->base;
    e->size = secs->size;
    e->page_count = secs->size >> PAGE_SHIFT;
    e->xsave_size = emu_cpu_xsave_size(secs->attributes.xfrm);
    e->strict = strict && strict[0] == '1';
    e->edmm = !(sgx1 && sgx1[0] == '1');
    e->mem_fd = e->edmm && !e->strict ? open("/proc/self/mem", O_WRONLY | O_CLOEXEC) : -1;
    void *table = mmap(NULL, e->page_count * sizeof *e->epcm, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (table == MAP_FAILED)
        return -ENOMEM;
    e->epcm = table;
    madvise(table, e->page_count * sizeof *e->epcm, MADV_NOHUGEPAGE);
    e->dirty = calloc((e->page_count >> 12) + 1, 1);
    if (!e->dirty)
        return -ENOMEM;
    *ret = TAKE_PTR(e);
    return 0;
}

int emu_encls_create(const struct sgx_secs *secs, struct sgx_enclave **ret)
{
    CLEANUP(free_enclave_p)
    struct sgx_enclave *e = NULL;
    int rc;

    if (!secs_is_legal(secs))
        return -EIO;
    rc = emu_signal_install();
    if (rc < 0)
        return rc;
    rc = new_enclave(secs, &e);
    if (rc < 0)
        return rc;
    rc = emu_thread_plan_dispatch(e);
    if (rc < 0)
        return rc;
    rc = reserve_elrange(e);
    if (rc < 0)
        return rc;
    /* The CPU clears these at ECREATE. */
    memset(e->secs.mrenclave, 0, sizeof e->secs.mrenclave);
    memset(e->secs.mrsigner, 0, sizeof e->secs.mrsigner);
    e->secs.isv_prod_id = 0;
    e->secs.isv_svn = 0;
    sgx_measure_ecreate(&e->measure, e->secs.ssa_frame_pages, e->size);
    rc = emu_registry_add(e);
    if (rc < 0) {
        release_elrange(e);
        return rc;
    }
    *ret = TAKE_PTR(e);
    return 0;
}

void emu_encls_destroy(struct sgx_enclave *e)
{
    if (!e)
        return;
    emu_registry_remove(e);
    release_elrange(e);
    free_enclave(e);
}

/* As the driver's sgx_validate_secinfo() and EADD: -EINVAL. */
static bool secinfo_is_legal(const struct sgx_secinfo *s)
{
    uint64_t type = s->flags & SGX_SECINFO_TYPE, perm = s->flags & SGX_SECINFO_PERM;

    if (type != SGX_PT_REG << SGX_SECINFO_TYPE_SHIFT && type != SGX_PT_TCS
                                                                    << SGX_SECINFO_TYPE_SHIFT)
        return false;
    if ((perm & SGX_SECINFO_W) && !(perm & SGX_SECINFO_R))
        return false;
    if (type == SGX_PT_TCS << SGX_SECINFO_TYPE_SHIFT && perm)
        return false;
    return !(s->flags & ~(SGX_SECINFO_TYPE | SGX_SECINFO_PERM)) &&
           is_zero(s->reserved, sizeof s->reserved);
}

static int add_tcs(struct sgx_enclave *e, uint64_t off, const void *src, bool measure)
{
    struct sgx_tcs page;

    memcpy(&page, src, sizeof page);
    if (!emu_tcs_page_is_valid(e, &page))
        return -EIO;
    page.state = 0;
    page.flags &= ~SGX_TCS_DBGOPTIN;
    page.cssa = 0;
    page.aep = 0;
    int rc = emu_tcs_add(e, e->base + off, &page);

    if (rc == 0 && measure)
        sgx_measure_page(&e->measure, off, (const uint8_t *)&page);
    return rc;
}

int emu_encls_add_pages(struct sgx_enclave *e, uint64_t off, const void *src, uint64_t size,
                        const struct sgx_secinfo *secinfo, bool measure)
{
    uint64_t first = off >> PAGE_SHIFT, count = size >> PAGE_SHIFT;
    bool tcs = (secinfo->flags & SGX_SECINFO_TYPE) == SGX_PT_TCS << SGX_SECINFO_TYPE_SHIFT;
    unsigned perm = secinfo->flags & SGX_SECINFO_PERM;

    if (!IS_ALIGNED(off | size | (uintptr_t)src, PAGE_SIZE) || size == 0 || off > e->size ||
        size > e->size - off || !secinfo_is_legal(secinfo))
        return -EINVAL;
    if (atomic_load(&e->initialized))
        return -EINVAL;
    for (uint64_t i = first; i < first + count; i++)
        if (atomic_load(&e->epcm[i]))
            return atomic_load(&e->epcm[i]) & EPCM_HOLE ? -EACCES : -EBUSY;
    if (!tcs && mprotect((void *)(e->base + off), size, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *page = (const uint8_t *)src + (i << PAGE_SHIFT);
        uint64_t page_off = off + (i << PAGE_SHIFT), magic;

        sgx_measure_eadd(&e->measure, page_off, secinfo->flags);
        if (tcs) {
            int rc = add_tcs(e, page_off, page, measure);

            if (rc < 0)
                return rc;
        } else {
            uint8_t *dst = (uint8_t *)(e->base + page_off);

            memcpy(dst, page, PAGE_SIZE);
            memcpy(&magic, page, sizeof magic);
            if (magic == ENCLAVE_HEADER_MAGIC && !e->has_header) {
                e->has_header = true;
                e->header_addr = e->base + page_off;
            }
            if (measure)
                sgx_measure_page(&e->measure, page_off, dst);
        }
        atomic_store(&e->epcm[first + i], (uint16_t)(EPCM_VALID | (secinfo->flags & 0x700) | perm));
    }
    if (tcs)
        return 0;
    emu_lock(e);
    int rc = emu_epcm_protect(e, e->base + off, size, e->strict ? 0 : perm);
    emu_unlock(e);
    return rc;
}

static bool attributes_match(const struct sgx_enclave *e, const struct sgx_sigstruct *s)
{
    struct sgx_attributes have = e->secs.attributes, mask = s->attributes_mask;

    return !((have.flags ^ s->attributes.flags) & mask.flags) &&
           !((have.xfrm ^ s->attributes.xfrm) & mask.xfrm) &&
           !((e->secs.misc_select ^ s->misc_select) & s->misc_mask) &&
           !((e->secs.cet_attributes ^ s->cet_attributes) & s->cet_attributes_mask);
}

/* KSS fields count only for enclaves that have KSS. */
static bool kss_is_legal(const struct sgx_enclave *e, const struct sgx_sigstruct *s)
{
    return (e->secs.attributes.flags & SGX_ATTR_KSS) ||
           (is_zero(s->isv_family_id, sizeof s->isv_family_id) &&
            is_zero(s->isv_ext_prod_id, sizeof s->isv_ext_prod_id));
}

int emu_encls_init(struct sgx_enclave *e, const struct sgx_sigstruct *sigstruct)
{
    struct sgx_sigstruct s = *sigstruct;
    uint8_t mrsigner[32], mrenclave[32];

    if (atomic_load(&e->initialized))
        return -EINVAL;
    int rc = emu_sigstruct_verify(&s, mrsigner);

    if (rc != SGX_SUCCESS)
        return rc;
    sgx_measure_final(&e->measure, mrenclave);
    if (memcmp(mrenclave, s.enclave_hash, sizeof mrenclave) != 0)
        return SGX_INVALID_MEASUREMENT;
    if (!attributes_match(e, &s))
        return SGX_INVALID_ATTRIBUTE;
    if (!kss_is_legal(e, &s))
        return SGX_INVALID_SIG_STRUCT;
    memcpy(e->secs.mrenclave, mrenclave, sizeof mrenclave);
    memcpy(e->secs.mrsigner, mrsigner, sizeof mrsigner);
    memcpy(e->isv_ext_prod_id, s.isv_ext_prod_id, sizeof s.isv_ext_prod_id);
    memcpy(e->isv_family_id, s.isv_family_id, sizeof s.isv_family_id);
    e->secs.isv_prod_id = s.isv_prod_id;
    e->secs.isv_svn = s.isv_svn;
    e->secs.attributes.flags |= SGX_ATTR_INIT;
    emu_report_init();
    atomic_store(&e->initialized, true);
    emu_stubs_patch(e);
    return SGX_SUCCESS;
}
