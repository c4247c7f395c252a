/* SPDX-License-Identifier: Apache-2.0 */
/* See desk.h. Trusted; hosted. */
#include "tee/agent/server/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "tee/agent/server/wipe.h"

#define BACKLOG 32
#define HEAD_SIZE 256u
#define SECRET_PREFIX "/v1/secrets/"
#define WAIT_PATH "/v1/wait"

int desk_open(struct desk *d, const char *path, uint32_t uid, uint32_t gid)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++)
        d->clients[i].fd = -1;
    d->uid = uid;
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0)
        return -errno;
    unlink(path);
    if (bind(d->fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
        chown(path, uid, gid) < 0 || listen(d->fd, BACKLOG) < 0) {
        int error = errno;

        close(d->fd);
        d->fd = -1;
        return -error;
    }
    return 0;
}

/* ---- answers ---- */

static void client_close(struct desk_client *c)
{
    close(c->fd);
    wipe_free(c->out);
    *c = (struct desk_client){ .fd = -1 };
}

static void answer_set(struct desk_client *c, unsigned status, const char *reason,
                       const char *headers, const void *body, size_t size)
{
    char *out = malloc(HEAD_SIZE + size);
    int head;

    if (!out)
        return;
    head = snprintf(out, HEAD_SIZE,
                    "HTTP/1.1 %u %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status,
                    reason, size, headers);
    if (head < 0 || head >= (int)HEAD_SIZE) {
        wipe_free(out);
        return;
    }
    memcpy(out + head, body, size);
    c->out = out;
    c->out_size = (size_t)head + size;
    c->is_waiting = false;
}

static void answer_text(struct desk_client *c, const char *text)
{
    if (text)
        answer_set(c, 200, "OK", "", text, strlen(text));
    else
        answer_set(c, 410, "Gone", "", "", 0);
}

static void answer_none(struct desk_client *c)
{
    answer_set(c, 404, "Not Found", "", "", 0);
}

static void answer_secret(const struct desk *d, struct desk_client *c, const char *name)
{
    char header[SECRET_VERSION_SIZE + 32];
    const struct secret *s;

    if (!d->stock.secrets) {
        answer_text(c, NULL);
        return;
    }
    s = secret_list_find(d->stock.secrets, name, SECRET_SOCKET);
    if (!s) {
        answer_none(c);
        return;
    }
    snprintf(header, sizeof header, "Cloche-Version: %s\r\n", s->version);
    for (char *h = header; *h; h++) /* one line, whatever the version holds */
        if ((unsigned char)*h < ' ' && strcmp(h, "\r\n") != 0 && strcmp(h, "\n") != 0)
            *h = ' ';
    answer_set(c, 200, "OK", header, s->value, s->size);
}

static void answer_generation(const struct desk *d, struct desk_client *c)
{
    char text[64];

    snprintf(text, sizeof text, "{\"generation\":%llu}\n", (unsigned long long)d->stock.generation);
    answer_text(c, text);
}

static void answer_identity(const struct desk *d, struct desk_client *c)
{
    const struct answer *a = d->stock.answer;
    json_t *top =
        a ? json_pack("{s:s,s:s,s:I,s:I,s:I}", "instance", a->instance, "spiffe_id", a->spiffe_id,
                      "fence", (json_int_t)a->fence, "lease_until", (json_int_t)a->terms.until_s,
                      "generation", (json_int_t)d->stock.generation)
          : NULL;
    char *text = top ? json_dumps(top, JSON_COMPACT) : NULL;

    answer_text(c, text);
    wipe_free(text);
    json_decref(top);
}

/* "/v1/wait?after=N": at once when there is something newer. */
static void start_wait(const struct desk *d, struct desk_client *c, const char *query)
{
    static const char after[] = "?after=";
    char *end = NULL;

    if (strncmp(query, after, sizeof after - 1) != 0 || query[sizeof after - 1] < '0' ||
        query[sizeof after - 1] > '9') {
        answer_none(c);
        return;
    }
    c->wait_after = strtoull(query + sizeof after - 1, &end, 10);
    if (*end)
        answer_none(c);
    else if (d->stock.generation > c->wait_after)
        answer_generation(d, c);
    else
        c->is_waiting = true;
}

