/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before the system-call test program's sources: sends its calls on pipes, sockets and the like to the library
 * OS's system calls, so that the cases, which define the right answer on Linux, run against them without an enclave.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int shim_pipe(int fds[2]);
int shim_pipe2(int fds[2], int flags);
int shim_eventfd(unsigned value, int flags);
int shim_timerfd_create(int clock, int flags);
int shim_timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *old);
int shim_timerfd_gettime(int fd, struct itimerspec *left);
int shim_epoll_create1(int flags);
int shim_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
int shim_epoll_wait(int ep, struct epoll_event *ev, int n, int ms);
int shim_socket(int family, int type, int protocol);
int shim_socketpair(int family, int type, int protocol, int fds[2]);
int shim_bind(int fd, const struct sockaddr *a, socklen_t size);
int shim_listen(int fd, int backlog);
int shim_accept(int fd, struct sockaddr *a, socklen_t *size);
int shim_accept4(int fd, struct sockaddr *a, socklen_t *size, int flags);
int shim_connect(int fd, const struct sockaddr *a, socklen_t size);
int shim_shutdown(int fd, int how);
int shim_getsockname(int fd, struct sockaddr *a, socklen_t *size);
int shim_getpeername(int fd, struct sockaddr *a, socklen_t *size);
int shim_setsockopt(int fd, int level, int name, const void *v, socklen_t size);
int shim_getsockopt(int fd, int level, int name, void *v, socklen_t *size);
ssize_t shim_send(int fd, const void *p, size_t n, int flags);
ssize_t shim_sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *a,
                    socklen_t size);
ssize_t shim_recv(int fd, void *p, size_t n, int flags);
ssize_t shim_recvfrom(int fd, void *p, size_t n, int flags, struct sockaddr *a, socklen_t *size);
ssize_t shim_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t shim_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t shim_splice(int from, off_t *from_off, int to, off_t *to_off, size_t n, unsigned flags);
ssize_t shim_tee(int from, int to, size_t n, unsigned flags);
int shim_ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask);
int shim_poll(struct pollfd *p, nfds_t n, int ms);
int shim_select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *t);
ssize_t shim_read(int fd, void *p, size_t n);
ssize_t shim_write(int fd, const void *p, size_t n);
ssize_t shim_pread(int fd, void *p, size_t n, off_t off);
off_t shim_lseek(int fd, off_t off, int whence);
int shim_close(int fd);
int shim_fcntl(int fd, int command, ...);
int shim_dup(int fd);
int shim_ioctl(int fd, unsigned long request, ...);
int shim_fstat(int fd, struct stat *st);
int shim_open(const char *path, int flags, ...);

#ifndef POLL_SHIM_KEEP
#define accept(...) shim_accept(__VA_ARGS__)
#define accept4(...) shim_accept4(__VA_ARGS__)
#define bind(...) shim_bind(__VA_ARGS__)
#define close(...) shim_close(__VA_ARGS__)
#define connect(...) shim_connect(__VA_ARGS__)
#define dup(...) shim_dup(__VA_ARGS__)
#define epoll_create1(...) shim_epoll_create1(__VA_ARGS__)
#define epoll_ctl(...) shim_epoll_ctl(__VA_ARGS__)
#define epoll_wait(...) shim_epoll_wait(__VA_ARGS__)
#define eventfd(...) shim_eventfd(__VA_ARGS__)
#define timerfd_create(...) shim_timerfd_create(__VA_ARGS__)
#define timerfd_settime(...) shim_timerfd_settime(__VA_ARGS__)
#define timerfd_gettime(...) shim_timerfd_gettime(__VA_ARGS__)
#define fcntl(...) shim_fcntl(__VA_ARGS__)
#define fstat(...) shim_fstat(__VA_ARGS__)
#define getpeername(...) shim_getpeername(__VA_ARGS__)
#define getsockname(...) shim_getsockname(__VA_ARGS__)
#define getsockopt(...) shim_getsockopt(__VA_ARGS__)
#define ioctl(...) shim_ioctl(__VA_ARGS__)
#define listen(...) shim_listen(__VA_ARGS__)
#define lseek(...) shim_lseek(__VA_ARGS__)
#define open(...) shim_open(__VA_ARGS__)
#define pipe(...) shim_pipe(__VA_ARGS__)
#define pipe2(...) shim_pipe2(__VA_ARGS__)
#define poll(...) shim_poll(__VA_ARGS__)
#define ppoll(...) shim_ppoll(__VA_ARGS__)
#define pread(...) shim_pread(__VA_ARGS__)
#define read(...) shim_read(__VA_ARGS__)
#define recv(...) shim_recv(__VA_ARGS__)
#define recvfrom(...) shim_recvfrom(__VA_ARGS__)
#define recvmsg(...) shim_recvmsg(__VA_ARGS__)
#define select(...) shim_select(__VA_ARGS__)
#define send(...) shim_send(__VA_ARGS__)
#define sendmsg(...) shim_sendmsg(__VA_ARGS__)
#define sendto(...) shim_sendto(__VA_ARGS__)
#define setsockopt(...) shim_setsockopt(__VA_ARGS__)
#define shutdown(...) shim_shutdown(__VA_ARGS__)
#define socket(...) shim_socket(__VA_ARGS__)
#define socketpair(...) shim_socketpair(__VA_ARGS__)
#define splice(...) shim_splice(__VA_ARGS__)
#define tee(...) shim_tee(__VA_ARGS__)
#define write(...) shim_write(__VA_ARGS__)
#endif
