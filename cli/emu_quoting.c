/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `cloche emu quoting`: seals and starts the emulated platform's quoting enclave and serves AESM's protocol on a UNIX socket. Relying party
 * side; protects nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "builder/seal.h"
#include "cli/cli.h"
#include "cli/emu.h"
#include "host/quote/aesm.h"
#include "host/quote/quote.h"
#include "host/sgx/emu/pki/pki.h"
#include "host/sgx/emu/quoting/service.h"

#define PATH_SIZE 4096u
#define QE_PROD_ID 1u
#define QE_SVN 1u

static const char g_usage[] =
    "usage: cloche emu quoting --pki DIR [--socket PATH]\n"
    "\n"
    "The quoting service of the emulated platform: `cloche run` finds it as it finds AESM on a "
    "real\n"
    "one. Runs until SIGTERM or SIGINT. It protects nothing.\n"
    "\n"
    "  --pki     folder of `cloche emu pki`, made when it is not there; the quoting enclave's "
    "image\n"
    "            and its signing key are kept in DIR/quoting, its identity is described in the "
    "PKI\n"
    "  --socket  where to listen; default: " QUOTE_SOCKET_EMULATED "\n"
    "            (others: `cloche run --quote-socket PATH`, or " QUOTE_SOCKET_ENV "=PATH)\n";

static const char g_build_file[] = "name: emulated-quoting-enclave\n"
                                   "entrypoint: [/cloche-emu-qe]\n"
                                   "hostname: quoting\n"
                                   "isv_prod_id: 1\n"
                                   "isv_svn: 1\n"
                                   "limits: {memory: 64M, threads: 16}\n";

struct quoting_command {
    const char *pki, *socket;
    char folder[PATH_SIZE - 64]; /* DIR/quoting */
    char image[PATH_SIZE], loader[PATH_SIZE];
    int listener;
    struct quoting *quoting;
    atomic_uint clients;
};

/* ---- the image ---- */

/* RSA with 3072 bits and exponent 3, as SIGSTRUCT wants it. */
static int signing_key_make(const char *path, struct err *err)
{
    unsigned bits = 3072;
    BIGNUM *three = BN_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = -EIO;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

    if (!file)
        rc = -errno;
    else if (three && BN_set_word(three, 3) && ctx && EVP_PKEY_keygen_init(ctx) == 1 &&
             EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
             EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, three) == 1 &&
             EVP_PKEY_generate(ctx, &key) == 1 &&
             PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1)
        rc = 0;
    if (file && fclose(file) != 0 && rc == 0)
        rc = -EIO;
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    BN_free(three);
    return rc < 0 ? err_set_errno(err, rc, "cannot make the key %s", path) : 0;
}

static int copy_program(const char *from, const char *to, struct err *err)
{
    char buffer[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755), rc = 0;
    ssize_t count = 0;

    if (in < 0 || out < 0)
        rc = -errno;
    while (rc == 0 && (count = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)count) != count)
            rc = -EIO;
    if (rc == 0 && count < 0)
        rc = -errno;
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) < 0 && rc == 0)
        rc = -errno;
    return rc < 0 ? err_set_errno(err, rc, "cannot copy %s to %s", from, to) : 0;
}

static int write_text(const char *path, const char *text, struct err *err)
{
    FILE *file = fopen(path, "w");
    bool good = file && fputs(text, file) >= 0;

    if (file && fclose(file) != 0)
        good = false;
    return good ? 0 : err_set_errno(err, -EIO, "cannot write %s", path);
}

static int hex_parse(const char *text, uint8_t ret[32])
{
    for (unsigned i = 0; i < 32; i++) {
        unsigned byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return -EINVAL;
        ret[i] = (uint8_t)byte;
    }
    return 0;
}

/* The identity in the PKI becomes that of the image's signer. */
static int describe(const struct quoting_command *c, const struct seal_result *result,
                    struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    struct emu_pki_qe qe = { .isv_prod_id = QE_PROD_ID, .isv_svn = QE_SVN };
    int rc = hex_parse(result->mrsigner, qe.mrsigner);

    if (rc == 0)
        rc = emu_pki_open(c->pki, &pki, err);
    if (rc < 0 || emu_pki_qe_is(pki, &qe))
        return rc;
    rc = emu_pki_qe_set(pki, &qe, err);
    return rc < 0 ? rc : emu_pki_publish(pki, err);
}

/* Sealed anew at each start: the programs beside this one may be others than last time. */
static int image_make(struct quoting_command *c, struct err *err)
{
    char key[PATH_SIZE], root[PATH_SIZE], program[PATH_SIZE + 32], build_file[PATH_SIZE];
    char enclave[PATH_SIZE], agent[PATH_SIZE], from[PATH_SIZE];
    struct progress progress = { 0 };
    struct seal_options o = { .source = root,
                              .output = c->image,
                              .build_file = build_file,
                              .sign_key = key,
                              .enclave = enclave,
                              .loader = c->loader,
                              .agent = agent,
                              .progress = &progress };
    struct seal_result result;
    int rc = cli_program_path("cloche-enclave", enclave, sizeof enclave, err);

    snprintf(key, sizeof key, "%s/sign.pem", c->folder);
    snprintf(root, sizeof root, "%s/root", c->folder);
    snprintf(program, sizeof program, "%s/cloche-emu-qe", root);
    snprintf(build_file, sizeof build_file, "%s/cloche.yaml", c->folder);
    if (rc == 0)
        rc = cli_program_path("cloche-agent", agent, sizeof agent, err);
    if (rc == 0)
        rc = cli_program_path("cloche-emu-qe", from, sizeof from, err);
    if (rc == 0 && ((mkdir(c->folder, 0700) < 0 && errno != EEXIST) ||
                    (mkdir(root, 0755) < 0 && errno != EEXIST)))
        rc = err_set_errno(err, -errno, "cannot make %s", root);
    if (rc == 0 && access(key, R_OK) < 0)
        rc = signing_key_make(key, err);
    if (rc == 0)
        rc = copy_program(from, program, err);
    if (rc == 0)
        rc = write_text(build_file, g_build_file, err);
    if (rc == 0)
        rc = seal_image(&o, &result, err);
    return rc < 0 ? rc : describe(c, &result, err);
}

