/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: its socket, its connections and their time limits, its start and end. Relying party. */
#include "server/api/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/api/events.h"
#include "server/api/rate.h"
#include "server/api/request.h"
#include "server/config.h"

#define IO_THREADS 2u
#define BACKLOG 1024
#define CLOCK_TICK_MS 250

int64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- connections ---- */

static void connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                              enum MHD_ConnectionNotificationCode code)
{
    struct http *http = cls;
    struct connection *c = *socket_context;

    pthread_mutex_lock(&http->connections_lock);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = calloc(1, sizeof *c);
        if (c) {
            c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
            c->deadline_ms = clock_ms() + http->timeout_ms;
            c->next = http->connections;
            c->link = &http->connections;
            if (c->next)
                c->next->link = &c->next;
            http->connections = c;
            http->connection_count++;
        }
        *socket_context = c;
    } else if (c) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        http->connection_count--;
        free(c);
        *socket_context = NULL;
    }
    pthread_mutex_unlock(&http->connections_lock);
}

/* Their sockets stay theirs: a read or write that ends them is what their thread sees. */
static void connections_check(struct http *http, int64_t now_ms)
{
    pthread_mutex_lock(&http->connections_lock);
    for (struct connection *c = http->connections; c; c = c->next)
        if (c->deadline_ms && now_ms > c->deadline_ms) {
            c->deadline_ms = 0;
            http->timeouts++;
            shutdown(c->fd, SHUT_RDWR);
        }
    pthread_mutex_unlock(&http->connections_lock);
}

static void *clock_run(void *arg)
{
    struct http *http = arg;

    while (!http->is_stopping) {
        int64_t now_ms;

        nanosleep(&(struct timespec){ .tv_nsec = CLOCK_TICK_MS * 1000000l }, NULL);
        now_ms = clock_ms();
        connections_check(http, now_ms);
        workers_parked_check(http->workers, now_ms, false);
        if (http->tls)
            http_tls_renew(http->tls, server_now_s(http->server));
    }
    return NULL;
}

/* ---- the socket ---- */

