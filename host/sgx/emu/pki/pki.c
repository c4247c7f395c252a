/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated PKI: makes its folder, and changes what it claims. Untrusted side. */
#include "host/sgx/emu/pki/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "host/sgx/emu/pki/folder.h"

#define DAY_S 86400
#define VALID_DAYS 30 /* of collateral, as Intel's */
#define CLOCK_SKEW_S 300
#define PCE_SVN 13
#define EVALUATION_FIRST 17

/* CPUSVN of the emulated CPU, docs/emulator.md; the components of its PCK say the same. */
#define EMU_SVN 1
static const uint8_t g_fmspc[6] = { 0xee, 0x0c, 0x10, 0xc4, 0xe0, 0x00 };
static const char *const g_items[] = { "tcb-info", "qe-identity", "pck-crl", "root-crl" };
static const char *const g_statuses[] = {
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
};

static void put_hex(char *dst, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        snprintf(dst + 2 * i, 3, "%02X", data[i]);
}

static bool get_hex(const json_t *value, uint8_t *dst, size_t size)
{
    const char *text = json_string_value(value);

    if (!text || strlen(text) != 2 * size || strspn(text, "0123456789abcdefABCDEF") != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        dst[i] = (uint8_t)byte;
    }
    return true;
}

/* ---- levels, in Intel's form ---- */

static json_t *components_new(const uint8_t svn[EMU_PKI_SVN_COUNT])
{
    json_t *list = json_array();

    for (unsigned i = 0; i < EMU_PKI_SVN_COUNT; i++)
        json_array_append_new(list, json_pack("{s:i}", "svn", svn[i]));
    return list;
}

static bool components_get(const json_t *list, uint8_t ret[EMU_PKI_SVN_COUNT])
{
    if (json_array_size(list) != EMU_PKI_SVN_COUNT)
        return false;
    for (unsigned i = 0; i < EMU_PKI_SVN_COUNT; i++) {
        json_int_t svn = json_integer_value(json_object_get(json_array_get(list, i), "svn"));

        if (svn < 0 || svn > UINT8_MAX)
            return false;
        ret[i] = (uint8_t)svn;
    }
    return true;
}

static json_t *level_new(const uint8_t svn[EMU_PKI_SVN_COUNT], int pce_svn, int64_t date_s,
                         const char *status)
{
    char date[FOLDER_TIME_SIZE];

    folder_time_print(date_s - date_s % DAY_S, date);
    return json_pack("{s:{s:o,s:i},s:s,s:s}", "tcb", "sgxtcbcomponents", components_new(svn),
                     "pcesvn", pce_svn, "tcbDate", date, "tcbStatus", status);
}

static json_t *qe_level_new(int isv_svn, int64_t date_s)
{
    char date[FOLDER_TIME_SIZE];

    folder_time_print(date_s - date_s % DAY_S, date);
    return json_pack("{s:{s:i},s:s,s:s}", "tcb", "isvsvn", isv_svn, "tcbDate", date, "tcbStatus",
                     "UpToDate");
}

/* The level that the platform's PCK reaches. NULL: none. */
static json_t *level_find(const struct emu_pki *pki, size_t *ret_index)
{
    const json_t *levels = json_object_get(json_object_get(pki->state, "tcbInfo"), "tcbLevels");
    const json_t *platform = json_object_get(pki->state, "platform");
    uint8_t have[EMU_PKI_SVN_COUNT], want[EMU_PKI_SVN_COUNT];

    if (!components_get(json_object_get(platform, "sgxtcbcomponents"), have))
        return NULL;
    for (size_t i = 0; i < json_array_size(levels); i++) {
        json_t *level = json_array_get(levels, i);
        bool reached = components_get(
            json_object_get(json_object_get(level, "tcb"), "sgxtcbcomponents"), want);

        for (unsigned n = 0; reached && n < EMU_PKI_SVN_COUNT; n++)
            reached = have[n] >= want[n];
        if (reached) {
            *ret_index = i;
            return level;
        }
    }
    return NULL;
}

/* ---- the state ---- */

static void dates_set(json_t *dates, const char *item, int64_t issued_s, int64_t next_s)
{
    char issued[FOLDER_TIME_SIZE], next[FOLDER_TIME_SIZE];

    folder_time_print(issued_s, issued);
    folder_time_print(next_s, next);
    json_object_set_new(dates, item, json_pack("{s:s,s:s}", "issued", issued, "next", next));
}

