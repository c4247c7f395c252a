/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quoting service of this machine: AESM's socket, or that of `cloche emu quoting`, which speaks the same protocol. Untrusted side.
 * Everything that opens files happens in quote_open: the rest runs under the loader's seccomp list.
 */
#include "host/quote/quote.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/quote/aesm.h"
#include "host/quote/collateral.h"

#define COMPLAINT_COUNT_MAX 8u

struct quote_service {
    struct sockaddr_un address;
    bool emulated;
    pthread_mutex_t lock; /* guards what follows */
    uint8_t *collateral;  /* the last blob; NULL: none yet */
    size_t collateral_size;
    bool has_own_collateral; /* it came from a file: the service is not asked */
    unsigned complaint_count;
};

/* ---- finding it ---- */

static const char *find_path(const struct quote_options *o, bool *ret_named)
{
    const char *path = o->socket_path ? o->socket_path : getenv(QUOTE_SOCKET_ENV);

    *ret_named = path && *path;
    if (*ret_named)
        return path;
    return o->emulated ? QUOTE_SOCKET_EMULATED : QUOTE_SOCKET_DEFAULT;
}

static int read_collateral(struct quote_service *q, const struct quote_options *o, struct err *err)
{
    const char *path = o->collateral_path ? o->collateral_path : getenv(QUOTE_COLLATERAL_ENV);

    if (!path || !*path)
        return 0;
    q->has_own_collateral = true;
    return collateral_read(path, &q->collateral, &q->collateral_size, err);
}

int quote_open(const struct quote_options *o, struct quote_service **ret, struct err *err)
{
    bool named;
    const char *path = find_path(o, &named);
    struct quote_service *q = calloc(1, sizeof *q);
    int rc;

    if (!q)
        return err_set_errno(err, -ENOMEM, "cannot use the quoting service");
    pthread_mutex_init(&q->lock, NULL);
    q->emulated = o->emulated;
    rc = aesm_address_set(path, &q->address);
    if (rc == 0)
        rc = aesm_probe(&q->address);
    if (rc == 0)
        rc = read_collateral(q, o, err);
    else if (named)
        rc = err_set_errno(err, rc, "no quoting service answers at %s", path);
    else
        rc = -ENODEV;
    if (rc < 0) {
        quote_free(q);
        return rc;
    }
    *ret = q;
    return 0;
}

void quote_free(struct quote_service *q)
{
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    free(q->collateral);
    free(q);
}

/* ---- asking ---- */

/* For the operator: the enclave gets an errno only. A few times, so that nobody can fill a log with it. */
static void complain(struct quote_service *q, const struct err *err)
{
    char line[ERR_TEXT_SIZE + 64];
    bool again;
    int len;

    pthread_mutex_lock(&q->lock);
    again = q->complaint_count < COMPLAINT_COUNT_MAX;
    q->complaint_count += again;
    pthread_mutex_unlock(&q->lock);
    len = snprintf(line, sizeof line, "cloche: quoting service: %s\n", err->text);
    if (again && len > 0 && write(STDERR_FILENO, line, MIN((size_t)len, sizeof line - 1)) < 0)
        return; /* nobody reads it */
}

static int call(struct quote_service *q, struct aesm_request *request, int64_t until_ms,
                struct aesm_answer *ret)
{
    struct err err = { 0 };
    int64_t left_ms = until_ms - aesm_now_ms();
    int rc;

    request->timeout_ms = left_ms > 0 ? (uint32_t)left_ms : 0;
    rc = aesm_call(&q->address, request, until_ms, ret, &err);
    if (rc == -ENOMEM)
        rc = -EAGAIN;
    if (rc < 0)
        complain(q, &err);
    return rc;
}

