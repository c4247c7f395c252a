/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: the line discipline, both sides of a pseudo-terminal, their requests and their end. */
#define _GNU_SOURCE
#include "tests/syscall/case.h"

#include <asm/termbits.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/tty.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TCGETS2 /* some C libraries have the old requests only */
#define TCGETS2 _IOR('T', 0x2a, struct termios2)
#define TCSETSW2 _IOW('T', 0x2c, struct termios2)
#endif

struct pair {
    int master, slave;
};

static struct pair open_pair(void)
{
    struct pair p;
    int off = 0;

    p.master = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    OK(ioctl(p.master, TIOCSPTLCK, &off));
    p.slave = OK(ioctl(p.master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    return p;
}

static void set_flags(int fd, uint32_t *iflag, uint32_t *oflag, uint32_t *lflag)
{
    struct termios t;

    OK(ioctl(fd, TCGETS, &t));
    if (iflag)
        t.c_iflag = *iflag;
    if (oflag)
        t.c_oflag = *oflag;
    if (lflag)
        t.c_lflag = *lflag;
    OK(ioctl(fd, TCSETS, &t));
}

static void set_special(int fd, int which, int c)
{
    struct termios t;

    OK(ioctl(fd, TCGETS, &t));
    t.c_cc[which] = (unsigned char)c;
    OK(ioctl(fd, TCSETS, &t));
}

/* Everything that fd has now. The kernel moves bytes between the sides in the background. */
static int read_now(int fd, char *text, int size)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int used = 0;

    while (used < size - 1 && poll(&p, 1, 30) == 1 && (p.revents & POLLIN)) {
        int n = (int)read(fd, text + used, (size_t)(size - 1 - used));

        if (n <= 0)
            break;
        used += n;
    }
    text[used] = 0;
    return used;
}

static void check_text(int fd, const char *want)
{
    char text[8192];

    read_now(fd, text, sizeof text);
    if (strcmp(text, want) != 0) {
        printf("# got:  ");
        for (const char *c = text; *c; c++)
            printf(*c >= ' ' && *c < 127 ? "%c" : "\\%03o", (unsigned char)*c);
        printf("\n");
    }
    CHECK(strcmp(text, want) == 0);
}

static void type(int fd, const char *text)
{
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
}

/* ---- typed lines: what a reader gets, and the echo ---- */

#define IN_USUAL (ICRNL | IXON)
#define L_USUAL (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN)

static void check_typed(uint32_t iflag, uint32_t lflag, const char *typed, const char *echo,
                        const char *line)
{
    struct pair p = open_pair();

    set_flags(p.slave, &iflag, NULL, &lflag);
    type(p.master, typed);
    check_text(p.master, echo);
    check_text(p.slave, line);
    close(p.slave);
    close(p.master);
}

TEST(tty_line)
{
    check_typed(IN_USUAL, L_USUAL, "hello\n", "hello\r\n", "hello\n");
    check_typed(IN_USUAL, L_USUAL, "cr\r", "cr\r\n", "cr\n");
    check_typed(IN_USUAL, L_USUAL, "no end", "no end", "");
    check_typed(IN_USUAL, L_USUAL, "two\nlines\n", "two\r\nlines\r\n", "two\nlines\n");
    check_typed(IN_USUAL, L_USUAL & ~(uint32_t)ECHO, "dark\n", "", "dark\n");
    check_typed(IN_USUAL, (L_USUAL & ~(uint32_t)ECHO) | ECHONL, "dark\n", "\r\n", "dark\n");
    check_typed(IN_USUAL | IGNCR, L_USUAL, "a\rb\n", "ab\r\n", "ab\n");
    check_typed(IXON | INLCR, L_USUAL, "a\nb", "a^Mb", "");
    check_typed(IN_USUAL | ISTRIP, L_USUAL, "\xe1\xe2\n", "ab\r\n", "ab\n");
    check_typed(IN_USUAL | IUCLC, L_USUAL, "ABc\n", "abc\r\n", "abc\n");
    check_typed(IN_USUAL | PARMRK, L_USUAL, "a\xff\n", "a\xff\r\n", "a\xff\xff\n");
    check_typed(IN_USUAL, L_USUAL, "\001\t\033\n", "^A\t^[\r\n", "\001\t\033\n");
    check_typed(IN_USUAL, L_USUAL & ~(uint32_t)ECHOCTL, "\001\n", "\001\r\n", "\001\n");
    check_typed(IN_USUAL, L_USUAL, "lit\026\003\n", "lit^\b^C\r\n", "lit\003\n");
    check_typed(IN_USUAL, L_USUAL & ~(uint32_t)IEXTEN, "lit\026x\n", "lit^Vx\r\n", "lit\026x\n");
    check_typed(IN_USUAL, L_USUAL, "re\001do\022x\n", "re^Ado^R\r\nre^Adox\r\n", "re\001dox\n");
}

TEST(tty_erase)
{
    uint32_t plain = L_USUAL & ~(uint32_t)(ECHOE | ECHOKE);

    check_typed(IN_USUAL, L_USUAL, "ab\177c\n", "ab\b \bc\r\n", "ac\n");
    check_typed(IN_USUAL, L_USUAL, "\177\177x\n", "x\r\n", "x\n");
    check_typed(IN_USUAL, L_USUAL, "a\001\177b\n", "a^A\b \b\b \bb\r\n", "ab\n");
    check_typed(IN_USUAL, L_USUAL, "ab\tc\177\177d\n", "ab\tc\b \b\b\b\b\b\b\bd\r\n", "abd\n");
    check_typed(IN_USUAL, L_USUAL, "a\t\t\177\n", "a\t\t\b\b\b\b\b\b\b\b\r\n", "a\t\n");
    check_typed(IN_USUAL, L_USUAL, "abc\025d\n", "abc\b \b\b \b\b \bd\r\n", "d\n");
    check_typed(IN_USUAL, plain, "abc\025d\n", "abc^U\r\nd\r\n", "d\n");
    check_typed(IN_USUAL, plain, "ab\177\n", "ab^?\r\n", "a\n");
    check_typed(IN_USUAL, plain & ~(uint32_t)ECHOK, "ab\025c\n", "ab^Uc\r\n", "c\n");
    check_typed(IN_USUAL, L_USUAL, "one two_2 \027x\n",
                "one two_2 \b \b\b \b\b \b\b \b\b \b\b \bx\r\n", "one x\n");
    check_typed(IN_USUAL, L_USUAL | ECHOPRT, "abc\177\177d\n", "abc\\cb/d\r\n", "ad\n");
    check_typed(IN_USUAL | IUTF8, L_USUAL, "x\xc3\xa4\177y\n", "x\xc3\xa4\b \by\r\n", "xy\n");
    check_typed(IN_USUAL, L_USUAL, "x\xc3\xa4\177y\n", "x\xc3\xa4\b \by\r\n", "x\xc3y\n");
    check_typed(IN_USUAL, L_USUAL & ~(uint32_t)ECHO, "abc\025d\177e\n", "", "e\n");
}

TEST(tty_end_of_file)
{
    struct pair p = open_pair();
    char text[16];

    type(p.master, "part\004");
    CHECK_EQ(read(p.slave, text, sizeof text), 4);
    type(p.master, "\004");
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
    /* Exactly what the buffer takes: the end is not seen twice. */
    type(p.master, "abcd\004ef\n");
    CHECK_EQ(read(p.slave, text, 4), 4);
    CHECK_EQ(read(p.slave, text, sizeof text), 3);
    type(p.master, "a\n\004b\n");
    CHECK_EQ(read(p.slave, text, sizeof text), 2);
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
    CHECK_EQ(read(p.slave, text, sizeof text), 2);
    /* A line in pieces; other ends of lines. */
    type(p.master, "abcdef\n");
    CHECK_EQ(read(p.slave, text, 2), 2);
    CHECK_EQ(read(p.slave, text, 4), 4);
    CHECK_EQ(read(p.slave, text, 4), 1);
    set_special(p.slave, VEOL, ';');
    set_special(p.slave, VEOL2, '.');
    type(p.master, "x;yy.z\n");
    CHECK_EQ(read(p.slave, text, sizeof text), 2);
    CHECK_EQ(read(p.slave, text, sizeof text), 3);
    CHECK_EQ(read(p.slave, text, sizeof text), 2);
}

TEST(tty_long_line)
{
    struct pair p = open_pair();
    static char line[6000], got[8192];
    uint32_t lflag = ICANON;

    set_flags(p.slave, NULL, NULL, &lflag);
    memset(line, 'x', sizeof line);
    CHECK_EQ(write(p.master, line, sizeof line), sizeof line);
    type(p.master, "\n");
    CHECK_EQ(read(p.slave, got, sizeof got), 4096);
    CHECK_EQ(got[4095], '\n');
    CHECK_EQ(got[4094], 'x');
}

TEST(tty_modes_switch)
{
    struct pair p = open_pair();
    uint32_t raw = 0, canonical = ICANON;
    char text[64];
    int count;

    /* A line without its end is there for a raw reader, and once more a line for a canonical one. */
    set_flags(p.slave, NULL, NULL, &canonical);
    type(p.master, "half");
    CHECK_EQ(read_now(p.slave, text, sizeof text), 0);
    set_flags(p.slave, NULL, NULL, &raw);
    OK(ioctl(p.slave, FIONREAD, &count));
    CHECK_EQ(count, 4);
    CHECK_EQ(read(p.slave, text, 2), 2);
    set_flags(p.slave, NULL, NULL, &canonical);
    CHECK_EQ(read(p.slave, text, sizeof text), 2);
    type(p.master, "one\ntwo\n");
    usleep(30000);
    set_flags(p.slave, NULL, NULL, &raw);
    CHECK_EQ(read(p.slave, text, sizeof text), 8);
}

/* ---- raw reads ---- */

static void set_timing(int fd, int min, int time)
{
    struct termios t;

    OK(ioctl(fd, TCGETS, &t));
    t.c_lflag = 0;
    t.c_cc[VMIN] = (unsigned char)min;
    t.c_cc[VTIME] = (unsigned char)time;
    OK(ioctl(fd, TCSETS, &t));
}

static void *type_slowly(void *arg)
{
    const struct pair *p = arg;

    for (int i = 0; i < 3; i++) {
        usleep(60000);
        if (write(p->master, "z", 1) != 1)
            break;
    }
    return NULL;
}

TEST(tty_raw_timing)
{
    struct pair p = open_pair();
    struct pollfd poll_slave = { .fd = p.slave, .events = POLLIN };
    pthread_t thread;
    char text[16];
    long long began;

    set_timing(p.slave, 0, 0);
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
    set_timing(p.slave, 0, 2);
    began = now_ms();
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
    CHECK(now_ms() - began >= 180 && now_ms() - began < 1500);
    /* All of VMIN. */
    set_timing(p.slave, 3, 0);
    ZERO(pthread_create(&thread, NULL, type_slowly, &p));
    CHECK_EQ(read(p.slave, text, sizeof text), 3);
    ZERO(pthread_join(thread, NULL));
    type(p.master, "ab");
    usleep(30000);
    CHECK_EQ(poll(&poll_slave, 1, 0), 0);
    type(p.master, "c");
    CHECK_EQ(poll(&poll_slave, 1, 1000), 1);
    CHECK_EQ(read(p.slave, text, 2), 2); /* less was asked for */
    CHECK_EQ(poll(&poll_slave, 1, 0), 0);
    /* The time between bytes begins with the first. */
    set_timing(p.slave, 9, 1);
    CHECK_EQ(poll(&poll_slave, 1, 1000), 1);
    CHECK_EQ(read(p.slave, text, sizeof text), 1);
    ZERO(pthread_create(&thread, NULL, type_slowly, &p));
    CHECK_EQ(read(p.slave, text, sizeof text), 3);
    ZERO(pthread_join(thread, NULL));
    /* O_NONBLOCK. */
    OK(fcntl(p.slave, F_SETFL, O_NONBLOCK));
    set_timing(p.slave, 1, 0);
    FAILS(read(p.slave, text, sizeof text), EAGAIN);
    set_timing(p.slave, 0, 0);
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
}

/* ---- output ---- */

static void check_written(uint32_t oflag, const char *written, const char *want)
{
    struct pair p = open_pair();

    set_flags(p.slave, NULL, &oflag, NULL);
    type(p.slave, written);
    check_text(p.master, want);
    close(p.slave);
    close(p.master);
}

TEST(tty_output)
{
    check_written(OPOST | ONLCR, "a\nb\r\n", "a\r\nb\r\r\n");
    check_written(ONLCR, "a\nb", "a\nb");
    check_written(OPOST | OCRNL, "a\rb", "a\nb");
    check_written(OPOST | ONOCR, "\ra\rb", "a\rb");
    check_written(OPOST | OLCUC, "aBc1", "ABC1");
    check_written(OPOST | XTABS, "a\tb\t\n", "a       b       \n");
    check_written(OPOST | XTABS, "abc\b\tx", "abc\b      x");
    check_written(OPOST | ONLCR | XTABS, "abc\n\tx", "abc\r\n        x");
    check_written(OPOST | ONLRET | XTABS, "abc\n\tx", "abc\n        x");
    check_written(OPOST | XTABS, "ab\n\tx", "ab\n      x");
}

TEST(tty_output_full)
{
    struct pair p = open_pair();
    struct pollfd poll_slave = { .fd = p.slave, .events = POLLOUT };
    static char bytes[1000], got[65536];
    uint32_t raw = 0;
    long sent = 0, received = 0, n;

    set_flags(p.slave, NULL, &raw, &raw);
    OK(fcntl(p.slave, F_SETFL, O_NONBLOCK));
    OK(fcntl(p.master, F_SETFL, O_NONBLOCK));
    for (n = 1; n > 0 && sent<1000000; sent += n> 0 ? n : 0)
        n = write(p.slave, bytes, sizeof bytes);
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 4096 && sent < 1000000);
    CHECK_EQ(poll(&poll_slave, 1, 0), 0);
    while (received < sent && (n = read_now(p.master, got, sizeof got)) > 0)
        received += n;
    CHECK_EQ(received, sent);
    CHECK_EQ(poll(&poll_slave, 1, 1000), 1);
    for (n = 1, sent = 0; n > 0 && sent<1000000; sent += n> 0 ? n : 0) {
        n = write(p.master, bytes, sizeof bytes);
        usleep(100);
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 4000 && sent < 1000000);
    set_timing(p.slave, 1, 0);
    OK(ioctl(p.slave, TCFLSH, TCIFLUSH));
}