static int dates_change(struct emu_pki *pki, const char *what, int64_t issued_s, int64_t next_s,
                        struct err *err)
{
    bool found = false;

    for (unsigned i = 0; i < ARRAY_COUNT(g_items); i++)
        if (strcmp(what, "all") == 0 || strcmp(what, g_items[i]) == 0) {
            dates_set(json_object_get(pki->state, "dates"), g_items[i], issued_s, next_s);
            found = true;
        }
    return found ? 0
                 : err_set(err, -EINVAL,
                           "%s: choose tcb-info, qe-identity, pck-crl, root-crl or all", what);
}

int emu_pki_renew(struct emu_pki *pki, const char *what, struct err *err)
{
    int64_t now = time(NULL);

    return dates_change(pki, what, now - CLOCK_SKEW_S, now + VALID_DAYS * DAY_S, err);
}

int emu_pki_expire(struct emu_pki *pki, const char *what, struct err *err)
{
    int64_t now = time(NULL);

    return dates_change(pki, what, now - (VALID_DAYS + 1) * DAY_S, now - DAY_S, err);
}

static json_t *tcb_info_new(const char *fmspc, int64_t now)
{
    uint8_t svn[EMU_PKI_SVN_COUNT];
    json_t *newest, *older;

    memset(svn, EMU_SVN, sizeof svn);
    newest = level_new(svn, PCE_SVN, now, "UpToDate");
    memset(svn, 0, sizeof svn);
    older = level_new(svn, 5, now - 365 * DAY_S, "OutOfDate");
    return json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:i,s:i,s:[o,o]}", "id", "SGX", "version", 3,
                     "issueDate", "", "nextUpdate", "", "fmspc", fmspc, "pceId", "0000", "tcbType",
                     0, "tcbEvaluationDataNumber", EVALUATION_FIRST, "tcbLevels", newest, older);
}

/* INIT and MODE64BIT must be set, DEBUG must not; of XFRM nothing is asked. */
static json_t *qe_identity_new(const char *mrsigner, int isv_prod_id, int isv_svn, int64_t now)
{
    return json_pack("{s:s,s:i,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:i,s:[o]}", "id", "QE", "version",
                     2, "issueDate", "", "nextUpdate", "", "tcbEvaluationDataNumber",
                     EVALUATION_FIRST, "miscselect", "00000000", "miscselectMask", "00000000",
                     "attributes", "05000000000000000000000000000000", "attributesMask",
                     "07000000000000000000000000000000", "mrsigner", mrsigner, "isvprodid",
                     isv_prod_id, "tcbLevels", qe_level_new(isv_svn, now));
}

static int state_new(struct emu_pki *pki, const struct emu_pki_platform *platform)
{
    char ppid[33], fmspc[13], instance[33], zeros[65];
    uint8_t svn[EMU_PKI_SVN_COUNT], random[32];
    int64_t now = time(NULL);

    if (RAND_bytes(random, sizeof random) != 1)
        return -EIO;
    put_hex(ppid, platform->has_ppid ? platform->ppid : random, 16);
    put_hex(instance, random + 16, 16);
    put_hex(fmspc, platform->has_fmspc ? platform->fmspc : g_fmspc, 6);
    memset(svn, EMU_SVN, sizeof svn);
    memset(zeros, '0', 64);
    zeros[64] = 0;
    pki->state = json_pack("{s:i,s:s,s:{s:s,s:s,s:s,s:s,s:s,s:o,s:i},s:o,s:o,s:{s:[],s:[]},s:{}}",
                           "version", 1, "notice", "emulated: protects nothing", "platform", "ca",
                           platform->is_processor_ca ? "processor" : "platform", "ppid", ppid,
                           "fmspc", fmspc, "pceId", "0000", "platformInstanceId", instance,
                           "sgxtcbcomponents", components_new(svn), "pcesvn", PCE_SVN, "tcbInfo",
                           tcb_info_new(fmspc, now), "enclaveIdentity",
                           qe_identity_new(zeros, 0, 0, now), "revoked", "ca", "root", "dates");
    return pki->state ? emu_pki_renew(pki, "all", NULL) : -ENOMEM;
}

