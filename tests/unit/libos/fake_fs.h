/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hosted stand-in for what the file systems use of tee/enclave, task and mm: memory from malloc (so it runs under
 * ASan), program memory is the test's own. Tests and fuzzers only; one thread.
 */
#pragma once

#include "tee/libos/fs/vfs/vfs.h"
#include "tee/libos/task/task.h"

/* Makes one process with root's credentials the calling one. */
void fake_fs_init(void);
struct process *fake_fs_process(void);
/* Lines for the operator so far, and the last one. */
unsigned fake_fs_log_count(void);
const char *fake_fs_log_last(void);
/* Pages that page_alloc gave and page_free did not get back. */
long fake_fs_pages(void);
/* After `count` more allocations every one fails; -1: none does. */
void fake_fs_fail_after(long count);
/* A hash tree as veritysetup writes it (superblock left zero) over data of whole blocks; malloc'd. */
uint8_t *fake_fs_tree(const uint8_t *data, size_t size, const uint8_t *salt, size_t salt_size,
                      size_t *ret_size, uint8_t ret_root[32]);