/* ---- flow ---- */

TEST(tty_flow)
{
    struct pair p = open_pair();

    OK(fcntl(p.slave, F_SETFL, O_NONBLOCK));
    type(p.master, "\023");
    usleep(30000);
    FAILS(write(p.slave, "x", 1), EAGAIN);
    type(p.master, "abc\n"); /* echoed when output goes on */
    check_text(p.master, "");
    check_text(p.slave, "abc\n");
    type(p.master, "\021");
    check_text(p.master, "abc\r\n");
    type(p.slave, "x");
    check_text(p.master, "x");
    /* Any character, when the program likes. */
    set_flags(p.slave, &(uint32_t){ IN_USUAL | IXANY }, NULL, NULL);
    type(p.master, "\023");
    usleep(30000);
    FAILS(write(p.slave, "x", 1), EAGAIN);
    type(p.master, "q");
    check_text(p.master, "q");
    /* tcflow: only the program itself goes on. */
    OK(ioctl(p.slave, TCXONC, TCOOFF));
    FAILS(write(p.slave, "x", 1), EAGAIN);
    type(p.master, "\021");
    usleep(30000);
    FAILS(write(p.slave, "x", 1), EAGAIN);
    OK(ioctl(p.slave, TCXONC, TCOON));
    type(p.slave, "y");
    check_text(p.master, "y");
    OK(ioctl(p.slave, TCXONC, TCIOFF));
    OK(ioctl(p.slave, TCXONC, TCION));
    check_text(p.master, "\023\021");
    FAILS(ioctl(p.slave, TCXONC, 77), EINVAL);
}

