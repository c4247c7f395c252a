/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logs (a JSON object a line, to stderr) and the clock. Relying party. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/api/api.h"
#include "server/server.h"

int64_t server_now_ms(const struct server *server)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t server_now_s(const struct server *server)
{
    return server_now_ms(server) / 1000;
}

void server_log(const struct server *server, const char *level, const char *what, ...)
{
    json_t *line = json_object();
    const char *key;
    char *text;
    va_list args;

    json_object_set_new(line, "time", api_time(server_now_ms(server)));
    json_object_set_new(line, "level", json_string(level));
    json_object_set_new(line, "message", json_string(what));
    va_start(args, what);
    while ((key = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);

        json_object_set_new(line, key, value ? json_string(value) : json_null());
    }
    va_end(args);
    text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII); /* logs are read on terminals */
    json_decref(line);
    if (text) {
        size_t size = strlen(text);
        ssize_t written;

        text[size] = '\n'; /* the NUL's place: one write, so that lines of threads stay whole */
        written = write(STDERR_FILENO, text, size + 1);
        (void)written; /* there is nobody to tell */
    }
    free(text);
}
