/* SPDX-License-Identifier: Apache-2.0 */
/* See clock_set.h. Trusted. The count goes up before anyone is told: who sees the old count after arming is still told. */
#include "tee/libos/task/clock_set.h"

static struct mutex g_lock; /* guards the list; taken before the locks of those who watch */
static struct clock_watch *g_first;
static uint32_t g_count; /* atomic */
static struct waitq g_queue;

void clock_watch_add(struct clock_watch *w, void (*fn)(void *arg), void *arg)
{
    w->fn = fn;
    w->arg = arg;
    mutex_lock(&g_lock);
    w->prev = NULL;
    w->next = g_first;
    if (g_first)
        g_first->prev = w;
    g_first = w;
    mutex_unlock(&g_lock);
}

void clock_watch_remove(struct clock_watch *w)
{
    if (!w->fn)
        return;
    mutex_lock(&g_lock);
    if (w->prev)
        w->prev->next = w->next;
    else
        g_first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    mutex_unlock(&g_lock);
    w->fn = NULL;
}

int clock_set_bind(const struct clock_bound *bound, int64_t *ret_step_ns)
{
    int rc = clock_realtime_bind(bound, ret_step_ns);

    if (rc < 0 || *ret_step_ns == 0)
        return rc;
    __atomic_add_fetch(&g_count, 1, __ATOMIC_SEQ_CST);
    mutex_lock(&g_lock);
    for (struct clock_watch *w = g_first; w; w = w->next)
        w->fn(w->arg);
    mutex_unlock(&g_lock);
    wait_wake(&g_queue, WAKE_ALL, 0);
    return 0;
}

uint32_t clock_set_count(void)
{
    return __atomic_load_n(&g_count, __ATOMIC_SEQ_CST);
}

struct waitq *clock_set_queue(void)
{
    return &g_queue;
}
