/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts for people. Hosted sides only. */
#include "lib/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names from images go into messages: no control characters to the terminal. */
static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int err_set(struct err *err, int rc, const char *format, ...)
{
    va_list args;

    if (!err)
        return rc;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    clean(err->text);
    return rc;
}

int err_set_errno(struct err *err, int rc, const char *format, ...)
{
    va_list args;

    if (!err)
        return rc;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t len = strlen(err->text);

    snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(-rc));
    clean(err->text);
    return rc;
}

int err_wrap(struct err *err, int rc, const char *format, ...)
{
    char inner[ERR_TEXT_SIZE];
    va_list args;

    if (!err)
        return rc;
    snprintf(inner, sizeof inner, "%s", err->text[0] ? err->text : strerror(-rc));
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t len = strlen(err->text);

    snprintf(err->text + len, sizeof err->text - len, ": %s", inner);
    clean(err->text);
    return rc;
}
