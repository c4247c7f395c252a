/* SPDX-License-Identifier: Apache-2.0 */
/* A control plane in the process of a fuzz target. Tests only. */
#include "tests/fuzz/server_world.h"

#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attest/base64url.h"
#include "server/api/events.h"
#include "server/api/json.h"
#include "server/api/metrics.h"
#include "server/api/router.h"
#include "server/auth/password.h"
#include "server/auth/user.h"
#include "server/ca/ca.h"
#include "server/config.h"
#include "server/exchange/exchange.h"
#include "server/fleet/fleet.h"
#include "server/model/model.h"
#include "server/model/org.h"
#include "server/server_open.h"
#include "server/store/id.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define WRITES_MAX 4000u /* until the world is made anew */
#define PASSWORD "the password of the owner"
#define TEXT_SIZE_MAX (1u << 20)

/* Objects that requests may name. */
enum thing {
    ORG,
    USER,
    APP,
    BUILD,
    POLICY,
    SECRET,
    NODE,
    INSTANCE,
    TOKEN,
    KEY,
    CHANGE,
    ROLLOUT,
    AUTHORITY,
    THINGS
};
static const char *const thing_names[THINGS] = { "org",    "user",    "app",      "build", "policy",
                                                 "secret", "node",    "instance", "token", "key",
                                                 "change", "rollout", "authority" };

static struct {
    char folder[64], passphrase[96];
    struct server_config *config;
    struct server server;
    struct http http;
    struct auth_who owner;
    char ids[THINGS][96];
    char node_id[96], instance_id[96];
    EVP_PKEY *key;
    unsigned writes;
    char *answer;
    char text[TEXT_SIZE_MAX], target[TEXT_SIZE_MAX];
} g_world;

int64_t server_now_ms(const struct server *server)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

int64_t server_now_s(const struct server *server)
{
    return server_now_ms(server) / 1000;
}

/* The server's log would be most of what a run prints. */
void server_log(const struct server *server, const char *level, const char *what, ...)
{
}

/* ---- requests ---- */

/* Copies text with each {thing} replaced. returns: the size, without NUL. */
static size_t fill(char *dst, size_t room, const char *text, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < size && at + 128 < room;) {
        size_t len = 0;

        for (unsigned t = 0; text[i] == '{' && t < THINGS && len == 0; t++) {
            size_t name = strlen(thing_names[t]);

            if (i + name + 2 <= size && memcmp(text + i + 1, thing_names[t], name) == 0 &&
                text[i + 1 + name] == '}') {
                len = name + 2;
                at += (size_t)snprintf(dst + at, 96, "%s", g_world.ids[t]);
            }
        }
        if (len == 0) {
            dst[at++] = text[i];
            len = 1;
        }
        i += len;
    }
    dst[at] = 0;
    return at;
}

static void identify(struct request *r)
{
    static const char none[] = "";

    if (r->route->flags & API_PUBLIC)
        return;
    r->who = g_world.owner;
    if (r->route->flags & (API_FOR_NODE | API_FOR_INSTANCE)) {
        bool is_node = r->route->flags & API_FOR_NODE;

        r->who.kind = is_node ? API_NODE : API_INSTANCE;
        snprintf(r->who.id, ID_SIZE, "%.30s", is_node ? g_world.node_id : g_world.instance_id);
        r->who.roles = 0;
        r->who.user_id[0] = r->who.token_id[0] = 0;
    }
    r->rq.who = (struct api_principal){ .kind = r->who.kind,
                                        .id = r->who.id,
                                        .org_id = r->who.org_id,
                                        .roles = r->who.roles,
                                        .user_id = r->who.user_id[0] ? r->who.user_id : none,
                                        .token_id = r->who.token_id[0] ? r->who.token_id : none };
}

static bool body_read(struct request *r, const char *body, size_t size)
{
    size_t max = r->route->body_size_max ? r->route->body_size_max : API_BODY_SIZE_MAX;
    struct err err = { "" };

    if (!body || size == 0)
        return true;
    if (strcmp(r->route->method, "GET") == 0 || strcmp(r->route->method, "DELETE") == 0 ||
        size > max)
        return false;
    return json_object_parse(body, size, API_JSON_DEPTH_MAX, &r->rq.body, &err) == 0;
}

static void answer_take(struct request *r, struct world_answer *ret)
{
    free(g_world.answer);
    g_world.answer = TAKE_PTR(r->answer);
    *ret = (struct world_answer){
        .status = r->status,
        .is_there = true,
        .method = r->route->method,
        .path = r->route->path,
        .text = g_world.answer,
        .text_size = r->answer_size,
        .is_json = !r->content_type || strcmp(r->content_type, "application/problem+json") == 0
    };
}

