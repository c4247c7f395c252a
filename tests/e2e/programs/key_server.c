/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that uses its key: a TLS server with the certificate and key that the agent gave it. Prints "ready" and its port; each connection is one handshake, so one signature, and "ok". On stdin:
 * ignore SIGNAL.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define FOLDER "/run/cloche/tls/"

static void serve(SSL_CTX *context, int fd)
{
    struct timeval limit = { .tv_sec = 5 };
    SSL *tls = SSL_new(context);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (tls && SSL_set_fd(tls, fd) == 1 && SSL_accept(tls) == 1 && SSL_write(tls, "ok", 2) == 2)
        SSL_shutdown(tls);
    SSL_free(tls);
    close(fd);
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 64) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        exit(98);
    printf("ready\n%u\n", ntohs(address.sin_port));
    return fd;
}

/* returns: false at its end. */
static bool take_command(void)
{
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

    if (n <= 0)
        return false;
    line[n] = 0;
    if (strncmp(line, "ignore ", 7) == 0) {
        signal((int)strtol(line + 7, NULL, 10), SIG_IGN);
        puts("ok");
    }
    return true;
}

int main(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (!context || SSL_CTX_use_certificate_chain_file(context, FOLDER "cert.pem") != 1 ||
        SSL_CTX_use_PrivateKey_file(context, FOLDER "key.pem", SSL_FILETYPE_PEM) != 1)
        return 97;
    SSL_CTX_set_num_tickets(context, 0);
    fds[1].fd = listen_anywhere();
    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if ((fds[0].revents & (POLLIN | POLLHUP)) && !take_command())
            return 0;
        if (fds[1].revents & POLLIN)
            serve(context, accept(fds[1].fd, NULL, NULL));
    }
}
