/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence from the node's enclave to the server. Relying party side; what server and enclave answer is parsed as hostile. */
#include "cli/node_attest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "abi/exchange.h"
#include "attest/base64url.h"
#include "attest/tsm_blobs.h"
#include "cli/cli.h"
#include "cli/node_enclave.h"
#include "client/client.h"

#define PATH_SIZE 4096u
#define RETRY_S_FIRST 5
#define RETRY_S_MAX 600
#define ANSWER_SIZE_MAX (2u << 20)
#define RUN_MS 60000

struct node_attest {
    pthread_mutex_t lock; /* guards is_wanted */
    pthread_cond_t changed;
    bool is_wanted;
    const struct node_options *options;
    const json_t *context;
    struct client *client; /* the thread's */
};

/* ---- what the enclave answers ---- */

static size_t number_read(const char **text, size_t max)
{
    char *end;
    unsigned long value = **text >= '0' && **text <= '9' ? strtoul(*text, &end, 10) : max + 1;

    if (value <= max)
        *text = end;
    return value;
}

/* "PROVIDER OUTBLOB_SIZE AUXBLOB_SIZE", a newline, both blobs; text has a NUL behind size. Borrows. */
static int answer_parse(char *text, size_t size, struct tsm_blobs *ret, struct err *err)
{
    char *end = memchr(text, '\n', size), *space = memchr(text, ' ', size);
    const char *at = space ? space + 1 : "";
    size_t left = end ? size - (size_t)(end + 1 - text) : 0;

    *ret = (struct tsm_blobs){ 0 };
    if (!end || !space || space > end || space == text ||
        (size_t)(space - text) >= sizeof ret->provider)
        return err_set(err, -EBADMSG, "the enclave's answer has no provider");
    memcpy(ret->provider, text, (size_t)(space - text));
    ret->out_size = number_read(&at, left);
    if (ret->out_size <= left && *at == ' ') {
        at++;
        ret->aux_size = number_read(&at, left);
    }
    if (at != end || ret->out_size == 0 || ret->out_size > left ||
        ret->aux_size != left - ret->out_size)
        return err_set(err, -EBADMSG, "the enclave's answer is cut, or too long");
    ret->out = (uint8_t *)end + 1;
    ret->aux = ret->aux_size ? ret->out + ret->out_size : NULL;
    return 0;
}

/* Evidence as the exchange takes it; *ret for json_decref. */
static int evidence_make(const struct node_options *options, const uint8_t report_data[64],
                         json_t **ret, struct err *err)
{
    char image[PATH_SIZE], mrenclave[65];
    CLEANUP(cmw_freep)
    struct cmw *cmw = NULL;
    struct tsm_blobs blobs;
    char *answer = NULL, *text = NULL;
    size_t size;
    int rc = node_attest_image(options, image, sizeof image, mrenclave, err);

    if (rc == 0)
        rc = node_enclave_run(options, image, report_data, 64, RUN_MS, ANSWER_SIZE_MAX, &answer,
                              &size, err);
    if (rc == 0)
        rc = answer_parse(answer, size, &blobs, err);
    if (rc == 0)
        rc = tsm_blobs_wrap(&blobs, &cmw, err);
    free(answer);
    if (rc == 0)
        rc = cmw_encode_json(cmw, &text, &size);
    if (rc < 0)
        return rc;
    *ret = json_loadb(text, size, 0, NULL);
    free(text);
    return *ret ? 0 : err_set_errno(err, -ENOMEM, "evidence");
}

/* ---- the exchange ---- */

static int nonce_get(struct client *client, char ret_text[64], uint8_t ret[EXCHANGE_NONCE_SIZE],
                     struct err *err)
{
    struct client_answer answer;
    json_t *body = json_object();
    const char *text;
    int rc = client_call(client, "POST", "/v1/exchange/nonce", body, NULL, &answer, err);

    json_decref(body);
    if (rc < 0)
        return rc;
    text = json_string_value(json_object_get(answer.body, "nonce"));
    if (!text || strlen(text) > 63 || base64url_decoded_size(strlen(text)) != EXCHANGE_NONCE_SIZE ||
        base64url_decode(text, strlen(text), ret) < 0)
        rc = err_set(err, -EBADMSG, "the server gave no proper nonce");
    else
        memcpy(ret_text, text, strlen(text) + 1);
    client_answer_done(&answer);
    return rc;
}

