/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios for a host that does to the enclave's pages what it should not (lie_sgx.c). The host strikes at
 * OCALL yield. Trusted in shape only; never shipped.
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"
#include "tests/adversary/test_enclave.h"

static uint64_t pattern(uint64_t page)
{
    return 0x0123456789abcdefull * (page + 1);
}

/* Pages in use keep what was written, or the enclave ends: never anything else. */
static void check_pages(void)
{
    CHECK(enclave_commit(SGX_TEST_ADDR, 4, PROT_READ | PROT_WRITE) == 0);
    for (uint64_t i = 0; i < 4; i++)
        *(uint64_t *)(SGX_TEST_ADDR + i * PAGE_SIZE) = pattern(i);
    ocall_yield();
    for (uint64_t i = 0; i < 4; i++) {
        volatile uint64_t *word = (uint64_t *)(SGX_TEST_ADDR + i * PAGE_SIZE);

        CHECK(*word == pattern(i));
        *word = 1;
        CHECK(*word == 1);
    }
}

/* A page that the host gives wrongly ends the enclave; one that it does not give is an error. */
static void check_fresh(void)
{
    ocall_yield();
    CHECK(enclave_commit(SGX_TEST_ADDR, 2, PROT_READ | PROT_WRITE) == -ENOMEM);
}

static void check_fresh_copy(void)
{
    static const uint8_t page[PAGE_SIZE] ALIGNED(4096) = { 1, 2, 3 };

    ocall_yield();
    CHECK(enclave_commit_copy(SGX_TEST_ADDR, 1, page, PROT_READ) == -ENOMEM);
}

static void check_restrict(void)
{
    CHECK(enclave_commit(SGX_TEST_ADDR, 4, PROT_READ | PROT_WRITE) == 0);
    CHECK(enclave_protect(SGX_TEST_ADDR, 2, PROT_READ | PROT_WRITE, PROT_READ) == 0);
    CHECK(!"the host was believed");
}

static void check_decommit(void)
{
    CHECK(enclave_commit(SGX_TEST_ADDR, 4, PROT_READ | PROT_WRITE) == 0);
    memset((void *)SGX_TEST_ADDR, 0x77, 4 * PAGE_SIZE);
    enclave_decommit(SGX_TEST_ADDR, 2);
    CHECK(enclave_commit(SGX_TEST_ADDR, 2, PROT_READ | PROT_WRITE) == 0);
    CHECK(!"the host was believed");
}

void test_sgx_run(const char *name)
{
    static const struct {
        const char *name;
        void (*check)(void);
    } scenarios[] = {
        { "pages", check_pages },           { "fresh", check_fresh },
        { "fresh-copy", check_fresh_copy }, { "restrict", check_restrict },
        { "decommit", check_decommit },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(scenarios); i++) {
        if (strcmp(name, scenarios[i].name) == 0) {
            scenarios[i].check();
            enclave_exit(ROW_HARMLESS);
        }
    }
}
