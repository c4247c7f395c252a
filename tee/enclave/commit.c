/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of enclave memory: EACCEPT, EMODPE, and EMODPR and EMODT through the host (SDM vol. 3D,
 * section 37.5). Every page is counted against the limit of the descriptor. Trusted.
 * The host adds a page when EACCEPT touches it, so committing makes no OCALL.
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "abi/ocall.h"
#include "lib/checked.h"
#include "tee/enclave/alloc.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define SECINFO_REG ((uint64_t)SGX_PT_REG << SGX_SECINFO_TYPE_SHIFT)
#define SECINFO_TRIM ((uint64_t)SGX_PT_TRIM << SGX_SECINFO_TYPE_SHIFT)

static size_t g_pages_used; /* atomic */
static size_t g_pages_limit;

void commit_init(uint64_t limit_pages)
{
    g_pages_limit = limit_pages;
}

size_t enclave_pages_used(void)
{
    return __atomic_load_n(&g_pages_used, __ATOMIC_RELAXED);
}

size_t enclave_pages_limit(void)
{
    return g_pages_limit;
}

static bool reserve(size_t count)
{
    size_t used = __atomic_add_fetch(&g_pages_used, count, __ATOMIC_RELAXED);

    if (used <= g_pages_limit)
        return true;
    __atomic_sub_fetch(&g_pages_used, count, __ATOMIC_RELAXED);
    return false;
}

static void unreserve(size_t count)
{
    __atomic_sub_fetch(&g_pages_used, count, __ATOMIC_RELAXED);
}

static void check_range(uint64_t addr, size_t count)
{
    uint64_t size, end;

    if ((addr & (PAGE_SIZE - 1)) != 0 || checked_mul(count, PAGE_SIZE, &size) ||
        checked_add(addr, size, &end) || end > enclave_config()->elrange_size ||
        addr < USER_LOW_BASE)
        enclave_panic("page range outside the enclave");
}

static uint64_t secinfo_perm(int prot)
{
    uint64_t perm = 0;

    if (prot & PROT_READ)
        perm |= SGX_SECINFO_R;
    if (prot & PROT_WRITE)
        perm |= SGX_SECINFO_W | SGX_SECINFO_R; /* the CPU has no write without read */
    if (prot & PROT_EXEC)
        perm |= SGX_SECINFO_X | SGX_SECINFO_R;
    return perm;
}

static int each_page(unsigned leaf, uint64_t flags, uint64_t addr, size_t count, size_t *ret_done)
{
    struct sgx_secinfo secinfo = { .flags = flags };
    int rc = 0;
    size_t i;

    for (i = 0; i < count && rc == 0; i++) {
        rc = enclu_page(leaf, &secinfo, addr + i * PAGE_SIZE);
        if (leaf == SGX_EMODPE && rc == SGX_EMODPE)
            rc = 0; /* it has no result: RAX stays the leaf */
    }
    *ret_done = rc == 0 ? i : i - 1;
    return rc;
}

/* Fixed pool: the pages are there, RWX, since EINIT; only their content is reset. */
static bool in_pool(uint64_t addr, size_t count)
{
    uint64_t pool = enclave_config()->pool_pages;

    return addr >= USER_HIGH_BASE && count <= pool &&
           (addr - USER_HIGH_BASE) / PAGE_SIZE <= pool - count;
}

int enclave_protect(uint64_t addr, size_t count, int old_prot, int new_prot)
{
    uint64_t old_perm = secinfo_perm(old_prot), new_perm = secinfo_perm(new_prot);
    size_t done;
    int rc;

    check_range(addr, count);
    if (enclave_config()->pool_pages != 0 || old_perm == new_perm || count == 0)
        return 0;
    if ((new_perm & ~old_perm) != 0 &&
        each_page(SGX_EMODPE, SECINFO_REG | old_perm | new_perm, addr, count, &done) != 0)
        enclave_panic("EMODPE of a page that is not there");
    if ((old_perm & ~new_perm) == 0)
        return 0;
    rc = ocall_edmm(OCALL_edmm_restrict, addr, count, new_perm);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -EIO;
    if (each_page(SGX_EACCEPT, SECINFO_REG | SGX_SECINFO_PR | new_perm, addr, count, &done) != 0)
        enclave_panic("the host did not restrict the pages");
    return 0;
}

int enclave_commit(uint64_t addr, size_t count, int prot)
{
    size_t done = 0;
    int rc;

    check_range(addr, count);
    if (enclave_config()->pool_pages != 0 && !in_pool(addr, count))
        return -ENOMEM;
    if (!reserve(count))
        return -ENOMEM;
    if (enclave_config()->pool_pages != 0) {
        memset((void *)addr, 0, count * PAGE_SIZE);
        return 0;
    }
    rc = each_page(SGX_EACCEPT, SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_PENDING,
                   addr, count, &done);
    if (rc > 0)
        enclave_panic("a fresh page is not what the host was asked for");
    if (rc == 0)
        rc = enclave_protect(addr, count, PROT_READ | PROT_WRITE, prot);
    if (rc < 0) {
        unreserve(count - done);
        enclave_decommit(addr, done);
        return -ENOMEM;
    }
    return 0;
}

int enclave_commit_copy(uint64_t addr, size_t count, const void *src, int prot)
{
    struct sgx_secinfo secinfo = { .flags = SECINFO_REG | secinfo_perm(prot) };
    size_t done;
    int rc = 0;

    check_range(addr, count);
    if (enclave_config()->pool_pages != 0) {
        rc = enclave_commit(addr, count, prot);
        if (rc == 0)
            memcpy((void *)addr, src, count * PAGE_SIZE);
        return rc;
    }
    if (!reserve(count))
        return -ENOMEM;
    for (done = 0; done < count && rc == 0; done++)
        rc = enclu_key(SGX_EACCEPTCOPY, &secinfo, (const void *)(addr + done * PAGE_SIZE),
                       (uint8_t *)src + done * PAGE_SIZE);
    if (rc > 0)
        enclave_panic("a fresh page for a copy is not what the host was asked for");
    if (rc < 0) {
        unreserve(count - (done - 1));
        enclave_decommit(addr, done - 1);
        return -ENOMEM;
    }
    return 0;
}

void enclave_decommit(uint64_t addr, size_t count)
{
    size_t done;

    check_range(addr, count);
    if (count == 0)
        return;
    if (enclave_config()->pool_pages == 0) {
        if (ocall_edmm(OCALL_edmm_trim, addr, count, 0) < 0 ||
            each_page(SGX_EACCEPT, SECINFO_TRIM | SGX_SECINFO_MODIFIED, addr, count, &done) != 0 ||
            ocall_edmm(OCALL_edmm_remove, addr, count, 0) < 0)
            enclave_panic("the host did not take pages back");
    }
    unreserve(count);
}
