/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place that touches memory outside the enclave. Reads and writes are aligned 8-byte moves
 * (INTEL-SA-00615, INTEL-SA-00657): parts of a word are cut out of a word that is read whole. Trusted.
 */
#include "tee/enclave/uptr.h"

#include <linux/errno.h>

#include "lib/checked.h"
#include "tee/enclave/runtime.h"
#include "tee/enclave/string.h"

#define UPTR_END (1ull << 47)

bool uptr_is_outside(struct uptr src, uint64_t size)
{
    uint64_t end;

    if (checked_add(src.addr, size, &end) || end > UPTR_END)
        return false;
    /* ELRANGE is [0, elrange_size). */
    return src.addr >= enclave_config()->elrange_size;
}

static int copy_words(void *dst, const void *src, size_t count)
{
    return raw_copy_words(dst, src, count) ? -EFAULT : 0;
}

/* Bytes [from, to) of the aligned word at addr. */
static int read_word_part(uint8_t *dst, uint64_t addr, unsigned from, unsigned to)
{
    uint64_t word;
    int rc = copy_words(&word, (const void *)addr, 1);

    if (rc == 0)
        memcpy(dst, (const uint8_t *)&word + from, to - from);
    return rc;
}

/* src is misaligned against dst, or dst against words: through a bounce buffer of words. */
static int read_bounced(uint8_t *dst, uint64_t src, size_t size)
{
    uint64_t words[32];

    while (size > 0) {
        size_t count = MIN(size / 8, ARRAY_COUNT(words));
        int rc = copy_words(words, (const void *)src, count);

        if (rc < 0)
            return rc;
        memcpy(dst, words, count * 8);
        dst += count * 8;
        src += count * 8;
        size -= count * 8;
        if (size < 8)
            return size > 0 ? read_word_part(dst, src, 0, (unsigned)size) : 0;
    }
    return 0;
}

int uptr_read(void *dst, struct uptr src, size_t size)
{
    uint8_t *to = dst;
    uint64_t from = src.addr;
    unsigned head = (unsigned)(from & 7);
    int rc = 0;

    if (!uptr_is_outside(src, size))
        return -EFAULT;
    if (head != 0 && size > 0) {
        unsigned end = (unsigned)MIN(8, head + size);

        rc = read_word_part(to, from - head, head, end);
        to += end - head;
        from += end - head;
        size -= end - head;
    }
    if (rc == 0 && ((uintptr_t)to & 7) == 0) {
        rc = copy_words(to, (const void *)from, size / 8);
        if (rc == 0 && (size & 7) != 0)
            rc = read_word_part(to + (size & ~7ul), from + (size & ~7ul), 0, size & 7);
        return rc;
    }
    return rc == 0 ? read_bounced(to, from, size) : rc;
}

static int write_bytes(uint64_t dst, const uint8_t *src, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (uptr_store_byte((void *)(dst + i), src[i]) < 0)
            return -EFAULT;
    return 0;
}

static int write_words(uint64_t dst, const uint8_t *src, size_t count)
{
    uint64_t words[32];

    if (((uintptr_t)src & 7) == 0)
        return copy_words((void *)dst, src, count);
    while (count > 0) {
        size_t n = MIN(count, ARRAY_COUNT(words));

        memcpy(words, src, n * 8);
        if (copy_words((void *)dst, words, n) < 0)
            return -EFAULT;
        dst += n * 8;
        src += n * 8;
        count -= n;
    }
    return 0;
}

int uptr_write(struct uptr dst, const void *src, size_t size)
{
    const uint8_t *from = src;
    uint64_t to = dst.addr;
    size_t head = MIN((8 - (to & 7)) & 7, size);
    int rc;

    if (!uptr_is_outside(dst, size))
        return -EFAULT;
    rc = write_bytes(to, from, head);
    if (rc == 0)
        rc = write_words(to + head, from + head, (size - head) / 8);
    if (rc == 0)
        rc = write_bytes(to + head + ((size - head) & ~7ul), from + head + ((size - head) & ~7ul),
                         (size - head) & 7);
    return rc;
}

size_t uptr_put_user(struct uptr dst, uintptr_t user, size_t size)
{
    size_t words = size / 8, left;
    uint64_t last = 0;

    if ((dst.addr & 7) != 0 || !uptr_is_outside(dst, ALIGN_UP(size, 8)))
        return 0;
    left = raw_copy_words((void *)dst.addr, (const void *)user, words);
    if (left > 0 || (size & 7) == 0)
        return (words - left) * 8;
    left = user_raw_copy(&last, (const void *)(user + words * 8), size & 7);
    return raw_copy_words((void *)(dst.addr + words * 8), &last, 1) ? words * 8 : size - left;
}

size_t uptr_get_user(uintptr_t user, struct uptr src, size_t size)
{
    size_t words = size / 8, left;
    uint64_t last;

    if ((src.addr & 7) != 0 || !uptr_is_outside(src, ALIGN_UP(size, 8)))
        return 0;
    left = raw_copy_words((void *)user, (const void *)src.addr, words);
    if (left > 0 || (size & 7) == 0)
        return (words - left) * 8;
    if (raw_copy_words(&last, (const void *)(src.addr + words * 8), 1))
        return words * 8;
    return size - user_raw_copy((void *)(user + words * 8), &last, size & 7);
}

int uptr_read_u64(uint64_t *ret, struct uptr src)
{
    return uptr_read(ret, src, sizeof *ret);
}
