/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the operator. Trusted. */
#include "tee/enclave/log.h"

#include "tee/enclave/runtime.h"

static bool g_verbose; /* set once at start */

void log_set_verbose(bool verbose)
{
    g_verbose = verbose;
}

static void log_v(const char *fmt, va_list args)
{
    char line[LOG_LINE_MAX];
    int len = format_v(line, sizeof line, fmt, args);

    ocall_log(line, MIN((size_t)len, sizeof line - 1));
}

void log_line(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_v(fmt, args);
    va_end(args);
}

void log_debug(const char *fmt, ...)
{
    va_list args;

    if (!g_verbose)
        return;
    va_start(args, fmt);
    log_v(fmt, args);
    va_end(args);
}
