/* SPDX-License-Identifier: Apache-2.0 */
/* splice, tee, vmsplice, sendfile in their combinations; sizes of pipes; packets. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char g_text[128];

static const char *read_text(int fd)
{
    ssize_t n = OK(read(fd, g_text, sizeof g_text - 1));

    g_text[n] = 0;
    return g_text;
}

static void check_text(int fd, const char *want)
{
    CHECK(strcmp(read_text(fd), want) == 0);
}

TEST(splice_files)
{
    int in = file_with("in", "0123456789"), out = file_with("out", "abcdefghij"), p[2];
    loff_t at = 3;

    OK(pipe(p));
    CHECK_EQ(splice(in, &at, p[1], NULL, 4, 0), 4);
    CHECK_EQ(at, 7);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(splice(in, NULL, p[1], NULL, 2, SPLICE_F_MORE), 2);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 2);
    at = 8;
    CHECK_EQ(splice(p[0], NULL, out, &at, 3, SPLICE_F_MOVE), 3);
    CHECK_EQ(at, 11);
    CHECK_EQ(splice(p[0], NULL, out, NULL, 100, 0), 3);
    CHECK_EQ(lseek(out, 0, SEEK_CUR), 3);
    OK(lseek(out, 0, SEEK_SET));
    check_text(out, "601defgh345");
    /* At the end of the file, and of the writers. */
    at = 100;
    CHECK_EQ(splice(in, &at, p[1], NULL, 4, 0), 0);
    FAILS(splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    close(p[1]);
    CHECK_EQ(splice(p[0], NULL, out, NULL, 1, 0), 0);
}

