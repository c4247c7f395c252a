/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints of builds: propose, list, show, deprecate. Relying party; requests are hostile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/descriptor.h"
#include "lib/digest.h"
#include "server/model/app.h"
#include "server/model/build_row.h"
#include "server/model/list.h"
#include "server/model/routes.h"
#include "server/store/id.h"

struct op {
    struct api_request *rq;
    struct build_full build; /* its texts are the op's, but not in propose */
    const char *image, *descriptor;
    int64_t from_ms, until_ms;
    json_t *out;
    char id[ID_SIZE];
};

static void op_done(struct op *op)
{
    build_full_done(&op->build);
    json_decref(op->out);
}

static void set_hex(json_t *j, const char *member, bool is_there, const uint8_t *bytes, size_t size)
{
    char text[ROW_HEX_SIZE];

    json_object_set_new(j, member,
                        is_there ? json_string(row_hex(bytes, size, text)) : json_null());
}

static json_t *time_json(int64_t time_ms)
{
    return time_ms ? api_time(time_ms) : json_null();
}

json_t *build_json(const struct build_full *b)
{
    const struct build_row *row = &b->row;
    json_t *j = json_pack("{s:s,s:s,s:s,s:b,s:s?,s:s,s:o,s:o,s:s,s:o,s:o}", "id", row->id, "app",
                          row->app_id, "version", row->version, "debug", row->is_debug, "image",
                          b->image, "state", row->state, "deprecated_from",
                          time_json(row->deprecated_from_ms), "deprecated_until",
                          time_json(row->deprecated_until_ms), "proposed_by", b->proposed_by,
                          "created", api_time(b->created_ms), "changed", api_time(b->changed_ms));

    set_hex(j, "app_digest", true, row->app_digest, sizeof row->app_digest);
    set_hex(j, "mrenclave", row->has_sgx, row->mrenclave, sizeof row->mrenclave);
    set_hex(j, "mrsigner", row->has_sgx, row->mrsigner, sizeof row->mrsigner);
    json_object_set_new(j, "isv_prod_id",
                        row->has_sgx ? json_integer(row->isv_prod_id) : json_null());
    json_object_set_new(j, "isv_svn", row->has_sgx ? json_integer(row->isv_svn) : json_null());
    set_hex(j, "snp_measurement", row->has_snp, row->snp_measurement, sizeof row->snp_measurement);
    set_hex(j, "tdx_mrtd", row->has_tdx, row->tdx_mrtd, sizeof row->tdx_mrtd);
    return j;
}

static int refuse_member(struct api_request *rq, const char *member, const char *expected)
{
    int rc = api_problem(rq, 400, "invalid-member", "%s is not %s", member, expected);

    api_problem_set(rq, "member", json_sprintf("/%s", member));
    api_problem_set(rq, "expected", json_string(expected));
    return rc;
}

static int read_hex(struct api_request *rq, const char *member, const char *text, uint8_t *ret,
                    size_t size)
{
    char expected[64];

    if (!text || row_unhex(text, ret, size) == 0)
        return 0;
    snprintf(expected, sizeof expected, "%zu bytes in lower-case hex", size);
    return refuse_member(rq, member, expected);
}

static bool is_version(const char *text)
{
    /* No version looks like an id: those begin with three letters and an underscore. */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  ".+-";
    size_t len = strlen(text);

    return len > 0 && len <= 63 && strspn(text, letters) == len && !strchr(".+-", text[0]);
}

static void free_arena(void **arena)
{
    free(*arena);
}

/* The descriptor must be one, and be what the digest says. */
static int check_descriptor(struct api_request *rq, const char *text, const char *digest_text,
                            struct build_row *row)
{
    size_t size = strlen(text), arena_size = 4 * size + 4096;
    CLEANUP(free_arena)
    void *arena = malloc(arena_size);
    struct descriptor d;
    const char *what = "";
    uint8_t digest[48];
    char hex[ROW_HEX_SIZE];

    if (!arena)
        return -ENOMEM;
    sha384_digest(text, size, digest);
    if (memcmp(digest, row->app_digest, sizeof digest) != 0) {
        int rc =
            api_problem(rq, 400, "digest-mismatch",
                        "the descriptor's SHA-384 is not app_digest: they are of two images, or "
                        "the descriptor's text was changed on the way");

        api_problem_set(rq, "step", json_string("descriptor-digest"));
        api_problem_set(rq, "expected", json_string(digest_text));
        api_problem_set(rq, "actual", json_string(row_hex(digest, sizeof digest, hex)));
        return rc;
    }
    if (descriptor_parse(text, size, arena, arena_size, &d, &what) < 0)
        return api_problem(rq, 400, "descriptor-invalid", "the descriptor is none: %s", what);
    row->is_debug = d.debug;
    return 0;
}