static void request_perform(struct request *r, const char *method, const char *body,
                            size_t body_size, struct world_answer *ret)
{
    const char *problem = NULL;
    struct router_match match;

    if (uri_parse(r->target, &r->uri, &problem) < 0)
        return;
    router_find(router_tables, method, &r->uri, &match);
    if (!match.route || (match.route->flags & API_STREAM) ||
        strncmp(match.route->path, "/v1/", 4) != 0)
        return;
    r->route = match.route;
    memcpy(r->rq.params, match.params, sizeof match.params);
    identify(r);
    if (!body_read(r, body, body_size))
        return;
    r->is_admitted = true;
    request_run(r);
    g_world.writes += strcmp(r->route->method, "GET") != 0;
    answer_take(r, ret);
}

void server_world_request(const char *method, const char *target, const char *body,
                          size_t body_size, struct world_answer *ret)
{
    struct request *r = calloc(1, sizeof *r);

    CHECK(r);
    *ret = (struct world_answer){ .is_there = false };
    fill(g_world.target, sizeof g_world.target, target, strlen(target));
    body_size = body ? fill(g_world.text, sizeof g_world.text, body, body_size) : 0;
    r->http = &g_world.http;
    r->target = strdup(g_world.target);
    r->path = strndup(g_world.target, strcspn(g_world.target, "?"));
    CHECK(r->target && r->path);
    id_make("req", r->id);
    r->rq = (struct api_request){
        .server = &g_world.server,
        .who = { .kind = API_ANONYMOUS, .id = "anonymous", .user_id = "", .token_id = "" },
        .path = r->path,
        .method = method,
        .request_id = r->id,
        .remote = "127.0.0.1",
        .http = r
    };
    request_perform(r, method, body ? g_world.text : NULL, body_size, ret);
    request_free(r);
}

/* ---- the organisation ---- */

/* A request that must be done; the member's text goes to ret. */
static void must(const char *method, const char *target, const char *body, const char *member,
                 char ret[96])
{
    struct world_answer answer;
    json_t *json;
    const char *text = NULL;

    server_world_request(method, target, body, body ? strlen(body) : 0, &answer);
    if (answer.status < 200 || answer.status > 299) {
        fprintf(stderr, "%s %s: %d %s\n", method, target, answer.status,
                answer.text ? answer.text : "");
        abort();
    }
    if (!member)
        return;
    json = json_loads(answer.text, 0, NULL);
    text = json_string_value(json_object_get(json, member));
    if (!text)
        text = json_string_value(json_object_get(json_object_get(json, "node"), member));
    CHECK(text && strlen(text) < 2048);
    if (ret)
        snprintf(ret, 96, "%s", text);
    else
        snprintf(g_world.answer, answer.text_size + 1, "%s", text);
    json_decref(json);
}

static const char *base64url_text(const uint8_t *data, size_t size)
{
    static char text[3][128];
    static unsigned next;
    char *to = text[next++ % 3];
    struct buffer b;
    uint8_t *taken;
    size_t len;

    buffer_init(&b, sizeof text[0]);
    base64url_add(&b, data, size);
    CHECK(buffer_take(&b, &taken, &len) == 0 && len < sizeof text[0]);
    memcpy(to, taken, len);
    to[len] = 0;
    free(taken);
    return to;
}

static const char *sign(const void *data, size_t size)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[64];
    size_t signature_size = sizeof signature;

    CHECK(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, g_world.key) == 1);
    CHECK(EVP_DigestSign(ctx, signature, &signature_size, data, size) == 1);
    EVP_MD_CTX_free(ctx);
    return base64url_text(signature, signature_size);
}

static void key_enrol(void)
{
    uint8_t text[256];
    size_t size = 32;
    int len = snprintf((char *)text, sizeof text, "cloche-key-1\n%s\n%s\n", g_world.ids[ORG],
                       g_world.ids[USER]);
    char body[512];

    CHECK(EVP_PKEY_get_raw_public_key(g_world.key, text + len, &size) == 1);
    snprintf(body, sizeof body, "{\"name\":\"laptop\",\"public_key\":\"%s\",\"proof\":\"%s\"}",
             base64url_text(text + len, 32), sign(text, (size_t)len + 32));
    must("POST", "/v1/keys", body, "id", g_world.ids[KEY]);
}

