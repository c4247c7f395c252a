/* SPDX-License-Identifier: Apache-2.0 */
/* Progress line on standard error. Relying party. */
#include "builder/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 100u

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void progress_init(struct progress *p, bool wanted)
{
    *p = (struct progress){ .shown = wanted && isatty(STDERR_FILENO) };
}

static void show(struct progress *p)
{
    uint64_t now = now_ms();

    if (now - p->last_ms < INTERVAL_MS)
        return;
    p->last_ms = now;
    if (p->total > 0)
        fprintf(stderr, "\r\033[K%s: %llu%%", p->step,
                (unsigned long long)(p->done >= p->total ? 100 : p->done * 100 / p->total));
    else
        fprintf(stderr, "\r\033[K%s: %llu MiB", p->step, (unsigned long long)(p->done >> 20));
}

void progress_step(struct progress *p, const char *step, uint64_t total)
{
    if (!p || !p->shown)
        return;
    p->step = step;
    p->done = 0;
    p->total = total;
    show(p);
}

void progress_add(struct progress *p, uint64_t size)
{
    if (!p || !p->shown)
        return;
    p->done += size;
    show(p);
}

void progress_done(struct progress *p)
{
    if (p && p->shown && p->last_ms)
        fprintf(stderr, "\r\033[K");
}
