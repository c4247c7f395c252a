/* SPDX-License-Identifier: Apache-2.0 */
/* What sys_socket.c and sys_message.c share: descriptors and addresses of the program. Trusted. */
#pragma once

#include "tee/libos/net/socket.h"

/* The socket of fd with a counted file. returns: 0; -EBADF; -ENOTSOCK. */
MUST_CHECK int sys_socket_get(int fd, struct file **ret_file, struct socket **ret);
/* An address of the program. returns: 0; -EINVAL size; -EFAULT. */
MUST_CHECK int sys_socket_addr_in(struct sock_addr *ret, uintptr_t addr, uint64_t size);
/* To the program, cut to *size_addr, which then holds the whole size. addr 0: nothing. */
MUST_CHECK int sys_socket_addr_out(uintptr_t addr, uintptr_t size_addr,
                                   const struct sock_addr *src);