static void build_add(unsigned number, char ret[96])
{
    static const char format[] =
        "{\"args\":[\"/bin/"
        "true\"],\"args_fixed\":1,\"args_from_host\":false,\"debug\":false,\"elrange_size\":"
        "68719476736,\"env\":[],"
        "\"gid\":0,\"groups\":[],\"host_files\":false,\"hostname\":\"cloche\",\"memory_size\":"
        "67108864,\"mounts\":[],\"name\":\"hotel-%u\","
        "\"rootfs_size\":8192,\"server\":null,\"stop_signal\":\"SIGTERM\",\"threads_max\":16,"
        "\"uid\":0,\"verity_root\":"
        "\"1111111111111111111111111111111111111111111111111111111111111111\",\"verity_salt\":\"\","
        "\"version\":1,\"workdir\":\"/\"}";
    char descriptor[1024], digest[97] = "", version[8];
    uint8_t hash[48];
    json_t *json;
    char *body, *statement;

    snprintf(descriptor, sizeof descriptor, format, number);
    snprintf(version, sizeof version, "1.%u", number);
    CHECK(EVP_Digest(descriptor, strlen(descriptor), hash, NULL, EVP_sha384(), NULL) == 1);
    for (unsigned i = 0; i < sizeof hash; i++)
        snprintf(digest + 2 * i, 3, "%02x", hash[i]);
    json =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "version", version, "descriptor", descriptor,
                  "app_digest", digest, "mrenclave",
                  number == 1 ? "0101010101010101010101010101010101010101010101010101010101010101"
                              : "0202020202020202020202020202020202020202020202020202020202020202",
                  "mrsigner", "5151515151515151515151515151515151515151515151515151515151515151",
                  "isv_prod_id", 1, "isv_svn", (int)number);
    body = json_dumps(json, 0);
    json_decref(json);
    must("POST", "/v1/apps/{app}/builds", body, "id", ret);
    free(body);
    must("GET", "/v1/builds/{build}/approvals", NULL, "statement", NULL);
    statement = strdup(g_world.answer);
    json = json_pack("{s:s,s:s}", "key", g_world.ids[KEY], "signature",
                     sign(statement, strlen(statement)));
    body = json_dumps(json, 0);
    json_decref(json);
    must("POST", "/v1/builds/{build}/approvals", body, NULL, NULL);
    free(body);
    free(statement);
}

static void node_add(void)
{
    char token[96], body[160];

    must("POST", "/v1/nodes/tokens", "{\"name\":\"attic\"}", "token", token);
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token);
    must("POST", "/v1/nodes/join", body, "id", g_world.ids[NODE]);
    snprintf(g_world.node_id, sizeof g_world.node_id, "%s", g_world.ids[NODE]);
    must("POST", "/v1/node/heartbeat",
         "{\"tee\":\"sgx\",\"emulated\":true,\"capacity\":{\"instances\":1000,\"memory_size\":"
         "1073741824,\"cpus\":2}}",
         NULL, NULL);
}

static void objects_add(void)
{
    must("POST", "/v1/policies",
         "{\"name\":\"strict\",\"policy\":{\"version\":1,\"name\":\"strict\",\"tee\":[\"sgx\"],"
         "\"intel\":{\"tcb_status\":[\"UpToDate\"]}}}",
         "id", g_world.ids[POLICY]);
    must("POST", "/v1/apps", "{\"name\":\"hotel\",\"dns_names\":[\"hotel.example\"]}", "id",
         g_world.ids[APP]);
    key_enrol();
    build_add(1, g_world.ids[BUILD]);
    build_add(2, g_world.ids[BUILD]);
    must("POST", "/v1/rollouts",
         "{\"app\":\"hotel\",\"build\":\"1.2\",\"old_build\":\"1.1\",\"end\":\"2099-01-01T00:00:"
         "00Z\"}",
         "id", g_world.ids[ROLLOUT]);
    must("POST", "/v1/secrets",
         "{\"name\":\"db\",\"value\":\"c2VjcmV0\",\"deliver\":{\"env\":\"DB\"},\"bindings\":[{"
         "\"app\":\"{app}\"}]}",
         "id", g_world.ids[SECRET]);
    node_add();
    must("POST", "/v1/instances", "{\"app\":\"hotel\",\"build\":\"1.2\"}", "id",
         g_world.ids[INSTANCE]);
    snprintf(g_world.instance_id, sizeof g_world.instance_id, "%s", g_world.ids[INSTANCE]);
    must("POST", "/v1/tokens", "{\"name\":\"ci\",\"roles\":[\"operator\"],\"lifetime_s\":3600}",
         "id", g_world.ids[TOKEN]);
    must("POST", "/v1/roster/changes", "{\"action\":\"set-needed\",\"approvals_needed\":1}", "id",
         g_world.ids[CHANGE]);
    must("POST", "/v1/ca/intermediates", NULL, "id", g_world.ids[AUTHORITY]);
}