TEST(tty_flush)
{
    struct pair p = open_pair();
    int count;

    type(p.master, "line\nmore");
    check_text(p.master, "line\r\nmore");
    OK(ioctl(p.slave, FIONREAD, &count));
    CHECK_EQ(count, 5);
    OK(ioctl(p.slave, TCFLSH, TCIFLUSH));
    OK(ioctl(p.slave, FIONREAD, &count));
    CHECK_EQ(count, 0);
    type(p.slave, "out");
    usleep(30000);
    OK(ioctl(p.master, FIONREAD, &count));
    CHECK_EQ(count, 3);
    OK(ioctl(p.master, TCFLSH, TCIFLUSH));
    check_text(p.master, "");
    type(p.master, "x\n");
    check_text(p.master, "x\r\n");
    check_text(p.slave, "x\n");
    /* A signal character throws both away. */
    type(p.master, "gone\n");
    usleep(30000);
    type(p.master, "\003");
    usleep(30000);
    OK(ioctl(p.slave, FIONREAD, &count));
    CHECK_EQ(count, 0);
    OK(ioctl(p.slave, TCSBRK, 1));
    OK(ioctl(p.slave, TIOCOUTQ, &count));
    CHECK_EQ(count, 0);
    FAILS(ioctl(p.slave, TCFLSH, 77), EINVAL);
}

