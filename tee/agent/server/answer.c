/* SPDX-License-Identifier: Apache-2.0 */
/* See answer.h. Trusted; hosted. */
#include "tee/agent/server/answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/descriptor.h"
#include "tee/agent/server/wipe.h"

#define PEM_SIZE_MAX 65536u
#define RESULT_SIZE_MAX 65536u

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static const char *text_of(const json_t *object, const char *member)
{
    return json_string_value(json_object_get(object, member));
}

/* A text that fits; empty is allowed. */
static int text_take(const json_t *object, const char *member, char *dst, size_t size)
{
    const char *text = text_of(object, member);

    return text && snprintf(dst, size, "%s", text) < (int)size ? 0 : -EINVAL;
}

/* Cut, and without what a terminal could take for an order. */
static void line_take(const json_t *object, const char *member, char *dst, size_t size)
{
    const json_t *value = json_object_get(object, member);
    const char *text = json_string_value(value);
    CLEANUP(wipe_freep)
    char *dumped = NULL;
    size_t len = 0;

    if (!text && value && !json_is_null(value))
        text = dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    for (; text && text[len] && len + 1 < size; len++) {
        bool is_control = (unsigned char)text[len] < ' ' || text[len] == 0x7f ||
                          ((unsigned char)text[len] == 0xc2 && (unsigned char)text[len + 1] < 0xa0);

        dst[len] = is_control ? ' ' : text[len];
    }
    dst[len] = 0;
}

/* Opens {"answer": JWS}. */
static int envelope_open(const struct pins *pins, const char *body, size_t size, json_t **ret,
                         struct err *err)
{
    CLEANUP(json_freep)
    json_t *top = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *answer = json_object_get(top, "answer");
    const char *reason = "";
    int rc;

    if (!json_is_string(answer))
        return err_set(err, -EINVAL, "what came is no answer");
    rc =
        jose_answer_open(pins, json_string_value(answer), json_string_length(answer), ret, &reason);
    return rc < 0 ? err_set(err, rc, "%s", reason) : 0;
}

static bool text_is(const json_t *object, const char *member, const char *expected)
{
    const char *text = text_of(object, member);

    return text && strcmp(text, expected) == 0;
}

/* ---- certificates ---- */

/* Texts of an array, one after another. */
static int pem_join(const json_t *array, char **ret)
{
    size_t size = 0, i;
    const json_t *value;
    char *joined;

    if (!json_is_array(array) || json_array_size(array) < 1 ||
        json_array_size(array) > PIN_CHAIN_MAX)
        return -EINVAL;
    json_array_foreach(array, i, value)
    {
        if (!json_is_string(value) || json_string_length(value) > PEM_SIZE_MAX)
            return -EINVAL;
        size += json_string_length(value) + 1;
    }
    joined = malloc(size + 1);
    if (!joined)
        return -ENOMEM;
    size = 0;
    json_array_foreach(array, i, value)
    {
        size_t len = json_string_length(value);

        memcpy(joined + size, json_string_value(value), len);
        size += len;
        if (len > 0 && joined[size - 1] != '\n')
            joined[size++] = '\n';
    }
    joined[size] = 0;
    *ret = joined;
    return 0;
}

/* The leaf is for our key, and the chain, with the roots beside it, ends at a pin. */
static int certificates_check(const struct answer_question *q, const struct answer *a,
                              struct err *err)
{
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *chain = NULL;
    CLEANUP(pin_chain_freep)
    STACK_OF(X509) *roots = NULL;
    const char *reason = "";
    EVP_PKEY *key;

    if (pin_chain_read(a->certificates, &chain) < 0 || pin_chain_read(a->roots, &roots) < 0)
        return err_set(err, -EINVAL, "the certificates are malformed");
    key = X509_get0_pubkey(sk_X509_value(chain, 0));
    if (!key || EVP_PKEY_eq(key, q->key->key) != 1)
        return err_set(err, -EBADMSG, "the certificate is for another key: an answer to another");
    while (sk_X509_num(roots) > 0) {
        X509 *root = sk_X509_shift(roots);

        if (sk_X509_push(chain, root) <= 0) {
            X509_free(root);
            return -ENOMEM;
        }
    }
    if (pin_verify(q->pins, chain, a->terms.time_s, 0, &reason) < 0)
        return err_set(err, -EBADMSG, "the certificate does not end at the pinned CA key (%s)",
                       reason);
    return 0;
}

static int certificates_take(const struct answer_question *q, const json_t *payload,
                             struct answer *a, struct err *err)
{
    int rc = pem_join(json_object_get(payload, "certificates"), &a->certificates);

    if (rc == 0)
        rc = pem_join(json_object_get(payload, "roots"), &a->roots);
    if (rc < 0)
        return err_set(err, rc, "the certificates are malformed");
    return certificates_check(q, a, err);
}

