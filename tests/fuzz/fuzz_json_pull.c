/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader: passing over a value and walking through it agree. */
#include <assert.h>
#include <stdlib.h>

#include "lib/json_pull.h"
#include "tests/fuzz/fuzz.h"

static int text_walk(struct json_pull *j)
{
    struct json_pull_text text;
    char *copy;
    int rc = json_pull_string(j, &text);

    if (rc < 0)
        return rc;
    copy = malloc(text.raw_size + 1);
    if (!copy)
        abort();
    assert(json_pull_text_decode(&text, copy, text.raw_size + 1) >= 0);
    assert(json_pull_text_is(&text, copy));
    free(copy);
    return 0;
}

static int value_walk(struct json_pull *j)
{
    struct json_pull_text name;
    uint64_t number;
    bool flag;
    int rc = json_pull_peek(j);

    switch (rc) {
    case JSON_PULL_OBJECT:
        rc = json_pull_object_begin(j);
        while (rc == 0 && (rc = json_pull_object_next(j, &name)) > 0)
            rc = value_walk(j);
        return rc;
    case JSON_PULL_ARRAY:
        rc = json_pull_array_begin(j);
        while (rc == 0 && (rc = json_pull_array_next(j)) > 0)
            rc = value_walk(j);
        return rc;
    case JSON_PULL_STRING:
        return text_walk(j);
    case JSON_PULL_NUMBER: {
        struct json_pull ahead = *j;

        return json_pull_uint(&ahead, UINT64_MAX, &number) == 0 ? (*j = ahead, 0)
                                                                : json_pull_skip(j);
    }
    case JSON_PULL_TRUE:
    case JSON_PULL_FALSE:
        return json_pull_bool(j, &flag);
    case JSON_PULL_NULL:
        return json_pull_null(j);
    default:
        return rc;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_pull skip, walk;

    json_pull_init(&skip, (const char *)data, size);
    json_pull_init(&walk, (const char *)data, size);
    int skipped = json_pull_skip(&skip), walked = value_walk(&walk);

    assert((skipped == 0) == (walked == 0));
    if (skipped == 0) {
        assert(skip.pos == walk.pos && walk.depth == 0);
        assert(json_pull_end(&skip) == json_pull_end(&walk));
    }
    return 0;
}
