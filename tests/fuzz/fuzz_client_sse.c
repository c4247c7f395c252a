/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: whatever comes, in one piece or byte by byte, gives the same events, none longer than the limit, each with a 0 behind it. */
#include <assert.h>
#include <string.h>

#include "client/sse.h"
#include "tests/fuzz/fuzz.h"

struct seen {
    unsigned count;
    size_t size; /* of all texts */
    char last_kind[SSE_WORD_SIZE];
};

static bool take(void *arg, const char *kind, const char *data, size_t size)
{
    struct seen *s = arg;

    assert(size < SSE_LINE_SIZE_MAX && data[size] == 0);
    assert(strlen(kind) < SSE_WORD_SIZE);
    s->count++;
    s->size += size;
    memcpy(s->last_kind, kind, strlen(kind) + 1);
    return true;
}

static void run(const uint8_t *data, size_t size, size_t step, struct seen *seen,
                char id[SSE_WORD_SIZE])
{
    struct sse sse;
    bool go_on = true;

    assert(sse_init(&sse, take, seen) == 0);
    for (size_t at = 0; go_on && at < size; at += step)
        go_on = sse_add(&sse, (const char *)data + at, at + step > size ? size - at : step);
    memcpy(id, sse.id, SSE_WORD_SIZE);
    assert(strlen(id) < SSE_WORD_SIZE);
    sse_done(&sse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = { 0 }, parts = { 0 };
    char whole_id[SSE_WORD_SIZE], parts_id[SSE_WORD_SIZE];

    run(data, size, size ? size : 1, &whole, whole_id);
    run(data, size, 1, &parts, parts_id);
    assert(whole.count == parts.count && whole.size == parts.size);
    assert(strcmp(whole.last_kind, parts.last_kind) == 0 && strcmp(whole_id, parts_id) == 0);
    return 0;
}