/* ---- the rest of an answer ---- */

static int secrets_take(const struct answer_question *q, const json_t *payload, struct answer *a,
                        struct err *err)
{
    const json_t *jwe = json_object_get(payload, "secrets");
    uint8_t *plain;
    size_t size;
    int rc;

    if (text_take(payload, "secrets_version", a->secrets_version, sizeof a->secrets_version) < 0)
        return err_set(err, -EINVAL, "secrets_version is malformed");
    if (json_is_null(jwe))
        return 0;
    if (!json_is_string(jwe))
        return err_set(err, -EINVAL, "secrets are malformed");
    rc = jose_secret_open(q->key, json_string_value(jwe), json_string_length(jwe), &plain, &size);
    if (rc < 0)
        return err_set(err, rc, "the secrets are not encrypted to this instance's key");
    rc = secret_list_parse(plain, size, q->nonce, &a->secrets, err);
    wipe_free(plain);
    a->has_secrets = rc == 0;
    return rc;
}

static int servers_take(const json_t *array, struct answer *a)
{
    const json_t *value;
    size_t i;

    if (!array)
        return 0;
    if (!json_is_array(array) || json_array_size(array) > ANSWER_SERVERS_MAX)
        return -EINVAL;
    json_array_foreach(array, i, value)
    {
        const char *text = json_string_value(value);

        if (!text || !descriptor_url_is_valid(text))
            return -EINVAL;
        snprintf(a->servers[a->server_count++], ANSWER_SERVER_SIZE, "%s", text);
    }
    return 0;
}

static int lease_take_terms(const json_t *payload, struct answer *a)
{
    const json_t *lease = json_object_get(payload, "lease");
    const json_t *until = json_object_get(lease, "until");
    const json_t *renew = json_object_get(lease, "renew_after");
    const json_t *grace = json_object_get(payload, "grace_s");
    const json_t *fence = json_object_get(payload, "fence");

    if (!json_is_integer(until) || !json_is_integer(renew) || !json_is_integer(grace) ||
        json_integer_value(grace) < 0 || json_integer_value(grace) > LEASE_GRACE_MAX_S)
        return -EINVAL;
    if (fence && !json_is_null(fence) && (!json_is_integer(fence) || json_integer_value(fence) < 0))
        return -EINVAL;
    a->fence = (uint64_t)json_integer_value(fence);
    a->terms = (struct lease_terms){
        .time_s = json_integer_value(json_object_get(payload, "time")),
        .until_s = json_integer_value(until),
        .renew_after_s = json_integer_value(renew),
        .grace_s = (uint32_t)json_integer_value(grace),
    };
    return 0;
}

/* "time" in seconds, and maybe the same in milliseconds. The seconds were checked to be positive. */
static int time_take(const json_t *payload, struct answer *a)
{
    const json_t *time_ms = json_object_get(payload, "time_ms");
    int64_t time_s = a->terms.time_s;

    if (time_s > INT64_MAX / 1000000 || (time_ms && !json_is_integer(time_ms)) ||
        (time_ms && json_integer_value(time_ms) / 1000 != time_s))
        return -EINVAL;
    a->time_ms = time_ms ? json_integer_value(time_ms) : time_s * 1000;
    a->time_width_ms = time_ms ? 1 : 1000;
    return 0;
}

static int payload_take(const struct answer_question *q, const json_t *payload, struct answer *a,
                        struct err *err)
{
    const char *result = text_of(payload, "result");
    int rc;

