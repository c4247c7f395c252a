/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's first pages: ELF segments, config page, thread slots, pool (abi/image.h). Shared by
 * builder, loader and tests; not in the TEE. ELF: System V ABI, chapters 4 and 5, x86-64 supplement.
 */
#include "lib/enclave_plan.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "lib/checked.h"
#include "lib/sgx_measure.h"

#define SEGMENT_COUNT_MAX 16u
#define PAGE_REG ((uint64_t)SGX_PT_REG << SGX_SECINFO_TYPE_SHIFT)
#define PAGE_RW (PAGE_REG | SGX_SECINFO_R | SGX_SECINFO_W)

static const uint8_t g_zero_page[4096];

/* A PT_LOAD segment, checked: inside the file, and inside the library OS's image area. */
struct segment {
    uint64_t file_off;
    uint64_t file_size;
    uint64_t addr;
    uint64_t end; /* of the memory, rounded up to a page */
    uint64_t secinfo_flags;
};

struct image {
    struct segment segments[SEGMENT_COUNT_MAX];
    size_t count;
    uint64_t entry_addr;
};

static int segment_parse(const struct enclave_plan *plan, const Elf64_Phdr *ph, struct segment *ret)
{
    struct segment s = { ph->p_offset, ph->p_filesz, ph->p_vaddr, 0, PAGE_REG };
    uint64_t end;

    if (ph->p_filesz > ph->p_memsz || ph->p_memsz == 0 ||
        !range_within(ph->p_offset, ph->p_filesz, plan->elf_size) ||
        checked_add(ph->p_vaddr, ph->p_memsz, &end) || ph->p_vaddr < LIBOS_BASE ||
        end > LIBOS_CONFIG_ADDR)
        return -ENOEXEC;
    /* No page is both writable and executable, and none is unreadable. */
    if (!(ph->p_flags & PF_R) || (ph->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
        return -ENOEXEC;
    s.end = ALIGN_UP(end, PAGE_SIZE);
    s.secinfo_flags |= SGX_SECINFO_R | (ph->p_flags & PF_W ? SGX_SECINFO_W : 0) |
                       (ph->p_flags & PF_X ? SGX_SECINFO_X : 0);
    *ret = s;
    return 0;
}

static int segments_parse(const struct enclave_plan *plan, const Elf64_Ehdr *eh,
                          struct image *image)
{
    image->count = 0;
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        Elf64_Phdr ph;
        struct segment *s = &image->segments[image->count];

        memcpy(&ph, plan->elf + eh->e_phoff + i * sizeof ph, sizeof ph);
        if (ph.p_type == PT_INTERP || ph.p_type == PT_DYNAMIC)
            return -ENOEXEC;
        if (ph.p_type != PT_LOAD)
            continue;
        if (image->count == SEGMENT_COUNT_MAX)
            return -ENOEXEC;
        int rc = segment_parse(plan, &ph, s);

        if (rc < 0)
            return rc;
        /* In rising order, and no page belongs to two. */
        if (image->count > 0 && ALIGN_DOWN(s->addr, PAGE_SIZE) < s[-1].end)
            return -ENOEXEC;
        image->count++;
    }
    return image->count > 0 && image->segments[0].addr == LIBOS_BASE ? 0 : -ENOEXEC;
}

/* True when [addr, addr + size) is file content of an executable segment. */
static bool is_code(const struct image *image, uint64_t addr, uint64_t size)
{
    for (size_t i = 0; i < image->count; i++) {
        const struct segment *s = &image->segments[i];

        if ((s->secinfo_flags & SGX_SECINFO_X) && addr >= s->addr &&
            range_within(addr - s->addr, size, s->file_size))
            return true;
    }
    return false;
}

static int header_parse(const struct enclave_plan *plan, struct image *image)
{
    const struct segment *s = &image->segments[0];
    struct enclave_header h;
    uint64_t stubs;

    if (s->file_size < sizeof h)
        return -ENOEXEC;
    memcpy(&h, plan->elf + s->file_off, sizeof h);
    if (h.magic != ENCLAVE_HEADER_MAGIC || h.version != 1 || h.stub_count != 8)
        return -ENOEXEC;
    if (checked_add(LIBOS_BASE, h.entry_off, &image->entry_addr) ||
        checked_add(LIBOS_BASE, h.stubs_off, &stubs) || !is_code(image, image->entry_addr, 1) ||
        !is_code(image, stubs, h.stub_count * ENCLAVE_STUB_SIZE))
        return -ENOEXEC;
    return 0;
}

static int image_parse(const struct enclave_plan *plan, struct image *ret)
{
    static const uint8_t ident[] = { ELFMAG0,    ELFMAG1,     ELFMAG2,   ELFMAG3,
                                     ELFCLASS64, ELFDATA2LSB, EV_CURRENT };
    Elf64_Ehdr eh;

    if (plan->elf_size < sizeof eh || plan->elf_size > IMAGE_ENCLAVE_SIZE_MAX)
        return -ENOEXEC;
    memcpy(&eh, plan->elf, sizeof eh);
    if (memcmp(eh.e_ident, ident, sizeof ident) != 0 || eh.e_type != ET_EXEC ||
        eh.e_machine != EM_X86_64 || eh.e_phentsize != sizeof(Elf64_Phdr) ||
        !range_within(eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr), plan->elf_size))
        return -ENOEXEC;
    int rc = segments_parse(plan, &eh, ret);

    return rc < 0 ? rc : header_parse(plan, ret);
}