static int listen_unix(struct http *http, const char *path, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    mode_t mask;
    int rc;

    if (!path[0] || strlen(path) >= sizeof address.sun_path)
        return err_set(err, -EINVAL, "listen: a path of 1 to %zu bytes is expected after unix:",
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    http->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (http->listen_fd < 0)
        return err_set_errno(err, -errno, "socket");
    if (connect(http->listen_fd, (struct sockaddr *)&address, sizeof address) == 0)
        return err_set(err, -EADDRINUSE, "another server answers at %s", path);
    if (errno == ECONNREFUSED)
        unlink(path); /* of a server that has ended */
    mask = umask(0177);
    rc = bind(http->listen_fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(mask);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot bind to %s", path);
    snprintf(http->unix_path, sizeof http->unix_path, "%s", path);
    snprintf(http->address, sizeof http->address, "unix:%s", path);
    return 0;
}

/* "host:port" or "[host]:port" into two texts. */
static int listen_split(const char *text, char host[128], char port[8], struct err *err)
{
    const char *colon = strrchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : 0;

    if (colon && text[0] == '[' && host_len > 2 && text[host_len - 1] == ']') {
        text++;
        host_len -= 2;
    } else if (colon && memchr(text, ':', host_len)) {
        colon = NULL; /* an IPv6 address without brackets */
    }
    if (!colon || host_len == 0 || host_len >= 128 || strlen(colon + 1) == 0 ||
        strlen(colon + 1) > 5 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return err_set(err, -EINVAL,
                       "listen: ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH is expected, not %s",
                       text);
    memcpy(host, text, host_len);
    host[host_len] = 0;
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

static int listen_tcp(struct http *http, const char *text, struct err *err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound = { 0 };
    socklen_t size = sizeof bound;
    char host[128], port[8];
    int on = 1, rc = listen_split(text, host, port, err);

    if (rc < 0)
        return rc;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return err_set(err, -EINVAL, "listen: %s is not an address", host);
    http->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (http->listen_fd < 0 ||
        setsockopt(http->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(http->listen_fd, found->ai_addr, found->ai_addrlen) < 0 ||
        getsockname(http->listen_fd, (struct sockaddr *)&bound, &size) < 0)
        rc = err_set_errno(err, -errno, "cannot listen at %s", text);
    freeaddrinfo(found);
    if (rc < 0)
        return rc;
    snprintf(http->address, sizeof http->address, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
             ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                               : ((struct sockaddr_in *)&bound)->sin_port));
    return 0;
}

static int listen_open(struct http *http, struct err *err)
{
    const char *text = http->server->config->listen;
    int rc = strncmp(text, "unix:", 5) == 0 ? listen_unix(http, text + 5, err)
                                            : listen_tcp(http, text, err);

    if (rc == 0 && listen(http->listen_fd, BACKLOG) < 0)
        rc = err_set_errno(err, -errno, "cannot listen at %s", text);
    return rc;
}

/* ---- start and end ---- */

/* A descriptor per connection, and some for the store. */
static void descriptors_raise(unsigned connections)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < connections + 256u) {
        limit.rlim_cur = limit.rlim_max < connections + 256u ? limit.rlim_max : connections + 256u;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What goes wrong within a connection is the client's matter, not the log's. */
static void mhd_log(void *cls, const char *format, va_list args)
{
}

static int daemon_start(struct http *http, struct err *err)
{
    const struct server_config *config = http->server->config;
    unsigned connections =
        config->connections_max ? config->connections_max : HTTP_CONNECTIONS_DEFAULT;
    struct MHD_OptionItem options[12] = { { 0 } };
    unsigned count = 0;
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;

    descriptors_raise(connections);
#define OPTION(name, number, data)                                                                 \
    options[count++] = (struct MHD_OptionItem)                                                     \
    {                                                                                              \
        name, number, data                                                                         \
    }
    if (http->tls) {
        flags |= MHD_USE_TLS;
        OPTION(MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3");
        OPTION(MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, http_tls_callback());
    }
    OPTION(MHD_OPTION_END, 0, NULL);
#undef OPTION
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_handle, http, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, http->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, IO_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        config->connections_per_address, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_HEAD_SIZE_MAX, MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)1024,
        MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, request_begin, http, MHD_OPTION_NOTIFY_COMPLETED, request_end,
        http, MHD_OPTION_NOTIFY_CONNECTION, connection_notify, http, MHD_OPTION_ARRAY, options,
        MHD_OPTION_END);
    return http->daemon ? 0 : err_set(err, -EIO, "the HTTP server did not start");
}

void http_free(struct http *http)
{
    if (!http)
        return;
    http->server->http = NULL;
    workers_free(http->workers);
    if (http->listen_fd >= 0)
        close(http->listen_fd);
    if (http->unix_path[0])
        unlink(http->unix_path);
    http_tls_free(http->tls);
    rate_free(http->rate);
    pthread_mutex_destroy(&http->connections_lock);
    free(http);
}

int http_start(struct server *server, struct http **ret, struct err *err)
{
    const struct server_config *config = server->config;
    struct http *http = calloc(1, sizeof *http);
    int rc;

    if (!http)
        return -ENOMEM;
    http->server = server;
    http->listen_fd = -1;
    http->timeout_ms =
        1000 * (config->request_timeout_s ? config->request_timeout_s : HTTP_TIMEOUT_DEFAULT_S);
    pthread_mutex_init(&http->connections_lock, NULL);
    rc = rate_new(&http->rate);
    if (rc == 0)
        rc = listen_open(http, err);
    if (rc == 0 && !config->plain_http)
        rc = http_tls_new(server, &http->tls, err);
    if (rc == 0)
        rc = workers_start(http, config->thread_count ? config->thread_count : HTTP_THREADS_DEFAULT,
                           &http->workers, err);
    if (rc == 0) {
        server->http = http;
        rc = daemon_start(http, err);
    }
    if (rc == 0) {
        rc = -pthread_create(&http->clock, NULL, clock_run, http);
        http->has_clock = rc == 0;
    }
    if (rc < 0) {
        http_stop(http, 0);
        http_free(http);
        return err_wrap(err, rc, "HTTP");
    }
    *ret = http;
    return 0;
}

/* Those whose request never came whole. */
static void connections_cut(struct http *http)
{
    pthread_mutex_lock(&http->connections_lock);
    for (struct connection *c = http->connections; c; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->connections_lock);
}

void http_stop(struct http *http, unsigned grace_ms)
{
    int64_t until_ms = clock_ms() + grace_ms;

    if (!http)
        return;
    http->is_stopping = true;
    if (http->has_clock)
        pthread_join(http->clock, NULL);
    if (http->daemon && MHD_quiesce_daemon(http->daemon) >= 0 && http->listen_fd >= 0) {
        close(http->listen_fd);
        http->listen_fd = -1;
    }
    while (http->workers && http->active_count > 0 && clock_ms() < until_ms) {
        workers_parked_check(http->workers, 0, true);
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000000l }, NULL);
    }
    workers_stop(http->workers);
    events_streams_close(http->server->events);
    connections_cut(http);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
}

int http_certificate_reload(struct http *http, struct err *err)
{
    return http->tls ? http_tls_reload(http->tls, err) : 0;
}

const char *http_address(const struct http *http)
{
    return http->address;
}

void http_figures_get(struct http *http, struct http_figures *ret)
{
    ret->connections = http->connection_count;
    ret->requests_active = http->active_count;
    ret->timeouts = http->timeouts;
    workers_figures(http->workers, &ret->requests_queued, &ret->requests_parked);
}