    if (!text_is(payload, "nonce", q->nonce))
        return err_set(err, -EBADMSG, "the answer is to another nonce");
    if (text_take(payload, "instance", a->instance, sizeof a->instance) < 0 || !a->instance[0] ||
        a->instance[strspn(a->instance, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_.")] ||
        text_take(payload, "spiffe_id", a->spiffe_id, sizeof a->spiffe_id) < 0 || !result ||
        strlen(result) > RESULT_SIZE_MAX || lease_take_terms(payload, a) < 0 ||
        time_take(payload, a) < 0 || servers_take(json_object_get(payload, "servers"), a) < 0)
        return err_set(err, -EINVAL, "the answer lacks a member, or one is malformed");
    if (q->instance[0] && strcmp(a->instance, q->instance) != 0)
        return err_set(err, -EBADMSG, "the answer is for another instance");
    a->result = strdup(result);
    if (!a->result)
        return -ENOMEM;
    rc = certificates_take(q, payload, a, err);
    return rc < 0 ? rc : secrets_take(q, payload, a, err);
}

int answer_parse(const struct answer_question *question, const char *body, size_t size,
                 struct answer *ret, struct err *err)
{
    CLEANUP(json_freep)
    json_t *payload = NULL;
    struct answer *a = calloc(1, sizeof *a);
    int rc = a ? envelope_open(question->pins, body, size, &payload, err) : -ENOMEM;

    if (rc == 0)
        rc = payload_take(question, payload, a, err);
    if (rc == 0)
        *ret = *a;
    else if (a)
        answer_done(a);
    wipe_free(a);
    return rc;
}

void answer_done(struct answer *answer)
{
    free(answer->certificates);
    free(answer->roots);
    free(answer->result);
    secret_list_done(&answer->secrets);
    *answer = (struct answer){ 0 };
}

/* ---- refusals ---- */

static void signature_take(const struct answer_question *q, const char *body, size_t size,
                           struct answer_refusal *r)
{
    CLEANUP(json_freep)
    json_t *payload = NULL;
    const json_t *refused;

    if (envelope_open(q->pins, body, size, &payload, NULL) < 0 ||
        !text_is(payload, "nonce", q->nonce))
        return;
    refused = json_object_get(payload, "refused");
    if (!json_is_object(refused))
        return;
    r->is_signed = true;
    r->is_final = json_is_true(json_object_get(payload, "final"));
    r->time_s = json_integer_value(json_object_get(payload, "time"));
    line_take(refused, "code", r->code, sizeof r->code);
    line_take(refused, "step", r->step, sizeof r->step);
}

void answer_refusal_parse(const struct answer_question *question, const char *body, size_t size,
                          struct answer_refusal *ret)
{
    CLEANUP(json_freep)
    json_t *top = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    struct answer_refusal r = { 0 };

    line_take(top, "code", r.code, sizeof r.code);
    line_take(top, "step", r.step, sizeof r.step);
    line_take(top, "expected", r.expected, sizeof r.expected);
    line_take(top, "actual", r.actual, sizeof r.actual);
    line_take(top, "fix", r.fix, sizeof r.fix);
    line_take(top, "detail", r.detail, sizeof r.detail);
    if (!r.detail[0])
        line_take(top, "title", r.detail, sizeof r.detail);
    if (json_object_get(top, "answer"))
        signature_take(question, body, size, &r);
    *ret = r;
}

static void part_print(char *dst, size_t size, const char *before, const char *text)
{
    size_t used = strlen(dst);

    if (text[0])
        snprintf(dst + used, size - used, "%s%s", used ? before : "", text);
}

void answer_refusal_print(const struct answer_refusal *refusal, char *dst, size_t size)
{
    dst[0] = 0;
    part_print(dst, size, "", refusal->code);
    part_print(dst, size, ": ", refusal->detail);
    part_print(dst, size, "; step: ", refusal->step);
    part_print(dst, size, "; expected: ", refusal->expected);
    part_print(dst, size, "; actual: ", refusal->actual);
    part_print(dst, size, "; fix: ", refusal->fix);
    if (!dst[0])
        snprintf(dst, size, "no reason given");
}

/* ---- orders ---- */

static int order_take(const json_t *object, struct answer_order *o)
{
    static const char *const kinds[] = { "stop", "revoke", "renew" };
    const json_t *number = json_object_get(object, "number");

    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return -EINVAL;
    o->number = (uint64_t)json_integer_value(number);
    line_take(object, "reason", o->reason, sizeof o->reason);
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++)
        if (text_is(object, "kind", kinds[i])) {
            o->kind = (enum answer_order_kind)i;
            return 0;
        }
    return -EINVAL;
}

int answer_orders_parse(const struct answer_question *question, const char *wait, const char *body,
                        size_t size, struct answer_orders *ret, struct err *err)
{
    CLEANUP(json_freep)
    json_t *payload = NULL;
    const json_t *orders, *number, *after;
    int rc = envelope_open(question->pins, body, size, &payload, err);

    if (rc < 0)
        return rc;
    orders = json_object_get(payload, "orders");
    number = json_object_get(payload, "number");
    after = json_object_get(payload, "after");
    if (!text_is(payload, "instance", question->instance) || !text_is(payload, "wait", wait) ||
        !json_is_integer(after) || (uint64_t)json_integer_value(after) != question->after)
        return err_set(err, -EBADMSG, "the orders are for another instance or question");
    if (!json_is_array(orders) || json_array_size(orders) > ANSWER_ORDERS_MAX ||
        !json_is_integer(number) || json_integer_value(number) < json_integer_value(after))
        return err_set(err, -EINVAL, "the orders are malformed");
    ret->time_s = json_integer_value(json_object_get(payload, "time"));
    ret->number = (uint64_t)json_integer_value(number);
    for (ret->count = 0; ret->count < json_array_size(orders); ret->count++)
        if (order_take(json_array_get(orders, ret->count), &ret->items[ret->count]) < 0)
            return err_set(err, -EINVAL, "an order is malformed");
    return 0;
}
