/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on descriptors, by number. */
#include "tests/syscall/call.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

TEST(call_vectors)
{
    int fd = file_with("f", "");
    struct iovec two[2] = { { "ab", 2 }, { "cd", 2 } }, bad = { BAD_ADDRESS, 1 };
    char x[4];
    struct iovec in[2] = { { x, 1 }, { x + 1, 3 } };

    CHECK_EQ(OK(CALL(writev, fd, two, 2)), 4);
    CHECK_EQ(OK(CALL(pwritev, fd, two, 2, 4, 0)), 4);
    CHECK_EQ(OK(CALL(pwritev2, fd, two, 2, 8, 0, 0)), 4);
    CHECK_EQ(OK(CALL(preadv, fd, in, 2, 0, 0)), 4);
    CHECK(memcmp(x, "abcd", 4) == 0);
    CHECK_EQ(OK(CALL(preadv2, fd, in, 2, 10, 0, 0)), 2);
    FAILS(CALL(writev, fd, two, 1025), EINVAL);
    FAILS(CALL(writev, fd, &bad, 1), EFAULT);
    FAILS(CALL(readv, BAD_FD, in, 2), EBADF);
    FAILS(CALL(pwritev, fd, two, 2, -1L, -1L), EINVAL);
    FAILS(CALL(preadv, fd, in, -1, 0, 0), EINVAL);
    FAILS(CALL(preadv2, fd, in, 2, 0, 0, 0x40000000), EOPNOTSUPP);
    FAILS(CALL(pwritev2, fd, in, 2, 0, 0, 0x40000000), EOPNOTSUPP);
}

TEST(call_syncs)
{
    int fd = file_with("f", "x"), pipes[2];

    OK(pipe(pipes));
    CHECK_EQ(CALL(sync), 0);
    OK(CALL(fsync, fd));
    OK(CALL(fdatasync, fd));
    OK(CALL(syncfs, fd));
    OK(CALL(sync_file_range, fd, 0, 0, 1));
    OK(CALL(readahead, fd, 0, 4096));
    FAILS(CALL(fdatasync, BAD_FD), EBADF);
    FAILS(CALL(fdatasync, pipes[0]), EINVAL);
    FAILS(CALL(syncfs, BAD_FD), EBADF);
    FAILS(CALL(sync_file_range, fd, -1L, 0, 1), EINVAL);
    FAILS(CALL(sync_file_range, fd, 0, 0, 8), EINVAL);
    FAILS(CALL(sync_file_range, pipes[0], 0, 0, 1), ESPIPE);
    FAILS(CALL(readahead, BAD_FD, 0, 1), EBADF);
    FAILS(CALL(readahead, pipes[0], 0, 1), EINVAL);
}

TEST(call_copies)
{
    int in = file_with("in", "0123456789"), out = file_with("out", ""), pipes[2];
    long off = 4, none = -1;

    OK(pipe(pipes));
    CHECK_EQ(OK(CALL(sendfile, out, in, &off, 3)), 3);
    CHECK_EQ(off, 7);
    off = 0;
    CHECK_EQ(OK(CALL(copy_file_range, in, &off, out, NULL, 2, 0)), 2);
    FAILS(CALL(sendfile, out, BAD_FD, NULL, 1), EBADF);
    FAILS(CALL(sendfile, out, in, BAD_ADDRESS, 1), EFAULT);
    FAILS(CALL(sendfile, out, in, &none, 1), EINVAL);
    FAILS(CALL(copy_file_range, in, NULL, out, NULL, 1, 1), EINVAL);
    FAILS(CALL(copy_file_range, in, NULL, BAD_FD, NULL, 1, 0), EBADF);
    FAILS(CALL(copy_file_range, pipes[0], NULL, out, NULL, 1, 0), EINVAL);
}

