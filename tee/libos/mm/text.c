/* SPDX-License-Identifier: Apache-2.0 */
/* Writes into program text and trampoline pages, for tee/libos/rewrite. Trusted. */
#include <linux/mman.h>
#include <linux/errno.h>

#include "tee/enclave/alloc.h"
#include "tee/enclave/string.h"
#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"

#define INT3 0xcc
#define IMAGE_AREAS_MAX 64u /* areas of one image, with what lies between */
#define WORD_SIZE 8ul
#define CACHE_LINE_SIZE 64ul

/* Under mm->lock: makes the present page writable, or puts its permissions back. */
static int page_lift(uintptr_t page, int prot)
{
    return prot & PAGE_WRITE ? 0 : enclave_protect(page, 1, prot, prot | PAGE_READ | PAGE_WRITE);
}

static int page_drop(uintptr_t page, int prot)
{
    return prot & PAGE_WRITE ? 0 : enclave_protect(page, 1, prot | PAGE_READ | PAGE_WRITE, prot);
}

/* Bytes that cross an aligned word: a locked access is atomic within its cache line on every CPU. */
__attribute__((no_sanitize("alignment"))) static void store_locked(uintptr_t addr, const void *src,
                                                                   size_t size)
{
    uintptr_t line_end = ALIGN_DOWN(addr, CACHE_LINE_SIZE) + CACHE_LINE_SIZE;
    uintptr_t word_at = MIN(addr, line_end - WORD_SIZE);
    uint64_t old = *(volatile uint64_t *)word_at, with;

    do {
        with = old;
        memcpy((uint8_t *)&with + (addr - word_at), src, size);
    } while (!__atomic_compare_exchange_n((uint64_t *)word_at, &old, with, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
}

static void store_word(uintptr_t addr, const void *src, size_t size)
{
    uintptr_t word_at = ALIGN_DOWN(addr, WORD_SIZE);
    uint64_t word = __atomic_load_n((uint64_t *)word_at, __ATOMIC_RELAXED);

    memcpy((uint8_t *)&word + (addr - word_at), src, size);
    __atomic_store_n((uint64_t *)word_at, word, __ATOMIC_SEQ_CST);
}

enum store_kind {
    STORE_NONE,
    STORE_WORD,   /* within an aligned word */
    STORE_LOCKED, /* within a cache line */
    STORE_PLAIN,  /* nobody else can be executing there */
};

static enum store_kind store_choose(struct mm *mm, uintptr_t addr, size_t size)
{
    if (size == 0 || size > WORD_SIZE || !user_range_ok(addr, size))
        return STORE_NONE;
    if (addr % WORD_SIZE + size <= WORD_SIZE)
        return STORE_WORD;
    if (addr % CACHE_LINE_SIZE + size <= CACHE_LINE_SIZE)
        return STORE_LOCKED;
    return addr % PAGE_SIZE + size <= PAGE_SIZE && mm_is_alone(mm) ? STORE_PLAIN : STORE_NONE;
}

bool mm_text_is_writable(struct mm *mm, uintptr_t addr, size_t size)
{
    return store_choose(mm, addr, size) != STORE_NONE;
}

static int text_store(enum store_kind kind, uintptr_t addr, const void *src, size_t size)
{
    uintptr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
    int prot = page_state(page) & PAGE_PROT;
    int rc = page_lift(page, prot);

    if (rc < 0)
        return rc;
    if (kind == STORE_WORD)
        store_word(addr, src, size);
    else if (kind == STORE_LOCKED)
        store_locked(addr, src, size);
    else
        memcpy((void *)addr, src, size);
    return page_drop(page, prot);
}

int mm_text_write(struct mm *mm, uintptr_t addr, const void *src, size_t size)
{
    const uint8_t want = PAGE_PRESENT | PAGE_EXEC;
    enum store_kind kind = store_choose(mm, addr, size);
    struct area *a;
    int rc = -EFAULT;

    if (kind == STORE_NONE)
        return -EFAULT;
    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    /* A page of a shared file is the file itself. */
    if (a && a->kind != AREA_FILE_SHARED && (page_state(addr) & want) == want)
        rc = text_store(kind, addr, src, size);
    mutex_unlock(&mm->lock);
    return rc;
}

bool mm_is_trampoline(uintptr_t addr)
{
    return (page_state(addr) & PAGE_TRAMPOLINE) != 0;
}

int mm_trampoline_write(struct mm *mm, uintptr_t addr, const void *src, size_t size)
{
    const uint8_t *from = src;
    int rc = 0;

    if (!user_range_ok(addr, size))
        return -EFAULT;
    mutex_lock(&mm->lock);
    while (size > 0 && rc == 0) {
        uintptr_t page = ALIGN_DOWN(addr, PAGE_SIZE);
        struct area *a = area_find(mm, page);
        size_t part = MIN(size, page + PAGE_SIZE - addr);

        rc = a && a->kind == AREA_TRAMPOLINE ? page_lift(page, a->prot) : -EFAULT;
        if (rc < 0)
            break;
        memcpy((void *)addr, from, part);
        rc = page_drop(page, a->prot);
        addr += part;
        from += part;
        size -= part;
    }
    mutex_unlock(&mm->lock);
    return rc;
}

/* Makes the page of a fresh trampoline area present. */
static int trampoline_fill(struct mm *mm, uintptr_t page)
{
    void *content = page_alloc(1);
    int rc;

    if (!content)
        return -ENOMEM;
    memset(content, INT3, PAGE_SIZE);
    mutex_lock(&mm->lock);
    rc = page_table_cover(page, page + PAGE_SIZE);
    if (rc == 0)
        rc = pages_commit_copy(mm, page, 1, content, PAGE_READ | PAGE_EXEC);
    if (rc == 0) {
        page_state_set(page, 1, PAGE_PRESENT | PAGE_READ | PAGE_EXEC | PAGE_TRAMPOLINE);
        mm->resident_pages++;
    }
    mutex_unlock(&mm->lock);
    page_free(content, 1);
    return rc;
}

int mm_trampoline_page(struct mm *mm, uintptr_t page, bool *ret_new)
{
    uintptr_t addr = page;
    struct area *a;
    int rc, kind;

    if (!IS_ALIGNED(page, PAGE_SIZE) || !user_range_ok(page, PAGE_SIZE))
        return -ENOMEM;
    mutex_lock(&mm->lock);
    a = area_find(mm, page);
    kind = a ? a->kind : -1;
    mutex_unlock(&mm->lock);
    if (a) {
        *ret_new = false;
        return kind == AREA_TRAMPOLINE ? 0 : -ENOMEM;
    }
    rc = map_range(mm, &addr, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                   NULL, 0, AREA_TRAMPOLINE, "[trampoline]");
    if (rc < 0)
        return -ENOMEM;
    rc = trampoline_fill(mm, page);
    if (rc < 0) {
        (void)!unmap_range(mm, page, page + PAGE_SIZE);
        return rc;
    }
    *ret_new = true;
    return 0;
}

int mm_text_bounds(struct mm *mm, uintptr_t addr, uintptr_t *ret_start, uintptr_t *ret_end)
{
    struct area *a;
    int rc = -ENOENT;

    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    if (a && a->kind != AREA_TRAMPOLINE && (a->prot & PROT_EXEC)) {
        *ret_start = a->node.start;
        *ret_end = a->node.end;
        rc = 0;
    }
    mutex_unlock(&mm->lock);
    return rc;
}

int mm_image_find(struct mm *mm, uintptr_t addr, uintptr_t *ret_start, struct file **ret_file)
{
    struct range_node *n = NULL;
    struct area *a;
    int rc = -ENOENT;

    mutex_lock(&mm->lock);
    a = area_find(mm, addr);
    if (a && a->file)
        n = &a->node;
    for (unsigned steps = 0; n && steps < IMAGE_AREAS_MAX; steps++, n = range_tree_prev(n)) {
        if (area_of(n)->file == a->file && area_of(n)->off == 0) {
            *ret_start = n->start;
            *ret_file = a->file;
            file_ref(a->file);
            rc = 0;
            break;
        }
    }
    mutex_unlock(&mm->lock);
    return rc;
}
