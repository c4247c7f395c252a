/* SPDX-License-Identifier: Apache-2.0 */
/* What `cloched backup` and `cloched restore` share. Relying party. */
#pragma once

#include "server/server.h"

#define BACKUP_CONTEXT "cloche-backup-1"

/* One audit entry of the server itself: "store.backup", "store.restore", "store.rekey". */
MUST_CHECK int backup_note(struct server *server, const char *action, int64_t rows,
                           struct err *err);
