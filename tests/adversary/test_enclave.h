/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the test enclave share, and liar.c knows of it. */
#pragma once

#include "abi/start.h"

/* Exit status: whatever the host said did no harm. */
#define ROW_HARMLESS 50
/* Lies in registers and on the stack when an OCALL is made; must never be seen outside. */
#define ROW_SECRET 0x1122334455667788ull
/* Pages that the scenarios of test_enclave_sgx.c use. */
#define SGX_TEST_ADDR 0x600000ull

#ifdef TEE_BUILD
NORETURN void test_check_failed(const char *what, int line);
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            test_check_failed(#x, __LINE__);                                                       \
    } while (0)

/* Host signals that were let through, bit n-1. */
uint32_t test_host_signals(void);
/* Calls the row of that name `rounds` times (decimal text), then ends. Returns when there is none. */
void test_rows_run(const char *name, const char *rounds);
/* Scenarios about pages and entries (test_enclave_sgx.c). Returns when it knows none of that name. */
void test_sgx_run(const char *name);
/* The enclave attacks the loader (test_enclave_rogue.c). Returns when it knows no scenario of that name. */
void test_rogue_run(const char *name);
/* The second thread of such a scenario. returns: false when none runs. */
bool test_rogue_thread(void);
#endif