static void answer_path(const struct desk *d, struct desk_client *c, const char *path)
{
    const struct answer *a = d->stock.answer;

    if (strncmp(path, SECRET_PREFIX, sizeof SECRET_PREFIX - 1) == 0)
        answer_secret(d, c, path + sizeof SECRET_PREFIX - 1);
    else if (strcmp(path, "/v1/certificate") == 0)
        answer_text(c, a ? a->certificates : NULL);
    else if (strcmp(path, "/v1/key") == 0)
        answer_text(c, d->stock.key_pem);
    else if (strcmp(path, "/v1/roots") == 0)
        answer_text(c, a ? a->roots : NULL);
    else if (strcmp(path, "/v1/result") == 0)
        answer_text(c, a ? a->result : NULL);
    else if (strcmp(path, "/v1/identity") == 0)
        answer_identity(d, c);
    else if (strncmp(path, WAIT_PATH, sizeof WAIT_PATH - 1) == 0)
        start_wait(d, c, path + sizeof WAIT_PATH - 1);
    else
        answer_none(c);
}

/* The whole head is there: "GET /path HTTP/1.1" and fields that are of no account. */
static void request_take(const struct desk *d, struct desk_client *c)
{
    char *space, *path = c->request + 4;

    if (strncmp(c->request, "GET /", 5) != 0 || !(space = strchr(path, ' ')) ||
        strncmp(space, " HTTP/1.", 8) != 0) {
        answer_set(c, 400, "Bad Request", "", "", 0);
        return;
    }
    *space = 0;
    answer_path(d, c, path);
}

/* ---- connections ---- */

static bool may_ask(const struct desk *d, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == d->uid);
}

static void accept_client(struct desk *d)
{
    int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (unsigned i = 0; i < DESK_CLIENTS_MAX && may_ask(d, fd); i++)
        if (d->clients[i].fd < 0) {
            d->clients[i] = (struct desk_client){ .fd = fd };
            return;
        }
    close(fd);
}

static void client_write(struct desk_client *c)
{
    ssize_t n = send(c->fd, c->out + c->out_off, c->out_size - c->out_off, MSG_NOSIGNAL);

    if (n > 0)
        c->out_off += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || c->out_off == c->out_size)
        client_close(c);
}

static void client_read(const struct desk *d, struct desk_client *c)
{
    size_t room = sizeof c->request - 1 - c->request_size;
    ssize_t n = recv(c->fd, c->request + c->request_size, room, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || c->is_waiting) { /* gone; or it talks while it waits */
        client_close(c);
        return;
    }
    c->request_size += (size_t)n;
    c->request[c->request_size] = 0;
    if (strlen(c->request) != c->request_size) {
        client_close(c);
        return;
    }
    if (strstr(c->request, "\r\n\r\n") || strstr(c->request, "\n\n"))
        request_take(d, c);
    else if (c->request_size == sizeof c->request - 1)
        answer_set(c, 431, "Request Header Fields Too Large", "", "", 0);
    if (c->out)
        client_write(c);
}

void desk_stock_set(struct desk *d, const struct desk_stock *stock)
{
    d->stock = *stock;
    for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++)
        if (d->clients[i].fd >= 0 && d->clients[i].is_waiting &&
            stock->generation > d->clients[i].wait_after)
            answer_generation(d, &d->clients[i]);
}

void desk_fds(const struct desk *d, struct pollfd fds[DESK_FDS_MAX])
{
    fds[0] = (struct pollfd){ .fd = d->fd, .events = POLLIN };
    for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++)
        fds[1 + i] = (struct pollfd){ .fd = d->clients[i].fd,
                                      .events = d->clients[i].out ? POLLOUT : POLLIN };
}

void desk_serve(struct desk *d, const struct pollfd fds[DESK_FDS_MAX])
{
    for (unsigned i = 0; i < DESK_CLIENTS_MAX; i++) {
        struct desk_client *c = &d->clients[i];

        if (!fds[1 + i].revents || c->fd != fds[1 + i].fd || c->fd < 0)
            continue;
        if (c->out)
            client_write(c);
        else
            client_read(d, c);
    }
    if (fds[0].revents)
        accept_client(d);
}
