/* SPDX-License-Identifier: Apache-2.0 */
/* The node's enclave: its image, sealed at the first use, and runs of it. Relying party side. */
#include "cli/node_enclave.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "cli/cli.h"
#include "cli/file.h"
#include "cli/node.h"
#include "cli/node_attest.h"
#include "client/client.h"
#include "client/contexts.h"

#define PATH_SIZE 4096u
#define PROGRAM_SIZE_MAX (64u << 20)
#define SEAL_MS 120000
#define SEAL_OUTPUT_MAX 65536u

extern char **environ;

/* ---- programs ---- */

struct run {
    char *const *argv, *const *environment;
    const char *log; /* of standard error */
    const char *input;
    size_t input_size;
    unsigned timeout_ms;
    size_t max;
    /* while it runs */
    pid_t pid;
    int in, out; /* our ends */
    char *output;
    size_t size;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A process group of its own, all signals as at first: what stops the node's program is not for it. */
static int spawn(struct run *r, int in, int out, struct err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_addopen(&files, 2, r->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    rc = posix_spawn(&r->pid, r->argv[0], &files, &attributes, r->argv, r->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc ? err_set_errno(err, -rc, "cannot start %s", r->argv[0]) : 0;
}

static int start(struct run *r, struct err *err)
{
    int in[2], out[2], rc;

    if (pipe2(in, O_CLOEXEC) < 0)
        return err_set_errno(err, -errno, "a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        rc = -errno;
        close(in[0]);
        close(in[1]);
        return err_set_errno(err, rc, "a pipe");
    }
    rc = spawn(r, in[0], out[1], err);
    close(in[0]);
    close(out[1]);
    r->in = in[1];
    r->out = out[0];
    if (rc < 0) {
        close(r->in);
        close(r->out);
    }
    return rc;
}

/* One piece of output. returns: 1 go on; 0 the end; errno. */
static int take(struct run *r)
{
    char *bigger;
    ssize_t n;

    if (r->size == r->max)
        return -E2BIG;
    bigger = realloc(r->output, MIN(r->max, 2 * r->size + 65536) + 1);
    if (!bigger)
        return -ENOMEM;
    r->output = bigger;
    n = read(r->out, bigger + r->size, MIN(r->max, 2 * r->size + 65536) - r->size);
    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    r->size += (size_t)n;
    bigger[r->size] = 0;
    return n > 0;
}

static int hear_out(struct run *r)
{
    struct pollfd fd = { .fd = r->out, .events = POLLIN };
    int64_t until = now_ms() + r->timeout_ms;
    int rc = 1;

    while (rc > 0) {
        int64_t left = until - now_ms();

        if (left <= 0 || poll(&fd, 1, (int)left) == 0)
            return -ETIMEDOUT;
        rc = take(r);
    }
    return rc;
}

/* The last line of the log, for an error. */
static void last_words(const char *path, char ret[256])
{
    struct file_bytes file;
    char *line, *end;

    ret[0] = 0;
    if (file_bytes_read(path, 1 << 20, &file, NULL) < 0)
        return;
    end = (char *)file.data + strlen((char *)file.data);
    while (end > (char *)file.data && end[-1] == '\n')
        *--end = 0;
    line = memrchr(file.data, '\n', (size_t)(end - (char *)file.data));
    snprintf(ret, 256, "%.255s", line ? line + 1 : (char *)file.data);
    client_text_clean(ret);
    file_bytes_done(&file);
}

/* returns: as node_enclave_run; r->output is the caller's in any case. */
static int perform(struct run *r, struct err *err)
{
    char words[256];
    int status = 0, rc = start(r, err);

    if (rc < 0)
        return rc;
    /* A few bytes: they fit into the pipe, whether it reads them or not. */
    if (r->input_size && write(r->in, r->input, r->input_size) != (ssize_t)r->input_size)
        rc = -EPIPE;
    close(r->in);
    if (rc == 0)
        rc = hear_out(r);
    close(r->out);
    if (rc < 0)
        kill(-r->pid, SIGKILL);
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0 && status == 0)
        return 0;
    last_words(r->log, words);
    if (rc == -ETIMEDOUT)
        return err_set(err, rc, "%s did not end in time: %s", r->argv[0], words);
    if (rc < 0)
        return err_set_errno(err, rc, "%s: %s", r->argv[0], words);
    return err_set(err, -EIO, "%s failed: %s", r->argv[0], words);
}

/* ---- the enclave's image ---- */

static const char g_build_file[] = "name: cloche-platform-report\n"
                                   "entrypoint: [/cloche-platform-report]\n"
                                   "args: []\n"
                                   "limits: {memory: 32M, threads: 8}\n";

/* What the image is made of, as one name. */
static int version_make(const char *const *files, unsigned count, char ret[65], struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t digest[32];
    int rc = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

    for (unsigned i = 0; rc == 0 && i < count; i++) {
        struct file_bytes file;

        rc = file_bytes_read(files[i], PROGRAM_SIZE_MAX, &file, err);
        if (rc < 0)
            break;
        if (EVP_DigestUpdate(ctx, &file.size, sizeof file.size) != 1 ||
            EVP_DigestUpdate(ctx, file.data, file.size) != 1)
            rc = -EIO;
        file_bytes_done(&file);
    }
    if (rc == 0 && (EVP_DigestUpdate(ctx, g_build_file, sizeof g_build_file) != 1 ||
                    EVP_DigestFinal_ex(ctx, digest, NULL) != 1))
        rc = -EIO;
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; i < 32 && rc == 0; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
    return rc;
}

/* Those of other versions. */
static void remove_others(const char *folder, const char *version)
{
    DIR *dir = opendir(folder);

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (strlen(e->d_name) > 64 && strncmp(e->d_name, version, 64) != 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
}

/* The environment with the builder's own files in `folder`: the key that signs is this node's, and means nothing: MRENCLAVE is what counts. */
static char **environment_make(const char *folder, char text[PATH_SIZE])
{
    size_t count = 0, used = 0;
    char **ret;

    while (environ[count])
        count++;
    ret = calloc(count + 2, sizeof *ret);
    if (!ret)
        return NULL;
    snprintf(text, PATH_SIZE, "XDG_CONFIG_HOME=%.4000s", folder);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "XDG_CONFIG_HOME=", 16) != 0)
            ret[used++] = environ[i];
    ret[used] = text;
    return ret;
}

static int seal(const struct node_options *o, const char *folder, const char *source,
                const char *image, char **ret, struct err *err)
{
    char build_file[PATH_SIZE], made[PATH_SIZE], log[PATH_SIZE], variable[PATH_SIZE];
    const char *argv[] = { o->program, "build", "--json", "-q", "-f",
                           build_file, source,  "-o",     made, NULL };
    struct run run = {
        .argv = (char *const *)argv, .log = log, .timeout_ms = SEAL_MS, .max = SEAL_OUTPUT_MAX
    };
    char **environment = environment_make(folder, variable);
    int rc = environment ? 0 : err_set_errno(err, -ENOMEM, "the node's enclave");

    snprintf(build_file, sizeof build_file, "%.4000s/report.yaml", folder);
    snprintf(made, sizeof made, "%.4000s/new.%ld.tar", folder, (long)getpid());
    snprintf(log, sizeof log, "%.4000s/build.log", folder);
    run.environment = environment;
    if (rc == 0)
        rc = contexts_file_write(build_file, g_build_file, sizeof g_build_file - 1, err);
    if (rc == 0)
        rc = perform(&run, err);
    if (rc == 0 && rename(made, image) < 0)
        rc = err_set_errno(err, -errno, "%s", image);
    if (rc < 0)
        unlink(made);
    free(environment);
    if (rc == 0)
        *ret = TAKE_PTR(run.output);
    free(run.output);
    return rc;
}

static int mrenclave_read(const char *text, char ret[65], struct err *err)
{
    json_t *report = json_loads(text, 0, NULL);
    const char *value = json_string_value(json_object_get(report, "mrenclave"));
    int rc = 0;

    if (value && strlen(value) == 64 && strspn(value, "0123456789abcdef") == 64)
        memcpy(ret, value, 65);
    else
        rc = err_set(err, -EBADMSG, "the builder did not say what it measured");
    json_decref(report);
    return rc;
}

int node_attest_image(const struct node_options *o, char *ret_path, size_t ret_path_size,
                      char ret_mrenclave[65], struct err *err)
{
    char enclave[PATH_SIZE], agent[PATH_SIZE], source[PATH_SIZE], folder[PATH_SIZE];
    char note[PATH_SIZE], version[65], *report = NULL;
    const char *const files[] = { enclave, agent, source };
    struct file_bytes file;
    int rc = cli_program_path("cloche-enclave", enclave, sizeof enclave, err);

    if (rc == 0)
        rc = cli_program_path("cloche-agent", agent, sizeof agent, err);
    if (rc == 0)
        rc = cli_program_path("cloche-platform-report.tar", source, sizeof source, err);
    snprintf(folder, sizeof folder, "%.3900s/attest", o->folder);
    if (rc == 0)
        rc = node_folder_make(folder, err);
    if (rc == 0)
        rc = version_make(files, ARRAY_COUNT(files), version, err);
    if (rc < 0)
        return rc;
    snprintf(ret_path, ret_path_size, "%.3900s/%.64s.tar", folder, version);
    snprintf(note, sizeof note, "%.3900s/%.64s.json", folder, version);
    if (access(ret_path, R_OK) == 0 && file_bytes_read(note, SEAL_OUTPUT_MAX, &file, NULL) == 0) {
        rc = mrenclave_read((char *)file.data, ret_mrenclave, NULL);
        file_bytes_done(&file);
        if (rc == 0)
            return 0;
    }
    remove_others(folder, version);
    rc = seal(o, folder, source, ret_path, &report, err);
    if (rc == 0)
        rc = mrenclave_read(report, ret_mrenclave, err);
    if (rc == 0)
        rc = contexts_file_write(note, report, strlen(report), err);
    free(report);
    return rc;
}

/* ---- runs ---- */

int node_enclave_run(const struct node_options *o, const char *image, const void *input,
                     size_t input_size, unsigned timeout_ms, size_t max, char **ret,
                     size_t *ret_size, struct err *err)
{
    char loader[PATH_SIZE], log[PATH_SIZE];
    const char *argv[12] = { loader };
    struct run run = { .argv = (char *const *)argv,
                       .environment = environ,
                       .log = log,
                       .input = input,
                       .input_size = input_size,
                       .timeout_ms = timeout_ms,
                       .max = max };
    unsigned count = 1;
    int rc = cli_program_path("cloche-loader", loader, sizeof loader, err);

    snprintf(log, sizeof log, "%.4000s/attest/run.log", o->folder);
    if (o->quote_socket) {
        argv[count++] = "--quote-socket";
        argv[count++] = o->quote_socket;
    }
    if (o->collateral) {
        argv[count++] = "--collateral";
        argv[count++] = o->collateral;
    }
    argv[count++] = "--image";
    argv[count++] = image;
    argv[count++] = "--";
    if (rc == 0)
        rc = perform(&run, err);
    if (rc == 0 && run.size == 0)
        rc = err_set(err, -EBADMSG, "the node's enclave answered nothing");
    if (rc < 0) {
        free(run.output);
        return rc;
    }
    *ret = run.output;
    *ret_size = run.size;
    return 0;
}