TEST(splice_sockets)
{
    int s[2], p[2], q[2];

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(pipe(p));
    OK(pipe(q));
    CHECK_EQ(write(p[1], "through", 7), 7);
    CHECK_EQ(splice(p[0], NULL, s[0], NULL, 100, 0), 7);
    CHECK_EQ(splice(s[1], NULL, q[1], NULL, 100, 0), 7);
    check_text(q[0], "through");
    FAILS(splice(s[1], NULL, q[1], NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
    close(s[0]);
    CHECK_EQ(splice(s[1], NULL, q[1], NULL, 100, 0), 0);
}

TEST(splice_pipes)
{
    int a[2], b[2];
    char text[64];

    OK(pipe(a));
    OK(pipe(b));
    CHECK_EQ(write(a[1], "0123456789", 10), 10);
    CHECK_EQ(tee(a[0], b[1], 4, 0), 4);
    CHECK_EQ(tee(a[0], b[1], 100, 0), 10);
    CHECK_EQ(splice(a[0], NULL, b[1], NULL, 6, 0), 6);
    CHECK_EQ(read(b[0], text, sizeof text), 20);
    CHECK(memcmp(text, "01230123456789012345", 20) == 0);
    check_text(a[0], "6789");
    FAILS(tee(a[0], b[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
    close(a[1]);
    CHECK_EQ(tee(a[0], b[1], 1, 0), 0);
    close(b[0]);
    signal(SIGPIPE, SIG_IGN);
    OK(pipe(a));
    CHECK_EQ(write(a[1], "x", 1), 1);
    FAILS(splice(a[0], NULL, b[1], NULL, 1, 0), EPIPE);
}

TEST(splice_errors)
{
    int file = file_with("file", "text"), other = file_with("other", ""), p[2], append;
    loff_t at = 0;

    OK(pipe(p));
    FAILS(splice(file, NULL, other, NULL, 1, 0), EINVAL);
    FAILS(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL);
    FAILS(splice(p[0], &at, file, NULL, 1, 0), ESPIPE);
    FAILS(splice(file, NULL, p[1], &at, 1, 0), ESPIPE);
    FAILS(splice(file, NULL, p[1], NULL, 1, 0x100), EINVAL);
    FAILS(splice(999, NULL, p[1], NULL, 1, 0), EBADF);
    FAILS(splice(p[1], NULL, file, NULL, 1, 0), EBADF);
    FAILS(splice(file, NULL, p[0], NULL, 1, 0), EBADF);
    CHECK_EQ(splice(999, NULL, 998, NULL, 0, 0), 0);
    FAILS(splice(file, (loff_t *)8, p[1], NULL, 1, 0), EFAULT);
    at = -1;
    FAILS(splice(file, &at, p[1], NULL, 1, 0), EINVAL);
    CHECK_EQ(write(p[1], "x", 1), 1);
    append = OK(open("file", O_WRONLY | O_APPEND));
    FAILS(splice(p[0], NULL, append, NULL, 1, 0), EINVAL);
    FAILS(tee(file, p[1], 1, 0), EINVAL);
    FAILS(tee(p[0], p[1], 1, 0), EINVAL);
    FAILS(tee(p[0], p[1], 1, 0x100), EINVAL);
    FAILS(splice(OK(open(".", O_RDONLY)), NULL, p[1], NULL, 1, 0), EINVAL);
}

TEST(splice_memory)
{
    char a[] = "hello ", b[] = "world", got[16] = { 0 };
    struct iovec v[2] = { { a, 6 }, { b, 5 } }, one = { got, 5 };
    int p[2];

    OK(pipe(p));
    CHECK_EQ(vmsplice(p[1], v, 2, 0), 11);
    CHECK_EQ(vmsplice(p[0], &one, 1, 0), 5);
    CHECK(strcmp(got, "hello") == 0);
    check_text(p[0], " world");
    CHECK_EQ(vmsplice(p[1], v, 0, 0), 0);
    FAILS(vmsplice(p[1], v, 1, 0x100), EINVAL);
    FAILS(vmsplice(file_with("f", ""), v, 1, 0), EBADF);
    FAILS(vmsplice(p[1], v, 1025, 0), EINVAL);
    FAILS(vmsplice(p[1], NULL, 1, 0), EFAULT);
}

TEST(sendfile_targets)
{
    int in = file_with("in", "0123456789"), out = file_with("out", ""), s[2], p[2], append;
    off_t at = 5;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    OK(pipe(p));
    CHECK_EQ(sendfile(s[0], in, &at, 100), 5);
    CHECK_EQ(at, 10);
    check_text(s[1], "56789");
    CHECK_EQ(sendfile(p[1], in, NULL, 3), 3);
    check_text(p[0], "012");
    CHECK_EQ(sendfile(out, in, NULL, 3), 3);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 6);
    OK(lseek(out, 0, SEEK_SET));
    check_text(out, "345");
    CHECK_EQ(sendfile(out, in, &at, 3), 0);
    FAILS(sendfile(out, p[0], NULL, 3), EINVAL);
    FAILS(sendfile(out, s[1], NULL, 3), EINVAL);
    append = OK(open("out", O_WRONLY | O_APPEND));
    FAILS(sendfile(append, in, NULL, 3), EINVAL);
    FAILS(sendfile(in, append, NULL, 3), EBADF);
    at = -1;
    FAILS(sendfile(out, in, &at, 3), EINVAL);
    FAILS(sendfile(999, in, NULL, 3), EBADF);
    FAILS(sendfile(out, OK(open(".", O_RDONLY)), NULL, 3), EINVAL);
}

TEST(pipe_sizes)
{
    int p[2], n;
    static char bytes[70000];

    OK(pipe2(p, O_NONBLOCK));
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
    CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 8192);
    CHECK_EQ(write(p[1], bytes, sizeof bytes), 8192);
    FAILS(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 131072), 131072);
    OK(ioctl(p[0], FIONREAD, &n));
    CHECK_EQ(n, 8192);
    CHECK_EQ(write(p[1], bytes, sizeof bytes), sizeof bytes);
    FAILS(fcntl(p[1], F_SETPIPE_SZ, -1), EINVAL);
    FAILS(fcntl(file_with("f", ""), F_SETPIPE_SZ, 4096), EBADF);
    FAILS(fcntl(file_with("g", ""), F_GETPIPE_SZ), EBADF);
}

TEST(pipe_packets)
{
    struct pollfd poll_out;
    char text[8192];
    int p[2], n, count = 0;

    OK(pipe2(p, O_DIRECT));
    CHECK_EQ(fcntl(p[1], F_GETFL) & O_DIRECT, O_DIRECT);
    CHECK_EQ(write(p[1], "one", 3), 3);
    CHECK_EQ(write(p[1], "second", 6), 6);
    CHECK_EQ(write(p[1], "3", 1), 1);
    OK(ioctl(p[0], FIONREAD, &n));
    CHECK_EQ(n, 10);
    CHECK_EQ(read(p[0], text, sizeof text), 3);
    CHECK_EQ(read(p[0], text, 2), 2); /* the rest of it is gone */
    CHECK(memcmp(text, "se", 2) == 0);
    CHECK_EQ(read(p[0], text, sizeof text), 1);
    CHECK_EQ(text[0], '3');
    /* More than a page becomes several. */
    memset(text, 'x', sizeof text);
    CHECK_EQ(write(p[1], text, 4096 + 10), 4106);
    CHECK_EQ(read(p[0], text, sizeof text), 4096);
    CHECK_EQ(read(p[0], text, sizeof text), 10);
    /* There is room for as many as the pipe has pages. */
    OK(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT));
    while (write(p[1], "y", 1) == 1)
        count++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(count, 16);
    poll_out = (struct pollfd){ .fd = p[1], .events = POLLOUT };
    CHECK_EQ(poll(&poll_out, 1, 0), 0);
    CHECK_EQ(read(p[0], text, sizeof text), 1);
    CHECK_EQ(poll(&poll_out, 1, 0), 1);
    for (int i = 1; i < 16; i++)
        CHECK_EQ(read(p[0], text, sizeof text), 1);
    /* Without the flag it is an ordinary pipe again. */
    OK(fcntl(p[1], F_SETFL, 0));
    CHECK_EQ(write(p[1], "ab", 2), 2);
    CHECK_EQ(write(p[1], "cd", 2), 2);
    CHECK_EQ(read(p[0], text, 3), 3);
    CHECK_EQ(read(p[0], text, 3), 1);
}

/* Reads to the end even when a packet is wrong, so that the writer does not wait for room. */
static void *read_packets(void *arg)
{
    char text[64];
    long sum = 0, n, wrong = 0;

    while ((n = read(*(int *)arg, text, sizeof text)) > 0) {
        for (long i = 1; i < n; i++)
            wrong += text[i] != text[0];
        sum += n;
    }
    return (void *)(wrong ? -wrong : sum);
}

TEST(pipe_packets_blocking)
{
    for (int round = 0; round < 4; round++) { /* the two ends race: each round is another chance */
        char text[64];
        pthread_t thread;
        void *sum;
        int p[2];
        long want = 0;

        OK(pipe2(p, O_DIRECT));
        ZERO(pthread_create(&thread, NULL, read_packets, &p[0]));
        for (int i = 0; i < 2000; i++) {
            int size = i % 50 + 1;

            memset(text, 'a' + i % 26, (size_t)size);
            CHECK_EQ(write(p[1], text, (size_t)size), size);
            want += size;
        }
        close(p[1]);
        ZERO(pthread_join(thread, &sum));
        CHECK_EQ((long)sum, want);
        close(p[0]);
    }
}
