/* SPDX-License-Identifier: Apache-2.0 */
/* Scattered buffers of readv and friends. Trusted. */
#include <linux/errno.h>
#include <linux/uio.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/enclave/uptr.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/mm/user.h"

/* Most bytes that one call moves, as in Linux. */
#define UIO_SIZE_MAX (0x7fffffffull & ~(PAGE_SIZE - 1))

static void init_one(struct uio *u, uintptr_t base, size_t size, bool is_kernel)
{
    u->inline_segments[0] = (struct user_iovec){ .base = base, .size = MIN(size, UIO_SIZE_MAX) };
    u->segments = u->inline_segments;
    u->count = 1;
    u->index = 0;
    u->off = 0;
    u->left = u->inline_segments[0].size;
    u->is_kernel = is_kernel;
}

void uio_init_user(struct uio *u, uintptr_t base, size_t size)
{
    init_one(u, base, size, false);
}

void uio_init_kernel(struct uio *u, void *base, size_t size)
{
    init_one(u, (uintptr_t)base, size, true);
}

int uio_init_iovec(struct uio *u, uintptr_t iov, size_t count)
{
    uint64_t total = 0;
    int rc;

    _Static_assert(sizeof(struct iovec) == sizeof(struct user_iovec), "iovec");
    init_one(u, 0, 0, false);
    if (count > UIO_SEGMENTS_MAX)
        return -EINVAL;
    if (count > UIO_SEGMENTS_INLINE) {
        u->segments = mem_calloc(count, sizeof *u->segments);
        if (!u->segments) {
            u->segments = u->inline_segments;
            return -ENOMEM;
        }
    }
    rc = user_copy_in(u->segments, iov, count * sizeof *u->segments);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct user_iovec *s = &u->segments[i];

        if ((int64_t)s->size < 0)
            rc = -EINVAL;
        else if (s->size > 0 && !user_range_ok(s->base, s->size))
            rc = -EFAULT;
        s->size = MIN(s->size, UIO_SIZE_MAX - total);
        total += s->size;
    }
    if (rc < 0) {
        uio_done(u);
        return rc;
    }
    u->count = count;
    u->left = total;
    return 0;
}

void uio_done(struct uio *u)
{
    if (u->segments != u->inline_segments)
        mem_free(u->segments);
    u->segments = u->inline_segments;
    u->count = 0;
    u->left = 0;
}

static void advance(struct uio *u, size_t size)
{
    u->off += size;
    u->left -= size;
    while (u->index < u->count && u->off >= u->segments[u->index].size) {
        u->off = 0;
        u->index++;
    }
}

/* Moves between kernel (NULL: zeros) and the buffers. */
static int64_t move(struct uio *u, bool out, void *kernel, size_t size)
{
    size_t done = 0;

    size = MIN(size, u->left);
    while (done < size && u->index < u->count) {
        struct user_iovec *s = &u->segments[u->index];
        uintptr_t at = s->base + u->off;
        size_t part = MIN(size - done, s->size - u->off), moved = part;
        void *from = kernel ? (uint8_t *)kernel + done : NULL;
        int rc = 0;

        if (!u->is_kernel)
            rc = user_move_part(out, !kernel, from, at, part, &moved);
        else if (!kernel)
            memset((void *)at, 0, part);
        else if (out)
            memcpy((void *)at, from, part);
        else
            memcpy(from, (const void *)at, part);
        advance(u, moved);
        done += moved;
        if (rc < 0)
            return done > 0 ? (int64_t)done : rc;
    }
    return (int64_t)done;
}

int64_t uio_put(struct uio *u, const void *src, size_t size)
{
    return move(u, true, (void *)src, size);
}

int64_t uio_get(struct uio *u, void *dst, size_t size)
{
    return move(u, false, dst, size);
}

int64_t uio_put_zero(struct uio *u, size_t size)
{
    return move(u, true, NULL, size);
}

void uio_prefault(struct uio *u, size_t size, bool for_write)
{
    size_t off = u->off;

    size = MIN(size, u->left);
    if (u->is_kernel)
        return;
    for (unsigned i = u->index; i < u->count && size > 0; i++, off = 0) {
        size_t part = MIN(size, u->segments[i].size - off);

        if (user_prefault(u->segments[i].base + off, part, for_write) < 0)
            return;
        size -= part;
    }
}

/* ---- straight to and from the OCALL frame ---- */

size_t uio_segment_left(const struct uio *u)
{
    unsigned i = u->index;

    while (i < u->count && u->segments[i].size == 0)
        i++;
    return i < u->count ? u->segments[i].size - (i == u->index ? u->off : 0) : 0;
}

/* Where the next `size` bytes lie; 0: not program memory, or nothing is left. */
static uintptr_t next_address(const struct uio *u, size_t *size)
{
    uintptr_t at;

    if (u->index >= u->count)
        return 0;
    *size = MIN(*size, u->segments[u->index].size - u->off);
    at = u->segments[u->index].base + u->off;
    return u->is_kernel || user_range_ok(at, *size) ? at : 0;
}

size_t uio_stage(const struct uio *u, struct uptr dst, size_t size)
{
    uintptr_t at = next_address(u, &size);

    return at ? uptr_put_user(dst, at, size) : 0;
}

size_t uio_unstage(struct uio *u, struct uptr src, size_t size)
{
    uintptr_t at = next_address(u, &size);
    size_t moved = at ? uptr_get_user(at, src, size) : 0;

    advance(u, moved);
    return moved;
}

void uio_skip(struct uio *u, size_t size)
{
    while (size > 0 && u->index < u->count) {
        size_t part = MIN(size, u->segments[u->index].size - u->off);

        advance(u, part);
        size -= part;
    }
}

bool uio_is_present(const struct uio *u, size_t size, bool for_write)
{
    size_t part = size;
    uintptr_t at = next_address(u, &part);

    return at && part == size && (u->is_kernel || user_is_present(at, size, for_write));
}
