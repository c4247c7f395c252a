/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that share the test's memory (clone with CLONE_VM), each on a stack of its own. They share errno with the
 * test, so they make system calls by number and expect them to succeed.
 */
#pragma once

#include "tests/syscall/case.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* fn(arg) in a new process that sends exit_signal at its end (0: none) and exits with what fn returns. A stack is used
 * again after 16 more children. returns: its id. */
pid_t child_start(int (*fn)(void *arg), void *arg, int exit_signal);
/* For children. */
void child_sleep_ms(long ms);
