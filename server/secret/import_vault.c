/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import over HashiCorp Vault's HTTP API, key-value engine version 2: GET /v1/MOUNT/data/PATH with a token from a file; the answer has the object data.data. Relying party; the
 * answer may be hostile. A source: {"kind": "vault", "url", "mount" ("secret"), "token_file", "ca_file", "namespace"}.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ct.h"
#include "server/crypto/keys.h"
#include "server/secret/import.h"
#include "server/secret/secret.h"

#define ANSWER_SIZE_MAX (1u << 20)
#define TIMEOUT_MS 10000L
#define HEADER_SIZE 1100u
#define TOKEN_LEN_MAX 1024u

struct answer {
    char *data; /* ANSWER_SIZE_MAX bytes */
    size_t size;
};

static void json_freep(json_t **json)
{
    secret_list_free(*json);
}

static const char *member(const json_t *source, const char *name)
{
    return json_string_value(json_object_get(source, name));
}

static size_t take_body(char *data, size_t one, size_t size, void *arg)
{
    struct answer *answer = arg;

    if (size > ANSWER_SIZE_MAX - answer->size)
        return 0;
    memcpy(answer->data + answer->size, data, size);
    answer->size += size;
    return size;
}

/* "X-Vault-Token: ..." from the file's first line. */
static int read_token(const char *path, char ret[HEADER_SIZE], struct err *err)
{
    static const char name[] = "X-Vault-Token: ";
    FILE *file = path ? fopen(path, "re") : NULL;
    char *line = ret + sizeof name - 1;

    if (!file)
        return err_set(err, -EIO, "its token_file cannot be read");
    memcpy(ret, name, sizeof name - 1);
    if (!fgets(line, TOKEN_LEN_MAX, file))
        line[0] = 0;
    fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    return line[0] ? 0 : err_set(err, -EIO, "its token_file is empty");
}

/* Without TLS only to this machine. */
static bool url_is_good(const char *url)
{
    static const char *const starts[] = { "https://", "http://127.0.0.1:", "http://[::1]:",
                                          "http://localhost:" };

    for (unsigned i = 0; url && i < ARRAY_COUNT(starts); i++)
        if (strncmp(url, starts[i], strlen(starts[i])) == 0)
            return strlen(url) < 512;
    return false;
}

static void set_options(CURL *curl, const char *url, const char *ca_file,
                        struct curl_slist *headers, struct answer *answer)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
}

static void wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *h = headers; h; h = h->next)
        ct_wipe(h->data, strlen(h->data));
    curl_slist_free_all(headers);
}

/* returns: the status; -EIO. */
static int fetch(const json_t *source, const char *url, const char *token, struct answer *answer,
                 struct err *err)
{
    struct curl_slist *headers = curl_slist_append(NULL, token), *more;
    const char *space = member(source, "namespace");
    char line[256];
    CURL *curl = curl_easy_init();
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long status = 0;

    if (space) {
        snprintf(line, sizeof line, "X-Vault-Namespace: %s", space);
        more = headers ? curl_slist_append(headers, line) : NULL;
        headers = more ? more : headers;
    }
    if (curl && headers) {
        set_options(curl, url, member(source, "ca_file"), headers, answer);
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    }
    curl_easy_cleanup(curl);
    wipe_headers(headers);
    if (code == CURLE_WRITE_ERROR)
        return err_set(err, -EIO, "its answer is over %u bytes", ANSWER_SIZE_MAX);
    return code == CURLE_OK ? (int)status : err_set(err, -EIO, "%s", curl_easy_strerror(code));
}

int import_vault_pick(const char *answer, size_t size, const char *field, uint8_t **ret,
                      size_t *ret_size, struct err *err)
{
    CLEANUP(json_freep)
    json_t *json = json_loadb(answer, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *data = json_object_get(json_object_get(json, "data"), "data");
    const json_t *value = json_object_get(data, field);
    char *text;

    if (!json_is_object(data))
        return err_set(err, -EIO, "its answer is not one of a key-value engine, version 2");
    if (field[0] && !json_is_string(value))
        return err_set(err, -ENOENT, "there is no text \"%s\"", field);
    text = field[0] ? strdup(json_string_value(value))
                    : json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return err_set_errno(err, -ENOMEM, "import");
    *ret = (uint8_t *)text;
    *ret_size = strlen(text);
    return 0;
}

int import_vault(const json_t *source, const char *path, const char *field, uint8_t **ret,
                 size_t *ret_size, struct err *err)
{
    const char *base = member(source, "url"), *mount = member(source, "mount");
    struct answer answer = { malloc(ANSWER_SIZE_MAX), 0 };
    char url[1200], token[HEADER_SIZE];
    int rc, status;

    if (!answer.data)
        return err_set_errno(err, -ENOMEM, "import");
    rc = url_is_good(base) ? read_token(member(source, "token_file"), token, err)
                           : err_set(err, -EIO, "its url is not https");
    if (rc == 0) {
        snprintf(url, sizeof url, "%s/v1/%.128s/data/%s", base, mount ? mount : "secret", path);
        status = fetch(source, url, token, &answer, err);
        if (status == 200)
            rc = import_vault_pick(answer.data, answer.size, field, ret, ret_size, err);
        else if (status == 404)
            rc = err_set(err, -ENOENT, "there is no %s", path);
        else if (status == 401 || status == 403)
            rc = err_set(err, -EACCES, "it refuses this server's token for %s", path);
        else
            rc = status < 0 ? status : err_set(err, -EIO, "it answers with status %d", status);
    }
    ct_wipe(token, sizeof token);
    secret_free(answer.data, ANSWER_SIZE_MAX);
    return rc;
}
