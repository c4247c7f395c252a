/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO: clock functions that run as part of the program, inside the enclave. Built as a shared
 * object of its own and embedded in the library OS (tee/libos/elf/vdso.c), which puts the address of struct
 * clock_data into vdso_clock_data_slot. Trusted. What it cannot answer it asks the library OS for.
 */
#include <linux/time.h>
#include <linux/types.h>

#include "tee/enclave/clock.h"
#include "tee/libos/elf/vdso/vdso.h"

#define NS_PER_S 1000000000ull
#define EXPORT __attribute__((visibility("default")))

/* Set before the image becomes executable; VDSO_SLOT_MAGIC is how the loader finds it. */
__attribute__((section(".rodata.slot"), used)) static const volatile uint64_t vdso_clock_data_slot =
    VDSO_SLOT_MAGIC;

static long call2(long number, long a, long b)
{
    long result;

    /* The bytes after `syscall` choose where its trampoline may lie (tee/libos/rewrite): 2 MiB on. */
    __asm__ volatile("syscall; nopl (%%rax)"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b)
                     : "rcx", "r11", "memory");
    return result;
}

static inline uint64_t tsc_read(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* Nanoseconds of one of the clocks; false when the library OS must be asked. */
static inline bool clock_ns(__kernel_clockid_t clock, uint64_t *ret)
{
    const struct clock_data *d = (const struct clock_data *)vdso_clock_data_slot;
    uint64_t tsc, ns;
    uint32_t seq;

    do {
        seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
        tsc = tsc_read();
        if ((seq & 1) || tsc >= d->valid_until_tsc || tsc < d->tsc_base)
            return false;
        ns = d->mono_base_ns +
             (uint64_t)(((unsigned __int128)(tsc - d->tsc_base) * d->mult) >> d->shift);
        if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
            ns += d->real_off_ns;
        else if (clock == CLOCK_BOOTTIME)
            ns += d->boot_off_ns;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&d->seq, __ATOMIC_RELAXED) != seq);
    *ret = ns;
    return true;
}

static inline bool is_served(__kernel_clockid_t clock)
{
    const unsigned served = 1u << CLOCK_REALTIME | 1u << CLOCK_MONOTONIC |
                            1u << CLOCK_MONOTONIC_RAW | 1u << CLOCK_REALTIME_COARSE |
                            1u << CLOCK_MONOTONIC_COARSE | 1u << CLOCK_BOOTTIME;

    return (unsigned)clock < 32 && (served >> clock & 1);
}

int __vdso_clock_gettime(__kernel_clockid_t clock, struct __kernel_timespec *ts);
int __vdso_clock_getres(__kernel_clockid_t clock, struct __kernel_timespec *ts);
int __vdso_gettimeofday(struct __kernel_old_timeval *tv, struct timezone *tz);
__kernel_old_time_t __vdso_time(__kernel_old_time_t *t);
int __vdso_getcpu(unsigned *cpu, unsigned *node, void *cache);

EXPORT int __vdso_clock_gettime(__kernel_clockid_t clock, struct __kernel_timespec *ts)
{
    uint64_t ns;

    if (!is_served(clock) || !clock_ns(clock, &ns))
        return (int)call2(VDSO_SYS_clock_gettime, clock, (long)ts);
    ts->tv_sec = (long)(ns / NS_PER_S);
    ts->tv_nsec = (long)(ns % NS_PER_S);
    return 0;
}

EXPORT int __vdso_clock_getres(__kernel_clockid_t clock, struct __kernel_timespec *ts)
{
    return (int)call2(VDSO_SYS_clock_getres, clock, (long)ts);
}

EXPORT int __vdso_gettimeofday(struct __kernel_old_timeval *tv, struct timezone *tz)
{
    uint64_t ns;

    if (tz || !tv || !clock_ns(CLOCK_REALTIME, &ns))
        return (int)call2(VDSO_SYS_gettimeofday, (long)tv, (long)tz);
    tv->tv_sec = (long)(ns / NS_PER_S);
    tv->tv_usec = (long)(ns % NS_PER_S / 1000);
    return 0;
}

EXPORT __kernel_old_time_t __vdso_time(__kernel_old_time_t *t)
{
    __kernel_old_time_t now;
    uint64_t ns;

    if (!clock_ns(CLOCK_REALTIME, &ns))
        return call2(VDSO_SYS_time, (long)t, 0);
    now = (long)(ns / NS_PER_S);
    if (t)
        *t = now;
    return now;
}

EXPORT int __vdso_getcpu(unsigned *cpu, unsigned *node, void *cache)
{
    return (int)call2(VDSO_SYS_getcpu, (long)cpu, (long)node);
}

#define WEAK_ALIAS(name, target)                                                                   \
    extern __typeof__(target) name __attribute__((weak, alias(#target), visibility("default")))

WEAK_ALIAS(clock_gettime, __vdso_clock_gettime);
WEAK_ALIAS(clock_getres, __vdso_clock_getres);
WEAK_ALIAS(gettimeofday, __vdso_gettimeofday);
WEAK_ALIAS(time, __vdso_time);
WEAK_ALIAS(getcpu, __vdso_getcpu);