TEST(call_splices)
{
    int fd = file_with("f", "0123456789"), a[2], b[2];
    char text[16], memory[] = "memory";
    struct iovec v = { memory, 6 };
    long off = 2;

    OK(pipe(a));
    OK(pipe(b));
    CHECK_EQ(OK(CALL(splice, fd, &off, a[1], NULL, 4, 0)), 4);
    CHECK_EQ(OK(CALL(tee, a[0], b[1], 2, 0)), 2);
    CHECK_EQ(OK(CALL(vmsplice, b[1], &v, 1, 0)), 6);
    CHECK_EQ(read(b[0], text, sizeof text), 8);
    CHECK(memcmp(text, "23memory", 8) == 0);
    FAILS(CALL(splice, fd, NULL, fd, NULL, 1, 0), EINVAL);
    FAILS(CALL(splice, fd, &off, BAD_FD, NULL, 1, 0), EBADF);
    FAILS(CALL(splice, a[0], &off, fd, NULL, 1, 0), ESPIPE);
    FAILS(CALL(tee, fd, b[1], 1, 0), EINVAL);
    FAILS(CALL(tee, a[0], a[1], 1, 0), EINVAL);
    FAILS(CALL(vmsplice, fd, &v, 1, 0), EBADF);
    FAILS(CALL(vmsplice, BAD_FD, &v, 1, 0), EBADF);
}

TEST(call_select)
{
    struct timeval zero = { 0, 0 }, bad = { -1, 0 };
    int pipes[2];
    fd_set set;

    OK(pipe(pipes));
    FD_ZERO(&set);
    FD_SET(pipes[1], &set);
    CHECK_EQ(OK(CALL(select, pipes[1] + 1, NULL, &set, NULL, &zero)), 1);
    FAILS(CALL(select, -1, NULL, NULL, NULL, &zero), EINVAL);
    FAILS(CALL(select, 0, NULL, NULL, NULL, &bad), EINVAL);
    FAILS(CALL(select, 10, BAD_ADDRESS, NULL, NULL, &zero), EFAULT);
    FD_ZERO(&set);
    FD_SET(60, &set);
    FAILS(CALL(select, 61, &set, NULL, NULL, &zero), EBADF);
}

TEST(call_ppoll)
{
    struct timespec zero = { 0, 0 }, bad = { 0, 1000000000 };
    struct pollfd one = { .fd = BAD_FD, .events = POLLIN };

    CHECK_EQ(OK(CALL(ppoll, &one, 1, &zero, NULL, 8)), 1);
    CHECK_EQ(one.revents, POLLNVAL);
    FAILS(CALL(ppoll, &one, 1, &bad, NULL, 8), EINVAL);
    FAILS(CALL(ppoll, BAD_ADDRESS, 1, &zero, NULL, 8), EFAULT);
    FAILS(CALL(ppoll, &one, 1, &zero, &zero, 4), EINVAL);
}

TEST(call_epoll)
{
    int ep = OK(CALL(epoll_create, 1)), efd = OK(CALL(eventfd, 1));
    struct epoll_event event = { .events = EPOLLIN, .data.fd = 5 };
    struct timespec zero = { 0, 0 };

    OK(epoll_ctl(ep, EPOLL_CTL_ADD, efd, &event));
    CHECK_EQ(OK(CALL(epoll_pwait, ep, &event, 1, 0, NULL, 8)), 1);
    CHECK_EQ(OK(CALL(epoll_pwait2, ep, &event, 1, &zero, NULL, 8)), 1);
    CHECK_EQ(event.data.fd, 5);
    FAILS(CALL(epoll_create, 0), EINVAL);
    FAILS(CALL(epoll_create1, 1), EINVAL);
    FAILS(CALL(epoll_pwait, ep, &event, 0, 0, NULL, 8), EINVAL);
    FAILS(CALL(epoll_pwait, BAD_FD, &event, 1, 0, NULL, 8), EBADF);
    FAILS(CALL(epoll_pwait2, ep, BAD_ADDRESS, 1, &zero, NULL, 8), EFAULT);
    FAILS(CALL(epoll_pwait2, efd, &event, 1, &zero, NULL, 8), EINVAL);
}