/* ---- certificates ---- */

/* A new key and its certificate, by issuer_name or, when that is NULL, by itself. */
static int issue_named(const struct emu_pki *pki, const char *name, const char *issuer_name,
                       struct issue_request *request, struct err *err)
{
    CLEANUP(issue_keyp)
    EVP_PKEY *key = issue_key_new();
    CLEANUP(issue_keyp)
    EVP_PKEY *issuer_key = NULL;
    CLEANUP(issue_certp)
    X509 *issuer = NULL;
    CLEANUP(issue_certp)
    X509 *cert = NULL;
    int rc = 0;

    if (issuer_name) {
        rc = folder_cert_read(pki->folder, issuer_name, &issuer, err);
        if (rc == 0)
            rc = folder_key_read(pki->folder, issuer_name, &issuer_key, err);
    }
    if (rc < 0)
        return rc;
    request->key = key;
    request->issuer = issuer;
    request->issuer_key = issuer_key ? issuer_key : key;
    cert = key ? issue_cert_new(request) : NULL;
    if (!cert)
        return err_set(err, -EIO, "cannot make the certificate \"%s\"", request->cn);
    rc = folder_key_write(pki->folder, name, key, err);
    return rc < 0 ? rc : folder_cert_write(pki->folder, name, cert, err);
}

static int issue_authorities(const struct emu_pki *pki, bool is_processor, struct err *err)
{
    struct issue_request root = { .kind = ISSUE_ROOT, .cn = "Intel SGX Root CA" };
    struct issue_request ca = { .kind = ISSUE_CA,
                                .cn = is_processor ? "Intel SGX PCK Processor CA"
                                                   : "Intel SGX PCK Platform CA" };
    struct issue_request tcb = { .kind = ISSUE_TCB_SIGNING, .cn = "Intel SGX TCB Signing" };
    int rc = issue_named(pki, "root", NULL, &root, err);

    if (rc == 0)
        rc = issue_named(pki, "ca", "root", &ca, err);
    return rc < 0 ? rc : issue_named(pki, "tcb", "root", &tcb, err);
}

int emu_pki_pck_issue(struct emu_pki *pki, bool latest, struct err *err)
{
    json_t *platform = json_object_get(pki->state, "platform");
    json_t *early = json_object_get(pki->state, "earlyTcbInfo");
    json_t *info = early ? early : json_object_get(pki->state, "tcbInfo");
    json_t *newest = json_object_get(json_array_get(json_object_get(info, "tcbLevels"), 0), "tcb");
    const char *ca = json_string_value(json_object_get(platform, "ca"));
    struct pck_extension extension = { .is_platform = ca && strcmp(ca, "platform") == 0 };
    uint8_t der[PCK_EXTENSION_SIZE_MAX];
    struct issue_request request = { .kind = ISSUE_PCK,
                                     .cn = "Intel SGX PCK Certificate",
                                     .pck_extension = der };
    static const char *const copied[] = { "sgxtcbcomponents", "pcesvn" };

    for (unsigned i = 0; latest && i < ARRAY_COUNT(copied); i++)
        json_object_set(platform, copied[i], json_object_get(newest, copied[i]));
    extension.pce_svn = (uint16_t)json_integer_value(json_object_get(platform, "pcesvn"));
    if (!get_hex(json_object_get(platform, "ppid"), extension.ppid, 16) ||
        !get_hex(json_object_get(platform, "fmspc"), extension.fmspc, 6) ||
        !get_hex(json_object_get(platform, "pceId"), extension.pce_id, 2) ||
        !get_hex(json_object_get(platform, "platformInstanceId"), extension.platform_instance_id,
                 16) ||
        !components_get(json_object_get(platform, "sgxtcbcomponents"), extension.svn))
        return err_set(err, -EINVAL, "state.json: \"platform\" is unusable");
    memcpy(extension.cpu_svn, extension.svn, sizeof extension.cpu_svn);
    request.pck_extension_size = pck_extension_encode(&extension, der);
    EVP_PKEY_free(pki->pck_key);
    pki->pck_key = NULL;
    return issue_named(pki, "pck", "ca", &request, err);
}

