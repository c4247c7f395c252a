/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new empty store for a test: SQLite in a temporary folder, or, when CLOCHE_TEST_POSTGRESQL names a server (tests/unit/server/postgresql.py starts one), a schema
 * of its own there.
 */
#pragma once

#include "server/crypto/keys.h"
#include "server/store/store.h"

/* The folder of this process, made at the first call; fixture_done removes it. */
const char *fixture_folder(void);
void fixture_done(void);
bool fixture_is_postgresql(void);
/* The URL of a new empty store; valid until the next call. */
const char *fixture_url(void);
struct store *fixture_store(void);
/* Keys of the store under a passphrase file with this line. */
struct keys *fixture_keys(struct store *store, const char *passphrase);
struct keys_source fixture_passphrase(const char *passphrase);
/* One statement in a transaction of its own. returns: as store_exec. */
int fixture_exec(struct store *store, const char *sql, struct store_args args);
int64_t fixture_int(struct store *store, const char *sql, struct store_args args);
