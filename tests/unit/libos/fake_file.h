/* SPDX-License-Identifier: Apache-2.0 */
/* A hosted stand-in for tee/libos/fs/vfs: files of the machine that the test runs on, read-only. Tests only. */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"

/* Files that are open now; a test that ends with more than it began with has leaked one. */
unsigned fake_file_count(void);
