/* SPDX-License-Identifier: Apache-2.0 */
/* What a re-appraisal writes: an instance that fell is told once; one that renewed since it was judged stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/fleet/reappraise.h"
#include "tests/unit/server/fixture.h"

#define ORG "org_00000000000000000000000001"
#define APP "app_00000000000000000000000001"
#define RENEWED "ins_00000000000000000000000001"
#define FALLEN "ins_00000000000000000000000002"
#define LATER "ins_00000000000000000000000003"
#define JUDGED_MS 1000

static struct server g_server;

static void instance_add(const char *id, int64_t evidence_ms)
{
    assert_int_equal(
        fixture_exec(
            g_server.store,
            "INSERT INTO instances (id, org_id, app_id, state, wanted, tcb_status, "
            "valid_until_ms, created_ms, changed_ms, evidence_ms) VALUES ($1, $2, $3, "
            "'running', 'run', 'UpToDate', 5000, 1, 1, $4)",
            STORE_ARGS(store_text(id), store_text(ORG), store_text(APP), store_int(evidence_ms))),
        1);
}

static int set_up(void **state)
{
    g_server.store = fixture_store();
    assert_int_equal(
        fixture_exec(g_server.store,
                     "INSERT INTO orgs (id, name, created_ms, settings, approvals_needed, "
                     "roster_version, roster_sha256, mac) VALUES ($1, 'acme', 1, '{}', 1, 1, $2, "
                     "$2)",
                     STORE_ARGS(store_text(ORG), store_blob("x", 1))),
        1);
    assert_int_equal(
        fixture_exec(g_server.store,
                     "INSERT INTO apps (id, org_id, name, settings, is_single, lease_s, "
                     "certificate_s, created_ms, mac) VALUES ($1, $2, 'load', '{}', 0, 60, 60, 1, "
                     "$3)",
                     STORE_ARGS(store_text(APP), store_text(ORG), store_blob("x", 1))),
        1);
    instance_add(RENEWED, JUDGED_MS + 1);
    instance_add(FALLEN, JUDGED_MS);
    instance_add(LATER, JUDGED_MS);
    return 0;
}

static int tear_down(void **state)
{
    store_close(g_server.store);
    fixture_done();
    return 0;
}

static struct judged judged(const char *id, bool has_fallen)
{
    struct judged j = { .evidence_ms = JUDGED_MS,
                        .is_changed = true,
                        .has_fallen = has_fallen,
                        .tcb_status = "OutOfDate",
                        .reason = "TCB_STATUS: not so",
                        .valid_until_ms = has_fallen ? 5000 : 9000 };

    snprintf(j.id, sizeof j.id, "%s", id);
    snprintf(j.org_id, sizeof j.org_id, "%s", ORG);
    return j;
}

static int64_t count(const char *sql, const char *id)
{
    return fixture_int(g_server.store, sql, STORE_ARGS(store_text(id)));
}

static void outcomes(void **state)
{
    struct fleet fleet = { .server = &g_server };
    struct round round = { .fleet = &fleet, .now_ms = 2000 };
    struct batch batch = { .count = 3 };
    static const char changed[] =
        "SELECT COUNT(*) FROM instances WHERE id = $1 AND tcb_status = 'OutOfDate'";
    static const char orders[] =
        "SELECT COUNT(*) FROM instance_orders WHERE instance_id = $1 AND kind = 'renew'";
    static const char events[] =
        "SELECT COUNT(*) FROM events WHERE object = $1 AND kind = 'instance.fallen'";
    struct err err;

    batch.judged[0] = judged(RENEWED, true);
    batch.judged[1] = judged(FALLEN, true);
    batch.judged[2] = judged(LATER, false);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(reappraise_write(&round, &batch, &err), 0);
        assert_int_equal(count(changed, RENEWED), 0);
        assert_int_equal(count(orders, RENEWED), 0);
        assert_int_equal(count(events, RENEWED), 0);
        assert_int_equal(count(changed, FALLEN), 1);
        assert_int_equal(count(orders, FALLEN), 1);
        assert_int_equal(count(events, FALLEN), 1);
        assert_int_equal(count(changed, LATER), 1);
        assert_int_equal(count(orders, LATER), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(outcomes) };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