int emu_pki_pck_sign(struct emu_pki *pki, const void *data, size_t size,
                     uint8_t ret[EMU_PKI_SIGNATURE_SIZE], struct err *err)
{
    int rc = pki->pck_key ? 0 : folder_key_read(pki->folder, "pck", &pki->pck_key, err);

    if (rc < 0)
        return rc;
    rc = issue_sign(pki->pck_key, data, size, ret);
    return rc < 0 ? err_set(err, rc, "cannot sign with the PCK") : 0;
}

/* ---- knobs ---- */

static int level_change(json_t *level, const struct emu_pki_tcb_change *change, struct err *err)
{
    bool known = !change->status;
    json_t *list;

    for (unsigned i = 0; !known && i < ARRAY_COUNT(g_statuses); i++)
        known = strcmp(change->status, g_statuses[i]) == 0;
    if (!known)
        return err_set(err, -EINVAL, "%s is no TCB status of Intel's", change->status);
    for (unsigned i = 0; i < change->advisory_count; i++)
        if (strncmp(change->advisories[i], "INTEL-SA-", 9) != 0 ||
            strlen(change->advisories[i]) > 20)
            return err_set(err, -EINVAL, "%s: advisories are written as INTEL-SA-00615",
                           change->advisories[i]);
    if (change->status)
        json_object_set_new(level, "tcbStatus", json_string(change->status));
    if (!change->sets_advisories)
        return 0;
    list = json_array();
    for (unsigned i = 0; i < change->advisory_count; i++)
        json_array_append_new(list, json_string(change->advisories[i]));
    if (change->advisory_count)
        json_object_set_new(level, "advisoryIDs", list);
    else
        json_decref(list);
    if (!change->advisory_count)
        json_object_del(level, "advisoryIDs");
    return 0;
}

static void evaluation_set(struct emu_pki *pki, json_int_t number)
{
    static const char *const names[] = { "tcbInfo", "enclaveIdentity" };

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        json_object_set_new(json_object_get(pki->state, names[i]), "tcbEvaluationDataNumber",
                            json_integer(number));
}

static bool asks_for_update(const char *status)
{
    return status && (strncmp(status, "OutOfDate", 9) == 0 || strcmp(status, "Revoked") == 0);
}

/* A level above all others: what the update brings. */
static int add_newest_level(struct emu_pki *pki, const json_t *level, struct err *err)
{
    json_t *levels = json_object_get(json_object_get(pki->state, "tcbInfo"), "tcbLevels");
    const json_t *tcb = json_object_get(level, "tcb");
    uint8_t svn[EMU_PKI_SVN_COUNT];

    if (!components_get(json_object_get(tcb, "sgxtcbcomponents"), svn) || svn[0] == UINT8_MAX ||
        json_array_size(levels) >= EMU_PKI_LEVEL_COUNT_MAX)
        return err_set(err, -E2BIG, "no room for a newer TCB level");
    svn[0]++;
    json_array_insert_new(levels, 0,
                          level_new(svn, (int)json_integer_value(json_object_get(tcb, "pcesvn")),
                                    time(NULL), "UpToDate"));
    return 0;
}

int emu_pki_tcb_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change, struct err *err)
{
    const json_t *info = json_object_get(pki->state, "tcbInfo");
    json_int_t evaluation = json_integer_value(json_object_get(info, "tcbEvaluationDataNumber"));
    size_t index = 0;
    json_t *level = level_find(pki, &index);
    int rc = level ? level_change(level, change, err)
                   : err_set(err, -EINVAL, "state.json: the platform has no TCB level");

    if (rc == 0 && asks_for_update(change->status) && index == 0) {
        rc = add_newest_level(pki, level, err);
        evaluation++;
    }
    if (rc < 0)
        return rc;
    evaluation_set(pki, change->has_evaluation ? change->evaluation : evaluation);
    return emu_pki_renew(pki, "tcb-info", err);
}

/* ---- early editions ---- */