static int binding_make(const uint8_t nonce[EXCHANGE_NONCE_SIZE], const char *key_text,
                        uint8_t ret[64], struct err *err)
{
    static const char head[] = EXCHANGE_BINDING "\0" EXCHANGE_PURPOSE_NODE; /* with its last NUL */
    uint8_t bytes[sizeof head + EXCHANGE_NONCE_SIZE + NODE_KEY_TEXT_SIZE];
    size_t key_size = base64url_decoded_size(strlen(key_text));

    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, nonce, EXCHANGE_NONCE_SIZE);
    if (base64url_decode(key_text, strlen(key_text), bytes + sizeof head + EXCHANGE_NONCE_SIZE) <
            0 ||
        EVP_Digest(bytes, sizeof head + EXCHANGE_NONCE_SIZE + key_size, ret, NULL, EVP_sha512(),
                   NULL) != 1)
        return err_set(err, -EIO, "no digest");
    return 0;
}

static int show(struct node_attest *a, struct err *err)
{
    const char *node = json_string_value(json_object_get(a->context, "node"));
    char key[NODE_KEY_TEXT_SIZE], nonce[64];
    uint8_t nonce_bytes[EXCHANGE_NONCE_SIZE], binding[64];
    struct client_answer answer;
    json_t *evidence = NULL, *body;
    int rc = node_key_read(a->options->folder, key, err);

    if (rc == 0 && !node)
        rc = err_set(err, -EBADMSG, "the node's configuration does not say which node it is");
    if (rc == 0)
        rc = nonce_get(a->client, nonce, nonce_bytes, err);
    if (rc == 0)
        rc = binding_make(nonce_bytes, key, binding, err);
    if (rc == 0)
        rc = evidence_make(a->options, binding, &evidence, err);
    if (rc < 0)
        return rc;
    body = json_pack("{s:s,s:s,s:s,s:o,s:s}", "nonce", nonce, "purpose", EXCHANGE_PURPOSE_NODE,
                     "public_key", key, "evidence", evidence, "node", node);
    rc = body ? client_call(a->client, "POST", "/v1/exchange/evidence", body, NULL, &answer, err)
              : err_set_errno(err, -ENOMEM, "evidence");
    json_decref(body);
    if (rc == 0)
        client_answer_done(&answer);
    return rc;
}

/* ---- the thread ---- */

/* Waits until evidence is wanted, and at least so long. */
static void wait_wanted(struct node_attest *a, unsigned pause_s)
{
    struct timespec pause = { .tv_sec = pause_s };

    if (pause_s)
        nanosleep(&pause, NULL);
    pthread_mutex_lock(&a->lock);
    while (!a->is_wanted)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

static void *attest_thread(void *arg)
{
    struct node_attest *a = arg;
    unsigned pause_s = 0;

    for (;;) {
        struct err err = { 0 };
        int rc;

        wait_wanted(a, pause_s);
        rc = show(a, &err);
        if (rc == 0) {
            fprintf(stderr, "cloche node: evidence of the platform was accepted\n");
        } else {
            fprintf(stderr, "cloche node: evidence of the platform: %s\n", err.text);
        }
        /* The server has judged it, and says itself when it wants to see it again. */
        if (rc == 0 || rc == -EACCES || rc == -EPROTO) {
            node_attest_want(a, false);
            pause_s = RETRY_S_FIRST;
        } else {
            pause_s = pause_s ? MIN(2 * pause_s, (unsigned)RETRY_S_MAX) : RETRY_S_FIRST;
        }
    }
    return NULL;
}

void node_attest_want(struct node_attest *a, bool is_wanted)
{
    pthread_mutex_lock(&a->lock);
    a->is_wanted = is_wanted;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

int node_attest_open(const struct node_options *options, const json_t *context,
                     struct node_attest **ret, struct err *err)
{
    struct node_attest *a = calloc(1, sizeof *a);
    pthread_t thread;
    int rc;

    if (!a)
        return err_set_errno(err, -ENOMEM, "evidence");
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->options = options;
    a->context = context;
    rc = client_new(context, &a->client, err);
    if (rc < 0)
        return rc; /* the program ends now */
    rc = pthread_create(&thread, NULL, attest_thread, a);
    if (rc)
        return err_set_errno(err, -rc, "cannot start a thread");
    pthread_detach(thread);
    *ret = a;
    return 0;
}
