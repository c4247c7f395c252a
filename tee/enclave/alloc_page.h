/* SPDX-License-Identifier: Apache-2.0 */
/* What alloc.c needs of alloc_page.c beyond alloc.h: which pages hold small blocks. Trusted. */
#pragma once

#include "lib/defs.h"

/* The count pages from page_alloc at span hold small blocks. */
void alloc_page_tag_slab(void *span, uint32_t count);
/* Start of the span of small blocks that ptr lies in; NULL: ptr is a block of whole pages. */
void *alloc_page_span(const void *ptr);
/* Pages of the block of whole pages at ptr. Ends the enclave when there is none. */
size_t alloc_page_count(const void *ptr);
