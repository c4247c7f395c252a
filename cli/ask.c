/* SPDX-License-Identifier: Apache-2.0 */
/* Questions at the terminal, and secret text from files. Relying party side. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/remote.h"

#define SECRET_LINE_SIZE_MAX 4096u

bool ask_yes(const char *question)
{
    char answer[16] = "";

    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(answer, sizeof answer, stdin))
        return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

/* Up to the first line break. returns: bytes; -errno. */
static ssize_t read_line(int fd, char *text)
{
    size_t size = 0;

    while (size < SECRET_LINE_SIZE_MAX) {
        ssize_t got = read(fd, text + size, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0 || text[size] == '\n')
            break;
        size++;
    }
    if (size > 0 && text[size - 1] == '\r')
        size--;
    text[size] = 0;
    return size == SECRET_LINE_SIZE_MAX ? -E2BIG : (ssize_t)size;
}

static ssize_t read_terminal(const char *question, char *text)
{
    struct termios was, is;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    ssize_t size;

    if (fd < 0)
        return -ENOTTY;
    if (tcgetattr(fd, &was) < 0) {
        close(fd);
        return -ENOTTY;
    }
    is = was;
    is.c_lflag &= ~(tcflag_t)ECHO;
    dprintf(fd, "%s: ", question);
    tcsetattr(fd, TCSAFLUSH, &is);
    size = read_line(fd, text);
    tcsetattr(fd, TCSAFLUSH, &was);
    dprintf(fd, "\n");
    close(fd);
    return size;
}

int ask_secret(const char *file, const char *question, char **ret, struct err *err)
{
    char *text = calloc(1, SECRET_LINE_SIZE_MAX + 1);
    bool is_stdin = file && strcmp(file, "-") == 0;
    ssize_t size;
    int fd;

    if (!text)
        return err_set_errno(err, -ENOMEM, "%s", question);
    if (!file) {
        size = read_terminal(question, text);
    } else {
        fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
        size = fd < 0 ? -errno : read_line(fd, text);
        if (fd >= 0 && !is_stdin)
            close(fd);
    }
    if (size >= 0) {
        *ret = text;
        return 0;
    }
    ask_free(text);
    if (size == -ENOTTY)
        return err_set(err, -ENOTTY, "%s: there is no terminal to ask at; give a file", question);
    return err_set_errno(err, (int)size, "%s", file ? file : question);
}

void ask_free(char *text)
{
    if (!text)
        return;
    explicit_bzero(text, SECRET_LINE_SIZE_MAX + 1);
    free(text);
}
