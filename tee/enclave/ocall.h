/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCALLs as the library OS calls them. Each is one row of abi/ocall.def; each answer is checked here:
 * errors are mapped to the row's list (anything else becomes -EPERM), counts larger than asked for are an attack
 * and end the enclave. Times are CLOCK_MONOTONIC of the enclave (tee/enclave/clock.h), in ns.
 * Buffers are enclave memory; large ones go through the thread's untrusted frame in pieces.
 * Trusted. None may be called with a spin lock held.
 */
#pragma once

#include "abi/evidence.h"
#include "abi/ocall.h"
#include "tee/enclave/uptr.h"

/* ---- sleeping and waking (tee/libos/task/wait.c is the only user) ---- */

/* Sleeps until ocall_unpark(own slot), the deadline, or a host signal. A wake that came before is not
 * lost. Wakes may be invented by the host: callers check their condition. returns: 0; -ETIMEDOUT. */
int ocall_park(uint64_t deadline_ns);
void ocall_unpark(uint32_t slot);
/* Makes the thread on that slot leave program code soon (host signal), so that libos_interrupt runs. */
void ocall_kick(uint32_t slot);
void ocall_yield(void);

/* As poll(2) on host descriptors; also returns when unparked. returns: count of ready ones (0: woken
 * or deadline); -EINVAL, -ENOMEM. */
int ocall_poll(struct ocall_pollfd *fds, unsigned count, uint64_t deadline_ns);

/* Sets of host descriptors that the host watches (epoll). events: EPOLL*; data: bit 63 clear. What wait reports may be
 * anything. */
int ocall_events_new(void);
int ocall_events_change(int set, enum ocall_event_change how, int host_fd, uint32_t events,
                        uint64_t data);
/* Up to `count` (at most OCALL_EVENT_COUNT_MAX). Ends as ocall_poll. returns: count; 0; -EBADF, -ENOMEM. */
int ocall_events_wait(int set, struct ocall_event *ret, unsigned count, uint64_t deadline_ns,
                      enum ocall_event_wake wake);
int ocall_dup(int host_fd);

/* ---- host descriptors: standard streams, sockets, files of host mounts ---- */

int64_t ocall_read(int host_fd, void *dst, size_t size);        /* never blocks: -EAGAIN */
int64_t ocall_write(int host_fd, const void *src, size_t size); /* never blocks: -EAGAIN */
int ocall_close(int host_fd);
int ocall_tty_size(int host_fd, uint16_t *ret_rows, uint16_t *ret_columns);

/* ---- sockets: addresses are struct sockaddr bytes; AF_INET and AF_INET6 only ---- */

int ocall_socket(int family, int type, int protocol); /* returns host_fd, non-blocking */
int ocall_bind(int host_fd, const void *addr, size_t addr_size);
int ocall_listen(int host_fd, int backlog);
/* returns new host_fd; *ret_addr_size bytes of the peer in ret_addr (128 bytes). */
int ocall_accept(int host_fd, void *ret_addr, size_t *ret_addr_size);
int ocall_connect(int host_fd, const void *addr, size_t addr_size); /* -EINPROGRESS */
int64_t ocall_sendto(int host_fd, const void *src, size_t size, int flags, const void *addr,
                     size_t addr_size);
/* *ret_message_size: length of the datagram when larger than size (MSG_TRUNC); ret_flags: MSG_* of the answer. */
int64_t ocall_recvfrom(int host_fd, void *dst, size_t size, int flags, void *ret_addr,
                       size_t *ret_addr_size, int *ret_flags);
/*
 * The same without a buffer of ours between: the bytes lie in the calling thread's frame, at ocall_stage(), where the caller copies them
 * (uio_stage, uio_unstage). Any other OCALL of the thread overwrites them. size: at most OCALL_STAGE_SIZE.
 */
