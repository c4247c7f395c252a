/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutations that know the form of an input: fields of a binary layout, JSON values and members, nested DER. A target calls one from its
 * LLVMFuzzerCustomMutator. data holds size bytes and may grow to max_size. returns: the new size.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's own mutation; fuzz_main.c has a small one. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
/* Weak: a target may have one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A little-endian number or a run of bytes at a place of the layout. */
struct mutate_field {
    uint16_t off, size;
};

size_t mutate_fields(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                     const struct mutate_field *fields, size_t count);
size_t mutate_json(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t mutate_der(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Puts with_size bytes in place of [start, end). returns: the new size; size as it was when they do not fit. */
size_t mutate_replace(uint8_t *data, size_t size, size_t max_size, size_t start, size_t end,
                      const void *with, size_t with_size);
/* The next of a series of numbers, the same for the same seed. *state is not 0. */
uint32_t mutate_random(uint32_t *state);
