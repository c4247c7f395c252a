/* SPDX-License-Identifier: Apache-2.0 */
/* lib/descriptor: what is written is read back equal; every other text is refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

#include "abi/image.h"
#include "lib/descriptor.h"

static uint8_t g_arena[1 << 16];

static const char *const g_args[] = { "/usr/bin/python3", "-c",
                                      "print(\"\t\xe2\x82\xac\x01\x7f\")" };
static const struct descriptor_env g_env[] = { { "PATH", "/bin" }, { "LANG", NULL } };
static const struct descriptor_mount g_mounts[] = {
    { DESCRIPTOR_MOUNT_TMPFS, "/tmp", 1 << 20, false },
    { DESCRIPTOR_MOUNT_HOST, "/data", 0, true },
};
static const uint32_t g_groups[] = { 4, 4294967295u };

static const char *const g_urls[] = { "https://cloche.example:8443", "https://[::1]:1",
                                      "https://10.0.0.1" };
static const struct descriptor_server g_server = {
    .ca_key_sha256 = { 7, 0xfe },
    .reload_signal = "SIGHUP",
    .start_limit_s = 120,
    .urls_count = 3,
    .urls = g_urls,
};

static struct descriptor sample(void)
{
    return (struct descriptor){
        .version = 1,
        .name = "hotel",
        .verity_root = { 1, 2, 0xff },
        .verity_salt = { 0xab },
        .verity_salt_size = 1,
        .rootfs_size = 8192,
        .args_count = 3,
        .args = g_args,
        .args_from_host = true,
        .args_fixed = 1,
        .env_count = 2,
        .env = g_env,
        .workdir = "/",
        .uid = 1000,
        .gid = 1001,
        .groups_count = 2,
        .groups = g_groups,
        .hostname = "cloche",
        .mounts_count = 2,
        .mounts = g_mounts,
        .memory_size = 1ull << 30,
        .threads_max = 64,
        .elrange_size = ELRANGE_SIZE_DEFAULT,
        .host_files = true,
        .server = &g_server,
        .stop_signal = "SIGTERM",
    };
}

static int parse(const char *json, size_t size, struct descriptor *ret)
{
    const char *error = NULL;
    /* The promised bound, exactly. */
    size_t arena_size = MIN(sizeof g_arena, 4 * size + 4096);
    int rc = descriptor_parse(json, size, g_arena, arena_size, ret, &error);

    assert_true(rc == 0 || error != NULL);
    return rc;
}

static void test_round_trip(void **state)
{
    struct descriptor d = sample(), back;
    char json[4096], again[4096];
    int64_t size = descriptor_encode(&d, json, sizeof json);

    assert_true(size > 0);
    assert_int_equal(parse(json, (size_t)size, &back), 0);
    assert_string_equal(back.args[2], g_args[2]);
    assert_int_equal(back.groups[1], 4294967295u);
    assert_null(back.env[1].value);
    assert_string_equal(back.env[0].value, "/bin");
    assert_int_equal(back.mounts[1].kind, DESCRIPTOR_MOUNT_HOST);
    assert_true(back.mounts[1].read_only);
    assert_int_equal(back.verity_salt_size, 1);
    assert_memory_equal(back.verity_root, d.verity_root, 32);
    assert_int_equal(back.server->urls_count, 3);
    assert_string_equal(back.server->urls[1], g_urls[1]);
    assert_string_equal(back.server->reload_signal, "SIGHUP");
    assert_memory_equal(back.server->ca_key_sha256, g_server.ca_key_sha256, 32);
    assert_int_equal(descriptor_encode(&back, again, sizeof again), size);
    assert_memory_equal(json, again, (size_t)size);
    assert_int_equal(descriptor_encode(&d, again, (size_t)size - 1), -ENOSPC);
}

