/* SPDX-License-Identifier: Apache-2.0 */
/* readfile FILE [BLOCK]: reads the file once, BLOCK bytes (65536) at a time; prints "readfile MB/s". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    size_t block = argc > 2 ? strtoul(argv[2], NULL, 10) : 65536;
    char *buf = malloc(block);
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    double start, total = 0;
    ssize_t n;

    if (buf == NULL || fd < 0) {
        perror(argc > 1 ? argv[1] : "usage: readfile FILE [BLOCK]");
        return 1;
    }
    for (size_t i = 0; i < block; i += 4096)
        buf[i] = 1;
    start = now_s();
    while ((n = read(fd, buf, block)) > 0)
        total += (double)n;
    if (n < 0) {
        perror("read");
        return 1;
    }
    printf("readfile %.1f\n", total / 1e6 / (now_s() - start));
    return 0;
}
