/* SPDX-License-Identifier: Apache-2.0 */
/* What the vDSO and its loader share. Trusted. */
#pragma once

/* The value of vdso_clock_data_slot in the file; it occurs there once. */
#define VDSO_SLOT_MAGIC 0x6b636f6c635f7376ull

/* x86-64 system call numbers. */
#define VDSO_SYS_gettimeofday 96
#define VDSO_SYS_time 201
#define VDSO_SYS_clock_gettime 228
#define VDSO_SYS_clock_getres 229
#define VDSO_SYS_getcpu 309

#ifndef VDSO_BUILD
#include "lib/defs.h"

/* The shared object, in vdso_image.c, which the build makes from it. */
extern const uint8_t vdso_image[];
extern const size_t vdso_image_size;
#endif