/* No text but the canonical one: each byte removed, doubled or changed is refused or is a change. */
static void test_each_byte(void **state)
{
    struct descriptor d = sample(), back;
    char json[4096], changed[4097], again[4096];
    int64_t encoded = descriptor_encode(&d, json, sizeof json);

    assert_true(encoded > 0);
    size_t size = (size_t)encoded;

    for (size_t i = 0; i < size; i++) {
        memcpy(changed, json, i);
        memcpy(changed + i, json + i + 1, size - i - 1);
        if (parse(changed, size - 1, &back) == 0) {
            assert_int_equal(descriptor_encode(&back, again, sizeof again), size - 1);
            assert_memory_equal(again, changed, size - 1);
        }
        memcpy(changed, json, size);
        for (unsigned bit = 0; bit < 8; bit++) {
            changed[i] = (char)(json[i] ^ 1 << bit);
            if (parse(changed, size, &back) == 0) {
                assert_int_equal(descriptor_encode(&back, again, sizeof again), size);
                assert_memory_equal(again, changed, size);
            }
        }
        /* Truncated. */
        assert_true(parse(json, i, &back) < 0);
    }
    memcpy(changed, json, size);
    changed[size] = ' ';
    assert_int_equal(parse(changed, size + 1, &back), -EINVAL);
}

static void refuse(const char *what, void (*change)(struct descriptor *))
{
    struct descriptor d = sample(), back;
    char json[8192];

    change(&d);
    int64_t size = descriptor_encode(&d, json, sizeof json);

    assert_true(size > 0);
    if (parse(json, (size_t)size, &back) != -EINVAL)
        fail_msg("accepted: %s", what);
}

