/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control plane and a node on this machine: what `cloche up`, `down` and `status` share. Relying party side. In one folder (mode 0700): cloched.yaml, the
 * passphrase that opens the store, the owner's password, cloche.db, ca.pem, pki/ and quoting.sock of the emulated platform, node/, and NAME.pid and NAME.log of
 * the programs.
 */
#pragma once

#include <jansson.h>

#include "cli/command.h"
#include "cli/process.h"

#define UP_PATH_SIZE 4096u
#define UP_OWNER "owner"

struct up {
    struct cli_call *call;
    char folder[UP_PATH_SIZE - 256];
    json_t *state; /* up.json: {"listen", "organisation", "emulated", "context"} */
    struct err err;
};
/* Finds the folder and what is known of it; state is NULL when nothing was set up yet. returns: 0; -EBADMSG; errno. */
MUST_CHECK int up_open(struct up *up, struct cli_call *call);
void up_done(struct up *up);
/* FOLDER/NAME. returns: ret. */
const char *up_path(const struct up *up, const char *name, char ret[UP_PATH_SIZE]);
bool up_is_emulated(const struct up *up);
/* The programs, in the order in which they start: quoting, cloched, node. */
#define UP_SERVICES 3u
struct service up_service(const struct up *up, unsigned number);

/* First run: everything that is not there yet of folder, secrets, configuration, organisation and owner. returns: 0; errno. */
MUST_CHECK int up_prepare(struct up *up);
/* Starts what does not run and waits until it serves. returns: 0; -EIO and the program's last words. */
MUST_CHECK int up_start(struct up *up);
/* Logs the owner in, and lets this machine join as a node, when that has not been done. */
MUST_CHECK int up_login(struct up *up);
MUST_CHECK int up_join(struct up *up);
/* {"url", "ca"} of the server. NULL: no memory, or no ca.pem. For json_decref. */
json_t *up_context(const struct up *up);
