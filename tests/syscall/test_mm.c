/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: mmap and its family, protection and faults, brk, files in memory. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul

static sigjmp_buf g_fault_jump;
static siginfo_t g_fault;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    g_fault = *info;
    siglongjmp(g_fault_jump, 1);
}

/* The signal that touching the byte raises; 0 when it is fine. */
static int touch(volatile char *at, bool write)
{
    struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

    memset(&g_fault, 0, sizeof g_fault);
    OK(sigaction(SIGSEGV, &act, NULL));
    OK(sigaction(SIGBUS, &act, NULL));
    if (sigsetjmp(g_fault_jump, 1) == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
    }
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    return g_fault.si_signo;
}

static char *map(size_t size, int prot)
{
    return OK(mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

TEST(mm_anonymous_is_zero)
{
    char *p = map(64 * PAGE, PROT_READ | PROT_WRITE);

    for (size_t i = 0; i < 64 * PAGE; i++)
        CHECK_EQ(p[i], 0);
    memset(p, 7, 64 * PAGE);
    OK(munmap(p, 64 * PAGE));
    CHECK_EQ(touch(p, false), SIGSEGV);
    CHECK_EQ(g_fault.si_code, SEGV_MAPERR);
    CHECK(g_fault.si_addr == p);
}

/* What is read reaches, at every alignment, into a page that nothing has touched yet; what is sent, too. */
TEST(mm_copies_into_fresh_pages)
{
    char sent[200];
    int fds[2];

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i + 1);
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    for (size_t size = 1; size <= sizeof sent; size += 13) {
        for (size_t before = 0; before <= size && before < 40; before++) {
            char *p = map(2 * PAGE, PROT_READ | PROT_WRITE);

            p[0] = 1; /* the first page is there */
            CHECK_EQ(write(fds[0], sent, size), (long)size);
            CHECK_EQ(read(fds[1], p + PAGE - before, size), (long)size);
            CHECK(memcmp(p + PAGE - before, sent, size) == 0);
            OK(munmap(p, 2 * PAGE));
            p = map(2 * PAGE, PROT_READ | PROT_WRITE);
            memset(p, 3, PAGE);
            CHECK_EQ(write(fds[0], p + PAGE - before, size), (long)size);
            CHECK_EQ(read(fds[1], p, size), (long)size);
            for (size_t i = 0; i < size; i++)
                CHECK_EQ(p[i], i < before ? 3 : 0);
            OK(munmap(p, 2 * PAGE));
        }
    }
    close(fds[0]);
    close(fds[1]);
}

TEST(mm_mmap_errors)
{
    int fd = file_with("f", "x");

    FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 9999, 0), EBADF);
    FAILS(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
    FAILS(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    FAILS(mmap(NULL, SIZE_MAX - PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, OK(open("f", O_WRONLY)), 0), EACCES);
    FAILS(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, OK(open("f", O_RDONLY)), 0), EACCES);
    FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, OK(open(".", O_RDONLY)), 0), ENODEV);
    FAILS(munmap((void *)1, PAGE), EINVAL);
    FAILS(munmap((void *)PAGE, 0), EINVAL);
}

TEST(mm_fixed_replaces)
{
    char *p = map(3 * PAGE, PROT_READ | PROT_WRITE);

    memset(p, 1, 3 * PAGE);
    CHECK(OK(mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                  -1, 0)) == p + PAGE);
    CHECK_EQ(p[0], 1);
    CHECK_EQ(p[PAGE], 0);
    CHECK_EQ(p[2 * PAGE], 1);
    FAILS(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
          EEXIST);
    OK(munmap(p, 3 * PAGE));
    CHECK(OK(mmap(p, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)) ==
          p);
    OK(munmap(p, PAGE));
}

TEST(mm_partial_unmap)
{
    char *p = map(3 * PAGE, PROT_READ | PROT_WRITE);

    memset(p, 1, 3 * PAGE);
    OK(munmap(p + PAGE, PAGE));
    CHECK_EQ(touch(p, true), 0);
    CHECK_EQ(touch(p + PAGE, false), SIGSEGV);
    CHECK_EQ(touch(p + 2 * PAGE, true), 0);
    CHECK_EQ(p[2 * PAGE + 1], 1);
    OK(munmap(p, 3 * PAGE));
    OK(munmap(p, 3 * PAGE)); /* nothing there is no error */
}

TEST(mm_protection_is_real)
{
    char *p = map(2 * PAGE, PROT_READ | PROT_WRITE);

    p[0] = 5;
    OK(mprotect(p, PAGE, PROT_READ));
    CHECK_EQ(touch(p, false), 0);
    CHECK_EQ(touch(p, true), SIGSEGV);
    CHECK_EQ(g_fault.si_code, SEGV_ACCERR);
    CHECK(g_fault.si_addr == p);
    CHECK_EQ(touch(p + PAGE, true), 0);
    OK(mprotect(p, PAGE, PROT_NONE));
    CHECK_EQ(touch(p, false), SIGSEGV);
    OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
    CHECK_EQ(p[0], 5);
    CHECK_EQ(touch(p, true), 0);
}

