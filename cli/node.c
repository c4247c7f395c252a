/* SPDX-License-Identifier: Apache-2.0 */
/* `cloche node`: nodes of the organisation, and this machine as one of them. Relying party side. */
#include "cli/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/file.h"
#include "cli/node_attest.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u

static const struct table_column g_columns[] = {
    { "NAME", "name", TABLE_TEXT },
    { "ID", "id", TABLE_TEXT },
    { "STATE", "state", TABLE_TEXT },
    { "TEE", "tee", TABLE_TEXT },
    { "EMULATED", "emulated", TABLE_TEXT },
    { "TCB", "tcb", TABLE_TEXT },
    { "ATTESTED", "attested_at", TABLE_AGE },
    { "INSTANCES", "instances", TABLE_TEXT },
    { "VERSION", "software", TABLE_TEXT },
    { "LOCATION (CLAIM)", "location", TABLE_TEXT },
    { "SEEN", "seen", TABLE_AGE },
};
static const struct cli_option g_token_options[] = {
    { "name", "NAME", "the node must have", false },
    { "lifetime", "TIME", "of the token; 1h", false },
};
static const struct cli_option g_join_options[] = {
    { "token-file", "FILE", "the join token (\"-\": standard input, the default)", false },
    { "name", "NAME", "of the node; else the token's, else the machine's", false },
    { "ca", "FILE", "the server's CA, PEM; else the system's CAs", false },
    { "folder", "FOLDER", "of the node's files, as of `cloche node run`", false },
};
static const struct cli_option g_start_options[] = {
    { "folder", "FOLDER", "of the node's files", false },
    { "digest", "HEX", "the build's app digest", false },
    { "images-size", "MIB", "what an image may take", false },
    { "quote-socket", "PATH", "of the quoting service", false },
    { "collateral", "FOLDER", "to staple to evidence", false },
};
static const struct cli_option g_drain_options[] = {
    { "move", NULL, "when they have ended, start what ran on it on other nodes", false },
    { "no-wait", NULL, "do not wait until the last has ended", false },
    { "timeout", "TIME", "how long to wait; 1h", false },
};
static const struct cli_option g_measurement_options[] = {
    { "folder", "FOLDER", "of the node's files: its enclave is sealed there", false },
};
static const struct cli_option g_reason[] = {
    { "reason", "TEXT", "for the log", false },
};

/* ---- the server's view ---- */

static int token(struct cli_call *call)
{
    json_t *body = json_object(), *answer = NULL;
    struct remote r;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = body_text(body, call, "name", "name");
    if (rc == 0)
        rc = body_seconds(body, call, "lifetime", "lifetime_s", 60, 604800, &r.err);
    if (rc == 0)
        rc = remote_call(&r, "POST", "/v1/nodes/tokens", json_incref(body), &answer);
    json_decref(body);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(answer, stdout);
    } else {
        char text[256];

        printf("%s\n", table_text(json_object_get(answer, "token"), text, sizeof text));
        fprintf(stderr,
                "one node can join with it, once: cloche node join URL --token-file FILE\n");
    }
    json_decref(answer);
    remote_done(&r);
    return status;
}

static int list(struct cli_call *call)
{
    return remote_list(call, "/v1/nodes", REMOTE_TABLE(g_columns, "nodes"));
}

static int ask(struct cli_call *call, const char *method, const char *template)
{
    char path[REMOTE_PATH_SIZE];

    return remote_show(call, method, remote_path(path, template, call->arguments[0]), NULL, NULL);
}

/* For people: what is the node's word is called so. */
static void mark_claims(json_t *node)
{
    static const char *const claims[] = { "capacity", "software", "location" };
    char name[64];

    for (unsigned i = 0; i < ARRAY_COUNT(claims); i++) {
        json_t *value = json_incref(json_object_get(node, claims[i]));

        json_object_del(node, claims[i]);
        snprintf(name, sizeof name, "%s (claim)", claims[i]);
        if (value && !json_is_null(value))
            json_object_set(node, name, value);
        json_decref(value);
    }
}

static int show(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    struct remote r;
    json_t *node = NULL;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = remote_call(&r, "GET", remote_path(path, "/v1/nodes/{}", call->arguments[0]), NULL,
                         &node);
    if (rc < 0) {
        status = remote_fail(&r, rc);
    } else if (call->is_json) {
        table_json_print(node, stdout);
    } else {
        mark_claims(node);
        table_object_print(node, stdout);
    }
    json_decref(node);
    remote_done(&r);
    return status;
}

