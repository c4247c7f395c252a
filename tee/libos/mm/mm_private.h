/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of tee/libos/mm share: areas, free ranges, page states. Trusted. Nothing outside this
 * folder includes it.
 *
 * Lock order: mm->share_lock > inode->lock > mm->lock > g_space_lock; nobody holds those of two. File operations (map_page, share_page, unshare_page) run without
 * mm->lock: a file system may hold its own locks while it faults on program memory.
 */
#pragma once

#include "tee/libos/mm/mm.h"
#include "tee/libos/mm/page.h"
#include "tee/libos/mm/tree.h"
#include "tee/libos/task/wait.h"

/* Free address space of a process is kept apart by use. */
enum zone {
    ZONE_GENERAL, /* mmap without a wish */
    ZONE_IMAGE,   /* ELF images, with room for trampolines between them */
    ZONE_FIXED,   /* around fixed and hinted addresses, the heap */
    ZONE_COUNT,
};

enum area_kind {
    AREA_ANON,
    AREA_FILE,        /* private copies of a file's pages */
    AREA_FILE_SHARED, /* pages are the file's own storage */
    AREA_TRAMPOLINE,
};

struct area {
    struct range_node node;   /* start and end, page-aligned */
    struct file *file;        /* one reference; NULL: anonymous */
    uint64_t off;             /* of start in the file, bytes */
    const char *name;         /* static, or NULL */
    uint8_t kind;             /* enum area_kind */
    uint8_t zone;             /* where the range goes when it is unmapped */
    uint8_t prot;             /* PROT_* as the program asked */
    bool was_exec;            /* may hold system-call sites */
    bool was_write;           /* its pages may differ from the file's */
    uint64_t image_id;        /* of file: what it was at mmap; 0: its content may change */
    uint32_t flags;           /* MAP_* that /proc and faults need */
    uint32_t window;          /* pages to commit at the next sequential fault */
    uintptr_t next_fault;     /* where a sequential fault would be */
    struct area *next_doomed; /* list of areas that are being unmapped */
};

struct free_range {
    struct range_node node;
};

/* A piece of ELRANGE that one process owns, a multiple of SPACE_CHUNK. */
#define SPACE_CHUNK 0x200000ul
struct claim {
    struct range_node node; /* in the tree of all claims */
    struct mm *mm;
    struct claim *next; /* of the same mm */
};

struct mm {
    uint32_t barriers; /* MEMBARRIER_CMD_REGISTER_* that were asked for; membarrier.c, atomic */
    uint32_t refs;
    struct mutex lock;       /* everything below but refs and share_lock */
    struct mutex brk_lock;   /* one brk(2) at a time; before all others */
    struct mutex share_lock; /* held while pages of shared files come and go */
    struct range_tree areas;
    struct area *last_area; /* most recent hit */
    struct range_tree free[ZONE_COUNT];
    struct claim *claims;  /* under g_space_lock */
    uint32_t pins;         /* atomic; raised under g_space_lock */
    uintptr_t image_first; /* where the first image went */
    uintptr_t image_next;  /* where the next image goes in the claim for images */
    uintptr_t image_end;
    uintptr_t vdso;         /* its area stays in a parked mm; 0: none */
    uint64_t program_id;    /* image_id of the program that was loaded, 0: cannot be parked */
    struct range_tree kept; /* pages of no area: keep.c */
    size_t kept_pages;
    size_t unmapped_pages; /* of these, by munmap: keep_unmapped */
    struct mm *next_parked;
    size_t general_claim_size; /* of the next claim for ZONE_GENERAL */
    size_t area_count;
    size_t shared_area_count; /* of AREA_FILE_SHARED */
    size_t copy_area_count;   /* of AREA_FILE of a file whose content may change */
    size_t total_pages, resident_pages, shared_pages, exec_pages, data_pages, stack_pages;
    uintptr_t brk_start, brk, stack_start;
};

/* Areas of a process; /proc/sys/vm/max_map_count says it. Where permissions differ the host may need a mapping for each area
 * and for each hole, of the 65530 that Linux gives a process by default: it would fail to take pages back. */
#define AREA_COUNT_MAX 30000u

static inline struct area *area_of(struct range_node *n)
{
    return n ? CONTAINER_OF(n, struct area, node) : NULL;
}
/* Permissions that the pages get: on x86 whatever may be accessed may be read. */
static inline int prot_of_pages(int prot)
{
    return prot ? prot | PAGE_READ : 0;
}

/* ---- space.c: who owns which part of ELRANGE ---- */

