/* SPDX-License-Identifier: Apache-2.0 */
/* Mutations of JSON: values, members and elements are changed, repeated, dropped, exchanged and wrapped. Tests only. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "tests/fuzz/mutate.h"

#define SPAN_COUNT_MAX 4096
#define DEPTH_MAX 64
#define COPY_SIZE_MAX 8192

struct span {
    size_t start, end;
};

struct spans {
    unsigned value_count, name_count;
    struct span values[SPAN_COUNT_MAX], names[SPAN_COUNT_MAX];
};

static size_t skip_string(const uint8_t *data, size_t size, size_t at)
{
    for (at++; at < size && data[at] != '"'; at++)
        if (data[at] == '\\')
            at++;
    return at < size ? at + 1 : size;
}

static void add(struct span *list, unsigned *count, size_t start, size_t end)
{
    if (*count < SPAN_COUNT_MAX)
        list[(*count)++] = (struct span){ start, end };
}

static bool is_name(const uint8_t *data, size_t size, size_t at)
{
    while (at < size && isspace(data[at]))
        at++;
    return at < size && data[at] == ':';
}

/* Where values and names stand; passes over whatever is no JSON. */
static void find_spans(const uint8_t *data, size_t size, struct spans *ret)
{
    size_t open[DEPTH_MAX];
    unsigned depth = 0;

    ret->value_count = ret->name_count = 0;
    for (size_t at = 0; at < size;) {
        size_t start = at;
        uint8_t c = data[at++];

        if (c == '"') {
            at = skip_string(data, size, start);
            if (is_name(data, size, at))
                add(ret->names, &ret->name_count, start, at);
            else
                add(ret->values, &ret->value_count, start, at);
        } else if ((c == '{' || c == '[') && depth < DEPTH_MAX) {
            open[depth++] = start;
        } else if ((c == '}' || c == ']') && depth > 0) {
            add(ret->values, &ret->value_count, open[--depth], at);
        } else if (isalnum(c) || c == '-') {
            while (at < size && (isalnum(data[at]) || strchr("+-.", data[at])))
                at++;
            add(ret->values, &ret->value_count, start, at);
        }
    }
}

static size_t put_word(uint8_t *data, size_t size, size_t max_size, struct span s, uint32_t *state)
{
    static const char *const words[] = {
        "0",
        "1",
        "2",
        "3",
        "-1",
        "255",
        "256",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "1e3",
        "0.5",
        "null",
        "true",
        "false",
        "[]",
        "{}",
        "\"\"",
        "\"SGX\"",
        "\"TDX\"",
        "\"UpToDate\"",
        "\"Revoked\"",
        "\"OutOfDate\"",
        "\"TDX_01\"",
        "\"TDX_ff\"",
        "\"2026-01-01T00:00:00Z\"",
        "\"0001-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:60Z\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"intel\"",
        "\"amd\"",
        "\"00000000000000000000000000000000\"",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    const char *word = words[mutate_random(state) % (sizeof words / sizeof words[0])];

    return mutate_replace(data, size, max_size, s.start, s.end, word, strlen(word));
}

/* The value twice or many times, as elements or members would stand. */
static size_t repeat(uint8_t *data, size_t size, size_t max_size, struct span s, uint32_t *state)
{
    uint8_t copy[COPY_SIZE_MAX];
    size_t length = s.end - s.start;
    unsigned count = mutate_random(state) % 4 ? 1 : 1 + mutate_random(state) % 160;

    if (length >= sizeof copy)
        return size;
    copy[0] = ',';
    memcpy(copy + 1, data + s.start, length);
    while (count-- > 0)
        size = mutate_replace(data, size, max_size, s.end, s.end, copy, length + 1);
    return size;
}

static size_t copy_over(uint8_t *data, size_t size, size_t max_size, struct span to,
                        struct span from)
{
    uint8_t copy[COPY_SIZE_MAX];
    size_t length = from.end - from.start;

    if (length > sizeof copy)
        return size;
    memcpy(copy, data + from.start, length);
    return mutate_replace(data, size, max_size, to.start, to.end, copy, length);
}

/* libFuzzer's mutation within a value. */
static size_t mutate_inside(uint8_t *data, size_t size, size_t max_size, struct span s)
{
    uint8_t copy[COPY_SIZE_MAX];
    size_t length = s.end - s.start;

    if (length == 0 || length >= sizeof copy / 2)
        return size;
    memcpy(copy, data + s.start, length);
    length = LLVMFuzzerMutate(copy, length, sizeof copy / 2);
    return mutate_replace(data, size, max_size, s.start, s.end, copy, length);
}

static size_t drop(uint8_t *data, size_t size, size_t max_size, struct span s)
{
    if (s.end < size && data[s.end] == ',')
        s.end++;
    else if (s.start > 0 && data[s.start - 1] == ',')
        s.start--;
    return mutate_replace(data, size, max_size, s.start, s.end, "", 0);
}

size_t mutate_json(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct spans spans;
    uint32_t state = seed | 1u;
    struct span value, name;

    find_spans(data, size, &spans);
    if (spans.value_count == 0 || mutate_random(&state) % 10 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    value = spans.values[mutate_random(&state) % spans.value_count];
    switch (mutate_random(&state) % 7) {
    case 0:
        return put_word(data, size, max_size, value, &state);
    case 1:
        return repeat(data, size, max_size, value, &state);
    case 2:
        return drop(data, size, max_size, value);
    case 3:
        return copy_over(data, size, max_size, value,
                         spans.values[mutate_random(&state) % spans.value_count]);
    case 4:
        size = mutate_replace(data, size, max_size, value.end, value.end, "]", 1);
        return mutate_replace(data, size, max_size, value.start, value.start, "[", 1);
    case 5:
        if (spans.name_count > 0) {
            name = spans.names[mutate_random(&state) % spans.name_count];
            return copy_over(data, size, max_size, name,
                             spans.names[mutate_random(&state) % spans.name_count]);
        }
        break;
    default:
        break;
    }
    return mutate_inside(data, size, max_size, value);
}