static int read_proposal(struct api_request *rq, struct op *op)
{
    const char *version = NULL, *digest = NULL, *mrenclave = NULL, *mrsigner = NULL, *snp = NULL,
               *mrtd = NULL;
    struct build_row *row = &op->build.row;
    const struct api_member members[] = {
        { "version", API_STRING, true, &version, 1, 63 },
        { "descriptor", API_STRING, true, &op->descriptor, 1, BUILD_DESCRIPTOR_SIZE_MAX },
        { "app_digest", API_STRING, true, &digest, 96, 96 },
        { "mrenclave", API_STRING, false, &mrenclave, 64, 64 },
        { "mrsigner", API_STRING, false, &mrsigner, 64, 64 },
        { "isv_prod_id", API_INT, false, &row->isv_prod_id, 0, 65535 },
        { "isv_svn", API_INT, false, &row->isv_svn, 0, 65535 },
        { "snp_measurement", API_STRING, false, &snp, 96, 96 },
        { "tdx_mrtd", API_STRING, false, &mrtd, 96, 96 },
        { "image", API_STRING, false, &op->image, 1, BUILD_IMAGE_LEN_MAX },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc >= 0 && !is_version(version))
        rc = refuse_member(rq, "version", "1 to 63 letters, digits and . + -");
    if (rc >= 0)
        rc = read_hex(rq, "app_digest", digest, row->app_digest, sizeof row->app_digest);
    if (rc >= 0)
        rc = read_hex(rq, "mrenclave", mrenclave, row->mrenclave, sizeof row->mrenclave);
    if (rc >= 0)
        rc = read_hex(rq, "mrsigner", mrsigner, row->mrsigner, sizeof row->mrsigner);
    if (rc >= 0)
        rc =
            read_hex(rq, "snp_measurement", snp, row->snp_measurement, sizeof row->snp_measurement);
    if (rc >= 0)
        rc = read_hex(rq, "tdx_mrtd", mrtd, row->tdx_mrtd, sizeof row->tdx_mrtd);
    if (rc < 0)
        return rc;
    row_copy(row->version, sizeof row->version, version);
    row->has_sgx = mrenclave && mrsigner;
    row->has_snp = snp != NULL;
    row->has_tdx = mrtd != NULL;
    if ((mrenclave || mrsigner) && !row->has_sgx)
        return refuse_member(rq, mrenclave ? "mrsigner" : "mrenclave",
                             "there: mrenclave and mrsigner come together");
    if (!row->has_sgx && !row->has_snp && !row->has_tdx)
        return refuse_member(rq, "mrenclave", "there: a build has at least one measurement");
    return check_descriptor(rq, op->descriptor, digest, row);
}

static int propose_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct api_request *rq = op->rq;
    CLEANUP(app_row_done)
    struct app_row app = { 0 };
    struct build_full build = op->build;
    int rc = app_lookup(rq, tx, rq->params[0], &app, err);

    if (rc < 0)
        return rc;
    if (app.is_revoked)
        return api_problem(rq, 409, "app-revoked", "the app %s is revoked", app.name);
    row_copy(build.row.id, sizeof build.row.id, op->id);
    row_copy(build.row.org_id, sizeof build.row.org_id, app.org_id);
    row_copy(build.row.app_id, sizeof build.row.app_id, app.id);
    row_copy(build.row.state, sizeof build.row.state, "proposed");
    row_copy(build.proposed_by, sizeof build.proposed_by, rq->who.id);
    build.created_ms = build.changed_ms = server_now_ms(rq->server);
    build.version = 1;
    build.descriptor = (char *)op->descriptor;
    build.image = (char *)op->image;
    rc = build_full_insert(rq->server, tx, &build, err);
    if (rc == -EEXIST)
        return api_problem(rq, 409, "already-exists",
                           "app %s has a build of version %s, or of this digest, already", app.name,
                           build.row.version);
    if (rc < 0)
        return rc;
    json_decref(op->out);
    op->out = build_json(&build);
    return row_tell(rq, tx, "build.propose", "build.proposed", op->id, json_incref(op->out), err);
}

static int propose_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    snprintf(ret->location, sizeof ret->location, "/v1/builds/%s", op->id);
    return row_answer(ret, 201, 1, TAKE_PTR(op->out));
}

static int propose(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = read_proposal(rq, &op);

    if (rc < 0)
        return rc;
    id_make("bld", op.id);
    return row_write_answer(rq, propose_tx, propose_answer, &op, "build", ret);
}

