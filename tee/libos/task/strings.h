/* SPDX-License-Identifier: Apache-2.0 */
/* Building argument and environment lists (struct exec_strings). Trusted. */
#pragma once

#include "tee/libos/elf/elf.h"

/* As Linux: all strings of an exec together, and one of them. */
#define EXEC_STRINGS_SIZE_MAX (2u << 20)
#define EXEC_STRING_SIZE_MAX (128u << 10)

/* A list under construction; zero-initialised is empty. capacity is that of strings.bytes. */
struct string_list {
    struct exec_strings strings;
    size_t capacity;
};
/* Room for `size` more bytes. returns: 0; -ENOMEM; -E2BIG. */
MUST_CHECK int string_list_reserve(struct string_list *l, size_t size);
/* Adds prefix and s joined as one string; prefix may be empty. returns: 0; -ENOMEM; -E2BIG. */
MUST_CHECK int string_list_add(struct string_list *l, const char *prefix, const char *s);
/* Copies a NULL-ended array of string pointers from program memory; 0: an empty list. returns: 0;
 * -EFAULT; -ENOMEM; -E2BIG. */
MUST_CHECK int string_list_add_user(struct string_list *l, uintptr_t array);
/* The value of NAME in a list of "NAME=value"; NULL: not there. */
const char *strings_find_env(const struct exec_strings *s, const char *name);
void strings_done(struct exec_strings *s);
