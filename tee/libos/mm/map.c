/* SPDX-License-Identifier: Apache-2.0 */
/* mmap and munmap: where areas go, what they replace. Trusted. */
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "abi/image.h"
#include "tee/enclave/alloc.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"
#include "tee/libos/rewrite/rewrite.h"
#include "tee/libos/task/task.h"

#define GENERAL_CLAIM_MAX (16ul << 30)
#define IMAGE_CLAIM_SIZE (8ul << 30)
/* When address space is short: trampolines then find less room, and more system calls trap. */
#define IMAGE_CLAIM_SMALL (1ul << 30)
#define IMAGE_CLAIM_LEAST (256ul << 20)
#define IMAGE_REACH (2ul << 30)    /* of a jump: kept free below and above the images */
#define IMAGE_SPACING (32ul << 20) /* room for trampolines after each image */
#define LOW_LIMIT 0x80000000ul     /* MAP_32BIT: the first 2 GiB */

uint64_t limit_get(unsigned resource)
{
    struct thread *t = current();

    return t ? t->process->limits[resource].current : RLIM64_INFINITY;
}

/* More room in a zone, so that `size` bytes fit. */
static int zone_grow(struct mm *mm, size_t size, enum zone zone)
{
    size_t want = MAX(size, mm->general_claim_size);
    uintptr_t start;
    int rc = space_claim_find(mm, want, zone, true, &start);

    if (rc < 0 && want > size)
        rc = space_claim_find(mm, size, zone, true, &start);
    if (rc == 0)
        mm->general_claim_size = MIN(mm->general_claim_size * 2, GENERAL_CLAIM_MAX);
    return rc;
}

static int place_low(struct mm *mm, size_t size, uintptr_t *ret_start, enum zone *ret_zone)
{
    int rc = free_take_below(mm, size, LOW_LIMIT, ret_start, ret_zone);

    for (uintptr_t at = USER_LOW_BASE; rc < 0 && at + size <= LOW_LIMIT;
         at = ALIGN_DOWN(at, SPACE_CHUNK) + SPACE_CHUNK) {
        if (space_claim_at(mm, at, at + size, ZONE_FIXED) == 0)
            rc = free_take_below(mm, size, LOW_LIMIT, ret_start, ret_zone);
    }
    return rc;
}

/* Finds and takes the addresses of a new area. */
static int place(struct mm *mm, uintptr_t hint, size_t size, int flags, bool is_image,
                 uintptr_t *ret_start, enum zone *ret_zone)
{
    int rc;

    if (hint && user_range_ok(hint, size) &&
        space_claim_at(mm, hint, hint + size, ZONE_FIXED) == 0 &&
        free_take_at(mm, hint, hint + size, ret_zone) == 0) {
        *ret_start = hint;
        return 0;
    }
    if (flags & MAP_32BIT)
        return place_low(mm, size, ret_start, ret_zone);
    if (is_image && place_image(mm, size, ret_start) == 0 &&
        free_take_at(mm, *ret_start, *ret_start + size, ret_zone) == 0)
        return 0;
    *ret_zone = ZONE_GENERAL;
    rc = free_take(mm, size, ZONE_GENERAL, ret_start);
    if (rc < 0) {
        rc = zone_grow(mm, size, ZONE_GENERAL);
        if (rc == 0)
            rc = free_take(mm, size, ZONE_GENERAL, ret_start);
    }
    return rc;
}

/* A new claim for images: they go into the part that leaves room for jumps on both sides. */
static int image_claim(struct mm *mm)
{
    static const size_t sizes[] = { IMAGE_CLAIM_SIZE, IMAGE_CLAIM_SMALL, IMAGE_CLAIM_LEAST };
    uintptr_t at;

    for (unsigned i = space_shortage(); i < ARRAY_COUNT(sizes); i++) {
        size_t margin = sizes[i] == IMAGE_CLAIM_SIZE ? IMAGE_REACH : IMAGE_SPACING;

        if (space_claim_find(mm, sizes[i], ZONE_IMAGE, false, &at) == 0) {
            mm->image_next = at + margin;
            if (!mm->image_first)
                mm->image_first = mm->image_next;
            mm->image_end = at + sizes[i] - (i == 0 ? margin : 0);
            return 0;
        }
    }
    return -ENOMEM;
}

