/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: the host's clocks, carried on by the TSC for at most a second. Monotonic time has a floor, so a
 * host that turns its clock back only makes it stand still. The wall clock is monotonic time and a difference, which the host says until it is
 * bound. Trusted.
 */
#include "tee/enclave/clock.h"

#include <asm/errno.h>

#include "tee/enclave/lock.h"
#include "tee/enclave/runtime.h"

#define NS_PER_S 1000000000ull
#define SHIFT 24
#define RESYNC_NS NS_PER_S
#define MEASURE_NS_MAX (1ull << 39) /* ns << SHIFT fits 64 bits */
#define FIRST_RESYNC_NS (NS_PER_S / 20)
/* No host's clock gets here; from it on, a century fits 64 bits. */
#define HOST_NS_MAX (1ull << 62)
/* A host that says its TSC runs outside this is not believed: every look at the clock asks it then. */
#define TSC_HZ_MIN 100000000ull
#define TSC_HZ_MAX 20000000000ull

/* One page that programs may read (the vDSO). seq is odd while writing. */
static struct {
    struct clock_data data;
    uint8_t pad[PAGE_SIZE - sizeof(struct clock_data)];
} g_page ALIGNED(4096);

/* One look at the clock. */
struct reading {
    uint64_t mono, real_off, boot_off; /* ns */
};

static struct spin g_lock;         /* writers */
static struct clock_bound g_bound; /* guarded by g_lock; all zero: none yet */
static uint64_t g_floor_ns;        /* atomic: latest monotonic time shown while asking the host */
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

/* What the clock shows at this tick of the TSC by the present rate; 0 before the first look. */
static uint64_t shown_at(uint64_t tsc)
{
    const struct clock_data *d = &g_page.data;

    if (d->mult == 0 || tsc < d->tsc_base)
        return d->mono_base_ns;
    return d->mono_base_ns + scale(MIN(tsc, d->valid_until_tsc) - d->tsc_base, d->mult);
}

/*
 * How far CLOCK_BOOTTIME is ahead of a monotonic clock that now shows `shown`. A host that takes time of suspension back does not turn it back: only as much of
 * the difference goes as the monotonic clock jumps forwards.
 */
static uint64_t boot_off(uint64_t host_boot_ns, uint64_t shown, uint64_t shown_before)
{
    uint64_t jump = MIN(shown - shown_before, g_page.data.boot_off_ns);
    uint64_t off = host_boot_ns > shown ? host_boot_ns - shown : 0;

    return MAX(off, g_page.data.boot_off_ns - jump);
}

/*
 * Shows the host's answer, which held at `tsc`, from now on. Now is read while seq is odd: no reader whose tick is
 * later goes by the old rate, so a slower one never takes back what was shown.
 */
static void publish(uint64_t tsc, const struct ocall_time *host, uint64_t mult)
{
    struct clock_data *d = &g_page.data;
    uint64_t now = tsc, passed = 0, host_ns, shown, shown_before;

    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (g_has_tsc)
        g_has_tsc = tsc_read(&now);
    if (mult != 0 && now > tsc)
        passed = scale(now - tsc, mult);
    host_ns = host->monotonic + passed;
    shown_before = shown_at(now);
    shown = floor_raise(MAX(shown_before, host_ns));
    /* Ahead of the host: lose it over the next period. */
    if (mult != 0 && shown > host_ns)
        mult -= mult / (RESYNC_NS / 1000) * (MIN(shown - host_ns, RESYNC_NS / 2) / 1000);
    d->shift = SHIFT;
    d->tsc_base = now;
    d->mult = mult;
    d->mono_base_ns = shown;
    if (g_bound.latest_ns == 0)
        d->real_off_ns = host->realtime + passed - shown;
    d->boot_off_ns = boot_off(host->boottime + passed, shown, shown_before);
    d->valid_until_tsc = mult == 0 ? 0 : now + (RESYNC_NS << SHIFT) / mult;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELEASE);
}

/* Asks the host and sets the clock by it: forwards at once, backwards by running slower. returns: the time now. */
static struct reading resync(void)
{
    struct reading ret;
    struct ocall_time host;
    uint64_t before = 0, after = 0, tsc, mult;

