/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: the host's clocks, carried on by the TSC for at most a second. Monotonic time has a floor, so a
 * host that turns its clock back only makes it stand still. Trusted.
 */
#include "tee/enclave/clock.h"

#include "tee/enclave/lock.h"
#include "tee/enclave/runtime.h"

#define NS_PER_S 1000000000ull
#define SHIFT 24
#define RESYNC_NS NS_PER_S
#define MEASURE_NS_MAX (1ull << 39) /* ns << SHIFT fits 64 bits */
#define FIRST_RESYNC_NS (NS_PER_S / 20)
/* A host that says its TSC runs outside this is not believed: every look at the clock asks it then. */
#define TSC_HZ_MIN 100000000ull
#define TSC_HZ_MAX 20000000000ull

/* One page that programs may read (the vDSO). seq is odd while writing. */
static struct {
    struct clock_data data;
    uint8_t pad[PAGE_SIZE - sizeof(struct clock_data)];
} g_page ALIGNED(4096);

static struct spin g_lock;  /* writers */
static uint64_t g_floor_ns; /* atomic: latest monotonic time shown while asking the host */
static uint64_t g_last_tsc, g_last_ns;
static bool g_has_tsc;

const struct clock_data *clock_data(void)
{
    return &g_page.data;
}

static uint64_t scale(uint64_t ticks, uint64_t mult)
{
    return (uint64_t)(((unsigned __int128)ticks * mult) >> SHIFT);
}

static uint64_t floor_raise(uint64_t now)
{
    uint64_t old = __atomic_load_n(&g_floor_ns, __ATOMIC_RELAXED);

    while (old < now)
        if (__atomic_compare_exchange_n(&g_floor_ns, &old, now, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return now;
    return old;
}

/* ns per tick as SHIFT fixed point from what passed since the last look, 0 when that says nothing. */
static uint64_t measured_mult(uint64_t tsc, uint64_t mono)
{
    uint64_t ticks = tsc - g_last_tsc, ns = mono - g_last_ns;

    if (g_last_tsc == 0 || tsc <= g_last_tsc || mono <= g_last_ns || ns < FIRST_RESYNC_NS / 2 ||
        ns > MEASURE_NS_MAX)
        return 0;
    return (ns << SHIFT) / ticks;
}

static bool mult_is_sane(uint64_t mult)
{
    return mult >= (NS_PER_S << SHIFT) / TSC_HZ_MAX && mult <= (NS_PER_S << SHIFT) / TSC_HZ_MIN;
}

static void publish(uint64_t tsc, uint64_t shown, const struct ocall_time *host, uint64_t mult,
                    uint64_t valid_ns)
{
    struct clock_data *d = &g_page.data;

    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    d->shift = SHIFT;
    d->tsc_base = tsc;
    d->mult = mult;
    d->mono_base_ns = shown;
    d->real_off_ns = host->realtime - shown;
    d->boot_off_ns = host->boottime > shown ? host->boottime - shown : 0;
    d->valid_until_tsc = mult == 0 ? 0 : tsc + (valid_ns << SHIFT) / mult;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELEASE);
}

/* What the clock shows at this tick of the TSC by the present rate; 0 before the first look. */
static uint64_t shown_at(uint64_t tsc)
{
    const struct clock_data *d = &g_page.data;

    if (d->mult == 0 || tsc < d->tsc_base)
        return d->mono_base_ns;
    return d->mono_base_ns + scale(MIN(tsc, d->valid_until_tsc) - d->tsc_base, d->mult);
}

/* Asks the host and sets the clock by it: forwards at once, backwards by running slower. */
static void resync(void)
{
    struct ocall_time host;
    uint64_t before = 0, after = 0, tsc, shown, mult;

    if (g_has_tsc)
        g_has_tsc = tsc_read(&before);
    ocall_clock(&host);
    if (g_has_tsc)
        g_has_tsc = tsc_read(&after);
    if (!spin_try(&g_lock))
        return; /* another thread is at it */
    tsc = before + (after - before) / 2;
    shown = MAX(shown_at(tsc), host.monotonic);
    shown = floor_raise(shown);
    mult = measured_mult(tsc, host.monotonic);
    if (mult == 0)
        mult = g_page.data.mult;
    if (!g_has_tsc || !mult_is_sane(mult))
        mult = 0;
    if (g_last_tsc == 0 || host.monotonic - g_last_ns >= FIRST_RESYNC_NS / 2) {
        g_last_tsc = tsc;
        g_last_ns = host.monotonic;
    }
    /* Ahead of the host: lose it over the next period. */
    if (mult != 0 && shown > host.monotonic) {
        uint64_t ahead = MIN(shown - host.monotonic, RESYNC_NS / 2);

        mult -= mult / (RESYNC_NS / 1000) * (ahead / 1000);
    }
    publish(tsc, shown, &host, mult, RESYNC_NS);
    spin_unlock(&g_lock);
}

static bool read_fast(uint64_t *ret_mono, uint64_t *ret_real_off, uint64_t *ret_boot_off)
{
    const struct clock_data *d = &g_page.data;

    for (int tries = 0; tries < 64; tries++) {
        uint32_t seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
        uint64_t tsc, base = d->tsc_base, mult = d->mult, mono = d->mono_base_ns;
        uint64_t until = d->valid_until_tsc, real = d->real_off_ns, boot = d->boot_off_ns;

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((seq & 1) || __atomic_load_n(&d->seq, __ATOMIC_RELAXED) != seq)
            continue;
        if (mult == 0 || !tsc_read(&tsc) || tsc >= until)
            return false;
        *ret_mono = mono + (tsc > base ? scale(tsc - base, mult) : 0);
        *ret_real_off = real;
        *ret_boot_off = boot;
        return true;
    }
    return false;
}

static uint64_t read_clock(uint64_t *ret_real_off, uint64_t *ret_boot_off)
{
    const struct clock_data *d = &g_page.data;
    uint64_t mono;

    if (read_fast(&mono, ret_real_off, ret_boot_off))
        return mono;
    resync();
    if (read_fast(&mono, ret_real_off, ret_boot_off))
        return mono;
    /* No TSC: the host's answer just now, never below what was shown before. */
    mono = floor_raise(__atomic_load_n(&d->mono_base_ns, __ATOMIC_RELAXED));
    *ret_real_off = d->real_off_ns;
    *ret_boot_off = d->boot_off_ns;
    return mono;
}

uint64_t clock_monotonic_ns(void)
{
    uint64_t real_off, boot_off;

    return read_clock(&real_off, &boot_off);
}

uint64_t clock_realtime_ns(void)
{
    uint64_t real_off, boot_off;
    uint64_t mono = read_clock(&real_off, &boot_off);

    return mono + real_off;
}

uint64_t clock_boottime_ns(void)
{
    uint64_t real_off, boot_off;
    uint64_t mono = read_clock(&real_off, &boot_off);

    return mono + boot_off;
}

void clock_init(uint64_t tsc_hz_hint, bool has_tsc)
{
    g_has_tsc = has_tsc;
    if (tsc_hz_hint >= TSC_HZ_MIN && tsc_hz_hint <= TSC_HZ_MAX)
        g_page.data.mult = (NS_PER_S << SHIFT) / tsc_hz_hint;
    resync();
}