TEST(mm_mprotect_errors)
{
    char *p = map(3 * PAGE, PROT_READ);

    FAILS(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
    OK(munmap(p + PAGE, PAGE));
    FAILS(mprotect(p, 3 * PAGE, PROT_READ), ENOMEM);
    FAILS(mprotect(p, PAGE, 0x1000), EINVAL);
}

TEST(mm_untouched_none_page)
{
    char *p = map(4 * PAGE, PROT_NONE);

    CHECK_EQ(touch(p, false), SIGSEGV);
    OK(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE));
    CHECK_EQ(touch(p + PAGE, true), 0);
    CHECK_EQ(touch(p + 2 * PAGE, true), SIGSEGV);
}

TEST(mm_execute)
{
    /* mov eax, 42; ret */
    static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
    char *p = map(PAGE, PROT_READ | PROT_WRITE);
    int (*function)(void) = (int (*)(void))(uintptr_t)p;

    memcpy(p, code, sizeof code);
    OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(function(), 42);
}

TEST(mm_execute_needs_permission)
{
    char *p = map(PAGE, PROT_READ | PROT_WRITE);
    struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

    *p = (char)0xc3;
    OK(sigaction(SIGSEGV, &act, NULL));
    if (sigsetjmp(g_fault_jump, 1) == 0) {
        ((void (*)(void))(uintptr_t)p)();
        case_fail(__FILE__, __LINE__, "data was executed", 0, 0);
    }
    CHECK(g_fault.si_addr == p);
}

TEST(mm_file_private)
{
    char c, *p;
    int fd = file_with("f", "abcdef");

    p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    CHECK(memcmp(p, "abcdef", 6) == 0);
    CHECK_EQ(p[6], 0);
    p[0] = 'X';
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'a');
    OK(close(fd));
    CHECK_EQ(p[1], 'b');
}

TEST(mm_file_shared)
{
    char c, *p, *q;
    int fd = file_with("f", "abcdef");

    p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    q = OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
    p[0] = 'X';
    CHECK_EQ(q[0], 'X');
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'X');
    CHECK_EQ(pwrite(fd, "Y", 1, 1), 1);
    CHECK_EQ(p[1], 'Y');
    OK(msync(p, PAGE, MS_SYNC));
    OK(munmap(p, PAGE));
    CHECK_EQ(q[0], 'X');
}

TEST(mm_file_shared_needs_write_access)
{
    int fd = file_with("f", "abc"), reader = OK(open("f", O_RDONLY)), sealed;
    char *p = OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0));

    FAILS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0), EACCES);
    FAILS(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_EQ(p[0], 'a');
    OK(close(fd));
    sealed = OK(memfd_create("sealed", MFD_ALLOW_SEALING));
    OK(ftruncate(sealed, PAGE));
    p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sealed, 0));
    p[0] = 'x';
    FAILS(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    OK(munmap(p, PAGE));
    OK(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE));
    FAILS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sealed, 0), EPERM);
    FAILS(write(sealed, "y", 1), EPERM);
}

TEST(mm_file_past_end_is_sigbus)
{
    int fd = file_with("f", "x");
    char *p = OK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0));

    CHECK_EQ(touch(p + PAGE - 1, false), 0);
    CHECK_EQ(touch(p + PAGE, false), SIGBUS);
    CHECK_EQ(g_fault.si_code, BUS_ADRERR);
}

TEST(mm_file_offset)
{
    static char text[3 * PAGE];
    char *p;
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));

    memset(text, 'a', PAGE);
    memset(text + PAGE, 'b', PAGE);
    memset(text + 2 * PAGE, 'c', PAGE);
    CHECK_EQ(write(fd, text, sizeof text), sizeof text);
    p = OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE));
    CHECK_EQ(p[0], 'c');
    p = OK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE));
    CHECK_EQ(p[0], 'b');
    CHECK_EQ(p[PAGE], 'c');
}

TEST(mm_image_file)
{
    int fd = OK(open("/proc/self/exe", O_RDONLY));
    char *p = OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));

    CHECK(memcmp(p, "\177ELF", 4) == 0);
    FAILS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
}