uintptr_t space_end(void); /* first address after user memory */
/* How generous the claims of a new process may be, so that many find room: 0 in an address space that is mostly free, then 1,
 * then 2 when less than a quarter is left. */
unsigned space_shortage(void);
/* Makes [start, end) mm's: chunks in it that nobody owns become claims of mm and free ranges of `zone`. returns: 0; -ENOMEM when
 * another process owns some of it, or it is not user memory. */
MUST_CHECK int space_claim_at(struct mm *mm, uintptr_t start, uintptr_t end, enum zone zone);
/* Finds `size` bytes that nobody owns: from the top of user memory, or from the bottom of the high part. */
MUST_CHECK int space_claim_find(struct mm *mm, size_t size, enum zone zone, bool from_top,
                                uintptr_t *ret_start);
void space_release_all(struct mm *mm);
/* The address space that owns addr, which stays (but may lose all its areas) until it is unpinned; NULL: none. */
struct mm *space_pin(uintptr_t addr);
void space_unpin(struct mm *mm);
/* Waits until nobody has mm pinned; it owns nothing any more. */
void space_unpin_wait(struct mm *mm);
/* All claims of `from` become those of `to`, which has none. */
void space_hand_over(struct mm *from, struct mm *to);
/* True when mm owns something below the library OS, where non-PIE programs go, or more than size_max bytes. */
bool space_is_special(struct mm *mm, uint64_t size_max);

/* ---- free.c: free ranges within the claims of a process ---- */

/* Adds a free range, joined with its neighbours. Under memory shortage the range is lost until exit. */
void free_add(struct mm *mm, uintptr_t start, uintptr_t end, enum zone zone);
/* Takes exactly [start, end) when all of it is free. returns: 0; -EEXIST, -ENOMEM. */
MUST_CHECK int free_take_at(struct mm *mm, uintptr_t start, uintptr_t end, enum zone *ret_zone);
bool free_is_range(struct mm *mm, uintptr_t start, uintptr_t end);
/* Takes size bytes from anywhere in the zone, the highest that fits. returns: 0; -ENOMEM. */
MUST_CHECK int free_take(struct mm *mm, size_t size, enum zone zone, uintptr_t *ret_start);
/* The lowest fit below `limit`, in any zone; for MAP_32BIT. */
MUST_CHECK int free_take_below(struct mm *mm, size_t size, uintptr_t limit, uintptr_t *ret_start,
                               enum zone *ret_zone);
void free_clear(struct mm *mm);

/* ---- area.c ---- */

struct area *area_find(struct mm *mm, uintptr_t addr);       /* contains addr, or NULL */
struct area *area_find_above(struct mm *mm, uintptr_t addr); /* ends above addr, or NULL */
struct area *area_next(struct area *a);
/* New area with its own file reference, not yet in the tree. NULL: no memory. */
struct area *area_new(const struct area *like, uintptr_t start, uintptr_t end);
void area_free(struct area *a); /* drops the file: call without mm->lock when it has one */
void area_insert(struct mm *mm, struct area *a);
void area_remove(struct mm *mm, struct area *a);
void area_set_prot(struct mm *mm, struct area *a, int prot); /* and the sums that depend on it */
/* Cuts so that no area crosses addr. returns: 0; -ENOMEM. */
MUST_CHECK int area_split_at(struct mm *mm, uintptr_t addr);
/* Joins a with neighbours that continue it; returns the area that now covers it. *doomed gets areas
 * whose file must be dropped after the lock. */
struct area *area_merge(struct mm *mm, struct area *a, struct area **doomed);
void area_free_doomed(struct area *doomed);

/* ---- keep.c: pages that stay committed while no area has them, to be used again at their address ---- */

#define KEEP_PAGES_MAX 64u       /* pages that differ from their file: of one area */
#define UNMAPPED_PAGES_MAX 64u   /* of one process */
#define UNMAPPED_MEMORY_PART 16u /* of the enclave's memory must be free */

/* The pages of a, which is leaving, in [start, end) become kept: as they are when they equal the image's; else when they are few and
 * writable. Gives back what is not worth it. mm->lock held. */
void keep_area(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end);
/*
 * The program unmaps a, which is out of the tree: its pages become kept, with no permissions, when they are few, in one run, and
 * memory is not short. returns: false when they are left as they were. mm->lock held.
 */
