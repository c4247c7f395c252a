/* SPDX-License-Identifier: Apache-2.0 */
/* See fake.c. */
#pragma once

#include <errno.h>
#include <stdio.h>

#include "server/api/api.h"
#include "server/api/events.h"

extern int64_t g_fake_now_ms;
extern unsigned g_fake_log_count; /* lines since the test set it to 0 */
extern char g_fake_log_last[256];
/* What model_open registered. */
extern events_listener_fn *g_fake_listener;
extern void *g_fake_listener_arg;
