/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite's WAL where the database's folder takes no shared mappings, as host folders of an enclave: the wal-index is in this process's memory, and the database
 * is this process's alone. Relying party. Internal to server/store; thread-safe.
 */
#pragma once

#include <sqlite3.h>

#include "lib/defs.h"
#include "lib/err.h"

/* The name of the VFS, for sqlite3_open_v2. Opening a database by it takes the lock of the database's lock file for this process. */
#define SQLITE_ALONE_VFS "cloche-alone"
/* The lock file beside the database: who maps shared memory has it shared, who is alone has it exclusively. It is never removed. */
#define SQLITE_LOCK_SUFFIX "-lock"

/* Registers the VFS; again does nothing. returns: 0; -ENOMEM. */
MUST_CHECK int sqlite_alone_register(void);

/*
 * How the database at `path` can be opened. *ret_alone: by SQLITE_ALONE_VFS. Else *ret_lock_fd holds the shared lock until it is closed.
 * returns: 0; -EBUSY another process has it alone; errno of the lock file.
 */
MUST_CHECK int sqlite_alone_ask(const char *path, bool *ret_alone, int *ret_lock_fd,
                                struct err *err);
