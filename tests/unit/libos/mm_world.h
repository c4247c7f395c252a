/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of tee/libos/mm share: an address space, and a file for mappings whose page n is filled with byte n + 1. Hosted. */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/mm/mm_private.h"

#define MM_WORLD_LIMIT_PAGES 16384u
#define MM_WORLD_FILE_PAGES 64u

extern struct mm *g_mm; /* of the process that runs */
/* A new address space before a test; afterwards its end gives every page back, whatever the test did. */
int mm_world_set_up(void **state);
int mm_world_tear_down(void **state);
/* NULL: refused. */
void *mm_world_map(size_t size, int prot, int flags, struct file *f, uint64_t off);
void *mm_world_map_anon(size_t size);
void mm_world_fault_read(const void *p, int expected);

/* Files: private_data is their size; what is behind it cannot be read. */
extern const struct file_ops g_private_ops, g_shared_ops;
/* A file of the image: its content never changes while g_image_id is not 0. */
extern const struct file_ops g_image_ops;
extern uint64_t g_image_id;
extern unsigned g_shared_now;                          /* pages of shared mappings */
extern char g_storage[MM_WORLD_FILE_PAGES][PAGE_SIZE]; /* of files with g_shared_ops */
extern void (*g_on_share)(void *page);                 /* runs once, before a page is filled */