/* ---- requests ---- */

TEST(tty_termios)
{
    struct pair p = open_pair();
    struct termios a, b;
    struct termios2 two;
    struct {
        unsigned short iflag, oflag, cflag, lflag;
        unsigned char line, cc[8];
    } old;

    OK(ioctl(p.slave, TCGETS, &a));
    CHECK_EQ(a.c_iflag & (ICRNL | IXON), ICRNL | IXON);
    CHECK_EQ(a.c_oflag, OPOST | ONLCR);
    CHECK_EQ(a.c_cflag, B38400 | CS8 | CREAD);
    CHECK_EQ(a.c_lflag, L_USUAL);
    OK(ioctl(p.master, TCGETS, &b));
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    /* Seven bits and parity are more than it has. */
    a.c_cflag = B9600 | CS7 | PARENB;
    OK(ioctl(p.master, TCSETSF, &a));
    OK(ioctl(p.slave, TCGETS, &b));
    CHECK_EQ(b.c_cflag, B9600 | CS8 | CREAD);
    OK(ioctl(p.slave, TCGETS2, &two));
    CHECK_EQ(two.c_ospeed, 9600);
    CHECK_EQ(two.c_ispeed, 9600);
    two.c_cflag = (two.c_cflag & ~(uint32_t)CBAUD) | BOTHER;
    two.c_ospeed = two.c_ispeed = 12345;
    OK(ioctl(p.slave, TCSETSW2, &two));
    OK(ioctl(p.slave, TCGETS2, &two));
    CHECK_EQ(two.c_ospeed, 12345);
    OK(ioctl(p.slave, TCGETA, &old));
    CHECK_EQ(old.lflag, L_USUAL);
    old.lflag = ICANON;
    OK(ioctl(p.slave, TCSETAW, &old));
    OK(ioctl(p.slave, TCGETS, &b));
    CHECK_EQ(b.c_lflag, ICANON);
    FAILS(ioctl(p.slave, TCGETS, NULL), EFAULT);
    FAILS(ioctl(p.slave, TCSETS, NULL), EFAULT);
}

