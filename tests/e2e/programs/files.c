/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does to files what the arguments say, one line of answer each, in one process; for test_tsm.py.
 *
 *     mkdir PATH   rmdir PATH   unlink PATH   list PATH   mode PATH   create PATH   rename PATH PATH   uid NUMBER
 *     read PATH          all of it, in hexadecimal          write PATH HEX     by one write, then close
 *     open N PATH FLAGS  as descriptor N; FLAGS: r, w, rw
 *     put N HEX          a write                            get N SIZE         a read
 *     seek N OFF         close N                            time PATH          microseconds that reading took
 *
 * A failure is "error NUMBER".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_READ (2u << 20)
#define DESCRIPTOR_COUNT 16

static unsigned char g_bytes[SIZE_MAX_READ];
static int g_descriptors[DESCRIPTOR_COUNT];

static void answer(long rc)
{
    if (rc < 0)
        printf("error %d\n", errno);
    else
        printf("%ld\n", rc);
}

static void show(long size)
{
    if (size < 0) {
        printf("error %d\n", errno);
        return;
    }
    for (long i = 0; i < size; i++)
        printf("%02x", g_bytes[i]);
    printf("\n");
}

static size_t parse_hex(const char *text)
{
    size_t size = 0;
    unsigned value;

    for (; size < sizeof g_bytes && sscanf(text + 2 * size, "%2x", &value) == 1; size++)
        g_bytes[size] = (unsigned char)value;
    return size;
}

static long read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long size = 0, rc = fd;

    while (rc > 0 || (rc == 0 && fd == 0)) {
        rc = read(fd, g_bytes + size, sizeof g_bytes - (size_t)size);
        size += rc > 0 ? rc : 0;
        if (rc == 0)
            break;
    }
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return rc < 0 ? -1 : size;
}

static long write_whole(const char *path, const char *hex)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    long rc = fd < 0 ? -1 : write(fd, g_bytes, parse_hex(hex));
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return rc;
}

static void list(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d) {
        answer(-1);
        return;
    }
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            printf("%s ", e->d_name);
    printf("\n");
    closedir(d);
}

static void mode(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        answer(-1);
    else
        printf("%o %u %ld\n", st.st_mode, st.st_uid, (long)st.st_size);
}

static void take_time(const char *path)
{
    struct timespec from, to;

    clock_gettime(CLOCK_MONOTONIC, &from);
    if (read_whole(path) < 0) {
        answer(-1);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    answer((to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000);
}

static int *descriptor(const char *number)
{
    return &g_descriptors[strtoul(number, NULL, 10) % DESCRIPTOR_COUNT];
}

static void open_at(const char *number, const char *path, const char *flags)
{
    int how = flags[0] == 'w' ? O_WRONLY : flags[1] == 'w' ? O_RDWR : O_RDONLY;
    int fd = open(path, how | O_CLOEXEC);

    *descriptor(number) = fd;
    answer(fd < 0 ? -1 : 0);
}

/* returns: how many words were taken; 0: none is known. */
static int perform(char **w)
{
    if (strcmp(w[0], "mkdir") == 0)
        answer(mkdir(w[1], 0755));
    else if (strcmp(w[0], "rmdir") == 0)
        answer(rmdir(w[1]));
    else if (strcmp(w[0], "unlink") == 0)
        answer(unlink(w[1]));
    else if (strcmp(w[0], "uid") == 0)
        answer(seteuid((uid_t)strtoul(w[1], NULL, 10)));
    else if (strcmp(w[0], "create") == 0)
        answer(open(w[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0 ? -1 : 0);
    else if (strcmp(w[0], "list") == 0)
        list(w[1]);
    else if (strcmp(w[0], "mode") == 0)
        mode(w[1]);
    else if (strcmp(w[0], "read") == 0)
        show(read_whole(w[1]));
    else if (strcmp(w[0], "time") == 0)
        take_time(w[1]);
    else if (strcmp(w[0], "close") == 0)
        answer(close(*descriptor(w[1])));
    else
        return 0;
    return 2;
}

static int perform_long(char **w)
{
    if (strcmp(w[0], "write") == 0)
        answer(write_whole(w[1], w[2]));
    else if (strcmp(w[0], "rename") == 0)
        answer(rename(w[1], w[2]));
    else if (strcmp(w[0], "put") == 0)
        answer(write(*descriptor(w[1]), g_bytes, parse_hex(w[2])));
    else if (strcmp(w[0], "get") == 0)
        show(read(*descriptor(w[1]), g_bytes, strtoul(w[2], NULL, 10)));
    else if (strcmp(w[0], "seek") == 0)
        answer(lseek(*descriptor(w[1]), strtol(w[2], NULL, 10), SEEK_SET));
    else
        return 0;
    return 3;
}

int main(int argc, char **argv)
{
    for (int i = 1, n; i + 1 < argc; i += n) {
        n = perform(argv + i);
        if (n == 0 && i + 2 < argc)
            n = perform_long(argv + i);
        if (n == 0 && i + 3 < argc && strcmp(argv[i], "open") == 0) {
            open_at(argv[i + 1], argv[i + 2], argv[i + 3]);
            n = 4;
        }
        if (n == 0)
            return 2;
    }
    return 0;
}