static int show_evidence(struct cli_call *call)
{
    return ask(call, "GET", "/v1/nodes/{}/evidence");
}

static int ask_evidence(struct cli_call *call)
{
    return ask(call, "POST", "/v1/nodes/{}/attest");
}

/* ---- drain ---- */

/* What runs on the node: app and build of each, to be started elsewhere. */
static int find_running(struct remote *r, const char *node_id, json_t **ret)
{
    char path[REMOTE_PATH_SIZE];
    json_t *all = NULL, *item;
    size_t i;
    int rc;

    remote_path(path, "/v1/instances");
    remote_query_add(path, "node", node_id);
    rc = client_list(r->client, path, &all, &r->err);
    if (rc < 0)
        return rc;
    *ret = json_array();
    json_array_foreach(all, i, item)
    {
        const char *wanted = json_string_value(json_object_get(item, "wanted"));
        const char *state = json_string_value(json_object_get(item, "state"));
        bool is_live = state && (strcmp(state, "requested") == 0 ||
                                 strcmp(state, "starting") == 0 || strcmp(state, "running") == 0);

        if (is_live && wanted && strcmp(wanted, "run") == 0)
            json_array_append(*ret, item);
    }
    json_decref(all);
    return 0;
}

/* Until the node is drained. A line for each instance that ends, on a terminal one that changes. */
static int wait_drained(struct remote *r, const char *node_id, int64_t timeout_s)
{
    int64_t left = -1, until = time(NULL) + timeout_s;
    char path[REMOTE_PATH_SIZE];

    remote_path(path, "/v1/nodes/{}", node_id);
    for (;;) {
        json_t *node = NULL;
        int rc = remote_call(r, "GET", path, NULL, &node);
        const char *state = json_string_value(json_object_get(node, "state"));
        int64_t now_left = json_integer_value(json_object_get(node, "instances"));
        bool is_drained = state && strcmp(state, "drained") == 0;
        bool is_draining = state && strcmp(state, "draining") == 0;

        json_decref(node);
        if (rc < 0)
            return rc;
        if (!is_drained && !is_draining)
            return err_set(&r->err, -ECANCELED, "the node is not drained any more");
        if (now_left != left && !r->call->is_json)
            fprintf(stderr, isatty(2) ? "\rdraining: %lld left  " : "draining: %lld left\n",
                    (long long)now_left);
        left = now_left;
        if (is_drained) {
            if (!r->call->is_json && isatty(2))
                fputc('\n', stderr);
            return 0;
        }
        if (time(NULL) >= until)
            return err_set(&r->err, -ETIMEDOUT,
                           "%lld instances have not ended in time; the node goes on draining",
                           (long long)left);
        nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
    }
}

/* Each anew, on whichever node can take it. returns: 0; the first error, after all were tried. */
static int start_elsewhere(struct remote *r, const json_t *instances)
{
    int worst = 0;
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)instances, i, item)
    {
        json_t *body = json_pack("{s:O,s:O}", "app", json_object_get(item, "app"), "build",
                                 json_object_get(item, "build"));
        json_t *answer = NULL;
        int rc = body ? remote_call(r, "POST", "/v1/instances", body, &answer)
                      : err_set(&r->err, -EBADMSG, "an instance without app or build");
        const char *id = json_string_value(json_object_get(item, "id"));
        const char *is = json_string_value(json_object_get(answer, "id"));

        if (rc == 0 && !r->call->is_json)
            printf("%s goes on as %s\n", id ? id : "?", is ? is : "?");
        else if (rc < 0)
            fprintf(stderr, "cloche: %s was not started elsewhere: %s\n", id ? id : "?",
                    r->err.text);
        worst = worst < 0 ? worst : rc;
        json_decref(answer);
    }
    return worst;
}

static int drain(struct cli_call *call)
{
    char path[REMOTE_PATH_SIZE];
    json_t *node = NULL, *running = NULL;
    const char *id = NULL;
    bool is_move = command_option(call, "move");
    bool is_waiting = is_move || !command_option(call, "no-wait");
    int64_t timeout_s = 3600;
    struct remote r;
    int status = CLI_EXIT_OK, rc = remote_open(&r, call);

    if (rc == 0)
        rc = command_seconds(call, "timeout", 1, 7 * 86400, &timeout_s, &r.err);
    if (rc == 0)
        rc = remote_call(&r, "GET", remote_path(path, "/v1/nodes/{}", call->arguments[0]), NULL,
                         &node);
    id = json_string_value(json_object_get(node, "id"));
    if (rc == 0 && !id)
        rc = err_set(&r.err, -EBADMSG, "the server's node has no id");
    if (rc == 0 && is_move)
        rc = find_running(&r, id, &running);
    if (rc == 0)
        rc = remote_call(&r, "POST", remote_path(path, "/v1/nodes/{}/drain", id), NULL, NULL);
    if (rc == 0 && is_waiting)
        rc = wait_drained(&r, id, timeout_s);
    if (rc == 0 && is_move)
        rc = start_elsewhere(&r, running);
    json_decref(running);
    json_decref(node);
    if (rc < 0)
        status = remote_fail(&r, rc);
    remote_done(&r);
    return status == CLI_EXIT_OK ? ask(call, "GET", "/v1/nodes/{}") : status;
}

