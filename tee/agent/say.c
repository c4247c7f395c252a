/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to stderr without stdio, which would make the agent ten times as large. Trusted; hosted. */
#include "tee/agent/say.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE_MAX 4096u

void say(const char *text, ...)
{
    static const char prefix[] = "cloche: ";
    char line[LINE_SIZE_MAX];
    size_t size = sizeof prefix - 1;
    va_list texts;

    memcpy(line, prefix, size);
    va_start(texts, text);
    for (; text; text = va_arg(texts, const char *)) {
        size_t room = sizeof line - 1 - size, len = strnlen(text, room);

        memcpy(line + size, text, len);
        size += len;
    }
    va_end(texts);
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, size) < 0)
        return; /* nobody listens */
}

const char *say_number(int value)
{
    static char digits[16];
    char *at = digits + sizeof digits - 1;
    unsigned rest = value < 0 ? -(unsigned)value : (unsigned)value;

    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0)
        *--at = '-';
    return at;
}