static int org_write_in(struct store_tx *tx, void *arg, struct err *err)
{
    struct user_row owner = { .name = "alice", .roles = API_OWNER | API_APPROVER | API_OPERATOR };
    int rc;

    id_make("org", g_world.ids[ORG]);
    snprintf(owner.org_id, sizeof owner.org_id, "%.30s", g_world.ids[ORG]);
    rc =
        org_add(&g_world.server, tx, g_world.ids[ORG], "acme", server_now_ms(&g_world.server), err);
    if (rc == 0)
        rc = password_hash(PASSWORD, owner.password);
    if (rc == 0)
        rc = user_add(&g_world.server, tx, &owner, err);
    snprintf(g_world.ids[USER], sizeof g_world.ids[USER], "%s", owner.id);
    return rc;
}

static void login(void)
{
    char token[96];
    struct err err = { "" };

    must("POST", "/v1/login", "{\"org\":\"acme\",\"name\":\"alice\",\"password\":\"" PASSWORD "\"}",
         "token", token);
    CHECK(auth_bearer(&g_world.server, token, &g_world.owner, &err) == 0);
}

/* ---- the server ---- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void parts_open(void)
{
    struct server *server = &g_world.server;
    struct err err = { "" };
    int rc = server_open_store(server, g_world.config, &err);

    if (rc == 0)
        rc = metrics_open(server, &server->metrics);
    if (rc == 0)
        rc = events_open(server, &server->events, &err);
    if (rc == 0)
        rc = auth_open(server, &server->auth, &err);
    if (rc == 0)
        rc = model_open(server, &server->model, &err);
    if (rc == 0)
        rc = ca_open(server, &server->ca, &err);
    if (rc == 0)
        rc = exchange_open(server, &server->exchange, &err);
    if (rc == 0)
        rc = fleet_open(server, &server->fleet, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    CHECK(rc == 0);
}

static void world_close(void)
{
    if (!g_world.folder[0])
        return;
    server_close(&g_world.server, 0);
    config_free(g_world.config);
    g_world.config = NULL;
    EVP_PKEY_free(g_world.key);
    free(g_world.answer);
    g_world.key = NULL;
    g_world.answer = NULL;
    nftw(g_world.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    g_world.folder[0] = 0;
}

static void world_open(void)
{
    const char *tmp = getenv("TMPDIR");
    struct err err = { "" };
    char path[96];
    FILE *f;

    snprintf(g_world.folder, sizeof g_world.folder, "%.40s/cloche-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(g_world.folder));
    snprintf(g_world.passphrase, sizeof g_world.passphrase, "%s/passphrase", g_world.folder);
    f = fopen(g_world.passphrase, "w");
    CHECK(f && fputs("a passphrase that nobody else has\n", f) >= 0 && fclose(f) == 0);
    snprintf(path, sizeof path, "%s/config.yaml", g_world.folder);
    f = fopen(path, "w");
    CHECK(f &&
          fprintf(f,
                  "{store: 'sqlite:%s/db', root_key_passphrase_file: '%s', collateral_folder: "
                  "'%s/collateral', collateral_pcs_url: '', "
                  "collateral_kds_url: '', plain_http: true, node_evidence: optional}\n",
                  g_world.folder, g_world.passphrase, g_world.folder) > 0 &&
          fclose(f) == 0);
    if (config_read(path, &g_world.config, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    CHECK(g_world.config);
    memset(g_world.ids, 0, sizeof g_world.ids);
    g_world.http.server = &g_world.server;
    g_world.http.is_stopping = true; /* nobody waits: what would be parked is answered */
    g_world.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    CHECK(g_world.key);
    parts_open();
    CHECK(store_write(g_world.server.store, org_write_in, NULL, &err) == 0);
    login();
    objects_add();
    g_world.writes = 0;
}

struct server *server_world(void)
{
    static bool is_registered;

    if (!is_registered) {
        is_registered = true;
        pthread_mutex_init(&g_world.http.connections_lock, NULL);
        world_open();
        CHECK(atexit(world_close) ==
              0); /* before what OpenSSL registered: its threads' memory is freed at their end */
    }
    if (g_world.writes >= WRITES_MAX) {
        world_close();
        world_open();
    }
    return &g_world.server;
}
