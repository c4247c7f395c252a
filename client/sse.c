/* SPDX-License-Identifier: Apache-2.0 */
/* Reads server-sent events. Relying party; bytes are hostile. */
#include "client/sse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sse_init(struct sse *sse, sse_event_fn *fn, void *arg)
{
    *sse = (struct sse){ .fn = fn, .arg = arg };
    sse->line = malloc(SSE_LINE_SIZE_MAX);
    sse->data = malloc(SSE_LINE_SIZE_MAX);
    if (sse->line && sse->data)
        return 0;
    sse_done(sse);
    return -ENOMEM;
}

void sse_done(struct sse *sse)
{
    free(sse->line);
    free(sse->data);
    *sse = (struct sse){ 0 };
}

void sse_reset(struct sse *sse)
{
    sse->line_size = sse->data_size = 0;
    sse->kind[0] = 0;
    memcpy(sse->next_id, sse->id, sizeof sse->id);
    sse->is_broken = false;
}

/* An empty line ends an event; one without data is none. */
static bool dispatch(struct sse *sse)
{
    bool go_on = true;

    memcpy(sse->id, sse->next_id, sizeof sse->id);
    if (sse->data_size > 0) {
        sse->data[--sse->data_size] = 0; /* the last line's break */
        go_on = sse->fn(sse->arg, sse->kind[0] ? sse->kind : "message", sse->data, sse->data_size);
    }
    sse->data_size = 0;
    sse->kind[0] = 0;
    return go_on;
}

static bool add_data(struct sse *sse, const char *value, size_t len)
{
    if (len + 1 > SSE_LINE_SIZE_MAX - sse->data_size)
        return false;
    memcpy(sse->data + sse->data_size, value, len);
    sse->data_size += len;
    sse->data[sse->data_size++] = '\n';
    return true;
}

/* returns: whether to go on. */
static bool take_line(struct sse *sse)
{
    char *line = sse->line, *value;
    size_t len = sse->line_size;

    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = 0;
    if (len == 0)
        return dispatch(sse);
    if (line[0] == ':')
        return true;
    value = memchr(line, ':', len);
    if (value) {
        *value++ = 0;
        if (*value == ' ')
            value++;
    } else {
        value = line + len;
    }
    if (strcmp(line, "data") == 0 && !add_data(sse, value, (size_t)(line + len - value))) {
        sse->is_broken = true;
        return false;
    }
    if (strcmp(line, "event") == 0)
        snprintf(sse->kind, sizeof sse->kind, "%.*s", (int)sizeof sse->kind - 1, value);
    if (strcmp(line, "id") == 0)
        snprintf(sse->next_id, sizeof sse->next_id, "%.*s", (int)sizeof sse->next_id - 1, value);
    return true;
}

bool sse_add(struct sse *sse, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') {
            bool go_on = take_line(sse);

            sse->line_size = 0;
            if (!go_on)
                return false;
            continue;
        }
        if (sse->line_size + 1 == SSE_LINE_SIZE_MAX) { /* room for the NUL */
            sse->is_broken = true;
            return false;
        }
        sse->line[sse->line_size++] = data[i];
    }
    return true;
}