void image_placed(struct mm *mm, uintptr_t start, size_t size)
{
    mm->image_next = ALIGN_UP(start + size, SPACE_CHUNK) + IMAGE_SPACING;
}

int place_image(struct mm *mm, size_t size, uintptr_t *ret_start)
{
    for (unsigned tries = 0; tries < 2; tries++) {
        for (uintptr_t at = mm->image_next; at && at < mm->image_end && size <= mm->image_end - at;
             at += IMAGE_SPACING) {
            if (free_is_range(mm, at, at + size)) {
                image_placed(mm, at, size);
                *ret_start = at;
                return 0;
            }
        }
        if (image_claim(mm) < 0)
            return -ENOMEM;
    }
    return -ENOMEM;
}

int mm_image_place(struct mm *mm, size_t size, uintptr_t *ret_addr)
{
    int rc;

    mutex_lock(&mm->lock);
    rc = place_image(mm, size, ret_addr);
    mutex_unlock(&mm->lock);
    return rc;
}

/* Takes mm->lock, with share_lock when areas of shared files exist. Returns whether it took both. */
bool lock_for_unmap(struct mm *mm)
{
    mutex_lock(&mm->lock);
    if (mm->shared_area_count == 0)
        return false;
    mutex_unlock(&mm->lock);
    mutex_lock(&mm->share_lock);
    mutex_lock(&mm->lock);
    return true;
}

void unlock_after_unmap(struct mm *mm, bool both)
{
    mutex_unlock(&mm->lock);
    if (both)
        mutex_unlock(&mm->share_lock);
}

enum keep {
    KEEP_NONE,
    KEEP_REPLACED, /* another area comes there now, which may use the pages */
    KEEP_UNMAPPED, /* another one may come there soon; until then nobody may touch them */
};

/*
 * Takes the areas of [start, end) out of the tree and gives their pages back, or keeps them; their addresses stay
 * taken. Drops mm->lock for pages of shared files. *doomed gets the areas.
 */
static int detach(struct mm *mm, uintptr_t start, uintptr_t end, enum keep keep,
                  struct area **doomed)
{
    struct area *a, *next, *list = NULL;
    bool has_shared = false;
    int rc = area_split_at(mm, start);

    if (rc == 0)
        rc = area_split_at(mm, end);
    if (rc < 0)
        return rc;
    for (a = area_find_above(mm, start); a && a->node.start < end; a = next) {
        next = area_next(a);
        area_remove(mm, a);
        if (a->kind == AREA_FILE_SHARED) {
            has_shared = true;
        } else if (keep == KEEP_REPLACED) {
            keep_area(mm, a, a->node.start, a->node.end);
        } else if (keep != KEEP_UNMAPPED || !keep_unmapped(mm, a)) {
            if (a->was_exec)
                rewrite_forget(mm, a->node.start, a->node.end - a->node.start);
            pages_decommit(mm, a->node.start, a->node.end);
        }
        a->next_doomed = list;
        list = a;
    }
    if (has_shared) {
        mutex_unlock(&mm->lock);
        for (a = list; a; a = a->next_doomed)
            if (a->kind == AREA_FILE_SHARED)
                area_unshare(mm, a, a->node.start, a->node.end);
        mutex_lock(&mm->lock);
    }
    for (a = list; a; a = a->next_doomed)
        free_add(mm, a->node.start, a->node.end, a->zone);
    *doomed = list;
    return 0;
}

int unmap_private_locked(struct mm *mm, uintptr_t start, uintptr_t end, struct area **doomed)
{
    return detach(mm, start, end, KEEP_NONE, doomed);
}

