/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID as the library OS and programs see it: the host's answer, kept after the first time, with what
 * an enclave cannot have taken out (SDM vol. 2A, CPUID). Features are only ever removed: using one that
 * the CPU lacks faults, it does not leak. Trusted.
 */
#include "tee/enclave/lock.h"
#include "tee/enclave/ocall.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define CACHE_COUNT 128u

struct cpuid_entry {
    uint32_t leaf, subleaf;
    uint32_t regs[4];
};

static struct spin g_lock; /* guards both */
static struct cpuid_entry g_cache[CACHE_COUNT];
static uint32_t g_cache_used;

static bool has_subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4:
    case 7:
    case 0xb:
    case 0xd:
    case 0xf:
    case 0x10:
    case 0x12:
    case 0x14:
    case 0x17:
    case 0x18:
    case 0x1a:
    case 0x1d:
    case 0x1f:
    case 0x8000001d:
        return true;
    default:
        return false;
    }
}

static bool find(uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    bool found = false;

    spin_lock(&g_lock);
    for (uint32_t i = 0; i < g_cache_used && !found; i++) {
        if (g_cache[i].leaf == leaf && g_cache[i].subleaf == subleaf) {
            memcpy(ret, g_cache[i].regs, sizeof g_cache[i].regs);
            found = true;
        }
    }
    spin_unlock(&g_lock);
    return found;
}

static void sanitise(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    bool avx512 = xstate_size() > 2000;

    if (leaf == 1) {
        r[2] &= ~(1u << 3); /* MONITOR */
        r[2] |= 1u << 27;   /* OSXSAVE: this enclave has XSAVE state */
    } else if (leaf == 7 && subleaf == 0) {
        r[1] &= ~(1u << 2 | 1u << 11); /* SGX, RTM */
        if (!avx512)
            r[1] &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 |
                      1u << 31);                /* AVX-512 F DQ IFMA PF ER CD BW VL */
        r[2] &= ~(1u << 3 | 1u << 4 | 1u << 7); /* PKU, OSPKE, CET_SS */
        if (!avx512)
            r[2] &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);
        r[3] &= ~(1u << 20 | 1u << 22 | 1u << 24 | 1u << 25); /* CET_IBT, AMX */
    } else if (leaf == 0xd && subleaf == 0) {
        r[0] = avx512 ? 0xe7 : 0x7;
        r[1] = r[2] = (uint32_t)xstate_size();
        r[3] = 0;
    } else if (leaf == 0xd && subleaf > 2 && !(avx512 && subleaf >= 5 && subleaf <= 7)) {
        memset(r, 0, 16);
    } else if (leaf == 0x12) {
        memset(r, 0, 16);
    }
}

void ocall_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t ret_eax_ebx_ecx_edx[4])
{
    uint64_t args[6] = { leaf, 0 };
    struct ocall_answer answer;
    uint32_t *r = ret_eax_ebx_ecx_edx;

    if (!has_subleaves(leaf))
        subleaf = 0;
    args[1] = subleaf;
    if (find(leaf, subleaf, r))
        return;
    ocall_run(OCALL_cpuid, args, 0, &answer);
    r[0] = (uint32_t)answer.out[0];
    r[1] = (uint32_t)(answer.out[0] >> 32);
    r[2] = (uint32_t)answer.out[1];
    r[3] = (uint32_t)(answer.out[1] >> 32);
    sanitise(leaf, subleaf, r);
    spin_lock(&g_lock);
    if (g_cache_used < CACHE_COUNT) {
        g_cache[g_cache_used] = (struct cpuid_entry){ leaf, subleaf, { r[0], r[1], r[2], r[3] } };
        g_cache_used++;
    }
    spin_unlock(&g_lock);
}
