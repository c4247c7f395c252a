/* SPDX-License-Identifier: Apache-2.0 */
/* The client of AESM against a service that checks every message, and that lies in each way that it could. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/quote/aesm.h"
#include "host/quote/aesm.pb-c.h"
#include "host/quote/quote.h"

#define QUOTE_SIZE 5000u

/* ---- the service ---- */

enum lie {
    HONEST,
    CLOSES,         /* without an answer */
    CLOSES_HALFWAY, /* in the midst of one */
    SIZE_ZERO,      /* announces no bytes */
    SIZE_HUGE,      /* announces 4 GiB */
    GARBAGE,        /* bytes that are no message */
    WRONG_KIND,     /* an answer to something else */
    UNSUPPORTED,    /* says that it does not know the request */
    NO_FIELD,       /* success, without what was asked for */
    SHORT_FIELD,    /* one byte less */
    LONG_FIELD,     /* one byte more */
    NUMBER_ZERO,    /* of keys, of bytes */
    NUMBER_HUGE,
    OTHER_ALGORITHM, /* its only key is none of ours */
    ERROR_BUSY,      /* AESM_BUSY */
    ERROR_NO_DEVICE, /* AESM_NO_DEVICE_ERROR */
    ERROR_UNKNOWN,   /* a code that nobody knows */
    SILENT,          /* never answers */
};

static struct service {
    char path[64];
    int fd;
    pthread_t thread;
    enum lie lie;
    unsigned count; /* messages that came */
    bool is_bad;    /* one of them was not as it must be */
    int held;       /* connection that is left without an answer, -1 none */
} g_service;

static uint8_t g_key[AESM_KEY_ID_SIZE], g_report[sizeof(struct sgx_report)];

static void check(bool good)
{
    if (!good)
        g_service.is_bad = true;
}

static bool is_key(bool has, ProtobufCBinaryData key)
{
    return has && key.len == sizeof g_key && memcmp(key.data, g_key, sizeof g_key) == 0;
}

static uint32_t error_code(enum lie lie)
{
    return lie == ERROR_BUSY ? 18 : lie == ERROR_NO_DEVICE ? 2 : lie == ERROR_UNKNOWN ? 4711 : 0;
}

static uint32_t lie_number(uint32_t honest)
{
    return g_service.lie == NUMBER_ZERO ? 0 : g_service.lie == NUMBER_HUGE ? 0xffffffff : honest;
}

static ProtobufCBinaryData lie_bytes(size_t honest, uint8_t byte)
{
    static uint8_t bytes[QUOTE_SIZE + 1];
    size_t size = g_service.lie == SHORT_FIELD  ? honest - 1
                  : g_service.lie == LONG_FIELD ? honest + 1
                                                : honest;

    memset(bytes, byte, sizeof bytes);
    return (ProtobufCBinaryData){ .len = size, .data = bytes };
}