static int unmap(struct mm *mm, uintptr_t start, uintptr_t end, enum keep keep)
{
    struct area *doomed = NULL;
    bool both = lock_for_unmap(mm);
    int rc = detach(mm, start, end, keep, &doomed);

    unlock_after_unmap(mm, both);
    area_free_doomed(doomed);
    return rc;
}

int unmap_range(struct mm *mm, uintptr_t start, uintptr_t end)
{
    return unmap(mm, start, end, KEEP_NONE);
}

static bool is_beyond_limits(struct mm *mm, size_t size, int prot, int flags)
{
    uint64_t limit = limit_get(RLIMIT_AS), pages = size >> PAGE_SHIFT;

    /* As Linux by default: more at once than the machine has is an obvious mistake. */
    if ((prot & PROT_WRITE) && (flags & MAP_PRIVATE) && !(flags & MAP_NORESERVE) &&
        pages > enclave_pages_limit())
        return true;
    if (limit != RLIM64_INFINITY && (mm->total_pages + pages) > limit >> PAGE_SHIFT)
        return true;
    limit = limit_get(RLIMIT_DATA);
    return limit != RLIM64_INFINITY && (prot & PROT_WRITE) && (flags & MAP_PRIVATE) &&
           !(flags & MAP_GROWSDOWN) && (mm->data_pages + pages) > limit >> PAGE_SHIFT;
}

/* Under the lock: takes the addresses (replacing what a MAP_FIXED finds there) and puts a in. */
static int insert_locked(struct mm *mm, struct area *a, uintptr_t addr, size_t size, int flags,
                         struct area **doomed, bool *ret_stale)
{
    enum zone zone = ZONE_GENERAL;
    uintptr_t start = addr;
    int rc;

    if (mm->area_count >= AREA_COUNT_MAX || is_beyond_limits(mm, size, a->prot, a->flags))
        return -ENOMEM;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        rc = space_claim_at(mm, addr, addr + size, ZONE_FIXED);
        if (rc == 0 && !(flags & MAP_FIXED_NOREPLACE) && !free_is_range(mm, addr, addr + size))
            rc = detach(mm, addr, addr + size, KEEP_REPLACED, doomed);
        if (rc == 0)
            rc = free_take_at(mm, addr, addr + size, &zone);
        if (rc == -EEXIST && !(flags & MAP_FIXED_NOREPLACE))
            rc = -ENOMEM;
    } else {
        bool is_image = a->file && (a->was_exec || (flags & MAP_DENYWRITE));

        rc = place(mm, addr, size, flags, is_image, &start, &zone);
    }
    if (rc < 0)
        return rc;
    a->node.start = start;
    a->node.end = start + size;
    a->zone = zone;
    area_insert(mm, a);
    *ret_stale = keep_adopt(mm, a, start, start + size);
    return 0;
}

int map_range(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags, struct file *file,
              uint64_t off, enum area_kind kind, const char *name)
{
    uint64_t image_id = kind == AREA_FILE && file->ops->image_id ? file->ops->image_id(file) : 0;
    struct area *a = mem_zalloc(sizeof *a), *doomed = NULL;
    bool both, stale = false;
    int rc;

    if (!a)
        return -ENOMEM;
    *a = (struct area){ .kind = kind,
                        .prot = prot,
                        .off = off,
                        .name = name,
                        .file = file,
                        .was_exec = (prot & PROT_EXEC) != 0,
                        .was_write = (prot & PROT_WRITE) != 0,
                        .image_id = image_id,
                        .flags = flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE |
                                          MAP_DENYWRITE) };
    if (file)
        file_ref(file);
    both = lock_for_unmap(mm);
    rc = insert_locked(mm, a, *addr, size, flags, &doomed, &stale);
    if (rc == 0) {
        *addr = a->node.start;
        area_merge(mm, a, &doomed);
    }
    unlock_after_unmap(mm, both);
    if (stale)
        keep_fill(mm, *addr, *addr + size, file, off);
    area_free_doomed(doomed);
    if (rc < 0)
        area_free(a);
    return rc;
}

