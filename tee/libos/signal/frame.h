/* SPDX-License-Identifier: Apache-2.0 */
/* Signal frames on a program's stack: struct rt_sigframe of Linux on x86-64. Trusted. */
#pragma once

#include "tee/libos/signal/queue.h"

/* Saves regs and the vector state on the program's stack (or its alternate stack) and turns regs into the
 * handler's. saved_mask goes into uc_sigmask. returns: 0; -EFAULT no room; -ENOMEM. */
MUST_CHECK int sigframe_push(struct regs *regs, int signo, const struct siginfo_linux *info,
                             const struct sig_action *action, uint64_t saved_mask);
/* rt_sigreturn: takes everything back from the frame at regs->rsp. Its bytes may be anything.
 * returns: 0; -EFAULT: not a frame, regs are unchanged. */
MUST_CHECK int sigframe_pop(struct regs *regs);
/* State components that XSAVE saves here (XCR0). */
uint64_t sigframe_xfeatures(void);