/* Checks a request and packs the answer. returns: its size. */
static size_t answer(const Aesm__Request *m, uint8_t *dst)
{
    Aesm__Response r = AESM__RESPONSE__INIT;
    Aesm__Response__GetSupportedAttKeyIDNum count =
        AESM__RESPONSE__GET_SUPPORTED_ATT_KEY_IDNUM__INIT;
    Aesm__Response__GetSupportedAttKeyIDs keys = AESM__RESPONSE__GET_SUPPORTED_ATT_KEY_IDS__INIT;
    Aesm__Response__InitQuoteEx init = AESM__RESPONSE__INIT_QUOTE_EX__INIT;
    Aesm__Response__GetQuoteSizeEx size = AESM__RESPONSE__GET_QUOTE_SIZE_EX__INIT;
    Aesm__Response__GetQuoteEx quote = AESM__RESPONSE__GET_QUOTE_EX__INIT;
    Aesm__Response__Collateral collateral = AESM__RESPONSE__COLLATERAL__INIT;
    Aesm__Response__UnsupportedRequest unsupported = AESM__RESPONSE__UNSUPPORTED_REQUEST__INIT;
    uint32_t code = error_code(g_service.lie);
    bool has = g_service.lie != NO_FIELD && code == 0;
    uint8_t key[AESM_KEY_ID_SIZE];

    if (m->get_supported_att_key_id_num) {
        count.error_code = code;
        count.has_att_key_id_num = has;
        count.att_key_id_num = lie_number(1);
        r.get_supported_att_key_id_num = &count;
    } else if (m->get_supported_att_key_ids) {
        check(m->get_supported_att_key_ids->buf_size == AESM_KEY_ID_SIZE);
        memcpy(key, g_key, sizeof key);
        key[AESM_KEY_ALGORITHM_OFF] = g_service.lie == OTHER_ALGORITHM ? 0 : 2;
        keys.error_code = code;
        keys.has_att_key_ids = has;
        keys.att_key_ids = lie_bytes(AESM_KEY_ID_SIZE, 0);
        memcpy(keys.att_key_ids.data, key, sizeof key);
        r.get_supported_att_key_ids = &keys;
    } else if (m->init_quote_ex) {
        check(is_key(m->init_quote_ex->has_att_key_id, m->init_quote_ex->att_key_id));
        check(m->init_quote_ex->b_pub_key_id && m->init_quote_ex->buf_size == 32);
        check(m->init_quote_ex->timeout > 0 &&
              m->init_quote_ex->timeout <= QUOTE_TIMEOUT_MS * 1000);
        init.error_code = code;
        init.has_target_info = has;
        init.target_info = lie_bytes(sizeof(struct sgx_targetinfo), 0x7a);
        r.init_quote_ex = &init;
    } else if (m->get_quote_size_ex) {
        check(is_key(m->get_quote_size_ex->has_att_key_id, m->get_quote_size_ex->att_key_id));
        size.error_code = code;
        size.has_quote_size = has;
        size.quote_size = lie_number(QUOTE_SIZE);
        r.get_quote_size_ex = &size;
    } else if (m->get_quote_ex) {
        check(is_key(m->get_quote_ex->has_att_key_id, m->get_quote_ex->att_key_id));
        check(m->get_quote_ex->report.len == sizeof g_report &&
              memcmp(m->get_quote_ex->report.data, g_report, sizeof g_report) == 0);
        check(m->get_quote_ex->buf_size == QUOTE_SIZE && !m->get_quote_ex->has_qe_report_info);
        quote.error_code = code;
        quote.has_quote = has;
        quote.quote = lie_bytes(QUOTE_SIZE, 0x71);
        r.get_quote_ex = &quote;
    } else if (m->collateral) {
        check(m->collateral->quote.len == 3 && memcmp(m->collateral->quote.data, "abc", 3) == 0);
        collateral.error_code = code;
        collateral.has_collateral = has;
        collateral.collateral = lie_bytes(QUOTE_SIZE, 0x63);
        r.collateral = &collateral;
    } else {
        check(false);
    }
    if (g_service.lie == WRONG_KIND || g_service.lie == UNSUPPORTED) {
        bool was_size = r.get_quote_size_ex != NULL;

        r = (Aesm__Response)AESM__RESPONSE__INIT;
        unsupported.error_code = 1;
        count.error_code = size.error_code = 0;
        if (g_service.lie == UNSUPPORTED)
            r.unsupported_request = &unsupported;
        else if (was_size)
            r.get_supported_att_key_id_num = &count;
        else
            r.get_quote_size_ex = &size;
    }
    return aesm__response__pack(&r, dst);
}

static bool read_all(int fd, uint8_t *dst, size_t size)
{
    return recv(fd, dst, size, MSG_WAITALL) == (ssize_t)size;
}

