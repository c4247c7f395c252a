/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the quoting enclave, certifies its key, and passes requests to it. Untrusted side. */
#include "host/sgx/emu/quoting/service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/quote/collateral.h"
#include "host/sgx/emu/pki/pki.h"
#include "host/sgx/emu/quoting/protocol.h"

struct quoting {
    const struct quoting_options *options;
    pid_t child;
    int to, from;         /* the enclave's standard input and output; -1: none */
    pthread_mutex_t lock; /* guards the pipes and what follows: one request at a time */
    struct qe_identity_answer identity;
    char *chain; /* PCK chain that the enclave has; NULL: none yet */
    size_t chain_size;
};

/* ---- the enclave's process ---- */

static void run_child(const struct quoting_options *o, int in, int out)
{
    char *argv[] = { (char *)"cloche-loader", (char *)"--image", (char *)o->image, NULL };

    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(127);
    setenv("CLOCHE_SGX", "emulated", 1);
    unsetenv("CLOCHE_QUOTE_SOCKET"); /* it is the service that others use */
    unsetenv("CLOCHE_COLLATERAL");
    execv(o->loader, argv);
    _exit(127);
}

static int start_child(struct quoting *q, struct err *err)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || (q->child = fork()) < 0) {
        int rc = err_set_errno(err, -errno, "cannot start the quoting enclave");

        for (unsigned i = 0; i < 2; i++) {
            if (in[i] >= 0)
                close(in[i]);
            if (out[i] >= 0)
                close(out[i]);
        }
        q->child = 0;
        return rc;
    }
    if (q->child == 0)
        run_child(q->options, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    q->to = in[1];
    q->from = out[0];
    return 0;
}

/* ---- requests ---- */

static int write_all(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;

    while (size > 0) {
        ssize_t count = write(fd, at, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        at += count;
        size -= (size_t)count;
    }
    return 0;
}

static int read_all(int fd, void *data, size_t size)
{
    uint8_t *at = data;

    while (size > 0) {
        ssize_t count = read(fd, at, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return -EIO;
        at += count;
        size -= (size_t)count;
    }
    return 0;
}

/* With the lock held. returns: bytes of the answer, at most max; -EIO the enclave is gone; its own error. */
static int64_t ask(struct quoting *q, enum qe_request kind, const void *data, size_t size,
                   void *dst, size_t max, struct err *err)
{
    struct qe_header header = { .size = (uint32_t)size, .kind = (int32_t)kind };
    int rc = write_all(q->to, &header, sizeof header);

    if (rc == 0)
        rc = write_all(q->to, data, size);
    if (rc == 0)
        rc = read_all(q->from, &header, sizeof header);
    if (rc == 0 && header.size > max)
        rc = -EIO;
    if (rc == 0)
        rc = read_all(q->from, dst, header.size);
    if (rc < 0)
        return err_set(err, -EIO, "the quoting enclave does not answer");
    if (header.kind < 0)
        return err_set_errno(err, header.kind, "the quoting enclave refuses");
    return header.size;
}

static int check_identity(struct quoting *q, struct err *err)
{
    int64_t size;

    pthread_mutex_lock(&q->lock);
    size = ask(q, QE_IDENTITY, NULL, 0, &q->identity, sizeof q->identity, err);
    pthread_mutex_unlock(&q->lock);
    if (size < 0)
        return (int)size;
    return size == sizeof q->identity
               ? 0
               : err_set(err, -EIO, "the quoting enclave's identity has a wrong size");
}

/* ---- certification: what the PCE does on a real platform ---- */

/* Gives the enclave the PKI's present PCK chain, unless it has it. With the lock held. */
static int certify(struct quoting *q, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    struct {
        struct qe_certification c;
        uint8_t chain[QE_CHAIN_SIZE_MAX];
    } message = { 0 };
    char *chain = NULL;
    size_t size = 0;
    int64_t rc = emu_pki_open(q->options->pki, &pki, err);

    if (rc == 0)
        rc = emu_pki_collateral_read(pki, "pck_chain.pem", &chain, &size, err);
    if (rc < 0)
        return (int)rc;
    if (q->chain && size == q->chain_size && memcmp(chain, q->chain, size) == 0) {
        free(chain);
        return 0;
    }
    if (size > QE_CHAIN_SIZE_MAX)
        rc = err_set(err, -E2BIG, "the PCK chain has more than %u bytes", QE_CHAIN_SIZE_MAX);
    if (rc == 0)
        rc = emu_pki_pck_sign(pki, &q->identity.report, sizeof q->identity.report,
                              message.c.signature, err);
    if (rc == 0) {
        message.c.pce_svn = emu_pki_pce_svn(pki);
        memcpy(message.chain, chain, size);
        rc = ask(q, QE_CERTIFY, &message, sizeof message.c + size, NULL, 0, err);
    }
    if (rc < 0) {
        free(chain);
        return (int)rc;
    }
    free(q->chain);
    q->chain = chain;
    q->chain_size = size;
    return 0;
}

/* ---- the interface ---- */

int quoting_start(const struct quoting_options *options, struct quoting **ret, struct err *err)
{
    struct quoting *q = calloc(1, sizeof *q);
    int rc;

    if (!q)
        return err_set_errno(err, -ENOMEM, "cannot start the quoting enclave");
    q->options = options;
    q->to = q->from = -1;
    pthread_mutex_init(&q->lock, NULL);
    rc = start_child(q, err);
    if (rc == 0)
        rc = check_identity(q, err);
    if (rc < 0) {
        quoting_free(q);
        return rc;
    }
    *ret = q;
    return 0;
}

void quoting_free(struct quoting *q)
{
    if (!q)
        return;
    if (q->to >= 0)
        close(q->to); /* the enclave ends */
    if (q->from >= 0)
        close(q->from);
    if (q->child > 0)
        while (waitpid(q->child, NULL, 0) < 0 && errno == EINTR)
            continue;
    pthread_mutex_destroy(&q->lock);
    free(q->chain);
    free(q);
}

int quoting_child(const struct quoting *q)
{
    return q->child;
}

const struct sgx_targetinfo *quoting_target(const struct quoting *q)
{
    return &q->identity.targetinfo;
}

const uint8_t *quoting_mrsigner(const struct quoting *q)
{
    return q->identity.report.mrsigner;
}

int64_t quoting_quote_size(struct quoting *q, struct err *err)
{
    /* Header, report, key, signatures, the quoting enclave's report and sizes: below 2 KiB; then the chain. */
    const int64_t fixed = 2048;
    int64_t size;
    int rc;

    pthread_mutex_lock(&q->lock);
    rc = certify(q, err);
    size = rc < 0 ? rc : fixed + (int64_t)q->chain_size;
    pthread_mutex_unlock(&q->lock);
    return size;
}

int64_t quoting_quote(struct quoting *q, const struct sgx_report *report, uint8_t *dst,
                      struct err *err)
{
    int64_t size;
    int rc;

    pthread_mutex_lock(&q->lock);
    rc = certify(q, err);
    size =
        rc < 0 ? rc : ask(q, QE_QUOTE, report, sizeof *report, dst, EVIDENCE_QUOTE_SIZE_MAX, err);
    pthread_mutex_unlock(&q->lock);
    return size;
}

int quoting_collateral(struct quoting *q, uint8_t **ret, size_t *ret_size, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL; /* its lock: nobody publishes meanwhile */
    char folder[4096];
    int rc = emu_pki_open(q->options->pki, &pki, err);

    snprintf(folder, sizeof folder, "%s/collateral", q->options->pki);
    return rc < 0 ? rc : collateral_read(folder, ret, ret_size, err);
}
