/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche node run`: starts, watches and stops what the server places on this node. Relying party side. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/sysinfo.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "cli/file.h"
#include "cli/node.h"
#include "cli/node_attest.h"
#include "cli/node_instance.h"
#include "cli/node_link.h"
#include "cli/node_store.h"
#include "host/quote/quote.h"
#include "host/sgx/backend.h"

#define PATH_SIZE 4096u
#define TIDY_MS 60000
#define FLUSH_MS 5000u
#define STOP_GRACE_S 15u /* when the node's program itself is to end */

const struct cli_option node_run_options[] = {
    { "folder", "FOLDER",
      "of the node's files; else /var/lib/cloche/node of root, ~/.local/share/cloche/node", false },
    { "quote-socket", "PATH",
      "of the quoting service; else CLOCHE_QUOTE_SOCKET, else the machine's", false },
    { "collateral", "FOLDER", "to staple to evidence; else CLOCHE_COLLATERAL", false },
    { "location", "TEXT", "where this node is: its claim", false },
    { "instances", "COUNT", "how many it takes; 16", false },
    { "images-size", "MIB", "what pulled images may take, in MiB; 20480", false },
    { "keep", NULL, "when this program is told to end, instances run on until it is started again",
      false },
};
const unsigned node_run_option_count = ARRAY_COUNT(node_run_options);

struct node {
    const struct cli_call *call;
    struct node_options options;
    struct node_link *link;
    struct node_attest *attest;
    json_t *config, *heartbeat;
    struct node_instance instances[NODE_INSTANCES_MAX];
    unsigned count;
    int signals, events;
    int64_t tidy_ms; /* when to tidy up again */
    bool is_ending;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- reports ---- */

static void report(struct node *n, struct node_instance *i)
{
    static const char *const words[] = {
        [NODE_RUNNING] = "running", [NODE_EXITED] = "exited", [NODE_FAILED] = "failed"
    };
    json_t *r = json_pack("{s:s,s:s}", "id", i->id, "process", words[i->process]);

    if (i->process == NODE_EXITED && i->exit_status >= 0)
        json_object_set_new(r, "exit_status", json_integer(i->exit_status));
    if (i->process != NODE_RUNNING && i->reason[0])
        json_object_set_new(r, "reason", json_string(i->reason));
    node_link_report(n->link, r);
    fprintf(stderr, "cloche node: %s %s", i->id, words[i->process]);
    if (i->process == NODE_EXITED && i->exit_status >= 0)
        fprintf(stderr, ", status %d", i->exit_status);
    fprintf(stderr, "%s%s\n", i->process != NODE_RUNNING && i->reason[0] ? ": " : "",
            i->process != NODE_RUNNING ? i->reason : "");
}

/* ---- work ---- */

static struct node_instance *find(struct node *n, const char *id)
{
    for (unsigned i = 0; i < n->count; i++)
        if (strcmp(n->instances[i].id, id) == 0)
            return &n->instances[i];
    return NULL;
}

/* An instance that this node should have and has not: its files are gone. */
static void report_lost(struct node *n, const char *id)
{
    struct node_instance lost = { .process = NODE_EXITED, .exit_status = -1, .pidfd = -1 };

    snprintf(lost.id, sizeof lost.id, "%.31s", id);
    snprintf(lost.reason, sizeof lost.reason, "the node does not run it");
    report(n, &lost);
}

static void start(struct node *n, const char *id, const json_t *item)
{
    const char *place = json_string_value(json_object_get(item, "image"));
    const char *digest = json_string_value(json_object_get(item, "app_digest"));
    const char *state = json_string_value(json_object_get(item, "state"));
    struct node_instance *i;

    if (state && strcmp(state, "requested") != 0 && strcmp(state, "starting") != 0) {
        report_lost(n, id);
        return;
    }
    if (n->count == NODE_INSTANCES_MAX || n->is_ending)
        return;
    i = &n->instances[n->count++];
    if (place && digest) {
        if (node_instance_start(&n->options, id, place, digest, i) < 0)
            snprintf(i->id, sizeof i->id, "%.31s", id);
    } else {
        *i = (struct node_instance){
            .process = NODE_FAILED, .pidfd = -1, .exit_status = -1, .is_named = true
        };
        snprintf(i->id, sizeof i->id, "%.31s", id);
        snprintf(i->reason, sizeof i->reason,
                 "the build does not say where its image is: `cloche build push --image PLACE`");
    }
    report(n, i);
}

static void take_item(struct node *n, const json_t *item)
{
    const char *id = json_string_value(json_object_get(item, "id"));
    const char *wanted = json_string_value(json_object_get(item, "wanted"));
    struct node_instance *i;
    bool is_stop;

    if (!id || !wanted || strlen(id) >= sizeof i->id)
        return;
    is_stop = strcmp(wanted, "stop") == 0;
    i = find(n, id);
    if (i) {
        i->is_named = true;
        if (is_stop)
            node_instance_stop(
                i, (unsigned)MAX(json_integer_value(json_object_get(item, "grace_s")), 0),
                now_ms());
    } else if (is_stop) {
        report_lost(n, id);
    } else {
        start(n, id, item);
    }
}

/* What the server does not name any more is over: what runs is stopped, what has ended is forgotten. */
static void sweep(struct node *n)
{
    for (unsigned i = n->count; i-- > 0;) {
        struct node_instance *instance = &n->instances[i];

        if (instance->is_named)
            continue;
        if (instance->process == NODE_RUNNING) {
            node_instance_stop(instance, STOP_GRACE_S, now_ms());
        } else if (node_link_is_reported(n->link, instance->id)) {
            node_instance_forget(&n->options, instance);
            n->instances[i] = n->instances[--n->count];
        }
    }
}

static void take_work(struct node *n)
{
    json_t *work = node_link_take_work(n->link), *item;
    size_t i;

    if (!work)
        return;
    for (i = 0; i < n->count; i++)
        n->instances[i].is_named = false;
    json_array_foreach(json_object_get(work, "instances"), i, item) take_item(n, item);
    sweep(n);
    node_attest_want(n->attest, json_is_true(json_object_get(work, "attest")));
    json_decref(work);
}

/* ---- the loop ---- */

/* Waits for the first of: a signal, work, the end of a process, the time to kill one. */
static void wait_for_something(struct node *n)
{
    struct pollfd fds[NODE_INSTANCES_MAX + 2];
    unsigned index[NODE_INSTANCES_MAX], count = 0;
    int64_t now = now_ms(), until = now + TIDY_MS;
    uint64_t drained;

    for (unsigned i = 0; i < n->count; i++) {
        until = MIN(until, node_instance_tick(&n->instances[i], now));
        if (n->instances[i].pidfd < 0)
            continue;
        index[count] = i;
        fds[count++] = (struct pollfd){ .fd = n->instances[i].pidfd, .events = POLLIN };
    }
    fds[count] = (struct pollfd){ .fd = n->signals, .events = POLLIN };
    fds[count + 1] = (struct pollfd){ .fd = n->events, .events = POLLIN };
    if (poll(fds, count + 2, (int)MAX(until - now, 0)) < 0)
        return;
    for (unsigned i = 0; i < count; i++)
        if (fds[i].revents) {
            node_instance_end(&n->options, &n->instances[index[i]]);
            n->tidy_ms = 0;
            report(n, &n->instances[index[i]]);
        }
    if (fds[count].revents) {
        struct signalfd_siginfo info;

        if (read(n->signals, &info, sizeof info) == sizeof info)
            n->is_ending = true;
    }
    if (fds[count + 1].revents && read(n->events, &drained, sizeof drained) < 0)
        return;
}

/* Logs and images, now and then; when an instance has ended, images at once. */
static void tidy(struct node *n)
{
    const char *in_use[NODE_INSTANCES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < n->count; i++) {
        node_instance_log_cut(&n->options, &n->instances[i]);
        if (n->instances[i].process == NODE_RUNNING && n->instances[i].digest[0])
            in_use[count++] = n->instances[i].digest;
    }
    node_store_trim(n->options.folder, (uint64_t)n->options.images_mib << 20, in_use, count);
    n->tidy_ms = now_ms() + TIDY_MS;
}

static bool has_running(const struct node *n)
{
    for (unsigned i = 0; i < n->count; i++)
        if (n->instances[i].process == NODE_RUNNING)
            return true;
    return false;
}

static void stop_all(struct node *n)
{
    for (unsigned i = 0; i < n->count; i++)
        node_instance_stop(&n->instances[i], STOP_GRACE_S, now_ms());
    while (has_running(n))
        wait_for_something(n);
}

static int loop(struct node *n)
{
    while (!n->is_ending && !node_link_is_refused(n->link)) {
        if (now_ms() >= n->tidy_ms)
            tidy(n);
        wait_for_something(n);
        take_work(n);
    }
    if (!command_option(n->call, "keep") || node_link_is_refused(n->link))
        stop_all(n);
    if (node_link_is_refused(n->link)) {
        fprintf(stderr, "cloche node: the server refuses this node's token: it was revoked; its "
                        "instances are stopped\n");
        return CLI_EXIT_REFUSED;
    }
    node_link_flush(n->link, FLUSH_MS);
    return CLI_EXIT_OK;
}

/* ---- start ---- */

static int read_config(struct node *n, struct err *err)
{
    char path[PATH_SIZE];
    struct file_bytes file;
    int rc;

    snprintf(path, sizeof path, "%s/node.json", n->options.folder);
    rc = file_bytes_read(path, 1 << 20, &file, err);
    if (rc == -ENOENT)
        return err_set(err, rc, "this node has not joined: `cloche node join` (%s)", path);
    if (rc < 0)
        return rc;
    n->config = json_loadb((char *)file.data, file.size, JSON_REJECT_DUPLICATES, NULL);
    file_bytes_done(&file);
    return json_is_object(n->config) ? 0 : err_set(err, -EBADMSG, "%s is damaged", path);
}

/* One program a folder: two would start each instance twice. The lock ends with the process. */
static int lock_folder(const struct node *n, struct err *err)
{
    char path[PATH_SIZE];
    int fd;

    snprintf(path, sizeof path, "%s/lock", n->options.folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, -errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -EBUSY, "another `cloche node run` works in %s", n->options.folder);
    return 0;
}

static int make_heartbeat(struct node *n, struct err *err)
{
    const char *why = "", *location = command_option(n->call, "location");
    const struct sgx_backend *backend = sgx_backend_choose(&why);
    struct sysinfo machine;
    int64_t instances = 16;
    int rc = command_number(n->call, "instances", 0, NODE_INSTANCES_MAX, &instances, err);

    if (rc < 0)
        return rc;
    if (!backend)
        return err_set(err, -ENODEV, "no image can run here: %s; `cloche doctor` says more", why);
    if (sysinfo(&machine) < 0)
        return err_set_errno(err, -errno, "the machine's size");
    n->heartbeat = json_pack("{s:s,s:b,s:s,s:{s:I,s:I,s:I},s:s*}", "tee", "sgx", "emulated",
                             backend->emulated, "software", "cloche " CLOCHE_VERSION, "capacity",
                             "instances", (json_int_t)instances, "memory_size",
                             (json_int_t)machine.totalram * (json_int_t)machine.mem_unit, "cpus",
                             (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "location", location);
    if (!n->heartbeat)
        return err_set(err, -EINVAL, "--location is no text");
    if (backend->emulated)
        fprintf(stderr, "cloche node: this node is emulated: it protects nothing\n");
    return 0;
}

static int open_signals(struct node *n, struct err *err)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set_errno(err, -errno, "signals");
    n->signals = signalfd(-1, &set, SFD_CLOEXEC);
    n->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return n->signals < 0 || n->events < 0 ? err_set_errno(err, -errno, "signals") : 0;
}

static int set_up(struct node *n, struct err *err)
{
    char path[PATH_SIZE + 16];
    int rc =
        command_number(n->call, "images-size", 1, NODE_IMAGES_MIB_MAX, &n->options.images_mib, err);

    if (rc == 0)
        rc = node_folder_make(n->options.folder, err);
    snprintf(path, sizeof path, "%s/instances", n->options.folder);
    if (rc == 0)
        rc = node_folder_make(path, err);
    snprintf(path, sizeof path, "%s/images", n->options.folder);
    if (rc == 0)
        rc = node_folder_make(path, err);
    if (rc == 0)
        rc = read_config(n, err);
    if (rc == 0)
        rc = lock_folder(n, err);
    if (rc == 0)
        rc = make_heartbeat(n, err);
    if (rc == 0)
        rc = open_signals(n, err);
    if (rc < 0)
        return rc;
    n->count = node_instance_adopt(&n->options, n->instances, NODE_INSTANCES_MAX);
    rc = node_attest_open(&n->options, n->config, &n->attest, err);
    if (rc == 0)
        rc = node_link_open(n->config, n->heartbeat, n->events, &n->link, err);
    for (unsigned i = 0; rc == 0 && i < n->count; i++)
        report(n, &n->instances[i]);
    return rc;
}

int node_run(struct cli_call *call)
{
    static struct node node; /* its threads use it until the process ends */
    static char folder[PATH_SIZE - 128], program[PATH_SIZE];
    struct node *n = &node;
    struct err err = { 0 };
    const char *named = command_option(call, "folder");
    const char *socket = command_option(call, "quote-socket");
    const char *collateral = command_option(call, "collateral");
    int rc = named ? 0 : node_data_folder(folder, sizeof folder - 8, &err);

    if (rc == 0 && !named)
        memcpy(folder + strlen(folder), "/node", sizeof "/node");
    if (rc == 0)
        rc = cli_program_path("cloche", program, sizeof program, &err);
    n->call = call;
    n->options = (struct node_options){ .folder = named ? named : folder,
                                        .program = program,
                                        .images_mib = NODE_IMAGES_MIB_DEFAULT,
                                        .quote_socket = socket ? socket : getenv(QUOTE_SOCKET_ENV),
                                        .collateral =
                                            collateral ? collateral : getenv("CLOCHE_COLLATERAL") };
    if (rc == 0)
        rc = set_up(n, &err);
    if (rc == -EINVAL)
        return command_usage(call, "%s", err.text);
    if (rc < 0)
        return cli_fail(&err, rc);
    fprintf(stderr, "cloche node: ready\n");
    return loop(n);
}
