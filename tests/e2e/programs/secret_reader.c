/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that tells its tester what an agent gave it: one command a line on stdin, one line of answer on stdout. Bytes are hexadecimal.
 *
 *     cat PATH | stat PATH | size PATH | hold PATH, then held: what the file holds that was opened then | env NAME | ask PATH (of the agent's socket) | trap SIGNAL | ignore SIGNAL | user UID | exit STATUS
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "/run/cloche/agent.sock"

static int g_held = -1;

static void on_signal(int signo)
{
    char text[] = "signal 00\n";

    text[7] = (char)('0' + signo / 10);
    text[8] = (char)('0' + signo % 10);
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(99);
}

/* Everything that the descriptor gives. */
static void print_all(int fd)
{
    unsigned char bytes[4096];
    ssize_t n;

    if (fd < 0) {
        printf("error %d\n", errno);
        return;
    }
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++)
            printf("%02x", bytes[i]);
    putchar('\n');
    close(fd);
}

static int ask(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char text[512];
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: agent\r\n\r\n", path);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        write(fd, text, (size_t)size) != size)
        return -1;
    return fd;
}

static void print_stat(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        printf("error %d\n", errno);
    else
        printf("%o %u %u\n", st.st_mode, st.st_uid, st.st_gid);
}

static void print_env(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        puts("none");
        return;
    }
    for (; *value; value++)
        printf("%02x", (unsigned char)*value);
    putchar('\n');
}

static int number(const char *word)
{
    return (int)strtol(word, NULL, 10);
}

static void do_command(const char *command, const char *word)
{
    if (strcmp(command, "cat") == 0) {
        print_all(open(word, O_RDONLY));
    } else if (strcmp(command, "stat") == 0) {
        print_stat(word);
    } else if (strcmp(command, "size") == 0) {
        struct stat st = { 0 };

        printf("%lld\n", stat(word, &st) < 0 ? -1ll : (long long)st.st_size);
    } else if (strcmp(command, "hold") == 0) {
        g_held = open(word, O_RDONLY);
        puts(g_held < 0 ? "error" : "ok");
    } else if (strcmp(command, "held") == 0) {
        print_all(g_held);
    } else if (strcmp(command, "env") == 0) {
        print_env(word);
    } else if (strcmp(command, "ask") == 0) {
        print_all(ask(word));
    } else if (strcmp(command, "trap") == 0 || strcmp(command, "ignore") == 0) {
        signal(number(word), command[0] == 't' ? on_signal : SIG_IGN);
        puts("ok");
    } else if (strcmp(command, "user") == 0) {
        printf("%d\n", setuid((uid_t)number(word)));
    } else if (strcmp(command, "exit") == 0) {
        exit(number(word));
    } else {
        puts("what?");
    }
}

int main(void)
{
    char line[1024];

    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    for (;;) {
        char command[16] = "", word[900] = "";

        if (!fgets(line, sizeof line, stdin)) {
            if (feof(stdin))
                return 0;
            clearerr(stdin); /* a signal */
            continue;
        }
        if (sscanf(line, "%15s %899s", command, word) >= 1)
            do_command(command, word);
    }
}
