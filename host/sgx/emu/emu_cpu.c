/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPU has: XCR0, sizes of XSAVE areas (SDM vol. 1, chapter 13), TSC rate. Untrusted side. */
#include "host/sgx/emu/emu.h"

#include <cpuid.h>
#include <pthread.h>
#include <time.h>
#include <x86intrin.h>

uint64_t emu_cpu_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t emu_cpu_xsave_size(uint64_t xfrm)
{
    uint32_t size = 512 + 64;

    for (unsigned i = 2; i < 63; i++) {
        uint32_t eax, ebx, ecx, edx;

        if (!(xfrm >> i & 1) || !__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx))
            continue;
        size = MAX(size, ebx + eax);
    }
    return size;
}

#define TSC_MEASURE_NS 2000000u

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double g_ticks_per_ns; /* set once */

static void measure_tsc(void)
{
    uint64_t start_ns = now_ns(), start = __rdtsc(), elapsed_ns;

    do
        elapsed_ns = now_ns() - start_ns;
    while (elapsed_ns < TSC_MEASURE_NS);
    g_ticks_per_ns = (double)(__rdtsc() - start) / (double)elapsed_ns;
}

uint64_t emu_cpu_ticks(uint64_t ns)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!ns)
        return 0;
    pthread_once(&once, measure_tsc);
    return (uint64_t)(g_ticks_per_ns * (double)ns);
}

bool emu_cpu_is_canonical(uint64_t addr)
{
    return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}