int emu_pki_early_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change,
                      int64_t recovery_s, struct err *err)
{
    json_t *standard = json_deep_copy(json_object_get(pki->state, "tcbInfo"));
    json_t *identity = json_deep_copy(json_object_get(pki->state, "enclaveIdentity"));
    json_t *early = json_object_get(pki->state, "earlyTcbInfo"), *dates = NULL, *entry;
    char date[FOLDER_TIME_SIZE];
    int rc = standard && identity ? 0 : -ENOMEM;

    /* The change is made to what is early now, where the standard one stands. */
    if (rc == 0 && json_is_object(early))
        json_object_set_new(pki->state, "tcbInfo", json_deep_copy(early));
    if (rc == 0) {
        dates = json_deep_copy(json_object_get(pki->state, "dates"));
        rc = emu_pki_tcb_set(pki, change, err);
    }
    if (rc == 0) {
        early = json_deep_copy(json_object_get(pki->state, "tcbInfo"));
        folder_time_print(recovery_s, date);
        entry = json_pack("{s:O,s:s,s:s}", "tcbEvaluationDataNumber",
                          json_object_get(early, "tcbEvaluationDataNumber"), "tcbRecoveryEventDate",
                          date, "tcbDate", date);
        json_object_set_new(pki->state, "recovery", entry);
        json_object_set_new(pki->state, "earlyTcbInfo", early);
    }
    if (standard)
        json_object_set_new(pki->state, "tcbInfo", standard);
    if (identity)
        json_object_set_new(pki->state, "enclaveIdentity", identity);
    if (dates)
        json_object_set_new(pki->state, "dates", dates);
    return rc;
}

int emu_pki_early_end(struct emu_pki *pki, struct err *err)
{
    json_t *early = json_object_get(pki->state, "earlyTcbInfo");

    if (!json_is_object(early))
        return err_set(err, -ENOENT, "there is no early TCB info");
    json_object_set(pki->state, "tcbInfo", early);
    evaluation_set(pki, json_integer_value(json_object_get(early, "tcbEvaluationDataNumber")));
    json_object_del(pki->state, "earlyTcbInfo");
    return emu_pki_renew(pki, "tcb-info", err);
}

int emu_pki_qe_set(struct emu_pki *pki, const struct emu_pki_qe *qe, struct err *err)
{
    json_t *identity = json_object_get(pki->state, "enclaveIdentity");
    char mrsigner[65];

    put_hex(mrsigner, qe->mrsigner, sizeof qe->mrsigner);
    if (json_object_set_new(identity, "mrsigner", json_string(mrsigner)) < 0 ||
        json_object_set_new(identity, "isvprodid", json_integer(qe->isv_prod_id)) < 0 ||
        json_object_set_new(identity, "tcbLevels",
                            json_pack("[o]", qe_level_new(qe->isv_svn, time(NULL)))) < 0)
        return err_set_errno(err, -ENOMEM, "cannot describe the quoting enclave");
    return emu_pki_renew(pki, "qe-identity", err);
}

bool emu_pki_qe_is(const struct emu_pki *pki, const struct emu_pki_qe *qe)
{
    const json_t *identity = json_object_get(pki->state, "enclaveIdentity");
    const json_t *level = json_array_get(json_object_get(identity, "tcbLevels"), 0);
    uint8_t mrsigner[32];

    return get_hex(json_object_get(identity, "mrsigner"), mrsigner, sizeof mrsigner) &&
           memcmp(mrsigner, qe->mrsigner, sizeof mrsigner) == 0 &&
           json_integer_value(json_object_get(identity, "isvprodid")) == qe->isv_prod_id &&
           json_integer_value(json_object_get(json_object_get(level, "tcb"), "isvsvn")) ==
               qe->isv_svn;
}

uint16_t emu_pki_pce_svn(const struct emu_pki *pki)
{
    return (uint16_t)json_integer_value(
        json_object_get(json_object_get(pki->state, "platform"), "pcesvn"));
}

int emu_pki_qe_status_set(struct emu_pki *pki, const struct emu_pki_tcb_change *change,
                          struct err *err)
{
    json_t *levels = json_object_get(json_object_get(pki->state, "enclaveIdentity"), "tcbLevels");
    int rc = level_change(json_array_get(levels, 0), change, err);

    if (rc < 0)
        return rc;
    if (change->has_evaluation)
        evaluation_set(pki, change->evaluation);
    return emu_pki_renew(pki, "qe-identity", err);
}