TEST(tty_requests)
{
    struct pair p = open_pair();
    struct winsize size = { 24, 80, 1, 2 }, got;
    int n, zero = 0, one = 1;
    char name[64], path[64];
    struct stat st, node;

    OK(ioctl(p.master, TIOCSWINSZ, &size));
    OK(ioctl(p.slave, TIOCGWINSZ, &got));
    CHECK(memcmp(&size, &got, sizeof got) == 0);
    OK(ioctl(p.master, TIOCGPTN, &n));
    snprintf(path, sizeof path, "/dev/pts/%d", n);
    CHECK_EQ(ttyname_r(p.slave, name, sizeof name), 0);
    CHECK(strcmp(name, path) == 0);
    OK(fstat(p.slave, &st));
    OK(stat(path, &node));
    CHECK(st.st_rdev == node.st_rdev && st.st_ino == node.st_ino && st.st_dev == node.st_dev);
    CHECK_EQ(st.st_rdev, 136 << 8 | n);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_uid, geteuid());
    FAILS(ioctl(p.slave, TIOCGPTN, &n), ENOTTY);
    FAILS(ioctl(p.slave, TIOCSPTLCK, &zero), ENOTTY);
    FAILS(ioctl(p.slave, TIOCPKT, &zero), ENOTTY);
    FAILS(ioctl(p.slave, TIOCSIG, SIGINT), ENOTTY);
    FAILS(ioctl(p.master, TIOCSIG, SIGTERM), EINVAL);
    FAILS(ioctl(p.slave, TIOCMGET, &n), ENOTTY);
    FAILS(ioctl(p.slave, 0x5499, &n), ENOTTY);
    OK(ioctl(p.slave, TIOCGETD, &n));
    CHECK_EQ(n, N_TTY);
    OK(ioctl(p.slave, TIOCSETD, &n));
    n = 9999;
    FAILS(ioctl(p.slave, TIOCSETD, &n), EINVAL);
    OK(ioctl(p.slave, TIOCEXCL));
    OK(ioctl(p.slave, TIOCGEXCL, &n));
    CHECK_EQ(n, 1);
    OK(ioctl(p.slave, TIOCNXCL));
    OK(ioctl(p.master, TIOCSPTLCK, &one));
    OK(ioctl(p.master, TIOCGPTLCK, &n));
    CHECK_EQ(n, 1);
    FAILS(open(path, O_RDWR | O_NOCTTY), EIO);
    OK(ioctl(p.master, TIOCSPTLCK, &zero));
    OK(close(OK(open(path, O_RDWR | O_NOCTTY))));
    FAILS(lseek(p.slave, 0, SEEK_SET), ESPIPE);
    FAILS(pread(p.slave, name, 1, 0), ESPIPE);
}