bool keep_unmapped(struct mm *mm, const struct area *a);
/* Gives those back. returns: false when there were none. mm->lock held. */
bool keep_unmapped_drop(struct mm *mm);
/*
 * a is fresh and covers [start, end): takes over the kept pages that fit, zeroed or equal to the file's; gives the others back.
 * returns: true when some are PAGE_STALE: keep_fill() then, without mm->lock. mm->lock held.
 */
bool keep_adopt(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end);
void keep_fill(struct mm *mm, uintptr_t start, uintptr_t end, struct file *file, uint64_t off);
/* Gives back all kept pages in [start, end). mm->lock held. */
void keep_drop(struct mm *mm, uintptr_t start, uintptr_t end);

/* ---- park.c: address spaces of programs that have ended ---- */

/* Nobody uses mm any more. returns: true when it was taken over, for the next process that runs the same program. */
MUST_CHECK bool park_put(struct mm *mm);
/* Gives all parked ones back. returns: false when there were none. No locks held. */
bool park_clear(void);
void mm_destroy(struct mm *mm);

/* ---- map.c ---- */

/* As mm_map; name may be NULL; the lock is not held. */
MUST_CHECK int map_range(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags,
                         struct file *file, uint64_t off, enum area_kind kind, const char *name);
/* Takes all areas of [start, end) out of mm, gives their pages back and their addresses to the free
 * ranges. Called without locks. */
MUST_CHECK int unmap_range(struct mm *mm, uintptr_t start, uintptr_t end);
/* The same with mm->lock held, for a range without shared files; *doomed gets the areas, for area_free_doomed() after the lock. */
MUST_CHECK int unmap_private_locked(struct mm *mm, uintptr_t start, uintptr_t end,
                                    struct area **doomed);
/* Finds (does not take) room for an image. mm->lock held. */
MUST_CHECK int place_image(struct mm *mm, size_t size, uintptr_t *ret_start);
/* An image lies at start: the next one goes behind it. */
void image_placed(struct mm *mm, uintptr_t start, size_t size);
/* Takes mm->lock, and share_lock before it when there are areas of shared files. Returns whether both. */
bool lock_for_unmap(struct mm *mm);
void unlock_after_unmap(struct mm *mm, bool both);
/* The calling process's resource limit (RLIMIT_*), in bytes. */
uint64_t limit_get(unsigned resource);

/* ---- fault.c ---- */

#define GROWSDOWN_SIZE_MAX (8ul << 20)   /* how far an area of MAP_GROWSDOWN grows */
#define SHARED_POPULATE_SIZE (1ul << 20) /* of a shared file that is made present at once */

/* Commits pages and counts them. mm->lock held. */
MUST_CHECK int pages_commit(struct mm *mm, uintptr_t start, size_t count, int prot, uint8_t flags);
/* Makes a page of a shared file its storage, unless that has been done; fetches it from where it is. Called with no lock.
 * returns: 0; share_page's error, -ENOMEM, -EBUSY: others fetch it away all the time. */
MUST_CHECK int page_share(struct mm *mm, uintptr_t page);
/* A present page has fewer permissions than its area, since somebody copies it, or the host refused to change some:
 * gives it those that it should have. Called with no lock. returns: 0; -EIO, -ENOMEM. */
MUST_CHECK int page_catch_up(struct mm *mm, uintptr_t page);
/* True when only the calling thread, or nobody, runs in mm. */
bool mm_is_alone(struct mm *mm);
/*
 * Commits count pages at addr with the contents of src and permissions prot. Where no other thread can
 * look, they are filled in place, which is much cheaper on the emulator than EACCEPTCOPY. returns: 0; -ENOMEM.
 */
MUST_CHECK int pages_commit_copy(struct mm *mm, uintptr_t addr, size_t count, const void *src,
                                 int prot);
/* Makes the pages of a range present as a first access would; stops at the first error. No locks held. */
void mm_populate(struct mm *mm, uintptr_t addr, size_t size);

/* Gives back the pages of [start, end). Not for shared files. */
void pages_decommit(struct mm *mm, uintptr_t start, uintptr_t end);
/* For shared files, [start, end) in area a: moves each page back into its file. share_lock held, mm->lock not. */
void area_unshare(struct mm *mm, struct area *a, uintptr_t start, uintptr_t end);

/* ---- user.c ---- */

/* As user_copy_* (kernel -> user when out; zeros when zero), and tells how far it came, also on error. */
MUST_CHECK int user_move_part(bool out, bool zero, void *kernel, uintptr_t user, size_t size,
                              size_t *ret_done);

/* A shared mapping of the file may be writable: it was opened so, and is not sealed. */
bool file_may_share_write(struct file *file);
