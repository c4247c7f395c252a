/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every endpoint of the control plane: target, query and body of a request, run by the real handlers over a real store. Input: a line "METHOD TARGET", then the body;
 * `{app}`, `{build}` and so on stand for objects that are there. Whatever comes, no answer says that the server failed, and each is JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/server_world.h"

#define LINE_SIZE_MAX 4608u

static void fail(const struct world_answer *answer, const char *what)
{
    fprintf(stderr, "%s %s: %s: %d %.2000s\n", answer->method, answer->path, what, answer->status,
            answer->text ? answer->text : "");
    abort();
}

static void check(const struct world_answer *answer)
{
    bool is_problem = answer->status >= 400;
    json_t *json;

    if (answer->status < 200 || answer->status > 599 ||
        (answer->status >= 500 && answer->status != 503))
        fail(answer, "status");
    if (!answer->text_size || !answer->is_json)
        return;
    json = json_loadb(answer->text, answer->text_size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json))
        fail(answer, "no object");
    if (is_problem && !json_is_string(json_object_get(json, "code")))
        fail(answer, "a problem without a code");
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    char line[LINE_SIZE_MAX], *target;
    struct world_answer answer;
    size_t len = end ? (size_t)(end - data) : 0;

    if (!end || len >= sizeof line)
        return 0;
    memcpy(line, data, len);
    line[len] = 0;
    target = strchr(line, ' ');
    if (!target)
        return 0;
    *target++ = 0;
    server_world();
    server_world_request(line, target, (const char *)end + 1, size - len - 1, &answer);
    if (answer.is_there)
        check(&answer);
    return 0;
}

/* Mostly the body, by values and members; sometimes the line, or any byte. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint8_t *end = memchr(data, '\n', size);
    size_t head = end ? (size_t)(end - data) + 1 : 0;
    uint8_t tail[LINE_SIZE_MAX];

    if (seed % 16 == 0 || !end || (head == size && seed % 2))
        return LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 == 1 || head == size) {
        size_t room = max_size - (size - head), body = size - head;
        uint8_t *copy = malloc(body + 1);

        if (!copy || head > sizeof tail) {
            free(copy);
            return size;
        }
        memcpy(copy, data + head, body);
        head = LLVMFuzzerMutate(data, head - 1, room - 1);
        data[head++] = '\n';
        memcpy(data + head, copy, body);
        free(copy);
        return head + body;
    }
    return head + mutate_json(data + head, size - head, max_size - head, seed / 16);
}
