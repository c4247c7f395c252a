/* SPDX-License-Identifier: Apache-2.0 */
/* The system-call sites that cannot be rewritten: a hash set, so that each costs one look-up. Trusted. */
#include "tee/enclave/alloc.h"
#include "tee/enclave/lock.h"
#include "tee/libos/rewrite/rewrite_private.h"

#define SITE_SET_FIRST 256u
#define SITE_SET_MAX 65536u /* places; three quarters are used */
#define GONE 1u             /* marks a place whose site was removed */

static struct spin g_lock; /* guards all below; a leaf lock */
static uintptr_t *g_places;
static size_t g_place_count, g_used_count; /* a power of two; used: sites and GONE */

static size_t hash(uintptr_t site)
{
    return (size_t)((site * 0x9e3779b97f4a7c15ull) >> 40);
}

/* The place of site, or the free one where it would go. There is always a free place. */
static uintptr_t *find(uintptr_t *places, size_t count, uintptr_t site)
{
    size_t i = hash(site) & (count - 1);

    while (places[i] != 0 && places[i] != site)
        i = (i + 1) & (count - 1);
    return &places[i];
}

bool site_set_has(uintptr_t site)
{
    bool has;

    if (__atomic_load_n(&g_used_count, __ATOMIC_RELAXED) == 0)
        return false;
    spin_lock(&g_lock);
    has = g_places && *find(g_places, g_place_count, site) == site;
    spin_unlock(&g_lock);
    return has;
}

/* Called with the lock; `places` are fresh. */
static void move_to(uintptr_t *places, size_t count)
{
    g_used_count = 0;
    for (size_t i = 0; i < g_place_count; i++) {
        if (g_places[i] > GONE) {
            *find(places, count, g_places[i]) = g_places[i];
            g_used_count++;
        }
    }
    g_places = places;
    g_place_count = count;
}

void site_set_add(uintptr_t site)
{
    size_t want = 0;
    uintptr_t *fresh = NULL, *old = NULL, *place;

    spin_lock(&g_lock);
    if ((g_used_count + 1) * 4 > g_place_count * 3)
        want = g_place_count ? MIN(g_place_count * 2, SITE_SET_MAX) : SITE_SET_FIRST;
    spin_unlock(&g_lock);
    if (want)
        fresh = mem_calloc(want, sizeof *fresh);
    spin_lock(&g_lock);
    if (fresh && want >= g_place_count) {
        old = g_places;
        move_to(fresh, want);
    } else {
        old = fresh;
    }
    if ((g_used_count + 1) * 4 <= g_place_count * 3) {
        place = find(g_places, g_place_count, site);
        g_used_count += *place == 0;
        *place = site;
    }
    spin_unlock(&g_lock);
    mem_free(old);
}

void site_set_remove(uintptr_t start, uintptr_t end)
{
    if (__atomic_load_n(&g_used_count, __ATOMIC_RELAXED) == 0)
        return;
    spin_lock(&g_lock);
    for (size_t i = 0; i < g_place_count; i++)
        if (g_places[i] > GONE && g_places[i] >= start && g_places[i] < end)
            g_places[i] = GONE;
    spin_unlock(&g_lock);
}
