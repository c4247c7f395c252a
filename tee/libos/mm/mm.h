/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory areas of processes. All processes of an enclave share one address space; each area belongs to
 * one struct mm, and areas of different ones never overlap. Pages are committed on first touch (with fault-around)
 * or at once when asked (MAP_POPULATE, small areas). Trusted.
 * Locks: mm->lock (sleeping) guards the area tree; it is never held while program memory is touched.
 */
#pragma once

#include "tee/enclave/entry.h"
#include "tee/libos/mm/user.h"

struct file; /* tee/libos/fs/vfs/vfs.h */
struct inode;
struct mm;

MUST_CHECK int mm_new(struct mm **ret);
void mm_ref(struct mm *mm);
void mm_unref(struct mm *mm); /* the last one unmaps all its areas */
struct mm *mm_current(void);  /* of the calling process */

/*
 * As mmap(2): *addr in: hint or fixed address; out: where it is. prot, flags as Linux. file NULL for
 * anonymous; else a reference is taken for as long as the area lasts.
 * returns: 0; -EINVAL, -ENOMEM, -EEXIST, -EACCES, -ENODEV, -EPERM; -EBUSY a shared file that is mapped elsewhere
 * (SGX cannot show a page at two addresses).
 */
MUST_CHECK int mm_map(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags,
                      struct file *file, uint64_t off);
MUST_CHECK int mm_unmap(struct mm *mm, uintptr_t addr, size_t size);
MUST_CHECK int mm_protect(struct mm *mm, uintptr_t addr, size_t size, int prot);
/* Whether fixed addresses can become mm's. returns: 0; -EEXIST only the calling process (its program before execve) is in the
 * way; -EADDRINUSE another process is. */
MUST_CHECK int mm_fixed_check(struct mm *mm, uintptr_t start, uintptr_t end);
bool mm_is_shared(const struct mm *mm); /* other processes use it, too */
/* mm, which is empty, will hold `program`: takes over what an ended process of the same program has left behind. */
void mm_program_set(struct mm *mm, struct file *program);
/* The vDSO, kept like that: where it is, 0: it must be mapped, and then announced. */
uintptr_t mm_vdso_get(struct mm *mm, size_t size);
void mm_vdso_set(struct mm *mm, uintptr_t addr);
/* Address space for an ELF image of `size` bytes with room around it for trampolines (within 2 GiB,
 * tee/libos/rewrite). hint 0: anywhere. Reserves nothing; follow with mm_map MAP_FIXED_NOREPLACE. */
MUST_CHECK int mm_image_place(struct mm *mm, size_t size, uintptr_t *ret_addr);
/* Where offset 0 of the file that is mapped at addr lies (an image's ELF header), and a reference to that file.
 * returns: 0; -ENOENT. */
MUST_CHECK int mm_image_find(struct mm *mm, uintptr_t addr, uintptr_t *ret_start,
                             struct file **ret_file);
/* The area of executable memory that addr is in. returns: 0; -ENOENT it is in none, or in trampolines. */
MUST_CHECK int mm_text_bounds(struct mm *mm, uintptr_t addr, uintptr_t *ret_start,
                              uintptr_t *ret_end);
/* Copies into trampoline pages of mm; not atomic: nothing may jump there yet. returns: 0; -EFAULT, -ENOMEM. */
MUST_CHECK int mm_trampoline_write(struct mm *mm, uintptr_t addr, const void *src, size_t size);
/* True for a page that mm_trampoline_page gave out. Any thread, no locks, also at CSSA 1. */
bool mm_is_trampoline(uintptr_t addr);
/* Commits the page at `page` for trampolines, RX to the program, owned by mm, filled with int3;
 * *ret_new false: it was there already. Content is written by mm_trampoline_write. -ENOMEM when the address is taken. */