/* arg: of which app, found here. */
static int list_query(struct list *l, struct store_tx *tx, struct store_rows **ret, struct err *err)
{
    struct app_row *app = l->arg;

    app_row_done(app);
    int rc = app_lookup(l->rq, tx, l->rq->params[0], app, err);

    return rc < 0 ? rc
                  : store_query(tx,
                                "SELECT " BUILD_COLUMNS " WHERE b.org_id = $1 AND b.app_id = $2 "
                                "AND b.id > $3 ORDER BY b.id LIMIT $4",
                                STORE_ARGS(store_text(app->org_id), store_text(app->id),
                                           store_text(l->page.after), list_row_count(l)),
                                ret, err);
}

static int list_item(struct list *l, struct store_tx *tx, const struct store_rows *rows,
                     json_t **ret, struct err *err)
{
    CLEANUP(build_full_done)
    struct build_full build = { 0 };
    int rc = build_full_decode(l->rq->server, rows, &build, err);

    if (rc >= 0)
        *ret = build_json(&build);
    return rc;
}

static int list(struct api_request *rq, struct api_response *ret)
{
    static const struct list_of builds = { "builds", .query = list_query, .item = list_item };
    CLEANUP(app_row_done)
    struct app_row app = { 0 };

    return list_answer(rq, &builds, &app, ret);
}

static int show_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct err why = { 0 };

    build_full_done(&op->build);
    int rc = build_lookup(op->rq, tx, NULL, op->rq->params[0], &op->build, err);

    if (rc < 0)
        return rc;
    int usable =
        build_check(op->rq->server, tx, &op->build.row, server_now_ms(op->rq->server), &why);

    if (usable < 0 && usable != -EACCES && usable != -EBADMSG)
        return usable;
    json_decref(op->out);
    op->out = build_json(&op->build);
    json_object_set_new(op->out, "descriptor", json_string(op->build.descriptor));
    json_object_set_new(op->out, "usable", json_boolean(usable >= 0));
    json_object_set_new(op->out, "reason", usable >= 0 ? json_null() : json_string(why.text));
    return 0;
}

static int show(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq };
    int rc = row_read(rq, show_tx, &op, "build");

    return rc < 0 ? rc : row_answer(ret, 200, op.build.version, TAKE_PTR(op.out));
}

static int deprecate_tx(struct store_tx *tx, void *arg, struct err *err)
{
    struct op *op = arg;
    struct api_request *rq = op->rq;
    struct build_row *row = &op->build.row;

    build_full_done(&op->build);
    int rc = build_lookup(rq, tx, NULL, rq->params[0], &op->build, err);

    if (rc >= 0)
        rc = row_version_check(rq, op->build.version);
    if (rc < 0)
        return rc;
    if (strcmp(row->state, "allowed") != 0 && strcmp(row->state, "deprecated") != 0)
        return api_problem(rq, 409, "build-not-allowed", "build %s is %s, not allowed",
                           row->version, row->state);
    row_copy(row->state, sizeof row->state, "deprecated");
    row->deprecated_from_ms = op->from_ms;
    row->deprecated_until_ms = op->until_ms;
    rc = build_full_update(rq->server, tx, &op->build, err);
    if (rc < 0)
        return rc;
    json_decref(op->out);
    op->out = build_json(&op->build);
    return row_tell(rq, tx, "build.deprecate", "build.deprecated", row->id, json_incref(op->out),
                    err);
}

static int deprecate_answer(void *arg, struct api_response *ret)
{
    struct op *op = arg;

    return row_answer(ret, 200, op->build.version, TAKE_PTR(op->out));
}

static int deprecate(struct api_request *rq, struct api_response *ret)
{
    CLEANUP(op_done)
    struct op op = { .rq = rq, .from_ms = server_now_ms(rq->server) };
    const struct api_member members[] = {
        { "from", API_TIME, false, &op.from_ms },
        { "until", API_TIME, false, &op.until_ms },
    };
    int rc = api_body_read(rq, members, ARRAY_COUNT(members));

    if (rc < 0)
        return rc;
    if (op.until_ms && op.until_ms <= op.from_ms)
        return api_problem(rq, 400, "invalid-member", "until is not after from");
    return row_write_answer(rq, deprecate_tx, deprecate_answer, &op, "build", ret);
}

const struct api_route build_routes[] = {
    { "GET", "/v1/apps/{app}/builds", list, .flags = API_ANY_ROLE },
    { "POST", "/v1/apps/{app}/builds", propose, API_OWNER | API_OPERATOR | API_APPROVER,
      API_IDEMPOTENT },
    { "GET", "/v1/builds/{build}", show, .flags = API_ANY_ROLE },
    { "POST", "/v1/builds/{build}/deprecate", deprecate, API_OWNER | API_OPERATOR, API_IDEMPOTENT },
};
const unsigned build_route_count = ARRAY_COUNT(build_routes);