TEST(tty_names)
{
    struct pair p = open_pair();
    char number[16], path[64];
    bool found = false;
    int n;
    DIR *folder;

    OK(ioctl(p.master, TIOCGPTN, &n));
    snprintf(number, sizeof number, "%d", n);
    snprintf(path, sizeof path, "/dev/pts/%d", n);
    folder = opendir("/dev/pts");
    CHECK(folder != NULL);
    for (struct dirent *e = readdir(folder); e; e = readdir(folder))
        found |= strcmp(e->d_name, number) == 0 && e->d_type == DT_CHR;
    closedir(folder);
    CHECK(found);
    FAILS(open("/dev/pts/7777", O_RDWR), ENOENT);
    FAILS(open("/dev/pts/00", O_RDWR), ENOENT);
    FAILS(mkdir("/dev/pts/folder", 0755), EPERM);
    FAILS(open("/dev/pts/file", O_RDWR | O_CREAT, 0600), EACCES);
    FAILS(unlink(path), EPERM);
    OK(chmod(path, 0600));
    close(p.slave);
    OK(access(path, F_OK)); /* the master keeps it */
    close(p.master);
    FAILS(access(path, F_OK), ENOENT);
}

/* ---- readiness and the end ---- */

TEST(tty_poll)
{
    struct pair p = open_pair();
    struct pollfd fds[] = { { .fd = p.master, .events = POLLIN | POLLOUT },
                            { .fd = p.slave, .events = POLLIN | POLLOUT } };
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int epoll = OK(epoll_create1(0));
    char text[64];

    CHECK_EQ(poll(fds, 2, 0), 2);
    CHECK_EQ(fds[0].revents, POLLOUT);
    CHECK_EQ(fds[1].revents, POLLOUT);
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, p.slave, &event));
    type(p.master, "half");
    usleep(30000);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    type(p.master, "\n");
    CHECK_EQ(epoll_wait(epoll, &event, 1, 1000), 1);
    CHECK_EQ(event.events, EPOLLIN);
    CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0);
    CHECK_EQ(poll(fds, 2, 0), 2);
    CHECK_EQ(fds[0].revents, POLLIN | POLLOUT);
    CHECK_EQ(fds[1].revents, POLLIN | POLLOUT);
    CHECK_EQ(read_now(p.master, text, sizeof text), 6);
}

TEST(tty_slave_gone)
{
    struct pair p = open_pair();
    struct pollfd poll_master = { .fd = p.master, .events = POLLIN | POLLOUT };
    char text[64], path[64];
    int n;

    OK(ioctl(p.master, TIOCGPTN, &n));
    snprintf(path, sizeof path, "/dev/pts/%d", n);
    type(p.slave, "last");
    OK(close(p.slave));
    CHECK_EQ(poll(&poll_master, 1, 1000), 1);
    CHECK(poll_master.revents & POLLHUP);
    CHECK_EQ(read(p.master, text, sizeof text), 4);
    FAILS(read(p.master, text, sizeof text), EIO);
    /* It may come back. */
    p.slave = OK(open(path, O_RDWR | O_NOCTTY));
    CHECK_EQ(poll(&poll_master, 1, 0), 1);
    CHECK_EQ(poll_master.revents, POLLOUT);
    type(p.slave, "again");
    check_text(p.master, "again");
}

