/* SPDX-License-Identifier: Apache-2.0 */
/* Work, reports and heartbeats of a node. Relying party side; the server's answers are parsed as hostile. */
#include "cli/node_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"

#define HEARTBEAT_S 30
#define WORK_WAIT_S 30
#define RETRY_MS_FIRST 500u
#define RETRY_MS_MAX 15000u

struct node_link {
    pthread_mutex_t lock; /* guards all below but the clients, each of which is one thread's */
    pthread_cond_t changed;
    struct client *work_client, *report_client;
    const json_t *heartbeat;
    int event_fd;
    json_t *work;
    json_t *reports; /* object: id -> report */
    bool is_refused;
};

static void wait_ms(unsigned time_ms)
{
    nanosleep(
        &(struct timespec){ .tv_sec = time_ms / 1000, .tv_nsec = (long)(time_ms % 1000) * 1000000 },
        NULL);
}

static void wake(struct node_link *link)
{
    uint64_t one = 1;

    if (write(link->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        fprintf(stderr, "cloche node: %s\n", strerror(errno));
}

/* One line for each state of the connection, not for each try. */
static void say(bool *is_reached, int rc, const struct err *err)
{
    if (rc == 0 && !*is_reached)
        fprintf(stderr, "cloche node: the server is reached\n");
    else if (rc < 0 && *is_reached)
        fprintf(stderr, "cloche node: %s\n", err->text);
    *is_reached = rc == 0;
}

/* The token was refused: nothing will get better by itself. */
static void note_refusal(struct node_link *link, const struct client *client, int rc)
{
    const json_t *problem = client_problem(client);

    if (rc == -EACCES && json_integer_value(json_object_get(problem, "status")) == 401) {
        pthread_mutex_lock(&link->lock);
        link->is_refused = true;
        pthread_mutex_unlock(&link->lock);
        wake(link);
    }
}

/* ---- work ---- */

static int ask_work(struct node_link *link, char tag[256], struct err *err)
{
    struct client_answer answer;
    const char *is_tag;
    char path[512];
    int rc;

    snprintf(path, sizeof path, "/v1/node/work?wait_s=%d%s%s", tag[0] ? WORK_WAIT_S : 0,
             tag[0] ? "&after=" : "", tag);
    rc = client_call(link->work_client, "GET", path, NULL, NULL, &answer, err);
    if (rc < 0)
        return rc;
    is_tag = json_string_value(json_object_get(answer.body, "tag"));
    if (!is_tag || !json_is_array(json_object_get(answer.body, "instances"))) {
        client_answer_done(&answer);
        return err_set(err, -EBADMSG, "the server's work has no tag or no instances");
    }
    client_escape(is_tag, tag, 256);
    pthread_mutex_lock(&link->lock);
    json_decref(link->work);
    link->work = json_incref(answer.body);
    pthread_mutex_unlock(&link->lock);
    client_answer_done(&answer);
    wake(link);
    return 0;
}

static void *work_thread(void *arg)
{
    struct node_link *link = arg;
    unsigned wait = RETRY_MS_FIRST;
    bool is_reached = true;
    char tag[256] = "";

    for (;;) {
        struct err err = { 0 };
        int rc = ask_work(link, tag, &err);

        say(&is_reached, rc, &err);
        note_refusal(link, link->work_client, rc);
        if (rc < 0) {
            tag[0] = 0; /* all of it, when it is reached again */
            wait_ms(wait);
            wait = MIN(2 * wait, RETRY_MS_MAX);
        } else {
            wait = RETRY_MS_FIRST;
        }
    }
    return NULL;
}

/* ---- reports ---- */

/* What is to be sent now; NULL: only a heartbeat is due. */
static json_t *take_reports(struct node_link *link, time_t beat_at)
{
    struct timespec until = { .tv_sec = beat_at };
    json_t *list = NULL, *report;
    const char *id;

    pthread_mutex_lock(&link->lock);
    while (json_object_size(link->reports) == 0 &&
           pthread_cond_timedwait(&link->changed, &link->lock, &until) == 0)
        ;
    if (json_object_size(link->reports)) {
        list = json_array();
        json_object_foreach(link->reports, id, report) if (json_array_size(list) < 1000)
            json_array_append(list, report);
    }
    pthread_mutex_unlock(&link->lock);
    return list;
}

/* Those that were sent and not replaced meanwhile are done. */
static void drop_reports(struct node_link *link, const json_t *sent)
{
    json_t *report;
    size_t i;

    pthread_mutex_lock(&link->lock);
    json_array_foreach((json_t *)sent, i, report)
    {
        const char *id = json_string_value(json_object_get(report, "id"));

        if (json_object_get(link->reports, id) == report)
            json_object_del(link->reports, id);
    }
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    wake(link);
}

static int send_reports(struct node_link *link, json_t *list, struct err *err)
{
    struct client_answer answer;
    json_t *body = json_pack("{s:O}", "instances", list);
    int rc = client_call(link->report_client, "POST", "/v1/node/reports", body, NULL, &answer, err);

    json_decref(body);
    if (rc < 0)
        return rc;
    client_answer_done(&answer);
    drop_reports(link, list);
    return 0;
}

static int send_heartbeat(struct node_link *link, struct err *err)
{
    struct client_answer answer;
    int rc = client_call(link->report_client, "POST", "/v1/node/heartbeat", link->heartbeat, NULL,
                         &answer, err);

    if (rc == 0)
        client_answer_done(&answer);
    return rc;
}

static void *report_thread(void *arg)
{
    struct node_link *link = arg;
    time_t beat_at = 0;
    bool is_reached = true;

    for (;;) {
        struct err err = { 0 };
        json_t *list = time(NULL) < beat_at ? take_reports(link, beat_at) : NULL;
        int rc = list ? send_reports(link, list, &err) : send_heartbeat(link, &err);

        if (!list)
            beat_at = time(NULL) + HEARTBEAT_S;
        json_decref(list);
        say(&is_reached, rc, &err);
        note_refusal(link, link->report_client, rc);
        if (rc < 0) {
            wait_ms(RETRY_MS_FIRST * 4);
            beat_at = 0; /* the server must hear of the node first */
        }
    }
    return NULL;
}

/* ---- the owner's side ---- */

static int start_threads(struct node_link *link, struct err *err)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attributes, work_thread, link);
    if (rc == 0)
        rc = pthread_create(&thread, &attributes, report_thread, link);
    pthread_attr_destroy(&attributes);
    return rc ? err_set_errno(err, -rc, "cannot start a thread") : 0;
}

