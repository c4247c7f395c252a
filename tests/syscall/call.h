/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For cases that make one system call each, by its number: also those that the C library no longer makes. A case is
 * named call_<name> and has a right and at least one wrong use, unless the call cannot fail.
 */
#pragma once

#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
#define BAD_ADDRESS ((void *)16)
#define BAD_FD 777
/* A name that is longer than NAME_MAX. */
const char *call_long_name(void);
/* Gives up all capabilities that take effect, so that calls for administrators answer EPERM everywhere; and takes them back. */
void call_drop_capabilities(void);
void call_take_capabilities(void);
