/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of /proc. Trusted. */
#pragma once

struct file;
struct process;

/* The process of an open /proc/PID, with a reference; NULL: it is another file, or the process is gone. */
struct process *proc_folder_process(struct file *f);
