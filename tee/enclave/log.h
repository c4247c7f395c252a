/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for the operator (host's standard error) and formatting. Trusted. Never put data of the
 * program, secrets or file contents into a line. Formats: %s %d %i %u %x %lx %lu %ld %llu %zu %p %c %%, with
 * width, precision and zero padding.
 */
#pragma once

#include <stdarg.h>

#include "lib/defs.h"

/* One line; "cloche: " goes before it, a newline after it. Cut at LOG_LINE_MAX. */
#define LOG_LINE_MAX 400
void log_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Only with START_VERBOSE. */
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* As snprintf: returns the length without NUL that the whole text has; always ends dst with NUL when size > 0. */
int format(char *dst, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
int format_v(char *dst, size_t size, const char *fmt, va_list args);
