/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that outlive the command that started them: named for good by id and start time, kept in a file, found again. Relying party side. */
#pragma once

#include <sys/types.h>

#include "lib/defs.h"
#include "lib/err.h"

/* Field 22 of /proc/PID/stat: with the id it names one process for good. 0: there is none. */
uint64_t process_start_ticks(pid_t pid);
/* returns: a descriptor that becomes readable when the process ends; -1. */
int process_pidfd(pid_t pid);

/* A program in the background: FOLDER/NAME.pid says which process it is, FOLDER/NAME.log has what it writes. */
struct service {
    const char *folder, *name;
};
/* Its process, or 0 when it does not run. */
pid_t service_pid(const struct service *service);
/* Starts argv in a session of its own. returns: 0; -EEXIST it runs already; errno. */
MUST_CHECK int service_start(const struct service *service, const char *const *argv,
                             struct err *err);
/* SIGTERM, after timeout_ms SIGKILL. returns: 1 it has ended; 0 it did not run; -ETIMEDOUT it had to be killed; errno. */
MUST_CHECK int service_stop(const struct service *service, unsigned timeout_ms, struct err *err);
/* Its last line of output, cleaned, for an error; "" when there is none. returns: ret. */
const char *service_last_line(const struct service *service, char *ret, size_t ret_size);