MUST_CHECK int mm_trampoline_page(struct mm *mm, uintptr_t page, bool *ret_new);
/* Writes `size` bytes (at most 8) into executable memory of mm, lifting write protection around it, as one atomic
 * store: within an aligned 8-byte word or a cache line; anywhere when mm has one thread.
 * returns: 0; -EFAULT not such a place, -ENOMEM. */
MUST_CHECK int mm_text_write(struct mm *mm, uintptr_t addr, const void *src, size_t size);
/* Whether the place allows mm_text_write at all. */
bool mm_text_is_writable(struct mm *mm, uintptr_t addr, size_t size);

/*
 * Makes the page at addr present for the access. May sleep, read files.
 * returns: 0 retry the access; -EFAULT (SIGSEGV; *ret_si_code SEGV_MAPERR or SEGV_ACCERR), -EIO beyond
 * the file or a failed verification (SIGBUS), -ENOMEM (the process is killed).
 */
MUST_CHECK int mm_fault(struct mm *mm, uintptr_t addr, uint32_t pf_error_code, int *ret_si_code);

struct mm_area_info {
    uintptr_t start, end;
    int prot, flags;
    struct file *file; /* borrowed */
    uint64_t off;
    const char *name; /* "[heap]", "[stack]", "[vdso]" or NULL */
};
/* Calls fn in rising order, under mm->lock. For /proc. fn returning non-zero stops. */
int mm_area_each(struct mm *mm, int (*fn)(const struct mm_area_info *a, void *arg), void *arg);
void mm_area_name(struct mm *mm, uintptr_t addr, const char *static_name);

struct mm_stats {
    size_t total_pages, resident_pages, shared_pages, text_pages, data_pages, stack_pages;
    uintptr_t brk_start, brk, stack_start;
};
void mm_stats(struct mm *mm, struct mm_stats *ret);
/* As mremap(2) with MREMAP_MAYMOVE and MREMAP_FIXED; *new_addr in: for FIXED; out: where it is. */
MUST_CHECK int mm_remap(struct mm *mm, uintptr_t addr, size_t old_size, size_t new_size, int flags,
                        uintptr_t *new_addr);
/* Gives the pages of private areas in the range back (MADV_DONTNEED): the next access finds fresh ones. -ENOMEM
 * when some of the range is not mapped. */
MUST_CHECK int mm_discard(struct mm *mm, uintptr_t addr, size_t size);
/* The file behind inode has been cut to `size` bytes (or grown): private copies of pages past its end go too, as truncate(2)
 * says of all mappings. Those of other processes stay until they are unmapped. No locks are held; mm may be NULL. */
void mm_file_cut(struct mm *mm, const struct inode *inode, uint64_t size);
/*
 * For file systems whose storage a shared mapping is: copies within the page of program memory at addr, whatever
 * permissions its process has given it. dst: from the page; else to it, from src, or zeros when src is NULL. The caller holds the
 * lock under which share_page and unshare_page change what is storage. returns: 0; -EIO.
 */
MUST_CHECK int mm_shared_copy(uintptr_t addr, void *dst, const void *src, size_t size);
/* What of a file is mapped shared at addr of the calling process. false: nothing. Not a reference. */
bool mm_shared_find(uintptr_t addr, struct inode **ret_inode, uint64_t *ret_off);
/* The new end of the heap; the old one when brk is not possible. */
uintptr_t mm_brk(struct mm *mm, uintptr_t brk);
/* The MEMBARRIER_CMD_REGISTER_* that were asked for by the programs in mm, with `add` among them from now on. */
uint32_t mm_barriers(struct mm *mm, uint32_t add);
void mm_stack_set(struct mm *mm, uintptr_t stack_start);
/* A private anonymous area with a name, for the loader ("[stack]", "[vdso]"). As mm_map otherwise. */
MUST_CHECK int mm_map_named(struct mm *mm, uintptr_t *addr, size_t size, int prot, int flags,
                            const char *static_name);
/* Sets where the heap begins; start only when no better place is free. */
void mm_brk_init(struct mm *mm, uintptr_t start);
