/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/limits (getrlimit(2)). Trusted. */
#include <linux/errno.h>
#include <linux/resource.h>

#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/proc/proc_internal.h"

static const struct {
    const char *name, *unit;
    int index;
} g_limits[] = {
    { "Max cpu time", "seconds", RLIMIT_CPU },
    { "Max file size", "bytes", RLIMIT_FSIZE },
    { "Max data size", "bytes", RLIMIT_DATA },
    { "Max stack size", "bytes", RLIMIT_STACK },
    { "Max core file size", "bytes", RLIMIT_CORE },
    { "Max resident set", "bytes", RLIMIT_RSS },
    { "Max processes", "processes", RLIMIT_NPROC },
    { "Max open files", "files", RLIMIT_NOFILE },
    { "Max locked memory", "bytes", RLIMIT_MEMLOCK },
    { "Max address space", "bytes", RLIMIT_AS },
    { "Max file locks", "locks", RLIMIT_LOCKS },
    { "Max pending signals", "signals", RLIMIT_SIGPENDING },
    { "Max msgqueue size", "bytes", RLIMIT_MSGQUEUE },
    { "Max nice priority", "", RLIMIT_NICE },
    { "Max realtime priority", "", RLIMIT_RTPRIO },
    { "Max realtime timeout", "us", RLIMIT_RTTIME },
};

static void limit_text(char ret[24], uint64_t value)
{
    if (value == UINT64_MAX)
        format(ret, 24, "unlimited");
    else
        format(ret, 24, "%lu", (unsigned long)value);
}

/* One column: text, then blanks up to its width. */
static void column(struct text *t, const char *s, size_t width)
{
    size_t size = strlen(s);

    text_add(t, s, size);
    for (; size < width; size++)
        text_add(t, " ", 1);
}

int proc_limits_show(struct text *t, const struct pseudo_key *k)
{
    struct process *p = proc_process(k);
    char number[24];

    if (!p)
        return -ESRCH;
    column(t, "Limit", 26);
    column(t, "Soft Limit", 21);
    column(t, "Hard Limit", 21);
    column(t, "Units", 10);
    text_add(t, "\n", 1);
    for (size_t i = 0; i < ARRAY_COUNT(g_limits); i++) {
        column(t, g_limits[i].name, 26);
        limit_text(number, p->limits[g_limits[i].index].current);
        column(t, number, 21);
        limit_text(number, p->limits[g_limits[i].index].maximum);
        column(t, number, 21);
        column(t, g_limits[i].unit, 10);
        text_add(t, "\n", 1);
    }
    process_unref(p);
    return 0;
}
