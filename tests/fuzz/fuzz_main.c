/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without libFuzzer: over each seed of a folder and a fixed number of mutations of
 * each, the same in every run. Built with AddressSanitizer and UBSan, so a bad access ends the test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#define SEED_SIZE_MAX (1u << 20)
#define MUTATIONS 400
#define MUTATIONS_STRUCTURED 100 /* where the target has a mutator of its own */

#pragma weak LLVMFuzzerCustomMutator

static uint64_t g_state;

static uint64_t next_random(void)
{
    g_state ^= g_state << 13;
    g_state ^= g_state >> 7;
    g_state ^= g_state << 17;
    return g_state;
}

/* A copy of exactly its size, so that one byte too many is seen. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Exchanges, drops or repeats a byte: for the parts that a target's own mutator leaves to it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    size_t at = size ? next_random() % size : 0;

    switch (next_random() % 4) {
    case 0:
        if (size > 1) {
            memmove(data + at, data + at + 1, size - at - 1);
            return size - 1;
        }
        break;
    case 1:
        if (size > 0 && size < max_size) {
            memmove(data + at + 1, data + at, size - at);
            return size + 1;
        }
        break;
    default:
        break;
    }
    if (size > 0)
        data[at] = (uint8_t)next_random();
    return size;
}

/* By the target's own mutator, one upon the other. */
static void run_structured(const uint8_t *seed, size_t size)
{
    size_t room = 2 * size + 4096, at = size;
    uint8_t *data = malloc(room);

    if (data == NULL)
        abort();
    for (unsigned i = 0; i < MUTATIONS_STRUCTURED; i++) {
        if (i % 8 == 0) { /* from the seed again: most are no longer accepted after a few */
            memcpy(data, seed, size);
            at = size;
        }
        at = LLVMFuzzerCustomMutator(data, at, room, (unsigned)next_random());
        run(data, at);
    }
    free(data);
}

static void run_mutations(const uint8_t *seed, size_t size)
{
    static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
    uint8_t *data = malloc(size + 1);

    if (data == NULL)
        abort();
    for (unsigned i = 0; i < MUTATIONS && size > 0; i++) {
        unsigned changes = 1 + (unsigned)(next_random() % 4);

        memcpy(data, seed, size);
        for (unsigned c = 0; c < changes; c++) {
            size_t at = next_random() % size;

            data[at] = i % 2 ? edges[next_random() % sizeof edges]
                             : (uint8_t)(data[at] ^ 1u << next_random() % 8);
        }
        run(data, i % 5 == 0 ? next_random() % size : size);
    }
    free(data);
}

int main(int argc, char **argv)
{
    static uint8_t seed[SEED_SIZE_MAX];
    unsigned count = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;

    if (folder == NULL) {
        fprintf(stderr, "usage: %s SEED_FOLDER\n", argv[0]);
        return 2;
    }
    g_state = 0x9e3779b97f4a7c15;
    run(seed, 0);
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        char path[4096];
        FILE *file;
        size_t size;

        snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
        file = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (file == NULL)
            continue;
        size = fread(seed, 1, sizeof seed, file);
        fclose(file);
        run(seed, size);
        if (LLVMFuzzerCustomMutator != NULL)
            run_structured(seed, size);
        else
            run_mutations(seed, size);
        count++;
    }
    closedir(folder);
    printf("%u seeds, %u mutations each\n", count,
           LLVMFuzzerCustomMutator != NULL ? MUTATIONS_STRUCTURED : MUTATIONS);
    return count == 0;
}