#define REFUSE(statement)                                                                          \
    do {                                                                                           \
        void change_(struct descriptor *d)                                                         \
        {                                                                                          \
            statement;                                                                             \
        }                                                                                          \
        refuse(#statement, change_);                                                               \
    } while (0)

static const char *const g_empty_arg[] = { "" };
static const char *const g_bad_arg[] = { "\xed\xa0\x80" };
static const struct descriptor_env g_env_bad[] = { { "A", "\xe2\x82" } };
static const struct descriptor_env g_env_twice[] = { { "A", "1" }, { "A", NULL } };
static const struct descriptor_env g_env_equals[] = { { "A=B", "1" } };
static const struct descriptor_env g_env_empty[] = { { "", "1" } };
static const struct descriptor_mount g_mount_up[] = { { 0, "/a/../b", 0, false } };
static const struct descriptor_mount g_mount_root[] = { { 0, "/", 0, false } };
static const struct descriptor_mount g_mount_slash[] = { { 0, "/a/", 0, false } };
static const struct descriptor_mount g_mount_twice[] = { { 0, "/a", 0, false },
                                                         { 0, "/a", 0, false } };
static const struct descriptor_mount g_mount_host_size[] = { { 1, "/a", 5, false } };

static void test_rules(void **state)
{
    REFUSE(d->version = 2);
    REFUSE(d->args_fixed = 4);
    REFUSE((d->args_count = 0, d->args_fixed = 0, d->args_from_host = false));
    REFUSE((d->args = g_empty_arg, d->args_count = 1));
    REFUSE((d->env = g_env_twice, d->env_count = 2));
    REFUSE((d->env = g_env_equals, d->env_count = 1));
    REFUSE((d->env = g_env_empty, d->env_count = 1));
    REFUSE((d->mounts = g_mount_up, d->mounts_count = 1));
    REFUSE((d->mounts = g_mount_root, d->mounts_count = 1));
    REFUSE((d->mounts = g_mount_slash, d->mounts_count = 1));
    REFUSE((d->mounts = g_mount_twice, d->mounts_count = 2));
    REFUSE((d->mounts = g_mount_host_size, d->mounts_count = 1));
    REFUSE(d->name = "\xff");
    REFUSE(d->workdir = "/\xc0\x80");
    REFUSE((d->args = g_bad_arg, d->args_count = 1));
    REFUSE((d->env = g_env_bad, d->env_count = 1));
    REFUSE(d->workdir = "tmp");
    REFUSE(d->workdir = "/tmp/.");
    REFUSE(d->hostname = "");
    REFUSE(d->hostname = "a b");
    REFUSE(d->stop_signal = "15");
    REFUSE(d->memory_size = DESCRIPTOR_MEMORY_MIN - 4096);
    REFUSE(d->memory_size += 1);
    REFUSE(d->memory_size = d->elrange_size + 4096);
    REFUSE(d->threads_max = 0);
    REFUSE(d->threads_max = LIBOS_SLOT_COUNT_MAX + 1);
    REFUSE(d->elrange_size = ELRANGE_SIZE_MIN / 2);
    REFUSE(d->elrange_size = ELRANGE_SIZE_MAX * 2);
    REFUSE(d->elrange_size = 3ull << 36);
    REFUSE(d->rootfs_size = 0);
    REFUSE(d->rootfs_size = 4096);
    REFUSE(d->rootfs_size = 8191);
    REFUSE(d->rootfs_size = IMAGE_ROOTFS_SIZE_MAX + 4096);
}

static void refuse_url(const char *url)
{
    const char *const urls[] = { url };
    struct descriptor_server server = g_server;

    server.urls = urls;
    server.urls_count = 1;
    REFUSE(d->server = &server);
}

static void test_server(void **state)
{
    static const char *const good[] = { "https://a", "https://a-b.c:1", "https://[fe80::1]:65535" };
    static const char *const bad[] = { "",
                                       "http://a",
                                       "https://",
                                       "https://a/",
                                       "https://a/b",
                                       "https://a:0",
                                       "https://a:",
                                       "https://a:65536",
                                       "https://a:99999999999",
                                       "https://u@a",
                                       "https://a b",
                                       "https://[::1",
                                       "https://[]",
                                       "https://[::1]x",
                                       "https://a\r\n" };
    static const struct descriptor_mount mounts[][1] = {
        { { DESCRIPTOR_MOUNT_HOST, "/run", 0, false } },
        { { DESCRIPTOR_MOUNT_HOST, "/run/secrets", 0, false } },
        { { DESCRIPTOR_MOUNT_TMPFS, "/run/cloche", 0, false } },
        { { DESCRIPTOR_MOUNT_HOST, "/run/secrets/db", 0, true } },
    };
    static const struct descriptor_mount beside[] = {
        { DESCRIPTOR_MOUNT_TMPFS, "/run", 0, false }, { DESCRIPTOR_MOUNT_HOST, "/run/c", 0, false }
    };
    struct descriptor_server server = g_server;
    struct descriptor changed = sample();

    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_true(descriptor_url_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        refuse_url(bad[i]);
    for (size_t i = 0; i < ARRAY_COUNT(mounts); i++)
        REFUSE((d->mounts = mounts[i], d->mounts_count = 1));
    changed.mounts = beside;
    assert_null(descriptor_check(&changed));
    server.urls_count = 0;
    REFUSE(d->server = &server);
    server = g_server;
    server.start_limit_s = 0;
    REFUSE(d->server = &server);
    server = g_server;
    server.reload_signal = "HUP";
    REFUSE(d->server = &server);
}

static void test_arena_bound(void **state)
{
    /* The most demanding text for its size: as many empty arguments as there may be. */
    static const char *args[DESCRIPTOR_ARGS_MAX];
    struct descriptor d = sample(), back;
    char json[8192];

    for (size_t i = 0; i < ARRAY_COUNT(args); i++)
        args[i] = i ? "" : "a";
    d.args = args;
    d.args_count = DESCRIPTOR_ARGS_MAX;
    int64_t size = descriptor_encode(&d, json, sizeof json);

    assert_true(size > 0);
    assert_int_equal(parse(json, (size_t)size, &back), 0);
    assert_int_equal(back.args_count, DESCRIPTOR_ARGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_rules),       cmocka_unit_test(test_server),
        cmocka_unit_test(test_arena_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
