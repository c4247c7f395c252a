/* SPDX-License-Identifier: Apache-2.0 */
/* Builds as other subcommands need them. Relying party side. */
#pragma once

#include "cli/remote.h"

/* text: an id, or APP/VERSION. returns: 0; -ENOENT; errors as client_call. */
MUST_CHECK int builds_find(struct remote *r, const char *text, char ret[64]);
/* Whether `cloche build WORD` is about builds at the server, and not about sealing. */
bool builds_is_verb(const char *word);
/* Says what was proposed and what to do now. */
void builds_pushed_print(const json_t *build, bool is_json);