TEST(tty_master_gone)
{
    struct pair p = open_pair();
    struct pollfd poll_slave = { .fd = p.slave, .events = POLLIN };
    struct termios t;
    char text[64], path[64];
    int n;

    OK(ioctl(p.master, TIOCGPTN, &n));
    snprintf(path, sizeof path, "/dev/pts/%d", n);
    type(p.master, "line\n");
    OK(close(p.master));
    CHECK_EQ(poll(&poll_slave, 1, 0), 1);
    CHECK_EQ(poll_slave.revents, POLLIN | POLLERR | POLLHUP);
    CHECK_EQ(read(p.slave, text, sizeof text), 0);
    FAILS(write(p.slave, "x", 1), EIO);
    FAILS(ioctl(p.slave, TCGETS, &t), EIO);
    FAILS(open(path, O_RDWR | O_NOCTTY), ENOENT);
}

static void *read_blocked(void *arg)
{
    char text[16];
    ssize_t n = read(*(int *)arg, text, sizeof text);

    return (void *)(n < 0 ? -(long)errno : n);
}

TEST(tty_blocked_reader_sees_end)
{
    struct pair p = open_pair();
    pthread_t thread;
    void *result;

    ZERO(pthread_create(&thread, NULL, read_blocked, &p.slave));
    usleep(50000);
    OK(close(p.master));
    ZERO(pthread_join(thread, &result));
    CHECK_EQ((long)result, -EIO);
    p = open_pair();
    ZERO(pthread_create(&thread, NULL, read_blocked, &p.master));
    usleep(50000);
    OK(close(p.slave));
    ZERO(pthread_join(thread, &result));
    CHECK_EQ((long)result, -EIO);
}

static void on_alarm(int signo)
{
    (void)signo;
}

TEST(tty_interrupted)
{
    struct pair p = open_pair();
    struct sigaction action = { .sa_handler = on_alarm };
    char text[16];

    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(read(p.slave, text, sizeof text), EINTR);
}

TEST(tty_packet)
{
    struct pair p = open_pair();
    struct pollfd poll_master = { .fd = p.master, .events = POLLIN | POLLPRI };
    int on = 1;
    char text[64];

    OK(ioctl(p.master, TIOCPKT, &on));
    OK(ioctl(p.master, TIOCGPKT, &on));
    CHECK_EQ(on, 1);
    type(p.slave, "data");
    CHECK_EQ(poll(&poll_master, 1, 1000), 1);
    CHECK_EQ(read(p.master, text, sizeof text), 5);
    CHECK(memcmp(text, "\0data", 5) == 0);
    OK(ioctl(p.slave, TCFLSH, TCIOFLUSH));
    CHECK_EQ(poll(&poll_master, 1, 1000), 1);
    CHECK(poll_master.revents & POLLPRI);
    CHECK_EQ(read(p.master, text, sizeof text), 1);
    CHECK_EQ(text[0], TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
    OK(ioctl(p.slave, TCXONC, TCOOFF));
    CHECK_EQ(read(p.master, text, sizeof text), 1);
    CHECK_EQ(text[0], TIOCPKT_STOP);
    OK(ioctl(p.slave, TCXONC, TCOON));
    CHECK_EQ(read(p.master, text, sizeof text), 1);
    CHECK_EQ(text[0], TIOCPKT_START);
}

TEST(tty_not_mine)
{
    struct pair p = open_pair();
    int id;

    /* No session has it: nobody's terminal, so no group. */
    FAILS(ioctl(p.slave, TIOCGPGRP, &id), ENOTTY);
    FAILS(ioctl(p.slave, TIOCGSID, &id), ENOTTY);
    FAILS(ioctl(p.slave, TIOCNOTTY), ENOTTY);
    OK(ioctl(p.master, TIOCGPGRP, &id));
    CHECK_EQ(id, 0);
    FAILS(ioctl(p.master, TIOCGSID, &id), ENOTTY);
    id = getpgrp();
    FAILS(ioctl(p.slave, TIOCSPGRP, &id), ENOTTY);
    FAILS(ioctl(1000, TIOCGPGRP, &id), EBADF);
}
