/* SPDX-License-Identifier: Apache-2.0 */
/* The model's memory: verified signatures, revocations seen, parsed policies. Relying party. */
#include "server/model/model.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "server/api/api.h"
#include "server/api/events.h"
#include "server/model/model_cache.h"
#include "server/model/revocation.h"
#include "verifier/verifier.h"

#define SIGNATURE_SLOTS 8192u  /* each holds the last digest that fell on it */
#define SEEN_COUNT_MAX 100000u /* objects; those beyond are protected by the store's rows alone */
#define POLICY_COUNT_MAX 256u  /* parsed, each of at most some 100 KiB */

struct policy_entry {
    char id[32];
    int64_t version;
    uint8_t text_sha256[32];
    struct verifier_policy *policy;
    struct model *model; /* NULL: in no cache */
    unsigned use_count;  /* the cache is one user */
    uint64_t used;       /* number of the last use */
};

struct model {
    struct server *server;
    pthread_mutex_t lock; /* guards all below; nothing is called with it held */
    uint8_t signatures[SIGNATURE_SLOTS][32];
    json_t *revoked; /* id -> true */
    json_t *rosters; /* organisation -> version */
    struct revocation_memory *revocations;
    struct policy_entry *policies[POLICY_COUNT_MAX];
    uint64_t use_number;
};

static void note_event(void *arg, const struct event *event)
{
    struct model *m = arg;
    bool is_revoked =
        strcmp(event->kind, "build.revoked") == 0 || strcmp(event->kind, "app.revoked") == 0;
    json_t *data = strcmp(event->kind, "roster.changed") == 0 && event->data
                       ? json_loads(event->data, 0, NULL)
                       : NULL;
    int64_t version = json_integer_value(json_object_get(data, "version"));

    json_decref(data);
    pthread_mutex_lock(&m->lock);
    if (is_revoked && json_object_size(m->revoked) < SEEN_COUNT_MAX)
        json_object_set_new(m->revoked, event->object, json_true());
    if (version > json_integer_value(json_object_get(m->rosters, event->org_id)) &&
        json_object_size(m->rosters) < SEEN_COUNT_MAX)
        json_object_set_new(m->rosters, event->org_id, json_integer(version));
    pthread_mutex_unlock(&m->lock);
    if (strncmp(event->kind, "instance.", 9) == 0 || strncmp(event->kind, "node.", 5) == 0) {
        char key[64];

        snprintf(key, sizeof key, "node-work/%s", event->org_id);
        api_wake(m->server, key);
    }
}

int model_open(struct server *server, struct model **ret, struct err *err)
{
    struct model *m = calloc(1, sizeof *m);

    if (!m)
        return err_set_errno(err, -ENOMEM, "model");
    m->server = server;
    pthread_mutex_init(&m->lock, NULL);
    m->revoked = json_object();
    m->rosters = json_object();
    m->revocations = revocation_memory_new();
    int rc = m->revoked && m->rosters && m->revocations ? 0 : -ENOMEM;

    if (rc == 0 && server->events)
        rc = events_listener_add(server->events, note_event, m);
    if (rc < 0) {
        model_close(m);
        return err_set_errno(err, rc, "model");
    }
    *ret = m;
    return 0;
}

static void entry_free(struct policy_entry *entry)
{
    verifier_policy_free(entry->policy);
    free(entry);
}

void model_close(struct model *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < POLICY_COUNT_MAX; i++)
        if (m->policies[i])
            entry_free(m->policies[i]);
    json_decref(m->revoked);
    json_decref(m->rosters);
    revocation_memory_free(m->revocations);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static uint8_t *signature_slot(struct model *m, const uint8_t digest[32])
{
    return m->signatures[((unsigned)digest[0] << 8 | digest[1]) % SIGNATURE_SLOTS];
}

bool model_signature_is_known(struct model *m, const uint8_t digest[32])
{
    if (!m)
        return false;
    pthread_mutex_lock(&m->lock);
    bool is_known = memcmp(signature_slot(m, digest), digest, 32) == 0;

    pthread_mutex_unlock(&m->lock);
    return is_known;
}

void model_signature_add(struct model *m, const uint8_t digest[32])
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    memcpy(signature_slot(m, digest), digest, 32);
    pthread_mutex_unlock(&m->lock);
}

bool model_is_revoked(struct model *m, const char *id)
{
    if (!m)
        return false;
    pthread_mutex_lock(&m->lock);
    bool is_revoked = json_object_get(m->revoked, id) != NULL;

    pthread_mutex_unlock(&m->lock);
    return is_revoked;
}

struct revocation_memory *model_revocations(struct model *m)
{
    return m ? m->revocations : NULL;
}

int64_t model_roster_version(struct model *m, const char *org_id)
{
    if (!m)
        return 0;
    pthread_mutex_lock(&m->lock);
    int64_t version = json_integer_value(json_object_get(m->rosters, org_id));

    pthread_mutex_unlock(&m->lock);
    return version;
}

static bool is_entry(const struct policy_entry *e, const char *id, int64_t version,
                     const uint8_t text_sha256[32])
{
    return e && e->version == version && strcmp(e->id, id) == 0 &&
           memcmp(e->text_sha256, text_sha256, 32) == 0;
}

void *model_policy_find(struct model *m, const char *id, int64_t version,
                        const uint8_t text_sha256[32], const struct verifier_policy **ret)
{
    struct policy_entry *found = NULL;

    if (!m)
        return NULL;
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < POLICY_COUNT_MAX && !found; i++)
        if (is_entry(m->policies[i], id, version, text_sha256))
            found = m->policies[i];
    if (found) {
        found->use_count++;
        found->used = ++m->use_number;
        *ret = found->policy;
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

/* With the lock: an empty place, or that of the one unused for longest, which the caller gives back. */
static unsigned place_find(struct model *m)
{
    unsigned best = 0;

    for (unsigned i = 0; i < POLICY_COUNT_MAX; i++) {
        if (!m->policies[i])
            return i;
        if (m->policies[i]->used < m->policies[best]->used)
            best = i;
    }
    return best;
}

void *model_policy_add(struct model *m, const char *id, int64_t version,
                       const uint8_t text_sha256[32], struct verifier_policy *policy)
{
    struct policy_entry *entry = calloc(1, sizeof *entry), *old = NULL;

    if (!entry) {
        verifier_policy_free(policy);
        return NULL;
    }
    snprintf(entry->id, sizeof entry->id, "%s", id);
    entry->version = version;
    memcpy(entry->text_sha256, text_sha256, 32);
    entry->policy = policy;
    entry->use_count = 1;
    entry->model = m;
    if (!m)
        return entry;
    pthread_mutex_lock(&m->lock);
    unsigned place = place_find(m);

    old = m->policies[place];
    if (old && --old->use_count > 0)
        old = NULL; /* its last user frees it */
    entry->use_count = 2;
    entry->used = ++m->use_number;
    m->policies[place] = entry;
    pthread_mutex_unlock(&m->lock);
    if (old)
        entry_free(old);
    return entry;
}

void model_policy_unref(void *item)
{
    struct policy_entry *entry = item;
    struct model *m = entry ? entry->model : NULL;

    if (!entry)
        return;
    if (m)
        pthread_mutex_lock(&m->lock);
    bool is_last = --entry->use_count == 0;

    if (m)
        pthread_mutex_unlock(&m->lock);
    if (is_last)
        entry_free(entry);
}
