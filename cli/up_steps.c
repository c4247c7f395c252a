/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of `cloche up`, each of which does nothing when it has been done. Relying party side. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "cli/file.h"
#include "cli/login.h"
#include "cli/node.h"
#include "cli/remote.h"
#include "cli/up.h"
#include "client/contexts.h"
#include "host/quote/aesm.h"
#include "host/sgx/backend.h"

#define READY_MS 60000
#define STEP_MS 50

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int write_text(struct up *up, const char *name, const char *text)
{
    char path[UP_PATH_SIZE];

    return contexts_file_write(up_path(up, name, path), text, strlen(text), &up->err);
}

static bool has_file(const struct up *up, const char *name)
{
    char path[UP_PATH_SIZE];

    return access(up_path(up, name, path), F_OK) == 0;
}

/* ---- folder, secrets, configuration ---- */

/* A file with a random word, made once. */
static int make_secret(struct up *up, const char *name)
{
    uint8_t random[24];
    char text[2 * sizeof random + 2];
    int rc;

    if (has_file(up, name))
        return 0;
    if (RAND_bytes(random, sizeof random) != 1)
        return err_set(&up->err, -EIO, "no random bytes");
    for (unsigned i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    memcpy(text + 2 * sizeof random, "\n", 2);
    rc = write_text(up, name, text);
    explicit_bzero(text, sizeof text);
    explicit_bzero(random, sizeof random);
    return rc;
}

/* What the first run decides, for all others. */
static int make_state(struct up *up)
{
    const char *why = "", *listen = command_option(up->call, "listen");
    const char *organisation = command_option(up->call, "organisation");
    const char *name = command_option(up->call, "name");
    const struct sgx_backend *backend = sgx_backend_choose(&why);
    char *text;
    int rc;

    if (up->state)
        return 0;
    if (!backend)
        return err_set(&up->err, -ENODEV, "no image can run here: %s; `cloche doctor` says more",
                       why);
    if (listen && (strlen(listen) > 200 || !strchr(listen, ':') || strpbrk(listen, " \"\n\\#/")))
        return err_set(&up->err, -EINVAL, "--listen: HOST:PORT is expected");
    up->state = json_pack("{s:s,s:s,s:b,s:s}", "listen", listen ? listen : "127.0.0.1:8443",
                          "organisation", organisation ? organisation : "local", "emulated",
                          backend->emulated, "context", name ? name : "local");
    text = up->state ? json_dumps(up->state, JSON_INDENT(2)) : NULL;
    if (!text)
        return err_set(&up->err, -EINVAL, "a name is no text");
    rc = write_text(up, "up.json", text);
    free(text);
    return rc;
}

/* The host of "host:port", without brackets. */
static void host_of(const char *listen, char *ret, size_t ret_size)
{
    const char *colon = strrchr(listen, ':');
    size_t len = colon ? (size_t)(colon - listen) : strlen(listen);

    if (len >= 2 && listen[0] == '[')
        snprintf(ret, ret_size, "%.*s", (int)len - 2, listen + 1);
    else
        snprintf(ret, ret_size, "%.*s", (int)len, listen);
}

static int make_config(struct up *up)
{
    const char *listen = json_string_value(json_object_get(up->state, "listen"));
    const char *d = up->folder;
    char host[256], *text = NULL;
    int rc;

    if (has_file(up, "cloched.yaml"))
        return 0;
    host_of(listen, host, sizeof host);
    if (asprintf(&text,
                 "# Made by `cloche up`; docs/server.md says what else there is.\n"
                 "store: \"sqlite:%s/cloche.db\"\n"
                 "root_key_passphrase_file: \"%s/passphrase\"\n"
                 "listen: \"%s\"\n"
                 "names: [\"%s\", localhost]\n"
                 "urls: [\"https://%s\"]\n"
                 "trust_domain: cloche.local\n"
                 "collateral_folder: \"%s/collateral\"\n",
                 d, d, listen, host, listen, d) < 0)
        return err_set_errno(&up->err, -ENOMEM, "the configuration");
    if (up_is_emulated(up)) {
        char *longer = NULL;

        if (asprintf(&longer,
                     "%s# The emulated platform protects nothing.\n"
                     "emulator_root: \"%s/pki/certs/root.pem\"\n"
                     "collateral_pcs_url: \"\"\n"
                     "collateral_kds_url: \"\"\n",
                     text, d) < 0)
            longer = NULL;
        free(text);
        text = longer;
    }
    rc = text ? write_text(up, "cloched.yaml", text) : -ENOMEM;
    free(text);
    return rc;
}

/* ---- commands that end ---- */

/* Runs a program to its end, its standard output into a file. err: its last words. */
static int run_program(struct up *up, const char *const *argv, const char *output)
{
    struct service service = { up->folder, "setup" };
    char path[UP_PATH_SIZE], line[512];
    int log, out, status;
    pid_t pid;

    log = open(up_path(up, "setup.log", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    out = open(up_path(up, output, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log < 0 || out < 0)
        return err_set_errno(&up->err, -errno, "%s", path);
    pid = fork();
    if (pid == 0) {
        dup2(out, 1);
        dup2(log, 2);
        execv(argv[0], (char **)argv);
        dprintf(2, "cannot start %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(log);
    close(out);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return err_set_errno(&up->err, -errno, "cannot start %s", argv[0]);
    if (status != 0)
        return err_set(&up->err, -EIO, "%s %s failed: %s", argv[0], argv[1],
                       service_last_line(&service, line, sizeof line));
    return 0;
}

static int make_pki(struct up *up)
{
    char program[UP_PATH_SIZE], pki[UP_PATH_SIZE];
    const char *argv[] = { program, "emu", "pki", "init", up_path(up, "pki", pki), NULL };
    int rc;

    if (!up_is_emulated(up) || has_file(up, "pki/certs/root.pem"))
        return 0;
    rc = cli_program_path("cloche", program, sizeof program, &up->err);
    return rc < 0 ? rc : run_program(up, argv, "setup.out");
}

/* Store, organisation and owner; the marker says that it was done whole. */
static int make_owner(struct up *up)
{
    char program[UP_PATH_SIZE], config[UP_PATH_SIZE], password[UP_PATH_SIZE];
    const char *argv[] = { program,
                           "init",
                           "--config",
                           up_path(up, "cloched.yaml", config),
                           "--org",
                           json_string_value(json_object_get(up->state, "organisation")),
                           "--user",
                           UP_OWNER,
                           "--password-file",
                           up_path(up, "owner-password", password),
                           NULL };
    int rc;

    if (has_file(up, "initialised"))
        return 0;
    rc = cli_program_path("cloched", program, sizeof program, &up->err);
    if (rc == 0)
        rc = run_program(up, argv, "setup.out");
    return rc < 0 ? rc : write_text(up, "initialised", "");
}

static int read_ca(struct up *up)
{
    char program[UP_PATH_SIZE], config[UP_PATH_SIZE], from[UP_PATH_SIZE], to[UP_PATH_SIZE];
    const char *argv[] = { program, "ca", "--config", up_path(up, "cloched.yaml", config), NULL };
    int rc = cli_program_path("cloched", program, sizeof program, &up->err);

    if (rc == 0)
        rc = run_program(up, argv, "ca.pem.new");
    if (rc == 0 && rename(up_path(up, "ca.pem.new", from), up_path(up, "ca.pem", to)) < 0)
        rc = err_set_errno(&up->err, -errno, "%s", to);
    return rc;
}

int up_prepare(struct up *up)
{
    char path[UP_PATH_SIZE];
    int rc = node_folder_make(up->folder, &up->err);

    if (rc == 0)
        rc = make_state(up);
    if (rc == 0)
        rc = node_folder_make(up_path(up, "collateral", path), &up->err);
    if (rc == 0)
        rc = make_secret(up, "passphrase");
    if (rc == 0)
        rc = make_secret(up, "owner-password");
    if (rc == 0)
        rc = make_pki(up);
    if (rc == 0)
        rc = make_config(up);
    if (rc == 0)
        rc = make_owner(up);
    return rc == 0 ? read_ca(up) : rc;
}

/* ---- programs ---- */

/* Waits until is_ready, or the program has ended. */
static int wait_ready(struct up *up, unsigned number, bool (*is_ready)(struct up *up))
{
    struct service service = up_service(up, number);
    int64_t until = now_ms() + READY_MS;
    char line[512];

    while (!is_ready(up)) {
        if (!service_pid(&service))
            return err_set(&up->err, -EIO, "%s ended: %s (%s/%s.log)", service.name,
                           service_last_line(&service, line, sizeof line), up->folder,
                           service.name);
        if (now_ms() > until)
            return err_set(&up->err, -ETIMEDOUT, "%s does not answer: %s (%s/%s.log)", service.name,
                           service_last_line(&service, line, sizeof line), up->folder,
                           service.name);
        nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * 1000000L }, NULL);
    }
    return 0;
}

static bool quoting_is_ready(struct up *up)
{
    struct sockaddr_un address;
    char path[UP_PATH_SIZE];

    return aesm_address_set(up_path(up, "quoting.sock", path), &address) == 0 &&
           aesm_probe(&address) == 0;
}

static bool server_is_ready(struct up *up)
{
    json_t *context = up_context(up);
    struct client *client = NULL;
    struct err err = { 0 };
    int rc = context ? client_new(context, &client, &err) : -ENOENT;
    size_t size;
    char *text = NULL;

    if (rc == 0)
        rc = client_text(client, "/readyz", &text, &size, &err);
    free(text);
    client_close(client);
    json_decref(context);
    return rc == 0;
}

static int start(struct up *up, unsigned number, const char *const *argv,
                 bool (*is_ready)(struct up *up))
{
    struct service service = up_service(up, number);
    int rc = service_start(&service, argv, &up->err);

    if (rc < 0 && rc != -EEXIST)
        return rc;
    return is_ready ? wait_ready(up, number, is_ready) : 0;
}

static int start_quoting(struct up *up, const char *program)
{
    char pki[UP_PATH_SIZE], socket[UP_PATH_SIZE];
    const char *argv[] = { program,
                           "emu",
                           "quoting",
                           "--pki",
                           up_path(up, "pki", pki),
                           "--socket",
                           up_path(up, "quoting.sock", socket),
                           NULL };

    return up_is_emulated(up) ? start(up, 0, argv, quoting_is_ready) : 0;
}

int up_start(struct up *up)
{
    char program[UP_PATH_SIZE], daemon[UP_PATH_SIZE], config[UP_PATH_SIZE];
    const char *argv[] = { daemon, "--config", up_path(up, "cloched.yaml", config), NULL };
    int rc = cli_program_path("cloche", program, sizeof program, &up->err);

    if (rc == 0)
        rc = cli_program_path("cloched", daemon, sizeof daemon, &up->err);
    if (rc == 0)
        rc = start_quoting(up, program);
    return rc == 0 ? start(up, 1, argv, server_is_ready) : rc;
}

/* ---- owner and node ---- */

/* Whether the context of an earlier run still serves. */
static bool is_logged_in(struct up *up, const char *name)
{
    json_t *ours = up_context(up), *context = NULL;
    struct client *client = NULL;
    struct client_answer answer;
    struct err err = { 0 };
    bool is_ours = contexts_find(name, &context, &err) == 0 &&
                   json_equal(json_object_get(context, "url"), json_object_get(ours, "url")) &&
                   json_equal(json_object_get(context, "ca"), json_object_get(ours, "ca"));
    bool is_good = is_ours && client_new(context, &client, &err) == 0 &&
                   client_call(client, "GET", "/v1/me", NULL, NULL, &answer, &err) == 0;

    if (is_good)
        client_answer_done(&answer);
    client_close(client);
    json_decref(context);
    json_decref(ours);
    return is_good;
}

int up_login(struct up *up)
{
    const char *name = json_string_value(json_object_get(up->state, "context"));
    const char *organisation = json_string_value(json_object_get(up->state, "organisation"));
    struct login login = { .user = UP_OWNER, .organisation = organisation };
    char path[UP_PATH_SIZE];
    json_t *context;
    int rc;

    if (is_logged_in(up, name))
        return 0;
    context = up_context(up);
    rc = context ? ask_secret(up_path(up, "owner-password", path), "password", &login.password,
                              &up->err)
                 : err_set(&up->err, -ENOENT, "%s", up_path(up, "ca.pem", path));
    if (rc == 0)
        rc = login_perform(&login, context, &up->err);
    ask_free(login.password);
    if (rc == 0) {
        json_object_set_new(context, "organisation", json_string(organisation));
        rc = contexts_set(name, json_incref(context), &up->err);
    }
    json_decref(context);
    return rc;
}

static int join(struct up *up, const char *folder)
{
    const char *name = json_string_value(json_object_get(up->state, "context"));
    json_t *context = up_context(up),
           *body = json_pack("{s:s,s:i}", "name", "here", "lifetime_s", 600);
    struct client *client = NULL;
    struct client_answer answer = { 0 };
    const char *token;
    int rc = client_open(name, &client, &up->err);

    if (rc == 0)
        rc = client_call(client, "POST", "/v1/nodes/tokens", body, NULL, &answer, &up->err);
    token = json_string_value(json_object_get(answer.body, "token"));
    if (rc == 0)
        rc = token ? node_join(folder, context, token, NULL, &up->err)
                   : err_set(&up->err, -EBADMSG, "the server gave no join token");
    client_answer_done(&answer);
    client_close(client);
    json_decref(body);
    json_decref(context);
    return rc;
}

/* The server has heard of it: it can be given work. */
static bool node_is_ready(struct up *up)
{
    const char *name = json_string_value(json_object_get(up->state, "context"));
    struct client *client = NULL;
    json_t *nodes = NULL, *node;
    struct err err = { 0 };
    bool is_ready = false;
    size_t i;

    if (client_open(name, &client, &err) == 0 &&
        client_list(client, "/v1/nodes", &nodes, &err) == 0)
        json_array_foreach(nodes, i, node)
        {
            const char *state = json_string_value(json_object_get(node, "state"));

            is_ready |= state && strcmp(state, "joined") != 0;
        }
    json_decref(nodes);
    client_close(client);
    return is_ready;
}

int up_join(struct up *up)
{
    char program[UP_PATH_SIZE], folder[UP_PATH_SIZE], socket[UP_PATH_SIZE], pki[UP_PATH_SIZE];
    const char *argv[] = { program,
                           "node",
                           "run",
                           "--folder",
                           up_path(up, "node", folder),
                           up_is_emulated(up) ? "--quote-socket" : NULL,
                           up_path(up, "quoting.sock", socket),
                           "--collateral",
                           up_path(up, "pki/collateral", pki),
                           NULL };
    int rc = cli_program_path("cloche", program, sizeof program, &up->err);

    if (rc == 0 && !has_file(up, "node/node.json"))
        rc = join(up, folder);
    return rc == 0 ? start(up, 2, argv, node_is_ready) : rc;
}