int node_link_open(const json_t *context, const json_t *heartbeat, int event_fd,
                   struct node_link **ret, struct err *err)
{
    struct node_link *link = calloc(1, sizeof *link);
    int rc;

    if (!link)
        return err_set_errno(err, -ENOMEM, "cannot make the line to the server");
    link->event_fd = event_fd;
    link->heartbeat = heartbeat;
    link->reports = json_object();
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->changed, NULL);
    rc = client_new(context, &link->work_client, err);
    if (rc == 0)
        rc = client_new(context, &link->report_client, err);
    if (rc == 0)
        rc = start_threads(link, err);
    if (rc < 0)
        return rc; /* the program ends now */
    *ret = link;
    return 0;
}

json_t *node_link_take_work(struct node_link *link)
{
    json_t *work;

    pthread_mutex_lock(&link->lock);
    work = TAKE_PTR(link->work);
    pthread_mutex_unlock(&link->lock);
    return work;
}

void node_link_report(struct node_link *link, json_t *report)
{
    const char *id = json_string_value(json_object_get(report, "id"));

    pthread_mutex_lock(&link->lock);
    if (id)
        json_object_set(link->reports, id, report);
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    json_decref(report);
}

bool node_link_is_reported(struct node_link *link, const char *id)
{
    bool is_reported;

    pthread_mutex_lock(&link->lock);
    is_reported = !json_object_get(link->reports, id);
    pthread_mutex_unlock(&link->lock);
    return is_reported;
}

bool node_link_is_refused(struct node_link *link)
{
    bool is_refused;

    pthread_mutex_lock(&link->lock);
    is_refused = link->is_refused;
    pthread_mutex_unlock(&link->lock);
    return is_refused;
}

void node_link_flush(struct node_link *link, unsigned timeout_ms)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&link->lock);
    while (rc == 0 && json_object_size(link->reports) > 0)
        rc = pthread_cond_timedwait(&link->changed, &link->lock, &until);
    pthread_mutex_unlock(&link->lock);
}