static int plan_check(const struct enclave_plan *plan)
{
    uint64_t size = plan->elrange_size;

    if (size < ELRANGE_SIZE_MIN || size > ELRANGE_SIZE_MAX || (size & (size - 1)) != 0)
        return -EINVAL;
    if (plan->static_slots < 1 || plan->static_slots > LIBOS_SLOT_COUNT_MAX)
        return -EINVAL;
    if (plan->pool_pages > (size - USER_HIGH_BASE) / PAGE_SIZE)
        return -EINVAL;
    return 0;
}

/* Fills page with what the segment's file holds for the page at addr; the rest is zero. */
static void segment_page_fill(const struct enclave_plan *plan, const struct segment *s,
                              uint64_t addr, uint8_t page[4096])
{
    uint64_t start = MAX(addr, s->addr);
    uint64_t end = MIN(addr + PAGE_SIZE, s->addr + s->file_size);

    memset(page, 0, PAGE_SIZE);
    if (start < end)
        memcpy(page + (start - addr), plan->elf + s->file_off + (start - s->addr), end - start);
}

/* page is the caller's scratch page: frames of the TEE are bounded. */
static int segments_walk(const struct enclave_plan *plan, const struct image *image,
                         uint8_t page[4096], enclave_plan_page_fn *visit, void *arg)
{
    for (size_t i = 0; i < image->count; i++) {
        const struct segment *s = &image->segments[i];

        for (uint64_t addr = ALIGN_DOWN(s->addr, PAGE_SIZE); addr < s->end; addr += PAGE_SIZE) {
            segment_page_fill(plan, s, addr, page);
            int rc = visit(arg, addr, page, s->secinfo_flags, true);

            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static int config_visit(const struct enclave_plan *plan, struct enclave_config *config,
                        enclave_plan_page_fn *visit, void *arg)
{
    memset(config, 0, sizeof *config);
    config->magic = ENCLAVE_CONFIG_MAGIC;
    config->version = 1;
    config->static_slots = plan->static_slots;
    memcpy(config->app_digest, plan->app_digest, sizeof config->app_digest);
    config->elrange_size = plan->elrange_size;
    config->pool_pages = plan->pool_pages;
    return visit(arg, LIBOS_CONFIG_ADDR, (const uint8_t *)config, PAGE_REG | SGX_SECINFO_R, true);
}

static int zero_walk(uint64_t off, uint64_t pages, uint64_t secinfo_flags, bool measure,
                     enclave_plan_page_fn *visit, void *arg)
{
    for (uint64_t i = 0; i < pages; i++) {
        int rc = visit(arg, off + i * PAGE_SIZE, g_zero_page, secinfo_flags, measure);

        if (rc != 0)
            return rc;
    }
    return 0;
}

static int slot_walk(uint64_t slot_addr, uint64_t entry_addr, struct sgx_tcs *tcs,
                     enclave_plan_page_fn *visit, void *arg)
{
    uint64_t tcs_flags = (uint64_t)SGX_PT_TCS << SGX_SECINFO_TYPE_SHIFT;
    int rc = zero_walk(slot_addr + SLOT_STACK_OFF, SLOT_STACK_SIZE / PAGE_SIZE, PAGE_RW, true,
                       visit, arg);

    if (rc == 0)
        rc = zero_walk(slot_addr + SLOT_EXC_STACK_OFF, SLOT_EXC_STACK_SIZE / PAGE_SIZE, PAGE_RW,
                       true, visit, arg);
    if (rc == 0)
        rc = zero_walk(slot_addr + SLOT_TCB_OFF, 1, PAGE_RW, true, visit, arg);
    if (rc == 0) {
        enclave_plan_tcs(slot_addr, entry_addr, tcs);
        rc = visit(arg, slot_addr + SLOT_TCS_OFF, (const uint8_t *)tcs, tcs_flags, true);
    }
    if (rc == 0)
        rc = zero_walk(slot_addr + SLOT_SSA_OFF, SLOT_SSA_COUNT * SLOT_SSA_FRAME_PAGES, PAGE_RW,
                       true, visit, arg);
    return rc;
}

int enclave_plan_walk(const struct enclave_plan *plan, enclave_plan_page_fn *visit, void *arg)
{
    union {
        uint8_t bytes[4096];
        struct enclave_config config;
        struct sgx_tcs tcs;
    } page ALIGNED(4096);
    struct image image;
    int rc = plan_check(plan);

    if (rc == 0)
        rc = image_parse(plan, &image);
    if (rc == 0)
        rc = segments_walk(plan, &image, page.bytes, visit, arg);
    if (rc == 0)
        rc = config_visit(plan, &page.config, visit, arg);
    for (uint32_t i = 0; i < plan->static_slots && rc == 0; i++)
        rc = slot_walk(LIBOS_SLOTS_ADDR + i * LIBOS_SLOT_SIZE, image.entry_addr, &page.tcs, visit,
                       arg);
    /* Content of the pool is the host's to choose: the library OS clears pages before use. */
    if (rc == 0)
        rc =
            zero_walk(USER_HIGH_BASE, plan->pool_pages, PAGE_RW | SGX_SECINFO_X, false, visit, arg);
    return rc;
}

void enclave_plan_secs(const struct enclave_plan *plan, uint64_t xfrm, bool debug,
                       struct sgx_secs *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->size = plan->elrange_size;
    ret->ssa_frame_pages = SLOT_SSA_FRAME_PAGES;
    ret->misc_select = SGX_MISC_EXINFO;
    ret->attributes.flags = SGX_ATTR_MODE64BIT | (debug ? SGX_ATTR_DEBUG : 0);
    ret->attributes.xfrm = xfrm;
}

static int page_measure(void *arg, uint64_t off, const uint8_t page[4096], uint64_t secinfo_flags,
                        bool measure)
{
    struct sgx_measure *m = arg;

    sgx_measure_eadd(m, off, secinfo_flags);
    if (measure)
        sgx_measure_page(m, off, page);
    return 0;
}

int enclave_plan_measure(const struct enclave_plan *plan, uint8_t ret_mrenclave[32])
{
    struct sgx_measure m;

    sgx_measure_ecreate(&m, SLOT_SSA_FRAME_PAGES, plan->elrange_size);
    int rc = enclave_plan_walk(plan, page_measure, &m);

    if (rc == 0)
        sgx_measure_final(&m, ret_mrenclave);
    return rc;
}