static int resume(struct cli_call *call)
{
    return ask(call, "POST", "/v1/nodes/{}/resume");
}

static int withdraw(struct cli_call *call)
{
    return revoke_run(call, "node", call->arguments[0]);
}

static int withdraw_platform(struct cli_call *call)
{
    return revoke_run(call, "platform", call->arguments[0]);
}

/* ---- this machine ---- */

int node_folder_make(const char *path, struct err *err)
{
    char part[PATH_SIZE];

    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part || path[0] != '/')
        return err_set(err, -EINVAL, "%.100s: an absolute path is expected", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return err_set_errno(err, -errno, "cannot make %s", part);
        *slash = '/';
    }
    return mkdir(part, 0700) < 0 && errno != EEXIST
               ? err_set_errno(err, -errno, "cannot make %s", part)
               : 0;
}

int node_data_folder(char *ret, size_t ret_size, struct err *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME"),
               *named = getenv("CLOCHE_FOLDER");
    int len;

    if (named && named[0] == '/')
        len = snprintf(ret, ret_size, "%s", named);
    else if (data && data[0] == '/')
        len = snprintf(ret, ret_size, "%s/cloche", data);
    else if (geteuid() == 0)
        len = snprintf(ret, ret_size, "/var/lib/cloche");
    else if (home && home[0] == '/')
        len = snprintf(ret, ret_size, "%s/.local/share/cloche", home);
    else
        return err_set(err, -ENOENT, "neither HOME nor XDG_DATA_HOME names a folder");
    return len >= (int)ret_size ? err_set_errno(err, -ENAMETOOLONG, "the data folder") : 0;
}

static int keep_config(const char *folder, const json_t *context, const json_t *answer,
                       struct err *err)
{
    json_t *config = json_deep_copy(context);
    char path[PATH_SIZE];
    char *text;
    int rc;

    json_object_set(config, "token", json_object_get(answer, "token"));
    json_object_set(config, "node", (json_t *)table_member(answer, "node/id"));
    json_object_set(config, "name", (json_t *)table_member(answer, "node/name"));
    text = json_dumps(config, JSON_INDENT(2));
    json_decref(config);
    if (!text)
        return err_set_errno(err, -ENOMEM, "the node's configuration");
    snprintf(path, sizeof path, "%s/node.json", folder);
    rc = contexts_file_write(path, text, strlen(text), err);
    explicit_bzero(text, strlen(text));
    free(text);
    return rc;
}

int node_join(const char *folder, const json_t *context, const char *token_text, const char *name,
              struct err *err)
{
    char path[PATH_SIZE], key[NODE_KEY_TEXT_SIZE];
    struct client *client;
    struct client_answer answer;
    json_t *body;
    int rc = node_folder_make(folder, err);

    snprintf(path, sizeof path, "%.4000s/node.json", folder);
    if (rc == 0 && access(path, F_OK) == 0)
        rc = err_set(err, -EEXIST, "this machine has joined already: %s", path);
    if (rc == 0)
        rc = node_key_read(folder, key, err);
    if (rc == 0)
        rc = client_new(context, &client, err);
    if (rc < 0)
        return rc;
    body = json_pack("{s:s,s:s,s:s*}", "token", token_text, "public_key", key, "name", name);
    rc = body ? client_call(client, "POST", "/v1/nodes/join", body, NULL, &answer, err)
              : err_set(err, -EINVAL, "the token or the name is no text");
    json_decref(body);
    if (rc == 0 && !json_is_string(json_object_get(answer.body, "token"))) {
        rc = err_set(err, -EBADMSG, "the server gave the node no token");
        client_answer_done(&answer);
    } else if (rc == 0) {
        rc = keep_config(folder, context, answer.body, err);
        client_answer_done(&answer);
    }
    client_close(client);
    return rc;
}

