/* SPDX-License-Identifier: Apache-2.0 */
/* For test_upgrade.c, with the schema as it is: `old_dump make URL FILE` makes a store with an organisation and dumps it; `old_dump load URL FILE` restores. Prints what was wrong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/store/dump.h"
#include "tests/unit/server/fixture.h"

static int make(struct store *store, FILE *file, struct err *err)
{
    static const uint8_t bytes[] = { 1, 2, 3 };
    const struct store_value blob = store_blob(bytes, sizeof bytes);
    uint8_t sha256[32];
    int64_t rows;

    if (fixture_exec(
            store,
            "INSERT INTO orgs (id, name, created_ms, settings, approvals_needed, "
            "roster_version, roster_sha256, mac) VALUES ($1, 'acme', 1, '{}', 1, 0, $2, $2)",
            STORE_ARGS(store_text("org_a"), blob)) < 0 ||
        fixture_exec(store, "INSERT INTO stapled (sha256, content, used_ms) VALUES ($1, $1, 5)",
                     STORE_ARGS(blob)) < 0 ||
        fixture_exec(store, "UPDATE event_counter SET number = 41", STORE_NO_ARGS) < 0)
        return -EIO;
    return store_dump(store, file, &rows, sha256, err);
}

int main(int argc, char **argv)
{
    bool is_make = argc == 4 && strcmp(argv[1], "make") == 0;
    FILE *file = argc == 4 ? fopen(argv[3], is_make ? "w+" : "r") : NULL;
    struct store *store;
    struct err err = { "" };
    uint8_t sha256[32];
    int64_t rows;
    long end;
    int rc;

    if (!file || store_open(argv[2], &store, &err) < 0) {
        printf("%s\n", err.text);
        return 2;
    }
    rc = is_make ? make(store, file, &err) : store_load(store, file, &rows, sha256, &end, &err);
    store_close(store);
    if (fclose(file) != 0 || rc < 0)
        printf("%s\n", err.text);
    return rc < 0;
}