/* The service's key for ECDSA on P-256. */
static int find_key(struct quote_service *q, int64_t until_ms, uint8_t ret[AESM_KEY_ID_SIZE])
{
    struct aesm_request request = { .kind = AESM_KEY_COUNT };
    struct aesm_answer answer;
    int rc = call(q, &request, until_ms, &answer);

    if (rc < 0)
        return rc;
    request = (struct aesm_request){ .kind = AESM_KEYS, .number = answer.number };
    rc = call(q, &request, until_ms, &answer);
    if (rc < 0)
        return rc;
    rc = -EIO;
    for (size_t at = 0; rc < 0 && at < answer.size; at += AESM_KEY_ID_SIZE) {
        static const uint8_t wanted[4] = { AESM_ALGORITHM_ECDSA_P256 };

        if (memcmp(answer.data + at + AESM_KEY_ALGORITHM_OFF, wanted, sizeof wanted) == 0) {
            memcpy(ret, answer.data + at, AESM_KEY_ID_SIZE);
            rc = 0;
        }
    }
    free(answer.data);
    if (rc < 0)
        complain(q, &(struct err){ "it has no attestation key for ECDSA on P-256" });
    return rc;
}

int quote_target(struct quote_service *q, struct evidence_target *ret)
{
    struct evidence_target target = { .att_key_id.size = AESM_KEY_ID_SIZE };
    struct aesm_request request = { .kind = AESM_INIT, .key = target.att_key_id.bytes };
    struct aesm_answer answer;
    int64_t until_ms = aesm_now_ms() + QUOTE_TIMEOUT_MS;
    int rc = q ? find_key(q, until_ms, target.att_key_id.bytes) : -ENODEV;

    if (rc == 0)
        rc = call(q, &request, until_ms, &answer);
    if (rc < 0)
        return rc;
    memcpy(&target.targetinfo, answer.data, sizeof target.targetinfo);
    free(answer.data);
    *ret = target;
    return 0;
}

int64_t quote_get(struct quote_service *q, const struct evidence_quote_request *request, void *dst)
{
    bool has_key = request->att_key_id.size == AESM_KEY_ID_SIZE;
    const uint8_t *key = has_key ? request->att_key_id.bytes : NULL;
    struct aesm_request ask = { .kind = AESM_QUOTE_SIZE, .key = key };
    struct aesm_answer answer;
    int64_t until_ms = aesm_now_ms() + QUOTE_TIMEOUT_MS, size;
    int rc = q ? 0 : -ENODEV;

    if (rc == 0 && !has_key && request->att_key_id.size != 0)
        rc = -EIO;
    if (rc == 0)
        rc = call(q, &ask, until_ms, &answer);
    if (rc < 0)
        return rc;
    ask = (struct aesm_request){ .kind = AESM_QUOTE,
                                 .key = key,
                                 .number = answer.number,
                                 .payload = (const uint8_t *)&request->report,
                                 .payload_size = sizeof request->report };
    rc = call(q, &ask, until_ms, &answer);
    if (rc < 0)
        return rc;
    size =
        (int64_t)
            answer.size; /* at most what the size was said to be, at most EVIDENCE_QUOTE_SIZE_MAX */
    memcpy(dst, answer.data, answer.size);
    free(answer.data);
    return size;
}

/* ---- collateral ---- */

/* Only the emulated service has collateral: AESM has no such request. */
static int fetch_collateral(struct quote_service *q, const void *quote, size_t quote_size)
{
    struct aesm_request request = { .kind = AESM_COLLATERAL,
                                    .payload = quote,
                                    .payload_size = quote_size };
    struct aesm_answer answer;
    int rc = q->emulated ? call(q, &request, aesm_now_ms() + QUOTE_TIMEOUT_MS, &answer) : -ENODATA;

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&q->lock);
    free(q->collateral);
    q->collateral = answer.data;
    q->collateral_size = answer.size;
    pthread_mutex_unlock(&q->lock);
    return 0;
}

int64_t quote_collateral(struct quote_service *q, const void *quote, size_t quote_size,
                         uint64_t off, void *dst, size_t size, uint64_t *ret_total)
{
    int rc = q ? 0 : -ENODEV;
    size_t count;

    /* Its first part asks the service; the rest follows from the same blob. */
    if (rc == 0 && off == 0 && !q->has_own_collateral)
        rc = fetch_collateral(q, quote, quote_size);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&q->lock);
    if (!q->collateral) {
        pthread_mutex_unlock(&q->lock);
        return -ENODATA;
    }
    count = off < q->collateral_size ? MIN(size, q->collateral_size - (size_t)off) : 0;
    memcpy(dst, q->collateral + (count ? off : 0), count);
    *ret_total = q->collateral_size;
    pthread_mutex_unlock(&q->lock);
    return (int64_t)count;
}