static int add_ca(json_t *context, const char *path, struct err *err)
{
    struct file_bytes file;
    int rc;

    if (!path)
        return 0;
    rc = file_bytes_read(path, 1 << 20, &file, err);
    if (rc < 0)
        return rc;
    if (json_object_set_new(context, "ca", json_stringn((char *)file.data, file.size)) < 0)
        rc = err_set(err, -EBADMSG, "%s is no PEM", path);
    file_bytes_done(&file);
    return rc;
}

static int join(struct cli_call *call)
{
    const char *named = command_option(call, "folder"), *file = command_option(call, "token-file");
    json_t *context = json_pack("{s:s}", "url", call->arguments[0]);
    char folder[PATH_SIZE - 128];
    struct err err = { 0 };
    char *text = NULL;
    int rc = named ? 0 : node_data_folder(folder, sizeof folder - 8, &err);

    if (rc == 0 && !named)
        memcpy(folder + strlen(folder), "/node", sizeof "/node");
    if (rc == 0)
        rc = add_ca(context, command_option(call, "ca"), &err);
    if (rc == 0)
        rc = ask_secret(file ? file : "-", "join token", &text, &err);
    if (rc == 0)
        rc = node_join(named ? named : folder, context, text, command_option(call, "name"), &err);
    ask_free(text);
    json_decref(context);
    if (rc < 0)
        return cli_fail(&err, rc);
    if (!call->is_json)
        printf("joined; now: cloche node run%s%s\n", named ? " --folder " : "", named ? named : "");
    return CLI_EXIT_OK;
}

static int measurement(struct cli_call *call)
{
    char folder[PATH_SIZE - 128], image[PATH_SIZE], program[PATH_SIZE], mrenclave[65];
    const char *named = command_option(call, "folder");
    struct node_options options = { .folder = named ? named : folder, .program = program };
    struct err err = { 0 };
    int rc = named ? 0 : node_data_folder(folder, sizeof folder - 8, &err);

    if (rc == 0 && !named)
        memcpy(folder + strlen(folder), "/node", sizeof "/node");
    if (rc == 0)
        rc = cli_program_path("cloche", program, sizeof program, &err);
    if (rc == 0)
        rc = node_attest_image(&options, image, sizeof image, mrenclave, &err);
    if (rc < 0)
        return cli_fail(&err, rc);
    printf(call->is_json ? "{\"mrenclave\": \"%s\"}\n" : "%s\n", mrenclave);
    return CLI_EXIT_OK;
}

static const struct cli_verb g_verbs[] = {
    { "token", "", "a token with which one node can join, once", token, 0, 0,
      CLI_OPTIONS(g_token_options) },
    { "join", "URL", "make this machine a node of the control plane at URL", join, 1, 1,
      CLI_OPTIONS(g_join_options) },
    { "run", "", "the node's program: runs what the server places here", node_run, 0, 0,
      node_run_options, 7 },
    { "list", "", "nodes", list, 0, 0, NULL, 0 },
    { "show", "NODE", "one node", show, 1, 1, NULL, 0 },
    { "evidence", "NODE", "what it has shown of its platform, and how that was judged",
      show_evidence, 1, 1, NULL, 0 },
    { "attest", "NODE", "ask it for fresh evidence of its platform, now", ask_evidence, 1, 1, NULL,
      0 },
    { "measurement", "", "MRENCLAVE of the enclave that shows what nodes' platforms are",
      measurement, 0, 0, CLI_OPTIONS(g_measurement_options) },
    { "drain", "NODE", "no new instances; those that run are told to stop, and waited for", drain,
      1, 1, CLI_OPTIONS(g_drain_options) },
    { "resume", "NODE", "a drained node takes instances again", resume, 1, 1, NULL, 0 },
    { "undrain", "NODE", "the same as resume", resume, 1, 1, NULL, 0 },
    { "revoke", "NODE", "its instances lose their leases, and it gets no work", withdraw, 1, 1,
      CLI_OPTIONS(g_reason) },
    { "revoke-platform", "PLATFORM-ID",
      "no instance on this machine's CPU gets keys any more, whatever node it is",
      withdraw_platform, 1, 1, CLI_OPTIONS(g_reason) },
    { "start-image", "INSTANCE PLACE",
      "what `run` starts for each instance: gets the image, becomes the loader", node_start_image,
      2, 2, CLI_OPTIONS(g_start_options) },
};

const struct cli_command node_command = {
    "node", "nodes: machines that run instances",
    "A node runs what the control plane places on it. It is not trusted: each instance proves to "
    "the server\n"
    "what it is. It joins once, with a one-time token; then `cloche node run` is its program.",
    CLI_VERBS(g_verbs)
};
