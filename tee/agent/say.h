/* SPDX-License-Identifier: Apache-2.0 */
/* One line to whoever started the workload, on stderr. Trusted; hosted. Nothing of the workload's data goes in. */
#pragma once

/* "cloche: " and the texts up to NULL, joined, and a newline, in one write; cut at 4 KiB. */
void say(const char *text, ...) __attribute__((sentinel));
/* value in decimal; valid until the next call. */
const char *say_number(int value);
