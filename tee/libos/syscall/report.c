/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls and flags that are not supported: one line to the operator a site, and a bounded table of
 * counts for `cloche run --explain`. Trusted. Lines hold static texts, numbers of calls and the program's name;
 * arguments are shown as they came in registers only where the call itself is unknown.
 */
#include "tee/libos/syscall/report.h"

#include <asm/errno.h>

#include "tee/enclave/lock.h"
#include "tee/enclave/log.h"
#include "tee/enclave/string.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/syscall/syscall.h"
#include "tee/libos/task/task.h"

#define REPORT_ROWS_MAX 256u
#define REPORT_LINES_MAX 64u /* lines while the program runs; the table has the rest */

struct report_row {
    const char *what, *advice;
    uint64_t site; /* address after the system call */
    uint64_t count;
    char program[TASK_NAME_SIZE];
};

static struct {
    struct spin lock; /* guards all below */
    unsigned row_count, line_count;
    uint64_t lost; /* reports that found the table full */
    bool explain;
    struct report_row rows[REPORT_ROWS_MAX];
} g_report;

void syscall_report_init(bool explain)
{
    g_report.explain = explain;
}

/* Counts a report. returns: true the first time, when a line is due. */
static bool count(const char *what, const char *advice, uint64_t site)
{
    struct report_row *row = NULL;
    bool is_new = false;

    spin_lock(&g_report.lock);
    for (unsigned i = 0; i < g_report.row_count && !row; i++)
        if (g_report.rows[i].what == what && g_report.rows[i].site == site)
            row = &g_report.rows[i];
    if (!row && g_report.row_count < REPORT_ROWS_MAX) {
        row = &g_report.rows[g_report.row_count++];
        *row = (struct report_row){ .what = what, .advice = advice, .site = site };
        memcpy(row->program, current()->name, sizeof row->program);
        is_new = g_report.line_count++ < REPORT_LINES_MAX;
    }
    if (row)
        row->count++;
    else
        g_report.lost++;
    spin_unlock(&g_report.lock);
    return is_new;
}

void syscall_unsupported(const char *what, const char *advice)
{
    const struct regs *r = current_regs();

    if (count(what, advice, r->rip))
        log_line("%s: not supported: %s (arguments %lx %lx %lx %lx): %s", current()->name, what,
                 r->rdi, r->rsi, r->rdx, r->r10, advice);
}

int64_t syscall_unknown(uint64_t number)
{
    const char *name = syscall_name(number);

    syscall_unsupported(
        name ? name : "a system call without a name",
        "answered ENOSYS as an older Linux would; nothing to do if the program goes "
        "on");
    return -ENOSYS;
}

void syscall_explain(void)
{
    struct rewrite_stats stats;

    if (!g_report.explain)
        return;
    rewrite_stats(&stats);
    log_line("system-call sites: %lu by jump, %lu by jump through padding, %lu by jump before, %lu "
             "by trap; "
             "%lu calls trapped",
             stats.punned, stats.caved, stats.lifted, stats.trapping, stats.traps);
    if (!g_report.row_count) {
        log_line("every system call and flag that was used is supported");
        return;
    }
    log_line("%-10s %-16s %-40s %s", "times", "program", "call", "what it means");
    for (unsigned i = 0; i < g_report.row_count; i++) {
        const struct report_row *row = &g_report.rows[i];

        log_line("%-10lu %-16s %-40s %s", row->count, row->program, row->what, row->advice);
    }
    if (g_report.lost)
        log_line("%lu more, for which the table has no room", g_report.lost);
}
