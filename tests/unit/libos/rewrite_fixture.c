/* SPDX-License-Identifier: Apache-2.0 */
/* Program memory for the tests of tee/libos/rewrite. Hosted. */
#include "tests/unit/libos/rewrite_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tee/enclave/alloc.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/rewrite/rewrite_private.h"
#include "tee/libos/task/task.h"
#include "tests/unit/libos/fake_enclave.h"

struct mm *g_mm;

int rewrite_setup(void **state)
{
    fake_enclave_init(65536);
    assert_int_equal(mm_new(&g_mm), 0);
    fake_enclave_process()->mm = g_mm;
    fake_enclave_process()->thread_count = 1;
    return 0;
}

int rewrite_teardown(void **state)
{
    mm_unref(g_mm);
    assert_int_equal(enclave_pages_used(), 0);
    return 0;
}

uint8_t *code_page(uintptr_t at, const void *code, size_t size, unsigned off)
{
    assert_int_equal(
        mm_map(g_mm, &at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, NULL, 0), 0);
    assert_int_equal(user_prefault(at, PAGE_SIZE, true), 0);
    memset((void *)at, 0x90, PAGE_SIZE);
    memcpy((uint8_t *)at + off, code, size);
    assert_int_equal(mm_protect(g_mm, at, PAGE_SIZE, PROT_READ | PROT_EXEC), 0);
    return (uint8_t *)at + off;
}

uintptr_t jump_target(uintptr_t at)
{
    const uint8_t *code = (const uint8_t *)at;
    unsigned prefix = code[0] == JUMP_PREFIX ? 1 : 0;
    int32_t rel;

    if (code[0] == 0xeb)
        return at + 2 + (uintptr_t)(int64_t)(int8_t)code[1];
    if (code[prefix] != 0xe9)
        return 0;
    memcpy(&rel, code + prefix + 1, 4);
    return at + prefix + 5 + (uintptr_t)(int64_t)rel;
}