#define OCALL_STAGE_SIZE (128u * 1024)
struct uptr ocall_stage(void);
int64_t ocall_send_staged(int host_fd, size_t size, int flags);
int64_t ocall_receive_staged(int host_fd, size_t size, int flags);
/* Sends bytes of the root file system's image, which the host has too, without a copy of ours. */
int64_t ocall_send_image(int host_fd, uint64_t off, size_t size);
int ocall_shutdown(int host_fd, int how);
int ocall_getsockopt(int host_fd, int level, int name, void *ret_value, size_t *value_size);
int ocall_setsockopt(int host_fd, int level, int name, const void *value, size_t value_size);
int ocall_getsockname(int host_fd, void *ret_addr, size_t *ret_addr_size);
int ocall_getpeername(int host_fd, void *ret_addr, size_t *ret_addr_size);
int ocall_socket_queued(int host_fd, uint32_t *ret_size); /* FIONREAD */

/* ---- untrusted host folders; mount is the index of the descriptor's host mount; path is relative,
 * without "..", resolved beneath the folder by the host (RESOLVE_IN_ROOT) ---- */

int ocall_mount_open(uint32_t mount, const char *path, int flags, uint32_t mode);
int ocall_mount_stat(uint32_t mount, const char *path,
                     struct ocall_stat *ret); /* does not follow links */
int64_t ocall_mount_readlink(uint32_t mount, const char *path, char *dst, size_t size);
int ocall_mount_mkdir(uint32_t mount, const char *path, uint32_t mode);
int ocall_mount_unlink(uint32_t mount, const char *path, bool directory);
int ocall_mount_rename(uint32_t mount, const char *from, const char *to, unsigned flags);
int ocall_mount_symlink(uint32_t mount, const char *target, const char *path);
int ocall_mount_link(uint32_t mount, const char *from, const char *to);
int ocall_mount_chmod(uint32_t mount, const char *path, uint32_t mode);
int ocall_mount_utimens(uint32_t mount, const char *path, const int64_t times_s[2],
                        const uint32_t times_ns[2]);
int ocall_file_stat(int host_fd, struct ocall_stat *ret);
int64_t ocall_file_pread(int host_fd, void *dst, size_t size, uint64_t off);
int64_t ocall_file_pwrite(int host_fd, const void *src, size_t size, uint64_t off);
int ocall_file_truncate(int host_fd, uint64_t size);
int ocall_file_sync(int host_fd, bool data_only);
/* operation: LOCK_SH, LOCK_EX, LOCK_UN; -EAGAIN when another open file of the host is in the way. */
int ocall_file_lock(int host_fd, unsigned operation);
/* Entries as bytes of struct linux_dirent64; restart begins at the first. Entries are checked. */
int64_t ocall_file_getdents(int host_fd, void *dst, size_t size, bool restart);

/* ---- the quoting service; all that it says is checked by whoever verifies the quote. Wait for seconds at most ---- */

/* returns: 0; -ENODEV no service; -EAGAIN, -ETIMEDOUT; -EIO it failed, or answered with nonsense. */
int ocall_quote_target(struct evidence_target *ret);
/* dst: EVIDENCE_QUOTE_SIZE_MAX bytes. The quote is over request->report's body. returns: bytes; errors as above. */
int64_t ocall_quote(const struct evidence_quote_request *request, void *dst);
/* Bytes from off on of what the host has as collateral for the quote's platform; *ret_total: of all of it.
 * returns: bytes; -ENODATA the host has none; errors as above. */
int64_t ocall_quote_collateral(const void *quote, size_t quote_size, uint64_t off, void *dst,
                               size_t size, uint32_t *ret_total);

/*
 * How many answers the calling thread got that may tell something of what happens outside (modulo 2^32); not counted are those of calls
 * that only give something out (a send that the host took, a wake).
 */
uint32_t ocall_news(void);

/* ---- rest ---- */

int ocall_host_file(const char *name, void *dst,
                    size_t size); /* "resolv.conf", "hosts", "hostname": returns bytes; -ENOENT */
/* CPUID cannot run in an enclave; the answer is checked for the leaves that the library OS relies on. */
void ocall_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t ret_eax_ebx_ecx_edx[4]);
