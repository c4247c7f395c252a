/* SPDX-License-Identifier: Apache-2.0 */
/* Building argument and environment lists. Trusted. See strings.h. */
#include "tee/libos/task/strings.h"

#include <asm/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/mm/user.h"

#define FIRST_CAPACITY 1024u

int string_list_reserve(struct string_list *l, size_t size)
{
    size_t need = l->strings.size + size, capacity = l->capacity ? l->capacity : FIRST_CAPACITY;
    char *bytes;

    if (size > EXEC_STRINGS_SIZE_MAX || need > EXEC_STRINGS_SIZE_MAX)
        return -E2BIG;
    if (need <= l->capacity)
        return 0;
    while (capacity < need)
        capacity *= 2;
    bytes = mem_realloc(l->strings.bytes, capacity);
    if (!bytes)
        return -ENOMEM;
    l->strings.bytes = bytes;
    l->capacity = capacity;
    return 0;
}

int string_list_add(struct string_list *l, const char *prefix, const char *s)
{
    size_t prefix_len = strlen(prefix), len = strlen(s);
    int rc = string_list_reserve(l, prefix_len + len + 1);

    if (rc < 0)
        return rc;
    memcpy(l->strings.bytes + l->strings.size, prefix, prefix_len);
    memcpy(l->strings.bytes + l->strings.size + prefix_len, s, len + 1);
    l->strings.size += prefix_len + len + 1;
    l->strings.count++;
    return 0;
}

/* One string of program memory; the buffer grows until it fits. */
static int add_user_string(struct string_list *l, uintptr_t addr)
{
    size_t room = 256;

    for (;;) {
        int rc = string_list_reserve(l, room);
        int64_t len;

        if (rc < 0)
            return rc;
        len = user_str_in(l->strings.bytes + l->strings.size, addr, room);
        if (len >= 0) {
            l->strings.size += (size_t)len + 1;
            l->strings.count++;
            return 0;
        }
        if (len != -ENAMETOOLONG)
            return (int)len;
        if (room >= EXEC_STRING_SIZE_MAX)
            return -E2BIG;
        room *= 2;
    }
}

int string_list_add_user(struct string_list *l, uintptr_t array)
{
    if (!array)
        return 0;
    for (;; array += sizeof(uintptr_t)) {
        uintptr_t addr;
        int rc;

        if (USER_GET(&addr, array) < 0)
            return -EFAULT;
        if (!addr)
            return 0;
        rc = add_user_string(l, addr);
        if (rc < 0)
            return rc;
    }
}

const char *strings_find_env(const struct exec_strings *s, const char *name)
{
    size_t name_len = strlen(name);
    const char *at = s->bytes;

    for (unsigned i = 0; i < s->count; i++) {
        if (strncmp(at, name, name_len) == 0 && at[name_len] == '=')
            return at + name_len + 1;
        at += strlen(at) + 1;
    }
    return NULL;
}

void strings_done(struct exec_strings *s)
{
    mem_free(s->bytes);
    *s = (struct exec_strings){ 0 };
}