static void serve(int fd)
{
    static uint8_t in[AESM_REQUEST_SIZE_MAX], out[AESM_SIZE_SIZE + 2 * QUOTE_SIZE];
    uint32_t size;
    Aesm__Request *m;

    if (!read_all(fd, (uint8_t *)&size, sizeof size))
        return; /* a probe */
    check(size <= sizeof in && read_all(fd, in, size));
    m = aesm__request__unpack(NULL, size, in);
    check(m != NULL);
    g_service.count++;
    size = m ? (uint32_t)answer(m, out + AESM_SIZE_SIZE) : 0;
    if (m)
        aesm__request__free_unpacked(m, NULL);
    if (g_service.lie == CLOSES)
        return;
    if (g_service.lie == GARBAGE)
        memset(out + AESM_SIZE_SIZE, 0xff, size);
    memcpy(out, &size, AESM_SIZE_SIZE);
    if (g_service.lie == SIZE_ZERO)
        memset(out, 0, AESM_SIZE_SIZE);
    if (g_service.lie == SIZE_HUGE)
        memset(out, 0xff, AESM_SIZE_SIZE);
    if (g_service.lie == CLOSES_HALFWAY)
        size /= 2;
    check(send(fd, out, AESM_SIZE_SIZE + size, MSG_NOSIGNAL) > 0);
}

static void *serve_all(void *unused)
{
    int fd;

    while ((fd = accept(g_service.fd, NULL, NULL)) >= 0) {
        if (g_service.lie == SILENT)
            g_service.held = fd;
        else
            serve(fd);
        if (g_service.lie != SILENT)
            close(fd);
    }
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_un address;

    g_service = (struct service){ .held = -1 };
    snprintf(g_service.path, sizeof g_service.path, "/tmp/cloche-test-aesm-%d", (int)getpid());
    unlink(g_service.path);
    memset(g_key, 0x4b, sizeof g_key);
    memset(g_key + AESM_KEY_ALGORITHM_OFF, 0, 4);
    g_key[AESM_KEY_ALGORITHM_OFF] = 2;
    memset(g_report, 0x52, sizeof g_report);
    g_service.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return aesm_address_set(g_service.path, &address) < 0 ||
           bind(g_service.fd, (struct sockaddr *)&address, sizeof address) < 0 ||
           listen(g_service.fd, 8) < 0 ||
           pthread_create(&g_service.thread, NULL, serve_all, NULL) != 0;
}

static int stop(void **state)
{
    shutdown(g_service.fd, SHUT_RDWR);
    pthread_join(g_service.thread, NULL);
    close(g_service.fd);
    if (g_service.held >= 0)
        close(g_service.held);
    unlink(g_service.path);
    return 0;
}

/* ---- the client ---- */

static struct quote_service *open_service(bool emulated)
{
    struct quote_options options = { .socket_path = g_service.path, .emulated = emulated };
    struct quote_service *q = NULL;
    struct err err = { 0 };

    if (quote_open(&options, &q, &err) < 0)
        fail_msg("%s", err.text);
    return q;
}

static int64_t get_quote(struct quote_service *q, uint8_t *dst)
{
    struct evidence_quote_request request = { .att_key_id.size = AESM_KEY_ID_SIZE };

    memcpy(&request.report, g_report, sizeof g_report);
    memcpy(request.att_key_id.bytes, g_key, sizeof g_key);
    return quote_get(q, &request, dst);
}

static void asks_as_the_protocol_says(void **state)
{
    struct quote_service *q = open_service(true);
    struct evidence_target target;
    static uint8_t quote[EVIDENCE_QUOTE_SIZE_MAX], blob[EVIDENCE_QUOTE_SIZE_MAX];
    uint64_t total = 0;

    assert_int_equal(quote_target(q, &target), 0);
    assert_int_equal(target.att_key_id.size, AESM_KEY_ID_SIZE);
    assert_memory_equal(target.att_key_id.bytes, g_key, sizeof g_key);
    assert_int_equal(((uint8_t *)&target.targetinfo)[511], 0x7a);
    assert_int_equal(get_quote(q, quote), QUOTE_SIZE);
    assert_int_equal(quote[QUOTE_SIZE - 1], 0x71);
    assert_int_equal(g_service.count, 5);
    /* The blob is asked for once and read in parts. */
    assert_int_equal(quote_collateral(q, "abc", 3, 0, blob, 4096, &total), 4096);
    assert_int_equal(total, QUOTE_SIZE);
    assert_int_equal(quote_collateral(q, "abc", 3, 4096, blob, 4096, &total), QUOTE_SIZE - 4096);
    assert_int_equal(quote_collateral(q, "abc", 3, QUOTE_SIZE, blob, 4096, &total), 0);
    assert_int_equal(quote_collateral(q, "abc", 3, UINT64_MAX, blob, 4096, &total), 0);
    assert_int_equal(g_service.count, 6);
    assert_false(g_service.is_bad);
    quote_free(q);
}