TEST(call_event_files)
{
    uint64_t mask = 1ull << (SIGUSR1 - 1);
    struct itimerspec spec;
    int tfd = OK(timerfd_create(CLOCK_MONOTONIC, 0));

    OK(CALL(signalfd, -1, &mask, 8));
    OK(CALL(signalfd4, -1, &mask, 8, SFD_CLOEXEC));
    OK(CALL(eventfd2, 0, EFD_SEMAPHORE));
    OK(CALL(timerfd_gettime, tfd, &spec));
    FAILS(CALL(signalfd, -1, &mask, 4), EINVAL);
    FAILS(CALL(signalfd, BAD_FD, &mask, 8), EBADF);
    FAILS(CALL(signalfd4, -1, BAD_ADDRESS, 8, 0), EFAULT);
    FAILS(CALL(signalfd4, -1, &mask, 8, 1), EINVAL);
    FAILS(CALL(eventfd2, 0, 2), EINVAL);
    FAILS(CALL(timerfd_gettime, BAD_FD, &spec), EBADF);
    FAILS(CALL(timerfd_gettime, 0, &spec), EINVAL);
    FAILS(CALL(memfd_create, "x", 0x100), EINVAL);
    FAILS(CALL(memfd_create, BAD_ADDRESS, 0), EFAULT);
}

TEST(call_messages)
{
    struct sockaddr_un name;
    socklen_t size = sizeof name;
    char text[8];
    struct iovec v = { "hello", 5 }, w = { text, sizeof text };
    struct mmsghdr out[2] = { { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } },
                              { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } } };
    struct mmsghdr in[2] = { { .msg_hdr = { .msg_iov = &w, .msg_iovlen = 1 } },
                             { .msg_hdr = { .msg_iov = &w, .msg_iovlen = 1 } } };
    int pair[2], value;

    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    CHECK_EQ(OK(CALL(sendmmsg, pair[0], out, 2, 0)), 2);
    CHECK_EQ(out[1].msg_len, 5);
    CHECK_EQ(OK(CALL(recvmmsg, pair[1], in, 2, MSG_DONTWAIT, NULL)), 2);
    CHECK_EQ(in[0].msg_len, 5);
    FAILS(CALL(recvmmsg, pair[1], in, 2, MSG_DONTWAIT, NULL), EAGAIN);
    FAILS(CALL(sendmmsg, BAD_FD, out, 2, 0), EBADF);
    FAILS(CALL(sendmmsg, pair[0], BAD_ADDRESS, 2, 0), EFAULT);
    FAILS(CALL(sendmsg, pair[0], BAD_ADDRESS, 0), EFAULT);
    FAILS(CALL(sendmsg, 0, &out[0].msg_hdr, 0), ENOTSOCK);
    FAILS(CALL(recvmsg, pair[1], &in[0].msg_hdr, MSG_DONTWAIT), EAGAIN);
    FAILS(CALL(recvmsg, BAD_FD, &in[0].msg_hdr, 0), EBADF);
    FAILS(CALL(getsockname, 0, &name, &size), ENOTSOCK);
    FAILS(CALL(getsockname, pair[0], &name, BAD_ADDRESS), EFAULT);
    size = sizeof value;
    FAILS(CALL(getsockopt, pair[0], SOL_SOCKET, 9999, &value, &size), ENOPROTOOPT);
    FAILS(CALL(getsockopt, BAD_FD, SOL_SOCKET, SO_TYPE, &value, &size), EBADF);
    FAILS(CALL(accept4, pair[0], NULL, NULL, 0), EOPNOTSUPP);
    FAILS(CALL(accept4, pair[0], NULL, NULL, 1), EINVAL);
}

TEST(call_notify)
{
    OK(CALL(inotify_init));
    FAILS(CALL(inotify_init1, 1), EINVAL);
    FAILS(CALL(inotify_add_watch, BAD_FD, ".", 2), EBADF);
    FAILS(CALL(inotify_rm_watch, 0, 1), EINVAL);
    call_drop_capabilities();
    FAILS(CALL(fanotify_init, 0, 0), EPERM);
    call_take_capabilities();
    FAILS(CALL(fanotify_mark, BAD_FD, 1, 2, AT_FDCWD, "."), EBADF);
}

TEST(call_fstatfs)
{
    struct statfs fs;

    OK(CALL(fstatfs, 0, &fs));
    FAILS(CALL(fstatfs, BAD_FD, &fs), EBADF);
    FAILS(CALL(fstatfs, 0, BAD_ADDRESS), EFAULT);
}
