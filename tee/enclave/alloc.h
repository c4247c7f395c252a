/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the library OS itself (LIBOS_HEAP_ADDR), committed on demand and counted against the
 * enclave's limit. Trusted. Any thread; takes its own spin lock, makes an OCALL only where EDMM needs
 * one. Nothing here sleeps.
 */
#pragma once

#include "lib/defs.h"

/* 16-aligned; NULL when the enclave's limit is reached. */
MUST_CHECK void *mem_alloc(size_t size);
/* The same, zeroed. count * size is checked. */
MUST_CHECK void *mem_zalloc(size_t size);
MUST_CHECK void *mem_calloc(size_t count, size_t size);
/* Grows or shrinks; on NULL the old block stands. */
MUST_CHECK void *mem_realloc(void *ptr, size_t size);
void mem_free(void *ptr);         /* accepts NULL */
void mem_freep(void *ptr_to_ptr); /* for CLEANUP */
MUST_CHECK char *mem_strdup(const char *s);

/* Whole pages, page-aligned, contents undefined. */
MUST_CHECK void *page_alloc(size_t count);
void page_free(void *pages, size_t count);

/*
 * Commitment of enclave pages. Every page that the enclave owns (heap and program memory) is counted
 * here; the limit is the descriptor's memory_size.
 * prot: PROT_READ | PROT_WRITE | PROT_EXEC bits (asm/mman.h).
 */
/* Commits count fresh zero pages at addr. returns: 0; -ENOMEM limit reached or host refused. */
MUST_CHECK int enclave_commit(uint64_t addr, size_t count, int prot);
/* Commits count pages at addr with the contents of src (page-aligned, enclave memory) and permissions
 * prot, each in one step: no thread ever sees a page that is not complete. returns: as enclave_commit. */
MUST_CHECK int enclave_commit_copy(uint64_t addr, size_t count, const void *src, int prot);
/* Changes permissions of committed pages from old_prot to new_prot. returns: 0; -ENOMEM, -EIO host refused. */
MUST_CHECK int enclave_protect(uint64_t addr, size_t count, int old_prot, int new_prot);
/* Gives pages back; their contents are gone. */
void enclave_decommit(uint64_t addr, size_t count);
/* Pages committed now, and the limit. */
size_t enclave_pages_used(void);
size_t enclave_pages_limit(void);