static void asks_only_emulated_services_for_collateral(void **state)
{
    struct quote_service *q = open_service(false);
    uint8_t blob[16];
    uint64_t total;

    assert_int_equal(quote_collateral(q, "abc", 3, 0, blob, sizeof blob, &total), -ENODATA);
    assert_int_equal(g_service.count, 0);
    quote_free(q);
}

/* Each step of the protocol meets each lie. */
static const enum aesm_kind g_kinds[] = { AESM_KEY_COUNT,  AESM_KEYS,  AESM_INIT,
                                          AESM_QUOTE_SIZE, AESM_QUOTE, AESM_COLLATERAL };

static int ask(enum aesm_kind kind, struct aesm_answer *ret, struct err *err)
{
    struct aesm_request request = { .kind = kind, .number = 1, .timeout_ms = 1000 };
    struct sockaddr_un address;
    int rc = aesm_address_set(g_service.path, &address);

    request.key = kind == AESM_KEY_COUNT || kind == AESM_KEYS ? NULL : g_key;
    if (kind == AESM_QUOTE) {
        request.number = QUOTE_SIZE;
        request.payload = g_report;
        request.payload_size = sizeof g_report;
    } else if (kind == AESM_COLLATERAL) {
        request.payload = (const uint8_t *)"abc";
        request.payload_size = 3;
    }
    return rc < 0 ? rc : aesm_call(&address, &request, aesm_now_ms() + 60000, ret, err);
}

