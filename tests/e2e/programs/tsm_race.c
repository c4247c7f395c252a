/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that make, use and remove the same few entries of configfs-tsm at once; for test_tsm.py. Each has its own opinion about who is there,
 * so most calls fail; none may fail in a way that Linux would not, and evidence must be over a nonce that somebody wrote.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE "/sys/kernel/config/tsm/report/"
#define THREADS 4
#define ROUNDS 300
#define NAMES 3
#define REPORT_DATA_OFF (48 + 320)

static int g_quotes; /* atomic */

static void fail(const char *what, int error)
{
    printf("%s: errno %d\n", what, error);
    exit(1);
}

static void expect(const char *what, long rc, int a, int b, int c)
{
    if (rc < 0 && errno != a && errno != b && errno != c)
        fail(what, errno);
}

static int attribute_open(int name, const char *attribute, int flags)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, TREE "r%d/%s", name, attribute);
    fd = open(path, flags | O_CLOEXEC);
    expect(attribute, fd, ENOENT, ENOENT, ENOENT);
    return fd;
}

static void entry_write(int name, int fill)
{
    unsigned char nonce[64];
    int fd = attribute_open(name, "inblob", O_WRONLY);

    memset(nonce, fill, sizeof nonce);
    if (fd < 0)
        return;
    expect("write", write(fd, nonce, sizeof nonce), 0, 0, 0);
    close(fd);
}

static void entry_read(int name)
{
    unsigned char quote[16384];
    int fd = attribute_open(name, "outblob", O_RDONLY);
    long size;

    if (fd < 0)
        return;
    size = read(fd, quote, sizeof quote);
    expect("read", size, ENOENT, EINVAL, EINVAL);
    for (int i = 1; size >= 0 && i < 64; i++)
        if (quote[REPORT_DATA_OFF + i] != quote[REPORT_DATA_OFF] || quote[REPORT_DATA_OFF] == 0)
            fail("a nonce that nobody wrote", i);
    if (size >= 0)
        __atomic_fetch_add(&g_quotes, 1, __ATOMIC_RELAXED);
    close(fd);
}

static void *work(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg * 7919u + 1;
    char path[64];

    for (int i = 0; i < ROUNDS; i++) {
        int name = (int)((seed >> 16) % NAMES);

        seed = seed * 1103515245u + 12345u;
        snprintf(path, sizeof path, TREE "r%d", name);
        switch (seed >> 28) {
        case 0:
        case 1:
            expect("rmdir", rmdir(path), ENOENT, ENOENT, ENOENT);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            expect("mkdir", mkdir(path, 0755), EEXIST, EEXIST, EEXIST);
            break;
        case 6:
        case 7:
        case 8:
        case 9:
        case 10:
            entry_write(name, (int)(seed >> 20 & 0xff) | 1);
            break;
        default:
            entry_read(name);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0)
            return 2;
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* The last word: all still works. */
    for (int i = 0; i < NAMES; i++) {
        char path[64];

        snprintf(path, sizeof path, TREE "r%d", i);
        rmdir(path);
        if (mkdir(path, 0755) < 0)
            fail("mkdir at the end", errno);
        entry_write(i, 0x41);
        entry_read(i);
        if (rmdir(path) < 0)
            fail("rmdir at the end", errno);
    }
    printf("done %s\n", g_quotes >= NAMES ? "with quotes" : "without quotes");
    return 0;
}
