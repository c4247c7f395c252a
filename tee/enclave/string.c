/* SPDX-License-Identifier: Apache-2.0 */
/* See string.h. REP MOVSB and STOSB are the fast ones on every CPU with SGX. Trusted. */
#include "tee/enclave/string.h"

#include "lib/defs.h"

/* Keeps the compiler from turning a loop into a call of the function that it is in. */
#define LOOPS_STAY __attribute__((optimize("no-tree-loop-distribute-patterns")))

LOOPS_STAY void *memcpy(void *restrict dst, const void *restrict src, size_t size)
{
    char *to = dst;
    const char *from = src;

    if (size > 96) {
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
        return dst;
    }
    for (; size >= 8; size -= 8, to += 8, from += 8) {
        uint64_t word;

        __builtin_memcpy(&word, from, 8);
        __builtin_memcpy(to, &word, 8);
    }
    while (size-- > 0)
        *to++ = *from++;
    return dst;
}

LOOPS_STAY void *memmove(void *dst, const void *src, size_t size)
{
    char *to = dst;
    const char *from = src;

    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(dst, src, size);
    /* dst overlaps the end of src: from the back, in words */
    for (; size >= 8; size -= 8) {
        uint64_t word;

        __builtin_memcpy(&word, from + size - 8, 8);
        __builtin_memcpy(to + size - 8, &word, 8);
    }
    while (size-- > 0)
        to[size] = from[size];
    return dst;
}

LOOPS_STAY void *memset(void *dst, int byte, size_t size)
{
    char *to = dst;
    uint64_t word = (uint8_t)byte * 0x0101010101010101ull;

    if (size > 96) {
        __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
        return dst;
    }
    for (; size >= 8; size -= 8, to += 8)
        __builtin_memcpy(to, &word, 8);
    while (size-- > 0)
        *to++ = (char)byte;
    return dst;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size >= 8; size -= 8, x += 8, y += 8) {
        uint64_t v, w;

        __builtin_memcpy(&v, x, 8);
        __builtin_memcpy(&w, y, 8);
        if (v != w)
            break;
    }
    for (; size > 0; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t size)
{
    const uint8_t *p = s;

    for (; size > 0; size--, p++)
        if (*p == (uint8_t)c)
            return (void *)p;
    return NULL;
}

LOOPS_STAY size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

LOOPS_STAY size_t strnlen(const char *s, size_t size)
{
    size_t n = 0;

    while (n < size && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t count)
{
    for (; count > 0 && *a && *a == *b; a++, b++, count--)
        ;
    return count == 0 ? 0 : (uint8_t)*a - (uint8_t)*b;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;

    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}