bool file_may_share_write(struct file *file)
{
    return (file->flags & O_ACCMODE) == O_RDWR &&
           !(file->ops->write_sealed && file->ops->write_sealed(file));
}

/* Flags that file mappings need of the descriptor. */
static int file_check(struct file *file, int prot, int flags, enum area_kind *ret_kind)
{
    unsigned access = file->flags & O_ACCMODE;
    bool shared = (flags & MAP_TYPE) == MAP_SHARED;

    if (access == O_WRONLY || (shared && (prot & PROT_WRITE) && access != O_RDWR))
        return -EACCES;
    if (shared && (prot & PROT_WRITE) && !file_may_share_write(file))
        return -EPERM;
    if (!file->ops->map_page && !file->ops->share_page)
        return -ENODEV;
    if (shared && file->ops->share_page && file->ops->unshare_page) {
        *ret_kind = AREA_FILE_SHARED;
    } else if (shared && (prot & PROT_WRITE)) {
        return -ENODEV;
    } else {
        if (!file->ops->map_page)
            return -ENODEV;
        *ret_kind = AREA_FILE;
    }
    return 0;
}

/* Mapping /dev/zero is another way to ask for anonymous memory. */
static bool is_dev_zero(struct file *file)
{
    return file->inode && (file->inode->mode & S_IFMT) == S_IFCHR &&
           file->inode->rdev == ((1u << 8) | 5u);
}

int mm_map(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags, struct file *file,
           uint64_t off)
{
    enum area_kind kind = AREA_ANON;
    uint64_t off_end;
    int rc, type = flags & MAP_TYPE;

    if (size == 0 || !IS_ALIGNED(off, PAGE_SIZE) ||
        (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) ||
        (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
        return -EINVAL;
    if (size > space_end())
        return -ENOMEM;
    size = ALIGN_UP(size, PAGE_SIZE);
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!IS_ALIGNED(*addr, PAGE_SIZE))
            return -EINVAL;
        if (*addr < USER_LOW_BASE)
            return -EPERM;
        if (!user_range_ok(*addr, size))
            return -ENOMEM;
    } else {
        *addr = ALIGN_DOWN(*addr, PAGE_SIZE);
    }
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* a machine with no huge pages set aside */
    if (type == MAP_SHARED_VALIDATE)
        flags = (flags & ~MAP_TYPE) | MAP_SHARED;
    if (file && is_dev_zero(file))
        file = NULL;
    if (file) {
        if (__builtin_add_overflow(off, size, &off_end) || off_end > INT64_MAX)
            return -EOVERFLOW;
        rc = file_check(file, prot, flags, &kind);
        if (rc < 0)
            return rc;
    }
    rc = map_range(mm, addr, size, prot, flags, file, off, kind, NULL);
    if (rc < 0)
        return rc;
    if (kind == AREA_FILE_SHARED && prot && page_share(mm, *addr) == -EBUSY) {
        (void)!mm_unmap(mm, *addr, size);
        return -EBUSY;
    }
    if ((flags & (MAP_POPULATE | MAP_LOCKED)) && !(flags & MAP_NONBLOCK))
        mm_populate(mm, *addr, size);
    else if (kind == AREA_FILE_SHARED && prot)
        mm_populate(mm, *addr, MIN(size, SHARED_POPULATE_SIZE));
    return 0;
}

int mm_unmap(struct mm *mm, uintptr_t addr, size_t size)
{
    if (size == 0 || !IS_ALIGNED(addr, PAGE_SIZE) || size > space_end() ||
        addr > space_end() - ALIGN_UP(size, PAGE_SIZE))
        return -EINVAL;
    return unmap(mm, addr, addr + ALIGN_UP(size, PAGE_SIZE), KEEP_UNMAPPED);
}

int mm_map_named(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags,
                 const char *static_name)
{
    return map_range(mm, addr, ALIGN_UP(size, PAGE_SIZE), prot, flags, NULL, 0, AREA_ANON,
                     static_name);
}