int emu_pki_revoke(struct emu_pki *pki, const char *what, struct err *err)
{
    bool is_pck = strcmp(what, "pck") == 0;
    json_t *list = json_object_get(json_object_get(pki->state, "revoked"), is_pck ? "ca" : "root");
    CLEANUP(issue_certp)
    X509 *cert = NULL;
    char *serial;
    int rc;

    if (!is_pck && strcmp(what, "ca") != 0 && strcmp(what, "tcb") != 0)
        return err_set(err, -EINVAL, "%s: choose pck, ca or tcb", what);
    if (json_array_size(list) >= EMU_PKI_REVOKED_COUNT_MAX)
        return err_set(err, -E2BIG, "the list holds %u certificates already",
                       EMU_PKI_REVOKED_COUNT_MAX);
    rc = folder_cert_read(pki->folder, what, &cert, err);
    if (rc < 0)
        return rc;
    serial = issue_serial_text(cert);
    rc = serial && json_array_append_new(list, json_string(serial)) == 0 ? 0 : -ENOMEM;
    OPENSSL_free(serial);
    return rc < 0 ? err_set_errno(err, rc, "cannot revoke")
                  : emu_pki_renew(pki, is_pck ? "pck-crl" : "root-crl", err);
}

/* ---- the folder ---- */

void emu_pki_free(struct emu_pki *pki)
{
    if (!pki)
        return;
    if (pki->lock >= 0)
        close(pki->lock);
    EVP_PKEY_free(pki->pck_key);
    json_decref(pki->state);
    free(pki);
}

void emu_pki_freep(struct emu_pki **pki)
{
    emu_pki_free(*pki);
}

static int pki_new(const char *folder, struct emu_pki **ret, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = calloc(1, sizeof *pki);
    char path[FOLDER_PATH_MAX];

    if (!pki)
        return err_set_errno(err, -ENOMEM, "cannot open %s", folder);
    pki->lock = -1;
    if (snprintf(pki->folder, sizeof pki->folder, "%s", folder) >= (int)sizeof pki->folder)
        return err_set(err, -ENAMETOOLONG, "%s: the name is too long", folder);
    snprintf(path, sizeof path, "%s/.lock", folder);
    pki->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (pki->lock < 0 || flock(pki->lock, LOCK_EX) < 0)
        return err_set_errno(err, -errno, "cannot lock %s", path);
    *ret = TAKE_PTR(pki);
    return 0;
}

int emu_pki_init(const char *folder, const struct emu_pki_platform *platform, struct err *err)
{
    static const char *const parts[] = { "keys", "certs", "collateral" };
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    char path[FOLDER_PATH_MAX + 16];
    int rc;

    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return err_set_errno(err, -errno, "cannot make %s", folder);
    rc = pki_new(folder, &pki, err);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        snprintf(path, sizeof path, "%s/%s", pki->folder, parts[i]);
        if (mkdir(path, i == 0 ? 0700 : 0755) < 0)
            return errno == EEXIST ? err_set(err, -EEXIST, "%s holds a PKI already", folder)
                                   : err_set_errno(err, -errno, "cannot make %s", path);
    }
    rc = state_new(pki, platform);
    if (rc < 0)
        return err_set_errno(err, rc, "cannot describe the platform");
    rc = issue_authorities(pki, platform->is_processor_ca, err);
    if (rc == 0)
        rc = emu_pki_pck_issue(pki, false, err);
    return rc < 0 ? rc : emu_pki_publish(pki, err);
}

int emu_pki_open(const char *folder, struct emu_pki **ret, struct err *err)
{
    CLEANUP(emu_pki_freep)
    struct emu_pki *pki = NULL;
    static const char *const needed[] = { "platform", "tcbInfo", "enclaveIdentity", "revoked",
                                          "dates" };
    char *text;
    size_t size;
    int rc;

    if (access(folder, F_OK) < 0)
        return err_set(err, -ENOENT, "%s is not there: `cloche emu pki init %s` makes it", folder,
                       folder);
    rc = pki_new(folder, &pki, err);
    if (rc == 0)
        rc = folder_read(folder, "state.json", &text, &size, err);
    if (rc < 0)
        return rc;
    pki->state = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    for (unsigned i = 0; i < ARRAY_COUNT(needed); i++)
        if (!json_is_object(json_object_get(pki->state, needed[i])))
            return err_set(err, -EINVAL, "%s/state.json has no object \"%s\"", folder, needed[i]);
    *ret = TAKE_PTR(pki);
    return 0;
}