/* ---- serving ---- */

struct client {
    struct quoting_command *command;
    int fd;
};

static void *serve_client(void *arg)
{
    struct client *client = arg;

    quoting_serve(client->command->quoting, client->fd);
    atomic_fetch_sub(&client->command->clients, 1); /* the last that is done with the command */
    free(client);
    return NULL;
}

static void accept_client(struct quoting_command *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
    struct client *client = NULL;
    pthread_t thread;

    if (fd < 0)
        return;
    if (atomic_fetch_add(&c->clients, 1) < QUOTING_CLIENT_COUNT_MAX)
        client = malloc(sizeof *client);
    if (client) {
        *client = (struct client){ c, fd };
        if (pthread_create(&thread, NULL, serve_client, client) == 0) {
            pthread_detach(thread);
            return;
        }
        free(client);
    }
    atomic_fetch_sub(&c->clients, 1);
    close(fd);
}

static int listen_at(struct quoting_command *c, struct err *err)
{
    struct sockaddr_un address;
    char folder[PATH_SIZE], *slash;
    int rc = aesm_address_set(c->socket, &address);

    if (rc < 0)
        return err_set(err, rc, "%s: too long for a socket's name", c->socket);
    snprintf(folder, sizeof folder, "%s", c->socket);
    slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
            return err_set_errno(err, -errno, "cannot make %s", folder);
    }
    if (aesm_probe(&address) == 0)
        return err_set(err, -EADDRINUSE, "somebody serves %s already", c->socket);
    unlink(c->socket); /* one whose service is gone */
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(c->socket, 0666) < 0 || listen(c->listener, (int)QUOTING_CLIENT_COUNT_MAX) < 0)
        return err_set_errno(err, -errno, "cannot listen at %s", c->socket);
    return 0;
}

/* Until a signal, or until the enclave is gone. */
static int serve(struct quoting_command *c, int signals, struct err *err)
{
    for (;;) {
        struct pollfd p[] = { { .fd = c->listener, .events = POLLIN },
                              { .fd = signals, .events = POLLIN } };
        struct signalfd_siginfo info;

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return err_set_errno(err, -errno, "cannot wait");
        if (p[1].revents && read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
            if (info.ssi_signo != SIGCHLD)
                return 0;
            return err_set(err, -EIO, "the quoting enclave ended");
        }
        if (p[0].revents)
            accept_client(c);
    }
}

static int run(struct quoting_command *c, struct err *err)
{
    struct quoting_options options = { .loader = c->loader, .image = c->image, .pki = c->pki };
    struct emu_pki_platform platform = { 0 };
    char state[PATH_SIZE + 16];
    sigset_t set;
    int rc = 0, signals;

    snprintf(state, sizeof state, "%s/state.json", c->pki);
    if (access(state, F_OK) < 0)
        rc = emu_pki_init(c->pki, &platform, err);
    if (rc == 0)
        rc = cli_program_path("cloche-loader", c->loader, sizeof c->loader, err);
    if (rc == 0)
        rc = image_make(c, err);
    if (rc < 0)
        return rc;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0)
        return err_set_errno(err, -errno, "cannot wait for signals");
    rc = quoting_start(&options, &c->quoting, err);
    if (rc == 0)
        rc = listen_at(c, err);
    if (rc == 0) {
        printf("emulated quoting service, protects nothing: %s\n", c->socket);
        fflush(stdout);
        rc = serve(c, signals, err);
        unlink(c->socket);
    }
    return rc;
}

int cmd_emu_quoting(int argc, char **argv)
{
    static const struct option options[] = { { "pki", required_argument, NULL, 'p' },
                                             { "socket", required_argument, NULL, 's' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    static struct quoting_command c;
    struct err err = { 0 };
    int option, rc;

    c.socket = QUOTE_SOCKET_EMULATED;
    c.listener = -1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p')
            c.pki = optarg;
        else if (option == 's')
            c.socket = optarg;
        else if (option == 'h')
            return fputs(g_usage, stdout) < 0 ? CLI_EXIT_FAILED : CLI_EXIT_OK;
        else
            return cli_usage("emu quoting", "no such option, or its value is missing");
    }
    if (!c.pki || optind != argc)
        return cli_usage("emu quoting", "--pki DIR is needed, and nothing else");
    if (snprintf(c.folder, sizeof c.folder, "%s/quoting", c.pki) >= (int)sizeof c.folder)
        return cli_usage("emu quoting", "%s: the name is too long", c.pki);
    snprintf(c.image, sizeof c.image, "%s/image", c.folder);
    rc = run(&c, &err);
    /* Clients that are being served hold the service; the process's end ends them. */
    if (atomic_load(&c.clients) == 0)
        quoting_free(c.quoting);
    return rc < 0 ? cli_fail(&err, rc) : CLI_EXIT_OK;
}