    if (g_has_tsc)
        g_has_tsc = tsc_read(&before);
    ocall_clock(&host);
    host.monotonic = MIN(host.monotonic, HOST_NS_MAX);
    host.realtime = MIN(host.realtime, HOST_NS_MAX);
    host.boottime = MIN(host.boottime, HOST_NS_MAX);
    if (g_has_tsc)
        g_has_tsc = tsc_read(&after);
    /* Waits: who comes second must not show a time from before the first one's. */
    spin_lock(&g_lock);
    tsc = before + (after - before) / 2;
    mult = measured_mult(tsc, host.monotonic);
    if (mult == 0)
        mult = g_page.data.mult;
    if (!g_has_tsc || !mult_is_sane(mult))
        mult = 0;
    if (g_last_tsc == 0 || host.monotonic - g_last_ns >= FIRST_RESYNC_NS / 2) {
        g_last_tsc = tsc;
        g_last_ns = host.monotonic;
    }
    publish(tsc, &host, mult);
    ret = (struct reading){ g_page.data.mono_base_ns, g_page.data.real_off_ns,
                            g_page.data.boot_off_ns };
    spin_unlock(&g_lock);
    return ret;
}

static bool read_fast(struct reading *ret)
{
    const struct clock_data *d = &g_page.data;

    for (int tries = 0; tries < 64; tries++) {
        uint32_t seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE);
        uint64_t tsc = 0, base = d->tsc_base, mult = d->mult, mono = d->mono_base_ns;
        uint64_t until = d->valid_until_tsc, real = d->real_off_ns, boot = d->boot_off_ns;
        bool has_tsc = mult != 0 && tsc_read(&tsc);

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((seq & 1) || __atomic_load_n(&d->seq, __ATOMIC_RELAXED) != seq)
            continue;
        if (!has_tsc || tsc >= until)
            return false;
        mono += tsc > base ? scale(tsc - base, mult) : 0;
        *ret = (struct reading){ mono, real, boot };
        return true;
    }
    return false;
}

static struct reading read_clock(void)
{
    struct reading r;

    return read_fast(&r) ? r : resync();
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock().mono;
}

uint64_t clock_realtime_ns(void)
{
    struct reading r = read_clock();

    return r.mono + r.real_off;
}

uint64_t clock_boottime_ns(void)
{
    struct reading r = read_clock();

    return r.mono + r.boot_off;
}

static int bound_check(const struct clock_bound *b, uint64_t now)
{
    if (b->earliest_ns == 0 || b->earliest_ns > b->latest_ns || b->latest_ns > HOST_NS_MAX ||
        b->latest_ns - b->earliest_ns > CLOCK_BOUND_WIDTH_MAX_NS || b->monotonic_ns > now)
        return -EINVAL;
    if (b->earliest_ns < g_bound.earliest_ns || b->monotonic_ns < g_bound.monotonic_ns)
        return -ESTALE;
    return 0;
}

/* Both may be "negative": they are differences modulo 2^64. */
static void real_off_set(uint64_t off)
{
    struct clock_data *d = &g_page.data;

    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    d->real_off_ns = off;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&d->seq, d->seq + 1, __ATOMIC_RELEASE);
}

int clock_realtime_bind(const struct clock_bound *bound, int64_t *ret_step_ns)
{
    uint64_t now = clock_monotonic_ns(), shown, set;
    int rc;

    spin_lock(&g_lock);
    rc = bound_check(bound, now);
    if (rc == 0) {
        shown = set = bound->monotonic_ns + g_page.data.real_off_ns;
        if (shown < bound->earliest_ns || shown > bound->latest_ns)
            set = bound->earliest_ns + (bound->latest_ns - bound->earliest_ns) / 2;
        g_bound = *bound;
        if (set != shown)
            real_off_set(set - bound->monotonic_ns);
        *ret_step_ns = (int64_t)(set - shown);
    }
    spin_unlock(&g_lock);
    return rc;
}

bool clock_realtime_bound(struct clock_bound *ret)
{
    bool is_bound;

    spin_lock(&g_lock);
    *ret = g_bound;
    is_bound = g_bound.latest_ns != 0;
    spin_unlock(&g_lock);
    return is_bound;
}

void clock_init(uint64_t tsc_hz_hint, bool has_tsc)
{
    g_has_tsc = has_tsc;
    if (tsc_hz_hint >= TSC_HZ_MIN && tsc_hz_hint <= TSC_HZ_MAX)
        g_page.data.mult = (NS_PER_S << SHIFT) / tsc_hz_hint;
    (void)resync();
}