TEST(mm_mremap_grow_and_shrink)
{
    char *p = map(2 * PAGE, PROT_READ | PROT_WRITE), *q;

    memset(p, 3, 2 * PAGE);
    q = OK(mremap(p, 2 * PAGE, 100 * PAGE, MREMAP_MAYMOVE));
    CHECK_EQ(q[0], 3);
    CHECK_EQ(q[2 * PAGE - 1], 3);
    CHECK_EQ(q[2 * PAGE], 0);
    CHECK_EQ(q[100 * PAGE - 1], 0);
    CHECK(OK(mremap(q, 100 * PAGE, PAGE, 0)) == q);
    CHECK_EQ(touch(q + PAGE, false), SIGSEGV);
    CHECK_EQ(q[0], 3);
}

TEST(mm_mremap_moves)
{
    char *p = map(2 * PAGE, PROT_READ | PROT_WRITE), *to = map(4 * PAGE, PROT_NONE), *q;

    p[0] = 9;
    q = OK(mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
    CHECK(q == to);
    CHECK_EQ(q[0], 9);
    CHECK_EQ(touch(p, false), SIGSEGV);
    CHECK_EQ(touch(q + PAGE, true), 0);
}

TEST(mm_mremap_errors)
{
    char *p = map(3 * PAGE, PROT_READ);

    FAILS(mremap(p + 1, PAGE, PAGE, 0), EINVAL);
    FAILS(mremap(p, PAGE, 0, 0), EINVAL);
    FAILS(mremap(p, PAGE, 3 * PAGE, 0), ENOMEM);
    OK(munmap(p, 3 * PAGE));
    FAILS(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    FAILS(mremap(p, PAGE, PAGE, MREMAP_FIXED, p), EINVAL);
}

TEST(mm_madvise_dontneed)
{
    char *p = map(4 * PAGE, PROT_READ | PROT_WRITE);
    int fd = file_with("f", "abc");

    memset(p, 1, 4 * PAGE);
    OK(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED));
    CHECK_EQ(p[0], 1);
    CHECK_EQ(p[PAGE], 0);
    CHECK_EQ(p[3 * PAGE - 1], 0);
    CHECK_EQ(p[3 * PAGE], 1);
    p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    p[0] = 'X';
    OK(madvise(p, PAGE, MADV_DONTNEED));
    CHECK_EQ(p[0], 'a');
}

TEST(mm_madvise_others)
{
    char *p = map(4 * PAGE, PROT_READ | PROT_WRITE);

    OK(madvise(p, 4 * PAGE, MADV_WILLNEED));
    OK(madvise(p, 4 * PAGE, MADV_NORMAL));
    OK(madvise(p, 4 * PAGE, MADV_FREE));
    FAILS(madvise(p, PAGE, 9999), EINVAL);
    FAILS(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
    OK(munmap(p, 4 * PAGE));
    FAILS(madvise(p, PAGE, MADV_DONTNEED), ENOMEM);
}

TEST(mm_brk)
{
    char *start = sbrk(0);

    CHECK(start != (void *)-1);
    CHECK(sbrk(1 << 20) == start);
    memset(start, 1, 1 << 20);
    CHECK(sbrk(0) == start + (1 << 20));
    CHECK(sbrk(-(1 << 20)) == start + (1 << 20));
    CHECK(sbrk(1 << 20) == start);
    CHECK_EQ(start[0x8000], 0); /* given back and taken again: zero */
    CHECK(sbrk(-(1 << 20)) != (void *)-1);
}

TEST(mm_large_reservation)
{
    char *p =
        OK(mmap(NULL, 8ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

    OK(mprotect(p + (5ul << 30), PAGE, PROT_READ | PROT_WRITE));
    p[5ul << 30] = 1;
    OK(munmap(p, 8ul << 30));
}

TEST(mm_many_mappings)
{
    enum { COUNT = 1000 };
    static char *pages[COUNT];

    for (int i = 0; i < COUNT; i++) {
        pages[i] = map(PAGE, i % 2 ? PROT_READ | PROT_WRITE : PROT_READ);
        if (i % 2)
            pages[i][0] = (char)i;
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(pages[i][0], i % 2 ? (char)i : 0);
        OK(munmap(pages[i], PAGE));
    }
}

/* However often a mapping is cut up: there is an end, with ENOMEM, and all goes on. */
TEST(mm_count_of_mappings_is_bounded)
{
    enum { COUNT = 70000 };
    char *p =
        OK(mmap(NULL, COUNT * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    int i = 0;

    while (i < COUNT && mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0) {
        p[i * PAGE] = 1;
        i += 2;
    }
    CHECK(i < COUNT);
    CHECK_EQ(errno, ENOMEM);
    CHECK(i > 20000);
    CHECK_EQ(p[(i - 2) * PAGE], 1);
    OK(munmap(p, COUNT * PAGE));
}

TEST(mm_malloc_heavy)
{
    enum { COUNT = 2000 };
    static unsigned char *blocks[COUNT];
    unsigned seed = 1;

    for (int round = 0; round < 20000; round++) {
        unsigned i = (seed = seed * 1103515245 + 12345) / 65536 % COUNT;
        size_t size = seed / 256 % 40000 + 1;

        if (blocks[i] != NULL)
            CHECK_EQ(blocks[i][0], (unsigned char)i);
        free(blocks[i]);
        CHECK((blocks[i] = malloc(size)) != NULL);
        memset(blocks[i], (int)i, size);
    }
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
}

static int deep(int levels)
{
    volatile char frame[4000];

    frame[0] = (char)levels;
    return levels == 0 ? 0 : deep(levels - 1) + frame[0] * 0;
}

TEST(mm_main_stack_grows)
{
    CHECK_EQ(deep(1500), 0); /* about 6 MB of the usual 8 */
}

TEST(mm_memfd)
{
    struct stat st;
    int fd = OK(memfd_create("name", MFD_CLOEXEC));
    char *p;

    OK(ftruncate(fd, 2 * PAGE));
    p = OK(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    p[PAGE] = 'm';
    char c;
    CHECK_EQ(pread(fd, &c, 1, PAGE), 1);
    CHECK_EQ(c, 'm');
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_size, 2 * PAGE);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

/* What is cut off a file is gone from private copies too, and stays gone when the file grows again. */
TEST(mm_private_copy_of_cut_file)
{
    int fd = OK(memfd_create("name", 0)), other = OK(memfd_create("other", 0));
    char *p, *q;

    OK(ftruncate(fd, 3 * PAGE));
    OK(ftruncate(other, 3 * PAGE));
    p = OK(mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
    q = OK(mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, other, 0));
    memset(p, 'p', 3 * PAGE);
    memset(q, 'q', 3 * PAGE);
    OK(ftruncate(fd, PAGE + 1));
    CHECK_EQ(touch(p + 2 * PAGE, false), SIGBUS);
    OK(ftruncate(fd, 3 * PAGE));
    CHECK_EQ(p[PAGE - 1], 'p');
    CHECK_EQ(p[2 * PAGE - 1], 'p'); /* the copy of the page with the end is whole */
    CHECK_EQ(p[2 * PAGE], 0);
    CHECK_EQ(p[3 * PAGE - 1], 0);
    CHECK_EQ(q[3 * PAGE - 1], 'q');
}

/* No pages: no range that could be wrong. */
TEST(mm_ranges_of_nothing)
{
    OK(syscall(SYS_mincore, NULL, 0, NULL));
    OK(syscall(SYS_madvise, NULL, 0, MADV_NORMAL));
    OK(syscall(SYS_madvise, NULL, 0, MADV_DONTNEED));
    OK(syscall(SYS_msync, NULL, 0, MS_SYNC));
    OK(syscall(SYS_mlock, NULL, 0));
    FAILS(syscall(SYS_mincore, 1, 0, NULL), EINVAL);
}

TEST(mm_mincore)
{
    unsigned char resident[2];
    char *p = map(2 * PAGE, PROT_READ | PROT_WRITE);

    p[0] = 1;
    OK(mincore(p, 2 * PAGE, resident));
    CHECK_EQ(resident[0] & 1, 1);
    OK(munmap(p, 2 * PAGE));
    FAILS(mincore(p, 2 * PAGE, resident), ENOMEM);
}

TEST(mm_mlock)
{
    char *p = map(2 * PAGE, PROT_READ | PROT_WRITE);

    OK(mlock(p, 2 * PAGE));
    OK(munlock(p, 2 * PAGE));
}

TEST(mm_shared_anonymous)
{
    char *p = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

    p[PAGE] = 3;
    CHECK_EQ(p[PAGE], 3);
    OK(munmap(p, 4 * PAGE));
}

TEST(mm_hint_is_taken_when_free)
{
    char *p = map(16 * PAGE, PROT_READ);

    OK(munmap(p, 16 * PAGE));
    CHECK(OK(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == p + PAGE);
    OK(munmap(p + PAGE, PAGE));
}

TEST(mm_system_call_faults_pages_in)
{
    char *p = map(4 * PAGE, PROT_READ | PROT_WRITE);
    int fd = file_with("f", "");
    static char text[3 * PAGE];

    memset(text, 'q', sizeof text);
    CHECK_EQ(write(fd, text, sizeof text), sizeof text);
    CHECK_EQ(pread(fd, p + 100, sizeof text, 0), sizeof text); /* pages never touched before */
    CHECK_EQ(p[100], 'q');
    CHECK_EQ(p[99], 0);
    OK(mprotect(p, PAGE, PROT_READ));
    FAILS(pread(fd, p, 10, 0), EFAULT); /* read-only memory is no destination */
    OK(mprotect(p, PAGE, PROT_NONE));
    FAILS(pwrite(fd, p, 10, 0), EFAULT);
}