static void refuses_lies(void **state)
{
    static const struct {
        enum lie lie;
        int error;
        const char *text;
    } lies[] = {
        { CLOSES, -EIO, "closed the connection" },
        { CLOSES_HALFWAY, -EIO, "closed the connection" },
        { SIZE_ZERO, -EIO, "impossible size" },
        { SIZE_HUGE, -EIO, "impossible size" },
        { GARBAGE, -EIO, "cannot be read" },
        { WRONG_KIND, -EIO, "something else" },
        { UNSUPPORTED, -ENODEV, "does not know" },
        { NO_FIELD, -EIO, "the service" },
        { ERROR_BUSY, -EAGAIN, "busy (AESM error 18)" },
        { ERROR_NO_DEVICE, -ENODEV, "no SGX device" },
        { ERROR_UNKNOWN, -EIO, "AESM error 4711" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(lies); i++)
        for (unsigned k = 0; k < ARRAY_COUNT(g_kinds); k++) {
            struct aesm_answer got = { 0 };
            struct err err = { 0 };
            int rc;

            g_service.lie = lies[i].lie;
            rc = ask(g_kinds[k], &got, &err);
            if (rc != lies[i].error || !strstr(err.text, lies[i].text))
                fail_msg("lie %u, request %u: %d, \"%s\"", lies[i].lie, g_kinds[k], rc, err.text);
            assert_null(got.data);
        }
    assert_false(g_service.is_bad);
}

static void refuses_sizes_and_numbers(void **state)
{
    for (enum lie lie = SHORT_FIELD; lie <= NUMBER_HUGE; lie++)
        for (unsigned k = 0; k < ARRAY_COUNT(g_kinds); k++) {
            bool is_number = g_kinds[k] == AESM_KEY_COUNT || g_kinds[k] == AESM_QUOTE_SIZE;
            bool lies_about_number = lie >= NUMBER_ZERO;
            /* A quote may be shorter than its largest size, and collateral has any. */
            bool is_any =
                (g_kinds[k] == AESM_QUOTE && lie == SHORT_FIELD) || g_kinds[k] == AESM_COLLATERAL;
            struct aesm_answer got = { 0 };
            struct err err = { 0 };
            int rc;

            g_service.lie = lie;
            rc = ask(g_kinds[k], &got, &err);
            if (rc != (is_number == lies_about_number && !is_any ? -EIO : 0))
                fail_msg("lie %u, request %u: %d, \"%s\"", lie, g_kinds[k], rc, err.text);
            free(got.data);
        }
    assert_false(g_service.is_bad);
}

static void needs_a_key_for_ecdsa(void **state)
{
    struct quote_service *q = open_service(false);
    struct evidence_target target;

    g_service.lie = OTHER_ALGORITHM;
    assert_int_equal(quote_target(q, &target), -EIO);
    quote_free(q);
}

static void gives_up_in_time(void **state)
{
    struct aesm_request request = { .kind = AESM_KEY_COUNT };
    struct aesm_answer got = { 0 };
    struct sockaddr_un address;
    struct err err = { 0 };

    g_service.lie = SILENT;
    assert_int_equal(aesm_address_set(g_service.path, &address), 0);
    assert_int_equal(aesm_call(&address, &request, aesm_now_ms() + 50, &got, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "in time"));
}

static void finds_no_service(void **state)
{
    struct quote_options options = { .socket_path = "/nowhere/aesm.socket" };
    struct quote_service *q = NULL;
    struct err err = { 0 };
    struct evidence_target target;
    char path[200];

    assert_int_equal(quote_open(&options, &q, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/aesm.socket"));
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    options.socket_path = path;
    assert_int_equal(quote_open(&options, &q, &err), -ENAMETOOLONG);
    assert_int_equal(quote_target(NULL, &target), -ENODEV);
}

static void survives_a_service_that_goes(void **state)
{
    struct quote_service *q = open_service(false);
    struct evidence_target target;

    stop(state);
    assert_int_equal(quote_target(q, &target), -ENODEV);
    assert_int_equal(start(state), 0);
    assert_int_equal(quote_target(q, &target), 0); /* the new one is found */
    quote_free(q);
}

static void takes_collateral_from_files(void **state)
{
    char folder[] = "/tmp/cloche-test-coll-XXXXXX", path[128], blob[512] = "";
    struct quote_options options = { .socket_path = g_service.path };
    struct quote_service *q = NULL;
    struct err err = { 0 };
    uint64_t total;
    int64_t got;
    FILE *f;

    assert_non_null(mkdtemp(folder));
    options.collateral_path = folder;
    assert_int_equal(quote_open(&options, &q, &err), -ENODATA);
    snprintf(path, sizeof path, "%s/pck_crl.der", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fwrite("\xfb\xff\x30\x01", 1, 4, f);
    fclose(f);
    assert_int_equal(quote_open(&options, &q, &err), 0);
    got = quote_collateral(q, "abc", 3, 0, blob, sizeof blob, &total);
    assert_int_equal(got, strlen(blob));
    assert_string_equal(blob, "{\"pck_crl\":[\"application/pkix-crl\",\"-_8wAQ\",2]}");
    assert_int_equal(g_service.count, 0);
    quote_free(q);
    options.collateral_path = path; /* a file is taken as it is */
    assert_int_equal(quote_open(&options, &q, &err), 0);
    assert_int_equal(quote_collateral(q, "abc", 3, 1, blob, sizeof blob, &total), 3);
    assert_int_equal(total, 4);
    assert_memory_equal(blob, "\xff\x30\x01", 3);
    quote_free(q);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(asks_as_the_protocol_says),
        CASE(asks_only_emulated_services_for_collateral),
        CASE(refuses_lies),
        CASE(refuses_sizes_and_numbers),
        CASE(needs_a_key_for_ecdsa),
        CASE(gives_up_in_time),
        CASE(finds_no_service),
        CASE(survives_a_service_that_goes),
        CASE(takes_collateral_from_files),
    };

    unsetenv(QUOTE_SOCKET_ENV);
    unsetenv(QUOTE_COLLATERAL_ENV);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
